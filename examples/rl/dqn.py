"""Deep Q-learning, with --double the double Q-learning variant.

    python examples/rl/dqn.py
    python examples/rl/dqn.py --double --name double_dqn
    python examples/rl/dqn.py --environment breakout --compiled --name dqn_breakout

A network predicts the return of each action. It learns from transitions drawn from a
memory of the past, toward the value that an older copy of it gives the next state.
Double Q-learning lets the network itself choose the action there, and the copy rate it,
which takes out the bias of the maximum over noisy values. `value_agent.py` has the
loop.
Sources: Mnih et al., 2015, Human-level control through deep reinforcement learning,
Nature 518; van Hasselt et al., 2016, Deep Reinforcement Learning with Double
Q-learning, arXiv:1509.06461.
"""

import jax
import value_agent

import haiku as hk
import rlax

parser = value_agent.parser(__doc__, updates=64, copy_period=128)
parser.add_argument("--double", action="store_true", help="double Q-learning")


def network(actions: int):
    """Values of actions, [B, A], of observations."""
    return hk.without_apply_rng(
        hk.transform(lambda x: hk.Linear(actions)(value_agent.torso(x)))
    )


def rule(actions: int, options):
    net = network(actions)

    def loss(params, target_params, key, transitions):
        s_tm1, a_tm1, r_t, discount_t, s_t = transitions
        # A reward of 1 in each step, for ever, is now worth 1: values of that size are
        # learned soon, and Huber's loss is of squares.
        r_t = (1 - options.discount) * r_t
        q_tm1 = net.apply(params, s_tm1)
        q_t = net.apply(target_params, s_t)
        if options.double:
            q_t_selector = net.apply(params, s_t)
            errors = jax.vmap(rlax.double_q_learning)(
                q_tm1, a_tm1, r_t, discount_t, q_t, q_t_selector
            )
        else:
            errors = jax.vmap(rlax.q_learning)(q_tm1, a_tm1, r_t, discount_t, q_t)
        return rlax.huber_loss(errors)

    return value_agent.Rule(net.init, loss, net.apply)


main = value_agent.main(rule, parser)

if __name__ == "__main__":
    main()
