"""The rule that says what a parameter's path will be (#108), against what `init` makes.

`predicted` is the rule of docs/guide/names.md, line by line; it knows nothing of how
Haiku does it.
"""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

SNAKE_CASE = {"Net": "net", "MyBlock2D": "my_block2_d", "RMSLayer": "rms_layer"}

# A program is a list of statements:
#   ("param", name)
#   ("scope", name, body)
#   ("module", class, name or None, body of the constructor, [(method, body), ...])
PARAM = st.tuples(st.just("param"), st.sampled_from(["w", "b"]))
NAMES = st.sampled_from([None, None, None, "net", "a", "a_1", "a_2", "b_0"])
METHODS = st.sampled_from(["__call__", "__call__", "encode", "clear", "like", "prop"])


def bodies(statements):
    body = st.lists(statements, max_size=3)
    calls = st.lists(st.tuples(METHODS, body), max_size=3)
    return st.one_of(
        PARAM,
        st.tuples(st.just("scope"), st.sampled_from(["s", "s/t", "net", "a_1"]), body),
        st.tuples(
            st.just("module"), st.sampled_from(list(SNAKE_CASE)), NAMES, body, calls
        ),
    )


PROGRAMS = st.lists(st.recursive(PARAM, bodies, max_leaves=12), max_size=4)


class Taken(Exception):
    """A name that is given with its number is there already."""


def predicted(body, module, prefix, numbers, found):
    """Adds the paths of a body's parameters to `found`.

    Args:
      body: The statements.
      module: The path of the module whose method it is.
      prefix: What comes before the names of modules that are built in it.
      numbers: The numbers that each name has had in this call of the method.
      found: A set of paths.
    """
    for kind, *rest in body:
        if kind == "param":
            found.add(f"{module}/{rest[0]}")
        elif kind == "scope":
            path, inside, within = module, prefix, numbers
            for name in rest[0].split("/"):
                path = inside + numbered(name, within)
                inside, within = f"{path}/", {}
            predicted(rest[1], path, inside, within, found)
        else:
            class_name, name, constructor, calls = rest
            path = prefix + numbered(name or SNAKE_CASE[class_name], numbers)
            predicted(constructor, path, f"{path}/~/", {}, found)
            for method, inside in calls:
                if method == "clear":  # hk.transparent
                    predicted(inside, module, prefix, numbers, found)
                elif method in ("__call__", "like"):  # hk.name_like("__call__")
                    predicted(inside, path, f"{path}/", {}, found)
                else:
                    predicted(inside, path, f"{path}/~{method}/", {}, found)


def numbered(name, numbers):
    """`name` with the number that it gets, which is remembered in `numbers`."""
    base, _, last = name.rpartition("_")
    if last.isdigit():
        number = int(last)
        if number in numbers.get(base, []):
            raise Taken(name)
        numbers.setdefault(base, []).append(number)
        return name
    number = max(numbers.get(name, [-1])) + 1
    numbers.setdefault(name, []).append(number)
    return f"{name}_{number}" if number else name


class Runs(hk.Module):
    """Runs the bodies that it is given."""

    def __init__(self, constructor, name=None):
        super().__init__(name=name)
        run(constructor)

    def __call__(self, body):
        run(body)

    def encode(self, body):
        run(body)

    @hk.transparent
    def clear(self, body):
        run(body)

    @hk.name_like("__call__")
    def like(self, body):
        run(body)

    @property
    def prop(self):
        run(self.body)


CLASSES = {name: type(Runs)(name, (Runs,), {}) for name in SNAKE_CASE}


def run(body):
    for kind, *rest in body:
        if kind == "param":
            hk.get_parameter(rest[0], [], init=zero)
        elif kind == "scope":
            with hk.name_scope(rest[0]):
                run(rest[1])
        else:
            class_name, name, constructor, calls = rest
            module = CLASSES[class_name](constructor, name)
            for method, inside in calls:
                if method == "prop":
                    module.body = inside
                    _ = module.prop
                else:
                    getattr(module, method)(inside)


def zero(shape, dtype):
    return np.zeros(shape, dtype)  # NumPy's: no time for JAX's here


def made(program):
    params = hk.transform(lambda: run(program)).init(None)
    return {f"{path}/{name}" for path, named in params.items() for name in named}


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(PROGRAMS)
def test_the_rule_predicts_every_path(program):
    wanted = set()
    try:
        predicted(program, "~", "", {}, wanted)
    except Taken:
        with pytest.raises(ValueError, match="not unique"):
            made(program)
        return
    assert made(program) == wanted


def test_by_hand():
    class Net(hk.Module):
        def __init__(self):
            super().__init__()
            self.first = hk.Linear(3)

        def __call__(self, x):
            x = hk.Linear(3)(hk.Linear(3, name="mid")(self.first(x)))
            return x + hk.Linear(3, name="linear_4")(x) + hk.Linear(3)(x)

        def encode(self, x):
            with hk.name_scope("inner"):
                return hk.Bias()(self.first(x))

    def f(x):
        net = Net()
        return (
            net(x) + net(x) + net.encode(x) + hk.get_parameter("w", [], init=jnp.ones)
        )

    params = jax.eval_shape(
        hk.transform(f).init, jax.random.PRNGKey(0), jnp.ones([1, 3])
    )
    assert set(params) == {
        "net/~/linear",
        "net/linear",
        "net/mid",
        "net/linear_4",
        "net/linear_5",
        "net/~encode/inner/bias",
        "~",
    }
