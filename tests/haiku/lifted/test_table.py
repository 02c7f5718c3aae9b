"""Every transformation by one function that uses parameters, state, keys and modules.

The expected rows stand in `tests/haiku/tables`, which the guide includes.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lifted_table import KEY, TRANSFORMATIONS, WITHOUT_STATE, X, program
from tables import check_row, rows

import haiku as hk

pytestmark = pytest.mark.tables


def total(tree):
    return sum(jnp.sum(x**2) for x in jax.tree.leaves(tree))


def number_of(key):
    """Which key of the sequence it is: how many were drawn before."""
    keys = hk.PRNGSequence(KEY)
    data = jax.random.key_data(key)
    for i in range(20):
        if np.array_equal(jax.random.key_data(next(keys)), data):
            return str(i)
    return "its own"


def shapes(values):
    return ", ".join(
        f"{path}/{name} {list(jnp.shape(value))}"
        for path, named in values.items()
        for name, value in named.items()
        if name in ("w", "n")
    )


def gradient(name, net, params, state):
    loss = lambda params: total(net.apply(params, state, KEY, X)[0][0])  # noqa: E731
    try:
        grads = jax.grad(loss)(params)
    except ValueError as error:  # JAX's own, about its while_loop.
        assert "while_loop" in str(error)
        tangents = jax.tree.map(jnp.ones_like, params)
        assert jax.jvp(loss, (params,), (tangents,))[1] != 0
        return "forward mode"
    return "yes" if total(grads) > 0 else "none"


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_row(name):
    net = hk.transform_with_state(program(name, name not in WITHOUT_STATE))
    params, state = net.init(KEY, X)
    # `init` is the same under jit, and gives state as it was first; the layers of a
    # stack have run, as in the reference.
    jitted = jax.jit(lambda key: net.init(key, X))(KEY)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, 1e-6), (params, state), jitted
    )
    first = 1 if name == "hk.layer_stack" else 0
    assert all(np.all(n == first) for n in jax.tree.leaves(state))
    state = jax.tree.map(jnp.zeros_like, state)
    (out, (key, next_name)), after = net.apply(params, state, KEY, X)
    again = jax.jit(lambda *args: net.apply(*args)[0][0])(params, state, KEY, X)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-4, 1e-5), out, again)
    counts = sorted({str(np.asarray(n).tolist()) for n in jax.tree.leaves(after)})
    cells = [
        shapes(params) or "none",
        shapes(state) or "none",
        ", ".join(counts) or "none",
        number_of(key),
        next_name,
        gradient(name, net, params, state),
    ]
    check_row("hk_transformations", name, cells)


def test_every_transformation_has_a_row():
    # These have their own tests; some are kinds of those in the table.
    others = {
        "LayerStackTransparencyMapping",
        "LiftWithStateUpdater",
        "fast_eval_shape",
        "lift_with_state",
        "optimize_rng_use",
        "stack_layers",
        "transparent_lift",
        "transparent_lift_with_state",
        "unstack_layers",
    }
    public = {
        name
        for module in (hk, hk.experimental)
        for name in dir(module)  # some are loaded at the first use
        if getattr(getattr(module, name), "__module__", "").startswith("haiku._lifted.")
    }
    have = {name.partition("(")[0].removeprefix("hk.") for name in TRANSFORMATIONS}
    assert have | others == public
    assert set(rows("hk_transformations")) == set(TRANSFORMATIONS)
