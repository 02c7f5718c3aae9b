"""DreamerV3, small: a model of the world, and a policy learned in what it imagines.

    python examples/rl/dreamer.py

The world model (`rssm.py`) learns from replayed sequences. Policy and values learn
without the world: from states of these sequences the model imagines on, with the
actions of the policy, and both learn from lambda returns of the imagined rewards.

What lets one setting serve many tasks: rewards and values are distributions over bins
whose size grows exponentially; advantages are divided by the range of returns, where
that exceeds 1; values are kept near those of an older copy; and one percent of the
policy is uniform. Not here: normalised GRUs, values learned from replayed steps as
well, and memories replayed with their sequences. The networks are far smaller than the
paper's smallest; the learning rate is higher, and sinks to 0; the discount is lower.
Acting and learning are compiled; scores are measured in gymnasium's CartPole-v1.
Source: Hafner et al., 2023, Mastering Diverse Domains through World Models,
arXiv:2301.04104.
"""

import functools
from typing import Any, NamedTuple

import cartpole
import experiment
import jax
import jax.numpy as jnp
import numpy as np
import optax
import replay
import rssm
from rssm import ACTIONS, CHOICES, CODES, Row, State, mean, world

import haiku as hk
import rlax

GAME = cartpole.GAME


class Training(NamedTuple):
    """All that an update changes."""

    params: dict  # of world, actor and critic
    slow: Any  # averaged parameters of the critic
    optimizer: Any
    scale: rlax.PercentileScaleState  # of returns


def head(outputs: int):
    """A network of states, whose outputs are 0 at first."""
    return hk.without_apply_rng(
        hk.transform(lambda s: rssm.mlp(outputs, w_init=jnp.zeros)(rssm.features(s)))
    )


actor, critic = head(ACTIONS), head(rssm.BINS)


def action_logits(params, state: State):
    return rlax.uniform_mix(actor.apply(params["actor"], state))


def dream(params, state: State, key, options):
    """States [H + 1, S] from these [S] on, and the policy's actions [H, S]."""
    keys, count = jax.random.split(key), len(state.h)
    noise = jax.random.gumbel(keys[0], [options.horizon, count, CODES, CHOICES])
    choice = jax.random.gumbel(keys[1], [options.horizon, count, ACTIONS])

    def step(state, inputs):
        noise, choice = inputs
        a = jnp.argmax(action_logits(params, state) + choice, -1)
        return world.imagine(params["world"], state, a, noise), (state, a)

    last, (states, a) = jax.lax.scan(step, state, (noise, choice))
    joined = jax.tree.map(lambda x, y: jnp.concatenate([x, y[None]]), states, last)
    return joined, a


def targets(reward, goes_on, v, alive, options):
    """Lambda returns of the first H states, and how likely each is still reached."""
    discount_t = options.discount * jax.nn.sigmoid(goes_on[1:])
    returns = rlax.lambda_returns(mean(reward[1:]), discount_t, v[1:], options.lambda_)
    weights = jnp.cumprod(jnp.concatenate([alive[None], discount_t[:-1]]), 0)
    return returns, weights


def behaviour_loss(params, training: Training, state, alive, key, options):
    """The loss of policy and values, from states [S] on, and the scale of returns."""
    fixed = jax.lax.stop_gradient(params)
    states, a_tm1 = dream(fixed, state, key, options)
    _, reward, goes_on = world.predict(fixed["world"], states)
    now = jax.tree.map(lambda x: x[:-1], states)
    v = mean(critic.apply(fixed["critic"], states))
    returns, weights = targets(reward, goes_on, v, alive, options)
    scale, ranges = rlax.percentile_scale(returns, training.scale)
    logits, values = action_logits(params, now), critic.apply(params["critic"], now)
    slow = mean(critic.apply(training.slow, now))
    adv_tm1 = (returns - v[:-1]) / scale
    policy = rlax.policy_gradient_loss(logits, a_tm1, adv_tm1, weights)
    policy += options.entropy * rlax.entropy_loss(logits, weights)
    value = rssm.cross_entropy(returns, values) + rssm.cross_entropy(slow, values)
    return jnp.mean(policy) + jnp.mean(weights * value), ranges


def draw(memory: replay.Replay, key, options) -> Row:
    """Sequences [T, B] from anywhere in what happened."""
    shape = options.environments, options.batch_size // options.environments
    last = replay.size(memory) - options.length
    starts = jax.random.randint(key, shape, 0, last + 1)

    def cut(x):
        x = rlax.extract_subsequences(x, starts, options.length)
        return x.reshape(options.length, -1, *x.shape[3:])

    return jax.tree.map(cut, memory.columns)


def updater(optimizer, options):
    """Makes the compiled function of several updates."""

    def loss(params, training, rows, key):
        keys = jax.random.split(key)
        noise = jax.random.gumbel(keys[0], [*rows.r_t.shape, CODES, CHOICES])
        model, states = rssm.loss(params["world"], rows, noise)
        begin = jax.tree.map(  # imagination begins at some of the states
            lambda x: x[:: options.every_start].reshape(-1, *x.shape[2:]),
            jax.lax.stop_gradient((states, 1.0 - rows.ended_t)),
        )
        behaviour, scale = behaviour_loss(params, training, *begin, keys[1], options)
        return model + behaviour, scale

    def update(memory, training: Training, key):
        keys = jax.random.split(key)
        rows = draw(memory, keys[0], options)
        gradient, scale = jax.grad(loss, has_aux=True)(
            training.params, training, rows, keys[1]
        )
        updates, state = optimizer.update(gradient, training.optimizer)
        params = optax.apply_updates(training.params, updates)
        slow = optax.incremental_update(params["critic"], training.slow, options.slow)
        return Training(params, slow, state, scale), None

    @jax.jit
    def updates(training, memory, key):
        keys = jax.random.split(key, options.updates)
        return jax.lax.scan(functools.partial(update, memory), training, keys)[0]

    return updates


def policy(params, state: State, row: Row, noise):
    """Logits of the actions, and the state after a row [B] is seen."""
    row, noise = jax.tree.map(lambda x: x[None], (row, noise))  # T = 1
    states, *_ = world.observe(params["world"], state, row, noise)
    state = jax.tree.map(lambda x: x[0], states)
    return action_logits(params, state), state


def act(params, observations, memory):
    count = len(observations)
    if memory is None:
        memory = rssm.start(count), jnp.zeros(count, int), jnp.ones(count)
    state, a_tm1, first = memory
    row = Row(observations, a_tm1, None, first, None, None)
    none = jnp.zeros([count, CODES, CHOICES])  # the likeliest codes
    logits, state = policy(params, state, row, none)
    a = jnp.argmax(logits, -1).astype(a_tm1.dtype)
    return a, (state, a, jnp.zeros(count))


def follow(cart, row: Row, action, key):
    """One environment's next row: after the action, or of the next episode."""
    step_key, start_key = jax.random.split(key)
    after, r_t, ended, cut = GAME.step(cart, action, step_key)
    first = row.over_t > 0
    cart = jax.tree.map(
        lambda x, y: jnp.where(first, x, y), GAME.start(start_key), after
    )
    flags = (1.0 - first) * r_t, first, ~first & ended, ~first & (ended | cut)
    return cart, Row(GAME.observe(cart), action, *map(jnp.float32, flags))


def player(options):
    """Makes the compiled function that acts for a while; returns what happened too."""

    @jax.jit
    def play(params, carts, row, state, key):
        def step(carry, key):
            carts, row, state = carry
            noise_key, act_key, key = jax.random.split(key, 3)
            noise = jax.random.gumbel(noise_key, state.z.shape)
            logits, state = policy(params, state, row, noise)
            action = rlax.softmax().sample(act_key, logits)
            keys = jax.random.split(key, options.environments)
            carts, row = jax.vmap(follow)(carts, row, action, keys)
            return (carts, row, state), row

        keys = jax.random.split(key, options.every // options.environments)
        return jax.lax.scan(step, (carts, row, state), keys)

    return play


def learn(options, seed, report):
    if options.environment != GAME.name:
        raise ValueError(f"This plays {GAME.name} in JAX, not {options.environment}.")
    count = options.environments
    updates = max(1, (options.steps - options.warm_up) // options.every)
    rate = optax.linear_schedule(options.learning_rate, 0.0, updates * options.updates)
    optimizer = optax.chain(optax.clip_by_global_norm(100.0), optax.adam(rate))
    key, *keys = jax.random.split(jax.random.key(seed), 5)
    carts = jax.vmap(GAME.start)(jax.random.split(keys[0], count))
    none, state = jnp.zeros(count), rssm.start(count)
    seen, actions = jax.vmap(GAME.observe)(carts), jnp.zeros(count, jnp.int32)
    row = Row(seen, actions, none, none + 1, none, none)
    rows = jax.tree.map(lambda x: x[None], row)
    params = {
        "world": jax.jit(rssm.init)(keys[1], state, rows, state.z[None]),
        "actor": jax.jit(actor.init)(keys[2], state),
        "critic": jax.jit(critic.init)(keys[3], state),
    }
    scale = rlax.PercentileScaleState(jnp.zeros([]), jnp.zeros([]))
    training = Training(params, params["critic"], optimizer.init(params), scale)
    # All of so short a training is kept.
    memory = replay.empty((options.steps + options.every) // count, row)
    everything = training, memory, (carts, row, state)
    (training, memory, now), first = report.resume(everything)
    play, update = player(options), updater(optimizer, options)
    remember = jax.jit(replay.add, donate_argnums=0)
    for step in range(first, options.steps, options.every):
        report(step, training.params, (training, memory, now))
        play_key, update_key = jax.random.split(jax.random.fold_in(key, step))
        now, rows = play(training.params, *now, play_key)
        memory = remember(memory, rows)
        for rewards, over in zip(np.asarray(rows.r_t), np.asarray(rows.over_t) > 0):
            report.played(rewards, over)
        if step >= options.warm_up:
            training = update(training, memory, update_key)
    return training.params


parser = experiment.parser(
    __doc__, environment="CartPole-v1", steps=6_000, evaluations=6
)
add = parser.add_argument
add("--environments", type=int, default=8, help="side by side; %(default)s")
add("--every", type=int, default=64, help="steps between updates; %(default)s")
add("--updates", type=int, default=8, help="after so many steps; %(default)s")
add("--batch-size", type=int, default=16, help="sequences of an update; %(default)s")
add("--length", type=int, default=32, help="of a sequence; %(default)s")
add("--every-start", type=int, default=4, help="states from one dream to the next")
add("--horizon", type=int, default=15, help="imagined steps; %(default)s")
add("--warm-up", type=int, default=1024, help="steps before learning; %(default)s")
add("--learning-rate", type=float, default=1e-3, help="%(default)s, sinks to 0")
add("--discount", type=float, default=0.99, help="%(default)s")
add("--lambda", type=float, default=0.95, dest="lambda_", help="%(default)s")
add("--entropy", type=float, default=3e-4, help="weight; %(default)s")
add("--slow", type=float, default=0.02, help="weight of new values in older ones")
main = functools.partial(experiment.main, learn, act, parser)

if __name__ == "__main__":
    main()
