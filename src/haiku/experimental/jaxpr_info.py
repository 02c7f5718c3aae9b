"""What a function computes, module by module, as text and as a web page."""

from haiku.views.model_info import (
    Expression,
    Module,
    format_module,
    make_model_info,
)
from haiku.views.model_info_page import as_html, as_html_page, css, js

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
