"""PPO with a memory: CartPole without velocities, or a T-maze.

    python examples/rl/ppo_lstm.py
    python examples/rl/ppo_lstm.py --environment tmaze:TMaze-v0 --name tmaze_lstm

One observation tells where cart and pole are, not where they are going: that takes a
memory. The policy's is an LSTM, whose state goes on from rollout to rollout and is set
back where an episode begins. Learning unrolls it again over each environment's steps,
from the state it had before the first of them, so a minibatch is a number of whole
sequences. For the rest see ppo.py.

A policy fails here by letting the cart drift: the pole stands, but 200 steps later the
track ends. So rollouts are longer than ppo.py's, credit reaches further back, and
values are learned in units of the best there is.
Sources: Schulman et al., 2017, arXiv:1707.06347; Hochreiter and Schmidhuber, 1997, Long
Short-Term Memory.
"""

import functools

import experiment
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import ppo
from rollouts import Actor

import haiku as hk


class HideVelocities(gymnasium.ObservationWrapper):
    """CartPole that shows where cart and pole are, in units of the allowed range."""

    allowed = np.array([2.4, 0.21], np.float32)  # metres, radians

    def __init__(self, environment):
        super().__init__(environment)
        high = environment.observation_space.high[::2] / self.allowed
        self.observation_space = gymnasium.spaces.Box(-high, high)

    def observation(self, observation):
        """Every second number, scaled."""
        return observation[::2] / self.allowed


def forward(x, first, state, s_t):
    """Logits and values of steps [T, B], the state after them, and values of s_t."""
    core = hk.ResetCore(hk.DeepRNN([hk.Linear(64), jnp.tanh, hk.LSTM(64)]))
    small = hk.initializers.Orthogonal(0.01)
    policy, value = (
        hk.Linear(2, w_init=small, name="policy"),
        hk.Linear(1, name="value"),
    )
    if state is None:
        state = core.initial_state(x.shape[1])
    output, states = hk.dynamic_unroll(core, (x, first), state, return_all_states=True)
    # s_t follows each step, though an episode that was cut off goes on elsewhere: one
    # step more from each of the states.
    following, _ = hk.BatchApply(core)((s_t, jnp.zeros_like(first)), states)
    last = jax.tree.map(lambda x: x[-1], states)
    return policy(output), value(output)[..., 0], last, value(following)[..., 0]


network = hk.without_apply_rng(hk.transform(forward))


def policy(params, observations, first, memory):
    x = observations[None]  # T = 1
    logits, _, memory, _ = network.apply(params, x, first[None], memory, x)
    return logits[0], memory


def act(params, observations, memory):
    first = jnp.zeros(len(observations), bool)
    logits, memory = policy(params, observations, first, memory)
    return jnp.argmax(logits, -1), memory


def updater(optimizer, options):
    """Makes the compiled function that takes in the state before a rollout, and it."""

    def minibatch_loss(params, state, sequences):
        batch, *targets = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), sequences)
        logits, v_tm1, *_ = network.apply(
            params, batch.s_tm1, batch.first_tm1, state, batch.s_t
        )
        return ppo.loss(logits, v_tm1, batch, *targets, options)

    @jax.jit
    def update(params, optimizer_state, key, state, batch):
        # A reward of 1 in each step, for ever, is now worth 1: the loss of values of
        # that size does not drown that of the policy, which shares the LSTM.
        batch = batch._replace(r_t=(1 - options.discount) * batch.r_t)
        _, v_tm1, _, v_t = network.apply(
            params, batch.s_tm1, batch.first_tm1, state, batch.s_t
        )
        steps = batch, *ppo.advantages(v_tm1, v_t, batch, options)
        sequences = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), steps)  # [B, T, ...]
        return ppo.epochs(
            minibatch_loss,
            optimizer,
            params,
            optimizer_state,
            key,
            (state, sequences),
            options,
        )

    return update


def vector(environment: str, count: int, wrappers=(), **render):
    """CartPole without velocities; others, like tmaze.py, as they are."""
    wrappers = [HideVelocities] if environment.startswith("CartPole") else []
    return experiment.vector(environment, count, wrappers, **render)


def learn(options, seed, report):
    environments = vector(options.environment, options.environments)
    key, init_key = jax.random.split(jax.random.key(seed))
    x = np.zeros(environments.observation_space.shape, np.float32)
    begins = np.ones(options.environments, bool)
    params = jax.jit(network.init)(init_key, x[None], begins[None], None, x[None])
    optimizer = ppo.optimizer(options)
    (params, state, key), first = report.resume((params, optimizer.init(params), key))
    # Whatever is in the memory now: the first step sets it back.
    _, memory = jax.jit(policy)(params, x, begins, None)
    actor = Actor(policy, environments, seed, memory, played=report.played, steps=first)
    update = updater(optimizer, options)
    for step in range(first, options.steps, options.length * options.environments):
        report(step, params, (params, state, key))
        key, update_key = jax.random.split(key)
        memory = actor.memory
        rollout = actor(params, options.length)
        params, state = update(params, state, update_key, memory, rollout)
    environments.close()
    return params


parser = experiment.parser(__doc__, environment="CartPole-v1", steps=300_000)
ppo.add_options(
    parser,
    environments=16,
    length=128,
    epochs=10,
    minibatches=2,
    learning_rate=2e-3,
    discount=0.99,
    lambda_=0.95,
    value=1.0,
)
main = functools.partial(experiment.main, learn, act, parser, vector=vector)

if __name__ == "__main__":
    main()
