"""Trust region policy optimisation (TRPO) on CartPole.

    python examples/rl/trpo.py

Each update goes up the advantage of what was done as far as a bound on the KL
divergence from the policy that did it allows. Near that policy the divergence is a
quadratic form, whose matrix is Fisher's: the best direction solves a linear system with
it, by conjugate gradients that need only products with the matrix. The step is then
halved until the true divergence keeps the bound and the advantage rises. The bound
sinks to 0, as learning rates do: so the last policies differ little. Values are learned
as in ppo.py, whose advantages these are too.
Source: Schulman et al., 2015, Trust Region Policy Optimization, arXiv:1502.05477.
"""

import functools

import experiment
import jax
import jax.numpy as jnp
import optax
import ppo
from ppo import act, policy
from rollouts import Actor

import rlax

parser = experiment.parser(__doc__, environment="CartPole-v1", steps=100_000)
add = parser.add_argument
add("--environments", type=int, default=8, help="side by side; %(default)s")
add("--length", type=int, default=128, help="steps before an update; %(default)s")
add("--divergence", type=float, default=0.01, help="of KL; %(default)s, sinks to 0")
add("--damping", type=float, default=1e-3, help="of Fisher's matrix; %(default)s")
add("--halvings", type=int, default=10, help="of a step at most; %(default)s")
add("--value-updates", type=int, default=40, help="with these steps; %(default)s")
add("--learning-rate", type=float, default=1e-3, help="of values; %(default)s")
add("--discount", type=float, default=0.99, help="%(default)s")
add("--lambda", type=float, default=0.98, dest="lambda_", help="%(default)s")


def natural_step(gain, divergence, params, bound, options):
    """The parameters after one step up the gain, with the divergence in bounds.

    `gain` and `divergence` are functions of the parameters; both are 0 here.
    """
    product = functools.partial(
        rlax.fisher_vector_product, divergence, params, damping=options.damping
    )
    gradient = jax.grad(gain)(params)
    direction = rlax.conjugate_gradient(product, gradient)
    # Half of this form is the divergence of a step, were it quadratic.
    form = optax.tree.vdot(direction, product(direction))
    longest = jnp.sqrt(2 * bound / jnp.maximum(form, 1e-12))

    def moved(halvings):
        scale = longest * 0.5**halvings
        return jax.tree.map(lambda x, y: x + scale * y, params, direction)

    def fails(halvings):
        after = moved(halvings)
        good = (divergence(after) <= bound) & (gain(after) > 0)
        return ~good & (halvings < options.halvings)

    halvings = jax.lax.while_loop(fails, lambda n: n + 1, 0)
    kept = halvings < options.halvings  # else the policy stays
    return jax.tree.map(lambda x, y: jnp.where(kept, x, y), moved(halvings), params)


def split(params):
    """The parameters of the policy, and those of the value."""
    names = {name: name.startswith("policy") for name in params}
    return tuple({k: params[k] for k in names if names[k] == x} for x in (True, False))


def updater(network, optimizer, options):
    """Makes the compiled function that takes in one rollout."""

    @jax.jit
    def update(params, state, rollout, bound):
        batch, adv_tm1, target_tm1 = ppo.steps(network, params, rollout, options)
        adv_tm1 = rlax.normalize_advantages(adv_tm1)
        log_prob = functools.partial(rlax.softmax().logprob, batch.a_tm1)
        acting, valuing = split(params)

        def logits(acting):
            return network.apply({**acting, **valuing}, batch.s_tm1)[0]

        def gain(acting):
            change = log_prob(logits(acting)) - log_prob(batch.logits_tm1)
            return jnp.mean((jnp.exp(change) - 1) * adv_tm1)

        def divergence(acting):
            return rlax.categorical_kl_divergence(
                batch.logits_tm1, logits(acting)
            ).mean()

        def value_loss(valuing):
            v_tm1 = network.apply({**acting, **valuing}, batch.s_tm1)[1]
            return rlax.l2_loss(v_tm1, target_tm1).mean()

        def descend(carry, _):
            valuing, state = carry
            updates, state = optimizer.update(jax.grad(value_loss)(valuing), state)
            return (optax.apply_updates(valuing, updates), state), None

        after = natural_step(gain, divergence, acting, bound, options)
        carry = valuing, state
        (valuing, state), _ = jax.lax.scan(descend, carry, length=options.value_updates)
        return {**after, **valuing}, state

    return update


def learn(options, seed, report):
    environments = experiment.vector(options.environment, options.environments)
    network = ppo.network(int(environments.single_action_space.n))
    params = ppo.start(network, environments, jax.random.key(seed))
    optimizer = optax.adam(options.learning_rate)
    training = params, optimizer.init(split(params)[1])
    (params, state), first = report.resume(training)
    actor = Actor(policy, environments, seed, played=report.played, steps=first)
    update = updater(network, optimizer, options)
    for step in range(first, options.steps, options.length * options.environments):
        report(step, params, (params, state))
        bound = options.divergence * (1 - step / options.steps)
        params, state = update(params, state, actor(params, options.length), bound)
    environments.close()
    return params


main = functools.partial(experiment.main, learn, act, parser)

if __name__ == "__main__":
    main()
