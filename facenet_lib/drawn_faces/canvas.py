"""The samples of a picture: 2 x 2 for each pixel, in linear light."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facenet_lib.drawn_faces.mathematics import FloatArray, IndexArray, blend_at, put_at
from facenet_lib.drawn_faces.nuisance import Nuisance

_FRAME = 2.7  # height of the picture, head units, at scale 1

_MIDDLE = 0.05  # y of the head that is in the middle of the picture


class Canvas:
    """The samples of a picture: what has been painted so far, and how near it is."""

    def __init__(self, nuisance: Nuisance, size: int) -> None:
        self.side = 2 * size
        self.sample = _FRAME / (self.side * nuisance.scale)  # width of a sample, head units
        line = ((np.arange(self.side) + 0.5) / self.side - 0.5) * _FRAME
        self.across = ((line - nuisance.shift_x) / nuisance.scale).astype(np.float32)
        self.up = ((-line - nuisance.shift_y) / nuisance.scale + _MIDDLE).astype(np.float32)
        self.colour = np.zeros((3, self.side * self.side), np.float32)
        self.height = np.full(self.side * self.side, -np.inf, np.float32)  # towards the viewer

    def inside(
        self, x: float, y: float, half_width: float, half_height: float
    ) -> tuple[IndexArray, FloatArray, FloatArray]:
        """Samples in a rectangle around (x, y) of the camera's plane, and their camera x and y."""
        columns = np.flatnonzero(np.abs(self.across - x) <= half_width)
        rows = np.flatnonzero(np.abs(self.up - y) <= half_height)
        samples = (rows[:, None] * self.side + columns).ravel()
        return samples, np.tile(self.across[columns], rows.size), self.up[rows].repeat(columns.size)

    def visible(self, samples: IndexArray, height: FloatArray) -> NDArray[np.bool_]:
        """Which of these points nothing painted before hides."""
        return height > self.height[samples]

    def paint(self, samples: IndexArray, height: FloatArray, colour: FloatArray) -> None:
        """Put visible points on the canvas; ``colour`` is (3, n)."""
        put_at(self.colour, samples, colour)
        self.height[samples] = height

    def tint(self, samples: IndexArray, colour: FloatArray, opacity: FloatArray) -> None:
        """Lay ``colour`` (3,) or (3, n) over the canvas without changing what is nearest."""
        blend_at(self.colour, samples, colour, opacity)

    def pixels(self) -> tuple[FloatArray, FloatArray]:
        """(size, size, 3) mean of the samples of each pixel; (size, size, 1) share painted."""
        painted = (self.height > -np.inf).astype(np.float32)
        layers = np.stack([*self.colour, painted]).reshape(4, self.side, self.side)
        rows = layers[:, 0::2] + layers[:, 1::2]
        means = (rows[:, :, 0::2] + rows[:, :, 1::2]) * np.float32(0.25)
        return np.stack(means[:3], axis=-1), means[3, :, :, None]
