"""Approximate search beside the exact one, and its recall beside that on other queries."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import faiss
import numpy as np
import pytest

from facenet_lib.errors import FacenetError
from facenet_lib.recognition.approximate import ApproximateIndex, build_index
from facenet_lib.recognition.search import nearest_rows

KINDS = ["exact_half", "hnsw"]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """So that a graph is built in the same order each time."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(threads)


def random_rows(count: int, width: int = 32, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def naive_recall(index: ApproximateIndex, queries: np.ndarray, embeddings: np.ndarray) -> float:
    found = index.search(queries, 1)[0][:, 0]
    products = queries.astype(np.float64) @ embeddings.T  # of unit rows, largest for the nearest
    return float(np.mean(found == products.argmax(axis=1)))


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_is_there_under_its_number(kind: str) -> None:
    embeddings = random_rows(300)
    rows, found = build_index(embeddings, kind).search(embeddings, 1)
    assert rows[:, 0].tolist() == list(range(300))
    np.testing.assert_allclose(found, 0, atol=1e-6)
    assert (rows.dtype, found.dtype) == (np.int64, np.float32)


def test_exact_half_is_exact_for_the_rows_as_float16_keeps_them() -> None:
    embeddings, queries = random_rows(300), random_rows(20, seed=1)
    rows, found = build_index(embeddings, "exact_half").search(queries, 300)
    kept = embeddings.astype(np.float16).astype(np.float64)
    every = np.square(queries[:, None] - kept).sum(axis=2)
    np.testing.assert_allclose(np.take_along_axis(every, rows, axis=1), found, atol=1e-5)
    np.testing.assert_allclose(np.sort(every, axis=1), found, atol=1e-5)
    exact = np.square(queries[:, None].astype(np.float64) - embeddings).sum(axis=2)
    assert np.abs(np.take_along_axis(exact, rows, axis=1) - found).max() < 0.002


def test_hnsw_that_keeps_all_rows_in_sight_is_exact() -> None:
    embeddings, queries = random_rows(300), random_rows(20, seed=1)
    index = build_index(embeddings, "hnsw", ef=300)
    assert index.recall == 1
    rows, found = index.search(queries, 10)
    expected_rows, expected = nearest_rows(queries, embeddings, 10)
    assert rows.tolist() == expected_rows.tolist()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_rows_that_are_equally_far_come_by_number() -> None:
    embeddings = np.tile(np.eye(4), (30, 1))
    rows, found = build_index(embeddings, "exact_half").search(np.eye(4)[:1], 120)
    by_number = sorted(range(120), key=lambda row: (row % 4 != 0, row))
    assert rows.tolist() == [by_number]
    assert found.tolist() == [[0] * 30 + [2] * 90]


@pytest.mark.slow
def test_recall_is_that_on_other_queries() -> None:
    """By which nobody is fooled: of rows that are in the index, nearly all find themselves."""
    faces = random_rows(2400, width=64)
    embeddings, queries = faces[:2000], faces[2000:]
    index = build_index(embeddings, "hnsw", recall_at_least=0, ef=8)
    assert index.held_out == 200
    there = naive_recall(index, queries, embeddings)
    assert 0.1 < there < 0.8
    # Three standard errors of the difference between shares of 200 and of 400 are 0.13 or less.
    assert index.recall == pytest.approx(there, abs=0.13)
    assert naive_recall(index, embeddings[:400], embeddings) > there + 0.13


@pytest.mark.slow
def test_a_larger_ef_raises_the_recall() -> None:
    embeddings = random_rows(2000, width=64)
    recalls = [build_index(embeddings, "hnsw", 0, ef).recall for ef in (2, 8, 64)]
    assert recalls == sorted(set(recalls))


@pytest.mark.slow
def test_at_most_a_thousand_are_held_out() -> None:
    assert build_index(random_rows(10_500, width=4), "exact_half", 0).held_out == 1000


def test_of_a_picture_that_is_there_twice_either_is_right() -> None:
    embeddings = np.tile(np.eye(8), (30, 1))
    assert build_index(embeddings, "exact_half").recall == 1


def test_an_index_below_the_wanted_recall_is_refused() -> None:
    words = (
        r"^hnsw: expected a recall of at least 0\.95, found 0\.\d{4} on 200 rows held out: "
        r"build it with an ef larger than 2$"
    )
    with pytest.raises(FacenetError, match=words):
        build_index(random_rows(2000, width=64), "hnsw", ef=2)
    # Ten rows around each of many: float16 makes them one.
    blurred = np.repeat(random_rows(50), 10, axis=0)
    blurred += 1e-6 * np.random.default_rng(1).standard_normal(blurred.shape).astype(np.float32)
    with pytest.raises(
        FacenetError, match=r"^exact_half: .* float16 does not tell these rows apart"
    ):
        build_index(blurred, "exact_half")


def test_two_builds_on_one_thread_are_the_same() -> None:
    embeddings, queries = random_rows(1000, width=64), random_rows(50, width=64, seed=1)
    first, second = (build_index(embeddings, "hnsw", 0, ef=4) for _ in range(2))
    assert first.recall == second.recall
    for one, other in zip(first.search(queries, 5), second.search(queries, 5), strict=True):
        assert one.tolist() == other.tolist()


class IndexOfOne:
    """As a graph of which only one row can be reached."""

    d, ntotal = 4, 3

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        rows = np.full((len(queries), k), -1)
        rows[:, 0] = 2
        return np.zeros(rows.shape, np.float32), rows


def test_fewer_rows_than_asked_for_are_no_answer() -> None:
    index = ApproximateIndex("hnsw", 1.0, 10, IndexOfOne())
    assert index.search(np.eye(4), 1)[0].tolist() == [[2]] * 4
    with pytest.raises(FacenetError, match="expected 2 rows for each query, found 1 for some"):
        index.search(np.eye(4), 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kind": "flat"}, "kind: expected 'exact_half' or 'hnsw', found 'flat'"),
        ({"recall_at_least": 1.1}, r"recall_at_least: expected a number in \[0, 1\], found 1.1"),
        ({"ef": 0}, "ef: expected an integer of at least 1, found 0"),
        ({"seed": -1}, "seed: expected an integer of at least 0, found -1"),
        ({"embeddings": random_rows(99)}, "at least 100 rows to measure the recall on, found 99"),
        ({"embeddings": 2 * random_rows(100)}, "embeddings: expected rows of length one, found 2"),
    ],
)
def test_other_arguments_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(FacenetError, match=words):
        build_index(**{"embeddings": random_rows(100), "kind": "hnsw", **arguments})


def test_other_queries_are_refused() -> None:
    index = build_index(random_rows(100), "hnsw")
    with pytest.raises(FacenetError, match="queries: expected 32 numbers each, as the index, fou"):
        index.search(random_rows(1, width=31), 1)
    with pytest.raises(FacenetError, match="queries: expected rows of length one, found nan"):
        index.search(np.full((1, 32), np.nan), 1)
    for k in (0, 101):
        with pytest.raises(FacenetError, match=f"k: expected an integer from 1 to 100, found {k}"):
            index.search(random_rows(1), k)


def test_without_faiss_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(FacenetError, match=r"needs the package faiss.*facenet-lib\[large\]"):
        build_index(random_rows(100), "hnsw")
