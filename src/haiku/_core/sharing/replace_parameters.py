"""replace_parameters: tied parameters, hypernetworks, weight norm, all by path."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from haiku._core.blueprints.blueprint import Blueprint
from haiku._core.modules.module import Module
from haiku._core.runs.frame import Frame, current_frame, frames
from haiku._core.sharing.replacement_block import ReplacementBlock, blocks
from haiku._core.variables import hooks
from haiku._core.variables.hooks import GetterContext
from haiku._core.variables.parameters import DO_NOT_STORE
from haiku._text import array_text
from haiku._trees.patterns import Pattern, nearest

_WHAT = "hk.replace_parameters"


class _Tie(NamedTuple):
    """Another parameter to use.

    Attributes:
      source: Its path, with the wildcards of the path that it replaces.
      function: Applied to it before the module gets it, or None.
    """

    source: Pattern
    function: Callable[[Any], Any] | None


class _Use(NamedTuple):
    """The parameter or array that a path stands for.

    Attributes:
      source: The path of the stored parameter.
      array: The array in its place, or None.
      functions: Functions to apply to it, in order.
    """

    source: str
    array: Any
    functions: list[Callable[[Any], Any]]


@contextlib.contextmanager
def replace_parameters(
    replacements: Mapping[str, Any], *, inside: Module | Blueprint[Any] | None = None
) -> Iterator[None]:
    """Gives modules other parameters than their own while a `with` block runs.

    Args:
      replacements: By the path of the parameter to replace, one of

        - an array of the shape that the module needs; its own parameter isn't stored;
        - a function of the parameter, which is stored as it would be without: the
          module gets what the function returns;
        - the path of another parameter: both modules use that one, and its gradient is
          the sum over all uses. It is made if it doesn't exist yet;
        - a pair of such a path and a function of that parameter, `jnp.transpose` for
          instance. It must exist by then.

        Paths count from the module around the block, `linear/w`, or from the root,
        `/net/linear/w`. In a path to replace, `*` is any text without a slash, `**` any
        number of parts and `{name}` a text with a name; in the other path they stand
        for what they found: `{"decoder/**": "encoder/**"}`. Of several paths that find
        a parameter the first counts; of several blocks the innermost. State is never
        replaced.
      inside: The module, or its blueprint, from which paths count instead: `{"w": w}`
        is its own `w`.

    Yields:
      None.

    Raises:
      ValueError: No transformed function is running; a replacement has another shape
        than the module needs; another parameter doesn't exist and can't be made;
        parameters replace each other in a circle; or the block ended without an error
        and used no parameter of one of the paths.
      TypeError: `replacements` isn't a mapping, or one of them is none of the above.

    Example:
      >>> def f(tokens):  # The output layer of a language model is its embedding.
      ...     x = hk.Embed(100, 8)(tokens)
      ...     tied = {"logits/w": ("embed/embeddings", jnp.transpose)}
      ...     with hk.replace_parameters(tied):
      ...         return hk.Linear(100, name="logits")(x)
      >>> params = hk.transform(f).init(jax.random.key(0), jnp.zeros([5], jnp.int32))
      >>> jax.tree.map(jnp.shape, params)
      {'embed': {'embeddings': (100, 8)}, 'logits': {'b': (100,)}}
    """
    if not isinstance(replacements, Mapping):
        raise TypeError(
            f"{_WHAT} takes a mapping from paths, such as {{'logits/w': w}}, got "
            f"{type(replacements).__name__}: {replacements!r}."
        )
    if not replacements:
        raise ValueError(f"{_WHAT} takes at least one path, such as {{'logits/w': w}}.")
    if isinstance(inside, Blueprint):
        inside = inside.build()
    frame = current_frame(_WHAT)
    checked = {
        path: _checked(frame, path, value, inside)
        for path, value in replacements.items()
    }
    with _Replacements(ReplacementBlock(_WHAT, checked, inside)).hooks():
        yield


class _Replacements:
    """The hooks of one block, and the block's surroundings.

    Args:
      block: The block.
    """

    def __init__(self, block: ReplacementBlock):
        self.block = block
        # The other parameter is read as it is around the block.
        self.getters, self.blocks = hooks.param_getters.get(), blocks.get()

    def hooks(self) -> contextlib.AbstractContextManager[None]:
        """Replaces parameters while the block runs."""
        return self.block.replacing(self.creator, self.getter)

    def is_replaced_around(self, path: str) -> bool:
        """Whether a block around this one replaces a parameter."""
        return any(block.match(path) for block in self.blocks)

    def creator(self, next_creator, shape, dtype, init, context: GetterContext):
        """Makes a parameter, or that in its place, or nothing."""
        path = self.block.see(context)
        use = _resolve(self.block, path)
        if use.array is not None:
            return DO_NOT_STORE
        if use.source == path:
            return next_creator(shape, dtype, init)
        frame = current_frame(_WHAT)
        inner = use.source.removeprefix(frame.full_path(""))
        is_of_this_run = use.source == frame.full_path(inner)
        exists = _stored(use.source) is not DO_NOT_STORE
        exists |= self.is_replaced_around(use.source)
        if frame.initialising and is_of_this_run and not exists and not use.functions:
            value = next_creator(shape, dtype, init)
            if value is not DO_NOT_STORE:
                _store(frame, inner, value)
        return DO_NOT_STORE

    def getter(self, next_getter, value, context: GetterContext):
        """Reads what stands in a parameter's place."""
        path = self.block.see(context)
        use = _resolve(self.block, path)
        if use.array is None and use.source == path and not use.functions:
            return next_getter(value)
        if use.array is not None:
            value = use.array
        elif use.source != path:
            value = self.source(path, use, context)
        stored = value
        for function in use.functions:
            value = function(value)
        _check_shape(path, use, stored, value, context)
        return next_getter(value)

    def source(self, path: str, use: _Use, context: GetterContext) -> Any:
        """Another parameter, as it is read around the block."""
        value = _stored(use.source)
        if value is not DO_NOT_STORE or self.is_replaced_around(use.source):
            of_source = context._replace(full_name=use.source)
            value = hooks.run_chain(self.getters, lambda v: v, (value,), of_source)
        if value is DO_NOT_STORE:
            raise ValueError(_missing(path, use))
        return value


def _checked(frame: Frame, path: str, value: Any, inside: Any) -> Any:
    """A replacement as the block keeps it: an array, a function, or a tie."""
    to_replace = frame.full_pattern(path, inside)
    if isinstance(value, str):
        value = value, None
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        source, function = value
        if function is None or callable(function):
            tie = _Tie(frame.full_pattern(source, inside), function)
            tie.source.check_fills(to_replace)
            return tie
    if callable(value) or isinstance(value, jax.Array):
        return value
    if not isinstance(value, (np.ndarray, np.generic, bool, int, float, complex)):
        raise TypeError(
            f"{_WHAT}: the replacement for {path!r} is {type(value).__name__}. It must "
            "be an array, a function of the parameter, the path of another parameter, "
            "or a pair of a path and a function."
        )
    return jnp.asarray(value)


def _resolve(block: ReplacementBlock, path: str) -> _Use:
    """Follows the replacements of a block from a path to what is stored."""
    visited = [path]
    functions: list[Callable[[Any], Any]] = []
    while (hit := block.match(visited[-1])) is not None:
        if not isinstance(hit.value, _Tie):
            if not callable(hit.value):
                return _Use(visited[-1], hit.value, functions)
            functions.insert(0, hit.value)
            break
        source = hit.value.source.filled(hit.found)
        if source == visited[-1]:  # Found by its own pattern, `**/w` for instance.
            break
        if source in visited:
            raise ValueError(
                f"{_WHAT}: parameters replace each other in a circle: "
                f"{' -> '.join([*visited, source])}. One of them has to be stored."
            )
        if hit.value.function is not None:
            functions.insert(0, hit.value.function)
        visited.append(source)
    return _Use(visited[-1], None, functions)


def _stored(path: str) -> Any:
    """The parameter at a full path, in the innermost run that has it."""
    for frame in reversed(frames.get()):
        start = frame.full_path("")
        if path.startswith(start):
            module, _, name = path.removeprefix(start).rpartition("/")
            value = frame.params.get(module, {}).get(name)
            if value is not None:
                frame.usage.touched.add((module, name))
                return value
    return DO_NOT_STORE


def _store(frame: Frame, path: str, value: Any) -> None:
    module, _, name = path.rpartition("/")
    frame.watch.note_value("parameter", module, name, value)
    frame.params.setdefault(module, {})[name] = value


def _missing(path: str, use: _Use) -> str:
    known = [
        frame.full_path(f"{module}/{name}")
        for frame in frames.get()
        for module, named in frame.params.items()
        for name in named
    ]
    near = nearest(use.source, known)
    have = f"The nearest that exist are {near}. " if near else "None exists so far. "
    if current_frame(_WHAT).initialising and use.functions:
        have += (
            "With a function the parameter can't be made in the shape that this module "
            "needs: call the module that owns it first."
        )
    else:
        have += "Pass the params that `init` of this function returned."
    return f"{_WHAT}: {path} is replaced by {use.source}, which doesn't exist. {have}"


def _check_shape(path, use: _Use, stored, value, context: GetterContext) -> None:
    wanted = tuple(context.original_shape)
    shape = getattr(value, "shape", None)
    if shape == wanted:
        return
    have = array_text(stored) if hasattr(stored, "shape") else repr(stored)
    if value is not stored:
        text = array_text(value) if hasattr(value, "shape") else repr(value)
        have += f", of which the function makes {text}"
    by = "" if use.source == path else f"{use.source}, "
    hint = ""
    if shape is not None and shape[::-1] == wanted:
        hint = " Transposed it would fit"
        hint += f": `({use.source!r}, jnp.transpose)`." if by else "."
    elif shape is not None and shape[1:] == wanted:
        hint = " For a batch of parameters call the module in `hk.vmap`."
    raise ValueError(
        f"{_WHAT}: {path} is replaced by {by}{have}, and the module needs the shape "
        f"{list(wanted)}.{hint}"
    )
