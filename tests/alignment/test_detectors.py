"""Detectors by name; large and turned photographs, with a detector that sees coloured squares."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from pasted_faces import Pixels, picture_of

from facenet_lib.alignment.detectors import ShrinkingDetector, TurningDetector, make_detector
from facenet_lib.alignment.faces import Box, Face
from facenet_lib.errors import FacenetError


class SquareDetector:
    """Finds the rectangle of each shade of red there is, and its corners as landmarks.

    Its score is higher the nearer the rectangle is to the top, so that it prefers one turn.
    """

    name = "squares"
    version = "1"

    def __init__(self, landmarks: bool = True) -> None:
        self.landmarks = landmarks
        self.seen: list[tuple[int, ...]] = []

    def detect(self, images: Sequence[Pixels]) -> list[list[Face]]:
        self.seen += [image.shape for image in images]
        return [
            [self._face(image, shade) for shade in np.unique(image[..., 0]) if shade]
            for image in images
        ]

    def _face(self, image: Pixels, shade: int) -> Face:
        rows, columns = np.nonzero(image[..., 0] == shade)
        left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        corners = np.array([(left, top), (right, top), (left, bottom), (right, bottom)], float)
        middle = corners.mean(axis=0, keepdims=True)
        points = np.concatenate([corners[:2], middle, corners[2:]])
        score = 1 / (1 + float(top))
        box = Box(*map(float, (left, top, right, bottom)))
        return Face(box, score, points if self.landmarks else None)


def marked(height: int, width: int, **boxes: tuple[int, int, int, int]) -> Pixels:
    image = np.zeros((height, width, 3), np.uint8)
    for shade, (left, top, right, bottom) in enumerate(boxes.values(), start=1):
        image[top:bottom, left:right, 0] = 50 * shade
    return image


def test_a_large_photograph_is_searched_at_the_size_stated_and_no_other_is_touched():
    squares = SquareDetector()
    large = marked(400, 800, face=(80, 120, 240, 200))
    small = marked(100, 90, face=(7, 9, 20, 30))
    found = ShrinkingDetector(squares, longest_side=100).detect([large, small])
    assert squares.seen == [(50, 100, 3), (100, 90, 3)]
    assert found[1][0].box == (7, 9, 20, 30)
    assert any(np.allclose(face.box, (80, 120, 240, 200), atol=8) for face in found[0])


@pytest.mark.parametrize("shape", [(3000, 1), (1, 3000), (2999, 17), (100, 100), (101, 100)])
def test_a_photograph_of_any_shape_shrinks_to_the_longest_side(shape: tuple[int, int]):
    squares = SquareDetector()
    image = np.full((*shape, 3), 77, np.uint8)
    ((face,),) = ShrinkingDetector(squares, longest_side=100).detect([image])
    assert max(squares.seen[0]) == 100 and min(squares.seen[0]) >= 1
    np.testing.assert_allclose(face.box, (0, 0, shape[1], shape[0]))
    np.testing.assert_allclose(face.landmarks[4], shape[::-1])


def test_a_turned_photograph_gives_boxes_and_landmarks_where_they_are():
    """The square detector is surest of what is at the top: each box as one of the turns has it."""
    boxes = {
        "top": (10, 0, 20, 30),
        "left": (0, 60, 12, 75),
        "bottom": (40, 180, 50, 200),
        "right": (90, 100, 100, 130),
    }
    image = marked(200, 100, **boxes)
    (found,) = TurningDetector(SquareDetector()).detect([image])
    assert len(found) == 4
    for face in found:
        assert face.score == 1.0
        assert face.box in boxes.values()
    by_name = {name: next(f for f in found if f.box == box) for name, box in boxes.items()}
    # Landmarks are named as seen when the side that was at the top of the turn is up.
    for name, first, second in [
        ("top", (10, 0), (20, 0)),
        ("right", (100, 100), (100, 130)),
        ("bottom", (50, 200), (40, 200)),
        ("left", (0, 75), (0, 60)),
    ]:
        assert by_name[name].landmarks[:2].tolist() == [list(first), list(second)]


def test_what_only_a_turned_photograph_shows_must_score_enough():
    """A box's score is 1 / (1 + its distance from the top), of whichever side is up."""
    image = marked(100, 100, above=(40, 30, 60, 50), right=(70, 40, 90, 60))

    def scores(least_score: float) -> list[float]:
        return [f.score for f in TurningDetector(SquareDetector(), least_score).detect([image])[0]]

    assert scores(0.0) == scores(0.05) == [1 / 11, 1 / 31]
    assert scores(0.5) == [1 / 31, 1 / 41]
    with pytest.raises(FacenetError, match="least_score: expected a number"):
        TurningDetector(SquareDetector(), least_score=2)


def test_without_landmarks_both_do_without():
    image = marked(60, 40, face=(0, 0, 10, 10))
    for detector in (
        TurningDetector(SquareDetector(landmarks=False)),
        ShrinkingDetector(SquareDetector(landmarks=False), 30),
    ):
        assert detector.detect([image])[0][0].landmarks is None


def test_no_image_and_no_face_are_nothing():
    for detector in (TurningDetector(SquareDetector()), ShrinkingDetector(SquareDetector())):
        assert detector.detect([]) == []
        assert detector.detect([np.zeros((5, 6, 3), np.uint8)]) == [[]]


def test_what_is_no_photograph_is_refused_by_its_number():
    image = marked(60, 40, face=(0, 0, 10, 10))
    for detector in (TurningDetector(SquareDetector()), ShrinkingDetector(SquareDetector())):
        with pytest.raises(FacenetError, match="image 2: expected uint8"):
            detector.detect([image, image[..., 0]])


def test_both_are_called_by_the_name_of_the_detector():
    assert ShrinkingDetector(SquareDetector()).name == "squares"
    assert TurningDetector(SquareDetector()).name == "squares, turned"
    assert TurningDetector(SquareDetector()).version == "1"


@pytest.mark.parametrize("longest_side", [0, 2.5, None])
def test_another_longest_side_is_refused(longest_side: object):
    with pytest.raises(FacenetError, match="longest_side: expected an integer"):
        ShrinkingDetector(SquareDetector(), longest_side)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mtcnn", "yunet"])
def test_real_detectors_find_a_face_in_any_quarter_turn(name: str):
    yunet_file = os.environ.get("FACENET_YUNET")
    if name == "yunet" and yunet_file is None:
        pytest.skip("FACENET_YUNET does not name YuNet's ONNX file")
    upright = picture_of(200, 300, [(60, 10, 180)])
    plain = make_detector(name, yunet_file)
    turning = make_detector(name, yunet_file, turned=True)
    (expected,) = plain.detect([upright])[0]
    for quarters in range(4):
        (face,) = turning.detect([np.rot90(upright, quarters)])[0]
        back = np.rot90(np.rot90(upright, quarters), -quarters)
        assert back.shape == upright.shape
        corners = turned(np.reshape(expected.box, (2, 2)), quarters, 300, 200)
        np.testing.assert_allclose(np.sort(corners, 0).ravel(), face.box, atol=1e-3)
        np.testing.assert_allclose(
            turned(expected.landmarks, quarters, 300, 200), face.landmarks, atol=1e-3
        )


def turned(points: np.ndarray, quarters: int, width: int, height: int) -> np.ndarray:
    """Points of an image that is turned anticlockwise, a quarter at a time."""
    for _ in range(quarters):
        points = np.stack([points[:, 1], width - points[:, 0]], axis=1)
        width, height = height, width
    return points


def test_a_detector_that_is_not_there_is_refused():
    with pytest.raises(FacenetError, match="name: expected 'mtcnn' or 'yunet', found 'haar'"):
        make_detector("haar")
    with pytest.raises(FacenetError, match="yunet: expected the path of its ONNX file"):
        make_detector("yunet")


def test_the_other_detectors_load_no_tensorflow():
    import subprocess

    program = (
        "import sys\n"
        "from facenet_lib.alignment import TurningDetector, YunetDetector, make_detector\n"
        "assert 'tensorflow' not in sys.modules and 'cv2' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
