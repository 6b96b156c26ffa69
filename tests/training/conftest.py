"""What the tests of training share: the faces, pairs and runs of the small network."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def faces(toy_faces):
    return toy_faces


@pytest.fixture(scope="session")
def pairs(toy_pairs):
    return toy_pairs


@pytest.fixture(scope="session")
def whole_run(toy_run):
    """A run that nothing interrupted."""
    return toy_run


@pytest.fixture
def run(tmp_path, whole_run):
    """A copy of that run, to be damaged."""
    return Path(shutil.copytree(whole_run, tmp_path / "run"))
