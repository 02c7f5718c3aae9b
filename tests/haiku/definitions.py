"""Layers by their definitions in NumPy, and random numbers to compare them on."""

import jax
import numpy as np

import haiku as hk

KEY = jax.random.key(0, impl="unsafe_rbg")  # the fastest to compile


def normal(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape).astype(np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def normalise(x, axes, eps=1e-5):
    """Subtracts the mean over `axes` and divides by the standard deviation."""
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(variance + eps)


def convolve(x, w, stride, rate, zeros, groups=1):
    """Convolves x [B, T, C] with w [k, C / groups, D]."""
    x = np.pad(x, ((0, 0), zeros, (0, 0)))
    reach = (w.shape[0] - 1) * rate + 1
    size_in, size_out = x.shape[-1] // groups, w.shape[-1] // groups
    out = []
    for t in range(0, x.shape[1] - reach + 1, stride):
        window = x[:, t : t + reach : rate]
        parts = [
            np.einsum(
                "bkc,kcd->bd",
                window[..., g * size_in : (g + 1) * size_in],
                w[..., g * size_out : (g + 1) * size_out],
            )
            for g in range(groups)
        ]
        out.append(np.concatenate(parts, -1))
    return np.stack(out, 1)


def apply_layer(f, x):
    """Random parameters of a layer, and its output with them."""
    net = hk.transform(f)
    params = jax.tree.map(lambda p: normal(*p.shape), net.init(KEY, x))
    return next(iter(params.values())), jax.jit(net.apply)(params, None, x)


def run_step(core, x, state):
    """Random parameters of a core, and its output and state after a step with them."""
    net = hk.transform(lambda x, s: core()(x, s))
    params = jax.tree.map(lambda p: normal(*p.shape), net.init(KEY, x, state))
    out, state = net.apply(params, None, x, state)
    return params, np.asarray(out), jax.tree.map(np.asarray, state)
