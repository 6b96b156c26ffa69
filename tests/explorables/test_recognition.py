"""Strangers named: the script's rates are those of all galleries, and of the whole one."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from headless_chromium import in_browser
from made_up_figures import people_distances
from running_scripts import evaluate_script, use_figure
from scipy.stats import hypergeom

from facenet_lib import explorables
from facenet_lib.errors import FacenetError
from facenet_lib.recognition import false_positive_rate_of_gallery, measure_open_set

DISTANCES, TRUTH, APART = people_distances(seed=8)
DISTANCES = DISTANCES.round(1)  # so that some are equal
STILL = [1, 5], {"at 1": [0.1, 0.4]}, {"at 1": ([0.1, 0.3], [0.2, 0.6])}


def make(distances=DISTANCES, truth=TRUTH, apart=APART, photographs=3, still=STILL):
    return explorables.strangers_named(*still, distances, truth, apart, photographs)


def rates_by_trying(threshold: float, size: int) -> tuple[float, float]:
    """FPIR and FNIR over every gallery of so many people, as the library counts in each."""
    counts = np.zeros(4)
    for gallery in combinations(range(DISTANCES.shape[1]), size):
        truth = np.array([gallery.index(own) if own in gallery else -1 for own in TRUTH])
        rates = measure_open_set(DISTANCES[:, gallery], truth).rates_at(threshold)
        counts += rates.false_positives, rates.strangers, rates.false_negatives, rates.mates
    return counts[0] / counts[1], counts[2] / counts[3]


@pytest.mark.slow
@in_browser
def test_rates_are_those_of_all_galleries(tmp_path):
    data = make().data
    cases = [[place, size] for place in (0, 20, 45, 70, 100) for size in (1, 2, 4, 6)]
    expression = """given.cases.map(([place, size]) => [
      falsePositiveRate(given.data.near[place], given.data, size),
      falseNegativeRate(given.data.mates[place], given.data, size),
    ])"""
    given = {"data": data, "cases": cases}
    found = evaluate_script("strangers_named", given, expression, tmp_path)
    expected = [rates_by_trying(data["thresholds"][place], size) for place, size in cases]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.ptp(expected, axis=0).min() > 0.5  # they differ, or nothing was compared


@pytest.mark.slow
@in_browser
def test_chances_and_formula_are_pythons(tmp_path):
    rng = np.random.default_rng(1)
    cases = [[n, int(rng.integers(0, n + 1)), int(rng.integers(0, n + 1))] for n in range(1, 60)]
    rates = [[float(rng.uniform()), size] for size in range(1, 20)]
    expression = """[
      given.cases.map(([people, marked, drawn]) => missesAll(people, marked, drawn)),
      given.rates.map(([rate, size]) => formula(rate, size)),
    ]"""
    given = {"cases": cases, "rates": rates}
    chances, formulas = evaluate_script("strangers_named", given, expression, tmp_path)
    expected = [hypergeom(people, marked, drawn).pmf(0) for people, marked, drawn in cases]
    np.testing.assert_allclose(chances, expected, atol=1e-12)
    expected = [false_positive_rate_of_gallery(rate, people=size) for rate, size in rates]
    np.testing.assert_allclose(formulas, expected, atol=1e-12)


@pytest.mark.slow
@in_browser
def test_sliders_and_pointer_change_gallery_and_threshold(tmp_path):
    program = """
    Element.prototype.setPointerCapture = () => {};  // of a made-up pointer, it fails
    const found = [told()];
    slide(0, 1); found.push(told());
    slide(1, 100); found.push(told());
    touch(1, 0); found.push(told());
    touch(0, 1); found.push(told());
    return found;
    """
    first, one, all_named, none, large = use_figure(make(), program, tmp_path)
    assert "In a gallery of 5 it names" in first
    assert "In a gallery of 1 it names" in one
    positive, negative = rates_by_trying(make().data["thresholds"][100], 1)
    assert f"names {100 * positive:.3g}%" in all_named
    assert f"and {100 * negative:.3g}% of known" in all_named
    assert "accepts 0%" in none and "names 0%" in none and "and 100% of known" in none
    assert "In a gallery of 6 it names" in large


def test_false_match_rates_and_thresholds_are_of_the_pairs():
    data = make().data
    assert (data["people"], data["probes"], data["size"]) == (7, 28, 5)
    assert data["thresholds"][0] == 0
    assert np.isclose(data["thresholds"][-1], np.median(APART))
    for cut, rate in zip(data["thresholds"], data["falseMatchRates"], strict=True):
        assert np.isclose(rate, np.mean(cut > APART), atol=1e-6)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"truth": np.where(TRUTH == 2, -1, TRUTH)}, "truth: expected the own person"),
        ({"distances": DISTANCES[:8, :2], "truth": TRUTH[:8]}, "found 0 probes without, and 2"),
        ({"apart": np.array([])}, "pair_distances: expected finite"),
        ({"apart": np.array([1.0, np.nan])}, "pair_distances: expected finite"),
        ({"apart": np.array([-1.0, 0.0, 1.0])}, "pair_distances: expected distances above 0"),
        ({"photographs": 0}, "photographs: expected"),
        ({"still": ([], *STILL[1:])}, "people: expected at least one"),
        ({"still": ([1, 0], *STILL[1:])}, "people: expected an integer of at least 1, found 0"),
        ({"still": ([1, 2.5], *STILL[1:])}, "people: expected an integer"),
        ({"still": ([1], *STILL[1:])}, r"measured\['at 1'\]: expected numbers of shape \(1,\)"),
        ({"still": ([1, 5], STILL[1], {"at 1": [[0.1, 0.3]]})}, r"expected\['at 1'\]: .* \(2, 2\)"),
    ],
)
def test_refuses_what_has_no_rates(changed, told):
    with pytest.raises(FacenetError, match=told):
        make(**changed)


def test_numpys_integers_are_integers():
    still = np.array([1, 5]), *STILL[1:]
    assert make(still=still)._repr_html_() == make()._repr_html_()


def test_rates_are_counted_as_exactly_in_single_precision():
    """Rounded to single precision, a threshold would lie at the distance, not above it."""
    apart = np.repeat(np.float32([0.7, 1.0]), [1, 2])
    rates = make(apart=apart).data["falseMatchRates"]
    assert rates == make(apart=apart.astype(np.float64)).data["falseMatchRates"]
    assert rates[70] > 0  # 0.7 is a little above the float32


@pytest.mark.slow
@in_browser
def test_rare_matches_and_few_people_are_told(tmp_path):
    apart = np.linspace(1, 2, 30_000)
    apart[0] = 0.1
    program = """
    slide(1, 50);
    const texts = [...block.querySelectorAll(".plots svg:first-child text")];
    return [told(), texts.map((text) => text.textContent)];
    """
    still = [1], {"at 1": [0.1]}, {"at 1": ([0.1], [0.2])}
    few = {"distances": DISTANCES[:12, :3], "truth": TRUTH[:12], "still": still}
    told, texts = use_figure(make(apart=apart, **few), program, tmp_path)
    assert "accepts 0.00333% of the pairs" in told and "formula: 0.00333% to 0.01%" in told
    assert [text for text in texts if "%" not in text][1:-1] == ["1", "2"]
