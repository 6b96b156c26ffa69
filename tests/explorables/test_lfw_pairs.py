"""A threshold over distances: the script's counts and rates are those of the distances."""

from __future__ import annotations

import re

import numpy as np
import pytest
from headless_chromium import in_browser
from made_up_figures import pair_distances
from running_scripts import evaluate_script, use_figure

from facenet_lib import explorables
from facenet_lib.errors import FacenetError

MEASURED, ISSAME = pair_distances(seed=3, pairs=997)


def make():
    panels = {"one": MEASURED, "other": 9 * MEASURED}
    return explorables.pair_distances(panels, ISSAME, [1.2, 9.0])


def test_counts_are_of_distances_strictly_below_each_threshold():
    measured = np.array([1.0, 2.0, 5.0, 4.0, 8.0, 9.0])
    figure = explorables.pair_distances({"six": measured}, np.arange(6) < 3, [5.0])
    panel = figure.data["panels"]["six"]
    assert panel["same"][0] == panel["different"][0] == 0
    assert panel["same"][-1] == panel["different"][-1] == 3
    accepted = np.greater.outer(panel["thresholds"], measured)
    assert panel["same"] == accepted[:, :3].sum(axis=1).tolist()
    assert panel["different"] == accepted[:, 3:].sum(axis=1).tolist()
    assert abs(panel["thresholds"][panel["start"]] - 5) < 0.05


@pytest.mark.parametrize(
    ("low", "high"), [(1000.0, 1000.2), (1.0, 1 + 1e-12), (-2.0, np.nextafter(-2, 0)), (-9.0, 0.0)]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_below_the_last_threshold_are_all_pairs(low, high, dtype):
    measured = np.array([low, high, low, high], dtype)
    if measured[0] == measured[1]:
        measured[1::2] = np.nextafter(measured[0], dtype(np.inf))
    figure = explorables.pair_distances({"four": measured}, np.arange(4) < 2, [low])
    panel = figure.data["panels"]["four"]
    assert panel["thresholds"][-1] > float(measured.max())
    assert panel["same"][-1] == panel["different"][-1] == 2
    assert panel["same"][0] == 0 and panel["same"] == sorted(panel["same"])


@pytest.mark.parametrize(
    ("panels", "thresholds", "told"),
    [
        ({}, [], "panels: expected at least one, found none"),
        ({"six": np.arange(6.0)}, [], r"thresholds: expected numbers of shape \(1,\)"),
        ({"six": np.arange(6.0)}, [2.0, 3.0], r"thresholds: expected numbers of shape \(1,\)"),
        ({"six": np.arange(6.0)}, [np.nan], "thresholds: expected finite"),
    ],
)
def test_refuses_another_number_of_thresholds_or_none(panels, thresholds, told):
    with pytest.raises(FacenetError, match=told):
        explorables.pair_distances(panels, np.arange(6) < 3, thresholds)


def test_lists_are_arrays():
    issame = np.arange(6) < 3
    arrays = explorables.pair_distances({"six": np.arange(6.0)}, issame, np.array([2.0]))
    lists = explorables.pair_distances({"six": list(range(6))}, issame.tolist(), [2])
    assert lists._repr_html_() == arrays._repr_html_()


@pytest.mark.parametrize("issame", [np.ones(6, bool), np.arange(6), np.ones((2, 3), bool)])
def test_refuses_answers_of_one_kind_or_shape(issame):
    with pytest.raises(FacenetError, match="issame: expected truth values"):
        explorables.pair_distances({"six": np.arange(6.0)}, issame, [2.0])


@pytest.mark.parametrize(
    "measured",
    [np.ones(6), *(np.array([0, 1, 2, 3, 4, x]) for x in (np.inf, -np.inf)), np.arange(5.0)],
)
def test_refuses_distances_that_cannot_be_drawn(measured):
    with pytest.raises(FacenetError, match="six: expected"):
        explorables.pair_distances({"six": measured}, np.arange(6) < 3, [2.0])


@pytest.mark.slow
@in_browser
def test_rates_are_those_of_the_distances(tmp_path):
    panel = make().data["panels"]["one"]
    expression = "given.thresholds.map((_, place) => rates(given, place))"
    found = evaluate_script("pair_distances", panel, expression, tmp_path)
    accepted = np.less.outer(MEASURED, panel["thresholds"])
    expected = {
        "truePositive": accepted[ISSAME].mean(axis=0),
        "falsePositive": accepted[~ISSAME].mean(axis=0),
        "accuracy": (accepted == ISSAME[:, None]).mean(axis=0),
        "right": (accepted == ISSAME[:, None]).sum(axis=0),
    }
    for name, values in expected.items():
        np.testing.assert_allclose([one[name] for one in found], values, rtol=1e-12)


@pytest.mark.slow
@in_browser
def test_bars_are_a_histogram(tmp_path):
    panel = make().data["panels"]["one"]
    found = evaluate_script("pair_distances", panel, "bars(given.different, 5)", tmp_path)
    # In a bar are those at its lower edge, as numpy has it, too.
    expected, _ = np.histogram(MEASURED[~ISSAME], panel["thresholds"][::5])
    assert found == expected.tolist()


@pytest.mark.slow
@in_browser
def test_slider_buttons_and_pointer_move_the_threshold(tmp_path):
    program = """
    Element.prototype.setPointerCapture = () => {};  // of a made-up pointer, it fails
    const found = [told()];
    slide(0, 0); found.push(told());
    slide(0, 200); found.push(told());
    press("other"); found.push(told());
    touch(0, 1); found.push(told());
    return [found, block.querySelectorAll("button[aria-pressed=true]").length];
    """
    (first, none, every, other, touched), pressed = use_figure(make(), program, tmp_path)
    assert re.match(r"Below 1\.(2|1\d) lie", first)
    assert f"0 of {ISSAME.sum()} pairs" in none and "(TPR 0%)" in none
    assert "(TPR 100%)" in every and f"{ISSAME.sum()} answers are right" in every
    assert re.match(r"Below (9|9\.0\d|8\.9\d) lie", other)
    assert "(TPR 100%)" in touched and touched != every
    assert pressed == 1
