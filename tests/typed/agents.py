"""A user's losses and agent, checked by pyright and mypy."""

import jax
import jax.numpy as jnp
import numpy as np

import rlax

q_tm1, q_t = jnp.ones([3]), jnp.ones([3])
error: jax.Array = rlax.q_learning(q_tm1, 1, 0.5, 0.9, q_t)
by_name: jax.Array = rlax.q_learning(
    q_tm1=q_tm1, a_tm1=np.int32(1), r_t=0.5, discount_t=0.9, q_t=np.arange(3.0)
)
batched = jax.vmap(rlax.q_learning)
returns: jax.Array = rlax.lambda_returns(q_t, q_t, q_t, 0.9, mask_t=None)
traced = rlax.vtrace_td_error_and_advantage(q_t, q_t, q_t, q_t, q_t)
advantage: jax.Array = traced.pg_advantage
policy = rlax.softmax(temperature=0.5)
action = policy.sample(jax.random.key(0), q_t)
probability: jax.Array = policy.probs(q_t)
pair: rlax.TxPair = rlax.compose_tx(rlax.SIGNED_HYPERBOLIC_PAIR)
loss: jax.Array = rlax.huber_loss(q_t, 1.0).mean()


def loss_fn(logits: jax.Array, actions: jax.Array) -> jax.Array:
    entropy = rlax.entropy_loss(logits, jnp.ones(3))
    return rlax.policy_gradient_loss(logits, actions, q_t, jnp.ones(3)) + entropy


gradient = jax.grad(loss_fn)(jnp.ones([3, 2]), jnp.zeros(3, int))


def safe(x: jax.Array) -> jax.Array:
    try:
        return rlax.l2_loss(x)
    except rlax.ContractError as wrong:
        raise SystemExit(str(wrong)) from wrong


# What must not pass.
text: str = rlax.q_learning(q_tm1, 1, 0.5, 0.9, q_t)  # error: an array
rlax.q_learning(q_tm1, 1, 0.5, 0.9)  # error: q_t is missing
rlax.q_learning(q_tm1, "up", 0.5, 0.9, q_t)  # error: not an array
rlax.transformed_lambda_returns(q_t, q_t, q_t)  # error: the pair comes first
rlax.q_learning(q_tm1, a=1, r_t=0.5, discount_t=0.9, q_t=q_t)  # error: it is a_tm1
rlax.lambda_returns(q_t, q_t, q_t, 0.9, False, q_t)  # error: masks come by name
rlax.qlearning(q_tm1)  # error: a typing mistake
print(traced.advantage)  # error: it is pg_advantage
policy.prob(q_t)  # error: it is probs
rlax.compose_tx("signed")  # error: a pair
