"""Statistics and state over devices, vmaps and shards equal those of one big batch.

The programs follow those of threads #786, #788 and #790.
"""

import functools
from contextlib import nullcontext

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import haiku as hk

KEY = jax.random.key(0)
N = 4
# Far from zero, and with another mean on each replica: averaging the variances of the
# replicas, or subtracting large squares, would fail.
X = np.random.RandomState(0).randn(4, 8, 3, 5).astype(np.float32)
X = X * np.arange(1, 6) + 300 + np.repeat(np.arange(4), 2)[:, None, None]
X = X.astype(np.float32)  # [step, B, H, C]


def devices(count=N):
    found = jax.devices("cpu")
    if len(found) < count:
        pytest.skip(f"needs {count} CPU devices, see conftest.py")
    return np.array(found[:count])


def mesh(names=("i",), kind=AxisType.Auto):
    shape = {1: (4,), 2: (2, 2)}[len(names)]
    return jax.sharding.Mesh(
        devices().reshape(shape), names, axis_types=(kind,) * len(names)
    )


# Ways to run a step on parts of a batch. Each turns step(params, state, x) -> (out,
# state) into a step on the whole batch.


def by_vmap(step):
    mapped = jax.vmap(step, (None, None, 0), (0, None), axis_name="i")

    def whole(params, state, x):
        out, state = mapped(params, state, x.reshape(4, -1, *x.shape[1:]))
        return out.reshape(x.shape), state

    return whole


def by_nested_vmaps(step):
    for name in "ji":
        step = jax.vmap(step, (None, None, 0), (0, None), axis_name=name)

    def whole(params, state, x):
        out, state = step(params, state, x.reshape(2, 2, -1, *x.shape[1:]))
        return out.reshape(x.shape), state

    return whole


def by_pmap(step):
    mapped = jax.pmap(
        step, axis_name="i", in_axes=(None, None, 0), devices=list(devices())
    )

    def whole(params, state, x):
        out, states = mapped(params, state, x.reshape(4, -1, *x.shape[1:]))
        for copies in jax.tree.leaves(states):
            assert len(copies) == 4
        return out.reshape(x.shape), jax.tree.map(lambda s: s[3], states)

    return whole


def by_pmap_of_vmap(step):
    inner = jax.vmap(step, (None, None, 0), (0, None), axis_name="j")
    mapped = jax.pmap(
        inner, axis_name="i", in_axes=(None, None, 0), devices=list(devices(2))
    )

    def whole(params, state, x):
        out, states = mapped(params, state, x.reshape(2, 2, -1, *x.shape[1:]))
        return out.reshape(x.shape), jax.tree.map(lambda s: s[1], states)

    return whole


def by_shard_map(step, names=("i",), check_vma=True):
    mapped = jax.shard_map(
        step,
        mesh=mesh(names),
        in_specs=(P(), P(), P(names)),
        out_specs=(P(names), P()),
        check_vma=check_vma,
    )
    return jax.jit(mapped)


def by_sharding(step):
    split, everywhere = NamedSharding(mesh(), P("i")), NamedSharding(mesh(), P())

    def whole(params, state, x):
        out, state = jax.jit(step)(params, state, jax.device_put(x, split))
        return jax.device_put(out, everywhere), state

    return whole


def by_explicit_sharding(step):
    def whole(params, state, x):
        out, state = jax.jit(step)(params, state, jax.sharding.reshard(x, P("i")))
        assert jax.typeof(out).sharding.spec[0] == "i"
        return jax.sharding.reshard(out, P()), state

    return whole


WAYS = {  # Name: (axis name, the way)
    "vmap": ("i", by_vmap),
    "vmap of vmap": (("i", "j"), by_nested_vmaps),
    "pmap": ("i", by_pmap),
    "pmap of vmap": (("i", "j"), by_pmap_of_vmap),
    "shard_map": ("i", by_shard_map),
    "shard_map, two axes": (
        ("i", "j"),
        functools.partial(by_shard_map, names=("i", "j")),
    ),
    "shard_map, unchecked": ("i", functools.partial(by_shard_map, check_vma=False)),
    "jit, auto": (None, by_sharding),
    "jit, explicit": (None, by_explicit_sharding),
}
NAMED = [name for name in WAYS if WAYS[name][0]]


def norm(axis, **options):
    def f(x, is_training=True):
        return hk.BatchNorm(True, True, 0.9, cross_replica_axis=axis, **options)(
            x, is_training
        )

    return hk.transform_with_state(f)


@functools.cache
def numbers(dtype):
    params, state = norm(None).init(KEY, X[0].astype(dtype))
    scale = jnp.asarray([1, 2, -1, 0.5, 3], dtype).reshape(1, 1, 5)
    return {"batch_norm": {"scale": scale, "offset": scale / 2}}, state


def run_steps(step, dtype, start=None):
    """Outputs, state after all steps, and gradients by parameters and inputs."""
    params, state = numbers(dtype)
    weights = jnp.cos(jnp.arange(X[0].size, dtype=jnp.float32)).reshape(X[0].shape)

    def loss(params, xs, state):
        def one(state, x):
            out, state = step(params, state, x)
            return state, out

        state, outs = jax.lax.scan(one, state, xs)
        return jnp.sum(weights * outs.astype(jnp.float32) ** 2) / 100, (outs, state)

    xs = jnp.asarray(X, dtype)
    grads, (outs, state) = jax.jit(jax.grad(loss, (0, 1), has_aux=True))(
        params, xs, start or state
    )
    return {"out": outs, "state": state, "params": grads[0], "x": grads[1]}


@functools.cache
def exact(dtype):
    """The result in float32 on one device, for inputs rounded to `dtype`."""

    def step(params, state, x):
        x = x.astype(jnp.float32)
        mean = x.mean((0, 1), keepdims=True)
        variance = jnp.mean((x - mean) ** 2, (0, 1), keepdims=True)
        p = jax.tree.map(lambda p: p.astype(jnp.float32), params["batch_norm"])
        out = (x - mean) / jnp.sqrt(variance + 1e-5) * p["scale"] + p["offset"]
        old, count = state
        new = [0.9 * h + 0.1 * v for h, v in zip(old, (mean, variance))]
        return out, (new, count + 1)

    found = run_steps(step, dtype, ([jnp.zeros([1, 1, 5])] * 2, 0))
    (mean, variance), count = found["state"]
    unbias = 1 - 0.9**count
    found["state"] = {
        f"batch_norm/~/{name}_ema": {
            "counter": count,
            "hidden": hidden,
            "average": hidden / unbias,
        }
        for name, hidden in (("mean", mean), ("var", variance))
    }
    return found


def close(have, want, dtype):
    """Asserts equality up to rounding, in float32 for the state, else in `dtype`."""
    eps = 1e-4 if dtype == jnp.float32 else 2e-2

    def check(path, a, b):
        tolerance = 2e-5 if path[0].key == "state" else eps
        a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
        scale = max(np.abs(b).max(), 1e-3)
        np.testing.assert_allclose(
            a / scale, b / scale, atol=tolerance, err_msg=str(path)
        )

    jax.tree_util.tree_map_with_path(check, have, want)


HALF = ("pmap", "jit, auto")


@pytest.mark.parametrize(
    ("way", "dtype"),
    [(way, jnp.float32) for way in WAYS] + [(way, jnp.bfloat16) for way in HALF],
)
def test_batch_norm_equals_that_of_one_big_batch(way, dtype):
    axis, around = WAYS[way]
    net = norm(axis)

    def step(params, state, x):
        return net.apply(params, state, None, x)

    explicit = around is by_explicit_sharding
    with jax.set_mesh(mesh(kind=AxisType.Explicit)) if explicit else nullcontext():
        found = run_steps(around(step), dtype)
    close(found, exact(dtype), dtype)


# ---- Groups, inner vmaps, whole networks ---------------------------------------------


def by_vmap_of_jit(step):
    return by_vmap(jax.jit(jax.checkpoint(step)))


GROUPED = {
    "vmap": by_vmap,
    "vmap of jit": by_vmap_of_jit,
    "pmap": by_pmap,
    "shard_map": by_shard_map,
    "shard_map, unchecked": functools.partial(by_shard_map, check_vma=False),
}


@pytest.mark.parametrize("way", GROUPED)
def test_each_group_has_its_own_statistics(way):
    groups = [[0, 3], [1, 2]]
    net = norm("i", cross_replica_axis_index_groups=groups)
    params, state = numbers(jnp.float32)

    def step(params, state, x):
        return net.apply(params, state, None, x)[0], ()

    whole = GROUPED[way](step)
    weights = jnp.cos(jnp.arange(X[0].size)).reshape(X[0].shape)

    def value(f):
        return lambda x: jnp.sum(weights * f(x) ** 2)

    alone = jax.jit(norm(None).apply)

    def by_hand(x):
        out = x
        for group in groups:
            rows = np.concatenate([np.arange(2 * i, 2 * i + 2) for i in group])
            part = alone(params, state, None, x[rows])[0]
            out = out.at[rows].set(part)
        return out

    x = jnp.asarray(X[0])
    found = jax.jit(lambda x: whole(params, state, x)[0])
    np.testing.assert_allclose(found(x), by_hand(x), atol=1e-4)
    have, want = (jax.jit(jax.grad(value(f)))(x) for f in (found, by_hand))
    np.testing.assert_allclose(have, want, atol=1e-4 * np.abs(want).max())


def test_the_model_may_map_the_axis_itself():
    def f(x):
        layer = hk.BatchNorm(True, True, 0.9, cross_replica_axis="views")
        return hk.vmap(lambda x: layer(x, True), axis_name="views", split_rng=False)(x)

    net = hk.transform_with_state(f)
    views = jnp.asarray(X[0]).reshape(2, 4, 3, 5)
    params, state = net.init(KEY, views)
    out, state = net.apply(params, state, None, views)
    want, after = norm(None).apply(params, state, None, X[0])
    np.testing.assert_allclose(out.reshape(want.shape), want, atol=1e-4)
    mean = state["batch_norm/~/mean_ema"]["average"]
    np.testing.assert_allclose(mean[0, 0], X[0].mean((0, 1)), rtol=1e-6)


def test_a_residual_network_equals_that_of_one_big_batch():
    axis, around = WAYS["shard_map"]
    images = np.random.RandomState(0).randn(8, 8, 8, 1).astype(np.float32)

    def network(axis):
        def f(x):
            out = hk.nets.ResNet(
                (1, 1, 1, 1),
                3,
                bn_config={"cross_replica_axis": axis},
                channels_per_group=(2, 2, 2, 2),
                use_projection=(True, False, False, False),
                strides=(1, 1, 1, 1),
                bottleneck=False,
            )(x, is_training=True)
            # Each way expects an output with the shape of x.
            return jnp.broadcast_to(out.sum(-1)[:, None, None, None], x.shape)

        net = hk.transform_with_state(f)
        return net.init, lambda params, state, x: net.apply(params, state, None, x)

    init, alone = network(None)
    params, state = jax.jit(init)(KEY, images)
    params["res_net/~/logits"]["w"] = jax.random.normal(KEY, [2, 3])

    want = jax.jit(alone)(params, state, images)
    have = jax.jit(around(network(axis)[1]))(params, state, images)
    assert np.abs(want[0]).max() > 0.1

    def check(a, b):
        scale = max(1e-3, np.abs(b).max())
        np.testing.assert_allclose(a / scale, b / scale, atol=1e-4)

    jax.tree.map(check, have, want)


# ---- Training ------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["pmap", "shard_map, unchecked"])
def test_replicas_that_train_stay_one_model(way):
    """The usual program takes gradients per replica and averages them."""
    axis, around = WAYS[way]
    target = np.tanh(X[0] - 300)

    def update(axis):
        net = norm(axis)

        def step(params, state, x):
            def loss(params):
                out, after = net.apply(params, state, None, x[..., 0])
                return jnp.mean((out - x[..., 1]) ** 2), after

            grads, after = jax.grad(loss, has_aux=True)(params)
            if axis is not None:
                grads = jax.lax.pmean(grads, axis)
            new = jax.tree.map(lambda p, g: p - 0.3 * g, params, grads)
            return x, {"params": new, "state": after}

        return step

    steps = jax.jit(around(update(axis))), jax.jit(update(None))
    start = dict(zip(("params", "state"), numbers(jnp.float32)))
    have = want = start
    for x in X:
        x = np.stack([x, target], -1)
        _, have = steps[0](have["params"], have["state"], x)
        _, want = steps[1](want["params"], want["state"], x)
    check = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    jax.tree.map(check, have, want)
    moved = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), want, start)["params"]
    assert min(jax.tree.leaves(moved)) > 0.1


def test_members_of_an_ensemble_keep_their_own_statistics():
    net = norm(None)
    data = jnp.stack([X[0], 2 * X[1] + 5, -X[2]])
    params, states = jax.vmap(net.init, (None, 0))(KEY, data)
    apply = jax.jit(jax.vmap(net.apply, (0, 0, None, 0)))
    out, states = apply(params, states, None, data)
    out, states = apply(params, states, None, data)
    alone = jax.jit(net.apply)
    for i, x in enumerate(data):
        params, state = net.init(KEY, x)
        _, state = alone(params, state, None, x)
        want, state = alone(params, state, None, x)
        np.testing.assert_allclose(out[i], want, atol=1e-4)
        own = jax.tree.map(lambda s: s[i], states)  # noqa: B023
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=1e-5), own, state
        )


# ---- Other modules with state --------------------------------------------------------


# Without explicit sharding, where JAX requires a sharding for each product.
@pytest.mark.parametrize("way", ["vmap of vmap", "shard_map", "jit, auto"])
def test_a_vector_quantizer_equals_that_of_one_big_batch(way):
    axis, around = WAYS[way]

    def f(x, axis):
        net = hk.nets.VectorQuantizerEMA(5, 4, 0.5, 0.9, cross_replica_axis=axis)
        out = net(x, is_training=True)
        return out["quantize"], out["perplexity"]

    alone = hk.transform_with_state(lambda x: f(x, None))
    net = hk.transform_with_state(lambda x: f(x, axis))
    xs = np.random.RandomState(0).randn(3, 8, 3, 5).astype(np.float32)
    params, state = alone.init(KEY, xs[0])
    perplexities = []

    def step(params, state, x):
        (out, perplexity), state = net.apply(params, state, None, x)
        return out, {"perplexity": perplexity, **state}

    have, whole = state, jax.jit(around(step))
    apply = jax.jit(alone.apply)
    for x in xs:
        (out, perplexity), state = apply(params, state, None, x)
        found, have = whole(params, have, x)
        perplexities.append((have.pop("perplexity"), perplexity))
        np.testing.assert_allclose(found, out, atol=1e-5)
    np.testing.assert_allclose(*zip(*perplexities), rtol=1e-4)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4), have, state)


def test_each_replica_keeps_its_own_average_unless_it_takes_the_mean():
    net = hk.transform_with_state(
        lambda x, shared: hk.ExponentialMovingAverage(0.5)(
            jax.lax.pmean(x, "i") if shared else x
        )
    )
    x = jnp.arange(4.0)
    for shared in (False, True):
        f = jax.pmap(
            lambda x: net.apply({}, net.init(None, x, False)[1], None, x, shared)[1],  # noqa: B023
            axis_name="i",
            devices=list(devices()),
        )
        average = f(x)["exponential_moving_average"]["average"]
        np.testing.assert_allclose(average, [1.5] * 4 if shared else x)


@pytest.mark.parametrize("way", ["pmap", "jit, auto"])
def test_weights_that_replicas_share_keep_one_state(way):
    def f(x):
        w = hk.get_parameter("w", [5, 5], init=hk.initializers.RandomNormal())
        hk.EMAParamsTree(0.9)({"m": {"w": w}})
        return x @ hk.SpectralNorm(n_steps=2)(w)

    net = hk.transform_with_state(f)
    params, state = net.init(KEY, X[0])
    start, want = state, state
    apply = jax.jit(net.apply)
    whole = WAYS[way][1](lambda p, s, x: net.apply(p, s, None, x))
    for x in X[:2]:
        expected, want = apply(params, want, None, x)
        out, start = whole(params, start, x)
    np.testing.assert_allclose(out, expected, rtol=1e-4)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4), start, want)


def test_other_norms_need_no_axis():
    def f(x):
        return {
            "LayerNorm": hk.LayerNorm(-1, True, True)(x),
            "LayerNorm over all": hk.LayerNorm((1, 2), True, True)(x),
            "RMSNorm": hk.RMSNorm(-1)(x),
            "GroupNorm": hk.GroupNorm(2)(x),
            "InstanceNorm": hk.InstanceNorm(True, True)(x),
        }

    net = hk.without_apply_rng(hk.transform(f))
    x = jnp.asarray(np.random.RandomState(1).randn(8, 4, 6).astype(np.float32))
    params = net.init(KEY, x)

    def step(params, state, x):
        return net.apply(params, x), state

    def value(f):
        return jax.jit(lambda params, x: f(params, (), x)[0])(params, x)

    want = value(step)
    check = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    jax.tree.map(check, value(by_shard_map(step)), want)

    # The normalised axes may be split over devices too.
    def split(params, state, x):
        where = NamedSharding(mesh(("i", "j")), P("i", "j"))
        return step(params, state, jax.lax.with_sharding_constraint(x, where))

    jax.tree.map(check, value(split), want)


# ---- Errors --------------------------------------------------------------------------


def name_error(f):
    with pytest.raises(NameError) as error:
        f()
    return str(error.value)


def test_an_unknown_axis_name_raises():
    net = norm("batch")
    params, state = numbers(jnp.float32)
    message = name_error(lambda: net.apply(params, state, None, X[0]))
    for words in ("'batch_norm'", "over axis 'batch'", "axis_name='batch'", "`init`"):
        assert words in message
    assert "'batch'" in name_error(lambda: net.init(KEY, X[0]))
    # Of several names, the message contains only the unknown one.
    net = norm(("i", "j"))
    apply = jax.vmap(lambda x: net.apply(params, state, None, x)[0], axis_name="i")
    message = name_error(lambda: apply(X))
    assert "over axis 'j'" in message and "'i'" not in message
    quantizer = hk.transform_with_state(
        lambda x: hk.nets.VectorQuantizer(5, 3, 0.5, cross_replica_axis="r")(x, True)
    )
    message = name_error(lambda: quantizer.init(KEY, X[0]))
    assert "'vector_quantizer'" in message and "'r'" in message


def test_the_advice_of_the_error_works():
    net, x = norm("batch"), X[:, 0]
    params, state = jax.vmap(net.init, (None, 0), None, axis_name="batch")(KEY, x)
    assert params["batch_norm"]["scale"].shape == (1, 5)
    # The average also starts from the whole batch.
    mean = state["batch_norm/~/mean_ema"]["average"]
    np.testing.assert_allclose(mean[0], x.mean((0, 1)), rtol=1e-6)


def test_groups_that_omit_a_replica_raise():
    net = norm("i", cross_replica_axis_index_groups=[[0, 1], [2]])
    params, state = numbers(jnp.float32)
    apply = jax.vmap(lambda x: net.apply(params, state, None, x)[0], axis_name="i")
    with pytest.raises(ValueError, match=r"\[\[0, 1\], \[2\]\].*size 4, once"):
        apply(X)
