"""The built book, page by page: links, pictures, and nothing fetched from outside.

Needs the pages of ``make book``, or those in the folder that FACENET_BOOK names.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from built_pages import BUILT_BOOK as BOOK

PROJECT = Path(__file__).parents[2]
PAGES = sorted(BOOK.glob("book/**/*.html"))

# What a browser fetches by itself, by tag and attribute.
FETCHED = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "iframe": ("src",),
    "audio": ("src",),
    "video": ("src", "poster"),
    "source": ("src", "srcset"),
    "embed": ("src",),
    "object": ("data",),
    "image": ("href", "xlink:href"),
    "use": ("href", "xlink:href"),
}
FETCHED_LINKS = {"stylesheet", "preload", "modulepreload", "prefetch", "icon", "shortcut icon"}

pytestmark = pytest.mark.skipif(
    not PAGES, reason=f"no pages in {BOOK / 'book'}: run 'make book' first"
)


@dataclass
class Page(HTMLParser):
    """What the tests ask of one page."""

    path: Path
    ids: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    images: list[tuple[str, str | None]] = field(default_factory=list)
    headings: int = 0
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._cells: list[str] = []
        self._in_article = 0
        self.feed(self.path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        classes = (attributes.get("class") or "").split()
        if tag == "div":
            self._cells.append(" ".join(classes))
        self._in_article += tag == "article"
        self.headings += tag == "h1" and self._in_article > 0
        if attributes.get("id"):
            self.ids.append(attributes["id"] or "")
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"] or "")
        if tag == "img":
            self.images.append((attributes.get("src") or "", attributes.get("alt")))
        if tag == "link" and FETCHED_LINKS & {attributes.get("rel")}:
            self.fetched.append(attributes.get("href") or "")
        for name in FETCHED.get(tag, ()):
            if attributes.get(name):
                self.fetched.append(attributes[name] or "")

    def handle_endtag(self, tag: str) -> None:
        self._in_article -= tag == "article"
        if tag == "div" and self._cells:
            self._cells.pop()

    def handle_data(self, data: str) -> None:
        # What a cell answered, not what an example shows; myst-nb marks a cell that is meant to
        # fail with its tag.
        if "Traceback (most recent call last)" in data:
            around = " ".join(self._cells)
            if "cell_output" in around and "tag_raises-exception" not in around:
                self.errors.append(data.strip()[:200])


@cache
def read(path: Path) -> Page:
    return Page(path)


def is_outside(address: str) -> bool:
    return bool(re.match(r"\s*(https?:)?//", address))


def page_name(path):
    return "/".join(path.relative_to(BOOK).with_suffix("").parts[-2:])


def each_page(function):
    return pytest.mark.parametrize("path", PAGES, ids=page_name)(function)


def test_pages_are_those_of_the_table_of_contents():
    named = set(re.findall(r"(?:file|root): (book/\S+)", (PROJECT / "_toc.yml").read_text()))
    assert {str(path.relative_to(BOOK).with_suffix("")) for path in PAGES} == named


@pytest.mark.slow
@each_page
def test_every_internal_link_and_anchor_leads_somewhere(path):
    broken = []
    for link in read(path).links:
        parts = urlsplit(link)
        if parts.scheme or is_outside(link):
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if not target.exists():
            broken.append(f"{link}: no such file")
        elif parts.fragment and target.suffix == ".html":
            anchors = read(target).ids if target.is_file() else []
            if unquote(parts.fragment) not in anchors:
                broken.append(f"{link}: no such place on the page")
    assert not broken


@each_page
def test_nothing_is_fetched_from_outside(path):
    assert [address for address in read(path).fetched if is_outside(address)] == []


@each_page
def test_what_is_fetched_is_there(path):
    addresses = (urlsplit(address) for address in read(path).fetched)
    local = [parts.path for parts in addresses if parts.path and not parts.scheme]
    assert [name for name in local if not (path.parent / unquote(name)).is_file()] == []


def test_style_sheets_fetch_nothing_from_outside():
    outside = {
        f"{sheet.name}: {address}"
        for sheet in BOOK.rglob("*.css")
        for address in re.findall(
            r"(?:url\(|@import)\s*['\"]?([^'\")\s]+)", sheet.read_text(encoding="utf-8")
        )
        if is_outside(address)
    }
    assert not outside


@each_page
def test_every_picture_has_a_text(path):
    assert [source for source, text in read(path).images if not (text or "").strip()] == []


@each_page
def test_page_has_one_title_and_unique_anchors(path):
    page = read(path)
    assert page.headings == 1
    assert [name for name, count in Counter(page.ids).items() if count > 1] == []


@each_page
def test_no_cell_failed_that_was_not_meant_to(path):
    assert read(path).errors == []
