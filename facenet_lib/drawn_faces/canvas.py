"""The samples of a picture: 2 x 2 for each pixel, in linear light."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facenet_lib.drawn_faces.mathematics import FloatArray, IndexArray, blend_at, put_at
from facenet_lib.drawn_faces.nuisance import Nuisance


class Canvas:
    """The samples of a picture: what has been painted so far, and how near it is.

    Args:
        across: (2 * width,) camera x of the samples of a row, head units.
        up: (2 * height,) camera y of the samples of a column, from the highest.
        sample: width of a sample, head units.
    """

    def __init__(self, across: FloatArray, up: FloatArray, sample: float) -> None:
        self.across = across.astype(np.float32)
        self.up = up.astype(np.float32)
        self.sample = sample
        self.width = across.size  # samples
        self.colour = np.zeros((3, up.size * across.size), np.float32)
        self.height = np.full(up.size * across.size, -np.inf, np.float32)  # towards the viewer

    def inside(
        self, x: float, y: float, half_width: float, half_height: float
    ) -> tuple[IndexArray, FloatArray, FloatArray]:
        """Samples in a rectangle around (x, y) of the camera's plane, and their camera x and y."""
        columns = np.flatnonzero(np.abs(self.across - x) <= half_width)
        rows = np.flatnonzero(np.abs(self.up - y) <= half_height)
        samples = (rows[:, None] * self.width + columns).ravel()
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
        """(height, width, 3) mean of each pixel's samples; (height, width, 1) share painted."""
        painted = (self.height > -np.inf).astype(np.float32)
        layers = np.stack([*self.colour, painted]).reshape(4, self.up.size, self.width)
        rows = layers[:, 0::2] + layers[:, 1::2]
        means = (rows[:, :, 0::2] + rows[:, :, 1::2]) * np.float32(0.25)
        return np.stack(means[:3], axis=-1), means[3, :, :, None]


def frame_head(nuisance: Nuisance, size: int) -> Canvas:
    """The canvas of a square picture of one head."""
    side = 2 * size
    line = ((np.arange(side) + 0.5) / side - 0.5) * _FRAME
    return Canvas(
        (line - nuisance.shift_x) / nuisance.scale,
        (-line - nuisance.shift_y) / nuisance.scale + _MIDDLE,
        _FRAME / (side * nuisance.scale),
    )


_FRAME = 2.7  # height of the picture, head units, at scale 1

_MIDDLE = 0.05  # y of the head that is in the middle of the picture
