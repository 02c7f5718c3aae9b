"""Parameters along an axis, and ensembles (#300, #458, #533, #557)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import haiku as hk

KEY = jax.random.key(0)
X = jnp.arange(6.0).reshape(2, 3) / 6
N = 4


def member(x, is_training=True):
    """Uses parameters, state and keys."""
    x = hk.nets.MLP([5, 3], name="mlp")(x)
    x = hk.BatchNorm(True, True, 0.9)(x, is_training)
    return hk.dropout(hk.next_rng_key(), 0.5, x) if is_training else x


@pytest.fixture(scope="module", params=["typed", "legacy"])
def members(request):
    """An ensemble, and the same as N transformed functions."""
    key = KEY if request.param == "typed" else jax.random.PRNGKey(0)
    net = hk.transform_with_state(
        lambda x, **kwargs: hk.ensemble(member, N)(x, **kwargs)
    )
    keys = hk.transform(lambda: hk.next_rng_keys(N)).apply({}, key)
    return key, net, keys, hk.transform_with_state(member)


def assert_stacked(whole, parts, tolerance=1e-6):
    stacked = jax.tree.map(lambda *xs: jnp.stack(xs), *parts)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, tolerance, tolerance),
        whole,
        stacked,
    )


@pytest.mark.parametrize("jitted", [False, True], ids=["eager", "jitted"])
def test_an_ensemble_is_many_inits_and_applies(members, jitted):
    key, net, keys, alone = members
    init, apply = (jax.jit(f) if jitted else f for f in net)
    params, state = init(key, X)
    inits = [alone.init(k, X) for k in keys]
    assert_stacked(params, [p for p, _ in inits])
    assert_stacked(state, [s for _, s in inits])
    out, after = apply(params, state, key, X)
    outs = [alone.apply(p, s, k, X) for (p, s), k in zip(inits, keys)]
    assert_stacked(out, [o for o, _ in outs], 1e-5)
    assert_stacked(after, [s for _, s in outs], 1e-5)
    plain, _ = net.apply(params, after, None, X, is_training=False)
    assert plain.shape == (N, 2, 3)


def test_gradients_are_those_of_the_members(members):
    key, net, keys, alone = members
    params, state = net.init(key, X)
    loss = lambda net, p, s, k: jnp.sum(net.apply(p, s, k, X)[0] ** 2)  # noqa: E731
    have = jax.grad(lambda p: loss(net, p, state, key))(params)
    inits = [alone.init(k, X) for k in keys]
    grads = [
        jax.grad(lambda p, s=s, k=k: loss(alone, p, s, k))(p)
        for (p, s), k in zip(inits, keys)
    ]
    assert_stacked(have, grads, 1e-4)


def test_members_share_modules_used_before():
    def f(x):
        trunk = hk.Linear(4, name="trunk")
        scale = hk.get_parameter("scale", (), init=jnp.ones)
        trunk(x)

        def head(x):
            return scale * hk.Linear(2, name="head")(jnp.tanh(trunk(x)))

        return hk.ensemble(head, N)(x)

    net = hk.transform(f)
    params = net.init(KEY, X)
    assert params["trunk"]["w"].shape == (3, 4)
    assert params["head"]["w"].shape == (N, 4, 2)
    hidden = jnp.tanh(X @ params["trunk"]["w"])
    want = jnp.einsum("bi,nio->nbo", hidden, params["head"]["w"])
    np.testing.assert_allclose(net.apply(params, None, X), want, 1e-5)


def test_members_share_modules_that_a_plain_vmap_used_before():
    def f(x):
        square = hk.Linear(N, name="square")  # weights [N, N]: they would fit N members
        hidden = hk.vmap(square, split_rng=False)(x)
        return hk.ensemble(lambda x: hk.Linear(N, name="own")(square(x)), N)(hidden)

    net = hk.transform(f)
    x = jnp.ones((2, N))
    params = net.init(KEY, x)
    assert params["square"]["w"].shape == (N, N)
    assert params["own"]["w"].shape == (N, N, N)
    w = params["square"]["w"]
    want = jnp.einsum("bi,nio->nbo", x @ w @ w, params["own"]["w"])
    np.testing.assert_allclose(net.apply(params, None, x), want, 1e-4, 1e-5)


def test_members_may_be_used_twice_and_modules_built_outside():
    def f(x):
        net = hk.Linear(3)
        both = hk.ensemble(net, N)
        return both(x), hk.ensemble(net, N, in_axes=0)(both(x))

    net = hk.transform(f)
    params = net.init(KEY, X)
    assert params["linear"]["w"].shape == (N, 3, 3)
    once, twice = net.apply(params, None, X)
    want = jnp.einsum("nbi,nio->nbo", once, params["linear"]["w"])
    np.testing.assert_allclose(twice, want, 1e-5)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_parameters_lie_along_an_axis(axis):
    def per_example(xs):
        layer = hk.Linear(2, w_init=hk.initializers.RandomNormal(), with_bias=False)
        return hk.vmap(layer, split_rng=True, params_axis=axis)(xs)

    net = hk.transform(per_example)
    xs = jnp.ones((N, 3))
    params = net.init(KEY, xs)
    w = jnp.moveaxis(params["linear"]["w"], axis, 0)
    assert w.shape == (N, 3, 2)
    assert len({x.tobytes() for x in np.asarray(w)}) == N
    out = net.apply(params, None, xs)
    np.testing.assert_allclose(out, jnp.einsum("ni,nio->no", xs, w), 1e-5)


def test_ensembles_nest_and_run_inside_other_transformations():
    inner = lambda x: hk.ensemble(hk.Linear(3), 2)(x).mean(0)  # noqa: E731

    def f(x):
        many = hk.ensemble(inner, N)
        return hk.remat(many)(x), hk.layer_stack(3)(lambda x: many(x).mean(0))(x)

    net = hk.transform(f)
    params = net.init(KEY, X)
    shapes = jax.tree.map(jnp.shape, params)
    assert shapes["linear"]["w"] == (N, 2, 3, 3)
    assert shapes["__layer_stack_no_per_layer/linear"]["w"] == (3, N, 2, 3, 3)
    assert net.apply(params, None, X)[0].shape == (N, 2, 3)


def test_a_stack_runs_inside_an_ensemble():
    def closed(x):
        return hk.layer_stack(3)(lambda x: hk.Linear(3)(x))(x)

    net = hk.transform(lambda x: hk.ensemble(closed, N)(x))
    params = net.init(KEY, X)
    (weights,) = params.values()
    assert weights["w"].shape == (N, 3, 3, 3)
    want = X
    for i in range(3):
        want = want @ weights["w"][1, i] + weights["b"][1, i]
    np.testing.assert_allclose(net.apply(params, None, X)[1], want, 1e-5)


def test_bad_sizes_are_errors():
    with pytest.raises(ValueError, match="at least one member, got size=0"):
        hk.transform(lambda x: hk.ensemble(hk.Linear(1), 0)(x)).init(KEY, X)
    params = hk.transform(lambda x: hk.ensemble(hk.Linear(1), 2)(x)).init(KEY, X)
    with pytest.raises(ValueError, match=r"linear/w has shape \[2, 3, 1\]"):
        hk.transform(lambda x: hk.ensemble(hk.Linear(1), 3)(x)).apply(params, None, X)


def test_members_run_on_several_devices():
    """N members per device: members are cut along their axis, nothing is exchanged."""
    devices = jax.devices()[:2]
    mesh = Mesh(np.array(devices), ("members",))
    net = hk.without_apply_rng(
        hk.transform(lambda x: hk.ensemble(hk.nets.MLP([4, 1]), 2 * len(devices))(x))
    )
    own = NamedSharding(mesh, P("members"))
    params = jax.jit(net.init, out_shardings=own)(KEY, X)
    apply = jax.jit(net.apply)
    out = apply(params, X)
    assert len(params["mlp/~/linear_0"]["w"].sharding.device_set) == len(devices)
    assert params["mlp/~/linear_0"]["w"].addressable_shards[0].data.shape == (2, 3, 4)
    program = apply.lower(params, X).compile().as_text()
    assert not any(x in program for x in ("all-reduce", "all-gather", "all-to-all"))
    np.testing.assert_allclose(out, net.apply(jax.device_get(params), X), 1e-5)


def test_threads_programs_run():
    """Bootstrapped heads (#300), a policy for each agent with its own observations
    (#458), one optimiser over stacked parameters (#533), a hypernet's batch (#557)."""
    optax = pytest.importorskip("optax")
    heads = hk.transform(lambda x: hk.ensemble(hk.nets.MLP([8, 1]), 3)(x))
    agents = hk.transform(lambda xs: hk.ensemble(hk.nets.MLP([8, 2]), 3, in_axes=0)(xs))
    params = heads.init(KEY, X)
    optimiser = optax.adam(1e-2)
    loss = lambda p: jnp.mean((heads.apply(p, None, X) - 1.0) ** 2)  # noqa: E731

    @jax.jit
    def step(params, state):
        updates, state = optimiser.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, updates), state

    state, before = optimiser.init(params), loss(params)
    for _ in range(20):
        params, state = step(params, state)
    assert loss(params) < before / 2
    xs = jnp.stack([X, 2 * X, 3 * X])
    params = agents.init(KEY, xs)
    out = agents.apply(params, None, xs)
    assert out.shape == (3, 2, 2) and not np.allclose(out[0], out[1])
