"""Bring the pages of the repository's root into the site, and make links to files outside the documentation work.

The root's pages are copied into the folder of the documentation at each build, and git ignores the copies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parent.parent
OUTSIDE = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+[^)#\s]+)(?:#([\w-]+))?\)")


def root_page(name: str) -> str:
    """Return a page of the repository's root, with links that work in the documentation."""
    text = (DOCS.parent / name).read_text(encoding="utf-8")
    for target, page in ROOT_PAGES.items():
        text = text.replace(f"]({target})", f"]({page}.md)")
    return text.replace("](docs/", "](").replace("](tests/", "](../tests/")


ROOT_PAGES: Mapping[str, str] = {
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "SECURITY.md": "security",
}


def write(_app: Sphinx) -> None:
    """Copy the pages whose text changed."""
    for name, page in ROOT_PAGES.items():
        file, text = DOCS / f"{page}.md", root_page(name)
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


def replace_outside_links(_app: Sphinx, page: str, content: list[str]) -> None:
    """Replace links to files outside the documentation: to the root's pages by their copies, to others by their paths.

    A link to a test becomes a small "test" behind the text, which shows the test's name as pytest takes it.
    """
    here = (DOCS / page).parent

    def named(link: re.Match[str]) -> str:
        target = (here / link[2]).resolve()
        if not target.exists():
            raise FileNotFoundError(f"{page} links to {link[2]}, which does not exist.")
        if target.is_relative_to(DOCS):
            return link[0]
        if target.parent == DOCS.parent and target.name in ROOT_PAGES:
            return f"[{link[1]}](/{ROOT_PAGES[target.name]}.md{f'#{link[3]}' if link[3] else ''})"
        path = f"{target.relative_to(DOCS.parent)}{f'::{link[3]}' if link[3] else ''}"
        if link[1].strip("`") in {path, target.name, link[2]}:
            return f"`{path}`"
        if path.startswith("tests/"):
            return f'{link[1]}<sup title="{path}">test</sup>'
        return f"{link[1]} (`{path}`)"

    content[0] = OUTSIDE.sub(named, content[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect both functions to the build."""
    app.connect("builder-inited", write)
    app.connect("source-read", replace_outside_links)
    return {"parallel_read_safe": True}
