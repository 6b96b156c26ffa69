"""How well a detector finds faces whose places are known; derived in chapter 10."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facenet_lib.alignment.boxes import intersection_over_union
from facenet_lib.alignment.faces import Face, Landmarks
from facenet_lib.checks import check_array, number_problems
from facenet_lib.errors import FacenetError, refuse


@dataclass(frozen=True, eq=False)
class DetectionMeasures:
    """What a detector found of t true faces, in f found ones.

    Attributes:
        is_found: bool (t,), whether each true face was found, photograph by photograph.
        landmark_errors: float64 (t,), see :func:`landmark_error`; not a number where a face was
            not found, or without landmarks.
        is_true: bool (f,), whether each found face is a true one, photograph by photograph.
    """

    is_found: NDArray[np.bool_]
    landmark_errors: NDArray[np.float64]
    is_true: NDArray[np.bool_]

    @property
    def precision(self) -> float:
        """Share of the found faces that are true; not a number if none was found."""
        return _mean(self.is_true)

    @property
    def recall(self) -> float:
        """Share of the true faces that were found; not a number if there is none."""
        return _mean(self.is_found)


def measure_detection(
    found: Sequence[Sequence[Face]], true: Sequence[Sequence[Face]], overlap: float = 0.5
) -> DetectionMeasures:
    """Compare what a detector found with the truth.

    Args:
        found: the faces found in each photograph.
        true: the faces that are there, in the same order of photographs; their scores do not
            count.
        overlap: see :func:`match_faces`.

    Raises:
        FacenetError: for another number of photographs, or an overlap out of range.

    >>> from facenet_lib.alignment.faces import Box
    >>> true = Face(Box(0, 0, 10, 10), 1.0)
    >>> measures = measure_detection([[true, Face(Box(50, 0, 60, 10), 0.9)]], [[true]])
    >>> measures.precision, measures.recall
    (0.5, 1.0)
    """
    if len(found) != len(true):
        raise FacenetError(
            f"detection: expected the faces of {len(true)} photographs, found {len(found)}"
        )
    is_found, errors, is_true = [], [], []
    for found_here, true_here in zip(found, true, strict=True):
        matches = match_faces(found_here, true_here, overlap)
        finder: list[Face | None] = [None] * len(true_here)
        for face, match in zip(found_here, matches, strict=True):
            if match >= 0:
                finder[match] = face
        is_true += [match >= 0 for match in matches]
        is_found += [face is not None for face in finder]
        errors += [_error(face, there) for face, there in zip(finder, true_here, strict=True)]
    return DetectionMeasures(
        np.array(is_found, np.bool_), np.array(errors, np.float64), np.array(is_true, np.bool_)
    )


def match_faces(
    found: Sequence[Face], true: Sequence[Face], overlap: float = 0.5
) -> NDArray[np.intp]:
    """Say which true face each found one is.

    The found faces choose one after the other, the surest first: each takes, of the true faces
    that no other has taken, the one that its box overlaps most, if that is enough.

    Args:
        found: faces found in a photograph.
        true: the faces that are there.
        overlap: from 0 to 1, the least intersection over union of a box and the true one.

    Returns:
        intp (f,), the place in ``true``; -1 of a found face that is none.

    Raises:
        FacenetError: for an overlap out of range.

    Source: Everingham et al., "The Pascal Visual Object Classes (VOC) Challenge", 2010, 4.2.

    >>> from facenet_lib.alignment.faces import Box
    >>> face, twice = Face(Box(0, 0, 10, 10), 0.8), Face(Box(0, 0, 10, 9), 0.9)
    >>> match_faces([face, twice], [face])
    array([-1,  0])
    """
    refuse("match_faces", number_problems("overlap", overlap, "(0, 1]"))
    matches = np.full(len(found), -1, dtype=np.intp)
    overlaps = intersection_over_union([face.box for face in found], [face.box for face in true])
    for place in np.argsort([-face.score for face in found], kind="stable"):
        if len(true) and overlaps[place].max() >= overlap:
            matches[place] = overlaps[place].argmax()
            overlaps[:, matches[place]] = -1  # taken
    return matches


def landmark_error(found: Landmarks, true: Landmarks) -> float:
    """Measure how far landmarks are off: the mean distance of the five, in true eye distances.

    Args:
        found: (5, 2), pixels.
        true: (5, 2), pixels.

    Raises:
        FacenetError: for other shapes.

    >>> true = np.array([[0.0, 0], [10, 0], [5, 5], [0, 10], [10, 10]])
    >>> landmark_error(true + [1, 0], true)
    0.1
    """
    there = check_array("true landmarks", true, "floating point numbers", (5, 2))
    off = check_array("found landmarks", found, "floating point numbers", (5, 2)) - there
    distances = np.hypot(off[:, 0], off[:, 1])
    return float(distances.mean() / np.hypot(*(there[1] - there[0])))


def average_by_bin(
    values: ArrayLike, measured: ArrayLike, edges: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Average something for small, middling and large values of something else.

    Recall by the size of a face, for example: ``average_by_bin(sizes, measures.is_found, edges)``.

    Args:
        values: numbers (n,), by which the bins go.
        measured: numbers or truth values (n,), which are averaged; those that are not a number
            are left out.
        edges: increasing numbers (b + 1,); bin i holds values from edge i up to, and without,
            edge i + 1. Other values are in no bin.

    Returns:
        int64 (b,), how many were averaged; float64 (b,), their averages, not a number of an empty
        bin.

    Raises:
        FacenetError: for other shapes, or edges that do not increase.

    >>> counts, averages = average_by_bin([10, 30, 50], [False, True, True], [0, 40, 100])
    >>> counts.tolist(), averages.tolist()
    ([2, 1], [0.5, 1.0])
    """
    by = _numbers("values", values)
    what = _numbers("measured", measured)
    limits = _numbers("edges", edges)
    if by.shape != what.shape or len(limits) < 2 or not (np.diff(limits) > 0).all():
        raise FacenetError(
            f"bins: expected as many values as measured and edges that increase, found {len(by)} "
            f"values, {len(what)} measured and edges {limits.tolist()}"
        )
    bins = [(by >= low) & (by < high) & ~np.isnan(what) for low, high in _neighbours(limits)]
    counts = np.array([inside.sum() for inside in bins], dtype=np.int64)
    return counts, np.array([_mean(what[inside]) for inside in bins])


def _error(found: Face | None, true: Face) -> float:
    if found is None or found.landmarks is None or true.landmarks is None:
        return np.nan
    return landmark_error(found.landmarks, true.landmarks)


def _neighbours(limits: NDArray[np.float64]) -> list[tuple[float, float]]:
    return list(zip(limits[:-1].tolist(), limits[1:].tolist(), strict=True))


def _numbers(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    return check_array(name, array, "floating point numbers", ("n",))


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else float("nan")
