"""Rays to the head: where they meet it, what they find there, and what lies in shadow."""

from __future__ import annotations

import numpy as np

from facenet_lib.drawn_faces.canvas import Canvas
from facenet_lib.drawn_faces.direction_map import MAP_SIDE, map_position, texel_at
from facenet_lib.drawn_faces.head import Head
from facenet_lib.drawn_faces.identity import Identity
from facenet_lib.drawn_faces.light import Light
from facenet_lib.drawn_faces.mathematics import FloatArray, IndexArray, measure_length, smoothstep

_WALK_STEPS = (3, 2, 2, 2, 3, 4, 7)  # between them, rays that have arrived are put aside

_SHADOW_STEPS = 6


def walk_to_head(
    canvas: Canvas, identity: Identity, head: Head, rotation: FloatArray, gap: float
) -> tuple[IndexArray, FloatArray, FloatArray]:
    """Samples that see the head, their (3, n) points in head coordinates, and their height.

    One ray in four walks from the ball around the head; the others, which end close by, begin
    where the highest of their neighbours ended.
    """
    bound = np.float32(head.bound + 0.02 + gap)
    inverse = rotation.T.astype(np.float32)
    towards = inverse[:, 2]

    def walk(x: FloatArray, y: FloatArray, height: FloatArray) -> tuple[FloatArray, FloatArray]:
        start = inverse[:, 0:1] * x + inverse[:, 1:2] * y
        return start, _walk(identity, head, start, towards, height, gap)

    x, y = np.meshgrid(canvas.across[::2], canvas.up[::2])
    left = bound * bound - x * x - y * y
    near = left > 0.0
    highest = np.full((left.shape[0] + 2, left.shape[1] + 2), -np.inf, np.float32)
    highest[1:-1, 1:-1][near] = walk(x[near], y[near], np.sqrt(left[near]))[1]
    highest = np.maximum(np.maximum(highest[:-2], highest[1:-1]), highest[2:])
    highest = np.maximum(np.maximum(highest[:, :-2], highest[:, 1:-1]), highest[:, 2:])
    highest = highest.repeat(2, axis=0).repeat(2, axis=1).ravel()

    samples = np.flatnonzero(highest > -np.inf)
    rows, columns = np.divmod(samples.astype(np.int32), np.int32(canvas.width))
    start, height = walk(canvas.across[columns], canvas.up[rows], highest[samples])
    met = np.flatnonzero(height > -np.inf)
    height = height[met]
    return samples[met], start.take(met, axis=1) + towards[:, None] * height, height


def _walk(
    identity: Identity,
    head: Head,
    start: FloatArray,
    towards: FloatArray,
    height: FloatArray,
    gap: float,
) -> FloatArray:
    """(n,) heights at which rays from ``start + towards * height`` downwards meet the head.

    A step is a share of the point's distance from the surface, measured along the line to the
    centre. A ray that passes the head by ends at minus infinity.
    """
    met = np.full_like(height, -np.inf)
    walking = np.arange(height.size)
    for steps in _WALK_STEPS:
        for _ in range(steps):
            above = _above_head(identity, head, start, towards, height, gap)
            height = height - np.float32(0.8) * above
        arrived = above < 0.006
        met[walking[arrived]] = height[arrived]
        # Go on with the rays that have not arrived and are not far past the head.
        on = np.flatnonzero(~arrived & (height > -0.6))
        walking, height, above = walking[on], height[on], above[on]
        start = start.take(on, axis=1)
    close = above < 0.015
    met[walking[close]] = height[close]
    return met


def _above_head(
    identity: Identity,
    head: Head,
    start: FloatArray,
    towards: FloatArray,
    height: FloatArray,
    gap: float,
) -> FloatArray:
    """Distance of points from the surface, along the line to the centre; negative inside."""
    points = towards[:, None] * height
    points += start
    if gap:
        points[1] += lower_jaw(identity, gap, points[1])
    length = measure_length(points)
    place = map_position(points, length)
    place += 0.5
    return length - head.radius.take(texel_at(place), mode="clip")


def lower_jaw(identity: Identity, gap: float, y: FloatArray) -> FloatArray:
    """How far an open mouth has moved down what is now at height y."""
    return np.float32(gap) * smoothstep(0.0, gap + 0.06, np.float32(identity.mouth_height) - y)


def read_surface(head: Head, points: FloatArray) -> FloatArray:
    """(10, n) the map's surface values at points, interpolated between four texels."""
    place = map_position(points, measure_length(points))
    right_share, high_share = place - place.astype(np.int32)
    texel = texel_at(place)
    right, high = texel + 1, texel + MAP_SIDE
    high_right = high + 1
    surface = np.empty((len(head.surface), texel.size), np.float32)
    for values, here in zip(head.surface, surface, strict=True):
        take = values.take
        take(texel, out=here, mode="clip")
        here += (take(right, mode="clip") - here) * right_share
        above = take(high, mode="clip")
        above += (take(high_right, mode="clip") - above) * right_share
        here += (above - here) * high_share
    return surface


def measure_lamp_share(
    head: Head, points: FloatArray, normal: FloatArray, light: Light
) -> FloatArray:
    """Share of the lamp that reaches points of the head: 0 in the shadow of nose, brow or hair."""
    start = points + normal * np.float32(0.015)
    way = light.direction[:, None]
    share = np.ones_like(start[0])
    for step in range(_SHADOW_STEPS):
        on_way = start + way * np.float32(0.035 + 0.05 * step)
        length = measure_length(on_way)
        texel = texel_at(map_position(on_way, length))
        clear = length - head.radius.take(texel, mode="clip")
        clear *= 14.0 / (1.0 + 1.2 * step)
        clear += 1.0
        np.minimum(share, clear, out=share)
    return np.maximum(share, 0.0)
