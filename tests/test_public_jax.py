"""The source leans on nothing of JAX that a release may take away."""

import ast
import importlib
import inspect
import pathlib
import warnings

import pytest

SRC = pathlib.Path(__file__).parent.parent / "src"
FILES = sorted(SRC.rglob("*.py"))
PRIVATE = ("jax._src", "jax.interpreters", "jaxlib", "jax.lib")
# Where nothing in `jax` itself does the job: what, why, and what happens without it.
EXCEPTIONS = {
    ("haiku/_core/leaks/watch.py", "jax.extend.core"): (
        "get_opaque_trace_state: jax.extend is public and versioned, but apart from "
        "`jax`. It tells which transformation a value was made in; nothing else does."
    ),
}

# Where the source goes by words inside JAX, which no import shows: which, why, and what
# happens when they are gone.
WORDS = {
    "haiku/_lifted/vmap.py": (
        "`out_axes` in the message of vmap's error about outputs that differ between "
        "examples: then a message of ours says which state that is, and what to write. "
        "Without the word JAX's own message stands."
    ),
    "haiku/views/jaxprs.py": (
        "names of primitives and of their parameters: jaxprs are public, and have no "
        "other way to say which equation holds a program. One with another name is "
        "shown as a single operation."
    ),
    "haiku/views/costs.py": (
        "names of primitives: which multiply, and which move data. One with another "
        "name counts as elementwise."
    ),
    "haiku/views/graph.py": (
        "names of primitives, as titles; a `jit` of one operation is drawn without a "
        "box. With another name it has one."
    ),
    "haiku/views/model_info.py": "names of primitives, as users see them in jaxprs.",
}


def _goes_by_words(tree):
    """Whether a file asks what something inside JAX is called, or what JAX says."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (
            node.attr in ("co_name", "co_qualname")
            or ast.unparse(node).endswith("eqn.primitive")
        ):
            return True
        if isinstance(node, ast.Compare):
            for part in (node.left, *node.comparators):
                text = ast.unparse(part)
                if text == "str(error)" or (
                    text.startswith("type(") and text.endswith(".__name__")
                ):
                    return True
    return False


def test_words_inside_jax_are_listed():
    found = {
        str(file.relative_to(SRC))
        for file in FILES
        if _goes_by_words(ast.parse(file.read_text()))
    }
    assert found == set(WORDS)


def test_words_are_seen():
    for source in (
        "frame.f_code.co_name in names",
        "type(x).__name__ == 'BatchTracer'",
        "'out_axes' in str(error)",
        "eqn.primitive.name",
    ):
        assert _goes_by_words(ast.parse(source))
    assert not _goes_by_words(ast.parse("raise TypeError(type(x).__name__)"))


def _jax_paths(tree):
    """Every dotted path into jax that a file imports or reads."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
                yield alias.name
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        path, inner = [], node
        while isinstance(inner, ast.Attribute):
            path.append(inner.attr)
            inner = inner.value
        if path and isinstance(inner, ast.Name) and inner.id in names:
            yield ".".join([names[inner.id], *reversed(path)])


def _resolve(path):
    """What a dotted path stands for, reading each attribute as the source does."""
    parts = path.split(".")
    value = importlib.import_module(parts[0])
    for i, part in enumerate(parts[1:], 2):
        if inspect.ismodule(value) and not hasattr(value, part):
            value = importlib.import_module(".".join(parts[:i]))
        else:
            value = getattr(value, part)
    return value


@pytest.mark.parametrize("file", FILES, ids=[str(f.relative_to(SRC)) for f in FILES])
def test_only_public_names_of_jax(file):
    relative = str(file.relative_to(SRC))
    for path in set(_jax_paths(ast.parse(file.read_text()))):
        if path.split(".")[0] not in ("jax", "jaxlib"):
            continue
        assert not path.startswith(PRIVATE), f"{relative} uses {path}"
        assert not any(part.startswith("_") for part in path.split(".")), path
        if path.startswith("jax.extend"):
            reason = EXCEPTIONS.get((relative, ".".join(path.split(".")[:3])))
            assert reason, f"{relative} uses {path}: list it with its reason"
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # What JAX calls deprecated warns when read.
            _resolve(path)


def test_every_exception_is_still_needed():
    for relative, module in EXCEPTIONS:
        paths = list(_jax_paths(ast.parse((SRC / relative).read_text())))
        assert any(path.startswith(module) for path in paths), (relative, module)


def test_the_reader_sees_what_it_should():
    source = (
        "import jax\nimport jax.numpy as jnp\nfrom jax._src import core\n"
        "from jax import lax as l\njax.core.Trace\njnp.dot(l.scan)\n"
    )
    assert {"jax._src.core", "jax.core.Trace", "jax.numpy.dot", "jax.lax.scan"} <= set(
        _jax_paths(ast.parse(source))
    )
