import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

run = hk.testing.transform_and_run
X = np.random.RandomState(0).randn(3, 4, 5, 6).astype(np.float32) * 2 + 1


def normalised(x, axes, eps=1e-5):
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(variance + eps)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    ("axis", "axes"),
    [(-1, -1), (1, 1), ((1, -1), (1, 3)), (slice(1, -1), (1, 2)), ([0, 2], (0, 2))],
)
def test_layer_norm(axis, axes, fast):
    def f():
        norm = hk.LayerNorm(axis, True, True, eps=1e-3, use_fast_variance=fast)
        return norm(X)

    np.testing.assert_allclose(run(f)(), normalised(X, axes, 1e-3), atol=1e-4)


def test_layer_norm_scales_and_shifts():
    net = hk.transform(lambda x: hk.LayerNorm(-1, True, True)(x))
    scale, offset = np.arange(6.0), np.arange(6.0) - 3
    out = net.apply({"layer_norm": {"scale": scale, "offset": offset}}, None, X)
    np.testing.assert_allclose(out, normalised(X, -1) * scale + offset, atol=1e-4)


@pytest.mark.parametrize(
    "norm",
    [
        lambda **where: hk.GroupNorm(3, **where),
        lambda **where: hk.InstanceNorm(True, True, **where),
    ],
    ids=["group", "instance"],
)
def test_channels_first(norm):
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
def test_param_axis(param_axis, shape):
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


def test_instance_norm():
    out = run(lambda: hk.InstanceNorm(True, True)(X))()
    np.testing.assert_allclose(out, normalised(X, (1, 2)), atol=1e-4)


def test_rms_norm():
    net = hk.transform(lambda x: hk.RMSNorm((1, 3), eps=1e-3)(x))
    scale = np.arange(6.0)
    rms = np.sqrt((X**2).mean((1, 3), keepdims=True) + 1e-3)
    out = net.apply({"rms_norm": {"scale": scale}}, None, X)
    np.testing.assert_allclose(out, X * scale / rms, atol=1e-4)
    out = run(lambda: hk.RMSNorm((1, 3), eps=1e-3, create_scale=False)(X))()
    np.testing.assert_allclose(out, X / rms, atol=1e-4)


@pytest.mark.parametrize(
    ("axis", "axes"),
    [
        (slice(1, None), (1, 2, 4)),
        ([1, 2], (1, 2)),
        (1, (1,)),
        (-1, (4,)),  # of each group: from the end as from the front
        (-2, (2,)),
    ],
)
def test_group_norm(axis, axes):
    def f():
        norm = hk.GroupNorm(3, axis=axis, eps=1e-3)
        out = norm(X)
        assert norm.group_shape == (-1, 4, 5, 3, 2)
        assert norm.first_input_shape == (-1, 4, 5, 6)
        assert norm.axis == axes
        assert norm.rank == 4
        return out

    want = normalised(X.reshape(3, 4, 5, 3, 2), axes, 1e-3).reshape(X.shape)
    np.testing.assert_allclose(run(f)(), want, atol=1e-4)


def test_group_norm_takes_other_sizes_at_later_calls():
    def f():
        norm = hk.GroupNorm(2)
        return norm(X), norm(X[:, :2])

    out = run(f)()[1]
    want = normalised(X[:, :2].reshape(3, 2, 5, 2, 3), (1, 2, 4))
    np.testing.assert_allclose(out, want.reshape(3, 2, 5, 6), atol=1e-4)


def test_scale_and_offset_of_the_call():
    scale, offset = np.arange(6.0), jnp.ones([5, 6])
    for norm in (
        lambda: hk.LayerNorm(-1, False, False)(X, scale, offset),
        lambda: hk.GroupNorm(1, -1, False, False)(X, scale, offset),
    ):
        want = normalised(X, -1) * scale + 1
        np.testing.assert_allclose(run(norm)(), want, atol=1e-4)
    out = run(lambda: hk.LayerNorm(-1, False, False)(X, scale=2.0, offset=1))()
    np.testing.assert_allclose(out, normalised(X, -1) * 2 + 1, atol=1e-4)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_eps_does_not_promote(dtype):
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
def test_errors_of_scale_and_offset(make):
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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hk.LayerNorm("foo", True, True), "int, slice or iterable.*'foo'"),
        (lambda: hk.LayerNorm(["a"], True, True), "int, slice or iterable"),
        (lambda: hk.LayerNorm(1.5, True, True), "int, slice or iterable.*1.5"),
        (lambda: hk.RMSNorm("foo"), "int, slice or iterable"),
        (lambda: hk.GroupNorm(2, axis="foo"), "int, slice or iterable"),
        (lambda: hk.RMSNorm(-1, scale_init=jnp.ones, create_scale=False), "scale_init"),
        (lambda: hk.LayerNorm(4, True, True)(X), "axis 4.*'layer_norm'.*rank 4"),
        (lambda: hk.LayerNorm(0, True, True, param_axis=4)(X), "axis 4 .*rank 4"),
        (lambda: hk.RMSNorm(-5)(X), "axis -5 is out of range.*'rms_norm'"),
        (lambda: hk.LayerNorm(-1, True, True)(jnp.ones(())), "rank 0"),
        (lambda: hk.GroupNorm(0), "groups must be at least 1, got 0"),
        (lambda: hk.GroupNorm(4)(X), "channels = 6, groups = 4"),
        (lambda: hk.GroupNorm(2, axis=[4])(X), "axis 4 is out of range"),
        (
            lambda: [n := hk.GroupNorm(2), n(X), n(X[0])],
            "rank of the inputs cannot change.*rank=4 but this call was rank=3",
        ),
        (
            lambda: hk.GroupNorm(1, data_format="NCHW")(X[0, 0, 0]),
            r"\[batch, channels, ...\], got \(6,\)",
        ),
        (lambda: hk.InstanceNorm(True, True, data_format="FOO"), "'FOO'"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        run(call)()


def test_gradients_of_norms_are_those_of_their_equations():
    def by_hand(x):
        mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return jnp.sin((x - mean) / jnp.sqrt(var + 1e-5)).sum()

    net = hk.transform(lambda x: jnp.sin(hk.LayerNorm(-1, False, False)(x)).sum())
    grads = jax.grad(lambda x: net.apply({}, None, x))(X)
    np.testing.assert_allclose(grads, jax.grad(by_hand)(jnp.asarray(X)), atol=1e-5)
