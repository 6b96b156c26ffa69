"""Sphinx extension: what the tools' pages lack for readers who hear them, and scripts nobody uses.

Each mends what axe-core found: a name that is not what is written on the thing, a list whose
entries are none, a definition list that defines nothing.
"""

from __future__ import annotations

import re
from typing import Any

#: A signature on several lines, which Sphinx writes as a list of definitions without terms.
_SIGNATURE_LINES = re.compile(r'<dl>\n((?:<dd><em class="sig-param">.*?</dd>\n)+)</dl>')


def setup(app: Any) -> dict[str, bool]:
    """Add the book's script before the theme's, and mend each page as it is written."""
    app.add_js_file("pages.js", priority=100)
    app.connect("html-page-context", _mend, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _mend(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if "body" in context:
        context["body"] = mend_body(context["body"])
    # Jupyter Book adds Thebe, which runs code on a server, twice to pages that do not use it.
    context["script_files"] = [
        script
        for script in context["script_files"]
        if "thebe" not in f"{script}{getattr(script, 'attributes', '')}".lower()
    ]


def mend_body(body: str) -> str:
    """Give ``body``, a page's HTML, the names and lists that it means.

    Example:
        >>> mend_body('<summary aria-label="Toggle hidden content">Show code</summary>')
        '<summary>Show code</summary>'
    """
    body = body.replace('<summary aria-label="Toggle hidden content">', "<summary>")
    body = body.replace('<div role="list" class="citation-list">', '<div class="citation-list">')
    body = body.replace(' role="doc-biblioentry"', "")  # which only a list may hold
    return _SIGNATURE_LINES.sub(_signature_lines, body)


def _signature_lines(found: re.Match[str]) -> str:
    lines = found.group(1).replace("<dd>", "<div>").replace("</dd>", "</div>")
    return f'<div class="signature-lines">\n{lines}</div>'
