"""Proximal policy optimisation (PPO).

    python examples/rl/ppo.py
    python examples/rl/ppo.py --environment LunarLander-v3 --name ppo_lander

The policy acts for a while, and what it did is learned from several times over. Going
up the advantage of what was done is right only near the policy that did it, so the gain
is clipped where the ratio of the two policies leaves 1 +- epsilon. Advantages are
estimated by a decaying sum of errors of the value function (GAE); where an episode was
cut off by the clock, the value of its last state stands for what would have come.
Sources: Schulman et al., 2017, Proximal Policy Optimization Algorithms,
arXiv:1707.06347; Schulman et al., 2016, arXiv:1506.02438 (GAE).
"""

import experiment
import jax
import jax.numpy as jnp
import numpy as np
import optax
from rollouts import Actor

import haiku as hk
import rlax


def add_options(parser, **defaults):
    """PPO's options, with the values that do well on CartPole."""
    add = parser.add_argument
    add("--environments", type=int, default=8, help="side by side; %(default)s")
    add("--length", type=int, default=32, help="steps before an update; %(default)s")
    add("--epochs", type=int, default=20, help="over those steps; %(default)s")
    add("--minibatches", type=int, default=1, help="of an epoch; %(default)s")
    add("--learning-rate", type=float, default=1e-3, help="%(default)s, sinks to 0")
    add("--epsilon", type=float, default=0.2, help="bound of ratios; %(default)s")
    add("--discount", type=float, default=0.98, help="%(default)s")
    add("--lambda", type=float, default=0.8, dest="lambda_", help="%(default)s")
    add("--entropy", type=float, default=0.0, help="weight; %(default)s")
    add("--value", type=float, default=0.5, help="weight of its loss; %(default)s")
    parser.set_defaults(**defaults)
    return parser


def forward(x, actions: int, activation=jnp.tanh):
    """Logits of the actions, and the value: two networks."""
    wide = hk.initializers.Orthogonal(2**0.5)

    def mlp(name, size, scale):
        x_to_hidden = hk.nets.MLP(
            [64, 64], wide, activation=activation, activate_final=True, name=name
        )
        last = hk.initializers.Orthogonal(scale)
        return hk.Linear(size, w_init=last, name=f"{name}_out")(x_to_hidden(x))

    return mlp("policy", actions, 0.01), mlp("value", 1, 1.0)[..., 0]


def network(actions: int):
    return hk.without_apply_rng(hk.transform(lambda x: forward(x, actions)))


def advantages(v_tm1, v_t, batch, options):
    """Advantages and targets of the value, [T, B], from both sides' values."""
    adv_tm1 = rlax.truncated_generalized_advantage_estimation(
        batch.r_t,
        options.discount * (1.0 - batch.ended_t),
        options.lambda_,
        jnp.concatenate([v_tm1, v_t[-1:]]),
        truncation_t=batch.cut_t,
        bootstrap_t=v_t,
    )
    return adv_tm1, adv_tm1 + v_tm1


def loss(logits, v_tm1, batch, adv_tm1, target_tm1, options):
    """What PPO minimises, of steps that stand along the first axis."""
    log_prob = rlax.softmax().logprob
    ratio = jnp.exp(
        log_prob(batch.a_tm1, logits) - log_prob(batch.a_tm1, batch.logits_tm1)
    )
    adv_tm1 = (adv_tm1 - adv_tm1.mean()) / (adv_tm1.std() + 1e-8)
    policy = rlax.clipped_surrogate_pg_loss(ratio, adv_tm1, options.epsilon)
    value = rlax.l2_loss(v_tm1, target_tm1)
    entropy = rlax.entropy_loss(logits, jnp.ones_like(v_tm1))
    parts = policy, options.value * value, options.entropy * entropy
    return sum(x.mean() for x in parts)


def descend(loss, optimizer, params, state, data, rows):
    """One step down the loss of some rows of `data`."""
    batch = jax.tree.map(lambda x: x[rows], data)
    updates, state = optimizer.update(jax.grad(loss)(params, *batch), state)
    return optax.apply_updates(params, updates), state


def epochs(loss, optimizer, params, state, key, data, options):
    """Descends the loss of minibatches, drawn from axis 0 of `data` in each epoch."""
    count = jax.tree.leaves(data)[0].shape[0]

    def step(carry, rows):
        return descend(loss, optimizer, *carry, data, rows), None

    def epoch(carry, key):
        order = jax.random.permutation(key, count)
        return jax.lax.scan(step, carry, order.reshape(options.minibatches, -1))

    keys = jax.random.split(key, options.epochs)
    return jax.lax.scan(epoch, (params, state), keys)[0]


def minibatch_loss(network, options):
    """The loss as a function of parameters and steps."""

    def of(params, batch, adv_tm1, target_tm1):
        logits, v_tm1 = network.apply(params, batch.s_tm1)
        return loss(logits, v_tm1, batch, adv_tm1, target_tm1, options)

    return of


def steps(network, params, batch, options):
    """The rollout's steps [T * B, ...], with their advantages and targets."""
    value = hk.BatchApply(lambda x: network.apply(params, x)[1])
    data = batch, *advantages(value(batch.s_tm1), value(batch.s_t), batch, options)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), data)


def updater(network, optimizer, options):
    """Makes the compiled function that takes in one rollout."""
    rule = minibatch_loss(network, options), optimizer

    @jax.jit
    def update(params, state, key, batch):
        data = steps(network, params, batch, options)
        return epochs(*rule, params, state, key, data, options)

    return update


def optimizer(options):
    """Adam, at a rate that sinks linearly, and gradients of norm 0.5 at most."""
    updates = -(-options.steps // (options.length * options.environments))
    steps = updates * options.epochs * options.minibatches
    rate = optax.linear_schedule(options.learning_rate, 0.0, steps)
    return optax.chain(optax.clip_by_global_norm(0.5), optax.adam(rate, eps=1e-5))


def policy(params, observations, first, memory):
    actions = params["policy_out"]["b"].size
    return network(actions).apply(params, observations)[0], memory


def act(params, observations, memory):
    return jnp.argmax(policy(params, observations, None, None)[0], -1), memory


def start(network, environments, key):
    """First parameters of a network that sees what these environments show."""
    space = environments.observation_space
    return jax.jit(network.init)(key, np.zeros(space.shape, space.dtype))


def learn(options, seed, report):
    environments = experiment.vector(options.environment, options.environments)
    net = network(int(environments.single_action_space.n))
    key, init_key = jax.random.split(jax.random.key(seed))
    params = start(net, environments, init_key)
    optimise = optimizer(options)
    training = params, optimise.init(params), key
    (params, state, key), first = report.resume(training)
    actor = Actor(policy, environments, seed, played=report.played, steps=first)
    update = updater(net, optimise, options)
    for step in range(first, options.steps, options.length * options.environments):
        report(step, params, (params, state, key))
        key, update_key = jax.random.split(key)
        rollout = actor(params, options.length)
        params, state = update(params, state, update_key, rollout)
    environments.close()
    return params


parser = experiment.parser(__doc__, environment="CartPole-v1", steps=100_000)
add_options(parser)

# Other defaults for some environments.
ACROBOT = {"steps": 500_000, "length": 128, "epochs": 4, "minibatches": 4}
ACROBOT |= {"discount": 0.99, "lambda_": 0.95}
LANDER = {"steps": 1_000_000, "environments": 16, "length": 1024, "epochs": 4}
LANDER |= {"minibatches": 256, "learning_rate": 3e-4, "entropy": 0.01}
LANDER |= {"discount": 0.999, "lambda_": 0.98}
RECIPES = {"Acrobot-v1": ACROBOT, "LunarLander-v3": LANDER}


def main(argv=None):
    """Learns with each seed."""
    options = experiment.tuned(parser, RECIPES, argv)
    return experiment.main(learn, act, options, argv=argv)


if __name__ == "__main__":
    main()
