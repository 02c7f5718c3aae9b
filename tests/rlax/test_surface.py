"""The public names of the reference: all here, with the same parameters."""

import collections.abc
import inspect
import json
import pathlib
import pydoc
import re

import pytest

import rlax

SURFACE = json.loads(
    (pathlib.Path(__file__).parents[1] / "surface/rlax_api.json").read_text()
)["rlax"]
FUNCTIONS = sorted(n for n, x in SURFACE.items() if x["kind"] == "function")
CLASSES = sorted(n for n, x in SURFACE.items() if x["kind"] == "class")
VALUES = sorted(n for n, x in SURFACE.items() if x["kind"] == "value")


def described(default):
    """A default in the archive's words."""
    if default is rlax.IDENTITY_PAIR:
        return "TxPair(apply=<identity>, apply_inv=<identity>)"
    if isinstance(default, type):
        return repr(default)
    if inspect.isfunction(default):
        return f"<{default.__name__}>"
    if hasattr(default, "func"):  # a partial
        name = f"<PjitFunction of <{default.func.__name__}>>"
        return f"functools.partial({name}, min={default.keywords['min']!r})"
    return repr(default)


def parameters(f):
    """Names with defaults, and the kind of each."""
    described_, kinds = [], []
    for p in inspect.signature(f).parameters.values():
        stars = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        default = "" if p.default is p.empty else f"={described(p.default)}"
        described_.append(f"{stars}{p.name}{default}")
        kinds.append(p.kind)
    return described_, kinds


def test_every_name_is_listed_once():
    assert set(SURFACE) <= set(rlax.__all__)
    assert len(rlax.__all__) == len(set(rlax.__all__))
    assert all(hasattr(rlax, name) for name in rlax.__all__)


# The reference hides arguments that it takes: its signature of `clip_gradient` is
# `(*args, **kwargs)`, and those of three `transformed_*` lack the pair in front.
TAKEN_THERE = {"clip_gradient": ["x", "gradient_min", "gradient_max"]} | {
    name: ["tx_pair", *SURFACE[name]["params"]]
    for name in (
        "transformed_general_off_policy_returns_from_action_values",
        "transformed_lambda_returns",
        "transformed_n_step_returns",
    )
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_has_the_reference_parameters_first(name):
    wanted = TAKEN_THERE.get(name, SURFACE[name]["params"])
    # "x=1 [kw]" is a keyword only there; here it may come by position too.
    wanted = [p.removesuffix(" [kw]") for p in wanted]
    have, kinds = parameters(getattr(rlax, name))
    assert have[: len(wanted)] == wanted
    # Our additions are keywords only, and have defaults.
    for added, kind in zip(have[len(wanted) :], kinds[len(wanted) :]):
        assert kind is inspect.Parameter.KEYWORD_ONLY
        assert "=" in added


@pytest.mark.parametrize("name", CLASSES)
def test_class_has_the_reference_members(name):
    cls, wanted = getattr(rlax, name), SURFACE[name]
    have = [p for p in parameters(cls)[0] if p != "self"]
    assert have == wanted["init"]
    assert list(getattr(cls, "_fields", ())) == wanted.get("fields", [])
    if "tuple" in wanted["bases"]:
        assert issubclass(cls, tuple)
    if "Mapping" in wanted["bases"]:
        assert issubclass(cls, collections.abc.Mapping)
    for member, signature in wanted["members"].items():
        assert hasattr(cls, member)
        if isinstance(signature, list) and member != "from_tuple":
            assert parameters(getattr(cls, member))[0] == signature


@pytest.mark.parametrize("name", VALUES)
def test_value_has_the_reference_type(name):
    assert type(getattr(rlax, name)).__name__ == SURFACE[name]["type"]


# One line documents these: `logit` is "log(x / (1 - x))".
ONE_LINERS = ("identity", "sigmoid", "logit", "signed_logp1", "signed_expm1")


def documented(doc):
    """The arguments that a docstring explains."""
    found = re.search(r"^Args:\n((?: .*\n|\n)*)", doc, re.MULTILINE)
    section = found[1] if found else ""
    lines = re.findall(r"^  ((?:\*{0,2}\w+(?:, )?)+):", section, re.MULTILINE)
    return {name.strip("* ") for line in lines for name in line.split(",")}


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - set(ONE_LINERS)))
def test_function_explains_its_arguments(name):
    doc = inspect.getdoc(getattr(rlax, name))
    assert set(inspect.signature(getattr(rlax, name)).parameters) <= documented(doc)
    assert "\nReturns:\n" in doc or name.startswith("transpose_")


CALLABLES = sorted(n for n in rlax.__all__ if callable(getattr(rlax, n)))
# These take any number of arguments, under a name that says which.
VARIADIC = {"compose_tx": "tx_list", "tree_fn": "unmapped_kwargs"}


@pytest.mark.parametrize("name", CALLABLES)
def test_signature_shows_every_argument(name):
    f = getattr(rlax, name)
    for p in inspect.signature(f).parameters.values():
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            assert p.name == VARIADIC[name]
        elif inspect.isfunction(f):
            assert p.annotation not in (p.empty, "Any")


@pytest.mark.parametrize("name", sorted(TAKEN_THERE))
def test_help_shows_arguments_that_the_reference_hides(name):
    text = "".join(pydoc.plain(pydoc.render_doc(getattr(rlax, name))).split())
    assert f"{name}({TAKEN_THERE[name][0]}:" in text  # Python 3.13 breaks the lines.
    assert "*args" not in text
