"""Sphinx extension: what is shown of a link to a page in a chat, and in a list of search results.

A page's title, its first sentence and a picture, in OpenGraph's words (ogp.me), as the template
``shared_link.html`` writes them. The package sphinxext-opengraph takes a page's first 200
characters, which here say what a chapter mirrors, and needs the site's address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes

PICTURE = "_static/preview.jpg"  # made by book/draw_preview.py
FEWEST_CHARACTERS, MOST_CHARACTERS = 60, 200
SENTENCE = re.compile(r".+?[.?!](?=\s|$)")


def setup(app: Any) -> dict[str, bool]:
    """Describe each page, and what stands at the site's own address."""
    app.connect("html-page-context", _describe)
    app.connect("html-collect-pages", _front)
    return {"parallel_read_safe": True}


def _describe(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    root = app.config.root_doc
    context["is_front"] = page in ("index", root)
    described = doctree if doctree is not None else app.env.get_doctree(root)
    context["description"] = first_sentence(described)
    context["picture"] = f"{app.config.html_baseurl.rstrip('/')}/{PICTURE}"


def _front(app: Any) -> Iterator[tuple[str, dict[str, Any], str]]:
    if app.config.root_doc != "index":
        yield "index", {}, "front.html"


def first_sentence(page: nodes.document) -> str:
    """The first sentence of a page's running text, or as many as say something.

    What is emphasized as a whole (which section a chapter mirrors), notes and captions are none.
    """
    for paragraph in page.findall(nodes.paragraph):
        is_running = isinstance(paragraph.parent, nodes.document | nodes.section)
        whole = [child for child in paragraph.children if child.astext().strip()]
        if is_running and not all(isinstance(child, nodes.emphasis) for child in whole):
            return _beginning(" ".join(paragraph.astext().split()))
    return ""


def _beginning(text: str) -> str:
    """Whole sentences, cut at a word if even the first is long."""
    beginning = ""
    for sentence in SENTENCE.findall(text) or [text]:
        beginning += sentence
        if len(beginning) >= FEWEST_CHARACTERS:
            break
    beginning = beginning.strip()
    if len(beginning) <= MOST_CHARACTERS:
        return beginning
    return f"{beginning[:MOST_CHARACTERS].rpartition(' ')[0]} …"
