"""Compares an op in single precision with its formula in NumPy, in double precision.

Central differences of the formula stand for its gradient.
"""

import jax
import jax.numpy as jnp
import numpy as np


def equal(op, formula, *args, grads=(), slope_of=None, rtol=1e-5, atol=2e-6):
    """Checks op(*args) and its gradients beside the formula.

    Args:
      op: Takes arrays, gives an array or a tuple of arrays.
      formula: The same in NumPy.
      *args: Lists, NumPy arrays or numbers.
      grads: The places of the arguments that gradients reach; in all other floats the
        gradient must be 0.
      slope_of: A formula with the gradient wanted, where parts are stopped. Default:
        formula.
      rtol: Relative tolerance.
      atol: Absolute tolerance, relative to the largest number, at least 1.
    """
    args = [single(x) for x in args]
    exact = [x.astype(float) if x.dtype.kind == "f" else x for x in args]
    floats = [i for i, x in enumerate(args) if x.dtype.kind == "f"]

    def loss(*x):
        y = op(*x)
        return weighted(y, jnp), y

    gradients, have = jax.jit(jax.grad(loss, floats, has_aux=True))(*args)
    close(have, formula(*exact), rtol, atol)
    for i, gradient in zip(floats, gradients):
        assert np.isfinite(gradient).all(), f"argument {i}"
        if i in grads:
            close(gradient, differences(slope_of or formula, exact, i), rtol, atol)
        else:
            np.testing.assert_array_equal(gradient, 0, err_msg=f"argument {i}")


def single(x):
    """Floats in the precision of the op, so that both sides see the same numbers."""
    x = np.asarray(x)
    return x.astype(np.float32) if x.dtype.kind == "f" else x


def close(have, want, rtol=1e-5, atol=2e-6):
    have, want = jax.tree.leaves(have), jax.tree.leaves(want)
    for x, y in zip(have, want, strict=True):
        assert np.shape(x) == np.shape(y)
        largest = np.max(np.abs(y), initial=1)
        np.testing.assert_allclose(x, y, rtol=rtol, atol=atol * largest)


def weighted(outputs, xp=np):
    """One number of all outputs; every element counts with another weight."""
    flat = xp.concatenate([xp.ravel(xp.asarray(x)) for x in jax.tree.leaves(outputs)])
    return xp.sum(flat * np.linspace(0.5, 1.5, flat.size).astype(flat.dtype))


def differences(formula, args, i, step=1e-6):
    """Central differences of the weighted outputs in argument i."""
    slope = np.zeros(args[i].shape)
    for place in np.ndindex(slope.shape):
        ends = []
        for sign in (1, -1):
            moved = args[i].copy()
            moved[place] += sign * step
            ends.append(weighted(formula(*args[:i], moved, *args[i + 1 :])))
        slope[place] = (ends[0] - ends[1]) / (2 * step)
    return slope


def garbage(x, mask, value=np.nan):
    """x with a value that must not count where the mask is false."""
    x = np.array(x, np.float32)
    x[~np.asarray(mask, bool)] = value
    return x
