import numpy as np
from matplotlib.colors import to_rgb

from facenet_lib import plots
from facenet_lib.verification import evaluate


def test_threshold_sweep_shows_every_distance_in_its_row_and_the_cut_on_the_roc():
    measured, issame = np.array([1.0, 2, 5, 4, 8, 9]), np.array([1, 1, 1, 0, 0, 0], bool)
    line, roc = plots.threshold_sweep(measured, issame, 5.0).axes
    different, same = line.lines[1:]
    np.testing.assert_array_equal(same.get_xdata(), [1, 2, 5])
    np.testing.assert_array_equal(different.get_xdata(), [4, 8, 9])
    curve = np.transpose(roc.lines[0].get_data())
    by_hand = [(0, 0), (0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (3, 3)]
    np.testing.assert_allclose(curve, np.array(by_hand) / 3)
    np.testing.assert_allclose(np.ravel(roc.lines[1].get_data()), [1 / 3, 2 / 3])


def test_threshold_choice_draws_a_line_for_each_way_and_the_best_possible():
    figure = plots.threshold_choice([10, 100], {"own": [0.9, 0.8], "others": [0.7, 0.77]}, 0.78)
    (axis,) = figure.axes
    assert [line.get_label() for line in axis.lines] == ["own", "others", "best possible"]
    np.testing.assert_array_equal(axis.lines[1].get_ydata(), [0.7, 0.77])
    assert [label.get_text() for label in axis.get_xticklabels()] == ["10", "100"]


def test_pair_sheet_joins_two_images_in_a_frame_of_the_answers_colour():
    images = np.arange(4 * 8 * 6 * 3, dtype=np.uint8).reshape(4, 8, 6, 3)
    pairs = [(images[0], images[1]), (images[2], images[3])]
    figure = plots.pair_sheet(pairs, ["Ann", "Bob, Cy"], [True, False], columns=2)
    expected = zip(pairs, ["Ann", "Bob, Cy"], plots.COLORS[:2], strict=True)
    for axis, (pair, title, color) in zip(figure.axes, expected, strict=True):
        np.testing.assert_array_equal(axis.get_images()[0].get_array(), np.hstack(pair))
        assert to_rgb(axis.patches[0].get_edgecolor()) == to_rgb(color)
        assert axis.texts[0].get_text() == title


def test_pair_distances_counts_every_pair_in_its_class():
    distances, issame = np.array([0.1, 0.2, 0.3, 0.9, 1.0]), np.array([1, 1, 1, 0, 0], bool)
    figure = plots.pair_distances({"a": distances, "b": 2 * distances}, issame, [0.5, 1.0])
    for axis, threshold in zip(figure.axes, (0.5, 1.0), strict=True):
        heights = [[bar.get_height() for bar in bars] for bars in axis.containers]
        assert [sum(counts) for counts in heights] == [3, 2]
        assert axis.lines[0].get_xdata()[0] == threshold


def test_roc_curves_draw_every_result_and_guessing():
    embeddings = np.random.default_rng(0).standard_normal((80, 3))
    result = evaluate(embeddings, np.arange(40) % 2 == 0, folds=4)
    figure = plots.roc_curves({"one": result, "other": result})
    for axis in figure.axes:
        assert [line.get_label() for line in axis.lines] == ["one", "other", "guessing"]
        np.testing.assert_array_equal(axis.lines[0].get_xdata(), result.false_positive_rates)
    assert figure.axes[1].get_xlim()[0] == 1 / result.different_pairs
