"""A recurrent network that learns to write English about Python, letter by letter.

    python examples/char_lstm.py

Two LSTMs, one on the other, read Python's own help on its language
(`pydoc_data.topics`, which comes with Python) and learn to guess the next letter. The
state is carried from one window of text to the next.
"""

import argparse
import pydoc_data.topics

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tqdm

import haiku as hk


def read_text():
    """The letters in use, and the text as numbers among them."""
    text = "\n".join(pydoc_data.topics.topics.values())
    letters = sorted(set(text))
    number = {letter: i for i, letter in enumerate(letters)}
    return letters, np.array([number[letter] for letter in text], np.int32)


def build(letters: int, width: int):
    """Two functions of one set of parameters: the first state, and a walk over text."""

    def model():
        embed = hk.Embed(letters, width)
        core = hk.DeepRNN([hk.LSTM(width), hk.LSTM(width)])
        head = hk.Linear(letters)

        def initial_state(batch_size):
            return core.initial_state(batch_size)

        def unroll(tokens, state):  # [T, B]
            out, state = hk.dynamic_unroll(core, embed(tokens), state)
            return hk.BatchApply(head)(out), state  # [T, B, letters]

        def init(tokens):
            return unroll(tokens, initial_state(tokens.shape[1]))

        return init, (initial_state, unroll)

    return hk.without_apply_rng(hk.multi_transform(model))


def write(unroll, params, state, key, letters, start: str, length: int) -> str:
    """Lets the model go on from `start`."""
    known = jnp.array([[letters.index(letter)] for letter in start])
    logits, state = unroll(params, known, state)

    def step(carry, key):
        logits, state = carry
        letter = jax.random.categorical(key, logits / 0.7)
        logits, state = unroll(params, letter[None], state)
        return (logits[0], state), letter[0]

    keys = jax.random.split(key, length)
    _, out = jax.jit(lambda c, keys: jax.lax.scan(step, c, keys))(
        (logits[-1], state), keys
    )
    return start + "".join(letters[int(i)] for i in out)


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--window", type=int, default=64)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--learning-rate", type=float, default=4e-3)
    parser.add_argument("--write", type=int, default=400, help="letters to write")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)

    letters, text = read_text()
    held_out = text[-len(text) // 20 :]
    text = text[: -len(held_out)]
    model = build(len(letters), arguments.width)
    initial_state, unroll = model.apply
    params = model.init(jax.random.key(arguments.seed), text[:2, None])
    print(f"{hk.data_structures.tree_size(params):,} parameters, {len(text):,} letters")

    schedule = optax.cosine_decay_schedule(arguments.learning_rate, arguments.steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
    optimizer_state = optimizer.init(params)

    def loss_fn(params, tokens, state):  # Bits per letter; tokens are [T + 1, B].
        logits, state = unroll(params, tokens[:-1], state)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, tokens[1:])
        return jnp.mean(losses) / jnp.log(2), state

    @jax.jit
    def step(params, optimizer_state, tokens, state):
        grad_fn = jax.value_and_grad(loss_fn, has_aux=True)
        (loss, state), grads = grad_fn(params, tokens, state)
        updates, optimizer_state = optimizer.update(grads, optimizer_state, params)
        return optax.apply_updates(params, updates), optimizer_state, loss, state

    # Every column of the batch reads on from its own place, and starts over where
    # its share of the text ends.
    share = len(text) // arguments.batch_size
    columns = text[: share * arguments.batch_size].reshape(-1, share).T  # [share, B]
    first_state = initial_state(params, arguments.batch_size)
    place, state = 0, first_state
    with tqdm.trange(arguments.steps, desc="training") as steps:
        for i in steps:
            if place + arguments.window >= share:
                place, state = 0, first_state
            tokens = columns[place : place + arguments.window + 1]
            place += arguments.window
            params, optimizer_state, loss, state = step(
                params, optimizer_state, tokens, state
            )
            if i % 20 == 0:
                steps.set_postfix(bits=f"{loss:.3f}")

    length = len(held_out) // 16
    tokens = held_out[: 16 * length].reshape(16, length).T
    bits, _ = jax.jit(loss_fn)(params, tokens, initial_state(params, 16))
    print(f"held-out text: {bits:.3f} bits per letter")
    state = initial_state(params, 1)
    key = jax.random.key(arguments.seed + 1)
    print(write(unroll, params, state, key, letters, "The statement ", arguments.write))
    return float(bits)


if __name__ == "__main__":
    main()
