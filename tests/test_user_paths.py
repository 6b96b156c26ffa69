"""Paths in environment variables mean the folder where the user stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from house import BOOK
from lanes import LONGEST_FIRST
from prepare_chapters import read_needs
from user_paths import resolve_user_paths


@pytest.mark.parametrize("variable", ["FACENET_FACES", "FACENET_CACHE", "SCIKIT_LEARN_DATA"])
def test_a_path_is_that_of_the_folder_where_the_user_stands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, "my faces/2024")
    resolve_user_paths()
    assert os.environ[variable] == str(tmp_path / "my faces" / "2024")
    monkeypatch.chdir(tmp_path.parent)
    resolve_user_paths()
    assert os.environ[variable] == str(tmp_path / "my faces" / "2024")


@pytest.mark.parametrize("word", ["drawn", "lfw", ""])
def test_words_that_are_no_paths_stay(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setenv("FACENET_FACES", word)
    resolve_user_paths()
    assert os.environ["FACENET_FACES"] == word


def test_the_home_folder_may_be_abbreviated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("FACENET_FACES", "~/faces")
    resolve_user_paths()
    assert os.environ["FACENET_FACES"] == str(tmp_path / "faces")


def test_a_command_that_runs_elsewhere_finds_them(tmp_path: Path) -> None:
    asked = "import os; os.chdir('/'); print(os.environ['FACENET_FACES'])"
    command = [sys.executable, str(BOOK / "user_paths.py"), sys.executable, "-c", asked]
    variables = os.environ | {"FACENET_FACES": "faces"}
    done = subprocess.run(
        command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(tmp_path / "faces")


def test_pytest_runs_chapters_with_such_paths(tmp_path: Path) -> None:
    asked = "import os, conftest; print(os.environ['FACENET_FACES'])"
    variables = os.environ | {"FACENET_FACES": "faces", "PYTHONPATH": str(BOOK)}
    command = [sys.executable, "-c", asked]
    done = subprocess.run(
        command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(tmp_path / "faces")


@pytest.mark.slow
@pytest.mark.parametrize("program", ["prepare_chapters.py", "run_chapters.py"])
def test_too_few_faces_are_refused_for_all_chapters_before_anything_is_made(
    tmp_path: Path, program: str
) -> None:
    (tmp_path / "few" / "Ann").mkdir(parents=True)
    (tmp_path / "few" / "Ann" / "Ann_0001.jpg").touch()
    variables = os.environ | {"FACENET_FACES": "few", "FACENET_CACHE": "cache"}
    done = subprocess.run(
        [sys.executable, str(BOOK / program), str(tmp_path / "outputs")],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    for chapter in (name for name in LONGEST_FIRST if read_needs(name)):
        assert f"{chapter}: {tmp_path / 'few'}: too few faces: " in done.stderr
    assert not (tmp_path / "cache").exists()
