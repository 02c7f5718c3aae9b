"""The loss of an unrolled model beside a loop, and gradients times a number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy_formulas import close, equal, garbage
from random_streams import SETTINGS

import rlax

T, A, V, M = 3, 4, 5, 2
RANDOM = np.random.default_rng(7)


def probabilities(shape):
    x = np.exp(RANDOM.standard_normal(shape))
    return x / x.sum(-1, keepdims=True)


SIZES = ((T + 1, A), (T + 1, V), (T, M))
ARGUMENTS = [f(s) for s in SIZES for f in (RANDOM.standard_normal, probabilities)]
MASK = np.array([1, 1, 0, 1], bool)


def cross_entropy(logits, targets):
    shifted = logits - logits.max()
    return -np.sum(targets * (shifted - np.log(np.sum(np.exp(shifted)))))


def loop(pl, pt, vl, vt, rl, rt, mask=(1,) * (T + 1)):
    total = 0.0
    for k in range(T + 1):
        if not mask[k]:
            continue
        loss = cross_entropy(pl[k], pt[k]) + 0.5 * cross_entropy(vl[k], vt[k])
        if k:
            loss = (loss + 2.0 * cross_entropy(rl[k - 1], rt[k - 1])) / T
        total += loss
    return total


@pytest.mark.parametrize("mask", [None, MASK])
def test_muzero_loss_equals_the_loop(mask):
    def op(*x):
        return rlax.muzero_loss(*x, mask_t=mask, value_weight=0.5, reward_weight=2.0)

    def formula(*x):
        return loop(*x) if mask is None else loop(*x, mask)

    equal(op, formula, *ARGUMENTS, grads=(0, 2, 4))


@jax.jit
def masked_and_absorbing(x, mask, targets):
    """The loss and its gradient with a mask, and with other targets."""

    def loss(logits, targets, mask=None):
        pairs = zip(logits, targets)
        return rlax.muzero_loss(
            *[y for pair in pairs for y in pair],
            **{"mask_t": mask, "value_weight": 0.5, "reward_weight": 2.0},
        )

    of = jax.value_and_grad(loss)
    clean = [jnp.where(jnp.isnan(y), 0, y) for y in x[::2]]
    return of(x[::2], x[1::2], mask), of(clean, targets)


@SETTINGS
@given(mask=st.lists(st.booleans(), min_size=T + 1, max_size=T + 1))
def test_masked_states_are_as_if_absorbing(mask):
    mask = np.array(mask)
    masks = [mask, mask, mask, mask, mask[1:], mask[1:]]
    dirty = [garbage(x, m) for x, m in zip(ARGUMENTS, masks)]
    targets = [garbage(x, m, 0.0) for x, m in zip(ARGUMENTS, masks)][1::2]
    have, want = masked_and_absorbing(dirty, mask, targets)
    close(have, want)
    close(have[0], loop(*ARGUMENTS, mask))


def test_absorbing_states_and_impossible_actions_add_nothing():
    pl, pt, *rest = ARGUMENTS
    absorbing = pt * np.array([1, 1, 1, 0])[:, None]
    with_zeros = rlax.muzero_loss(pl, absorbing, *rest)
    last = cross_entropy(pl[3], pt[3]) / T
    np.testing.assert_allclose(
        rlax.muzero_loss(pl, pt, *rest) - with_zeros, last, rtol=1e-5
    )
    impossible = jnp.asarray(pl).at[:, 0].set(-jnp.inf)
    targets = pt * np.array([0, 1, 1, 1])

    def loss(logits):
        return rlax.muzero_loss(logits, targets, *rest)

    value, gradient = jax.value_and_grad(loss)(impossible)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    extreme = 1e4 * jnp.sign(pl)
    assert np.isfinite(loss(extreme))
    assert np.isfinite(jax.grad(loss)(extreme)).all()


def test_scaled_gradient_leaves_the_tree_as_it_is():
    tree = {"x": jnp.array([1.0, jnp.inf, -3.0]), "n": jnp.arange(2), "y": 0.1}
    out = rlax.scale_gradient(tree, 0.3)
    for a, b in zip(jax.tree.leaves(out), jax.tree.leaves(tree), strict=True):
        np.testing.assert_array_equal(a, b)

    def loss(x, scale):
        return jnp.sum(rlax.scale_gradient({"x": x}, scale)["x"] ** 3)

    x = jnp.array([1.0, 2.0])
    for scale in (0.5, 0.0, -1.0, jnp.float32(0.25)):
        np.testing.assert_allclose(jax.grad(loss)(x, scale), scale * 3 * x**2)
        _, tangent = jax.jvp(lambda x, s=scale: loss(x, s), (x,), (jnp.ones(2),))
        np.testing.assert_allclose(tangent, scale * 15)
    assert jax.grad(loss, 1)(x, 0.5) == 0


P1, V1, R1 = (np.ones(s, np.float32) for s in SIZES)
BAD = {
    "muzero_loss: policy_targets has shape": lambda: rlax.muzero_loss(
        P1, P1[:-1], V1, V1, R1, R1
    ),
    "muzero_loss: value_logits": lambda: rlax.muzero_loss(P1, P1, V1[1:], V1, R1, R1),
    "muzero_loss: value_targets": lambda: rlax.muzero_loss(
        P1, P1, V1, V1[:, :1], R1, R1
    ),
    "muzero_loss: reward_logits": lambda: rlax.muzero_loss(P1, P1, V1, V1, P1, P1),
    "muzero_loss: mask_t": lambda: rlax.muzero_loss(
        P1, P1, V1, V1, R1, R1, mask_t=np.ones(T, bool)
    ),
    "T would be 0": lambda: rlax.muzero_loss(
        P1[:1], P1[:1], V1[:1], V1[:1], R1[:0], R1[:0]
    ),
    "value_weight must be at least 0": lambda: rlax.muzero_loss(
        P1, P1, V1, V1, R1, R1, value_weight=-1.0
    ),
    "reward_weight must be": lambda: rlax.muzero_loss(
        P1, P1, V1, V1, R1, R1, reward_weight=-1.0
    ),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_argument_raises_an_error_that_names_it(message):
    with pytest.raises(rlax.ContractError, match=message):
        BAD[message]()
