"""PPO that is curious: random network distillation (RND) in the deep sea.

    python examples/rl/rnd.py
    python examples/rl/rnd.py --bonus 0 --name rnd_plain

One network, whose weights are random and stay so, makes features of what is seen;
another learns to predict them. Where it errs the agent has seldom been, so the error is
a second reward, in units of the deviation of its discounted sums. That reward goes on
over the ends of episodes, has a value function of its own, and its advantages are added
to those of the game's reward. The learning rule is that of ppo.py; game and learner are
one compiled program. Without the bonus the agent hardly ever sees the treasure.
Source: Burda et al., 2018, Exploration by Random Network Distillation,
arXiv:1810.12894.
"""

import functools
from typing import Any, NamedTuple

import deep_sea
import experiment
import games
import jax
import jax.numpy as jnp
import numpy as np
import ppo
from deep_sea import GAME
from rollouts import Rollout

import haiku as hk
import rlax

FEATURES = 32


def forward(x):
    """Logits, and the values of the game's reward and of the bonus."""
    policy = hk.nets.MLP([64, 2], activation=jnp.tanh, name="policy")
    values = hk.nets.MLP([64, 2], activation=jnp.tanh, name="values")
    return policy(x), values(x)


network = hk.without_apply_rng(hk.transform(forward))
features = hk.without_apply_rng(hk.transform(lambda s: hk.nets.MLP([64, FEATURES])(s)))


class Training(NamedTuple):
    """All that an update changes."""

    params: Any  # of the network and of the predictor
    state: Any  # of the optimizer
    fixed: Any  # the random features' parameters
    divers: Any  # [B]
    scale: Any  # statistics of the bonus's discounted sums


def bonuses(params, fixed, s):
    """The errors of the predictor, of what is seen [B, D]."""
    predicted = features.apply(params["predictor"], s)
    return jax.vmap(rlax.rnd_error)(predicted, features.apply(fixed, s))


def rollout(params, divers, key, options):
    """What the policy does in the next steps, [T, B]."""

    def step(divers, key):
        s_tm1 = jax.vmap(GAME.observe)(divers)
        logits, _ = network.apply(params["network"], s_tm1)
        keys = jax.random.split(key)
        a_tm1 = rlax.softmax().sample(keys[0], logits)
        each = jax.random.split(keys[1], options.environments)
        divers, now = jax.vmap(functools.partial(games.play, GAME))(divers, a_tm1, each)
        return divers, Rollout(
            s_tm1, None, logits, a_tm1, now.r_t, now.ended_t, now.cut_t, now.s_t
        )

    return jax.lax.scan(step, divers, jax.random.split(key, options.length))


def updater(optimizer, options):
    """Makes the compiled function of several updates: act for a while, then learn."""

    def loss(params, batch, adv_tm1, target_tm1, fixed):
        logits, v_tm1 = network.apply(params["network"], batch.s_tm1)
        # Two values to learn, but one advantage: PPO's loss of the first, and the rest.
        first = ppo.loss(logits, v_tm1[:, 0], batch, adv_tm1, target_tm1[:, 0], options)
        second = rlax.l2_loss(v_tm1[:, 1], target_tm1[:, 1]).mean()
        return first + options.value * second + bonuses(params, fixed, batch.s_t).mean()

    def update(training: Training, key):
        params, state, fixed, divers, scale = training
        keys = jax.random.split(key)
        divers, batch = rollout(params, divers, keys[0], options)
        bonus = hk.BatchApply(functools.partial(bonuses, params, fixed))(batch.s_t)
        endless = jnp.full([options.length], options.discount)
        bonus, scale = rlax.scale_rewards(bonus, endless, scale)
        _, v_tm1 = network.apply(params["network"], batch.s_tm1)
        _, v_t = network.apply(params["network"], batch.s_t)
        outer = ppo.advantages(v_tm1[..., 0], v_t[..., 0], batch, options)
        # The bonus of the next episode follows: it begins where this one began.
        begun = network.apply(params["network"], GAME.observe(GAME.start(None)))[1][1]
        v_t = jnp.where(batch.ended_t, begun, v_t[..., 1])
        onward = batch._replace(r_t=bonus, ended_t=jnp.zeros_like(batch.ended_t))
        inner = ppo.advantages(v_tm1[..., 1], v_t, onward, options)
        adv_tm1 = options.reward * outer[0] + options.bonus * inner[0]
        data = batch, adv_tm1, jnp.stack([outer[1], inner[1]], -1)
        data = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), data)
        rule = functools.partial(loss, fixed=fixed), optimizer
        params, state = ppo.epochs(*rule, params, state, keys[1], data, options)
        found = (batch.r_t > 0.5).sum() / batch.ended_t.sum()
        return Training(params, state, fixed, divers, scale), found

    return jax.jit(lambda training, keys: jax.lax.scan(update, training, keys))


def act(params, observations, memory):
    return network.apply(params["network"], observations)[0].argmax(-1), memory


def learn(options, seed, report):
    each = options.length * options.environments * options.updates
    optimizer = ppo.optimizer(options)
    key, *keys = jax.random.split(jax.random.key(seed), 4)
    seen = GAME.observe(GAME.start(None))
    params = {
        "network": jax.jit(network.init)(keys[0], seen),
        "predictor": jax.jit(features.init)(keys[1], seen),
    }
    fixed = jax.jit(features.init)(keys[2], seen)
    divers = jax.vmap(GAME.start)(jnp.arange(options.environments))
    scale = rlax.init_return_scale([options.environments])
    training = Training(params, optimizer.init(params), fixed, divers, scale)
    training, first = report.resume(training)
    update, shown = updater(optimizer, options), {}
    for step in range(first, options.steps, each):
        report(step, training.params, training, **shown)
        keys = jax.random.split(jax.random.fold_in(key, step), options.updates)
        training, found = update(training, keys)
        shown = {"found": np.mean(found)}
    return training.params


parser = experiment.parser(
    __doc__, environment="DeepSea", steps=102_400, episodes=10, evaluations=10
)
ppo.add_options(
    parser,
    environments=64,
    length=20,
    epochs=4,
    minibatches=4,
    discount=0.99,
    lambda_=0.95,
    entropy=0.001,
)
add = parser.add_argument
add("--bonus", type=float, default=1.0, help="weight of curiosity; %(default)s")
add("--reward", type=float, default=2.0, help="weight of the game's; %(default)s")
add("--updates", type=int, default=10, help="in one compiled call; %(default)s")
main = functools.partial(experiment.main, learn, act, parser, vector=deep_sea.vector)

if __name__ == "__main__":
    main()
