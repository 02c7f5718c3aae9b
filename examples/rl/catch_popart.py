"""PopArt on Catch: three tasks in one network, paid in cents, in units and in hundreds.

    python examples/rl/catch_popart.py
    python examples/rl/catch_popart.py --plain --name catch_plain

Three games go on at once. They look alike, but rewards are multiplied by 0.01 in the
first, and by 100 in the last. The tasks share all layers but the last, where each has
its own three outputs. Plain Q-learning (--plain) hears the loudest task alone. PopArt
keeps the mean and the spread of each output's targets, lets the network learn the
normalised ones, and at each change of the statistics corrects the last layer so that
no value that the network stands for changes. Evaluation counts the rewards of the game
itself, each task in a third of the episodes.
Sources: van Hasselt et al., 2016, Learning Values across Many Orders of Magnitude,
arXiv:1602.07714; Hessel et al., 2019, Multi-task Deep Reinforcement Learning with
PopArt, arXiv:1809.04474.
"""

import functools

import catch
import experiment
import jax
import jax.numpy as jnp
import optax

import haiku as hk
import rlax

SCALES = jnp.array([0.01, 1.0, 100.0])  # of the rewards; one task each
TASKS, ACTIONS = len(SCALES), 3

parser = experiment.parser(__doc__, environment="Catch", steps=270_000, episodes=300)
parser.add_argument("--plain", action="store_true", help="no PopArt, for comparison")
parser.add_argument(
    "--learning-rate", type=float, default=1e-3, help="falls to 0; 1e-3"
)
parser.add_argument("--discount", type=float, default=0.99, help="0.99")
parser.add_argument("--epsilon", type=float, default=0.1, help="chance exploring; 0.1")
parser.add_argument("--step-size", type=float, default=1e-3, help="of statistics; 1e-3")


@hk.without_apply_rng
@hk.transform
def network(board):
    hidden = hk.nets.MLP([50, 50], activate_final=True)(board.reshape(-1))
    return hk.Linear(TASKS * ACTIONS, name="head")(hidden)


def values(params, statistics, board):
    """Normalised and real action values, each [TASKS * ACTIONS]."""
    normalized = network.apply(params, board)
    return normalized, rlax.unnormalize(statistics, normalized, None)


def of_task(values, task):
    """The ACTIONS values that belong to `task`."""
    return values.reshape(TASKS, ACTIONS)[task]


def loss(params, statistics, boards, outputs, targets):
    normalized = jax.vmap(network.apply, in_axes=(None, 0))(params, boards)
    q_tm1 = jnp.take_along_axis(normalized, outputs[:, None], axis=1)[:, 0]
    targets = rlax.normalize(statistics, targets, outputs)
    return jnp.mean(rlax.l2_loss(q_tm1, targets))


def learn(options, seed: int, report):
    rate = optax.linear_schedule(options.learning_rate, 0, options.steps // TASKS)
    optimizer = optax.adam(rate)
    policy = rlax.epsilon_greedy(options.epsilon)
    step_size = 0.0 if options.plain else options.step_size  # 0: none ever change
    initial, update = rlax.popart(TASKS * ACTIONS, step_size, 1e-4, 1e6)
    tasks = jnp.arange(TASKS)

    def choose(key, learned, game, task):
        q = values(learned["params"], learned["statistics"], catch.board(game))[1]
        return policy.sample(key, of_task(q, task))

    def target(learned, board, task, r_t, discount_t):
        q = values(learned["params"], learned["statistics"], board)[1]
        return r_t + discount_t * jnp.max(of_task(q, task))

    def step(carry, key):
        learned, state, games = carry
        act_key, start_key = jax.random.split(key)
        s_tm1 = jax.vmap(catch.board)(games)
        a_tm1 = jax.vmap(choose, in_axes=(0, None, 0, 0))(
            jax.random.split(act_key, TASKS), learned, games, tasks
        )
        games, r_t, ended = jax.vmap(catch.step)(games, a_tm1)
        s_t = jax.vmap(catch.board)(games)
        targets = jax.vmap(target, in_axes=(None, 0, 0, 0, 0))(
            learned, s_t, tasks, SCALES * r_t, options.discount * (1 - ended)
        )
        # Statistics first, then a step towards targets that they normalise.
        outputs = ACTIONS * tasks + a_tm1
        params, statistics = learned["params"], learned["statistics"]
        head, statistics = update(params["head"], statistics, targets, outputs)
        params = {**params, "head": head}
        gradient = jax.grad(loss)(params, statistics, s_tm1, outputs, targets)
        updates, state = optimizer.update(gradient, state)
        params = optax.apply_updates(params, updates)
        again = jax.vmap(catch.start)(jax.random.split(start_key, TASKS))
        games = jax.tree.map(lambda x, y: jnp.where(ended, x, y), again, games)
        return ({"params": params, "statistics": statistics}, state, games), None

    def kept(carry):  # Checkpoints know dictionaries, but no named tuples.
        return {**carry[0], "statistics": carry[0]["statistics"]._asdict()}

    @jax.jit
    def steps(carry, keys):
        return jax.lax.scan(step, carry, keys)[0]

    key, init_key, start_key = jax.random.split(jax.random.key(seed), 3)
    games = jax.vmap(catch.start)(jax.random.split(start_key, TASKS))
    params = jax.jit(network.init)(init_key, jnp.zeros([catch.ROWS, catch.COLUMNS]))
    learned = {"params": params, "statistics": initial()}
    carry, first = report.resume((learned, optimizer.init(params), games))
    keys = jax.random.split(key, options.steps // TASKS)
    chunk = max(1, len(keys) // options.evaluations)
    for done in range(first // TASKS, len(keys), chunk):
        report(done * TASKS, kept(carry), carry)
        carry = steps(carry, keys[done : done + chunk])
    return kept(carry)


def act(learned, boards, memory):
    statistics = rlax.PopArtState(**learned["statistics"])
    task = jnp.arange(len(boards)) % TASKS

    def best(board, task):
        return jnp.argmax(
            of_task(values(learned["params"], statistics, board)[1], task)
        )

    return jax.vmap(best)(boards, task), memory


main = functools.partial(experiment.main, learn, act, parser, vector=catch.vector)

if __name__ == "__main__":
    main()
