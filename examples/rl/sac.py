"""Soft actor-critic (SAC) on Pendulum.

    python examples/rl/sac.py

The policy is a Gaussian whose actions tanh squashes into their bounds. It goes up the
lower of two estimates of the return plus its own entropy, so that it keeps exploring;
the weight of the entropy, the temperature, is learned so that the entropy stays near a
target. The two critics learn from transitions of the past, toward the lower value that
slowly following copies of them give the next state. Pendulum's episodes never end, they
are cut off after 200 steps: the next state's value always counts.
Sources: Haarnoja et al., 2018, Soft Actor-Critic Algorithms and Applications,
arXiv:1812.05905; Fujimoto et al., 2018, arXiv:1802.09477 (two critics).
"""

import functools

import experiment
import jax
import jax.numpy as jnp
import numpy as np
import optax
from replay import Replay

import haiku as hk
import rlax

parser = experiment.parser(
    __doc__, environment="Pendulum-v1", steps=20_000, episodes=100
)
parser.add_argument("--environments", type=int, default=4, help="side by side; 4")
parser.add_argument("--random", type=int, default=1000, help="steps at first; 1000")
parser.add_argument("--learning-rate", type=float, default=1e-3, help="1e-3")
parser.add_argument("--batch-size", type=int, default=256, help="transitions; 256")
parser.add_argument("--discount", type=float, default=0.99, help="0.99")
parser.add_argument("--follow", type=float, default=0.005, help="of the copies; 0.005")

ACTIONS, BOUND = 1, 2.0  # torques in [-2, 2]


def policy(s):
    """Mean and standard deviation [B, A] of the Gaussian before squashing."""
    mu, log_sigma = jnp.split(hk.nets.MLP([64, 64, 2 * ACTIONS])(s), 2, -1)
    return mu, jnp.exp(jnp.clip(log_sigma, -5, 2))


def critics(s, a):
    """Two estimates of the value, [B, 2]."""
    sa = jnp.concatenate([s, a / BOUND], -1)
    return jnp.concatenate([hk.nets.MLP([64, 64, 1])(sa) for _ in range(2)], -1)


actor = hk.without_apply_rng(hk.transform(policy))
critic = hk.without_apply_rng(hk.transform(critics))


def draw(params, key, s):
    """Actions [B, A], differentiable in the policy, and their log probabilities [B]."""
    mu, sigma = actor.apply(params, s)
    normal = rlax.gaussian_diagonal()
    u = normal.sample(key, mu, sigma)
    # log of the slope of tanh, 1 - tanh(u)^2, without its rounding to 0
    log_slope = 2 * (jnp.log(2.0) - u - jax.nn.softplus(-2 * u))
    log_prob = normal.logprob(u, mu, sigma) - log_slope.sum(-1)
    return BOUND * jnp.tanh(u), log_prob


def critic_loss(params, learned, key, batch, discount):
    s_tm1, a_tm1, r_t, ended_t, s_t = batch
    a_t, log_prob_t = draw(learned["policy"], key, s_t)
    temperature = jnp.exp(learned["log_temperature"])
    v_t = critic.apply(learned["target"], s_t, a_t).min(-1) - temperature * log_prob_t
    target_tm1 = jax.lax.stop_gradient(r_t + discount * (1 - ended_t) * v_t)
    q_tm1 = critic.apply(params, s_tm1, a_tm1)
    return rlax.l2_loss(q_tm1 - target_tm1[:, None]).sum(-1).mean()


def policy_loss(params, learned, key, s_tm1):
    a_tm1, log_prob = draw(params, key, s_tm1)
    q_tm1 = critic.apply(learned["critics"], s_tm1, a_tm1).min(-1)
    loss = jnp.exp(learned["log_temperature"]) * log_prob - q_tm1
    return loss.mean(), -log_prob.mean()  # and the entropy


def temperature_loss(log_temperature, entropy):
    return jnp.exp(log_temperature) * (entropy + ACTIONS)  # the target is -ACTIONS


def act(learned, observations, memory):
    mu, _ = actor.apply(learned["policy"], observations)
    return BOUND * jnp.tanh(mu), memory


def updater(optimizer, options):
    """Makes the compiled function that takes several batches, one after the other."""

    def descend(learned, states, name, gradient):
        updates, state = optimizer.update(gradient, states[name])
        new = optax.apply_updates(learned[name], updates)
        return {**learned, name: new}, {**states, name: state}

    def step(carry, inputs):
        learned, states = carry
        key, batch = inputs
        keys = jax.random.split(key)
        gradient = jax.grad(critic_loss)(
            learned["critics"], learned, keys[0], batch, options.discount
        )
        learned, states = descend(learned, states, "critics", gradient)
        gradient, entropy = jax.grad(policy_loss, has_aux=True)(
            learned["policy"], learned, keys[1], batch[0]
        )
        learned, states = descend(learned, states, "policy", gradient)
        gradient = jax.grad(temperature_loss)(learned["log_temperature"], entropy)
        learned, states = descend(learned, states, "log_temperature", gradient)
        target = optax.incremental_update(
            learned["critics"], learned["target"], options.follow
        )
        return ({**learned, "target": target}, states), None

    @jax.jit
    def update(learned, states, key, batches):
        keys = jax.random.split(key, len(batches[0]))
        return jax.lax.scan(step, (learned, states), (keys, batches))[0]

    return update


def learn(options, seed, report):
    environments = experiment.vector(options.environment, options.environments)
    space = environments.single_action_space
    if space.shape != (ACTIONS,) or space.high != BOUND or space.low != -BOUND:
        raise ValueError(f"Actions are {space}: change ACTIONS and BOUND in sac.py.")
    observations, _ = environments.reset(seed=1000 * seed)
    replay, random = Replay(options.steps, seed), np.random.default_rng(seed)
    explore = jax.jit(lambda *x: draw(*x)[0])

    key, *keys = jax.random.split(jax.random.key(seed), 3)
    action = jnp.zeros([1, ACTIONS])
    start = jax.jit(critic.init)(keys[1], observations[:1], action)
    learned = {
        "policy": jax.jit(actor.init)(keys[0], observations),
        "critics": start,
        "target": start,
        "log_temperature": jnp.zeros([]),
    }
    optimizer = optax.adam(options.learning_rate)
    trained = "policy", "critics", "log_temperature"
    states = {name: optimizer.init(learned[name]) for name in trained}
    update = updater(optimizer, options)

    for step in range(0, options.steps, options.environments):
        report(step, learned)
        key, act_key, update_key = jax.random.split(key, 3)
        if step < options.random:
            size = options.environments, ACTIONS
            actions = random.uniform(-BOUND, BOUND, size).astype(np.float32)
        else:
            actions = np.asarray(explore(learned["policy"], act_key, observations))
        following, rewards, ended, _, info = environments.step(actions)
        last = experiment.last_observations(following, info)
        rewards = rewards.astype(np.float32)
        replay.add(observations, actions, rewards, ended.astype(np.float32), last)
        observations = following
        if step >= options.random:
            batches = replay.batches(options.environments, options.batch_size)
            learned, states = update(learned, states, update_key, batches)
    environments.close()
    return learned


main = functools.partial(experiment.main, learn, act, parser)

if __name__ == "__main__":
    main()
