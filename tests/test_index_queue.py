"""The index queue: passes, sizes, state, and agreement with tf.data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facenet_lib.errors import FacenetError
from facenet_lib.index_queue import IndexQueue, image_and_label_lists


def test_lists_pair_every_image_with_its_persons_position() -> None:
    faces = {"Zoe": [Path("z/1.jpg"), Path("z/2.jpg")], "Nobody": [], "Ann": [Path("a/1.jpg")]}
    image_list, label_list = image_and_label_lists(faces)
    assert image_list == [str(Path("z/1.jpg")), str(Path("z/2.jpg")), str(Path("a/1.jpg"))]
    assert label_list == [0, 0, 2]


@pytest.mark.parametrize("faces", [{}, {"Nobody": []}])
def test_a_dataset_without_images_is_refused(faces: dict[str, list[Path]]) -> None:
    with pytest.raises(FacenetError, match="expected images"):
        image_and_label_lists(faces)


@given(
    range_size=st.integers(1, 40),
    seed=st.integers(0, 2**63),
    sizes=st.lists(st.integers(0, 100), min_size=1, max_size=12),
)
def test_every_full_pass_is_a_permutation(range_size: int, seed: int, sizes: list[int]) -> None:
    queue = IndexQueue(range_size, seed)
    parts = [queue.dequeue_many(n) for n in sizes]
    assert [len(part) for part in parts] == sizes
    taken = np.concatenate(parts)
    assert taken.dtype == np.int64
    for start in range(0, len(taken) - range_size + 1, range_size):
        assert sorted(taken[start : start + range_size]) == list(range(range_size))
    rest = taken[len(taken) // range_size * range_size :]
    assert len(set(rest)) == len(rest)


@given(sizes=st.lists(st.integers(0, 30), max_size=10))
def test_how_the_indices_are_taken_changes_nothing(sizes: list[int]) -> None:
    at_once, in_parts = IndexQueue(7, seed=3), IndexQueue(7, seed=3)
    parts = [in_parts.dequeue_many(n) for n in sizes]
    np.testing.assert_array_equal(
        at_once.dequeue_many(sum(sizes)), np.concatenate([*parts, np.empty(0, np.int64)])
    )


def test_passes_and_seeds_differ() -> None:
    queue = IndexQueue(100, seed=0)
    first, second = queue.dequeue_many(100), queue.dequeue_many(100)
    other = IndexQueue(100, seed=1).dequeue_many(100)
    assert (first != second).any()
    assert (first != other).any()


@pytest.mark.parametrize("taken", [0, 1, 9, 10, 11, 37])
def test_the_state_survives_json_and_goes_on_exactly(taken: int) -> None:
    queue = IndexQueue(10, seed=5)
    queue.dequeue_many(taken)
    resumed = IndexQueue.from_state(json.loads(json.dumps(queue.state())))
    assert resumed.state() == queue.state()
    np.testing.assert_array_equal(resumed.dequeue_many(33), queue.dequeue_many(33))


def test_the_state_is_a_copy() -> None:
    queue = IndexQueue(10, seed=5)
    before = queue.state()
    queue.dequeue_many(4)
    assert before["position"] == 0


def test_agrees_with_tf_data_in_distribution() -> None:
    """Where an index stands in a pass is uniform, in ours and in a reshuffled tf.data range."""
    import tensorflow as tf

    n, passes = 6, 1500
    dataset = tf.data.Dataset.range(n).shuffle(n, seed=1, reshuffle_each_iteration=True).repeat()
    theirs = np.array(list(dataset.take(n * passes).as_numpy_iterator()))
    ours = IndexQueue(n, seed=1).dequeue_many(n * passes)

    def counts(indices: np.ndarray) -> np.ndarray:
        table = np.zeros((n, n))
        np.add.at(table, (np.tile(np.arange(n), passes), indices), 1)
        return table

    def chi_square(observed: np.ndarray, expected: np.ndarray) -> float:
        return float(((observed - expected) ** 2 / expected).sum())

    # Both margins of a table are fixed, so the statistic times (n - 1) / n has a chi-square
    # distribution with (n - 1)^2 = 25 degrees of freedom: 52.6 is exceeded once in a thousand.
    limit = 52.6 * n / (n - 1)
    uniform = np.full((n, n), passes / n)
    assert chi_square(counts(theirs), uniform) < limit
    assert chi_square(counts(ours), uniform) < limit
    # The two tables against each other: two samples of one distribution.
    difference = (counts(ours) - counts(theirs)) ** 2 / (counts(ours) + counts(theirs))
    assert difference.sum() < limit
    # Consecutive indices, across the seam of two passes too, repeat only at seams, in 1/n of them.
    for indices in (ours, theirs):
        repeats = np.flatnonzero(indices[1:] == indices[:-1])
        assert ((repeats + 1) % n == 0).all()
        expected, deviation = passes / n, (passes / n * (1 - 1 / n)) ** 0.5
        assert abs(len(repeats) - expected) < 4 * deviation


@pytest.mark.parametrize("range_size", [0, -1, 2.0, "3", None, True])
def test_a_bad_range_size_is_refused(range_size: object) -> None:
    with pytest.raises(FacenetError, match="range_size to be an integer of at least 1, found"):
        IndexQueue(range_size, seed=0)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [-1, 0.5, "0", None])
def test_a_bad_seed_is_refused(seed: object) -> None:
    with pytest.raises(FacenetError, match="seed to be an integer of at least 0, found"):
        IndexQueue(3, seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [-1, 2.0, "3", None, np.float64(1)])
def test_a_bad_number_to_dequeue_is_refused_and_takes_nothing(n: object) -> None:
    queue = IndexQueue(3, seed=0)
    with pytest.raises(FacenetError, match="expected n to be an integer of at least 0, found"):
        queue.dequeue_many(n)  # type: ignore[arg-type]
    assert queue.state()["position"] == 0


def test_numpy_integers_are_integers() -> None:
    assert len(IndexQueue(np.int64(3), np.uint8(0)).dequeue_many(np.int32(5))) == 5


@pytest.mark.parametrize(
    ("state", "found"),
    [
        ({}, "expected the entries range_size, seed, position"),
        ({"range_size": 3, "seed": 0}, "expected the entries"),
        ({"range_size": 3, "seed": 0, "position": 0, "epoch": 1}, "expected the entries.*epoch"),
        ({"range_size": 3, "seed": 0, "position": -1}, "position to be an integer of at least 0"),
        ({"range_size": 3, "seed": 0, "position": "1"}, "position to be an integer"),
        ({"range_size": 0, "seed": 0, "position": 0}, "range_size to be an integer"),
        ([3, 0, 0], "expected the entries.*list"),
        (None, "expected the entries.*NoneType"),
    ],
)
def test_a_bad_state_is_refused(state: object, found: str) -> None:
    with pytest.raises(FacenetError, match=found):
        IndexQueue.from_state(state)  # type: ignore[arg-type]
