r"""Rainbow: six improvements of deep Q-learning at once.

    python examples/rl/rainbow.py
    python examples/rl/rainbow.py --environment breakout --compiled \
        --name rainbow_breakout

C51 (`c51.py`), with
- double Q-learning: the network chooses the next action, its older copy values it;
- dueling heads: one gives the value of the state, the other what each action adds;
- noisy layers, which explore: they learn how much noise their weights bear, and no
  epsilon is needed;
- prioritised replay: transitions of a large loss are drawn more often, and count less;
- transitions of several steps.
It acts without noise where it is evaluated. `value_agent.py` has the loop.
Sources: Hessel et al., 2018, Rainbow: Combining Improvements in Deep Reinforcement
Learning, arXiv:1710.02298; Wang et al., 2016, arXiv:1511.06581 (dueling); Fortunato et
al., 2018, arXiv:1706.10295 (noisy); Schaul et al., 2016, arXiv:1511.05952 (replay).
"""

import jax
import jax.numpy as jnp
import value_agent

import haiku as hk
import rlax

parser = value_agent.parser(
    __doc__,
    steps=30_000,
    explore=0.02,
    epsilon=0.0,
)
add = parser.add_argument
add("--atoms", type=int, default=51, help="places of returns; %(default)s")
add("--lowest", type=float, default=0.0, help="of them; %(default)s")
add("--highest", type=float, default=100.0, help="of them; %(default)s")
add("--priority", type=float, default=0.5, help="exponent; %(default)s")
add("--noise", type=float, default=0.5, help="of weights at first; %(default)s")


class NoisyLinear(hk.Module):
    """A linear layer whose weights bear noise, of a size that is learned.

    The noise of a weight is the product of two numbers, one for its input and one for
    its output. Without a key there is none.
    """

    def __init__(self, output_size: int, noise: float, name=None):
        super().__init__(name)
        self.output_size, self.noise = output_size, noise

    def __call__(self, x):
        """Outputs [B, output_size] of inputs [B, D]."""
        sizes = x.shape[-1], self.output_size
        bound = sizes[0] ** -0.5
        start = hk.initializers.RandomUniform(-bound, bound)
        spread = hk.initializers.Constant(self.noise * bound)
        w = hk.get_parameter("w", sizes, init=start)
        b = hk.get_parameter("b", sizes[1:], init=start)
        w_spread = hk.get_parameter("w_spread", sizes, init=spread)
        b_spread = hk.get_parameter("b_spread", sizes[1:], init=spread)
        key = hk.maybe_next_rng_key()
        if key is None:
            return x @ w + b
        numbers = jax.random.normal(key, [sum(sizes)])
        numbers = jnp.sign(numbers) * jnp.sqrt(jnp.abs(numbers))
        into, out = numbers[: sizes[0]], numbers[sizes[0] :]
        return x @ (w + w_spread * jnp.outer(into, out)) + b + b_spread * out


def network(actions: int, atoms: int = 51, noise: float = 0.5):
    """Logits of the returns' places, [B, A, atoms], of observations."""

    def head(x, size, name):
        x = jax.nn.relu(NoisyLinear(64, noise, name=f"{name}_hidden")(x))
        return NoisyLinear(size * atoms, noise, name=name)(x).reshape(-1, size, atoms)

    def forward(observations):
        x = value_agent.torso(observations)
        advantage = head(x, actions, "advantage")
        return head(x, 1, "value") + advantage - advantage.mean(1, keepdims=True)

    return hk.transform(forward)


def rule(actions: int, options):
    net = network(actions, options.atoms, options.noise)
    places = jnp.linspace(options.lowest, options.highest, options.atoms)

    def noisy(params, key, observations):
        return jax.nn.softmax(net.apply(params, key, observations)) @ places

    def q_values(params, observations):
        return noisy(params, None, observations)

    def loss(params, target_params, key, transitions):
        s_tm1, a_tm1, r_t, discount_t, s_t = transitions
        keys = jax.random.split(key, 3)
        logits_tm1 = net.apply(params, keys[0], s_tm1)
        logits_t = net.apply(target_params, keys[1], s_t)
        q_t_selector = noisy(params, keys[2], s_t)

        def cross_entropy(logits_tm1, a_tm1, r_t, discount_t, logits_t, q_t_selector):
            return rlax.categorical_double_q_learning(
                places,
                logits_tm1,
                a_tm1,
                r_t,
                discount_t,
                places,
                logits_t,
                q_t_selector,
            )

        return jax.vmap(cross_entropy)(
            logits_tm1, a_tm1, r_t, discount_t, logits_t, q_t_selector
        )

    return value_agent.Rule(net.init, loss, q_values, noisy, options.priority)


main = value_agent.main(rule, parser, value_agent.BOARDS | {"highest": 20.0})

if __name__ == "__main__":
    main()
