"""What every lifted function has in common: values, names, leak checks."""

import jax
import pytest
from leak_checks import checking_leaks
from lifted_programs import KEY, X, assert_close, count, layer, noise, run

import haiku as hk


@pytest.mark.parametrize("make_key", [jax.random.PRNGKey, jax.random.key])
@pytest.mark.parametrize(
    "around",
    [
        lambda f: hk.remat(f),
        lambda f: lambda x: hk.cond(x.sum() > -99, f, f, x),
        lambda f: lambda x: hk.switch(1, [f, f, f], x),
        lambda f: lambda x: hk.scan(lambda c, x: (c, f(x)), 0, x[None])[1][0],
        lambda f: lambda x: hk.map(f, x[None])[0],
        lambda f: lambda x: hk.fori_loop(0, 1, lambda i, x: f(x), x),
        lambda f: lambda x: hk.vmap(f, split_rng=False)(x[None])[0],
        lambda f: (
            lambda x: hk.value_and_grad(
                lambda x: (lambda y: (y.sum(), y))(f(x)), has_aux=True
            )(x)[0][1]
        ),
    ],
    ids=[
        "remat",
        "cond",
        "switch",
        "scan",
        "map",
        "fori_loop",
        "vmap",
        "value_and_grad",
    ],
)
def test_one_call_is_the_call_itself(around, make_key):
    def plain(x):
        module = hk.to_module(layer)("layer")
        y = module(x)
        return y, noise(y), count("outside")

    def lifted(x):
        module = hk.to_module(layer)("layer")
        y = around(module)(x)
        return y, noise(y), count("outside")

    assert_close(run(plain, X, key=make_key(1)), run(lifted, X, key=make_key(1)))


def test_names_are_shared_by_remat_and_forked_by_the_others():
    def names_after(around):
        def f(x):
            around(lambda x: hk.Linear(4)(x).sum())(x)
            return hk.Linear(4)(x)

        return list(hk.transform(f).init(KEY, X))

    assert names_after(lambda f: hk.remat(f)) == ["linear", "linear_1"]
    for around in (
        lambda f: hk.grad(f),
        lambda f: lambda x: hk.cond(True, f, f, x),
        lambda f: lambda x: hk.scan(lambda c, _: (c, f(x)), 0, None, 3),
        lambda f: lambda x: hk.vmap(f, in_axes=None, axis_size=2, split_rng=False)(x),
    ):
        assert names_after(around) == ["linear"]


def test_lifted_functions_under_leak_checking():
    def f(x):
        module = hk.to_module(layer)("layer")
        x = hk.remat(module)(x)
        x = hk.scan(lambda c, _: (module(c), None), x, None, 3)[0]
        x = hk.cond(x.sum() > 0, module, module, x)
        x = hk.vmap(hk.Linear(4), split_rng=False)(x)
        return hk.layer_stack(2)(lambda x: hk.Linear(4)(x))(x)

    net = hk.transform_with_state(f)
    with checking_leaks():
        params, state = jax.jit(net.init)(KEY, X)
        out, _ = jax.jit(net.apply)(params, state, KEY, X)
    assert out.shape == X.shape
