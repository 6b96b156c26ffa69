"""Hair and beard: where they grow."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from passport_pictures import PLAIN

from facenet_lib.drawn_faces.direction_map import map_directions
from facenet_lib.drawn_faces.hair import grow_beard, grow_hair
from facenet_lib.drawn_faces.identity import BEARDS, HAIR_STYLES, Identity


def grow(style: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    person = dataclasses.replace(PLAIN, hair_style=style)
    directions = map_directions()
    return grow_hair(person, directions, directions[1], np.random.default_rng(0))


@pytest.mark.parametrize("style", HAIR_STYLES)
def test_hair_grows_on_the_crown_and_not_on_the_nose(style: str) -> None:
    share, thickness, brightness = grow(style)
    directions = map_directions()
    crown, nose = directions[1].argmax(), directions[2].argmax()
    assert share.min() >= 0.0 and share.max() <= 1.0 and (brightness > 0).all()
    assert share[nose] == thickness[nose] == 0.0
    bald_there = style in ("bald", "receding")
    assert share[crown] == (0.0 if style == "bald" else share[crown])
    assert bald_there or (share[crown] == 1.0 and thickness[crown] > 0.0)


def test_curls_are_thicker_than_a_crop() -> None:
    assert grow("afro")[1].mean() > 3 * grow("cropped")[1].mean()


def beard(kind: str) -> np.ndarray:
    person: Identity = dataclasses.replace(PLAIN, beard=kind)
    return grow_beard(person, *map_directions())


def test_beards_differ_and_a_full_one_covers_the_others() -> None:
    assert not beard("none").any()
    kinds = {kind: beard(kind) for kind in set(BEARDS) - {"none"}}
    for density in kinds.values():
        assert density.max() > 0.4 and density.min() >= 0.0 and density.max() <= 1.0
    assert (kinds["full"] >= kinds["moustache"]).all()
    np.testing.assert_allclose(kinds["stubble"], 0.45 * kinds["full"])
    assert kinds["moustache"].sum() < kinds["goatee"].sum() < kinds["full"].sum()
