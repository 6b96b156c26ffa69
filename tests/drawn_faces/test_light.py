"""Light: where it comes from, and what a surface sends on."""

from __future__ import annotations

import dataclasses

import numpy as np
from passport_pictures import PASSPORT, PLAIN, face_of

from facenet_lib.drawn_faces.light import place_light, shade
from facenet_lib.drawn_faces.mathematics import rotation_matrix


def test_light_from_the_left_lights_the_left() -> None:
    cheeks = (slice(48, 62), slice(30, 40)), (slice(48, 62), slice(56, 66))
    for azimuth in (-60.0, 60.0):
        picture = face_of(PLAIN, light_azimuth=azimuth, ambient_strength=0.2).astype(float)
        left, right = (picture[cheek].mean() for cheek in cheeks)
        assert (left > 1.5 * right) if azimuth < 0 else (right > 1.5 * left)


def test_the_light_turns_with_the_frame_that_sees_it() -> None:
    light = place_light(dataclasses.replace(PASSPORT, light_azimuth=30.0, light_elevation=20.0))
    rotation = rotation_matrix(25.0, -10.0, 5.0)
    turned = light.turned(rotation)
    np.testing.assert_allclose(rotation @ turned.direction, light.direction, atol=1e-6)
    np.testing.assert_allclose(rotation @ turned.view, (0, 0, 1), atol=1e-6)
    assert abs(np.linalg.norm(light.direction) - 1.0) < 1e-6


def test_a_surface_that_faces_the_lamp_is_the_brightest() -> None:
    light = place_light(dataclasses.replace(PASSPORT, light_azimuth=0.0, light_elevation=0.0))
    angles = np.radians([0.0, 30.0, 60.0, 89.0]).astype(np.float32)
    normal = np.stack([np.sin(angles), np.zeros_like(angles), np.cos(angles)])
    colour = shade(light, np.full((3, 4), 0.5, np.float32), normal, 1.0, 1.0, 0.0, 8)
    assert (np.diff(colour[0, :3]) < 0).all()
    dark = shade(light, np.full((3, 4), 0.5, np.float32), normal, 0.0, 0.0, 0.1, 8)
    assert not dark.any()
