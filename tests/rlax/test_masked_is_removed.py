"""Masked elements are as if they weren't there, in every op with a mask.

The op on the masked input equals the op on the input with those elements taken out, and
so do its gradients, whatever numbers stand at masked places.
"""

import functools
import inspect

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_formulas import close
from random_streams import SETTINGS

import rlax

QUICK = hypothesis.settings(SETTINGS, max_examples=10)
SEEDS = st.integers(0, 2**32 - 1)
N, G = 6, 2
START = rlax.RunningStatistics(5.0, jnp.array([0.5, -1.0]), jnp.array([2.0, 3.0]))


def logits(x):
    """Of three actions, for each step."""
    return jnp.stack(x[:3], axis=-1)


def token_advantages(x, m):
    # The rewards of masked tokens count: they go to the kept token before.
    rewards = x[1] if m is None else jnp.where(m, x[1], 0)
    return rlax.token_advantages(
        *(rewards, x[2], x[0] / 2), discount_t=x[0] / 2, mask_t=m, bootstrap=0.3
    )


def new_statistics(x, m):
    new = rlax.update_running_statistics(START, jnp.stack(x[:2], axis=-1), mask=m)
    return jax.tree.map(jnp.subtract, tuple(new), tuple(START))


# Functions of four rows of numbers, the first from ½ to 3/2, and of a mask or None.
OF_ROWS = {  # [N]
    "clipped_surrogate_pg_loss": lambda x, m: rlax.clipped_surrogate_pg_loss(
        *(x[0], x[1], 0.2, False), mask_t=m, epsilon_high=0.3, dual_clip=1.4
    ),
    "clipped_value_loss": lambda x, m: rlax.clipped_value_loss(*x[:3], 0.3, mask_t=m),
    "normalize_advantages": lambda x, m: rlax.normalize_advantages(
        x[1], mask_t=m, ddof=1
    ),
    "decoupled_surrogate_pg_loss": lambda x, m: rlax.decoupled_surrogate_pg_loss(
        *(*x, 0.2, False), mask_t=m, max_weight=1.5
    ),
    **{
        f"token_policy_losses: {level}, {clipping}": (
            lambda x, m, level=level, clipping=clipping: rlax.token_policy_losses(
                *x[:3],
                **{"ratio_level": level, "clipping": clipping},
                **{"mask_t": m, "weight_t": x[3]},
            )
        )
        for level, clipping in (
            ("token", "surrogate"),
            ("sequence", "none"),
            ("sequence_token", "cispo"),
        )
    },
    "group_advantages": lambda x, m: rlax.group_advantages(x[1], mask=m),
    "group_advantages: leave_one_out": lambda x, m: rlax.group_advantages(
        x[1], baseline="leave_one_out", scale="none", mask=m
    ),
    "token_advantages": token_advantages,
    "rlhf_rewards": lambda x, m: rlax.rlhf_rewards(0.5, x[0], x[1], 0.1, mask_t=m),
    **{
        f"truncated_importance_weights: {level}": (
            lambda x, m, level=level: rlax.truncated_importance_weights(
                x[0], x[1], level=level, mask_t=m
            )
        )
        for level in ("token", "sequence", "geometric")
    },
    "prioritized_probabilities": lambda x, m: rlax.prioritized_probabilities(
        x[0], mask=m
    ),
    "r2d2_priority": lambda x, m: rlax.r2d2_priority(x[1], mask_t=m),
    "update_running_statistics": new_statistics,
    "dice_loss": lambda x, m: rlax.dice_loss(
        x[1], x[2], x[0] / 2, baseline_t=x[3], mask_t=m
    ),
    "clip_fraction": lambda x, m: rlax.clip_fraction(x[0], 0.2, adv_t=x[1], mask_t=m),
    "explained_variance": lambda x, m: rlax.explained_variance(x[1], x[2], mask_t=m),
    "effective_sample_size": lambda x, m: rlax.effective_sample_size(x[1], mask=m),
    "policy_gradient_loss": lambda x, m: rlax.policy_gradient_loss(
        logits(x), jnp.zeros(x[0].shape, int), x[3], x[0], False, mask_t=m
    ),
    "entropy_loss": lambda x, m: rlax.entropy_loss(logits(x), x[3], mask_t=m),
    "qpg_loss": lambda x, m: rlax.qpg_loss(logits(x), logits(x[1:]), False, mask_t=m),
    "rm_loss": lambda x, m: rlax.rm_loss(logits(x), logits(x[1:]), False, mask_t=m),
    "rpg_loss": lambda x, m: rlax.rpg_loss(logits(x), logits(x[1:]), False, mask_t=m),
}
OF_GROUPS = {  # [G N], with as many kept elements in each row
    **{
        f"aggregate_token_losses: {how}": (
            lambda x, m, how=how: rlax.aggregate_token_losses(
                *(x[1], jnp.ones(x[1].shape, bool) if m is None else m, how),
                constant=5.0,
            )
        )
        for how in ("token_mean", "sequence_mean", "sequence_sum", "constant")
    },
    "grpo_loss": lambda x, m: rlax.grpo_loss(*x, mask_t=m),
    "dapo_loss": lambda x, m: rlax.dapo_loss(*x[:3], mask_t=m, weight_t=x[3]),
    "dr_grpo_loss": lambda x, m: rlax.dr_grpo_loss(*x[:3], mask_t=m, max_length=5),
    "gspo_loss": lambda x, m: rlax.gspo_loss(*x[:3], mask_t=m, epsilon=0.5),
    "gspo_loss: tokens": lambda x, m: rlax.gspo_loss(
        *x[:3], mask_t=m, token_level=True, epsilon=0.5
    ),
    "cispo_loss": lambda x, m: rlax.cispo_loss(*x[:3], mask_t=m),
}
# Their masks mean something else.
NOT_REMOVED = {
    "muzero_loss": "the mean over T steps stays: `learning/test_unrolled.py`",
    "replace_masked": "replaces where the mask is true",
    "tree_replace_masked": "the same",
}


def test_every_op_with_a_mask_is_here():
    masked = set()
    for name in rlax.__all__:
        op = getattr(rlax, name)
        names = inspect.signature(op).parameters if inspect.isfunction(op) else {}
        # All streams: `returns/test_truncation.py`.
        if {"mask", "mask_t"} & set(names) and "truncation_t" not in names:
            masked.add(name)
    here = {name.split(":")[0] for name in OF_ROWS | OF_GROUPS}
    assert masked == here | set(NOT_REMOVED)


@functools.cache
def masked_and_removed(name, kept):
    """Gradient and value of an op with a mask and of one without, as one program."""

    def loss(x, mask):
        y = (OF_ROWS | OF_GROUPS)[name](x, mask)
        return sum(jnp.sum(jnp.sin(z)) for z in jax.tree.leaves(y)), y

    of = jax.grad(loss, has_aux=True)
    return jax.jit(lambda x, mask, few: (of(x, mask), of(few, None) if kept else None))


@pytest.mark.parametrize("name", OF_ROWS | OF_GROUPS)
@QUICK
@hypothesis.given(seed=SEEDS, kept=st.sampled_from([0, 1, 4]))
def test_masked_is_removed(name, seed, kept):
    random = np.random.default_rng(seed)
    shape = (N,) if name in OF_ROWS else (G, N)
    x = random.standard_normal((4, *shape)).astype(np.float32)
    x[0] = 0.5 + random.random(shape)
    mask = random.permuted(np.broadcast_to(np.arange(N) < kept, shape), axis=-1)
    dirty = np.where(mask, x, random.choice([np.nan, np.inf, -np.inf], x.shape))
    few = x[..., mask].reshape(4, *shape[:-1], kept)
    have, want = masked_and_removed(name, kept)(dirty.astype(np.float32), mask, few)

    def at_kept(y):
        """y of the kept elements; 0 at the others."""
        if y.shape[-len(shape) :] != shape:
            return y
        assert not np.any(y[..., ~mask])
        return y[..., mask].reshape(*y.shape[:-1], kept)

    have = jax.tree.map(lambda y: at_kept(np.asarray(y)), have)
    if kept:
        close(have, want)
    else:
        assert not any(np.any(y) for y in jax.tree.leaves(have))


# In streams a masked step ends the segment: each run of kept steps is alone.
STREAMS = {
    "n_step_bootstrapped_returns": lambda x, m: rlax.n_step_bootstrapped_returns(
        x[1], x[0] / 2, x[2], 3, mask_t=m
    ),
    "lambda_returns": lambda x, m: rlax.lambda_returns(
        x[1], x[0] / 2, x[2], 0.8, mask_t=m
    ),
    "td_lambda": lambda x, m: rlax.td_lambda(
        x[3], x[1], x[0] / 2, x[2], 0.8, False, mask_t=m
    ),
    "upgo_returns": lambda x, m: rlax.upgo_returns(x[1], x[0] / 2, x[2], mask_t=m),
}


@functools.cache
def stream(name):
    def loss(x, mask):
        y = STREAMS[name](x, mask)
        return jnp.sum(jnp.sin(y)), y

    return jax.jit(jax.grad(loss, has_aux=True))


@pytest.mark.parametrize("name", STREAMS)
@QUICK
@hypothesis.given(seed=SEEDS)
def test_masked_step_ends_a_stream(name, seed):
    random = np.random.default_rng(seed)
    x = random.standard_normal((4, N)).astype(np.float32)
    x[0] = 0.5 + random.random(N)
    mask = random.random(N) < 0.7
    have = stream(name)(np.where(mask, x, np.nan), mask)
    wanted = [np.zeros_like(x), np.zeros_like(x[0])]
    start = np.flatnonzero(mask & ~np.append(False, mask[:-1]))
    for a in start:
        b = a + np.argmin(np.append(mask[a:], False))
        alone = np.full_like(x, np.nan)
        alone[:, : b - a] = x[:, a:b]
        parts = stream(name)(alone, np.arange(N) < b - a)
        for whole, part in zip(wanted, parts):
            whole[..., a:b] = part[..., : b - a]
    close(have, wanted)
