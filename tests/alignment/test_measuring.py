"""Measures of detection beside their definitions, written out."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facenet_lib.alignment.faces import Box, Face
from facenet_lib.alignment.measuring import (
    average_by_bin,
    landmark_error,
    match_faces,
    measure_detection,
)
from facenet_lib.errors import FacenetError

corners = st.integers(0, 12)
boxes = st.builds(
    lambda x, y, w, h: Box(x, y, x + w, y + h),
    corners,
    corners,
    st.integers(1, 9),
    st.integers(1, 9),
)
scores = st.sampled_from([0.1, 0.5, 0.5, 0.9])
landmarks = st.none() | st.lists(
    st.tuples(st.floats(0, 20), st.floats(0, 20)), min_size=5, max_size=5
).map(lambda each: np.array(each) + np.array([[0, 0], [30, 0], [0, 0], [0, 0], [0, 0]]))
faces = st.lists(st.builds(Face, boxes, scores, landmarks), max_size=5)
photographs = st.lists(st.tuples(faces, faces), max_size=3)


def overlap_of(one: Box, other: Box) -> float:
    """By counting unit squares: corners are whole numbers."""

    def squares(box: Box) -> set[tuple[int, int]]:
        return {
            (x, y)
            for x in range(int(box.left), int(box.right))
            for y in range(int(box.top), int(box.bottom))
        }

    return len(squares(one) & squares(other)) / len(squares(one) | squares(other))


def naive_matches(found: list[Face], true: list[Face], overlap: float) -> list[int]:
    matches, free = [-1] * len(found), set(range(len(true)))
    for place in sorted(range(len(found)), key=lambda place: (-found[place].score, place)):
        best = max(
            free, key=lambda t: (overlap_of(found[place].box, true[t].box), -t), default=None
        )
        if best is not None and overlap_of(found[place].box, true[best].box) >= overlap:
            matches[place] = best
            free.remove(best)
    return matches


@settings(deadline=None)
@given(faces, faces, st.sampled_from([0.25, 0.5, 1.0]))
def test_faces_are_matched_as_defined(found: list[Face], true: list[Face], overlap: float) -> None:
    assert match_faces(found, true, overlap).tolist() == naive_matches(found, true, overlap)


@pytest.mark.slow
@settings(deadline=None)
@given(photographs)
def test_precision_recall_and_errors_are_as_defined(
    each: list[tuple[list[Face], list[Face]]],
) -> None:
    measures = measure_detection([found for found, _ in each], [true for _, true in each])
    matched = [naive_matches(found, true, 0.5) for found, true in each]
    hits = sum(match >= 0 for matches in matched for match in matches)
    found_count = sum(len(found) for found, _ in each)
    true_count = sum(len(true) for _, true in each)
    nan = pytest.approx(math.nan, nan_ok=True)
    assert measures.precision == (hits / found_count if found_count else nan)
    assert measures.recall == (hits / true_count if true_count else nan)
    assert measures.is_true.tolist() == [m >= 0 for matches in matched for m in matches]
    errors = []
    for (found, true), matches in zip(each, matched, strict=True):
        for place, face in enumerate(true):
            error = math.nan
            if place in matches:
                finder = found[matches.index(place)]
                if finder.landmarks is not None and face.landmarks is not None:
                    error = naive_error(finder.landmarks, face.landmarks)
            errors.append(error)
    assert measures.landmark_errors.tolist() == pytest.approx(errors, nan_ok=True)
    assert len(measures.is_found) == true_count


def naive_error(found: np.ndarray, true: np.ndarray) -> float:
    off = [math.dist(one, other) for one, other in zip(found, true, strict=True)]
    return sum(off) / 5 / math.dist(true[0], true[1])


def test_the_error_does_not_depend_on_where_how_large_and_how_turned() -> None:
    true = np.array([[10.0, 10], [30, 12], [20, 22], [12, 33], [29, 31]])
    found = true + np.array([[1, 0], [0, 2], [-1, 1], [0, 0], [2, 2]])
    error = landmark_error(found, true)
    assert error == pytest.approx(naive_error(found, true))
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    assert landmark_error(3 * found @ turn + 7, 3 * true @ turn + 7) == pytest.approx(error)


def test_the_surest_takes_the_face_and_a_second_box_is_none() -> None:
    true = Face(Box(0, 0, 10, 10), 1.0)
    worse, better = Face(Box(0, 0, 10, 6), 0.9), Face(Box(0, 0, 10, 10), 0.8)
    assert match_faces([worse, better], [true]).tolist() == [0, -1]
    assert match_faces([better, worse], [true]).tolist() == [-1, 0]


values = st.lists(
    st.tuples(st.integers(-3, 12), st.one_of(st.just(math.nan), st.floats(-1, 1))), max_size=20
)


@given(values, st.lists(st.integers(-2, 11), min_size=2, max_size=5, unique=True).map(sorted))
def test_averages_by_bin_are_as_defined(each: list[tuple[int, float]], edges: list[int]) -> None:
    counts, averages = average_by_bin([v for v, _ in each], [m for _, m in each], edges)
    for place, (low, high) in enumerate(itertools.pairwise(edges)):
        inside = [m for v, m in each if low <= v < high and not math.isnan(m)]
        assert counts[place] == len(inside)
        expected = sum(inside) / len(inside) if inside else math.nan
        assert averages[place] == pytest.approx(expected, nan_ok=True)


def test_unusable_arguments_are_refused() -> None:
    face = Face(Box(0, 0, 9, 9), 0.9)
    with pytest.raises(FacenetError, match="of 1 photographs, found 2"):
        measure_detection([[face], []], [[face]])
    with pytest.raises(FacenetError, match=r"overlap: expected a number in \(0, 1\], found 0"):
        match_faces([face], [face], 0)
    with pytest.raises(FacenetError, match="true landmarks: expected"):
        landmark_error(np.zeros((5, 2)), np.zeros((4, 2)))
    with pytest.raises(FacenetError, match="edges that increase"):
        average_by_bin([1], [1], [0, 0])
    with pytest.raises(FacenetError, match="found 2 values, 1 measured"):
        average_by_bin([1, 2], [1], [0, 1])
