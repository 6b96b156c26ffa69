"""One network in every form in which it is exported: rate, size, memory, start and difference.

Run with ``make bench``, or ``pytest tests/benchmarks/test_bench_exports.py -s``. The table is
written to ``_build/exports.md``, too, as the page "Which export for me?" has it.
"""

from __future__ import annotations

import datetime
import time
from pathlib import Path

import numpy as np
import pytest
from bench_report import Figure, Report, Row, Spread, processor
from turns import StartPeer, in_turn, turn_of
from worker_protocol import Worker

pytest.importorskip("tf2onnx", reason="needs the extra onnx")
pytest.importorskip("openvino", reason="needs the extra openvino")

BATCHES = (1, 4, 16)
RATES = "Exports: full network, 160 pixels, beside SavedModel float32 (images a second)"
REST = "Exports: size, start and memory; difference from SavedModel float32 (squared distance)"
PEER = "facenet-pytorch float32"
TABLE = Path(__file__).parents[2] / "_build" / "exports.md"


def test_exports(report: Report, start_peer: StartPeer, tmp_path: Path) -> None:
    exporter = Worker("worker_exports.py")
    folders = exporter.ask("export", out=str(tmp_path))
    exporter.close()
    workers, starts = {}, {}
    for kind, folder in folders.items():
        began = time.perf_counter()
        workers[kind] = Worker("worker_exports.py")
        workers[kind].ask("load", folder=folder)
        starts[kind] = time.perf_counter() - began
    embeddings = {kind: np.array(worker.ask("embeddings")) for kind, worker in workers.items()}
    contestants = dict(workers)
    if peer := start_peer():
        peer.ask("infer")
        contestants[PEER] = peer
    rates = {
        batch: in_turn({kind: turn_of(worker, batch) for kind, worker in contestants.items()})
        for batch in BATCHES
    }
    memory = {kind: worker.ask("memory") for kind, worker in workers.items()}
    for worker in workers.values():
        worker.close()
    exact = embeddings["SavedModel float32"]
    differences = {kind: np.sum((e - exact) ** 2, axis=1).max() for kind, e in embeddings.items()}
    sizes = {kind: _megabytes(Path(folder)) for kind, folder in folders.items()}
    for batch, found in rates.items():
        for kind, rate in found.items():
            report.add(Row(RATES, f"{kind}, batch {batch}", rate, found["SavedModel float32"]))
    for kind in folders:
        about = f"{sizes[kind]:.0f} MB, {starts[kind]:.1f} s, {memory[kind] or 0:,.0f} MB"
        report.add(Figure(REST, kind, f"{about}, {differences[kind]:.1e}"))
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(_table(rates, sizes, starts, memory, differences), "utf-8")
    assert differences["ONNX Runtime float32"] < 1e-8 > differences["OpenVINO float32"]


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _table(
    rates: dict[int, dict[str, Spread]],
    sizes: dict[str, float],
    starts: dict[str, float],
    memory: dict[str, float | None],
    differences: dict[str, float],
) -> str:
    headings = [f"batch {batch}" for batch in rates]
    headings += ["on disk (MB)", "first answer (s)", "memory (MB)", "difference"]
    lines = [f"| | {' | '.join(headings)} |", f"|---|{'---|' * len(headings)}"]
    for kind in rates[1]:
        cells = [_cell(found[kind]) for found in rates.values()]
        if kind in sizes:
            cells += [f"{sizes[kind]:.0f}", f"{starts[kind]:.1f}", f"{memory[kind] or 0:,.0f}"]
            cells += ["" if kind == "SavedModel float32" else f"{differences[kind]:.0e}"]
        else:
            cells += [""] * 4
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    about = f"{processor()['model']}, {processor()['cores']} cores, {datetime.date.today()}"
    return "\n".join([*lines, "", about, ""])


def _cell(rate: Spread) -> str:
    lower, upper = rate.quartiles
    return f"{rate.median:.0f} ({lower:.0f} to {upper:.0f})"
