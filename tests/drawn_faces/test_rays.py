"""Rays: they meet a ball where a ball is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from passport_pictures import PASSPORT, PLAIN

from facenet_lib.drawn_faces.canvas import frame_head
from facenet_lib.drawn_faces.direction_map import MAP_SIDE, map_directions
from facenet_lib.drawn_faces.head import Head, build_head
from facenet_lib.drawn_faces.light import place_light
from facenet_lib.drawn_faces.mathematics import rotation_matrix
from facenet_lib.drawn_faces.rays import (
    lower_jaw,
    measure_lamp_share,
    read_surface,
    walk_to_head,
)

RADIUS = 0.8


@pytest.fixture
def ball() -> Head:
    """A head that is a ball; its surface holds the directions and their squares."""
    head = build_head(PLAIN)
    directions = map_directions()
    values = np.concatenate([directions, directions**2, directions, directions[:1]])
    radius = np.full(MAP_SIDE**2, RADIUS, np.float32)
    return dataclasses.replace(head, radius=radius, bound=RADIUS, surface=values)


@pytest.mark.parametrize("yaw", [0.0, 30.0])
def test_rays_end_on_the_surface(ball: Head, yaw: float) -> None:
    canvas = frame_head(PASSPORT, 64)
    rotation = rotation_matrix(yaw, 10.0, 5.0)
    samples, points, height = walk_to_head(canvas, PLAIN, ball, rotation, 0.0)
    np.testing.assert_allclose(np.linalg.norm(points, axis=0), RADIUS, atol=0.02)
    rows, columns = np.divmod(samples, canvas.width)
    camera = np.stack([canvas.across[columns], canvas.up[rows], height])
    np.testing.assert_allclose(rotation @ points, camera, atol=1e-5)
    seen = (canvas.across**2 + canvas.up[:, None] ** 2 < (0.97 * RADIUS) ** 2).sum()
    outermost = (canvas.across**2 + canvas.up[:, None] ** 2 < (1.03 * RADIUS) ** 2).sum()
    assert seen <= samples.size <= outermost


def test_the_surface_is_interpolated(ball: Head) -> None:
    points = np.random.default_rng(0).normal(size=(3, 500)).astype(np.float32)
    points[2] = np.abs(points[2])
    points /= np.linalg.norm(points, axis=0)
    values = read_surface(ball, points * np.float32(1.3))
    assert values.shape == (10, 500)
    np.testing.assert_allclose(values[:3], points, atol=1e-3)


def test_a_ball_throws_no_shadow_on_its_bright_side(ball: Head) -> None:
    light = place_light(dataclasses.replace(PASSPORT, light_azimuth=0.0, light_elevation=0.0))
    normal = np.array([[0.0, 0.5], [0.0, 0.0], [1.0, -0.866]], np.float32)
    share = measure_lamp_share(ball, normal * np.float32(RADIUS), normal, light)
    assert share[0] == 1.0 and share[1] < 0.7


def test_an_open_mouth_moves_the_jaw_alone() -> None:
    y = np.array([0.5, PLAIN.mouth_height + 0.01, -1.1], np.float32)
    moved = lower_jaw(PLAIN, 0.15, y)
    np.testing.assert_allclose(moved, (0.0, 0.0, 0.15), atol=1e-6)
