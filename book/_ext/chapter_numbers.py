"""Sphinx extension: a chapter has the number that its file's name begins with.

Numbers that were counted would change whenever a chapter is added before others, and the library's
docstrings name chapters by number. Figures and equations follow their chapter.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.environment import BuildEnvironment
from sphinx_external_toc.collectors import TocTreeCollectorWithStyles


def setup(app: Any) -> dict[str, bool]:
    """Renumber whenever Jupyter Book's own collector has counted."""
    app.connect("builder-inited", _renumber_after_counting)
    return {"parallel_read_safe": True}


def _renumber_after_counting(app: Any) -> None:
    count: Any = TocTreeCollectorWithStyles.assign_section_numbers

    def assign_section_numbers(self: Any, env: BuildEnvironment) -> list[str]:
        rewrite_needed: list[str] = count(self, env)
        for page in env.toc_secnumbers:
            chapter = re.match(r"\d\d(?=_)", page.split("/")[-1])
            if chapter:
                _renumber(env, page, int(chapter.group()))
        return rewrite_needed

    TocTreeCollectorWithStyles.assign_section_numbers = assign_section_numbers


def _renumber(env: BuildEnvironment, page: str, chapter: int) -> None:
    """Put ``chapter`` first in every number that the page, its sections and its entries have."""
    sections = env.toc_secnumbers[page]
    for anchor, number in sections.items():
        if number:
            sections[anchor] = (chapter, *number[1:])
    for element in (*env.tocs[page].findall(nodes.reference), env.titles[page]):
        if element.get("secnumber"):
            element["secnumber"] = [chapter, *element["secnumber"][1:]]
