"""Weight gradients computed after the loop equal those of a step-by-step unroll."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from leak_checks import checking_leaks

import haiku as hk

T, B, D = 5, 3, 4
CORES = {
    "LSTM": lambda: hk.LSTM(D),
    "GRU": lambda: hk.GRU(D),
    "VanillaRNN": lambda: hk.VanillaRNN(D),
    "without bias": lambda: hk.VanillaRNN(D, double_bias=False),
    "ResetCore": lambda: hk.ResetCore(hk.LSTM(D)),
    "DeepRNN": lambda: hk.DeepRNN([hk.Linear(D), jnp.tanh, hk.GRU(D), hk.LSTM(D)]),
    "skips": lambda: hk.deep_rnn_with_skip_connections([hk.LSTM(D), hk.GRU(D)]),
}


def sequence(seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=[T, B, D]), "float32")


def unrolled(make, run, **options):
    def f(xs):
        core = make()
        inputs = xs
        if isinstance(core, hk.ResetCore):
            inputs = xs, jnp.arange(T * B).reshape(T, B) % 4 == 0
        return run(core, inputs, core.initial_state(B), **options)

    return hk.without_apply_rng(hk.transform(f))


def losses(make, **options):
    """The loss of a compiled loop, of a step-by-step unroll, and their parameters."""
    loop = unrolled(make, hk.dynamic_unroll, **options)
    steps = unrolled(make, hk.static_unroll)
    params = jax.jit(loop.init)(jax.random.key(0), sequence())

    def loss(net):
        return lambda params, xs: jnp.sum(
            jnp.square(jax.tree.leaves(net.apply(params, xs))[0])
        )

    return loss(loop), loss(steps), params


def assert_close(a, b, tolerance=2e-5):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)):
        scale = max(1.0, float(jnp.max(jnp.abs(y))))
        np.testing.assert_allclose(x, y, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("core", CORES)
def test_both_unrolls_have_the_same_gradient(core):
    loop, steps, params = losses(CORES[core])
    xs = sequence(1)
    want = jax.jit(jax.value_and_grad(steps, argnums=(0, 1)))(params, xs)
    assert_close(jax.jit(jax.value_and_grad(loop, argnums=(0, 1)))(params, xs), want)
    # Here the derivative is taken after the transformed function has ended.
    assert_close(jax.value_and_grad(jax.jit(loop), argnums=(0, 1))(params, xs), want)


@pytest.mark.parametrize("core", ["LSTM", "GRU"])
def test_both_unrolls_have_the_same_higher_derivatives(core):
    loop, steps, params = losses(CORES[core])
    xs = sequence(1)
    direction = jax.tree.map(jnp.cos, (params, xs))

    def forward(loss):
        return jax.jit(lambda *x: jax.jvp(loss, x, direction))(params, xs)

    assert_close(forward(loop), forward(steps))

    def curvature(loss):  # reverse over reverse, and forward over reverse
        slope = jax.grad(
            lambda p: jax.jvp(lambda q: loss(q, xs), (p,), direction[:1])[1]
        )
        twice = jax.grad(lambda p: tree_dot(jax.grad(loss)(p, xs), direction[0]))
        return jax.jit(lambda p: (slope(p), twice(p)))(params)

    assert_close(curvature(loop), curvature(steps), 1e-4)


def tree_dot(a, b):
    return sum(jnp.vdot(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)))


def test_the_gradient_leaks_no_tracer():
    loop, _, params = losses(CORES["GRU"])
    with checking_leaks():
        jax.jit(jax.grad(loop))(params, sequence())


def test_vmap_maps_loop_and_gradient():
    loop, steps, params = losses(CORES["LSTM"])
    batches = jnp.stack([sequence(i) for i in range(3)])
    want = jax.jit(jax.vmap(jax.grad(steps), (None, 0)))(params, batches)
    assert_close(jax.jit(jax.vmap(jax.grad(loop), (None, 0)))(params, batches), want)
    assert_close(
        jax.jit(jax.vmap(loop, (None, 0)))(params, batches),
        jax.vmap(steps, (None, 0))(params, batches),
    )


def test_a_core_may_close_over_traced_integers():
    def make(run):
        def f(xs, shift):
            lstm = hk.LSTM(D)
            return run(
                lambda x, state: lstm(jnp.roll(x, shift, axis=-1), state),
                xs,
                lstm.initial_state(B),
            )[0].sum()

        return hk.without_apply_rng(hk.transform(f))

    loop, steps = make(hk.dynamic_unroll), make(hk.static_unroll)
    params = loop.init(jax.random.key(0), sequence(), 1)

    def grads(net):
        mapped = jax.vmap(jax.grad(net.apply), (None, None, 0))
        return jax.jit(mapped)(params, sequence(), jnp.arange(3))

    assert_close(grads(loop), grads(steps))


def test_shard_map_may_contain_the_loop():
    mesh = jax.make_mesh((1,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    split, whole = jax.sharding.PartitionSpec(None, "d"), jax.sharding.PartitionSpec()

    def f(xs):
        gru = hk.GRU(D)
        start = gru.initial_state(B) + 0 * xs[0]  # gets the type of the inputs
        return jnp.sum(hk.dynamic_unroll(gru, xs, start)[0] ** 2)

    net = hk.without_apply_rng(hk.transform(f))
    params = net.init(jax.random.key(0), sequence())
    mapped = jax.shard_map(
        jax.grad(net.apply), mesh=mesh, in_specs=(whole, split), out_specs=whole
    )
    want = jax.jit(jax.grad(net.apply))(params, sequence())
    assert_close(jax.jit(mapped)(params, sequence()), want)


@pytest.mark.parametrize("unroll", [2, 5])
def test_reverse_and_all_states_have_the_same_gradient(unroll):
    net = unrolled(
        CORES["GRU"],
        hk.dynamic_unroll,
        reverse=True,
        return_all_states=True,
        unroll=unroll,
    )
    back = unrolled(CORES["GRU"], hk.static_unroll)
    xs = sequence(2)
    params = net.init(jax.random.key(0), xs)

    def weigh(out):
        return jnp.sum(out * jnp.arange(1.0, T + 1)[:, None, None])

    got = jax.jit(jax.grad(lambda p: weigh(net.apply(p, xs)[1])))(params)
    want = jax.grad(lambda p: weigh(back.apply(p, xs[::-1])[0][::-1]))(params)
    assert_close(got, want)


def test_the_weight_gradient_is_one_product_over_all_steps():
    loop, _, params = losses(CORES["LSTM"])
    text = jax.jit(jax.grad(loop)).lower(params, sequence()).as_text()
    whole = [x for x in text.splitlines() if "dot_general" in x and f"<{T * B}x" in x]
    assert len(whole) == 1, text


def test_state_and_keys_pass_from_step_to_step():
    def f(xs):
        def core(x, state):
            count = hk.get_state("count", [], init=jnp.zeros)
            hk.set_state("count", count + 1)
            x = hk.dropout(hk.next_rng_key(), 0.5, hk.Linear(D)(x) + state)
            return x, x

        return hk.dynamic_unroll(core, xs, jnp.zeros([B, D]))[0]

    net = hk.transform_with_state(f)
    xs = sequence()
    params, state = net.init(jax.random.key(0), xs)

    def loss(params):
        out, new = net.apply(params, state, jax.random.key(1), xs)
        return jnp.sum(out**2), (out, new)

    grads, (out, new) = jax.jit(jax.grad(loss, has_aux=True))(params)
    assert new["~"]["count"] == T
    zeros = np.asarray(out == 0)
    assert 0.2 < zeros.mean() < 0.8 and not (zeros == zeros[:1]).all()
    nudged = jax.tree.map(lambda x, g: x + 1e-6 * g, params, grads)
    expected = 1e-6 * float(tree_dot(grads, grads))
    got = float(loss(nudged)[0] - loss(params)[0])
    assert got == pytest.approx(expected, rel=0.05)


def test_computed_weights_keep_their_gradient_in_the_loop():
    """A getter computes the weights in each step, so the gradient passes through it."""

    def double(next_getter, value, context):
        return 2 * next_getter(value)

    def make():
        lstm = hk.LSTM(D)

        def core(x, state):
            with hk.custom_getter(double):
                return lstm(x, state)

        core.initial_state = lstm.initial_state
        return core

    loop, steps, params = losses(make)
    want = jax.jit(jax.grad(steps))(params, sequence())
    assert_close(jax.jit(jax.grad(loop))(params, sequence()), want)


def test_another_transformation_handles_the_products_inside_it():
    def make():
        lstm, mapped, again = hk.LSTM(D), hk.Linear(D), hk.Linear(D)

        def core(x, state):
            x = hk.vmap(mapped, split_rng=False)(x)
            return lstm(hk.remat(again)(x), state)

        core.initial_state = lstm.initial_state
        return core

    loop, steps, params = losses(make)
    want = jax.jit(jax.grad(steps))(params, sequence())
    assert_close(jax.jit(jax.grad(loop))(params, sequence()), want)


def test_gradients_in_bfloat16_agree():
    loop, steps, params = losses(CORES["GRU"])
    params, xs = jax.tree.map(lambda x: x.astype("bfloat16"), (params, sequence()))
    got, want = (jax.jit(jax.grad(f))(params, xs) for f in (loop, steps))
    assert {x.dtype.name for x in jax.tree.leaves(got)} == {"bfloat16"}
    assert_close(*jax.tree.map(lambda x: x.astype("float32"), (got, want)), 0.05)
