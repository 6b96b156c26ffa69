"""From a face to a name, or to nobody. Derived in chapter 12."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import ArrayLike

from facenet_lib.checks import number_problems
from facenet_lib.errors import refuse
from facenet_lib.recognition.gallery import Gallery


@dataclass(frozen=True)
class Identification:
    """Who a face is.

    Attributes:
        name: of the person; None: nobody of the gallery.
        distance: squared distance to the nearest person, named or not.
        nearest: who that is.
        runner_up: the next person; None where the gallery holds but one.
        runner_up_distance: squared distance to the runner-up, or None.
    """

    name: str | None
    distance: float
    nearest: str
    runner_up: str | None
    runner_up_distance: float | None


def identify(
    gallery: Gallery, embeddings: ArrayLike, threshold: float, by: str = "nearest"
) -> list[Identification]:
    """Name faces, or say that they are nobody's.

    Args:
        gallery: whom to look among.
        embeddings: float (faces, embedding_size), rows of length one.
        threshold: squared distance below which the nearest person is taken for the face's; see
            :func:`facenet_lib.recognition.choose_threshold`. One that was made for pairs names too
            many strangers in a gallery of many people.
        by: how a person's distance is taken, see :meth:`Gallery.distances`.

    Returns:
        One answer a face.

    Raises:
        FacenetError: for a gallery without people, a threshold that is no squared distance, or
            embeddings that are not the gallery's.

    >>> import numpy as np
    >>> from facenet_lib.recognition.fingerprint import Fingerprint
    >>> gallery = Gallery(Fingerprint("facenet", np.eye(4, 2)))
    >>> gallery.enroll("Ann", [[1.0, 0.0]], ["1.jpg"])
    >>> [found.name for found in identify(gallery, [[0.96, 0.28], [0.0, 1.0]], threshold=0.5)]
    ['Ann', None]
    """
    refuse("identify", number_problems("threshold", threshold, "(0, inf)"))
    names, distances = gallery.search(embeddings, k=2, by=by)
    return [
        Identification(
            name=str(near[0]) if float(apart[0]) < threshold else None,
            distance=float(apart[0]),
            nearest=str(near[0]),
            runner_up=str(near[1]) if len(near) > 1 else None,
            runner_up_distance=float(apart[1]) if len(near) > 1 else None,
        )
        for near, apart in zip(names, distances, strict=True)
    ]
