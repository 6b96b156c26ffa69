"""What a collection costs: photographs a second and core, bytes of a face, on disk and in an index.

Run with ``make bench``, or ``pytest tests/benchmarks/test_bench_collection.py -s``; it asserts no
time. YuNet is measured where ``FACENET_YUNET`` names its file.
"""

from __future__ import annotations

import os
from pathlib import Path

import faiss
import pytest
from bench_report import PAIRS, Figure, Report, Row, Spread
from worker_protocol import Worker

from facenet_lib.drawn_faces import write_photographs

pytest.importorskip("pyarrow", reason="the extra cluster is not installed")

SECTION = "Collections, one face each, full network (photographs a second of one core)"
DETECTORS = ["mtcnn", *(["yunet"] if "FACENET_YUNET" in os.environ else [])]
PHOTOGRAPHS, WIDTH = 16, 512


def test_photographs_a_second(tmp_path: Path, report: Report) -> None:
    album = tmp_path / "album"
    write_photographs(album, PHOTOGRAPHS, range(60), seed=0)
    variables = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OPENCV_FOR_THREADS_NUM")
    one_thread = dict.fromkeys(variables, "1")
    workers = {name: Worker("worker_collection.py", environment=one_thread) for name in DETECTORS}
    exported = Worker("worker_facenet_lib.py")
    model = exported.ask("export", out=str(tmp_path / "model"))
    exported.close()
    for name, worker in workers.items():
        given = {"folder": str(album), "detector": name, "model": model}
        worker.ask("prepare", **given, yunet_file=os.environ.get("FACENET_YUNET"))
    rates: dict[str, list[float]] = {name: [] for name in workers}
    for _ in range(PAIRS):
        for name, worker in workers.items():
            turn = worker.ask("turn")
            rates[name].append(turn["rate"])
    for name, worker in workers.items():
        report.add(Row(SECTION, name, Spread(tuple(rates[name]))))
        for part, milliseconds in worker.ask("parts").items():
            report.add(Figure(SECTION, f"{name}: {part}", milliseconds, "ms a photograph"))
        report.add(Figure(SECTION, f"{name}: most memory", worker.ask("memory"), "MB"))
        worker.close()
    report.add(Figure(SECTION, f"Parquet, a face of {WIDTH} numbers", turn["bytes"], "bytes"))


def test_bytes_of_an_index(report: Report) -> None:
    kinds = {
        "float32": faiss.IndexFlatL2(WIDTH),
        "float16": faiss.IndexScalarQuantizer(WIDTH, faiss.ScalarQuantizer.QT_fp16),
        "product quantization, 64 parts": faiss.IndexPQ(WIDTH, 64, 8),
    }
    for name, index in kinds.items():
        report.add(Figure(SECTION, f"index, {name}, a face", index.sa_code_size(), "bytes"))
