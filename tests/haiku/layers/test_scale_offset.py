"""The scale and offset that all normalisations share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from definitions import normalise

import haiku as hk

run = hk.testing.transform_and_run
X = np.random.RandomState(0).randn(3, 4, 5, 6).astype(np.float32) * 2 + 1


@pytest.mark.parametrize(
    "norm",
    [
        lambda **where: hk.GroupNorm(3, **where),
        lambda **where: hk.InstanceNorm(True, True, **where),
    ],
    ids=["group", "instance"],
)
def test_channels_may_come_first(norm):
    def net(**where):
        return hk.transform(lambda x: norm(name="norm", **where)(x))

    last, first = net(), net(data_format="channels_first")
    turned = np.moveaxis(X, -1, 1)
    params = first.init(None, turned)
    scale, offset = np.arange(6.0) + 1, np.arange(6.0) - 3
    wanted = last.apply({"norm": {"scale": scale, "offset": offset}}, None, X)
    for name, value in (("scale", scale), ("offset", offset)):
        params["norm"][name] = value.reshape(params["norm"][name].shape)
    out = first.apply(params, None, turned)
    np.testing.assert_allclose(np.moveaxis(out, 1, -1), wanted, atol=1e-5)
    by_input = jax.grad(lambda x: jnp.sum(first.apply(params, None, x) ** 3))(turned)
    assert np.isfinite(by_input).all()


PARAM_AXES = [
    (None, (6,)),
    (-1, (6,)),
    (3, (6,)),
    (-2, (1, 1, 5, 1)),
    ((-1, -4), (3, 1, 1, 6)),
    (slice(1, 3), (1, 4, 5, 1)),
    (slice(-1, 0, -1), (1, 4, 5, 6)),
]


@pytest.mark.parametrize(("param_axis", "shape"), PARAM_AXES)
def test_parameters_vary_along_param_axis(param_axis, shape):
    layers = {
        "layer_norm": lambda x: hk.LayerNorm(-1, True, True, param_axis=param_axis)(x),
        "rms_norm": lambda x: hk.RMSNorm(-1, param_axis=param_axis)(x),
    }
    for name, layer in layers.items():
        net = hk.transform(layer)
        params = net.init(None, X)[name]
        assert {p.shape for p in params.values()} == {shape}
        doubled = net.apply({name: {**params, "scale": 2 * params["scale"]}}, None, X)
        np.testing.assert_allclose(doubled, 2 * net.apply({name: params}, None, X))


def test_a_call_may_pass_scale_and_offset():
    scale, offset = np.arange(6.0), jnp.ones([5, 6])
    for norm in (
        lambda: hk.LayerNorm(-1, False, False)(X, scale, offset),
        lambda: hk.GroupNorm(1, -1, False, False)(X, scale, offset),
    ):
        want = normalise(X, -1) * scale + 1
        np.testing.assert_allclose(run(norm)(), want, atol=1e-4)
    out = run(lambda: hk.LayerNorm(-1, False, False)(X, scale=2.0, offset=1))()
    np.testing.assert_allclose(out, normalise(X, -1) * 2 + 1, atol=1e-4)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_eps_keeps_the_dtype(dtype):
    for norm in (
        lambda: hk.LayerNorm(-1, True, True, eps=0.1),
        lambda: hk.GroupNorm(2, eps=0.1),
        lambda: hk.RMSNorm(-1, eps=0.1),
    ):
        assert run(lambda: norm()(X.astype(dtype)))().dtype == dtype  # noqa: B023


MAKERS = [
    lambda **options: hk.LayerNorm(-1, **options),
    lambda **options: hk.GroupNorm(2, **options),
    lambda **options: hk.BatchNorm(decay_rate=0.9, **options),
]


@pytest.mark.parametrize("make", MAKERS, ids=["layer", "group", "batch"])
def test_wrong_scales_and_offsets_raise(make):
    def raises(message, f):
        with pytest.raises(ValueError, match=message):
            run(f)()

    def call(norm, **options):
        training = {"is_training": True} if isinstance(norm, hk.BatchNorm) else {}
        return norm(X, **training, **options)

    both = {"create_scale": False, "create_offset": False}
    raises("`scale_init` if `create_scale=F", lambda: make(**both, scale_init=jnp.ones))
    raises("`offset_init` if `create_of", lambda: make(**both, offset_init=jnp.ones))
    made = {"create_scale": True, "create_offset": True}
    raises("Cannot pass `scale`", lambda: call(make(**made), scale=jnp.ones(6)))
    raises("Cannot pass `offset`", lambda: call(make(**made), offset=jnp.ones(6)))
    raises(
        r"`scale` of shape \(5,\).*\(3, 4, 5, 6\).*_norm",
        lambda: call(make(**both), scale=jnp.ones(5)),
    )
    raises(
        "`offset` of shape",
        lambda: call(make(**both), offset=jnp.ones([2, 3, 4, 4, 6])),
    )
