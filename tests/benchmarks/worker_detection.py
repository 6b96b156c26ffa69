"""A worker that finds faces, on one core: ours, or the package ``mtcnn``.

By hand::

    python worker_detection.py '{"command": "prepare", "detector": "mtcnn", "photographs": []}'
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from worker_protocol import peak_memory, rate_of, serve

BATCH = 24


class Detection:
    """Its methods are the commands; ``prepare`` comes first."""

    def __init__(self) -> None:
        self._detect: Callable[[list[np.ndarray]], Any] | None = None
        self._photographs: list[np.ndarray] = []

    def prepare(
        self, detector: str, photographs: list[str], yunet_file: str | None = None
    ) -> list[int]:
        """Make a detector and read photographs; return how many faces it finds in each."""
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        self._photographs = [np.load(path) for path in photographs]
        if detector == "package":
            from mtcnn import MTCNN

            peer = MTCNN()
            self._detect = lambda images: peer.detect_faces(images, threshold_onet=0.7)
        else:
            from facenet_lib.alignment import make_detector

            self._detect = make_detector(detector, yunet_file).detect
        return [len(self._detect([image])[0]) for image in self._photographs]

    def turn(self, photograph: int, seconds: float, batch: int = 1) -> float:
        """Photographs a second."""
        images = [self._photographs[photograph]] * batch
        return rate_of(lambda: self._detect(images), batch, seconds)

    def memory(self) -> float | None:
        return peak_memory()


if __name__ == "__main__":
    serve(Detection())
