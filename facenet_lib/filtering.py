"""Leaving out images that lie far from the centre of their person.

Derived in the appendix, "Using real faces".
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facenet_lib.checks import check_integer
from facenet_lib.errors import FacenetError, refuse, shown
from facenet_lib.files import decode_text, normalize_name, open_whole_file, parse_table, read_bytes

_COLUMNS = ["person", "image", "distance"]


def distances_to_centers(embeddings: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """Measure how far each embedding is from the mean of its class.

    An image far from the others under its name is often one of somebody else.

    Args:
        embeddings: float (n, features).
        labels: integers (n,), the class of each.

    Returns:
        float64 array (n,), Euclidean distances.

    Raises:
        FacenetError: for other shapes, or embeddings with numbers that are not finite.

    Source: the reference's ``calculate_filtering_metrics.py``.

    >>> distances_to_centers([[0, 0], [0, 2], [5, 5]], [0, 0, 1])
    array([1., 1., 0.])
    """
    vectors, classes = np.asarray(embeddings), np.asarray(labels)
    if vectors.ndim != 2 or classes.shape != vectors.shape[:1]:
        raise FacenetError(
            f"distances to centers: expected embeddings (n, features) and labels (n,), found "
            f"{vectors.shape} and {classes.shape}"
        )
    if not np.isfinite(vectors).all():
        raise FacenetError("distances to centers: expected finite numbers, found NaN or infinity")
    distances = np.zeros(len(vectors))
    # Class by class, so that no second copy of all embeddings is made.
    order = np.argsort(classes, kind="stable")
    starts = np.flatnonzero(classes[order][1:] != classes[order][:-1]) + 1
    for members in np.split(order, starts) if len(order) else ():
        cluster = vectors[members].astype(np.float64)
        distances[members] = np.linalg.norm(cluster - cluster.mean(axis=0), axis=1)
    return distances


def write_distances(
    path: str | os.PathLike[str], faces: Mapping[str, Sequence[Path]], distances: ArrayLike
) -> None:
    """Write how far each image is from the centre of its person.

    The file is CSV with a heading, ``person,image,distance``; an image is named by its file name
    alone, so that the faces may be moved.

    Args:
        path: the file; replaced as a whole.
        faces: person to images.
        distances: (images,), one for each image in the order of ``faces``.

    Raises:
        FacenetError: if there is not one distance of 0 or more for each image, a person has two
            images of one file name, or the file cannot be written.

    >>> write_distances("distances.csv", {"Ann": [Path("Ann/1.jpg")]}, [0.2, 0.4])
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: distances: expected one for each of 1 images, found (2,)
    """
    values = np.asarray(distances, dtype=np.float64)
    images = _image_names(faces)
    if values.shape != (len(images),):
        raise FacenetError(
            f"distances: expected one for each of {len(images)} images, found {values.shape}"
        )
    problems = [
        f"{'/'.join(image)}: expected a number of 0 or more, found {value}"
        for image, value in zip(images, values.tolist(), strict=True)
        if not 0 <= value < math.inf
    ]
    refuse("distances", problems)
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(_COLUMNS)
    writer.writerows(
        [*image, f"{value:.7g}"] for image, value in zip(images, values.tolist(), strict=True)
    )
    with open_whole_file(Path(path)) as file:
        file.write(table.getvalue().encode("utf-8", errors="surrogateescape"))


def read_distances(path: str | os.PathLike[str]) -> dict[tuple[str, str], float]:
    """Read what :func:`write_distances` wrote.

    Returns:
        (person, file name of the image) -> distance, in the file's order; the names in Unicode's
        form NFC.

    Raises:
        FacenetError: if the file cannot be read, or naming every line that is damaged or stands
            twice.

    >>> read_distances("nowhere.csv")
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: nowhere.csv: cannot be read: No such file or directory
    """
    # As names of files are read: bytes that are no UTF-8 then fit the name they stand for.
    text = decode_text(read_bytes(Path(path)), os.fspath(path), errors="surrogateescape")
    distances: dict[tuple[str, str], float] = {}

    def add(row: Mapping[str, str]) -> None:
        image, distance = _same_form(row["person"], row["image"]), _distance(row["distance"])
        if distance is None:
            raise FacenetError(
                f"expected a person, an image and a distance of 0 or more, found "
                f"{shown(','.join(row.values()))}"
            )
        if image in distances:
            raise FacenetError(f"{'/'.join(image)} stands twice")
        distances[image] = distance

    parse_table(text, os.fspath(path), _COLUMNS).parse(add)
    return distances


def filter_faces(
    faces: Mapping[str, Sequence[Path]],
    distances: Mapping[tuple[str, str], float],
    percentile: float,
    minimum_images: int,
) -> dict[str, tuple[Path, ...]]:
    """Leave out the images that are farthest from the centre of their person.

    Args:
        faces: person to images.
        distances: (person, file name) -> distance of each image and of no other, as
            :func:`read_distances` gives them: filter first, and split what is left.
        percentile: images farther than this percentile of all distances are left out; above 0,
            and 100 keeps all.
        minimum_images: then people with fewer images than this are left out, too.

    Returns:
        The faces that stay, in the order of ``faces``.

    Raises:
        FacenetError: naming images that are not in both; if an argument is unusable, or nobody
            stays.

    Source: the reference's ``filter_dataset``, which read the percentile off a histogram; here it
    is exact.

    >>> faces = {"Ann": [Path("Ann/1.jpg"), Path("Ann/2.jpg")], "Bob": [Path("Bob/1.jpg")]}
    >>> distances = {("Ann", "1.jpg"): 0.2, ("Ann", "2.jpg"): 0.9, ("Bob", "1.jpg"): 0.0}
    >>> [len(images) for images in filter_faces(faces, distances, 70, minimum_images=1).values()]
    [1, 1]
    """
    if not 0 < percentile <= 100:
        raise FacenetError(
            f"percentile: expected a number above 0 and up to 100, found {percentile!r}"
        )
    check_integer("minimum of images", minimum_images, at_least=1)
    images = _image_names(faces)
    known = set(images)
    distances = {_same_form(*image): distance for image, distance in distances.items()}
    problems = [f"{'/'.join(image)}: has no distance" for image in images if image not in distances]
    problems += [
        f"{'/'.join(image)}: has a distance, but is not among the faces"
        for image in distances
        if image not in known
    ]
    refuse("distances", problems)
    if not images:
        raise FacenetError("faces to filter: expected people with images, found none")
    farthest = float(np.percentile([distances[image] for image in images], percentile))
    near = {
        name: tuple(path for path in paths if distances[_same_form(name, path.name)] <= farthest)
        for name, paths in faces.items()
    }
    kept = {name: paths for name, paths in near.items() if len(paths) >= minimum_images}
    if not kept:
        raise FacenetError(
            f"faces to filter: none of {len(faces)} people has {minimum_images} or more images "
            f"that are not beyond percentile {percentile:g}"
        )
    return kept


def _image_names(faces: Mapping[str, Sequence[Path]]) -> list[tuple[str, str]]:
    """Person and file name of every image, refused where they do not tell two images apart."""
    names = [_same_form(name, path.name) for name, paths in faces.items() for path in paths]
    twice = [image for image, count in Counter(names).items() if count > 1]
    refuse("faces", [f"{'/'.join(image)}: stands more than once" for image in twice])
    return names


def _same_form(person: str, image: str) -> tuple[str, str]:
    """An image's names in the form in which they are compared."""
    return normalize_name(person), normalize_name(image)


def _distance(cell: str) -> float | None:
    """The distance in a cell; None for what is none."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if 0 <= value < math.inf else None
