"""`generate` and `stream`: beside a loop without a cache, options, bad input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn_models import drawn_model

import haiku as hk
from haiku.generation import generate, stream

VOCAB, STEPS = 24, 6
TOKENS = np.random.default_rng(0).integers(0, VOCAB, (3, 5)).astype(np.int32)
MASK = np.array([[0, 0, 1, 1, 1], [1, 1, 1, 0, 0], [0, 1, 1, 1, 0]], bool)


@functools.cache
def model_of(kind, seed=0):
    sizes = {"vocab_size": VOCAB, "model_size": 16, "num_layers": 2}
    text = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    inputs = (text,)
    match kind:
        case "decoder":
            net, config = hk.nets.Decoder, hk.nets.DecoderConfig(**sizes, num_heads=2)
        case "windows":
            net = hk.nets.Decoder
            config = hk.nets.DecoderConfig(**sizes, num_heads=2, windows=(3, None))
        case "mamba":
            net, config = hk.nets.Mamba, hk.nets.MambaConfig(**sizes)
        case "t5":
            net, inputs = hk.nets.EncoderDecoder, (text, text)
            config = hk.nets.EncoderDecoderConfig(**sizes, num_heads=2)
    return drawn_model(net, config, *inputs, seed=seed)


@functools.cache
def call_of(kind):
    return jax.jit(lambda model, *x, **y: model(*x, **y))


def by_hand(kind, row):
    """Greedy tokens of one text without padding, with no cache."""
    model, call = model_of(kind), call_of(kind)
    own = TOKENS[row][MASK[row]]
    size = len(own) + STEPS
    text = np.zeros((1, size if kind != "t5" else STEPS + 1), np.int32)
    length = 1
    if kind != "t5":
        text[0, : len(own)], length = own, len(own)
    found = []
    for _ in range(STEPS):
        mask = np.arange(text.shape[1])[None] < length
        if kind == "t5":
            logits = call(model, own[None], text, decoder_mask=mask)
        else:
            logits = call(model, text, mask=mask)
        token = int(jnp.argmax(logits[0, length - 1]))
        found.append(token)
        text[0, length] = token if length < text.shape[1] else 0
        length += 1
        if length > text.shape[1]:
            break
    return found


KINDS = ("decoder", "windows", "mamba", "t5")


@functools.cache
def greedy(kind):
    return generate(model_of(kind), TOKENS, mask=MASK, max_new_tokens=STEPS)


@pytest.mark.parametrize("kind", KINDS)
def test_beside_a_loop_without_a_cache(kind):
    out = greedy(kind)
    for row in range(2):
        found = by_hand(kind, row)
        np.testing.assert_array_equal(out.tokens[row, : len(found)], found)
    assert out.lengths.tolist() == [STEPS] * 3
    assert out.tokens.dtype == out.lengths.dtype == jnp.int32
    assert out.scores.dtype == jnp.float32


def test_scores_are_sums_of_log_probabilities():
    out, model = greedy("decoder"), model_of("decoder")
    own = TOKENS[1][MASK[1]]
    text = np.concatenate([own, out.tokens[1]])[None]
    log_probs = jax.nn.log_softmax(call_of("decoder")(model, text)[0])
    steps = np.arange(len(own) - 1, text.shape[1] - 1)
    want = log_probs[steps, text[0, 1:][steps]].sum()
    np.testing.assert_allclose(out.scores[1], want, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("draft", ["decoder", "mamba"])
def test_a_draft_changes_no_greedy_text(kind, draft):
    draft = "t5" if kind == "t5" else draft
    out = generate(
        model_of(kind),
        TOKENS,
        mask=MASK,
        max_new_tokens=STEPS,
        draft=model_of(draft, 1),
        draft_tokens=3,
    )
    np.testing.assert_array_equal(out.tokens, greedy(kind).tokens)
    np.testing.assert_allclose(out.scores, greedy(kind).scores, rtol=1e-4)


def test_a_draft_that_is_the_model_is_always_kept():
    model = model_of("decoder")
    out = generate(
        model, TOKENS, mask=MASK, max_new_tokens=STEPS, draft=model, eos=[3, 7], pad=9
    )
    want = generate(model, TOKENS, mask=MASK, max_new_tokens=STEPS, eos=[3, 7], pad=9)
    np.testing.assert_array_equal(out.tokens, want.tokens)
    np.testing.assert_array_equal(out.lengths, want.lengths)


def test_drafted_draws_have_the_models_distribution():
    """The pairs of two tokens of 4096 texts, by a chi-square test."""
    rows, vocab = 4096, 5
    sizes = {"vocab_size": vocab, "model_size": 8, "num_layers": 1, "num_heads": 1}
    config = hk.nets.DecoderConfig(**sizes)
    tokens = jnp.ones([rows, 2], jnp.int32)
    model, draft = (
        drawn_model(hk.nets.Decoder, config, tokens, seed=seed) for seed in (2, 3)
    )
    options = {"temperature": 1.5, "top_k": 4, "max_new_tokens": 2}
    out = generate(
        model, tokens, **options, rng_key=0, draft=draft, draft_tokens=2
    ).tokens

    def probabilities(texts):
        logits = model(texts)[:, -1] / options["temperature"]
        return jax.nn.softmax(hk.generation.top_k(logits, options["top_k"]))

    first = probabilities(tokens[:1])[0]
    every = jnp.concatenate(
        [jnp.ones([vocab, 2], jnp.int32), jnp.arange(vocab)[:, None]], axis=1
    )
    expected = np.asarray(first[:, None] * probabilities(every)).ravel() * rows
    pairs = np.bincount(np.asarray(out[:, 0] * vocab + out[:, 1]), minlength=vocab**2)
    possible = expected > 0
    assert pairs[~possible].sum() == 0
    statistic = ((pairs - expected)[possible] ** 2 / expected[possible]).sum()
    freedom = possible.sum() - 1
    assert abs(statistic - freedom) < 4 * np.sqrt(2 * freedom), statistic


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.9, "top_k": 9, "top_p": 0.9, "min_p": 0.01, "rng_key": 3},
        {"repetition_penalty": 2.0, "eos": 11},
    ],
    ids=["greedy", "drawn", "penalty"],
)
def test_a_stream_joins_to_the_whole(options):
    options |= {"mask": MASK, "max_new_tokens": STEPS}
    whole = generate(model_of("decoder"), TOKENS, **options).tokens
    steps = list(stream(model_of("decoder"), TOKENS, **options))
    joined = np.stack(steps, axis=1)
    np.testing.assert_array_equal(joined, whole[:, : len(steps)])
    assert not np.any(whole[:, len(steps) :])


def test_rows_are_as_if_alone():
    for row in range(3):
        own = TOKENS[row][MASK[row]][None]
        out = generate(model_of("decoder"), own, max_new_tokens=STEPS)
        np.testing.assert_array_equal(out.tokens[0], greedy("decoder").tokens[row])


def test_the_end():
    tokens = np.asarray(greedy("decoder").tokens)
    eos = int(tokens[0, 2])
    out = generate(
        model_of("decoder"), TOKENS, mask=MASK, max_new_tokens=STEPS, eos=eos, pad=-1
    )
    ends = tokens == eos
    lengths = np.where(ends.any(1), ends.argmax(1) + 1, STEPS)
    np.testing.assert_array_equal(out.lengths, lengths)
    counts = np.arange(STEPS) < lengths[:, None]
    np.testing.assert_array_equal(out.tokens, np.where(counts, tokens, -1))


class Letters:
    """A tokenizer with a letter for each token."""

    def decode(self, tokens):
        return "".join(chr(ord("a") + int(x)) for x in tokens)


def test_stop_texts_end_a_row_after_the_token_that_completes_one():
    whole = np.asarray(greedy("decoder").tokens)
    text = Letters().decode(whole[0])[1:3]
    options = {"mask": MASK, "max_new_tokens": STEPS, "tokenizer": Letters()}
    out = generate(model_of("decoder"), TOKENS, **options, stop=[text, "!"], pad=23)
    for row, tokens in enumerate(whole):
        at = Letters().decode(tokens).find(text)
        end = STEPS if at < 0 else at + len(text)
        assert out.lengths[row] == end
        np.testing.assert_array_equal(out.tokens[row, :end], tokens[:end])
        assert np.all(out.tokens[row, end:] == 23)
    steps = list(stream(model_of("decoder"), TOKENS, **options, stop=text, pad=23))
    np.testing.assert_array_equal(np.stack(steps, 1), out.tokens[:, : len(steps)])


def test_a_processor_sees_the_text_so_far():
    def not_the_last(tokens, logits):
        steps = jnp.arange(tokens.shape[1])
        last = jnp.max(jnp.where(tokens >= 0, steps, -1), axis=1)
        token = tokens[jnp.arange(3), last]
        return logits.at[jnp.arange(3), token].set(-jnp.inf)

    out = generate(
        model_of("decoder"),
        TOKENS,
        mask=MASK,
        max_new_tokens=STEPS,
        logits_processor=not_the_last,
    )
    last = np.asarray([TOKENS[i][MASK[i]][-1] for i in range(3)])[:, None]
    text = np.concatenate([last, out.tokens], axis=1)
    assert np.all(text[:, 1:] != text[:, :-1])


def test_other_numbers_need_no_other_program():
    from haiku.generation.decoding import advance

    options = {"mask": MASK, "max_new_tokens": STEPS, "rng_key": 0}
    generate(model_of("decoder"), TOKENS, **options, temperature=0.5, top_k=3)
    before = advance._cache_size()
    generate(model_of("decoder"), TOKENS, **options, temperature=0.9, top_k=8)
    generate(model_of("decoder"), TOKENS + 0, **options, temperature=2.0, top_k=2)
    assert advance._cache_size() == before


def test_under_jit():
    run = jax.jit(lambda model, x: generate(model, x, mask=MASK, max_new_tokens=STEPS))
    out = run(model_of("decoder"), TOKENS)
    np.testing.assert_array_equal(out.tokens, greedy("decoder").tokens)


@pytest.mark.parametrize("key", [7, jax.random.key(7), jax.random.PRNGKey(7)])
def test_keys(key):
    options = {"mask": MASK, "max_new_tokens": STEPS, "temperature": 1.0}
    out = generate(model_of("decoder"), TOKENS, **options, rng_key=key)
    assert not np.array_equal(out.tokens, greedy("decoder").tokens)


def test_bfloat16():
    model = model_of("decoder")
    half = model.replace(
        params=jax.tree.map(lambda x: x.astype(jnp.bfloat16), model.params)
    )
    out = generate(half, TOKENS, mask=MASK, max_new_tokens=STEPS)
    assert out.scores.dtype == jnp.float32
    assert np.all(np.isfinite(out.scores))


BAD = {
    "no steps": ({"max_new_tokens": 0}, "max_new_tokens .* at least 1, got 0"),
    "half steps": ({"max_new_tokens": 1.5}, "max_new_tokens .* got 1.5"),
    "no key": ({"temperature": 1.0}, "needs an rng_key"),
    "no key at all": ({"temperature": 1.0, "rng_key": "a"}, "rng_key"),
    "negative": ({"temperature": -1.0, "rng_key": 0}, "temperature must be above 0"),
    "top_p": ({"temperature": 1.0, "rng_key": 0, "top_p": 2}, "top_p .* at most 1"),
    "empty": ({"mask": MASK & [[0], [1], [0]]}, r"empty prompts.* rows \[0, 2\]"),
    "mask": ({"mask": MASK[:, 1:]}, "mask .* shape of tokens"),
    "stop": ({"stop": "a"}, "needs the tokenizer"),
    "empty stop": ({"stop": [""], "tokenizer": Letters()}, "with a character"),
    "eos": ({"eos": 0.5}, "eos .* must be a token or several, got 0.5"),
    "pad": ({"pad": [1]}, "pad .* must be a token"),
    "cache": ({"cache_size": 4}, "cache_size .* at least 11, for 5 tokens .* got 4"),
    "beams": ({"num_beams": 0}, "num_beams .* at least 1, got 0"),
    "beams and draws": (
        {"num_beams": 2, "temperature": 1.0, "rng_key": 0},
        "num_beams=2 .* can't have temperature above 0",
    ),
    "penalty of lengths": (
        {"num_beams": 2, "length_penalty": float("nan")},
        "length_penalty .* must be a number",
    ),
    "draft and penalty": (
        {"draft": "decoder", "repetition_penalty": 2.0},
        "draft .* can't have repetition_penalty",
    ),
    "draft of another kind": ({"draft": "t5"}, "both have an encoder, or neither"),
    "no draft tokens": (
        {"draft": "decoder", "draft_tokens": 0},
        "draft_tokens .* at least 1, got 0",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_options(case):
    options, message = BAD[case]
    options = {"mask": MASK, "max_new_tokens": STEPS} | options
    if "draft" in options:
        options["draft"] = model_of(options["draft"])
    with pytest.raises(ValueError, match=message):
        generate(model_of("decoder"), TOKENS, **options)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (np.zeros([2, 0], np.int32), "empty prompt"),
        (np.zeros([2], np.int32), r"integers \[B, T\].* shape \(2,\)"),
        (np.zeros([2, 3], np.float32), r"integers \[B, T\].* float32"),
        (np.full([2, 3], VOCAB), "Token 24 of row 0, step 0 is outside .* 0 to 23"),
        (np.array([[1, 2], [3, -1]]), "Token -1 of row 1, step 1 is outside"),
    ],
)
def test_bad_prompts(tokens, message):
    with pytest.raises(ValueError, match=message):
        generate(model_of("decoder"), tokens, max_new_tokens=2)


def test_models_without_a_cache_are_refused():
    with pytest.raises(TypeError, match="takes cache_size"):
        generate(hk.bind(hk.Linear, 3).to({"linear": {}}), TOKENS, max_new_tokens=2)
    with pytest.raises(TypeError, match="with parameters"):
        generate(hk.bind(hk.Linear, 3), TOKENS, max_new_tokens=2)
    with pytest.raises(TypeError, match="Got str"):
        generate("model", TOKENS, max_new_tokens=2)


@pytest.mark.parametrize("options", [{}, {"num_beams": 2}, {"draft": True}])
def test_nan_logits_are_an_error(options):
    model = model_of("decoder")
    broken = model.replace(params=jax.tree.map(lambda x: x * jnp.nan, model.params))
    options = {k: model if k == "draft" else v for k, v in options.items()}
    with pytest.raises(ValueError, match="logits of row 0 were NaN"):
        generate(broken, TOKENS, mask=MASK, max_new_tokens=STEPS, **options)
    if not options:
        with pytest.raises(ValueError, match="logits of row 0 were NaN"):
            list(stream(broken, TOKENS, mask=MASK, max_new_tokens=STEPS))


@pytest.mark.parametrize("way", ["plain", "beams", "draft"])
def test_a_cached_prefix_goes_on(way):
    model, prefix = model_of("decoder"), TOKENS[:, :2]
    _, reading = model.updating(prefix, cache_size=24)
    options = {"max_new_tokens": STEPS} | ({"num_beams": 2} if way == "beams" else {})
    whole = generate(model, np.concatenate([prefix, TOKENS], axis=1), **options)
    if way == "draft":
        options |= {"draft": reading, "draft_tokens": 2}
    out = generate(reading, TOKENS, cache_size=24, **options)
    np.testing.assert_array_equal(out.tokens, whole.tokens)
    if way == "draft":
        _, small = model.updating(prefix, cache_size=12)
        with pytest.raises(ValueError, match="at least 14 with a draft"):
            generate(small, TOKENS, cache_size=12, **options)


def test_an_interrupted_stream_leaves_nothing():
    model = model_of("decoder")
    for _ in stream(model, TOKENS, mask=MASK, max_new_tokens=STEPS):
        break
    assert model.state == {}
    again = generate(model, TOKENS, mask=MASK, max_new_tokens=STEPS)
    np.testing.assert_array_equal(again.tokens, greedy("decoder").tokens)
