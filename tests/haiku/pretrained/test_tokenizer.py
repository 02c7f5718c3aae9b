"""Texts to tokens and back, and the special tokens that a folder names."""

import json
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk
from haiku.pretrained.folders import write_folder
from haiku.pretrained.tokenizer import tokenizer_files

tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is an extra")

WORDS = ["<pad>", "<s>", "</s>", "the", "sea", "a", "time", "?"]
TEXTS = ["the sea", "the time a sea"]


def inner(words=WORDS):
    """Words as tokens; `<s>` begins a text."""
    out = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: i for i, word in enumerate(words)}, "?")
    )
    out.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    out.add_special_tokens([word for word in words if word.startswith("<")])
    out.post_processor = tokenizers.processors.TemplateProcessing(
        "<s> $A", special_tokens=[("<s>", 1)]
    )
    return out


@pytest.fixture
def folder(tmp_path):
    inner().save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def describe(folder, **files):
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))


def special(folder):
    found = hk.pretrained.load_tokenizer(folder)
    return found.pad, found.bos, found.eos


def test_rows_are_padded_left_or_right(folder):
    describe(folder, tokenizer_config={"pad_token": "<pad>"})
    tokenizer = hk.pretrained.load_tokenizer(folder)
    tokens, mask = tokenizer(TEXTS)
    assert (tokens.dtype, mask.dtype) == (jnp.int32, bool)
    assert tokens.tolist() == [[0, 0, 1, 3, 4], [1, 3, 6, 5, 4]]
    assert mask.tolist() == [[False, False, True, True, True], [True] * 5]
    right = tokenizer(TEXTS, padding="right")
    assert right.tokens.tolist() == [[1, 3, 4, 0, 0], [1, 3, 6, 5, 4]]
    assert right.mask.tolist() == [[True, True, True, False, False], [True] * 5]
    plain = tokenizer(TEXTS, add_special_tokens=False)
    assert plain.tokens.tolist() == [[0, 0, 3, 4], [3, 6, 5, 4]]


def test_one_text_and_none(folder):
    tokenizer = hk.pretrained.load_tokenizer(folder)
    assert tokenizer("the sea").tokens.tolist() == [[1, 3, 4]]
    assert tokenizer([]).tokens.shape == (0, 0)
    empty = tokenizer([""], add_special_tokens=False)
    assert empty.tokens.shape == empty.mask.shape == (1, 0)


def test_padding_without_a_token_for_it(folder):
    assert hk.pretrained.load_tokenizer(folder)(TEXTS).tokens[0, 0] == 0
    describe(folder, config={"eos_token_id": 2})
    assert hk.pretrained.load_tokenizer(folder)(TEXTS).tokens[0, 0] == 2


def test_decoding(folder):
    tokenizer = hk.pretrained.load_tokenizer(folder)
    tokens = tokenizer(TEXTS).tokens
    assert tokenizer.decode(tokens) == TEXTS
    assert tokenizer.decode(tokens[0]) == TEXTS[0]
    assert tokenizer.decode(np.asarray(tokens)[1].tolist()) == TEXTS[1]
    assert tokenizer.decode(tokens[:, -1:]) == ["sea", "sea"]
    assert tokenizer.decode(tokens[0], False) == "<pad> <pad> <s> the sea"
    assert tokenizer.decode([3, 1000]) == "the"
    assert tokenizer.decode([]) == ""


@pytest.mark.parametrize(
    ("tokens", "error", "message"),
    [
        (3, ValueError, r"got shape \(\)"),
        (np.ones([1, 2, 3], int), ValueError, r"got shape \(1, 2, 3\)"),
        ([-1, 3], ValueError, "got some from -1 to 3"),
        ([2**40], ValueError, "from 0 to 2"),
        ([0.5], TypeError, "takes integers, and got float64"),
    ],
)
def test_tokens_must_be_tokens(folder, tokens, error, message):
    with pytest.raises(error, match=message):
        hk.pretrained.load_tokenizer(folder).decode(tokens)


def test_texts_must_be_texts(folder):
    tokenizer = hk.pretrained.load_tokenizer(folder)
    with pytest.raises(TypeError, match="text 1 is 3"):
        tokenizer(["the", 3])
    with pytest.raises(ValueError, match='"left" or "right", and is None'):
        tokenizer(TEXTS, padding=None)


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({}, (None, None, None)),
        ({"tokenizer_config": {"pad_token": "<pad>"}}, (0, None, None)),
        ({"tokenizer_config": {"bos_token": {"content": "<s>"}}}, (None, 1, None)),
        ({"special_tokens_map": {"eos_token": "</s>"}}, (None, None, 2)),
        ({"config": {"pad_token_id": 7, "bos_token_id": 6}}, (7, 6, None)),
        ({"config": {"eos_token_id": [5, 6], "pad_token_id": -1}}, (None, None, 5)),
        ({"config": {"eos_token_id": None}}, (None, None, None)),
        (
            {"tokenizer_config": {"eos_token": "</s>"}, "config": {"eos_token_id": 5}},
            (None, None, 2),
        ),
        (
            {"tokenizer_config": {"eos_token": "lost"}, "config": {"eos_token_id": 5}},
            (None, None, 5),
        ),
    ],
)
def test_special_tokens(folder, files, wanted):
    describe(folder, **files)
    assert special(folder) == wanted


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"tokenizer_config": {"pad_token": 3}}, "pad_token must be a text, and is 3"),
        ({"tokenizer_config": []}, "tokenizer_config.json must be a JSON object"),
        ({"config": {"bos_token_id": "1"}}, "config.json: bos_token_id must be an"),
        ({"config": {"eos_token_id": [True]}}, "eos_token_id must be an integer"),
        ({"tokenizer": {}}, "tokenizer.json isn't a tokenizer"),
        ({"tokenizer": []}, "tokenizer.json isn't a tokenizer"),
    ],
)
def test_bad_files_are_errors_that_name_them(folder, files, message):
    describe(folder, **files)
    with pytest.raises(ValueError, match=message) as error:
        hk.pretrained.load_tokenizer(folder)
    assert str(folder) in str(error.value)


def test_the_vocabulary_counts_added_tokens(folder):
    tokenizer = hk.pretrained.load_tokenizer(folder)
    assert tokenizer.vocab_size == len(WORDS)
    tokenizer.inner.add_tokens(["more"])
    assert tokenizer.vocab_size == len(WORDS) + 1
    assert repr(tokenizer) == "Tokenizer(vocab_size=9, pad=None, bos=None, eos=None)"


def test_padding_and_truncation_of_the_file_are_left_out(folder):
    other = inner()
    other.enable_padding(length=10)
    other.enable_truncation(2)
    other.save(str(folder / "tokenizer.json"))
    assert hk.pretrained.load_tokenizer(folder)(TEXTS).tokens.shape == (2, 5)


def test_a_tokenizer_is_written_as_it_was_read(folder, tmp_path):
    describe(
        folder,
        tokenizer_config={"pad_token": "<pad>", "model_max_length": 77},
        special_tokens_map={"eos_token": "</s>"},
    )
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    tokenizer = hk.pretrained.load_tokenizer(folder)
    tokenizer.inner.add_tokens(["more"])
    write_folder(tmp_path / "copy", {}, tokenizer_files(tokenizer))
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        assert (tmp_path / "copy" / name).read_text() == (folder / name).read_text()
    assert (tmp_path / "copy" / "chat_template.jinja").read_text() == "{{ messages }}"
    again = hk.pretrained.load_tokenizer(tmp_path / "copy")
    assert (
        repr(again)
        == repr(tokenizer)
        == "Tokenizer(vocab_size=9, pad=0, " + ("bos=None, eos=2)")
    )
    assert again(["more sea"]).tokens.tolist() == [[1, 8, 4]]


def test_one_made_by_hand_is_written_with_its_special_tokens(tmp_path):
    tokenizer = hk.pretrained.Tokenizer(inner(), pad=0, bos=1, eos=2)
    write_folder(tmp_path / "net", {}, tokenizer_files(tokenizer))
    assert special(tmp_path / "net") == (0, 1, 2)
    config = json.loads((tmp_path / "net" / "tokenizer_config.json").read_text())
    assert config["eos_token"] == "</s>"


def test_no_tokenizer(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no tokenizer.json.*AutoTokeniz"):
        hk.pretrained.load_tokenizer(tmp_path)
    with pytest.raises(FileNotFoundError, match="The folder .* doesn't exist"):
        hk.pretrained.load_tokenizer(tmp_path / "nothing")


def test_a_link_out_is_an_error(folder, tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "tokenizer.json").symlink_to(folder / "tokenizer.json")
    with pytest.raises(ValueError, match="is a link out of the folder"):
        hk.pretrained.load_tokenizer(tmp_path / "b")


def test_the_package_is_named_where_it_is_missing(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ImportError, match=r"pip install 'renga-jax\[text\]'"):
        hk.pretrained.load_tokenizer(folder)


def test_it_is_imported_where_it_is_used():
    program = (
        "import sys, haiku as hk\n"
        "assert 'haiku.pretrained' not in sys.modules\n"
        "assert hk.pretrained.read and 'tokenizers' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
