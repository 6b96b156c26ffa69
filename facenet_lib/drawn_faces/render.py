"""A picture of a person who does not exist: an identity, drawn under what changes.

The head is three-dimensional. Its surface, normals, skin and hair are worked out once for each
identity and kept on a map of all directions. For each picture a ray for each of the 2 x 2 samples
of a pixel walks to this surface; eyes, brows and mouth are painted where it ends, because they
move with the expression. Ears, neck, shoulders and long hair are ellipsoids. A second walk, towards
the light, finds what lies in shadow. All colours are linear light until the last step.

Head coordinates, used throughout: x to the right of the picture, y up, z out of the picture towards
the viewer, origin between the ears behind the eyes. The unit is half the height of a
head without hair, about 11.5 cm, so that the chin is near y = -1 and the crown near y = +1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facenet_lib.checks import check_integer
from facenet_lib.drawn_faces.body import paint_body, paint_ears
from facenet_lib.drawn_faces.camera import draw_background, take_photograph
from facenet_lib.drawn_faces.canvas import Canvas, frame_head
from facenet_lib.drawn_faces.features import Face, paint_features
from facenet_lib.drawn_faces.glasses import paint_glasses
from facenet_lib.drawn_faces.head import Head, build_head
from facenet_lib.drawn_faces.identity import HAIR_STYLES, Identity
from facenet_lib.drawn_faces.light import Light, place_light, shade
from facenet_lib.drawn_faces.mathematics import IndexArray, rotation_matrix
from facenet_lib.drawn_faces.nuisance import Nuisance
from facenet_lib.drawn_faces.rays import lower_jaw, measure_lamp_share, read_surface, walk_to_head


def render_face(identity: Identity, nuisance: Nuisance, size: int = 160) -> NDArray[np.uint8]:
    """Draw one picture of a person.

    Args:
        identity: who it is.
        nuisance: pose, light, expression, surroundings and camera.
        size: side of the picture, pixels, at least 64.

    Returns:
        uint8 (size, size, 3), RGB.

    Raises:
        FacenetError: if ``size`` is too small or no integer.

    >>> from facenet_lib.drawn_faces import draw_identity, draw_nuisance
    >>> picture = render_face(draw_identity(0), draw_nuisance(0), size=96)
    >>> picture.shape, str(picture.dtype)
    ((96, 96, 3), 'uint8')
    """
    size = check_integer("size", size, at_least=SMALLEST_SIZE)
    canvas = frame_head(nuisance, size)
    paint_person(canvas, identity, nuisance)
    colour, coverage = canvas.pixels()
    picture = draw_background(nuisance, size, size) * (1.0 - coverage) + colour
    return take_photograph(picture, nuisance)


def paint_person(canvas: Canvas, identity: Identity, nuisance: Nuisance) -> IndexArray:
    """Paint a person on an empty canvas; return the samples where the face is."""
    head = build_head(identity)
    light = place_light(nuisance)
    face = _paint_head(canvas, identity, nuisance, head, light)
    if not HAIR_STYLES[identity.hair_style].covers_ears:
        paint_ears(canvas, identity, nuisance, head, light)
    paint_body(canvas, identity, nuisance, head, light)
    paint_glasses(canvas, identity, nuisance, head)
    return face


def _paint_head(
    canvas: Canvas, identity: Identity, nuisance: Nuisance, head: Head, light: Light
) -> IndexArray:
    rotation = rotation_matrix(nuisance.yaw, nuisance.pitch, nuisance.roll)
    gap = 0.15 * nuisance.mouth_open
    samples, points, height = walk_to_head(canvas, identity, head, rotation, gap)
    closed, moved = points, np.zeros_like(height)
    if gap:
        moved = lower_jaw(identity, gap, points[1])
        closed = np.stack([points[0], points[1] + moved, points[2]])
    surface = read_surface(head, closed)
    normal = surface[0:3] / np.sqrt((surface[0:3] ** 2).sum(axis=0) + 1e-9)
    openness, albedo, hair = surface[3], surface[4:7], surface[7]
    local = light.turned(rotation)
    lit = measure_lamp_share(head, points, normal, local)
    front = np.flatnonzero((points[2] > 0.15) & (hair < 0.99))
    face = Face(
        identity=identity,
        nuisance=nuisance,
        light=local,
        sample=canvas.sample,
        front=front,
        x=surface[8].take(front),
        y=surface[9].take(front) - moved.take(front),
        albedo=albedo,
        normal=normal,
        openness=openness,
        gloss=0.035 + 0.02 * np.maximum(1.0 - hair, 0.0),
    )
    glints = paint_features(face, hair, head.hair)
    shaded = shade(local, albedo, normal, lit, openness, face.gloss, 8)
    for spot, strength in glints:
        shaded[:, spot] += strength * (local.lamp + local.ambient)[:, None]
    canvas.paint(samples, height, shaded)  # the first thing that is painted: all of it shows
    # The face: from the hairline, were there no fringe, to the chin, and from cheek to cheek.
    is_face = (points[2] > _CHEEK) & (surface[9] < identity.hairline)
    is_face &= (hair < 0.85) | (np.abs(surface[8]) < _FRINGE)
    return samples[is_face]


SMALLEST_SIZE = 64

_CHEEK = 0.1  # z at which the cheek ends and the ear begins

_FRINGE = 0.4  # x within which hair below the hairline hangs over the forehead
