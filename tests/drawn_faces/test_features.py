"""Features: what the expression moves, and where on the picture."""

from __future__ import annotations

import dataclasses

import numpy as np
from passport_pictures import PLAIN, SIZE, difference, face_of

EYES = (slice(44, 54), slice(33, 63))
MOUTH = (slice(64, 84), slice(36, 60))


def outside(window: tuple[slice, slice]) -> np.ndarray:
    mask = np.ones((SIZE, SIZE), bool)
    mask[window] = False
    return mask


def test_closed_eyes_hide_their_colour() -> None:
    blue = dataclasses.replace(PLAIN, eye_colour="blue")
    open_eyes = difference(face_of(PLAIN), face_of(blue))
    assert open_eyes[EYES].max() > 15
    assert not open_eyes[outside(EYES)].any()
    assert difference(face_of(PLAIN, eye_closing=1.0), face_of(blue, eye_closing=1.0)).max() < 5


def test_the_eyes_follow_the_gaze() -> None:
    left, right = (
        face_of(PLAIN, gaze_x=angle).astype(float)[EYES].sum(axis=2) for angle in (-14, 14)
    )
    darker_left, darker_right = np.maximum(right - left, 0), np.maximum(left - right, 0)
    columns = np.arange(left.shape[1]) % 15  # within either eye
    middle = [
        (dark.sum(axis=0) * columns).sum() / dark.sum() for dark in (darker_left, darker_right)
    ]
    assert middle[0] < middle[1]


def test_an_open_mouth_is_dark_inside() -> None:
    closed, wide = (face_of(PLAIN, mouth_open=share)[MOUTH].astype(int) for share in (0.0, 1.0))
    assert (closed - wide).max() > 40


def test_raised_brows_move_up() -> None:
    black = dataclasses.replace(PLAIN, brow_density=1.0, brow_thickness=0.04, hair_colour="black")
    low, high = (face_of(black, brow_raise=share).astype(int).mean(axis=2) for share in (-0.6, 1.0))
    left, reached = (np.nonzero(change > 20)[0].mean() for change in (high - low, low - high))
    assert reached < left - 2  # rows count downwards
