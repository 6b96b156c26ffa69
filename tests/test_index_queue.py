"""The index queue: passes, sizes, state, and agreement with tf.data; and batches of people."""

from __future__ import annotations

import json
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facenet_lib.errors import FacenetError
from facenet_lib.index_queue import IndexQueue, PeopleQueue, Sampler, image_and_label_lists


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


@pytest.mark.slow
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
    with pytest.raises(FacenetError, match="range_size: expected an integer of at least 1, found"):
        IndexQueue(range_size, seed=0)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [-1, 0.5, "0", None])
def test_a_bad_seed_is_refused(seed: object) -> None:
    with pytest.raises(FacenetError, match="seed: expected an integer of at least 0, found"):
        IndexQueue(3, seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [-1, 2.0, "3", None, np.float64(1)])
def test_a_bad_number_to_dequeue_is_refused_and_takes_nothing(n: object) -> None:
    queue = IndexQueue(3, seed=0)
    with pytest.raises(FacenetError, match="n: expected an integer of at least 0, found"):
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
        (
            {"range_size": 3, "seed": 0, "position": -1},
            "position: expected an integer of at least 0",
        ),
        ({"range_size": 3, "seed": 0, "position": "1"}, "position: expected an integer"),
        ({"range_size": 0, "seed": 0, "position": 0}, "range_size: expected an integer"),
        ([3, 0, 0], "expected the entries.*list"),
        (None, "expected the entries.*NoneType"),
    ],
)
def test_a_bad_state_is_refused(state: object, found: str) -> None:
    with pytest.raises(FacenetError, match=found):
        IndexQueue.from_state(state)  # type: ignore[arg-type]


def samplers() -> list[Sampler]:
    return [IndexQueue(10, seed=5), PeopleQueue(np.arange(10) // 3, 2, 4, seed=5)]


@pytest.mark.parametrize("number", [0, 1])
@given(sizes=st.lists(st.integers(0, 30), max_size=6), ahead=st.integers(0, 50))
def test_a_look_ahead_takes_nothing(number: int, sizes: list[int], ahead: int) -> None:
    sampler, looking = samplers()[number], samplers()[number]
    for n in sizes:
        seen = looking.peek_many(ahead)
        np.testing.assert_array_equal(looking.dequeue_many(n), sampler.dequeue_many(n))
        rest = looking.peek_many(ahead)
        np.testing.assert_array_equal(seen[n:], rest[: max(ahead - n, 0)])
    assert looking.state() == sampler.state()


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("taken", [0, 3, 40])
def test_a_sampler_is_restored_exactly(number: int, taken: int) -> None:
    sampler, other = samplers()[number], samplers()[number]
    sampler.dequeue_many(taken)
    other.restore(json.loads(json.dumps(sampler.state())))
    np.testing.assert_array_equal(other.dequeue_many(33), sampler.dequeue_many(33))


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("name", ["range_size", "seed", "position"])
def test_the_state_of_another_sampler_is_refused(number: int, name: str) -> None:
    sampler = samplers()[number]
    with pytest.raises(FacenetError, match=f"{name}.*found -4"):
        sampler.restore(sampler.state() | {name: -4})
    assert sampler.position == 0


# Batches of people


def people_batches(
    label_list: object, people: int, images: int, batches: int, seed: int, first_batch: int = 0
) -> np.ndarray:
    queue = PeopleQueue(label_list, people, images, seed)  # type: ignore[arg-type]
    queue.dequeue_many(first_batch * people * images)
    drawn = queue.dequeue_many(batches * people * images)
    return drawn.reshape(batches, people * images)


def check_batch(batch: np.ndarray, labels: np.ndarray, people: int, images: int) -> list[int]:
    """Assert what holds for every batch, and return its people."""
    by_person = batch.reshape(people, images)
    who = labels[by_person]
    assert (who == who[:, :1]).all()
    persons = who[:, 0].tolist()
    assert len(set(persons)) == people
    for person, row in zip(persons, by_person, strict=True):
        available = np.flatnonzero(labels == person)
        assert len(available) >= 2
        counts = [int((row == image).sum()) for image in available]
        assert sum(counts) == images
        assert max(counts) - min(counts) <= 1
    return persons


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_every_batch_has_distinct_people_and_evenly_used_images(data) -> None:
    sizes = data.draw(st.lists(st.integers(1, 7), min_size=2, max_size=9))
    eligible = sum(size >= 2 for size in sizes)
    if eligible < 2:
        sizes, eligible = [*sizes, 2, 3], eligible + 2
    people = data.draw(st.integers(2, eligible))
    images = data.draw(st.integers(2, 9))
    seed = data.draw(st.integers(0, 2**40))
    labels = np.repeat(np.arange(len(sizes)) * 3 - 4, sizes)
    labels = np.random.default_rng(seed).permutation(labels)
    batches = people_batches(labels, people, images, 7, seed)
    assert batches.dtype == np.int64
    assert batches.shape == (7, people * images)
    for batch in batches:
        check_batch(batch, labels, people, images)


LABELS = np.random.default_rng(0).integers(0, 23, 150)


@pytest.mark.parametrize("first", [0, 1, 4, 5, 9, 31])
def test_a_resumed_run_draws_the_same_batches(first: int) -> None:
    """People per batch and people are such that passes end within the range."""
    whole = people_batches(LABELS, 5, 4, 40, seed=7)
    np.testing.assert_array_equal(
        people_batches(LABELS.tolist(), 5, 4, 40 - first, seed=7, first_batch=first), whole[first:]
    )
    one = people_batches(LABELS, 5, 4, 1, seed=7, first_batch=first)
    np.testing.assert_array_equal(one[0], whole[first])


def test_batches_and_seeds_differ() -> None:
    batches = people_batches(LABELS, 5, 4, 40, seed=7)
    assert len({tuple(batch) for batch in batches}) == 40
    assert (batches != people_batches(LABELS, 5, 4, 40, seed=8)).any(axis=1).all()
    assert people_batches(LABELS, 5, 4, 0, seed=7).shape == (0, 20)


def test_a_pass_has_everyone_once() -> None:
    labels = np.repeat(np.arange(12), 3)
    batches = people_batches(labels, 4, 2, 30, seed=1)
    for start in range(0, 30, 3):
        people = labels[batches[start : start + 3]][:, ::2].ravel()
        assert sorted(people) == list(range(12))


def test_who_is_left_over_changes_from_pass_to_pass() -> None:
    """Of 11 people a pass takes 10; each sits out one pass of 11, and meets all others."""
    labels = np.repeat(np.arange(11), 2)
    passes = 2200
    batches = people_batches(labels, 5, 2, 2 * passes, seed=1)
    people = labels[batches][:, ::2]
    assert max(Counter(people[:2].ravel().tolist()).values()) == 1
    counts = np.bincount(people.ravel(), minlength=11)
    deviation = np.sqrt(passes * 10 / 11 * 1 / 11)
    assert np.abs(counts - passes * 10 / 11).max() < 5 * deviation
    met = Counter(frozenset(pair) for batch in people for pair in combinations(batch.tolist(), 2))
    expected = 2 * passes * 10 / 55  # ten pairs in a batch, of 55
    assert len(met) == 55
    assert max(abs(n - expected) for n in met.values()) < 5 * np.sqrt(expected)


def test_all_images_of_a_person_come_up_equally_often() -> None:
    labels = np.repeat([0, 1, 2], [2, 5, 30])
    drawn = people_batches(labels, 3, 7, 3000, seed=2)
    counts = np.bincount(drawn.ravel(), minlength=37)
    for person, size in enumerate([2, 5, 30]):
        mine = counts[labels == person]
        share = 7 / size
        deviation = np.sqrt(3000 * (share % 1) * (1 - share % 1))
        assert np.abs(mine - 3000 * share).max() < 5 * deviation


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"people_per_batch": 1}, "people_per_batch: expected an integer of at least 2, found 1"),
        ({"people_per_batch": 4}, "at least 4 people with two images or more, found 3 among 4"),
        ({"images_per_person": 1}, "images_per_person: expected an integer of at least 2"),
        ({"images_per_person": 2.5}, "images_per_person: .* found 2.5"),
        ({"n": -4}, "n: expected an integer of at least 0, found -4"),
        ({"seed": -1}, "seed: expected an integer of at least 0"),
        ({"seed": None}, "seed: .* found None"),
        ({"label_list": [0.0, 0.0, 1.0, 1.0]}, "label_list: expected integers of shape"),
        ({"label_list": np.zeros((2, 2), int)}, r"found int64 of shape \(2, 2\)"),
        ({"label_list": np.array([], int)}, "people_per_batch: expected .* found 0 among 0 people"),
        ({"label_list": [[0], [1, 1]]}, "label_list: expected rows of one length"),
    ],
)
def test_bad_arguments_of_batches_are_refused(changed: dict, words: str) -> None:
    arguments = {
        "label_list": [0, 0, 1, 1, 2, 2, 3],
        "people_per_batch": 2,
        "images_per_person": 2,
        "n": 4,
        "seed": 0,
    }

    def draw(n: int, **about: Any) -> np.ndarray:
        return PeopleQueue(**about).dequeue_many(n)

    assert draw(**arguments).shape == (4,)
    with pytest.raises(FacenetError, match=words):
        draw(**(arguments | changed))
