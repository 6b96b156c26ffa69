"""The light that falls on a picture, and what a surface makes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from facenet_lib.drawn_faces.mathematics import FloatArray, dot
from facenet_lib.drawn_faces.nuisance import Nuisance


@dataclass(frozen=True)
class Light:
    """A distant lamp and light from everywhere, seen from some frame of coordinates.

    Attributes:
        direction: (3,) towards the lamp.
        view: (3,) towards the viewer.
        up: (3,) upwards.
        lamp: (3,) linear colour of the lamp.
        ambient: (3,) linear colour of the light from everywhere.
    """

    direction: FloatArray
    view: FloatArray
    up: FloatArray
    lamp: FloatArray
    ambient: FloatArray

    def turned(self, rotation: FloatArray) -> Light:
        """The same light seen from a frame that ``rotation`` takes to this one."""
        inverse = rotation.T.astype(np.float32)
        return Light(
            inverse @ self.direction,
            inverse @ self.view,
            inverse @ self.up,
            self.lamp,
            self.ambient,
        )


def place_light(nuisance: Nuisance) -> Light:
    """The light of a picture, seen from the camera."""
    azimuth = math.radians(nuisance.light_azimuth)
    elevation = math.radians(nuisance.light_elevation)
    direction = (
        math.sin(azimuth) * math.cos(elevation),
        math.sin(elevation),
        math.cos(azimuth) * math.cos(elevation),
    )
    warm = np.array([0.26, 0.0, -0.42], np.float32)
    return Light(
        direction=np.array(direction, np.float32),
        view=np.array([0, 0, 1], np.float32),
        up=np.array([0, 1, 0], np.float32),
        lamp=np.exp(warm * nuisance.light_warmth) * np.float32(nuisance.light_strength),
        ambient=np.exp(warm * nuisance.ambient_warmth) * np.float32(nuisance.ambient_strength),
    )


# Light enters skin and leaves it nearby: red goes farthest round the edge of a shadow.
_SKIN_WRAP = np.array([0.30, 0.16, 0.10], np.float32)


def shade(
    light: Light,
    albedo: FloatArray,
    normal: FloatArray,
    lit: FloatArray | float,
    openness: FloatArray | float,
    gloss: FloatArray | float,
    sharpness: int,
) -> FloatArray:
    """(3, n) linear colour that a surface sends to the viewer.

    Args:
        light: seen from the frame of ``normal``.
        albedo: (3, n) linear.
        normal: (3, n) unit vectors.
        lit: share of the lamp that arrives, 0 in shadow.
        openness: share of the surrounding light that arrives.
        gloss: strength of the mirrored lamp.
        sharpness: exponent of the mirrored lamp, a power of two.
    """
    facing = dot(light.direction, normal)
    wrap = _SKIN_WRAP[:, None]
    diffuse = np.maximum((facing + wrap) / (1.0 + wrap), 0.0)
    diffuse *= lit
    around = (0.78 + 0.22 * (dot(light.up, normal))) * openness
    colour = albedo * (diffuse * light.lamp[:, None] + around * light.ambient[:, None])
    half = light.direction + light.view
    half = half / np.sqrt((half**2).sum())
    mirrored = np.maximum(dot(half, normal), 0.0)
    for _ in range(sharpness.bit_length() - 1):
        mirrored *= mirrored
    rim = 1.0 - np.maximum(dot(light.view, normal), 0.0)
    rim *= rim
    mirrored = mirrored * gloss * lit
    colour += mirrored * light.lamp[:, None]
    colour += (0.10 * rim * rim * openness) * light.ambient[:, None]
    return colour
