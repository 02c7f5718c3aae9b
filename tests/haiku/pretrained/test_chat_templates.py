"""Messages as texts: templates of folders, what they may do, and what they may not."""

import json
import time

import pytest

import haiku as hk

tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is an extra")
pytest.importorskip("jinja2", reason="jinja2 is an extra")

CHATML = (
    "{% for message in messages %}\n"
    "    {% if loop.first and message['role'] != 'system' %}\n"
    "{{ '<|im_start|>system\\nBe kind.<|im_end|>\\n' -}}\n"
    "    {% endif %}\n"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] | trim }}"
    "{{ '<|im_end|>' + '\\n' -}}\n"
    "{% endfor %}\n"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
MESSAGES = [
    {"role": "user", "content": " How deep is the sea? "},
    {"role": "assistant", "content": "Très profond."},
    {"role": "user", "content": "In metres?"},
]
TEXT = (
    "<|im_start|>system\nBe kind.<|im_end|>\n"
    "<|im_start|>user\nHow deep is the sea?<|im_end|>\n"
    "<|im_start|>assistant\nTrès profond.<|im_end|>\n"
    "<|im_start|>user\nIn metres?<|im_end|>\n"
)
ONE = [{"role": "user", "content": "sea"}]


def tokenizer(**ids):
    words = {"<s>": 0, "</s>": 1, "sea": 2}
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, "sea"))
    return hk.pretrained.Tokenizer(inner, **ids)


def folder_with(tmp_path, config, file=None):
    tokenizer().inner.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    if file is not None:
        (tmp_path / "chat_template.jinja").write_text(file, encoding="utf-8")
    return hk.pretrained.load_tokenizer(tmp_path)


def test_chatml():
    render = tokenizer().apply_chat_template
    assert render(MESSAGES, template=CHATML) == TEXT + "<|im_start|>assistant\n"
    asked = render(MESSAGES, template=CHATML, add_generation_prompt=False)
    assert asked == TEXT


def test_special_tokens_and_variables():
    text = tokenizer(bos=0, eos=1).apply_chat_template(
        ONE,
        template="{{ bos_token }}{{ tools | tojson }}{{ eos_token }}",
        tools=[{"name": "élan"}],
    )
    assert text == '<s>[{"name": "élan"}]</s>'


def test_what_transformers_adds_to_jinja():
    template = (
        "{% for x in messages %}{% if loop.index > 1 %}{% break %}{% endif %}"
        "{{ x.content }}{% endfor %}{{ strftime_now('%Y') | length }}"
        "{{ {'b': 1, 'a': 2} | tojson(indent=0, sort_keys=true) }}"
    )
    text = tokenizer().apply_chat_template(ONE * 3, template=template)
    assert text == 'sea4{\n"a": 2,\n"b": 1\n}'


@pytest.mark.parametrize(
    ("config", "file"),
    [
        ({"chat_template": "[{{ messages[0].content }}]"}, None),
        ({"chat_template": "no"}, "[{{ messages[0].content }}]"),
        (
            {
                "chat_template": [
                    {"name": "tool_use", "template": "no"},
                    {"name": "default", "template": "[{{ messages[0].content }}]"},
                ]
            },
            None,
        ),
    ],
    ids=["config", "file", "several"],
)
def test_the_template_of_a_folder(tmp_path, config, file):
    assert folder_with(tmp_path, config, file).apply_chat_template(ONE) == "[sea]"


@pytest.mark.parametrize("found", [3, [], [{"name": "other", "template": ""}], {}])
def test_a_template_that_is_no_text(tmp_path, found):
    with pytest.raises(ValueError, match="chat_template must be a text"):
        folder_with(tmp_path, {"chat_template": found})


def test_no_template():
    with pytest.raises(ValueError, match="has no chat template"):
        tokenizer().apply_chat_template(ONE)


@pytest.mark.parametrize(
    "messages", [[], "sea", None, ["sea"], [{"content": "sea"}], [{"role": 3}], {}]
)
def test_bad_messages(messages):
    with pytest.raises(ValueError, match="Messages must be a list"):
        tokenizer().apply_chat_template(messages, template="")


def test_messages_that_are_no_json():
    with pytest.raises(ValueError, match="must be texts, numbers"):
        tokenizer().apply_chat_template(
            [{"role": "user", "content": object()}], template=""
        )


def test_a_template_refuses():
    template = "{{ raise_exception('Roles must alternate!') }}"
    with pytest.raises(ValueError, match="refuses the messages: Roles must alternate!"):
        tokenizer().apply_chat_template(ONE, template=template)


HOSTILE = {
    "syntax": ("{% for %}", "TemplateSyntaxError"),
    "classes": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "SecurityError"),
    "files": ("{% include '/etc/passwd' %}", "TypeError|TemplateNotFound"),
    "imports": ("{{ cycler.__init__.__globals__.os.getcwd() }}", "SecurityError"),
    "change": ("{{ messages.append(1) }}", "SecurityError"),
    "ranges": (
        "{% for i in range(10**9) %}{% endfor %}",
        "OverflowError|SecurityError",
    ),
    "memory": ("{{ 'a' * 10**10 }}", "memory|MemoryError"),
    "doubling": (
        "{% set x = namespace(y='abcdefgh') %}{% for i in range(60) %}"
        "{% set x.y = x.y ~ x.y %}{% endfor %}",
        "memory|MemoryError",
    ),
    "long": ("{{ 'a' * 20000000 }}", "more than"),
    "missing": ("{{ messages[0].no.thing }}", "UndefinedError"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_templates(name):
    template, message = HOSTILE[name]
    with pytest.raises(ValueError, match=message):
        tokenizer().apply_chat_template(ONE, template=template)


def test_a_function_shows_nothing_of_its_module():
    render = tokenizer().apply_chat_template
    assert render(ONE, template="{{ raise_exception.__globals__ }}") == ""


@pytest.mark.slow
def test_a_template_that_never_ends():
    loop = "{% for i in range(99999) %}" * 4 + "{% endfor %}" * 4
    start = time.perf_counter()
    with pytest.raises(ValueError, match="seconds|time"):
        tokenizer().apply_chat_template(ONE, template=loop)
    assert time.perf_counter() - start < 15
