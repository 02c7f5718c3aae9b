"""Tied parameters: one is stored, several modules use it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from haiku._core.runs.frame import Frame, current_frame, frames
from haiku._core.sharing.parameter_replacement import Replaced, blocks, full_path
from haiku._core.variables import hooks
from haiku._core.variables.hooks import GetterContext
from haiku._core.variables.parameters import DO_NOT_STORE
from haiku._patterns import Pattern, nearest
from haiku._text import array_text


@contextlib.contextmanager
def tied(
    ties: Mapping[str, str], transform: Callable[[Any], Any] | None = None
) -> Iterator[None]:
    """Ties parameters to others while a `with` block runs: one is stored for all.

    Gradients of all uses are summed, since there is one array. State is not tied.

    Args:
      ties: The path of the parameter to use, by that of the one which it replaces:
        `{"decoder/w": "encoder/w"}`. A path counts from the module around the block,
        or, with `/` before it, from the root. In the replaced path `*` is any text
        without a slash, `**` any number of parts and `{name}` a text with a name, and
        in the other path they stand for the same: `{"decoder/**": "encoder/**"}`.
      transform: What to make of the stored parameter, `jnp.transpose` for instance.

    Yields:
      None.

    Raises:
      ValueError: No transformed function is running; the shapes don't match; the
        parameter to use does not exist, and can't be made of what the other module asks
        for as there is a `transform`; parameters are tied in a circle; or the block
        asked for no parameter of that path.
      TypeError: `ties` is no mapping from paths to paths.

    Example:
      >>> def f(tokens):
      ...     x = hk.Embed(100, 8)(tokens)
      ...     with hk.tied({"logits/w": "embed/embeddings"}, jnp.transpose):
      ...         return hk.Linear(100, name="logits")(x)
      >>> params = hk.transform(f).init(jax.random.key(0), jnp.zeros([5], jnp.int32))
      >>> jax.tree.map(jnp.shape, params)
      {'embed': {'embeddings': (100, 8)}, 'logits': {'b': (100,)}}
    """
    if not isinstance(ties, Mapping):
        raise TypeError(
            "hk.tied takes a mapping from paths to paths, such as {'decoder/w': "
            f"'encoder/w'}}, got {type(ties).__name__}: {ties!r}."
        )
    replaced = Replaced("hk.tied", ties)
    sources = {text: replaced.seen(source) for text, source in ties.items()}
    for text, source in sources.items():
        source.check_fills(replaced.seen(text))
    # The stored parameter is read as it is around the block.
    around, outer = hooks.param_getters.get(), blocks.get()

    def creator(next_creator, shape, dtype, init, context: GetterContext):
        source, steps = _source_of(replaced.note(context), replaced, sources)
        if not steps:
            return next_creator(shape, dtype, init)
        frame = current_frame("hk.tied")
        inner = source.removeprefix(full_path(frame, ""))
        here = source == full_path(frame, inner)
        known = _stored(source) is not DO_NOT_STORE
        known |= any(block.match(source) for block in outer)
        if frame.initialising and here and not known and transform is None:
            value = next_creator(shape, dtype, init)
            if value is not DO_NOT_STORE:
                _store(frame, inner, value)
        return DO_NOT_STORE

    def getter(next_getter, value, context: GetterContext):
        path = replaced.note(context)
        source, steps = _source_of(path, replaced, sources)
        if steps:
            value = _stored(source)
            if value is not DO_NOT_STORE or any(b.match(source) for b in outer):
                asked = context._replace(full_name=source)
                value = hooks.run_chain(around, lambda value: value, (value,), asked)
            if value is DO_NOT_STORE:
                raise ValueError(_no_source(path, source, transform is not None))
            stored = value
            for _ in range(steps if transform else 0):
                value = transform(value)  # type: ignore[misc]
            _check_shape(path, source, stored, value, context)
        return next_getter(value)

    with replaced.held(creator, getter):
        yield


def _source_of(
    path: str, replaced: Replaced, sources: Mapping[str, Pattern]
) -> tuple[str, int]:
    """What a path is tied to, and over how many ties; itself over none."""
    visited = [path]
    while (hit := replaced.match(visited[-1])) is not None:
        text, _, found = hit
        source = sources[text].filled(found)
        if source == visited[-1]:  # Found by its own pattern, `**/w` for instance.
            break
        if source in visited:
            raise ValueError(
                "hk.tied ties parameters in a circle: "
                f"{' -> '.join([*visited, source])}. One of them has to be stored."
            )
        visited.append(source)
    return visited[-1], len(visited) - 1


def _stored(path: str) -> Any:
    """The parameter at a full path, in the innermost frame that has it."""
    for frame in reversed(frames.get()):
        start = full_path(frame, "")
        if path.startswith(start):
            module, _, name = path.removeprefix(start).rpartition("/")
            value = frame.params.get(module, {}).get(name)
            if value is not None:
                frame.touched.add((module, name))
                return value
    return DO_NOT_STORE


def _store(frame: Frame, path: str, value: Any) -> None:
    module, _, name = path.rpartition("/")
    frame.watch.note_value("parameter", module, name, value)
    frame.params.setdefault(module, {})[name] = value


def _no_source(path: str, source: str, transformed: bool) -> str:
    known = [
        full_path(frame, f"{module}/{name}")
        for frame in frames.get()
        for module, named in frame.params.items()
        for name in named
    ]
    near = nearest(source, known)
    have = f"The nearest that exist are {near}. " if near else "There is none so far. "
    if current_frame("hk.tied").initialising and transformed:
        have += (
            "With a transform the stored parameter can't be made of what the tied "
            "module asks for: call the module that owns it first."
        )
    else:
        have += "Pass the params that `init` of this function returned."
    return f"hk.tied: {path} is tied to {source}, which does not exist. {have}"


def _check_shape(path, source, stored, value, context: GetterContext) -> None:
    wanted = tuple(context.original_shape)
    if getattr(value, "shape", None) == wanted:
        return
    have = array_text(stored)
    if value is not stored:
        have += f", transformed {array_text(value)}"
    hint = ""
    if value.shape[::-1] == wanted:
        hint = " Transposed it would fit: `hk.tied(..., jnp.transpose)`."
    raise ValueError(
        f"hk.tied: {path} is tied to {source}, which is {have}, and the module asks "
        f"for the shape {list(wanted)}.{hint}"
    )
