"""ConvND, Conv1D, Conv2D and Conv3D."""

import jax.numpy as jnp
import numpy as np
import pytest
from definitions import apply_layer, convolve, normal

import haiku as hk

run = hk.testing.transform_and_run
X = jnp.ones([2, 6, 7, 4])


@pytest.mark.parametrize(
    ("options", "zeros"),
    [
        ({}, (1, 1)),
        ({"padding": "VALID", "stride": 2}, (0, 0)),
        ({"padding": hk.pad.causal, "rate": 2}, (4, 0)),
        ({"padding": (3, 1), "stride": 3}, (3, 1)),
        ({"padding": [hk.pad.reverse_causal]}, (0, 2)),
        ({"feature_group_count": 2}, (1, 1)),
    ],
)
def test_convolution_follows_its_definition(options, zeros):
    x = normal(2, 9, 4)
    params, out = apply_layer(lambda x: hk.Conv1D(6, 3, **options)(x), x)
    groups = options.get("feature_group_count", 1)
    want = convolve(
        x,
        params["w"],
        options.get("stride", 1),
        options.get("rate", 1),
        zeros,
        groups,
    )
    assert params["w"].shape == (3, 4 // groups, 6)
    np.testing.assert_allclose(out, want + params["b"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: hk.Conv2D(3, 3, padding="FOO"), ValueError, "'FOO'.*SAME.*VALID"),
        (lambda: hk.Conv2D(3, 3, padding=0), TypeError, "got 0"),
        (lambda: hk.Conv2D(3, 3, data_format="FOO"), ValueError, "'FOO'"),
        (lambda: hk.Conv2D(3, (3, 3, 3)), TypeError, "kernel_shape.*length 2"),
        (lambda: hk.Conv2D(3, 3, stride=(1, 1, 1)), TypeError, "stride must"),
        (lambda: hk.Conv2D(3, 3, rate=(1, 1, 1)), TypeError, "rate must"),
        (
            lambda: hk.Conv2D(4, 3, feature_group_count=3)(X),
            ValueError,
            "4 channels.*output_channels=4.*feature_group_count=3",
        ),
        (
            lambda: hk.Conv2D(3, 3, feature_group_count=2)(X),
            ValueError,
            "output_channels=3.*feature_group_count=2",
        ),
    ],
)
def test_wrong_options_raise(call, error, message):
    with pytest.raises(error, match=message):
        run(call)()
