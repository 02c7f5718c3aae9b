"""V-trace and leaky V-trace beside plain loops over their equations."""

import hypothesis
import numpy as np
from random_streams import (
    SETTINGS,
    VTRACE,
    T,
    bootstrap,
    both_ways,
    build,
    close,
    ends,
    streams,
)

import rlax


def vtrace_loop(s, clip=1.0, clip_pg=0.8, alpha=1.0):
    rho = {k: alpha * np.minimum(s["rho"], k) + (1 - alpha) * s["rho"] for k in
           (1.0, clip, clip_pg)}  # fmt: skip
    vs, q = np.array(s["v0"]), np.zeros(T)
    for t in reversed(range(s["length"])):
        delta = rho[clip][t] * (s["r"][t] + s["d"][t] * bootstrap(s, t) - s["v0"][t])
        vs[t] = s["v0"][t] + delta
        ahead = bootstrap(s, t)
        if not ends(s, t):
            trace = s["d"][t] * s["l"][t] * rho[1.0][t]
            vs[t] += trace * (vs[t + 1] - s["v0"][t + 1])
            ahead = s["l"][t] * vs[t + 1] + (1 - s["l"][t]) * s["v0"][t + 1]
        q[t] = s["r"][t] + s["d"][t] * ahead

    def keep(x):
        return np.where(s["mask"], x, 0)

    return keep(vs - s["v0"]), keep(rho[clip_pg] * (q - s["v0"])), keep(q)


vtrace = build(rlax.vtrace, (*VTRACE, "l"))
advantage = build(
    lambda *x, **k: tuple(rlax.vtrace_td_error_and_advantage(*x, 1.0, 0.8, **k)),
    (*VTRACE, "l"),
)
leaky = build(
    lambda *x, **k: tuple(
        rlax.leaky_vtrace_td_error_and_advantage(*x[:5], 0.6, x[5], 0.7, 0.8, **k)
    ),
    (*VTRACE, "l"),
)


@both_ways
@SETTINGS
@hypothesis.given(s=streams())
def test_errors_and_advantages_equal_the_loop(parallel, s):
    errors, advantages, q = vtrace_loop(s)
    close(vtrace(parallel)(s), errors)
    for have, want in zip(advantage(parallel)(s), (errors, advantages, q)):
        close(have, want)


@both_ways
@SETTINGS
@hypothesis.given(s=streams())
def test_leaky_errors_and_advantages_equal_the_loop(parallel, s):
    for have, want in zip(leaky(parallel)(s), vtrace_loop(s, 0.7, 0.8, alpha=0.6)):
        close(have, want)


def test_step_out_of_the_sample_has_the_error_of_the_next():
    """A masked step has the next step's error; the others skip it."""
    random = np.random.default_rng(1)
    v0, v1, r = random.standard_normal((3, 4)).astype(np.float32)
    d, rho = np.full(4, 0.9, np.float32), np.full(4, 2.0, np.float32)
    mask = np.array([True, False, True, True])
    errors = rlax.vtrace(v0, v1, r, d, rho, sample_mask=mask)
    delta = r + d * v1 - v0
    want = np.zeros(4)
    want[3] = delta[3]
    want[2] = delta[2] + 0.9 * want[3]
    want[1] = want[2]
    want[0] = delta[0] + 0.9 * want[1]
    np.testing.assert_allclose(errors, want, rtol=1e-5)


def test_one_alpha_stands_for_all_steps():
    r, discount, v = np.random.default_rng(0).random((3, 5)).astype(np.float32)
    steps = rlax.leaky_vtrace(v, v, r, discount, discount, np.full(5, 0.5, np.float32))
    close(rlax.leaky_vtrace(v, v, r, discount, discount, 0.5), steps)
