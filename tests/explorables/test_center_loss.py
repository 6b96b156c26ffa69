"""Centers on their way: the script steps as the library's center loss does."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from headless_chromium import in_browser
from running_scripts import evaluate_script, use_figure

from facenet_lib import explorables
from facenet_lib.center_loss import CenterLoss
from facenet_lib.errors import FacenetError

RNG = np.random.default_rng(5)
FEATURES, LABELS = RNG.normal(2, 1, (70, 2)), RNG.permutation(np.arange(70) % 3)
MINUS, ALPHA = "\N{MINUS SIGN}", "\N{GREEK SMALL LETTER ALPHA}"
PANELS = {"undivided": {"k = 1": np.array([1.0, 0.6, 0.36])}}


def make(features=FEATURES, labels=LABELS, alpha=0.6, images=3, panels=PANELS):
    return explorables.center_steps(features, labels, alpha, images, panels)


def test_features_are_sorted_by_class_and_as_many_of_each():
    people = make().data["people"]
    assert [len(rows) for rows in people] == [23, 23, 23]
    for label, rows in enumerate(people):
        np.testing.assert_allclose(rows, FEATURES[label == LABELS][:23], rtol=1e-3)
    many = make(np.ones((400, 2)), np.arange(400) % 2)
    assert [len(rows) for rows in many.data["people"]] == [50, 50]


@pytest.mark.parametrize(
    ("features", "labels", "told"),
    [
        (FEATURES[:, :1], LABELS, "features: expected numbers of shape"),
        (FEATURES[1:], LABELS, "features: expected numbers of shape"),
        (FEATURES * np.nan, LABELS, "features: expected finite numbers"),
        (FEATURES[:0], LABELS[:0], "features: expected finite numbers"),
        (FEATURES, LABELS / 2, "labels: expected integers"),
    ],
)
def test_refuses_what_cannot_be_drawn(features, labels, told):
    with pytest.raises(FacenetError, match=told):
        make(features, labels)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        *(
            ({"alpha": alpha}, "alpha: expected 0, 0.05")
            for alpha in (1.5, -0.05, 0.99, np.nan, "1")
        ),
        *(({"images": images}, "images: expected an integer of") for images in (0, 2.5, True)),
        ({"panels": {}}, "panels: expected at least one"),
        ({"panels": {"one": {"k": [1, np.inf]}}}, r"panels\['one'\]\['k'\]: expected finite"),
        ({"panels": {"one": {"k": []}}}, r"panels\['one'\]\['k'\]: expected finite"),
    ],
)
def test_refuses_what_its_sliders_and_axes_do_not_have(changed, told):
    with pytest.raises(FacenetError, match=told):
        make(**changed)


@pytest.mark.parametrize("features", [np.zeros((4, 2)), np.outer([1, 2, -3, 2], [1, 1])])
def test_refuses_classes_on_average_at_the_origin(features):
    """A distance of zero has no place on the logarithmic axis."""
    with pytest.raises(FacenetError, match="features: expected classes away from the origin"):
        make(features, np.zeros(4, int))
    assert make(features + 1, np.zeros(4, int)).data["people"]


def test_sliders_start_where_they_are_told():
    data = make(alpha=np.float32(0.95), images=np.int64(7)).data
    assert (data["alpha"], data["images"]) == (0.95, 7)
    assert make(alpha=3 * 0.1).data["alpha"] == 0.3
    assert make(images=99).data["images"] == 23  # of the smallest class


@pytest.mark.slow
@in_browser
def test_steps_are_those_of_the_center_loss(tmp_path):
    cases = [
        {"features": RNG.normal(0, 3, (images, 2)).tolist(), "alpha": alpha, "divided": divided}
        for images in (1, 3, 8)
        for alpha in (0.0, 0.5, 0.95, 1.0)
        for divided in (False, True)
    ]
    expression = "given.map(({ features, alpha, divided }) => walk(features, alpha, divided, 6))"
    found = evaluate_script("center_steps", cases, expression, tmp_path)
    for case, places in zip(cases, found, strict=True):
        center_loss = CenterLoss(1, 2, case["alpha"], divide_by_count=case["divided"])
        features = tf.constant(case["features"])
        expected = [center_loss.centers.numpy()[0]]
        for _ in range(6):
            center_loss(features, tf.zeros(len(case["features"]), tf.int32))
            expected.append(center_loss.centers.numpy()[0])
        scale = np.abs(expected).max()
        np.testing.assert_allclose(places, expected, rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.slow
@in_browser
def test_the_factor_is_what_a_step_does_to_the_distance(tmp_path):
    cases = [
        [images, alpha, divided]
        for images in (1, 4, 9)
        for alpha in (0.1, 0.6)
        for divided in (False, True)
    ]
    people = [(RNG.normal(0, 3, (9, 2)) + 5 * person).tolist() for person in range(2)]
    expression = """given.cases.map(([images, alpha, divided]) => {
      const batch = given.people.map((features) => features.slice(0, images));
      const walks = batch.map((features) => walk(features, alpha, divided, 2));
      const distance = (step) => meanDistance(walks.map((places) => places[step]), batch);
      return [factor(images, alpha, divided), distance(0), distance(1), distance(2)];
    })"""
    given = {"cases": cases, "people": people}
    found = evaluate_script("center_steps", given, expression, tmp_path)
    for (images, alpha, divided), (by, start, first, second) in zip(cases, found, strict=True):
        means = [np.mean(features[:images], axis=0) for features in people]
        assert np.isclose(start, np.linalg.norm(means, axis=1).mean())
        step = images * (1 - alpha) / (1 + images if divided else 1)
        assert np.isclose(by, 1 - step)
        np.testing.assert_allclose([first, second], [abs(by) * start, by**2 * start])


@pytest.mark.slow
@in_browser
def test_a_reader_makes_them_diverge_and_mends_it(tmp_path):
    program = """
    const found = [told()];
    slide(1, 5); found.push(told());
    slide(1, 8); slide(2, 12); found.push(told());
    press("divided by"); found.push(told());
    slide(0, 1); found.push(told());
    slide(0, 0.95); slide(1, 20); press("undivided"); found.push(told());
    return found;
    """
    closing, swinging, away, divided, still, at_once = use_figure(make(), program, tmp_path)
    assert f"k (1 {MINUS} {ALPHA}) = 1.20" in closing and f"by {MINUS}0.20" in closing
    assert "overshoots, and still closes in" in closing
    assert f"by {MINUS}1.00" in swinging and "for ever" in swinging
    assert "= 3.20" in away and "further away" in away and "After 12 steps" in away
    assert "(1 + k) = 0.36" in divided and "the center closes in" in divided
    assert "by 1.00" in still and "never moves" in still
    assert "multiplies the distance by 0.00, so the center closes in" in at_once
