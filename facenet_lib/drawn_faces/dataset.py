"""Whole folders of drawn faces, in the layout of Labeled Faces in the Wild (LFW)."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from facenet_lib.checks import check_integer, integer_problems
from facenet_lib.drawn_faces.folders import draw_pictures, drawing_folder, write_picture
from facenet_lib.drawn_faces.identity import draw_person
from facenet_lib.drawn_faces.mathematics import IndexArray
from facenet_lib.drawn_faces.names import person_name
from facenet_lib.drawn_faces.nuisance import draw_nuisance
from facenet_lib.drawn_faces.render import SMALLEST_SIZE, render_face
from facenet_lib.drawn_faces.seeds import NUISANCE_SEED, PAIR_SEED
from facenet_lib.errors import refuse
from facenet_lib.lfw_pairs import PairList, draw_fold_pairs, write_pairs, write_people


@dataclass(frozen=True)
class DrawnFaces:
    """What :func:`write_faces` wrote.

    Attributes:
        root: the folder.
        train_names: people of ``peopleDevTrain.txt``, sorted.
        test_names: people of ``people.txt`` and ``pairs.txt``, sorted.
        images: images in the folder.
        images_drawn: images that this call drew; the others were there already.
        pairs: pairs in ``pairs.txt``.
    """

    root: Path
    train_names: tuple[str, ...]
    test_names: tuple[str, ...]
    images: int
    images_drawn: int
    pairs: int


def write_faces(
    out: str | os.PathLike[str],
    identities: int,
    images_per_identity: int,
    *,
    seed: int = 0,
    size: int = 160,
    test_identities: int | None = None,
    pairs_per_fold: int | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> DrawnFaces:
    """Draw a dataset of people in the layout of LFW.

    Written are ``Name/Name_0001.jpg`` and so on for each person; ``peopleDevTrain.txt``, the
    people to train on; ``people.txt``, ten folds of other people to test on; last of all
    ``pairs.txt``, ten folds of pairs of images of the test people, as many of one person as of
    two, each fold with its own people only. A folder with a ``pairs.txt`` is thus complete.

    Image j of person i depends on ``seed``, i, j and ``size`` alone, not on the number of
    people, images or workers. An interrupted call leaves no half-written file, and the same call
    later draws what is missing.

    Args:
        out: the folder; made where there is none.
        identities: number of people, those to test on included.
        images_per_identity: images of each, at least 2.
        seed: seed of everything.
        size: side of the images, pixels.
        test_identities: how many of the people are to test on, at least 20; None: a fifth, at
            least 20.
        pairs_per_fold: pairs of one person in each fold, and also pairs of two; None: 300, as LFW
            has, or as many as there are.
        workers: processes that draw; None: one per processor, or only this one for a few images.
        progress: whether to show a progress bar.

    Returns:
        What the folder holds now.

    Raises:
        FacenetError: if an argument is unusable, the folder holds other files already or faces
            drawn with other arguments, or it cannot be written.

    >>> write_faces("faces", identities=300, images_per_identity=1)
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: drawn faces: images per identity: expected ... found 1
    """
    plan = _plan(identities, images_per_identity, seed, size, test_identities, pairs_per_fold)
    if workers is not None:
        check_integer("workers", workers, at_least=1)
    root = Path(out)
    names = [person_name(index, seed) for index in range(identities)]
    with drawing_folder(root, SETTINGS_FILE, asdict(plan)):
        tasks = _missing_images(root, names, plan)
        drawn = sum(len(task.missing) for task in tasks)
        draw_pictures(
            _draw_person,
            tasks,
            drawn,
            fewest=_FEWEST_FOR_WORKERS,
            workers=workers,
            progress=progress,
        )
        pairs = _write_protocol(root, names, plan)
    return DrawnFaces(
        root=root,
        train_names=tuple(sorted(names[: plan.train_identities])),
        test_names=tuple(sorted(names[plan.train_identities :])),
        images=identities * images_per_identity,
        images_drawn=drawn,
        pairs=len(pairs),
    )


FOLDS = 10
_IDENTITIES = f"identities (two to test on in each of {FOLDS} folds, one to train on)"
_MOST_PAIRS_PER_FOLD = 300  # of each kind, as in LFW
_MOST_IMAGES = 9999  # names of files have four digits
_FEWEST_FOR_WORKERS = 150  # images for which starting processes takes less time than it saves
SETTINGS_FILE = "drawn_faces.json"
"""What was drawn; stands in the folder from the first face on."""

DRAWING_VERSION = 1
"""Raised whenever the same seed gives other pictures than before."""


@dataclass(frozen=True)
class _Task:
    """One person whose missing images are to be drawn, by whichever process is free."""

    folder: Path
    index: int
    missing: tuple[int, ...]
    seed: int
    size: int


@dataclass(frozen=True)
class _Plan:
    """The arguments of :func:`write_faces` that decide what is written, checked and complete."""

    identities: int
    images_per_identity: int
    seed: int
    size: int
    test_identities: int
    pairs_per_fold: int
    drawing: int = DRAWING_VERSION

    @property
    def train_identities(self) -> int:
        return self.identities - self.test_identities

    def folds(self) -> list[IndexArray]:
        """Indices of the people of each fold."""
        return np.array_split(np.arange(self.train_identities, self.identities), FOLDS)


def _plan(
    identities: int,
    images_per_identity: int,
    seed: int,
    size: int,
    test_identities: int | None,
    pairs_per_fold: int | None,
) -> _Plan:
    refuse(
        "drawn faces",
        [
            *integer_problems(_IDENTITIES, identities, 2 * FOLDS + 1),
            *integer_problems("images per identity", images_per_identity, 2, _MOST_IMAGES),
            *integer_problems("seed", seed, 0),
            *integer_problems("size", size, SMALLEST_SIZE),
        ],
    )
    tested = max(2 * FOLDS, identities // 5) if test_identities is None else test_identities
    check_integer("drawn faces: test identities", tested, 2 * FOLDS, identities - 1)
    smallest_fold = tested // FOLDS
    same = smallest_fold * math.comb(images_per_identity, 2)
    different = math.comb(smallest_fold, 2) * images_per_identity**2
    most = min(same, different)
    count = min(_MOST_PAIRS_PER_FOLD, most) if pairs_per_fold is None else pairs_per_fold
    found = f"a fold has {smallest_fold} people with {images_per_identity} images each"
    check_integer(f"pairs per fold ({found})", count, 1, most)
    return _Plan(identities, images_per_identity, seed, size, tested, count)


def _missing_images(root: Path, names: list[str], plan: _Plan) -> list[_Task]:
    tasks = []
    for index, name in enumerate(names):
        folder = root / name
        folder.mkdir(exist_ok=True)
        there = {path.name for path in folder.iterdir()}
        missing = tuple(
            image
            for image in range(plan.images_per_identity)
            if _image_name(name, image) not in there
        )
        if missing:
            tasks.append(_Task(folder, index, missing, plan.seed, plan.size))
    return tasks


def _image_name(name: str, image: int) -> str:
    return f"{name}_{image + 1:04d}.jpg"


def _draw_person(task: _Task) -> Iterator[None]:
    identity = draw_person(task.seed, task.index)
    for image in task.missing:
        nuisance = draw_nuisance(
            np.random.SeedSequence(task.seed, spawn_key=(NUISANCE_SEED, task.index, image))
        )
        picture = render_face(identity, nuisance, task.size)
        path = task.folder / _image_name(task.folder.name, image)
        write_picture(path, picture, nuisance.jpeg_quality)
        yield


def _write_protocol(root: Path, names: list[str], plan: _Plan) -> PairList:
    """Write who is to train on, who to test on, and who is compared with whom."""
    generator = np.random.default_rng(np.random.SeedSequence(plan.seed, spawn_key=(PAIR_SEED,)))
    count = plan.images_per_identity
    test = [dict.fromkeys(sorted(names[index] for index in fold), count) for fold in plan.folds()]
    pairs = [
        pair for fold in test for pair in draw_fold_pairs(generator, fold, plan.pairs_per_fold)
    ]
    pair_list = PairList(tuple(pairs), FOLDS)
    train = dict.fromkeys(sorted(names[: plan.train_identities]), count)
    write_people(root / "peopleDevTrain.txt", [train])
    write_people(root / "people.txt", test)
    write_pairs(root / "pairs.txt", pair_list)
    return pair_list
