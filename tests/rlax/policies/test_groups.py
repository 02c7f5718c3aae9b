"""Group ops beside loops over answers and tokens in NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy_formulas import equal
from random_streams import SETTINGS

import rlax

G, T = 4, 6
RANDOM = np.random.default_rng(2)
PI, MU, REF = -np.abs(RANDOM.standard_normal((3, G, T)))
ADV, WEIGHT = RANDOM.standard_normal(G), RANDOM.random((G, T))
TOKEN_ADV = RANDOM.standard_normal((G, T))
MASK = np.arange(T) < np.array([6, 3, 0, 4])[:, None]
MASK[0, 2] = False


# ----------------------------------- advantages -----------------------------------


REWARD = np.array([1.0, 0.5, -2.0, 3.0, 0.25])
KEEP = np.array([1, 1, 0, 1, 1], bool)


@pytest.mark.parametrize("scale", ["std", "none"])
@pytest.mark.parametrize("baseline", ["mean", "leave_one_out", "none"])
@pytest.mark.parametrize("keep", [None, KEEP])
@pytest.mark.parametrize("ddof", [0, 1])
def test_advantages_equal_their_formula(baseline, scale, keep, ddof):
    def formula(reward):
        kept = np.ones(5, bool) if keep is None else keep
        x = reward[kept]
        center = {
            "mean": np.full(len(x), x.mean()),
            "leave_one_out": (x.sum() - x) / (len(x) - 1),
            "none": np.zeros(len(x)),
        }[baseline]
        out = np.zeros(5)
        out[kept] = (x - center) / (x.std(ddof=ddof) + 1e-4 if scale == "std" else 1)
        return out

    def op(reward):
        return rlax.group_advantages(
            reward, baseline=baseline, scale=scale, ddof=ddof, epsilon=1e-4, mask=keep
        )

    equal(op, formula, REWARD)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("baseline", ["mean", "leave_one_out"])
def test_equal_rewards_and_single_answers_have_no_advantage(baseline, dtype):
    for reward in (jnp.full(5, 0.1, dtype), jnp.full(1, 0.7, dtype)):
        have = rlax.group_advantages(reward, baseline=baseline)
        np.testing.assert_array_equal(have, 0)
    have = rlax.group_advantages(REWARD, baseline=baseline, mask=np.arange(5) == 3)
    np.testing.assert_array_equal(have, 0)


def test_rewards_may_be_whole_numbers():
    have = rlax.group_advantages(np.array([0, 1, 1]), scale="none")
    np.testing.assert_allclose(have, [-2 / 3, 1 / 3, 1 / 3], rtol=1e-6)


# ---------------------------------- aggregation -----------------------------------


def aggregated(rows, how, constant, size):
    """The mean of lists of losses; size is the number of rows and their length."""
    kept = [row for row in rows if len(row)]
    if not kept:
        return 0.0
    return {
        "token_mean": lambda: np.mean(np.concatenate(kept)),
        "sequence_mean": lambda: np.mean([np.mean(row) for row in kept]),
        "sequence_sum": lambda: np.mean([np.sum(row) for row in kept]),
        "constant": lambda: np.sum(np.concatenate(kept)) / (size[0] * constant),
    }[how]()


HOW = ("token_mean", "sequence_mean", "sequence_sum", "constant")


@pytest.mark.parametrize("constant", [None, 2.5])
@pytest.mark.parametrize("how", HOW)
def test_aggregates_equal_their_formula(how, constant):
    def formula(loss):
        rows = [row[keep] for row, keep in zip(loss, MASK)]
        return aggregated(rows, how, constant or T, (G, T))

    def op(loss):
        return rlax.aggregate_token_losses(loss, MASK, how, constant=constant)

    equal(op, formula, TOKEN_ADV, grads=(0,))


@pytest.mark.parametrize("how", HOW)
def test_packed_aggregates_equal_unpacked(how):
    segments = np.array([[0, 0, 1, 1, 1, 2], [5, 5, 5, 5, 0, 0]])
    mask = np.array([[1, 1, 0, 1, 1, 0], [1, 0, 1, 1, 1, 1]], bool)
    loss = RANDOM.standard_normal((2, 6)).astype(np.float32)
    unpacked, kept = np.full((4, 6), np.nan, np.float32), np.zeros((4, 6), bool)
    places = [(0, slice(0, 2)), (0, slice(2, 5)), (1, slice(0, 4)), (1, slice(4, 6))]
    for i, (row, part) in enumerate(places):
        n = part.stop - part.start
        unpacked[i, :n], kept[i, :n] = loss[row, part], mask[row, part]
    have = rlax.aggregate_token_losses(
        loss, mask, how, constant=4.0, segments_t=segments
    )
    want = rlax.aggregate_token_losses(unpacked, kept, how, constant=4.0)
    np.testing.assert_allclose(have, want, rtol=1e-6)


# ------------------------------------- losses -------------------------------------


def surrogate(rho, adv, low, high):
    return -min(rho * adv, min(max(rho, 1 - low), 1 + high) * adv)


def token_rows(pi, mu, ref, adv, weight, beta, low, high, level="token", at=None):
    """For each answer, the losses of its kept tokens."""
    rows, at = [], pi if at is None else at
    for i in range(G):
        keep = np.flatnonzero(MASK[i])
        mean = np.exp(np.mean((pi - mu)[i, keep])) if len(keep) else 1
        held = np.exp(np.mean((at - mu)[i, keep])) if len(keep) else 1
        row = []
        for t in keep:
            a = adv[i, t] if adv.ndim == 2 else adv[i]
            rho = np.exp(pi[i, t] - mu[i, t])
            if level == "cispo":
                fixed = np.clip(np.exp(at[i, t] - mu[i, t]), 1 - low, 1 + high)
                loss = -fixed * a * pi[i, t]
            else:
                rho = {
                    "token": rho,
                    "sequence": mean,
                    "sequence_token": held * np.exp(pi[i, t] - at[i, t]),
                }[level]
                loss = surrogate(rho, a, low, high)
            d = 0.0 if ref is None else pi[i, t] - ref[i, t]
            row.append(weight[i, t] * loss + beta * (np.expm1(-d) + d))
        rows.append(np.array(row))
    return rows


@pytest.mark.parametrize(
    ("how", "adv"), [*((how, ADV) for how in HOW), ("sequence_mean", TOKEN_ADV)]
)
def test_grpo_equals_its_formula(how, adv):
    def formula(pi, mu, adv, ref, weight):
        rows = token_rows(pi, mu, ref, adv, weight, 0.1, 0.2, 0.3)
        return aggregated(rows, how, T, (G, T))

    def op(pi, mu, adv, ref, weight):
        return rlax.grpo_loss(
            *(pi, mu, adv, ref),
            **{"mask_t": MASK, "epsilon_high": 0.3, "beta": 0.1},
            **{"aggregation": how, "weight_t": weight},
        )

    equal(op, formula, PI, MU, adv, REF, WEIGHT, grads=(0,))


ONES = np.ones((G, T))
NEAR = MU + 1e-3 * RANDOM.standard_normal((G, T))  # within GSPO's clip
NAMED = {
    "dapo_loss": ({}, ("token", 0.2, 0.28), "token_mean", None),
    "dr_grpo_loss": ({}, ("token", 0.2, 0.2), "constant", T),
    "dr_grpo_loss of length 1": (
        {"max_length": 1},
        ("token", 0.2, 0.2),
        "constant",
        1,
    ),
    "gspo_loss": ({}, ("sequence", 3e-4, 4e-4), "sequence_mean", None),
    "gspo_loss of tokens": (
        {"token_level": True, "epsilon": 0.2, "epsilon_high": 0.3},
        ("sequence_token", 0.2, 0.3),
        *("sequence_mean", None),
    ),
    "cispo_loss": ({}, ("cispo", 1.0, 4.0), "token_mean", None),
}


@pytest.mark.parametrize(("pi", "weighted"), [(PI, True), (NEAR, False)])
@pytest.mark.parametrize("name", NAMED)
def test_named_losses_equal_their_formula(name, pi, weighted):
    options, (level, low, high), how, constant = NAMED[name]
    loss, weight = getattr(rlax, name.split()[0]), WEIGHT if weighted else ONES
    held = pi.astype(np.float32).astype(float)

    def formula(pi, mu, adv, at=None):
        rows = token_rows(pi, mu, None, adv, weight, 0, low, high, level, at)
        return aggregated(rows, how, constant, (G, T))

    def op(pi, mu, adv):
        extra = {"weight_t": weight.astype(np.float32)} if weighted else {}
        return loss(pi, mu, adv, mask_t=MASK, **options, **extra)

    equal(
        op, formula, pi, MU, ADV, grads=(0,), slope_of=lambda *x: formula(*x, at=held)
    )


@pytest.mark.parametrize("distance", [-200.0, 200.0])
def test_distant_policies_give_finite_gradients(distance):
    far = jnp.full((2, 3), distance)
    near, adv = jnp.zeros((2, 3)), jnp.array([1.0, -1.0])
    losses = {
        "grpo": lambda x: rlax.grpo_loss(x, near, adv, near),
        **{
            name: lambda x, name=name: getattr(rlax, name.split()[0])(x, near, adv)
            for name in NAMED
        },
    }
    for name, loss in losses.items():
        gradient = jax.grad(loss)(far)
        assert np.isfinite(gradient).all(), name


def test_policy_beside_its_own_reference_has_no_penalty():
    with_kl = rlax.grpo_loss(PI, MU, ADV, PI, mask_t=MASK)
    np.testing.assert_allclose(with_kl, rlax.grpo_loss(PI, MU, ADV, mask_t=MASK))


# ------------------------------------- packed -------------------------------------


LOSSES = {
    "grpo": lambda pi, mu, adv, **k: rlax.grpo_loss(pi, mu, adv, mu, **k),
    "dapo": rlax.dapo_loss,
    "dr_grpo": lambda *x, **k: rlax.dr_grpo_loss(*x, max_length=5, **k),
    "gspo": rlax.gspo_loss,
    "gspo_token": lambda *x, **k: rlax.gspo_loss(*x, token_level=True, **k),
    "cispo": rlax.cispo_loss,
    **{
        how: lambda pi, mu, adv, mask_t, how=how, **k: rlax.aggregate_token_losses(
            pi * mu, mask_t, how, constant=5.0, **k
        )
        for how in HOW
    },
}
UNPACKED_ALIKE = ("dapo", "cispo")


@functools.cache
def jitted(name, packed):
    """An op and its gradient, of one shape, compiled once for all examples."""

    def f(pi, mu, adv, mask, segments):
        k = {"segments_t": segments} if packed else {}
        return LOSSES[name](pi, mu, adv, mask_t=mask, **k)

    return jax.jit(jax.value_and_grad(f))


@pytest.mark.parametrize("name", LOSSES)
@SETTINGS
@given(seed=st.integers(0, 999))
def test_one_packed_row_equals_a_group(name, seed):
    random = np.random.default_rng(seed)
    total, most = 12, 9
    cuts = np.sort(random.choice(np.arange(2, 10), 2, replace=False))
    parts = np.split(np.arange(total), cuts)
    row = -np.abs(random.standard_normal((2, total))).astype(np.float32)
    adv = random.standard_normal(3).astype(np.float32)
    segments = np.repeat(np.arange(3), [len(part) for part in parts])
    mask = random.random(total) < 0.7
    mask[[part[-1] for part in parts]] = True  # every answer has a token
    group = np.full((2, 3, most), np.nan, np.float32)
    kept = np.zeros((3, most), bool)
    for i, part in enumerate(parts):
        group[:, i, : len(part)], kept[i, : len(part)] = row[:, part], mask[part]
    have, have_gradient = jitted(name, name not in UNPACKED_ALIKE)(
        *(*row[:, None], adv[segments][None], mask[None], segments[None])
    )
    want, gradient = jitted(name, False)(*group, adv, kept, segments)
    np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-6)
    gradient = np.concatenate([g[: len(part)] for g, part in zip(gradient, parts)])
    np.testing.assert_allclose(have_gradient[0], gradient, rtol=1e-5, atol=1e-6)


# ---------------------------------- long answers ----------------------------------


def test_overlong_penalty_equals_its_formula():
    def formula(length):
        return np.array(
            [
                0.0 if n <= 12 else ((16 - 4) - n) / 4 if n <= 16 else -1.0
                for n in length
            ]
        )

    length = np.array([0.0, 11.0, 12.5, 13.0, 15.5, 16.5, 40.0])
    equal(lambda n: rlax.soft_overlong_penalty(n, 16, 4), formula, length, grads=(0,))
    whole = rlax.soft_overlong_penalty(np.array([12, 13, 16, 17]), 16, 4)
    np.testing.assert_array_equal(whole, [0, -0.25, -1, -1])
    assert whole.dtype == jnp.float32
    assert rlax.soft_overlong_penalty(14, 16, 4) == -0.5


# ----------------------------------- bad input ------------------------------------


X, R = np.ones((2, 3), np.float32), np.ones(2, np.float32)
S = np.zeros((2, 3), np.int32)
BAD = {
    "group_advantages: baseline must be 'mean', 'leave_one_out' or 'none'": lambda: (
        rlax.group_advantages(R, baseline="median")
    ),
    "group_advantages: scale must be 'std' or 'none'": lambda: rlax.group_advantages(
        R, scale="max"
    ),
    "group_advantages: ddof": lambda: rlax.group_advantages(R, ddof=-1),
    "group_advantages: epsilon": lambda: rlax.group_advantages(R, epsilon=-1.0),
    "group_advantages: reward.*G would be 0": lambda: rlax.group_advantages(R[:0]),
    "group_advantages: mask has shape": lambda: rlax.group_advantages(
        R, mask=np.ones(3, bool)
    ),
    "aggregation must be 'token_mean', 'sequence_mean', 'sequence_sum' or": lambda: (
        rlax.aggregate_token_losses(X, S, "mean")
    ),
    "aggregate_token_losses: constant must be above 0": lambda: (
        rlax.aggregate_token_losses(X, S, "constant", constant=0.0)
    ),
    "aggregate_token_losses: constant must be a number beside": lambda: (
        rlax.aggregate_token_losses(X, S, "constant", segments_t=S)
    ),
    "aggregate_token_losses: loss_t.*T would be 0": lambda: rlax.aggregate_token_losses(
        X[:, :0], S[:, :0]
    ),
    "aggregate_token_losses: mask_t": lambda: rlax.aggregate_token_losses(X, S[:, :2]),
    "grpo_loss: adv has shape": lambda: rlax.grpo_loss(X, X, np.ones(3, np.float32)),
    "grpo_loss: epsilon must": lambda: rlax.grpo_loss(X, X, R, epsilon=-0.1),
    "grpo_loss: beta must": lambda: rlax.grpo_loss(X, X, R, beta=-0.1),
    "grpo_loss: aggregation must": lambda: rlax.grpo_loss(X, X, R, aggregation="sum"),
    "grpo_loss: constant must be a number": lambda: rlax.grpo_loss(
        X, X, R, aggregation="constant", segments_t=S
    ),
    "grpo_loss: log_pi_t.*G would be 0": lambda: rlax.grpo_loss(X[:0], X[:0], R[:0]),
    "dapo_loss: log_mu_t": lambda: rlax.dapo_loss(X, X[:1], R),
    "dapo_loss: epsilon_high": lambda: rlax.dapo_loss(X, X, R, epsilon_high=-1.0),
    "dr_grpo_loss: max_length must be above 0": lambda: rlax.dr_grpo_loss(
        X, X, R, max_length=0
    ),
    "dr_grpo_loss: max_length must be a number": lambda: rlax.dr_grpo_loss(
        X, X, R, segments_t=S
    ),
    "gspo_loss: segments_t": lambda: rlax.gspo_loss(X, X, R, segments_t=S[:1]),
    "cispo_loss: epsilon must": lambda: rlax.cispo_loss(X, X, R, epsilon=-1.0),
    "cispo_loss: weight_t": lambda: rlax.cispo_loss(X, X, R, weight_t=R),
    "buffer_length must be above 0": lambda: rlax.soft_overlong_penalty(3, 10, 0),
    "max_length must be at least 0": lambda: rlax.soft_overlong_penalty(3, -1, 2),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_argument_raises_an_error_that_names_it(message):
    with pytest.raises(rlax.ContractError, match=message):
        BAD[message]()
