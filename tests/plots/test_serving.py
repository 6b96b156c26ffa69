import numpy as np
import pytest

from facenet_lib import plots


def test_service_load_counts_clients_and_weighs_batches_by_their_images():
    latencies = {"p50": [5.0, 8, 20], "p99": [6.0, 12, 50]}
    formed = [{1: 7}, {1: 2, 2: 3}, {4: 5}]
    left, right = plots.service_load([1, 2, 8], [100.0, 150, 160], latencies, formed).axes
    for line, values in zip(left.lines, latencies.values(), strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.transpose([[100, 150, 160], values]))
    assert [text.get_text() for text in left.texts] == ["1", "2", "8"] * 2
    assert left.get_xlim()[0] == left.get_ylim()[0] == 0
    assert [label.get_text() for label in right.get_xticklabels()] == ["1", "2", "8"]
    for position, (dots, counts) in enumerate(zip(right.collections, formed, strict=True)):
        np.testing.assert_array_equal(dots.get_offsets(), [[position, size] for size in counts])
    one, two = right.collections[1].get_sizes()
    assert two == pytest.approx(3 * one)  # six images against two


def test_answers_over_time_have_the_colour_of_their_version():
    versions = np.array([1, 1, 2])
    seconds, milliseconds = np.array([0.0, 1, 2]), np.array([5.0, 6, 9])
    figure = plots.answers_over_time(seconds, milliseconds, versions, {"copied": 0.5, "gone": 1.5})
    (axis,) = figure.axes
    first, second, copied, gone = axis.lines
    np.testing.assert_array_equal(first.get_xydata(), [[0, 5], [1, 6]])
    np.testing.assert_array_equal(second.get_xydata(), [[2, 9]])
    assert first.get_color() != second.get_color()
    assert (first.get_label(), second.get_label()) == ("version 1", "version 2")
    assert [copied.get_xdata()[0], gone.get_xdata()[0]] == [0.5, 1.5]
    assert [text.get_text().strip() for text in axis.texts] == ["copied", "gone"]
