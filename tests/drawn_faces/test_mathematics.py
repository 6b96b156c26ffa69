"""Small mathematics: against NumPy, or against what a name promises."""

from __future__ import annotations

import numpy as np
import pytest

from facenet_lib.drawn_faces.mathematics import (
    blend,
    blend_at,
    bump,
    dot,
    draw_noise,
    measure_length,
    put_at,
    rotation_matrix,
    smoothstep,
    stroke,
    to_linear,
)

RANDOM = np.random.default_rng(0)


def test_dots_and_lengths_are_numpys() -> None:
    vector, rows = RANDOM.normal(size=3), RANDOM.normal(size=(3, 50))
    np.testing.assert_allclose(dot(vector, rows), vector @ rows)
    np.testing.assert_allclose(measure_length(rows), np.linalg.norm(rows, axis=0))


def test_colours_become_linear_light() -> None:
    np.testing.assert_allclose(to_linear((0, 255, 127.5)), (0.0, 1.0, 0.5**2.2), rtol=1e-6)


def test_a_smooth_step_rises_from_0_to_1() -> None:
    x = np.linspace(-1.0, 2.0, 301)
    up, down = smoothstep(0.0, 1.0, x), smoothstep(1.0, 0.0, x)
    assert up[0] == 0.0 and up[-1] == 1.0 and up[150] == pytest.approx(0.5)
    assert (np.diff(up) >= 0).all()
    np.testing.assert_allclose(up + down, 1.0)


def test_bumps_and_strokes_are_highest_where_they_stand() -> None:
    line = np.linspace(-1.0, 1.0, 201)
    for curve in (bump(line, np.zeros_like(line), 0.3, 0.1), stroke(line, 0.2)):
        assert curve.argmax() == 100 and curve[100] == 1.0 and curve[0] < 0.01


@pytest.mark.parametrize("top", [np.array([1.0, 2.0, 3.0]), RANDOM.random((3, 4))])
def test_blending_mixes_by_opacity(top: np.ndarray) -> None:
    base = RANDOM.random((3, 4))
    opacity = np.array([0.0, 0.25, 0.5, 1.0])
    expected = base * (1 - opacity) + top.reshape(3, -1) * opacity
    blended = base.copy()
    blend(blended, top, opacity)
    np.testing.assert_allclose(blended, expected)
    larger = np.zeros((3, 9))
    put_at(larger, np.array([8, 1, 3, 5]), base)
    blend_at(larger, np.array([8, 1, 3, 5]), top, opacity)
    np.testing.assert_allclose(larger[:, [8, 1, 3, 5]], expected)
    assert not larger[:, [0, 2, 4, 6, 7]].any()


def test_noise_has_unit_variance_at_its_own_size() -> None:
    noise = draw_noise(np.random.default_rng(1), (200, 200), 200)
    assert noise.shape == (200, 200)
    assert abs(noise.mean()) < 0.03 and abs(noise.std() - 1.0) < 0.03


def test_rotations_turn_as_a_nuisance_says() -> None:
    rotation = rotation_matrix(20.0, -10.0, 5.0)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    nose = np.array([0.0, 0.0, 1.0])
    assert (rotation_matrix(30.0, 0.0, 0.0) @ nose)[0] > 0  # to the picture's right
    assert (rotation_matrix(0.0, 30.0, 0.0) @ nose)[1] > 0  # up
    crown = np.array([0.0, 1.0, 0.0])
    assert (rotation_matrix(0.0, 0.0, 30.0) @ crown)[0] < 0  # anticlockwise
