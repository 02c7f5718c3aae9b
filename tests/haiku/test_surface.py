"""Our names, signatures and attributes of layers include those of the reference."""

import dataclasses
import importlib
import inspect
import json
import pathlib

import jax
import jax.numpy as jnp
import pytest

import haiku as hk

SURFACE = pathlib.Path(__file__).parent.parent / "surface"
API = json.loads((SURFACE / "haiku_api.json").read_text())
ATTRIBUTES = json.loads((SURFACE / "haiku_attributes.json").read_text())
NAMES = [
    (module, name)
    for module, names in API.items()
    for name in names
    # A flax.linen.Module: most of its listed names belong to flax.
    if (module, name) != ("haiku.experimental.flax", "Module")
]


def _get(module, name):
    return getattr(importlib.import_module(module), name)


def _parameters(signature):
    """Parameters in the form of the API files: `name`, `name=`, `*args`, `a [kw]`."""
    found = []
    for p in signature.parameters.values():
        text = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "") + p.name
        if p.default is not p.empty:
            text += "="
        if p.kind is p.KEYWORD_ONLY:
            text += " [kw]"
        found.append(text)
    return found


def _without_default(text):
    keyword_only = text.endswith(" [kw]")
    text = text.removesuffix(" [kw]")
    head, equals, _ = text.partition("=")
    return head + equals + (" [kw]" if keyword_only else "")


def _assert_compatible(f, wanted):
    signature = inspect.signature(f)
    have = _parameters(signature)
    want = [_without_default(text) for text in wanted]
    # We may append keywords; the reference's parameters keep their place and kind.
    assert [p for p in have if p in want] == want, (have, want)
    for extra in set(have) - set(want):
        assert "=" in extra or extra.startswith("*"), (
            f"{extra} is new and has no default"
        )
    for text in wanted:
        name, equals, default = text.removesuffix(" [kw]").partition("=")
        if equals and not default.startswith("<"):
            assert repr(signature.parameters[name].default) == default, name


@pytest.mark.parametrize(("module", "name"), NAMES, ids=[".".join(x) for x in NAMES])
def test_the_name_has_a_compatible_signature(module, name):
    wanted = API[module][name]
    have = _get(module, name)
    if wanted["kind"] == "value":
        assert have is not None
    elif wanted["kind"] == "function":
        if wanted["params"] is not None:
            _assert_compatible(have, wanted["params"])
    else:
        assert inspect.isclass(have)
        if wanted.get("fields"):
            assert list(have._fields) == wanted["fields"]
        elif "Enum" not in wanted["bases"] and "Protocol" not in wanted["bases"]:
            _assert_compatible(have, [p for p in wanted["init"] if p != "self"])
        for member, described in wanted["members"].items():
            _assert_member(have, member, described)


def _assert_member(cls, member, described):
    # An annotation without a value declares an attribute of instances.
    annotated = any(member in vars(c).get("__annotations__", {}) for c in cls.__mro__)
    fields = (
        {f.name for f in dataclasses.fields(cls)}
        if dataclasses.is_dataclass(cls)
        else ()
    )
    assert hasattr(cls, member) or annotated or member in fields, member
    if isinstance(described, list) and "self" in described[:1]:
        _assert_compatible(getattr(cls, member), described)


IMAGE = jnp.ones((1, 6, 6, 4))
BUILT = {  # The constructor and the call used when the attributes were listed.
    "Linear": (lambda: hk.Linear(3), jnp.ones((2, 4))),
    "Bias": (lambda: hk.Bias(), jnp.ones((2, 4))),
    "Sequential": (lambda: hk.Sequential([hk.Linear(3)]), jnp.ones((2, 4))),
    "Flatten": (lambda: hk.Flatten(), jnp.ones((2, 4))),
    "Reshape": (lambda: hk.Reshape((2, 2)), jnp.ones((2, 4))),
    "Embed": (lambda: hk.Embed(5, 4), jnp.zeros((2,), jnp.int32)),
    "Deferred": (lambda: hk.Deferred(lambda: hk.Linear(3)), jnp.ones((2, 4))),
    "ConvND": (lambda: hk.ConvND(2, 4, 3), IMAGE),
    "Conv1D": (lambda: hk.Conv1D(4, 3), jnp.ones((1, 6, 4))),
    "Conv2D": (lambda: hk.Conv2D(4, 3), IMAGE),
    "Conv3D": (lambda: hk.Conv3D(2, 3), jnp.ones((1, 4, 4, 4, 2))),
    "ConvNDTranspose": (lambda: hk.ConvNDTranspose(2, 4, 3), IMAGE),
    "Conv1DTranspose": (lambda: hk.Conv1DTranspose(4, 3), jnp.ones((1, 6, 4))),
    "Conv2DTranspose": (lambda: hk.Conv2DTranspose(4, 3), IMAGE),
    "Conv3DTranspose": (lambda: hk.Conv3DTranspose(2, 3), jnp.ones((1, 4, 4, 4, 2))),
    "DepthwiseConv1D": (lambda: hk.DepthwiseConv1D(2, 3), jnp.ones((1, 6, 4))),
    "DepthwiseConv2D": (lambda: hk.DepthwiseConv2D(2, 3), IMAGE),
    "DepthwiseConv3D": (lambda: hk.DepthwiseConv3D(2, 3), jnp.ones((1, 4, 4, 4, 2))),
    "SeparableDepthwiseConv2D": (lambda: hk.SeparableDepthwiseConv2D(2, 3), IMAGE),
    "MaxPool": (lambda: hk.MaxPool(2, 2, "SAME"), IMAGE),
    "AvgPool": (lambda: hk.AvgPool(2, 2, "SAME"), IMAGE),
    "LayerNorm": (lambda: hk.LayerNorm(-1, True, True), IMAGE),
    "RMSNorm": (lambda: hk.RMSNorm(-1), IMAGE),
    "GroupNorm": (lambda: hk.GroupNorm(2), IMAGE),
    "InstanceNorm": (lambda: hk.InstanceNorm(True, True), IMAGE),
    "BatchNorm": (lambda: hk.BatchNorm(True, True, 0.9), (IMAGE, True)),
    "SpectralNorm": (lambda: hk.SpectralNorm(), jnp.ones((3, 4))),
    "SNParamsTree": (lambda: hk.SNParamsTree(), {"a": {"w": jnp.ones((3, 4))}}),
    "ExponentialMovingAverage": (lambda: hk.ExponentialMovingAverage(0.9), IMAGE),
    "EMAParamsTree": (lambda: hk.EMAParamsTree(0.9), {"a": {"w": jnp.ones((3, 4))}}),
    "MultiHeadAttention": (
        lambda: hk.MultiHeadAttention(2, 4, w_init=hk.initializers.VarianceScaling()),
        (jnp.ones((2, 3)),) * 3,
    ),
    "VanillaRNN": (lambda: hk.VanillaRNN(4), (jnp.ones((2, 3)), jnp.ones((2, 4)))),
    "LSTM": (
        lambda: hk.LSTM(4),
        (jnp.ones((2, 3)), hk.LSTMState(*[jnp.ones((2, 4))] * 2)),
    ),
    "GRU": (lambda: hk.GRU(4), (jnp.ones((2, 3)), jnp.ones((2, 4)))),
    "IdentityCore": (lambda: hk.IdentityCore(), (jnp.ones((2, 3)), ())),
    "DeepRNN": (lambda: hk.DeepRNN([hk.LSTM(4)]), None),
    "ResetCore": (lambda: hk.ResetCore(hk.LSTM(4)), None),
    "Conv1DLSTM": (lambda: hk.Conv1DLSTM((5,), 4, 3), None),
    "Conv2DLSTM": (lambda: hk.Conv2DLSTM((5, 5), 4, 3), None),
    "Conv3DLSTM": (lambda: hk.Conv3DLSTM((5, 5, 5), 4, 3), None),
    "nets.MLP": (lambda: hk.nets.MLP([4, 3]), jnp.ones((2, 4))),
    "nets.ResNet18": (lambda: hk.nets.ResNet18(10), None),
    "nets.MobileNetV1": (lambda: hk.nets.MobileNetV1(), None),
    "nets.VectorQuantizer": (lambda: hk.nets.VectorQuantizer(4, 6, 0.2), None),
    "nets.VectorQuantizerEMA": (
        lambda: hk.nets.VectorQuantizerEMA(4, 6, 0.2, 0.9),
        None,
    ),
}
# The lists show other values, such as functions, only by the name of their type.
PLAIN = (int, float, bool, str, tuple, type(None), slice)


def test_every_listed_layer_is_built():
    assert set(BUILT) == set(ATTRIBUTES)


@pytest.mark.parametrize("kind", ATTRIBUTES)
def test_a_layer_has_the_listed_attributes(kind):
    listed = ATTRIBUTES[kind]
    build, args = BUILT[kind]

    def f():
        module = build()
        _assert_attributes(module, listed["built"])
        if args is not None:
            module(*args) if isinstance(args, tuple) else module(args)
            _assert_attributes(module, listed["after a call"])
        for name in listed["properties"]:
            assert isinstance(inspect.getattr_static(type(module), name), property), (
                name
            )

    jax.eval_shape(hk.transform_with_state(f).init, jax.random.PRNGKey(0))


def _assert_attributes(module, listed):
    for name, shown in listed.items():
        value = getattr(module, name)
        if type(value) in PLAIN and shown != "tuple":
            assert repr(value) == shown, name
        if shown.startswith("'") or shown in ("True", "False", "None"):
            assert repr(value) == shown, name


OURS = [
    *("haiku.adapt", "haiku.generation", "haiku.interop", "haiku.pretrained"),
    *("haiku.surgery", "haiku.views"),
]
PUBLIC = sorted({*API, *OURS, "haiku.interop.flax"} - {"haiku.interop"})


@pytest.mark.parametrize("name", PUBLIC)
def test_completion_shows_only_public_names(name):
    module = importlib.import_module(name)
    shown = dir(module)
    assert set(API.get(name, ())) <= set(shown)
    assert not [x for x in shown if x.startswith("_")]
    for value in (getattr(module, x) for x in shown):
        where = value.__name__ if inspect.ismodule(value) else None
        where = where or getattr(value, "__module__", "haiku")
        ours = where.startswith("haiku.") or where == "haiku"
        alias = not inspect.isclass(value) and where in ("builtins", "collections.abc")
        assert ours or alias or value is jax.Array, (value, where)


@pytest.mark.parametrize("module", [*API, *OURS])
def test_every_public_module_lists_its_names(module):
    module = importlib.import_module(module)
    missing = [name for name in module.__all__ if not hasattr(module, name)]
    assert missing == []
    listed = {name for name in API.get(module.__name__, {}) if "." not in name}
    assert listed - set(module.__all__) == set()
