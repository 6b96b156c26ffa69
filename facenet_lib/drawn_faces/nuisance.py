"""What changes from picture to picture, and must be ignored to recognise someone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from facenet_lib.drawn_faces.seeds import Seed, draw_choice, draw_uniform, make_generator


@dataclass(frozen=True)
class Nuisance:
    """What changes from picture to picture. Lengths are in head units unless said otherwise.

    Attributes:
        yaw: degrees by which the head is turned to the picture's right.
        pitch: degrees by which it looks up.
        roll: degrees by which it leans anticlockwise.
        scale: factor on the size of the head in the picture.
        shift_x: how far right of the middle the head is.
        shift_y: how far above the middle the head is.
        light_azimuth: degrees right of the viewer from which the light comes.
        light_elevation: degrees above the viewer from which the light comes.
        light_strength: factor on the light.
        light_warmth: -1 (blue) to 1 (orange).
        ambient_strength: light from everywhere.
        ambient_warmth: its colour, -1 (blue) to 1 (orange).
        smile: -1 (corners of the mouth down) to 1 (a broad smile).
        mouth_open: 0 (closed) to 1.
        brow_raise: -1 (frown) to 1 (surprise).
        eye_closing: 0 (relaxed) to 1 (closed).
        gaze_x: degrees by which the eyes look right of the viewer.
        gaze_y: degrees by which they look above the viewer.
        glasses: one of ``"none"``, ``"round"``, ``"square"``, ``"wide"``.
        glasses_colour: sRGB, 0 to 255.
        cloth_colour: sRGB, 0 to 255.
        background: one of :data:`BACKGROUNDS`.
        background_seed: seed of the background's colours and shapes.
        exposure: stops by which the whole picture is brightened.
        contrast: factor on the differences from middle grey.
        blur: standard deviation of a Gaussian blur, in pixels of a picture of 160 pixels.
        noise: standard deviation of the sensor's noise, in grey levels (0 to 255).
        noise_seed: seed of the noise.
        jpeg_quality: quality at which :func:`write_faces` saves the picture, 1 to 95.
    """

    yaw: float
    pitch: float
    roll: float
    scale: float
    shift_x: float
    shift_y: float
    light_azimuth: float
    light_elevation: float
    light_strength: float
    light_warmth: float
    ambient_strength: float
    ambient_warmth: float
    smile: float
    mouth_open: float
    brow_raise: float
    eye_closing: float
    gaze_x: float
    gaze_y: float
    glasses: str
    glasses_colour: tuple[int, int, int]
    cloth_colour: tuple[int, int, int]
    background: str
    background_seed: int
    exposure: float
    contrast: float
    blur: float
    noise: float
    noise_seed: int
    jpeg_quality: int


def draw_nuisance(seed: Seed) -> Nuisance:
    """Draw the circumstances of one picture at random.

    Args:
        seed: whole number, tuple of whole numbers, or SeedSequence.

    Returns:
        A nuisance within :data:`NUISANCE_RANGES`.

    Raises:
        FacenetError: if ``seed`` is not a seed.

    >>> draw_nuisance(0).glasses, draw_nuisance(0).background
    ('none', 'grain')
    """
    generator = make_generator(seed)
    values = draw_uniform(generator, NUISANCE_RANGES)
    if generator.random() >= OPEN_MOUTH_SHARE:
        values["mouth_open"] = 0.0
    if generator.random() >= EYE_CLOSING_SHARE:
        values["eye_closing"] = 0.0
    values["jpeg_quality"] = round(values["jpeg_quality"])
    glasses = draw_choice(generator, GLASSES) if generator.random() < GLASSES_SHARE else "none"
    grey = int(generator.integers(15, 90))
    return Nuisance(
        **values,
        glasses=glasses,
        glasses_colour=(grey, int(grey * generator.uniform(0.5, 1.0)), grey // 2),
        cloth_colour=_any_colour(generator),
        background=draw_choice(generator, BACKGROUNDS),
        background_seed=int(generator.integers(2**31)),
        noise_seed=int(generator.integers(2**31)),
    )


def _any_colour(generator: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in generator.integers(15, 240, 3))
    return red, green, blue


NUISANCE_RANGES: Mapping[str, tuple[float, float]] = {
    "yaw": (-35.0, 35.0),
    "pitch": (-15.0, 15.0),
    "roll": (-12.0, 12.0),
    "scale": (0.92, 1.06),
    "shift_x": (-0.08, 0.08),
    "shift_y": (-0.05, 0.05),
    "light_azimuth": (-75.0, 75.0),
    "light_elevation": (-5.0, 60.0),
    "light_strength": (0.5, 1.3),
    "light_warmth": (-1.0, 1.0),
    "ambient_strength": (0.18, 0.6),
    "ambient_warmth": (-1.0, 1.0),
    "smile": (-0.25, 1.0),
    "mouth_open": (0.0, 1.0),
    "brow_raise": (-0.6, 1.0),
    "eye_closing": (0.0, 1.0),
    "gaze_x": (-14.0, 14.0),
    "gaze_y": (-10.0, 10.0),
    "blur": (0.0, 1.1),
    "noise": (0.0, 7.0),
    "exposure": (-0.7, 0.5),
    "contrast": (0.75, 1.2),
    "jpeg_quality": (55.0, 95.0),
}

# How often what is not a matter of degree occurs.
GLASSES_SHARE = 0.2

OPEN_MOUTH_SHARE = 0.35

EYE_CLOSING_SHARE = 0.3

GLASSES = ("round", "square", "wide")

BACKGROUNDS = ("gradient", "blobs", "stripes", "blocks", "grain")
