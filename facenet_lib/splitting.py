"""Faces held out of training, to validate on: some images of everyone, or some people.

Derived in the appendix, "Using real faces".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from facenet_lib.checks import check_integer, word_problems
from facenet_lib.datasets import Faces
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.lfw_pairs import PairList, count_pairs, draw_fold_pairs


def split_faces(
    faces: Mapping[str, Sequence[Path]],
    part: float,
    by: Literal["images", "identities"],
    seed: int,
    minimum_training_images: int = 1,
) -> tuple[Faces, Faces]:
    """Part faces into some to train on and some to validate on.

    A split by images asks whether a network names new images of people it knows; a split by
    identities whether it tells apart people it has never seen, see :func:`draw_pairs`. As in the
    reference's ``split_dataset``, of every person the part held out is rounded up; where the
    reference dropped people with few images from both sides, here all their images are trained
    on.

    Args:
        faces: person to images, as :func:`facenet_lib.datasets.read_faces` gives them.
        part: how much to hold out, above 0 and below 1: of the images of each person, or of the
            people; rounded up.
        by: "images" or "identities".
        seed: equal seeds hold out the same, whatever the order of people and images is.
        minimum_training_images: of a person who would keep fewer images to train on, none is
            held out; for a split by images.

    Returns:
        The faces to train on, and those to validate on, each in the order of ``faces``.

    Raises:
        FacenetError: if an argument is unusable, or nothing is left on one of the sides.

    Source: the reference's ``facenet.split_dataset``.

    >>> faces = {"Ann": [Path("Ann/1.jpg"), Path("Ann/2.jpg")], "Bob": [Path("Bob/1.jpg")]}
    >>> training, validation = split_faces(faces, 0.5, "images", seed=0)
    >>> len(training["Ann"]), len(validation["Ann"]), "Bob" in validation
    (1, 1, False)
    """
    if not 0 < part < 1:
        raise FacenetError(f"part to hold out: expected a number between 0 and 1, found {part!r}")
    refuse("faces", word_problems("split by", by, ["images", "identities"]))
    check_integer("minimum of training images", minimum_training_images, 1)
    check_integer("seed", seed, 0)
    generator = np.random.default_rng(seed)
    held_out = (
        _some_images(faces, part, minimum_training_images, generator)
        if by == "images"
        else _some_people(faces, part, generator)
    )
    training = _some(faces, lambda path: path not in held_out)
    validation = _some(faces, lambda path: path in held_out)
    if not training or not validation:
        images = sum(len(paths) for paths in faces.values())
        side = "validate on" if training else "train on"
        raise FacenetError(
            f"split by {by}: nothing is left to {side} when {part:g} is held out of {len(faces)} "
            f"people with {images} images"
        )
    return training, validation


def _some(faces: Mapping[str, Sequence[Path]], is_wanted: Callable[[Path], bool]) -> Faces:
    wanted = {name: tuple(filter(is_wanted, paths)) for name, paths in faces.items()}
    return {name: paths for name, paths in wanted.items() if paths}


def _some_images(
    faces: Mapping[str, Sequence[Path]], part: float, minimum: int, generator: np.random.Generator
) -> set[Path]:
    held_out: set[Path] = set()
    for name in sorted(faces):
        order = generator.permutation(len(faces[name]))
        count = _rounded_up(part, len(order))
        if len(order) - count >= minimum:
            paths = sorted(faces[name])
            held_out |= {paths[index] for index in order[:count]}
    return held_out


def _some_people(
    faces: Mapping[str, Sequence[Path]], part: float, generator: np.random.Generator
) -> set[Path]:
    names = sorted(name for name, paths in faces.items() if paths)
    chosen = generator.permutation(len(names))[: _rounded_up(part, len(names))]
    return {path for index in chosen for path in faces[names[index]]}


def _rounded_up(part: float, whole: int) -> int:
    # Rounded first, as 0.07 * 100 is a little more than 7.
    return math.ceil(round(part * whole, 9))


def draw_pairs(
    faces: Mapping[str, Sequence[Path]], pairs_per_fold: int, folds: int = 10, seed: int = 0
) -> tuple[list[str], NDArray[np.bool_], NDArray[np.int64]]:
    """Draw pairs of images to verify, as many of one person as of two in every fold.

    As in LFW's View 2, the folds share no person, as long as there are people enough: two for
    each fold, one of them with two images. Fewer people share one list of pairs, which is dealt
    to the folds as View 1's are, see :meth:`facenet_lib.lfw_pairs.PairList.fold_ids`.

    Args:
        faces: person to images; the people held out by :func:`split_faces`, for example. Someone
            with one image is in different pairs only.
        pairs_per_fold: pairs of one person in each fold, and also pairs of two; where the people
            have not so many, as many as every fold can have. No pair is drawn twice.
        folds: number of folds, at least 2.
        seed: equal seeds draw the same pairs, whatever the order of people and images is.

    Returns:
        What :class:`facenet_lib.verification.EvaluationPairs` takes, for n pairs: their 2n paths,
        where 2i and 2i + 1 are the images of pair i; the bool array (n,), True where both show
        one person; and the int64 array (n,) of folds, which count from 0.

    Raises:
        FacenetError: if an argument is unusable, or there are not a same and a different pair for
            every fold.

    >>> faces = {name: [Path(f"{name}/{i}.jpg") for i in range(9)] for name in ("Ann", "Bob")}
    >>> paths, issame, folds = draw_pairs(faces, pairs_per_fold=1, folds=2)
    >>> issame.tolist(), folds.tolist()
    ([True, True, False, False], [0, 1, 0, 1])
    """
    check_integer("pairs per fold", pairs_per_fold, 1)
    check_integer("folds", folds, 2)
    check_integer("seed", seed, 0)
    generator = np.random.default_rng(seed)
    images = {name: sorted(str(path) for path in faces[name]) for name in sorted(faces)}
    counts = {name: len(paths) for name, paths in images.items()}
    people = _folds_of_people(generator, counts, folds)
    offered = min(min(count_pairs(fold.values())) for fold in people)
    if offered:
        count = min(pairs_per_fold, offered)
        drawn = [pair for fold in people for pair in draw_fold_pairs(generator, fold, count)]
        pairs = PairList(tuple(drawn), folds)
    else:
        same, different = count_pairs(counts.values())
        if min(same, different) < folds:
            raise FacenetError(
                f"pairs to draw: expected at least one same and one different pair for each of "
                f"{folds} folds, found {same} same and {different} different pairs of "
                f"{len(counts)} people"
            )
        count = min(pairs_per_fold * folds, same, different)
        pairs = PairList(tuple(draw_fold_pairs(generator, counts, count)), 1)
    paths = [images[name][index - 1] for pair in pairs for name, index in pair.images]
    return paths, np.array([pair.issame for pair in pairs], dtype=bool), pairs.fold_ids(folds)


def _folds_of_people(
    generator: np.random.Generator, counts: Mapping[str, int], folds: int
) -> list[dict[str, int]]:
    """Deal people out, those with most images first, so that all folds have about as many."""
    names = list(counts)
    shuffled = [names[index] for index in generator.permutation(len(names))]
    dealt = sorted(shuffled, key=lambda name: -counts[name])
    return [{name: counts[name] for name in sorted(dealt[fold::folds])} for fold in range(folds)]
