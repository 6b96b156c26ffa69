"""Skin: between pale and dark, with what marks a person."""

from __future__ import annotations

import dataclasses

import numpy as np
from passport_pictures import PLAIN

from facenet_lib.drawn_faces.direction_map import map_directions
from facenet_lib.drawn_faces.mathematics import to_linear
from facenet_lib.drawn_faces.skin import colour_skin, skin_colour


def colour(**traits: object) -> np.ndarray:
    x, y, _ = map_directions()
    person = dataclasses.replace(PLAIN, **traits)
    return colour_skin(person, x, y, np.random.default_rng(0))


def test_melanin_darkens() -> None:
    pale, middle, dark = (
        skin_colour(dataclasses.replace(PLAIN, melanin=share, undertone=0.0))
        for share in (0.0, 0.5, 1.0)
    )
    np.testing.assert_allclose(pale, to_linear((243, 205, 182)), rtol=1e-6)
    np.testing.assert_allclose(dark, to_linear((92, 57, 42)), rtol=1e-6)
    np.testing.assert_allclose(middle, np.sqrt(pale * dark), rtol=1e-5)


def test_a_mole_is_dark_where_it_stands_and_nowhere_else() -> None:
    mole = (0.25, -0.25, 0.03)
    x, y, _ = map_directions()
    share = (colour(moles=(mole,)) / colour()).mean(axis=0)
    distance = np.hypot(x - mole[0], y - mole[1])
    assert share[distance < 0.5 * mole[2]].max() < 0.2
    assert (share[distance > 3 * mole[2]] == 1.0).all()


def test_freckles_moles_scars_and_age_show() -> None:
    plain = colour(age=0.0)
    for trait in ({"freckles": 80}, {"scar": (-0.3, -0.3, 45.0, 0.25)}, {"age": 1.0}):
        marked = colour(**{"age": 0.0, **trait})
        assert np.abs(marked / plain - 1.0).max() > 0.15
