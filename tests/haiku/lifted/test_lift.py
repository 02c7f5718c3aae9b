"""`hk.lift` and its kin."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

KEY = jax.random.PRNGKey(0)


X = jnp.arange(8.0).reshape(2, 4) / 8


linear = hk.transform(lambda x: hk.Linear(4)(x))


def assert_close(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, 1e-5, 1e-5), a, b)


class Outer(hk.Module):
    def __call__(self, f):
        return f()

    def other(self, f):
        return f()


@hk.transform_with_state
def inner():
    hk.get_parameter("w", (), init=jnp.ones)
    hk.Linear(2)(X)
    n = hk.get_state("n", (), init=jnp.zeros)
    hk.set_state("n", n + 1)
    return n


@pytest.mark.parametrize(
    ("where", "lift", "prefix"),
    [
        (lambda f: f(), hk.lift_with_state, "lifted/"),
        (lambda f: Outer()(f), hk.lift_with_state, "outer/lifted/"),
        (lambda f: Outer().other(f), hk.lift_with_state, "outer/~other/lifted/"),
        (lambda f: f(), hk.transparent_lift_with_state, ""),
        (lambda f: Outer()(f), hk.transparent_lift_with_state, "outer/"),
        (lambda f: Outer().other(f), hk.transparent_lift_with_state, "outer/~other/"),
    ],
)
def test_lifted_values_are_stored_under_a_prefix(where, lift, prefix):
    def f():
        lifted, updater = lift(inner.init)
        params, state = lifted(hk.maybe_next_rng_key())
        assert (set(params), set(state)) == ({"~", "linear"}, {"~"})
        n, state = inner.apply(params, state, None)
        updater.update(state)
        return n

    net = hk.transform_with_state(lambda: where(f))
    params, state = net.init(KEY)
    assert set(params) == {f"{prefix}~", f"{prefix}linear"}
    for i in range(3):
        assert state == {f"{prefix}~": {"n": i}}
        n, state = net.apply(params, state, None)
        assert n == i


def test_ignored_updates_leave_the_state():
    def f():
        lifted, updater = hk.lift_with_state(inner.init)
        params, state = lifted(hk.maybe_next_rng_key())
        inner.apply(params, state, None)
        updater.ignore_update()

    net = hk.transform_with_state(f)
    params, state = net.init(KEY)
    assert net.apply(params, state, None)[1] == state == {"lifted/~": {"n": 0}}


def test_lift_with_plain_transformations_around_apply():
    def f(x):
        params = hk.lift(linear.init, name="inner")(hk.maybe_next_rng_key(), x[0])
        return jax.vmap(linear.apply, (None, None, 0))(params, None, x)

    net = hk.transform(f)
    params = net.init(KEY, X)
    assert list(params) == ["inner/linear"]
    w = params["inner/linear"]["w"]
    assert_close(net.apply(params, None, X), X @ w)


def test_lift_names_are_numbered_and_reuse_is_by_call():
    def f(x):
        first = hk.lift(linear.init)(hk.maybe_next_rng_key(), x)
        second = hk.lift(linear.init)(hk.maybe_next_rng_key(), x)
        shared = hk.lift(linear.init, allow_reuse=True)
        return first, second, shared(hk.maybe_next_rng_key(), x), shared(1, x)

    net = hk.transform(f)
    params = net.init(KEY, X)
    assert list(params) == ["lifted/linear", "lifted_1/linear", "lifted_2/linear"]
    first, second, third, again = net.apply(params, None, X)
    assert not jnp.array_equal(first["linear"]["w"], second["linear"]["w"])
    assert third["linear"]["w"] is again["linear"]["w"]


def test_reuse_adds_and_the_last_value_stays():
    def f():
        a = hk.transform(lambda: hk.get_parameter("a", (), init=jnp.zeros))
        b = hk.transform(
            lambda: (
                hk.get_parameter("a", (), init=jnp.ones),
                hk.get_parameter("b", (), init=jnp.ones),
            )
        )
        hk.transparent_lift(a.init, allow_reuse=True)(None)
        return hk.transparent_lift(b.init, allow_reuse=True)(None)

    seen = []
    params = hk.transform(lambda: seen.append(f())).init(None)
    assert params == seen[0] == {"~": {"a": 1, "b": 1}}


def test_lift_closes_over_modules_and_transparent_lift_does_not():
    def f(lift):
        module = hk.Linear(2, name="m")
        inner = hk.transform(lambda x: module(x))
        params = lift(inner.init)(hk.maybe_next_rng_key(), X)
        return inner.apply(params, None, X)

    assert list(hk.transform(lambda: f(hk.lift)).init(KEY)) == ["lifted/m"]
    with pytest.raises(ValueError, match="close over a module"):
        hk.transform(lambda: f(hk.transparent_lift)).init(KEY)
