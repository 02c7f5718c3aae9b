"""All of Haiku's transformations, and a program for each that uses all of a run."""

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

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
    """An associative function of two."""
    return lambda a, b: f(a) + b


def two(x):
    return jnp.stack([x, x])


# Each takes a function of a vector, and returns one whose outputs can be summed.
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
    "hk.cond": lambda f: lambda x: hk.cond(x.sum() > 0, f, f, x),
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
    noise = jax.random.normal(hk.next_rng_key(), x.shape, x.dtype)
    return jnp.tanh(linear(x)) + noise


def program(name, with_state=True):
    def f(x):
        out = TRANSFORMATIONS[name](lambda x: body(x, with_state))(x)
        # For the code after it: the next key, the next name, the state.
        return out, (hk.next_rng_key(), hk.Linear(1).module_name)

    return f
