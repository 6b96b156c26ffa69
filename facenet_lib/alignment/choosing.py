"""Which of the faces in a photograph it is about; derived in chapter 10."""

from __future__ import annotations

from collections.abc import Sequence

from facenet_lib.alignment.faces import Face
from facenet_lib.checks import word_problems
from facenet_lib.errors import FacenetError, refuse

RULES = ("centre", "largest", "all", "one")


def choose_face(faces: Sequence[Face], image_size: tuple[int, int], rule: str) -> list[Face]:
    """Choose the face that a photograph is meant to show, or all of them.

    Args:
        faces: what a detector found.
        image_size: height and width of the photograph, pixels.
        rule: ``"centre"``, the face with the largest area minus twice the squared distance of its
            box's centre from the middle of the photograph: bystanders may be larger, but stand
            aside; ``"largest"``, the largest box; ``"all"``, every face, in the order they came;
            ``"one"``, the only one.

    Returns:
        The chosen faces; none where there is none, and of equal ones the first.

    Raises:
        FacenetError: for another rule, or several faces where the rule is ``"one"``.

    Source: davidsandberg/facenet, ``src/align/align_dataset_mtcnn.py``, for ``"centre"``.

    >>> from facenet_lib.alignment.faces import Box
    >>> middle, bystander = Face(Box(40, 40, 60, 60), 0.9), Face(Box(0, 0, 30, 30), 0.9)
    >>> choose_face([bystander, middle], (100, 100), "centre") == [middle]
    True
    """
    refuse("choose_face", word_problems("rule", rule, RULES))
    if rule == "all" or not faces:
        return list(faces)
    if rule == "one":
        if len(faces) > 1:
            raise FacenetError(f"expected one face, found {len(faces)}")
        return list(faces)
    height, width = image_size

    def merit(face: Face) -> float:
        area = face.box.width * face.box.height
        x, y = face.box.centre
        aside = (x - width / 2) ** 2 + (y - height / 2) ** 2
        return area - _WEIGHT * aside if rule == "centre" else area

    return [max(faces, key=merit)]


_WEIGHT = 2.0  # of the squared distance from the middle; the reference's
