"""Masks and labels for optax: which parameters train, and how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax

from haiku._trees.places import (
    Place,
    Tree,
    find_places,
    rules_of,
    values_of,
)

__all__ = ["kinds", "labels", "mask"]

_HEADS = ("head", "logits")
_KINDS = {
    **dict.fromkeys(("embeddings", "class_token", "mask_token"), "embedding"),
    **dict.fromkeys(("registers",), "embedding"),
    **dict.fromkeys(("scale", "offset"), "norm"),
    **dict.fromkeys(("b", "bias"), "bias"),
    **dict.fromkeys(("a_log", "d", "decay", "sinks"), "other"),
    **dict.fromkeys(("lora_magnitude", "logit_scale"), "other"),
}
_ENDS = {"_b": "bias", "_bias": "bias", "_scale": "other", "_magnitude": "other"}


def mask(params: Tree, *patterns: str) -> Any:
    """A mask of a tree: True for each parameter that a pattern finds.

    For `optax.masked(optimizer, mask)`, for instance to decay matrices alone. Where the
    mask is False, `optax.masked` returns the gradient unchanged: to freeze parameters
    use `labels`, or `split` and differentiate one part.

    Args:
      params: `{module: {name: value}}`.
      *patterns: Patterns of paths.

    Returns:
      A tree with the structure of `params`, and a bool for each leaf.

    Raises:
      ValueError: A pattern finds nothing.

    Example:
      >>> hk.surgery.mask({"a": {"w": 1.0, "b": 2.0}}, "**/w")
      {'a': {'b': False, 'w': True}}
    """
    found = find_places("hk.surgery.mask", patterns, values_of(params))
    return _like(params, lambda place: place in found)


def labels(params: Tree, by_pattern: Mapping[str, Any], default: Any = None) -> Any:
    """A label for each parameter, for `optax.multi_transform`.

    Args:
      params: `{module: {name: value}}`.
      by_pattern: Labels by pattern. Of several patterns that find a path the first
        counts.
      default: The label of all other parameters. Without one, patterns must find every
        parameter.

    Returns:
      A tree with the structure of `params`, and a label for each leaf.

    Raises:
      ValueError: A pattern finds nothing; or no pattern finds a parameter, and there is
        no `default`.
      TypeError: `by_pattern` isn't a mapping.

    Example:
      >>> params = {"encoder": {"w": 1.0}, "head": {"w": 2.0}}
      >>> hk.surgery.labels(params, {"encoder/**": "frozen"}, default="trained")
      {'encoder': {'w': 'frozen'}, 'head': {'w': 'trained'}}
    """
    rules = rules_of("hk.surgery.labels", by_pattern, "{'encoder/**': 'frozen'}")
    values = values_of(params)
    found = find_places("hk.surgery.labels", rules, values)
    left = [place.path for place in values if place not in found]
    if left and default is None:
        raise ValueError(
            f"hk.surgery.labels has no label for {', '.join(left[:4])}"
            f"{', ...' if left[4:] else ''}: pass a `default`, or a pattern for them."
        )
    return _like(params, lambda p: found[p].value if p in found else default)


def kinds(params: Tree) -> Any:
    """Labels parameters by what they are: matrices, norms, heads, biases.

    ============= =================================================================
    `"matrix"`    weights ``[..., in, out]``, kernels, matrices of experts and LoRA
    `"embedding"` embeddings, learned positions, tokens that a net adds
    `"norm"`      scales and offsets
    `"head"`      the weight of a module called `head` or `logits`
    `"bias"`      biases
    `"other"`     other vectors
    ============= =================================================================

    Names tell, so that a stack's vectors, with an axis of layers, aren't matrices; of a
    name that Haiku's layers don't have, the number of axes tells.

    Args:
      params: `{module: {name: value}}`.

    Returns:
      A tree with the structure of `params`, and one of these texts for each leaf, as
      labels for `optax.multi_transform`. A mask for weight decay is
      `jax.tree.map(lambda kind: kind == "matrix", kinds)`.

    Example:
      >>> model = hk.bind(hk.nets.MLP, [8, 3]).init(0, jnp.ones([1, 4]))
      >>> hk.surgery.kinds(model.params)["mlp/~/linear_0"]
      {'b': 'bias', 'w': 'matrix'}
    """
    values = values_of(params)
    return _like(params, lambda place: _kind(place, values[place]))


def _kind(place: Place, value: Any) -> str:
    name = place.name
    ends = [kind for end, kind in _ENDS.items() if name.endswith(end)]
    kind = _KINDS.get(name) or next(iter(ends), None)
    if kind is None:
        kind = "matrix" if len(getattr(value, "shape", ())) > 1 else "other"
    is_head = place.module.rpartition("/")[2] in _HEADS
    return "head" if is_head and name == "w" else kind


def _like(params: Tree, label: Any) -> Any:
    """A tree with exactly the structure of `params`, since optax compares them."""

    def at(path: Any, leaf: Any) -> Any:
        del leaf
        module, name = (key.key for key in path[:2])
        return label(Place(module, name))

    return jax.tree_util.tree_map_with_path(at, params)
