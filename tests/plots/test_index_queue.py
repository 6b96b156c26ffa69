import numpy as np
from matplotlib.colors import to_rgb

from facenet_lib import plots


def test_index_stream_writes_every_index_and_marks_passes_and_epochs():
    streams = {"small": (np.array([2, 0, 1, 1, 2, 0]), 2), "large": (np.array([0, 2, 1, 2]), 4)}
    figure = plots.index_stream(streams, range_size=3)
    small, large = ([text.get_text() for text in axis.texts] for axis in figure.axes)
    assert small[:6] == ["2", "0", "1", "1", "2", "0"]
    assert small[6:] == ["pass 1", "pass 2", "epoch 1", "epoch 2", "epoch 3"]
    assert large == ["0", "2", "1", "2", "pass 1", "pass 2 ...", "epoch 1"]
    cells = [to_rgb(patch.get_facecolor()) for patch in figure.axes[0].patches]
    assert cells == [to_rgb(plots.COLORS[index]) for index in streams["small"][0]]


def test_shuffle_orders_draws_every_position_in_its_turn():
    order = np.array([3, 1, 0, 2])
    figure = plots.shuffle_orders({"a": order, "b": order[::-1]})
    drawn = [axis.lines[0].get_ydata() for axis in figure.axes]
    np.testing.assert_array_equal(drawn, [order, order[::-1]])


def test_outcome_counts_draws_the_counts_beside_the_expected_one():
    figure = plots.outcome_counts({"a": np.array([9, 11]), "b": np.array([10, 12])}, "xy", 10)
    axis = figure.axes[0]
    expected, *samples = [list(line.get_ydata()) for line in axis.lines]
    assert expected == [10, 10]
    assert samples == [[9, 11], [10, 12]]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["x", "y"]
    nearest = [np.round(line.get_xdata()) for line in axis.lines[1:]]
    np.testing.assert_array_equal(nearest, [[0, 1], [0, 1]])


def test_times_seen_stacks_shares_that_add_up_to_all_images():
    table = np.array([[0, 1, 0, 1], [1, 1, 2, 7]])
    figure = plots.times_seen({"queue": table})
    bars = np.array([[bar.get_height() for bar in bars] for bars in figure.axes[0].containers])
    np.testing.assert_allclose(bars.sum(axis=0), 1)
    np.testing.assert_allclose(bars[:, 0], [0.5, 0.5, 0, 0, 0])
    np.testing.assert_allclose(bars[:, 1], [0, 0.5, 0.25, 0, 0.25])
