"""The reference's pages: every public name once, written from its docstring.

A page lists names in a block; each becomes autodoc's entry of it.

    ```{names}
    rlax.q_learning
    rlax.IDENTITY_PAIR: the text for a name without a docstring
    haiku.jvp | what a name is for that the references lack | instead of what
    haiku.vjp | "
    ```

`"` means the same as the line above. The last two columns become a row of the table in
`docs/additions.md`.

    python docs/extension/reference.py          # is every name there, with an example?
    python docs/extension/reference.py --write  # and writes that table
"""

import enum
import importlib
import inspect
import pathlib
import re
import sys

import equations

DOCS = pathlib.Path(__file__).parent.parent
PAGES = DOCS / "reference"
ADDITIONS = DOCS / "additions.md"
TABLE = re.compile(
    r"(<!-- table of (\w+) -->\n).*?(?=<!-- end of table -->)", re.DOTALL
)
BLOCK = re.compile(r"^```\{names\}\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PACKAGES = ("haiku", "rlax")
# Names of one thing: the reference library moved them out of `hk.experimental`.
MOVED = ("haiku.experimental.", "haiku.config.", "haiku.typing.", "haiku.interop.")


# ---- What is public ----------------------------------------------------------------


def lines_of_blocks():
    """The lines in all blocks of names, in order."""
    for page in sorted(PAGES.glob("*/*.md")):
        for block in BLOCK.findall(page.read_text(encoding="utf-8")):
            yield from block.splitlines()


def read_line(line):
    """A line of a block: the name, its text, and the cells for the table."""
    head, *cells = line.split(" | ")
    name, _, text = head.partition(": ")
    return name, text, cells


def listed():
    """Pairs of a name and its text, on all pages, in order."""
    for line in lines_of_blocks():
        yield read_line(line)[:2]


def additions(package):
    """The table of names that the reference lacks, in Markdown."""
    rows, cells = [], None
    for line in lines_of_blocks():
        name, _, own = read_line(line)
        if not own or not name.startswith(f"{package}."):
            continue
        name = f"`{name.replace('haiku.', 'hk.', 1)}`"
        if own == ['"']:
            rows[-1] = (f"{rows[-1][0]}, {name}", *cells)
        else:
            cells = own
            rows.append((name, *cells))
    head = [("name", "what for", "instead of"), ("---",) * 3]
    return "".join(f"| {' | '.join(row)} |\n" for row in head + rows)


def with_tables(text):
    """The page of additions with its tables as the blocks say."""
    return TABLE.sub(lambda found: found[1] + additions(found[2]), text)


def value_of(name):
    """What a full name such as `haiku.nets.MLP` stands for."""
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(module), last)


def public_names(module):
    """The full names below a module, of its public modules too."""
    for name in dir(importlib.import_module(module)):
        if name.startswith("_"):
            continue
        full = f"{module}.{name}"
        if inspect.ismodule(value_of(full)):
            yield from public_names(full)
        else:
            yield full


def missing():
    """One line for everything that the pages lack."""
    pages = list(listed())
    names = [name for name, _ in pages]
    values = {id(value_of(name)) for name in names}
    for package in PACKAGES:
        for name in public_names(package):
            elsewhere = name.startswith(MOVED) and id(value_of(name)) in values
            if name not in names and not elsewhere:
                yield f"{name}: on no page"
    for name, text in pages:
        if names.count(name) > 1:
            yield f"{name}: on the pages {names.count(name)} times"
        if not text and not inspect.getdoc(value_of(name)):
            yield f"{name}: no docstring"
        elif not text and ">>>" not in inspect.getdoc(value_of(name)):
            yield f"{name}: no example"
        elif not text and not _has_plain_equations(inspect.getdoc(value_of(name))):
            yield f"{name}: an equation that the pages can't set"
    page = ADDITIONS.read_text(encoding="utf-8")
    if page != with_tables(page):
        yield "docs/additions.md: write it with `docs/extension/reference.py --write`"


def _has_plain_equations(docstring):
    """Whether the equations of a docstring can be written in LaTeX."""
    try:
        equations.written_as_mathematics(docstring.split("\n"))
    except KeyError:
        return False
    return True


# ---- Pages -------------------------------------------------------------------------


def _entry(name, text):
    """A name as a directive of autodoc, in reStructuredText."""
    if text:
        return f".. py:data:: {name}\n\n   {text}\n"
    value = value_of(name)
    if not inspect.isclass(value):
        return f".. autofunction:: {name}\n"
    kind = "exception" if issubclass(value, Exception) else "class"
    shown = "members, special-members" if kind == "class" else ""
    if issubclass(value, enum.Enum):
        shown = "undoc-members"
    options = f"   :{shown.split(',')[0]}:\n" if shown else ""
    if "special" in shown:
        options += "   :special-members: __call__\n"
    return f".. auto{kind}:: {name}\n{options}"


def with_entries(app, docname, source):
    """Replaces the blocks of names on a page."""
    del app, docname

    def written(block):
        entries = (read_line(line)[:2] for line in block[1].splitlines())
        text = "\n".join(_entry(*entry) for entry in entries)
        return f"```{{eval-rst}}\n{text}```"

    source[0] = BLOCK.sub(written, source[0])


# ---- Docstrings --------------------------------------------------------------------

_ARXIV = re.compile(r"\barXiv:? ?(\d{4}\.\d{4,5})", re.IGNORECASE)
_DOI = re.compile(r"\b(?:doi:? ?)(10\.\d{4,}/\S*[^\s.,;)])", re.IGNORECASE)
_CODE = re.compile(r"(``[^`]*``|`[^`]*`)")


def _linked(text):
    """Prose with its papers as links, and no other markup than code."""
    parts = _CODE.split(text)
    for i in range(0, len(parts), 2):
        if i and parts[i][:1].isalpha():  # as in `Array`s: markup must end at a gap
            parts[i] = "\\ " + parts[i]
        plain = re.sub(r"([*|_])(?=\W|$)|(?<=\W)([*|_])", r"\\\1\2", parts[i])
        plain = re.sub(r"^Source: ", "**Source:** ", plain, flags=re.MULTILINE)
        plain = _ARXIV.sub(r"`arXiv \1 <https://arxiv.org/abs/\1>`__", plain)
        parts[i] = _DOI.sub(r"`doi \1 <https://doi.org/\1>`__", plain)
    return "".join(parts)


_VERBATIM = re.compile(
    r"(^\.\. math::\n\n.*?\n\n|^[ ]*>>> .*?(?:\n[ ]*\n|\Z))", re.DOTALL | re.MULTILINE
)


def readable(app, what, name, obj, options, lines):
    """Turns a docstring that is read in a terminal into one for a page."""
    del app, what, name, obj, options
    text = "\n".join(equations.written_as_mathematics(lines)) + "\n"
    parts = _VERBATIM.split(text)
    parts[::2] = map(_linked, parts[::2])
    lines[:] = "".join(parts).split("\n")


def setup(app):
    app.connect("source-read", with_entries)
    app.connect("autodoc-process-docstring", readable, priority=100)
    return {"parallel_read_safe": True}


if __name__ == "__main__":
    if "--write" in sys.argv:
        page = ADDITIONS.read_text(encoding="utf-8")
        ADDITIONS.write_text(with_tables(page), encoding="utf-8")
    lacking = list(missing())
    print(*lacking, sep="\n")
    count = len(list(listed()))
    print(f"{count} public names on the pages, {len(lacking)} things missing")
    sys.exit(bool(lacking))
