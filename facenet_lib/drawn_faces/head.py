"""The head of a person: its surface and colours on the map of all directions.

A star-shaped surface, that is, a distance from the centre for every direction: skull, face and jaw
are three ellipsoids blended together; nose, lips, eye sockets, cheekbones, beard and hair are bumps
on them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from facenet_lib.drawn_faces.direction_map import MAP_SIDE, map_directions
from facenet_lib.drawn_faces.hair import grow_beard, grow_hair
from facenet_lib.drawn_faces.identity import HAIR_COLOURS, HAIR_STYLES, Identity
from facenet_lib.drawn_faces.mathematics import (
    FloatArray,
    blend,
    bump,
    draw_noise,
    smoothstep,
    to_linear,
)
from facenet_lib.drawn_faces.skin import colour_skin, skin_colour


@dataclass(frozen=True)
class Head:
    """An identity's surface on the map of all directions.

    Attributes:
        radius: (texels,) distance of the surface from the centre.
        bound: the largest radius.
        surface: (10, texels): normal x y z, openness 0 to 1 (1: nothing nearby keeps light
            away), linear albedo r g b, share of hair 0 to 1, and x y of the point of the smooth
            head, without nose and lips, at which features are painted.
        skin: (3,) linear albedo of the skin, for ears and neck.
        hair: (3,) linear albedo of the hair.
        ear_width: x of the head's side where the ears are.
    """

    radius: FloatArray
    bound: float
    surface: FloatArray
    skin: FloatArray
    hair: FloatArray
    ear_width: float


@lru_cache(maxsize=8)
def build_head(identity: Identity) -> Head:
    """Everything about an identity that no nuisance changes (drawn once, used for each picture)."""
    generator = np.random.default_rng(identity.detail_seed)
    directions = map_directions()
    smooth = _smooth_head(identity, directions)
    base = directions * smooth
    x, y, z = base
    front = smoothstep(-0.05, 0.2, z)
    radius = smooth + front * _features(identity, x, y)
    skin_radius = radius.copy()
    colour = colour_skin(identity, x, y, generator)
    share, thickness, brightness = grow_hair(identity, directions, y, generator)
    hair_colour = to_linear(HAIR_COLOURS[identity.hair_colour])
    grain = draw_noise(generator, (120, 120), MAP_SIDE).ravel()
    beard = grow_beard(identity, x, y, z)
    blend(colour, hair_colour[:, None] * (1.0 + 0.25 * grain), beard * 0.92)
    if identity.beard in ("moustache", "goatee", "full"):
        radius += 0.035 * beard * (1.0 + 0.25 * grain)
    style = HAIR_STYLES[identity.hair_style]
    density = share * (0.82 if style.top < 0.03 else 1.0)
    blend(colour, hair_colour[:, None] * brightness, density)
    radius += thickness
    points = (directions * radius).reshape(3, MAP_SIDE, MAP_SIDE)
    normal = np.cross(
        np.gradient(points, axis=2), np.gradient(points, axis=1), axisa=0, axisb=0, axisc=0
    ).reshape(3, -1)
    normal /= np.sqrt((normal**2).sum(axis=0)) + 1e-12
    surface = np.concatenate(
        [
            normal,
            _openness(radius)[None],
            colour,
            np.maximum(share, 0.7 * beard)[None],
            x[None],
            y[None],
        ]
    )
    ear = int(
        np.argmax(directions[0] - 10 * np.abs(directions[2] + 0.1) - 10 * np.abs(directions[1]))
    )
    return Head(
        radius=radius.astype(np.float32),
        bound=float(radius.max()),
        surface=surface.astype(np.float32),
        skin=skin_colour(identity),
        hair=hair_colour,
        ear_width=float(skin_radius[ear]),
    )


def _smooth_head(identity: Identity, directions: FloatArray) -> FloatArray:
    """Skull, face and jaw blended: (texels,) radius."""
    who = identity
    height = 0.80 * who.skull_height
    chin = -1.0 - who.chin_length
    jaw_middle = -0.42
    parts = (
        ((0.0, 0.2, -0.10), (who.skull_width, height, 0.86)),
        ((0.0, -0.12, 0.10), (who.face_width, 0.78, 0.66)),
        ((0.0, jaw_middle, 0.17), (who.jaw_width, jaw_middle - chin, 0.54)),
    )
    sharpness = 14.0
    total = sum(
        np.exp(sharpness * (_ellipsoid_radius(directions, centre, radii) - 1.0))
        for centre, radii in parts
    )
    return (1.0 + np.log(total) / sharpness).astype(np.float32)


def _ellipsoid_radius(
    directions: FloatArray, centre: tuple[float, ...], radii: tuple[float, ...]
) -> FloatArray:
    """Distance from the origin, which lies inside, to an ellipsoid in each direction."""
    a = b = 0.0
    c = -1.0
    for direction, middle, radius in zip(directions, centre, radii, strict=True):
        a = a + (direction / radius) ** 2
        b = b + direction * (middle / radius**2)
        c += (middle / radius) ** 2
    return (b + np.sqrt(b * b - a * c)) / a


def _features(identity: Identity, x: FloatArray, y: FloatArray) -> FloatArray:
    """How far the features of the face rise over the smooth head at (x, y) seen from the front."""
    who = identity
    side = np.abs(x)
    eye_x = side - who.eye_spacing
    eye_y = y - who.eye_height
    rise = -who.eye_depth * bump(eye_x, eye_y, 0.13, 0.085)
    rise += 0.045 * bump(eye_x, eye_y + 0.005, who.eye_width * 0.75, 0.06)
    rise += who.brow_ridge * bump(side - 0.2, eye_y - 0.17, 0.2, 0.05)
    rise += who.cheekbones * bump(side - 0.40, y + 0.16, 0.13, 0.10)
    rise += who.cheek_fullness * bump(side - 0.36, y + 0.45, 0.13, 0.16)
    rise += who.jaw_angle * bump(side - 0.46, y + 0.62, 0.10, 0.13)
    rise += who.chin_projection * bump(side, y + 0.88 + who.chin_length, who.chin_width, 0.11)
    rise += _nose(who, side, y)
    mouth_y = y - who.mouth_height
    width = who.mouth_width * 0.62
    rise += 0.03 * bump(side, mouth_y + 0.02, width * 1.5, 0.12)
    rise += (0.012 + 0.4 * who.upper_lip) * bump(side, mouth_y - 0.5 * who.upper_lip, width, 0.03)
    rise += (0.012 + 0.4 * who.lower_lip) * bump(
        side, mouth_y + 0.55 * who.lower_lip, width * 0.9, 0.6 * who.lower_lip
    )
    rise -= 0.03 * bump(side, mouth_y, width * 1.1, 0.012)
    rise -= 0.022 * bump(side, mouth_y + 0.05 + 1.2 * who.lower_lip, width * 0.8, 0.035)
    rise -= 0.012 * bump(side, mouth_y - 0.09, 0.022, 0.05)
    return rise


def _nose(identity: Identity, side: FloatArray, y: FloatArray) -> FloatArray:
    who = identity
    root = who.eye_height + 0.07
    along = (root - y) / who.nose_length  # 0 at the root, 1 at the tip
    inside = np.clip(along, 0.0, 1.0)
    ridge = who.nose_bridge + (who.nose_tip - who.nose_bridge) * inside**1.4
    ridge += who.nose_hump * np.sin(math.pi * inside) ** 2
    ridge *= smoothstep(-0.35, 0.1, along) * (
        1.0 - smoothstep(1.0, 1.0 + 0.13 / who.nose_length, along)
    )
    half_width = who.nose_bridge_width + (who.nose_tip_width - who.nose_bridge_width) * inside**2
    half_width = half_width * (1.0 + 0.5 * np.exp(-((along / 0.35) ** 2)))
    rise = ridge * np.exp(-((side / half_width) ** 2) * 0.7)
    tip_y = root - who.nose_length
    wing = bump(side - who.nose_width * 0.72, y - tip_y + 0.005, who.nose_width * 0.28, 0.05)
    return rise + (0.05 + 0.2 * who.nose_width) * wing


def _openness(radius: FloatArray) -> FloatArray:
    """How little the neighbourhood stands over each texel: ambient occlusion, 0.3 to 1."""
    image = Image.fromarray(radius.reshape(MAP_SIDE, MAP_SIDE))
    small = image.resize((MAP_SIDE // 8, MAP_SIDE // 8), Image.Resampling.BOX)
    around = np.asarray(small.resize((MAP_SIDE, MAP_SIDE), Image.Resampling.BICUBIC)).ravel()
    return np.clip(1.0 - 7.0 * (around - radius), 0.35, 1.08)
