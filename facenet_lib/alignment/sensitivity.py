"""How far another crop of the same photograph moves an embedding; derived in chapter 10.

A model that was trained on one kind of crop is given slightly others: a wider window, a smaller
photograph, a tilted one, a box that is off, and two mistakes, a face on its side and colours in
another order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from facenet_lib.alignment.crops import CROPS, DEFAULT_MARGINS, crop_face
from facenet_lib.alignment.faces import Box, Face, Image
from facenet_lib.checks import word_problems
from facenet_lib.errors import FacenetError, refuse

Embed = Callable[[Sequence[Image]], NDArray[np.floating]]
"""From crops, uint8 (size, size, 3), to embeddings (n, embedding_size)."""


@dataclass(frozen=True)
class Sensitivity:
    """What one change does to the embeddings of n faces.

    Attributes:
        kind: what is changed, such as ``"tilt"``.
        amount: how much, such as ``"20 degrees"``.
        distances: float (n,), squared Euclidean distance to the unchanged crop's embedding.
    """

    kind: str
    amount: str
    distances: NDArray[np.floating]

    def share_beyond(self, threshold: float) -> float:
        """Share of the faces that are no longer taken for the same person."""
        return float(np.mean(self.distances >= threshold))


def measure_sensitivity(
    faces: Iterable[tuple[Image, Face]],
    embed: Embed,
    crop: str = "reference",
    size: int = 160,
    margin: float | None = None,
) -> list[Sensitivity]:
    """Cut faces out as they should be and in many other ways, and compare the embeddings.

    Args:
        faces: photographs, uint8 (height, width, 3), and in each the face that counts.
        embed: the model.
        crop: how faces are cut out for it, see :func:`facenet_lib.alignment.crop_face`.
        size: side of the crops, pixels.
        margin: as that crop takes it; None: its usual one.

    Returns:
        One entry a change, in the order of :func:`vary_crop`.

    Raises:
        FacenetError: for another crop, where there is no face, and what cutting out and ``embed``
            raise.

    >>> measure_sensitivity([], embed=len)
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: sensitivity: expected at least one face, found none
    """
    refuse("sensitivity", word_problems("crop", crop, CROPS))
    margin = DEFAULT_MARGINS[crop] if margin is None else margin
    crops: list[Image] = []
    changes: list[tuple[str, str]] = []
    for image, face in faces:
        varied = list(vary_crop(image, face, crop, size, margin))
        changes = [(kind, amount) for kind, amount, _ in varied]
        unchanged = crop_face(image, face, crop, size, margin)
        crops += [unchanged, *(picture for _, _, picture in varied)]
    if not crops:
        raise FacenetError("sensitivity: expected at least one face, found none")
    # A row a face: the crop as it should be, and the changed ones.
    embeddings = np.asarray(embed(crops), np.float64)
    embeddings = embeddings.reshape(-1, 1 + len(changes), embeddings.shape[-1])
    distances = np.sum((embeddings[:, 1:] - embeddings[:, :1]) ** 2, axis=2)
    return [Sensitivity(*change, distances[:, n]) for n, change in enumerate(changes)]


def vary_crop(
    image: Image, face: Face, crop: str, size: int, margin: float
) -> Iterator[tuple[str, str, Image]]:
    """Yield the name of each change, how much, and the crop that comes of it.

    Args:
        image: uint8 (height, width, 3), RGB, upright.
        face: where the face is.
        crop: see :func:`facenet_lib.alignment.crop_face`.
        size: side of the crops, pixels.
        margin: as that crop takes it.

    >>> image, face = np.zeros((50, 50, 3), np.uint8), Face(Box(9, 9, 40, 40), 1.0)
    >>> list(dict.fromkeys(kind for kind, *_ in vary_crop(image, face, "square", 8, 0.2)))
    ['window', 'photograph', 'tilt', 'shift', 'on its side', 'colours']
    """

    def cut(photograph: Image, there: Face, wide: float = margin) -> Image:
        return crop_face(photograph, there, crop, size, wide)

    for times in (0.8, 0.9, 1.1, 1.25):
        yield "window", f"x {times:g}", cut(image, face, _margin_of(face, crop, margin, times))
    for times in (2, 4):
        small = np.asarray(PIL.Image.fromarray(image).reduce(times))
        yield "photograph", f"/ {times}", cut(small, _moved(face, 1 / times, (0.0, 0.0)))
    for degrees in (-20, -10, 10, 20):
        yield "tilt", f"{degrees:+d} degrees", cut(*_tilted(image, face, degrees))
    side = max(face.box.width, face.box.height)
    for share in (0.05, 0.1, 0.2):
        aside = _moved(face, 1.0, (share * side, 0.0))
        yield "shift", f"{share:g} of the box", cut(image, aside)
    unchanged = cut(image, face)
    yield "on its side", "a quarter turn", np.ascontiguousarray(np.rot90(unchanged))
    yield "colours", "blue, green, red", np.ascontiguousarray(unchanged[..., ::-1])


def _margin_of(face: Face, crop: str, margin: float, times: float) -> float:
    """The margin of a window that is so many times as wide; none is narrower than the face."""
    side = max(face.box.width, face.box.height) if crop == "reference" else 1.0
    return max((side + margin) * times - side, 0.0)


def _moved(face: Face, times: float, shift: tuple[float, float]) -> Face:
    """A face all of whose points are scaled, and then moved by x and y."""
    corners = np.reshape(np.array(face.box, np.float64), (2, 2)) * times + shift
    landmarks = face.landmarks
    if landmarks is not None:
        landmarks = np.asarray(landmarks, np.float64) * times + shift
    return replace(face, box=Box(*corners.ravel().tolist()), landmarks=landmarks)


def _tilted(image: Image, face: Face, degrees: float) -> tuple[Image, Face]:
    """A photograph turned clockwise about the middle of a face, whose box stays where it is."""
    x, y = face.box.centre
    picture = PIL.Image.fromarray(image)
    turned = picture.rotate(-degrees, PIL.Image.Resampling.BILINEAR, center=(x, y))
    if face.landmarks is None:
        return np.asarray(turned), face
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = np.array([[cosine, -sine], [sine, cosine]])
    points = (np.asarray(face.landmarks, np.float64) - (x, y)) @ turn.T + (x, y)
    return np.asarray(turned), replace(face, landmarks=points)
