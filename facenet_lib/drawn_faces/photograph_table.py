"""``faces.csv``: who is where in the photographs of a folder."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from facenet_lib.drawn_faces.mathematics import FloatArray
from facenet_lib.errors import FacenetError, shown
from facenet_lib.files import parse_table, read_text, write_text

TABLE = "faces.csv"


@dataclass(frozen=True, eq=False)
class DrawnFace:
    """The truth of one face in a drawn photograph.

    Attributes:
        name: of the person.
        box: left, top, right, bottom, pixels from the photograph's upper left corner: from the
            hairline (were there no fringe) to the chin, from cheek to cheek, as far as the
            camera sees the surface of the head, whether or not something hides it. Parts may
            lie outside the photograph.
        landmarks: float64 (5, 2), x and y of left eye, right eye, tip of the nose, left and right
            corner of the mouth, left and right as seen in the image.
        hidden: share of the face, 0 to 1, that is outside the photograph or behind other people.
        yaw: degrees by which the head is turned to the photograph's right.
        pitch: degrees by which it looks up.
        roll: degrees by which it leans anticlockwise.
    """

    name: str
    box: tuple[float, float, float, float]
    landmarks: FloatArray
    hidden: float
    yaw: float
    pitch: float
    roll: float


def read_photograph_faces(
    folder: str | os.PathLike[str],
) -> dict[str, tuple[DrawnFace, ...]]:
    """Read who is where in a folder of drawn photographs.

    Args:
        folder: that :func:`write_photographs` wrote.

    Returns:
        Path of each photograph, relative to the folder and with ``/``, to its faces, the nearest
        first.

    Raises:
        FacenetError: if ``faces.csv`` is missing, or naming every line that is damaged.

    >>> read_photograph_faces("nowhere")
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: nowhere/faces.csv: cannot be read: No such file or directory
    """
    path = Path(folder) / TABLE
    faces: dict[str, dict[str, DrawnFace]] = {}

    def add(row: Mapping[str, str]) -> None:
        cells = [row[column] for column in _COLUMNS]
        problems = _row_problems(cells)
        if problems:
            raise FacenetError("; ".join(problems))
        face = _parse_face(cells)
        if face.name in faces.setdefault(cells[0], {}):
            raise FacenetError(f"expected each person once in {cells[0]}, found {face.name} again")
        faces[cells[0]][face.name] = face

    parse_table(read_text(path), str(path), _COLUMNS).parse(add)
    return {photograph: tuple(people.values()) for photograph, people in faces.items()}


def write_table(folder: Path, rows: Iterable[str]) -> None:
    """Write ``faces.csv`` from the rows of all photographs."""
    write_text(folder / TABLE, "".join(f"{row}\n" for row in (",".join(_COLUMNS), *rows)))


def table_row(photograph: str, face: DrawnFace) -> str:
    """One row of ``faces.csv``; names of photographs and of drawn people hold no comma."""
    numbers = (*face.box, *face.landmarks.ravel(), face.hidden, face.yaw, face.pitch, face.roll)
    return ",".join([photograph, face.name, *(f"{number:.3f}" for number in numbers)])


_LANDMARKS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
_COLUMNS = (
    *("photograph", "name", "left", "top", "right", "bottom"),
    *(f"{landmark}_{axis}" for landmark in _LANDMARKS for axis in "xy"),
    *("hidden", "yaw", "pitch", "roll"),
)


def _row_problems(cells: Sequence[str]) -> list[str]:
    problems = []
    path = PurePosixPath(cells[0])
    if not path.name or path.is_absolute() or ".." in path.parts:
        problems.append(f"photograph: expected a file in this folder, found {shown(cells[0])}")
    if not cells[1]:
        problems.append("name: expected a person, found none")
    for column, cell in zip(_COLUMNS[2:], cells[2:], strict=True):
        low, high = (0.0, 1.0) if column == "hidden" else (-_FARTHEST, _FARTHEST)
        if not low <= _number(cell) <= high:
            problems.append(
                f"{column}: expected a number from {low:g} to {high:g}, found {shown(cell)}"
            )
    left, top, right, bottom = map(_number, cells[2:6])
    if not problems and not (left < right and top < bottom):
        problems.append(f"expected left < right and top < bottom, found {','.join(cells[2:6])}")
    return problems


def _parse_face(cells: Sequence[str]) -> DrawnFace:
    left, top, right, bottom, *rest = map(float, cells[2:])
    *landmarks, hidden, yaw, pitch, roll = rest
    points = np.array(landmarks).reshape(5, 2)
    return DrawnFace(cells[1], (left, top, right, bottom), points, hidden, yaw, pitch, roll)


def _number(text: str) -> float:
    """The number that a cell holds; not-a-number for anything else."""
    try:
        return float(text)
    except ValueError:
        return math.nan


_FARTHEST = 1e6  # no photograph has more pixels along a side
