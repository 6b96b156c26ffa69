"""Skin on the map of all directions: its colour, blush, lines, freckles, moles and scar."""

from __future__ import annotations

import math

import numpy as np

from facenet_lib.drawn_faces.direction_map import MAP_SIDE
from facenet_lib.drawn_faces.identity import Identity
from facenet_lib.drawn_faces.mathematics import (
    FloatArray,
    blend,
    bump,
    draw_noise,
    smoothstep,
    stroke,
    to_linear,
)


def colour_skin(
    identity: Identity, x: FloatArray, y: FloatArray, generator: np.random.Generator
) -> FloatArray:
    """(3, texels) albedo of the skin with blush, freckles, moles, scar and lines."""
    who = identity
    side = np.abs(x)
    mottled = draw_noise(generator, (30, 30), MAP_SIDE).ravel()
    colour = skin_colour(who)[:, None] * (1.0 + 0.025 * mottled)
    tip = side, y - who.eye_height + who.nose_length - 0.05
    red = bump(side - 0.36, y + 0.25, 0.14, 0.11) + 0.7 * bump(*tip, 0.12, 0.08)
    colour *= np.exp(np.array([[0.04], [-0.36], [-0.30]], np.float32) * ((0.15 + who.blush) * red))
    # Around the eyes the skin is thin and darker.
    colour *= 1.0 - 0.16 * bump(side - who.eye_spacing, y - who.eye_height, 0.14, 0.08)
    colour *= 1.0 - who.age * _lines_of_age(who, side, y)
    spots = _spots(who, x, y, generator)
    colour *= np.exp(np.array([[-0.7], [-1.0], [-1.1]], np.float32) * spots)
    if who.scar is not None:
        tissue = colour * np.array([[1.45], [1.1], [1.1]], np.float32) + 0.05
        blend(colour, tissue, 0.85 * _scar(who.scar, x, y))
    return colour


def skin_colour(identity: Identity) -> FloatArray:
    """(3,) linear albedo: pale and dark skin mixed in the logarithm, as pigments mix."""
    pale, dark = to_linear((243, 205, 182)), to_linear((92, 57, 42))
    colour = pale ** (1.0 - identity.melanin) * dark**identity.melanin
    golden = np.array([0.0, 0.08, -0.28], np.float32) * identity.undertone
    return (colour * np.exp(golden)).astype(np.float32)


def _lines_of_age(identity: Identity, side: FloatArray, y: FloatArray) -> FloatArray:
    """Share of light lost in bags under the eyes, lines of the forehead and folds of the cheeks."""
    who = identity
    eye_x, eye_y = side - who.eye_spacing, y - who.eye_height
    lines = 0.28 * bump(eye_x, eye_y + 0.12 - 2.0 * eye_x**2, 0.10, 0.018)
    for height in (0.32, 0.40, 0.48):
        lines += 0.20 * bump(side, y - height + 0.1 * side * side, 0.28, 0.009)
    fold_x = who.nose_width * 1.15 + 0.55 * np.clip(-0.28 - y, 0.0, 0.35)
    fold = stroke(side - fold_x, 0.018) * smoothstep(-0.66, -0.5, y)
    lines += 0.38 * fold * smoothstep(-0.28, -0.36, y)
    return np.minimum(lines, 0.6)


def _spots(
    identity: Identity, x: FloatArray, y: FloatArray, generator: np.random.Generator
) -> FloatArray:
    """Density of pigment in freckles and moles."""
    spots = np.zeros_like(x)
    for _ in range(identity.freckles):
        freckle_x, freckle_y = generator.normal(0.0, 0.28), generator.normal(-0.18, 0.14)
        radius = generator.uniform(0.008, 0.018)
        _add_spot(spots, x, y, (float(freckle_x), float(freckle_y), float(radius)), 0.35)
    for mole in identity.moles:
        _add_spot(spots, x, y, mole, 2.2)
    return np.minimum(spots, 2.2)


def _add_spot(
    spots: FloatArray, x: FloatArray, y: FloatArray, spot: tuple[float, float, float], depth: float
) -> None:
    spot_x, spot_y, radius = spot
    near = np.flatnonzero(np.abs(x - spot_x) < 3.1 * radius)  # few: the rest is quick
    squared = ((x[near] - spot_x) ** 2 + (y[near] - spot_y) ** 2) / radius**2
    inside = squared < 9.0
    spots[near[inside]] += depth * np.exp(-(squared[inside] ** 2))


def _scar(scar: tuple[float, float, float, float], x: FloatArray, y: FloatArray) -> FloatArray:
    """Opacity of a slightly curved line."""
    middle_x, middle_y, angle, length = scar
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    along = (x - middle_x) * cosine + (y - middle_y) * sine
    across = (y - middle_y) * cosine - (x - middle_x) * sine
    return stroke(across + 0.5 * along**2, 0.014) * (np.abs(along) < length / 2)
