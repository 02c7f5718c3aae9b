"""Every layer and net under each setting of JAX: a table of subject x setting.

Most settings take effect while tracing, so most cells only trace. `conftest.py` prints
how many cells pass.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from leak_checks import checking_leaks
from module_table import ROWS, USES, inputs

import haiku as hk

pytestmark = pytest.mark.tables

# This generator compiles in a tenth of the default's time.
KEY = jax.random.key(3, impl="unsafe_rbg")
SUBJECTS = {**ROWS, **USES}
# They take values or weights instead of examples, so no axis may have length 0.
WITHOUT_EXAMPLES = [
    name for name in SUBJECTS if name[:3] in ("Exp", "EMA", "Spe", "SNP")
]


class Subject:
    """A program, the shapes of its values, and values for them."""

    def __init__(self, name):
        self.name, self.row = name, SUBJECTS[name]
        self.net = hk.transform_with_state(lambda x: self.row.call(x))
        self.x = inputs(self.row)
        self.shapes = jax.eval_shape(self.net.init, KEY, self.x)
        self.values = jax.tree.map(_some_values, self.shapes)
        self.out = jax.eval_shape(self.net.apply, *self.values, KEY, self.x)

    def run(self, x, key=KEY):
        """Runs `init`, then `apply` with its result."""
        return self.net.apply(*self.net.init(key, x), key, x)

    def loss(self, params, x):
        out, _ = self.net.apply(params, self.values[1], KEY, x)
        return sum(jnp.sum(jnp.sin(y).astype(jnp.float32)) for y in floats(out))


subject = functools.cache(Subject)


def _some_values(shape):
    values = np.random.RandomState(0).uniform(0.5, 1.0, shape.shape)
    return values.astype(shape.dtype)


def floats(tree):
    return [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]


def time_axis(row):
    return row.steps if row.time is None else row.time


def shapes(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, jnp.dtype(leaf.dtype)), tree)


def check_strict(s, setting):
    """Both runs and the gradient, if JAX neither converts nor broadcasts."""
    with setting:
        assert shapes(jax.eval_shape(s.net.init, KEY, s.x)) == shapes(s.shapes)
        out = jax.eval_shape(s.net.apply, *s.values, KEY, s.x)
        assert shapes(out) == shapes(s.out)
        if s.row.integers:
            jax.eval_shape(jax.grad(s.loss), s.values[0], s.x)
        else:
            jax.eval_shape(jax.grad(s.loss, argnums=(0, 1)), s.values[0], s.x)


def check_rank_promotion(s):
    check_strict(s, jax.numpy_rank_promotion("raise"))


def check_dtype_promotion(s):
    check_strict(s, jax.numpy_dtype_promotion("strict"))


def check_half(dtype, s):
    """Outputs, states of cores and parameters have the dtype of the inputs."""
    x = inputs(s.row, dtype)
    params, state = jax.eval_shape(s.net.init, KEY, x)
    assert {p.dtype for p in floats(params)} <= {jnp.dtype(dtype)}
    out, new_state = jax.eval_shape(s.net.apply, params, state, KEY, x)
    assert {y.dtype for y in floats(out)} <= {jnp.dtype(dtype)}
    assert shapes(new_state) == shapes(state)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        jax.eval_shape(s.run, x)


def check_symbolic(s):
    """`init` and `apply` can be exported for any number of examples and steps."""
    names = [str(n) for n in s.row.shape]
    names[s.row.batch] = "batch"
    if s.row.time is not None:
        names[s.row.time] = "time"
    shape = export.symbolic_shape(", ".join(names))
    x = jax.ShapeDtypeStruct(shape, s.x.dtype)
    key = jax.ShapeDtypeStruct((2,), np.uint32)
    params, state = s.shapes
    if s.name not in WITHOUT_EXAMPLES:  # their state has the shape of the values
        export.export(jax.jit(s.net.init))(key, x)
    else:
        params, state = jax.eval_shape(s.net.init, key, x)
    export.export(jax.jit(s.net.apply))(params, state, key, x)


def check_empty(s):
    """Without examples, outputs have size 0 and the state stays unchanged."""
    x = np.take(s.x, range(0), axis=s.row.batch)
    first = jax.eval_shape(s.net.init, KEY, x)
    state = jax.tree.map(_some_values, first[1])
    params = jax.tree.map(_some_values, first[0])
    out, new_state = jax.jit(s.net.apply)(params, state, KEY, x)
    assert jax.tree.structure(new_state) == jax.tree.structure(state)
    for before, after in zip(jax.tree.leaves(state), jax.tree.leaves(new_state)):
        np.testing.assert_array_equal(after, before)
    assert 0 in jax.tree.leaves(out)[0].shape
    _, state = s.net.init(KEY, x)
    assert not any(np.isnan(v).any() for v in floats(state))


def check_no_steps(s):
    """A sequence of length 0 gives outputs of size 0 and the initial state, zero."""
    x = np.take(s.x, range(0), axis=time_axis(s.row))
    out, _ = s.run(x)
    assert 0 in jax.tree.leaves(out)[0].shape
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(out))
    assert shapes(s.net.init(KEY, x)[0]) == shapes(s.shapes[0])


def check_disable_jit(s):
    with jax.disable_jit():
        out = jax.eval_shape(s.run, s.x)
        assert shapes(out) == shapes(s.out)
        if s.row.time is not None:
            one = np.take(s.x, range(1), axis=s.row.time)
            jax.eval_shape(s.run, one)


def check_leaks(s):
    """Both runs in one compiled function, and in separate compiled functions."""
    with checking_leaks():
        out = jax.eval_shape(jax.jit(lambda k, x: s.run(x, k)), KEY, s.x)
        assert shapes(out) == shapes(s.out)

        @jax.jit
        def nested(k, x):
            params, state = jax.jit(s.net.init)(k, x)
            return jax.jit(lambda p: s.net.apply(p, state, k, x))(params)

        assert shapes(jax.eval_shape(nested, KEY, s.x)) == shapes(s.out)


def check_vmap_of_grad(s):
    def gradient(x):
        return jax.grad(lambda p: s.loss(p, x))(params)

    params, batch = s.values[0], np.stack([s.x, s.x])
    with checking_leaks():
        out = jax.eval_shape(jax.jit(jax.vmap(gradient)), batch)
    wanted = jax.tree.map(lambda p: ((2, *p.shape), p.dtype), params)
    assert shapes(out) == wanted


def check_numpy_values(s):
    """A compiled function may close over NumPy arrays."""
    params, state = s.values
    assert all(isinstance(v, np.ndarray) for v in jax.tree.leaves(s.values))
    out = jax.eval_shape(jax.jit(lambda x: s.net.apply(params, state, KEY, x)), s.x)
    assert shapes(out) == shapes(s.out)
    jax.eval_shape(jax.jit(lambda x: jax.grad(s.loss)(params, x)), s.x)


def check_numpy_keys(s):
    key = np.asarray(jax.random.PRNGKey(0))
    assert shapes(jax.eval_shape(lambda x: s.net.init(key, x), s.x)) == shapes(s.shapes)
    out = jax.eval_shape(lambda x: s.net.apply(*s.values, key, x), s.x)
    assert shapes(out) == shapes(s.out)


SETTINGS = {
    "rank promotion raises": check_rank_promotion,
    "dtype promotion is strict": check_dtype_promotion,
    "bfloat16": functools.partial(check_half, jnp.bfloat16),
    "float16": functools.partial(check_half, np.float16),
    "symbolic shapes": check_symbolic,
    "no examples": check_empty,
    "no steps": check_no_steps,
    "disable_jit": check_disable_jit,
    "checking_leaks": check_leaks,
    "vmap of grad": check_vmap_of_grad,
    "NumPy values": check_numpy_values,
    "NumPy keys": check_numpy_keys,
}


CASES = [
    (name, setting)
    for name, row in SUBJECTS.items()
    for setting in SETTINGS
    if not (setting == "no examples" and name in WITHOUT_EXAMPLES)
    and not (setting == "no steps" and time_axis(row) is None)
    and not (setting in ("bfloat16", "float16") and row.integers)
]


@pytest.mark.parametrize(("name", "setting"), CASES)
def test_setting(name, setting):
    SETTINGS[setting](subject(name))
