"""The map of all directions from a head's centre, on which a head's surface is kept.

Lambert's azimuthal equal-area projection: the face is in the middle, the back of the head is the
rim.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from facenet_lib.drawn_faces.mathematics import FloatArray, IndexArray

MAP_SIDE = 320  # texels along a side: one texel is about one sample of a 160-pixel picture

_MAP_EXTENT = 1.9  # the projection's disc has radius 2; what lies outside is never seen


@lru_cache(maxsize=1)
def map_directions() -> FloatArray:
    """(3, texels) unit vector of each texel of the map."""
    line = (np.arange(MAP_SIDE, dtype=np.float32) + 0.5) / MAP_SIDE * (
        2 * _MAP_EXTENT
    ) - _MAP_EXTENT
    u, v = np.meshgrid(line, line)
    squared = np.minimum(u * u + v * v, np.float32(3.99))
    shrink = np.sqrt(1.0 - squared / 4.0)
    return np.stack([u * shrink, v * shrink, 1.0 - squared / 2.0]).reshape(3, -1)


def map_position(points: FloatArray, length: FloatArray) -> FloatArray:
    """(2, n) column and row (texels) of the directions of (3, n) points of that length."""
    squared = np.maximum(length * (length + points[2]), 1e-6)
    scale = np.sqrt(2.0 / squared) * np.float32(MAP_SIDE / (2 * _MAP_EXTENT))
    place = points[:2] * scale
    place += np.float32(MAP_SIDE / 2 - 0.5)
    return place.clip(0.0, np.float32(MAP_SIDE - 1.001), out=place)


def texel_at(place: FloatArray) -> IndexArray:
    """(n,) number of the texel with a column and row, rounded down."""
    column, row = place.astype(np.intp)
    return row * MAP_SIDE + column
