"""Heads: their surface on the map of all directions."""

from __future__ import annotations

import dataclasses

import numpy as np
from passport_pictures import PLAIN

from facenet_lib.drawn_faces.direction_map import MAP_SIDE
from facenet_lib.drawn_faces.head import build_head

MIDDLE = MAP_SIDE // 2


def test_a_head_is_worked_out_once() -> None:
    assert build_head(PLAIN) is build_head(dataclasses.replace(PLAIN))


def test_the_surface_has_unit_normals_that_point_outwards() -> None:
    head = build_head(PLAIN)
    assert head.surface.shape == (10, MAP_SIDE**2)
    assert head.bound == head.radius.max() < 2.0
    assert head.radius.min() > 0.3
    normal = head.surface[:3].reshape(3, MAP_SIDE, MAP_SIDE)
    np.testing.assert_allclose((normal**2).sum(axis=0), 1.0, atol=1e-3)
    around = slice(MIDDLE - 80, MIDDLE + 80)
    assert (normal[2, around, around].mean()) > 0.5  # the face looks at the viewer


def test_a_plain_head_is_symmetrical() -> None:
    bare = dataclasses.replace(PLAIN, hair_style="bald")
    radius = build_head(bare).radius.reshape(MAP_SIDE, MAP_SIDE)
    around = slice(MIDDLE - 100, MIDDLE + 100)
    face = radius[around, around]
    np.testing.assert_allclose(face, face[:, ::-1], atol=0.02)


def test_a_longer_nose_stands_out_farther() -> None:
    short, long = (
        build_head(dataclasses.replace(PLAIN, nose_tip=tip)).radius.reshape(MAP_SIDE, MAP_SIDE)
        for tip in (0.14, 0.28)
    )
    rows, columns = np.nonzero(long - short > 0.05)
    assert rows.size
    assert abs(columns.mean() - (MAP_SIDE - 1) / 2) < 1
