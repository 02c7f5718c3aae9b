"""Shows the computation of a function by module, as text and as a web page."""

from haiku.views.model_info import (
    Expression,
    Module,
    format_module,
    make_model_info,
)
from haiku.views.model_info_page import as_html, as_html_page
from haiku.views.page import SCRIPT, STYLE

__all__ = [
    "Expression",
    "Module",
    "as_html",
    "as_html_page",
    "css",
    "format_module",
    "js",
    "make_model_info",
]


def __dir__() -> list[str]:
    return __all__


def css() -> str:
    """The style sheet of `as_html`'s elements, for a `<style>` element.

    Example:
      >>> info = hk.experimental.jaxpr_info
      >>> page = f"<style>{info.css()}</style>"
      >>> ".hk-group" in page  # the class of a module's element
      True
    """
    return STYLE


def js() -> str:
    """The script of `as_html_page`, for a `<script>` element at the page's end.

    Example:
      >>> info = hk.experimental.jaxpr_info
      >>> page = f"<script>{info.js()}</script>"
      >>> "hk-open" in page  # the button that unfolds all
      True
    """
    return SCRIPT
