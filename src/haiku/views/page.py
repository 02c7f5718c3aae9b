"""A web page that stands alone: it loads nothing."""

import html

__all__ = ["document"]


def document(title: str, style: str, body: str, script: str) -> str:
    """A web page that loads nothing.

    Args:
      title: Its title, as text.
      style: Its style sheet.
      body: Its content, HTML.
      script: What runs at its end.

    Returns:
      HTML.
    """
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n"
        f"<style>\n{style}</style>\n</head>\n<body>\n"
        f"{body}<script>\n{script}</script>\n</body>\n</html>\n"
    )
