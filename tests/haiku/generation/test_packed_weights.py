"""Generation with int4 weights, which no program unpacks as a whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn_models import drawn_model

import haiku as hk
from haiku.generation import ContinuousBatch, generate, stream
from haiku.generation.decoding import advance_packed, begin_packed
from haiku.generation.tasks import Task

TOKENS = np.random.default_rng(0).integers(0, 24, (2, 5)).astype(np.int32)
MASK = np.array([[0, 0, 1, 1, 1], [1, 1, 1, 1, 0]], bool)
RULES = ("temperature", "top_k", "top_p", "min_p")


def models(num_layers=3, size=32, dtype=jnp.float32, **options):
    """A model, and the same with int4 weights."""
    config = hk.nets.DecoderConfig(
        vocab_size=24, model_size=size, num_layers=num_layers, num_heads=2, **options
    )
    text = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    model = drawn_model(hk.nets.Decoder, config, text)
    model = model.replace(params=jax.tree.map(lambda x: x.astype(dtype), model.params))
    return model, hk.adapt.add(model, hk.adapt.Int4("**/w"))


def task_of(model):
    options = dict.fromkeys(RULES) | {"temperature": 0.0, "repetition_penalty": 1.0}
    return Task(model, TOKENS, MASK, 8, None, options, None, 0, None, None, None)


def test_texts_are_those_of_the_merged_model():
    _, small = models(windows=(3, None, None))
    merged = hk.adapt.merge(small)
    given = {"mask": MASK, "max_new_tokens": 8}
    want = generate(merged, TOKENS, **given)
    out = generate(small, TOKENS, **given)
    np.testing.assert_array_equal(out.tokens, want.tokens)
    np.testing.assert_allclose(out.scores, want.scores, rtol=1e-4)
    steps = np.stack(list(stream(small, TOKENS, **given)), axis=1)
    np.testing.assert_array_equal(steps, want.tokens)
    batch = ContinuousBatch(small, 1, cache_size=16, max_new_tokens=8)
    for row, mask in zip(TOKENS, MASK):
        batch.add(row[mask])
    for text in batch:
        np.testing.assert_array_equal(text.tokens, want.tokens[text.id])
    drafted = generate(small, TOKENS, draft=small, **given)
    np.testing.assert_array_equal(drafted.tokens, want.tokens)


def test_a_text_ends_and_goes_on_from_a_prefix():
    _, small = models()
    out = generate(small, TOKENS, max_new_tokens=8)
    eos = int(out.tokens[0, 2])
    ended = generate(small, TOKENS, max_new_tokens=8, eos=eos)
    assert ended.lengths[0] <= 3
    _, reading = small.updating(TOKENS[:, :3], cache_size=13)
    later = generate(reading, TOKENS[:, 3:], max_new_tokens=8, cache_size=13)
    np.testing.assert_array_equal(later.tokens, out.tokens)


def test_under_jit_it_is_a_loop():
    _, small = models()
    inside = jax.jit(lambda m: generate(m, TOKENS, max_new_tokens=4).tokens)(small)
    outside = generate(small, TOKENS, max_new_tokens=4).tokens
    np.testing.assert_array_equal(inside, outside)


# JAX warns that texts alike for all members can't be donated, with any weights.
@pytest.mark.filterwarnings("ignore:Some donated buffers were not usable")
def test_under_vmap_outside_of_jit():
    _, small = models()
    keys = jax.random.split(jax.random.key(0), 2)

    def write(key):
        options = {"max_new_tokens": 4, "temperature": 1.0, "rng_key": key}
        return generate(small, TOKENS, **options).tokens

    np.testing.assert_array_equal(jax.vmap(write)(keys), [write(key) for key in keys])


def test_programs_hold_the_weights_once():
    """By XLA's account: arguments and scratch, beside the bfloat16 weights."""
    model, small = models(num_layers=8, size=128, dtype=jnp.bfloat16)
    whole = sum(x.nbytes for x in jax.tree.leaves(model.params))
    task = task_of(small)
    stepping = task.stepping
    held = stepping.params["decoder/blocks/mlp/up"]["w"]
    own = small.params["decoder/blocks/mlp/up"]["w"]
    assert held.dtype == jnp.int4
    assert held.unsafe_buffer_pointer() == own.unsafe_buffer_pointer()
    _, *fixed = task.given
    texts = task.begun()
    of_texts = sum(x.nbytes for x in jax.tree.leaves(texts))
    programs = [begin_packed.lower(stepping, *fixed, None, task.sizes, task.stacks)]
    programs += [
        advance_packed.lower(stepping, *fixed, texts, 8, task.sizes, None, loops=loops)
        for loops in (False, True)
    ]
    taken = [x.compile().memory_analysis() for x in programs]
    assert all(x.argument_size_in_bytes < 0.29 * whole + 1.5 * of_texts for x in taken)
    scratch = [x.temp_size_in_bytes for x in taken]
    # A matrix of one layer in floats, 4 bytes each; a loop unpacks all layers.
    assert max(scratch[:2]) < 0.6 / 8 * whole < 0.6 * whole < scratch[2]
