"""The table of an alignment, ``faces.csv``: every face that was found, and what became of it.

Derived in chapter 10.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from facenet_lib.alignment.faces import Box, Face
from facenet_lib.errors import FacenetError, refuse, shown
from facenet_lib.files import parse_table, read_text, write_text

MANIFEST_FILE = "faces.csv"

ALIGNED = "aligned"
NOT_CHOSEN = "not chosen"
NO_FACE = "no face"
SEVERAL_FACES = "several faces"
NO_CROP = "no crop"
UNUSABLE = "unusable"
STATUSES = (ALIGNED, NOT_CHOSEN, NO_FACE, SEVERAL_FACES, NO_CROP, UNUSABLE)
"""What became of a face: it has a crop; another of the photograph was chosen; there is no face in
the photograph; there are several where one is wanted; no crop could be made; the photograph cannot
be read."""


@dataclass(frozen=True)
class AlignmentSettings:
    """What decides which faces are found in a photograph, chosen and how they are cut out.

    Attributes:
        rule: see :func:`choose_face`.
        crop_kind: see :func:`crop_face`.
        size: side of the crops, pixels.
        margin: of the crops.
        detector: its name.
        detector_version: of its program and weights.
        detection: how else it was set, in words; empty if as it is.
    """

    rule: str
    crop_kind: str
    size: int
    margin: float
    detector: str
    detector_version: str
    detection: str = ""


@dataclass(frozen=True)
class FaceRow:
    """A row of the manifest: a face that was found, or a photograph without.

    Attributes:
        source: path of the photograph from the album's folder, with ``/`` between folders.
        source_bytes: length of its file; another length is another photograph.
        status: one of :data:`STATUSES`.
        reason: why there is no crop; empty if there is.
        faces: faces found in the photograph.
        box: around the face, pixels of the upright photograph; None of a row without a face.
        landmarks: five times x and y, as :class:`Face` has them; None where there are none.
        score: the detector's; None of a row without a face.
        crop: path of the crop from the manifest's folder, with ``/``; empty if there is none.
        settings: what it was made with.
    """

    source: str
    source_bytes: int
    status: str
    reason: str
    faces: int
    box: Box | None
    landmarks: tuple[tuple[float, float], ...] | None
    score: float | None
    crop: str
    settings: AlignmentSettings

    @property
    def face(self) -> Face | None:
        """The face, None of a photograph without."""
        if self.box is None or self.score is None:
            return None
        landmarks = None if self.landmarks is None else np.array(self.landmarks)
        return Face(self.box, self.score, landmarks)


def read_manifest(path: str | os.PathLike[str]) -> list[FaceRow]:
    """Read a manifest, as :func:`write_manifest` or a spreadsheet wrote it.

    Returns:
        Its rows, in their order. Columns that are not ours are passed over.

    Raises:
        FacenetError: when it cannot be read, lacks a column, or a row is unusable; the message
            has the file and the line.

    >>> read_manifest("nowhere.csv")
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: nowhere.csv: cannot be read: No such file or directory
    """
    path = Path(path)
    return parse_manifest(read_text(path), str(path))


def parse_manifest(text: str, name: str) -> list[FaceRow]:
    """Read the text of a manifest; ``name`` is what errors call it."""
    return parse_table(text, name, COLUMNS).parse(_row)


def write_manifest(path: str | os.PathLike[str], rows: Iterable[FaceRow]) -> None:
    """Write a manifest, whole or not at all, photograph by photograph in the order of their names.

    Raises:
        FacenetError: when it cannot be written.

    >>> import tempfile
    >>> settings = AlignmentSettings("centre", "square", 160, 0.125, "mtcnn", "1.0.0")
    >>> row = FaceRow("a.jpg", 9, NO_FACE, "no face was found", 0, None, None, None, "", settings)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_manifest(f"{folder}/faces.csv", [row])
    ...     read_manifest(f"{folder}/faces.csv") == [row]
    True
    """
    ordered = sorted(rows, key=lambda row: row.source)  # keeps the order of a photograph's faces
    write_text(Path(path), manifest_lines([], header=True) + manifest_lines(ordered))


def manifest_lines(rows: Sequence[FaceRow], header: bool = False) -> str:
    """Return rows as lines of a manifest, after the line of its columns or without it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(COLUMNS)
    writer.writerows(_cells(row) for row in rows)
    return text.getvalue()


def merge_manifests(parts: Sequence[Iterable[FaceRow]]) -> list[FaceRow]:
    """Make one manifest of several, of the shards of an album for example.

    Args:
        parts: rows; of a photograph that several parts name, the rows of the last count.

    Returns:
        The rows of every photograph, in the order of their names.

    Raises:
        FacenetError: if the parts were made with different settings, or two photographs have
            crops of one name.

    >>> merge_manifests([[], []])
    []
    """
    merged: dict[str, list[FaceRow]] = {}
    for part in parts:
        merged |= rows_by_source(part)
    rows = [row for source in sorted(merged) for row in merged[source]]
    for row in rows[1:]:
        refuse("manifests made otherwise", setting_problems(row.settings, rows[0].settings))
    sources: dict[str, str] = {}
    for row in rows:
        if row.crop and row.crop in sources:
            both = f"{sources[row.crop]} and {row.source}"
            raise FacenetError(f"manifests: expected a crop for each, found {row.crop} of {both}")
        sources[row.crop] = row.source
    return rows


def rows_by_source(rows: Iterable[FaceRow]) -> dict[str, list[FaceRow]]:
    """Return the rows of each photograph."""
    found: dict[str, list[FaceRow]] = {}
    for row in rows:
        found.setdefault(row.source, []).append(row)
    return found


def setting_problems(found: AlignmentSettings, expected: AlignmentSettings) -> list[str]:
    """Tell in which settings two differ, as sentences for :func:`facenet_lib.errors.refuse`."""
    there = asdict(found)
    return [
        f"{name}: expected {value!r}, found {shown(there[name])}"
        for name, value in asdict(expected).items()
        if there[name] != value
    ]


# --------------------------------------------------------------------------------------------
# Cells
# --------------------------------------------------------------------------------------------

LANDMARK_COLUMNS = tuple(
    f"{name}_{axis}"
    for name in ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
    for axis in ("x", "y")
)
_SETTINGS = tuple(field.name for field in fields(AlignmentSettings))
COLUMNS = (
    *("source", "source_bytes", "status", "reason", "faces"),
    *Box._fields,
    *LANDMARK_COLUMNS,
    *("score", *_SETTINGS, "crop"),
)
"""The columns of a manifest."""


def _cells(row: FaceRow) -> list[str]:
    box = [""] * 4 if row.box is None else [repr(float(value)) for value in row.box]
    landmarks = [""] * len(LANDMARK_COLUMNS)
    if row.landmarks is not None:
        landmarks = [repr(float(value)) for point in row.landmarks for value in point]
    score = "" if row.score is None else repr(float(row.score))
    first = [row.source, str(row.source_bytes), row.status, row.reason, str(row.faces)]
    return [*first, *box, *landmarks, score, *map(str, astuple(row.settings)), row.crop]


def _row(cells: Mapping[str, str]) -> FaceRow:
    """Read a row from its cells, each by its column."""
    for column in ("source", "crop"):
        _check_path(column, cells[column])
    status = cells["status"]
    if status not in STATUSES:
        raise FacenetError(f"status: expected {' or '.join(STATUSES)}, found {shown(status)}")
    box = _numbers(cells, Box._fields)
    score = _numbers(cells, ["score"])
    landmarks = _numbers(cells, LANDMARK_COLUMNS)
    if (box is None) != (score is None) or (box is None and landmarks is not None):
        raise FacenetError("expected a box, a score and perhaps landmarks, found a part of them")
    if not cells["source"] or (status == ALIGNED and (box is None or not cells["crop"])):
        raise FacenetError(f"expected a source, and of what is {ALIGNED} a box and a crop")
    settings = AlignmentSettings(
        **{name: cells[name] for name in _SETTINGS if name not in ("size", "margin")},
        size=_number(cells, "size", int),
        margin=_number(cells, "margin", float),
    )
    return FaceRow(
        source=cells["source"],
        source_bytes=_number(cells, "source_bytes", int),
        status=status,
        reason=cells["reason"],
        faces=_number(cells, "faces", int),
        box=None if box is None else Box(*box),
        landmarks=None
        if landmarks is None
        else tuple(zip(landmarks[::2], landmarks[1::2], strict=True)),
        score=None if score is None else score[0],
        crop=cells["crop"],
        settings=settings,
    )


def _numbers(cells: Mapping[str, str], columns: Sequence[str]) -> list[float] | None:
    """The numbers of several cells, or None if all are empty."""
    if not any(cells[column] for column in columns):
        return None
    return [_number(cells, column, float) for column in columns]


def _number(cells: Mapping[str, str], column: str, kind: Callable[[str], Any]) -> Any:
    try:
        value = kind(cells[column])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        what = "an integer" if kind is int else "a number"
        raise FacenetError(f"{column}: expected {what}, found {shown(cells[column])}")
    return value


def _check_path(column: str, name: str) -> None:
    """Refuse a path that could lead out of the folder that it is in."""
    parts = name.split("/") if name else []
    if not all(part not in ("", ".", "..") and "\0" not in part for part in parts) or (
        os.name == "nt" and any(sign in name for sign in "\\:")
    ):
        raise FacenetError(f"{column}: expected a path below the folder, found {shown(name)}")
