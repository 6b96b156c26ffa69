"""What the tests of the local server share: a model of version 1, a server for it, a gate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from asking_servers import Gate, gate_for_batches
from serving_models import NAME, save_model

from facenet_lib.serving.server import LocalServer


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / NAME
    save_model(folder, 1)
    return folder


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[LocalServer]:
    with LocalServer({NAME: models}) as running:
        yield running


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    with gate_for_batches(monkeypatch) as held:
        yield held


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A model's folder with versions 1, 2 and 10, and what is none."""
    root = tmp_path / "models" / "small network"
    for version in ("1", "2", "10"):
        (root / version).mkdir(parents=True)
        (root / version / "saved_model.pb").touch()
    (root / "3").mkdir()  # empty: being copied
    (root / "notes.txt").touch()
    return root
