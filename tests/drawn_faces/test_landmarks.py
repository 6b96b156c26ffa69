"""Landmarks: where the drawing itself shows eyes, nose and mouth."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from passport_pictures import PASSPORT, PLAIN

from facenet_lib.drawn_faces import Identity, Nuisance
from facenet_lib.drawn_faces.head import build_head
from facenet_lib.drawn_faces.landmarks import locate_landmarks
from facenet_lib.drawn_faces.layer import Place, draw_layer

UNIT = 80  # pixels in a head unit
PLACE = Place(120.0, 120.0, UNIT)
POSES = [
    {},
    {"yaw": 30.0},
    {"yaw": -20.0, "pitch": 12.0},
    {"pitch": -14.0, "roll": 11.0},
    {"yaw": 50.0, "roll": -20.0},
]


def changed(first: Identity, second: Identity, nuisance: Nuisance) -> np.ndarray:
    """(240, 240) how much two people's pictures differ, strong differences alone."""
    colours = [draw_layer(who, nuisance, PLACE, 240, 240).colour for who in (first, second)]
    difference = np.abs(colours[0] - colours[1]).sum(axis=2)[:240, :240]
    return np.where(difference > 0.3 * difference.max(), difference, 0.0)


def middle_of(weights: np.ndarray) -> np.ndarray:
    """(2,) x and y of the centre of mass, in pixels from the upper left corner."""
    rows, columns = (np.arange(length) + 0.5 for length in weights.shape)
    return np.array([(weights @ columns).sum(), (rows @ weights).sum()]) / weights.sum()


def landmarks_of(identity: Identity, nuisance: Nuisance) -> np.ndarray:
    return draw_layer(identity, nuisance, PLACE, 240, 240).landmarks


@pytest.mark.parametrize("pose", POSES)
def test_the_nose_is_where_a_mole_on_its_tip_shows(pose: dict[str, float]) -> None:
    nuisance = dataclasses.replace(PASSPORT, **pose)
    tip_y = PLAIN.eye_height + 0.07 - PLAIN.nose_length
    marked = dataclasses.replace(PLAIN, moles=((0.0, tip_y, 0.03),))
    shown = middle_of(changed(marked, PLAIN, nuisance))
    np.testing.assert_allclose(landmarks_of(PLAIN, nuisance)[2], shown, atol=0.03 * UNIT)


@pytest.mark.parametrize(("yaw", "pitch"), [(0.0, 0.0), (25.0, 0.0), (-25.0, 10.0), (0.0, -12.0)])
def test_the_eyes_are_where_their_colour_shows(yaw: float, pitch: float) -> None:
    """The eyes look straight out of the head, so that the iris is in the middle of the eye."""
    nuisance = dataclasses.replace(PASSPORT, yaw=yaw, pitch=pitch, gaze_x=yaw, gaze_y=pitch)
    dark, light = (
        dataclasses.replace(PLAIN, eye_colour=colour, eye_opening=0.09)
        for colour in ("black-brown", "grey")
    )
    shown = changed(dark, light, nuisance)
    left, right = landmarks_of(dark, nuisance)[:2]
    between = int((left[0] + right[0]) / 2)
    for eye, begin, end in ((left, 0, between), (right, between, None)):
        x, y = middle_of(shown[:, begin:end])
        np.testing.assert_allclose(eye, (x + begin, y), atol=0.035 * UNIT)


@pytest.mark.slow
@pytest.mark.parametrize(
    "expression", [{}, {"smile": 1.0}, {"smile": -0.25}, {"mouth_open": 1.0}, {"yaw": 20.0}]
)
def test_the_corners_of_the_mouth_are_where_red_lips_end(expression: dict[str, float]) -> None:
    nuisance = dataclasses.replace(PASSPORT, **expression)
    pale, red = (
        dataclasses.replace(PLAIN, lip_redness=redness, upper_lip=0.06, lower_lip=0.06)
        for redness in (0.0, 1.0)
    )
    rows, columns = np.nonzero(changed(pale, red, nuisance))
    corners = landmarks_of(pale, nuisance)[3:]
    for corner, end in zip(corners, (columns.min(), columns.max() + 1), strict=True):
        assert abs(corner[0] - end) < 0.05 * UNIT
        near = np.abs(columns + 0.5 - end) < 0.05 * UNIT
        assert abs(corner[1] - (rows[near].mean() + 0.5)) < 0.055 * UNIT


def test_a_leaning_head_turns_its_landmarks_by_the_angle() -> None:
    head = build_head(PLAIN)
    pose = dataclasses.replace(PASSPORT, yaw=20.0, pitch=-8.0, smile=0.7)
    upright = locate_landmarks(head, PLAIN, pose)
    leaning = locate_landmarks(head, PLAIN, dataclasses.replace(pose, roll=25.0))
    angle = np.radians(25.0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(leaning[:2], turn @ upright[:2], atol=1e-6)


def test_turning_the_other_way_mirrors_the_landmarks() -> None:
    head = build_head(PLAIN)  # all of it is symmetric but the parting of its hair
    right, left = (
        locate_landmarks(head, PLAIN, dataclasses.replace(PASSPORT, yaw=yaw))
        for yaw in (30.0, -30.0)
    )
    np.testing.assert_allclose(left[0], -right[0, [1, 0, 2, 4, 3]], atol=0.01)
    np.testing.assert_allclose(left[1], right[1, [1, 0, 2, 4, 3]], atol=0.01)


def test_an_open_mouth_moves_no_eye() -> None:
    head = build_head(PLAIN)
    closed, wide = (
        locate_landmarks(head, PLAIN, dataclasses.replace(PASSPORT, mouth_open=share))
        for share in (0.0, 1.0)
    )
    np.testing.assert_array_equal(closed[:, :3], wide[:, :3])
    assert wide[0, 4] < closed[0, 4]  # and draws in the corners of the mouth
