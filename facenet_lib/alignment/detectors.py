"""A detector by its name, and two that wrap another: for large and for turned photographs.

Derived in chapter 10.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from facenet_lib.alignment.boxes import suppress_overlaps
from facenet_lib.alignment.faces import Box, Face, FaceDetector, Image, check_image
from facenet_lib.checks import check_integer, number_problems, word_problems
from facenet_lib.errors import FacenetError, refuse

DETECTORS = ("mtcnn", "yunet")
LONGEST_SIDE = 1000
"""Of the photograph that is searched: twice as long takes four times the time."""
_LEAST_SCORES = {"mtcnn": 0.9, "yunet": 0.85}
"""In a turned photograph: of 13 and 7 false faces that turning 150 of LFW's added, 2 and none score
more, and 98 of 100 true ones do."""
_ONE_FACE = 0.3
"""Boxes that share more than this, of their union, are of one face."""


def make_detector(
    name: str,
    yunet_file: str | Path | None = None,
    *,
    longest_side: int = LONGEST_SIDE,
    turned: bool = False,
) -> FaceDetector:
    """Make a detector ready for photographs of any size.

    Args:
        name: ``"mtcnn"`` or ``"yunet"``.
        yunet_file: YuNet's ONNX file.
        longest_side: a larger photograph is shrunk to it before it is searched.
        turned: find faces that lie on their side or head too; takes four times as long.

    Raises:
        FacenetError: for another name, or when what the detector needs is not there.

    >>> make_detector("mtcnn").name
    'mtcnn'
    """
    refuse("make_detector", word_problems("name", name, DETECTORS))
    detector: FaceDetector
    if name == "mtcnn":
        from facenet_lib.alignment.mtcnn import MtcnnDetector

        detector = MtcnnDetector(longest_side=longest_side)  # which shrinks in its graph
    else:
        from facenet_lib.alignment.yunet import YunetDetector

        if yunet_file is None:
            raise FacenetError("yunet: expected the path of its ONNX file, found none")
        detector = ShrinkingDetector(YunetDetector(yunet_file), longest_side)
    return TurningDetector(detector, _LEAST_SCORES[name]) if turned else detector


class ShrinkingDetector:
    """Has another detector search large photographs at a smaller size.

    Args:
        detector: the other.
        longest_side: of what it gets to see, pixels.

    Raises:
        FacenetError: when ``longest_side`` is no integer of at least 1.
    """

    def __init__(self, detector: FaceDetector, longest_side: int = LONGEST_SIDE) -> None:
        self._detector = detector
        self._longest_side = check_integer("longest_side", longest_side, at_least=1)
        self.name, self.version = detector.name, detector.version

    def detect(self, images: Sequence[Image]) -> list[list[Face]]:
        """Find the faces of images; see :meth:`FaceDetector.detect`."""
        small = [self._shrink(f"image {number}", image) for number, image in enumerate(images, 1)]
        return [
            [_stretch(face, _size(image) / _size(seen)) for face in faces]
            for image, seen, faces in zip(images, small, self._detector.detect(small), strict=True)
        ]

    def _shrink(self, name: str, image: Image) -> Image:
        check_image(name, image)
        scale = self._longest_side / max(image.shape[:2])
        if scale >= 1:
            return image
        width, height = np.maximum(np.rint(_size(image) * scale), 1).astype(int).tolist()
        # Pillow's filter takes all pixels that become one into account, however many.
        return np.asarray(
            PIL.Image.fromarray(image).resize((width, height), PIL.Image.Resampling.BILINEAR)
        )


class TurningDetector:
    """Has another detector search photographs as they are, on both sides and upside down.

    Of what it finds of one face the surest stays. Landmarks are named as one sees them when the
    face is upright.

    Args:
        detector: the other.
        least_score: what a face must score in a turned photograph. Three more looks find three
            times as many things that are no face, and most of these score little.

    Raises:
        FacenetError: when ``least_score`` is out of range.
    """

    def __init__(self, detector: FaceDetector, least_score: float = 0.0) -> None:
        refuse("TurningDetector", number_problems("least_score", least_score, "[0, 1]"))
        self._detector = detector
        self._least_score = least_score
        self.name, self.version = f"{detector.name}, turned", detector.version

    def detect(self, images: Sequence[Image]) -> list[list[Face]]:
        """Find the faces of images; see :meth:`FaceDetector.detect`."""
        for number, image in enumerate(images, start=1):
            check_image(f"image {number}", image)
        found: list[list[Face]] = [[] for _ in images]
        for quarters in range(4):
            turned = self._detector.detect([np.rot90(image, quarters) for image in images])
            for image, faces, more in zip(images, found, turned, strict=True):
                sure = [f for f in more if quarters == 0 or f.score >= self._least_score]
                faces += [_turn_back(face, quarters, *_size(image)) for face in sure]
        return [_surest(faces) for faces in found]


def _size(image: Image) -> NDArray[np.float64]:
    """Width and height."""
    return np.array(image.shape[1::-1], dtype=np.float64)


def _stretch(face: Face, by: NDArray[np.float64]) -> Face:
    """Multiply the x and y of a face."""
    box = Box(*(np.reshape(face.box, (2, 2)) * by).ravel().tolist())
    return Face(box, face.score, None if face.landmarks is None else face.landmarks * by)


def _turn_back(face: Face, quarters: int, width: float, height: float) -> Face:
    """Return a face of a photograph turned anticlockwise to where it is in the photograph."""

    def back(points: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        x, y = points[:, 0], points[:, 1]
        unturned = ((x, y), (width - y, x), (width - x, height - y), (y, height - x))
        return np.stack(unturned[quarters], axis=1)

    corners = np.sort(back(np.reshape(face.box, (2, 2))), axis=0)
    landmarks = None if face.landmarks is None else back(face.landmarks)
    return Face(Box(*corners.ravel().tolist()), face.score, landmarks)


def _surest(faces: list[Face]) -> list[Face]:
    boxes = np.array([face.box for face in faces])
    kept = suppress_overlaps(boxes, [face.score for face in faces], _ONE_FACE)
    return [faces[place] for place in kept]
