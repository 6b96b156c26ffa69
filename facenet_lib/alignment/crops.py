"""A face cut out of its photograph, in three ways; derived in chapter 10."""

from __future__ import annotations

import math

import numpy as np
import PIL.Image
from numpy.typing import ArrayLike, NDArray

from facenet_lib.alignment.faces import Box, Face, Image, check_image
from facenet_lib.checks import check_array, integer_problems, number_problems, word_problems
from facenet_lib.errors import FacenetError, refuse

DEFAULT_MARGINS = {"reference": 32.0, "square": 0.125, "similarity": 0.125}
"""Each crop, and the margin it takes if none is named. On LFW all three then show windows of about
the same area."""

CROPS = tuple(DEFAULT_MARGINS)
MOST_PIXELS_A_SIDE = 10_000
"""Of a crop."""

TEMPLATE: NDArray[np.float64] = np.array(
    [[0.33, 0.38], [0.67, 0.38], [0.50, 0.58], [0.35, 0.75], [0.65, 0.75]]
)
"""float64 (5, 2), x and y of the landmarks in a window of side 1, without a margin.

Where MTCNN's landmarks lie, on average, in the square around the middle of its box whose side is
the box's longer one: measured on 400 images of LFW (seed 0), averaged with their mirror image and
rounded, so that a similarity crop shows as much of a face as a square one, and shows it upright.
"""


def crop_face(image: Image, face: Face, kind: str, size: int, margin: float | None = None) -> Image:
    """Cut a face out by one of the three rules.

    Args:
        image: uint8 (height, width, 3), RGB, upright.
        face: where it is.
        kind: ``"reference"``, see :func:`crop_reference`; ``"square"``, see :func:`crop_square`;
            or ``"similarity"``, see :func:`crop_similarity`.
        size: side of the crop, pixels.
        margin: as that function takes it; None: its usual one.

    Returns:
        uint8 (size, size, 3).

    Raises:
        FacenetError: for another kind, and what that function raises.

    >>> image = np.zeros((100, 100, 3), np.uint8)
    >>> crop_face(image, Face(Box(20, 20, 60, 80), 0.9), "square", 32).shape
    (32, 32, 3)
    """
    refuse("crop", word_problems("kind", kind, CROPS))
    crop = {"reference": crop_reference, "square": crop_square, "similarity": crop_similarity}
    return crop[kind](image, face, size, DEFAULT_MARGINS[kind] if margin is None else margin)


def crop_reference(image: Image, face: Face, size: int, margin: float = 32) -> Image:
    """Cut out the box and a margin as the reference does, and squeeze it to a square.

    The margin is in pixels of the photograph, whatever the size of the face: half of it on each
    side, as far as the photograph goes. Corners are cut to whole pixels, towards zero.

    Args:
        image: uint8 (height, width, 3), RGB, upright.
        face: its box counts.
        size: side of the crop, pixels.
        margin: pixels of the photograph that the window is wider and higher than the box.

    Returns:
        uint8 (size, size, 3).

    Raises:
        FacenetError: for unusable arguments, or a box without a pixel inside the photograph.

    Source: davidsandberg/facenet, ``src/align/align_dataset_mtcnn.py``.

    >>> image = np.arange(75, dtype=np.uint8).reshape(5, 5, 3)
    >>> crop = crop_reference(image, Face(Box(1, 1, 3, 3), 0.9), size=4, margin=2)
    >>> bool((crop == image[:4, :4]).all())
    True
    """
    _check(image, size, margin)
    left, top, right, bottom = _finite(face.box)
    height, width = image.shape[:2]
    window = (
        int(max(left - margin / 2, 0)),
        int(max(top - margin / 2, 0)),
        int(min(right + margin / 2, width)),
        int(min(bottom + margin / 2, height)),
    )
    if window[0] >= window[2] or window[1] >= window[3]:
        found = f"{_text(face.box)} in a photograph of {width} x {height}"
        raise FacenetError(f"crop: expected a box inside the photograph, found {found}")
    # What the reference calls, scipy.misc.imresize, was Pillow's filter: first across, then down.
    # Pillow 13 chooses the order by the sizes, which rounds some pixels differently.
    part = PIL.Image.fromarray(image[window[1] : window[3], window[0] : window[2]])
    across = part.resize((size, part.height), PIL.Image.Resampling.BILINEAR)
    return np.array(across.resize((size, size), PIL.Image.Resampling.BILINEAR))


def crop_square(image: Image, face: Face, size: int, margin: float = 0.125) -> Image:
    """Cut out a square around the middle of the box; nothing is squeezed.

    Its side is the box's longer one and a margin in proportion to it, so that a photograph taken
    at another size gives the same crop. What lies outside the photograph is black.

    Args:
        image: uint8 (height, width, 3), RGB, upright.
        face: its box counts.
        size: side of the crop, pixels.
        margin: how much wider the window is than the box's longer side, as a part of that.

    Returns:
        uint8 (size, size, 3).

    Raises:
        FacenetError: for unusable arguments, or a box without an area.

    >>> image = np.full((100, 100, 3), 255, np.uint8)
    >>> crop_square(image, Face(Box(-40, 0, 40, 80), 0.9), 4, margin=0.0)[0, :, 0].tolist()
    [0, 0, 255, 255]
    """
    _check(image, size, margin)
    box = Box(*_finite(face.box))
    if box.width <= 0 or box.height <= 0:
        raise FacenetError(f"crop: expected a box with an area, found {_text(box)}")
    scale = size / (max(box.width, box.height) * (1 + margin))
    x, y = (size / 2 - scale * place for place in box.centre)
    return _warp(image, np.array([[scale, 0, x], [0, scale, y]]), size)


def crop_similarity(image: Image, face: Face, size: int, margin: float = 0.125) -> Image:
    """Turn, scale and move a face so that its landmarks come to lie on :data:`TEMPLATE`.

    The eyes of all crops are then at the same places, as far as one similarity transform can
    bring five points there: see :func:`similarity_transform`. What lies outside the photograph is
    black.

    Args:
        image: uint8 (height, width, 3), RGB, upright.
        face: its landmarks count.
        size: side of the crop, pixels.
        margin: how much wider the window is than the template's, as a part of that.

    Returns:
        uint8 (size, size, 3).

    Raises:
        FacenetError: for unusable arguments, a face without landmarks, or landmarks in one point.

    >>> image = np.zeros((100, 100, 3), np.uint8)
    >>> crop_similarity(image, Face(Box(0, 0, 100, 100), 0.9, TEMPLATE * 100), 32).shape
    (32, 32, 3)
    """
    _check(image, size, margin)
    if face.landmarks is None:
        raise FacenetError("crop: expected landmarks for a similarity transform, found none")
    return _warp(image, similarity_transform(face.landmarks, place_template(size, margin)), size)


def place_template(size: int, margin: float = 0.125) -> NDArray[np.float64]:
    """Return where a similarity crop has the landmarks, float64 (5, 2), pixels of the crop.

    >>> place_template(160, margin=0.0)[0].round(6).tolist()
    [52.8, 60.8]
    """
    return ((TEMPLATE - 0.5) / (1 + margin) + 0.5) * size


def similarity_transform(points: ArrayLike, targets: ArrayLike) -> NDArray[np.float64]:
    """Fit rotation, scale and shift that bring points as near as possible to others.

    Of all such transforms the one with the least sum of squared distances; a mirror image is none
    of them. In the plane, with points as complex numbers whose means are moved to 0, rotation and
    scale are the one factor sum(conj(point) target) / sum(abs(point)^2).

    Args:
        points: numbers (n, 2), n at least 2.
        targets: numbers (n, 2).

    Returns:
        float64 (2, 3): A for which ``A @ (x, y, 1)`` is where (x, y) goes.

    Raises:
        FacenetError: for other shapes, numbers that are not finite, or points that are one.

    Source: Umeyama, "Least-squares estimation of transformation parameters between two point
    patterns", 1991, eq. 40 to 42, for two dimensions.

    >>> similarity_transform([[0, 0], [1, 0]], [[5, 5], [5, 7]]).round(9).tolist()
    [[0.0, -2.0, 5.0], [2.0, 0.0, 5.0]]
    """
    start, end = (
        check_array(name, np.asarray(values, dtype=np.float64), "floating point numbers", ("n", 2))
        for name, values in (("points", points), ("targets", targets))
    )
    if start.shape != end.shape or not (np.isfinite(start).all() and np.isfinite(end).all()):
        raise FacenetError("similarity: expected as many finite points as finite targets")
    z, w = start @ _COMPLEX, end @ _COMPLEX
    centred = z - z.mean()
    spread = np.sum(np.abs(centred) ** 2)
    if not spread > 0:
        raise FacenetError("similarity: expected points that differ, found one place")
    turn = np.sum(centred.conj() * (w - w.mean())) / spread
    shift = w.mean() - turn * z.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


_COMPLEX = np.array([1, 1j])


def _warp(image: Image, transform: NDArray[np.float64], size: int) -> Image:
    """Move every pixel of a photograph by a similarity transform; black where there is none.

    Pillow asks for each pixel of the result where it comes from, and mixes four neighbours. Where
    a face is more than twice as large as its crop that would leave pixels between them unseen, so
    that the photograph is shrunk first, by averaging blocks.
    """
    scale = math.hypot(transform[0, 0], transform[1, 0])
    if not scale > 0:
        raise FacenetError("crop: expected landmarks of a face, found no size")
    picture = PIL.Image.fromarray(image)
    block = max(1, int(1 / scale))
    back = np.linalg.inv(np.vstack([transform, [0, 0, 1]]))[:2]
    # Both count from the outer corner of the first pixel, so that a block is a division.
    return np.array(
        (picture.reduce(block) if block > 1 else picture).transform(
            (size, size),
            PIL.Image.Transform.AFFINE,
            tuple((back / block).ravel().tolist()),
            PIL.Image.Resampling.BILINEAR,
        )
    )


def _check(image: Image, size: int, margin: float) -> None:
    check_image("image", image)
    problems = integer_problems("size", size, 1, MOST_PIXELS_A_SIDE)
    refuse("crop", problems + number_problems("margin", margin, "[0, inf)"))


def _finite(box: Box) -> Box:
    if not np.isfinite(box).all():
        raise FacenetError(f"crop: expected a box of numbers, found {_text(box)}")
    return box


def _text(box: Box) -> str:
    return "({:.1f}, {:.1f}, {:.1f}, {:.1f})".format(*box)
