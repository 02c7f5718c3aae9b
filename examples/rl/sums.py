"""Sums of two numbers below a hundred, as texts that a language model completes.

"27+35=" is to be completed by "062". The player sees the tokens of the question and
gives those of the answer, all at once: the reward is 1 if they are right, else 0, and
the episode ends. One question in ten is held out: `GAME` asks these alone.
"""

from typing import NamedTuple

import games
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import PIL.ImageDraw

LETTERS = "0123456789+="
ASKED, ANSWERED = 6, 3  # tokens
_order = np.random.default_rng(0).permutation(10_000)
HELD_OUT, LEARNED = _order[:1000], _order[1000:]  # 100 a + b for each question


class Sum(NamedTuple):
    """A question, and whether it was answered rightly."""

    number: jax.Array  # 100 a + b
    right: jax.Array


def digits(number, count: int):
    """The last so many digits, [..., count]."""
    return number[..., None] // 10 ** jnp.arange(count)[::-1] % 10


def question(number):
    """Its tokens, [..., 6]."""
    signs = [jnp.full([*number.shape, 1], LETTERS.index(x)) for x in "+="]
    first, second = digits(number // 100, 2), digits(number % 100, 2)
    return jnp.concatenate([first, signs[0], second, signs[1]], -1)


def answer(number):
    """The tokens of the right answer, [..., 3]."""
    return digits(number // 100 + number % 100, ANSWERED)


def reward(number, tokens):
    """1 where the tokens [..., 3] are the right answer, else 0."""
    return jnp.float32(jnp.all(tokens == answer(number), -1))


def start(key) -> Sum:
    """A question that is held out."""
    number = jax.random.choice(key, jnp.asarray(HELD_OUT))
    return Sum(number, jnp.zeros([]))


def step(sum_: Sum, tokens, key):
    right = reward(sum_.number, tokens)
    return Sum(sum_.number, right), right, True, False


def draw(sum_: Sum):
    """The question, [H, W, 3]."""
    picture = PIL.Image.new("RGB", (240, 60), "white")
    text = "".join(LETTERS[i] for i in np.asarray(question(np.asarray(sum_.number))))
    PIL.ImageDraw.Draw(picture).text((20, 20), text, "black")
    return np.asarray(picture)


GAME = games.Game(
    "Sums",
    start,
    step,
    lambda sum_: question(sum_.number),
    gymnasium.spaces.MultiDiscrete([len(LETTERS)] * ANSWERED),
    draw,
)
vector = games.vector(GAME)
