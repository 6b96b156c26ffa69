"""The record of a run: true, complete, and silent about people and computers."""

from __future__ import annotations

import getpass
import importlib.metadata
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from toy_training import full_disk

import facenet_lib
from facenet_lib.errors import FacenetError
from facenet_lib.runs.provenance import append_record, describe_environment

LIBRARY = Path(facenet_lib.__file__).parent
DESCRIBE = (
    "import json, sys; from facenet_lib.runs.provenance import describe_environment; "
    "print(json.dumps([describe_environment(sys.argv[1:]), sorted(sys.modules)]))"
)


# What a run is started with


def test_what_the_run_needs_is_described():
    before = datetime.now(UTC)
    found = describe_environment(["train", "faces", "--seed", "3"])
    started = datetime.fromisoformat(found.pop("started"))
    assert started.utcoffset() == timedelta(0)
    assert before - timedelta(seconds=1) <= started <= datetime.now(UTC)
    assert 1 <= found.pop("processors") <= os.cpu_count()
    del found["git"]
    packages = ("tensorflow", "keras", "numpy", "pillow")
    assert found == {
        "arguments": ["train", "faces", "--seed", "3"],
        "python": sys.version.split()[0],
        "operating_system": platform.platform(),
        "versions": {
            "facenet_lib": facenet_lib.__version__,
            **{name: importlib.metadata.version(name) for name in packages},
        },
    }


def test_a_package_that_is_not_there_has_no_version(monkeypatch):
    version = importlib.metadata.version

    def without_tensorflow(name):
        if name == "tensorflow":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without_tensorflow)
    versions = describe_environment([])["versions"]
    assert versions["tensorflow"] is None
    assert versions["numpy"] == version("numpy")


def test_nothing_private_is_described(monkeypatch):
    for name in ("USER", "LOGNAME", "HOSTNAME", "API_TOKEN"):
        monkeypatch.setenv(name, f"private-{name}")
    written = json.dumps(describe_environment([]))
    for private in ("private-", str(Path.home()), str(LIBRARY), str(Path.cwd()), sys.executable):
        assert private not in written
    for name in (socket.gethostname(), getpass.getuser()):
        assert f'"{name}' not in written


# The checkout


@pytest.fixture
def library(tmp_path):
    """The library, in a folder of its own."""
    folder = tmp_path / "project" / "facenet_lib"
    return shutil.copytree(LIBRARY, folder, ignore=shutil.ignore_patterns("__pycache__"))


def described(library, **environment):
    """What the copy says of itself, and the modules it has loaded."""
    done = subprocess.run(
        [sys.executable, "-c", DESCRIBE],
        cwd=library.parents[1],
        env={**os.environ, "PYTHONPATH": str(library.parent), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def git(folder, *arguments):
    who = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(project):
    git(project, "init", "--quiet")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "-m", "one")
    return git(project, "rev-parse", "HEAD")


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def test_a_library_outside_of_a_checkout_has_no_revision(library):
    record, modules = described(library)
    assert record["git"] is None
    assert not {"tensorflow", "keras", "matplotlib"} & set(modules)


@pytest.mark.slow
@needs_git
def test_the_revision_of_the_checkout_and_its_changes(library):
    project = library.parent
    (project / "README.md").write_text("one\n")
    revision = commit(project)
    assert described(library)[0]["git"] == {"revision": revision, "uncommitted_changes": False}
    (project / "notes.txt").write_text("git does not track me\n")
    assert described(library)[0]["git"]["uncommitted_changes"] is False
    (project / "README.md").write_text("two\n")
    assert described(library)[0]["git"] == {"revision": revision, "uncommitted_changes": True}
    git(project, "add", "README.md")  # staged is not committed
    assert described(library)[0]["git"]["uncommitted_changes"] is True
    git(project, "commit", "--quiet", "-m", "two")
    again = described(library)[0]["git"]
    assert again == {"revision": git(project, "rev-parse", "HEAD"), "uncommitted_changes": False}
    assert again["revision"] != revision


@needs_git
def test_a_library_installed_inside_of_another_checkout_is_no_part_of_it(library):
    project = library.parent
    (project / ".gitignore").write_text("facenet_lib\n")
    commit(project)
    assert described(library)[0]["git"] is None


@needs_git
def test_gits_own_variables_do_not_lead_to_another_checkout(library, tmp_path):
    revision = commit(library.parent)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    commit(tmp_path / "other")
    found = described(
        library, GIT_DIR=str(tmp_path / "other" / ".git"), GIT_WORK_TREE=str(tmp_path / "other")
    )
    assert found[0]["git"] == {"revision": revision, "uncommitted_changes": False}


@pytest.mark.slow
@needs_git
def test_a_checkout_without_a_commit_or_without_git_has_no_revision(library, tmp_path):
    git(library.parent, "init", "--quiet")
    git(library.parent, "add", ".")
    assert described(library)[0]["git"] is None
    commit(library.parent)
    assert described(library)[0]["git"] is not None
    (tmp_path / "empty").mkdir()
    assert described(library, PATH=str(tmp_path / "empty"))[0]["git"] is None


# The file


def test_every_start_adds_an_entry(tmp_path):
    path = tmp_path / "record.json"
    entries = [{"arguments": ["\udcff", "Zoë"]}, describe_environment(["b"]), {}]
    for number, entry in enumerate(entries, start=1):
        append_record(path, entry)
        assert json.loads(path.read_bytes()) == entries[:number]
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "Expecting value"),
        (b'[{"started": "2026', "Unterminated string"),
        (b"\xff\xfe\xff", "found UTF-16 text"),
        (b"\xff", "found byte 0xff at position 1"),
        (b'{"started": 1}', "expected a list, found"),
        (b"[" * 100_000, "recursion"),
    ],
)
def test_a_damaged_record_is_moved_aside_aloud(tmp_path, capsys, content, told):
    path = tmp_path / "record.json"
    for number in (1, 2):
        path.write_bytes(content)
        append_record(path, {"start": number})
        assert json.loads(path.read_bytes()) == [{"start": number}]
        aside = tmp_path / f"record.json.damaged-{number}"
        assert aside.read_bytes() == content
        said = capsys.readouterr().err
        assert said.startswith(f"{path}: damaged record: ")
        assert told in said
        assert said.endswith(f"; moved to {aside.name}\n")
        assert said.count("\n") == 1


def test_a_record_that_cannot_be_read_is_moved_aside_too(tmp_path, capsys):
    path = tmp_path / "record.json"
    (path / "inside").mkdir(parents=True)
    append_record(path, {"start": 1})
    assert json.loads(path.read_bytes()) == [{"start": 1}]
    assert (tmp_path / "record.json.damaged-1" / "inside").is_dir()
    assert "Is a directory" in capsys.readouterr().err


def test_a_record_that_cannot_be_written_is_told_and_what_there_was_stays(tmp_path):
    path = tmp_path / "record.json"
    append_record(path, {"start": 1})
    before = path.read_bytes()
    with full_disk(1000), pytest.raises(FacenetError, match=r"record\.json: cannot be written"):
        append_record(path, {"arguments": ["x" * 2000]})
    assert path.read_bytes() == before
    with pytest.raises(FacenetError, match=r"record\.json: cannot be written: No such file"):
        append_record(tmp_path / "gone" / "record.json", {})
