"""Calibration beside its definitions, written out, and beside data whose odds are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from facenet_lib.errors import FacenetError
from facenet_lib.recognition.calibration import Calibration, fit_calibration, reliability_curve
from facenet_lib.verification import rate_interval

pairs = st.lists(st.tuples(st.floats(0, 4).map(lambda d: round(d, 1)), st.booleans()), min_size=4)


def log_likelihood(coefficient: float, intercept: float, each: list[tuple[float, bool]]) -> float:
    total = 0.0
    for distance, same in each:
        log_odds = (coefficient * distance + intercept) * (1 if same else -1)
        total -= math.log1p(math.exp(-abs(log_odds))) + max(-log_odds, 0)
    return total


def draw_pairs(prior: float, number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances that are normal, of same and different pairs with one deviation of 0.3."""
    generator = np.random.default_rng(seed)
    same = generator.random(number) < prior
    return generator.normal(np.where(same, 0.9, 1.6), 0.3), same


def exact_probability(distance: float, prior: float) -> float:
    of_same = prior * math.exp(-(((distance - 0.9) / 0.3) ** 2) / 2)
    of_different = (1 - prior) * math.exp(-(((distance - 1.6) / 0.3) ** 2) / 2)
    return of_same / (of_same + of_different)


# The fit ------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(pairs)
def test_no_other_line_is_more_likely(each: list[tuple[float, bool]]) -> None:
    same = [distance for distance, is_same in each if is_same]
    different = [distance for distance, is_same in each if not is_same]
    assume(same and different and max(same) > min(different))
    assume(np.mean(same) + 0.05 < np.mean(different))
    found = fit_calibration(*zip(*each, strict=True))
    assert found.coefficient < 0
    assert found.prior == len(same) / len(each)
    best = log_likelihood(found.coefficient, found.intercept, each)
    for more, higher in (
        (0.05, 0),
        (-0.05, 0),
        (0, 0.05),
        (0, -0.05),
        (0.05, -0.05),
        (-0.05, 0.05),
    ):
        other = log_likelihood(found.coefficient + more, found.intercept + higher, each)
        assert other < best + 1e-5


def test_the_line_of_normal_distances_is_found_and_another_prior_is_answered() -> None:
    found = fit_calibration(*draw_pairs(prior=0.5, number=100_000, seed=0))
    # Two normal distributions of one deviation have a straight line of log odds.
    assert found.coefficient == pytest.approx(-0.7 / 0.09, rel=0.05)
    assert found.intercept == pytest.approx((1.6**2 - 0.9**2) / 2 / 0.09, rel=0.05)
    distances = np.linspace(0.2, 2.4, 12)
    for prior in (0.5, 0.9, 0.01):
        expected = [exact_probability(distance, prior) for distance in distances]
        assert found.probability(distances, prior) == pytest.approx(expected, abs=0.03)


def test_probabilities_come_true_among_pairs_of_another_prior() -> None:
    found = fit_calibration(*draw_pairs(prior=0.5, number=20_000, seed=1))
    distances, same = draw_pairs(prior=0.05, number=20_000, seed=2)
    as_stated = reliability_curve(found.probability(distances, 0.05), same)
    as_fitted = reliability_curve(found.probability(distances), same)
    assert as_stated.expected_calibration_error < 0.01
    assert as_fitted.expected_calibration_error > 0.03


@settings(deadline=None)
@given(st.floats(-30, -0.1), st.floats(-5, 30), st.floats(0.01, 0.99), st.floats(0.0001, 0.9999))
def test_another_prior_multiplies_the_odds(
    coefficient: float, intercept: float, own: float, prior: float
) -> None:
    calibration = Calibration(coefficient, intercept, own)
    before = math.exp(coefficient * 0.7 + intercept)
    after = before * (prior / (1 - prior)) / (own / (1 - own))
    assert calibration.probability(0.7) == pytest.approx(before / (1 + before))
    assert calibration.probability(0.7, prior) == pytest.approx(after / (1 + after), rel=1e-6)


@pytest.mark.filterwarnings("error")
def test_a_steep_line_and_any_shape_are_answered() -> None:
    probabilities = Calibration(-1e5, 1e5, 0.5).probability([[0.0, 1.0, 4.0]], prior=0.5)
    assert probabilities.tolist() == [[1.0, 0.5, 0.0]]
    assert Calibration(-10.0, 10.0, 0.5).probability(np.float32(5)) == pytest.approx(math.exp(-40))
    assert Calibration(-10.0, 10.0, 0.5).probability([]).shape == (0,)


# Reliability --------------------------------------------------------------------------------


answers = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]) | st.floats(0, 1), st.booleans()),
    min_size=1,
)


@settings(deadline=None)
@given(answers, st.sampled_from([1, 2, 4, 8]))
def test_bins_are_as_defined(each: list[tuple[float, bool]], bins: int) -> None:
    """Bins whose edges are exact."""
    curve = reliability_curve(*zip(*each, strict=True), bins=bins)
    filled, error = 0, 0.0
    for place in range(bins):
        low, high = place / bins, (place + 1) / bins
        inside = [(p, same) for p, same in each if low < p <= high or (place == 0 and p == 0)]
        if not inside:
            continue
        mean = sum(p for p, _ in inside) / len(inside)
        share = sum(same for _, same in inside) / len(inside)
        assert curve.counts[filled] == len(inside)
        assert curve.mean_probabilities[filled] == pytest.approx(mean)
        assert curve.shares[filled] == pytest.approx(share)
        same = sum(same for _, same in inside)
        assert tuple(curve.intervals[filled]) == rate_interval(same, len(inside))
        error += len(inside) / len(each) * abs(share - mean)
        filled += 1
    assert len(curve.counts) == filled == bins - curve.empty_bins
    assert curve.expected_calibration_error == pytest.approx(error)


@settings(deadline=None)
@given(answers, st.integers(1, 12))
def test_bins_are_those_of_scikit_learn(each: list[tuple[float, bool]], bins: int) -> None:
    probabilities, same = zip(*each, strict=True)
    curve = reliability_curve(probabilities, same, bins)
    shares, means = calibration_curve(
        np.append(same, [True, False]), [*probabilities, 0, 1], n_bins=bins
    )
    again = reliability_curve([*probabilities, 0, 1], [*same, True, False], bins)
    assert again.shares == pytest.approx(shares)
    assert again.mean_probabilities == pytest.approx(means)
    assert curve.counts.sum() == len(each)


# What is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("distances", "is_same", "message"),
    [
        ([0.1, 0.2], [True, True], "expected same and different pairs, found only same pairs"),
        ([0.1, 0.2], [0, 0], "expected same and different pairs, found only different pairs"),
        (
            [0.5, 0.9, 1.2],
            [1, 1, 0],
            "that overlap, found same ones up to 0.9 and different .+ 1.2",
        ),
        (
            [0.5, 0.9, 0.9],
            [1, 1, 0],
            "that overlap, found same ones up to 0.9 and different .+ 0.9",
        ),
        ([0.5, 1.5, 0.9, 1.0], [0, 1, 0, 1], "same pairs nearer than .+ means of 1.25 and 0.7"),
        ([1.0, 1.2, 0.2, 0.3], [1, 1, 0, 0], "same pairs nearer than .+ means of 1.1 and 0.25"),
        ([[0.1, 0.2]], [1, 0], r"distances: expected numbers of shape \(n,\)"),
        (["near", "far"], [1, 0], "distances: expected numbers"),
        ([0.1, math.nan], [1, 0], "distances: expected finite numbers, found nan"),
        ([0.1, 0.2], [1], r"found 2 pairs and answers of shape \(1,\)"),
        ([], [], "of one or more pairs, found 0 pairs"),
        ([0.1, 0.2], [1, 2], "is_same: expected True and False, or 1 and 0, found .*2"),
        ([0.1, 0.2], [1.0, 0.0], "is_same: expected True and False, or 1 and 0, found .*1.0"),
    ],
)
def test_unusable_pairs_are_refused(distances, is_same, message: str) -> None:
    with pytest.raises(FacenetError, match=message):
        fit_calibration(distances, is_same)


def test_unusable_probabilities_distances_and_priors_are_refused() -> None:
    for probability in (-0.1, 1.1):
        with pytest.raises(FacenetError, match=r"numbers from 0 to 1, found .+ for pair 1"):
            reliability_curve([0.5, probability], [True, False])
    with pytest.raises(FacenetError, match="bins: expected an integer of at least 1, found 0"):
        reliability_curve([0.5], [True], bins=0)
    calibration = Calibration(-10.0, 12.0, 0.5)
    for prior in (0, 1, math.nan, "0.5"):
        with pytest.raises(FacenetError, match=r"prior: expected a number in \(0, 1\)"):
            calibration.probability([1.0], prior)
    with pytest.raises(FacenetError, match="distances: expected finite numbers, found inf"):
        calibration.probability([[1.0, math.inf]])
    with pytest.raises(FacenetError, match="distances: expected numbers, found <U3"):
        calibration.probability("far")
