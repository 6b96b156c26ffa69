"""Nuisances: draws fill their ranges, and every circumstance shows in a picture."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from passport_pictures import PASSPORT, PLAIN, difference, face_of

from facenet_lib.drawn_faces import Nuisance, draw_nuisance
from facenet_lib.drawn_faces.nuisance import BACKGROUNDS, GLASSES, NUISANCE_RANGES

OTHER_CIRCUMSTANCES = {
    "glasses": "round",
    "glasses_colour": (200, 30, 30),
    "cloth_colour": (250, 250, 10),
    "background": "stripes",
    "background_seed": PASSPORT.background_seed + 1,
    "noise_seed": PASSPORT.noise_seed + 1,
}


def test_draws_stay_within_their_ranges_and_fill_them() -> None:
    pictures = [draw_nuisance(seed) for seed in range(300)]
    for name, (low, high) in NUISANCE_RANGES.items():
        values = np.array([getattr(picture, name) for picture in pictures])
        assert low <= values.min() and values.max() <= high, name
        assert np.ptp(values) > 0.9 * (high - low), name
    assert {picture.background for picture in pictures} == set(BACKGROUNDS)
    assert {picture.glasses for picture in pictures} == {"none", *GLASSES}


@pytest.mark.slow
@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Nuisance)])
def test_every_circumstance_shows_but_the_quality_of_the_file(name: str) -> None:
    needed = {"glasses_colour": {"glasses": "round"}, "noise_seed": {"noise": 5.0}}.get(name, {})
    ends = NUISANCE_RANGES.get(name) or (getattr(PASSPORT, name), OTHER_CIRCUMSTANCES[name])
    low, high = (face_of(PLAIN, **{**needed, name: end}) for end in ends)
    assert (difference(low, high).max() >= 15) == (name != "jpeg_quality")
