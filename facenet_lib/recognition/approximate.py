"""Who is nearest, of very many faces: nearly always right, in less memory or less time.

faiss keeps the rows and searches them. How often its answer is right depends on the faces, and so
it is measured on them, whenever an index is built. Derived in chapter 12.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facenet_lib.checks import check_integer, integer_problems, number_problems, word_problems
from facenet_lib.errors import FacenetError, explain_missing, refuse
from facenet_lib.recognition.embedding_shards import EmbeddingShards
from facenet_lib.recognition.search import check_embeddings, nearest_rows
from facenet_lib.verification import distances

_Floats = NDArray[np.float32]

_NEIGHBOURS = 32  # of a node in HNSW's graph; twice as many in its lowest layer
_MOST_HELD_OUT = 1000
_FEWEST_ROWS = 100  # of which a tenth is held out
_REMEDIES = {
    "exact_half": "float16 does not tell these rows apart, nearest_rows does",
    "hnsw": "build it with an ef larger than {}",
}


@dataclass(frozen=True, eq=False)
class ApproximateIndex:
    """Rows to search, as :func:`build_index` makes it of them.

    Attributes:
        kind: ``"exact_half"`` or ``"hnsw"``.
        recall: share of the queries held out whose first answer was right.
        held_out: how many queries that were.
        index: faiss' own.
    """

    kind: str
    recall: float
    held_out: int
    index: Any

    def search(self, queries: ArrayLike, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Find k rows that are near to each query, and mostly the nearest.

        Args:
            queries: numbers (m, embedding_size), rows of length one.
            k: from 1 to the number of rows.

        Returns:
            As :func:`nearest_rows`: int64 (m, k), numbers of rows, the nearest first; float32
            (m, k), their squared Euclidean distances, which float16 leaves off by up to 0.002.

        Raises:
            FacenetError: for queries of another length than one or another width, a k out of
                range, or where the graph of HNSW leads to fewer than k rows.
        """
        asked = check_embeddings("queries", queries)
        if asked.shape[1] != self.index.d:
            raise FacenetError(
                f"queries: expected {self.index.d} numbers each, as the index, "
                f"found {asked.shape[1]}"
            )
        check_integer("k", k, at_least=1, at_most=self.index.ntotal)
        found, rows = self.index.search(asked, k)
        if rows.min() < 0:
            raise FacenetError(
                f"index: expected {k} rows for each query, found {(rows >= 0).sum(axis=1).min()} "
                "for some; build it with a larger ef"
            )
        in_order = np.lexsort((rows, found))
        return (
            np.take_along_axis(rows, in_order, axis=1),
            np.take_along_axis(found, in_order, axis=1),
        )


def build_index(
    embeddings: ArrayLike | EmbeddingShards,
    kind: str,
    recall_at_least: float = 0.95,
    ef: int = 64,
    seed: int = 0,
) -> ApproximateIndex:
    """Build an index of rows, and measure how often it is right.

    ``"exact_half"`` looks at every row, as :func:`nearest_rows`, but keeps them as float16: half of
    the memory. ``"hnsw"`` keeps float32 and a graph that leads from row to nearer row, so that few
    are looked at: more memory, and much less time a query.

    The recall is measured on queries as they come: faces that are not in the index, of people some
    of whose photographs are. So a tenth of the rows, at most 1000, is held out, searched for among
    the others by the index and by :func:`nearest_rows`, and added afterwards. (A row that is in the
    index, or nearly so, would be found far too easily.) Where a person has one row only, whoever is
    held out is a stranger, whose nearest row is far and hard to find: the recall is then what
    strangers have, and people who are known have more.

    Several threads build HNSW's graph in another order each time, and the recall differs a little;
    with OMP_NUM_THREADS=1, two builds are the same.

    Args:
        embeddings: numbers (n, embedding_size), 100 or more rows of length one; or those of
            collections, which are read twice, a shard at a time, so that beside the index hardly
            any memory is needed.
        kind: ``"exact_half"`` or ``"hnsw"``.
        recall_at_least: an index below it is refused.
        ef: how many rows HNSW keeps in sight while it builds and searches; more take longer and
            raise the recall.
        seed: of which rows are held out.

    Raises:
        FacenetError: for too few rows, rows of another length than one, another kind, a recall or
            an ef out of range, an index whose recall is too low, and without faiss.

    Source: Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using
    Hierarchical Navigable Small World graphs", 2018; Douze et al., "The Faiss library", 2024.

    >>> rows = np.random.default_rng(0).standard_normal((200, 8))
    >>> rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    >>> index = build_index(rows, "hnsw")
    >>> index.recall, index.search(rows[7:8], k=1)[0].tolist()
    (1.0, [[7]])
    """
    problems = word_problems("kind", kind, list(_REMEDIES))
    problems += number_problems("recall_at_least", recall_at_least, "[0, 1]")
    problems += integer_problems("ef", ef, at_least=1)
    problems += integer_problems("seed", seed, at_least=0)
    refuse("build_index", problems)
    if isinstance(embeddings, EmbeddingShards):
        blocks, (count, width) = cast(Iterable[_Floats], embeddings), embeddings.shape
    else:
        stored = check_embeddings("embeddings", embeddings)
        blocks, (count, width) = [stored], stored.shape
    if count < _FEWEST_ROWS:
        raise FacenetError(
            f"embeddings: expected at least {_FEWEST_ROWS} rows to measure the recall on, found "
            f"{count}; nearest_rows searches so few at once"
        )
    wanted = min(_MOST_HELD_OUT, count // 10)
    held_out = np.sort(np.random.default_rng(seed).choice(count, wanted, replace=False))
    index = _empty_index(kind, width, ef)
    queries = np.concatenate([_add_others(index, part) for part in _parts(blocks, held_out)])
    recall = _recall(index, queries, _parts(blocks, held_out))
    if recall < recall_at_least:
        raise FacenetError(
            f"{kind}: expected a recall of at least {recall_at_least:g}, found {recall:.4f} on "
            f"{len(held_out)} rows held out: {_REMEDIES[kind].format(ef)}"
        )
    index.add_with_ids(queries, held_out)
    return ApproximateIndex(kind, recall, len(held_out), index)


def _empty_index(kind: str, width: int, ef: int) -> Any:
    """Of faiss, where each row that is added comes with its number."""
    with explain_missing("an approximate index", "large"):
        import faiss
    if kind == "exact_half":
        return faiss.IndexIDMap(faiss.IndexScalarQuantizer(width, faiss.ScalarQuantizer.QT_fp16))
    graph = faiss.IndexHNSWFlat(width, _NEIGHBOURS)
    graph.hnsw.efConstruction = graph.hnsw.efSearch = ef
    return faiss.IndexIDMap(graph)


@dataclass(frozen=True, eq=False)
class _Part:
    """Some of the rows, the number of their first, and which of them are held out."""

    rows: _Floats
    first: int
    is_held_out: NDArray[np.bool_]


def _parts(blocks: Iterable[_Floats], held_out: NDArray[np.int64]) -> Iterator[_Part]:
    first = 0
    for block in blocks:
        if len(block):  # there may be shards of photographs without a face
            rows = check_embeddings("embeddings", block)
            yield _Part(rows, first, np.isin(np.arange(first, first + len(rows)), held_out))
            first += len(rows)


def _add_others(index: Any, part: _Part) -> _Floats:
    """Add the rows that are not held out, and return those that are."""
    others = np.flatnonzero(~part.is_held_out)
    index.add_with_ids(part.rows[others], part.first + others)
    return part.rows[part.is_held_out]


def _recall(index: Any, queries: _Floats, parts: Iterable[_Part]) -> float:
    """Share of the rows held out for which no other is nearer than the one that is found."""
    found = index.search(queries, 1)[1][:, 0]
    to_found, to_nearest = np.full((2, len(queries)), np.inf, np.float32)
    for part in parts:
        others = part.rows[~part.is_held_out]
        if len(others):
            nearest = others[nearest_rows(queries, others, 1)[0][:, 0]]
            to_nearest = np.minimum(to_nearest, distances(queries, nearest))
        here = np.flatnonzero((found >= part.first) & (found < part.first + len(part.rows)))
        if len(here):
            to_found[here] = distances(queries[here], part.rows[found[here] - part.first])
    # By distance: of a picture that is there twice, either is right.
    return float((to_found <= to_nearest).mean())
