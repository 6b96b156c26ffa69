"""By what a model is known again: its embeddings of four pictures that are always the same.

Embeddings of two models cannot be compared, and nothing in the numbers shows it. A name can be
given twice, and one model has several files: a run, its export, a server. What it makes of a
picture is the model itself, with its preprocessing. Derived in chapter 12.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from facenet_lib.embedding import Embedder
from facenet_lib.errors import FacenetError
from facenet_lib.recognition.search import check_embeddings

SAME_MODEL_BELOW = 1e-3
"""Squared distance of two embeddings of a picture below which one model made both: rounding on
other hardware stays far below it, another model, crop or standardization far above."""

_PICTURES, _SIDE = 4, 250


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What a model makes of the pictures.

    Attributes:
        model: the folder or address that was asked.
        embeddings: float32 (4, embedding_size), rows of length one.
    """

    model: str
    embeddings: NDArray[np.float32]

    def check_same(self, other: Fingerprint) -> None:
        """Refuse another model than this one.

        Raises:
            FacenetError: naming both.

        >>> one, other = Fingerprint("a", np.eye(4)), Fingerprint("b", np.eye(4)[::-1])
        >>> one.check_same(one)
        >>> one.check_same(other)
        Traceback (most recent call last):
        facenet_lib.errors.FacenetError: expected embeddings of the model a, found those of b, ...
        """
        found = f"expected embeddings of the model {self.model}, found those of {other.model}"
        ours, theirs = self.embeddings.shape[1], other.embeddings.shape[1]
        if ours != theirs:
            raise FacenetError(f"{found}: {ours} and {theirs} numbers")
        apart = float(np.square(self.embeddings - other.embeddings).sum(axis=1).max())
        if not apart < SAME_MODEL_BELOW:
            raise FacenetError(
                f"{found}, which is another one, or has another version or preprocessing: the same "
                f"picture's embeddings are {apart:.3g} apart"
            )


def take_fingerprint(embedder: Embedder, model: str) -> Fingerprint:
    """Ask a model for its embeddings of the pictures.

    Args:
        embedder: of a folder or a server.
        model: how it is called in errors: the folder or address.

    >>> class Brightness:
    ...     def embed(self, paths):
    ...         means = np.stack([np.asarray(PIL.Image.open(path)).mean((0, 1)) for path in paths])
    ...         return means / np.linalg.norm(means, axis=1, keepdims=True)
    >>> take_fingerprint(Brightness(), "brightness").embeddings.shape
    (4, 3)
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.png" for number in range(_PICTURES)]
        for path, picture in zip(paths, draw_test_pictures(), strict=True):
            PIL.Image.fromarray(picture).save(path)
        embeddings = embedder.embed(paths)
    return Fingerprint(model, check_embeddings(model, embeddings))


def draw_test_pictures() -> NDArray[np.uint8]:
    """Draw the pictures: waves of several lengths and colours, so that every change shows.

    Returns:
        uint8 (4, 250, 250, 3).

    >>> draw_test_pictures().shape
    (4, 250, 250, 3)
    """
    y, x = np.meshgrid(*[np.arange(_SIDE) / _SIDE] * 2, indexing="ij")
    number = np.arange(_PICTURES)[:, None, None, None]
    channel = np.arange(3)
    x, y = x[..., None], y[..., None]
    coarse = np.sin(6 * (number + 1) * x + 2 * channel) * np.cos(5 * y * (4 - number) + channel)
    fine = np.sin(40 * (x * (number - 1.5) + y) + channel)
    return np.rint(140 + 70 * coarse + 30 * fine).astype(np.uint8)
