"""ConvND, Conv1D, Conv2D and Conv3D."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

run = hk.testing.transform_and_run
KEY = jax.random.key(0, impl="unsafe_rbg")  # the fastest to compile


def normal(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape).astype(np.float32)


X = jnp.ones([2, 6, 7, 4])


def with_params(f, x):
    """Parameters of `f` with random biases, and what it returns with them."""
    net = hk.transform(f)
    params = jax.tree.map(lambda p: normal(*p.shape), net.init(KEY, x))
    return next(iter(params.values())), jax.jit(net.apply)(params, None, x)


def slid(x, w, stride, rate, zeros, groups=1):
    """A convolution by its definition: x [B, T, C], w [k, C / groups, D]."""
    x = np.pad(x, ((0, 0), zeros, (0, 0)))
    reach = (w.shape[0] - 1) * rate + 1
    size_in, size_out = x.shape[-1] // groups, w.shape[-1] // groups
    out = []
    for t in range(0, x.shape[1] - reach + 1, stride):
        window = x[:, t : t + reach : rate]
        parts = [
            np.einsum(
                "bkc,kcd->bd",
                window[..., g * size_in : (g + 1) * size_in],
                w[..., g * size_out : (g + 1) * size_out],
            )
            for g in range(groups)
        ]
        out.append(np.concatenate(parts, -1))
    return np.stack(out, 1)


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
    params, out = with_params(lambda x: hk.Conv1D(6, 3, **options)(x), x)
    groups = options.get("feature_group_count", 1)
    want = slid(
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
