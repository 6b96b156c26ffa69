"""Faces that the book draws itself: people who do not exist, so that everyone may train on them.

A person is an :class:`Identity`: the numbers that stay the same from picture to picture (skull,
jaw, eyes, brows, nose, mouth, ears, skin, hair, beard, marks). A picture is an identity seen
under a :class:`Nuisance`: everything that changes and must be ignored to recognise someone (pose,
light, expression, gaze, glasses, clothes, background, camera). :func:`render_face` draws the one
under the other; :func:`write_faces` draws a whole dataset in the layout of Labeled Faces in the
Wild (LFW), with its own ``pairs.txt``, ``people.txt`` and ``peopleDevTrain.txt``.

How a face is drawn. The head is three-dimensional: a star-shaped surface, that is, a distance
from the head's centre for every direction. Skull, face and jaw are three ellipsoids blended
together; nose, lips, eye sockets, cheekbones, beard and hair are bumps on them. These
distances are kept, once for each identity, on a square map of all directions (Lambert's azimuthal
equal-area projection: the face is in the middle, the back of the head is the rim), together with
surface normals, skin and hair colour. For each picture a ray for each of the 2 x 2 samples of a
pixel walks to this surface; eyes, brows and mouth are painted where it ends, because they move
with the expression. Ears, neck, shoulders and long hair are ellipsoids. A second walk, towards the
light, finds what lies in shadow. All colours are linear light until the last step.

Head coordinates, used throughout: x to the right of the picture, y up, z out of the picture towards
the viewer, origin between the ears behind the eyes. The unit is half the height of a
head without hair, about 11.5 cm, so that the chin is near y = -1 and the crown near y = +1.

Everything random comes from NumPy's ``SeedSequence``: the same seed gives the same picture,
whatever was drawn before it and however many processes draw (on one kind of machine; another
processor or NumPy may round the last bit of a float otherwise).

Derived in the appendix, "Using real faces".
"""

from __future__ import annotations

import io
import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from tqdm import tqdm

from facenet_lib.errors import FacenetError, refuse
from facenet_lib.lfw_pairs import PairList, draw_fold_pairs, write_pairs, write_people

FloatArray = NDArray[np.floating[Any]]  # float32 where speed matters
IndexArray = NDArray[np.integer[Any]]
Seed = int | tuple[int, ...] | np.random.SeedSequence

SMALLEST_SIZE = 64

# Every range below is (lowest, highest) of a uniform draw, in the unit that the field's
# documentation gives. These are the numbers to turn to make the task easier or harder.
IDENTITY_RANGES: Mapping[str, tuple[float, float]] = {
    "skull_width": (0.62, 0.78),
    "skull_height": (0.92, 1.04),
    "face_width": (0.50, 0.66),
    "jaw_width": (0.36, 0.56),
    "jaw_angle": (0.0, 0.075),
    "chin_length": (-0.09, 0.10),
    "chin_width": (0.10, 0.24),
    "chin_projection": (0.0, 0.13),
    "cheekbones": (-0.03, 0.075),
    "cheek_fullness": (-0.06, 0.06),
    "brow_ridge": (0.0, 0.07),
    "eye_spacing": (0.235, 0.335),
    "eye_height": (-0.05, 0.07),
    "eye_width": (0.125, 0.178),
    "eye_opening": (0.045, 0.09),
    "eye_tilt": (-10.0, 14.0),
    "eye_depth": (0.02, 0.11),
    "lid_crease": (0.0, 1.0),
    "brow_height": (0.12, 0.21),
    "brow_thickness": (0.014, 0.042),
    "brow_length": (0.13, 0.20),
    "brow_arch": (-0.01, 0.07),
    "brow_tilt": (-12.0, 12.0),
    "brow_density": (0.45, 1.0),
    "nose_length": (0.30, 0.50),
    "nose_width": (0.10, 0.20),
    "nose_bridge": (0.02, 0.17),
    "nose_bridge_width": (0.05, 0.10),
    "nose_tip": (0.14, 0.28),
    "nose_tip_width": (0.06, 0.11),
    "nose_hump": (-0.05, 0.07),
    "mouth_height": (-0.62, -0.52),
    "mouth_width": (0.155, 0.275),
    "upper_lip": (0.028, 0.08),
    "lower_lip": (0.04, 0.10),
    "cupids_bow": (0.0, 0.7),
    "lip_redness": (0.0, 1.0),
    "ear_size": (0.17, 0.29),
    "ear_protrusion": (8.0, 50.0),
    "melanin": (0.0, 1.0),
    "undertone": (-1.0, 1.0),
    "blush": (0.0, 1.0),
    "hairline": (0.46, 0.74),
    "temple_recession": (0.0, 0.22),
    "hair_volume": (0.65, 1.3),
    "hair_part": (-1.0, 1.0),
    "age": (0.0, 1.0),
}

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


@dataclass(frozen=True)
class HairStyle:
    """Where hair grows and how far it stands off.

    Attributes:
        edge: height of the hair's lower edge (y, head units) at :data:`_EDGE_ANGLES` degrees
            from the middle of the face, relative to the hairline for the first three.
        top: thickness on top of the head, head units.
        side: thickness at the sides, head units.
        curl: 0 (straight) to 1 (curls).
        back: how low hair hangs behind the neck (y, head units); 0: it does not.
        bun: radius of a knot on top of the head, head units; 0: none.
    """

    edge: tuple[float, ...]
    top: float
    side: float
    curl: float
    back: float = 0.0
    bun: float = 0.0


_EDGE_ANGLES = (0.0, 25.0, 46.0, 64.0, 78.0, 96.0, 125.0, 180.0)
_SHORT_EDGE = (0.0, -0.01, -0.09, 0.2, -0.08, 0.0, -0.6, -0.7)
HAIR_STYLES: Mapping[str, HairStyle] = {
    "bald": HairStyle((2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0), 0.0, 0.0, 0.0),
    "receding": HairStyle((0.6, 0.6, 0.6, 0.3, -0.05, 0.0, -0.6, -0.7), 0.0, 0.035, 0.1),
    "cropped": HairStyle(_SHORT_EDGE, 0.02, 0.012, 0.15),
    "short": HairStyle(_SHORT_EDGE, 0.10, 0.045, 0.1),
    "quiff": HairStyle(_SHORT_EDGE, 0.22, 0.03, 0.2),
    "fringe": HairStyle((-0.33, -0.33, -0.30, 0.1, -0.15, -0.2, -0.6, -0.7), 0.12, 0.09, 0.05),
    "curly": HairStyle((0.0, -0.02, -0.09, 0.2, -0.05, -0.05, -0.6, -0.7), 0.18, 0.14, 1.0),
    "afro": HairStyle((0.0, -0.02, -0.1, 0.2, -0.05, -0.2, -0.6, -0.7), 0.24, 0.24, 0.9),
    "bob": HairStyle((0.0, -0.03, -0.13, 0.05, -0.72, -0.85, -0.9, -0.9), 0.11, 0.13, 0.05, -0.75),
    "fringed_bob": HairStyle(
        (-0.32, -0.32, -0.28, 0.0, -0.72, -0.85, -0.9, -0.9), 0.11, 0.13, 0.05, -0.75
    ),
    "long": HairStyle((0.0, -0.03, -0.13, 0.05, -0.7, -0.9, -0.95, -0.95), 0.10, 0.09, 0.1, -1.7),
    "wavy": HairStyle((0.0, -0.05, -0.15, 0.05, -0.7, -0.9, -0.95, -0.95), 0.15, 0.15, 0.6, -1.5),
    "bun": HairStyle(_SHORT_EDGE, 0.05, 0.035, 0.1, 0.0, 0.27),
}
_LONG_HAIR = -0.3  # lower edges before the ears cover them
BEARDS = ("none", "none", "none", "none", "stubble", "moustache", "goatee", "full")

# Colours are sRGB, 0 to 255, as one picks them from a photograph.
HAIR_COLOURS: Mapping[str, tuple[int, int, int]] = {
    "black": (24, 20, 20),
    "dark brown": (52, 34, 24),
    "brown": (92, 58, 36),
    "auburn": (112, 48, 26),
    "ginger": (172, 84, 34),
    "dark blond": (148, 112, 68),
    "blond": (208, 172, 112),
    "grey": (134, 132, 130),
    "white": (212, 210, 206),
}
EYE_COLOURS: Mapping[str, tuple[int, int, int]] = {
    "black-brown": (44, 26, 18),
    "brown": (92, 54, 28),
    "hazel": (128, 98, 48),
    "green": (88, 124, 78),
    "blue": (78, 124, 170),
    "grey": (128, 142, 150),
}


@dataclass(frozen=True)
class Identity:
    """What makes a person recognisable. Lengths are in head units (half a head, about 11.5 cm).

    Attributes:
        skull_width: half-width of the skull.
        skull_height: factor on the height of the skull above the eyes.
        face_width: half-width of the face at the cheeks.
        jaw_width: half-width of the jaw below the mouth.
        jaw_angle: how far the corners of the jaw stand out.
        chin_length: how much lower than y = -1 the chin ends.
        chin_width: width of the chin's bump.
        chin_projection: how far the chin stands out.
        cheekbones: how far the cheekbones stand out.
        cheek_fullness: how far the cheeks below them stand out; negative: hollow.
        brow_ridge: how far the bone over the eyes stands out.
        eye_spacing: half the distance between the eyes' middles.
        eye_height: y of the eyes' middles.
        eye_width: half the length of an eye's opening.
        eye_opening: half the height of an eye's opening when relaxed.
        eye_tilt: degrees by which the outer corners of the eyes are higher than the inner.
        eye_depth: depth of the sockets.
        lid_crease: 0 (a smooth upper lid) to 1 (a deep fold).
        eye_colour: a key of :data:`EYE_COLOURS`.
        brow_height: distance of the brows above the eyes.
        brow_thickness: half the thickness of the brows.
        brow_length: half the length of the brows.
        brow_arch: how far the middle of a brow is above its ends.
        brow_tilt: degrees by which the outer ends are higher than the inner.
        brow_density: opacity, 0 to 1.
        nose_length: from the root to the tip.
        nose_width: half the distance between the outer edges of the nostrils.
        nose_bridge: how far the root stands out.
        nose_bridge_width: half-width of the ridge.
        nose_tip: how far the tip stands out.
        nose_tip_width: half-width of the tip.
        nose_hump: bump (or, negative, hollow) in the middle of the ridge.
        mouth_height: y of the line between the lips.
        mouth_width: half the width of the closed mouth.
        upper_lip: thickness of the upper lip.
        lower_lip: thickness of the lower lip.
        cupids_bow: depth of the notch in the upper lip, as a share of its thickness.
        lip_redness: 0 (like the skin) to 1 (red).
        ear_size: half the height of the ears.
        ear_protrusion: degrees by which the ears stand off the head.
        melanin: 0 (palest skin) to 1 (darkest).
        undertone: -1 (pink) to 1 (golden).
        blush: redness of cheeks and nose, 0 to 1.
        hair_style: a key of :data:`HAIR_STYLES`.
        hair_colour: a key of :data:`HAIR_COLOURS`.
        hairline: y of the hair's edge above the forehead.
        temple_recession: how much higher the hairline is at the temples.
        hair_volume: factor on the thickness of the hair.
        hair_part: where the parting is, -1 (picture's left) to 1 (right).
        beard: one of :data:`BEARDS`.
        age: depth of the lines of face and forehead and of the bags under the eyes, 0 to 1.
        freckles: number of freckles.
        moles: (x, y, radius) of each mole, seen from the front.
        scar: (x, y, degrees, length) of a scar, seen from the front, or None.
        detail_seed: seed of freckles, strands and the grain of the skin.
    """

    skull_width: float
    skull_height: float
    face_width: float
    jaw_width: float
    jaw_angle: float
    chin_length: float
    chin_width: float
    chin_projection: float
    cheekbones: float
    cheek_fullness: float
    brow_ridge: float
    eye_spacing: float
    eye_height: float
    eye_width: float
    eye_opening: float
    eye_tilt: float
    eye_depth: float
    lid_crease: float
    eye_colour: str
    brow_height: float
    brow_thickness: float
    brow_length: float
    brow_arch: float
    brow_tilt: float
    brow_density: float
    nose_length: float
    nose_width: float
    nose_bridge: float
    nose_bridge_width: float
    nose_tip: float
    nose_tip_width: float
    nose_hump: float
    mouth_height: float
    mouth_width: float
    upper_lip: float
    lower_lip: float
    cupids_bow: float
    lip_redness: float
    ear_size: float
    ear_protrusion: float
    melanin: float
    undertone: float
    blush: float
    hair_style: str
    hair_colour: str
    hairline: float
    temple_recession: float
    hair_volume: float
    hair_part: float
    beard: str
    age: float
    freckles: int
    moles: tuple[tuple[float, float, float], ...]
    scar: tuple[float, float, float, float] | None
    detail_seed: int


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


GLASSES = ("round", "square", "wide")
BACKGROUNDS = ("gradient", "blobs", "stripes", "blocks", "grain")


def _generator(seed: Seed) -> np.random.Generator:
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise FacenetError(
            f"seed: expected a whole number >= 0, a tuple of such or a SeedSequence, found {seed!r}"
        ) from error


def _checked_seed(seed: int) -> int:
    if not _is_whole(seed) or seed < 0:
        raise FacenetError(f"seed: expected a whole number >= 0, found {seed!r}")
    return int(seed)


def _uniform(
    generator: np.random.Generator, ranges: Mapping[str, tuple[float, float]]
) -> dict[str, Any]:
    return {name: float(generator.uniform(low, high)) for name, (low, high) in ranges.items()}


def _choice(generator: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(generator.integers(len(options)))]


def draw_identity(seed: Seed) -> Identity:
    """Draw a person at random.

    Args:
        seed: whole number, tuple of whole numbers, or SeedSequence; the same seed gives the same
            person.

    Returns:
        An identity within :data:`IDENTITY_RANGES`.

    Raises:
        FacenetError: if ``seed`` is not a seed.
    """
    generator = _generator(seed)
    values = _uniform(generator, IDENTITY_RANGES)
    # Dark hair is likelier with dark skin, so that most people look like someone one could meet.
    colours = tuple(HAIR_COLOURS)
    dark = generator.random() < 0.25 + 0.55 * values["melanin"]
    hair_colour = _choice(generator, colours[:3] if dark else colours)
    eyes = tuple(EYE_COLOURS)
    eye_colour = _choice(generator, eyes[:2] if generator.random() < values["melanin"] else eyes)
    moles = tuple(
        (
            float(generator.uniform(-0.5, 0.5)),
            float(generator.uniform(-0.85, 0.4)),
            float(generator.uniform(0.016, 0.034)),
        )
        for _ in range(int(generator.choice((0, 0, 1, 1, 2))))
    )
    hair_style = _choice(generator, tuple(HAIR_STYLES))
    long_hair = HAIR_STYLES[hair_style].edge[4] < _LONG_HAIR
    scar = (
        float(generator.uniform(-0.45, 0.45)),
        float(generator.uniform(-0.6, 0.4)),
        float(generator.uniform(0.0, 180.0)),
        float(generator.uniform(0.12, 0.3)),
    )
    return Identity(
        **values,
        hair_style=hair_style,
        hair_colour=hair_colour,
        eye_colour=eye_colour,
        beard="none" if long_hair else _choice(generator, BEARDS),
        freckles=int(generator.integers(30, 140)) if generator.random() < 0.25 else 0,
        moles=moles,
        scar=scar if generator.random() < 0.15 else None,
        detail_seed=int(generator.integers(2**31)),
    )


def draw_nuisance(seed: Seed) -> Nuisance:
    """Draw the circumstances of one picture at random.

    Args:
        seed: whole number, tuple of whole numbers, or SeedSequence.

    Returns:
        A nuisance within :data:`NUISANCE_RANGES`.

    Raises:
        FacenetError: if ``seed`` is not a seed.
    """
    generator = _generator(seed)
    values = _uniform(generator, NUISANCE_RANGES)
    if generator.random() >= OPEN_MOUTH_SHARE:
        values["mouth_open"] = 0.0
    if generator.random() >= EYE_CLOSING_SHARE:
        values["eye_closing"] = 0.0
    values["jpeg_quality"] = round(values["jpeg_quality"])
    glasses = _choice(generator, GLASSES) if generator.random() < GLASSES_SHARE else "none"
    grey = int(generator.integers(15, 90))
    return Nuisance(
        **values,
        glasses=glasses,
        glasses_colour=(grey, int(grey * generator.uniform(0.5, 1.0)), grey // 2),
        cloth_colour=_any_colour(generator),
        background=_choice(generator, BACKGROUNDS),
        background_seed=int(generator.integers(2**31)),
        noise_seed=int(generator.integers(2**31)),
    )


def _any_colour(generator: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in generator.integers(15, 240, 3))
    return red, green, blue


# --------------------------------------------------------------------------- small mathematics


def _dot(vector: FloatArray, rows: FloatArray) -> FloatArray:
    """vector @ rows for (3,) and (3, n), without BLAS and its threads."""
    return vector[0] * rows[0] + vector[1] * rows[1] + vector[2] * rows[2]


def _linear(srgb: tuple[float, float, float]) -> FloatArray:
    """(3,) linear light of an sRGB colour given in 0 to 255."""
    return (np.asarray(srgb, np.float32) / np.float32(255.0)) ** np.float32(2.2)


def _smoothstep(low: float, high: float, x: FloatArray) -> FloatArray:
    share = np.clip((x - low) / (high - low), 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def _bump(x: FloatArray, y: FloatArray, width: float, height: float) -> FloatArray:
    """Gaussian hill of height 1 around (0, 0)."""
    return np.exp(-0.5 * ((x / width) ** 2 + (y / height) ** 2))


def _stroke(distance: FloatArray, width: float) -> FloatArray:
    """Soft line: 1 where ``distance`` is 0."""
    return np.exp(-((distance / width) ** 2))


def _blend(base: FloatArray, top: FloatArray, opacity: FloatArray) -> None:
    """Paint ``top`` (3,) or (3, n) over ``base`` (3, n) in place."""
    base += (top.reshape(3, -1) - base) * opacity


def _smooth_noise(generator: np.random.Generator, cells: tuple[int, int], size: int) -> FloatArray:
    """(size, size) noise of unit variance with ``cells`` (across, down) independent values."""
    grid = generator.standard_normal((cells[1], cells[0])).astype(np.float32)
    return np.asarray(Image.fromarray(grid).resize((size, size), Image.Resampling.BICUBIC))


def _rotation(yaw: float, pitch: float, roll: float) -> FloatArray:
    """Matrix from head to camera coordinates; angles in degrees, signs as in Nuisance."""
    a, b, c = (math.radians(angle) for angle in (yaw, pitch, roll))
    turn = np.array([[math.cos(a), 0, math.sin(a)], [0, 1, 0], [-math.sin(a), 0, math.cos(a)]])
    nod = np.array([[1, 0, 0], [0, math.cos(b), math.sin(b)], [0, -math.sin(b), math.cos(b)]])
    lean = np.array([[math.cos(c), -math.sin(c), 0], [math.sin(c), math.cos(c), 0], [0, 0, 1]])
    return lean @ nod @ turn


# ------------------------------------------------------------- the map of all directions

_MAP = 320  # texels along a side: one texel is about one sample of a 160-pixel picture
_MAP_EXTENT = 1.9  # the projection's disc has radius 2; what lies outside is never seen


@lru_cache(maxsize=1)
def _map_directions() -> FloatArray:
    """(3, texels) unit vector of each texel of the map."""
    line = (np.arange(_MAP, dtype=np.float32) + 0.5) / _MAP * (2 * _MAP_EXTENT) - _MAP_EXTENT
    u, v = np.meshgrid(line, line)
    squared = np.minimum(u * u + v * v, np.float32(3.99))
    shrink = np.sqrt(1.0 - squared / 4.0)
    return np.stack([u * shrink, v * shrink, 1.0 - squared / 2.0]).reshape(3, -1)


def _map_position(
    x: FloatArray, y: FloatArray, z: FloatArray, r: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Column and row (floats, texels) where the map holds the direction (x, y, z) of length r."""
    scale = np.sqrt(2.0 / np.maximum(r * (r + z), 1e-6)) * np.float32(_MAP / (2 * _MAP_EXTENT))
    highest = np.float32(_MAP - 1.001)
    middle = np.float32(_MAP / 2 - 0.5)
    column = np.clip(x * scale + middle, 0.0, highest)
    row = np.clip(y * scale + middle, 0.0, highest)
    return column, row


@dataclass(frozen=True)
class _Head:
    """An identity's surface on the map of all directions.

    Attributes:
        radius: (texels,) distance of the surface from the centre.
        bound: the largest radius.
        surface: (texels, 10): normal x y z, openness 0 to 1 (1: nothing nearby keeps light
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


def _features(identity: Identity, x: FloatArray, y: FloatArray) -> FloatArray:
    """How far the features of the face rise over the smooth head at (x, y) seen from the front."""
    who = identity
    side = np.abs(x)
    eye_x = side - who.eye_spacing
    eye_y = y - who.eye_height
    rise = -who.eye_depth * _bump(eye_x, eye_y, 0.13, 0.085)
    rise += 0.045 * _bump(eye_x, eye_y + 0.005, who.eye_width * 0.75, 0.06)
    rise += who.brow_ridge * _bump(side - 0.2, eye_y - 0.17, 0.2, 0.05)
    rise += who.cheekbones * _bump(side - 0.40, y + 0.16, 0.13, 0.10)
    rise += who.cheek_fullness * _bump(side - 0.36, y + 0.45, 0.13, 0.16)
    rise += who.jaw_angle * _bump(side - 0.46, y + 0.62, 0.10, 0.13)
    rise += who.chin_projection * _bump(side, y + 0.88 + who.chin_length, who.chin_width, 0.11)
    rise += _nose(who, side, y)
    mouth_y = y - who.mouth_height
    width = who.mouth_width * 0.62
    rise += 0.03 * _bump(side, mouth_y + 0.02, width * 1.5, 0.12)
    rise += (0.012 + 0.4 * who.upper_lip) * _bump(side, mouth_y - 0.5 * who.upper_lip, width, 0.03)
    rise += (0.012 + 0.4 * who.lower_lip) * _bump(
        side, mouth_y + 0.55 * who.lower_lip, width * 0.9, 0.6 * who.lower_lip
    )
    rise -= 0.03 * _bump(side, mouth_y, width * 1.1, 0.012)
    rise -= 0.022 * _bump(side, mouth_y + 0.05 + 1.2 * who.lower_lip, width * 0.8, 0.035)
    rise -= 0.012 * _bump(side, mouth_y - 0.09, 0.022, 0.05)
    return rise


def _nose(identity: Identity, side: FloatArray, y: FloatArray) -> FloatArray:
    who = identity
    root = who.eye_height + 0.07
    along = (root - y) / who.nose_length  # 0 at the root, 1 at the tip
    inside = np.clip(along, 0.0, 1.0)
    ridge = who.nose_bridge + (who.nose_tip - who.nose_bridge) * inside**1.4
    ridge += who.nose_hump * np.sin(math.pi * inside) ** 2
    ridge *= _smoothstep(-0.35, 0.1, along) * (
        1.0 - _smoothstep(1.0, 1.0 + 0.13 / who.nose_length, along)
    )
    half_width = who.nose_bridge_width + (who.nose_tip_width - who.nose_bridge_width) * inside**2
    half_width = half_width * (1.0 + 0.5 * np.exp(-((along / 0.35) ** 2)))
    rise = ridge * np.exp(-((side / half_width) ** 2) * 0.7)
    tip_y = root - who.nose_length
    wing = _bump(side - who.nose_width * 0.72, y - tip_y + 0.005, who.nose_width * 0.28, 0.05)
    return rise + (0.05 + 0.2 * who.nose_width) * wing


def _hair(
    identity: Identity, directions: FloatArray, y: FloatArray, generator: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Hair on the map: share 0 to 1, thickness in head units, and brightness of the strands."""
    style = HAIR_STYLES[identity.hair_style]
    parting = identity.hair_part if style.top > 0.03 else 0.0
    azimuth = np.degrees(np.arctan2(directions[0], directions[2]))
    curls = _smooth_noise(generator, (44, 44), _MAP).ravel()
    tufts = _smooth_noise(generator, (90, 26), _MAP).ravel()
    edge, steepness = _hair_edge(identity, azimuth)
    edge += 0.10 * parting * np.sin(np.radians(azimuth * 1.6)) * (np.abs(azimuth) < 60)
    edge += (0.008 + 0.02 * style.curl) * tufts
    above = (y - edge) / np.sqrt(1.0 + steepness**2)  # about the distance from the edge
    share = _smoothstep(-0.015, 0.03, above)

    topness = _smoothstep(0.1, 0.75, y)
    thickness = style.side + (style.top - style.side) * topness
    thickness *= identity.hair_volume * np.sqrt(_smoothstep(-0.01, 0.22, above))
    thickness *= 1.0 + 0.07 * style.curl * curls
    if abs(parting) > 0.25:  # a shallow valley from the forehead to the crown
        thickness *= 1.0 - 0.45 * topness * _stroke(directions[0] - 0.38 * parting, 0.05)
    # Strands: noise that is fine across them and coarse along them.
    place = (azimuth + 180.0) * (512 / 360.0) * (1.0 - 0.3 * style.curl)
    place += 3.0 * style.curl * curls + 1.4 * tufts + 6.0 * parting * y
    strands = np.interp(place, np.arange(512), generator.standard_normal(512)).astype(np.float32)
    thickness += 0.0025 * min(1.0, 12.0 * style.top) * strands
    brightness = np.exp(0.16 * strands + 0.30 * style.curl * curls)
    return share, thickness * share, brightness


def _hair_edge(identity: Identity, azimuth: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Height of the hair's lower edge all round, and its slope: 1 rises at 45 degrees."""
    edge = np.array(HAIR_STYLES[identity.hair_style].edge)
    edge[:3] += identity.hairline + identity.temple_recession * np.array([0.0, 0.5, 1.0])
    angle = np.abs(azimuth)
    here, before, after = (
        np.interp(angle + step, _EDGE_ANGLES, edge).astype(np.float32) for step in (0, -4, 4)
    )
    return here, (after - before) * 9.0


def _beard(identity: Identity, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
    """Density of the beard, 0 to 1, on the map."""
    who = identity
    if who.beard == "none":
        return np.zeros_like(x)
    side = np.abs(x)
    mouth_y = y - who.mouth_height
    over_lip = _smoothstep(0.015, 0.04, mouth_y - 0.8 * who.upper_lip) * (
        1.0 - _smoothstep(0.10, 0.14, mouth_y + 0.25 * side - 0.8 * who.upper_lip + 0.03)
    )
    moustache = over_lip * (1.0 - _smoothstep(1.0, 1.25, side / who.mouth_width))
    under_lip = -1.35 * who.lower_lip
    chin = 1.0 - _smoothstep(under_lip - 0.05, under_lip, mouth_y)
    from_chin = np.sqrt((side / (0.95 * who.mouth_width)) ** 2 + ((mouth_y + 0.3) / 0.34) ** 2)
    goatee = chin * (1.0 - _smoothstep(0.75, 1.1, from_chin))
    cheek_line = who.mouth_height + 0.02 + 1.1 * np.maximum(side - 0.33, 0.0)
    full = np.maximum((1.0 - _smoothstep(-0.04, 0.04, y - cheek_line)) * (side > 0.2), chin)
    full = full * _smoothstep(-0.25, 0.0, z)
    if who.beard == "moustache":
        return moustache
    if who.beard == "goatee":
        return np.maximum(goatee, 0.9 * moustache)
    density = np.maximum(full, moustache)
    return 0.45 * density if who.beard == "stubble" else density


def _skin_colour(identity: Identity) -> FloatArray:
    """(3,) linear albedo: pale and dark skin mixed in the logarithm, as pigments mix."""
    pale, dark = _linear((243, 205, 182)), _linear((92, 57, 42))
    colour = pale ** (1.0 - identity.melanin) * dark**identity.melanin
    golden = np.array([0.0, 0.08, -0.28], np.float32) * identity.undertone
    return (colour * np.exp(golden)).astype(np.float32)


def _skin(
    identity: Identity, x: FloatArray, y: FloatArray, generator: np.random.Generator
) -> FloatArray:
    """(3, texels) albedo of the skin with blush, freckles, moles, scar and lines."""
    who = identity
    side = np.abs(x)
    mottled = _smooth_noise(generator, (30, 30), _MAP).ravel()
    colour = _skin_colour(who)[:, None] * (1.0 + 0.025 * mottled)
    tip = side, y - who.eye_height + who.nose_length - 0.05
    red = _bump(side - 0.36, y + 0.25, 0.14, 0.11) + 0.7 * _bump(*tip, 0.12, 0.08)
    colour *= np.exp(np.array([[0.04], [-0.36], [-0.30]], np.float32) * ((0.15 + who.blush) * red))
    # Around the eyes the skin is thin and darker.
    colour *= 1.0 - 0.16 * _bump(side - who.eye_spacing, y - who.eye_height, 0.14, 0.08)
    colour *= 1.0 - who.age * _lines_of_age(who, side, y)
    spots = _spots(who, x, y, generator)
    colour *= np.exp(np.array([[-0.7], [-1.0], [-1.1]], np.float32) * spots)
    if who.scar is not None:
        tissue = colour * np.array([[1.45], [1.1], [1.1]], np.float32) + 0.05
        _blend(colour, tissue, 0.85 * _scar(who.scar, x, y))
    return colour


def _lines_of_age(identity: Identity, side: FloatArray, y: FloatArray) -> FloatArray:
    """Share of light lost in bags under the eyes, lines of the forehead and folds of the cheeks."""
    who = identity
    eye_x, eye_y = side - who.eye_spacing, y - who.eye_height
    lines = 0.28 * _bump(eye_x, eye_y + 0.12 - 2.0 * eye_x**2, 0.10, 0.018)
    for height in (0.32, 0.40, 0.48):
        lines += 0.20 * _bump(side, y - height + 0.1 * side * side, 0.28, 0.009)
    fold_x = who.nose_width * 1.15 + 0.55 * np.clip(-0.28 - y, 0.0, 0.35)
    fold = _stroke(side - fold_x, 0.018) * _smoothstep(-0.66, -0.5, y)
    lines += 0.38 * fold * _smoothstep(-0.28, -0.36, y)
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


def _scar(scar: tuple[float, float, float, float], x: FloatArray, y: FloatArray) -> FloatArray:
    """Opacity of a slightly curved line."""
    middle_x, middle_y, angle, length = scar
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    along = (x - middle_x) * cosine + (y - middle_y) * sine
    across = (y - middle_y) * cosine - (x - middle_x) * sine
    return _stroke(across + 0.5 * along**2, 0.014) * (np.abs(along) < length / 2)


def _add_spot(
    spots: FloatArray, x: FloatArray, y: FloatArray, spot: tuple[float, float, float], depth: float
) -> None:
    spot_x, spot_y, radius = spot
    squared = ((x - spot_x) ** 2 + (y - spot_y) ** 2) / radius**2
    near = np.flatnonzero(squared < 9.0)
    spots[near] += depth * np.exp(-(squared[near] ** 2))


@lru_cache(maxsize=8)
def _head(identity: Identity) -> _Head:
    """Everything about an identity that no nuisance changes (drawn once, used for each picture)."""
    generator = np.random.default_rng(identity.detail_seed)
    directions = _map_directions()
    smooth = _smooth_head(identity, directions)
    base = directions * smooth
    x, y, z = base
    front = _smoothstep(-0.05, 0.2, z)
    radius = smooth + front * _features(identity, x, y)
    skin_radius = radius.copy()
    colour = _skin(identity, x, y, generator)
    share, thickness, brightness = _hair(identity, directions, y, generator)
    hair_colour = _linear(HAIR_COLOURS[identity.hair_colour])
    grain = _smooth_noise(generator, (120, 120), _MAP).ravel()
    beard = _beard(identity, x, y, z)
    _blend(colour, hair_colour[:, None] * (1.0 + 0.25 * grain), beard * 0.92)
    if identity.beard in ("moustache", "goatee", "full"):
        radius += 0.035 * beard * (1.0 + 0.25 * grain)
    style = HAIR_STYLES[identity.hair_style]
    density = share * (0.82 if style.top < 0.03 else 1.0)
    _blend(colour, hair_colour[:, None] * brightness, density)
    radius += thickness
    points = (directions * radius).reshape(3, _MAP, _MAP)
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
    return _Head(
        radius=radius.astype(np.float32),
        bound=float(radius.max()),
        surface=np.ascontiguousarray(surface.T, dtype=np.float32),
        skin=_skin_colour(identity),
        hair=hair_colour,
        ear_width=float(skin_radius[ear]),
    )


def _openness(radius: FloatArray) -> FloatArray:
    """How little the neighbourhood stands over each texel: ambient occlusion, 0.3 to 1."""
    image = Image.fromarray(radius.reshape(_MAP, _MAP))
    small = image.resize((_MAP // 8, _MAP // 8), Image.Resampling.BOX)
    around = np.asarray(small.resize((_MAP, _MAP), Image.Resampling.BICUBIC)).ravel()
    return np.clip(1.0 - 7.0 * (around - radius), 0.35, 1.08)


# --------------------------------------------------------------------------- light and canvas

_FRAME = 2.7  # height of the picture, head units, at scale 1
_MIDDLE = 0.05  # y of the head that is in the middle of the picture
_WALK_STEPS = (3, 2, 2, 2, 3, 4, 7)  # between them, rays that have arrived are put aside
_SHADOW_STEPS = 6


@dataclass(frozen=True)
class _Light:
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

    def turned(self, rotation: FloatArray) -> _Light:
        """The same light seen from a frame that ``rotation`` takes to this one."""
        inverse = rotation.T.astype(np.float32)
        return _Light(
            inverse @ self.direction,
            inverse @ self.view,
            inverse @ self.up,
            self.lamp,
            self.ambient,
        )


def _light(nuisance: Nuisance) -> _Light:
    azimuth = math.radians(nuisance.light_azimuth)
    elevation = math.radians(nuisance.light_elevation)
    direction = (
        math.sin(azimuth) * math.cos(elevation),
        math.sin(elevation),
        math.cos(azimuth) * math.cos(elevation),
    )
    warm = np.array([0.26, 0.0, -0.42], np.float32)
    return _Light(
        direction=np.array(direction, np.float32),
        view=np.array([0, 0, 1], np.float32),
        up=np.array([0, 1, 0], np.float32),
        lamp=np.exp(warm * nuisance.light_warmth) * np.float32(nuisance.light_strength),
        ambient=np.exp(warm * nuisance.ambient_warmth) * np.float32(nuisance.ambient_strength),
    )


# Light enters skin and leaves it nearby: red goes farthest round the edge of a shadow.
_SKIN_WRAP = np.array([0.30, 0.16, 0.10], np.float32)


def _shade(
    light: _Light,
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
    facing = _dot(light.direction, normal)
    wrap = _SKIN_WRAP[:, None]
    diffuse = np.maximum((facing + wrap) / (1.0 + wrap), 0.0)
    diffuse *= lit
    around = (0.78 + 0.22 * (_dot(light.up, normal))) * openness
    colour = albedo * (diffuse * light.lamp[:, None] + around * light.ambient[:, None])
    half = light.direction + light.view
    half = half / np.sqrt((half**2).sum())
    mirrored = np.maximum(_dot(half, normal), 0.0)
    for _ in range(sharpness.bit_length() - 1):
        mirrored *= mirrored
    rim = 1.0 - np.maximum(_dot(light.view, normal), 0.0)
    rim *= rim
    mirrored = mirrored * gloss * lit
    colour += mirrored * light.lamp[:, None]
    colour += (0.10 * rim * rim * openness) * light.ambient[:, None]
    return colour


class _Canvas:
    """The samples of a picture: what has been painted so far, and how near it is."""

    def __init__(self, nuisance: Nuisance, size: int) -> None:
        self.side = 2 * size
        self.sample = _FRAME / (self.side * nuisance.scale)  # width of a sample, head units
        line = ((np.arange(self.side) + 0.5) / self.side - 0.5) * _FRAME
        self.across = ((line - nuisance.shift_x) / nuisance.scale).astype(np.float32)
        self.up = ((-line - nuisance.shift_y) / nuisance.scale + _MIDDLE).astype(np.float32)
        self.colour = np.zeros((self.side * self.side, 3), np.float32)
        self.height = np.full(self.side * self.side, -np.inf, np.float32)  # towards the viewer

    def inside(
        self, x: float, y: float, half_width: float, half_height: float
    ) -> tuple[IndexArray, FloatArray, FloatArray]:
        """Samples in a rectangle around (x, y) of the camera's plane, and their camera x and y."""
        columns = np.flatnonzero(np.abs(self.across - x) <= half_width).astype(np.int32)
        rows = np.flatnonzero(np.abs(self.up - y) <= half_height).astype(np.int32)
        samples = (rows[:, None] * np.int32(self.side) + columns).ravel()
        return samples, np.tile(self.across[columns], rows.size), self.up[rows].repeat(columns.size)

    def visible(self, samples: IndexArray, height: FloatArray) -> NDArray[np.bool_]:
        """Which of these points nothing painted before hides."""
        return height > self.height[samples]

    def paint(self, samples: IndexArray, height: FloatArray, colour: FloatArray) -> None:
        """Put visible points on the canvas; ``colour`` is (3, n)."""
        self.colour[samples] = colour.T
        self.height[samples] = height

    def tint(self, samples: IndexArray, colour: FloatArray, opacity: FloatArray) -> None:
        """Lay ``colour`` (3,) or (3, n) over the canvas without changing what is nearest."""
        old = self.colour[samples]
        layer = np.atleast_2d(colour.T)
        self.colour[samples] = old + (layer - old) * opacity[:, None]

    def pixels(self) -> tuple[FloatArray, FloatArray]:
        """(size, size, 3) mean of the samples of each pixel; (size, size, 1) share painted."""
        painted = (self.height > -np.inf).astype(np.float32)
        layers = self.colour.reshape(self.side, self.side, 3), painted.reshape(self.side, -1, 1)
        rows = [layer[0::2] + layer[1::2] for layer in layers]
        colour, coverage = ((row[:, 0::2] + row[:, 1::2]) * np.float32(0.25) for row in rows)
        return colour, coverage


# --------------------------------------------------------------------------- simple bodies


@dataclass(frozen=True)
class _Ellipsoid:
    """An ellipsoid in some frame of coordinates.

    Attributes:
        centre: (3,).
        axes: (3, 3) unit vectors of its axes, one per row.
        radii: (3,).
    """

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    axes: FloatArray


def _hit_ellipsoid(
    canvas: _Canvas, body: _Ellipsoid, rotation: FloatArray, offset: FloatArray
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
    b = _dot(direction, origin)
    root = b * b - a * ((origin * origin).sum(axis=0) - 1.0)
    met = root > 0.0
    height = (np.sqrt(np.maximum(root, 0.0)) - b) / a
    seen = met & canvas.visible(samples, height + np.float32(centre[2]))
    height = height[seen]
    ball = origin[:, seen] + direction[:, None] * height
    return samples[seen], height + np.float32(centre[2]), ball


def _ellipsoid_normal(body: _Ellipsoid, ball: FloatArray, rotation: FloatArray) -> FloatArray:
    """(3, n) unit normals in the camera's frame."""
    to_camera = (rotation @ body.axes.T) / np.array(body.radii)
    normal = np.stack([_dot(row, ball) for row in to_camera.astype(np.float32)])
    normal /= np.sqrt((normal * normal).sum(axis=0))
    return normal


_UPRIGHT = np.eye(3)


def _paint_body(
    canvas: _Canvas, identity: Identity, nuisance: Nuisance, head: _Head, light: _Light
) -> None:
    """Shoulders, neck and hanging hair."""
    turned = _rotation(nuisance.yaw, nuisance.pitch, nuisance.roll)
    body = _rotation(0.35 * nuisance.yaw, 0.0, 0.3 * nuisance.roll)
    joint = np.array([0.0, -0.45, -0.2])  # head and body meet here
    offset = (turned - body) @ joint
    cloth = _linear(nuisance.cloth_colour)
    half_neck = 0.20 + 0.34 * identity.jaw_width

    def paint(part: _Ellipsoid, colour: FloatArray, gloss: float, shadow: bool) -> None:
        samples, height, ball = _hit_ellipsoid(canvas, part, body, offset)
        normal = _ellipsoid_normal(part, ball, body)
        openness: FloatArray | float = 1.0
        if shadow:  # the head keeps light away from the neck
            below = canvas.up[samples // canvas.side] - np.float32(offset[1])
            openness = _smoothstep(-0.62, -1.35, below) * 0.65 + 0.35
        shaded = _shade(light, colour[:, None], normal, openness, openness, gloss, 8)
        canvas.paint(samples, height, shaded)

    paint(_Ellipsoid((0.0, -1.0, -0.22), (half_neck, 1.2, 0.40), _UPRIGHT), head.skin, 0.03, True)
    paint(_Ellipsoid((0.0, -1.95, -0.25), (1.30, 0.80, 0.5), _UPRIGHT), cloth, 0.0, True)
    paint(_Ellipsoid((0.0, -1.50, -0.27), (0.84, 0.34, 0.40), _UPRIGHT), cloth, 0.0, True)
    style = HAIR_STYLES[identity.hair_style]
    if style.back:
        half = (0.8 - style.back) / 2
        width = head.ear_width + 0.7 * identity.hair_volume * style.side
        fall = _Ellipsoid((0.0, 0.8 - half, -0.38), (width, half, 0.42), _UPRIGHT)
        _paint_hair(canvas, identity, head, light, fall, body, offset)
    if style.bun:
        radius = style.bun * (0.7 + 0.3 * identity.hair_volume)
        bun = _Ellipsoid(
            (0.0, 0.93 * identity.skull_height, -0.3), (radius, radius * 0.85, radius), _UPRIGHT
        )
        _paint_hair(canvas, identity, head, light, bun, turned, np.zeros(3))


def _paint_hair(
    canvas: _Canvas,
    identity: Identity,
    head: _Head,
    light: _Light,
    part: _Ellipsoid,
    rotation: FloatArray,
    offset: FloatArray,
) -> None:
    samples, height, ball = _hit_ellipsoid(canvas, part, rotation, offset)
    normal = _ellipsoid_normal(part, ball, rotation)
    curl = HAIR_STYLES[identity.hair_style].curl
    waves = ball[0] * 9.0 + (0.2 + 0.8 * curl) * np.sin(ball[1] * 7.0)
    strands = np.sin(waves * 2.0) + np.sin(waves * 5.3 + 1.0) + 0.7 * np.sin(waves * 11.7 + 2.0)
    colour = head.hair[:, None] * np.exp(0.13 * strands)
    dim = 0.8
    canvas.paint(samples, height, _shade(light, colour, normal, dim, dim, 0.02, 8))


def _paint_ears(
    canvas: _Canvas, identity: Identity, nuisance: Nuisance, head: _Head, light: _Light
) -> None:
    turned = _rotation(nuisance.yaw, nuisance.pitch, nuisance.roll)
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
        ear = _Ellipsoid(
            (float(middle[0]), float(middle[1]), float(middle[2])),
            (0.055, tall, 0.58 * tall),
            np.stack([through, up, back]),
        )
        samples, height, ball = _hit_ellipsoid(canvas, ear, turned, np.zeros(3))
        if not samples.size:
            continue
        normal = _ellipsoid_normal(ear, ball, turned)
        reach = np.sqrt(ball[1] ** 2 + ball[2] ** 2)
        # A rim around a bowl: the bowl's walls lean the other way and get less light.
        bowl = _smoothstep(0.82, 0.55, np.sqrt((ball[1] - 0.05) ** 2 + ball[2] ** 2))
        rim = np.exp(-(((reach - 0.62) / 0.12) ** 2))
        openness = 1.0 - 0.45 * bowl * (1.0 - 0.5 * _bump(ball[1] + 0.1, ball[2], 0.25, 0.2))
        colour = head.skin[:, None] * np.exp(
            np.array([[0.05], [-0.22], [-0.18]], np.float32) * (0.7 + 0.3 * bowl)
        )
        shaded = _shade(light, colour, normal, 0.9 * openness, openness * (1 - 0.25 * rim), 0.02, 8)
        canvas.paint(samples, height, shaded)


# --------------------------------------------------------------------------- the head


def _lower_jaw(identity: Identity, gap: float, y: FloatArray) -> FloatArray:
    """How far an open mouth has moved down what is now at height y."""
    return np.float32(gap) * _smoothstep(0.0, gap + 0.06, np.float32(identity.mouth_height) - y)


def _walk_to_head(
    canvas: _Canvas, identity: Identity, head: _Head, rotation: FloatArray, gap: float
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
    rows, columns = np.divmod(samples.astype(np.int32), np.int32(canvas.side))
    start, height = walk(canvas.across[columns], canvas.up[rows], highest[samples])
    met = np.flatnonzero(height > -np.inf)
    height = height[met]
    return samples[met], start.take(met, axis=1) + towards[:, None] * height, height


def _walk(
    identity: Identity,
    head: _Head,
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
    head: _Head,
    start: FloatArray,
    towards: FloatArray,
    height: FloatArray,
    gap: float,
) -> FloatArray:
    """Distance of points from the surface, along the line to the centre; negative inside."""
    x = start[0] + towards[0] * height
    y = start[1] + towards[1] * height
    z = start[2] + towards[2] * height
    if gap:
        y = y + _lower_jaw(identity, gap, y)
    r = np.sqrt(x * x + y * y + z * z)
    column, row = _map_position(x, y, z, r)
    column += 0.5
    row += 0.5
    texel = row.astype(np.int32) * _MAP + column.astype(np.int32)
    return r - head.radius.take(texel, mode="clip")


def _surface(head: _Head, points: FloatArray) -> FloatArray:
    """(10, n) the map's surface values at points, interpolated between four texels."""
    x, y, z = points
    column, row = _map_position(x, y, z, np.sqrt(x * x + y * y + z * z))
    left, low = column.astype(np.int32), row.astype(np.int32)
    right_share, high_share = (column - left)[:, None], (row - low)[:, None]
    texel = low * _MAP + left
    take = head.surface.take
    lower = take(texel, axis=0, mode="clip")
    lower += (take(texel + 1, axis=0, mode="clip") - lower) * right_share
    texel += _MAP
    upper = take(texel, axis=0, mode="clip")
    upper += (take(texel + 1, axis=0, mode="clip") - upper) * right_share
    lower += (upper - lower) * high_share
    return np.ascontiguousarray(lower.T)


def _lamp_share(head: _Head, points: FloatArray, normal: FloatArray, light: _Light) -> FloatArray:
    """Share of the lamp that reaches points of the head: 0 in the shadow of nose, brow or hair."""
    x, y, z = points + normal * np.float32(0.015)
    way = light.direction
    share = np.ones_like(x)
    for step in range(_SHADOW_STEPS):
        distance = np.float32(0.035 + 0.05 * step)
        px, py, pz = x + way[0] * distance, y + way[1] * distance, z + way[2] * distance
        r = np.sqrt(px * px + py * py + pz * pz)
        column, row = _map_position(px, py, pz, r)
        texel = row.astype(np.int32) * _MAP + column.astype(np.int32)
        clear = (r - head.radius.take(texel, mode="clip")) * (14.0 / (1.0 + 1.2 * step)) + 1.0
        np.minimum(share, clear, out=share)
    return np.maximum(share, 0.0)


def _paint_head(
    canvas: _Canvas, identity: Identity, nuisance: Nuisance, head: _Head, light: _Light
) -> None:
    rotation = _rotation(nuisance.yaw, nuisance.pitch, nuisance.roll)
    gap = 0.15 * nuisance.mouth_open
    samples, points, height = _walk_to_head(canvas, identity, head, rotation, gap)
    moved = _lower_jaw(identity, gap, points[1]) if gap else np.zeros_like(height)
    surface = _surface(head, np.stack([points[0], points[1] + moved, points[2]]))
    normal = surface[0:3] / np.sqrt((surface[0:3] ** 2).sum(axis=0) + 1e-9)
    openness, albedo, hair = surface[3], surface[4:7], surface[7]
    local = light.turned(rotation)
    lit = _lamp_share(head, points, normal, local)
    face = _Face(
        identity=identity,
        nuisance=nuisance,
        light=local,
        sample=canvas.sample,
        x=surface[8],
        y=surface[9] - moved,
        front=np.flatnonzero((points[2] > 0.15) & (hair < 0.99)),
        albedo=albedo,
        normal=normal,
        openness=openness,
        gloss=0.035 + 0.02 * np.maximum(1.0 - hair, 0.0),
    )
    uncovered = albedo.copy()
    _paint_nostrils(face)
    _paint_mouth(face)
    glints = [_paint_eye(face, side) for side in (-1.0, 1.0)]
    # What hair covers, it covers.
    _blend(albedo, uncovered, np.clip(hair * 1.5 - 0.5, 0.0, 1.0))
    for side in (-1.0, 1.0):
        _paint_brow(face, side, head.hair)
    shaded = _shade(local, albedo, normal, lit, openness, face.gloss, 8)
    for spot, strength in glints:
        shaded[:, spot] += strength * (local.lamp + local.ambient)[:, None]
    seen = canvas.visible(samples, height)
    canvas.paint(samples[seen], height[seen], shaded[:, seen])


# ----------------------------------------------------------------- eyes, brows, nostrils, mouth


@dataclass(frozen=True)
class _Face:
    """The samples of a head while its features are painted: the arrays are changed in place.

    Attributes:
        identity: who it is.
        nuisance: what the picture is like.
        light: seen from the head.
        sample: width of a sample, head units.
        x: (n,) horizontal place on the smooth head.
        y: (n,) vertical place there, after an open mouth moved the chin.
        front: indices of the samples that may show a feature of the face.
        albedo: (3, n) linear.
        normal: (3, n).
        openness: (n,).
        gloss: (n,).
    """

    identity: Identity
    nuisance: Nuisance
    light: _Light
    sample: float
    x: FloatArray
    y: FloatArray
    front: IndexArray
    albedo: FloatArray
    normal: FloatArray
    openness: FloatArray
    gloss: FloatArray

    def window(
        self, x: float, y: float, half_width: float, half_height: float
    ) -> tuple[IndexArray, FloatArray, FloatArray]:
        """Samples near (x, y) and their place relative to it."""
        across, up = self.x[self.front] - np.float32(x), self.y[self.front] - np.float32(y)
        near = np.flatnonzero((np.abs(across) < half_width) & (np.abs(up) < half_height))
        return self.front[near], across[near], up[near]

    def cover(self, spot: IndexArray, colour: FloatArray, opacity: FloatArray) -> None:
        """Paint ``colour`` (3,) or (3, n) over the albedo of samples."""
        part = self.albedo[:, spot]
        _blend(part, colour, opacity)
        self.albedo[:, spot] = part

    def edge(self, distance: FloatArray, softness: float = 1.0) -> FloatArray:
        """Coverage of what begins where ``distance`` (head units) turns positive."""
        return np.clip(distance / np.float32(self.sample * 2.0 * softness) + 0.5, 0.0, 1.0)


_DARK_LINE = _linear((38, 20, 16))
_LID_RIM = _linear((60, 34, 28))


_IRIS_RADIUS = 0.070
_EYEBALL_RADIUS = 0.135


def _paint_eye(face: _Face, side: float) -> tuple[IndexArray, FloatArray]:
    """Paint an eye; return where and how strongly the lamp glints in it."""
    who, how = face.identity, face.nuisance
    spot, across, up = face.window(side * who.eye_spacing, who.eye_height, 0.22, 0.19)
    tilt = math.radians(who.eye_tilt)
    outward = across * np.float32(side)
    along = outward * math.cos(tilt) + up * math.sin(tilt)
    above = up * math.cos(tilt) - outward * math.sin(tilt)
    u = along / who.eye_width
    inside = np.maximum(1.0 - u * u, 0.0)
    # A smile lifts the lower lid, surprise the upper one; to close, the upper comes down.
    squeeze = 0.3 * max(how.smile, 0.0)
    lowest = 0.62 * who.eye_opening
    lower = -lowest * (1.0 - squeeze) * inside * (1.0 + 0.18 * u)
    raised = who.eye_opening * (1.0 + 0.25 * max(how.brow_raise, 0.0))
    dome = inside**0.7 * (1.0 - 0.16 * u)
    upper = lower + (raised + lowest * (1.0 - squeeze)) * (1.0 - how.eye_closing) * dome

    colour = _eyeball_colour(face, across, up, u)
    colour *= 1.0 - 0.6 * _smoothstep(0.05, 0.0, upper - above)  # in the upper lid's shadow
    open_share = np.minimum(face.edge(upper - above), face.edge(above - lower)) * (inside > 0)
    face.cover(spot, colour, open_share)
    lashes = _stroke(above - upper - 0.006, 0.011) * _smoothstep(1.12, 0.9, np.abs(u))
    face.cover(spot, _DARK_LINE, 0.92 * lashes)
    rim = _stroke(above - lower + 0.005, 0.009) * _smoothstep(1.1, 0.7, np.abs(u))
    face.cover(spot, _LID_RIM, 0.38 * rim)
    relaxed = lower + (who.eye_opening + lowest) * dome
    fold = np.maximum(upper, 0.7 * relaxed + 0.3 * upper) + 0.024 + 0.012 * who.lid_crease
    crease = _stroke(above - fold, 0.010) * _smoothstep(1.25, 0.8, np.abs(u))
    face.albedo[:, spot] *= 1.0 - 0.55 * who.lid_crease * crease

    ball = np.stack([across, up, np.full_like(up, _EYEBALL_RADIUS)]) / _EYEBALL_RADIUS
    ball /= np.sqrt((ball**2).sum(axis=0))
    face.normal[:, spot] += (ball - face.normal[:, spot]) * open_share
    face.openness[spot] = np.maximum(face.openness[spot], 0.85 * open_share)
    half = face.light.direction + face.light.view
    glint_at = 0.075 * np.clip(half / np.sqrt((half**2).sum()), -0.5, 0.5)
    distance = np.sqrt((across - glint_at[0]) ** 2 + (up - glint_at[1]) ** 2)
    return spot, 0.75 * face.edge(0.018 - distance) * open_share


def _eyeball_colour(face: _Face, across: FloatArray, up: FloatArray, u: FloatArray) -> FloatArray:
    """(3, n) white, iris and pupil. The eyes look at the viewer, give or take the gaze."""
    how = face.nuisance
    gaze = _rotation(how.gaze_x, how.gaze_y, 0.0)[:, 2]
    turned = _rotation(how.yaw, how.pitch, how.roll).T @ gaze
    iris_x = _EYEBALL_RADIUS * float(np.clip(turned[0], -0.36, 0.36))
    iris_y = _EYEBALL_RADIUS * float(np.clip(turned[1], -0.25, 0.25)) + 0.005
    distance = np.sqrt((across - iris_x) ** 2 + (up - iris_y) ** 2)
    colour = _linear((208, 202, 196))[:, None] * (1.0 - 0.35 * np.minimum(np.abs(u) ** 3, 1.0))
    # An iris is darker at its rim and lighter around the pupil.
    iris = 0.55 + 0.9 * _smoothstep(_IRIS_RADIUS, 0.45 * _IRIS_RADIUS, distance)
    iris *= 1.0 - 0.55 * _smoothstep(0.82 * _IRIS_RADIUS, _IRIS_RADIUS, distance)
    eye_colour = _linear(EYE_COLOURS[face.identity.eye_colour])[:, None]
    _blend(colour, eye_colour * iris, face.edge(_IRIS_RADIUS - distance))
    _blend(colour, _linear((8, 6, 6)), face.edge(0.42 * _IRIS_RADIUS - distance))
    return colour


def _paint_brow(face: _Face, side: float, hair: FloatArray) -> None:
    who, how = face.identity, face.nuisance
    raised = who.brow_height + 0.05 * how.brow_raise
    middle = side * (who.eye_spacing + 0.015)
    spot, across, up = face.window(middle, who.eye_height + raised, 0.26, 0.17)
    s = across * np.float32(side) / who.brow_length  # -1 at the inner end, 1 at the outer
    tilt = math.tan(math.radians(who.brow_tilt)) * who.brow_length
    frown = 0.05 * min(how.brow_raise, 0.0) * np.clip(-s, 0.0, 1.0)
    line = who.brow_arch * (0.6 - (s - 0.25) ** 2) + tilt * s + frown
    thickness = who.brow_thickness * np.clip(1.05 - 0.55 * np.clip(s, 0.0, 1.0) ** 2, 0.1, 1.0)
    thickness = thickness * np.sqrt(np.clip((1.0 - np.abs(s)) * 5.0, 0.0, 1.0))
    distance = np.abs(up - line) / np.maximum(thickness, 1e-3)
    strands = 1.0 + 0.16 * np.sin(s * 46.0 + up * 90.0)
    opacity = np.clip(1.6 - 1.3 * distance, 0.0, 1.0) * (np.abs(s) < 1.0) * strands
    colour = hair * np.float32(0.55) + _DARK_LINE * 0.25
    face.cover(spot, colour, np.clip(opacity * who.brow_density, 0.0, 1.0))


def _paint_nostrils(face: _Face) -> None:
    who = face.identity
    tip_y = who.eye_height + 0.07 - who.nose_length
    for side in (-1.0, 1.0):
        spot, across, up = face.window(side * who.nose_width * 0.47, tip_y - 0.045, 0.09, 0.06)
        up = up - 0.25 * np.abs(across)
        hole = _bump(across, up, who.nose_width * 0.20, 0.016)
        face.cover(spot, _linear((34, 12, 10)), np.clip(hole * 1.15 - 0.1, 0.0, 0.88))
    # Where the wings meet the cheek there is a crease.
    spot, across, up = face.window(0.0, tip_y, who.nose_width * 1.6, 0.12)
    wing = np.exp(-(((np.abs(across) - who.nose_width * 1.02) / 0.014) ** 2))
    wing *= _smoothstep(-0.06, -0.02, up) * _smoothstep(0.075, 0.02, up)
    face.albedo[:, spot] *= 1.0 - 0.34 * wing


def _paint_mouth(face: _Face) -> None:
    who, how = face.identity, face.nuisance
    smile = max(how.smile, 0.0)
    width = who.mouth_width * (1.0 + 0.24 * smile - 0.10 * how.mouth_open)
    spot, across, up = face.window(0.0, who.mouth_height - 0.08, width * 1.4, 0.34)
    u = across / width  # -1 and 1 at the corners
    inside = np.maximum(1.0 - u * u, 0.0)
    # From here on ``up`` is measured from the lower edge of the upper lip.
    up = up - 0.08 + 0.015 * how.smile - (0.014 + 0.06 * how.smile) * np.minimum(u * u, 1.2)
    gap = (0.15 * how.mouth_open + 0.045 * max(smile - 0.45, 0.0)) * inside**0.7

    bow = 1.0 - who.cupids_bow * _stroke(u, 0.14) + 0.12 * _stroke(np.abs(u) - 0.3, 0.15)
    thinner = 1.0 - 0.22 * smile
    top = who.upper_lip * thinner * inside**0.75 * bow
    bottom = -gap - who.lower_lip * thinner * inside**0.8
    lips = face.edge(top - up, 1.6) * face.edge(up - bottom, 2.2) * (inside > 0)
    lower = up < -0.5 * gap
    skin = _skin_colour(who)
    face.cover(
        spot,
        _lip_colour(who)[:, None] * np.where(lower, np.float32(1.0), np.float32(0.78)),
        0.9 * lips,
    )
    face.gloss[spot] += 0.06 * lips * lower

    within = face.edge(-up) * face.edge(up + gap) * (gap > 0.004)
    face.cover(spot, _mouth_cavity(face, up, gap, u), within)
    outwards = np.array([[0.0], [0.0], [1.0]], np.float32)
    face.normal[:, spot] += (outwards - face.normal[:, spot]) * (0.8 * within)
    face.openness[spot] += (0.8 - face.openness[spot]) * within

    closed = _stroke(up, 0.0095) * (1.0 - within) * _smoothstep(1.06, 0.92, np.abs(u))
    face.cover(spot, skin * np.array([0.22, 0.12, 0.12], np.float32), 0.85 * closed * (gap < 0.03))
    corners = _bump(np.abs(u) - 1.0, up / width, 0.07, 0.07)
    # A smile folds the cheeks.
    fold = _stroke(np.abs(across) - 1.12 * width - 0.02 + 0.7 * up**2 + 0.25 * up, 0.022)
    fold *= _smoothstep(-0.13, 0.0, up) * _smoothstep(0.26, 0.1, up)
    face.albedo[:, spot] *= (1.0 - 0.35 * corners) * (1.0 - 0.30 * smile * fold)


def _lip_colour(identity: Identity) -> FloatArray:
    """(3,) linear albedo."""
    plain, red = np.array([[0.90, 0.62, 0.60], [0.95, 0.27, 0.31]], np.float32)
    return _skin_colour(identity) * (plain + (red - plain) * np.float32(identity.lip_redness))


def _mouth_cavity(face: _Face, up: FloatArray, gap: FloatArray, u: FloatArray) -> FloatArray:
    """(3, n) what an open mouth shows: the dark, the tongue below, teeth under the upper lip."""
    colour = np.repeat(_linear((62, 18, 18))[:, None], up.size, axis=1)
    _blend(colour, _linear((150, 70, 66)), 0.8 * _smoothstep(0.05, 0.0, up + gap) * (gap > 0.05))
    teeth = face.edge(up + np.minimum(0.055, 0.9 * gap)) * _smoothstep(0.95, 0.75, np.abs(u))
    _blend(colour, _linear((236, 228, 214)) * 0.85, teeth)
    return colour * (1.0 - 0.5 * _smoothstep(0.012, 0.0, -up))


# --------------------------------------------------------------------------- glasses


def _paint_glasses(canvas: _Canvas, identity: Identity, nuisance: Nuisance, head: _Head) -> None:
    """Frames and lenses in a plane before the eyes, and an arm to each ear."""
    if nuisance.glasses == "none":
        return
    rotation = _rotation(nuisance.yaw, nuisance.pitch, nuisance.roll)
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
    frame = _linear(nuisance.glasses_colour) * (0.4 + 0.6 * nuisance.light_strength)
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
    canvas: _Canvas,
    identity: Identity,
    rotation: FloatArray,
    head: _Head,
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


# --------------------------------------------------------------------------- background, camera


def _background(nuisance: Nuisance, size: int) -> FloatArray:
    """(size, size, 3) linear colours behind the head."""
    generator = np.random.default_rng(nuisance.background_seed)

    def colours(down: int, across: int) -> FloatArray:
        grey = generator.uniform(0.1, 0.9, (down, across, 1))
        hue = generator.uniform(-0.25, 0.25, (down, across, 3))
        return np.clip(grey + hue, 0.02, 0.98).astype(np.float32)

    def enlarged(grid: FloatArray, method: Image.Resampling) -> FloatArray:
        whole = Image.fromarray((grid * 255).astype(np.uint8)).resize((size, size), method)
        return np.asarray(whole, np.float32) / np.float32(255.0)

    kind = nuisance.background
    if kind == "blobs":
        cells = int(generator.integers(3, 9))
        picture = enlarged(colours(cells, cells), Image.Resampling.BICUBIC)
    elif kind == "blocks":
        across, down = (int(value) for value in generator.integers(2, 7, 2))
        picture = enlarged(colours(down, across), Image.Resampling.NEAREST)
    else:
        picture = enlarged(colours(2, 2), Image.Resampling.BICUBIC)
    if kind == "stripes":
        line = np.linspace(-1.0, 1.0, size, dtype=np.float32)
        angle, pitch = generator.uniform(0.0, math.pi), generator.uniform(4.0, 16.0)
        wave = np.sin(
            np.float32(pitch) * (line * math.cos(angle) + line[:, None] * math.sin(angle))
        )
        picture = picture + (colours(1, 1) - picture) * (0.5 + 0.5 * wave)[..., None] ** 2
    elif kind == "grain":
        cells = int(generator.integers(12, 40))
        noise = enlarged(
            colours(cells, cells).mean(axis=2, keepdims=True).repeat(3, 2), Image.Resampling.BICUBIC
        )
        picture = picture * (0.5 + noise)
    return np.clip(picture, 0.0, 1.0) ** np.float32(2.2)


_DISPLAY = (np.linspace(0.0, 1.0, 4096) ** (1 / 2.2) * 255.0).astype(np.float32)


def _photograph(linear: FloatArray, nuisance: Nuisance) -> NDArray[np.uint8]:
    """Exposure, tone curve, blur and noise of a camera."""
    size = linear.shape[0]
    bright = linear * np.float32(1.25 * 2.0**nuisance.exposure)
    bright = bright / (1.0 + 0.28 * bright)  # film does not clip at once
    grey = _DISPLAY.take((np.minimum(bright, 1.0) * 4095.0).astype(np.int32))
    grey = (grey - 118.0) * np.float32(nuisance.contrast) + 118.0
    picture = Image.fromarray(np.clip(grey, 0.0, 255.0).astype(np.uint8))
    picture = picture.filter(ImageFilter.GaussianBlur(nuisance.blur * size / 160.0))
    noise = np.random.default_rng(nuisance.noise_seed).standard_normal(
        (size, size, 3), dtype=np.float32
    )
    noisy = np.asarray(picture, np.float32) + noise * np.float32(nuisance.noise)
    return np.clip(noisy + 0.5, 0.0, 255.0).astype(np.uint8)


def render_face(identity: Identity, nuisance: Nuisance, size: int = 160) -> NDArray[np.uint8]:
    """Draw one picture of a person.

    Args:
        identity: who it is.
        nuisance: pose, light, expression, surroundings and camera.
        size: side of the picture, pixels, at least 64.

    Returns:
        uint8 (size, size, 3), RGB.

    Raises:
        FacenetError: if ``size`` is too small or not a whole number.
    """
    _check_size(size)
    head = _head(identity)
    light = _light(nuisance)
    canvas = _Canvas(nuisance, size)
    _paint_head(canvas, identity, nuisance, head, light)
    if HAIR_STYLES[identity.hair_style].edge[4] > _LONG_HAIR:
        _paint_ears(canvas, identity, nuisance, head, light)
    _paint_body(canvas, identity, nuisance, head, light)
    _paint_glasses(canvas, identity, nuisance, head)
    colour, coverage = canvas.pixels()
    picture = _background(nuisance, size) * (1.0 - coverage) + colour
    return _photograph(picture, nuisance)


def _check_size(size: int) -> None:
    if not _is_whole(size) or size < SMALLEST_SIZE:
        raise FacenetError(
            f"size: expected a whole number of pixels of at least {SMALLEST_SIZE}, found {size!r}"
        )


# --------------------------------------------------------------------------- names

# Given names and family names of one part of the world stand together, so that they fit.
_NAMES: tuple[tuple[str, str], ...] = (
    (
        "Adaeze Babajide Chinwe Damilola Ebele Folake Ifeanyi Kelechi Ngozi Obinna Temitope Zainab "
        "Amaka Bolanle Chidi Emeka Funmi Ikenna Nkechi Oluchi Segun Tunde Uche Yetunde",
        "Abiola Adeyemi Afolayan Akande Babatunde Balogun Chukwu Eze Ezenwa Ibekwe Igwe Lawal "
        "Madu Nwosu Obi Ogunleye Okafor Okeke Okonkwo Olawale Onyango Oyelaran Sanni Umeh",
    ),
    (
        "Akira Asuka Chiyo Daichi Emi Fumiko Haruka Hiroshi Isamu Kaori Kenji Mariko Naoki Noriko "
        "Rin Ryota Sachiko Satoru Takumi Tomoko Yasuo Yoko Yuji Yumiko",
        "Aoki Endo Fujita Hasegawa Hayashi Inoue Ishikawa Kato Kimura Kobayashi Maeda Matsuda "
        "Mori Nakamura Nishimura Ogawa Okada Saito Sasaki Shimizu Takagi Ueda Yamazaki Yoshida",
    ),
    (
        "Aarav Ananya Arjun Deepa Divya Farhan Gauri Ishaan Jaya Kavita Kiran Lakshmi Manish Meera "
        "Nikhil Pooja Priya Rahul Rohini Sanjay Shreya Sunil Uma Vikram",
        "Agarwal Banerjee Bhatt Chatterjee Chopra Das Deshpande Ghosh Gupta Iyer Jain Joshi "
        "Kapoor Kulkarni Menon Mishra Nair Patel Pillai Rao Reddy Sharma Trivedi Verma",
    ),
    (
        "Alejandra Beatriz Camilo Catalina Diego Elena Esteban Felipe Gabriela Ignacio Isabel "
        "Javier Lucia Marisol Mateo Natalia Pablo Paloma Rafael Rocio Santiago Sofia Valeria "
        "Ximena",
        "Aguilar Bravo Campos Castillo Delgado Escobar Fuentes Guerrero Herrera Ibarra Jimenez "
        "Lozano Maldonado Navarro Ortega Paredes Quintana Rojas Salazar Solis Trujillo Vargas "
        "Vega Zamora",
    ),
    (
        "Adam Alice Arthur Clara Daniel Edith Eleanor Frank George Hannah Harold Irene Jack "
        "Judith Laura Martin Nora Oliver Patrick Rose Samuel Stella Walter Winifred",
        "Ashworth Barker Bramley Carter Chadwick Dawson Ellison Fletcher Gardner Hargreaves "
        "Holloway Kendrick Lambert Marlowe Nightingale Pemberton Radcliffe Sheridan Thornton "
        "Underhill Wainwright Westbrook Whitaker Yardley",
    ),
    (
        "Anke Annika Bastian Birgit Dieter Elke Ernst Frieda Gerda Hannes Heike Ingrid Jonas "
        "Jutta Klaus Lars Lotte Mathias Monika Nils Petra Rolf Silke Uwe",
        "Albrecht Bachmann Brandt Dietrich Ebert Falk Gerber Hartmann Hoffmann Jansen Keller "
        "Kruger Lehmann Lindqvist Nilsson Pohl Reinhardt Schreiber Sommer Steiner Vogel Wagner "
        "Winkler Ziegler",
    ),
    (
        "Aleksei Anastasia Bogdan Boris Darya Dmitri Ekaterina Galina Igor Irina Jaroslav Katya "
        "Ksenia Lev Ludmila Maksim Milena Nadia Oleg Pavel Stanislav Svetlana Tatiana Yuri",
        "Antonov Baran Belov Cerny Dvorak Fedorenko Gorski Horak Ivanenko Jelinek Kovac Kozlov "
        "Lebedenko Marek Melnik Novotny Orlov Petrenko Sokolov Stepanek Tarasenko Volkov Zelenko "
        "Zielinski",
    ),
    (
        "Amina Bilal Dalia Faisal Fatima Habib Hala Hassan Idris Jamila Karim Khadija Laila "
        "Mahmoud Mariam Mustafa Nabil Nadira Omar Rania Salma Tariq Yasmin Zaki",
        "Abbas Amari Aziz Badawi Darwish Fadel Farouk Ghanem Haddad Hamdan Jabari Khalil Khoury "
        "Mansour Masri Nasser Qasim Rahal Saleh Shadid Sultan Tahan Yousef Zaman",
    ),
    (
        "Baozhu Chunhua Dawei Fang Guolan Haoran Hongmei Jianguo Jiayi Jing Lanfen Liwei Meiling "
        "Ping Qiang Ruolan Shufen Tao Weimin Xiaoming Xiuying Yanping Yifan Zhihao",
        "Bai Cao Chang Deng Ding Fan Feng Gao Guo Hu Jiang Kong Liang Lin Luo Meng Pan Qian Shen "
        "Tang Wei Xie Yuan Zheng",
    ),
    (
        "Aurelie Baptiste Camille Chloe Colette Denis Elodie Emile Fabrice Gaston Genevieve Henri "
        "Jeanne Lucien Margaux Mireille Noemie Odette Pascal Remi Sabine Thierry Yves Zoe",
        "Aubert Beaumont Blanchard Bonnet Chevalier Delacroix Dubois Fontaine Gauthier Girard "
        "Lacroix Lefebvre Marchand Mercier Moreau Perrin Poirier Renaud Rousseau Roux Serrault "
        "Tessier Vasseur Vidal",
    ),
    (
        "Agustina Andi Bayu Cahya Dewi Eko Farida Gemala Hartono Indah Joko Kadek Lestari Made "
        "Ningsih Putri Rangga Ratna Sari Surya Tuti Wayan Wulan Yudha",
        "Anggraini Budiman Darmawan Fauzi Gunawan Halim Hidayat Iskandar Kartika Kusuma Lubis "
        "Mahendra Nugroho Permana Prasetyo Rahardjo Santoso Setiawan Siregar Suharto Tanoto "
        "Utami Wibowo Yulianto",
    ),
    (
        "Aiyana Ataahua Hemi Hinemoa Kahu Kaia Leilani Losa Makoa Malia Mele Moana Nikau Pania "
        "Rangi Sefa Sione Tama Tavita Tevita Tiare Vaea Waimarie Wiremu",
        "Alofa Faleolo Fonoti Halapua Havili Kahale Kalani Kamaka Keawe Latu Leota Mahuta "
        "Manukau Ngata Parata Paea Rewiti Samoa Taufa Tawhiri Tuiasosopo Tuilagi Vaitai Wihongi",
    ),
)


@lru_cache(maxsize=4)
def _name_order(seed: int) -> tuple[IndexArray, IndexArray]:
    """Random order of all names of two parts, and of all names of three."""
    given, family = (len(part.split()) for part in _NAMES[0])
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_NAME_SEED,)))
    short = generator.permutation(len(_NAMES) * given * family)
    long = generator.permutation(len(_NAMES) * given * (given - 1) * family)
    return short, long


def person_name(index: int, seed: int = 0) -> str:
    """Name a person who does not exist.

    Args:
        index: number of the person; different indices have different names.
        seed: seed of the order in which names are given out.

    Returns:
        Two or three parts joined by underscores, as in LFW; ASCII letters only. The first 6,912
        names have two parts, the other 158,976 a second given name between them.

    Raises:
        FacenetError: if ``index`` is negative or there are no more names.
    """
    short, long = _name_order(_checked_seed(seed))
    if not 0 <= index < short.size + long.size:
        raise FacenetError(
            f"person: expected a number from 0 to {short.size + long.size - 1}, found {index}"
        )
    given_count, family_count = (len(part.split()) for part in _NAMES[0])
    if index < short.size:
        number, family = divmod(int(short[index]), family_count)
        region, first = divmod(number, given_count)
        middle = None
    else:
        number, family = divmod(int(long[index - short.size]), family_count)
        number, step = divmod(number, given_count - 1)
        region, first = divmod(number, given_count)
        middle = (first + 1 + step) % given_count
    given_names, family_names = (part.split() for part in _NAMES[region])
    parts = [given_names[first], *([] if middle is None else [given_names[middle]])]
    return "_".join([*parts, family_names[family]])


# --------------------------------------------------------------------------- a dataset

FOLDS = 10
_MOST_PAIRS_PER_FOLD = 300  # of each kind, as in LFW
_MOST_IMAGES = 9999  # names of files have four digits
_FEWEST_FOR_WORKERS = 150  # images for which starting processes takes less time than it saves
_IDENTITY_SEED, _NUISANCE_SEED, _PAIR_SEED, _NAME_SEED = range(4)
_SETTINGS = "drawn_faces.json"
DRAWING_VERSION = 1
"""Raised whenever the same seed gives other pictures than before."""


@dataclass(frozen=True)
class DrawnFaces:
    """What :func:`write_faces` wrote.

    Attributes:
        root: the folder.
        train_names: people of ``peopleDevTrain.txt``, sorted.
        test_names: people of ``people.txt`` and ``pairs.txt``, sorted.
        images: images in the folder.
        images_drawn: images that this call drew; the others were there already.
        pairs: pairs in ``pairs.txt``.
    """

    root: Path
    train_names: tuple[str, ...]
    test_names: tuple[str, ...]
    images: int
    images_drawn: int
    pairs: int


@dataclass(frozen=True)
class _Task:
    """One person whose missing images are to be drawn, by whichever process is free."""

    folder: Path
    index: int
    missing: tuple[int, ...]
    seed: int
    size: int


def write_faces(
    out: str | os.PathLike[str],
    identities: int,
    images_per_identity: int,
    *,
    seed: int = 0,
    size: int = 160,
    test_identities: int | None = None,
    pairs_per_fold: int | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> DrawnFaces:
    """Draw a dataset of people in the layout of LFW.

    Written are ``Name/Name_0001.jpg`` and so on for each person; ``peopleDevTrain.txt``, the
    people to train on; ``people.txt``, ten folds of other people to test on; last of all
    ``pairs.txt``, ten folds of pairs of images of the test people, as many of one person as of
    two, each fold with its own people only. A folder with a ``pairs.txt`` is thus complete.

    Image j of person i depends on ``seed``, i, j and ``size`` alone, not on the number of
    people, images or workers. An interrupted call leaves no half-written file, and the same call
    later draws what is missing.

    Args:
        out: the folder; made where there is none.
        identities: number of people, those to test on included.
        images_per_identity: images of each, at least 2.
        seed: seed of everything.
        size: side of the images, pixels.
        test_identities: how many of the people are to test on, at least 20; None: a fifth, at
            least 20.
        pairs_per_fold: pairs of one person in each fold, and also pairs of two; None: 300, as LFW
            has, or as many as there are.
        workers: processes that draw; None: one per processor, or only this one for a few images.
        progress: whether to show a progress bar.

    Returns:
        What the folder holds now.

    Raises:
        FacenetError: if an argument is unusable, the folder holds other files already or faces
            drawn with other arguments, or it cannot be written.
    """
    plan = _plan(identities, images_per_identity, seed, size, test_identities, pairs_per_fold)
    if workers is not None and (not _is_whole(workers) or workers < 1):
        raise FacenetError(f"workers: expected a whole number of at least 1, found {workers!r}")
    root = Path(out)
    names = [person_name(index, seed) for index in range(identities)]
    try:
        _claim_folder(root, plan)
        abandoned = list(root.rglob(f"*{_PART}"))
        tasks = _missing_images(root, names, plan)
        drawn = sum(len(task.missing) for task in tasks)
        if workers is None:
            workers = _processors() if drawn >= _FEWEST_FOR_WORKERS else 1
        with tqdm(total=drawn, unit="image", desc="drawing faces", disable=not progress) as bar:
            for count in _draw_all(tasks, min(workers, max(1, len(tasks)))):
                bar.update(count)
        pairs = _write_protocol(root, names, plan)
        for path in abandoned:  # by a call that was killed
            path.unlink(missing_ok=True)
    except OSError as error:
        raise FacenetError(f"{error.filename or root}: cannot be written: {error}") from error
    return DrawnFaces(
        root=root,
        train_names=tuple(sorted(names[: plan.train_identities])),
        test_names=tuple(sorted(names[plan.train_identities :])),
        images=identities * images_per_identity,
        images_drawn=drawn,
        pairs=len(pairs),
    )


@dataclass(frozen=True)
class _Plan:
    """The arguments of :func:`write_faces` that decide what is written, checked and complete."""

    identities: int
    images_per_identity: int
    seed: int
    size: int
    test_identities: int
    pairs_per_fold: int
    drawing: int = DRAWING_VERSION

    @property
    def train_identities(self) -> int:
        return self.identities - self.test_identities

    def folds(self) -> list[IndexArray]:
        """Indices of the people of each fold."""
        return np.array_split(np.arange(self.train_identities, self.identities), FOLDS)


def _plan(
    identities: int,
    images_per_identity: int,
    seed: int,
    size: int,
    test_identities: int | None,
    pairs_per_fold: int | None,
) -> _Plan:
    problems = []
    if not _is_whole(identities) or identities < 2 * FOLDS + 1:
        problems.append(
            f"identities: expected a whole number of at least {2 * FOLDS + 1} "
            f"(two to test on in each of {FOLDS} folds, one to train on), found {identities!r}"
        )
    if not _is_whole(images_per_identity) or not 2 <= images_per_identity <= _MOST_IMAGES:
        problems.append(
            f"images per identity: expected 2 to {_MOST_IMAGES}, found {images_per_identity!r}"
        )
    if not _is_whole(seed) or seed < 0:
        problems.append(f"seed: expected a whole number >= 0, found {seed!r}")
    if not _is_whole(size) or size < SMALLEST_SIZE:
        problems.append(
            f"size: expected a whole number of pixels of at least {SMALLEST_SIZE}, found {size!r}"
        )
    refuse("drawn faces", problems)
    tested = max(2 * FOLDS, identities // 5) if test_identities is None else test_identities
    if not _is_whole(tested) or not 2 * FOLDS <= tested < identities:
        problems.append(
            f"test identities: expected {2 * FOLDS} to {identities - 1}, found {tested!r}"
        )
    refuse("drawn faces", problems)
    smallest_fold = tested // FOLDS
    same = smallest_fold * math.comb(images_per_identity, 2)
    different = math.comb(smallest_fold, 2) * images_per_identity**2
    most = min(same, different)
    count = min(_MOST_PAIRS_PER_FOLD, most) if pairs_per_fold is None else pairs_per_fold
    if not _is_whole(count) or not 1 <= count <= most:
        raise FacenetError(
            f"pairs per fold: expected 1 to {most} (a fold has {smallest_fold} people with "
            f"{images_per_identity} images each), found {count!r}"
        )
    return _Plan(identities, images_per_identity, seed, size, tested, count)


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _claim_folder(root: Path, plan: _Plan) -> None:
    """Note the plan in a new folder, or make sure that the folder was begun with the same one."""
    root.mkdir(parents=True, exist_ok=True)
    settings = root / _SETTINGS
    wanted = {key: int(value) for key, value in asdict(plan).items()}
    if not settings.exists():
        strangers = sorted(path.name for path in root.iterdir() if not path.name.endswith(_PART))
        if strangers:
            raise FacenetError(
                f"{root}: expected a new or empty folder, or faces drawn before, found "
                f"{strangers[0]!r} and no {_SETTINGS}"
            )
        _write_whole(settings, (json.dumps(wanted, indent=2) + "\n").encode())
        return
    try:
        found = json.loads(settings.read_bytes())
    except ValueError as error:
        raise FacenetError(
            f"{settings}: expected JSON as write_faces writes it: {error}"
        ) from error
    if not isinstance(found, dict):
        raise FacenetError(f"{settings}: expected a JSON object, found {found!r}")
    refuse(
        f"{root} holds faces drawn otherwise (choose another folder)",
        [
            f"{key}: expected {value}, found {found.get(key)!r}"
            for key, value in wanted.items()
            if found.get(key) != value
        ],
    )


def _missing_images(root: Path, names: list[str], plan: _Plan) -> list[_Task]:
    tasks = []
    for index, name in enumerate(names):
        folder = root / name
        folder.mkdir(exist_ok=True)
        there = {path.name for path in folder.iterdir()}
        missing = tuple(
            image
            for image in range(plan.images_per_identity)
            if _image_name(name, image) not in there
        )
        if missing:
            tasks.append(_Task(folder, index, missing, plan.seed, plan.size))
    return tasks


def _image_name(name: str, image: int) -> str:
    return f"{name}_{image + 1:04d}.jpg"


def _draw_all(tasks: list[_Task], workers: int) -> Iterator[int]:
    """Draw every task and yield its number of images when it is done."""
    if workers == 1:
        yield from map(_draw_task, tasks)
        return
    # Programs of their own: a fork of a process that runs TensorFlow may hang, and the processes
    # that multiprocessing spawns would run the caller's script again.
    answers, answering = os.pipe()
    programs: list[subprocess.Popen[bytes]] = []
    try:
        for share in range(workers):
            programs.append(_start_worker(tasks[share::workers], answering))
        os.close(answering)  # the workers' copies are left: the pipe ends when the last one does
        with os.fdopen(answers) as lines:
            for line in lines:
                answer = json.loads(line)
                if isinstance(answer, str):
                    raise OSError(answer)
                yield answer
        if any(program.wait() for program in programs):
            raise FacenetError("a drawing process ended too early; the same call draws the rest")
    finally:
        for program in programs:
            program.kill()
            program.communicate()


def _start_worker(tasks: list[_Task], answering: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", f"import {__name__}; {__name__}._work()"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=answering, env=environment)
    wanted = [{**asdict(task), "folder": str(task.folder)} for task in tasks]
    assert program.stdin is not None
    program.stdin.write(json.dumps(wanted).encode() + b"\n")
    program.stdin.flush()  # and left open: when it closes, the caller is gone
    return program


def _work() -> None:
    """Draw what a line of standard input asks for; the main function of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's
    wanted = json.loads(sys.stdin.buffer.readline())

    def end_with_caller() -> None:
        sys.stdin.buffer.read()
        os._exit(1)

    threading.Thread(target=end_with_caller, daemon=True).start()
    for task in wanted:
        task |= {"folder": Path(task["folder"]), "missing": tuple(task["missing"])}
        try:
            answer: int | str = _draw_task(_Task(**task))
        except OSError as error:
            answer = str(error)
        os.write(1, json.dumps(answer).encode() + b"\n")  # one write: workers share the pipe
        if isinstance(answer, str):
            break
    os._exit(0)  # without waiting for the thread, which holds standard input


def _draw_task(task: _Task) -> int:
    identity = draw_identity(
        np.random.SeedSequence(task.seed, spawn_key=(_IDENTITY_SEED, task.index))
    )
    for image in task.missing:
        nuisance = draw_nuisance(
            np.random.SeedSequence(task.seed, spawn_key=(_NUISANCE_SEED, task.index, image))
        )
        encoded = io.BytesIO()
        picture = Image.fromarray(render_face(identity, nuisance, task.size))
        picture.save(encoded, "JPEG", quality=nuisance.jpeg_quality)
        _write_whole(task.folder / _image_name(task.folder.name, image), encoded.getvalue())
    return len(task.missing)


_PART = ".part"


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file that is either not there or complete, whenever this process is killed."""
    part = path.with_name(f".{path.name}.{os.getpid()}{_PART}")
    try:
        part.write_bytes(content)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _write_protocol(root: Path, names: list[str], plan: _Plan) -> PairList:
    """Write who is to train on, who to test on, and who is compared with whom."""
    generator = np.random.default_rng(np.random.SeedSequence(plan.seed, spawn_key=(_PAIR_SEED,)))
    count = plan.images_per_identity
    test = [dict.fromkeys(sorted(names[index] for index in fold), count) for fold in plan.folds()]
    pairs = [
        pair for fold in test for pair in draw_fold_pairs(generator, fold, plan.pairs_per_fold)
    ]
    pair_list = PairList(tuple(pairs), FOLDS)
    train = dict.fromkeys(sorted(names[: plan.train_identities]), count)
    write_people(root / "peopleDevTrain.txt", [train])
    write_people(root / "people.txt", test)
    write_pairs(root / "pairs.txt", pair_list)
    return pair_list
