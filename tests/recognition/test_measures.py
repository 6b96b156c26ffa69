"""Measures of identification beside their definitions, written out."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facenet_lib.errors import FacenetError
from facenet_lib.recognition.measures import (
    bootstrap_interval,
    check_labels,
    check_person_distances,
    cumulative_match_rates,
    interval_of_rate,
    measure_open_set,
    rank_own_people,
)
from facenet_lib.verification import rate_interval

Searches = list[tuple[list[float], int]]


@st.composite
def searches(draw: st.DrawFn) -> Searches:
    """Distances to a few people and the own one, with many ties."""
    people = draw(st.integers(1, 4))
    distance = st.sampled_from([0.0, 0.5, 1.0, 1.5]) | st.floats(0, 4, width=32)
    row = st.lists(distance, min_size=people, max_size=people)
    return draw(st.lists(st.tuples(row, st.integers(-1, people - 1)), min_size=1, max_size=12))


def split(each: Searches) -> tuple[np.ndarray, np.ndarray]:
    return np.array([row for row, _ in each]), np.array([own for _, own in each])


def naive_named(row: list[float], threshold: float) -> int | None:
    """Who is named: the nearest below the threshold; of several as near, nobody's right."""
    nearest = min(row)
    if not nearest < threshold:
        return None
    return row.index(nearest) if row.count(nearest) == 1 else -2


def naive_errors(each: Searches, threshold: float) -> tuple[int, int]:
    named = [(naive_named(row, threshold), own) for row, own in each]
    false_positives = sum(who is not None for who, own in named if own == -1)
    return false_positives, sum(who != own for who, own in named if own != -1)


def naive_thresholds(each: Searches) -> list[float]:
    """Enough to see everything: each distance, between each two, and beyond the last."""
    values = sorted({value for row, _ in each for value in row})
    between = [(low + high) / 2 for low, high in pairwise(values)]
    return [*values, *between, values[0] - 1, values[-1] + 1]


# Closed set ---------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(searches())
def test_match_rates_are_as_defined(each: Searches) -> None:
    mates = [(row, own) for row, own in each if own >= 0]
    if not mates:
        with pytest.raises(FacenetError, match="found strangers only"):
            cumulative_match_rates(*split(each))
        return
    rates = cumulative_match_rates(*split(each))
    assert len(rates) == len(each[0][0])
    for k, rate in enumerate(rates, start=1):
        found = 0
        for row, own in mates:
            others_before = [value for who, value in enumerate(row) if who != own]
            found += sum(value <= row[own] for value in others_before) < k
        assert rate == pytest.approx(found / len(mates))


@settings(deadline=None, max_examples=50)
@given(searches())
def test_ranks_are_those_of_a_stable_sort_that_puts_the_own_person_last(each: Searches) -> None:
    expected = []
    for row, own in each:
        order = sorted(range(len(row)), key=lambda who: (row[who], who == own))
        expected += [order.index(own) + 1] if own >= 0 else []
    assert rank_own_people(*split(each)).tolist() == expected


# Open set -----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(searches())
def test_errors_at_any_threshold_are_as_defined(each: Searches) -> None:
    curve = measure_open_set(*split(each))
    for threshold in naive_thresholds(each):
        rates = curve.rates_at(threshold)
        assert (rates.false_positives, rates.false_negatives) == naive_errors(each, threshold)
        assert rates.threshold == threshold
        assert rates.strangers == sum(own == -1 for _, own in each)
        assert rates.mates == len(each) - rates.strangers


@settings(deadline=None, max_examples=50)
@given(searches())
def test_the_curve_has_a_point_wherever_something_changes_and_only_there(each: Searches) -> None:
    curve = measure_open_set(*split(each))
    points = list(zip(curve.false_positives, curve.false_negatives, strict=True))
    assert points == [naive_errors(each, threshold) for threshold in curve.thresholds]
    assert (np.diff(curve.thresholds) > 0).all()
    assert len(set(points)) == len(points)
    assert {naive_errors(each, threshold) for threshold in naive_thresholds(each)} == set(points)
    if curve.strangers and curve.mates:
        assert (curve.false_positive_rates == curve.false_positives / curve.strangers).all()
        assert (curve.false_negative_rates == curve.false_negatives / curve.mates).all()


@settings(deadline=None, max_examples=50)
@given(searches(), st.data())
def test_the_false_negative_rate_at_a_rate_is_the_smallest(
    each: Searches, data: st.DataObject
) -> None:
    """Rates that a number of the strangers reaches exactly as well."""
    curve = measure_open_set(*split(each))
    strangers = sum(own == -1 for _, own in each)
    mates = len(each) - strangers
    exactly = st.integers(1, max(strangers, 1)).map(lambda count: count / max(strangers, 1))
    rate = data.draw(exactly | st.floats(0, 1, exclude_min=True))
    if not mates or not strangers or rate < 1 / strangers:
        with pytest.raises(FacenetError, match=r"which no count|found strangers only"):
            curve.false_negative_rate_at(rate)
        return
    errors = [naive_errors(each, threshold) for threshold in naive_thresholds(each)]
    expected = min(wrong / mates for named, wrong in errors if named / strangers <= rate)
    assert curve.false_negative_rate_at(rate) == expected


def test_a_float32_distance_is_not_below_itself() -> None:
    """Though float32 rounds 0.3 up: all are compared in float64, which holds both numbers."""
    distances = np.array([[0.3]], np.float32)
    assert check_person_distances(distances, [-1])[0].dtype == np.float64
    curve = measure_open_set(distances, [-1])
    assert curve.rates_at(float(distances[0, 0])).false_positives == 0
    assert curve.rates_at(np.nextafter(float(distances[0, 0]), 1)).false_positives == 1


def test_rates_and_intervals_of_counts() -> None:
    distances = [[0.1, 0.9]] * 3 + [[0.8, 0.9]] * 7 + [[0.2, 0.9]] * 4 + [[0.9, 0.2]] * 1
    rates = measure_open_set(distances, [-1] * 10 + [0] * 5).rates_at(0.5)
    assert (rates.false_positive_rate, rates.false_negative_rate) == (0.3, 0.2)
    assert rates.false_positive_rate_interval == rate_interval(3, 10)
    assert rates.false_negative_rate_interval == rate_interval(1, 5)


def test_without_strangers_or_mates_their_rate_is_unknown() -> None:
    of_mates = measure_open_set([[0.1], [0.2]], [0, 0])
    assert np.isnan(of_mates.false_positive_rates).all()
    assert math.isnan(of_mates.rates_at(0.15).false_positive_rate)
    assert of_mates.rates_at(0.15).false_positive_rate_interval == (0, 1)
    assert of_mates.rates_at(0.15).false_negative_rate == 0.5
    of_strangers = measure_open_set([[0.1], [0.2]], [-1, -1])
    assert np.isnan(of_strangers.false_negative_rates).all()
    assert math.isnan(of_strangers.rates_at(0.15).false_negative_rate)
    assert of_strangers.rates_at(0.15).false_negative_rate_interval == (0, 1)
    assert interval_of_rate(0, 0) == (0, 1)


@pytest.mark.slow
def test_the_interval_of_the_false_positive_rate_covers_it() -> None:
    """One stranger after the other is independent, so that the true rate is known."""
    people, strangers, threshold, repeats = 20, 300, 0.004, 1000
    rate = 1 - (1 - threshold / 4) ** people
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(repeats):
        distances = generator.uniform(0, 4, size=(strangers, people))
        rates = measure_open_set(distances, np.full(strangers, -1)).rates_at(threshold)
        low, high = rates.false_positive_rate_interval
        covered += low <= rate <= high
    exactly = sum(
        math.comb(strangers, k) * rate**k * (1 - rate) ** (strangers - k)
        for k in range(strangers + 1)
        if rate_interval(k, strangers)[0] <= rate <= rate_interval(k, strangers)[1]
    )
    assert exactly > 0.93  # as counts are whole, it cannot be 95% for every rate
    deviation = math.sqrt(exactly * (1 - exactly) / repeats)
    assert covered / repeats == pytest.approx(exactly, abs=4 * deviation)


# The bootstrap ------------------------------------------------------------------------------


def rank_1(distances: np.ndarray, truth: np.ndarray) -> float:
    return float(cumulative_match_rates(distances, truth)[0])


def draw_probes(
    generator: np.random.Generator, people: int, photographs: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of some people nearly every photograph is found, of others hardly one; 0.5 on the average."""
    chance = np.repeat(generator.beta(0.5, 0.5, size=people), photographs)
    is_found = generator.random(people * photographs) < chance
    distances = np.where(is_found[:, None], [[0.2, 0.8]], [[0.8, 0.2]])
    return distances, np.zeros(len(distances), int), np.repeat(np.arange(people), photographs)


@pytest.mark.slow
def test_the_bootstrap_covers_the_truth_where_probes_taken_for_independent_do_not() -> None:
    generator = np.random.default_rng(0)
    repeats, by_people, by_probes = 300, 0, 0

    def share(distances: np.ndarray, truth: np.ndarray) -> float:
        return float(np.mean(distances[:, 0] < distances[:, 1]))

    for _ in range(repeats):
        distances, truth, of_whom = draw_probes(generator, people=50, photographs=8)
        low, high = bootstrap_interval(distances, truth, share, of_whom, repeats=200)
        by_people += low <= 0.5 <= high
        low, high = rate_interval(int(np.sum(distances[:, 0] < 0.5)), len(truth))
        by_probes += low <= 0.5 <= high
    # Of 50 people and 200 draws one expects a little less than 95%: 93%, of which a share of 300
    # deviates by 1.5%. Photographs of one person agree, so that their mean's standard deviation
    # is 2.1 times as large (the root of 1 + 7 / 2); 1.96 / 2.1 cover 65%, shown to 2.7%.
    assert by_people / repeats > 0.93 - 4 * 0.015
    assert by_probes / repeats < 0.65 + 4 * 0.027


def test_the_bootstrap_draws_whole_people_strangers_among_strangers() -> None:
    truth = np.array([0, 0, 1, -1, -1, -1, 1])
    people = np.array(["Ann", "Ann", "Bob", "Cid", "Cid", "Dan", "Bob"])
    rows = np.arange(7)
    seen = []

    def look(distances: np.ndarray, truths: np.ndarray) -> float:
        drawn = np.bincount(distances[:, 0].astype(int), minlength=7)
        assert truths.tolist() == truth[distances[:, 0].astype(int)].tolist()
        seen.append(drawn.tolist())
        return 0.0

    assert bootstrap_interval(np.stack([rows, rows], 1), truth, look, people, 100) == (0, 0)
    for ann, ann_too, bob, cid, cid_too, dan, bob_too in seen:
        assert ann == ann_too and bob == bob_too and cid == cid_too
        assert ann + bob == 2 and cid + dan == 2
    assert len({tuple(drawn) for drawn in seen}) == 9  # 0, 1 or 2 of Ann, and of Cid


def test_the_bootstrap_gives_percentiles_and_is_repeatable() -> None:
    distances, truth, of_whom = draw_probes(np.random.default_rng(1), people=20, photographs=3)
    figures = []

    def remember(distances: np.ndarray, truth: np.ndarray) -> float:
        figures.append(rank_1(distances, truth))
        return figures[-1]

    low, high = bootstrap_interval(distances, truth, remember, of_whom, repeats=401, seed=5)
    assert (low, high) == (sorted(figures)[10], sorted(figures)[390])
    assert bootstrap_interval(distances, truth, rank_1, of_whom, 401, seed=5) == (low, high)
    assert low < rank_1(distances, truth) < high


# What is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("distances", "truth", "message"),
    [
        ([0.1], [0], r"distances: expected numbers of shape \(probes, people\), found float64"),
        ([["a"]], [0], "distances: expected numbers of shape"),
        ([[0.1], [0.2, 0.3]], [0, 0], "distances: expected rows of one length"),
        (np.zeros((0, 2)), [], r"expected probes and people, found shape \(0, 2\)"),
        (np.zeros((2, 0)), [-1, -1], r"expected probes and people, found shape \(2, 0\)"),
        ([[0.1, 0.2], [0.1, np.nan]], [0, 0], "finite numbers, found nan for probe 1 and person 1"),
        ([[0.1, np.inf]], [0], "finite numbers, found inf for probe 0 and person 1"),
        ([[0.1]], [0, 0], r"truth: expected integers of shape \(1,\), found int64 of shape \(2,\)"),
        ([[0.1]], [0.0], "truth: expected integers"),
        ([[0.1]], [1], "expected -1 or a column below 1, found 1 for probe 0"),
        ([[0.1], [0.1]], [0, -2], "expected -1 or a column below 1, found -2 for probe 1"),
    ],
)
def test_unusable_distances_and_truths_are_refused(distances, truth, message) -> None:
    for measure in (cumulative_match_rates, rank_own_people, measure_open_set):
        with pytest.raises(FacenetError, match=message):
            measure(distances, truth)
    with pytest.raises(FacenetError, match=message):
        bootstrap_interval(distances, truth, rank_1, ["Ann"])


def test_unusable_rates_and_thresholds_are_refused() -> None:
    curve = measure_open_set([[0.1], [0.2]], [0, -1])
    for rate in (0, 1.1, math.nan, "1"):
        with pytest.raises(FacenetError, match=r"false_positive_rate: expected a number in \(0, 1"):
            curve.false_negative_rate_at(rate)
    with pytest.raises(FacenetError, match=r"one of the 1 strangers, found 0.5, which no count"):
        curve.false_negative_rate_at(0.5)
    for threshold in (math.nan, math.inf, None):
        with pytest.raises(FacenetError, match="threshold: expected a number"):
            curve.rates_at(threshold)


def test_unusable_people_and_figures_are_refused() -> None:
    distances, truth = [[0.1, 0.2], [0.1, 0.2], [0.3, 0.2]], [0, 0, 1]
    for people, message in (
        (["Ann", "Ann", "Ann"], "one truth a person, found 0 and 1 for 'Ann'"),
        (["Ann", "Bob"], r"words or integers of shape \(3,\), found str of shape \(2,\)"),
        (["Ann", None, "Bob"], "words or integers of shape .+ found NoneType and str"),
        ([0.5, 0.5, 1.5], "words or integers of shape .+ found float"),
        ("Ann", r"words or integers of shape .+ found <U3 of shape \(\)"),
    ):
        with pytest.raises(FacenetError, match=f"probe_people: expected {message}"):
            bootstrap_interval(distances, truth, rank_1, people)
    with pytest.raises(FacenetError, match="expected several people with a mate, found one"):
        bootstrap_interval(distances[:2], truth[:2], rank_1, [7, 7])
    with pytest.raises(FacenetError, match="expected several strangers, found one"):
        bootstrap_interval(distances, [0, 1, -1], rank_1, [1, 2, 3])
    with pytest.raises(FacenetError, match="expected a finite figure for every draw"):
        bootstrap_interval(distances, truth, lambda d, t: math.nan, ["a", "a", "b"])
    with pytest.raises(FacenetError, match="repeats: expected an integer of at least 40, found 39"):
        bootstrap_interval(distances, truth, rank_1, ["a", "a", "b"], repeats=39)
    with pytest.raises(FacenetError, match="seed: expected an integer of at least 0, found -1"):
        bootstrap_interval(distances, truth, rank_1, ["a", "a", "b"], seed=-1)


def test_labels_may_be_the_column_of_a_table() -> None:
    column = np.array(["a", "b"], dtype=object)
    assert check_labels("groups", column, 2).tolist() == ["a", "b"]
    assert check_labels("groups", (3, 4), 2).tolist() == [3, 4]


@pytest.mark.parametrize("column", [np.array(["a", np.nan], object), [1, "a"], [True, 1]])
def test_labels_of_two_kinds_are_no_labels(column):
    with pytest.raises(FacenetError, match="groups: expected words or integers"):
        check_labels("groups", column, 2)
