"""A gallery: people, the embeddings of their photographs, and the model that made them.

A person is added by embedding a few photographs; nothing is trained. Every photograph keeps its
own embedding, so that one can be taken away again, and a person's distance is taken to the nearest
of them or to their mean. Derived in chapter 12.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facenet_lib.alignment.manifest import AlignmentSettings
from facenet_lib.checks import check_array, check_integer
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.files import read_arrays, write_arrays
from facenet_lib.recognition.fingerprint import Fingerprint
from facenet_lib.recognition.search import check_embeddings, distances_to_people, nearest_rows

SAME_PICTURE_BELOW = 1e-5
"""Squared distance below which two embeddings are of one picture, saved twice."""

_NOT_THERE = 8.0  # a distance larger than any of two embeddings, of which 4 is the largest
_FORMAT = 1


@dataclass(frozen=True)
class GalleryThreshold:
    """The distance below which a face is named, and what it was chosen for.

    Attributes:
        distance: squared distance of embeddings.
        false_positive_rate: the share of strangers that may be named.
        people: people that the gallery held then: with more of them, more strangers are named.
    """

    distance: float
    false_positive_rate: float
    people: int


class Gallery:
    """People and their embeddings.

    Attributes:
        fingerprint: of the model that made the embeddings.
        alignment: how the photographs were cut; None: they were faces already.
        threshold: below which a face is named; None until one is chosen.
        names: tuple of str (n,), whose each embedding is, in the order of enrolment.
        sources: tuple of str (n,), of which photograph.
        embeddings: float32 (n, embedding_size), rows of length one.

    >>> gallery = Gallery(Fingerprint("facenet", np.eye(4, 2)))
    >>> gallery.enroll("Ann", [[1.0, 0.0]], ["1.jpg"])
    >>> gallery.enroll("Bea", [[0.0, 1.0]], ["1.jpg"])
    >>> gallery.search([[0.6, 0.8]], k=2)[0].tolist()
    [['Bea', 'Ann']]
    """

    def __init__(self, fingerprint: Fingerprint, alignment: AlignmentSettings | None = None):
        self.fingerprint = fingerprint
        self.alignment = alignment
        self.threshold: GalleryThreshold | None = None
        self.names: tuple[str, ...] = ()
        self.sources: tuple[str, ...] = ()
        self.embeddings = np.empty((0, fingerprint.embeddings.shape[1]), np.float32)

    @property
    def people(self) -> tuple[str, ...]:
        """The people, each once, in the order of their names."""
        return tuple(sorted(set(self.names)))

    @property
    def owners(self) -> NDArray[np.int64]:
        """Int64 (n,), the place among :attr:`people` of each embedding's person."""
        return np.unique(np.array(self.names, dtype=str), return_inverse=True)[1].astype(np.int64)

    def enroll(self, name: str, embeddings: ArrayLike, sources: Sequence[str]) -> None:
        """Add photographs of a person, whether known already or new.

        Args:
            name: of the person.
            embeddings: float (photographs, embedding_size), rows of length one.
            sources: what each is to be called in answers and errors, its file for example.

        Raises:
            FacenetError: for an empty name or one with line breaks, other shapes, a source that is
                there already under this name, or a picture that is there under another name; then
                nothing was added.
        """
        name = check_person_name(name)
        rows = self._checked(f"embeddings of {name}", embeddings)
        if len(sources) != len(rows):
            raise FacenetError(f"{name}: expected {len(rows)} sources, found {len(sources)}")
        known = {
            source for owner, source in zip(self.names, self.sources, strict=True) if owner == name
        }
        problems = [f"{source}: enrolled already" for source in sources if source in known]
        refuse(name, problems + self._strange_owners(name, rows, sources))
        self.names += (name,) * len(rows)
        self.sources += tuple(sources)
        self.embeddings = np.concatenate([self.embeddings, rows])

    def remove(self, name: str) -> int:
        """Forget a person: after :meth:`save`, the file holds neither the name nor an embedding.

        Returns:
            How many embeddings there were.

        Raises:
            FacenetError: when nobody has this name.
        """
        name = check_person_name(name)
        kept = [row for row, owner in enumerate(self.names) if owner != name]
        removed = len(self.names) - len(kept)
        if not removed:
            raise FacenetError(f"nobody is called {name!r} here{_alike(name, self.people)}")
        self.names = tuple(self.names[row] for row in kept)
        self.sources = tuple(self.sources[row] for row in kept)
        self.embeddings = self.embeddings[kept]
        return removed

    def distances(self, embeddings: ArrayLike, by: str = "nearest") -> NDArray[np.float32]:
        """Measure how far faces are from every person.

        Args:
            embeddings: float (faces, embedding_size), rows of length one.
            by: ``"nearest"``: the nearest of a person's photographs; ``"mean"``: their mean,
                scaled to length one.

        Returns:
            float32 (faces, people), squared distances, people in the order of :attr:`people`.

        Raises:
            FacenetError: for a gallery without people, other shapes or another ``by``.
        """
        self._check_not_empty()
        return distances_to_people(
            self._checked("embeddings", embeddings), self.embeddings, self.owners, by
        )

    def search(
        self, embeddings: ArrayLike, k: int = 1, by: str = "nearest"
    ) -> tuple[NDArray[np.str_], NDArray[np.float32]]:
        """Find the k nearest people.

        Args:
            embeddings: float (faces, embedding_size), rows of length one.
            k: people a face, as far as there are so many.
            by: see :meth:`distances`.

        Returns:
            Names, str (faces, k), nearest first, and their squared distances, float32 (faces, k).

        Raises:
            FacenetError: as :meth:`distances`, and for k below 1.
        """
        check_integer("k", k, at_least=1)
        distances = self.distances(embeddings, by)
        order = np.argsort(distances, axis=1, kind="stable")[:, :k]
        return np.array(self.people)[order], np.take_along_axis(distances, order, axis=1)

    def leave_one_out(self, by: str = "nearest") -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Measure what each photograph would meet if it had not been enrolled.

        It is a mate to its person's other photographs, where there are some, and a stranger to all
        other people: what a gallery can tell of itself before any stranger has come.

        Args:
            by: see :meth:`distances`.

        Returns:
            Distances, float32 (probes, people), 8 to whom is not there, and truth, int64
            (probes,): the person's place, or -1 for a stranger. Mates first.

        Raises:
            FacenetError: for a gallery without people.
        """
        distances, owners = self.distances(self.embeddings, by), self.owners
        rows = np.arange(len(owners))
        strange = distances.copy()
        strange[rows, owners] = _NOT_THERE
        for owner in range(distances.shape[1]):
            mine = np.flatnonzero(owners == owner)
            for row in mine if len(mine) > 1 else ():
                others = self.embeddings[mine[mine != row]]
                alone = np.zeros(len(others), np.int64)
                own = distances_to_people(self.embeddings[row : row + 1], others, alone, by)
                distances[row, owner] = own[0, 0]
        has_mate = np.bincount(owners)[owners] > 1
        truth = np.concatenate([owners[has_mate], np.full(len(owners), -1)])
        return np.concatenate([distances[has_mate], strange]), truth

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the gallery, whole or not at all.

        Raises:
            FacenetError: when it cannot be written; what was there before is untouched.
        """
        arrays = {"embeddings": self.embeddings, "fingerprint": self.fingerprint.embeddings}
        state = {
            "gallery": _FORMAT,
            "model": self.fingerprint.model,
            "alignment": self.alignment and dataclasses.asdict(self.alignment),
            "threshold": self.threshold and dataclasses.asdict(self.threshold),
            "names": self.names,
            "sources": self.sources,
        }
        write_arrays(Path(path), arrays, state)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Gallery:
        """Read a gallery. Nothing in the file is executed.

        Raises:
            FacenetError: when there is none, or it is damaged or something else.

        >>> Gallery.load("nowhere")
        Traceback (most recent call last):
        facenet_lib.errors.FacenetError: nowhere: expected a gallery that 'facenet enroll' wrote...
        """
        path = Path(path)
        arrays, state = read_arrays(path, "a gallery that 'facenet enroll' wrote")
        if state.get("gallery") != _FORMAT:
            raise FacenetError(
                f"{path}: expected a gallery of format {_FORMAT}, found {state.get('gallery')!r}"
            )
        try:
            return cls._from_parts(arrays, state)
        except (FacenetError, KeyError, TypeError, ValueError) as error:
            raise FacenetError(f"{path}: damaged gallery: {error}") from error

    @classmethod
    def _from_parts(cls, arrays: dict[str, np.ndarray], state: dict[str, Any]) -> Gallery:
        pictures = check_array(
            "fingerprint", arrays["fingerprint"], "floating point numbers", (4, "n")
        )
        alignment, threshold = state["alignment"], state["threshold"]
        gallery = cls(
            Fingerprint(str(state["model"]), pictures.astype(np.float32)),
            AlignmentSettings(**alignment) if alignment else None,
        )
        gallery.threshold = GalleryThreshold(**threshold) if threshold else None
        gallery.names = tuple(check_person_name(name) for name in state["names"])
        gallery.sources = tuple(map(str, state["sources"]))
        if gallery.names:  # the last person may have been removed
            gallery.embeddings = gallery._checked("embeddings", arrays["embeddings"])
        lengths = {len(gallery.names), len(gallery.sources), len(gallery.embeddings)}
        if len(lengths) > 1:
            raise FacenetError(f"names, sources and embeddings: expected as many, found {lengths}")
        return gallery

    def _checked(self, what: str, embeddings: ArrayLike) -> NDArray[np.float32]:
        """Embeddings that this gallery can hold."""
        check_array(what, embeddings, "numbers", ("n", self.embeddings.shape[1]))
        return check_embeddings(what, embeddings)

    def _strange_owners(
        self, name: str, rows: NDArray[np.float32], sources: Sequence[str]
    ) -> list[str]:
        """Pictures among ``rows`` that are enrolled under another name."""
        others = np.array([owner != name for owner in self.names], dtype=bool)
        if not others.any():
            return []
        nearest, distances = nearest_rows(rows, self.embeddings[others], k=1)
        places = np.flatnonzero(others)[nearest[:, 0]]
        return [
            f"{source}: the same picture is enrolled as {self.names[place]} ({self.sources[place]})"
            for source, place, distance in zip(sources, places, distances[:, 0], strict=True)
            if distance < SAME_PICTURE_BELOW
        ]

    def _check_not_empty(self) -> None:
        if not self.names:
            raise FacenetError("a gallery without people names nobody: enroll some first")


def check_person_name(name: object) -> str:
    """Return a person's name in the form in which it is compared, whatever typed it.

    Raises:
        FacenetError: for what is empty, or cannot stand in a line of a table.

    >>> check_person_name("Zoe\\u0308") == "Zo\\u00eb"
    True
    """
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise FacenetError(f"name: expected one line of text, found {name!r}")
    return unicodedata.normalize("NFC", name)


def _alike(name: str, people: Sequence[str]) -> str:
    alike = difflib.get_close_matches(name, people, n=1)
    return f"; did you mean {alike[0]!r}?" if alike else ""
