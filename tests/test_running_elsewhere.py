"""Binder, Colab, GitHub, a container, other systems: what each of them finds in the project."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from house import BOOK, PROJECT, chapters, notebook, source
from repository_links import COLAB_CELL, NO_ADDRESS

ADDRESS = "https://github.com/someone/facenet-book"
CHAPTER = "02_index_queue"

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    done = subprocess.run(
        ["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(folder: Path, what: str = "all") -> str:
    """Commit all that is in a folder; return the revision."""
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", what)
    return git(folder, "rev-parse", "HEAD")


def colab_cell(chapter: str = CHAPTER) -> str:
    (cell,) = [cell for cell in notebook(chapter)["cells"] if cell["id"] == COLAB_CELL]
    return source(cell)


# The cell


@pytest.mark.parametrize("chapter", chapters().values())
def test_every_chapter_begins_with_the_same_cell_which_no_page_shows(chapter):
    first = next(cell for cell in notebook(chapter)["cells"] if cell["cell_type"] == "code")
    assert (first["id"], first["metadata"]) == (COLAB_CELL, {"tags": ["remove-cell"]})
    assert source(first) == colab_cell()


@pytest.mark.parametrize("chapter", chapters().values())
def test_a_chapter_needs_no_file_beside_it(chapter):
    """Colab opens the notebook alone."""
    code = [source(cell) for cell in notebook(chapter)["cells"] if cell["cell_type"] == "code"]
    assert [cell for cell in code if "_static" in cell] == []


def run_cell(python: Path, cell: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run a cell where ``path`` is all that can be imported besides what is installed."""
    environment = {**os.environ, "PYTHONPATH": str(path)}
    command = [str(python), "-c", cell]
    return subprocess.run(command, env=environment, cwd=path, capture_output=True, text=True)


@pytest.fixture
def colab(tmp_path: Path) -> Path:
    """A folder with a module that makes a Python look like Colab's."""
    (tmp_path / "colab" / "google" / "colab").mkdir(parents=True)
    (tmp_path / "colab" / "google" / "colab" / "__init__.py").touch()
    return tmp_path / "colab"


def test_elsewhere_the_cell_does_nothing(tmp_path):
    (tmp_path / "google").mkdir()  # others have a package of this name, too
    filled = colab_cell().replace(NO_ADDRESS, 'LIBRARY = "git+file:///nowhere"')
    for folder in (tmp_path, tmp_path / "google"):
        done = run_cell(Path(sys.executable), filled, folder)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_notebook_without_an_address_says_in_colab_where_one_is(colab):
    done = run_cell(Path(sys.executable), colab_cell(), colab)
    assert done.returncode == 1
    assert "open this chapter with the button of the published book" in done.stderr


# A package of the library's name that builds itself: an empty environment has nothing to do it.
BUILT = {
    "pyproject.toml": """
[build-system]
requires = []
build-backend = "build"
backend-path = ["."]
""",
    "build.py": """
from zipfile import ZipFile
METADATA = "Metadata-Version: 2.1\\nName: facenet-lib\\nVersion: 1\\nProvides-Extra: chapters\\n"
WHEEL = "Wheel-Version: 1.0\\nGenerator: this\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
def build_wheel(folder, settings=None, metadata=None):
    name = "facenet_lib-1-py3-none-any.whl"
    with ZipFile(f"{folder}/{name}", "w") as wheel:
        wheel.write("facenet_lib.py")
        for file, text in {"METADATA": METADATA, "WHEEL": WHEEL, "RECORD": ""}.items():
            wheel.writestr(f"facenet_lib-1.dist-info/{file}", text)
    return name
""",
}


@needs_git
@pytest.mark.slow
def test_in_colab_the_cell_installs_the_built_revision(tmp_path, colab):
    library = tmp_path / "library"
    library.mkdir()
    for name, text in {**BUILT, "facenet_lib.py": "revision = 'built'"}.items():
        (library / name).write_text(text)
    built = commit(library)
    (library / "facenet_lib.py").write_text("revision = 'later'")
    commit(library, "later")

    empty = tmp_path / "empty"
    subprocess.run([sys.executable, "-m", "venv", str(empty)], check=True)
    python = next(path for path in empty.glob("*/python*") if path.stem == "python")
    address = library.as_uri().replace("file://", "git+file://localhost")  # pip wants a host
    cell = colab_cell().replace(NO_ADDRESS, f'LIBRARY = "{address}@{built}"')
    done = run_cell(python, f"{cell}\nimport facenet_lib\nprint(facenet_lib.revision)", colab)
    assert done.stdout == "built\n", done.stderr


# The buttons


def build_pages(folder: Path, address: str) -> Path:
    """Build a book of two pages with the project's settings; nothing may be warned of."""
    for name in ("_ext", "_static", "_templates"):
        shutil.copytree(BOOK / name, folder / "book" / name)
    shutil.copy(BOOK / "references.bib", folder / "book")
    settings = (PROJECT / "_config.yml").read_text(encoding="utf-8")
    settings, addresses = re.subn(r'(?m)^  url: ""$', f'  url: "{address}"', settings)
    assert addresses == 1
    settings = re.sub(r"execute_notebooks: \w+", 'execute_notebooks: "off"', settings)
    settings = settings.replace("    attribute_docs: book/_ext\n", "")  # which loads the library
    (folder / "_config.yml").write_text(settings, encoding="utf-8")
    (folder / "_toc.yml").write_text(
        f"format: jb-book\nroot: book/index\nchapters:\n  - file: book/{CHAPTER}\n"
    )
    (folder / "book" / "index.md").write_text("# Title\n\nText.\n")
    page = notebook(CHAPTER)
    title = page["cells"][0] | {"source": "# Chapter\n\nText.\n"}
    cells = [title, *(cell for cell in page["cells"] if cell["id"] == COLAB_CELL)]
    (folder / "book" / f"{CHAPTER}.ipynb").write_text(json.dumps(page | {"cells": cells}))
    commit(folder)
    program = "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", program, "build", "-n", "-W", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "_build" / "html"


def outside_links(page: Path) -> set[str]:
    text = page.read_text(encoding="utf-8")
    return set(re.findall(r'<a\s[^>]*href="(https?://[^"]*)"', text))


@needs_git
@pytest.mark.slow
def test_without_an_address_no_page_has_a_button_that_leads_outside(tmp_path):
    pages = build_pages(tmp_path, "")
    for name in ("index", CHAPTER):
        links = outside_links(pages / "book" / f"{name}.html")
        assert not [link for link in links if re.search("github|colab|binder", link)]
    assert NO_ADDRESS in source_of_published_cell(pages)


@needs_git
@pytest.mark.slow
def test_with_an_address_pages_have_the_buttons(tmp_path):
    pages = build_pages(tmp_path, ADDRESS)
    links = outside_links(pages / "book" / f"{CHAPTER}.html")
    there = f"github/someone/facenet-book/blob/gh-pages/_sources/book/{CHAPTER}.ipynb"
    assert f"https://colab.research.google.com/{there}" in links
    binder = "https://mybinder.org/v2/gh/someone/facenet-book/main?urlpath=lab/tree"
    assert f"{binder}/book/{CHAPTER}.ipynb" in links
    for name, suffix in (("index", "md"), (CHAPTER, "ipynb")):
        links = outside_links(pages / "book" / f"{name}.html")
        assert {ADDRESS, f"{ADDRESS}/edit/main/book/{name}.{suffix}"} <= links
        assert any(link.startswith(f"{ADDRESS}/issues/new?") for link in links)
    described = (pages / "book" / f"{CHAPTER}.html").read_text(encoding="utf-8")
    assert "https://someone.github.io/facenet-book/_static/preview.jpg" in described
    revision = git(tmp_path, "rev-parse", "HEAD")
    filled = f'LIBRARY = "git+{ADDRESS}@{revision}"'
    assert source_of_published_cell(pages) == colab_cell().replace(NO_ADDRESS, filled)
    assert "install" not in (pages / "book" / f"{CHAPTER}.html").read_text(encoding="utf-8")


def source_of_published_cell(pages: Path) -> str:
    published = pages / "_sources" / "book" / f"{CHAPTER}.ipynb"
    cells = json.loads(published.read_text(encoding="utf-8"))["cells"]
    return next(source(cell) for cell in cells if cell["id"] == COLAB_CELL)


# What runs on GitHub, and in a container

WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_may_read_only_and_name_others_actions_by_revision(path):
    text = path.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    writing = {name for name, job in workflow["jobs"].items() if "permissions" in job}
    assert writing <= {"publish"}
    used = re.findall(r"uses: (.+)", text)
    assert used
    assert [action for action in used if not re.fullmatch(r"\S+@[0-9a-f]{40} # v\S+", action)] == []


@pytest.mark.parametrize("name", ["Dockerfile", ".github/workflows/book.yml"])
def test_what_they_make_and_copy_is_there(name):
    text = (PROJECT / name).read_text(encoding="utf-8")
    goals = re.findall(r"(?:&& |run: |RUN )(?:\w+=\S+ )*make (\S+)", text)
    rules = (
        (PROJECT / "Makefile")
        .read_text(encoding="utf-8")
        .replace("$(INSTALLED):", ".venv/installed:")
    )
    assert goals and [goal for goal in goals if f"\n{goal}:" not in rules] == []
    copied = " ".join(re.findall(r"^COPY --\S+ (.+) \S+$", text, re.MULTILINE)).split()
    paths = [*copied, *re.findall(r"\btests/\S+", text)]
    assert paths and [path for path in paths if not (PROJECT / path).exists()] == []


# Other systems


@pytest.mark.slow
def test_library_and_tests_load_without_what_only_unix_has():
    command = [sys.executable, "-m", "pytest", "-p", "made_up_windows", "--collect-only", "-q"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "tests")}
    done = subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
