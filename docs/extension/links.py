"""Follows every link inside the built site, and every page that an error message names.

    python docs/extension/links.py build/docs

In the code a message names `docs/start/naming.md`, or its class has a line
`page = "start/naming"`. (The others end with `help("haiku.Linear")`;
tests/haiku/core/test_explained.py looks whether `help` knows the name.)
"""

import html.parser
import pathlib
import re
import sys
import urllib.parse

SOURCE = pathlib.Path(__file__).parent.parent.parent / "src"
_PAGE = re.compile(r"\bdocs/((?:[a-z_]+/)*[a-z_]+)\.md\b|\bpage = \"([a-z_/]+)\"")
_OUTSIDE = "http:", "https:", "mailto:", "data:", "javascript:"


class _Page(html.parser.HTMLParser):
    """The places that a page has, and the links that it holds."""

    def __init__(self, path):
        super().__init__()
        self.path, self.places, self.links = path, {""}, []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id":
                self.places.add(value)
            elif name in ("href", "src") and value and not value.startswith(_OUTSIDE):
                self.links.append(urllib.parse.unquote(value))


def messages():
    """Pairs (file, page) of the pages that messages in the code name."""
    for file in sorted(SOURCE.rglob("*.py")):
        for match in _PAGE.finditer(file.read_text(encoding="utf-8")):
            yield file, match[1] or match[2]


def main():
    site = pathlib.Path(sys.argv[1]).resolve()
    pages = {path: _Page(path) for path in site.rglob("*.html")}
    wrong, count = [], 0

    def follow(origin, folder, link):
        path, _, place = link.partition("#")
        target = (folder / path.partition("?")[0]).resolve() if path else origin
        if target.is_dir():
            target /= "index.html"
        if target not in pages:
            found = target.exists() and not place
        else:
            found = place in pages[target].places
        if not found:
            wrong.append(f"{origin}: {link} leads nowhere")

    for path, page in pages.items():
        for link in page.links:
            if "_modules" in path.parts:  # Its way back knows one name of each module.
                link = link.partition("#")[0] or "#"
            follow(path, path.parent, link)
            count += 1
    named = list(messages())
    for file, page in named:
        follow(file, site, f"{page}.html")
    print(*sorted(set(wrong)), sep="\n")
    print(f"{count} links on {len(pages)} pages, {len(named)} pages that errors name")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
