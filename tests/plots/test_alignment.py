import numpy as np
import pytest
from matplotlib.colors import to_rgb

from facenet_lib import plots
from facenet_lib.alignment.faces import Box, Face
from facenet_lib.alignment.sensitivity import Sensitivity
from facenet_lib.errors import FacenetError
from facenet_lib.verification import rate_interval

POINTS = np.array([[12.0, 14], [18, 14], [15, 18], [13, 22], [17, 22]])
ANN, BOB = Face(Box(10, 10, 20, 26), 0.9, POINTS), Face(Box(30, 5, 38, 15), 0.8)
PHOTOGRAPH = np.arange(40 * 60 * 3, dtype=np.uint8).reshape(40, 60, 3)


def frames(axis) -> list[tuple[float, float, float, float]]:
    return [(*frame.get_xy(), frame.get_width(), frame.get_height()) for frame in axis.patches]


def test_found_faces_frames_every_face_and_dots_its_landmarks():
    panels = {"one": (PHOTOGRAPH, [ANN, BOB]), "none": (PHOTOGRAPH, [])}
    one, none = plots.found_faces(panels, [BOB]).axes
    assert [axis.get_title() for axis in (one, none)] == list(panels)
    assert frames(one) == [(10, 10, 10, 16), (30, 5, 8, 10)]
    colors = [to_rgb(frame.get_edgecolor()) for frame in one.patches]
    assert colors == [to_rgb(color) for color in plots.COLORS[:2]]
    (dots,) = one.lines
    np.testing.assert_array_equal(dots.get_xydata(), POINTS)
    assert not none.patches and not none.lines
    for axis in (one, none):
        np.testing.assert_array_equal(axis.get_images()[0].get_array(), PHOTOGRAPH)


def test_faces_and_crops_numbers_faces_and_shows_each_crop_under_its_number():
    crops = {
        name: [np.full((8, 8, 3), value + number, np.uint8) for number in range(2)]
        for name, value in (("square", 10), ("similarity", 20))
    }
    top, *rows = plots.faces_and_crops(PHOTOGRAPH, [ANN, BOB], crops).axes
    assert [text.get_text() for text in top.texts] == ["1", "2"]
    assert [text.xy for text in top.texts] == [(10, 10), (30, 5)]
    assert [axis.get_ylabel() for axis in rows] == list(crops)
    for axis, images in zip(rows, crops.values(), strict=True):
        shown = axis.get_images()
        for drawn, image in zip(shown, images, strict=True):
            np.testing.assert_array_equal(drawn.get_array(), image)
        edges = [drawn.get_extent()[:2] for drawn in shown]
        assert edges[0][1] < edges[1][0]
    assert [label.get_text() for label in rows[-1].get_xticklabels()] == ["1", "2"]


def test_suppressed_boxes_shows_all_before_and_the_kept_after():
    boxes = np.array([[0, 0, 4, 4], [1, 0, 5, 4], [9, 0, 13, 4]])
    before, after = plots.suppressed_boxes(boxes, np.array([0.8, 0.9, 0.7]), [1, 2]).axes
    assert frames(before) == [(0, 0, 4, 4), (1, 0, 4, 4), (9, 0, 4, 4)]
    assert frames(after) == frames(before)[1:]
    assert [text.get_text() for text in after.texts] == ["0.9", "0.7"]
    low, high = before.get_ylim()
    assert low > high  # y grows downwards, as in images


def test_pyramid_levels_puts_scores_below_their_image_in_its_shape():
    levels = [(PHOTOGRAPH, np.linspace(0, 1, 12).reshape(3, 4)), (PHOTOGRAPH[::2, ::2], np.eye(2))]
    figure = plots.pyramid_levels(levels)
    above, below = figure.axes[:2], figure.axes[2:4]
    for image_axis, score_axis, (image, scores) in zip(above, below, levels, strict=True):
        np.testing.assert_array_equal(image_axis.get_images()[0].get_array(), image)
        (drawn,) = score_axis.get_images()
        np.testing.assert_array_equal(drawn.get_array(), scores)
        assert drawn.get_clim() == (0, 1)
        shape = score_axis.get_aspect() * scores.shape[0] / scores.shape[1]
        assert shape == pytest.approx(image.shape[0] / image.shape[1])
    assert above[0].get_title() == "60 x 40"


def test_detection_by_bin_shows_shares_with_intervals_counts_and_errors():
    panels = {
        "height": (["small", "large"], np.array([4, 10]), np.array([0.5, 0.9])),
        "turn": (["none", "far"], np.array([3, 0]), np.array([1.0, np.nan])),
    }
    errors = {"height": np.array([0.2, 0.1]), "turn": np.array([0.3, np.nan])}
    figure = plots.detection_by_bin(panels, errors)
    above, below = figure.axes[:2], figure.axes[2:]
    assert [axis.get_title() for axis in above] == list(panels)
    interval, dot = above[0].lines[2:4]
    np.testing.assert_allclose(interval.get_ydata(), rate_interval(9, 10))
    assert dot.get_xydata().tolist() == [[1, 0.9]]
    assert [text.get_text() for text in above[1].texts] == ["3", "0"]
    assert len(above[1].lines) == 2  # nothing is drawn of no face
    assert [bar.get_height() for bar in below[0].patches] == [0.2, 0.1]
    assert [label.get_text() for label in below[1].get_xticklabels()] == ["none", "far"]


def test_crop_moves_shows_every_distance_its_median_and_the_threshold():
    moves = {"fixed": np.array([0.1, 0.5, 0.9]), "in proportion": np.array([0.0, 0.1, 0.1])}
    (axis,) = plots.crop_moves(moves, 0.6).axes
    dots, strokes = axis.lines[0:4:2], axis.lines[1:4:2]
    for drawn, stroke, values in zip(dots, strokes, moves.values(), strict=True):
        np.testing.assert_array_equal(drawn.get_xdata(), values)
        np.testing.assert_array_equal(stroke.get_xdata(), [np.median(values)] * 2)
    assert axis.lines[4].get_xdata()[0] == 0.6
    assert [label.get_text() for label in axis.get_yticklabels()] == list(moves)


def test_crop_sensitivity_has_a_row_for_each_change():
    rows = [Sensitivity("tilt", f"{n} degrees", np.linspace(0, n / 10, 11)) for n in (1, 2, 3)]
    (axis,) = plots.crop_sensitivity(rows, 0.6).axes
    for number, row in enumerate(rows):
        line, dot = axis.lines[2 * number : 2 * number + 2]
        np.testing.assert_allclose(line.get_xdata(), np.quantile(row.distances, (0.1, 0.9)))
        np.testing.assert_allclose(dot.get_xdata(), [np.median(row.distances)])
    assert axis.lines[-1].get_xdata()[0] == 0.6
    assert axis.get_yticklabels()[0].get_text() == "tilt, 1 degrees"
    assert len(plots.crop_sensitivity(rows).axes[0].lines) == 6


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.found_faces({}),
        lambda: plots.found_faces({"a": (np.zeros((9, 9, 3), np.uint8), [])}, columns=0),
        lambda: plots.faces_and_crops(np.zeros((9, 9, 3), np.uint8), [], {"a": []}),
        lambda: plots.faces_and_crops(np.zeros((9, 9, 3), np.uint8), [ANN], {}),
        lambda: plots.faces_and_crops(np.zeros((9, 9, 3), np.uint8), [ANN], {"a": []}),
        lambda: plots.suppressed_boxes(np.zeros((0, 4)), np.zeros(0), []),
        lambda: plots.pyramid_levels([]),
        lambda: plots.detection_by_bin({}, {}),
        lambda: plots.detection_by_bin({"a": (["b"], np.ones(1, int), np.ones(1))}, {}),
        lambda: plots.crop_moves({}, 1.0),
        lambda: plots.crop_sensitivity([]),
    ],
)
def test_nothing_to_show_is_refused(draw):
    with pytest.raises(FacenetError, match="expected"):
        draw()
