"""`Constraint`: whatever the weights, a text that has ended is of the form."""

import concurrent.futures
import json
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tokenizers
from drawn_models import drawn_model
from hypothesis import given, settings
from hypothesis import strategies as st

import haiku as hk
from haiku.generation import Constraint, ContinuousBatch, generate, stream

END, SIZE = 1, 300
PROMPTS = np.array([[2, 70, 71], [72, 73, 74]])
MASK = np.array([[0, 1, 1], [1, 1, 0]], bool)
CITY = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "size": {"type": "integer", "minimum": 0, "maximum": 99},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3},
    },
    "required": ["name", "size", "tags"],
    "additionalProperties": False,
}


def of_bytes():
    """All bytes, and some longer tokens, as GPT-2 has them."""
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    words = ["<s>", "</s>", *letters, "ab", "12", '":', "Ġthe"]
    inner = tokenizers.Tokenizer(
        tokenizers.models.BPE({x: i for i, x in enumerate(words)}, merges=[])
    )
    byte_level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.pre_tokenizer = byte_level
    inner.decoder = tokenizers.decoders.ByteLevel()
    return hk.pretrained.Tokenizer(inner, bos=0, eos=END)


def of_pieces():
    """Pieces with a mark for blanks, and bytes beside them, as Llama has them."""
    marks = ["<unk>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]
    words = [*marks, "▁", *"abcdefghij0123456789-", "▁a"]
    model = tokenizers.models.BPE(
        *({x: i for i, x in enumerate(words)}, []), byte_fallback=True, unk_token=None
    )
    inner = tokenizers.Tokenizer(model)
    decoders = tokenizers.decoders
    inner.normalizer = tokenizers.normalizers.Replace(" ", "▁")
    inner.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return hk.pretrained.Tokenizer(inner, eos=END)


TOKENIZER = of_bytes()


def model_of(size=SIZE, seed=0):
    config = hk.nets.DecoderConfig(
        vocab_size=size, model_size=16, num_layers=1, num_heads=2
    )
    text = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    return drawn_model(hk.nets.Decoder, config, text, seed=seed)


MODEL = model_of()


def texts(constraint, tokenizer=TOKENIZER, model=MODEL, steps=60, **options):
    """The whole texts, without their ends."""
    out = generate(
        model,
        PROMPTS,
        mask=MASK,
        max_new_tokens=steps,
        logits_processor=constraint,
        **options,
    )
    tokens, lengths = np.asarray(out.tokens), np.asarray(out.lengths)
    assert all(row[n - 1] == END for row, n in zip(tokens, lengths))
    return [tokenizer.decode(row[: n - 1]) for row, n in zip(tokens, lengths)]


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 1.0, "rng_key": 3}], ids=["greedy", "drawn"]
)
def test_texts_match_a_regex(options):
    form = r"[0-9]{3}-(ab|[c-z]){2,5}"
    found = texts(Constraint(TOKENIZER, regex=form), **options)
    assert all(re.fullmatch(form, text) for text in found)
    assert options == {} or found[0] != found[1]


def test_texts_are_json_of_a_schema():
    constraint = Constraint(TOKENIZER, json_schema=CITY)
    for seed in range(3):
        for text in texts(constraint, temperature=1.5, rng_key=seed):
            city = json.loads(text)
            assert list(city) == ["name", "size", "tags"]
            assert isinstance(city["name"], str) and len(city["name"]) <= 6
            assert city["size"] in range(100)
            assert len(city["tags"]) <= 3 and {*city["tags"]} <= {"a", "b"}


def test_a_schema_may_refer_to_itself():
    tree = {
        "type": "object",
        "properties": {"of": {"type": "array", "items": {"$ref": "#"}, "maxItems": 2}},
        "required": ["of"],
        "additionalProperties": False,
    }

    def check(value):
        assert list(value) == ["of"] and len(value["of"]) <= 2
        return 1 + sum(map(check, value["of"]))

    # Brackets that close are likelier here, so that trees end.
    constraint = Constraint(TOKENIZER, json_schema=json.dumps(tree))
    inner = TOKENIZER.inner

    def processor(tokens, logits):
        logits = logits.at[:, inner.token_to_id("]")].add(1.0)
        return constraint(tokens, logits)

    processor.reads_prompt, processor.eos = False, constraint.eos
    found = texts(processor, temperature=1.0, rng_key=2, steps=400)
    assert all(check(json.loads(text)) for text in found)


def test_a_grammar():
    constraint = Constraint(
        TOKENIZER, grammar='start: sum\nsum: /[0-9]{1,2}/ ("+" sum)?\n'
    )
    for text in texts(constraint, temperature=1.0, rng_key=0, steps=300):
        assert re.fullmatch(r"\d{1,2}(\+\d{1,2})*", text)


def test_pieces_with_bytes_beside_them():
    form = "(a|é| a){2,4}-[0-9]"
    tokenizer = of_pieces()
    constraint = Constraint(tokenizer, regex=form)
    for seed in range(4):
        options = {"temperature": 1.0, "rng_key": seed}
        for text in texts(constraint, tokenizer, **options):
            assert re.fullmatch(form, text), text


def test_streams_and_batches_write_the_same():
    constraint = Constraint(TOKENIZER, regex="[ab]{3,9}c")
    options = {"max_new_tokens": 12, "logits_processor": constraint}
    out = generate(MODEL, PROMPTS, mask=MASK, **options)
    steps = np.stack(list(stream(MODEL, PROMPTS, mask=MASK, **options)), axis=1)
    np.testing.assert_array_equal(steps, out.tokens[:, : steps.shape[1]])
    batch = ContinuousBatch(MODEL, 1, cache_size=20, **options)
    for row, mask in zip(PROMPTS, MASK):
        batch.add(row[mask])
    for text in batch:
        own = out.tokens[text.id, : out.lengths[text.id]]
        np.testing.assert_array_equal(text.tokens, own)


def test_an_abandoned_stream_leaves_nothing_behind():
    constraint = Constraint(TOKENIZER, regex="[ab]{3,9}c")
    options = {"max_new_tokens": 12, "logits_processor": constraint}
    whole = generate(MODEL, PROMPTS, **options)
    steps = stream(MODEL, PROMPTS, **options)
    next(steps)
    steps.close()
    np.testing.assert_array_equal(
        generate(MODEL, PROMPTS, **options).tokens, whole.tokens
    )


def test_what_is_kept_of_texts_is_bounded(monkeypatch):
    monkeypatch.setattr("haiku.generation.constraint._MOST_KEPT", 4)
    constraint = Constraint(TOKENIZER, regex="[0-9]{2,20}")
    for text in texts(constraint, temperature=1.0, rng_key=1):
        assert re.fullmatch("[0-9]{2,20}", text)
    assert len(constraint._kept) <= 4 and () in constraint._kept


def test_threads():
    constraint = Constraint(TOKENIZER, regex="[0-9]{2,20}")
    random = np.random.default_rng(0)
    digits = [TOKENIZER.inner.token_to_id(x) for x in "0123456789"]
    rows = [np.append(random.choice(digits, n), [-1] * (20 - n)) for n in range(20)]
    alone = [Constraint(TOKENIZER, regex="[0-9]{2,20}")._masks([row]) for row in rows]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        masks = list(pool.map(lambda row: constraint._masks([row]), rows * 5))
    for mask, want in zip(masks, alone * 5):
        np.testing.assert_array_equal(mask, want)


@given(
    st.recursive(
        st.sampled_from(["a", "b", "[a-c]", "12", "é"]),
        lambda x: st.one_of(
            st.builds("({}|{})".format, x, x),
            st.builds("{}{}".format, x, x),
            st.builds("({}){{1,2}}".format, x),
            st.builds("({})?".format, x),
        ),
        max_leaves=6,
    ),
    st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_any_path_through_the_masks_matches(form, seed):
    """By drawing from the masks alone, without a model."""
    constraint = Constraint(TOKENIZER, regex=form)
    random, tokens = np.random.default_rng(seed), []
    while not tokens or tokens[-1] != END:
        (mask,) = constraint._masks([np.append(tokens, -1)])
        fits = np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little"))
        assert fits.size and fits.max() < SIZE
        tokens.append(int(random.choice(fits)))
        assert len(tokens) < 200
    assert re.fullmatch(form, TOKENIZER.decode(np.array(tokens[:-1])))


def test_padded_heads_are_never_drawn():
    def high(tokens, logits):
        return logits.at[:, 262:].add(100.0)

    constraint = Constraint(TOKENIZER, regex="[ab]{3}")
    out = jax.jit(constraint)(
        jnp.full([2, 4], -1), high(None, jnp.zeros([2, SIZE])).astype(jnp.bfloat16)
    )
    assert out.dtype == jnp.bfloat16
    fits = {*np.flatnonzero(np.asarray(out[0]) > -jnp.inf)}
    assert fits == {TOKENIZER.inner.token_to_id(x) for x in ("a", "b", "ab")}


def test_under_vmap():
    constraint = Constraint(TOKENIZER, regex="a[cd]")
    a = TOKENIZER.inner.token_to_id("a")
    tokens = jnp.array([[[a, -1]], [[-1, -1]]])
    out = jax.vmap(constraint)(tokens, jnp.zeros([2, 1, SIZE]))
    assert np.sum(np.isfinite(out), axis=2).tolist() == [[2], [1]]


# ---- Bad input -----------------------------------------------------------------------

BAD = {
    "nothing": ({}, "takes one of regex, json_schema and grammar, got none"),
    "two": ({"regex": "a", "grammar": "b"}, "got regex and grammar"),
    "no text": ({"regex": 3}, "regex .* must be text, got 3"),
    "regex": ({"regex": "[0-9"}, "unclosed character class"),
    "look-around": ({"regex": "(?=a)b"}, "look-around"),
    "empty": ({"regex": "[a&&b]"}, "No text is of the form"),
    "list": ({"json_schema": [1]}, r"must be an object.*got \[1\]"),
    "no JSON": ({"json_schema": "{x"}, "is no JSON: Expecting property name"),
    "objects": ({"json_schema": {"a": {1, 2}}}, "is no JSON"),
    "type": ({"json_schema": {"type": "thing"}}, "Invalid type: thing"),
    "unfulfilled": ({"json_schema": {"enum": []}}, "Unsatisfiable"),
    "not": ({"json_schema": {"not": {"type": "string"}}}, "Unimplemented keys"),
    "nowhere": ({"json_schema": {"$ref": "#/a"}}, "'/a' does not exist"),
    "elsewhere": ({"json_schema": {"$ref": "http://a.b/c"}}, "does not fetch"),
    "grammar": ({"grammar": "nope"}, "Expected token ':'"),
    "eos": ({"regex": "a", "eos": 9999}, "must be tokens, 0 to 261, got 9999"),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD)
def test_bad_forms(options, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        Constraint(TOKENIZER, **options)


def test_bad_tokenizers():
    with pytest.raises(TypeError, match="takes the model's tokenizer.*got str"):
        Constraint("gpt2", regex="a")
    nameless = hk.pretrained.Tokenizer(TOKENIZER.inner)
    with pytest.raises(ValueError, match=r"names none: pass eos="):
        Constraint(nameless, regex="a")
    assert Constraint(nameless, regex="a", eos=[1, 0]).eos == (1, 0)
    words = tokenizers.models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]")
    inner = tokenizers.Tokenizer(words)
    inner.decoder = tokenizers.decoders.WordPiece()
    with pytest.raises(ValueError, match="needs a tokenizer of bytes"):
        Constraint(hk.pretrained.Tokenizer(inner, eos=1), regex="a")


def test_other_models_and_other_ends():
    constraint = Constraint(TOKENIZER, regex="[ab]+")
    options = {"max_new_tokens": 4, "logits_processor": constraint}
    with pytest.raises(ValueError, match="has 100 logits and the tokenizer"):
        generate(model_of(100), PROMPTS, **options)
    with pytest.raises(ValueError, match=r"eos of hk.generation is 5.*leave eos out"):
        generate(MODEL, PROMPTS, eos=5, **options)
    generate(MODEL, PROMPTS, eos=END, **options)
    with pytest.raises(ValueError, match="can't have logits_processor"):
        generate(MODEL, PROMPTS, num_beams=2, **options)
    with pytest.raises(ValueError, match="can't have logits_processor"):
        generate(MODEL, PROMPTS, draft=MODEL, **options)


def test_where_no_token_fits_is_an_error():
    letters = {"</s>": 0, "a": 1, "b": 2}
    inner = tokenizers.Tokenizer(tokenizers.models.BPE(letters, merges=[]))
    inner.decoder = tokenizers.decoders.ByteLevel()
    small = hk.pretrained.Tokenizer(inner, eos=0)
    constraint = Constraint(small, regex="a{2}c")
    prompts = np.ones([2, 1], int)
    options = {"max_new_tokens": 6, "logits_processor": constraint}
    message = "at new token 3: .* no token of the vocabulary can come next"
    with pytest.raises(ValueError, match=message):
        generate(model_of(3), prompts, **options)
    with pytest.raises(ValueError, match=message):
        list(stream(model_of(3), prompts, **options))
    batch = ContinuousBatch(model_of(3), 1, cache_size=9, **options)
    batch.add([1])
    with pytest.raises(ValueError, match=r"text 0 .* no token of the vocabulary"):
        batch.step()


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(ImportError, match=r"llguidance: pip install 'renga-jax.text"):
        Constraint(TOKENIZER, regex="a")
