"""Exact search beside loops over all rows."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facenet_lib.errors import FacenetError
from facenet_lib.recognition import search
from facenet_lib.recognition.search import (
    check_embeddings,
    distances_to_people,
    nearest_rows,
)
from facenet_lib.verification import distances

LARGE_BLOCKS = search._QUERIES, search._ROWS
# Few, so that many rows are equally far, and of products that float32 does not round.
DIRECTIONS = [
    [1.0, 0, 0, 0],
    [-1, 0, 0, 0],
    [0, 1, 0, 0],
    [0, 0, 0, -1],
    [0.5, 0.5, 0.5, 0.5],
    [0.5, -0.5, 0.5, 0.5],
    [-0.5, -0.5, 0.5, -0.5],
]
rows_of_length_one = st.lists(st.sampled_from(DIRECTIONS), min_size=1, max_size=12).map(np.array)


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> Iterator[None]:
    """So that few rows make several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "_QUERIES", 2)
        patch.setattr(search, "_ROWS", 3)
        yield


def use_large_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the library."""
    monkeypatch.setattr(search, "_QUERIES", LARGE_BLOCKS[0])
    monkeypatch.setattr(search, "_ROWS", LARGE_BLOCKS[1])


def random_rows(count: int, width: int = 32, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def squared_distance(one: np.ndarray, other: np.ndarray) -> float:
    return sum((float(a) - float(b)) ** 2 for a, b in zip(one, other, strict=True))


@pytest.mark.slow
@settings(deadline=None)
@given(rows_of_length_one, rows_of_length_one, st.data())
def test_nearest_rows_are_the_first_of_all_by_distance_and_number(
    queries: np.ndarray, embeddings: np.ndarray, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, len(embeddings)))
    rows, found = nearest_rows(queries, embeddings, k)
    for query, its_rows, its_distances in zip(queries, rows, found, strict=True):
        every = sorted((squared_distance(query, row), i) for i, row in enumerate(embeddings))
        assert list(zip(its_distances.tolist(), its_rows.tolist(), strict=True)) == every[:k]
    assert (rows.dtype, found.dtype) == (np.int64, np.float32)


@pytest.mark.parametrize("large_blocks", [False, True])
def test_distances_are_exact_to_rounding(
    large_blocks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large_blocks:
        use_large_blocks(monkeypatch)
    embeddings, queries = random_rows(50), random_rows(5, seed=1)
    every = np.square(queries[:, None].astype(np.float64) - embeddings).sum(axis=2)
    for k in (1, 4, 50):
        rows, found = nearest_rows(queries, embeddings, k)
        assert rows.tolist() == every.argsort(axis=1)[:, :k].tolist()
        np.testing.assert_allclose(found, np.sort(every, axis=1)[:, :k], rtol=0, atol=1e-6)
        for place in range(k):
            measured = distances(queries, embeddings[rows[:, place]])
            np.testing.assert_allclose(found[:, place], measured, rtol=0, atol=1e-6)


def test_a_row_is_nearest_to_itself_and_not_far_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ``2 - 2 * product`` would lose all digits, and be less than zero."""
    use_large_blocks(monkeypatch)
    embeddings = random_rows(300, width=128)
    rows, found = nearest_rows(embeddings, embeddings, 1)
    assert rows[:, 0].tolist() == list(range(300))
    assert found[:, 0].tolist() == [0] * 300
    to_people = distances_to_people(embeddings, embeddings, np.arange(300), "nearest")
    assert to_people.min() >= 0
    assert to_people.diagonal().max() < 5e-6


def test_rows_whose_length_is_not_quite_one_are_measured_as_they_are() -> None:
    row = np.array([[1.0009, 0]])
    assert nearest_rows(row, row, 1)[1][0, 0] == pytest.approx(0, abs=1e-6)
    found = nearest_rows(row, [[0, 0.9992]], 1)[1]
    assert found[0, 0] == pytest.approx(1.0009**2 + 0.9992**2, abs=1e-6)


owned = st.lists(st.tuples(st.sampled_from(DIRECTIONS), st.integers(0, 4)), min_size=1, max_size=12)


def numbered(owners: list[int]) -> list[int]:
    """The same people, numbered without a gap."""
    people = sorted(set(owners))
    return [people.index(owner) for owner in owners]


@settings(deadline=None)
@given(rows_of_length_one, owned)
def test_a_person_is_as_far_as_the_nearest_row(
    queries: np.ndarray, pairs: list[tuple[list[float], int]]
) -> None:
    embeddings, owners = [row for row, _ in pairs], numbered([owner for _, owner in pairs])
    found = distances_to_people(queries, embeddings, owners, by="nearest")
    for query, its in zip(queries, found, strict=True):
        for person, distance in enumerate(its):
            rows = [row for row, owner in zip(embeddings, owners, strict=True) if owner == person]
            assert distance == min(squared_distance(query, np.array(row)) for row in rows)
    assert found.shape == (len(queries), max(owners) + 1)
    assert found.dtype == np.float32


def test_a_person_is_as_far_as_the_mean_scaled_to_length_one() -> None:
    embeddings, queries = random_rows(40), random_rows(5, seed=1)
    owners = np.random.default_rng(2).permutation([0] * 21 + [1] * 12 + [2] * 6 + [3])
    found = distances_to_people(queries, embeddings, owners, by="mean")
    for person in range(4):
        mean = np.mean(embeddings[owners == person].astype(np.float64), axis=0)
        direction = mean / np.linalg.norm(mean)
        for query, distance in zip(queries, found[:, person], strict=True):
            assert distance == pytest.approx(squared_distance(query, direction), abs=1e-6)


@pytest.mark.parametrize("by", ["nearest", "mean"])
def test_order_of_rows_does_not_matter_to_people(by: Any) -> None:
    embeddings, queries = random_rows(40), random_rows(5, seed=1)
    owners = np.arange(40) % 7
    shuffled = np.random.default_rng(3).permutation(40)
    np.testing.assert_allclose(
        distances_to_people(queries, embeddings[shuffled], owners[shuffled], by),
        distances_to_people(queries, embeddings, owners, by),
        rtol=0,
        atol=1e-6,
    )


@pytest.mark.parametrize("by", ["nearest", "mean"])
def test_people_who_own_one_row_each_are_rows(by: Any) -> None:
    embeddings, queries = random_rows(20), random_rows(5, seed=1)
    rows, found = nearest_rows(queries, embeddings, 20)
    in_order = np.take_along_axis(
        distances_to_people(queries, embeddings, np.arange(20), by), rows, axis=1
    )
    np.testing.assert_allclose(in_order, found, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    use_large_blocks(monkeypatch)
    queries, embeddings = random_rows(256, width=4), random_rows(200_000, width=4)
    owners = np.arange(200_000) % 10
    whole = 256 * 200_000 * 4  # 195 MiB, of all distances at once
    for work in (
        lambda: nearest_rows(queries, embeddings, 5),
        lambda: distances_to_people(queries, embeddings, owners, "nearest"),
    ):
        tracemalloc.start()
        work()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 64 * 2**20 < whole


def test_lists_and_other_numbers_become_float32() -> None:
    rows = check_embeddings("rows", [[0, 1], [1, 0]])
    assert rows.dtype == np.float32
    assert rows.flags.c_contiguous
    assert check_embeddings("rows", random_rows(3).astype(np.float16)).shape == (3, 32)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([[1, 0], [np.nan, 0]], "rows: expected rows of length one, found nan in row 1$"),
        ([[np.inf, 0], [1, 0], [0, 0]], "found inf in row 0 and others in 1 more$"),
        ([[1e300, 0]], "found inf in row 0$"),
        ([[1.0011, 0]], "found 1.0011 in row 0$"),
        ([[0.9989, 0]], "found 0.9989 in row 0$"),
        (np.zeros((0, 4)), "rows: expected rows, found none"),
        (np.zeros((1, 0)), "rows: expected rows of length one, found 0 in row 0"),
        ([1, 0], r"rows: expected numbers of shape \(rows, embedding_size\), found int64"),
        ([["a", "b"]], "rows: expected numbers"),
        ([[1, 0], [1]], "rows: expected rows of one length"),
    ],
)
def test_other_rows_are_refused(rows: Any, words: str) -> None:
    with pytest.raises(FacenetError, match=words):
        check_embeddings("rows", rows)


def test_both_arguments_are_looked_at() -> None:
    one, bad = [[1.0, 0.0]], [[1.0, 1.0]]
    for function in (
        lambda queries, rows: nearest_rows(queries, rows, 1),
        lambda queries, rows: distances_to_people(queries, rows, [0], "nearest"),
    ):
        with pytest.raises(FacenetError, match="queries: expected rows of length one"):
            function(bad, one)
        with pytest.raises(FacenetError, match="embeddings: expected rows of length one"):
            function(one, bad)
        with pytest.raises(
            FacenetError, match="queries: expected 2 numbers each, as embeddings, found 3"
        ):
            function([[1.0, 0.0, 0.0]], one)


@pytest.mark.parametrize("k", [0, 3, 1.0])
def test_another_k_is_refused(k: Any) -> None:
    with pytest.raises(FacenetError, match=f"k: expected an integer from 1 to 2, found {k}"):
        nearest_rows([[1, 0]], [[1, 0], [0, 1]], k)


@pytest.mark.parametrize(
    ("owners", "words"),
    [
        ([0, 1], r"owners: expected integers of shape \(3,\), found int64 of shape \(2,\)"),
        ([0.0, 1.0, 1.0], "owners: expected integers"),
        ([-1, 0, 1], "owners: expected people from 0, each with one of 3 rows, found -1 to 1"),
        ([0, 1, 3], "owners: expected people from 0, each with one of 3 rows, found 0 to 3"),
        ([0, 2, 2], "owners: expected a row of each person from 0 to 2, found none of person 1"),
    ],
)
def test_other_owners_are_refused(owners: Any, words: str) -> None:
    with pytest.raises(FacenetError, match=words):
        distances_to_people([[1, 0]], [[1, 0], [0, 1], [0, -1]], owners, "nearest")


def test_a_mean_without_a_direction_is_refused() -> None:
    row = random_rows(1)[0]
    rows = [row, random_rows(1, seed=1)[0], -row]
    with pytest.raises(FacenetError, match=r"mean is not zero, found that of person 1 to be"):
        distances_to_people([row], rows, [1, 0, 1], "mean")
    distances_to_people([row], rows, [1, 0, 1], "nearest")


def test_another_way_to_people_is_refused() -> None:
    with pytest.raises(FacenetError, match="by: expected 'nearest' or 'mean', found 'median'"):
        distances_to_people([[1, 0]], [[1, 0]], [0], "median")
