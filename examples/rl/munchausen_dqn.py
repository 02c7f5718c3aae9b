"""Munchausen DQN: deep Q-learning that rewards the policy's own certainty.

    python examples/rl/munchausen_dqn.py

The policy is the softmax of the values, at a low temperature. What follows a step is
valued by that policy and its entropy, and the reward grows by the scaled logarithm of
the probability of the action that was taken: nothing where the policy was sure of it,
less where it was not. So the gap between the best action and the others widens, and the
policy changes less from one target to the next. Of a transition of several steps, the
first one's action gets that bonus. `value_agent.py` has the loop.
Source: Vieillard et al., 2020, Munchausen Reinforcement Learning, arXiv:2007.14430.
"""

import jax
import value_agent
from dqn import network

import rlax

parser = value_agent.parser(__doc__, learning_rate=1e-3)
add = parser.add_argument
add("--temperature", type=float, default=0.03, help="of the policy; %(default)s")
add("--munchausen", type=float, default=0.9, help="weight of the bonus; %(default)s")


def rule(actions: int, options):
    net = network(actions)

    def loss(params, target_params, key, transitions):
        s_tm1, a_tm1, r_t, discount_t, s_t = transitions
        unit = 1 - options.discount  # as in dqn.py, of rewards and of all beside them
        q_tm1 = net.apply(params, s_tm1)
        q_t, q_target_tm1 = (net.apply(target_params, s) for s in (s_t, s_tm1))

        def td_error(*inputs):
            return rlax.munchausen_q_learning(
                *inputs,
                unit * options.temperature,
                options.munchausen,
                log_clip=-unit,
            )

        errors = jax.vmap(td_error)(
            q_tm1, a_tm1, unit * r_t, discount_t, q_t, q_target_tm1
        )
        return rlax.huber_loss(errors)

    return value_agent.Rule(net.init, loss, net.apply)


main = value_agent.main(rule, parser)

if __name__ == "__main__":
    main()
