"""A small run and its export, which the tests of several commands need."""

import pytest
from running_commands import TRAIN_WORDS
from toy_training import draw_people, write_ten_folds

from facenet_lib.cli import main
from facenet_lib.serving.server import LocalServer


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Faces in one folder, with a pairs file over half of the people and a schedule."""
    root = tmp_path_factory.mktemp("faces")
    draw_people(root, "Known")
    write_ten_folds(root / "pairs.txt", draw_people(root, "Unknown", images=6, seed=1))
    return root


@pytest.fixture(scope="session")
def schedule(tmp_path_factory):
    path = tmp_path_factory.mktemp("schedule") / "schedule.txt"
    path.write_text("# epoch: rate\n0: 1e-2\n1: 5e-3\n")
    return path


@pytest.fixture(scope="session")
def run(tmp_path_factory, folder, schedule):
    out = tmp_path_factory.mktemp("runs") / "run"
    words = ["train", folder, "--out", out, "--learning-rates", schedule, *TRAIN_WORDS]
    assert main(list(map(str, words))) == 0
    return out


@pytest.fixture(scope="session")
def exported(tmp_path_factory, run):
    out = tmp_path_factory.mktemp("models") / "facenet"
    assert main(["export", str(run), str(out)]) == 0
    return out


@pytest.fixture(scope="session")
def server(exported):
    with LocalServer({"facenet": exported, "other": exported}) as running:
        yield running
