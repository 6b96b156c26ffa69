"""Neck, shoulders, hair that hangs, and ears: below and beside the head."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from passport_pictures import PASSPORT, PLAIN, SIZE, difference, face_of

from facenet_lib.drawn_faces.body import Ellipsoid, hit_ellipsoid, locate_soles
from facenet_lib.drawn_faces.canvas import frame_head
from facenet_lib.drawn_faces.layer import Place, draw_layer


def test_clothes_show_at_the_lower_edge_alone() -> None:
    changed = difference(face_of(PLAIN), face_of(PLAIN, cloth_colour=(250, 250, 10)))
    assert changed[-4:].max() > 60
    assert not changed[: SIZE * 2 // 3].any()


@pytest.mark.parametrize("pose", [{}, {"roll": 25.0}, {"yaw": -40.0, "roll": -12.0}])
def test_the_soles_are_at_the_lower_end_of_the_body(pose: dict[str, float]) -> None:
    nuisance = dataclasses.replace(PASSPORT, **pose)
    layer = draw_layer(PLAIN, nuisance, Place(150.0, 30.0, 18.0), 300, 300)
    rows, columns = np.nonzero(layer.coverage[-200:, :, 0] > 0.5)
    lowest = rows + layer.top + layer.coverage.shape[0] - 200
    x, y = locate_soles(nuisance)
    assert abs((lowest.max() + 1 - 30.0) / -18.0 - y) < 0.6
    shoes = columns[lowest > lowest.max() - 10] + 0.5 + layer.left
    assert abs((shoes.mean() - 150.0) / 18.0 - x) < 0.4


def test_hair_before_the_ears_hides_them() -> None:
    for style, hidden in (("short", False), ("long", True)):
        small, large = (
            dataclasses.replace(PLAIN, hair_style=style, ear_size=size, ear_protrusion=50.0)
            for size in (0.17, 0.29)
        )
        assert (difference(face_of(small), face_of(large)).max() == 0) == hidden


def test_rays_meet_a_ball_where_it_is() -> None:
    canvas = frame_head(PASSPORT, 64)
    ball = Ellipsoid((0.1, 0.0, 0.0), (0.5, 0.5, 0.5), np.eye(3))
    offset = np.array([0.0, 0.2, 0.3])
    samples, height, unit = hit_ellipsoid(canvas, ball, np.eye(3), offset)
    rows, columns = np.divmod(samples, canvas.width)
    place = np.stack([canvas.across[columns] - 0.1, canvas.up[rows] - 0.2, height - 0.3])
    np.testing.assert_allclose(np.linalg.norm(place, axis=0), 0.5, atol=1e-4)
    np.testing.assert_allclose(unit, place / 0.5, atol=1e-4)
    assert abs(samples.size / canvas.width**2 - np.pi * 0.25 / 2.7**2) < 0.005
