"""`python -m haiku generate` and `convert`: what they print, write, and refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk
from haiku.__main__ import main

tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is an extra")
WORDS = ["<pad>", "the", "sea", "is", "a", "time", "of", "?"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny Llama with words as tokens."""
    place = tmp_path_factory.mktemp("model")
    config = hk.nets.DecoderConfig(
        vocab_size=len(WORDS), model_size=16, num_layers=1, num_heads=2
    )
    net = hk.Blueprint(hk.nets.Decoder, config)
    text = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    shapes = jax.eval_shape(
        hk.transform(lambda x: net(x)).init, jax.random.key(0), text
    )
    draw = np.random.default_rng(0)
    params = jax.tree.map(
        lambda x: jnp.asarray(draw.standard_normal(x.shape), x.dtype), shapes
    )
    hk.pretrained.save(place, hk.bind(net).to(params))
    inner = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({x: i for i, x in enumerate(WORDS)}, "?")
    )
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    inner.save(str(place / "tokenizer.json"))
    return place


def test_generate(folder, capsys):
    options = ["--prompt", "the sea", "--max-new-tokens", "6"]
    assert main(["generate", str(folder), *options]) == 0
    out, err = capsys.readouterr()
    model, tokenizer = hk.pretrained.load(folder)
    prompt = tokenizer(["the sea"])
    want = hk.generation.generate(model, prompt.tokens, max_new_tokens=6)
    assert out == tokenizer.decode(want.tokens)[0] + "\n"
    assert "2 tokens of prompt" in err
    assert "6 tokens, " in err


def test_generate_draws_the_same_with_a_seed(folder, capsys):
    options = ["--prompt", "the sea", "--max-new-tokens", "6", "--temperature", "2"]
    texts = []
    for seed in ("1", "1", "2"):
        assert main(["generate", str(folder), *options, "--seed", seed]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]


def test_generate_stops_at_a_text(folder, capsys):
    options = ["--prompt", "the sea", "--max-new-tokens", "6"]
    main(["generate", str(folder), *options])
    first = capsys.readouterr().out.split()[0]
    assert main(["generate", str(folder), *options, "--stop", first]) == 0
    assert capsys.readouterr().out == f"{first}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate", "missing", "--prompt", "a"], "The folder missing doesn't exist"),
        (["generate", "FOLDER", "--prompt", ""], "empty prompt"),
        (["generate", "FOLDER", "--prompt", "a", "--top-p", "3", "--temperature", "1"],
         "top_p"),
        (["generate", "FOLDER", "--prompt", "a", "--max-new-tokens", "0"],
         "max_new_tokens"),
        (["convert", "missing", "OUT"], "The folder missing doesn't exist"),
        (["convert", "FOLDER", "OUT", "--dtype", "int8"], "must be one of floats"),
        (["convert", "FOLDER", "OUT", "--dtype", "half8"], "--dtype half8"),
    ],
)  # fmt: skip
def test_what_cant_be_done_is_said(folder, tmp_path, capsys, arguments, message):
    places = {"FOLDER": str(folder), "OUT": str(tmp_path / "out")}
    assert main([places.get(x, x) for x in arguments]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_convert(folder, tmp_path, capsys):
    out = tmp_path / "half"
    options = ["--dtype", "bfloat16", "--max-shard-size", "1000"]
    assert main(["convert", str(folder), str(out), *options]) == 0
    assert "bfloat16" in capsys.readouterr().out
    whole, half = hk.pretrained.load(folder), hk.pretrained.load(out)
    assert half.tokenizer is not None
    assert len(list(out.glob("*.safetensors"))) > 1
    want = jax.tree.map(lambda x: x.astype(jnp.bfloat16), whole.model.params)
    jax.tree.map(np.testing.assert_array_equal, half.model.params, want)
