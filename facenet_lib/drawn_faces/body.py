"""Neck, shoulders, hanging hair and ears: ellipsoids in front of or behind the head."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from facenet_lib.drawn_faces.canvas import Canvas
from facenet_lib.drawn_faces.head import Head
from facenet_lib.drawn_faces.identity import HAIR_STYLES, Identity
from facenet_lib.drawn_faces.light import Light, shade
from facenet_lib.drawn_faces.mathematics import (
    FloatArray,
    IndexArray,
    bump,
    dot,
    rotation_matrix,
    smoothstep,
    to_linear,
)
from facenet_lib.drawn_faces.nuisance import Nuisance


def paint_body(
    canvas: Canvas, identity: Identity, nuisance: Nuisance, head: Head, light: Light
) -> None:
    """Shoulders, neck and hanging hair."""
    turned = rotation_matrix(nuisance.yaw, nuisance.pitch, nuisance.roll)
    body, offset = _hang_body(nuisance)
    cloth = to_linear(nuisance.cloth_colour)
    half_neck = 0.20 + 0.34 * identity.jaw_width

    def paint(part: Ellipsoid, colour: FloatArray, gloss: float, shadow: bool) -> None:
        samples, height, ball = hit_ellipsoid(canvas, part, body, offset)
        normal = _ellipsoid_normal(part, ball, body)
        openness: FloatArray | float = 1.0
        if shadow:  # the head keeps light away from the neck
            below = canvas.up[samples // canvas.width] - np.float32(offset[1])
            openness = smoothstep(-0.62, -1.35, below) * 0.65 + 0.35
        shaded = shade(light, colour[:, None], normal, openness, openness, gloss, 8)
        canvas.paint(samples, height, shaded)

    paint(Ellipsoid((0.0, -1.0, -0.22), (half_neck, 1.2, 0.40), _UPRIGHT), head.skin, 0.03, True)
    paint(Ellipsoid((0.0, -1.95, -0.25), (1.30, 0.80, 0.5), _UPRIGHT), cloth, 0.0, True)
    paint(Ellipsoid((0.0, -1.50, -0.27), (0.84, 0.34, 0.40), _UPRIGHT), cloth, 0.0, True)
    if canvas.up[-1] < _WAIST:
        trousers = cloth[[2, 0, 1]] * 0.4
        for part in _CLOTHED:
            paint(part, cloth, 0.0, False)
        for part in _TROUSERS:
            paint(part, trousers, 0.0, False)
        for part in _HANDS:
            paint(part, head.skin, 0.03, False)
        for part in _SHOES:
            paint(part, trousers * 0.3, 0.02, False)
    style = HAIR_STYLES[identity.hair_style]
    if style.back:
        half = (0.8 - style.back) / 2
        width = head.ear_width + 0.7 * identity.hair_volume * style.side
        fall = Ellipsoid((0.0, 0.8 - half, -0.38), (width, half, 0.42), _UPRIGHT)
        _paint_hair(canvas, identity, head, light, fall, body, offset)
    if style.bun:
        radius = style.bun * (0.7 + 0.3 * identity.hair_volume)
        bun = Ellipsoid(
            (0.0, 0.93 * identity.skull_height, -0.3), (radius, radius * 0.85, radius), _UPRIGHT
        )
        _paint_hair(canvas, identity, head, light, bun, turned, np.zeros(3))


def _hang_body(nuisance: Nuisance) -> tuple[FloatArray, FloatArray]:
    """Rotation and (3,) offset from the body's frame to the camera's."""
    head = rotation_matrix(nuisance.yaw, nuisance.pitch, nuisance.roll)
    body = rotation_matrix(0.35 * nuisance.yaw, 0.0, 0.3 * nuisance.roll)
    joint = np.array([0.0, -0.45, -0.2])  # head and body meet here
    return body, (head - body) @ joint


def locate_soles(nuisance: Nuisance) -> tuple[float, float]:
    """Camera x and y, head units, of the middle between the soles of a person who stands."""
    body, offset = _hang_body(nuisance)
    x, y, _ = body @ np.array([0.0, -14.25, 0.0]) + offset
    return float(x), float(y)


def _paint_hair(
    canvas: Canvas,
    identity: Identity,
    head: Head,
    light: Light,
    part: Ellipsoid,
    rotation: FloatArray,
    offset: FloatArray,
) -> None:
    samples, height, ball = hit_ellipsoid(canvas, part, rotation, offset)
    normal = _ellipsoid_normal(part, ball, rotation)
    curl = HAIR_STYLES[identity.hair_style].curl
    waves = ball[0] * 9.0 + (0.2 + 0.8 * curl) * np.sin(ball[1] * 7.0)
    strands = np.sin(waves * 2.0) + np.sin(waves * 5.3 + 1.0) + 0.7 * np.sin(waves * 11.7 + 2.0)
    colour = head.hair[:, None] * np.exp(0.13 * strands)
    dim = 0.8
    canvas.paint(samples, height, shade(light, colour, normal, dim, dim, 0.02, 8))


def paint_ears(
    canvas: Canvas, identity: Identity, nuisance: Nuisance, head: Head, light: Light
) -> None:
    """Both ears: discs that stand off the head, a rim around a bowl."""
    turned = rotation_matrix(nuisance.yaw, nuisance.pitch, nuisance.roll)
    out = math.radians(identity.ear_protrusion)
    tall = identity.ear_size
    for side in (-1.0, 1.0):
        # Axes of the ear's disc: through it, up it (leaning back), and backwards along it.
        back = np.array([side * math.sin(out), 0.0, -math.cos(out)])
        through = np.array([side * math.cos(out), 0.0, math.sin(out)])
        up = np.array([0.0, 1.0, 0.0]) - 0.2 * np.array([0.0, 0.0, 1.0])
        up -= through * (through @ up)
        up /= np.sqrt(up @ up)
        back = np.cross(through, up) * side
        middle = np.array([side * (head.ear_width - 0.03), -0.10, -0.02])
        middle = middle + 0.45 * tall * back * np.sign(-back[2])
        ear = Ellipsoid(
            (float(middle[0]), float(middle[1]), float(middle[2])),
            (0.055, tall, 0.58 * tall),
            np.stack([through, up, back]),
        )
        samples, height, ball = hit_ellipsoid(canvas, ear, turned, np.zeros(3))
        if not samples.size:
            continue
        normal = _ellipsoid_normal(ear, ball, turned)
        reach = np.sqrt(ball[1] ** 2 + ball[2] ** 2)
        # A rim around a bowl: the bowl's walls lean the other way and get less light.
        bowl = smoothstep(0.82, 0.55, np.sqrt((ball[1] - 0.05) ** 2 + ball[2] ** 2))
        rim = np.exp(-(((reach - 0.62) / 0.12) ** 2))
        openness = 1.0 - 0.45 * bowl * (1.0 - 0.5 * bump(ball[1] + 0.1, ball[2], 0.25, 0.2))
        colour = head.skin[:, None] * np.exp(
            np.array([[0.05], [-0.22], [-0.18]], np.float32) * (0.7 + 0.3 * bowl)
        )
        shaded = shade(light, colour, normal, 0.9 * openness, openness * (1 - 0.25 * rim), 0.02, 8)
        canvas.paint(samples, height, shaded)


BODY_HEIGHT = 14.6  # head units from the middle of the head to the soles, and a little more

_UPRIGHT = np.eye(3)


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid in some frame of coordinates.

    Attributes:
        centre: (3,).
        axes: (3, 3) unit vectors of its axes, one per row.
        radii: (3,).
        span: from where to where on its second axis it is there, -1 to 1.
    """

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    axes: FloatArray
    span: tuple[float, float] = (-1.0, 1.0)


def _both_sides(
    centre: tuple[float, float, float],
    radii: tuple[float, float, float],
    span: tuple[float, float] = (-1.0, 1.0),
) -> tuple[Ellipsoid, Ellipsoid]:
    x, y, z = centre
    return (
        Ellipsoid((-x, y, z), radii, _UPRIGHT, span),
        Ellipsoid((x, y, z), radii, _UPRIGHT, span),
    )


_WAIST = -1.6  # y below which a picture shows more than the shoulders

_CLOTHED = (  # from the middle of shoulders and sleeves downwards they taper slowly
    Ellipsoid((0.0, -1.95, -0.25), (1.30, 7.0, 0.5), _UPRIGHT, (-0.64, 0.0)),
    *_both_sides((1.38, -2.25, -0.28), (0.42, 0.62, 0.42), (0.0, 1.0)),
    *_both_sides((1.38, -2.25, -0.28), (0.42, 5.2, 0.42), (-0.84, 0.0)),
)

_TROUSERS = (
    Ellipsoid((0.0, -6.3, -0.25), (1.16, 0.95, 0.56), _UPRIGHT),
    *_both_sides((0.56, -6.3, -0.25), (0.58, 9.5, 0.58), (-0.81, 0.0)),
)

_HANDS = _both_sides((1.4, -6.85, -0.2), (0.2, 0.45, 0.27))

_SHOES = _both_sides((0.57, -14.0, 0.15), (0.36, 0.28, 0.75))


def hit_ellipsoid(
    canvas: Canvas, body: Ellipsoid, rotation: FloatArray, offset: FloatArray
) -> tuple[IndexArray, FloatArray, FloatArray]:
    """Samples whose ray meets the body first; their height and (3, n) position on the unit ball.

    ``rotation`` and ``offset`` take the body's frame to the camera's.
    """
    centre = rotation @ np.array(body.centre) + offset
    # Camera coordinates to those in which the body is the unit ball.
    to_ball = (body.axes @ rotation.T) / np.array(body.radii)[:, None]
    spread = np.linalg.inv(to_ball)
    reach = np.sqrt((spread**2).sum(axis=1))
    samples, x, y = canvas.inside(centre[0], centre[1], reach[0], reach[1])
    plane = to_ball.astype(np.float32)
    x = x - np.float32(centre[0])
    y = y - np.float32(centre[1])
    origin = plane[:, 0:1] * x + plane[:, 1:2] * y
    direction = plane[:, 2]
    a = float(direction @ direction)
    b = dot(direction, origin)
    root = b * b - a * ((origin * origin).sum(axis=0) - 1.0)
    met = np.flatnonzero(root > 0.0)
    height = (np.sqrt(root[met]) - b[met]) / a
    seen = canvas.visible(samples[met], height + np.float32(centre[2]))
    met, height = met[seen], height[seen]
    ball = origin.take(met, axis=1) + direction[:, None] * height
    samples, height = samples[met], height + np.float32(centre[2])
    if body.span != (-1.0, 1.0):
        there = (ball[1] > body.span[0]) & (ball[1] < body.span[1])
        return samples[there], height[there], ball[:, there]
    return samples, height, ball


def _ellipsoid_normal(body: Ellipsoid, ball: FloatArray, rotation: FloatArray) -> FloatArray:
    """(3, n) unit normals in the camera's frame."""
    to_camera = (rotation @ body.axes.T) / np.array(body.radii)
    normal = np.stack([dot(row, ball) for row in to_camera.astype(np.float32)])
    normal /= np.sqrt((normal * normal).sum(axis=0))
    return normal
