"""Every benchmark adds its rows to one report, printed and written when all are done.

The peer facenet-pytorch is measured where the environment variable ``FACENET_PEERS`` names a
virtual environment that has it::

    python3 -m venv PEERS; PEERS/bin/pip install torch==2.13.0 numpy pillow requests tqdm
    PEERS/bin/pip install --no-deps facenet-pytorch==2.6.0

"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from bench_report import Report, processor
from turns import StartPeer
from worker_protocol import Worker

JSON = Path(__file__).parents[2] / "_build" / "bench.json"
_REPORT = pytest.StashKey[Report]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_REPORT] = Report()


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Report:
    return request.config.stash[_REPORT]


@pytest.fixture(scope="session")
def peer_python() -> str | None:
    """The interpreter of FACENET_PEERS, if that is set."""
    folder = os.environ.get("FACENET_PEERS")
    if folder is None:
        making = __doc__.split("::\n\n")[1].split("\n\n")[0]
        print(f"\nno peer: set FACENET_PEERS to a virtual environment made so:\n{making}")
        return None
    python = Path(folder).absolute() / "bin" / "python"
    if not python.is_file():
        pytest.fail(f"FACENET_PEERS: expected a virtual environment, found no {python}")
    return str(python)


@pytest.fixture
def start_peer(peer_python: str | None, report: Report) -> Iterator[StartPeer]:
    """Starts workers of the peer, or answers None where there is no peer."""
    started: list[Worker] = []

    def begin(environment: Mapping[str, str] | None = None) -> Worker | None:
        if peer_python is None:
            return None
        started.append(Worker("worker_facenet_pytorch.py", peer_python, environment))
        report.versions.update(started[-1].ask("versions"))
        return started[-1]

    yield begin
    for worker in started:
        worker.close()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    report = config.stash[_REPORT]
    if not (report.rows or report.figures):
        return
    report.write(JSON)
    about = processor()
    having = ", ".join(name for name, there in about.get("flags", {}).items() if there)
    terminalreporter.section("benchmarks")
    terminalreporter.write_line(f"{about['model']}, {about['cores']} cores, {having}\n")
    terminalreporter.write_line(report.text())
    terminalreporter.write_line(f"\nwritten to {JSON}")
