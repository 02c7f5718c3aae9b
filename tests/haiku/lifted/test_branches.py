"""Branches: `hk.cond` and `hk.switch`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lifted_programs import KEY, X, assert_close, noise

import haiku as hk


def test_cond_takes_operands_in_every_form():
    def f(x, pred):
        a = hk.cond(pred, lambda: 1.0, lambda: 2.0)
        b = hk.cond(pred, lambda x: x.sum(), lambda x: -x.sum(), operand=x)
        c = hk.cond(pred, x, lambda x: x + 1, x + 5, lambda x: x * 2)
        d = hk.cond(pred, lambda x, y: x, lambda x, y: y, 1, 2)
        return a, b, c, d

    net = hk.transform(f)
    assert_close(net.apply({}, None, X, True), (1.0, X.sum(), X + 1, 1))
    assert_close(net.apply({}, None, X, False), (2.0, -X.sum(), (X + 5) * 2, 2))


def test_branches_may_use_different_numbers_of_keys_and_states():
    def f(i):
        hk.get_state("a", (), init=jnp.zeros), hk.get_state("b", (), init=jnp.zeros)

        def first():
            hk.set_state("a", 1.0)
            return jnp.zeros(2)

        def second():
            hk.set_state("b", 2.0)
            return noise(noise(jnp.zeros(2)))

        def third():
            hk.reserve_rng_keys(9)
            return noise(jnp.zeros(2))

        hk.next_rng_key()
        return hk.switch(i, [first, second, third]), noise(jnp.zeros(2))

    net = hk.transform_with_state(f)
    state = net.init(KEY, 0)[1]
    for size in (1, 3):
        with hk.config.context(rng_reserve_size=size):
            outs = [net.apply({}, state, KEY, i) for i in range(3)]
        assert outs[0][1] == {"~": {"a": 1, "b": 0}}
        assert outs[1][1] == {"~": {"a": 0, "b": 2}}
        drawn = [np.asarray(x) for out, _ in outs for x in out if x.any()]
        assert len({x.tobytes() for x in drawn}) >= 4


@pytest.mark.parametrize("n", [1, 2, 4])
def test_equal_branches_are_traced_once(n):
    seen = []

    def f(x):
        seen.append(x)
        return x

    hk.transform(lambda: hk.switch(0, [f] * n, 1.0)).apply({}, None)
    assert len(seen) == 1


@pytest.mark.parametrize("choose", ["cond", "switch"])
def test_branches_of_other_structure_are_a_type_error(choose):
    """At init and apply, whatever they are made of."""
    linear = lambda x: hk.Linear(2)(x)  # noqa: E731
    for one, other in (
        (lambda x: (x, x), lambda x: x),
        (lambda x: x, lambda x: x[0]),
        (linear, lambda x: (linear(x), 1.0)),
        (linear, lambda x: {"mlp": hk.nets.MLP([2])(x)}),
    ):

        def f(x, one=one, other=other):
            if choose == "cond":
                return hk.cond(x.sum() > 0, one, other, x)
            return hk.switch(0, [one, other], x)

        both = hk.transform(lambda x, a=one, b=other: (a(x), b(x)))
        params = both.init(jax.random.key(0), jnp.ones(3))
        params["linear"] = {"w": jnp.ones((3, 2)), "b": jnp.ones(2)}
        with pytest.raises(TypeError, match="must"):
            hk.transform(f).init(jax.random.key(0), jnp.ones(3))
        with pytest.raises(TypeError, match="must"):
            hk.transform(f).apply(params, None, jnp.ones(3))
