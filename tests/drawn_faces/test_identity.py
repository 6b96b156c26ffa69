"""Identities: draws fill their ranges, and every trait shows in a picture."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from passport_pictures import PLAIN, difference, face_of

from facenet_lib.drawn_faces import Identity, draw_identity
from facenet_lib.drawn_faces.identity import (
    BEARDS,
    EYE_COLOURS,
    HAIR_COLOURS,
    HAIR_STYLES,
    IDENTITY_RANGES,
)

OTHER_TRAITS = {
    "eye_colour": "blue",
    "hair_style": "curly",
    "hair_colour": "blond",
    "beard": "full",
    "freckles": 80,
    "moles": ((0.25, -0.25, 0.03),),
    "scar": (-0.3, -0.3, 45.0, 0.25),
    "detail_seed": PLAIN.detail_seed + 1,
}


def test_draws_stay_within_their_ranges_and_fill_them() -> None:
    people = [draw_identity(seed) for seed in range(300)]
    for name, (low, high) in IDENTITY_RANGES.items():
        values = np.array([getattr(person, name) for person in people])
        assert low <= values.min() and values.max() <= high, name
        assert np.ptp(values) > 0.9 * (high - low), name
    assert {person.hair_style for person in people} == set(HAIR_STYLES)
    assert {person.hair_colour for person in people} == set(HAIR_COLOURS)
    assert {person.eye_colour for person in people} == set(EYE_COLOURS)
    assert {person.beard for person in people} == set(BEARDS)


def test_who_wears_hair_before_the_ears_has_no_beard() -> None:
    for seed in range(300):
        person = draw_identity(seed)
        assert person.beard == "none" or not HAIR_STYLES[person.hair_style].covers_ears


@pytest.mark.slow
@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Identity)])
def test_every_trait_of_an_identity_shows(name: str) -> None:
    ends = IDENTITY_RANGES.get(name) or (getattr(PLAIN, name), OTHER_TRAITS[name])
    low, high = (face_of(dataclasses.replace(PLAIN, **{name: end}), yaw=20.0) for end in ends)
    shown = difference(low, high)
    assert shown.max() >= 15
    assert (shown > 7).sum() >= 4  # a mole is small


@pytest.mark.slow
def test_hair_styles_all_look_different() -> None:
    pictures = [face_of(dataclasses.replace(PLAIN, hair_style=style)) for style in HAIR_STYLES]
    for first, second in itertools.combinations(pictures, 2):
        assert (difference(first, second) > 20).mean() > 0.005
