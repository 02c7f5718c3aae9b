"""Soft actor-critic (SAC) on Pendulum and MountainCarContinuous.

    python examples/rl/sac.py
    python examples/rl/sac.py --compiled --name sac_compiled
    python examples/rl/sac.py --environment MountainCarContinuous-v0 --name sac_car

The policy is a Gaussian whose actions tanh squashes into their bounds. It goes up the
lower of two estimates of the return plus its own entropy, so that it keeps exploring;
the weight of the entropy, the temperature, is learned so that the entropy stays near a
target. The two critics learn from transitions of the past, toward the lower value that
slowly following copies of them give the next state.

The car earns nothing before it is on the hill, and pays for every push: noise that is
drawn anew in each step cancels out and never gets it there. With --hold the noise stays
the same between two rounds of learning, as long as half a swing of the car takes; each
action taken alone is still distributed as the policy says.
Sources: Haarnoja et al., 2018, Soft Actor-Critic Algorithms and Applications,
arXiv:1812.05905; Fujimoto et al., 2018, arXiv:1802.09477 (two critics); Raffin et al.,
2020, Smooth Exploration for Robotic Reinforcement Learning, arXiv:2005.05719 (noise
that is held).
"""

from typing import Any, NamedTuple

import control
import jax
import jax.numpy as jnp
import off_policy
import optax

import rlax

parser = control.parser(__doc__)
parser.add_argument("--follow", type=float, default=0.005, help="of the copies; 0.005")
parser.add_argument("--temperature", type=float, help="fixed; by default learned")
parser.add_argument("--hold", action="store_true", help="noise between two rounds")
parser.add_argument("--settle", action="store_true", help="learning rate falls to 0")

# With this temperature a push is worth more for its entropy than it costs, so the car
# goes on trying; with this discount arriving is worth more than trying for ever.
CAR = {
    "steps": 20_000,
    "warm_up": 128,
    "every": 128,  # 32 in each environment
    "updates": 128,
    "discount": 0.999,
    "follow": 0.01,
    "temperature": 0.1,
    "learning_rate": 3e-4,
    "hold": True,
    "settle": True,
}


class Params(NamedTuple):
    """What gradients change."""

    policy: Any
    critics: Any
    log_temperature: jax.Array


class State(NamedTuple):
    """All that learning changes."""

    params: Params
    target: Any  # the critics that follow
    optimizer: Any
    noise: jax.Array  # [B, A], which --hold holds


def rule(size: int, options) -> control.Rule:
    policy = control.gaussian(size)
    critics = control.ensemble(count=2, outputs=1)
    last = 0.0 if options.settle else options.learning_rate
    optimizer = optax.adam(
        optax.linear_schedule(
            options.learning_rate, last, off_policy.updates_of(options)
        )
    )

    def draw(params, key, s):
        """Actions [B, A], differentiable in the policy, and log probabilities [B]."""
        return rlax.tanh_gaussian().sample_and_logprob(key, *policy.apply(params, s))

    def values(params, s, a):
        return critics.apply(params, s, a)[..., 0]  # [B, 2]

    def loss(params, target, key, batch):
        s_tm1, a_tm1, r_t, discount_t, s_t = batch
        fixed, keys = jax.lax.stop_gradient(params), jax.random.split(key)
        temperature = jnp.exp(fixed.log_temperature)

        a_t, log_pi_t = draw(fixed.policy, keys[0], s_t)
        errors = jax.vmap(rlax.sac_td_error, [0, 0, 0, 0, 0, None])(
            values(params.critics, s_tm1, a_tm1),
            r_t,
            discount_t,
            values(target, s_t, a_t),
            log_pi_t,
            temperature,
        )
        a_tm1, log_pi_tm1 = draw(params.policy, keys[1], s_tm1)
        policy_losses = jax.vmap(rlax.sac_policy_loss, [0, 0, None])(
            log_pi_tm1, values(fixed.critics, s_tm1, a_tm1), temperature
        )
        temperature_losses = jax.vmap(rlax.sac_temperature_loss, [None, 0, None])(
            params.log_temperature, log_pi_tm1, -size
        )
        learned = options.temperature is None
        losses = rlax.l2_loss(errors).sum(-1), policy_losses
        return sum(x.mean() for x in (*losses, *[temperature_losses] * learned))

    def init(key, s, a):
        keys = jax.random.split(key, 3)
        params = Params(
            policy.init(keys[0], s),
            critics.init(keys[1], s, a),
            jnp.log(options.temperature or 1.0),
        )
        noise = jax.random.normal(keys[2], a.shape)
        return State(params, params.critics, optimizer.init(params), noise)

    def explore(state, key, s, share):
        mu, sigma = policy.apply(state.params.policy, s)
        noise = state.noise if options.hold else jax.random.normal(key, mu.shape)
        return jnp.tanh(mu + sigma * noise)

    def update(state, key, batch):
        keys = jax.random.split(key)
        grads = jax.grad(loss)(state.params, state.target, keys[0], batch)
        updates, optimizer_state = optimizer.update(grads, state.optimizer)
        params = optax.apply_updates(state.params, updates)
        target = optax.incremental_update(params.critics, state.target, options.follow)
        noise = jax.random.normal(keys[1], state.noise.shape)
        return State(params, target, optimizer_state, noise)

    def act(params, s):
        return jnp.tanh(policy.apply(params, s)[0])

    agent = off_policy.Agent(init, explore, update, lambda state: state.params.policy)
    return control.Rule(agent, act)


main = control.main(rule, parser, {"MountainCarContinuous-v0": CAR})

if __name__ == "__main__":
    main()
