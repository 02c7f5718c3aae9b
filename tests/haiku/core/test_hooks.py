"""Creators, getters, setters and interceptors."""

import jax
import jax.numpy as jnp
import pytest

import haiku as hk

KEY = jax.random.PRNGKey(0)
X = jnp.ones((2, 4))


def linear(x):
    return hk.Linear(3)(x)


def test_creators_run_outermost_first_and_only_at_init():
    log = []

    def logging(label):
        def creator(next_creator, shape, dtype, init, context):
            log.append((label, context.full_name))
            return next_creator(shape, dtype, init)

        return creator

    def f(x):
        with hk.custom_creator(logging("a")), hk.custom_creator(logging("b")):
            return linear(x)

    net = hk.transform(f)
    params = net.init(KEY, X)
    names = ["linear/w", "linear/b"]
    assert log == [(label, name) for name in names for label in "ab"]
    log.clear()
    net.apply(params, None, X)
    assert log == []


def test_the_context_describes_the_parameter():
    seen = []

    def getter(next_getter, value, context):
        seen.append(context)
        return next_getter(value)

    def f(x):
        with hk.custom_getter(getter, params=True, state=True):
            module = hk.Linear(3, w_init=jnp.zeros)
            module(x)
            hk.get_state("s", (2,), jnp.int32, init=jnp.ones)
        return module

    hk.transform_with_state(f).init(KEY, X)
    w, _, s = seen
    assert (w.full_name, w.module_name, w.name) == ("linear/w", "linear", "w")
    assert (w.original_shape, w.original_dtype) == ([4, 3], jnp.float32)
    assert w.original_init is jnp.zeros
    assert (type(w.module), w.lifted_prefix_name) == (hk.Linear, None)
    assert (s.full_name, s.module, s.original_dtype) == ("~/s", None, jnp.int32)


@pytest.mark.parametrize(
    ("params", "state"), [(True, False), (False, True), (True, True)]
)
def test_a_getter_is_called_for_parameters_or_state(params, state):
    def double(next_getter, value, context):
        return next_getter(value) * 2

    def f():
        with hk.custom_getter(double, params=params, state=state):
            w = hk.get_parameter("w", (), init=jnp.ones)
            return w, hk.get_state("s", (), init=jnp.ones)

    net = hk.transform_with_state(f)
    stored = net.init(None)
    assert stored == ({"~": {"w": 1}}, {"~": {"s": 1}})
    out, _ = net.apply(*stored, None)
    assert out == (1 + params, 1 + state)


def test_next_may_be_called_any_number_of_times():
    def average(next_creator, shape, dtype, init, context):
        return (next_creator(shape, dtype, init) + next_creator(shape, dtype, init)) / 2

    def none(next_getter, value, context):
        return jnp.full_like(value, 7)

    def f():
        init = hk.initializers.RandomNormal()
        with hk.custom_creator(average):
            w = hk.get_parameter("w", (3,), init=init)
        with hk.custom_getter(none):
            return w, hk.get_parameter("w", (3,), init=init)

    net = hk.transform(f)
    params = net.init(KEY)
    sequence = hk.PRNGSequence(KEY)
    k1, k2 = next(sequence), next(sequence)
    expected = (jax.random.normal(k1, (3,)) + jax.random.normal(k2, (3,))) / 2
    assert jnp.allclose(params["~"]["w"], expected)
    assert (net.apply(params, None)[1] == 7).all()


def test_creators_and_setters_of_state():
    def ones(next_creator, shape, dtype, init, context):
        return next_creator(shape, dtype, jnp.ones)

    contexts = []

    def double(next_setter, value, context):
        contexts.append(context)
        return next_setter(jax.tree.map(lambda x: 2 * x, value))

    def f():
        with hk.custom_creator(ones, params=False, state=True):
            hk.get_state("made", (2,), init=jnp.zeros)
        with hk.custom_setter(double):
            hk.set_state("set", {"a": jnp.ones((3,), jnp.int32), "b": 1.5})
        return hk.get_state("set")

    net = hk.transform_with_state(f)
    _, state = net.init(None)
    assert state["~"]["made"].tolist() == [1, 1]
    assert state["~"]["set"]["a"].tolist() == [2, 2, 2]
    assert contexts[0].original_shape == {"a": (3,), "b": ()}
    assert contexts[0].original_dtype == {"a": jnp.int32, "b": jnp.float32}
    assert (contexts[0].full_name, contexts[0].module_name, contexts[0].name) == (
        "~/set",
        "~",
        "set",
    )


def test_do_not_store_keeps_a_value_out():
    def keep_out(*args):
        return hk.DO_NOT_STORE

    def make_again(next_getter, value, context):
        assert value is hk.DO_NOT_STORE
        shape, dtype = context.original_shape, context.original_dtype
        return next_getter(context.original_init(shape, dtype))

    def f():
        with (
            hk.custom_creator(keep_out, state=True),
            hk.custom_getter(make_again, state=True),
            hk.custom_setter(keep_out),
        ):
            hk.set_state("set", jnp.ones(()))
            w = hk.get_parameter("w", [], init=jnp.ones)
            return w + hk.get_state("s", [], init=jnp.ones)

    net = hk.transform_with_state(f)
    assert net.init(None) == ({}, {})
    assert net.apply({}, {}, None) == (2, {})
    assert repr(hk.DO_NOT_STORE) == "hk.DO_NOT_STORE"
    assert not hasattr(hk.DO_NOT_STORE, "nothing")


def test_a_missing_initialiser_is_an_error():
    def call_it(next_getter, value, context):
        return context.original_init((), jnp.float32)

    def f():
        with hk.custom_getter(call_it):
            hk.get_parameter("w", ())

    with pytest.raises(ValueError, match="has no initialiser"):
        hk.transform(f).apply({"~": {"w": jnp.ones(())}}, None)


def test_interceptors_stand_around_each_other():
    def then(op):
        def interceptor(next_f, args, kwargs, context):
            out = next_f(*args, **kwargs)
            return op(out) if context.method_name == "__call__" else out

        return interceptor

    class Identity(hk.Module):
        def __call__(self, x):
            return x

    def f(x):
        with (
            hk.intercept_methods(then(lambda y: y + 1)),
            hk.intercept_methods(then(lambda y: y * y)),
        ):
            return Identity()(x)

    assert hk.transform(f).apply({}, None, 3) == 10


def test_an_interceptor_gets_context_and_arguments():
    seen = []

    class Base(hk.Module):
        def __call__(self, x, *, scale):
            return x * scale

    class Derived(Base):
        def __call__(self, x, *, scale):
            return super().__call__(x, scale=scale)

    def log(next_f, args, kwargs, context):
        kind, defined_in = type(context.module).__name__, context.orig_class.__name__
        seen.append((kind, defined_in, context.method_name, len(args), dict(kwargs)))
        if context.method_name == "__call__":
            assert context.orig_method(5, scale=1) == 5
        return next_f(*args, **kwargs)

    def f():
        with hk.intercept_methods(log):
            return Derived(name="d")(2, scale=3)

    assert hk.transform(f).apply({}, None) == 6
    plain = [
        ("Derived", "Derived", "__init__", 0, {"name": "d"}),
        ("Derived", "Derived", "__call__", 1, {"scale": 3}),
    ]
    # `orig_method` of the derived class calls its parent's method: intercepted.
    assert seen[:2] == plain
    assert ("Derived", "Base", "__call__", 1, {"scale": 3}) in seen


def test_an_interceptor_may_skip_the_method():
    def skip(next_f, args, kwargs, context):
        return None if context.method_name == "__call__" else next_f(*args, **kwargs)

    def f(x):
        with hk.intercept_methods(skip):
            return linear(x)

    assert hk.transform(f).init(KEY, X) == {}


def test_hooks_reach_into_lifted_and_inner_functions():
    seen = []

    def creator(next_creator, shape, dtype, init, context):
        seen.append((context.full_name, context.lifted_prefix_name))
        return next_creator(shape, dtype, init)

    class Outer(hk.Module):
        def __call__(self, x):
            inner = hk.transform(linear)
            with hk.custom_creator(creator):
                hk.lift(inner.init, name="inner")(hk.next_rng_key(), x)
                hk.transparent_lift(inner.init)(hk.next_rng_key(), x)
                hk.layer_stack(2)(linear)(jnp.ones((1, 3)))

    hk.transform(lambda x: Outer()(x)).init(KEY, X)
    assert [prefix for _, prefix in seen[::2]] == [
        "outer/inner/",
        "outer/",
        "outer/__layer_stack_no_per_layer/",
    ]
    assert {name for name, _ in seen} == {"linear/w", "linear/b"}
