"""YuNet through OpenCV: its order of landmarks, its colours, its file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from pasted_faces import picture_of

from facenet_lib.alignment.yunet import YunetDetector
from facenet_lib.errors import FacenetError

PICTURE = picture_of(300, 420, [(20, 30, 160), (230, 60, 120)])


@pytest.fixture(scope="module")
def yunet_file() -> Path:
    if "FACENET_YUNET" not in os.environ:
        pytest.skip("FACENET_YUNET does not name YuNet's ONNX file")
    return Path(os.environ["FACENET_YUNET"])


@pytest.fixture(scope="module")
def detector(yunet_file: Path) -> YunetDetector:
    return YunetDetector(yunet_file)


def test_faces_are_where_they_were_pasted(detector: YunetDetector):
    faces = detector.detect([PICTURE])[0]
    middles = sorted(face.box.centre for face in faces)
    np.testing.assert_allclose(middles, [(100, 110), (290, 120)], atol=25)
    assert [face.score for face in faces] == sorted((f.score for f in faces), reverse=True)


def test_landmarks_are_left_and_right_as_seen(detector: YunetDetector):
    for face in detector.detect([PICTURE])[0]:
        left_eye, right_eye, nose, left_mouth, right_mouth = face.landmarks
        assert left_eye[0] < nose[0] < right_eye[0]
        assert left_mouth[0] < right_mouth[0]
        assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


def test_images_of_several_sizes_do_not_touch_each_other(detector: YunetDetector):
    images = [PICTURE, PICTURE[:200, :200], PICTURE[:, :, ::-1], np.zeros((1, 1, 3), np.uint8)]
    together = detector.detect(images)
    for faces, image in zip(together, images, strict=True):
        assert [face.box for face in faces] == [f.box for f in detector.detect([image])[0]]
    assert together[3] == []
    # Red, green, blue: the other way round it is less sure of a face.
    assert together[0][0].score != together[2][0].score


def test_a_higher_threshold_leaves_fewer_faces(detector: YunetDetector, yunet_file: Path):
    scores = [face.score for face in detector.detect([PICTURE])[0]]
    strict = YunetDetector(yunet_file, score_threshold=(scores[0] + scores[1]) / 2)
    assert [face.score for face in strict.detect([PICTURE])[0]] == scores[:1]
    with pytest.raises(FacenetError, match=r"score_threshold: expected .*found 2"):
        YunetDetector(yunet_file, score_threshold=2)


def test_what_is_no_photograph_is_refused(detector: YunetDetector):
    with pytest.raises(FacenetError, match="image 2: expected uint8"):
        detector.detect([PICTURE, PICTURE[..., 0]])


def test_its_version_names_the_file_and_opencv(detector: YunetDetector, yunet_file: Path):
    import cv2

    assert detector.name == "yunet"
    assert detector.version.endswith(f", opencv {cv2.__version__}")


@pytest.mark.parametrize("kept", [0, 1000, 100_000])
def test_a_damaged_file_is_refused(yunet_file: Path, tmp_path: Path, kept: int):
    damaged = tmp_path / "yunet.onnx"
    damaged.write_bytes(yunet_file.read_bytes()[:kept])
    with pytest.raises(FacenetError, match=r"yunet\.onnx: expected YuNet as an ONNX file, found"):
        YunetDetector(damaged)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(
        FacenetError, match=r"yunet\.onnx: cannot be read: No such file or directory"
    ):
        YunetDetector(tmp_path / "yunet.onnx")
    with pytest.raises(FacenetError, match="Is a directory"):
        YunetDetector(tmp_path)


def test_opencv_that_is_missing_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(FacenetError, match=r"YuNet needs the package cv2.*facenet-lib\[alignment"):
        YunetDetector("yunet.onnx")
