"""Speed, memory and recall of the searches for a face, each on one core.

The faces are made up: people in 128 numbers of which, as with embeddings, some vary much more than
others (they are worth about 30 that vary alike), and ten photographs of each. Two photographs of
one person are 0.4 apart, of two people 2. Run with ``make bench``, or ``pytest
tests/benchmarks/test_bench_recognition.py -s``; it asserts no time.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_report import Figure, Report, Row, Spread

from facenet_lib.recognition.approximate import build_index
from facenet_lib.recognition.search import nearest_rows
from facenet_lib.verification import distances

KINDS = {  # hnsw's graph of a million takes a core eleven minutes
    10_000: ("exact_half", "hnsw"),
    100_000: ("exact_half", "hnsw"),
    1_000_000: ("exact_half",),
}
WIDTH, PHOTOGRAPHS = 128, 10
BATCH, BATCHES = 64, 5
QUERIES = BATCH * BATCHES
SPECTRUM = np.exp(-np.arange(WIDTH, dtype=np.float32) / 15)
WITHIN = 0.2  # share of the variance that is among the photographs of one person

Search = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]


def draw_people(generator: np.random.Generator, people: int) -> np.ndarray:
    between = np.sqrt((1 - WITHIN) * SPECTRUM / SPECTRUM.sum())
    return between * generator.standard_normal((people, WIDTH), dtype=np.float32)


def photograph(generator: np.random.Generator, people: np.ndarray) -> np.ndarray:
    """One photograph of each; what differs is half as people do, half the same in all numbers."""
    within = np.sqrt(WITHIN * (SPECTRUM / SPECTRUM.sum() + 1 / WIDTH) / 2)
    faces = people + within * generator.standard_normal(people.shape, dtype=np.float32)
    return faces / np.linalg.norm(faces, axis=1, keepdims=True)


def measure(kind: str, faces: int) -> dict[str, Any]:
    """What one kind of search takes; ``exact`` is the library's own."""
    generator = np.random.default_rng(0)
    people = draw_people(generator, faces // PHOTOGRAPHS)
    gallery = photograph(generator, np.repeat(people, PHOTOGRAPHS, axis=0))
    known = photograph(generator, generator.choice(people, QUERIES))
    strangers = photograph(generator, draw_people(generator, QUERIES))
    searcher(kind, gallery[:1000])  # loads what it needs
    before, start = resident_bytes(), time.perf_counter()
    search = searcher(kind, gallery)
    build, after = time.perf_counter() - start, resident_bytes()
    search(known, 1)
    return {
        "build": build,
        "bytes": gallery.nbytes if kind == "exact" else after - before,
        "one by one": rates(search, np.split(known[:BATCH], BATCH)),
        f"in batches of {BATCH}": rates(search, np.split(known, BATCHES)),
        "known people": recall(search, known, gallery),
        "strangers": recall(search, strangers, gallery),
    }


def searcher(kind: str, gallery: np.ndarray) -> Search:
    if kind == "exact":
        return lambda queries, k: nearest_rows(queries, gallery, k)
    return build_index(gallery, kind, recall_at_least=0).search


def rates(search: Search, batches: list[np.ndarray]) -> list[float]:
    """Queries a second."""
    found = []
    for batch in batches:
        start = time.perf_counter()
        search(batch, 1)
        found.append(len(batch) / (time.perf_counter() - start))
    return found


def recall(search: Search, queries: np.ndarray, gallery: np.ndarray) -> float:
    """Share of the queries for which no face is nearer than the first that is found."""
    found, nearest = (
        distances(queries, gallery[each(queries, 1)[0][:, 0]])
        for each in (search, searcher("exact", gallery))
    )
    return float(np.mean(found <= nearest))


def resident_bytes() -> int:
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # gives back what is no longer used
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) * 1024


def measure_alone(kind: str, faces: int) -> dict[str, Any]:
    """In a process of its own, on one core."""
    program = "import json, test_bench_recognition as bench; print(json.dumps(bench.measure{}))"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program.format((kind, faces))]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process its memory")
@pytest.mark.parametrize("faces", KINDS)
def test_searches(faces: int, report: Report) -> None:
    section = f"{faces:,} faces x {WIDTH}, one core (queries a second), beside nearest_rows"
    exact = measure_alone("exact", faces)
    for kind in KINDS[faces]:
        ours = measure_alone(kind, faces)
        for how in ("one by one", f"in batches of {BATCH}"):
            other = Spread((Spread(tuple(exact[how])).median,))
            report.add(Row(section, f"{kind}, {how}", Spread(tuple(ours[how])), other))
        report.add(
            Figure(section, f"{kind}: build, its recall measured", ours["build"], "s"),
            Figure(section, f"{kind}: memory", ours["bytes"] / 2**20, "MiB"),
            *(
                Figure(section, f"{kind}: recall, {who}", f"{ours[who]:.4f}")
                for who in ("known people", "strangers")
            ),
        )
    report.add(Figure(section, "nearest_rows: memory", exact["bytes"] / 2**20, "MiB"))
