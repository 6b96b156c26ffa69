"""A face in a photograph: where it is, how sure that is, and its five landmarks.

Mirrors what stands before the article's first section ("the section before cut the faces out with
MTCNN"); derived in chapter 10, "From photographs to faces".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from facenet_lib.errors import FacenetError

Image = NDArray[np.uint8]
"""uint8 (height, width, 3), RGB, upright."""
Landmarks = NDArray[np.floating[Any]]
"""(5, 2) x and y of left eye, right eye, nose, left and right corner of the mouth."""


class Box(NamedTuple):
    """A rectangle in pixels of the upright image; x grows to the right and y downwards.

    The pixel in the top left corner covers 0 to 1 in both, so that a box of a whole image is
    ``Box(0, 0, width, height)``. Parts of a box may lie outside the image.

    >>> Box(10, 20, 50, 80).width, Box(10, 20, 50, 80).height
    (40, 60)
    """

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Pixels from left to right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Pixels from top to bottom."""
        return self.bottom - self.top

    @property
    def centre(self) -> tuple[float, float]:
        """x and y of the middle."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2


@dataclass(frozen=True, eq=False)
class Face:
    """A face that a detector found.

    Attributes:
        box: around the face, pixels of the upright image.
        score: how sure the detector is, 0 to 1; of one detector's own making, not to be compared
            with another's.
        landmarks: float (5, 2), x and y of left eye, right eye, nose, left and right corner of
            the mouth, left and right as seen in the image; or None of a detector that has none.
    """

    box: Box
    score: float
    landmarks: Landmarks | None = None


class FaceDetector(Protocol):
    """What finds faces: any object with these three.

    Attributes:
        name: how it is called in a manifest, ``"mtcnn"`` for example.
        version: of its program and weights, for a manifest.
    """

    name: str
    version: str

    def detect(self, images: Sequence[Image]) -> list[list[Face]]:
        """Find the faces of images, which may differ in size; the surest first.

        Args:
            images: each uint8 (height, width, 3), RGB, upright.

        Returns:
            For each image its faces, none where nothing was found.
        """


def check_image(name: str, image: object) -> None:
    """Refuse what is no photograph as detectors take it.

    A detector would find nothing in grey values from 0 to 1, and other faces in 16-bit numbers.

    Raises:
        FacenetError: for anything but uint8 (height, width, 3), or an image without a pixel.

    >>> check_image("image 1", np.zeros((250, 250), np.uint8))
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: image 1: expected uint8 of shape (height, width, 3), RGB, ...
    """
    if isinstance(image, np.ndarray):
        fits = image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size
        found = f"{image.dtype} of shape {image.shape}"
    else:
        fits, found = False, f"a {type(image).__name__}"
    if not fits:
        raise FacenetError(
            f"{name}: expected uint8 of shape (height, width, 3), RGB, found {found}"
        )
