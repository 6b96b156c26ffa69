"""What the tests of the local server share: a model of version 1, a server for it, a gate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from asking_servers import Gate, gate_for_batches
from made_up_servers import GrpcServer, RestServer
from serving_models import NAME, add_version, save_model

from facenet_lib.serving.client import Client
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


@pytest.fixture
def rest() -> Iterator[RestServer]:
    server = RestServer()
    yield server
    server.stop()


@pytest.fixture
def grpc_server() -> Iterator[GrpcServer]:
    server = GrpcServer()
    yield server
    server.stop()


@pytest.fixture(params=["rest", "grpc"])
def asked_server(request: pytest.FixtureRequest) -> RestServer | GrpcServer:
    """Each of the two servers in turn, for what the clients have in common."""
    return request.getfixturevalue("rest" if request.param == "rest" else "grpc_server")


@pytest.fixture
def small_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "most_answer_bytes", 4000)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited, without waiting."""
    found: list[float] = []
    monkeypatch.setattr("facenet_lib.serving.retries.time.sleep", found.append)
    return found


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Versions 1 and 2, ready to be served; version 2 answers twice as much."""
    folder = tmp_path_factory.mktemp("saved") / NAME
    return {version: save_model(folder, version) for version in (1, 2)}


@pytest.fixture
def folder(saved: dict[int, Path], tmp_path: Path) -> Path:
    """A folder of a model with version 1."""
    models = tmp_path / NAME
    models.mkdir()
    add_version(saved[1], models, 1)
    return models
