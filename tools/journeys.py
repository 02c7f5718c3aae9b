"""Follows four things through the code: which functions of which files they pass.

    python tools/journeys.py         # all four
    python tools/journeys.py input   # this one

Each journey is a program. It runs once beforehand, so that nothing is compiled or
loaded for the first time. Repeated calls of one function by another appear once. `make
docs` shows the lists (docs/extension/drawings.py); ARCHITECTURE.md explains them.
"""

import argparse
import pathlib
import sys

import jax
import jax.numpy as jnp

import haiku as hk
import rlax

ROOT = pathlib.Path(__file__).resolve().parent.parent
X = jnp.ones([2, 3])
KEY = jax.random.key(0)


def input_through_apply():
    net = hk.transform(lambda x: hk.Linear(4)(x))
    params = net.init(KEY, X)
    return lambda: net.apply(params, None, X)


def key_to_initializer():
    def f():
        init = hk.initializers.TruncatedNormal()
        return hk.get_parameter("w", [3, 4], init=init)

    net = hk.transform(f)
    return lambda: net.init(KEY)


def state_through_scan():
    def layer(x):
        def step(carry, _):
            count = hk.get_state("count", [], init=jnp.zeros)
            hk.set_state("count", count + 1)
            return carry + count, None

        return hk.scan(step, x, None, length=3)[0]

    net = hk.transform_with_state(lambda x: hk.layer_stack(2)(layer)(x))
    params, state = net.init(KEY, X)
    return lambda: net.apply(params, state, None, X)


def rewards_to_gradient():
    v, rewards, ratios = jnp.ones([5]), jnp.ones([5]), jnp.ones([5])
    discounts = jnp.full([5], 0.9)

    def loss(v):
        return jnp.sum(rlax.vtrace(v, v, rewards, discounts, ratios) ** 2)

    return lambda: jax.grad(loss)(v)


JOURNEYS = {
    "input": input_through_apply,
    "key": key_to_initializer,
    "state": state_through_scan,
    "rewards": rewards_to_gradient,
}


def followed(call):
    """The functions that a call passes, as a tree: {(file, function): tree}."""
    tree = {}
    path = [tree]
    source = str(ROOT / "src") + "/"

    def note(frame, event, _):
        code = frame.f_code
        if not code.co_filename.startswith(source) or code.co_name.startswith("<"):
            return
        if event == "call":
            name = code.co_qualname.split("<locals>.")[-1]
            here = code.co_filename.removeprefix(source), name
            path.append(path[-1].setdefault(here, {}))
        elif event == "return":
            path.pop()

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return tree


def lines_of(tree, depth=0):
    for (file, function), inside in tree.items():
        yield f"{file:32} {'  ' * depth}{function}"
        yield from lines_of(inside, depth + 1)


def journey(name):
    """The functions that a journey passes, one a line, indented by depth.

    Raises:
      RuntimeError: The program no longer passes any function of ours.
    """
    program = JOURNEYS[name]
    program()()
    lines = list(lines_of(followed(program())))
    if not lines:
        raise RuntimeError(f"The journey {name!r} passes no function below src/")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", choices=[[], *JOURNEYS], metavar="NAME")
    for name in parser.parse_args().names or JOURNEYS:
        print(f"{name}\n\n{journey(name)}\n")


if __name__ == "__main__":
    main()
