"""What is behind the people of a photograph: a wall, and a floor on which they stand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from facenet_lib.drawn_faces.body import locate_soles
from facenet_lib.drawn_faces.camera import draw_background
from facenet_lib.drawn_faces.mathematics import FloatArray, bump, smoothstep
from facenet_lib.drawn_faces.scene import Scene


def draw_surroundings(scene: Scene) -> FloatArray:
    """(height, width, 3) linear colours behind the people."""
    width, height = scene.width, scene.height
    picture = draw_background(scene.camera, width, height)
    row = np.arange(height, dtype=np.float32)[:, None] + np.float32(0.5)
    column = np.arange(width, dtype=np.float32) + np.float32(0.5)
    ground = replace(
        scene.camera, background="gradient", background_seed=scene.camera.background_seed + 1
    )
    floor = draw_background(ground, width, height)
    for person in scene.people:  # everyone keeps light away from the floor around their feet
        place = person.place
        x, y = locate_soles(person.nuisance)
        away = (column - place.x) / place.unit - x, (row - place.y) / place.unit + y
        floor *= 1.0 - 0.6 * bump(*away, 1.3, 0.35)[..., None]
    share = smoothstep(scene.floor - 2.0, scene.floor + 2.0, row)
    picture += share[..., None] * (floor - picture)
    return picture
