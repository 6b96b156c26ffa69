"""Where the eyes, the tip of the nose and the corners of the mouth of a drawn head are."""

from __future__ import annotations

import numpy as np

from facenet_lib.drawn_faces.direction_map import map_directions
from facenet_lib.drawn_faces.features import measure_mouth
from facenet_lib.drawn_faces.head import Head
from facenet_lib.drawn_faces.identity import Identity
from facenet_lib.drawn_faces.mathematics import FloatArray, rotation_matrix
from facenet_lib.drawn_faces.nuisance import Nuisance
from facenet_lib.drawn_faces.rays import lower_jaw


def locate_landmarks(head: Head, identity: Identity, nuisance: Nuisance) -> FloatArray:
    """(3, 5) camera coordinates of the middles of the eyes, tip of the nose, corners of the mouth.

    Left comes before right, as an upright head is seen.
    """
    who, how = identity, nuisance
    tip_y = who.eye_height + 0.07 - who.nose_length
    corner_x = measure_mouth(who, how)
    corner_y = who.mouth_height + 0.014 + 0.045 * how.smile  # a smile lifts the corners
    places = (
        (-who.eye_spacing, who.eye_height),
        (who.eye_spacing, who.eye_height),
        (0.0, tip_y),
        (-corner_x, corner_y),
        (corner_x, corner_y),
    )
    gap = 0.15 * how.mouth_open
    points = [place_feature(head, who, x, y, gap) for x, y in places]
    return rotation_matrix(how.yaw, how.pitch, how.roll) @ np.stack(points, axis=1)


def place_feature(head: Head, identity: Identity, x: float, y: float, gap: float) -> FloatArray:
    """(3,) point of the head at which a feature is painted at (x, y) of the smooth head.

    ``gap`` is how far an open mouth has moved the chin down.
    """
    moved = 0.0
    point = _surface_point(head, x, y)
    for _ in range(2 if gap else 0):  # the jaw takes along what lies below the lips
        moved = float(lower_jaw(identity, gap, point[1] - moved))
        point = _surface_point(head, x, y + moved)
    return point - np.array([0.0, moved, 0.0])


def _surface_point(head: Head, x: float, y: float) -> FloatArray:
    """(3,) point of the surface over (x, y) of the smooth head, between the nearest texels."""
    across, up = head.surface[8] - np.float32(x), head.surface[9] - np.float32(y)
    directions = map_directions()
    distance = np.where(directions[2] > 0.0, across * across + up * up, np.inf)
    near = np.argpartition(distance, 9)[:9]
    plane = np.stack([np.ones(9), across[near], up[near]], axis=1)
    points = directions[:, near] * head.radius[near]
    return np.linalg.lstsq(plane, points.T, rcond=None)[0][0]
