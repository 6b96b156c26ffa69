"""Thresholds of a gallery beside every subset of its people, one after the other."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facenet_lib.errors import FacenetError
from facenet_lib.recognition.measures import measure_open_set
from facenet_lib.recognition.thresholds import (
    ChosenThreshold,
    choose_threshold,
    false_positive_rate_of_gallery,
)
from facenet_lib.verification import rate_interval

Rows = list[list[float]]
Searches = tuple[Rows, list[tuple[list[float], int]]]


@st.composite
def searches(draw: st.DrawFn) -> Searches:
    """Strangers, then probes with a mate and their person; with many ties."""
    people = draw(st.integers(1, 5))
    distance = st.sampled_from([0.0, 0.5, 1.0, 1.5]) | st.floats(0, 4, width=32)
    row = st.lists(distance, min_size=people, max_size=people)
    strangers = draw(st.lists(row, min_size=4, max_size=8))
    return strangers, draw(st.lists(st.tuples(row, st.integers(0, people - 1)), max_size=5))


def split(each: Searches) -> tuple[np.ndarray, np.ndarray]:
    strangers, mates = each
    truth = [-1] * len(strangers) + [own for _, own in mates]
    return np.array(strangers + [row for row, _ in mates]), np.array(truth)


def naive_named(row: list[float], people: int, threshold: float) -> Fraction:
    """Share of the galleries of so many people that name a stranger."""
    galleries = list(combinations(row, people))
    return Fraction(sum(min(gallery) < threshold for gallery in galleries), len(galleries))


def naive_missed(row: list[float], own: int, people: int, threshold: float) -> Fraction:
    """Share of the galleries with the own person that do not name a probe rightly."""
    others = [value for who, value in enumerate(row) if who != own]
    galleries = list(combinations(others, people - 1))
    rightly = sum(
        row[own] < threshold and all(row[own] < value for value in gallery) for gallery in galleries
    )
    return 1 - Fraction(rightly, len(galleries))


def naive_thresholds(each: Searches) -> list[float]:
    """Enough to see everything: each distance, between each two, and beyond the last."""
    values = sorted(set(split(each)[0].ravel().tolist()))
    between = [low + (high - low) / 2 for low, high in pairwise(values)]
    return sorted({*values, *between, values[0] - 1, values[-1] + 1})


@st.composite
def wishes(draw: st.DrawFn) -> tuple[Searches, float, int | None]:
    """Rates that n strangers support and which no count reaches exactly, 997 being prime."""
    each = draw(searches())
    lowest = math.ceil(997 * 3 / len(each[0]))
    rate = draw(st.integers(lowest, 996)) / 997
    return each, rate, draw(st.none() | st.integers(1, len(each[0][0])))


@settings(deadline=None, max_examples=40)
@given(wishes())
def test_a_threshold_is_the_largest_over_all_galleries_of_a_size(
    wish: tuple[Searches, float, int | None],
) -> None:
    each, rate, wanted_people = wish
    strangers, mates = each
    chosen = choose_threshold(*split(each), rate, people=wanted_people)
    people = wanted_people or len(strangers[0])
    assert (chosen.people, chosen.wanted_false_positive_rate) == (people, rate)
    assert (chosen.strangers, chosen.mates) == (len(strangers), len(mates))

    def naive_count(threshold: float) -> Fraction:
        return sum((naive_named(row, people, threshold) for row in strangers), Fraction(0))

    assert chosen.false_positives == pytest.approx(float(naive_count(chosen.threshold)))
    assert naive_count(chosen.threshold) <= rate * len(strangers)
    allowed = [t for t in naive_thresholds(each) if naive_count(t) <= rate * len(strangers)]
    assert naive_count(chosen.threshold) == naive_count(max(allowed))
    missed = [naive_missed(row, own, people, chosen.threshold) for row, own in mates]
    assert chosen.false_negatives == pytest.approx(float(sum(missed)))
    # Nothing lies between it and the largest: as many mates are lost, and as few.
    at_largest = [naive_missed(row, own, people, max(allowed)) for row, own in mates]
    assert missed == at_largest


@settings(deadline=None, max_examples=40)
@given(searches(), st.data())
def test_of_everyone_measured_it_says_what_the_curve_says(
    each: Searches, data: st.DataObject
) -> None:
    """Rates that a count reaches exactly as well."""
    rate = data.draw(st.integers(3, len(each[0]) - 1)) / len(each[0])
    chosen = choose_threshold(*split(each), rate)
    curve = measure_open_set(*split(each))
    rates = curve.rates_at(chosen.threshold)
    assert chosen.false_positives == rates.false_positives
    assert chosen.false_negatives == rates.false_negatives
    assert chosen.false_positive_rate == max(r for r in curve.false_positive_rates if r <= rate)
    if chosen.mates:
        assert chosen.false_negative_rate == curve.false_negative_rate_at(rate)


def test_rounding_names_nobody_at_a_threshold_half_way() -> None:
    distances = [[1.0], [1.5], [2.0], [1.2], [0.1]]
    chosen = choose_threshold(distances, [-1, -1, -1, -1, 0], 0.75)
    assert chosen.threshold == 1.75  # between the third stranger and the fourth
    one_step = np.nextafter(1, 2)
    alone = choose_threshold([[1.0]] * 4 + [[float(one_step)]], [-1] * 5, 0.8)
    assert alone.threshold == one_step  # there is no number between
    nobody = choose_threshold([[1.0]] * 5, [-1] * 4 + [0], 0.8)
    assert (nobody.threshold, nobody.false_positives, nobody.false_negatives) == (1.0, 0, 1)


def test_the_rates_of_a_smaller_gallery_are_the_mean_of_drawn_ones() -> None:
    """The formulas at the size of an experiment, beside galleries drawn at random."""
    generator = np.random.default_rng(0)
    distances = generator.normal(2, 0.5, size=(400, 40))
    truth = np.where(np.arange(400) < 200, -1, np.arange(400) % 40)
    own = truth >= 0
    distances[own, truth[own]] -= 0.9
    chosen = choose_threshold(distances, truth, 0.05, people=10)
    drawn = 400
    named, missed = 0, 0
    for _ in range(drawn):
        gallery = generator.permutation(40)[:10]
        named += np.sum((distances[~own][:, gallery] < chosen.threshold).any(axis=1))
    for row, person in zip(distances[own], truth[own], strict=True):
        others = np.delete(row, person)
        galleries = generator.permuted(np.tile(others, (drawn, 1)), axis=1)[:, :9]
        is_right = (row[person] < chosen.threshold) & (galleries > row[person]).all(axis=1)
        missed += np.sum(~is_right)
    # The means of 400 draws deviate by 0.2 and, each probe's drawn apart, by at most 0.35.
    assert chosen.false_positives == pytest.approx(named / drawn, abs=1)
    assert chosen.false_negatives == pytest.approx(missed / drawn, abs=2)
    assert 0.04 < chosen.false_positive_rate <= 0.05
    assert chosen.threshold > choose_threshold(distances, truth, 0.05).threshold


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 0.9), min_size=1, max_size=8), st.integers(1, 10**6), st.integers(1, 9)
)
def test_the_formula_of_independent_comparisons(
    chances: list[float], people: int, few: int
) -> None:
    exact = 1 - (1 - Fraction(chances[0])) ** few
    assert false_positive_rate_of_gallery(chances[0], few) == pytest.approx(float(exact), rel=1e-12)
    # Where strangers differ in how near they are to everybody, fewer are named than it says.
    truly = np.mean([false_positive_rate_of_gallery(chance, people) for chance in chances])
    predicted = false_positive_rate_of_gallery(float(np.mean(chances)), people)
    assert np.mean(chances) * (1 - 1e-9) <= truly <= predicted * (1 + 1e-9)


def test_a_report_says_on_what_its_rates_rest() -> None:
    chosen = ChosenThreshold(1.08341, 9.3, 960, 59.04, 480, 60, 0.01)
    assert chosen.false_positive_rate == pytest.approx(9.3 / 960)
    assert chosen.false_negative_rate == pytest.approx(0.123)
    low, high = chosen.false_positive_rate_interval
    assert rate_interval(9, 960)[0] < low < rate_interval(10, 960)[0]
    assert rate_interval(9, 960)[1] < high < rate_interval(10, 960)[1]
    assert rate_interval(59, 480)[0] < chosen.false_negative_rate_interval[0] < 0.123
    assert str(chosen) == (
        "threshold 1.0834 in a gallery of 60 people: false positive rate 0.00969 (960 strangers; "
        f"95% interval {low:.5f} to {high:.5f}; wanted at most 0.01), false negative rate 0.1230 "
        "(480 probes with a mate; 95% interval 0.0966 to 0.1554)"
    )


def test_without_mates_their_rate_is_unknown() -> None:
    chosen = choose_threshold([[1.0], [1.5], [2.0], [2.5]], [-1] * 4, 0.75)
    assert (chosen.mates, chosen.false_negatives) == (0, 0)
    assert math.isnan(chosen.false_negative_rate)
    assert chosen.false_negative_rate_interval == (0, 1)


def test_unusable_arguments_are_refused() -> None:
    distances, truth = np.arange(8.0).reshape(4, 2), [-1] * 4
    for people, message in (
        (3, "at most the 2 that were measured, found 3: a rate in a larger gallery cannot be read"),
        (0, "an integer of at least 1, found 0"),
        (1.5, "an integer of at least 1, found 1.5"),
    ):
        with pytest.raises(FacenetError, match=f"people: expected {message}"):
            choose_threshold(distances, truth, 0.8, people=people)
    for rate in (0, 1, math.nan, "0.1", None):
        with pytest.raises(FacenetError, match=r"false_positive_rate: expected a number in \(0, 1"):
            choose_threshold(distances, truth, rate)
    with pytest.raises(FacenetError, match="found nan for probe 0 and person 0"):
        choose_threshold([[math.nan]], [-1], 0.5)
    for rate in (-0.1, 1, math.nan):
        with pytest.raises(FacenetError, match=r"false_match_rate: expected a number in \[0, 1\)"):
            false_positive_rate_of_gallery(rate, 5)
    with pytest.raises(FacenetError, match="people: expected an integer of at least 1, found 0"):
        false_positive_rate_of_gallery(0.1, 0)


@pytest.mark.parametrize(
    ("strangers", "rate", "message"),
    [
        (299, 0.01, "at least 300 strangers for a false positive rate of 0.01, found 299, which"),
        (299, 0.01, "which support 3/299 = 0.01003 and above"),
        (700, 0.001, "at least 3000 strangers .+ found 700, which support 3/700 = 0.004286"),
        (3, 0.9, "at least 4 strangers .+ found 3, which support no rate"),
        (0, 0.5, "at least 6 strangers .+ found 0, which support no rate"),
    ],
)
def test_too_few_strangers_are_refused(strangers: int, rate: float, message: str) -> None:
    distances = np.linspace(1, 2, strangers + 1)[:, None]
    with pytest.raises(FacenetError, match=message):
        choose_threshold(distances, [0] + [-1] * strangers, rate)


@pytest.mark.parametrize("strangers", [4, 49, 300, 700])
def test_the_rate_that_a_refusal_offers_is_accepted(strangers: int) -> None:
    distances = np.linspace(1, 2, strangers)[:, None]
    assert choose_threshold(distances, [-1] * strangers, 3 / strangers).false_positives == 3
