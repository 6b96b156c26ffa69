"""Who is in an album: faces put together by person, when nobody is known and none is named.

The number of people is never asked for: it is what one wants to know. A threshold of distance,
which belongs to the network and not to the album, takes its place. Derived in chapter 12.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.cluster import DBSCAN, HDBSCAN, AgglomerativeClustering

from facenet_lib.checks import check_array, check_integer, number_problems, word_problems
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.recognition.search import check_embeddings

CLUSTERING_METHODS = ("agglomerative", "dbscan", "hdbscan")
"""What :func:`cluster` can do."""

_Labels = NDArray[np.int64]


def cluster(
    embeddings: ArrayLike,
    method: str = "agglomerative",
    threshold: float | None = None,
    at_least: int = 2,
) -> NDArray[np.int64]:
    """Put the faces of one person together, for all the people of an album.

    - ``"agglomerative"``: the two groups whose faces are nearest on average become one, again and
      again, as long as that average is below the threshold. Best where it was measured. It
      holds the distances of all pairs: 400 MB for 10,000 faces.
    - ``"dbscan"``: a face with enough others near it gathers those, which gather others in turn, so
      that people grow together along chains of faces between them. As the TF 1 reference had it.
    - ``"hdbscan"``: groups that hold together longest while a threshold falls. It needs none,
      never finds that all faces are one person, and takes about 1.6 GB for 10,000 faces.

    A threshold chosen for pairs is too loose here: an album has many more pairs of two people than
    of one. On the book's drawn faces (60 people whom the network has not seen, 16 faces of each),
    averages did best with the threshold that 1 in 100 pairs of two people falls below, and chains
    with that of 1 in 1000: B-cubed F-scores of 0.81 and 0.69. Averages have 0.63 with the best
    threshold for pairs; ``"hdbscan"`` has 0.69, and 0.75 with ``at_least=5``.

    Args:
        embeddings: float (n, embedding_size), rows of length one.
        method: one of :data:`CLUSTERING_METHODS`.
        threshold: squared distance, above 0; distances below it, and not at it, put faces
            together. None for ``"hdbscan"``, and for no other.
        at_least: faces that make a person, 2 or more; those of a smaller group are alone.

    Returns:
        int64 (n,), the number of each face's person: the people count from 0, those with most
        faces first and, of equally many, those whose first face comes first. -1: a face alone.

    Raises:
        FacenetError: for no faces, rows of another length than one, another method, or a threshold
            or number out of range.

    Sources: Ester, Kriegel, Sander and Xu, "A density-based algorithm for discovering clusters",
    1996; Campello, Moulavi and Sander, "Density-based clustering based on hierarchical density
    estimates", 2013; the reference's ``contributed/cluster.py``.

    >>> faces = [[0, 1], [1, 0], [0.28, 0.96], [0.96, 0.28], [-1, 0]]
    >>> cluster(faces, threshold=0.5)
    array([ 0,  1,  0,  1, -1])
    """
    rows = check_embeddings("embeddings", embeddings)
    refuse("cluster", word_problems("method", method, CLUSTERING_METHODS))
    least = check_integer("at_least", at_least, at_least=2)
    if method == "hdbscan" and threshold is not None:
        raise FacenetError(f"threshold: expected none for 'hdbscan', found {threshold!r}")
    if method != "hdbscan":
        refuse("cluster", number_problems("threshold", threshold, "(0, inf)"))
    if len(rows) < least:
        return np.full(len(rows), -1, np.int64)
    return _numbered(_estimator(method, threshold, least).fit_predict(rows), least)


@dataclass(frozen=True)
class ClusterAgreement:
    """How well groups of faces agree with the people that they show.

    Attributes:
        precision: how much of what was put together belongs together.
        recall: how much of what belongs together was put together.
    """

    precision: float
    recall: float

    @property
    def f_score(self) -> float:
        """Harmonic mean of both; 0 if one is 0; not a number if one has nothing to say."""
        if 0 in (self.precision, self.recall):
            return 0.0
        return 2 * self.precision * self.recall / (self.precision + self.recall)


def bcubed_agreement(labels: ArrayLike, truth: ArrayLike) -> ClusterAgreement:
    """Compare clusters with people, face by face: B-cubed precision and recall.

    A face's precision is the share of its cluster that shows its person, the face itself
    counted; its recall is the share of its person's faces that are in its cluster. The means over
    all faces are returned. Every face counts once, so that a person with many does not outweigh
    the rest as in :func:`pairwise_agreement`.

    Args:
        labels: integers (n,), the cluster of each face; -1: a face alone, a cluster of its own.
        truth: integers (n,), the person of each face; -1: a person of whom there is no other.

    Raises:
        FacenetError: for no faces, other shapes, or numbers below -1.

    Sources: Bagga and Baldwin, "Entity-based cross-document coreferencing using the vector space
    model", 1998; Amigo, Gonzalo, Artiles and Verdejo, "A comparison of extrinsic clustering
    evaluation metrics based on formal constraints", 2009.

    >>> bcubed_agreement([0, 0, 0, -1], [0, 0, 1, 1])
    ClusterAgreement(precision=0.6666666666666666, recall=0.75)
    """
    together, in_cluster, of_person = _sizes(labels, truth)
    return ClusterAgreement(
        float(np.mean(together / in_cluster)), float(np.mean(together / of_person))
    )


def pairwise_agreement(labels: ArrayLike, truth: ArrayLike) -> ClusterAgreement:
    """Compare clusters with people, pair by pair of faces.

    Precision is the share of the pairs put together that show one person; recall is the share of
    the pairs of one person that were put together.

    Args:
        labels: integers (n,), as for :func:`bcubed_agreement`.
        truth: integers (n,), as for :func:`bcubed_agreement`.

    Returns:
        The agreement, whose precision is not a number if no two faces were put together, and whose
        recall is none if no two belong together.

    Raises:
        FacenetError: for no faces, other shapes, or numbers below -1.

    >>> pairwise_agreement([0, 0, 0, -1], [0, 0, 1, 1])
    ClusterAgreement(precision=0.3333333333333333, recall=0.5)
    """
    # Each face of a group is in as many pairs as there are others.
    together, in_cluster, of_person = (
        int(sizes.sum() - len(sizes)) for sizes in _sizes(labels, truth)
    )
    return ClusterAgreement(
        together / in_cluster if in_cluster else float("nan"),
        together / of_person if of_person else float("nan"),
    )


def _estimator(method: str, threshold: float | None, at_least: int) -> Any:
    if method == "agglomerative":
        # Squared distances, as everywhere; averages of plain ones were no better, nor worse.
        return AgglomerativeClustering(
            n_clusters=None, metric="sqeuclidean", linkage="average", distance_threshold=threshold
        )
    if method == "dbscan":
        below = np.nextafter(float(threshold or 0), 0)  # as it takes a distance at eps for near
        return DBSCAN(eps=below, min_samples=at_least, metric="sqeuclidean", algorithm="brute")
    # A tree does not help among so many numbers. Faces need no more neighbours than one to be
    # dense: with as many as at_least, more of them stayed alone and people grew together.
    return HDBSCAN(min_cluster_size=at_least, min_samples=1, algorithm="brute", copy=True)


def _numbered(found: NDArray[Any], at_least: int) -> _Labels:
    """Groups by their size, then by their first face; -1 for those that are too small."""
    groups, first, which, sizes = np.unique(
        found, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.lexsort((first, -sizes))
    people = order[(groups[order] >= 0) & (sizes[order] >= at_least)]
    numbers = np.full(len(groups), -1, np.int64)
    numbers[people] = np.arange(len(people))
    return numbers[which]


def _sizes(labels: ArrayLike, truth: ArrayLike) -> tuple[_Labels, _Labels, _Labels]:
    """For each face: the faces of its person in its cluster, in its cluster, of its person."""
    clusters, people = _told_apart("labels", labels), _told_apart("truth", truth)
    if len(clusters) != len(people):
        raise FacenetError(f"truth: expected {len(clusters)} numbers, found {len(people)}")
    return _counts(np.stack([clusters, people])), _counts(clusters), _counts(people)


def _told_apart(name: str, labels: ArrayLike) -> _Labels:
    """Labels with a number of its own for each face that is alone."""
    numbers = check_array(name, labels, "integers", ("n",)).astype(np.int64)
    if not len(numbers) or numbers.min() < -1:
        found = f"found {numbers.min()}" if len(numbers) else "found none"
        raise FacenetError(f"{name}: expected numbers from -1, {found}")
    alone = numbers == -1
    numbers[alone] = numbers.max() + 1 + np.arange(alone.sum())
    return numbers


def _counts(columns: _Labels) -> _Labels:
    """How often each column occurs."""
    _, which, counts = np.unique(columns, axis=-1, return_inverse=True, return_counts=True)
    return counts[which]
