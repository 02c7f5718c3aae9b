"""Returns, traces and V-trace beside plain loops over the papers' equations.

Streams are drawn at random: several episodes, terminal and truncated, padding behind.
"""

import functools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlax

T, A = 9, 3
SETTINGS = hypothesis.settings(max_examples=25, deadline=None, derandomize=True)


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
    # Whatever stands in the padding must not matter.
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
    """Whether the trace stops behind step t."""
    return s["cut"][t] or t + 1 == s["length"]


def bootstrap(s, t):
    return s["boot"][t] if s["cut"][t] else s["v"][t]


# ---------------------------- loops over the equations ----------------------------


def lambda_returns_loop(s):
    g = np.zeros(T)
    for t in reversed(range(s["length"])):
        v, mix = bootstrap(s, t), 0.0 if ends(s, t) else s["l"][t]
        after = 0.0 if ends(s, t) else g[t + 1]
        g[t] = s["r"][t] + s["d"][t] * ((1 - mix) * v + mix * after)
    return g


def n_step_loop(s, n):
    g = np.zeros(T)
    for start in range(s["length"]):
        discount = 1.0
        for t in range(start, s["length"]):
            g[start] += discount * s["r"][t]
            discount *= s["d"][t]
            if ends(s, t) or t - start + 1 == n:
                g[start] += discount * bootstrap(s, t)
                break
    return g


def gae_loop(s):
    a = np.zeros(T)
    for t in reversed(range(s["length"])):
        delta = s["r"][t] + s["d"][t] * bootstrap(s, t) - s["v0"][t]
        after = 0.0 if ends(s, t) else a[t + 1]
        a[t] = delta + s["d"][t] * s["l"][t] * after
    return a


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


def retrace_loop(s, lambda_=0.9):
    g, at = np.zeros(T), np.arange(T)
    v, qa = (s["pi"] * s["q"]).sum(-1), s["q"][at, s["a"]]
    c = lambda_ * np.minimum(1, s["pi"][at, s["a"]] / (s["mu"] + 1e-8))
    for t in reversed(range(s["length"])):
        value = s["boot"][t] if s["cut"][t] else v[t]
        correction = 0.0 if ends(s, t) else c[t] * (g[t + 1] - qa[t])
        g[t] = s["r"][t] + s["d"][t] * (value + correction)
    return np.where(s["mask"], g - s["q0"][at, s["a0"]], 0)


def importance_loop(s):
    e = np.zeros(T)
    for t in reversed(range(s["length"])):
        delta = s["r"][t] + s["d"][t] * bootstrap(s, t) - s["v0"][t]
        after = 0.0 if ends(s, t) else e[t + 1]
        e[t] = s["rho"][t] * (delta + s["d"][t] * s["l"][t] * after)
    return e


# ------------------------------- and ours beside them ------------------------------


def with_ends(op, *, names, **options):
    """Jits op over a stream with all three keywords."""

    @jax.jit
    def run(args, mask, cut, boot):
        ends = {"mask_t": mask, "truncation_t": cut, "bootstrap_t": boot}
        return op(*args, **ends, **options)

    return lambda s: run(jax_arrays(s, *names), *jax_arrays(s, "mask", "cut", "boot"))


def values_of(s):
    """[T + 1] values whose later entry a truncated step must not see."""
    return {**s, "values": np.append(s["v0"], s["v"][s["length"] - 1])}


def gae(*args, **options):
    return rlax.truncated_generalized_advantage_estimation(*args, **options)


SEQ = ("r", "d", "v")
VTRACE = ("v0", "v", "r", "d", "rho")
RETRACE = ("q0", "q", "a0", "a", "r", "d", "pi", "mu")
both = pytest.mark.parametrize("parallel", [False, True])


def build(op, names, *extra):
    return functools.cache(
        lambda parallel: with_ends(
            lambda *x, **k: op(*x, *extra, **k), names=names, parallel=parallel
        )
    )


lambda_returns = build(rlax.lambda_returns, (*SEQ, "l"))
td_lambda = build(rlax.td_lambda, ("v0", *SEQ, "l"))
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
retrace = build(rlax.retrace, RETRACE, 0.9)
importance = build(
    rlax.importance_corrected_td_errors, ("r", "d", "rho", "l", "values")
)
gae_of = build(gae, ("r", "d", "l", "values"))


def close(have, want):
    np.testing.assert_allclose(have, want, rtol=2e-4, atol=2e-4)


@both
@SETTINGS
@hypothesis.given(s=streams())
def test_lambda_returns(parallel, s):
    close(lambda_returns(parallel)(s), lambda_returns_loop(s))
    errors = np.where(s["mask"], lambda_returns_loop(s) - s["v0"], 0)
    close(td_lambda(parallel)(s), errors)


@pytest.mark.parametrize("n", [1, 2, 5, 8, 30])
@SETTINGS
@hypothesis.given(s=streams())
def test_n_step_returns(n, s):
    close(n_step(n)(s), n_step_loop(s, n))


@functools.cache
def n_step(n):
    def op(*x, **k):
        return rlax.n_step_bootstrapped_returns(*x, n, **k)

    return with_ends(op, names=SEQ)


@both
@SETTINGS
@hypothesis.given(s=streams())
def test_generalized_advantages(parallel, s):
    # Behind the end of the stream, `values` holds the value to bootstrap with.
    s = {**s, "cut": s["cut"] | (np.arange(T) == s["length"] - 1)}
    s["boot"] = np.where(np.arange(T) == s["length"] - 1, s["v"], s["boot"])
    s["v"] = np.append(s["v0"], 0.0)[1:]
    close(gae_of(parallel)(values_of(s)), gae_loop(s))
    close(importance(parallel)(values_of(s)), importance_loop(s))


@both
@SETTINGS
@hypothesis.given(s=streams())
def test_vtrace(parallel, s):
    errors, advantages, q = vtrace_loop(s)
    close(vtrace(parallel)(s), errors)
    for have, want in zip(advantage(parallel)(s), (errors, advantages, q)):
        close(have, want)
    for have, want in zip(leaky(parallel)(s), vtrace_loop(s, 0.7, 0.8, alpha=0.6)):
        close(have, want)


@both
@SETTINGS
@hypothesis.given(s=streams())
def test_retrace(parallel, s):
    close(retrace(parallel)(s), retrace_loop(s))


EPISODIC = {
    "lambda_returns": (rlax.lambda_returns, (*SEQ, "l")),
    "discounted_returns": (rlax.discounted_returns, SEQ),
    "n_step": (lambda *x, **k: rlax.n_step_bootstrapped_returns(*x, 4, **k), SEQ),
    "gae": (gae, ("r", "d", "l", "values")),
    "td_lambda": (rlax.td_lambda, ("v0", *SEQ, "l")),
    "sarsa_lambda": (rlax.sarsa_lambda, ("q0", "a0", "r", "d", "q", "a", "l")),
    "q_lambda": (rlax.q_lambda, ("q0", "a0", "r", "d", "q", "l")),
    "retrace": (lambda *x, **k: rlax.retrace(*x, 0.9, **k), RETRACE),
    "vtrace": (rlax.vtrace, (*VTRACE, "l")),
    "vtrace_advantage": (
        lambda *x, **k: tuple(rlax.vtrace_td_error_and_advantage(*x, **k)),
        VTRACE,
    ),
    "n_step_q": (
        lambda *x, **k: rlax.transformed_n_step_q_learning(
            *x, 3, tx_pair=rlax.SIGNED_LOGP1_PAIR, **k
        ),
        ("q0", "a0", "q", "a", "r", "d"),
    ),
}
SCAN_ONLY = {"n_step", "n_step_q"}


@pytest.mark.parametrize(
    ("name", "parallel"),
    [(n, p) for n in EPISODIC for p in (False, True) if not (p and n in SCAN_ONLY)],
)
def test_nothing_of_a_later_episode_reaches_an_earlier_one(name, parallel):
    """NaN behind a truncated step: values and gradients before it do not change."""
    op, names = EPISODIC[name]
    options = {} if name in SCAN_ONLY else {"parallel": parallel}
    end = 4
    random = np.random.default_rng(0)
    s = {k: random.standard_normal(T) for k in ("r", "v", "v0", "boot")}
    s |= {k: 0.1 + 0.8 * random.random(T) for k in ("d", "l", "rho", "mu")}
    s |= {"q": random.standard_normal((T, A)), "q0": random.standard_normal((T, A))}
    s |= {"a": random.integers(0, A, T), "a0": random.integers(0, A, T)}
    s |= {"pi": np.full((T, A), 1 / A), "values": random.standard_normal(T + 1)}
    cut = jnp.arange(T) == end

    @jax.jit
    def first_episode(args):
        out = op(*args, truncation_t=cut, bootstrap_t=jnp.asarray(s["boot"]), **options)
        return [x[: end + 1] for x in jax.tree.leaves(out)]

    def loss(floats, args):
        args = [floats.get(i, x) for i, x in enumerate(args)]
        return sum(x.sum() for x in first_episode(args))

    def run(args):
        floats = {i: x for i, x in enumerate(args) if x.dtype == jnp.float32}
        return first_episode(args), jax.jit(jax.grad(loss))(floats, args)

    clean = jax_arrays(s, *names)
    # Of `values`, entry end + 1 belongs to the next episode.
    spoiled = [
        x.at[end + 1 :].set(jnp.nan) if x.dtype == jnp.float32 else x for x in clean
    ]
    (out, grads), (out_spoiled, grads_spoiled) = run(clean), run(spoiled)
    for x, y in zip(out, out_spoiled):
        assert np.isfinite(x).all()
        np.testing.assert_array_equal(x, y)
    for i, x in grads.items():
        np.testing.assert_allclose(
            x[: end + 1], grads_spoiled[i][: end + 1], rtol=1e-6, err_msg=names[i]
        )
        assert not np.any(x[end + 1 :])


def test_sample_mask_passes_over_steps():
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


def test_discounted_returns_take_the_last_value_alone():
    r, d = np.ones(3, np.float32), np.full(3, 0.5, np.float32)
    np.testing.assert_allclose(rlax.discounted_returns(r, d, 8.0), [2.75, 3.5, 5.0])
    batch = rlax.discounted_returns(
        np.ones((3, 2), np.float32), d, np.array([8.0, 0.0], np.float32)
    )
    np.testing.assert_allclose(batch[:, 0], [2.75, 3.5, 5.0])
    np.testing.assert_allclose(batch[:, 1], [1.75, 1.5, 1.0])


def test_stopped_returns_pass_no_gradient():
    x = jnp.linspace(0.1, 0.9, 4)
    grads = jax.grad(
        lambda *a: rlax.importance_corrected_td_errors(
            *a[:4], jnp.append(a[4], 0.3), True
        ).sum(),
        argnums=range(5),
    )(x, x, x, x, x)
    for g in grads[:4]:
        assert not g.any()
    np.testing.assert_allclose(grads[4], -np.ones(4))
