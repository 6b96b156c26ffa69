"""What a browser's tab, a chat and a search engine show of a page of the book."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
from built_pages import BUILT_BOOK as BOOK
from docutils.core import publish_doctree
from PIL import Image
from shared_links import first_sentence
from sphinx.application import Sphinx

PROJECT = Path(__file__).parents[2]
PAGES = [*sorted(BOOK.glob("book/**/*.html")), *sorted(BOOK.glob("*.html"))]
PREVIEW = PROJECT / "book" / "_static" / "preview.jpg"


def tags(html: str) -> dict[str, str]:
    found = re.findall(r'<meta (?:name|property)="([\w:]+)" content="([^"]*)" ?/>', html)
    (title,) = re.findall(r"<title>(.*?)</title>", html.partition("</head>")[0], re.DOTALL)
    return {name: unescape(value) for name, value in found} | {"title": unescape(title).strip()}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("*Mirrors 1.*\n\nA sentence that says what this page is about, at some length. More.",
         "A sentence that says what this page is about, at some length."),
        ("Short. Then one that says a little more of what this page is about. More.",
         "Short. Then one that says a little more of what this page is about."),
        (".. note:: Not this.\n\nWith 0.5 and *emphasis* in a sentence that can stand alone here.",
         "With 0.5 and emphasis in a sentence that can stand alone here."),
        ("word " * 60, f"{'word ' * 39}word …"),
        ("", ""),
    ],
)  # fmt: skip
def test_the_first_sentence_of_the_running_text(text, sentence):
    assert first_sentence(publish_doctree(f"Title\n=====\n\n{text}\n")) == sentence


@pytest.fixture(scope="module", params=["", "https://faces.example/book/"])
def site(request, tmp_path_factory) -> tuple[str, Path]:
    """A site of two pages with the book's templates, without and with an address."""
    source = tmp_path_factory.mktemp("source")
    (source / "pages").mkdir()
    (source / "pages" / "front.rst").write_text(
        "Front\n=====\n\nA & B.\n\n.. toctree::\n\n   other\n"
    )
    (source / "pages" / "other.rst").write_text('Other "one"\n===========\n\nWhat it says.\n')
    settings = {
        "extensions": "shared_links",
        "root_doc": "pages/front",
        "project": "The book",
        "html_title": "The book",
        "html_theme": "basic",
        "html_baseurl": request.param,
        "templates_path": [str(PROJECT / "book" / "_templates")],
    }
    out = tmp_path_factory.mktemp("out")
    Sphinx(source, None, out, out / "trees", "html", settings, status=None).build()
    return request.param, out


@pytest.mark.slow
def test_pages_say_what_they_are_and_where_only_if_they_know(site):
    address, out = site
    front, index, other = (
        tags((out / name).read_text(encoding="utf-8"))
        for name in ("pages/front.html", "index.html", "pages/other.html")
    )
    assert front["title"] == index["title"] == front["og:title"] == index["og:title"] == "The book"
    assert front["description"] == index["description"] == "A & B."
    assert other["title"] == "Other “one” — The book"
    assert other["og:title"] == "Other “one”"
    assert other["description"] == other["og:description"] == "What it says."
    places = ("og:url", "og:image", "twitter:card")
    if not address:
        assert not any(name in page for name in places for page in (front, index, other))
    else:
        assert other["og:url"] == "https://faces.example/book/pages/other.html"
        assert other["og:image"] == "https://faces.example/book/_static/preview.jpg"
        assert other["twitter:card"] == "summary_large_image"


@pytest.mark.skipif(not PAGES, reason=f"no pages in {BOOK / 'book'}: run 'make book' first")
def test_every_page_has_a_title_and_a_description_of_its_own():
    shown = {path: tags(path.read_text(encoding="utf-8")) for path in PAGES}
    for path, page in shown.items():
        assert {"og:title", "og:description", "og:type", "og:site_name"} <= set(page), path
        assert 20 <= len(page["description"]) <= 202 and page["description"][-1] in ".?!…:", path
    own = [page for path, page in shown.items() if path.parent != BOOK]
    assert (
        len({page["title"] for page in own}) == len({page["og:title"] for page in own}) == len(own)
    )
    assert len({page["description"] for page in own}) == len(own)


def test_the_preview_has_the_size_that_chats_show_whole():
    with Image.open(PREVIEW) as picture:
        assert picture.size == (1200, 630)
    assert PREVIEW.stat().st_size < 300_000
