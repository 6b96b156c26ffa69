"""Sphinx extension: the docstring of an attribute or property is text, from its first word on.

Napoleon reads ``"The bits: eight of them."`` as an attribute of type "The bits". It looks at the
first line only, so an escaped space on a line of its own, which shows nothing, keeps it from that.
"""

from __future__ import annotations

from typing import Any


def setup(app: Any) -> dict[str, bool]:
    """Run before napoleon, which listens to the same event with priority 500."""
    app.connect("autodoc-process-docstring", _begin_with_nothing, priority=400)
    return {"parallel_read_safe": True}


def _begin_with_nothing(
    app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    if what in ("attribute", "data", "property"):
        lines.insert(0, "\\ ")
