"""Compares an op with its formula in NumPy: the value, and the gradient.

The formula runs in double precision; central differences of it stand for its gradient.
"""

import jax
import jax.numpy as jnp
import numpy as np


def single(x):
    """Floats in the precision of the op, so that both sides see the same numbers."""
    x = np.asarray(x)
    return x.astype(np.float32) if x.dtype.kind == "f" else x


def close(have, want, rtol=1e-5, atol=2e-6):
    have, want = jax.tree.leaves(have), jax.tree.leaves(want)
    for x, y in zip(have, want, strict=True):
        assert np.shape(x) == np.shape(y)
        np.testing.assert_allclose(x, y, rtol=rtol, atol=atol * max(1, np.abs(y).max()))


def equal(op, formula, *args, grads=(), rtol=1e-5, atol=2e-6):
    """Checks op(*args) and its gradients beside the formula.

    Args:
      op: Takes arrays, gives an array or a tuple of arrays.
      formula: The same in NumPy.
      *args: NumPy arrays or numbers.
      grads: The places of the arguments that gradients reach; in all other floats the
        gradient must be 0.
      rtol: Relative tolerance.
      atol: Absolute tolerance, relative to the largest number.
    """
    args = [single(x) for x in args]
    double = [x.astype(float) if x.dtype.kind == "f" else x for x in args]
    have, want = jax.jit(op)(*args), formula(*double)
    close(have, want, rtol, atol)

    def weighted(out, xp):
        """A sum with other weights for every output."""
        parts = [xp.asarray(x) for x in jax.tree.leaves(out)]
        return sum(
            xp.sum(x * np.cos(1 + np.arange(x.size)).reshape(x.shape).astype(x.dtype))
            for x in parts
        )

    floats = [i for i, x in enumerate(args) if x.dtype.kind == "f"]
    gradient = jax.jit(jax.grad(lambda *x: weighted(op(*x), jnp), floats))(*args)
    for i, g in zip(floats, gradient):
        assert np.isfinite(g).all()
        if i not in grads:
            np.testing.assert_array_equal(g, 0)
        else:
            close(
                g,
                differences(lambda *x: weighted(formula(*x), np), double, i),
                rtol,
                atol,
            )


def differences(formula, args, i, step=1e-6):
    """Central differences of a formula in its argument i."""
    slope = np.zeros(args[i].shape)
    for at in np.ndindex(slope.shape):
        ends = []
        for sign in (1, -1):
            moved = args[i].copy()
            moved[at] += sign * step
            ends.append(formula(*args[:i], moved, *args[i + 1 :]))
        slope[at] = (ends[0] - ends[1]) / (2 * step)
    return slope
