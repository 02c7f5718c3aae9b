"""Token ops beside loops over kept tokens; packed rows beside single ones."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy_formulas import equal, garbage
from random_streams import SETTINGS

import rlax

T = 9
RANDOM = np.random.default_rng(1)
PI, MU = -np.abs(RANDOM.standard_normal((2, T)))
ADV = RANDOM.standard_normal(T)
WEIGHT = RANDOM.random(T)
MASK = np.array([0, 1, 1, 0, 1, 0, 0, 1, 1], bool)
SEGMENTS = np.array([4, 4, 4, 4, 7, 7, 4, 4, 0])


def runs(segments):
    """Slices of equal numbers."""
    ends = [*(np.flatnonzero(np.diff(segments)) + 1), len(segments)]
    return [slice(a, b) for a, b in zip([0, *ends], ends)]


def by_run(f, segments):
    """A formula of one answer, for a row of several."""

    def packed(*x):
        parts = [f(*(v[s] if np.ndim(v) else v for v in x)) for s in runs(segments)]
        return np.concatenate(parts)

    return packed


# ------------------------------------- losses -------------------------------------


def losses(level, clipping, low=0.2, high=0.3, dual=None):
    """The value, and a formula with the gradient: what is stopped is held at `at`."""

    def one(pi, mu, adv, weight, mask, at=None):
        at = pi if at is None else at
        keep = mask.astype(bool)
        out = np.zeros(len(pi))
        if not keep.any():
            return out
        mean = np.exp(np.mean((pi - mu)[keep]))
        held = np.exp(np.mean((at - mu)[keep]))
        for t in np.flatnonzero(keep):
            rho = {
                "token": np.exp(pi[t] - mu[t]),
                "sequence": mean,
                "sequence_token": held * np.exp(pi[t] - at[t]),
            }[level]
            stopped = np.exp(at[t] - mu[t]) if level == "token" else held
            if clipping == "surrogate":
                s = min(rho * adv[t], np.clip(rho, 1 - low, 1 + high) * adv[t])
                s = max(s, dual * adv[t]) if dual and adv[t] < 0 else s
            elif clipping == "cispo":
                s = np.clip(stopped, 1 - low, 1 + high) * adv[t] * pi[t]
            else:
                s = rho * adv[t]
            out[t] = -weight[t] * s
        return out

    return one


LEVELS = ("token", "sequence", "sequence_token")


@pytest.mark.parametrize("segments", [None, SEGMENTS])
@pytest.mark.parametrize("clipping", ["surrogate", "cispo", "none"])
@pytest.mark.parametrize("level", LEVELS)
def test_losses_equal_their_formula(level, clipping, segments):
    def op(pi, mu, adv, weight):
        return rlax.token_policy_losses(
            *(pi, mu, adv),
            **{"mask_t": MASK, "epsilon_high": 0.3, "dual_clip": 1.5},
            **{"ratio_level": level, "clipping": clipping, "weight_t": weight},
            segments_t=segments,
        )

    one = losses(level, clipping, dual=1.5)
    whole = one if segments is None else by_run(one, segments)
    at = PI.astype(np.float32).astype(float)
    equal(
        op,
        lambda *x: whole(*x, MASK),
        PI,
        MU,
        ADV,
        WEIGHT,
        grads=(0,),
        slope_of=lambda *x: whole(*x, MASK, at),
    )


def test_one_advantage_is_spread_over_the_sequence():
    have = rlax.token_policy_losses(PI, MU, 0.5, mask_t=MASK)
    want = rlax.token_policy_losses(PI, MU, np.full(T, 0.5), mask_t=MASK)
    np.testing.assert_array_equal(have, want)


@pytest.mark.parametrize("distance", [-200.0, 200.0])
@pytest.mark.parametrize("clipping", ["surrogate", "cispo", "none"])
@pytest.mark.parametrize("level", LEVELS)
def test_distant_policies_give_finite_losses_and_gradients(level, clipping, distance):
    def loss(pi):
        return rlax.token_policy_losses(
            *(pi, pi * 0, jnp.array([1.0, 0.0, -3.0])),
            **{"ratio_level": level, "clipping": clipping},
        )

    pi = jnp.full(3, distance)
    assert not np.isnan(loss(pi)).any()
    assert np.isfinite(loss(pi)[:2]).all()
    gradient = jax.grad(lambda x: loss(x).sum())(pi)
    assert not np.isnan(gradient).any()
    assert np.isfinite(gradient[:2]).all()


# ------------------------------------ weights -------------------------------------


@pytest.mark.parametrize("segments", [None, SEGMENTS])
@pytest.mark.parametrize("outside", ["clip", "zero"])
@pytest.mark.parametrize("level", ["token", "sequence", "geometric"])
def test_weights_equal_their_formula(level, outside, segments):
    reduce = {"sequence": np.sum, "geometric": np.mean}.get(level)

    def one(pi, mu, keep):
        x = (pi - mu)[keep]
        if reduce and len(x):
            x = np.full(len(x), reduce(x))
        w = np.exp(x)
        clipped = np.clip(w, 0.6, 1.8)
        out = np.zeros(len(pi))
        out[keep] = clipped if outside == "clip" else np.where(w == clipped, w, 0)
        return out

    def op(pi, mu):
        return rlax.truncated_importance_weights(
            *(pi, mu),
            **{"mask_t": MASK, "level": level, "outside": outside},
            **{"min_weight": 0.6, "max_weight": 1.8, "segments_t": segments},
        )

    whole = one if segments is None else by_run(one, segments)
    equal(op, lambda *x: whole(*x, MASK), PI, MU)


@pytest.mark.parametrize("level", ["token", "sequence", "geometric"])
def test_weights_of_distant_engines_reach_their_limits(level):
    for distance, clipped in ((200.0, 2.0), (-200.0, 0.5)):
        far, near = np.full(3, distance, np.float32), np.zeros(3, np.float32)
        for outside, want in (("clip", clipped), ("zero", 0.0)):
            have = rlax.truncated_importance_weights(
                far, near, level=level, min_weight=0.5, outside=outside
            )
            np.testing.assert_array_equal(have, want)


# ------------------------------------ rewards -------------------------------------


KL = {"k1": lambda d: d, "k3": lambda d: np.expm1(-d) + d}


@pytest.mark.parametrize("segments", [None, SEGMENTS])
@pytest.mark.parametrize("estimator", KL)
def test_rewards_equal_their_formula(estimator, segments):
    def one(reward, pi, ref, keep):
        r = np.where(keep, -0.1 * KL[estimator](pi - ref), 0)
        if keep.any():
            last = np.flatnonzero(keep)[-1]
            r[last] += np.clip(reward[last] if np.ndim(reward) else reward, -1, 1)
        return r

    def op(reward, pi, ref):
        return rlax.rlhf_rewards(
            *(reward, pi, ref, 0.1),
            **{"mask_t": MASK, "estimator": estimator, "reward_clip": 1.0},
            segments_t=segments,
        )

    whole = one if segments is None else by_run(one, segments)
    rewards = (2.5, -0.5) if segments is None else (ADV, 2.5)
    for reward in rewards:
        equal(op, lambda *x: whole(*x, MASK), reward, PI, MU)


def test_no_kept_token_gets_no_reward():
    none = np.zeros(T, bool)
    have = rlax.rlhf_rewards(np.nan, PI, MU, 0.1, mask_t=none)
    np.testing.assert_array_equal(have, 0)


def test_whole_numbers_are_rewards_too():
    have = rlax.rlhf_rewards(np.int32(2), PI[:2], PI[:2], 0.1)
    np.testing.assert_array_equal(have, [0, 2])


# ----------------------------------- advantages -----------------------------------


def advantages(r, v, lambda_, discount, bootstrap, mask):
    """GAE over the kept tokens, one after the other."""
    kept = np.flatnonzero(mask)
    ends = [*kept[1:], len(r)]
    out, after = np.zeros(len(r)), 0.0
    for k, end in reversed(list(zip(kept, ends))):
        last = end == len(r)
        v_next = (bootstrap[k] if np.ndim(bootstrap) else bootstrap) if last else v[end]
        gamma = discount[k] if np.ndim(discount) else discount
        lam = lambda_[k] if np.ndim(lambda_) else lambda_
        delta = r[k:end].sum() + gamma * v_next - v[k]
        out[k] = after = delta + gamma * lam * after
    return out


@pytest.mark.parametrize(
    ("mask", "segments"),
    [(MASK, None), (MASK, SEGMENTS), (MASK | True, None), (MASK & False, SEGMENTS)],
)
@pytest.mark.parametrize("each", [False, True])
def test_advantages_equal_the_loop(mask, segments, each):
    r, v = RANDOM.standard_normal((2, T))
    lambda_, discount = RANDOM.random((2, T)) if each else (0.9, 0.8)
    bootstrap = RANDOM.standard_normal(T) if each and segments is not None else 0.7

    def op(r, v, lambda_, discount, bootstrap):
        return rlax.token_advantages(
            *(r, v, lambda_),
            **{"discount_t": discount, "bootstrap": bootstrap, "mask_t": mask},
            segments_t=segments,
        )

    whole = advantages if segments is None else by_run(advantages, segments)
    arguments = (r, v, lambda_, discount, bootstrap)
    equal(op, lambda *x: whole(*x, mask), *arguments, grads=range(5))


def test_advantages_stop_on_request():
    def loss(v):
        return rlax.token_advantages(ADV, v, stop_target_gradients=True).sum()

    np.testing.assert_array_equal(jax.grad(loss)(jnp.asarray(MU)), 0)


def test_advantages_of_all_tokens_are_gae():
    r, values = RANDOM.standard_normal(T), RANDOM.standard_normal(T + 1)
    have = rlax.token_advantages(
        r, values[:-1], 0.9, discount_t=0.8, bootstrap=values[-1]
    )
    want = rlax.truncated_generalized_advantage_estimation(
        r, np.full(T, 0.8), 0.9, values
    )
    np.testing.assert_allclose(have, want, rtol=1e-5)


# ------------------------------------- packed -------------------------------------


OPS = {
    **{
        f"losses {level}": (
            lambda pi, mu, adv, level=level, **k: rlax.token_policy_losses(
                pi, mu, adv, ratio_level=level, **k
            )
        )
        for level in LEVELS
    },
    **{
        f"weights {level}": (
            lambda pi, mu, adv, level=level, **k: rlax.truncated_importance_weights(
                pi, mu, level=level, **k
            )
        )
        for level in ("token", "sequence", "geometric")
    },
    "rewards": lambda pi, mu, adv, **k: rlax.rlhf_rewards(0.5, pi, mu, 0.1, **k),
    "advantages": lambda pi, mu, adv, **k: rlax.token_advantages(
        jnp.where(k["mask_t"], adv, 0.0), mu, 0.9, discount_t=0.95, bootstrap=0.3, **k
    ),
}


@functools.cache
def jitted(name, packed):
    """Gradient and value of an op of one shape, compiled once for all examples."""

    def loss(x, mask, segments):
        k = {"segments_t": segments} if packed else {}
        y = OPS[name](*x, mask_t=mask, **k)
        return jnp.sum(jnp.sin(y)), y

    return jax.jit(jax.grad(loss, has_aux=True))


@pytest.mark.parametrize("name", OPS)
@SETTINGS
@given(seed=st.integers(0, 999))
def test_packed_equals_alone(name, seed):
    random = np.random.default_rng(seed)
    x = -np.abs(random.standard_normal((3, T))).astype(np.float32)
    mask = random.random(T) < 0.7
    x = np.where(mask, x, random.choice([np.nan, np.inf, -np.inf], x.shape))
    x = x.astype(np.float32)
    segments = np.cumsum(random.random(T) < 0.3) % 2
    packed = jitted(name, True)(x, mask, segments)
    for part in runs(segments):
        length = part.stop - part.start
        alone, its_mask = np.full_like(x, np.nan), np.zeros(T, bool)
        alone[:, :length], its_mask[:length] = x[:, part], mask[part]
        have = jitted(name, False)(alone, its_mask, segments)
        for whole, one in zip(packed, have):
            assert not np.any(whole[..., ~mask])
            np.testing.assert_allclose(
                whole[..., part], one[..., :length], rtol=2e-5, atol=2e-6
            )


def test_masked_values_and_discounts_may_be_nan():
    def loss(v, lambda_, discount, bootstrap):
        return rlax.token_advantages(
            *(ADV, v, lambda_),
            **{"discount_t": discount, "bootstrap": bootstrap, "mask_t": MASK},
        ).sum()

    x = [jnp.asarray(garbage(np.full(T, 0.5), MASK)) for _ in range(4)]
    for gradient in jax.grad(loss, (0, 1, 2, 3))(*x):
        assert np.isfinite(gradient).all()


# ----------------------------------- bad input ------------------------------------


X, NONE = np.ones(3, np.float32), np.ones(0, np.float32)
BAD = {
    "token_policy_losses: log_mu_t": lambda: rlax.token_policy_losses(X, X[:2], X),
    "token_policy_losses: adv_t": lambda: rlax.token_policy_losses(X, X, X[:2]),
    "token_policy_losses: log_pi_t.*T would be 0": lambda: rlax.token_policy_losses(
        NONE, NONE, 1.0
    ),
    r"Use jax.vmap\(token_policy_losses\)": lambda: rlax.token_policy_losses(
        X[None], X[None], 1.0
    ),
    "token_policy_losses: epsilon must": lambda: rlax.token_policy_losses(
        X, X, X, epsilon=-1.0
    ),
    "token_policy_losses: dual_clip": lambda: rlax.token_policy_losses(
        X, X, X, dual_clip=0.5
    ),
    "ratio_level must be 'token', 'sequence' or 'sequence_token', got 'row'": lambda: (
        rlax.token_policy_losses(X, X, X, ratio_level="row")
    ),
    "clipping must be 'surrogate', 'cispo' or 'none'": lambda: rlax.token_policy_losses(
        X, X, X, clipping="ppo"
    ),
    "segments_t must have an integer": lambda: rlax.token_policy_losses(
        X, X, X, segments_t=X
    ),
    "level must be 'token', 'sequence' or 'geometric'": lambda: (
        rlax.truncated_importance_weights(X, X, level="mean")
    ),
    "outside must be 'clip' or 'zero'": lambda: rlax.truncated_importance_weights(
        X, X, outside="drop"
    ),
    "max_weight must be at least 3": lambda: rlax.truncated_importance_weights(
        X, X, min_weight=3.0
    ),
    "min_weight must be at least 0": lambda: rlax.truncated_importance_weights(
        X, X, min_weight=-1.0
    ),
    "truncated_importance_weights: log_pi_t.*T would be 0": lambda: (
        rlax.truncated_importance_weights(NONE, NONE)
    ),
    "rlhf_rewards: beta": lambda: rlax.rlhf_rewards(1.0, X, X, -0.1),
    "reward_clip": lambda: rlax.rlhf_rewards(1.0, X, X, 0.1, reward_clip=-1.0),
    "rlhf_rewards: estimator": lambda: rlax.rlhf_rewards(
        1.0, X, X, 0.1, estimator="k9"
    ),
    "rlhf_rewards: reward has shape": lambda: rlax.rlhf_rewards(X[:2], X, X, 0.1),
    "token_advantages: lambda_ must be in": lambda: rlax.token_advantages(X, X, 1.5),
    "token_advantages: discount_t must be in": lambda: rlax.token_advantages(
        X, X, discount_t=-0.5
    ),
    "token_advantages: v_tm1 has shape": lambda: rlax.token_advantages(X, X[:2]),
    "token_advantages: r_t.*T would be 0": lambda: rlax.token_advantages(NONE, NONE),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_argument_raises_an_error_that_names_it(message):
    with pytest.raises((rlax.ContractError, TypeError), match=message):
        BAD[message]()
