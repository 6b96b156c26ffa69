"""Who is drawn: the numbers that stay the same from picture to picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from facenet_lib.drawn_faces.seeds import (
    IDENTITY_SEED,
    Seed,
    draw_choice,
    draw_uniform,
    make_generator,
)


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


def draw_identity(seed: Seed) -> Identity:
    """Draw a person at random.

    Args:
        seed: whole number, tuple of whole numbers, or SeedSequence; the same seed gives the same
            person.

    Returns:
        An identity within :data:`IDENTITY_RANGES`.

    Raises:
        FacenetError: if ``seed`` is not a seed.

    >>> draw_identity(0).hair_style, draw_identity(0) == draw_identity(0)
    ('long', True)
    """
    generator = make_generator(seed)
    values = draw_uniform(generator, IDENTITY_RANGES)
    # Dark hair is likelier with dark skin, so that most people look like someone one could meet.
    colours = tuple(HAIR_COLOURS)
    dark = generator.random() < 0.25 + 0.55 * values["melanin"]
    hair_colour = draw_choice(generator, colours[:3] if dark else colours)
    eyes = tuple(EYE_COLOURS)
    eye_colour = draw_choice(
        generator, eyes[:2] if generator.random() < values["melanin"] else eyes
    )
    moles = tuple(
        (
            float(generator.uniform(-0.5, 0.5)),
            float(generator.uniform(-0.85, 0.4)),
            float(generator.uniform(0.016, 0.034)),
        )
        for _ in range(int(generator.choice((0, 0, 1, 1, 2))))
    )
    hair_style = draw_choice(generator, tuple(HAIR_STYLES))
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
        beard="none" if HAIR_STYLES[hair_style].covers_ears else draw_choice(generator, BEARDS),
        freckles=int(generator.integers(30, 140)) if generator.random() < 0.25 else 0,
        moles=moles,
        scar=scar if generator.random() < 0.15 else None,
        detail_seed=int(generator.integers(2**31)),
    )


def draw_person(seed: int, index: int) -> Identity:
    """Draw person ``index`` of all folders that are drawn from a seed."""
    return draw_identity(np.random.SeedSequence(seed, spawn_key=(IDENTITY_SEED, index)))


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


@dataclass(frozen=True)
class HairStyle:
    """Where hair grows and how far it stands off.

    Attributes:
        edge: height of the hair's lower edge (y, head units) at :data:`EDGE_ANGLES` degrees
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

    @property
    def covers_ears(self) -> bool:
        """Whether it hangs down before the ears; who wears it so has no beard."""
        return self.edge[4] <= -0.3


# Degrees from the middle of the face at which a style gives the height of the hair's edge.
EDGE_ANGLES = (0.0, 25.0, 46.0, 64.0, 78.0, 96.0, 125.0, 180.0)

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
