"""Every transformation by one function that uses parameters, state, keys and modules.

The expected rows stand in `tests/haiku/tables`, which the guide includes.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from tables import check_row, rows

import haiku as hk

KEY = jax.random.key(3)
X = jnp.arange(1.0, 5.0)
STEPS = 3


def mesh():
    return jax.make_mesh((2,), ("i",), axis_types=(jax.sharding.AxisType.Auto,))


def custom_vjp(f):
    g = hk.custom_vjp(f)
    g.defvjp(lambda x: (f(x), None), lambda _, ct: (ct,))
    return g


def custom_jvp(f):
    g = hk.custom_jvp(f)
    g.defjvp(lambda primals, tangents: (f(*primals), tangents[0]))
    return g


def carried(f):
    return lambda carry, _: (f(carry), None)


def added(f):
    """A function of two that is as associative as any sum."""
    return lambda a, b: f(a) + b


def two(x):
    return jnp.stack([x, x])


# Each takes a function of a vector, and returns one of which something can be summed.
TRANSFORMATIONS = {
    "hk.jit": hk.jit,
    "hk.remat": hk.remat,
    "hk.grad": lambda f: hk.grad(lambda x: f(x).sum()),
    "hk.value_and_grad": lambda f: hk.value_and_grad(lambda x: f(x).sum()),
    "hk.jvp": lambda f: lambda x: hk.jvp(f, (x,), (x,)),
    "hk.vjp": lambda f: lambda x: hk.vjp(f, x)[0],
    "hk.linearize": lambda f: lambda x: hk.linearize(f, x)[0],
    "hk.jacfwd": hk.jacfwd,
    "hk.jacrev": hk.jacrev,
    "hk.hessian": lambda f: hk.hessian(lambda x: f(x).sum()),
    "hk.custom_vjp": custom_vjp,
    "hk.custom_jvp": custom_jvp,
    "hk.cond": lambda f: lambda x: hk.cond(x[0] > 0, f, f, x),
    "hk.switch": lambda f: lambda x: hk.switch(jnp.int32(0), [f, lambda x: x], x),
    "hk.scan": lambda f: lambda x: hk.scan(carried(f), x, None, STEPS)[0],
    "hk.map": lambda f: lambda x: hk.map(f, two(x)),
    "hk.fori_loop": lambda f: lambda x: hk.fori_loop(0, STEPS, lambda _, c: f(c), x),
    "hk.while_loop": lambda f: (
        lambda x: hk.while_loop(
            lambda c: c[0] < STEPS, lambda c: (c[0] + 1, f(c[1])), (0, x)
        )[1]
    ),
    "hk.associative_scan": lambda f: lambda x: hk.associative_scan(added(f), two(x)),
    "hk.vmap(split_rng=False)": lambda f: lambda x: hk.vmap(f, split_rng=False)(two(x)),
    "hk.vmap(split_rng=True)": lambda f: (
        lambda x: hk.vmap(f, split_rng=not hk.running_init())(two(x))
    ),
    "hk.vmap(params_axis=0)": lambda f: (
        lambda x: hk.vmap(f, split_rng=True, params_axis=0)(two(x))
    ),
    "hk.ensemble": lambda f: hk.ensemble(f, 2),
    "hk.shard_map": lambda f: (
        lambda x: hk.shard_map(f, mesh=mesh(), in_specs=P("i"), out_specs=P("i"))(
            two(x)
        )
    ),
    # Beside a call: alone it makes nothing at `init`.
    "hk.eval_shape": lambda f: lambda x: (hk.eval_shape(f, x), f(x))[1],
    "hk.layer_stack": lambda f: hk.layer_stack(2)(f),
    "hk.lift": lambda f: (
        lambda x: hk.lift(hk.transform(f).init)(
            hk.next_rng_key() if hk.running_init() else None, x
        )["linear"]["w"]
    ),
}
WITHOUT_STATE = ("hk.lift",)


def body(x, with_state):
    if with_state:
        n = hk.get_state("n", (), jnp.int32, init=jnp.zeros)
        hk.set_state("n", n + 1)
    linear = hk.Linear(4, w_init=hk.initializers.RandomNormal())
    noise = jax.random.normal(hk.next_rng_key(), (4,))
    return jnp.tanh(linear(x)) + noise


def program(name, with_state=True):
    def f(x):
        out = TRANSFORMATIONS[name](lambda x: body(x, with_state))(x)
        # What is left for others: the next key, the next name, the state.
        return out, (hk.next_rng_key(), hk.Linear(1).module_name)

    return f


def total(tree):
    return sum(jnp.sum(x**2) for x in jax.tree.leaves(tree))


def number_of(key):
    """Which key of the sequence it is: how many were drawn before."""
    keys = hk.PRNGSequence(KEY)
    data = jax.random.key_data(key)
    for i in range(20):
        if np.array_equal(jax.random.key_data(next(keys)), data):
            return str(i)
    return "its own"


def shapes(values):
    return ", ".join(
        f"{path}/{name} {list(jnp.shape(value))}"
        for path, named in values.items()
        for name, value in named.items()
        if name in ("w", "n")
    )


def gradient(name, net, params, state):
    loss = lambda params: total(net.apply(params, state, KEY, X)[0][0])  # noqa: E731
    try:
        grads = jax.grad(loss)(params)
    except ValueError as error:  # JAX's own, about its while_loop.
        assert "while_loop" in str(error)
        tangents = jax.tree.map(jnp.ones_like, params)
        assert jax.jvp(loss, (params,), (tangents,))[1] != 0
        return "forward mode"
    return "yes" if total(grads) > 0 else "none"


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_row(name):
    net = hk.transform_with_state(program(name, name not in WITHOUT_STATE))
    params, state = net.init(KEY, X)
    # `init` is the same under jit, and gives state as it was first; the layers of a
    # stack have run, as in the reference.
    jitted = jax.jit(lambda key: net.init(key, X))(KEY)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, 1e-6), (params, state), jitted
    )
    first = 1 if name == "hk.layer_stack" else 0
    assert all(np.all(n == first) for n in jax.tree.leaves(state))
    state = jax.tree.map(jnp.zeros_like, state)
    (out, (key, next_name)), after = net.apply(params, state, KEY, X)
    again = jax.jit(lambda *args: net.apply(*args)[0][0])(params, state, KEY, X)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-4, 1e-5), out, again)
    counts = sorted({str(np.asarray(n).tolist()) for n in jax.tree.leaves(after)})
    cells = [
        shapes(params) or "none",
        shapes(state) or "none",
        ", ".join(counts) or "none",
        number_of(key),
        next_name,
        gradient(name, net, params, state),
    ]
    check_row("hk_transformations", name, cells)


def test_every_transformation_has_a_row():
    import haiku._lifted as lifted

    # These are tested where they stand; some are kinds of those in the table.
    others = {
        "LayerStackTransparencyMapping",
        "LiftWithStateUpdater",
        "fast_eval_shape",
        "lift_with_state",
        "optimize_rng_use",
        "transparent_lift",
        "transparent_lift_with_state",
    }
    public = {
        name
        for name, value in vars(lifted).items()
        if value in (getattr(hk, name, None), getattr(hk.experimental, name, None))
        and not name.startswith("_")
    }
    have = {name.partition("(")[0].removeprefix("hk.") for name in TRANSFORMATIONS}
    assert have | others == public
    assert set(rows("hk_transformations")) == set(TRANSFORMATIONS)
