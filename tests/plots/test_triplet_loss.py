import numpy as np
import pytest

from facenet_lib import plots
from facenet_lib.errors import FacenetError

ACCURACIES = {"softmax": [0.86, 0.88, 0.87], "triplet loss": [0.80, 0.84]}


def test_loss_comparison_has_a_row_for_each_loss_and_a_dot_for_each_run():
    (axis,) = plots.loss_comparison(ACCURACIES).axes
    assert [label.get_text() for label in axis.get_yticklabels()] == list(ACCURACIES)
    assert [text.get_text() for text in axis.texts] == ["0.870", "0.820"]
    lines = [line.get_xydata() for line in axis.lines]
    for row, found in enumerate(ACCURACIES.values()):
        np.testing.assert_array_equal(lines[2 * row], [[accuracy, row] for accuracy in found])
        np.testing.assert_allclose(lines[2 * row + 1][:, 0], np.mean(found))
    low, high = axis.get_ylim()
    assert low > high  # the first row is on top


def test_loss_comparison_sets_accuracies_against_minutes():
    minutes = {"triplet loss": [20.0, 24], "softmax": [9.0, 10, 11]}
    figure = plots.loss_comparison(ACCURACIES, minutes)
    (axis,) = figure.axes
    lines = [line.get_xydata() for line in axis.lines]
    for row, (loss, found) in enumerate(ACCURACIES.items()):
        np.testing.assert_array_equal(lines[2 * row], np.transpose([minutes[loss], found]))
        np.testing.assert_allclose(
            lines[2 * row + 1].mean(axis=0), [np.mean(minutes[loss]), np.mean(found)]
        )
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["softmax 0.870", "triplet loss 0.820"]


@pytest.mark.parametrize(
    ("accuracies", "minutes", "told"),
    [
        ({"softmax": []}, None, "softmax"),
        (ACCURACIES, {"softmax": [1, 2, 3]}, "triplet loss"),
        (ACCURACIES, {"softmax": [1, 2], "triplet loss": [1, 2]}, "softmax"),
    ],
)
def test_loss_comparison_needs_runs_with_all_that_is_drawn(accuracies, minutes, told):
    with pytest.raises(FacenetError, match=f"loss_comparison: {told}: expected runs"):
        plots.loss_comparison(accuracies, minutes)


def test_negatives_on_a_line_have_the_colour_of_their_kind():
    to_negatives = np.array([0.05, 0.2, 0.25, 0.6])
    (axis,) = plots.negatives_on_a_line(0.1, to_negatives, margin=0.2).axes
    hard, semi_hard, easy, positive = axis.lines
    np.testing.assert_array_equal(hard.get_xdata(), [0.05])
    np.testing.assert_array_equal(semi_hard.get_xdata(), [0.2, 0.25])
    np.testing.assert_array_equal(easy.get_xdata(), [0.6])
    np.testing.assert_array_equal(positive.get_xdata(), [0.1])
    assert len({line.get_color() for line in axis.lines}) == 4
    stretches = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in axis.patches]
    np.testing.assert_allclose(stretches, [(0, 0.1), (0.1, 0.3), (0.3, axis.get_xlim()[1])])
    named = [text.get_text() for text in axis.texts]
    assert named == ["hard", "semi-hard", "easy", "positive"]
