"""A detector for drawings of faces that every program of the tests can load, and such drawings.

A face is a rectangle of one colour: red 255, green 0, and in blue its number from 1. Its
landmarks lie in it as in the template of crops.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image

from facenet_lib.alignment import TEMPLATE, Box, Face
from facenet_lib.alignment.faces import Image


@dataclass
class RectangleDetector:
    """Finds the rectangles, the one of number 1 with the best score."""

    version: str = "1"
    seconds: float = 0.0
    landmarks: bool = True
    name: str = "rectangles"

    def detect(self, images: Sequence[Image]) -> list[list[Face]]:
        time.sleep(self.seconds)
        return [self._faces(image) for image in images]

    def _faces(self, image: Image) -> list[Face]:
        is_face = (image[..., 0] == 255) & (image[..., 1] == 0) & (image[..., 2] > 0)
        faces = []
        for number in np.unique(image[..., 2][is_face]).tolist():
            rows, columns = np.nonzero(is_face & (image[..., 2] == number))
            left, top = int(columns.min()), int(rows.min())
            right, bottom = int(columns.max()) + 1, int(rows.max()) + 1
            side = max(right - left, bottom - top)
            corner = np.array([left + right - side, top + bottom - side]) / 2
            points = corner + TEMPLATE * side
            score = 1 - number / 1000
            box = Box(left, top, right, bottom)
            faces.append(Face(box, score, points if self.landmarks else None))
        return faces


def make_rectangle_detector() -> RectangleDetector:
    return RectangleDetector()


def make_slow_detector() -> RectangleDetector:
    return RectangleDetector(seconds=0.05)


def draw_rectangles(
    width: int, height: int, *boxes: tuple[int, int, int, int], seed: int = 0
) -> Image:
    """A grey noise with faces at ``boxes`` (left, top, right, bottom), numbered from 1."""
    generator = np.random.default_rng(seed)
    image = np.repeat(generator.integers(0, 255, (height, width, 1), np.uint8), 3, axis=2)
    for number, (left, top, right, bottom) in enumerate(boxes, start=1):
        image[top:bottom, left:right] = (255, 0, number)
    return image


def save(path: Path, image: Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(image).save(path)
    return path


def contents(root: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }
