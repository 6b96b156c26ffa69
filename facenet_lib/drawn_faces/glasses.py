"""Glasses: frames and lenses in a plane before the eyes, and an arm to each ear."""

from __future__ import annotations

import math

import numpy as np

from facenet_lib.drawn_faces.canvas import Canvas
from facenet_lib.drawn_faces.head import Head
from facenet_lib.drawn_faces.identity import Identity
from facenet_lib.drawn_faces.mathematics import FloatArray, rotation_matrix, to_linear
from facenet_lib.drawn_faces.nuisance import Nuisance


def paint_glasses(canvas: Canvas, identity: Identity, nuisance: Nuisance, head: Head) -> None:
    """Frames and lenses in a plane before the eyes, and an arm to each ear."""
    if nuisance.glasses == "none":
        return
    rotation = rotation_matrix(nuisance.yaw, nuisance.pitch, nuisance.roll)
    plane_z = 0.90
    inverse = rotation.T.astype(np.float32)
    samples, x, y = canvas.inside(0.0, 0.0, 1.3, 0.9)
    start = inverse[:, 0:1] * x + inverse[:, 1:2] * y
    towards = inverse[:, 2]
    height = (plane_z - start[2]) / towards[2]
    px = start[0] + towards[0] * height
    py = start[1] + towards[1] * height - np.float32(identity.eye_height - 0.02)
    half_width, half_height, power = {
        "round": (0.175, 0.17, 2.0),
        "square": (0.19, 0.135, 5.0),
        "wide": (0.205, 0.15, 3.0),
    }[nuisance.glasses]
    middle = max(identity.eye_spacing, half_width + 0.04)
    lens_x, lens_y = np.abs(np.abs(px) - middle) / half_width, np.abs(py) / half_height
    near = np.flatnonzero((lens_x < 1.3) & (lens_y < 1.3))
    reach = np.ones_like(px) * 9.0
    reach[near] = (lens_x[near] ** power + lens_y[near] ** power) ** (1.0 / power)
    line = 0.10 if nuisance.glasses == "wide" else 0.075
    soft = canvas.sample * 2.0 / half_width
    rim = np.clip((line - np.abs(reach - 1.0)) / soft + 0.5, 0.0, 1.0)
    bridge = (np.abs(px) < middle - half_width * 0.97) & (np.abs(py - 0.045) < 0.016)
    rim = np.maximum(rim, bridge)
    # The plane may lie inside the brow of a face turned aside.
    shown = height + 0.12 > canvas.height[samples]
    frame = to_linear(nuisance.glasses_colour) * (0.4 + 0.6 * nuisance.light_strength)
    lens = np.clip((1.0 - reach) / soft + 0.5, 0.0, 1.0) * shown
    # A lens mirrors a bright band of the surroundings.
    band = np.exp(
        -(((px - 0.6 * py - 0.35 * math.sin(math.radians(nuisance.light_azimuth))) / 0.09) ** 2)
    )
    spot = np.flatnonzero(lens > 0.0)
    canvas.tint(
        samples[spot],
        np.array([0.9, 0.95, 1.0], np.float32),
        lens[spot] * (0.03 + 0.10 * band[spot]),
    )
    _paint_arms(canvas, identity, rotation, head, frame, plane_z, middle + half_width)
    spot = np.flatnonzero((rim > 0.0) & shown)
    canvas.tint(samples[spot], frame, rim[spot].astype(np.float32))


def _paint_arms(
    canvas: Canvas,
    identity: Identity,
    rotation: FloatArray,
    head: Head,
    frame: FloatArray,
    plane_z: float,
    hinge: float,
) -> None:
    for side in (-1.0, 1.0):
        ends = rotation @ np.array(
            [
                [side * hinge, side * (head.ear_width + 0.03)],
                [identity.eye_height + 0.02, identity.eye_height - 0.0],
                [plane_z, 0.05],
            ]
        )
        begin, end = ends[:, 0], ends[:, 1]
        middle = (begin + end) / 2
        half = np.abs(end - begin) / 2 + 0.03
        samples, x, y = canvas.inside(middle[0], middle[1], half[0], half[1])
        span = (end - begin).astype(np.float32)
        x, y = x - np.float32(begin[0]), y - np.float32(begin[1])
        length = float(span[0] ** 2 + span[1] ** 2) + 1e-6
        share = np.clip((x * span[0] + y * span[1]) / length, 0.0, 1.0)
        away = np.sqrt((x - share * span[0]) ** 2 + (y - share * span[1]) ** 2)
        height = np.float32(begin[2]) + share * span[2]
        opacity = np.clip((0.018 - away) / canvas.sample + 0.5, 0.0, 1.0)
        spot = np.flatnonzero((opacity > 0.0) & (height > canvas.height[samples] - 0.02))
        canvas.tint(samples[spot], frame * 0.8, opacity[spot])
