"""Compares an op with its formula in NumPy float64: value and gradients."""

import jax
import jax.numpy as jnp
import numpy as np


def slopes(f, arguments, i, step=1e-6):
    """Central differences of sum(f * weights) in one argument."""
    x = np.asarray(arguments[i], float)
    out = np.zeros(x.shape)
    for place in np.ndindex(*x.shape):
        values = []
        for sign in (1, -1):
            moved = x.copy()
            moved[place] += sign * step
            values.append(weighted(f(*arguments[:i], moved, *arguments[i + 1 :])))
        out[place] = (values[0] - values[1]) / (2 * step)
    return out


def weighted(y):
    """One number of an array; every element counts with another weight."""
    y = np.asarray(y, float)
    return float(np.sum(y * weights(y.shape)))


def weights(shape):
    return np.linspace(0.5, 1.5, int(np.prod(shape))).reshape(shape)


def compare(op, formula, arguments, reached, *, slope_of=None, rtol=1e-5, atol=2e-6):
    """Asserts that op equals formula, and so do its gradients.

    Args:
      op: Of arrays in float32.
      formula: The same in NumPy float64.
      arguments: Arrays, as lists or NumPy's.
      reached: Numbers of the arguments that a gradient reaches; in the others it is 0.
      slope_of: A formula with the gradient wanted, where parts are stopped. Default:
        formula.
      rtol: Relative tolerance.
      atol: Absolute tolerance.
    """
    exact = [np.asarray(x, np.float32).astype(float) for x in arguments]
    single = [jnp.asarray(x, jnp.float32) for x in exact]

    def loss(*x):
        y = op(*x)
        return jnp.sum(y * weights(y.shape).astype(np.float32)), y

    of_all = jax.grad(loss, tuple(range(len(single))), has_aux=True)
    gradients, have = jax.jit(of_all)(*single)
    want = np.asarray(formula(*exact))
    assert have.shape == want.shape
    np.testing.assert_allclose(have, want, rtol=rtol, atol=atol)
    for i, gradient in enumerate(gradients):
        if i not in reached:
            np.testing.assert_array_equal(gradient, 0, err_msg=f"argument {i}")
            continue
        slope = slopes(slope_of or formula, exact, i)
        np.testing.assert_allclose(
            gradient, slope, rtol=rtol, atol=atol, err_msg=f"argument {i}"
        )


def garbage(x, mask, value=np.nan):
    """x with a value that must not count where the mask is false."""
    x = np.array(x, np.float32)
    x[~np.asarray(mask, bool)] = value
    return x
