"""Pictures as for a passport, so that what differs between two is what a test changed."""

from __future__ import annotations

import dataclasses

import numpy as np

from facenet_lib.drawn_faces import Identity, draw_identity, draw_nuisance, render_face
from facenet_lib.drawn_faces.identity import IDENTITY_RANGES

SIZE = 96

PASSPORT = dataclasses.replace(
    draw_nuisance(0),
    yaw=0.0,
    pitch=0.0,
    roll=0.0,
    scale=1.0,
    shift_x=0.0,
    shift_y=0.0,
    light_azimuth=0.0,
    light_elevation=30.0,
    light_strength=1.0,
    light_warmth=0.0,
    ambient_strength=0.4,
    ambient_warmth=0.0,
    smile=0.0,
    mouth_open=0.0,
    brow_raise=0.0,
    eye_closing=0.0,
    gaze_x=0.0,
    gaze_y=0.0,
    glasses="none",
    background="gradient",
    exposure=0.0,
    contrast=1.0,
    blur=0.0,
    noise=0.0,
)
# Someone on whom everything shows: no hair in the face, no feature at the end of its range.
PLAIN = dataclasses.replace(
    draw_identity(0),
    **{name: (low + high) / 2 for name, (low, high) in IDENTITY_RANGES.items()},
    hair_style="short",
    hair_colour="brown",
    eye_colour="brown",
    beard="none",
    freckles=0,
    moles=(),
    scar=None,
)


def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(h, w) largest difference of the three colours, in grey levels."""
    return np.abs(first.astype(int) - second.astype(int)).max(axis=2)


def face_of(identity: Identity, **circumstances: object) -> np.ndarray:
    return render_face(identity, dataclasses.replace(PASSPORT, **circumstances), SIZE)
