"""V-MPO on CartPole.

    python examples/rl/vmpo.py

The better half of what the policy did gets weights, e^(advantage / temperature), and
the policy climbs toward those actions by weighted maximum likelihood. How far it may go
is a constraint: its KL divergence from the policy that acted, at most epsilon. Both the
temperature and the multiplier of that constraint are learned beside the policy, as
Lagrange multipliers.
Source: Song et al., 2019, V-MPO: On-Policy Maximum a Posteriori Policy Optimization for
Discrete and Continuous Control, arXiv:1909.12238.
"""

import functools

import experiment
import jax
import jax.numpy as jnp
import optax
import ppo
from rollouts import Actor

import haiku as hk
import rlax

parser = experiment.parser(__doc__, environment="CartPole-v1", steps=200_000)
add = parser.add_argument
add("--environments", type=int, default=8, help="side by side; 8")
add("--length", type=int, default=64, help="steps before an update; 64")
add("--epochs", type=int, default=20, help="updates with the same steps; 20")
add("--learning-rate", type=float, default=1e-3, help="1e-3, sinks")
add("--discount", type=float, default=0.99, help="0.99")
add("--lambda", type=float, default=0.95, dest="lambda_", help="of returns; 0.95")
add("--temperature-epsilon", type=float, default=0.1, help="bound of its KL; 0.1")
add("--policy-epsilon", type=float, default=0.01, help="bound of the KL; 0.01")


def forward(x):
    """Logits of two actions, and the value: two networks."""
    policy = hk.nets.MLP([64, 64, 2], activation=jnp.tanh, name="policy")
    value = hk.nets.MLP([64, 64, 1], activation=jnp.tanh, name="value")
    return policy(x), value(x)[..., 0]


network = hk.without_apply_rng(hk.transform(forward))


def loss(learned, batch, target_tm1, adv_tm1, options):
    logits_tm1, v_tm1 = network.apply(learned["network"], batch.s_tm1)
    log_prob = rlax.softmax().logprob(batch.a_tm1, logits_tm1)
    kl = rlax.categorical_kl_divergence(batch.logits_tm1, logits_tm1)
    temperature = rlax.LagrangePenalty(
        jnp.exp(learned["log_temperature"]), options.temperature_epsilon
    )
    multiplier = rlax.LagrangePenalty(
        jnp.exp(learned["log_multiplier"]), options.policy_epsilon
    )
    policy, _ = rlax.vmpo_loss(log_prob, adv_tm1, temperature, [(kl, multiplier)])
    return policy.mean() + rlax.l2_loss(v_tm1, target_tm1).mean()


def act(learned, observations, memory):
    return jnp.argmax(network.apply(learned["network"], observations)[0], -1), memory


def policy(learned, observations, first, memory):
    return network.apply(learned["network"], observations)[0], memory


def updater(optimizer, options):
    """Makes the compiled function that takes in one rollout."""

    @jax.jit
    def update(learned, state, batch):
        _, v_tm1 = network.apply(learned["network"], batch.s_tm1)
        _, v_t = network.apply(learned["network"], batch.s_t)
        target_tm1 = rlax.lambda_returns(
            batch.r_t,
            options.discount * (1.0 - batch.ended_t),
            v_t,
            options.lambda_,
            truncation_t=batch.cut_t,
        )
        adv_tm1 = target_tm1 - v_tm1

        def step(carry, _):
            learned, state = carry
            gradient = jax.grad(loss)(learned, batch, target_tm1, adv_tm1, options)
            updates, state = optimizer.update(gradient, state)
            return (optax.apply_updates(learned, updates), state), None

        return jax.lax.scan(step, (learned, state), length=options.epochs)[0]

    return update


def learn(options, seed, report):
    environments = experiment.vector(options.environment, options.environments)
    learned = {
        "network": ppo.start(network, environments, jax.random.key(seed)),
        "log_temperature": jnp.zeros([]),
        "log_multiplier": jnp.zeros([]),
    }
    each = options.length * options.environments
    updates = -(-options.steps // each)
    rate = optax.linear_schedule(options.learning_rate, 0.0, updates * options.epochs)
    optimizer = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(rate))
    (learned, state), first = report.resume((learned, optimizer.init(learned)))
    actor = Actor(policy, environments, seed, played=report.played, steps=first)
    update = updater(optimizer, options)
    for step in range(first, options.steps, each):
        temperature, multiplier = (
            float(jnp.exp(learned[x])) for x in ("log_temperature", "log_multiplier")
        )
        shown = {"temperature": temperature, "multiplier": multiplier}
        report(step, learned, (learned, state), **shown)
        learned, state = update(learned, state, actor(learned, options.length))
    environments.close()
    return learned


main = functools.partial(experiment.main, learn, act, parser)

if __name__ == "__main__":
    main()
