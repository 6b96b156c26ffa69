"""The library's rooms: what may use what, what is public, documented and tested."""

from __future__ import annotations

import ast
import doctest
import graphlib
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from house import (
    APPENDIX,
    BOOK,
    HOUSE_PAGE,
    PROJECT,
    Room,
    chapters,
    documented,
    imported,
    is_package,
    modules,
    notebook,
    public_names,
    rooms,
    rooms_of_chapter,
    source,
    tree,
)

ROOMS = {room.name: room for room in rooms()}
IN_FILES = [name for name in modules() if not is_package(name)]
TESTS = PROJECT / "tests"


def room_of(module: str) -> Room:
    return ROOMS[module.split(".")[0]]


TAUGHT = [name for name in IN_FILES if room_of(name).chapters]


def test_the_rooms_are_those_of_the_table():
    assert {name for name in modules() if "." not in name} == set(ROOMS)
    assert [room.floor for room in rooms()] == sorted(room.floor for room in rooms())


def test_modules_use_only_rooms_on_floors_below():
    upwards = {
        f"{module} uses {used}"
        for module in modules()
        for used in imported(module) & set(modules())
        if room_of(used) != room_of(module) and room_of(used).floor >= room_of(module).floor
    }
    assert upwards == set()


def test_modules_use_each_other_without_a_circle():
    graphlib.TopologicalSorter(
        {name: imported(name, types=False) & set(IN_FILES) for name in IN_FILES}
    ).prepare()


def test_modules_import_from_modules_and_not_from_what_a_room_shows():
    """So that nothing more is loaded than is used; it is chapters and users whom a room serves."""
    shown = {name for name in modules() if is_package(name)}
    assert {f"{name} from {used}" for name in IN_FILES for used in imported(name) & shown} == set()


(LIGHT,) = re.findall(r"(?s)load no TensorFlow; nor do(.+?)until", HOUSE_PAGE.read_text("utf-8"))
WITHOUT_TENSORFLOW = re.findall(r"`(\w+)`", LIGHT)
HELP = """
from facenet_lib.cli import main
try:
    main({})
except SystemExit as leaving:
    assert leaving.code == 0
"""


@pytest.mark.parametrize(
    ("program", "besides"),
    [
        ("import facenet_lib, facenet_lib.cli", {"matplotlib"}),
        (f"from facenet_lib import {', '.join(WITHOUT_TENSORFLOW)}", set()),
        (HELP.format(["--help"]), {"matplotlib"}),
        (HELP.format(["train", "--help"]), {"matplotlib"}),
    ],
    ids=["import", "rooms", "facenet --help", "facenet train --help"],
)
def test_tensorflow_is_not_loaded_by(program, besides):
    unwanted = {"tensorflow", "keras"} | besides
    check = f"import sys; assert not {unwanted} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{check}"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_module_has_its_test_file():
    files = {
        name: Path(*name.split(".")[:-1], f"test_{name.split('.')[-1]}.py") for name in IN_FILES
    }
    assert {str(path) for path in files.values() if not (TESTS / path).is_file()} == set()


# Chapters and rooms


DERIVED = re.compile(
    r"[Dd]erived in (?:chapters? (?P<numbers>\d+(?:(?:, | and )\d+)*)(?:, \"(?P<title>[^\"]+)\")?"
    r"|the (?P<appendix>appendix))"
)


def title(chapter: str) -> str:
    cells = [source(cell) for cell in notebook(chapter)["cells"] if cell["cell_type"] == "markdown"]
    return re.findall(r"^# (.+)$", "\n".join(cells), re.MULTILINE)[0]


def derivations(module: str) -> list[re.Match[str]]:
    return list(DERIVED.finditer(" ".join(modules()[module].read_text(encoding="utf-8").split())))


@pytest.mark.parametrize("module", TAUGHT)
def test_a_module_or_its_room_says_once_which_chapter_derives_it(module):
    room = room_of(module)
    said = derivations(module) or derivations(room.name)
    assert len(said) == 1
    text = " ".join(ast.get_docstring(tree(name)) or "" for name in {module, room.name})
    assert said[0].group() in " ".join(text.split())
    numbers = re.findall(r"\d+", said[0]["numbers"] or "") or [APPENDIX]
    assert set(numbers) <= set(room.chapters)
    if said[0]["title"]:
        assert said[0]["title"] == title(chapters()[int(numbers[0])])


def library_names(number: int) -> set[str]:
    """What a chapter's cells use of the library, as ``room`` or ``room.name``."""
    cells = [source(cell) for cell in notebook(chapters()[number])["cells"] if is_code(cell)]
    lines = [line for cell in cells for line in cell.splitlines() if line[:1] not in "%!"]
    nodes = list(ast.walk(ast.parse("\n".join(lines))))
    taken = [n for n in nodes if isinstance(n, ast.ImportFrom) and n.module]
    names = {f"{n.module}.{alias.name}" for n in taken for alias in n.names}
    names = {name.partition(".")[2] for name in names if name.startswith("facenet_lib.")}
    used = [n for n in nodes if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)]
    return names | {f"{n.value.id}.{n.attr}" for n in used if n.value.id in names & set(ROOMS)}


def is_code(cell: dict[str, Any]) -> bool:
    return bool(cell["cell_type"] == "code")


@pytest.mark.parametrize("number", chapters())
def test_a_chapter_shows_the_rooms_that_it_teaches_and_only_what_is_public(number):
    names = library_names(number)
    taught = set(rooms_of_chapter(number)) - {"embedding"}  # which stands behind what it imports
    assert taught and taught <= {name.split(".")[0] for name in names}
    assert {f"facenet_lib.{name}" for name in names} - documented() == set()


# What the pages say of the rooms


def test_the_reference_shows_every_room_from_the_bottom_up():
    text = (BOOK / "library.md").read_text(encoding="utf-8")
    assert re.findall(r"^   facenet_lib\.(\w+)$", text, re.MULTILINE) == list(ROOMS)
    contents = (PROJECT / "_toc.yml").read_text(encoding="utf-8")
    assert re.findall(r"file: book/library/(\w+)$", contents, re.MULTILINE) == list(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_its_page_which_leads_to_its_chapters(room):
    text = (BOOK / "library" / f"{room}.md").read_text(encoding="utf-8")
    assert re.findall(r"^# (.+)$", text, re.MULTILINE) == [f"facenet_lib.{room}"]
    shown = re.findall(r"^\.\. automodule:: facenet_lib\.(\w+)\n   :members:$", text, re.MULTILINE)
    assert shown == [room]
    linked = re.findall(r"chapter (\d+), \[\]\(\.\./(\w+)\.ipynb\)", text)
    assert all(chapters()[int(number)] == chapter for number, chapter in linked)
    if set(ROOMS[room].chapters) - {APPENDIX}:
        assert tuple(number for number, _ in linked) == ROOMS[room].chapters
    else:
        assert "](../" in text.split("[All rooms]")[0]  # to the page that says more


def test_the_readme_has_the_same_table():
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| `(\w+)` \| ([\w, ]*?) ?\| (.+) \|$", text, re.MULTILINE)
    expected = [(room.name, ", ".join(room.chapters), room.holds) for room in rooms()]
    assert sorted(shown) == sorted(expected)


def test_the_first_page_names_the_rooms_of_every_chapter():
    text = (BOOK / "index.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\d+)\. [^|]+\| ([^|]+) \|", text, re.MULTILINE)
    shown = {int(number): re.findall(r"~facenet_lib\.(\w+)", cell) for number, cell in rows}
    assert list(shown) == list(chapters())
    for number, names in shown.items():
        assert sorted(names) == sorted(rooms_of_chapter(number))


HOP = re.compile(r"`([a-z_]+(?:\.\w+)+)`")


def test_every_hop_that_the_walks_name_exists():
    hops = HOP.findall(HOUSE_PAGE.read_text(encoding="utf-8").split("## From ", 1)[1])
    assert len(hops) >= 20
    for hop in set(hops) - set(modules()):
        module = max((name for name in modules() if hop.startswith(f"{name}.")), key=len)
        value = importlib.import_module(f"facenet_lib.{module}")
        for part in hop.removeprefix(f"{module}.").split("."):
            value = getattr(value, part)


# Sizes


FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
MOST_LINES_OF_A_FILE = 700
MOST_LINES_OF_A_FUNCTION = 60


def code_lines(module: str, function: FUNCTION) -> int:
    """Lines of a function's body that hold code."""
    lines = modules()[module].read_text(encoding="utf-8").splitlines()
    body = function.body[1:] if ast.get_docstring(function) else function.body
    own = lines[body[0].lineno - 1 : function.end_lineno] if body else []
    return sum(line.strip()[:1] not in ("", "#") for line in own)


def test_files_and_functions_can_be_read_in_one_sitting():
    lengths = {name: path.read_text("utf-8").count("\n") for name, path in modules().items()}
    long = {name for name, length in lengths.items() if length > MOST_LINES_OF_A_FILE}
    for module in modules():
        functions = [n for n in ast.walk(tree(module)) if isinstance(n, FUNCTION)]
        lengths = {f"{module}.{node.name}": code_lines(module, node) for node in functions}
        long |= {name for name, length in lengths.items() if length > MOST_LINES_OF_A_FUNCTION}
    assert long == set()


# Examples and references


@pytest.mark.parametrize("module", IN_FILES)
def test_examples_are_true(module):
    if ">>>" not in modules()[module].read_text(encoding="utf-8"):
        pytest.skip("no example")
    tested = importlib.import_module(f"facenet_lib.{module}")
    assert doctest.testmod(tested, optionflags=doctest.ELLIPSIS).failed == 0


def functions_to_be_shown() -> Iterator[str]:
    """Public functions of the rooms that chapters teach."""
    for room in rooms():
        public = set(public_names(room.name)) if room.chapters else set()
        for module in modules():
            if module.split(".")[0] != room.name:
                continue
            for node in tree(module).body:
                if isinstance(node, ast.FunctionDef) and node.name in public:
                    yield f"{module}.{node.name}"


def test_every_public_function_has_an_example():
    without = set()
    for name in functions_to_be_shown():
        module, _, function = name.rpartition(".")
        (node,) = (n for n in tree(module).body if getattr(n, "name", None) == function)
        if ">>>" not in (ast.get_docstring(node) or ""):
            without.add(name)
    assert without == set()


ROLE = re.compile(r":(?:py:)?(func|class|meth|mod|attr|data|exc)(?::|\})`([^`]+)`")
CONFIG = yaml.safe_load((PROJECT / "_config.yml").read_text("utf-8"))["sphinx"]["config"]
FOREIGN = CONFIG["nitpick_ignore_regex"]  # of other libraries, and constants without an entry


def references(text: str) -> set[str]:
    """What a text refers to, but for names of other libraries."""
    found = set()
    for kind, words in ROLE.findall(text):
        name = re.sub(r"(?s)^.*<(.+)>$", r"\1", words).lstrip("~!.")
        if not any(re.fullmatch(k, f"py:{kind}") and re.fullmatch(n, name) for k, n in FOREIGN):
            found.add(name)
    return found


@pytest.mark.parametrize("page", sorted([*BOOK.glob("**/*.md"), *BOOK.glob("*.ipynb")]), ids=str)
def test_references_on_a_page_lead_to_the_library_reference(page: Path):
    assert references(page.read_text(encoding="utf-8").replace("\\n", "\n")) - documented() == set()


@pytest.mark.parametrize("module", modules())
def test_references_in_docstrings_lead_to_the_library_reference(module):
    """Sphinx looks for a name as it is, in the class whose text it stands in, and in the room."""
    room = f"facenet_lib.{room_of(module).name}"
    classes = [node.name for node in tree(module).body if isinstance(node, ast.ClassDef)]
    places = ["", f"{room}.", *(f"{room}.{name}." for name in classes)]
    targets = references(modules()[module].read_text(encoding="utf-8"))
    assert {t for t in targets if not documented() & {f"{at}{t}" for at in places}} == set()
