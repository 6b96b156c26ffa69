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
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facenet_lib.alignment.manifest import AlignmentSettings
from facenet_lib.checks import (
    check_array,
    check_integer,
    integer_problems,
    number_problems,
    word_problems,
)
from facenet_lib.errors import FacenetError, refuse, shown
from facenet_lib.files import lock_folder, normalize_name, read_arrays, write_arrays
from facenet_lib.recognition.fingerprint import Fingerprint
from facenet_lib.recognition.search import check_embeddings, distances_of_checked

_NOT_THERE = 8.0  # a distance larger than any of two embeddings, of which 4 is the largest
_FORMAT = 1


@dataclass(frozen=True)
class GalleryThreshold:
    """The distance below which a face is named, and what it was chosen for.

    Attributes:
        distance: squared distance of embeddings.
        false_positive_rate: the share of strangers that may be named.
        people: people with whom each stranger was compared: with more of them in the gallery, more
            strangers are named.
        by: how a person's distance was taken, see :meth:`Gallery.distances`.
    """

    distance: float
    false_positive_rate: float
    people: int
    by: str

    def __post_init__(self) -> None:
        problems = number_problems("distance", self.distance, "(0, inf)")
        problems += number_problems("false_positive_rate", self.false_positive_rate, "(0, 1)")
        problems += integer_problems("people", self.people, at_least=1)
        refuse("threshold", problems + word_problems("by", self.by, ("nearest", "mean")))


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
        self._sort_people()

    @property
    def people(self) -> tuple[str, ...]:
        """The people, each once, in the order of their names."""
        return self._people

    @property
    def owners(self) -> NDArray[np.int64]:
        """Int64 (n,), the place among :attr:`people` of each embedding's person."""
        return self._owners

    def _sort_people(self) -> None:
        """Find out who is there, once for all questions until somebody comes or goes."""
        self._people = tuple(sorted(set(self.names)))
        places = {name: place for place, name in enumerate(self._people)}
        self._owners = np.array([places[name] for name in self.names], np.int64)

    def enroll(self, name: str, embeddings: ArrayLike, sources: Sequence[str]) -> None:
        """Add photographs of a person, whether known already or new.

        Args:
            name: of the person.
            embeddings: float (photographs, embedding_size), rows of length one.
            sources: what each is to be called in answers and errors, its file for example.

        Raises:
            FacenetError: for an empty name or one with line breaks, other shapes, or a source that
                is there twice then under this name; nothing was added.
        """
        name = check_person_name(name)
        rows = self._checked(f"embeddings of {name}", embeddings)
        new = tuple(map(str, sources))
        if len(new) != len(rows):
            raise FacenetError(f"{name}: expected {len(rows)} sources, found {len(new)}")
        known = Counter(zip(self.names, self.sources, strict=True)) + Counter(
            (name, s) for s in new
        )
        refuse(name, [f"{s}: enrolled twice" for s in dict.fromkeys(new) if known[name, s] > 1])
        self.names += (name,) * len(rows)
        self.sources += new
        self.embeddings = np.concatenate([self.embeddings, rows])
        self._sort_people()

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
        self._sort_people()
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
        refuse("gallery", word_problems("by", by, ("nearest", "mean")))
        if not self.names:
            raise FacenetError("a gallery without people names nobody: enroll some first")
        asked = self._checked("embeddings", embeddings)
        return distances_of_checked(asked, self.embeddings, self.owners, by)

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
        other people: what a gallery can tell of itself before any stranger has come. A stranger is
        compared with one person fewer than the gallery holds, so that
        :func:`~facenet_lib.recognition.choose_threshold` takes no ``people`` with these distances.

        Args:
            by: see :meth:`distances`.

        Returns:
            Distances, float32 (probes, people), 8 to whom is not there, and truth, int64
            (probes,): the person's place, or -1 for a stranger. Mates first; then the strangers,
            one for each embedding, in their order.

        Raises:
            FacenetError: for a gallery of fewer than two people.
        """
        if len(self.people) < 2:
            raise FacenetError(
                f"a gallery of {len(self.people)} people has no strangers of its own: expected two"
            )
        distances, owners = self.distances(self.embeddings, by), self.owners
        rows = np.arange(len(owners))
        strange = distances.copy()
        strange[rows, owners] = _NOT_THERE
        for owner in range(distances.shape[1]):
            mine = np.flatnonzero(owners == owner)
            for row in mine if len(mine) > 1 else ():
                others = self.embeddings[mine[mine != row]]
                alone = np.zeros(len(others), np.int64)
                own = distances_of_checked(self.embeddings[row : row + 1], others, alone, by)
                distances[row, owner] = own[0, 0]
        has_mate = np.bincount(owners)[owners] > 1
        truth = np.concatenate([owners[has_mate], np.full(len(owners), -1)])
        return np.concatenate([distances[has_mate], strange]), truth

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the gallery, whole or not at all; a new file is its owner's to read alone.

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
        write_arrays(Path(path), arrays, state, mode=0o600)

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
                f"{path}: expected a gallery of format {_FORMAT}, found "
                f"{shown(state.get('gallery'))}"
            )
        try:
            return cls._from_parts(arrays, state)
        except FacenetError as error:
            raise FacenetError(f"{path}: damaged gallery: {error}") from error
        except KeyError as error:
            raise FacenetError(f"{path}: damaged gallery: it lacks {error}") from error
        except (TypeError, ValueError) as error:
            raise FacenetError(f"{path}: damaged gallery: its settings are others") from error

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
        gallery._sort_people()
        return gallery

    def _checked(self, what: str, embeddings: ArrayLike) -> NDArray[np.float32]:
        """Embeddings that this gallery can hold."""
        check_array(what, embeddings, "numbers", ("n", self.embeddings.shape[1]))
        return check_embeddings(what, embeddings)


@contextmanager
def change_gallery(path: str | os.PathLike[str], new: Gallery | None = None) -> Iterator[Gallery]:
    """Read a gallery and, once the block has ended without an error, write it.

    No other process that does the same can come between, so that nobody whom it adds is lost and
    nobody whom it removes comes back.

    Args:
        path: the gallery's file.
        new: the gallery to begin with where there is no file; None: there has to be one.

    Raises:
        FacenetError: as :meth:`Gallery.load` and :meth:`Gallery.save`.

    >>> with change_gallery("nowhere") as gallery:
    ...     gallery.remove("Ann")
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: nowhere: expected a gallery that 'facenet enroll' wrote...
    """
    path = Path(path)
    with lock_folder(path.resolve().parent):
        gallery = new if new is not None and not path.exists() else Gallery.load(path)
        yield gallery
        gallery.save(path)


def check_person_name(name: object) -> str:
    """Return a person's name in the form in which it is compared, whatever typed it.

    That is Unicode's form NFC, without spaces around it.

    Raises:
        FacenetError: for what is empty, or cannot stand in a line of a table.

    >>> check_person_name("Zoe\\u0308") == "Zo\\u00eb"
    True
    """
    text = normalize_name(name).strip() if isinstance(name, str) else ""
    if not text or any(unicodedata.category(letter) in _NO_LETTERS for letter in text):
        raise FacenetError(f"name: expected one line of text, found {shown(name)}")
    return text


_NO_LETTERS = ("Cc", "Cs", "Zl", "Zp")  # controls, halves of letters, ends of lines and paragraphs


def _alike(name: str, people: Sequence[str]) -> str:
    alike = difflib.get_close_matches(name, people, n=1)
    return f"; did you mean {alike[0]!r}?" if alike else ""
