"""Speed of the detectors beside the package ``mtcnn``, on one core.

Run with ``make bench``, or ``pytest tests/benchmarks/test_bench_detection.py -s``; it asserts no
time. YuNet is measured where ``FACENET_YUNET`` names its file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest
from bench_report import PAIRS, Figure, Report, Row, Spread
from pasted_faces import picture_of
from worker_detection import BATCH
from worker_protocol import Worker

SECTION = "Detection, one core (photographs a second), beside the package mtcnn"
SECONDS = 1.0
PHOTOGRAPHS = {
    "250 x 250, one face": picture_of(250, 250, [(40, 40, 170)]),
    "1000 x 750, six faces": picture_of(
        750, 1000, [(x, y, 60 + y // 4) for x in (40, 350, 700) for y in (20, 400)]
    ),
    "2000 x 2000, six faces": picture_of(
        2000, 2000, [(x, y, 300) for x in (40, 700, 1500) for y in (20, 1200)]
    ),
}


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Worker]]:
    """Workers that have found as many faces, or the ratio means nothing."""
    folder = tmp_path_factory.mktemp("photographs")
    paths = [str(folder / f"{number}.npy") for number in range(len(PHOTOGRAPHS))]
    for path, image in zip(paths, PHOTOGRAPHS.values(), strict=True):
        np.save(path, image)
    one_thread = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    names = ["mtcnn", "package", *(["yunet"] if "FACENET_YUNET" in os.environ else [])]
    started = {name: Worker("worker_detection.py", environment=one_thread) for name in names}
    found = {
        name: worker.ask(
            "prepare",
            detector=name,
            photographs=paths,
            yunet_file=os.environ.get("FACENET_YUNET"),
        )
        for name, worker in started.items()
    }
    assert found["mtcnn"][:2] == found["package"][:2]
    yield started
    for worker in started.values():
        worker.close()


@pytest.mark.parametrize("number", range(len(PHOTOGRAPHS)), ids=list(PHOTOGRAPHS))
def test_one_photograph_at_a_time(workers: dict[str, Worker], number: int, report: Report) -> None:
    rates: dict[str, list[float]] = {name: [] for name in workers}
    for _ in range(PAIRS):
        for name, worker in workers.items():
            rates[name].append(worker.ask("turn", photograph=number, seconds=SECONDS))
    package = Spread(tuple(rates.pop("package")))
    for name, values in rates.items():
        what = f"{name}, {list(PHOTOGRAPHS)[number]}"
        report.add(Row(SECTION, what, Spread(tuple(values)), package))


def test_batches(workers: dict[str, Worker], report: Report) -> None:
    rates: dict[str, list[float]] = {"mtcnn": [], "package": []}
    for _ in range(PAIRS):
        for name, values in rates.items():
            values.append(workers[name].ask("turn", photograph=0, seconds=2 * SECONDS, batch=BATCH))
    ours, package = (Spread(tuple(values)) for values in rates.values())
    report.add(Row(SECTION, f"mtcnn, batches of {BATCH}, {next(iter(PHOTOGRAPHS))}", ours, package))


def test_memory(workers: dict[str, Worker], report: Report) -> None:
    for name, worker in workers.items():
        memory = worker.ask("memory")
        if memory is not None:
            report.add(Figure(SECTION, f"most memory, {name}, all of the above", memory, "MB"))
