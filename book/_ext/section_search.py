"""Sphinx extension: what the search page looks through, section by section.

Sphinx's own index knows which words a page has, and not where; its script reads the pages again for
what it shows of them, which browsers refuse for files. So every built page is taken apart into its
sections, the library's entries and the glossary's terms, as a reader sees them, and
``_static/section_search.js`` looks through those.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup, NavigableString, Tag

SECTIONS = "search_sections.js"  # in the folder of static files
HEADINGS = ["h1", "h2", "h3", "h4", "h5", "h6"]
BLOCKS = {*HEADINGS, "p", "li", "dt", "dd", "figcaption", "caption", "div", "aside", "table"}
UNREAD = {"script", "style", "svg", "summary"}
UNREAD_CLASSES = {"headerlink", "toctree-wrapper"}

_CODE = re.compile(r"<pre>.*?</pre>", re.DOTALL)


@dataclass
class Section:
    """A part of a page that has an anchor.

    Attributes:
        address: of the anchor, seen from the search page.
        heading: its own.
        within: the headings above it, the page's first.
        is_reference: an entry of the library's reference.
        text: its sentences, a line for each paragraph, without those of the sections within it.
        code: cells, what they answered, and signatures.
    """

    address: str
    heading: str
    within: list[str]
    is_reference: bool = False
    text: str = ""
    code: str = ""

    def begin(self, anchor: object, heading: str) -> Section:
        """An empty section within this one."""
        above = [*self.within, self.heading] if self.heading else []
        return Section(f"{self.address.partition('#')[0]}#{anchor}", heading, above)


def setup(app: Any) -> dict[str, bool]:
    """Take the pages apart once all are written."""
    app.connect("build-finished", _write_sections)
    return {"parallel_read_safe": True}


def _write_sections(app: Any, exception: Exception | None) -> None:
    if exception or app.builder.format != "html":
        return
    sections = []
    for name in sorted(app.env.found_docs):
        html = Path(app.builder.get_outfilename(name)).read_text(encoding="utf-8")
        sections += sections_of(html, app.builder.get_target_uri(name))
    content = json.dumps([asdict(section) for section in sections], ensure_ascii=False, indent=0)
    script = Path(app.outdir, "_static", SECTIONS)
    script.write_text(f"const searchSections = {content};\n", encoding="utf-8")


def sections_of(html: str, address: str) -> list[Section]:
    """The sections of the page at ``address`` that hold anything, from the top to the bottom."""
    # Menus and the colours of code are two thirds of a page, and of the time to parse it.
    article = "".join(re.findall(r"<article.*</article>", html, re.DOTALL))
    plain = _CODE.sub(lambda code: re.sub(r"</?span\b[^>]*>", "", code[0]), article)
    sections: list[Section] = []
    _read(BeautifulSoup(plain, "html.parser"), Section(address, "", []), sections)
    for section in sections:
        lines = (" ".join(line.split()) for line in section.text.split("\n"))
        section.text = "\n".join(line for line in lines if line)
    return [section for section in sections if section.text or section.code]


def _read(tag: Tag, section: Section, found: list[Section]) -> None:
    """Add what is in a tag to ``section``, and to ``found`` the sections that begin in it."""
    for child in tag.children:
        if isinstance(child, Tag):
            _read_tag(child, section, found)
        elif type(child) is NavigableString:  # and no comment
            section.text += child.replace("\n", " ")


def _read_tag(tag: Tag, section: Section, found: list[Section]) -> None:
    classes = set(tag.get_attribute_list("class"))
    if tag.name in UNREAD or classes & UNREAD_CLASSES:
        return
    if "math" in classes:
        section.text += _formula(tag.get_text()) if tag.name == "span" else " "
    elif tag.name == "section":
        heading = tag.find(HEADINGS, recursive=False)
        if isinstance(heading, Tag):
            section = section.begin(tag.get("id"), _words(heading))
            heading.clear()
            found.append(section)
        _read(tag, section, found)
    elif tag.name == "dl":
        _read_entries(tag, section, found)
    elif tag.name == "pre":
        section.code += f"{tag.get_text()}\n"
    elif tag.name == "tr":
        cells = (_words(cell) for cell in tag.find_all(["th", "td"]))
        section.text += f"\n{' · '.join(filter(None, cells))}\n"
    else:
        edge = "\n" if tag.name in BLOCKS else ""
        section.text += edge
        _read(tag, section, found)
        section.text += edge


def _read_entries(tag: Tag, section: Section, found: list[Section]) -> None:
    """A list of names and of what is said of them: those with an anchor are sections."""
    entry = section
    for child in tag.find_all(["dt", "dd"], recursive=False):
        anchor = child.get("id") if child.name == "dt" else None
        if not anchor:
            entry = section if child.name == "dt" else entry
            _read_tag(child, entry, found)
            continue
        is_reference = "sig" in child.get_attribute_list("class")
        entry = section.begin(anchor, str(anchor) if is_reference else _words(child))
        entry.is_reference = is_reference
        entry.code = f"{_words(child)}\n" if is_reference else ""
        found.append(entry)


def _formula(tex: str) -> str:
    """A formula within a line as somebody would type it: its letters without what sets them."""
    return re.sub(r"\\[a-z]*(?:math|big|bar|left|right|text)[a-z]*|\\[(),;]|[{}\\]", "", tex)


def _words(tag: Tag) -> str:
    """What is in a tag, in one line."""
    line = Section("", "", [])
    _read(tag, line, [])
    return " ".join(line.text.split())
