"""Verification: the reference's definitions written out naively, exact optima by brute force."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, roc_auc_score
from sklearn.model_selection import KFold

from facenet_lib.errors import FacenetError
from facenet_lib.lfw_pairs import Pair, PairList
from facenet_lib.verification import (
    EvaluationPairs,
    VerificationResult,
    distances,
    evaluate,
    evaluate_pairs,
    rate_interval,
)

METRICS = ("sqeuclidean", "angular")
GRID = np.arange(0, 4, 0.01)


def make_pairs(
    pairs: int = 120, features: int = 16, noise: float = 0.9, seed: int = 0, dtype=np.float32
) -> tuple[np.ndarray, np.ndarray]:
    """Unit embeddings whose same pairs are near each other, and the answers, mixed at random."""
    generator = np.random.default_rng(seed)
    issame = generator.permutation(np.arange(pairs) % 2 == 0)
    first = generator.normal(size=(pairs, features))
    second = np.where(issame[:, None], first, generator.normal(size=(pairs, features)))
    second = second + noise * generator.normal(size=(pairs, features))
    embeddings = np.stack([first, second], axis=1).reshape(2 * pairs, features)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings.astype(dtype), issame


# The reference's definitions, threshold by threshold and pair by pair -------------------------


def naive_distances(embeddings1, embeddings2, metric):
    if metric == "sqeuclidean":
        return np.sum(np.square(np.subtract(embeddings1, embeddings2)), 1)
    dot = np.sum(np.multiply(embeddings1, embeddings2), axis=1)
    norm = np.linalg.norm(embeddings1, axis=1) * np.linalg.norm(embeddings2, axis=1)
    return np.arccos(np.clip(dot / norm, -1, 1)) / math.pi


def naive_counts(threshold, distance, issame):
    """True accepts, false accepts, true rejects, false rejects."""
    counts = [0, 0, 0, 0]
    for value, same in zip(distance, issame, strict=True):
        accepted = value < threshold
        counts[0] += accepted and same
        counts[1] += accepted and not same
        counts[2] += not accepted and not same
        counts[3] += not accepted and same
    return counts


def naive_rates(threshold, distance, issame):
    tp, fp, tn, fn = naive_counts(threshold, distance, issame)
    return float(tp) / float(tp + fn), float(fp) / float(fp + tn), float(tp + tn) / len(issame)


def naive_far_threshold(far, grid, far_target):
    """Linear between the last threshold with at most the target and the next; 0 if out of reach."""
    if max(far) < far_target:
        return 0.0
    last = max(i for i in range(len(grid)) if far[i] <= far_target)
    if far[last] == far_target or last == len(grid) - 1:
        return grid[last]
    slope = (grid[last + 1] - grid[last]) / (far[last + 1] - far[last])
    return slope * (far_target - far[last]) + grid[last]


def naive_evaluate(embeddings, issame, tests, metric, subtract_mean, grid, far_target):
    """``tests``: indices of the pairs of each fold."""
    first, second = embeddings[0::2], embeddings[1::2]
    tprs, fprs, accuracies, vals, fars = [], [], [], [], []
    for test in tests:
        train = np.setdiff1d(np.arange(len(issame)), test)
        mean = 0.0
        if subtract_mean:
            mean = np.mean(np.concatenate([first[train], second[train]]), axis=0)
        distance = naive_distances(first - mean, second - mean, metric)
        training = [naive_rates(t, distance[train], issame[train]) for t in grid]
        best, best_accuracy = None, -1.0
        for threshold, (_, _, accuracy) in zip(grid, training, strict=True):
            if accuracy > best_accuracy:
                best, best_accuracy = threshold, accuracy
        testing = [naive_rates(t, distance[test], issame[test]) for t in grid]
        tprs.append([tpr for tpr, _, _ in testing])
        fprs.append([fpr for _, fpr, _ in testing])
        accuracies.append(naive_rates(best, distance[test], issame[test])[2])
        far_threshold = naive_far_threshold([fpr for _, fpr, _ in training], grid, far_target)
        val, far, _ = naive_rates(far_threshold, distance[test], issame[test])
        vals.append(val)
        fars.append(far)
    return {
        "true_positive_rates": np.mean(np.array(tprs), 0),
        "false_positive_rates": np.mean(np.array(fprs), 0),
        "fold_accuracies": np.array(accuracies),
        "accuracy": np.mean(accuracies),
        "accuracy_std": np.std(accuracies),
        "validation_rate": np.mean(vals),
        "validation_rate_std": np.std(vals),
        "false_accept_rate": np.mean(fars),
    }


def assert_equal_to_the_last_digit(result: VerificationResult, expected) -> None:
    for name, value in expected.items():
        np.testing.assert_array_equal(getattr(result, name), value, err_msg=name)


# A given grid -----------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("subtract_mean", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("far_target", [1e-3, 0.1])
def test_a_grid_gives_the_reference_to_the_last_digit(
    metric, subtract_mean, dtype, far_target
) -> None:
    embeddings, issame = make_pairs(126, dtype=dtype)  # 126: folds of 13 and of 12 pairs
    tests = [test for _, test in KFold(10).split(issame)]
    grid = np.arange(0, 4, 0.05) if metric == "sqeuclidean" else np.arange(0, 1, 0.0125)
    result = evaluate(embeddings, issame, 10, metric, subtract_mean, grid, far_target)
    expected = naive_evaluate(embeddings, issame, tests, metric, subtract_mean, grid, far_target)
    assert_equal_to_the_last_digit(result, expected)
    assert 0.6 < result.accuracy < 1  # a case in which something can go wrong
    assert result.standard_error == result.accuracy_std / math.sqrt(10)
    assert result.area_under_curve == auc(result.false_positive_rates, result.true_positive_rates)


def test_more_rows_than_a_block_and_wide_embeddings() -> None:
    embeddings, _ = make_pairs(700, 512, noise=2.5)
    embeddings1, embeddings2 = embeddings[0::2], embeddings[1::2]
    for metric in METRICS:
        ours = distances(embeddings1, embeddings2, metric)
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, naive_distances(embeddings1, embeddings2, metric))


def test_fold_ids_give_the_reference_on_those_folds() -> None:
    embeddings, issame = make_pairs(100)
    ids = np.random.default_rng(3).permutation(np.arange(100) % 4)
    tests = [np.flatnonzero(ids == fold) for fold in range(4)]
    grid = np.arange(0, 4, 0.1)
    for subtract_mean in (False, True):
        result = evaluate(embeddings, issame, ids, "sqeuclidean", subtract_mean, grid, 0.05)
        expected = naive_evaluate(
            embeddings, issame, tests, "sqeuclidean", subtract_mean, grid, 0.05
        )
        assert_equal_to_the_last_digit(result, expected)


def test_a_number_of_folds_is_contiguous_blocks() -> None:
    embeddings, issame = make_pairs(103)
    ids = np.empty(103, int)
    for fold, (_, test) in enumerate(KFold(7).split(ids)):
        ids[test] = fold
    for thresholds in (None, GRID):
        number = evaluate(embeddings, issame, 7, thresholds=thresholds)
        listed = evaluate(embeddings, issame, ids, thresholds=thresholds)
        assert number.to_dict() == listed.to_dict()


def on_a_line(positions, dtype=np.float64) -> np.ndarray:
    """Embeddings whose pair i has squared Euclidean distance ``positions[i]`` squared."""
    embeddings = np.zeros((2 * len(positions), 1), dtype)
    embeddings[1::2, 0] = positions
    return embeddings


def test_far_is_interpolated_after_the_last_of_equal_rates() -> None:
    # In each fold different pairs at 4 and 16, same pairs at 1 and 9: FAR over the grid
    # 0, 2, 4, 6, ..., 16, 18 is 0 up to 4, 1/2 from 6 to 16 and 1 at 18.
    embeddings = on_a_line([1, 3, 2, 4] * 2)
    issame = np.array([True, True, False, False] * 2)
    grid = np.arange(0, 20, 2.0)
    quarter = evaluate(embeddings, issame, 2, thresholds=grid, far_target=0.25)
    assert quarter.false_accept_rate == 0.5  # half way from 4 to 6
    assert quarter.validation_rate == 0.5
    half = evaluate(embeddings, issame, 2, thresholds=grid, far_target=0.5)
    assert half.validation_rate == 1  # at 16, the last with one half, not at 6
    assert half.false_accept_rate == 0.5
    none = evaluate(embeddings, issame, 2, thresholds=grid[:3], far_target=0.5)
    assert (none.validation_rate, none.false_accept_rate) == (0, 0)  # out of reach: threshold 0
    just = evaluate(embeddings, issame, 2, thresholds=grid[:4], far_target=0.5)
    assert (just.validation_rate, just.false_accept_rate) == (0.5, 0.5)  # reached at the end, 6


def test_an_accepted_distance_is_strictly_less() -> None:
    embeddings, issame = on_a_line([1, 2] * 2), np.array([True, False] * 2)
    assert evaluate(embeddings, issame, 2, thresholds=[1.0]).accuracy == 0.5
    assert evaluate(embeddings, issame, 2, thresholds=[4.0]).accuracy == 1.0


def test_the_threshold_of_a_grid_is_the_first_best_over_all_pairs() -> None:
    embeddings, issame = make_pairs(200, noise=1.2)
    result = evaluate(embeddings, issame, thresholds=GRID)
    distance = naive_distances(embeddings[0::2], embeddings[1::2], "sqeuclidean")
    accuracies = [naive_rates(threshold, distance, issame)[2] for threshold in GRID]
    assert result.threshold == GRID[np.argmax(accuracies)]


def test_a_grid_that_stops_short_still_has_its_whole_area() -> None:
    # Same pairs at 1, different ones at 4 and 9, so that a grid up to 5 sees half of the latter.
    embeddings, issame = on_a_line([1, 2, 1, 3] * 2), np.array([True, False] * 4)
    for grid in ([0.0, 2.0], [0.0, 2.0, 5.0], [0.0, 2.0, 5.0, 10.0]):
        result = evaluate(embeddings, issame, 2, thresholds=grid)
        assert result.false_positive_rates[-1] == (len(grid) - 2) / 2
        assert (result.area_under_curve, result.equal_error_rate) == (1, 0)
    late = evaluate(embeddings, issame, 2, thresholds=[5.0, 10.0], far_target=0.5)
    assert late.area_under_curve == 0.75  # from the corner to (0.5, 1), then to (1, 1)


# The exact optimum --------------------------------------------------------------------------------


def with_ties(pairs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances from few whole numbers, so that same and different pairs often tie."""
    generator = np.random.default_rng(seed)
    issame = generator.permutation(np.arange(pairs) % 2 == 0)
    positions = generator.integers(0, 6, pairs) + np.where(issame, 0, 2)
    return on_a_line(positions), issame


def all_classes_in(issame, folds) -> bool:
    return all(0 < issame[test].sum() < len(test) for _, test in KFold(folds).split(issame))


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10_000), pairs=st.integers(20, 60), tied=st.booleans())
def test_exact_folds_against_all_cuts_by_brute_force(seed, pairs, tied) -> None:
    folds = 3
    embeddings, issame = with_ties(pairs, seed) if tied else make_pairs(pairs, 4, seed=seed)
    if not all_classes_in(issame, folds):
        return
    result = evaluate(embeddings, issame, folds, far_target=0.2)
    distance = naive_distances(embeddings[0::2], embeddings[1::2], "sqeuclidean").astype(float)
    accept_all = distance.max() + 1
    for fold, (train, test) in enumerate(KFold(folds).split(issame)):
        values = sorted({*distance[train].tolist()})
        # No threshold of any kind does better on the training folds than the cuts at distances.
        halves = [(low + high) / 2 for low, high in pairwise(values)]
        everywhere = [0.0, *halves, accept_all]
        best_anywhere = max(naive_rates(t, distance[train], issame[train])[2] for t in everywhere)
        cuts = [*values, accept_all]
        accuracies = [naive_rates(t, distance[train], issame[train])[2] for t in cuts]
        assert max(accuracies) == best_anywhere
        cut = cuts[accuracies.index(max(accuracies))]
        if cut == accept_all:
            cut = np.nextafter(values[-1], np.inf)
        expected = naive_rates(cut, distance[test], issame[test])[2]
        assert result.fold_accuracies[fold] == expected


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    tied=st.booleans(),
    far_target=st.sampled_from([0.0, 1e-3, 0.1, 0.2, 0.29, 0.3, 0.5, 0.7, 0.999]),
)
def test_exact_val_against_brute_force(seed, tied, far_target) -> None:
    embeddings, issame = with_ties(40, seed) if tied else make_pairs(40, 4, seed=seed)
    if not all_classes_in(issame, 4):
        return
    result = evaluate(embeddings, issame, 4, far_target=far_target)
    distance = naive_distances(embeddings[0::2], embeddings[1::2], "sqeuclidean").astype(float)
    vals, fars, accepts = [], [], [0, 0]
    for train, test in KFold(4).split(issame):
        allowed = [
            value
            for value in distance[train]
            if naive_rates(value, distance[train], issame[train])[1] <= far_target
        ]
        different = distance[train][~issame[train]]
        # Beyond the last allowed distance the threshold may grow up to the next different pair.
        threshold = min(value for value in different if value >= max(allowed))
        vals.append(naive_rates(threshold, distance[test], issame[test])[0])
        fars.append(naive_rates(threshold, distance[test], issame[test])[1])
        accepts[0] += naive_counts(threshold, distance[test], issame[test])[0]
        accepts[1] += naive_counts(threshold, distance[test], issame[test])[1]
    assert result.validation_rate == np.mean(vals)
    assert result.validation_rate_std == np.std(vals)
    assert result.false_accept_rate == np.mean(fars)
    assert [result.true_accepts, result.false_accepts] == accepts
    assert (result.same_pairs, result.different_pairs) == (issame.sum(), (~issame).sum())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("tied", [False, True])
def test_area_is_that_of_scikit_learn(seed, tied) -> None:
    embeddings, issame = with_ties(300, seed) if tied else make_pairs(300, seed=seed, noise=1.5)
    result = evaluate(embeddings, issame)
    distance = distances(embeddings[0::2], embeddings[1::2])
    expected = roc_auc_score(issame, -distance)
    assert result.area_under_curve == pytest.approx(expected, abs=1e-12)


def test_the_exact_curve_pools_what_each_fold_measured_with_the_others_mean() -> None:
    embeddings, issame = make_pairs(60, noise=1.5)
    embeddings[:40] += 1  # so that the folds' means differ
    first, second = embeddings[0::2], embeddings[1::2]
    held_out = np.empty(60)
    for train, test in KFold(3).split(issame):
        mean = np.mean(np.concatenate([first[train], second[train]]), axis=0)
        held_out[test] = naive_distances(first[test] - mean, second[test] - mean, "angular")
    result = evaluate(embeddings, issame, 3, "angular", subtract_mean=True)
    assert result.area_under_curve == pytest.approx(roc_auc_score(issame, -held_out), abs=1e-12)
    assert result.thresholds[:-1].tolist() == sorted(set(held_out))


def test_the_exact_curve_has_every_cut() -> None:
    embeddings, issame = with_ties(100, 0)
    result = evaluate(embeddings, issame)
    distance = distances(embeddings[0::2], embeddings[1::2])
    assert result.thresholds[:-1].tolist() == sorted(set(distance))
    for threshold, tpr, fpr in zip(
        result.thresholds,
        result.true_positive_rates,
        result.false_positive_rates,
        strict=True,
    ):
        assert (tpr, fpr) == naive_rates(threshold, distance, issame)[:2]
    assert (result.true_positive_rates[0], result.false_positive_rates[0]) == (0, 0)
    assert (result.true_positive_rates[-1], result.false_positive_rates[-1]) == (1, 1)


def test_equal_error_rate_where_it_can_be_seen() -> None:
    # Same pairs at 1, 2, 3, 5 and different ones at 4, 6, 7, 8: between 4 and 5 one of four of
    # each is wrong.
    embeddings = on_a_line([1, 4, 2, 6, 3, 7, 5, 8])
    assert evaluate(embeddings, np.array([True, False] * 4), 2).equal_error_rate == 0.25
    # All at one distance: the curve is the diagonal, which the other diagonal halves.
    assert evaluate(on_a_line([1] * 8), np.array([True, False] * 4), 2).equal_error_rate == 0.5
    apart = on_a_line([1, 9] * 4)
    assert evaluate(apart, np.array([True, False] * 4), 2).equal_error_rate == 0
    assert evaluate(apart, np.array([False, True] * 4), 2).equal_error_rate == 1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("thresholds", [None, GRID])
def test_equal_error_rate_lies_on_the_curve(seed, thresholds) -> None:
    embeddings, issame = make_pairs(300, seed=seed, noise=1.5)
    result = evaluate(embeddings, issame, thresholds=thresholds)
    rate = result.equal_error_rate
    below = result.true_positive_rates[result.false_positive_rates <= rate].max()
    above = result.true_positive_rates[result.false_positive_rates >= rate].min()
    assert min(below, above) - 1e-12 <= 1 - rate <= max(below, above) + 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_the_exact_threshold_is_best_and_keeps_its_distance(seed) -> None:
    embeddings, issame = make_pairs(150, seed=seed, noise=1.2)
    result = evaluate(embeddings, issame)
    distance = distances(embeddings[0::2], embeddings[1::2]).astype(float)
    best = max(naive_rates(t, distance, issame)[2] for t in result.thresholds)
    assert naive_rates(result.threshold, distance, issame)[2] == best
    below, above = distance[distance < result.threshold], distance[distance >= result.threshold]
    assert result.threshold - below.max() == pytest.approx(above.min() - result.threshold)


def test_the_exact_threshold_between_neighbouring_numbers() -> None:
    embeddings = np.zeros((8, 2))
    embeddings[1::2, 0] = 1
    embeddings[3::4, 1] = 2.0**-26  # squared, the last digit of 1
    result = evaluate(embeddings, np.array([True, False] * 2), 2)
    assert result.accuracy == 1
    distance = distances(embeddings[0::2], embeddings[1::2])
    assert np.nextafter(distance[0], 2) == distance[1]
    assert (distance < result.threshold).tolist() == [True, False] * 2


def test_the_threshold_after_subtraction_is_for_the_mean_of_all() -> None:
    embeddings, issame = make_pairs(150, noise=1.2)
    shifted = embeddings + 5
    result = evaluate(shifted, issame, metric="angular", subtract_mean=True)
    centred = shifted - shifted.mean(axis=0)
    distance = distances(centred[0::2], centred[1::2], "angular")
    accuracies = [naive_rates(t, distance, issame)[2] for t in np.unique(distance)]
    assert naive_rates(result.threshold, distance, issame)[2] == max(accuracies)


# What may not change the result ---------------------------------------------------------------


def figures(result: VerificationResult) -> dict:
    """All but the threshold, which is in units of the distance."""
    return {name: value for name, value in result.to_dict().items() if name != "threshold"}


PROPERTY = settings(deadline=None, max_examples=40)


@PROPERTY
@given(seed=st.integers(0, 10_000), tied=st.booleans())
def test_only_the_order_of_distances_counts(seed, tied) -> None:
    generator = np.random.default_rng(seed)
    issame = np.tile([True, False], 20)
    positions = generator.integers(0, 9, 40) if tied else generator.random(40)
    positions = positions + np.where(issame, 0.0, 0.3)
    stretched = [
        evaluate(on_a_line(change(positions)), issame, 4, far_target=0.1)
        for change in (
            lambda x: x,
            lambda x: x**3,
            lambda x: np.exp(x / 3),
            lambda x: 1000 * x,
        )
    ]
    for result in stretched[1:]:
        assert figures(result) == figures(stretched[0])


@PROPERTY
@given(seed=st.integers(0, 10_000), metric=st.sampled_from(METRICS))
def test_the_sides_of_a_pair_may_be_swapped(seed, metric) -> None:
    embeddings, issame = make_pairs(60, 4, seed=seed)
    ids = fold_ids_with_both_classes(issame, 4)
    swap = np.random.default_rng(seed).random(60) < 0.5
    swapped = embeddings.reshape(60, 2, -1).copy()
    swapped[swap] = swapped[swap, ::-1]
    swapped = swapped.reshape(120, -1)
    for thresholds in (None, GRID):
        results = [
            evaluate(rows, issame, ids, metric, thresholds=thresholds, far_target=0.1)
            for rows in (embeddings, swapped)
        ]
        assert results[0].to_dict() == results[1].to_dict()


def fold_ids_with_both_classes(issame, folds):
    ids = np.empty(len(issame), int)
    for answer in (True, False):
        ids[issame == answer] = np.arange(np.sum(issame == answer)) % folds
    return ids


@PROPERTY
@given(seed=st.integers(0, 10_000), tied=st.booleans())
def test_the_order_of_pairs_within_folds_does_not_count(seed, tied) -> None:
    embeddings, issame = with_ties(60, seed) if tied else make_pairs(60, 4, seed=seed)
    ids = fold_ids_with_both_classes(issame, 4)
    order = np.random.default_rng(seed).permutation(60)
    permuted = embeddings.reshape(60, 2, -1)[order].reshape(120, -1)
    for thresholds in (None, np.arange(0, 70, 0.1)):
        before = evaluate(embeddings, issame, ids, thresholds=thresholds, far_target=0.1)
        after = evaluate(permuted, issame[order], ids[order], thresholds=thresholds, far_target=0.1)
        assert before.to_dict() == after.to_dict()


def test_both_metrics_order_unit_vectors_alike() -> None:
    embeddings, issame = make_pairs(200, dtype=np.float64)
    euclidean, cosine = (evaluate(embeddings, issame, metric=metric) for metric in METRICS)
    assert euclidean.fold_accuracies.tolist() == cosine.fold_accuracies.tolist()
    assert euclidean.area_under_curve == cosine.area_under_curve


def test_the_other_folds_choose_the_threshold() -> None:
    # The last fold alone would want a threshold above 25; the others want one of 1 to 4.
    embeddings = on_a_line([1, 2] * 6 + [5, 6] * 2)
    issame = np.array([True, False] * 8)
    result = evaluate(embeddings, issame, 4)
    assert result.fold_accuracies.tolist() == [1, 1, 1, 0.5]


def test_integers_and_lists_are_taken() -> None:
    embeddings, issame = make_pairs(60)
    expected = evaluate(embeddings.astype(float), issame, 3).to_dict()
    assert evaluate(embeddings.tolist(), issame.tolist(), np.int64(3)).to_dict() == expected
    assert evaluate(embeddings.astype(float), issame.astype(int), 3).to_dict() == expected
    whole, answers = with_ties(60, 0)
    assert (
        evaluate(whole.astype(np.uint8), answers, 3).to_dict()
        == evaluate(whole, answers, 3).to_dict()
    )
    half = embeddings.astype(np.float16)
    assert distances(half[0::2], half[1::2]).dtype == np.float32


# Distances --------------------------------------------------------------------------------------


def test_distances_that_can_be_checked_by_eye() -> None:
    right, up, left = [[1.0, 0.0]], [[0.0, 3.0]], [[-2.0, 0.0]]
    assert distances(right, up).tolist() == [10]
    assert distances(right, left).tolist() == [9]
    assert distances(right, up, "angular").tolist() == [0.5]
    assert distances(right, left, "angular").tolist() == [1]
    assert distances(right, right, "angular").tolist() == [0]


def test_rounding_never_makes_a_similarity_leave_its_range() -> None:
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(5000, 7)).astype(np.float32)
    similarity = np.sum(vectors * vectors, 1) / np.linalg.norm(vectors, axis=1) ** 2
    assert (similarity > 1).any()  # the case exists
    assert (distances(vectors, vectors, "angular") == 0).sum() > 1000
    assert np.isfinite(distances(vectors, vectors, "angular")).all()
    assert np.isfinite(distances(vectors, -vectors, "angular")).all()


# Refusals ---------------------------------------------------------------------------------------


def refused(*arguments, **options) -> str:
    with pytest.raises(FacenetError) as raised:
        evaluate(*arguments, **options)
    return str(raised.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("subtract_mean", [False, True])
def test_numbers_that_are_not_finite(bad, metric, subtract_mean) -> None:
    embeddings, issame = make_pairs(60)
    embeddings[17, 3] = bad
    embeddings[100, 0] = bad
    message = refused(embeddings, issame, 3, metric, subtract_mean)
    assert f"embeddings row 17: expected finite numbers, found {bad} in column 3" in message
    assert "embeddings row 100" in message
    assert len(message.splitlines()) == 3


def test_infinity_in_both_images_of_a_pair() -> None:
    embeddings, issame = make_pairs(60)
    embeddings[20:22] = np.inf
    assert "row 20" in refused(embeddings, issame, 3)
    assert "row 21" in refused(embeddings, issame, 3, "angular")


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("scale", [1e30, 3e38])
def test_distances_beyond_the_range_of_their_type(metric, scale) -> None:
    embeddings, issame = make_pairs(60)
    embeddings[8] *= scale
    assert "pair 4: expected a finite distance" in refused(embeddings, issame, 3, metric)


def test_vectors_of_zeros_have_no_angle() -> None:
    embeddings, issame = make_pairs(60)
    embeddings[9] = 0
    message = refused(embeddings, issame, 3, "angular")
    assert message == ("distances: embeddings row 9: expected a direction, found a vector of zeros")
    assert evaluate(embeddings, issame, 3).accuracy > 0.5
    assert evaluate(embeddings, issame, 3, "angular", subtract_mean=True).accuracy > 0.5
    same_everywhere = np.ones_like(embeddings)
    message = refused(same_everywhere, issame, 3, "angular", subtract_mean=True)
    assert "row 0: expected a direction, found a vector of zeros after subtraction" in message


def test_wrong_shapes_and_types_of_embeddings() -> None:
    embeddings, issame = make_pairs(60)
    assert "two rows for each pair, found 119 rows" in refused(embeddings[:-1], issame, 3)
    assert "expected shape (59,)" in refused(embeddings[:-2], issame, 3)
    assert "found float32 of shape (1920,)" in refused(embeddings.ravel(), issame, 3)
    assert "of shape (120, 0)" in refused(embeddings[:, :0], issame, 3)
    assert "of shape (0, 16)" in refused(embeddings[:0], issame[:0], 3)
    assert "found complex64" in refused(embeddings.astype(complex).astype("c8"), issame, 3)
    assert "found object" in refused(embeddings.astype(object), issame, 3)
    assert "expected rows of one length" in refused([[1.0, 2.0], [1.0]], [True], 2)


def test_wrong_answers() -> None:
    embeddings, issame = make_pairs(60)
    assert "found 2 for pair 0" in refused(embeddings, np.full(60, 2), 3)
    assert "found float64" in refused(embeddings, issame.astype(float), 3)
    assert "found <U4" in refused(embeddings, ["True"] * 60, 3)
    assert "expected shape (60,)" in refused(embeddings, issame[:, None], 3)
    assert "found only same pairs" in refused(embeddings, np.ones(60, bool), 3)
    assert "found only different pairs" in refused(embeddings, np.zeros(60, bool), 3)


def test_wrong_folds() -> None:
    embeddings, issame = make_pairs(60)
    for folds in (0, 1, -1, 61):
        assert f"expected 2 to 60, the number of pairs, found {folds}" in refused(
            embeddings, issame, folds
        )
    assert "found 1" in refused(embeddings, issame, folds=1)
    for folds in (2.0, True, "10", np.zeros(59, int), np.zeros(60), issame):
        assert "expected a number, or integers of shape (60,)" in refused(embeddings, issame, folds)
    assert "found 0 to 0" in refused(embeddings, issame, np.zeros(60, int))
    ids = np.arange(60) % 3
    assert "found -1 to 1" in refused(embeddings, issame, ids - 1)
    assert "found fold 1000000000000" in refused(
        embeddings, issame, np.where(ids == 2, 10**12, ids)
    )
    assert "fold 2: expected same and different pairs, found 0 and 0" in refused(
        embeddings, issame, np.where(ids == 2, 3, ids)
    )


def test_a_fold_of_one_class_is_refused_with_the_remedy() -> None:
    view1 = PairList((Pair("Ann", 1, "Ann", 2),) * 40 + (Pair("Ann", 1, "Bob", 2),) * 40, folds=1)
    issame = np.array([pair.issame for pair in view1])
    embeddings = on_a_line(np.where(issame, 1.0, 2.0))
    message = refused(embeddings, issame)
    assert "fold 0: expected same and different pairs, found 8 and 0" in message
    assert "PairList.fold_ids()" in message
    assert evaluate(embeddings, issame, view1.fold_ids()).accuracy == 1


def test_wrong_thresholds() -> None:
    embeddings, issame = make_pairs(60)
    for thresholds in ([], 1.0, [[1.0, 2.0]], ["1"], [True, False]):
        assert "shape (k,)" in refused(embeddings, issame, 3, thresholds=thresholds)
    for thresholds in ([2.0, 1.0], [0.0, np.nan], [0.0, np.inf]):
        assert "in increasing order" in refused(embeddings, issame, 3, thresholds=thresholds)
    assert "let the grid start lower" in refused(embeddings, issame, 3, thresholds=[3.9, 4.0])


def test_wrong_metric_and_target() -> None:
    embeddings, issame = make_pairs(60)
    assert "expected 'sqeuclidean' or 'angular', found 'l2'" in refused(embeddings, issame, 3, "l2")
    for far_target in (-0.1, 1.0, 2, np.nan):
        assert "far_target: expected" in refused(embeddings, issame, 3, far_target=far_target)


def test_refusals_of_distances() -> None:
    one, two = np.ones((2, 3)), np.ones((2, 4))
    with pytest.raises(FacenetError, match=r"expected the shape of embeddings1, \(2, 3\)"):
        distances(one, two)
    with pytest.raises(FacenetError, match="found 'dot'"):
        distances(one, one, "dot")
    with pytest.raises(FacenetError, match="embeddings2 row 1: expected finite"):
        distances(one, np.where([[False] * 3, [True] * 3], np.nan, one))
    with pytest.raises(FacenetError, match="embeddings1 row 0: expected a direction"):
        distances(one * [[0], [1]], one, "angular")


# Uncertainty and reports ------------------------------------------------------------------------


@settings(deadline=None)
@given(trials=st.integers(1, 5000), share=st.floats(0, 1))
def test_an_interval_is_where_the_score_test_does_not_reject(trials, share) -> None:
    successes = round(share * trials)
    low, high = rate_interval(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    for bound in (low, high):
        if 0 < bound < 1:  # the definition: observed and assumed rate lie 1.96 deviations apart
            deviation = math.sqrt(bound * (1 - bound) / trials)
            assert abs(successes / trials - bound) == pytest.approx(1.959964 * deviation, rel=1e-5)


def test_intervals_at_the_ends() -> None:
    assert rate_interval(0, 3000) == (0, pytest.approx(0.00128, abs=1e-5))
    assert rate_interval(3000, 3000)[1] == 1
    for successes, trials in ((0, 0), (-1, 5), (6, 5)):
        with pytest.raises(FacenetError, match="rate: expected"):
            rate_interval(successes, trials)


def test_a_result_says_on_what_its_rates_rest() -> None:
    embeddings, issame = make_pairs(400, noise=1.2)
    result = evaluate(embeddings, issame, far_target=0.02)
    assert result.false_accept_rate_interval == rate_interval(result.false_accepts, 200)
    assert result.validation_rate_interval == rate_interval(result.true_accepts, 200)
    text = str(result)
    assert "\n" not in text
    assert f"accuracy {result.accuracy:.4f} +- {result.standard_error:.4f}" in text
    assert f"({result.false_accepts} of 200 different pairs" in text


def test_a_result_survives_json() -> None:
    embeddings, issame = make_pairs(60)
    for thresholds in (None, GRID):
        plain = evaluate(embeddings, issame, 3, thresholds=thresholds).to_dict()
        again = json.loads(json.dumps(plain, allow_nan=False))
        assert again == plain
        assert len(again["fold_accuracies"]) == 3
        assert {"accuracy", "threshold", "area_under_curve", "false_accepts"} <= again.keys()


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), rate=st.floats(0, 1), decimals=st.sampled_from([1, 8]))
def test_a_threshold_for_a_false_accept_rate_is_the_largest(seed, rate, decimals):
    rng = np.random.default_rng(seed)
    embeddings, issame = np.round(rng.normal(size=(80, 2)), decimals), np.tile([True, False], 20)
    result = evaluate(embeddings, issame, folds=2)
    measured = np.sum((embeddings[0::2] - embeddings[1::2]) ** 2, axis=1)
    accepted = measured < result.threshold_at(rate)
    assert np.mean(accepted[~issame]) <= rate
    if not accepted.all():
        further = measured <= measured[~accepted].min()
        assert np.mean(further[~issame]) > rate


def test_a_false_accept_rate_is_a_share():
    result = evaluate(np.random.default_rng(0).normal(size=(80, 2)), np.tile([True, False], 20), 2)
    for rate in (-0.1, 1.5, math.nan):
        with pytest.raises(FacenetError, match="false accept rate: expected from 0 to 1, found"):
            result.threshold_at(rate)


def test_metric_and_mean_reach_the_evaluation(toy_pairs):
    embedded = np.random.default_rng(0).normal(size=(len(toy_pairs.paths), 4)) + 1
    for options in ({}, {"metric": "angular"}, {"metric": "angular", "subtract_mean": True}):
        found = evaluate_pairs(lambda paths: embedded, toy_pairs, **options)
        expected = evaluate(embedded, toy_pairs.issame, folds=toy_pairs.folds, **options)
        assert found.to_dict() == expected.to_dict()


def test_a_pairs_file_with_too_few_pairs_for_folds_is_named(tmp_path):
    for name in ("Ann/Ann_0001.jpg", "Ann/Ann_0002.jpg", "Bob/Bob_0001.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    path = tmp_path / "pairs.txt"
    path.write_text("1\nAnn\t1\t2\nAnn\t1\tBob\t1\n")
    with pytest.raises(FacenetError, match=rf"^{path}: folds: expected at least 2 same and 2"):
        EvaluationPairs.from_file(path, tmp_path)
