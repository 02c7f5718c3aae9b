"""`ContinuousBatch`: each text as if alone, whatever else is being written."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn_models import drawn_model

import haiku as hk
from haiku.generation import ContinuousBatch, generate

VOCAB, ROOM, MOST = 24, 40, 10
RANDOM = np.random.default_rng(1)
PROMPTS = [RANDOM.integers(0, VOCAB, n) for n in (5, 18, 5, 5)]
NUMBERS = (10, 3, 1, 10)


def model_of(kind):
    sizes = {"vocab_size": VOCAB, "model_size": 16, "num_layers": 2}
    net, config = hk.nets.Decoder, hk.nets.DecoderConfig
    if kind == "mamba":
        net, config = hk.nets.Mamba, hk.nets.MambaConfig
    more = {"decoder": {"num_heads": 2}, "mamba": {}}
    more["windows"] = {"num_heads": 2, "windows": (3, None)}
    text = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    return drawn_model(net, config(**sizes, **more[kind]), text)


def alone(model, i, **options):
    """The most that `generate` writes after one prompt, and its score."""
    out = generate(
        model,
        PROMPTS[i][None],
        max_new_tokens=MOST,
        rng_key=i,
        cache_size=ROOM,
        **options,
    )
    return out.tokens[0, : out.lengths[0]].tolist(), float(out.scores[0])


def batch_of(model, rows=2, **options):
    batch = ContinuousBatch(
        model, rows, cache_size=ROOM, max_new_tokens=MOST, **options
    )
    for i, prompt in enumerate(PROMPTS):
        assert batch.add(prompt, max_new_tokens=NUMBERS[i], rng_key=i) == i
    return batch


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("decoder", {}),
        ("decoder", {"temperature": 1.0, "top_k": 9}),
        ("windows", {"repetition_penalty": 1.5, "eos": [5, 7]}),
        ("mamba", {}),
        ("decoder", {"cache_dtype": jnp.int8}),
    ],
    ids=["greedy", "drawn", "windows, penalty, eos", "mamba", "int8"],
)
def test_each_text_is_as_if_alone(kind, options):
    model = model_of(kind)
    found = {x.id: x for x in batch_of(model, **options)}
    assert sorted(found) == list(range(len(PROMPTS)))
    for i, text in found.items():
        tokens, score = alone(model, i, **options)
        assert text.ended and text.tokens.tolist() == tokens[: NUMBERS[i]]
        if NUMBERS[i] == MOST:
            np.testing.assert_allclose(text.score, score, rtol=1e-4)


def test_a_processor_and_stop_texts():
    class Tokenizer:
        def decode(self, tokens):
            return "".join(chr(97 + int(x)) for x in tokens)

    def odd(tokens, logits):
        """Allows odd tokens alone, and not the first of the prompt."""
        first = jnp.argmax(tokens >= 0, axis=1)
        barred = jnp.take_along_axis(tokens, first[:, None], axis=1)
        ids = jnp.arange(VOCAB)
        return jnp.where((ids % 2 == 1) & (ids != barred), logits, -jnp.inf)

    model = model_of("decoder")
    options = {"logits_processor": odd}
    stop = Tokenizer().decode(alone(model, 0, **options)[0][2:4])
    options |= {"stop": stop, "tokenizer": Tokenizer()}
    found = {x.id: x.tokens.tolist() for x in batch_of(model, **options)}
    assert all(token % 2 for tokens in found.values() for token in tokens)
    assert all(PROMPTS[i][0] not in tokens for i, tokens in found.items())
    for i, tokens in found.items():
        assert tokens == alone(model, i, **options)[0][: NUMBERS[i]]
    assert stop in Tokenizer().decode(found[0]) and len(found[0]) <= 4


def test_steps_hand_out_what_is_there_and_texts_can_be_cancelled():
    model = model_of("decoder")
    batch = ContinuousBatch(model, 2, cache_size=60, max_new_tokens=30)
    for prompt in PROMPTS[:4]:
        batch.add(prompt)
    first = batch.step()
    assert [x.id for x in first] == [0, 1] and not any(x.ended for x in first)
    batch.cancel(1)
    batch.cancel(2)
    second = batch.step()
    assert [x.id for x in second] == [0, 3]
    assert second[0].tokens[: len(first[0].tokens)].tolist() == first[0].tokens.tolist()
    assert [x.id for x in batch] == [0, 3] and not batch.busy and batch.step() == []
    with pytest.raises(ValueError, match="No text of number 0 waits"):
        batch.cancel(0)
    late = batch.add(PROMPTS[2], max_new_tokens=2)
    assert [(x.id, len(x.tokens)) for x in batch] == [(late, 2)]


def test_one_program_for_all_steps():
    traces = []

    def noting(tokens, logits):
        traces.append(logits.shape)
        return logits

    model = model_of("decoder")
    list(batch_of(model, logits_processor=noting))
    assert traces == [(2, VOCAB)]


def test_a_prefix_is_read_once():
    model = model_of("decoder")
    prefix = np.array([3, 1, 4])
    _, reading = model.updating(prefix[None], cache_size=ROOM)
    batch = ContinuousBatch(reading, 2, cache_size=ROOM, max_new_tokens=MOST)
    for prompt in PROMPTS:
        batch.add(prompt)
    for text in batch:
        whole = np.concatenate([prefix, PROMPTS[text.id]])[None]
        want = generate(model, whole, max_new_tokens=MOST).tokens[0]
        assert text.tokens.tolist() == want.tolist()
    with pytest.raises(ValueError, match=r"after 3 that the model holds and 10 new"):
        batch.add(np.zeros(28, int))


def test_both_kinds_of_keys_draw_the_same():
    model = model_of("decoder")
    batch = ContinuousBatch(
        model, 3, cache_size=ROOM, max_new_tokens=MOST, temperature=1.0
    )
    for key in (5, jax.random.key(5), jax.random.PRNGKey(5)):
        batch.add(PROMPTS[1], rng_key=key)
    one, two, three = (x.tokens.tolist() for x in batch)
    assert one == two == three


def test_nan_ends_its_text_alone():
    def spoiled(tokens, logits):
        wrong = jnp.any(tokens == 23, axis=1, keepdims=True)
        return jnp.where(wrong, jnp.nan, logits).at[:, 23].min(-1e9)

    model = model_of("decoder")
    batch = ContinuousBatch(
        model, 2, cache_size=ROOM, max_new_tokens=4, logits_processor=spoiled
    )
    batch.add([1, 2])
    batch.add([23, 2])
    with pytest.raises(ValueError, match="logits of text 1 were NaN"):
        batch.step()
    (text,) = batch
    assert text.id == 0 and len(text.tokens) == 4


BAD = {
    "rows": ({"batch_size": 0}, "batch_size .* at least 1, got 0"),
    "cache": ({"cache_size": 10}, "cache_size .* at least 11"),
    "number": ({"max_new_tokens": 0}, "max_new_tokens .* at least 1"),
    "top_p": ({"temperature": 1.0, "top_p": 2.0}, "top_p"),
    "stop": ({"stop": "a"}, "needs the tokenizer"),
    "integers": ({"cache_dtype": jnp.int32}, "jnp.int8 or a dtype of floats"),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD)
def test_bad_batches(options, message):
    options = {"batch_size": 2, "cache_size": ROOM, "max_new_tokens": MOST} | options
    with pytest.raises(ValueError, match=message):
        ContinuousBatch(model_of("decoder"), **options)


@pytest.mark.parametrize(
    ("tokens", "options", "message"),
    [
        ([], {}, "empty prompt"),
        ([[1, 2]], {}, "one prompt, integers .T., got shape"),
        ([99], {}, "Token 99 .* outside"),
        ([0.5], {}, "integers"),
        (np.zeros(31, int), {}, "prompt of 31 tokens and 10 new ones need .* of 41"),
        ([1], {"max_new_tokens": 11}, "at most the batch's, 10, got 11"),
        ([1], {}, "give each prompt an rng_key"),
    ],
)
def test_bad_prompts(tokens, options, message):
    heat = 1.0 if "rng_key" in message else 0.0
    batch = ContinuousBatch(
        model_of("decoder"), 2, cache_size=ROOM, max_new_tokens=MOST, temperature=heat
    )
    with pytest.raises(ValueError, match=message):
        batch.add(tokens, **options)
    assert not batch.busy


def test_nets_with_an_encoder_are_refused():
    sizes = {"vocab_size": VOCAB, "model_size": 16, "num_layers": 1, "num_heads": 2}
    text = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    config = hk.nets.EncoderDecoderConfig(**sizes)
    model = drawn_model(hk.nets.EncoderDecoder, config, text, text)
    with pytest.raises(ValueError, match="without an encoder"):
        ContinuousBatch(model, 2, cache_size=ROOM, max_new_tokens=MOST)
