import numpy as np
import pytest
from matplotlib.colors import to_rgb

from facenet_lib import plots
from facenet_lib.errors import FacenetError
from facenet_lib.recognition.calibration import reliability_curve
from facenet_lib.recognition.groups import GroupRates, rates_by_group
from facenet_lib.recognition.measures import OpenSetRates, measure_open_set

PEOPLE = {"Ann": [[1.0, 0.0], [0.8, 0.6]], "Bea": [[0.0, 1.0]]}
CURVE = measure_open_set([[0.1, 0.9], [0.7, 0.4], [0.8, 0.6], [0.5, 0.3]], [0, 0, -1, -1])
FACE = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)


def labels(axis) -> list[str]:
    return [text.get_text() for text in axis.get_legend().get_texts()]


def test_gallery_on_a_circle_shows_people_probes_and_what_is_near_them():
    (axis,) = plots.gallery_on_a_circle(PEOPLE, {"asked": [0.6, 0.8]}, threshold=0.25).axes
    ann, bea, probe = axis.lines
    np.testing.assert_array_equal(ann.get_xydata(), PEOPLE["Ann"])
    np.testing.assert_array_equal(bea.get_xydata(), PEOPLE["Bea"])
    np.testing.assert_array_equal(probe.get_xydata(), [[0.6, 0.8]])
    assert labels(axis) == list(PEOPLE)
    assert [text.get_text() for text in axis.texts] == ["asked"]
    circle, near = axis.patches
    assert circle.radius == 1
    assert (near.center, near.radius) == ((0.6, 0.8), 0.5)  # of a distance that is not squared


def test_match_rates_begins_at_rank_one_and_ends_at_the_last_wanted():
    rates = {"mean": np.array([0.7, 0.9, 1.0]), "nearest": np.array([0.5, 0.6, 0.8])}
    (axis,) = plots.match_rates(rates, ranks=2).axes
    for line, values in zip(axis.lines, rates.values(), strict=True):
        np.testing.assert_array_equal(line.get_xydata(), [[1, values[0]], [2, values[1]]])
    assert labels(axis) == list(rates)
    (axis,) = plots.match_rates(rates).axes
    assert len(axis.lines[0].get_xdata()) == 3  # there are no more people


def test_strangers_named_puts_dots_over_the_band_of_their_threshold():
    measured = {"loose": [0.2, 0.8], "strict": [0.0, 0.1]}
    expected = {"loose": ([0.1, 0.7], [0.3, 0.9]), "strict": ([0.0, 0.05], [0.01, 0.2])}
    figure = plots.strangers_named([1, 30], measured, expected)
    (axis,) = figure.axes
    for line, band, label in zip(axis.lines, axis.collections, measured, strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.transpose([[1, 30], measured[label]]))
        assert to_rgb(line.get_color()) == to_rgb(band.get_facecolor()[0])
        corners = {tuple(corner) for corner in band.get_paths()[0].vertices.tolist()}
        assert corners == {
            (people, share)
            for shares in expected[label]
            for people, share in zip((1, 30), shares, strict=True)
        }
    assert [text.get_text() for text in axis.get_xticklabels()] == ["1", "30"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(measured)


def test_open_set_curves_shows_every_threshold_that_names_a_stranger_and_marks():
    figure = plots.open_set_curves({"mean": CURVE}, {"chosen": (0.5, 0.25)})
    (axis,) = figure.axes
    line, mark = axis.lines
    shown = CURVE.false_positives > 0
    assert 0 < shown.sum() < len(shown)  # a logarithmic axis has no place for a rate of 0
    expected = [CURVE.false_positive_rates[shown], CURVE.false_negative_rates[shown]]
    np.testing.assert_array_equal(line.get_xydata(), np.transpose(expected))
    assert mark.get_xydata().tolist() == [[0.5, 0.25]]
    low, high = axis.get_xlim()
    assert low < 1 / CURVE.strangers and high > 1
    assert len(plots.open_set_curves({"mean": CURVE}).axes[0].lines) == 1


def test_reliability_shows_shares_with_intervals_and_the_diagonal():
    curve = reliability_curve([0.1, 0.2, 0.2, 0.9], [False, True, False, True], bins=4)
    (axis,) = plots.reliability({"calibrated": curve}).axes
    diagonal, dots = axis.lines
    np.testing.assert_array_equal(diagonal.get_xydata(), [[0, 0], [1, 1]])
    np.testing.assert_allclose(dots.get_ydata(), curve.shares)
    np.testing.assert_allclose(dots.get_xdata(), curve.mean_probabilities)
    (bars,) = axis.collections
    shown = [segment[:, 1] for segment in bars.get_segments()]
    np.testing.assert_allclose(shown, curve.intervals)


def test_album_frames_those_who_are_not_most_in_their_row():
    groups = [("1", [FACE] * 3, ["Ann", "Bea", "Ann"]), ("2", [FACE], ["Cleo"])]
    first, second = plots.album(groups).axes
    assert [axis.get_ylabel() for axis in (first, second)] == ["1", "2"]
    assert [len(axis.get_images()) for axis in (first, second)] == [3, 1]
    np.testing.assert_array_equal(first.get_images()[1].get_array(), FACE)
    (frame,) = first.patches
    left, right, bottom, top = first.get_images()[1].get_extent()
    assert frame.get_bbox().bounds == pytest.approx((left, bottom, right - left, top - bottom))
    assert not second.patches
    assert first.get_xlim() == second.get_xlim()  # faces have one size in all rows


def test_cluster_sweep_shows_scores_above_and_the_largest_cluster_below():
    agreement = {"agglomerative": [0.5, 0.9], "dbscan": [0.8, 0.1]}
    largest = {"agglomerative": [0.1, 0.2], "dbscan": [0.2, 1.0]}
    figure = plots.cluster_sweep([0.3, 0.7], agreement, largest, {"hdbscan": 0.6}, chosen=0.5)
    for axis, values in zip(figure.axes, (agreement, largest), strict=True):
        for line, scores in zip(axis.lines, values.values(), strict=False):
            np.testing.assert_array_equal(line.get_xydata(), np.transpose([[0.3, 0.7], scores]))
        assert list(axis.lines[-1].get_xdata()) == [0.5, 0.5]
    assert list(figure.axes[0].lines[2].get_ydata()) == [0.6, 0.6]
    (legend,) = figure.legends
    names = ["agglomerative", "dbscan", "hdbscan"]
    assert [text.get_text() for text in legend.get_texts()] == names


def test_group_rates_has_a_row_for_each_group_and_rings_for_small_ones():
    few = rates_by_group([[0.2], [0.9], [0.3]], [0, -1, -1], ["a", "a", "b"], threshold=0.5)
    many = GroupRates("c", OpenSetRates(0.5, 3, 60, 12, 40), is_small=False)
    figure = plots.group_rates({"kind": few, "other": [many]})
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["kind: a", "kind: b", "other: c"]
    positive, negative = figure.axes
    for axis, rate, interval in (
        (positive, many.rates.false_positive_rate, many.rates.false_positive_rate_interval),
        (negative, many.rates.false_negative_rate, many.rates.false_negative_rate_interval),
    ):
        bar, dot = axis.lines[4:]
        assert tuple(bar.get_xdata()) == interval
        assert dot.get_xydata().tolist() == [[rate, 2]]
        assert dot.get_markerfacecolor() != "none"
        assert axis.lines[1].get_markerfacecolor() == "none"
    low, high = positive.get_ylim()
    assert low > high  # the first row is on top


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.gallery_on_a_circle({}, {"asked": [1, 0]}, 0.5),
        lambda: plots.gallery_on_a_circle(PEOPLE, {}, 0.5),
        lambda: plots.match_rates({}),
        lambda: plots.match_rates({"mean": np.ones(3)}, ranks=0),
        lambda: plots.strangers_named([1], {}, {}),
        lambda: plots.strangers_named([1], {"a": [0.1]}, {"b": ([0.1], [0.2])}),
        lambda: plots.open_set_curves({}),
        lambda: plots.reliability({}),
        lambda: plots.album([]),
        lambda: plots.album([("1", [], [])]),
        lambda: plots.album([("1", [FACE], [])]),
        lambda: plots.cluster_sweep([0.5], {}, {}, {}, 0.5),
        lambda: plots.cluster_sweep([0.5], {"a": [1.0]}, {"b": [1.0]}, {}, 0.5),
        lambda: plots.group_rates({}),
        lambda: plots.group_rates({"glasses": []}),
    ],
)
def test_nothing_to_show_is_refused(draw):
    with pytest.raises(FacenetError, match="expected"):
        draw()
