import numpy as np

from facenet_lib import plots


def test_accuracies_shows_each_with_its_error_and_its_runs():
    measured = {"frozen": (0.8, 0.01), "fine-tuned": (0.9, 0.02)}
    runs = {"fine-tuned": [0.88, 0.91, 0.91]}
    (axis,) = plots.accuracies(measured, runs).axes
    assert [label.get_text() for label in axis.get_yticklabels()] == list(measured)
    assert [text.get_text() for text in axis.texts] == ["0.800 ± 0.010", "0.900 ± 0.020"]
    drawn = [line.get_xydata().tolist() for line in axis.lines]
    for row, (label, (accuracy, error)) in enumerate(measured.items()):
        assert [[accuracy, row]] in drawn
        assert [[single, row] for single in runs.get(label, [])] in drawn
        (ends,) = axis.containers[row].lines[2][0].get_segments()
        np.testing.assert_allclose(ends, [[accuracy - error, row], [accuracy + error, row]])
    low, high = axis.get_ylim()
    assert low > high  # the first row is on top
