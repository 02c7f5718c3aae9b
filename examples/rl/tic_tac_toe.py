"""Tic-tac-toe against a fixed opponent, by pgx's rules.

`TicTacToe-random` draws its moves; `TicTacToe-perfect` draws among the moves that are
best by a search of the whole game, so that no one does better than a draw. A coin says
who begins. The reward is 1 for a win, -1 for a loss, 0 for a draw.
Source: Koyamada et al., 2023, Pgx, arXiv:2303.17503.
"""

import functools

import games
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pgx
import pictures

RULES = pgx.make("tic_tac_toe")
CELLS, LONGEST = 9, 9  # and moves of a game
ROWS = np.array(
    [[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8],
     [2, 4, 6]]
)  # fmt: skip
BOARD = np.arange(CELLS).reshape(3, 3)
SYMMETRIES = np.array(  # which cell comes where, [8, 9]
    [np.rot90(x, k).ravel() for x in (BOARD, BOARD.T) for k in range(4)]
)


def won(cells) -> bool:
    """Whether the cells [9] that a player has, in {0, 1}, make a row."""
    return bool(np.any(np.all(np.asarray(cells)[ROWS], -1)))


@functools.cache
def value(mine: tuple, theirs: tuple) -> int:
    """1, 0 or -1 for the one to move, if both play well."""
    if won(theirs):
        return -1
    return max((q for q in moves(mine, theirs) if q > -2), default=0)


def moves(mine: tuple, theirs: tuple) -> list[int]:
    """The value of each move, [9]; -2 where the cell is taken."""
    values = []
    for i in range(CELLS):
        after = (*mine[:i], 1, *mine[i + 1 :])
        taken = mine[i] or theirs[i]
        values.append(-2 if taken else -value(theirs, after))
    return values


@functools.cache
def best() -> np.ndarray:
    """Which moves are best, [3^9, 9]; a board is a number with a digit for each cell.

    Digits are 1 for the one to move, 2 for the other.
    """
    table = np.zeros([3**CELLS, CELLS], bool)
    for number in range(3**CELLS):
        cells = number // 3 ** np.arange(CELLS) % 3
        mine, theirs = (tuple((cells == k).astype(int).tolist()) for k in (1, 2))
        if sum(theirs) - sum(mine) in (0, 1) and not won(mine) and not won(theirs):
            values = np.array(moves(mine, theirs))
            table[number] = (values == values.max()) & (values > -2)
    return table


def number_of(observation):
    """Which row of `best` is the board [3, 3, 2]."""
    cells = jnp.reshape(observation, [CELLS, 2]) @ jnp.array([1, 2])
    return cells @ 3 ** jnp.arange(CELLS)


@functools.cache
def game(name: str) -> games.Game:
    """Against the opponent of that name."""
    if name not in ("TicTacToe-random", "TicTacToe-perfect"):
        raise ValueError(f"TicTacToe-random or TicTacToe-perfect, not {name!r}.")

    def answer(state, key):
        """The state after the opponent's move, if it is its turn."""
        good = state.legal_action_mask
        if name == "TicTacToe-perfect":
            good = good & jnp.asarray(best())[number_of(state.observation)]
        chosen = jax.random.categorical(key, jnp.where(good, 0.0, -jnp.inf))
        after = RULES.step(state, chosen)
        turn = (state.current_player == 1) & ~state.terminated
        return jax.tree.map(lambda x, y: jnp.where(turn, x, y), after, state)

    def start(key):
        keys = jax.random.split(key)
        return answer(RULES.init(keys[0]), keys[1])

    def step(state, action, key):
        state = answer(RULES.step(state, action), key)
        return state, state.rewards[0], state.terminated, False

    return games.Game(
        name,
        start,
        step,
        lambda state: state.observation.astype(jnp.float32),
        gymnasium.spaces.Discrete(CELLS),
        draw,
    )


def draw(state):
    """The player's stones light, the opponent's red."""
    seen = np.asarray(state.observation)
    if int(state.current_player) == 1:
        seen = seen[..., ::-1]
    colours = np.full([3, 3, 3], 0.15)
    colours[seen[..., 0]], colours[seen[..., 1]] = (0.9, 0.9, 0.7), (0.9, 0.3, 0.2)
    return pictures.board(colours, 60)


def vector(name: str, count: int, wrappers=(), **render):
    """Games side by side."""
    return games.vector(game(name))(name, count, wrappers, **render)
