"""Follows every link inside the built site, and every page that an error message names.

    python docs/extension/links.py build/docs

In the code a message ends with `docs: start/naming`, a page of this site, or with
`docs: haiku.Linear`, a name of the reference.
"""

import html.parser
import pathlib
import re
import sys
import urllib.parse

SOURCE = pathlib.Path(__file__).parent.parent.parent / "src"
_TOLD = re.compile(r"(?:\bdocs: |\bpage = \")((?:[a-z_]+/)+[a-z_]+(?:#[\w-]+)?)")
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
        for found in _TOLD.findall(file.read_text(encoding="utf-8")):
            yield file, found


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
    told = list(messages())
    for file, name in told:
        page, hash_, place = name.partition("#")
        follow(file, site, f"{page}.html{hash_}{place}")
    print(*sorted(set(wrong)), sep="\n")
    print(f"{count} links on {len(pages)} pages, {len(told)} pages that errors name")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
