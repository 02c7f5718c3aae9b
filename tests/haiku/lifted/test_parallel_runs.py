"""Which values the runs of `hk.vmap` and `hk.shard_map` share, by path and kind."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

import haiku as hk

KEY = jax.random.key(0)
N, T, D = 3, 5, 4
TOKENS = jax.random.normal(KEY, [N, T, D])


class CachedMean(hk.Module):
    """One token at a time: a projection, then the mean over all tokens so far."""

    def __call__(self, x):
        x = hk.Linear(D, name="project")(x)
        seen = hk.get_state("cache", [T, D], init=jnp.zeros)
        length = hk.get_state("length", [], jnp.int32, init=jnp.zeros)
        seen = seen.at[length].set(x)
        hk.set_state("cache", seen)
        hk.set_state("length", length + 1)
        return jnp.sum(seen, 0) / (length + 1)


def decode(xs, **axes):
    return hk.vmap(CachedMean(name="cell"), split_rng=False, **axes)(xs)


@pytest.mark.parametrize("jitted", [False, True], ids=["eager", "jitted"])
@pytest.mark.parametrize(
    "state_axis", [0, {"cell/**": 0}, {"/cell/cache": 0, "cell/length": 0}], ids=str
)
def test_a_cache_per_example_with_shared_weights(jitted, state_axis):
    net = hk.transform_with_state(lambda xs: decode(xs, state_axis=state_axis))
    init, apply = (jax.jit(f) if jitted else f for f in net)
    params, state = init(KEY, TOKENS[:, 0])
    assert params["cell/project"]["w"].shape == (D, D)
    assert state["cell"]["cache"].shape == (N, T, D)
    assert state["cell"]["length"].shape == (N,)
    # The cache may also be made by the first call of `apply`.
    outs, caches = [], {}
    for t in range(T):
        out, caches = apply(params, caches, None, TOKENS[:, t])
        outs.append(out)
    projected = TOKENS @ params["cell/project"]["w"] + params["cell/project"]["b"]
    want = jnp.cumsum(projected, 1) / jnp.arange(1, T + 1)[:, None]
    np.testing.assert_allclose(jnp.stack(outs, 1), want, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(caches["cell"]["cache"], projected, rtol=1e-4)


def test_gradients_of_shared_weights_are_summed_over_examples():
    net = hk.transform_with_state(lambda xs: decode(xs, state_axis=0))
    params, state = net.init(KEY, TOKENS[:, 0])
    alone = hk.transform_with_state(lambda x: CachedMean(name="cell")(x))

    def loss(params, apply, state, x):
        return jnp.sum(apply(params, state, None, x)[0] ** 2)

    grads = jax.jit(jax.grad(loss), static_argnums=1)(
        params, net.apply, state, TOKENS[:, 0]
    )
    states = [jax.tree.map(lambda s, i=i: s[i], state) for i in range(N)]
    each = [
        jax.grad(loss)(params, alone.apply, own, token)
        for own, token in zip(states, TOKENS[:, 0])
    ]
    close = lambda a, *b: np.testing.assert_allclose(a, sum(b), 1e-5)  # noqa: E731
    jax.tree.map(close, grads, *each)


def test_parameters_by_path_are_shared_or_each_examples_own():
    def member(x):
        return hk.Linear(2, name="head")(hk.nets.MLP([D], name="trunk")(x))

    def f(xs):
        split = not hk.running_init()
        return hk.vmap(member, split_rng=split, params_axis={"head/*": 1})(xs)

    net = hk.transform(f)
    params = net.init(KEY, TOKENS[:, 0])
    shapes = jax.tree.map(jnp.shape, params)
    assert shapes["trunk/~/linear_0"]["w"] == (D, D)
    assert shapes["head"] == {"w": (D, N, 2), "b": (2, N)}
    keys = jax.random.split(KEY, 2)
    params["head"] = {
        "w": jax.random.normal(keys[0], [D, N, 2]),
        "b": jax.random.normal(keys[1], [2, N]),
    }
    trunk = params["trunk/~/linear_0"]
    hidden = TOKENS[:, 0] @ trunk["w"] + trunk["b"]
    want = jnp.einsum("nd,dnk->nk", hidden, params["head"]["w"]) + params["head"]["b"].T
    got = jax.jit(net.apply)(params, None, TOKENS[:, 0])
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_paths_count_from_the_module_around_the_call():
    class Net(hk.Module):
        def __call__(self, xs):
            return decode(xs, state_axis={"~/cell/**": 0, "cell/**": 0})

    _, state = hk.transform_with_state(lambda xs: Net()(xs)).init(KEY, TOKENS[:, 0])
    assert state["net/cell"]["cache"].shape == (N, T, D)


def test_a_pattern_that_finds_no_parameter_is_an_error():
    def f(xs):
        return hk.vmap(hk.Linear(2), split_rng=False, params_axis={"haed/*": 0})(xs)

    with pytest.raises(ValueError, match="'haed/\\*' finds no path.*nearest.*linear/w"):
        hk.transform(f).init(KEY, TOKENS[:, 0])


def test_a_value_from_outside_has_no_axis_of_examples():
    def f(xs):
        layer = hk.Linear(2)
        layer(xs)
        return hk.vmap(layer, split_rng=False, params_axis={"linear/*": 0})(xs)

    with pytest.raises(ValueError, match=r"linear/w is f32\[4,2\].*leave it out"):
        hk.transform(f).init(KEY, TOKENS[:, 0])


def test_shared_state_that_differs_between_examples_is_an_error():
    with pytest.raises(ValueError, match=r"cell/cache.*state_axis=0"):
        net = hk.transform_with_state(lambda xs: decode(xs, state_axis={}))
        net.init(KEY, TOKENS[:, 0])


MESH = Mesh(np.array(jax.devices()[:2]), ("i",))
SPLIT = {"mesh": MESH, "in_specs": P("i"), "out_specs": P("i")}


@pytest.mark.parametrize("jitted", [False, True], ids=["eager", "jitted"])
def test_devices_share_weights_and_split_state(jitted):
    def rows(xs):
        seen = hk.get_state("seen", xs.shape, init=jnp.zeros) + xs
        hk.set_state("seen", seen)
        return hk.Linear(D, name="project")(seen)

    net = hk.transform_with_state(
        lambda xs: hk.shard_map(rows, state_specs={"~/seen": P("i")}, **SPLIT)(xs)
    )
    plain = hk.transform_with_state(rows)
    xs = TOKENS[:2, 0]
    init, apply = (jax.jit(g) if jitted else g for g in net)
    params, state = init(KEY, xs)
    assert jax.tree.map(jnp.shape, state) == {"~": {"seen": (2, D)}}
    close = lambda a, b: np.testing.assert_allclose(a, b, 1e-5)  # noqa: E731
    jax.tree.map(close, (params, state), plain.init(KEY, xs))
    for _ in range(2):
        want = plain.apply(params, state, None, xs)
        out, state = apply(params, state, None, xs)
        jax.tree.map(close, (out, state), want)


def test_parameters_split_over_devices_by_path():
    def experts(xs):
        w = hk.get_parameter("w", [1, D, D], init=hk.initializers.RandomNormal())
        return jnp.einsum("ntd,nde->nte", xs, w)

    def f(xs):
        split = {"params_specs": {"experts/w": P("i")}, "split_rng": hk.running_init()}
        return hk.shard_map(hk.to_module(experts)("experts"), **split, **SPLIT)(xs)

    net = hk.transform(f)
    xs = TOKENS[:2]
    params = net.init(KEY, xs)
    w = params["experts"]["w"]
    assert w.shape == (2, D, D) and not jnp.array_equal(w[0], w[1])
    got = jax.jit(net.apply)(params, KEY, xs)
    np.testing.assert_allclose(got, jnp.einsum("ntd,nde->nte", xs, w), rtol=1e-5)
