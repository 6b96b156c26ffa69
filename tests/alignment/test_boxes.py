"""Overlap and suppression of boxes, beside pixels that are counted and TensorFlow's operation."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from facenet_lib.alignment.boxes import intersection_over_union, suppress_overlaps
from facenet_lib.errors import FacenetError


def whole_boxes(count: int, seed: int) -> np.ndarray:
    """Boxes with corners on pixels, some without area, some equal."""
    generator = np.random.default_rng(seed)
    corners = generator.integers(0, 12, (count, 2))
    return np.concatenate([corners, corners + generator.integers(0, 8, (count, 2))], axis=1)


def covered(box: np.ndarray) -> set[tuple[int, int]]:
    left, top, right, bottom = box
    return {(x, y) for x in range(left, right) for y in range(top, bottom)}


def test_overlap_is_that_of_counted_pixels():
    boxes, others = whole_boxes(30, 0), whole_boxes(40, 1)
    found = intersection_over_union(boxes, others)
    for row, box in zip(found, boxes, strict=True):
        for value, other in zip(row, others, strict=True):
            both, either = covered(box) & covered(other), covered(box) | covered(other)
            assert value == pytest.approx(len(both) / len(either) if either else 0.0)


def test_overlap_is_symmetric_and_keeps_to_its_range():
    boxes = np.random.default_rng(0).uniform(-5, 5, (50, 4))
    boxes[:, 2:] = boxes[:, :2] + np.abs(boxes[:, 2:])
    found = intersection_over_union(boxes, boxes)
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_allclose(np.diag(found), 1.0)
    assert found.min() >= 0 and found.max() <= 1 + 1e-12
    np.testing.assert_allclose(intersection_over_union(7 * boxes - 3, 7 * boxes - 3), found)


def test_no_box_overlaps_nothing():
    assert intersection_over_union([], [[0, 0, 1, 1]]).shape == (0, 1)
    assert intersection_over_union([[0, 0, 1, 1]], np.zeros((0, 4))).shape == (1, 0)
    assert suppress_overlaps([], [], 0.5).tolist() == []


@pytest.mark.parametrize("most_overlap", [0.0, 0.3, 0.7, 1.0])
def test_suppression_keeps_what_tensorflow_keeps(most_overlap: float):
    generator = np.random.default_rng(int(10 * most_overlap))
    boxes = generator.uniform(0, 40, (200, 4)).astype(np.float32)
    boxes[:, 2:] = boxes[:, :2] + 1 + boxes[:, 2:] / 2
    scores = generator.permutation(200).astype(np.float32)
    expected = tf.image.non_max_suppression(boxes, scores, 200, most_overlap)
    assert suppress_overlaps(boxes, scores, most_overlap).tolist() == expected.numpy().tolist()


def test_of_equal_scores_the_first_stays():
    assert suppress_overlaps([[0, 0, 2, 2]] * 3, [0.5, 0.9, 0.9], 0.5).tolist() == [1]


@pytest.mark.parametrize(
    ("boxes", "found"),
    [
        (
            [[0, 0, 1]],
            r"boxes: expected floating point numbers of shape \(n, 4\), found .*\(1, 3\)",
        ),
        ([0, 0, 1, 1], r"found float64 of shape \(4,\)"),
        ([[0, 0, 1, 1], [2, 2, 1, 3]], r"left, top, right, bottom, found \[2.0, 2.0, 1.0, 3.0\]"),
        ([[0, 0, np.nan, 1]], "found .*nan"),
        ([["a", 0, 1, 1]], "expected rows of four numbers"),
        ([[0, 0, 1, 1], [0]], "expected rows of four numbers"),
    ],
)
def test_other_boxes_are_refused(boxes: object, found: str):
    with pytest.raises(FacenetError, match=found):
        intersection_over_union(boxes, [[0, 0, 1, 1]])


def test_other_scores_and_overlaps_are_refused():
    with pytest.raises(FacenetError, match=r"scores: expected .*\(2,\), found float64 .*\(1,\)"):
        suppress_overlaps(whole_boxes(2, 0), [0.5], 0.5)
    with pytest.raises(FacenetError, match=r"most_overlap: expected .*found 1.5"):
        suppress_overlaps(whole_boxes(2, 0), [0.5, 0.6], 1.5)
