"""Who is nearest, of many faces: exactly, by matrix products; derived in chapter 12."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facenet_lib.checks import check_array, check_integer, word_problems
from facenet_lib.errors import FacenetError, refuse

_QUERIES, _ROWS = 256, 4096  # of one block: 4 MiB of distances, and some times that around them
_LENGTH_TOLERANCE = 1e-3  # float16 keeps a length of one to half of this
_SHORTEST_MEAN = 1e-6  # below it, float32's rounding alone says where a mean points

_Floats = NDArray[np.float32]


def nearest_rows(
    queries: ArrayLike, embeddings: ArrayLike, k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the k rows nearest to each query, exactly.

    The work is one matrix product, made block by block, so that the distances of all to all are
    never there at once: beside the answer, it takes less than 64 MiB and some bytes a row. (Of
    what is not float32 yet, a copy is made first.)

    Args:
        queries: numbers (m, embedding_size), rows of length one.
        embeddings: numbers (n, embedding_size), rows of length one.
        k: from 1 to n.

    Returns:
        int64 (m, k), numbers of rows, the nearest first; of rows that are equally far, the smaller
        number first. float32 (m, k), their squared Euclidean distances, from 0 to 4. (Which rows
        are the k nearest, distances decide that rounding leaves off by some 1e-6.)

    Raises:
        FacenetError: for rows of another length than one or that differ in width, no rows at all,
            or a k out of range.

    >>> rows, distances = nearest_rows([[0.6, 0.8]], [[1, 0], [0, 1], [-1, 0]], k=2)
    >>> rows, distances.round(3)
    (array([[1, 0]]), array([[0.4, 0.8]], dtype=float32))
    """
    asked, stored = _check_both(queries, embeddings)
    check_integer("k", k, at_least=1, at_most=len(stored))
    return _from_keys(
        np.concatenate([_nearest_keys(asked[block], stored, k) for block in _queries(asked)])
    )


def distances_to_people(
    queries: ArrayLike, embeddings: ArrayLike, owners: ArrayLike, by: str
) -> NDArray[np.float32]:
    """Measure how far each query is from each person, who may own several rows.

    Args:
        queries: numbers (m, embedding_size), rows of length one.
        embeddings: numbers (n, embedding_size), rows of length one.
        owners: integers (n,), whose row each is: the people are 0 to p - 1, and each owns a row.
        by: ``"nearest"`` for the distance to the nearest of a person's rows, ``"mean"`` for that to
            their mean, scaled to length one.

    Returns:
        float32 (m, p), squared Euclidean distances, from 0 to 4, which rounding leaves off by some
        1e-6.

    Raises:
        FacenetError: for rows of another length than one or that differ in width, no rows at all,
            another number of owners, people who own nothing, rows of one person whose mean is
            zero, or another ``by``.

    >>> rows, owners = [[1, 0], [0, 1], [0, -1]], [0, 0, 1]
    >>> distances_to_people([[0, 1]], rows, owners, by="nearest")
    array([[0., 4.]], dtype=float32)
    >>> distances_to_people([[0, 1]], rows, owners, by="mean").round(3)
    array([[0.586, 4.   ]], dtype=float32)
    """
    refuse("distances_to_people", word_problems("by", by, ["nearest", "mean"]))
    asked, stored = _check_both(queries, embeddings)
    return distances_of_checked(asked, stored, _check_owners(owners, len(stored)), by)


def distances_of_checked(
    asked: _Floats, stored: _Floats, whose: NDArray[np.int64], by: str
) -> _Floats:
    """:func:`distances_to_people` of what has been checked: a gallery's rows are, once for all.

    >>> rows = np.eye(2, dtype=np.float32)
    >>> distances_of_checked(rows[:1], rows, np.array([0, 1]), by="nearest")
    array([[0., 2.]], dtype=float32)
    """
    if by == "mean":
        stored = _mean_directions(stored, whose)
        whose = np.arange(len(stored))
    distances = np.full((len(asked), whose.max() + 1), np.inf, np.float32)
    for block in _queries(asked):
        for rows, people, starts in _rows_by_person(whose):
            nearest = np.minimum.reduceat(
                _squared_distances(asked[block], stored[rows]), starts, axis=1
            )
            distances[block, people] = np.minimum(distances[block, people], nearest)
    return distances


def check_embeddings(name: str, embeddings: ArrayLike) -> NDArray[np.float32]:
    """Return rows of length one, to 0.001, as float32.

    Args:
        name: what an error calls them.
        embeddings: numbers (n, embedding_size).

    Raises:
        FacenetError: for no rows, another shape, numbers that are not finite, or another length.

    >>> check_embeddings("queries", [[0.6, 0.8], [1, 1]])
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: queries: expected rows of length one, found 1.41421 in row 1
    """
    values = check_array(name, embeddings, "numbers", ("rows", "embedding_size"))
    if not len(values):
        raise FacenetError(f"{name}: expected rows, found none")
    with np.errstate(over="ignore"):  # to infinity, which is refused
        rows: _Floats = np.ascontiguousarray(values, np.float32)
        lengths = np.sqrt(_squared_lengths(rows))
    (wrong,) = np.nonzero(~(np.abs(lengths - 1) <= _LENGTH_TOLERANCE))  # or not a number
    if len(wrong):
        others = f" and others in {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise FacenetError(
            f"{name}: expected rows of length one, found {lengths[wrong[0]]:g} in row {wrong[0]}"
            f"{others}"
        )
    return rows


def _nearest_keys(queries: _Floats, embeddings: _Floats, k: int) -> NDArray[np.uint64]:
    """Keys (m, k) of the nearest rows, in order."""
    best = np.empty((len(queries), 0), np.uint64)
    farthest = np.full((len(queries), 1), np.inf, np.float32)  # of the k best so far
    for start in range(0, len(embeddings), _ROWS):
        distances = _squared_distances(queries, embeddings[start : start + _ROWS])
        # A later row that is as far comes after; after some blocks, hardly any row is nearer.
        (nearer,) = np.nonzero((distances < farthest).any(axis=0))
        keys = _to_keys(distances.take(nearer, axis=1), start + nearer)
        best = np.concatenate([best, keys], axis=1)
        if best.shape[1] >= k:
            best = np.partition(best, k - 1, axis=1)[:, :k]
            farthest = _from_keys(best[:, k - 1 :])[1]
    # A product loses digits of what is very near: the few that are left are measured again.
    rows, _ = _from_keys(best)
    columns = [_squared_lengths(queries - embeddings[column]) for column in rows.T]
    return np.sort(_to_keys(np.stack(columns, axis=1), rows), axis=1)


def _to_keys(distances: _Floats, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Distance and row in one integer: smaller for what is nearer, then for the smaller row.

    The bits of floating point numbers that are not negative are in the order of the numbers.
    """
    keys = distances.view(np.uint32).astype(np.uint64) << np.uint64(32)
    return keys | rows.astype(np.uint64)


def _from_keys(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], _Floats]:
    distances = (keys >> np.uint64(32)).astype(np.uint32).view(np.float32)
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.int64), distances


def _squared_distances(queries: _Floats, embeddings: _Floats) -> _Floats:
    distances = (-2 * queries) @ embeddings.T
    distances += _squared_lengths(queries)[:, np.newaxis]
    distances += _squared_lengths(embeddings)
    return np.maximum(distances, 0, out=distances)


def _squared_lengths(rows: _Floats) -> _Floats:
    lengths: _Floats = np.einsum("ij,ij->i", rows, rows)
    return lengths


def _queries(queries: _Floats) -> Iterator[slice]:
    for start in range(0, len(queries), _QUERIES):
        yield slice(start, start + _QUERIES)


def _rows_by_person(
    owners: NDArray[np.int64],
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.intp]]]:
    """Blocks of rows in the order of their owners, these owners, and where each one's rows start.

    The rows of one person may lie in several blocks.
    """
    in_order = np.argsort(owners, kind="stable")
    for start in range(0, len(owners), _ROWS):
        rows = in_order[start : start + _ROWS]
        people, starts = np.unique(owners[rows], return_index=True)
        yield rows, people, starts


def _mean_directions(embeddings: _Floats, owners: NDArray[np.int64]) -> _Floats:
    sums = np.zeros((owners.max() + 1, embeddings.shape[1]))
    for rows, people, starts in _rows_by_person(owners):
        sums[people] += np.add.reduceat(embeddings[rows], starts, axis=0, dtype=np.float64)
    means = sums / np.bincount(owners)[:, np.newaxis]
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    without = np.flatnonzero(lengths < _SHORTEST_MEAN)
    if len(without):
        raise FacenetError(
            f"embeddings: expected rows of each person whose mean is not zero, found "
            f"that of person {without[0]} to be"
        )
    return (means / lengths).astype(np.float32)


def _check_both(queries: ArrayLike, embeddings: ArrayLike) -> tuple[_Floats, _Floats]:
    asked = check_embeddings("queries", queries)
    stored = check_embeddings("embeddings", embeddings)
    if asked.shape[1] != stored.shape[1]:
        raise FacenetError(
            f"queries: expected {stored.shape[1]} numbers each, as embeddings, "
            f"found {asked.shape[1]}"
        )
    return asked, stored


def _check_owners(owners: ArrayLike, rows: int) -> NDArray[np.int64]:
    whose = check_array("owners", owners, "integers", (rows,)).astype(np.int64)
    low, high = whose.min(), whose.max()
    if low < 0 or high >= rows:
        raise FacenetError(
            f"owners: expected people from 0, each with one of {rows} rows, found {low} to {high}"
        )
    without = np.flatnonzero(np.bincount(whose) == 0)
    if len(without):
        raise FacenetError(
            f"owners: expected a row of each person from 0 to {high}, found none of "
            f"person {without[0]}"
        )
    return whose
