"""The map of all directions: there and back."""

from __future__ import annotations

import numpy as np

from facenet_lib.drawn_faces.direction_map import (
    MAP_SIDE,
    map_directions,
    map_position,
    texel_at,
)


def test_a_texels_direction_lies_in_that_texel() -> None:
    directions = map_directions()
    assert directions.shape == (3, MAP_SIDE**2)
    u, v = np.mgrid[:MAP_SIDE, :MAP_SIDE][::-1].reshape(2, -1) / MAP_SIDE * 3.8 - 1.9
    inside = np.flatnonzero(u * u + v * v < 3.9)  # the corners stand for no direction
    np.testing.assert_allclose(np.linalg.norm(directions[:, inside], axis=0), 1.0, atol=1e-5)
    length = np.float32(1.7)
    place = map_position(directions[:, inside] * length, np.full(inside.size, length))
    np.testing.assert_array_equal(texel_at(place + np.float32(0.5)), inside)


def test_the_face_is_in_the_middle() -> None:
    front = np.array([[0.0], [0.0], [1.0]], np.float32)
    place = map_position(front, np.ones(1, np.float32))
    np.testing.assert_allclose(place, MAP_SIDE / 2 - 0.5)
    behind = np.array([[0.5], [0.0], [-0.866]], np.float32)
    assert map_position(behind, np.ones(1, np.float32))[0] > 0.98 * MAP_SIDE
