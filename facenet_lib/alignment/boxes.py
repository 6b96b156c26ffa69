"""How far boxes overlap, and which of several on one face stays; derived in chapter 10."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facenet_lib.checks import Kind, check_array, number_problems
from facenet_lib.errors import FacenetError, refuse


def intersection_over_union(boxes: ArrayLike, others: ArrayLike) -> NDArray[np.float64]:
    """Compute how much of two boxes' common ground both cover, for all pairs.

    Args:
        boxes: numbers (n, 4): left, top, right, bottom.
        others: numbers (m, 4).

    Returns:
        float64 (n, m), from 0 (apart, or one has no area) to 1 (the same).

    Raises:
        FacenetError: for arrays of another shape, or a box whose right or bottom lies before its
            left or top.

    Source: Everingham et al., "The Pascal Visual Object Classes (VOC) Challenge", 2010, eq. 3.

    >>> intersection_over_union([[0, 0, 2, 2]], [[1, 0, 3, 2], [5, 5, 6, 6]])
    array([[0.33333333, 0.        ]])
    """
    first, second = _checked("boxes", boxes)[:, None], _checked("others", others)[None]
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(
        first[..., :2], second[..., :2]
    )
    shared = np.prod(np.maximum(sides, 0.0), axis=-1)
    union = _areas(first) + _areas(second) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def suppress_overlaps(boxes: ArrayLike, scores: ArrayLike, most_overlap: float) -> NDArray[np.intp]:
    """Keep of boxes on one thing the surest: non-maximum suppression.

    The surest box stays and removes all that overlap it too far; so does the surest of the rest,
    until none is left. Of equal scores the first counts as surer.

    Args:
        boxes: numbers (n, 4): left, top, right, bottom.
        scores: numbers (n,), larger is surer.
        most_overlap: from 0 to 1, the largest :func:`intersection_over_union` of two that stay.

    Returns:
        The places of those that stay, the surest first.

    Raises:
        FacenetError: for other shapes, or an overlap out of range.

    >>> suppress_overlaps([[0, 0, 9, 9], [1, 0, 10, 9], [20, 0, 29, 9]], [0.8, 0.9, 0.7], 0.5)
    array([1, 2])
    """
    refuse("suppress_overlaps", number_problems("most_overlap", most_overlap, "[0, 1]"))
    overlaps = intersection_over_union(boxes, boxes)
    sureness = check_array("scores", np.asarray(scores, np.float64), _FLOATS, (len(overlaps),))
    left = np.argsort(-sureness, kind="stable")
    kept = []
    while len(left):
        kept.append(left[0])
        left = left[1:][overlaps[left[0], left[1:]] <= most_overlap]
    return np.array(kept, dtype=np.intp)


_FLOATS: Kind = "floating point numbers"


def _checked(name: str, boxes: ArrayLike) -> NDArray[np.float64]:
    try:
        values = np.asarray(boxes, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise FacenetError(f"{name}: expected rows of four numbers: {error}") from error
    if values.size == 0:
        values = values.reshape(0, 4)  # a list of no box has no rows to count
    check_array(name, values, _FLOATS, ("n", 4))
    wrong = np.flatnonzero(~(values[:, 2:] >= values[:, :2]).all(axis=1))  # or not a number
    if len(wrong):
        found = values[wrong[0]].tolist()
        raise FacenetError(f"{name}: expected left, top, right, bottom, found {found}")
    return values


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1)
