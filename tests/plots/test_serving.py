import itertools

import numpy as np
import pytest

from facenet_lib import plots


def test_service_load_counts_clients_and_weighs_batches_by_their_images():
    latencies = {"p50": [5.0, 8, 20], "p99": [6.0, 12, 50]}
    formed = [{1: 7}, {1: 2, 2: 3}, {4: 5}]
    left, right = plots.service_load([1, 2, 8], [100.0, 150, 160], latencies, formed).axes
    for line, values in zip(left.lines, latencies.values(), strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.transpose([[100, 150, 160], values]))
    placed = {text.get_text(): text.xy for text in left.texts}
    assert placed == {"1": (100, 6), "2": (150, 12), "8": (160, 50)}
    assert left.get_xlim()[0] == left.get_ylim()[0] == 0
    assert [label.get_text() for label in right.get_xticklabels()] == ["1", "2", "8"]
    for position, (dots, counts) in enumerate(zip(right.collections, formed, strict=True)):
        np.testing.assert_array_equal(dots.get_offsets(), [[position, size] for size in counts])
    one, two = right.collections[1].get_sizes()
    assert two == pytest.approx(3 * one)  # six images against two


def test_counts_of_clients_stand_in_nobodys_place():
    clients, rates = [1, 2, 4, 8, 32], [100.0, 196, 198, 200, 199]
    latencies = {"p50": [5.0, 8, 9, 10, 20], "p99": [6.0, 10, 11, 12, 50]}
    figure = plots.service_load(clients, rates, latencies, [{1: 1}] * 5)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 3  # with one client, with thirty-two, and one of the others
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_events_that_follow_closely_are_told_one_below_the_other():
    moments = {"v2 copied": 1.0, "v2 ready": 1.01, "v1 gone": 1.02}
    seconds = np.linspace(0, 3, 9)
    figure = plots.answers_over_time(seconds, seconds, np.ones(9, int), moments)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 3
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


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
