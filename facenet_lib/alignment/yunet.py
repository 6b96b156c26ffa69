"""YuNet: faces and five landmarks at a single look, by OpenCV.

Source: Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023; its file, under the MIT
licence, is ``face_detection_yunet_2023mar.onnx`` of OpenCV's model zoo. Derived in chapter 10.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from facenet_lib.alignment.faces import Box, Face, Image, check_image
from facenet_lib.checks import number_problems
from facenet_lib.errors import FacenetError, explain_missing, refuse
from facenet_lib.files import read_bytes


class YunetDetector:
    """Finds faces with YuNet.

    Args:
        path: its ONNX file.
        score_threshold: what a face must score, 0 to 1.

    Raises:
        FacenetError: when OpenCV is not installed, or the file is missing or not such a network.

    >>> YunetDetector("nowhere.onnx")
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: nowhere.onnx: cannot be read: No such file or directory
    """

    name = "yunet"

    def __init__(self, path: str | Path, score_threshold: float = 0.7) -> None:
        refuse("detector", number_problems("score_threshold", score_threshold, "[0, 1]"))
        with explain_missing("YuNet", "alignment"):
            import cv2
        data = read_bytes(Path(path))
        model = np.frombuffer(data, np.uint8)
        no_config = np.zeros(0, np.uint8)
        try:
            with _without_messages(cv2):
                self._detector = cv2.FaceDetectorYN.create(
                    "onnx", model, no_config, (320, 320), score_threshold
                )
                self._detector.detect(np.zeros((320, 320, 3), np.uint8))
        except cv2.error as error:
            raise FacenetError(
                f"{path}: expected YuNet as an ONNX file, found what OpenCV cannot run"
            ) from error
        self.version = f"{hashlib.sha256(data).hexdigest()[:12]}, opencv {cv2.__version__}"

    def detect(self, images: Sequence[Image]) -> list[list[Face]]:
        """Find the faces of images, which may differ in size; the surest first.

        Args:
            images: each uint8 (height, width, 3), RGB, upright.

        Returns:
            For each image its faces, none where nothing was found.

        Raises:
            FacenetError: for an image of another kind or shape.
        """
        for number, image in enumerate(images, start=1):
            check_image(f"image {number}", image)
        return [self._faces(image) for image in images]

    def _faces(self, image: Image) -> list[Face]:
        height, width = image.shape[:2]
        self._detector.setInputSize((width, height))
        # OpenCV's colours are blue, green, red.
        _, found = self._detector.detect(np.ascontiguousarray(image[..., ::-1]))
        rows = np.zeros((0, 15), np.float32) if found is None else found
        return [_face(row) for row in rows[np.argsort(-rows[:, 14], kind="stable")]]


def _face(row: np.ndarray) -> Face:
    """Left, top, width, height, x and y of five landmarks, and the score.

    The landmarks begin with the right eye and corner of the mouth, of the person: on the left as
    one sees them.
    """
    left, top, width, height = row[:4].tolist()
    box = Box(left, top, left + width, top + height)
    return Face(box, float(row[14]), row[4:14].reshape(5, 2).copy())


@contextmanager
def _without_messages(cv2: Any) -> Iterator[None]:
    """Keep OpenCV 5 from warnings that tell a user nothing; what fails, raises."""
    logging = cv2.utils.logging
    level = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logging.setLogLevel(level)
