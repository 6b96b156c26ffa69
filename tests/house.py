"""The library as its files have it, and the table of its rooms that a page of the book shows."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

PROJECT = Path(__file__).parents[1]
LIBRARY = PROJECT / "facenet_lib"
BOOK = PROJECT / "book"
HOUSE_PAGE = BOOK / "how_the_library_is_built.md"
APPENDIX = "appendix"


@dataclass(frozen=True)
class Room:
    """A module or a package at the library's root.

    Attributes:
        name: ``facenet_lib.<name>``.
        floor: its height; it imports from below.
        chapters: those that teach it, as ``"6"`` or ``"appendix"``.
        holds: in a few words, what is in it.
    """

    name: str
    floor: int
    chapters: tuple[str, ...]
    holds: str


@cache
def rooms() -> tuple[Room, ...]:
    """The table of the page "How the library is built"; every other list is compared with it."""
    rows = re.findall(
        r"^\| (\d+) \| `(\w+)` \| ([\w, ]*?) ?\| (.+) \|$",
        HOUSE_PAGE.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    return tuple(
        Room(name, int(floor), tuple(filter(None, chapters.split(", "))), holds)
        for floor, name, chapters, holds in rows
    )


def rooms_of_chapter(number: int) -> list[str]:
    return [room.name for room in rooms() if str(number) in room.chapters]


@cache
def modules() -> dict[str, Path]:
    """The library's modules and packages, by their names without ``facenet_lib.``."""
    found = {}
    for path in sorted(LIBRARY.rglob("*.py")):
        parts = path.relative_to(LIBRARY).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if name and name != "__main__":
            found[name] = path
    return found


def is_package(module: str) -> bool:
    return modules()[module].name == "__init__.py"


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


def imported(module: str, types: bool = True) -> set[str]:
    """All that a module imports anywhere in it, that of the library as in :func:`modules`.

    Without ``types``, not what it imports only for the type checker.
    """
    names = set()
    for node in _walk(tree(module), types):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {_module_of(name.removeprefix("facenet_lib.")) for name in names}


def _walk(node: ast.AST, types: bool) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        if types or not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            yield from _walk(child, types)


def _module_of(name: str) -> str:
    """The module in a name such as ``runs.config.TrainingConfig``; a foreign name as it is."""
    while name not in modules() and "." in name:
        shorter = name.rpartition(".")[0]
        if shorter.split(".")[0] not in {room.name for room in rooms()}:
            return name
        name = shorter
    return name


def public_names(module: str) -> list[str]:
    """What a package names in ``__all__``, or what a module defines without an underscore."""
    for node in tree(module).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    if is_package(module):
        return []
    return [name for name in _defined_names(module) if re.match("[A-Za-z]", name)]


def _defined_names(module: str) -> list[str]:
    names = []
    for node in tree(module).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.AnnAssign):
            names.append(ast.unparse(node.target))
        elif isinstance(node, ast.Assign):
            names += [ast.unparse(target) for target in node.targets]
    return names


@cache
def documented() -> frozenset[str]:
    """What the reference page has an entry for: rooms, what is public in them, its members."""
    names = set()
    for room in rooms():
        path = f"facenet_lib.{room.name}"
        names.add(path)
        for name in public_names(room.name):
            names.add(f"{path}.{name}")
            value = getattr(importlib.import_module(path), name)
            if inspect.isclass(value):
                names |= {f"{path}.{name}.{member}" for member in _members(value)}
    return frozenset(names)


def _members(kind: type[Any]) -> set[str]:
    """Methods, properties and the members of enumerations, which have entries of their own."""
    own = [base for base in kind.__mro__ if base.__module__.startswith("facenet_lib")]
    values = {name: value for base in own for name, value in vars(base).items()}
    entries = (property, classmethod, staticmethod, FunctionType)
    found = {name for name, value in values.items() if isinstance(value, entries)}
    return {name for name in found if name[0] != "_"} | set(getattr(kind, "__members__", ()))


def notebook(chapter: str) -> dict[str, Any]:
    book: dict[str, Any] = json.loads((BOOK / f"{chapter}.ipynb").read_text(encoding="utf-8"))
    return book


def source(cell: dict[str, Any]) -> str:
    return cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])


@cache
def chapters() -> dict[int, str]:
    """Number -> file, such as ``01_lfw_pairs``, of every notebook."""
    return {int(path.stem[:2]): path.stem for path in sorted(BOOK.glob("*.ipynb"))}
