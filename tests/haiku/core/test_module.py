"""Modules, their names, and what is inside them."""

import abc
import dataclasses
import inspect
from typing import Protocol, runtime_checkable

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import pytest

import haiku as hk
from haiku._core.runs.scope import Scope, snake_case

KEY = jax.random.PRNGKey(0)


def run(f, *args):
    """What `f` returns inside `init`."""
    out = []
    hk.transform_with_state(lambda *a: out.append(f(*a))).init(KEY, *args)
    return out[0]


class Empty(hk.Module):
    pass


class Block(hk.Module):
    """Builds a module in every kind of method."""

    def __init__(self, name=None):
        super().__init__(name=name)
        self.built = Empty()

    def __call__(self):
        return Empty().module_name

    def encode(self):
        return Empty().module_name

    @hk.transparent
    def clear(self):
        return Empty().module_name, hk.current_name()

    @hk.name_like("__call__")
    def like_call(self):
        return Empty().module_name

    @property
    def prop(self):
        return Empty().module_name

    @prop.setter
    def prop(self, value):
        value.append(Empty().module_name)

    @staticmethod
    def static():
        return Empty().module_name

    def __len__(self):
        return len(Empty().module_name)


@pytest.mark.parametrize(
    ("name", "snake"),
    [
        ("Linear", "linear"),
        ("Conv1D", "conv1_d"),
        ("ConvNDTranspose", "conv_nd_transpose"),
        ("Conv1DLSTM", "conv1_dlstm"),
        ("MobileNetV1", "mobile_net_v1"),
        ("EMAParamsTree", "ema_params_tree"),
        ("RMSNorm", "rms_norm"),
        ("ABC", "abc"),
        ("My_Net", "my__net"),
    ],
)
def test_class_names_become_snake_case(name, snake):
    assert snake_case(name) == snake
    assert snake_case(snake) == snake


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (["foo", "foo", "foo"], ["foo", "foo_1", "foo_2"]),
        (["foo_0", "foo", "foo"], ["foo_0", "foo_1", "foo_2"]),
        (
            ["foo_1", "foo", "foo_0", "foo_5", "foo"],
            ["foo_1", "foo_2", "foo_0", "foo_5", "foo_6"],
        ),
        (["foo_007", "foo_007", "foo_7"], ["foo_007", "foo_007_1", "foo_7"]),
        (["foo_1", "foo_001"], ["foo_1", "foo_001"]),
        (["foo_3", "foo_1", "foo_2"], ["foo_3", "foo_1", "foo_2"]),
    ],
)
def test_names_are_numbered(asked, given):
    assert run(lambda: [Empty(name=name).module_name for name in asked]) == given


@hypothesis.given(st.lists(st.sampled_from(["a", "b", "a_1", "a_2", "b_01", "a_1_1"])))
def test_claimed_names_are_unique(asked):
    scope, given = Scope(None, "__call__"), []
    for name in asked:
        try:
            given.append(scope.claim(name))
        except ValueError:
            assert name in given  # Only a name with its number can be refused.
    assert len(set(given)) == len(given)


def test_paths_follow_methods():
    def f():
        block, setter = Block(), []
        block.prop = setter
        names = block(), block.encode(), block.clear(), block.like_call(), block.prop
        return block.built.module_name, *names, block.static(), len(block), setter

    assert run(f) == (
        "block/~/empty",
        "block/empty",
        "block/~encode/empty",
        ("empty", "~"),
        "block/empty",
        "block/~prop/empty",
        "empty_1",
        len("empty_2"),
        ["block/~prop/empty"],
    )


def test_name_like_works_on_init_and_call():
    class LikeFoo(hk.Module):
        @hk.name_like("__call__")
        def __init__(self):
            super().__init__()
            self.built = Empty().module_name

        @hk.name_like("foo")
        def __call__(self):
            return Empty().module_name

    def f():
        m = LikeFoo()
        return m.built, m()

    assert run(f) == ("like_foo/empty", "like_foo/~foo/empty")


def test_method_scopes_restart_numbering():
    def f():
        block = Block()
        return block(), block(), Block()()

    assert run(f) == ("block/empty", "block/empty", "block_1/empty")


def test_a_name_scope_is_a_part_of_the_path():
    def f():
        names = []
        with hk.name_scope("a/b") as held:
            names += [held, hk.current_name(), Empty().module_name]
        with hk.name_scope("a"):
            names.append(Empty().module_name)
        with hk.name_scope("c", method_name="encode"):
            names.append(Empty().module_name)
            hk.get_parameter("w", (), init=jnp.zeros)
        with hk.name_scope("d", method_name="__init__"):
            names.append(Empty().module_name)
        with hk.name_scope(hk.force_name("x/~/y")):
            names.append(Empty().module_name)
        return names, list(hk.get_params())

    names = [None, "a/b", "a/b/empty", "a_1/empty", "c/~encode/empty", "d/~/empty"]
    assert run(f) == ([*names, "x/~/y/empty"], ["c"])


def test_name_scope_leaves_the_path_after_an_error():
    def f():
        with pytest.raises(ValueError, match="valid module name"), hk.name_scope("a/1"):
            pass
        with pytest.raises(RuntimeError), hk.name_scope("b"):
            raise RuntimeError
        return Empty().module_name

    assert run(f) == "empty"


def test_force_name_shares_parameters():
    def f(x):
        a = hk.Linear(4)
        with hk.name_scope("elsewhere"):
            b = hk.Linear(4, name=hk.force_name(a.module_name))
        out = a(x), b(x)
        return (
            out,
            hk.Linear(4, name=hk.force_name("q_3")).module_name,
            Empty("q").module_name,
        )

    (a, b), forced, following = run(f, jnp.ones((1, 4)))
    assert jnp.array_equal(a, b)
    assert (forced, following) == ("q_3", "q_4")


def test_dataclasses_are_modules():
    @dataclasses.dataclass
    class Scale(hk.Module):
        size: int
        name: str | None = None

        def __call__(self):
            return hk.get_parameter("scale", [self.size], init=jnp.ones)

    @dataclasses.dataclass
    class Nameless(hk.Module):
        size: int = 3

        def __post_init__(self):
            super().__post_init__()
            self.inner = Scale(self.size)

    def f():
        modules = Scale(2), Scale(2), Scale(3, name="mine"), Nameless().inner
        for module in modules:
            module()
        return [m.module_name for m in modules], [m.name for m in modules]

    paths = ["scale", "scale_1", "mine", "nameless/~/scale"]
    assert run(f) == (paths, ["scale", "scale_1", "mine", "scale"])
    assert str(inspect.signature(Scale)).startswith("(size: int, name: ")


def test_modules_implement_protocols_and_abstract_methods():
    @runtime_checkable
    class Encodes(Protocol):
        def encode(self): ...

    class Base(hk.Module, Encodes):
        @abc.abstractmethod
        def decode(self): ...

    class Both(Base):
        def encode(self):
            return 1

        def decode(self):
            return 2

    def f():
        with pytest.raises(TypeError, match="abstract"):
            Base()
        both = Both()
        return (
            isinstance(both, Encodes),
            isinstance(hk.Module(), Encodes),
            both.encode(),
        )

    assert run(f) == (True, False, 1)
    with pytest.raises(TypeError, match="should not be subclassed"):

        class Extends(hk.SupportsCall):
            pass


def test_repr_shows_the_arguments_that_were_given():
    class Many(hk.Module):
        def __init__(self, x, y=3, *rest, z=4, name=None, **more):
            super().__init__(name)
            self.early = repr(self)

    class Silent(Many):
        AUTO_REPR = False

    def f():
        many = Many(1, 2, 3, 4, z=5, name="q", u=8)
        with hk.config.context(module_auto_repr=False):
            assert "object at" in repr(many)
        assert "object at" in repr(Silent(1))
        assert many.early == repr(many)
        return repr(many), repr(Many(1)), repr(Many(x=1, y=3)), repr(hk.Linear(5))

    assert run(f) == (
        "Many(x=1, y=2, 3, 4, z=5, name='q', u=8)",
        "Many(x=1)",
        "Many(x=1)",  # Arguments that equal their default are left out...
        "Linear(output_size=5)",
    )


def test_repr_leaves_out_defaults_and_breaks_long_lines():
    class Many(hk.Module):
        def __init__(self, x, y=3, z=(1, 2), *, w=True, name=None):
            super().__init__(name)

    def f():
        assert repr(Many(1, 3, (1, 2))) == repr(Many(x=1, y=3.0)) == "Many(x=1)"
        assert repr(Many(1, w=True, name=None)) == "Many(x=1, w=True, name=None)"
        assert repr(Many(1, jnp.ones(2))).startswith("Many(x=1, y=Array([1., 1.]")
        return repr(Many({"b" * 40: 1, "a" * 40: 2}, name="q"))

    assert run(f) == (
        f"Many(\n    x={{'{'a' * 40}': 2,\n       '{'b' * 40}': 1}},\n    name='q',\n)"
    )


def test_params_and_state_inside_a_module():
    class Outer(hk.Module):
        def __init__(self, captured):
            super().__init__()
            self.captured = captured
            self.own = hk.Linear(2, name="own")

        def __call__(self, x):
            hk.set_state("calls", 1)
            return self.captured(self.own(x))

    def f(x):
        captured = hk.Linear(2, name="captured")
        outer, other = Outer(captured), hk.Linear(2, name="other")
        other(outer(x))
        return outer.params_dict(), outer.state_dict(), outer.submodules

    params, state, submodules = run(f, jnp.ones((1, 3)))
    assert set(params) == {
        f"{p}/{n}" for p in ("captured", "outer/~/own") for n in "wb"
    }
    assert state == {"outer/calls": 1}
    assert submodules == ("captured", "outer/~/own")


def test_to_module_makes_a_class_of_a_function():
    def net(x):
        """Doc."""
        return hk.Linear(3)(x)

    def f(x):
        wrapped = hk.to_module(net)
        wrapped("a")(x), wrapped()(x)
        return wrapped("b").module_name, wrapped.__doc__, list(hk.get_params())

    assert run(f, jnp.ones((1, 2))) == ("b", "Doc.", ["a/linear", "net/linear"])


def test_named_scopes_reach_the_compiler():
    class Two(hk.Module):
        def __call__(self, x):
            return self.second(hk.Linear(3)(x))

        def second(self, x):
            return x * 2

    net = hk.transform(lambda x: Two()(x))
    x = jnp.ones((1, 3))
    lowered = jax.jit(net.apply).lower(net.init(KEY, x), None, x)
    text = lowered.compile().as_text()
    assert "two/linear" in text
    assert "two/second/two" in text


def test_module_new_with_arguments():
    class Pair(tuple, hk.Module):
        def __new__(cls, *items):
            return super().__new__(cls, items)

        def __init__(self, *items):
            hk.Module.__init__(self)

    def f():
        pair = Pair(1, 2)
        return tuple(pair), pair.module_name

    assert run(f) == ((1, 2), "pair")
