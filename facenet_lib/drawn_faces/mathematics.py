"""Small mathematics of drawing: colours, soft edges, hills, noise, rotations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FloatArray = NDArray[np.floating[Any]]  # float32 where speed matters

IndexArray = NDArray[np.integer[Any]]


def dot(vector: FloatArray, rows: FloatArray) -> FloatArray:
    """vector @ rows for (3,) and (3, n), without BLAS and its threads."""
    return vector[0] * rows[0] + vector[1] * rows[1] + vector[2] * rows[2]


def to_linear(srgb: tuple[float, float, float]) -> FloatArray:
    """(3,) linear light of an sRGB colour given in 0 to 255."""
    return (np.asarray(srgb, np.float32) / np.float32(255.0)) ** np.float32(2.2)


def measure_length(vectors: FloatArray) -> FloatArray:
    """(n,) lengths of (3, n) vectors."""
    x, y, z = vectors * vectors
    return np.sqrt(x + y + z)


def smoothstep(low: float, high: float, x: FloatArray) -> FloatArray:
    """0 below ``low``, 1 above ``high``, and smooth between them; they may be the other way."""
    share = np.clip((x - low) / (high - low), 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def bump(x: FloatArray, y: FloatArray, width: float, height: float) -> FloatArray:
    """Gaussian hill of height 1 around (0, 0)."""
    return np.exp(-0.5 * ((x / width) ** 2 + (y / height) ** 2))


def stroke(distance: FloatArray, width: float) -> FloatArray:
    """Soft line: 1 where ``distance`` is 0."""
    return np.exp(-((distance / width) ** 2))


def blend(base: FloatArray, top: FloatArray, opacity: FloatArray) -> None:
    """Paint ``top`` (3,) or (3, n) over ``base`` (3, n) in place."""
    base += (top.reshape(3, -1) - base) * opacity


def blend_at(base: FloatArray, where: IndexArray, top: FloatArray, opacity: FloatArray) -> None:
    """Paint ``top`` (3,) or (3, m) over the columns ``where`` (m,) of ``base`` (3, n)."""
    part = base.take(where, axis=1)
    blend(part, top, opacity)
    put_at(base, where, part)


def put_at(base: FloatArray, where: IndexArray, values: FloatArray) -> None:
    """``base[:, where] = values``, three times as fast."""
    for row, value in zip(base, values, strict=True):
        row[where] = value


def draw_noise(generator: np.random.Generator, cells: tuple[int, int], size: int) -> FloatArray:
    """(size, size) noise of unit variance with ``cells`` (across, down) independent values."""
    grid = generator.standard_normal((cells[1], cells[0])).astype(np.float32)
    return np.asarray(Image.fromarray(grid).resize((size, size), Image.Resampling.BICUBIC))


def rotation_matrix(yaw: float, pitch: float, roll: float) -> FloatArray:
    """Matrix from head to camera coordinates; angles in degrees, signs as in Nuisance."""
    a, b, c = (math.radians(angle) for angle in (yaw, pitch, roll))
    turn = np.array([[math.cos(a), 0, math.sin(a)], [0, 1, 0], [-math.sin(a), 0, math.cos(a)]])
    nod = np.array([[1, 0, 0], [0, math.cos(b), math.sin(b)], [0, -math.sin(b), math.cos(b)]])
    lean = np.array([[math.cos(c), -math.sin(c), 0], [math.sin(c), math.cos(c), 0], [0, 0, 1]])
    return lean @ nod @ turn
