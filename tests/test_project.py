"""The project as a whole: its files agree with each other and keep the house's rules."""

from __future__ import annotations

import ast
import contextlib
import importlib.metadata
import re
import shlex
import statistics
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import pytest
import yaml
from house import BOOK, LIBRARY, PROJECT, chapters, notebook, source
from lanes import LONGEST_FIRST
from prepare_chapters import read_needs
from repository_links import COLAB_CELL

from facenet_lib.cli.facenet import make_parser

CHAPTERS = list(chapters().values())

LARGEST_FILE = 1_000_000  # bytes
LONGEST_CELL = 40  # lines

# Paths of one machine, what was meant to be done later, and figures not filled in.
UNWANTED = re.compile(
    r"(?<![\w.:/~])/(?:root|home|work|Users)/\w|\.\./shared|\b(?:TODO|FIXME|XXX)\b|@[A-Z][A-Z_]+@"
)


def project_files() -> Iterator[Path]:
    """What belongs to the project, as opposed to what was made from it."""
    yield from (path for path in PROJECT.iterdir() if path.is_file() and path.name != ".coverage")
    for folder in (LIBRARY, BOOK, PROJECT / "tests"):
        for path in folder.rglob("*"):
            hidden = any(part.startswith(".") for part in path.relative_to(PROJECT).parts)
            if path.is_file() and not hidden and "__pycache__" not in path.parts:
                yield path


def text_files() -> Iterator[tuple[Path, str]]:
    """Those of the project's files that hold text."""
    for path in project_files():
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:  # a picture, or what an editor or a system left there
            continue


def pyproject() -> dict:
    return tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements() -> list[str]:
    """What the library, the book and the tests need, as pyproject.toml writes it."""
    extras = pyproject()["optional-dependencies"].values()
    lines = [*pyproject()["dependencies"], *(line for extra in extras for line in extra)]
    return [line for line in lines if not line.startswith(f"{pyproject()['name']}[")]


def with_those_they_bring(extras: Iterable[str]) -> set[str]:
    """Extras, and those of this project that they ask for."""
    found = set(extras)
    for extra in extras:
        for line in pyproject()["optional-dependencies"][extra]:
            brought = re.fullmatch(rf"{pyproject()['name']}\[(.+)\]", line)
            found |= with_those_they_bring(brought[1].split(",")) if brought else set()
    return found


def normal_name(requirement: str) -> str:
    """The name at the front of a requirement, as PyPI compares names."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name.group()).lower()


# Environments


def test_constraints_pin_every_dependency_once():
    lines = (PROJECT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split("#")[0].strip() for line in lines]
    pins = [pin for pin in pins if pin]
    assert [pin for pin in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[\w.]+", pin)] == []
    pinned = [normal_name(pin) for pin in pins]
    assert len(pinned) == len(set(pinned))
    assert {normal_name(requirement) for requirement in requirements()} <= set(pinned)


def test_constraints_agree_with_exact_pins_of_pyproject():
    constraints = (PROJECT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    exact = [requirement for requirement in requirements() if "==" in requirement]
    assert exact, "jupyter-book is pinned exactly"
    assert [requirement for requirement in exact if requirement not in constraints] == []


def test_environment_installs_what_pyproject_says_and_nothing_else():
    environment = yaml.safe_load((PROJECT / "environment.yml").read_text(encoding="utf-8"))
    assert set(environment) == {"name", "channels", "dependencies"}
    *conda, pip = environment["dependencies"]
    python = next(line for line in conda if line.startswith("python="))
    assert set(conda) == {python, "pip"}
    project = pyproject()
    lowest = tuple(map(int, re.findall(r">=(\d+)\.(\d+)", project["requires-python"])[0]))
    beyond = tuple(map(int, re.findall(r"<(\d+)\.(\d+)", project["requires-python"])[0]))
    assert lowest <= tuple(map(int, python.removeprefix("python=").split("."))) < beyond
    assert pip == {"pip": ["--constraint constraints.txt", "--editable .[book,test]"]}
    # Ray is large, and its tests skip without it.
    beside = {"cluster"}
    assert with_those_they_bring(["book", "test"]) == set(project["optional-dependencies"]) - beside
    assert '--editable ".[book,test]"' in (PROJECT / "Makefile").read_text(encoding="utf-8")


def brought_by(requirements: Iterable[str]) -> set[str]:
    """The names of all that is installed with these requirements, as far as it is installed."""
    found: set[str] = set()
    left = [normal_name(line) for line in requirements]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                lines = importlib.metadata.requires(name) or []
                left += [normal_name(line) for line in lines if "extra ==" not in line]
    return found


def test_the_extra_for_chapters_brings_all_that_they_import():
    lines = pyproject()["dependencies"]
    for extra in with_those_they_bring(["chapters"]):
        lines = lines + pyproject()["optional-dependencies"][extra]
    installed = brought_by(line for line in lines if not line.startswith("facenet-lib["))
    distributions = importlib.metadata.packages_distributions()
    missing = set()
    for chapter in CHAPTERS:
        code = [source(cell) for cell in notebook(chapter)["cells"] if cell["cell_type"] == "code"]
        for node in ast.walk(ast.parse("\n".join(code))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in {name.split(".")[0] for name in names} - {"facenet_lib"}:
                by = {normal_name(each) for each in distributions.get(name, [])}
                if name not in sys.stdlib_module_names and not by & installed:
                    missing.add(f"{chapter}: {name}")
    assert missing == set()


def test_every_file_of_the_library_goes_along_with_it():
    """Modules do so by themselves, other files if pyproject.toml names them."""
    text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    folders = tomllib.loads(text)["tool"]["setuptools"]["package-data"]
    named = {
        path
        for folder, patterns in folders.items()
        for pattern in patterns
        for path in PROJECT.joinpath(*folder.split(".")).glob(pattern)
    }
    files = {path for path in LIBRARY.rglob("*") if path.is_file() and path.suffix[:3] != ".py"}
    assert files - named == set()


# The book


def table_of_contents() -> list[str]:
    toc = yaml.safe_load((PROJECT / "_toc.yml").read_text(encoding="utf-8"))
    pages = [page for part in toc["parts"] for page in part["chapters"]]
    listed = [
        [page["file"], *(below["file"] for below in page.get("sections", []))] for page in pages
    ]
    return [toc["root"], *chain.from_iterable(listed)]


def test_every_page_of_the_table_of_contents_exists():
    missing = [
        page
        for page in table_of_contents()
        if not any((PROJECT / f"{page}{suffix}").is_file() for suffix in (".md", ".ipynb"))
    ]
    assert not missing


def test_table_of_contents_holds_every_page_once():
    kinds = ("*.md", "*.ipynb", "library/*.md")
    pages = {path.relative_to(PROJECT) for kind in kinds for path in BOOK.glob(kind)}
    listed = table_of_contents()
    assert sorted(str(path.with_suffix("")) for path in pages) == sorted(listed)
    numbered = [page for page in listed if re.match(r"book/\d\d_", page)]
    assert numbered == [f"book/{chapter}" for chapter in CHAPTERS]


def test_every_chapter_is_run():
    assert sorted(LONGEST_FIRST) == CHAPTERS


@pytest.mark.parametrize("chapter", LONGEST_FIRST)
def test_a_chapter_says_and_asks_how_many_faces_it_needs(chapter):
    page = notebook(chapter)
    needs = read_needs(chapter)
    code = "".join(source(cell) for cell in page["cells"] if cell["cell_type"] == "code")
    assert bool(needs) == ("open_faces()" in code)
    start = source(page["cells"][0]).partition("**Before you start**")[2]
    told = re.findall(r"\d+", start.partition("it needs ")[2])
    several = {name: number for name, number in needs.items() if number > 1}
    both_kinds = [needs["pairs"]] if "pairs" in needs else []
    assert Counter(map(int, told)) == Counter([*several.values(), *both_kinds])


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_notebook_is_committed_without_outputs(chapter):
    for cell in notebook(chapter)["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_notebook_has_stable_ids_and_a_plain_kernel(chapter):
    book = notebook(chapter)
    ids = [cell["id"] for cell in book["cells"]]
    assert len(ids) == len(set(ids))
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert set(book["metadata"]) <= {"kernelspec", "language_info"}
    assert book["metadata"]["kernelspec"]["name"] == "python3"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_cells_are_short(chapter):
    cells = [cell for cell in notebook(chapter)["cells"] if cell["cell_type"] == "code"]
    lengths = [len(source(cell).splitlines()) for cell in cells if cell["id"] != COLAB_CELL]
    assert max(lengths) <= LONGEST_CELL
    assert statistics.median(lengths) < 8


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_chapter_has_one_title_and_exercises_with_solutions(chapter):
    cells = [source(cell) for cell in notebook(chapter)["cells"] if cell["cell_type"] == "markdown"]
    prose = "\n".join(cells)
    assert len(re.findall(r"^# ", prose, re.MULTILINE)) == 1
    number = int(chapter[:2])
    exercises = re.findall(rf"^### Exercise {number}\.(\d+)", prose, re.MULTILINE)
    solutions = re.findall(rf"^:+{{admonition}} Solution {number}\.(\d+)", prose, re.MULTILINE)
    assert len(exercises) >= 3
    assert exercises == [str(1 + i) for i in range(len(exercises))]
    assert solutions == exercises


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_figure_has_name_caption_and_text(chapter):
    shown = [cell["metadata"].get("mystnb", {}) for cell in notebook(chapter)["cells"]]
    assert any("figure" in output for output in shown)
    for cell, output in zip(notebook(chapter)["cells"], shown, strict=True):
        if "figure" in output:
            assert output["figure"]["name"].startswith("fig-")
            assert output["figure"]["caption"].strip()
            # An explorable figure brings the text for its still one along.
            assert "explorables." in source(cell) or output["image"]["alt"].strip()


def test_glossary_is_in_alphabetical_order_without_repetition():
    text = (BOOK / "glossary.md").read_text(encoding="utf-8")
    entries = text.split("```{glossary}\n")[1].split("```")[0]
    terms = [line.lower() for line in entries.splitlines() if line and not line.startswith(" ")]
    assert terms == sorted(set(terms))
    assert len(terms) >= 35


def anchor(heading: str) -> str:
    """Of a section with this heading, as MyST makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def mistakes(chapter: str) -> list[str]:
    """Headings within a chapter's "What goes wrong"."""
    cells = [source(cell) for cell in notebook(chapter)["cells"] if cell["cell_type"] == "markdown"]
    sections = re.split(r"^## ", "\n".join(cells), flags=re.MULTILINE)
    (wrong,) = (section for section in sections if section.startswith("What goes wrong\n"))
    return re.findall(r"^### (.+)$", wrong, re.MULTILINE)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_mistake_of_a_chapter_is_in_the_index_of_symptoms(chapter):
    text = (BOOK / "symptoms.md").read_text(encoding="utf-8")
    shown = set(re.findall(rf"\]\({chapter}\.ipynb#([^)]+)\)", text))
    headings = mistakes(chapter)
    assert len(headings) >= 2
    assert {heading for heading in headings if anchor(heading) not in shown} == set()


def test_bibliography_keys_are_in_order_without_repetition():
    text = (BOOK / "references.bib").read_text(encoding="utf-8")
    keys = re.findall(r"^@\w+\{([^,]+),", text, re.MULTILINE)
    assert keys == sorted(set(keys))


def questions() -> dict[str, str]:
    """The answer to each heading of the page "Questions people ask"."""
    text = (BOOK / "questions.md").read_text(encoding="utf-8")
    parts = re.split(r"^### (.+)$", text, flags=re.MULTILINE)
    return {
        question: answer.split("\n## ")[0].strip()
        for question, answer in zip(parts[1::2], parts[2::2], strict=True)
    }


def labels() -> list[str]:
    """What a reference may name: the labels of sections, in pages and chapters."""
    texts = [path.read_text(encoding="utf-8") for path in BOOK.glob("*.md")]
    texts += [source(cell) for chapter in CHAPTERS for cell in notebook(chapter)["cells"]]
    label_of_heading = re.compile(r"^\(([\w-]+)\)=\n(?=#)", re.MULTILINE)
    return [label for text in texts for label in label_of_heading.findall(text)]


def test_forty_questions_are_asked_and_each_answer_leads_to_its_section():
    asked = questions()
    assert len(asked) == 40
    assert [question for question in asked if not question.endswith("?")] == []
    known = set(labels())
    for question, answer in asked.items():
        assert "\n\n" not in answer, f"{question}: more than one paragraph"
        links = re.findall(r"\{ref\}`(?:[^`<]*<)?([\w-]+)>?`", answer)
        assert links and set(links) <= known, question


def test_no_label_is_given_twice():
    assert [label for label, count in Counter(labels()).items() if count > 1] == []


# What the pages say of the library


PAGES = sorted(str(path.relative_to(PROJECT)) for path in BOOK.glob("*.md"))
# After a prompt or as code within a line, perhaps with variables set and the folder named.
COMMAND = re.compile(
    r"(?:^\s*\$ |`)(?:\w+=\S+ )*(?:\.venv/bin/)?facenet (?P<words>[^`\n]+)", re.MULTILINE
)


def commands(page: str) -> list[list[str]]:
    """The words after ``facenet`` of every command line that a page shows."""
    text = (PROJECT / page).read_text(encoding="utf-8")
    return [shlex.split(match["words"], comments=True) for match in COMMAND.finditer(text)]


def test_pages_show_how_to_use_the_command():
    shown = [words[0] for page in ["README.md", *PAGES] for words in commands(page)]
    assert {"draw-faces", "import-weights", "train", "evaluate", "export", "embed"} <= set(shown)


@pytest.mark.parametrize("page", ["README.md", *PAGES])
def test_commands_on_the_pages_are_understood(page):
    parser = make_parser()
    for words in commands(page):
        named_alone = len(words) == 1 and not words[0].startswith("-")
        try:
            parser.parse_args([*words, "--help"] if named_alone else words)
        except SystemExit as leaving:
            assert leaving.code == 0, f"{page}: facenet {shlex.join(words)}"


# Every file


def test_no_file_is_large():
    assert [path for path in project_files() if path.stat().st_size > LARGEST_FILE] == []


@pytest.mark.parametrize(
    "line", ["see /home/me/x", "cd ../" + "shared", "# TODO: more", "takes @BOOK@ minutes", "@A_B@"]
)
def test_what_is_unwanted_would_be_found(line):
    assert UNWANTED.search(line)


def test_no_file_names_a_machine_or_leaves_a_note_to_self():
    found = []
    for path, text in text_files():
        if path == Path(__file__):
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            if UNWANTED.search(line):
                found.append(f"{path.relative_to(PROJECT)}:{number}: {line.strip()[:100]}")
    assert not found
