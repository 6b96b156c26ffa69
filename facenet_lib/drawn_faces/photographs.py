"""Drawn photographs: several people before one background, and the truth about their faces."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facenet_lib.checks import check_integer, integer_problems
from facenet_lib.drawn_faces.camera import take_photograph
from facenet_lib.drawn_faces.dataset import DRAWING_VERSION
from facenet_lib.drawn_faces.folders import draw_pictures, drawing_folder, write_picture
from facenet_lib.drawn_faces.identity import draw_person
from facenet_lib.drawn_faces.layer import Layer, draw_layer
from facenet_lib.drawn_faces.mathematics import FloatArray
from facenet_lib.drawn_faces.names import person_name
from facenet_lib.drawn_faces.photograph_table import DrawnFace, table_row, write_table
from facenet_lib.drawn_faces.scene import Scene, draw_scene
from facenet_lib.drawn_faces.surroundings import draw_surroundings
from facenet_lib.errors import FacenetError, refuse


@dataclass(frozen=True, eq=False)
class DrawnPhotograph:
    """A photograph of people who do not exist.

    Attributes:
        image: uint8 (height, width, 3), RGB.
        faces: of everyone in it, the nearest first; those wholly hidden, too.
    """

    image: NDArray[np.uint8]
    faces: tuple[DrawnFace, ...]


@dataclass(frozen=True)
class DrawnPhotographs:
    """What :func:`write_photographs` wrote.

    Attributes:
        root: the folder.
        photographs: photographs in the folder.
        photographs_drawn: photographs that this call drew; the others were there already.
        faces: rows of ``faces.csv``.
    """

    root: Path
    photographs: int
    photographs_drawn: int
    faces: int


def render_photograph(
    index: int, identities: range, *, seed: int = 0, subject: int | None = None
) -> DrawnPhotograph:
    """Draw one photograph of 1 to 8 people.

    The long side has 640 to 1600 pixels, the faces about 24 to 500 from hairline to chin. People
    may be partly outside the photograph, or behind others.

    Args:
        index: number of the photograph, from 0.
        identities: numbers of the people who may be in it; person i is the one whom
            :func:`write_faces` draws i-th from the same seed.
        seed: seed of everything.
        subject: number of the person whose photograph it is: they are nearest to its middle,
            and up to three others are farther from it. None: it is nobody's in particular.

    Returns:
        The photograph and the truth about its faces.

    Raises:
        FacenetError: if an argument is unusable.

    >>> photograph = render_photograph(0, range(240, 300), seed=0)
    >>> photograph.image.shape[2], 1 <= len(photograph.faces) <= 8
    (3, True)
    """
    identities = _check_identities(identities)
    check_integer("index", index, 0)
    check_integer("seed", seed, 0)
    if subject is not None:
        check_integer("subject", subject, 0)
    return _photograph_scene(draw_scene(seed, index, identities, subject), seed)


def write_photographs(
    out: str | os.PathLike[str],
    count: int,
    identities: range,
    *,
    seed: int = 0,
    per_person: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> DrawnPhotographs:
    """Draw a folder of photographs, and write down where everyone's face is.

    Written are ``photograph_0001.jpg`` and so on or, with ``per_person``, an album with a folder
    for each person, ``Name/Name_0001.jpg`` and so on, in which the person is nearest to the
    middle; last of all ``faces.csv``, for :func:`read_photograph_faces`. A folder with a
    ``faces.csv`` is thus complete.

    A photograph depends on ``seed``, ``identities``, its number and its person alone, not on the
    number of photographs or workers. An interrupted call leaves no half-written file, and the
    same call later draws what is missing. Each file holds its rows of ``faces.csv`` as a comment.

    Args:
        out: the folder; made where there is none.
        count: number of photographs; with ``per_person``, of each person.
        identities: numbers of the people who may be in them, as :func:`write_faces` with the
            same seed numbers them: ``range(240, 300)`` are the people to test on of 300.
        seed: seed of everything.
        per_person: whether every photograph is somebody's.
        workers: processes that draw; None: one per processor, or only this one for a few.
        progress: whether to show a progress bar.

    Returns:
        What the folder holds now.

    Raises:
        FacenetError: if an argument is unusable, the folder holds other files already or
            photographs drawn with other arguments, or it cannot be written.

    >>> write_photographs("photographs", 100, range(0))
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: identities: expected a range of numbers ... found range(0, 0)
    """
    identities = _check_identities(identities)
    refuse(
        "drawn photographs",
        [
            *integer_problems("photographs", count, 1, _MOST_PHOTOGRAPHS),
            *integer_problems("seed", seed, 0),
            *([] if workers is None else integer_problems("workers", workers, 1)),
        ],
    )
    root = Path(out)
    settings = {
        "photographs": count,
        "first_identity": identities.start,
        "last_identity": identities.stop - 1,
        "seed": seed,
        "per_person": per_person,
        "drawing": DRAWING_VERSION,
        "photographing": PHOTOGRAPHING_VERSION,
    }
    with drawing_folder(root, _SETTINGS, settings):
        tasks = _plan_tasks(root, count, identities, seed, per_person)
        missing = [task for task in tasks if not task.path.exists()]
        draw_pictures(
            _draw_photograph,
            missing,
            len(missing),
            fewest=_FEWEST_FOR_WORKERS,
            workers=workers,
            progress=progress,
        )
        rows = [row for task in tasks for row in _read_rows(task.path)]
        write_table(root, rows)
    return DrawnPhotographs(root, len(tasks), len(missing), len(rows))


PHOTOGRAPHING_VERSION = 1
"""Raised whenever the same seed gives other photographs of the same faces than before."""
_MOST_PHOTOGRAPHS = 9999  # names of files have four digits
_FEWEST_FOR_WORKERS = 8  # photographs for which starting processes takes less time than it saves
_SETTINGS = "drawn_photographs.json"


def _check_identities(identities: range) -> range:
    if not isinstance(identities, range) or not identities or identities.step != 1:
        raise FacenetError(
            f"identities: expected a range of numbers of people, found {identities!r}"
        )
    check_integer("identities: the first", identities.start, 0)
    person_name(identities.stop - 1)  # the last has a name
    return identities


@dataclass(frozen=True)
class _Task:
    """One photograph to be drawn, by whichever process is free."""

    path: Path
    photograph: str  # the path as faces.csv has it
    index: int
    identities: range
    seed: int
    subject: int | None


def _plan_tasks(
    root: Path, count: int, identities: range, seed: int, per_person: bool
) -> list[_Task]:
    """All photographs, in the order of ``faces.csv``; makes the folders of people."""
    tasks = []
    for subject in identities if per_person else (None,):
        folder, stem = "", "photograph"
        if subject is not None:
            stem = person_name(subject, seed)
            folder = f"{stem}/"
            (root / stem).mkdir(exist_ok=True)
        for index in range(count):
            photograph = f"{folder}{stem}_{index + 1:04d}.jpg"
            task = _Task(root / photograph, photograph, index, identities, seed, subject)
            tasks.append(task)
    return tasks


def _draw_photograph(task: _Task) -> Iterator[None]:
    scene = draw_scene(task.seed, task.index, task.identities, task.subject)
    drawn = _photograph_scene(scene, task.seed)
    rows = "\n".join(table_row(task.photograph, face) for face in drawn.faces)
    write_picture(task.path, drawn.image, scene.camera.jpeg_quality, rows.encode())
    yield


def _read_rows(path: Path) -> list[str]:
    """The rows of ``faces.csv`` that a photograph holds as its comment."""
    try:
        with Image.open(path) as image:
            return bytes(image.info["comment"]).decode("ascii").split("\n")
    except (OSError, KeyError, UnicodeDecodeError) as error:
        raise FacenetError(
            f"{path}: expected a photograph drawn by this call or an earlier one, found another "
            "file; remove it, and the same call draws it again"
        ) from error


def _photograph_scene(scene: Scene, seed: int) -> DrawnPhotograph:
    """Draw everyone, the nearest first, and then what is still open of the surroundings."""
    picture = np.zeros((scene.height, scene.width, 3), np.float32)
    unhidden = np.ones((scene.height, scene.width, 1), np.float32)
    faces = []
    for person in scene.people:
        identity = draw_person(seed, person.identity)
        layer = draw_layer(identity, person.nuisance, person.place, scene.width, scene.height)
        name = person_name(person.identity, seed)
        how = person.nuisance
        hidden = compose_layer(picture, unhidden, layer)
        faces.append(
            DrawnFace(name, layer.box, layer.landmarks, hidden, how.yaw, how.pitch, how.roll)
        )
    picture += unhidden * draw_surroundings(scene)
    return DrawnPhotograph(take_photograph(picture, scene.camera), tuple(faces))


def compose_layer(picture: FloatArray, unhidden: FloatArray, layer: Layer) -> float:
    """Put a layer behind what has been drawn; return the share of its face that is hidden.

    Args:
        picture: (height, width, 3), linear; changed in place.
        unhidden: (height, width, 1), share of each pixel that is still empty; changed in place.
        layer: of the next person behind.
    """
    height, width = picture.shape[:2]
    rows, rows_of_layer = _overlap(layer.top, layer.face.shape[0], height)
    columns, columns_of_layer = _overlap(layer.left, layer.face.shape[1], width)
    here, there = (rows, columns), (rows_of_layer, columns_of_layer)
    seen = float((layer.face[there] * unhidden[here][..., 0]).sum(dtype=np.float64))
    picture[here] += unhidden[here] * layer.colour[there]
    unhidden[here] *= 1.0 - layer.coverage[there]
    return max(0.0, 1.0 - seen / float(layer.face.sum(dtype=np.float64)))


def _overlap(begin: int, length: int, end: int) -> tuple[slice, slice]:
    """What ``length`` pixels from ``begin`` share with those from 0 to ``end``; in both's count."""
    low, high = max(0, begin), max(0, min(begin + length, end))
    return slice(low, high), slice(low - begin, high - begin)
