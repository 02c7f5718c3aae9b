"""Mathematics without a network: equations become MathML.

A docstring writes its equation as text, to be read in a terminal. `latex` writes the
same in LaTeX; `latex2mathml` makes MathML of that and of a page's own `$formulas$`.
"""

import re

_TOKEN = re.compile(
    r"""(?P<gap>[ ]{2,})
      | (?P<space>[ ])
      | (?P<name>[a-z]-[a-z]{2,} | [A-Za-z]+(?:_[A-Za-z0-9]+)* | [α-ω]\u0302?)
      | (?P<number>\d+(?:\.\d+)?)
      | (?P<sign>\*\*|.)
    """,
    re.VERBOSE,
)
_WITH_INDEX = {"max": r"\max", "min": r"\min", "log": r"\log"} | {
    name: rf"\operatorname{{{name}}}" for name in ("argmax", "argmin", "mean", "Var")
}
_FUNCTIONS = {"exp": r"\exp", "tanh": r"\tanh"} | {
    name: rf"\operatorname{{{name}}}"
    for name in ("softmax", "relu", "clip", "var", "Bernoulli", "Dirichlet", "sg")
}
_SIGNS = {
    "*": r"\cdot ",
    "★": r"^{\ast}",
    "…": r"\dots ",
    "∝": r"\propto ",
    "~": r"\sim ",
    "½": r"\tfrac{1}{2}",
    "²": "^{2}",
    "⁻": "^{-1}",  # of ⁻¹
    "¹": "",
    "{": r"\{",
    "}": r"\}",
    "|": r"\vert ",
    "<": r"\lt ",
    ">": r"\gt ",
}
_CLOSING = {"(": ")", "[": "]"}


def latex(text):
    r"""One line of a docstring's equation in LaTeX.

    >>> latex("G[t] = r[t] + γ[t] v[t+1]")
    'G_{t} = r_{t} + γ_{t}\\,v_{t+1}'
    """
    text = text.replace("...", "…").replace("a* ", "a★ ").replace("`", "")
    return _Tokens([(m.lastgroup, m.group()) for m in _TOKEN.finditer(text)]).latex()


class _Tokens:
    """The pairs (kind, text) of an equation, read from left to right."""

    def __init__(self, tokens):
        self.tokens = tokens
        self.place = 0

    def latex(self):
        out = []
        while self.place < len(self.tokens):
            kind, text = self.tokens[self.place]
            self.place += 1
            if kind == "gap":
                out.append(r"\quad ")
            elif kind == "space":
                out.append(self.between())
            elif text in ("√", "sqrt"):
                out.append(rf"\sqrt{{{self.bracket()}}}")
            elif text in ("^", "**"):
                self.place += self.text() == " "
                out.append(
                    f"^{{{self.bracket() if self.text() == '(' else self.one()}}}"
                )
            elif text == "Σ":
                out.append(r"\sum")
                if self.text() == "_":
                    self.place += 1
                    out.append(f"_{{{self.one()}}}")
            elif kind == "name" and _is_letter(text) and self.is_index():
                out.append(f"{_named(text)}_{{{self.bracket()}}}")
            else:
                out.append(_named(text) if kind == "name" else _SIGNS.get(text, text))
        return "".join(out)

    def text(self, ahead=0):
        place = self.place + ahead
        return self.tokens[place][1] if 0 <= place < len(self.tokens) else ""

    def one(self):
        self.place += 1
        return _Tokens(self.tokens[self.place - 1 : self.place]).latex()

    def end(self):
        """Where the bracket closes that opens here."""
        opening, depth = self.text(), 0
        for place in range(self.place, len(self.tokens)):
            depth += {opening: 1, _CLOSING[opening]: -1}.get(self.tokens[place][1], 0)
            if depth == 0:
                return place
        raise ValueError(f"{opening} is not closed in {self.tokens}")

    def bracket(self):
        """What stands in the brackets that open here."""
        start, end = self.place + 1, self.end()
        self.place = end + 1
        return _Tokens(self.tokens[start:end]).latex()

    def is_index(self):
        """Whether brackets open here that are better written as an index."""
        return self.text() == "[" and not any(
            text in "[:" for _, text in self.tokens[self.place + 1 : self.end()]
        )

    def between(self):
        """A gap: wide beside words, narrow between factors."""
        before, after = self.text(-2), self.text()
        if _is_word(before) or _is_word(after):
            return r"\ "
        opens = after[:1].isalnum() or after[:1] in "(Σ√½…"
        closes = before[-1:].isalnum() or before[-1:] in ")]}²|\u0302"
        return r"\," if opens and closes else " "


def _is_letter(text):
    return len(text.rstrip("\u0302")) == 1


def _is_word(text):
    known = text in _WITH_INDEX or text in _FUNCTIONS or text == "sqrt"
    return len(text) > 1 and text.isalpha() and text.isascii() and not known


def _words(text):
    return rf"\text{{{text}}}"


def _named(text):
    """A name, with what follows its first `_` as an index where that is short."""
    head, _, index = text.partition("_")
    if text in _FUNCTIONS:
        return _FUNCTIONS[text]
    if head in _WITH_INDEX and not text.startswith(("max_s", "min_s")):
        written = _WITH_INDEX[head]
    elif head.endswith("\u0302"):
        written = rf"\hat{{{head[0]}}}"
    elif len(head) == 1:
        written = head
    elif len(index) == 1:
        written = _words(head)
    else:
        return _words(text)
    index = _words(index) if len(index) > 1 else index
    return written + (index and f"_{{{index}}}")


# ---- Docstrings -------------------------------------------------------------------

_SECTION = re.compile(r"(Args|Returns|Attributes|Raises|Examples?|Yields):$")


def written_as_mathematics(lines):
    """A docstring's lines with the equations before its first section as directives."""
    out, paragraph = [], []
    for i, line in enumerate([*lines, ""]):
        if _SECTION.match(line):
            return out + paragraph + lines[i:]
        if line.strip():
            paragraph.append(line)
            continue
        indented = all(text.startswith("    ") for text in paragraph)
        if paragraph and indented and not any(">>>" in text for text in paragraph):
            for text in paragraph:
                out += [".. math::", "", "   " + latex(text.strip()), ""]
        else:
            out += [*paragraph, line]
        paragraph = []
    return out


# ---- MathML -----------------------------------------------------------------------


def _renderer(display, before="", after=""):
    def visit(translator, node):
        from docutils import nodes
        from latex2mathml.converter import convert

        formula = convert(node.astext(), display=display)
        translator.body.append(f"{before}{formula}{after}")
        raise nodes.SkipNode

    return visit, None


def setup(app):
    """Sphinx calls this."""
    block = _renderer("block", '<div class="math">', "</div>")
    app.add_html_math_renderer("mathml", _renderer("inline"), block)
    return {"parallel_read_safe": True}
