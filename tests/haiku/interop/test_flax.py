"""Flax modules inside Haiku functions, and Haiku functions as Flax modules."""

import subprocess
import sys

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

interop = hk.experimental.flax
KEY = jax.random.PRNGKey(0)
X = jnp.ones([3, 4])


def shapes(tree):
    return jax.tree.map(jnp.shape, tree)


class Counter(hk.Module):
    def __call__(self, step=True):
        count = hk.get_state("count", [], init=jnp.zeros)
        if step:
            hk.set_state("count", count + 1)
        return count


class FlaxCounter(nn.Module):
    @nn.compact
    def __call__(self):
        count = self.variable("state", "count", lambda: jnp.zeros([]))
        value = count.value
        if not self.is_initializing():
            count.value += 1
        self.sow("intermediates", "seen", value)
        return value


# ---- Haiku in Flax ------------------------------------------------------------------


def test_a_transformed_function_becomes_a_flax_module():
    f = hk.transform(
        lambda x: hk.nets.MLP([4, 2])(x) + hk.get_parameter("a", [], init=jnp.ones)
    )
    module = interop.Module(f)
    variables = module.init(KEY, X)
    assert shapes(variables) == {
        "params": {
            "mlp": {
                "~": {
                    "linear_0": {"b": (4,), "w": (4, 4)},
                    "linear_1": {"b": (2,), "w": (4, 2)},
                }
            },
            "~": {"a": ()},
        }
    }
    params = interop.flatten_flax_to_haiku(variables["params"])
    np.testing.assert_array_equal(module.apply(variables, X), f.apply(params, None, X))


def test_init_uses_the_key_that_flax_provides():
    class Exfiltrate(nn.Module):
        def __call__(self):
            return self.make_rng("params")

    key = Exfiltrate().apply({}, rngs={"params": KEY})
    f = hk.transform(lambda x: hk.Linear(2)(x))
    variables = interop.Module(f).init(KEY, X)
    np.testing.assert_array_equal(
        variables["params"]["linear"]["w"], f.init(key, X)["linear"]["w"]
    )


def test_state_is_a_flax_collection():
    module = interop.Module.create(Counter)
    variables = module.init(KEY)
    assert variables == {"state": {"counter": {"count": 0}}}
    for i in range(3):
        out, variables = module.apply(variables, mutable=["state"])
        assert out == i and variables == {"state": {"counter": {"count": i + 1}}}
    # Without a write, no collection has to be mutable.
    assert module.apply(variables, step=False) == 3
    with pytest.raises(flax.errors.ModifyScopeVariableError):
        module.apply(variables)


def test_it_works_inside_a_flax_module_and_jit():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = interop.Module.create(hk.Linear, 5, name="inner")(x)
            return nn.Dense(2)(x)

    net = Net()
    variables = net.init(KEY, X)
    assert shapes(variables["params"]["Module_0"]) == {
        "inner": {"b": (5,), "w": (4, 5)}
    }
    np.testing.assert_allclose(
        jax.jit(net.apply)(variables, X), net.apply(variables, X), rtol=1e-6
    )


def test_apply_uses_the_key_named_apply():
    f = hk.transform(lambda: hk.maybe_next_rng_key())
    module = interop.Module(f)
    assert module.apply({}) is None
    out = module.apply({}, rngs={"apply": KEY})
    assert out.shape == (2,)
    draws = interop.Module(hk.transform(lambda: hk.next_rng_key()))
    with pytest.raises(ValueError) as error:
        draws.apply({})
    assert 'rngs={"apply": key}' in error.value.__notes__[0]
    with pytest.raises(ValueError) as error:
        interop.Module(hk.transform(lambda: int("x"))).apply({}, rngs={"apply": KEY})
    assert "rngs=" not in "".join(getattr(error.value, "__notes__", []))


@pytest.mark.parametrize(
    "other", [5, hk.multi_transform(lambda: (lambda: 1, lambda: 2))]
)
def test_other_values_than_transformed_functions_raise(other):
    with pytest.raises(TypeError, match="Module takes what hk.transform"):
        interop.Module(other).init(KEY)


# ---- Flax in Haiku ------------------------------------------------------------------


def test_lift_keeps_parameters_under_its_name():
    def f(x):
        return interop.lift(nn.Dense(2), name="dense")(x), hk.Linear(3)(x)

    f = hk.transform(f)
    params = f.init(KEY, X)
    assert shapes(params) == {
        "dense/~": {"bias": (2,), "kernel": (4, 2)},
        "linear": {"b": (3,), "w": (4, 3)},
    }
    key = hk.transform(lambda: hk.next_rng_key()).apply({}, KEY)
    kernel = nn.Dense(2).init(key, X)["params"]["kernel"]
    np.testing.assert_array_equal(params["dense/~"]["kernel"], kernel)
    params["dense/~"]["kernel"] = jnp.ones([4, 2])
    np.testing.assert_array_equal(f.apply(params, None, X)[0], np.full([3, 2], 4.0))


def test_lift_works_nested_and_inside_a_module():
    class Child(nn.Module):
        @nn.compact
        def __call__(self):
            w = self.param("w", nn.initializers.ones, [])
            return w, self.variable("extra", "s", jnp.zeros, []).value

    class Parent(nn.Module):
        @nn.compact
        def __call__(self):
            return Child()()

    class Outer(hk.Module):
        def __call__(self):
            return interop.lift(Parent(), name="inner")()

    f = hk.transform_with_state(lambda: Outer()())
    params, state = f.init(KEY)
    assert params == {"outer/inner/Child_0": {"w": 1}}
    assert state == {"outer/inner/extra/Child_0": {"s": 0}}
    params, state = jax.tree.map(lambda v: v + 7, (params, state))
    (w, s), _ = f.apply(params, state, None)
    assert (w, s) == (8, 7)


def test_lifted_state_follows_flax():
    f = hk.transform_with_state(lambda: interop.lift(FlaxCounter(), name="c")())
    params, state = f.init(KEY)
    variables = FlaxCounter().init(KEY)
    assert params == {} and state == {"c/state/~": {"count": 0}}
    variables = {"state": variables["state"]}
    for _ in range(3):
        out, state = f.apply(params, state, None)
        theirs, variables = FlaxCounter().apply(variables, mutable=["state"])
        assert out == theirs and state == {"c/state/~": dict(variables["state"])}


def test_statistics_of_a_flax_batch_norm_become_state():
    f = hk.transform_with_state(
        lambda x: interop.lift(nn.BatchNorm(use_running_average=False), name="bn")(x)
    )
    params, state = f.init(KEY, X)
    assert set(state) == {"bn/batch_stats/~"}
    _, state = f.apply(params, state, None, X)
    np.testing.assert_allclose(
        state["bn/batch_stats/~"]["mean"], np.full(4, 0.01), rtol=1e-5
    )


def test_two_calls_share_parameters():
    def f(x):
        dense = interop.lift(nn.Dense(4), name="d")
        return dense(dense(x))

    f = hk.transform(f)
    params = f.init(KEY, X)
    assert list(params) == ["d/~"]
    assert f.apply(params, None, X).shape == (3, 4)


def test_names_are_numbered_and_unused_modules_make_nothing():
    def f(x):
        interop.lift(nn.Dense(1), name="unused")
        return [interop.lift(nn.Dense(n), name="d")(x) for n in (2, 3)]

    params = hk.transform(f).init(KEY, X)
    assert shapes(params)["d/~"]["kernel"] == (4, 2)
    assert shapes(params)["d_1/~"]["kernel"] == (4, 3)
    assert len(params) == 2


def test_a_call_may_name_keys_and_a_method():
    class Net(nn.Module):
        def setup(self):
            self.dense = nn.Dense(2)

        def __call__(self, x):
            return self.dense(x)

        def noisy(self, x):
            return self.dense(x) + jax.random.normal(self.make_rng("noise"))

    def f(x):
        rngs = {"noise": jax.random.PRNGKey(3)}
        return interop.lift(Net(), name="net")(x, rngs=rngs, method="noisy")

    f = hk.transform(f)
    params = f.init(KEY, X)
    assert shapes(params)["net/dense"]["kernel"] == (4, 2)
    noise = f.apply(params, None, X) - (X @ params["net/dense"]["kernel"])
    assert abs(noise).min() > 0 and np.ptp(noise) < 1e-5

    own = hk.transform(
        lambda x: interop.lift(nn.Dense(2), name="d")(x, rngs={"params": KEY})
    ).init(None, X)
    kernel = nn.Dense(2).init(KEY, X)["params"]["kernel"]
    np.testing.assert_array_equal(own["d/~"]["kernel"], kernel)

    bad = hk.transform(lambda x: interop.lift(nn.Dense(2), name="d")(x, rngs=KEY))
    with pytest.raises(flax.errors.InvalidRngError):
        bad.init(None, X)


def test_hooks_reach_flax_parameters():
    def double(next_getter, value, context):
        return (
            next_getter(2 * value) if context.name == "kernel" else next_getter(value)
        )

    def f(x):
        with hk.custom_getter(double):
            return interop.lift(nn.Dense(1), name="d")(x)

    f = hk.transform(f)
    params = {"d/~": {"kernel": jnp.ones([4, 1]), "bias": jnp.zeros(1)}}
    assert f.apply(params, None, X)[0, 0] == 8


def test_partitioned_parameters_are_unboxed():
    init = nn.with_partitioning(nn.initializers.ones, ("a", "b"))
    f = hk.transform(lambda x: interop.lift(nn.Dense(2, kernel_init=init), name="d")(x))
    params = f.init(KEY, X)
    np.testing.assert_array_equal(params["d/~"]["kernel"], np.ones([4, 2]))
    np.testing.assert_array_equal(f.apply(params, None, X), np.full([3, 2], 4.0))


def test_lift_needs_a_flax_module_inside_a_transform():
    with pytest.raises(TypeError, match="module of flax.linen, got Counter"):
        hk.transform_with_state(lambda: interop.lift(Counter(), name="c")).init(KEY)
    with pytest.raises(ValueError, match="hk.transform"):
        interop.lift(nn.Dense(2), name="d")


# ---- Collections --------------------------------------------------------------------


@pytest.mark.parametrize(
    "nested, flat",
    [
        ({}, {}),
        ({"w": 0}, {"~": {"w": 0}}),
        ({"a": {"b": {"w": 0}}, "~": {"w": 1}}, {"a/b": {"w": 0}, "~": {"w": 1}}),
        (flax.core.freeze({"a": {"w": 1, "b": {}}}), {"a": {"w": 1}}),
    ],
)
def test_flatten_joins_the_levels_to_paths(nested, flat):
    assert interop.flatten_flax_to_haiku(nested) == flat


def test_flatten_needs_a_collection():
    with pytest.raises(TypeError, match="collection of Flax variables.*int: 5"):
        interop.flatten_flax_to_haiku(5)


# ---- Flax is imported on first use --------------------------------------------------


def in_new_python(code):
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout


def test_flax_is_imported_on_first_use():
    out = in_new_python(
        "import sys, haiku as hk\n"
        "assert 'flax' in dir(hk.experimental)\n"
        "print('flax' in sys.modules)\n"
        "hk.experimental.flax.lift\n"
        "print('flax' in sys.modules)\n"
    )
    assert out.split() == ["False", "True"]


def test_other_attributes_raise():
    assert "flax" in dir(hk.experimental)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        hk.experimental.nonsense  # noqa: B018


def test_without_flax_the_error_says_what_to_install(monkeypatch):
    for name in ("haiku.experimental.flax", "haiku.interop.flax"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delattr(hk.experimental, "flax", raising=False)
    monkeypatch.setitem(sys.modules, "flax", None)
    monkeypatch.setitem(sys.modules, "flax.linen", None)
    with pytest.raises(ModuleNotFoundError, match=r"renga-jax\[interop\]"):
        hk.experimental.flax  # noqa: B018
