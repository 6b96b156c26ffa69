"""Photographs that had better not be enrolled: a gallery is as good as what is put into it.

Derived in chapter 12.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics.pairwise import euclidean_distances

from facenet_lib.checks import check_array, number_problems
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.recognition.clustering import cluster
from facenet_lib.recognition.gallery import check_person_name
from facenet_lib.recognition.search import check_embeddings, distances_to_people

DUPLICATE_BELOW = 0.005
"""Squared distance below which two photographs are taken for one picture. Of the book's drawn faces
saved again at a JPEG quality of 90, 9 of 10 stay below it, and at 75, 3 of 4; the nearest two
different photographs among 960 are ten times as far apart."""

_FINE = (16, 32)  # waves in a side of the picture


@dataclass(frozen=True, order=True)
class EnrolmentProblem:
    """Why a photograph had better not be enrolled.

    Attributes:
        name: the person under whose name it is.
        source: the photograph.
        kind: "blurred", "tiny", "duplicate", "nearer to somebody else" or "two people".
        sentence: what was found.
    """

    name: str
    source: str
    kind: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.name}, {self.source}: {self.kind}: {self.sentence}"


def check_enrolment(
    embeddings: ArrayLike,
    names: Sequence[str],
    sources: Sequence[str],
    threshold: float,
    *,
    sharpness: ArrayLike | None = None,
    face_sides: ArrayLike | None = None,
    least_sharpness: float = 0.006,
    least_side: float = 40,
    margin: float = 0.3,
) -> list[EnrolmentProblem]:
    """Look for photographs that would make a gallery worse, before they are enrolled.

    - "blurred": without fine detail.
    - "tiny": a face of few pixels.
    - "duplicate": the picture of another photograph, of this person or of another; of pictures that
      are the same, all but the first are named. It adds nothing to a gallery.
    - "nearer to somebody else": of all other photographs, the nearest is of another person, and
      nearer than any other of the own person by more than the margin. One of the two is under a
      wrong name, often. Someone with one photograph has no other to compare with, and is never
      named for it.
    - "two people": a person's photographs fall into groups, of two or more each, whose squared
      distances are, on average, at the threshold or above. Every group but the largest is
      named once, at its first photograph. It takes four photographs.

    What is told is a suspicion. On the book's drawn faces of people whom the network has not seen,
    with 5 photographs of each of 60, 1 in 80 right ones is nearer to somebody else, as 29 in 30 of
    those under a wrong name are; with 2 of each, 1 in 12 right ones is. Of people with half of
    their photographs of somebody else, 24 in 25 are told, and 1 in 150 of the others.

    Args:
        embeddings: float (n, embedding_size), rows of length one.
        names: whose each photograph is.
        sources: how each is called, its file for example.
        threshold: squared distance below which two photographs are taken for one person, above
            0: a model's :attr:`~facenet_lib.embedding.Embedder.threshold`.
        sharpness: numbers (n,), see :func:`measure_sharpness`; None: nothing is called blurred.
        face_sides: numbers (n,), the side of the face's box in pixels of its photograph, before
            it was scaled; None: nothing is called tiny.
        least_sharpness: below it a photograph is blurred.
        least_side: below it a face is tiny.
        margin: squared distance, 0 or more.

    Returns:
        The problems, in the order of names and sources.

    Raises:
        FacenetError: for no photographs, rows of another length than one, other numbers of names,
            sources, sharpness or sides, or a number out of range.

    >>> faces = [[1, 0], [0.8, 0.6], [-0.6, 0.8], [-0.8, 0.6], [-0.96, 0.28]]
    >>> names, sources = ["Ann", "Ann", "Ann", "Bea", "Bea"], [f"{n}.jpg" for n in range(5)]
    >>> for problem in check_enrolment(faces, names, sources, 1.1, face_sides=[90, 32, 90, 90, 90]):
    ...     print(problem)
    Ann, 1.jpg: tiny: expected a side of at least 40 pixels, found 32
    Ann, 2.jpg: nearer to somebody else: 0.08 from a photograph of Bea, 2.00 from any other of Ann
    """
    rows = check_embeddings("embeddings", embeddings)
    photographs = _photographs(names, sources, len(rows))
    problems = number_problems("threshold", threshold, "(0, inf)")
    problems += number_problems("margin", margin, "[0, inf)")
    problems += number_problems("least_sharpness", least_sharpness, "[0, inf)")
    problems += number_problems("least_side", least_side, "[0, inf)")
    refuse("check_enrolment", problems)
    pictures = cluster(rows, "dbscan", threshold=DUPLICATE_BELOW)
    found = [*_duplicates(photographs, pictures), *_two_people(photographs, rows, threshold)]
    found += _nearer_to_others(photographs, rows, pictures, margin)
    if sharpness is not None:
        expected = f"a sharpness of at least {least_sharpness:g}"
        values = _measured("sharpness", sharpness, len(rows))
        found += _too_small("blurred", photographs, values, least_sharpness, expected)
    if face_sides is not None:
        expected = f"a side of at least {least_side:g} pixels"
        values = _measured("face_sides", face_sides, len(rows))
        found += _too_small("tiny", photographs, values, least_side, expected)
    return sorted(found)


def measure_sharpness(image: ArrayLike) -> float:
    """Measure how much of a face's contrast is fine detail.

    That is the share of the energy of its grey levels, without their mean, in waves of which
    16 to 32 go into a side of the picture. As waves are counted by the side, and not by the pixel,
    the same picture in another size has about the same sharpness, and darkness and low contrast do
    not matter; the variance of the Laplacian, which is often taken, depends on all of these.
    Finer waves are left out, as those of the noise of a camera outweigh them.

    Of 2560 drawn faces of the book, with 160 pixels a side, none is below 0.006, and half are
    above 0.045. Blurred by a Gaussian of 3 pixels, with which the network names 80 of 100 instead
    of 92, all of 320 fall below, and 9 of 10 if strong noise comes on top; of 2 pixels, 8 of 10 do.

    Args:
        image: uint8 (height, width, 3), RGB; a face that fills the picture, as the network sees it.

    Returns:
        From 0 to 1; 0 for a picture of one colour. Sides below 64 pixels cannot show all such
        detail, and those below 23 none.

    Raises:
        FacenetError: for another shape, or what is not uint8.

    >>> stripes = np.zeros((64, 64, 3), np.uint8)
    >>> stripes[:, ::3] = 255
    >>> measure_sharpness(stripes) > 0.9
    True
    """
    pixels = check_array("image", image, "integers", ("height", "width", 3))
    if pixels.dtype != np.uint8 or not pixels.size:
        raise FacenetError(
            f"image: expected pixels as uint8, found {pixels.dtype} of shape {pixels.shape}"
        )
    grey = pixels @ np.array([0.299, 0.587, 0.114])  # luma, ITU-R BT.601
    height, width = grey.shape
    # Faded out towards the edges, whose jump to the opposite side would be fine detail.
    window = np.outer(np.hanning(height), np.hanning(width))
    energy = np.square(np.abs(np.fft.fft2((grey - grey.mean()) * window)))
    waves = np.hypot(*np.meshgrid(*map(_waves, (height, width)), indexing="ij"))
    total = energy.sum()
    is_fine = (waves > _FINE[0]) & (waves <= _FINE[1])
    return float(energy[is_fine].sum() / total) if total > 1e-6 else 0.0


@dataclass(frozen=True, eq=False)
class _Photographs:
    """Whose they are, and how they are called.

    Attributes:
        people: sorted names, each once.
        owners: int (n,), places in ``people``.
        sources: str, n of them.
    """

    people: list[str]
    owners: NDArray[np.intp]
    sources: list[str]

    def problem(self, row: int | np.integer, kind: str, sentence: str) -> EnrolmentProblem:
        return EnrolmentProblem(self.name(row), self.sources[row], kind, sentence)

    def name(self, row: int | np.integer) -> str:
        return self.people[self.owners[row]]

    def rows_by_person(self) -> Iterator[NDArray[np.intp]]:
        for person in range(len(self.people)):
            yield np.flatnonzero(self.owners == person)


def _duplicates(
    photographs: _Photographs, pictures: NDArray[np.int64]
) -> Iterator[EnrolmentProblem]:
    first: dict[int, int] = {}
    for row, picture in enumerate(pictures.tolist()):
        kept = first.setdefault(picture, row)
        if picture >= 0 and kept != row:
            sentence = f"the picture {photographs.sources[kept]} of {photographs.name(kept)}"
            yield photographs.problem(row, "duplicate", sentence)


def _nearer_to_others(
    photographs: _Photographs,
    rows: NDArray[np.float32],
    pictures: NDArray[np.int64],
    margin: float,
) -> Iterator[EnrolmentProblem]:
    to_people = distances_to_people(rows, rows, photographs.owners, by="nearest")
    to_people[np.arange(len(rows)), photographs.owners] = np.inf
    for own in photographs.rows_by_person():
        among_own = euclidean_distances(rows[own], squared=True)
        np.fill_diagonal(among_own, np.inf)
        # Nor must the same picture, saved twice under a wrong name, vouch for itself.
        among_own[(pictures[own, None] == pictures[own]) & (pictures[own] >= 0)] = np.inf
        for row, to_own in zip(own, among_own.min(axis=1), strict=True):
            nearest = to_people[row].min()
            if np.isfinite(to_own) and to_own - nearest > margin:
                name = photographs.name(row)
                other = photographs.people[to_people[row].argmin()]
                sentence = f"{nearest:.2f} from a photograph of {other}, "
                sentence += f"{to_own:.2f} from any other of {name}"
                yield photographs.problem(row, "nearer to somebody else", sentence)


def _two_people(
    photographs: _Photographs, rows: NDArray[np.float32], threshold: float
) -> Iterator[EnrolmentProblem]:
    for own in photographs.rows_by_person():
        groups = cluster(rows[own], threshold=threshold)
        for group in range(1, groups.max() + 1):
            members = own[groups == group]
            listed = ", ".join(photographs.sources[row] for row in members)
            sentence = f"of {len(own)} photographs, {len(members)} look like another person than "
            sentence += f"{(groups == 0).sum()} others: {listed}"
            yield photographs.problem(members[0], "two people", sentence)


def _too_small(
    kind: str,
    photographs: _Photographs,
    values: NDArray[np.float64],
    least: float,
    expected: str,
) -> Iterator[EnrolmentProblem]:
    for row in np.flatnonzero(values < least):
        yield photographs.problem(row, kind, f"expected {expected}, found {values[row]:.3g}")


def _photographs(names: Sequence[str], sources: Sequence[str], rows: int) -> _Photographs:
    problems = [
        f"{what}: expected {rows}, one for each row, found {len(values)}"
        for what, values in (("names", names), ("sources", sources))
        if len(values) != rows
    ]
    refuse("check_enrolment", problems)
    checked = [check_person_name(name) for name in names]
    people, owners = np.unique(checked, return_inverse=True)
    return _Photographs(people.tolist(), owners, [str(source) for source in sources])


def _measured(name: str, values: ArrayLike, rows: int) -> NDArray[np.float64]:
    numbers = check_array(name, values, "numbers", (rows,)).astype(np.float64)
    if not (numbers >= 0).all():  # or not a number
        wrong = int(np.argmin(numbers >= 0))
        raise FacenetError(f"{name}: expected numbers from 0, found {numbers[wrong]} at {wrong}")
    return numbers


def _waves(pixels: int) -> NDArray[np.float64]:
    """How many waves go into a side of so many pixels, for each frequency of fft2."""
    return np.fft.fftfreq(pixels, 1 / pixels).astype(np.float64)
