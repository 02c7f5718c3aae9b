"""MuZero on tic-tac-toe: it plans in a model of the game that it learns.

    python examples/rl/muzero.py
    python examples/rl/muzero.py --show demo/rl/muzero-0 --environment TicTacToe-random

Three functions are learned together: what a board looks like inside, what a move makes
of that and its reward, and the policy and value there. A search with them, mctx's
Gumbel MuZero, chooses the moves of the games that the agent plays with itself. All that
it is told are the legal first moves, and that boards may be turned and mirrored. The
first moves of a game are drawn, of each game another number: else it would soon play
one game again and again, and know no other. From later positions the model is unrolled
along the moves that were made, and learns the search's policies, the rewards and how
the games went on. What is good for one player is bad for the other: the discount is -1.
A step is one move of self-play; the score is that against an opponent who plays
perfectly, where 0, always a draw, is the best possible.
Sources: Schrittwieser et al., 2020, Mastering Atari, Go, Chess and Shogi by Planning
with a Learned Model, arXiv:1911.08265; Danihelka et al., 2022, Policy Improvement by
Planning with Gumbel, https://openreview.net/forum?id=bERaNdoegnO.
"""

import functools
from typing import Any, NamedTuple

import experiment
import jax
import jax.numpy as jnp
import mctx
import optax
import replay
import tic_tac_toe
from tic_tac_toe import CELLS, LONGEST, RULES, SYMMETRIES

import haiku as hk
import rlax

parser = experiment.parser(
    __doc__,
    environment="TicTacToe-perfect",
    steps=184_320,
    episodes=200,
    evaluations=10,
)
add = parser.add_argument
add("--games", type=int, default=64, help="side by side; %(default)s")
add("--simulations", type=int, default=32, help="of a search; %(default)s")
add("--opening", type=int, default=4, help="moves drawn at most; %(default)s")
add("--unroll", type=int, default=4, help="moves of the model; %(default)s")
add("--capacity", type=int, default=2048, help="games kept; %(default)s")
add("--batch-size", type=int, default=128, help="positions; %(default)s")
add("--updates", type=int, default=32, help="after each round of games; %(default)s")
add("--rounds", type=int, default=10, help="in one compiled call; %(default)s")
add("--learning-rate", type=float, default=1e-3, help="%(default)s, sinks to 0")
SIMULATIONS = 64  # of a search in play for the score
WIDTH = 128  # of all layers
# Stretched to a range, as by default, values of equally good moves would differ much.
QTRANSFORM = functools.partial(
    mctx.qtransform_completed_by_mix_value, rescale_values=False, value_scale=0.2
)


class Game(NamedTuple):
    """What happened in one game, [T = 9, ...]."""

    s_tm1: Any  # boards as the one to move sees them
    a_tm1: Any
    pi_tm1: Any  # what the search made of the policy, [T, A]
    r_t: Any  # for the one who moved
    on_tm1: Any  # whether the game was still on
    searched_tm1: Any  # whether the move was the search's, not one of a drawn opening


class Inside(NamedTuple):
    """What the model says of a position, and of the move that led to it."""

    state: Any
    reward: Any
    logits: Any
    value: Any


def predict(state, reward):
    """The policy and the value of a state inside the model."""
    hidden = hk.nets.MLP([WIDTH, WIDTH], activate_final=True, name="predict")(state)
    logits = hk.Linear(CELLS, name="policy")(hidden)
    value = jnp.tanh(hk.Linear(1, name="value")(hidden))[..., 0]
    return Inside(state, reward, logits, value)


def look(s):
    """Boards [B, 3, 3, 2] inside the model."""
    seen = hk.Flatten()(jnp.asarray(s, jnp.float32))
    state = jnp.tanh(hk.nets.MLP([WIDTH, WIDTH], name="look")(seen))
    return predict(state, jnp.zeros(len(state)))


def move(state, a):
    """What moves [B] make of states [B, D]."""
    both = jnp.concatenate([state, jax.nn.one_hot(a, CELLS)], -1)
    hidden = hk.nets.MLP([WIDTH, WIDTH], activate_final=True, name="move")(both)
    after = jnp.tanh(hk.Linear(WIDTH, name="after")(hidden))
    reward = jnp.tanh(hk.Linear(1, name="reward")(hidden))[..., 0]
    return predict(after, reward)


def both():
    def init(s):
        return move(look(s).state, jnp.zeros(len(s), int))

    return init, (look, move)


model = hk.without_apply_rng(hk.multi_transform(both))
look_at, move_on = model.apply


def search(params, key, s, simulations: int, gumbel_scale=1.0):
    """Searches from boards [B, 3, 3, 2]."""

    def recurrent(params, key, a, state):
        after = move_on(params, state, a)
        other = jnp.full_like(after.value, -1)  # the value is the other player's
        out = mctx.RecurrentFnOutput(
            reward=after.reward,
            discount=other,
            prior_logits=after.logits,
            value=after.value,
        )
        return out, after.state

    root = look_at(params, s)
    return mctx.gumbel_muzero_policy(
        params,
        key,
        mctx.RootFnOutput(
            prior_logits=root.logits, value=root.value, embedding=root.state
        ),
        recurrent,
        simulations,
        invalid_actions=jnp.any(s.reshape(-1, CELLS, 2) > 0, -1),
        qtransform=QTRANSFORM,
        gumbel_scale=gumbel_scale,
    )


def play(params, key, options) -> Game:
    """Plays games with itself, to their ends, [B, T, ...]."""

    def step(state, inputs):
        time, *keys = inputs
        s_tm1, on = state.observation, ~state.terminated
        found = search(params, keys[0], s_tm1, options.simulations)
        legal = jnp.where(state.legal_action_mask, 0.0, -jnp.inf)
        searched = on & (time >= drawn)  # after the end any move is made
        a_tm1 = jnp.where(
            searched, found.action, jax.random.categorical(keys[1], legal)
        )
        after = jax.vmap(RULES.step)(state, a_tm1)
        mover = state.current_player[:, None]
        r_t = jnp.take_along_axis(after.rewards, mover, 1)[:, 0]
        row = Game(s_tm1, a_tm1, found.action_weights, r_t * on, on, searched)
        return after, row

    start_key, drawn_key, *keys = jax.random.split(key, 4)
    drawn = jax.random.randint(drawn_key, [options.games], 0, options.opening + 1)
    begun = jax.vmap(RULES.init)(jax.random.split(start_key, options.games))
    inputs = jnp.arange(LONGEST), *(jax.random.split(k, LONGEST) for k in keys)
    _, rows = jax.lax.scan(step, begun, inputs)
    return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), rows)


def targets(game: Game, unroll: int):
    """For each position what followed in the next moves, [T, K + 1, ...].

    After its end a game stands still: rewards and values are 0, any move may be made.
    """
    z_tm1 = rlax.discounted_returns(game.r_t, -1.0 * game.on_tm1, 0.0)
    rows = (game.a_tm1, game.pi_tm1, z_tm1, game.r_t, game.on_tm1)

    def following(x):
        longer = jnp.concatenate([x, jnp.zeros([unroll, *x.shape[1:]], x.dtype)])
        return jnp.stack([longer[k : k + LONGEST] for k in range(unroll + 1)], 1)

    return jax.tree.map(following, rows)


def position(game: Game, key, unroll: int):
    """A board of one game, drawn among those searched, and what followed [K + 1]."""
    at = jax.random.categorical(key, jnp.where(game.searched_tm1, 0.0, -jnp.inf))
    return jax.tree.map(lambda x: x[at], (game.s_tm1, targets(game, unroll)))


def turned(s, followed, order):
    """The same on a turned or mirrored board, whose cells are these of before, [9]."""
    a, pi, *others = followed
    s = s.reshape(CELLS, 2)[order].reshape(s.shape)
    return s, (jnp.argsort(order)[a], pi[:, order], *others)


def loss(params, s, followed):
    """The mean over positions [B, ...]."""
    a, pi, z, r, on = followed
    unroll = a.shape[1] - 1
    inside, total = look_at(params, s), 0.0
    for k in range(unroll + 1):
        cross_entropy = optax.softmax_cross_entropy(inside.logits, pi[:, k])
        value = rlax.l2_loss(inside.value, z[:, k])
        step = on[:, k] * cross_entropy + value
        if k:
            step = (step + rlax.l2_loss(inside.reward, r[:, k - 1])) / unroll
        total += step
        # Half of each step's gradient goes on to the step before it.
        state = rlax.scale_gradient(inside.state, 0.5)
        inside = move_on(params, state, a[:, k])
    return jnp.mean(total)


def updater(optimizer, options):
    """Makes the compiled function of several rounds: play, then learn."""

    @jax.vmap
    def draw(game, key):
        keys = jax.random.split(key)
        order = jax.random.choice(keys[1], SYMMETRIES)
        return turned(*position(game, keys[0], options.unroll), order)

    def update(carry, key):
        params, state, memory = carry
        game_key, key = jax.random.split(key)
        some = replay.sample(memory, game_key, options.batch_size)
        batch = draw(some, jax.random.split(key, options.batch_size))
        value, gradient = jax.value_and_grad(loss)(params, *batch)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, updates), state, memory), value

    def round_(carry, key):
        params, state, memory = carry
        keys = jax.random.split(key, options.updates + 1)
        memory = replay.add(memory, play(params, keys[0], options))
        return jax.lax.scan(update, (params, state, memory), keys[1:])

    return jax.jit(lambda training, keys: jax.lax.scan(round_, training, keys))


def act(params, boards, memory):
    found = search(params, jax.random.key(0), boards, SIMULATIONS, gumbel_scale=0.0)
    return found.action, memory


def learn(options, seed, report):
    each = options.games * LONGEST * options.rounds
    calls = -(-options.steps // each)
    rate = optax.linear_schedule(
        options.learning_rate, 0.0, calls * options.rounds * options.updates
    )
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
    key, init_key = jax.random.split(jax.random.key(seed))
    params = jax.jit(model.init)(init_key, jnp.zeros([1, 3, 3, 2]))
    game = jax.eval_shape(lambda: play(params, key, options))
    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), game)
    memory = replay.empty(options.capacity, one)
    training = params, optimizer.init(params), memory
    training, first = report.resume(training)
    update, shown = updater(optimizer, options), {}
    for step in range(first, options.steps, each):
        report(step, training[0], training, **shown)
        keys = jax.random.split(jax.random.fold_in(key, step), options.rounds)
        training, losses = update(training, keys)
        shown = {"loss": losses.mean()}
    return training[0]


main = functools.partial(experiment.main, learn, act, parser, vector=tic_tac_toe.vector)

if __name__ == "__main__":
    main()
