"""Streams of data drawn at random, and ops run over them.

A stream has several episodes, terminal and truncated, and padding after it. Tests
compare ops with plain loops over the equations of the papers.
"""

import functools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

T, A = 9, 3
SETTINGS = hypothesis.settings(max_examples=25, deadline=None, derandomize=True)
both_ways = pytest.mark.parametrize("parallel", [False, True])

SEQ = ("r", "d", "v")
VTRACE = ("v0", "v", "r", "d", "rho")
RETRACE = ("q0", "q", "a0", "a", "r", "d", "pi", "mu")


@st.composite
def streams(draw):
    """One stream of T steps: arrays of float64, and where it ends."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    bits = st.lists(st.booleans(), min_size=T, max_size=T)
    terminal, truncated = np.array(draw(bits)), np.array(draw(bits))
    length = draw(st.integers(1, T))
    s = {k: random.standard_normal(T) for k in ("r", "v", "v0", "boot")}
    s["d"] = np.where(terminal, 0, random.random(T))
    s |= {"l": random.random(T), "rho": 2.5 * random.random(T)}
    s |= {"q": random.standard_normal((T, A)), "q0": random.standard_normal((T, A))}
    s |= {"a": random.integers(0, A, T), "a0": random.integers(0, A, T)}
    pi = np.exp(random.standard_normal((T, A)))
    s |= {"pi": pi / pi.sum(-1, keepdims=True), "mu": 0.1 + 0.9 * random.random(T)}
    s |= {"cut": truncated & ~terminal, "mask": np.arange(T) < length}
    # The padding holds NaN, which must not matter.
    for k, x in s.items():
        if x.dtype == float:
            s[k] = np.where(s["mask"].reshape(-1, *[1] * (x.ndim - 1)), x, np.nan)
    s["length"] = length
    return s


def jax_arrays(s, *names):
    def dtype(x):
        return {"f": jnp.float32, "i": jnp.int32, "b": bool}[x.dtype.kind]

    return [jnp.asarray(s[k], dtype(s[k])) for k in names]


def ends(s, t):
    """Whether the trace stops after step t."""
    return s["cut"][t] or t + 1 == s["length"]


def bootstrap(s, t):
    """The value that the return of step t bootstraps from."""
    return s["boot"][t] if s["cut"][t] else s["v"][t]


def with_ends(op, *, names, **options):
    """Jits op over a stream, with the three keywords that say where it ends."""

    @jax.jit
    def run(args, mask, cut, boot):
        ends = {"mask_t": mask, "truncation_t": cut, "bootstrap_t": boot}
        return op(*args, **ends, **options)

    return lambda s: run(jax_arrays(s, *names), *jax_arrays(s, "mask", "cut", "boot"))


def with_values(s):
    """The stream with `values` [T + 1], and its end as a truncation.

    A truncated step must not see the next of the values, but the one to bootstrap with.
    """
    last = np.arange(T) == s["length"] - 1
    s = {**s, "cut": s["cut"] | last, "boot": np.where(last, s["v"], s["boot"])}
    s["v"] = np.append(s["v0"], 0.0)[1:]
    return {**s, "values": np.append(s["v0"], s["v"][s["length"] - 1])}


def build(op, names, *extra):
    """A function of `parallel` that gives the op of a stream."""
    return functools.cache(
        lambda parallel: with_ends(
            lambda *x, **k: op(*x, *extra, **k), names=names, parallel=parallel
        )
    )


def close(have, want):
    np.testing.assert_allclose(have, want, rtol=2e-4, atol=2e-4)
