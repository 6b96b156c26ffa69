"""Speed of drawing faces: images a second on one core, JPEG files included.

Run with ``pytest tests/benchmarks/test_bench_synthetic_faces.py -s``; it prints and asserts no
time.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from facenet_lib.synthetic_faces import draw_identity, draw_nuisance, render_face, write_faces


@pytest.mark.parametrize("size", [160, 182])
def test_rate_of_writing_faces(tmp_path: Path, size: int) -> None:
    start, cpu = time.perf_counter(), time.process_time()
    drawn = write_faces(tmp_path / "faces", 24, 15, size=size, workers=1, progress=False)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    print(
        f"\nwrite_faces, {size} pixels, one process: {drawn.images_drawn / seconds:.1f} images/s "
        f"({drawn.images_drawn / cpu_seconds:.1f} a second of processor time)"
    )


def test_rate_of_rendering_one_person() -> None:
    identity = draw_identity(0)
    nuisances = [draw_nuisance(seed) for seed in range(100)]
    render_face(identity, nuisances[0])
    start = time.process_time()
    for nuisance in nuisances:
        render_face(identity, nuisance)
    seconds = time.process_time() - start
    print(f"\nrender_face, 160 pixels: {100 / seconds:.1f} images a second of processor time")
