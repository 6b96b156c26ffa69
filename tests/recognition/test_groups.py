"""Error rates of groups beside their definitions, written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facenet_lib.errors import FacenetError
from facenet_lib.recognition.groups import rates_by_group
from facenet_lib.recognition.measures import measure_open_set

probes = st.lists(
    st.tuples(
        st.lists(st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0, 4), min_size=2, max_size=2),
        st.integers(-1, 1),
        st.sampled_from(["young", "old", "Ältere"]),
    ),
    min_size=1,
    max_size=15,
)


@settings(deadline=None)
@given(probes, st.sampled_from([0.0, 0.5, 1.0]) | st.floats(-1, 5), st.integers(1, 4))
def test_every_group_has_its_own_counts_and_none_is_left_out(
    each: list[tuple[list[float], int, str]], threshold: float, at_least: int
) -> None:
    distances, truth, groups = zip(*each, strict=True)
    entries = rates_by_group(distances, truth, groups, threshold, at_least)
    assert [entry.group for entry in entries] == sorted(set(groups))
    for entry in entries:
        own = [(row, person) for row, person, group in each if group == entry.group]
        strangers = [row for row, person in own if person == -1]
        mates = [(row[person], row[1 - person]) for row, person in own if person != -1]
        missed = [there for there, other in mates if not there < min(threshold, other)]
        rates = entry.rates
        assert (rates.strangers, rates.mates) == (len(strangers), len(mates))
        assert rates.false_positives == sum(min(row) < threshold for row in strangers)
        assert rates.false_negatives == len(missed)
        assert rates.threshold == threshold
        assert entry.is_small == (len(strangers) < at_least or len(mates) < at_least)


def test_a_group_without_strangers_stays_and_its_rate_is_unknown() -> None:
    young, old = rates_by_group([[0.1], [0.2], [0.3]], [-1, 0, 0], [20, 70, 20], threshold=0.25)
    assert (young.group, old.group) == (20, 70) and type(old.group) is int
    assert young.rates.false_positive_rate == 1 and young.rates.false_negative_rate == 1
    assert math.isnan(old.rates.false_positive_rate) and old.rates.false_negative_rate == 0
    assert old.rates.false_positive_rate_interval == (0, 1)
    assert young.is_small and old.is_small


def test_thirty_of_either_are_enough() -> None:
    truth = [-1] * 30 + [0] * 30
    (whole,) = rates_by_group([[0.1]] * 60, truth, ["all"] * 60, 0.5)
    assert not whole.is_small
    assert whole.rates == measure_open_set([[0.1]] * 60, truth).rates_at(0.5)
    for left_out in (0, 59):
        (less,) = rates_by_group([[0.1]] * 59, np.delete(truth, left_out), ["all"] * 59, 0.5)
        assert less.is_small


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"groups": ["a"]}, r"groups: expected words or integers of shape \(2,\), found str"),
        ({"groups": ["a", None]}, r"groups: expected words or integers .+ found NoneType and str"),
        ({"threshold": math.nan}, "threshold: expected a number"),
        ({"truth": [0, 1]}, "truth: expected -1 or a column below 1, found 1 for probe 1"),
        ({"distances": [[0.1], [math.nan]]}, "found nan for probe 1"),
        ({"at_least": 0}, "at_least: expected an integer of at least 1, found 0"),
    ],
)
def test_unusable_arguments_are_refused(changed, message: str) -> None:
    usable = {"distances": [[0.1], [0.2]], "truth": [0, -1], "groups": ["a", "b"], "threshold": 1}
    with pytest.raises(FacenetError, match=message):
        rates_by_group(**usable | changed)
