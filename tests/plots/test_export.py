import numpy as np
import pytest

from facenet_lib import plots


def test_threshold_trade_says_which_share_of_the_pairs_is_on_the_wrong_side():
    issame = np.arange(20) < 10
    measured = np.concatenate([np.linspace(0.05, 0.95, 10), np.linspace(0.55, 1.45, 10)])
    figure = plots.threshold_trade(measured, issame, {"even": 0.8, "careful": 0.6})
    counts, errors = figure.axes
    assert [sum(bar.get_height() for bar in bars) for bars in counts.containers] == [10, 10]
    refused, taken = (line.get_xydata() for line in errors.lines[:2])
    for cut, share in refused:
        assert share == pytest.approx(np.mean(measured[:10] >= cut))
    for cut, share in taken:
        assert share == pytest.approx(np.mean(measured[10:] < cut))
    dots = [line.get_xydata()[0] for line in errors.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(dots, [(0.8, 0.2), (0.8, 0.3), (0.6, 0.4), (0.6, 0.1)])
    assert [line.get_xdata()[0] for line in counts.lines] == [0.8, 0.6]


def test_throughput_starts_at_zero_and_names_the_batch_sizes():
    figure = plots.throughput([1, 4, 16], {"one": [10, 20, 25], "other": [5, 6, 7]})
    (axis,) = figure.axes
    assert axis.get_ylim()[0] == 0
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1", "4", "16"]
    np.testing.assert_array_equal(axis.lines[1].get_ydata(), [5, 6, 7])
