"""Sphinx extension: what napoleon and autodoc would make of attributes and constants.

Napoleon reads ``"The bits: eight of them."`` as an attribute of type "The bits". It looks at the
first line only, so an escaped space on a line of its own, which shows nothing, keeps it from that.

Autodoc finds the comment that describes a constant in the module that has it, and not from the
package that takes it from there; so every package is given the comments of what it imports.
"""

from __future__ import annotations

import ast
import pkgutil
from typing import Any

from sphinx.pycode import ModuleAnalyzer

import facenet_lib


def setup(app: Any) -> dict[str, bool]:
    """Run before napoleon, which listens to the same event with priority 500."""
    app.connect("builder-inited", _describe_constants)
    app.connect("autodoc-process-docstring", _begin_with_nothing, priority=400)
    return {"parallel_read_safe": True}


def _begin_with_nothing(
    app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    if what in ("attribute", "data", "property"):
        lines.insert(0, "\\ ")


def _describe_constants(app: Any) -> None:
    for module in pkgutil.iter_modules(facenet_lib.__path__, "facenet_lib."):
        if not module.ispkg:
            continue
        package = ModuleAnalyzer.for_module(module.name)
        described = package.find_attr_docs()
        for node in ast.walk(ast.parse(package.code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(module.name):
                there = ModuleAnalyzer.for_module(node.module or "").find_attr_docs()
                names = {("", alias.name) for alias in node.names}
                described |= {name: there[name] for name in names & set(there)}
