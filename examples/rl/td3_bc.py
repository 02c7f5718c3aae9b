"""TD3+BC: learning from recorded data by TD3 that stays near the data's actions.

    python examples/rl/td3_bc.py       # after the three commands of record.py
    python examples/rl/td3_bc.py --alpha 0 --name clone  # imitates, and no more

Critics know nothing of actions that nobody took, and a policy that goes up their slope
soon finds some that they rate far too high; nothing is played that would correct it.
One term more in the policy's loss, its squared distance to the action that was taken,
keeps it where the critics know what they say. Values are divided by their mean size, so
that `--alpha` means the same for all rewards.
Source: Fujimoto and Gu, 2021, A Minimalist Approach to Offline Reinforcement Learning,
arXiv:2106.06860.
"""

import functools

import control
import offline
import td3

import rlax

parser = td3.add_options(offline.parser(__doc__))
parser.add_argument("--alpha", type=float, default=2.5, help="of the values; 2.5")


def up_the_slope_near_the_data(q, a, a_tm1, options):
    return rlax.td3_bc_policy_loss(q(a), a, a_tm1, options.alpha)


rule = functools.partial(td3.rule, loss=up_the_slope_near_the_data)
main = control.main(rule, parser, loop=offline.learn)

if __name__ == "__main__":
    main()
