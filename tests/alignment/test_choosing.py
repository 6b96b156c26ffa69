"""The face that a photograph is about."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facenet_lib.alignment.choosing import RULES, choose_face
from facenet_lib.alignment.faces import Box, Face
from facenet_lib.errors import FacenetError

HEIGHT, WIDTH = 300, 400
coordinates = st.floats(-50, 450)
boxes = st.tuples(coordinates, coordinates, coordinates, coordinates).map(
    lambda c: Box(min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3]))
)
faces = st.lists(boxes, min_size=1, max_size=6).map(lambda each: [Face(box, 0.5) for box in each])


@given(faces)
def test_the_centre_is_that_of_the_reference(found: list[Face]) -> None:
    """By arrays, as the reference computes it."""
    det = np.array([face.box for face in found])
    sizes = (det[:, 2] - det[:, 0]) * (det[:, 3] - det[:, 1])
    middle = np.array([HEIGHT, WIDTH]) / 2
    aside = np.vstack(
        [(det[:, 0] + det[:, 2]) / 2 - middle[1], (det[:, 1] + det[:, 3]) / 2 - middle[0]]
    )
    merits = sizes - 2.0 * np.sum(np.power(aside, 2.0), 0)
    (chosen,) = choose_face(found, (HEIGHT, WIDTH), "centre")
    assert merits[found.index(chosen)] == pytest.approx(merits.max(), abs=1e-6)


@given(faces)
def test_the_largest_has_the_largest_area(found: list[Face]) -> None:
    (chosen,) = choose_face(found, (HEIGHT, WIDTH), "largest")
    areas = [face.box.width * face.box.height for face in found]
    assert areas[found.index(chosen)] == max(areas)


def test_a_large_bystander_is_not_the_centre() -> None:
    bystander, person = Face(Box(0, 0, 100, 100), 0.9), Face(Box(160, 110, 240, 190), 0.8)
    assert choose_face([bystander, person], (HEIGHT, WIDTH), "centre") == [person]
    assert choose_face([bystander, person], (HEIGHT, WIDTH), "largest") == [bystander]
    assert choose_face([bystander, person], (HEIGHT, WIDTH), "all") == [bystander, person]


def test_one_refuses_several() -> None:
    face = Face(Box(0, 0, 9, 9), 0.9)
    assert choose_face([face], (HEIGHT, WIDTH), "one") == [face]
    with pytest.raises(FacenetError, match="expected one face, found 2"):
        choose_face([face, face], (HEIGHT, WIDTH), "one")


@pytest.mark.parametrize("rule", RULES)
def test_of_no_face_none_is_chosen_and_of_equal_ones_the_first(rule: str) -> None:
    assert choose_face([], (HEIGHT, WIDTH), rule) == []
    face, equal = Face(Box(0, 0, 9, 9), 0.9), Face(Box(0, 0, 9, 9), 0.9)
    if rule != "one":
        assert choose_face([face, equal], (HEIGHT, WIDTH), rule)[0] is face


def test_another_rule_is_refused() -> None:
    with pytest.raises(
        FacenetError, match="rule: expected 'centre' or 'largest' or 'all' or 'one'"
    ):
        choose_face([], (HEIGHT, WIDTH), "center")
