"""custom_vjp and custom_jvp: rules for arguments, the function's own for parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

KEY = jax.random.key(0)
X = jnp.arange(1.0, 7.0).reshape(2, 3) / 6


def close(a, b, tolerance=1e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, tolerance, 1e-6), a, b)


def net_with(rule):
    def f(x):
        body = hk.nets.MLP([4, 1])
        return jnp.sum(rule(lambda x: body(x) * x)(x) ** 2)

    return hk.without_apply_rng(hk.transform(f))


def scaled_vjp(scale):
    def rule(f):
        g = hk.custom_vjp(f)

        def fwd(x):
            out, back = hk.vjp(f, x)
            return out, back

        g.defvjp(fwd, lambda back, ct: (scale * back(ct)[0],))
        return g

    return rule


def scaled_jvp(scale):
    def rule(f):
        g = hk.custom_jvp(f)

        def derivative(primals, tangents):
            out, tangent = hk.jvp(f, primals, tangents)
            return out, scale * tangent

        g.defjvp(derivative)
        return g

    return rule


AROUND = {
    "grad": lambda f: jax.grad(f, (0, 1)),
    "grad of jit": lambda f: jax.grad(jax.jit(f), (0, 1)),
    "jit of grad": lambda f: jax.jit(jax.grad(f, (0, 1))),
    "vmap of grad": lambda f: (
        lambda p, x: jax.vmap(jax.grad(lambda p, x: f(p, x[None]), (0, 1)), (None, 0))(
            p, x
        )
    ),
    "remat": lambda f: jax.grad(jax.checkpoint(f), (0, 1)),
}


@pytest.mark.parametrize("scaled", [scaled_vjp, scaled_jvp])
@pytest.mark.parametrize("around", AROUND)
def test_the_rule_is_for_arguments_and_parameters_keep_their_gradient(scaled, around):
    plain, tripled = net_with(lambda f: f), net_with(scaled(3.0))
    params = plain.init(KEY, X)
    close(tripled.init(KEY, X), params)
    close(tripled.apply(params, X), plain.apply(params, X))
    want_p, want_x = AROUND[around](plain.apply)(params, X)
    have_p, have_x = AROUND[around](tripled.apply)(params, X)
    close(have_p, want_p)
    close(have_x, jax.tree.map(lambda x: 3.0 * x, want_x))


def test_forward_mode_and_second_derivatives_of_custom_jvp():
    plain, same = net_with(lambda f: f), net_with(scaled_jvp(1.0))
    params = plain.init(KEY, X)
    tangents = jax.tree.map(jnp.ones_like, (params, X))
    close(
        jax.jvp(same.apply, (params, X), tangents),
        jax.jvp(plain.apply, (params, X), tangents),
    )
    close(
        jax.hessian(same.apply, 1)(params, X),
        jax.hessian(plain.apply, 1)(params, X),
        1e-4,
    )


def test_rules_may_use_modules_when_the_call_has_ended():
    """A synthetic gradient: another module says what comes back."""

    def f(x):
        layer, guess = hk.Linear(3), hk.Linear(3, name="guess")
        guess(x)  # makes its parameters
        g = hk.custom_vjp(lambda x: layer(x))
        g.defvjp(lambda x: (layer(x), x), lambda x, ct: (guess(x),))
        return g(x).sum()

    net = hk.without_apply_rng(hk.transform(f))
    params = net.init(KEY, X)
    want = X @ params["guess"]["w"] + params["guess"]["b"]
    for apply in (net.apply, jax.jit(net.apply)):
        close(jax.grad(apply, 1)(params, X), want)


@pytest.mark.parametrize("kind", ["vjp", "jvp"])
def test_state_and_keys(kind):
    def noisy(x):
        n = hk.get_state("n", (), jnp.int32, init=jnp.zeros)
        hk.set_state("n", n + 1)
        return x * jax.random.normal(hk.next_rng_key(), x.shape)

    rule = (scaled_vjp if kind == "vjp" else scaled_jvp)(1.0)
    with_rule = hk.transform_with_state(lambda x: rule(noisy)(x).sum())
    plain = hk.transform_with_state(lambda x: noisy(x).sum())
    params, state = with_rule.init(KEY, X)
    assert state == {"~": {"n": 0}}

    def run(net):
        f = lambda x: net.apply(params, state, KEY, x)  # noqa: E731
        return jax.value_and_grad(f, has_aux=True)(X)

    close(run(with_rule), run(plain))


def test_arguments_that_are_not_differentiated_and_keywords():
    def f(x, power):
        g = hk.custom_vjp(lambda power, x: x**power, nondiff_argnums=(0,))
        g.defvjp(
            lambda power, x: (x**power, x), lambda power, x, ct: (ct * x * 10 * power,)
        )
        h = hk.custom_jvp(lambda x, scale: x * scale)
        h.defjvps(lambda t, out, x, scale: 7 * t, None)
        return g(power, x).sum() + h(x, scale=2.0).sum()

    net = hk.without_apply_rng(hk.transform(f))
    got = jax.grad(lambda x: net.apply({}, x, 2))(X)
    close(got, 20 * X + 7)


def test_what_goes_wrong_is_said():
    def run(build):
        return hk.transform(lambda x: build()(x).sum()).apply({}, None, X)

    with pytest.raises(ValueError, match=r"custom_vjp of .* has no rule: .*defvjp"):
        run(lambda: hk.custom_vjp(lambda x: x))
    with pytest.raises(ValueError, match="must be used as part of an `hk.transform`"):
        hk.custom_jvp(lambda x: x)(X)
    with pytest.raises(TypeError, match="takes a function"):
        hk.custom_vjp(3)

    def grad(fwd, bwd):
        def f(x):
            g = hk.custom_vjp(lambda x: x)
            g.defvjp(fwd, bwd)
            return g(x).sum()

        jax.grad(lambda x: hk.transform(f).apply({}, None, x))(X)

    with pytest.raises(TypeError, match="`fwd` .* pair"):
        grad(lambda x: x, lambda r, g: (g,))
    with pytest.raises(TypeError, match="`bwd` .* one cotangent"):
        grad(lambda x: (x, None), lambda r, g: g)


def test_unused_parameters_get_no_zeros():
    """A gradient of zeros for each parameter of a large model would cost as much."""

    def f(x):
        for i in range(20):
            x = hk.Linear(3, name=f"layer_{i}")(x)
        return scaled_vjp(1.0)(hk.Linear(3, name="last"))(x).sum()

    net = hk.without_apply_rng(hk.transform(f))
    params = net.init(KEY, X)
    calls = [
        equation
        for equation in jax.make_jaxpr(net.apply)(params, X).eqns
        if "custom_vjp" in equation.primitive.name
    ]
    _, back = jax.vjp(net.apply, params, X)
    assert len(calls) == 1
    # In the way back there is one zero at most for each parameter of other layers.
    program = str(jax.make_jaxpr(back)(1.0))
    assert program.count("broadcast_in_dim[shape=(3, 3)") == 0
    grads = jax.grad(net.apply)(params, X)
    assert all(np.any(g["w"]) for g in grads.values())
