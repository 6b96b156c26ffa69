"""Speed of drawing faces and photographs: images a second on one core, JPEG files included.

Run with ``make bench``, or ``pytest tests/benchmarks/test_bench_drawn_faces.py -s``; it asserts
no time.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from bench_report import Report, Row, Spread

from facenet_lib.drawn_faces import (
    draw_identity,
    draw_nuisance,
    render_face,
    write_faces,
    write_photographs,
)

DRAWING = "Drawing faces, one process (images a second)"


@pytest.mark.parametrize("size", [160, 182])
def test_rate_of_writing_faces(tmp_path: Path, size: int, report: Report) -> None:
    start, cpu = time.perf_counter(), time.process_time()
    drawn = write_faces(tmp_path / "faces", 24, 15, size=size, workers=1, progress=False)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    for what, spent in (("", seconds), (", of processor time", cpu_seconds)):
        rate = Spread((drawn.images_drawn / spent,))
        report.add(Row(DRAWING, f"write_faces, {size} pixels{what}", rate))


def test_rate_of_rendering_one_person(report: Report) -> None:
    identity = draw_identity(0)
    nuisances = [draw_nuisance(seed) for seed in range(100)]
    render_face(identity, nuisances[0])
    start = time.process_time()
    for nuisance in nuisances:
        render_face(identity, nuisance)
    seconds = time.process_time() - start
    what = "render_face, 160 pixels, of processor time"
    report.add(Row(DRAWING, what, Spread((100 / seconds,))))


def test_rate_of_writing_photographs(tmp_path: Path, report: Report) -> None:
    start = time.process_time()
    write_photographs(tmp_path / "photographs", 20, range(60), workers=1, progress=False)
    seconds = time.process_time() - start
    what = "write_photographs, of processor time"
    report.add(Row(DRAWING, what, Spread((20 / seconds,))))
