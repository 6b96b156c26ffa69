"""What is told of photographs before they are enrolled, and what is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageFilter
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facenet_lib.drawn_faces.identity import draw_identity
from facenet_lib.drawn_faces.nuisance import draw_nuisance
from facenet_lib.drawn_faces.render import render_face
from facenet_lib.errors import FacenetError
from facenet_lib.recognition.enrolment import (
    EnrolmentProblem,
    check_enrolment,
    measure_sharpness,
)

THRESHOLD = 1.1


def at(*degrees: float) -> np.ndarray:
    """Embeddings at angles: 10 degrees apart are 0.03, 30 are 0.27, 60 are 1 and 90 are 2."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def checked(
    embeddings: np.ndarray, names: Sequence[str], threshold: float = THRESHOLD, **options: Any
) -> list[EnrolmentProblem]:
    """Sources are a.jpg, b.jpg and so on, by the place."""
    sources = [f"{chr(ord('a') + place)}.jpg" for place in range(len(names))]
    return check_enrolment(embeddings, names, sources, threshold, **options)


def found(problems: list[EnrolmentProblem], kind: str) -> list[tuple[str, str]]:
    assert all(problem.kind == kind for problem in problems)
    return [(problem.name, problem.source) for problem in problems]


def test_good_photographs_have_no_problem():
    names = ["Ann", "Ann", "Ann", "Bea", "Bea", "Cy"]
    figures = {"sharpness": [0.006] * 6, "face_sides": [40] * 6}
    assert checked(at(0, 20, 40, 120, 140, 240), names, **figures) == []


# Blurred and tiny


def test_small_figures_are_told():
    names = ["Bea", "Ann", "Ann"]
    embeddings = at(120, 20, 40)
    blurred = checked(embeddings, names, sharpness=[0.005, 0.006, 0.0])
    assert found(blurred, "blurred") == [("Ann", "c.jpg"), ("Bea", "a.jpg")]
    assert blurred[1].sentence == "expected a sharpness of at least 0.006, found 0.005"
    tiny = checked(embeddings, names, face_sides=[40, 39, 300])
    assert found(tiny, "tiny") == [("Ann", "b.jpg")]
    assert str(tiny[0]) == "Ann, b.jpg: tiny: expected a side of at least 40 pixels, found 39"
    assert checked(embeddings, names, sharpness=[0.005, 0.006, 0.02], least_sharpness=0.005) == []
    assert len(checked(embeddings, names, face_sides=[40, 39, 300], least_side=301)) == 3


def test_problems_of_all_kinds_stand_in_the_order_of_names_and_sources():
    figures = {"sharpness": [1, 0, 1, 0], "face_sides": [0, 90, 90, 0]}
    problems = checked(at(0, 0, 0, 180), ["Bea", "Bea", "Ann", "Ann"], **figures)
    assert problems == sorted(problems, key=lambda p: (p.name, p.source, p.kind))
    assert [(p.name, p.source, p.kind) for p in problems] == [
        ("Ann", "c.jpg", "duplicate"),
        ("Ann", "c.jpg", "nearer to somebody else"),
        ("Ann", "d.jpg", "blurred"),
        ("Ann", "d.jpg", "tiny"),
        ("Bea", "a.jpg", "tiny"),
        ("Bea", "b.jpg", "blurred"),
        ("Bea", "b.jpg", "duplicate"),
    ]


# Duplicates


def test_all_but_the_first_of_a_picture_are_told():
    problems = checked(at(0, 20, 0, 0.5), ["Ann"] * 4)
    assert found(problems, "duplicate") == [("Ann", "c.jpg"), ("Ann", "d.jpg")]
    assert {problem.sentence for problem in problems} == {"the picture a.jpg of Ann"}


def test_a_picture_under_two_names_is_told_with_both():
    (problem,) = checked(at(0, 0), ["Bea", "Ann"])
    assert str(problem) == "Ann, b.jpg: duplicate: the picture a.jpg of Bea"


# Nearer to somebody else


def naive_nearer(embeddings: np.ndarray, names: Sequence[str], margin: float) -> list[int]:
    told = []
    for place, name in enumerate(names):
        to_own, to_others = [], []
        for other, other_name in enumerate(names):
            squared = float(np.square(embeddings[place] - embeddings[other]).sum())
            if other_name != name:
                to_others.append(squared)
            elif other != place:
                to_own.append(squared)
        if to_own and to_others and min(to_own) - min(to_others) > margin:
            told.append(place)
    return told


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(
    # In steps of 7 degrees no two are nearer than duplicates are, and no difference of two
    # squared distances is near enough to a margin for rounding to matter.
    st.lists(st.integers(0, 50), min_size=1, max_size=8, unique=True),
    st.data(),
    st.sampled_from([0.0101, 0.3003]),
)
def test_leave_one_out_finds_those_nearer_to_others(steps, data, margin):
    names = [data.draw(st.sampled_from(["Ann", "Bea", "Cy"])) for _ in steps]
    embeddings = at(*(7.0 * step for step in steps))
    problems = checked(embeddings, names, margin=margin)
    told = [p.source for p in problems if p.kind == "nearer to somebody else"]
    expected = naive_nearer(embeddings, names, margin)
    assert sorted(told) == [f"{chr(ord('a') + place)}.jpg" for place in expected]


def test_a_wrong_name_is_told_with_both_distances():
    problems = checked(at(0, 60, 150, 160, 170), ["Ann", "Ann", "Bea", "Ann", "Bea"])
    assert found(problems, "nearer to somebody else") == [("Ann", "d.jpg")]
    assert problems[0].sentence == "0.03 from a photograph of Bea, 2.35 from any other of Ann"


def test_someone_with_one_photograph_is_not_told():
    assert checked(at(0, 10, 30), ["Ann", "Bea", "Cy"]) == []


def test_a_copy_under_a_wrong_name_does_not_vouch_for_it():
    names = ["Ann", "Ann", "Ann", "Bea", "Bea"]
    problems = checked(at(0, 160, 160, 150, 170), names)
    nearer = [p.source for p in problems if p.kind == "nearer to somebody else"]
    assert nearer == ["b.jpg", "c.jpg"]


# Two people


def test_photographs_of_two_people_under_one_name_are_told_at_the_smaller_group():
    problems = checked(at(0, 120, 10, 130, 20), ["Ann"] * 5)
    assert found(problems, "two people") == [("Ann", "b.jpg")]
    assert problems[0].sentence == (
        "of 5 photographs, 2 look like another person than 3 others: b.jpg, d.jpg"
    )


def test_three_people_are_told_twice():
    problems = checked(at(0, 10, 100, 110, 200, 210, 220), ["Ann"] * 7)
    assert found(problems, "two people") == [("Ann", "a.jpg"), ("Ann", "c.jpg")]


@pytest.mark.parametrize(
    ("degrees", "what"),
    [
        ((0, 120, 10), "one photograph alone is no other person"),
        ((0, 120, 240), "nor are all alone"),
        ((0, 25, 50, 75), "a chain whose halves are near on average"),
    ],
)
def test_one_person_is_not_told(degrees, what):
    assert checked(at(*degrees), ["Ann"] * len(degrees)) == [], what


def test_the_threshold_decides_who_are_two_people():
    embeddings = at(0, 10, 60, 70)  # the groups are 1.01 apart on average
    assert checked(embeddings, ["Ann"] * 4, threshold=1.1) == []
    assert len(checked(embeddings, ["Ann"] * 4, threshold=0.9)) == 1


# Refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embeddings": np.empty((0, 2)), "names": [], "sources": []}, "expected rows, found none"),
        ({"embeddings": [[0, 1], [np.nan, 0]]}, "expected rows of length one, found nan in row 1"),
        ({"names": ["Ann"]}, "names: expected 2, one for each row, found 1"),
        ({"sources": ["1"] * 3}, "sources: expected 2, one for each row, found 3"),
        ({"names": ["Ann", " "]}, "name: expected one line of text, found ' '"),
        ({"threshold": 0}, r"threshold: expected a number in \(0, inf\), found 0"),
        ({"threshold": None}, r"threshold: expected a number in \(0, inf\), found None"),
        ({"margin": -1}, r"margin: expected a number in \[0, inf\), found -1"),
        ({"least_side": np.nan}, "least_side: expected a number in .*, found nan"),
        ({"least_sharpness": "much"}, "least_sharpness: expected a number in .*, found 'much'"),
        ({"sharpness": [1]}, r"sharpness: expected numbers of shape \(2,\), found .* \(1,\)"),
        ({"sharpness": [1, np.nan]}, "sharpness: expected numbers from 0, found nan at 1"),
        ({"face_sides": [-3, 50]}, "face_sides: expected numbers from 0, found -3.0 at 0"),
    ],
)
def test_what_cannot_be_checked_is_refused(change, message):
    given = {"embeddings": np.eye(2), "names": ["Ann", "Bea"], "sources": ["1", "2"]}
    with pytest.raises(FacenetError, match=message):
        check_enrolment(**given | {"threshold": THRESHOLD} | change)


# Sharpness


def stripes(waves: float, height: int = 96, width: int = 96, across: bool = True) -> np.ndarray:
    """Waves of grey from left to right, or from top to bottom."""
    side = width if across else height
    wave = 127 + 100 * np.cos(2 * np.pi * waves * np.arange(side) / side)
    rows = np.broadcast_to(wave if across else wave[:, None], (height, width))
    return np.repeat(np.rint(rows)[..., None], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize("size", [(96, 96), (160, 160), (100, 163)])
@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize(
    ("waves", "expected"), [(5, 0), (12, 0), (20, 1), (24, 1), (28, 1), (38, 0)]
)
def test_sharpness_is_the_share_of_16_to_32_waves_a_side(size, across, waves, expected):
    assert measure_sharpness(stripes(waves, *size, across)) == pytest.approx(expected, abs=0.02)


def test_sharpness_is_the_share_of_the_energy():
    """Of two waves of which one is three times as high, it has nine tenths of the energy."""
    coarse, fine = stripes(5).astype(float) - 127, stripes(24).astype(float) - 127
    mixed = np.rint(127 + 0.9 * coarse + 0.3 * fine).astype(np.uint8)
    assert measure_sharpness(mixed) == pytest.approx(0.1, abs=0.01)


def faces() -> list[PIL.Image.Image]:
    seeds = np.random.SeedSequence(0).spawn(4)
    return [PIL.Image.fromarray(render_face(draw_identity(s), draw_nuisance(s))) for s in seeds]


@pytest.mark.slow
def test_blurred_faces_are_told_from_sharp_ones_in_any_size_and_contrast():
    blur = PIL.ImageFilter.GaussianBlur(3)
    for face in faces():
        sharp = measure_sharpness(np.asarray(face))
        assert sharp > 0.006 > measure_sharpness(np.asarray(face.filter(blur)))
        larger = face.resize((250, 250), PIL.Image.Resampling.BICUBIC)
        assert measure_sharpness(np.asarray(larger)) == pytest.approx(sharp, rel=0.2)
        fainter = np.rint(100 + 0.3 * np.asarray(face)).astype(np.uint8)
        assert measure_sharpness(fainter) == pytest.approx(sharp, rel=0.2)


@pytest.mark.parametrize("shape", [(22, 22, 3), (1, 1, 3), (31, 5, 3)])
def test_pictures_without_room_for_fine_waves_have_no_sharpness(shape):
    noise = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    assert measure_sharpness(noise) == 0


@pytest.mark.parametrize("grey", [0, 77, 255])
def test_a_picture_of_one_colour_has_no_sharpness(grey):
    assert measure_sharpness(np.full((50, 60, 3), grey, np.uint8)) == 0


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((5, 5), np.uint8),
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((5, 5, 3), int),
        np.zeros((5, 5, 3)),
    ],
)
def test_what_is_no_picture_is_refused(image):
    with pytest.raises(FacenetError, match="image: expected"):
        measure_sharpness(image)
