"""Every op through jit, vmap, grad, dtypes, leak checks, time-major batches.

The table of ops is `op_table.py`. The test in float64 runs this file as a program,
since it needs a process with JAX_ENABLE_X64.
"""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from leak_checks import checking_leaks
from op_table import (
    KEEP_FLOAT32,
    NO_GRADIENT,
    OPS,
    SEQUENCES,
    B,
    arguments,
    is_float,
    leaves_of,
)

pytestmark = pytest.mark.tables

# In bfloat16 these draw other random numbers, or round a value into another bin.
NOT_COMPARED = {
    *("two_hot", "squashed_gaussian", "gaussian_diagonal", "add_gaussian_noise"),
    *("add_ornstein_uhlenbeck_noise", "add_dirichlet_noise", "policy_targets"),
    *("categorical_sample", "zero_policy_targets"),
    *("episodic_memory_intrinsic_rewards", "smoothed_target_action"),
    *("ornstein_uhlenbeck_step", "tanh_gaussian", "scaled_beta", "von_mises"),
    "gaussian_mixture",
}


def value_and_gradients(name):
    """Float outputs, and the gradients of their sum in all float arguments."""

    def f(*xs):
        floats = {i: x for i, x in enumerate(xs) if is_float(x)}

        def loss(floats):
            out = leaves_of(name)(*(floats.get(i, x) for i, x in enumerate(xs)))
            out = [x for x in out if is_float(x)]
            return sum(jnp.sum(x.astype(jnp.float32)) for x in out), out

        if name in NO_GRADIENT:
            return loss(floats)[1], []
        grads, out = jax.grad(loss, has_aux=True)(floats)
        return out, jax.tree.leaves(grads)

    return f


@pytest.mark.parametrize("name", OPS)
def test_lanes_of_jit_vmap_grad_equal_single_calls(name):
    """For an op and for its gradient."""
    batch = arguments(name, lead=(B,))
    with checking_leaks():
        together = jax.jit(jax.vmap(value_and_gradients(name)))(*batch)
    alone = jax.jit(value_and_gradients(name))
    for lane in range(B):
        one = alone(*(x[lane] for x in batch))
        for x, y in zip(jax.tree.leaves(together), jax.tree.leaves(one), strict=True):
            assert np.isfinite(y).all()
            np.testing.assert_allclose(x[lane], y, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", OPS)
def test_bfloat16_comes_out_where_it_goes_in(name):
    narrow = [x.astype(jnp.bfloat16) if is_float(x) else x for x in arguments(name)]

    @jax.jit
    def both(*narrow):
        # The same numbers in single precision: three digits must agree.
        wide = [x.astype(jnp.float32) if is_float(x) else x for x in narrow]
        exact = [x for x in leaves_of(name)(*wide) if is_float(x)]
        return *value_and_gradients(name)(*narrow), exact

    out, grads, exact = both(*narrow)
    if name not in KEEP_FLOAT32:
        assert {x.dtype for x in [*out, *grads]} == {jnp.dtype(jnp.bfloat16)}
    assert all(np.isfinite(np.asarray(x, np.float32)).all() for x in [*out, *grads])
    if name not in NOT_COMPARED:
        for x, y in zip(out, exact, strict=True):
            y = np.asarray(y)
            off = np.abs(np.asarray(x, np.float32) - y)
            assert off.max() < 0.05 * (1 + np.abs(y).max())


@pytest.mark.parametrize("name", SEQUENCES)
def test_time_major_batch_equals_vmap_over_axis_one(name):
    batch = arguments(name, lead=(B,), axis=1)
    direct = jax.jit(leaves_of(name))(*batch)
    shape = jax.eval_shape(leaves_of(name), *(x[:, 0] for x in batch))
    out_axes = [min(1, x.ndim) for x in shape]
    mapped = jax.jit(jax.vmap(leaves_of(name), in_axes=1, out_axes=out_axes))(*batch)
    for x, y in zip(direct, mapped, strict=True):
        assert x.shape == y.shape
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)


def check_float64():
    """Compares every op in double precision with single precision."""
    assert jax.config.jax_enable_x64
    wide = {name: arguments(name, dtype=np.float64) for name in OPS}
    single = jax.tree.map(lambda x: x.astype(jnp.float32) if is_float(x) else x, wide)

    @jax.jit  # one program of all ops compiles faster than as many programs
    def all_ops(args):
        return {name: leaves_of(name)(*x) for name, x in args.items()}

    out, near = all_ops(wide), all_ops(single)
    for name in OPS:
        for x, y in zip(out[name], near[name], strict=True):
            if is_float(x) and name not in KEEP_FLOAT32:
                assert (x.dtype, y.dtype) == (jnp.float64, jnp.float32), name
            if name not in NOT_COMPARED:
                np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-3, err_msg=name)


def test_float64_comes_out_where_it_goes_in():
    settings = {"JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu"}
    env = {**os.environ, **settings, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", __file__],
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


if __name__ == "__main__":
    check_float64()
