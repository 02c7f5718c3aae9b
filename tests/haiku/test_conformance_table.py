"""Every module through every property; `conftest.py` prints the number of pairs.

float64 is a global setting of JAX, so all modules share one extra process for it.
"""

import copy
import functools
import json
import os
import pickle
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from leak_checks import checking_leaks
from module_table import LAYOUTS, ROWS, inputs

import haiku as hk

pytestmark = pytest.mark.tables

# This generator compiles in a tenth of the default's time.
IMPLEMENTATION = "unsafe_rbg"
KEY = jax.random.key(3, impl=IMPLEMENTATION)


class Case:
    """A module, initialised and applied once for all its properties."""

    def __init__(self, name):
        self.name, self.row = name, ROWS[name]
        self.net = hk.transform_with_state(lambda x: self.row.call(x))
        self.x = inputs(self.row)
        self.params, self.state = jax.jit(self.net.init)(KEY, self.x)
        self.out, self.new_state = self.apply(self.params, self.state, self.x)

    @functools.cached_property
    def apply(self):
        return jax.jit(lambda p, s, x: self.net.apply(p, s, KEY, x))


case = functools.cache(Case)


def close(a, b, tolerance=1e-5):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)):
        np.testing.assert_allclose(
            np.asarray(x, np.float32),
            np.asarray(y, np.float32),
            rtol=tolerance,
            atol=tolerance,
        )


def shapes(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, jnp.dtype(leaf.dtype)), tree)


def floats(tree):
    return [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]


def check_jit(c):
    close(c.net.init(KEY, c.x), (c.params, c.state))
    close(c.net.apply(c.params, c.state, KEY, c.x), (c.out, c.new_state), 1e-4)


def check_vmap(c):
    other = (c.x + 1) % c.row.integers if c.row.integers else 1.5 * c.x
    batch = np.stack([c.x, other])
    mapped = jax.jit(jax.vmap(c.apply, in_axes=(None, None, 0)))
    out = mapped(c.params, c.state, batch)
    close(jax.tree.map(lambda y: y[0], out), (c.out, c.new_state), 1e-4)
    close(jax.tree.map(lambda y: y[1], out), c.apply(c.params, c.state, other), 1e-4)


# Their gradient isn't the slope of their output: relu has kinks, quantisers and power
# iterations stop gradients, and a choice of experts jumps.
NO_QUOTIENT = ("VanillaRNN", "SpectralNorm", "SNParamsTree", "MixtureOfExperts")


def check_grad(c):
    """The gradient along a direction agrees with a difference quotient."""
    point = c.params if c.params else c.x

    def loss(point):
        p, x = (point, c.x) if c.params else (c.params, point)
        out, _ = c.net.apply(p, c.state, KEY, x)
        return sum(jnp.sum(jnp.sin(y + 0.3)) for y in floats(out))

    value_and_grad = jax.jit(jax.value_and_grad(loss))
    rng = np.random.RandomState(1)
    direction = jax.tree.map(lambda v: rng.randn(*v.shape).astype(np.float32), point)
    _, grads = value_and_grad(point)
    assert shapes(grads) == shapes(point)
    slope = sum(
        float(jnp.sum(g * d))
        for g, d in zip(jax.tree.leaves(grads), jax.tree.leaves(direction))
    )
    assert np.isfinite(slope)
    assert abs(slope) > 1e-4
    if c.name.startswith("nets.") or c.name in NO_QUOTIENT:
        return
    ahead, behind = (
        value_and_grad(jax.tree.map(lambda v, d: v + step * d, point, direction))[0]  # noqa: B023
        for step in (1e-2, -1e-2)
    )
    np.testing.assert_allclose(slope, (ahead - behind) / 2e-2, rtol=5e-2, atol=5e-2)


def check_eval_shape(c):
    params, state = jax.eval_shape(c.net.init, KEY, c.x)
    assert shapes((params, state)) == shapes((c.params, c.state))
    out = jax.eval_shape(c.net.apply, c.params, c.state, KEY, c.x)
    assert shapes(out) == shapes((c.out, c.new_state))


def check_remat(c):
    net = hk.transform_with_state(lambda x: hk.remat(c.row.call)(x))
    params, state = jax.eval_shape(net.init, KEY, c.x)
    assert shapes((params, state)) == shapes((c.params, c.state))
    apply = jax.jit(lambda p: net.apply(p, c.state, KEY, c.x))
    close(apply(c.params), (c.out, c.new_state), 1e-4)


def check_dtype(dtype, c):
    if c.row.integers:
        pytest.skip("takes integers")
    x = inputs(c.row, dtype)
    params, state = jax.eval_shape(c.net.init, KEY, x)
    assert {p.dtype for p in floats(params)} <= {jnp.dtype(dtype)}
    assert shapes(jax.tree.map(lambda p: p.astype(np.float32), c.params)) == shapes(
        jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, np.float32), params)
    )
    params, state = jax.tree.map(
        lambda v: v.astype(dtype) if jnp.issubdtype(v.dtype, jnp.floating) else v,
        (c.params, c.state),
    )
    out, new_state = c.apply(params, state, x)
    assert {y.dtype for y in floats((out, new_state))} == {jnp.dtype(dtype)}
    if c.name.startswith("nets.V"):
        return  # the last bits decide which vector is nearest
    close(out, c.out, 1e-5 if dtype == np.float32 else 0.15)


def check_keys(c):
    with jax.default_prng_impl(IMPLEMENTATION):
        legacy = jax.random.PRNGKey(3)
        assert legacy.dtype == np.uint32
        close(jax.jit(c.net.init)(legacy, c.x), (c.params, c.state), 0.0)
        shape = jax.eval_shape(c.net.apply, c.params, c.state, legacy, c.x)
    assert shapes(shape) == shapes((c.out, c.new_state))


def check_leaks(c):
    def run(x):
        params, state = c.net.init(KEY, x)
        return c.net.apply(params, state, KEY, x)

    with checking_leaks():
        out = jax.eval_shape(run, c.x)
    assert shapes(out) == shapes((c.out, c.new_state))


def check_numpy(c):
    params, state = jax.device_get((c.params, c.state))
    assert all(isinstance(p, np.ndarray) for p in jax.tree.leaves(params))
    close(c.net.apply(params, state, KEY, c.x), (c.out, c.new_state), 1e-4)


def check_copies(c):
    values = c.params, c.state
    for again in (copy.deepcopy(values), pickle.loads(pickle.dumps(values))):
        assert shapes(again) == shapes(values)
        close(c.apply(*again, c.x), (c.out, c.new_state), 0.0)


PROPERTIES = {
    "jit": check_jit,
    "vmap": check_vmap,
    "grad": check_grad,
    "eval_shape": check_eval_shape,
    "remat": check_remat,
    "float32": functools.partial(check_dtype, np.float32),
    "bfloat16": functools.partial(check_dtype, jnp.bfloat16),
    "float16": functools.partial(check_dtype, np.float16),
    "typed and legacy keys": check_keys,
    "checking_leaks": check_leaks,
    "numpy inputs": check_numpy,
    "deepcopy and pickle": check_copies,
}


@pytest.mark.parametrize("property_name", PROPERTIES)
@pytest.mark.parametrize("name", ROWS)
def test_property(name, property_name):
    PROPERTIES[property_name](case(name))


@pytest.mark.parametrize("name", LAYOUTS)
def test_channels_first_equals_channels_last_transposed(name):
    build, shape = LAYOUTS[name]
    x = np.random.RandomState(0).randn(*shape).astype(np.float32)
    to_first = lambda a: np.moveaxis(a, -1, 1)  # noqa: E731
    last = hk.transform_with_state(build("channels_last"))
    first = hk.transform_with_state(build("channels_first"))
    params, state = jax.jit(last.init)(KEY, x)
    params = jax.tree.map(
        lambda p: p + 0.1 * np.random.RandomState(p.size).randn(*p.shape), params
    )
    params_first, state_first = jax.eval_shape(first.init, KEY, to_first(x))
    # The same numbers: kernels keep their shape, values per channel are reshaped.
    moved = jax.tree.map(lambda p, q: jnp.reshape(p, q.shape), params, params_first)
    assert jax.tree.structure(moved) == jax.tree.structure(params_first)
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), state_first)
    out, _ = jax.jit(last.apply)(params, state, KEY, x)
    out_first, _ = jax.jit(first.apply)(moved, zeros, KEY, to_first(x))
    np.testing.assert_allclose(out_first, to_first(out), rtol=1e-4, atol=1e-4)


def float64_problems():
    """Runs in the process with x64 and returns the problems by module."""
    problems = {}
    for name, row in ROWS.items():
        net = hk.transform_with_state(row.call)
        x = inputs(row, np.float64)
        params, state = jax.eval_shape(net.init, KEY, x)
        out, _ = jax.eval_shape(net.apply, params, state, KEY, x)
        wanted = np.float32 if row.integers else np.float64
        have = {y.dtype for y in floats((params, out))}
        if have != {jnp.dtype(wanted)}:
            problems[name] = f"dtypes {sorted(map(str, have))}"
            continue
        if name.startswith("nets."):
            continue  # consists of layers that run here
        values = jax.tree.map(
            lambda s: (jnp.ones(s.shape) / (s.size + 1)).astype(s.dtype),
            (params, state),
        )
        out, _ = jax.jit(lambda p, s: net.apply(p, s, KEY, x))(*values)  # noqa: B023
        if not all(np.isfinite(y).all() for y in floats(out)):
            problems[name] = "not finite"
    return problems


def test_every_module_keeps_float64():
    environment = {**os.environ, "JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu"}
    run = subprocess.run(
        [sys.executable, __file__], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert json.loads(run.stdout.splitlines()[-1]) == {}


def test_every_module_has_a_row():
    def modules(namespace):
        return {
            value
            for value in vars(namespace).values()
            if isinstance(value, type) and issubclass(value, hk.Module)
        }

    public = modules(hk) | modules(hk.nets)
    # ResNet18 etc. are a ResNet with other sizes; RNNCore and Module can't be called.
    public -= {hk.Module, hk.RNNCore}
    public = {m for m in public if m.__name__.rstrip("0123456789") != "ResNet"}
    rows = {name.removeprefix("nets.") for name in ROWS}
    assert {m.__name__ for m in public} - rows == set()


if __name__ == "__main__":
    print(json.dumps(float64_problems()))
