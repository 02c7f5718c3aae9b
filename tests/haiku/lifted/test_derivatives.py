"""jit and the derivatives by arguments: JAX's numbers, and side effects once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from leak_checks import checking_leaks

import haiku as hk

X = jnp.asarray([[0.3, -0.7, 1.1]])
V = jnp.asarray([[1.0, 2.0, -0.5]])


class Block(hk.Module):
    """A parameter, nested modules, state and a key."""

    def __call__(self, x):
        count = hk.get_state("count", [], init=jnp.zeros)
        hk.set_state("count", count + 1)
        noise = 0.1 * jax.random.normal(hk.next_rng_key(), x.shape)
        scale = hk.get_parameter("scale", [], init=hk.initializers.Constant(1.5))
        return scale * jnp.tanh(hk.nets.MLP([4, 3])(x) + noise)


def matrix(derivative):
    return lambda f, x: derivative(f)(x)


def twice(derivative):
    return lambda f, x: derivative(lambda x: jnp.sum(f(x) ** 2))(x)


def back(vjp):
    def run(f, x):
        out, pull = vjp(f, x)
        return out, pull(V)

    return run


def along(linearize):
    def run(f, x):
        out, push = linearize(f, x)
        return out, push(V)

    return run


CASES = {
    "jit": (matrix(hk.jit), matrix(jax.jit)),
    "jvp": (
        lambda f, x: hk.jvp(f, (x,), (V,)),
        lambda f, x: jax.jvp(f, (x,), (V,)),
    ),
    "vjp": (back(hk.vjp), back(jax.vjp)),
    "linearize": (along(hk.linearize), along(jax.linearize)),
    "jacfwd": (matrix(hk.jacfwd), matrix(jax.jacfwd)),
    "jacrev": (matrix(hk.jacrev), matrix(jax.jacrev)),
    "hessian": (twice(hk.hessian), twice(jax.hessian)),
    "value_and_grad": (twice(hk.value_and_grad), twice(jax.value_and_grad)),
}


def net(lifted):
    return hk.transform_with_state(lambda x: (lifted(Block(), x), hk.next_rng_key()))


@pytest.mark.parametrize("name", CASES)
def test_numbers_and_side_effects(name):
    """At init and apply the values, and what is left behind, are those of one call."""
    lifted, plain = CASES[name]
    inside, alone = net(lifted), net(lambda f, x: f(x))
    key = jax.random.key(0)
    made, left = jax.jit(inside.init)(key, X), jax.jit(alone.init)(key, X)
    jax.tree.map(np.testing.assert_array_equal, made, left)

    (got, next_key), state = jax.jit(inside.apply)(*made, key, X)
    (_, wanted_key), wanted_state = alone.apply(*made, key, X)
    assert next_key == wanted_key
    jax.tree.map(np.testing.assert_array_equal, state, wanted_state)
    assert state["block"]["count"] == 1

    want = plain(lambda x: alone.apply(*made, key, x)[0][0], X)
    assert jax.tree.structure(got) == jax.tree.structure(want)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6), got, want
    )


@pytest.mark.tables
@pytest.mark.parametrize("name", ["jit", "jvp", "hessian"])
def test_names_go_on_and_leaks_are_none(name):
    lifted, _ = CASES[name]

    def f(x):
        lifted(Block(), x)
        return hk.Linear(2)(x)

    with checking_leaks():
        params, _ = hk.transform_with_state(f).init(jax.random.key(0), X)
    assert list(params) == [
        "block",
        "block/mlp/~/linear_0",
        "block/mlp/~/linear_1",
        "linear",
    ]


@pytest.mark.parametrize(
    "call",
    [
        lambda f, x: hk.jvp(f, (x,), (V,), has_aux=True)[-1],
        lambda f, x: hk.vjp(f, x, has_aux=True)[-1],
        lambda f, x: hk.linearize(f, x, has_aux=True)[-1],
        lambda f, x: hk.jacfwd(f, has_aux=True)(x)[-1],
        lambda f, x: hk.jacrev(f, has_aux=True)(x)[-1],
        lambda f, x: hk.hessian(f, has_aux=True)(x)[-1],
    ],
)
def test_aux(call):
    def f(x):
        return call(lambda x: (jnp.sum(x**3), {"twice": 2 * x}), x)

    aux = hk.transform(f).apply({}, None, X)
    np.testing.assert_array_equal(aux["twice"], 2 * X)


def test_jit_names_static_arguments_and_modules():
    def f(x):
        layer = hk.jit(
            lambda x, n, *, half: hk.Linear(n)(x) / (2 if half else 1),
            static_argnums=1,
            static_argnames="half",
        )
        x = layer(x, 4, half=True)
        return hk.Linear(4)(x)

    apart = hk.transform(f)
    params = apart.init(jax.random.key(0), X)
    assert list(params) == ["linear", "linear_1"]  # built inside, as without jit

    def block(x):
        return hk.Linear(2)(x)

    named = hk.transform(lambda x: hk.jit(block)(x))
    params = named.init(jax.random.key(0), X)
    hidden = hk.transform(lambda x: hk.jit(block, inline=True)(x))
    for net, is_called in ((named, True), (hidden, False)):
        program = jax.jit(net.apply).lower(params, None, X).as_text()
        assert ("call @block" in program) == is_called


def test_jit_compiles_nothing_in():
    """Parameters are inputs of the call, not constants of the program."""

    def f(x):
        return hk.jit(hk.Linear(2))(x)

    params = hk.transform(f).init(jax.random.key(0), X)
    out = hk.transform(f).apply(params, None, X)
    changed = hk.transform(f).apply(jax.tree.map(lambda x: 2 * x, params), None, X)
    np.testing.assert_allclose(changed, 2 * out, rtol=1e-6)


@pytest.mark.parametrize("name", ["jit", "jacfwd", "jacrev", "hessian"])
def test_outside_of_transform(name):
    with pytest.raises(ValueError, match=f"`hk.{name}` must be used as part of an"):
        getattr(hk, name)(jnp.sin)


def test_the_function_of_vjp_outlives_its_frame():
    net = hk.transform(lambda x: hk.vjp(hk.Linear(2, with_bias=False), x))
    params = net.init(jax.random.key(0), X)
    _, pull = net.apply(params, None, X)
    np.testing.assert_allclose(
        pull(jnp.ones([1, 2]))[0][0], params["linear"]["w"].sum(1)
    )
