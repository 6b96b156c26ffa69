"""Clusters beside average linkage and chains written out; agreement face by face, pair by pair."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.cluster import pair_confusion_matrix

from facenet_lib.errors import FacenetError
from facenet_lib.recognition.clustering import (
    CLUSTERING_METHODS,
    ClusterAgreement,
    bcubed_agreement,
    cluster,
    pairwise_agreement,
)

label_pairs = st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 3)), min_size=1, max_size=12)
seeds = st.integers(0, 10_000)


def random_faces(people: int, faces: int, noise: float, seed: int = 0) -> np.ndarray:
    """Faces of person 0, then of 1, and so on."""
    generator = np.random.default_rng(seed)
    centres = np.repeat(generator.normal(size=(people, 16)), faces, axis=0)
    rows = centres + noise * generator.normal(size=centres.shape)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def options(method: str, threshold: float = 0.5) -> dict[str, Any]:
    """What a method takes."""
    return {"method": method} | ({} if method == "hdbscan" else {"threshold": threshold})


def squared_distance(one: np.ndarray, other: np.ndarray) -> float:
    return sum((float(a) - float(b)) ** 2 for a, b in zip(one, other, strict=True))


def numbered(groups: list[list[int]], faces: int, at_least: int) -> list[int]:
    """Labels of groups, by the rule of the docstring."""
    labels = [-1] * faces
    people = [group for group in groups if len(group) >= at_least]
    for number, group in enumerate(sorted(people, key=lambda g: (-len(g), min(g)))):
        for face in group:
            labels[face] = number
    return labels


def naive_average_linkage(rows: np.ndarray, threshold: float) -> list[list[int]]:
    groups = [[face] for face in range(len(rows))]
    while len(groups) > 1:

        def average(pair: tuple[int, int]) -> float:
            one, other = (groups[place] for place in pair)
            each = [squared_distance(rows[a], rows[b]) for a in one for b in other]
            return sum(each) / len(each)

        pairs = list(itertools.combinations(range(len(groups)), 2))
        first, second = min(pairs, key=average)
        if not average((first, second)) < threshold:
            break
        groups[first] += groups.pop(second)
    return groups


def naive_chains(rows: np.ndarray, threshold: float) -> list[list[int]]:
    groups: list[list[int]] = []
    left = set(range(len(rows)))
    while left:
        group = [left.pop()]
        for face in group:  # which grows meanwhile
            near = {o for o in left if squared_distance(rows[face], rows[o]) < threshold}
            left -= near
            group += near
        groups.append(group)
    return groups


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(seeds, st.floats(0.1, 1.5), st.integers(2, 4))
def test_agglomeration_is_average_linkage_of_squared_distances(seed, threshold, at_least):
    rows = random_faces(4, 3, noise=0.5, seed=seed)
    expected = numbered(naive_average_linkage(rows, threshold), len(rows), at_least)
    assert cluster(rows, threshold=threshold, at_least=at_least).tolist() == expected


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(seeds, st.floats(0.1, 1.5))
def test_dbscan_with_one_neighbour_follows_chains(seed, threshold):
    rows = random_faces(4, 3, noise=0.5, seed=seed)
    expected = numbered(naive_chains(rows, threshold), len(rows), at_least=2)
    assert cluster(rows, "dbscan", threshold).tolist() == expected


def test_dbscan_asks_for_as_many_faces_near_as_make_a_person():
    """A chain of four, each near its neighbours alone, in which no face has three others near."""
    angles = np.radians([0, 30, 60, 90])
    chain = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    threshold = 0.5  # 30 degrees are 0.27, 60 are 1
    assert cluster(chain, "dbscan", threshold, at_least=3).tolist() == [0, 0, 0, 0]
    assert cluster(chain, "dbscan", threshold, at_least=4).tolist() == [-1, -1, -1, -1]


def test_hdbscan_does_not_tear_a_person_into_groups_that_are_too_small():
    """Two people, of whose faces two at a time are nearly the same."""
    faces = random_faces(2, 6, noise=0.5)
    pairs = np.repeat(faces, 2, axis=0) + 1e-4 * random_faces(24, 1, noise=0)
    pairs /= np.linalg.norm(pairs, axis=1, keepdims=True)
    assert cluster(pairs, "hdbscan", at_least=2).max() + 1 == 12
    assert cluster(pairs, "hdbscan", at_least=6).tolist() == [0] * 12 + [1] * 12


@pytest.mark.parametrize("method", CLUSTERING_METHODS)
def test_people_who_are_far_apart_are_found_largest_first(method):
    rows = random_faces(6, 6, noise=0.05)
    kept = np.flatnonzero(~np.isin(np.arange(36), [0, 1, 12]))  # person 0 has 4, person 2 has 5
    truth = kept // 6
    labels = cluster(rows[kept], at_least=3, **options(method))
    order = [1, 3, 4, 5, 2, 0]  # by size, then by the first face
    assert labels.tolist() == [order.index(person) for person in truth]
    assert labels.dtype == np.int64


@pytest.mark.parametrize("method", CLUSTERING_METHODS)
def test_groups_do_not_depend_on_the_order_of_the_faces(method):
    rows = random_faces(5, 6, noise=0.3)
    order = np.random.default_rng(1).permutation(len(rows))
    labels = cluster(rows, at_least=3, **options(method))
    reordered = cluster(rows[order], at_least=3, **options(method))
    expected = [np.flatnonzero(labels == number) for number in range(labels.max() + 1)]
    found = [np.sort(order[reordered == number]) for number in range(reordered.max() + 1)]
    assert len(expected) > 1
    assert sorted(map(tuple, found)) == sorted(map(tuple, expected))


@pytest.mark.parametrize("method", CLUSTERING_METHODS)
@settings(deadline=None, max_examples=25)
@given(seed=seeds, faces=st.integers(1, 20), at_least=st.integers(2, 6))
def test_labels_count_from_0_with_as_many_faces_as_asked(method, seed, faces, at_least):
    rows = random_faces(faces, 1, noise=0, seed=seed)
    labels = cluster(rows, at_least=at_least, **options(method, threshold=1.5))
    assert set(labels) - {-1} == set(range(labels.max() + 1))
    sizes = np.bincount(labels[labels >= 0])
    assert (sizes >= at_least).all()
    assert (np.diff(sizes) <= 0).all()


@pytest.mark.parametrize("method", CLUSTERING_METHODS)
def test_one_face_is_alone(method):
    assert cluster([[0.0, 1.0]], **options(method)).tolist() == [-1]


@pytest.mark.parametrize("method", ["agglomerative", "dbscan"])
def test_faces_at_the_threshold_stay_apart(method):
    faces = [[1, 0], [0, 1]]
    assert cluster(faces, method, 2).tolist() == [-1, -1]
    assert cluster(faces, method, math.nextafter(2, 3)).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embeddings": np.empty((0, 2))}, "expected rows, found none"),
        ({"embeddings": [[np.nan, 1]]}, "expected rows of length one, found nan"),
        ({"embeddings": [[3, 4]]}, "expected rows of length one, found 5 in row 0"),
        ({"method": "k-means"}, "expected 'agglomerative' or 'dbscan' or 'hdbscan', found 'k-me"),
        ({"threshold": None}, r"expected a number in \(0, inf\), found None"),
        ({"threshold": 0}, r"expected a number in \(0, inf\), found 0"),
        ({"method": "hdbscan"}, "threshold: expected none for 'hdbscan', found 0.5"),
        ({"at_least": 1}, "at_least: expected an integer of at least 2, found 1"),
    ],
)
def test_what_cannot_be_clustered_is_refused(change, message):
    with pytest.raises(FacenetError, match=message):
        cluster(**{"embeddings": [[0, 1], [1, 0]], "threshold": 0.5} | change)


# Agreement


def are_together(labels: list[int], one: int, other: int) -> bool:
    return one == other or labels[one] == labels[other] != -1


@given(label_pairs)
def test_bcubed_agreement_is_the_mean_over_faces(pairs):
    labels, truth = map(list, zip(*pairs, strict=True))
    faces = range(len(pairs))
    precisions, recalls = [], []
    for face in faces:
        cluster_of = {other for other in faces if are_together(labels, face, other)}
        person_of = {other for other in faces if are_together(truth, face, other)}
        precisions.append(len(cluster_of & person_of) / len(cluster_of))
        recalls.append(len(cluster_of & person_of) / len(person_of))
    agreement = bcubed_agreement(labels, truth)
    assert agreement.precision == pytest.approx(sum(precisions) / len(faces))
    assert agreement.recall == pytest.approx(sum(recalls) / len(faces))


@given(label_pairs)
def test_pairwise_agreement_counts_pairs(pairs):
    labels, truth = map(list, zip(*pairs, strict=True))
    each = list(itertools.combinations(range(len(pairs)), 2))
    together = {pair for pair in each if are_together(labels, *pair)}
    belonging = {pair for pair in each if are_together(truth, *pair)}
    right = len(together & belonging)
    agreement = pairwise_agreement(labels, truth)
    expected = [right / len(those) if those else math.nan for those in (together, belonging)]
    found = [agreement.precision, agreement.recall]
    assert found == pytest.approx(expected, nan_ok=True)
    both = len(together) + len(belonging)
    assert agreement.f_score == pytest.approx(2 * right / both if both else math.nan, nan_ok=True)


def test_pairwise_agreement_is_that_of_scikit_learn():
    labels, truth = np.random.default_rng(0).integers(0, 5, size=(2, 100))
    (_, wrong), (missed, right) = pair_confusion_matrix(truth, labels)
    expected = ClusterAgreement(right / (right + wrong), right / (right + missed))
    assert pairwise_agreement(labels, truth) == expected


def test_a_person_with_many_faces_outweighs_others_in_pairs_alone():
    """One person of 20 faces is found whole; ten people of two faces are all torn apart."""
    truth = np.append(np.zeros(20, int), 1 + np.arange(20) // 2)
    labels = np.where(truth == 0, 0, -1)
    assert bcubed_agreement(labels, truth).recall == pytest.approx(0.75)
    assert pairwise_agreement(labels, truth).recall == pytest.approx(190 / 200)


@pytest.mark.parametrize("agreement", [bcubed_agreement, pairwise_agreement])
@pytest.mark.parametrize(
    ("labels", "truth", "message"),
    [
        ([0, 0], [0], "truth: expected 2 numbers, found 1"),
        ([], [], "labels: expected"),
        (np.array([], int), np.array([], int), "labels: expected numbers from -1, found none"),
        ([0, -2], [0, 0], "labels: expected numbers from -1, found -2"),
        ([0.0], [0], "labels: expected integers"),
        ([0, 0], ["a", "b"], "truth: expected integers"),
    ],
)
def test_labels_that_cannot_be_compared_are_refused(agreement, labels, truth, message):
    with pytest.raises(FacenetError, match=message):
        agreement(labels, truth)
