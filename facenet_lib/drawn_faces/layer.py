"""One person of a photograph: what they cover, their face, its landmarks and its box."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from facenet_lib.drawn_faces.body import BODY_HEIGHT, locate_soles
from facenet_lib.drawn_faces.canvas import Canvas
from facenet_lib.drawn_faces.head import build_head
from facenet_lib.drawn_faces.identity import Identity
from facenet_lib.drawn_faces.landmarks import locate_landmarks
from facenet_lib.drawn_faces.mathematics import FloatArray
from facenet_lib.drawn_faces.nuisance import Nuisance
from facenet_lib.drawn_faces.render import paint_person


@dataclass(frozen=True)
class Place:
    """Where a person stands in a photograph.

    Attributes:
        x: the middle of the head, pixels from the photograph's left edge.
        y: the same, pixels from its upper edge.
        unit: pixels in a head unit, which is half a head.
    """

    x: float
    y: float
    unit: float


@dataclass(frozen=True, eq=False)
class Layer:
    """A person drawn for one place of a photograph.

    The layer has a window of the photograph, which holds all of the head and what else of the
    person is in the frame; parts of the head may lie outside.

    Attributes:
        left: column of the photograph at which the window begins; may be negative.
        top: row at which it begins.
        colour: float32 (height, width, 3), linear, multiplied by the coverage.
        coverage: float32 (height, width, 1), share of each pixel that the person covers, 0 to 1.
        face: float32 (height, width), share of each pixel that is the face's.
        box: left, top, right, bottom of the face in pixels of the photograph: from the hairline
            (were there no fringe) to the chin and from cheek to cheek, as far as the camera sees
            the head's surface.
        landmarks: float64 (5, 2), x and y, pixels of the photograph, of left eye, right eye,
            tip of the nose, left and right corner of the mouth, left and right as an upright
            head is seen.
    """

    left: int
    top: int
    colour: FloatArray
    coverage: FloatArray
    face: FloatArray
    box: tuple[float, float, float, float]
    landmarks: FloatArray


def draw_layer(
    identity: Identity, nuisance: Nuisance, place: Place, width: int, height: int
) -> Layer:
    """Draw a person for a place of a photograph of ``width`` by ``height`` pixels."""
    left, top, right, bottom = _window(nuisance, place, width, height)
    column = left + (np.arange(2 * (right - left)) + 0.5) / 2
    row = top + (np.arange(2 * (bottom - top)) + 0.5) / 2
    canvas = Canvas((column - place.x) / place.unit, (place.y - row) / place.unit, 0.5 / place.unit)
    samples = np.zeros(canvas.height.size, bool)
    samples[paint_person(canvas, identity, nuisance)] = True
    face = samples.reshape(row.size, column.size)
    landmarks = locate_landmarks(build_head(identity), identity, nuisance)[:2].T
    rows, columns = (np.flatnonzero(face.any(axis=axis)) for axis in (1, 0))
    colour, coverage = canvas.pixels()
    return Layer(
        left=left,
        top=top,
        colour=colour,
        coverage=coverage,
        face=face.reshape(bottom - top, 2, right - left, 2).mean((1, 3), dtype=np.float32),
        box=(
            left + columns[0] / 2,
            top + rows[0] / 2,
            left + (columns[-1] + 1) / 2,
            top + (rows[-1] + 1) / 2,
        ),
        landmarks=np.array([place.x, place.y]) + landmarks * (place.unit, -place.unit),
    )


def _window(nuisance: Nuisance, place: Place, width: int, height: int) -> tuple[int, ...]:
    """Columns and rows left, top, right, bottom: the whole head, and the person in the frame."""
    half_body = _HALF_BODY + abs(locate_soles(nuisance)[0])
    half, above, below = (reach * place.unit for reach in (half_body, 1.6, BODY_HEIGHT))
    head = _HEAD * place.unit
    return (
        math.floor(min(max(place.x - half, 0.0), place.x - head)),
        math.floor(min(max(place.y - above, 0.0), place.y - head)),
        math.ceil(max(min(place.x + half, width), place.x + head)),
        math.ceil(max(min(place.y + below, height), place.y + head)),
    )


_HEAD = 1.4  # head units from its middle within which a face ends, however it is turned

_HALF_BODY = 2.3  # head units between the middle and the outside of an arm, and a little more
