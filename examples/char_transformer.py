"""A transformer that learns to write English about Python, letter by letter.

    python examples/char_transformer.py

The text is Python's own help on its language, `pydoc_data.topics`: 400,000 letters that
come with Python. It prints bits per letter on held-out text, and what the model writes.
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


class Block(hk.Module):
    """Attention to what came before, then a small network at each place."""

    def __init__(self, heads: int, dropout: float, name: str | None = None):
        super().__init__(name=name)
        self.heads, self.dropout = heads, dropout

    def __call__(self, x, is_training: bool):
        """The same shape [B, T, D] as `x`."""
        size = x.shape[-1]
        init = hk.initializers.VarianceScaling(1.0)
        attention = hk.MultiHeadAttention(
            self.heads, size // self.heads, w_init=init, model_size=size
        )
        causal = np.tril(np.ones((1, 1, x.shape[1], x.shape[1])))
        h = hk.LayerNorm(-1, True, True)(x)
        x += self.drop(attention(h, h, h, mask=causal), is_training)
        h = hk.LayerNorm(-1, True, True)(x)
        h = hk.Linear(size)(jax.nn.gelu(hk.Linear(4 * size)(h)))
        return x + self.drop(h, is_training)

    def drop(self, x, is_training: bool):
        """`x` with some numbers at 0, if it is to learn."""
        return hk.dropout(hk.next_rng_key(), self.dropout, x) if is_training else x


def build(letters: int, arguments):
    def transformer(tokens, is_training):  # [B, T] -> [B, T, letters]
        x = hk.Embed(letters, arguments.width)(tokens)
        init = hk.initializers.TruncatedNormal(0.02)
        shape = [arguments.context, arguments.width]
        x += hk.get_parameter("places", shape, init=init)[: tokens.shape[1]]
        for _ in range(arguments.layers):
            x = Block(arguments.heads, arguments.dropout)(x, is_training)
        return hk.Linear(letters)(hk.LayerNorm(-1, True, True)(x))

    return hk.transform(transformer)


def write(model, params, key, letters, start: str, length: int, context: int) -> str:
    """Lets the model go on from `start`, a letter at a time."""

    @jax.jit
    def step(state, key):
        window, last = state  # The last letter stands at `last`, what follows is noise.
        logits = model.apply(params, None, window[None], False)[0, last]
        letter = jax.random.categorical(key, logits / 0.8)
        full = last == context - 1
        window = jnp.where(full, jnp.roll(window, -1), window)
        last = jnp.where(full, last, last + 1)
        return (window.at[last].set(letter), last), letter

    known = [letters.index(letter) for letter in start][-context:]
    window = jnp.zeros(context, jnp.int32).at[: len(known)].set(jnp.array(known))
    state, out = (window, jnp.array(len(known) - 1)), []
    for k in jax.random.split(key, length):
        state, letter = step(state, k)
        out.append(letters[int(letter)])
    return start + "".join(out)


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch-size", type=int, default=24)
    parser.add_argument("--context", type=int, default=80)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--write", type=int, default=400, help="letters to write")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)

    letters, text = read_text()
    held_out = text[-len(text) // 20 :]
    text = text[: -len(held_out)]
    model = build(len(letters), arguments)
    keys = hk.PRNGSequence(arguments.seed)
    params = model.init(next(keys), text[None, : arguments.context], False)
    print(f"{hk.data_structures.tree_size(params):,} parameters, {len(text):,} letters")

    schedule = optax.warmup_cosine_decay_schedule(
        0.0, arguments.learning_rate, arguments.steps // 10, arguments.steps
    )
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule))
    state = optimizer.init(params)

    def loss_fn(params, key, tokens, is_training=True):  # Bits per letter.
        logits = model.apply(params, key, tokens[:, :-1], is_training)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:])
        return jnp.mean(losses) / jnp.log(2)

    @jax.jit
    def step(params, state, key, tokens):
        loss, grads = jax.value_and_grad(loss_fn)(params, key, tokens)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, loss

    def windows(text, starts):
        return text[starts[:, None] + np.arange(arguments.context + 1)]

    draw = np.random.default_rng(arguments.seed)
    with tqdm.trange(arguments.steps, desc="training") as steps:
        for i in steps:
            last = len(text) - arguments.context - 1
            tokens = windows(text, draw.integers(0, last, arguments.batch_size))
            params, state, loss = step(params, state, next(keys), tokens)
            if i % 20 == 0:
                steps.set_postfix(bits=f"{loss:.3f}")

    starts = np.arange(0, len(held_out) - arguments.context - 1, arguments.context)[:64]
    bits = jax.jit(loss_fn, static_argnums=3)(
        params, None, windows(held_out, starts), False
    )
    print(f"held-out text: {bits:.3f} bits per letter")
    args = (letters, "The statement ", arguments.write, arguments.context)
    print(write(model, params, next(keys), *args))
    return float(bits)


if __name__ == "__main__":
    main()
