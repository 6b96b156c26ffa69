"""Which images come next: the image list, the label list and two samplers of them.

:class:`IndexQueue` stands for the TF 1 queue ``tf.train.range_input_producer(range_size,
shuffle=True)`` and its ``dequeue_many(batch_size * epoch_size)`` (section 2 of the article),
:class:`PeopleQueue` for ``sample_people`` of the reference's train_tripletloss. Derived in
chapter 2, "Index queue", and chapter 9, "Triplet loss".
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facenet_lib.checks import check_array, check_integer
from facenet_lib.errors import FacenetError

_STATE_KEYS = ("range_size", "seed", "position")


def image_and_label_lists(faces: Mapping[str, Sequence[Path]]) -> tuple[list[str], list[int]]:
    """Flatten a dataset to one entry an image.

    Args:
        faces: the images of every person, by name, as ``datasets.read_faces`` returns them.

    Returns:
        ``image_list``, the path of every image, and ``label_list`` of the same length, the
        position of that image's person in the order of ``faces``.

    Raises:
        FacenetError: if there is no image at all.

    >>> image_and_label_lists({"Ann": [Path("1.jpg"), Path("2.jpg")], "Bo": [Path("3.jpg")]})
    (['1.jpg', '2.jpg', '3.jpg'], [0, 0, 1])
    """
    image_list = [str(path) for paths in faces.values() for path in paths]
    label_list = [label for label, paths in enumerate(faces.values()) for _ in paths]
    if not image_list:
        raise FacenetError(f"image list: expected images, found {len(faces)} people without any")
    return image_list, label_list


class Sampler(Protocol):
    """An endless sequence of the positions of images, of which some have been taken.

    What comes where never depends on how many were taken at a time. A sampler of one's own
    derives from one of those below, and says in :meth:`peek_many` what comes.

    Attributes:
        range_size: number of images in the dataset.
        seed: a non-negative integer; equal seeds give equal sequences.
        position: how many indices have been taken so far.
    """

    range_size: int
    seed: int
    position: int = 0

    def peek_many(self, n: int) -> NDArray[np.int64]:
        """Return the next ``n`` indices, int64 (n,), and leave them where they are.

        Raises:
            FacenetError: if ``n`` is negative or not an integer.
        """

    def dequeue_many(self, n: int) -> NDArray[np.int64]:
        """Take the next ``n`` indices.

        Args:
            n: how many indices, for an epoch ``batch_size * epoch_size``; 0 takes none.

        Returns:
            int64 array (n,).

        Raises:
            FacenetError: if ``n`` is negative or not an integer.
        """
        indices = self.peek_many(n)
        self.position += len(indices)
        return indices

    def state(self) -> dict[str, int]:
        """The position and what it goes with: ``range_size``, ``seed``, ``position``; for JSON."""
        return {name: getattr(self, name) for name in _STATE_KEYS}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where the one that returned ``state`` stood.

        Raises:
            FacenetError: if ``state`` lacks an entry, has one too many, or is that of another
                range or seed.
        """
        if not isinstance(state, Mapping) or set(state) != set(_STATE_KEYS):
            found = sorted(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
            raise FacenetError(
                f"index queue state: expected the entries {', '.join(_STATE_KEYS)}, found {found}"
            )
        for name in ("range_size", "seed"):
            if state[name] != getattr(self, name):
                raise FacenetError(
                    f"index queue state: expected the {name} {getattr(self, name)}, "
                    f"found {state[name]!r}"
                )
        self.position = check_integer("index queue state: position", state["position"], at_least=0)


class IndexQueue(Sampler):
    """An endless queue of the indices 0 ... range_size - 1, every pass in a new shuffled order.

    Pass k is ``numpy.random.default_rng((seed, k)).permutation(range_size)``, so the whole
    future of the queue follows from three integers, its :meth:`~Sampler.state`. How many
    indices are taken at a time is free: fewer than a pass, several passes, or any part of one.

    Args:
        range_size: number of images in the dataset, at least 1.
        seed: a non-negative integer; equal seeds give equal queues.

    Raises:
        FacenetError: if an argument is not such an integer.

    >>> queue = IndexQueue(range_size=5, seed=10)
    >>> queue.dequeue_many(7)
    array([3, 2, 4, 1, 0, 2, 4])
    >>> queue.state()
    {'range_size': 5, 'seed': 10, 'position': 7}
    """

    def __init__(self, range_size: int, seed: int) -> None:
        self.range_size = check_integer("index queue: range_size", range_size, at_least=1)
        self.seed = check_integer("index queue: seed", seed, at_least=0)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> IndexQueue:
        """Make a queue that goes on exactly where the one that returned ``state`` stood.

        Raises:
            FacenetError: if ``state`` lacks an entry, has one too many, or has one that is
                not an integer in range.
        """
        about = state if isinstance(state, Mapping) else {}
        queue = cls(about.get("range_size", 1), about.get("seed", 0))
        queue.restore(state)
        return queue

    def peek_many(self, n: int) -> NDArray[np.int64]:
        """Return the next ``n`` indices, across as many passes as that needs."""
        n = check_integer("index queue: n", n, at_least=0)
        indices = np.empty(n, np.int64)
        filled = 0
        while filled < n:
            pass_number, start = divmod(self.position + filled, self.range_size)
            part = _shuffle(self.range_size, self.seed, pass_number)[start : start + n - filled]
            indices[filled : filled + len(part)] = part
            filled += len(part)
        return indices


class PeopleQueue(Sampler):
    """An endless queue of batches in which every person has several images.

    Only people with two images or more take part, since a positive is needed. They are shuffled
    anew for each pass and dealt to whole batches, so that a batch holds nobody twice and everyone
    comes up equally often; who is left over at the end of a pass, fewer than a batch, sits it out.

    In a batch of ``people_per_batch * images_per_person`` indices the images of a person stand
    side by side: different ones where there are enough, else all of them in turn, again and again,
    until the places are filled (augmentation makes a repeated image a new one).

    Args:
        label_list: integers (images,), the person of every image.
        people_per_batch: at least 2, and at most the people with two images or more.
        images_per_person: at least 2.
        seed: a non-negative integer; equal seeds give equal batches.

    Raises:
        FacenetError: for an argument that is no such integer, labels of another shape, or too few
            people with two images.

    Source: ``sample_people`` of the reference, which repeats no image and takes more people where
    some have too few.

    >>> owners = [0, 0, 1, 2, 2, 2]
    >>> PeopleQueue(owners, people_per_batch=2, images_per_person=2, seed=0).dequeue_many(4)
    array([5, 3, 1, 0])
    """

    def __init__(
        self, label_list: ArrayLike, people_per_batch: int, images_per_person: int, seed: int
    ) -> None:
        self._people_per_batch = check_integer("people_per_batch", people_per_batch, at_least=2)
        self._images_per_person = check_integer("images_per_person", images_per_person, at_least=2)
        self.seed = check_integer("seed", seed, at_least=0)
        labels = check_array("label_list", label_list, "integers", ("images",))
        self.range_size = len(labels)
        by_label = np.argsort(labels, kind="stable")
        everyone = np.split(by_label, np.flatnonzero(np.diff(labels[by_label])) + 1)
        self._images = [images for images in everyone if len(images) >= 2]
        if len(self._images) < people_per_batch:
            raise FacenetError(
                f"people_per_batch: expected at least {people_per_batch} people with two images or "
                f"more, found {len(self._images)} among {len(np.unique(labels))} people"
            )

    def peek_many(self, n: int) -> NDArray[np.int64]:
        """Return the next ``n`` indices, of as many batches as that needs."""
        n = check_integer("n", n, at_least=0)
        batch_size = self._people_per_batch * self._images_per_person
        first, start = divmod(self.position, batch_size)
        batches = range(first, -(-(self.position + n) // batch_size))
        drawn = [part for number in batches for part in self._draw_batch(number)]
        return np.concatenate([np.empty(0, np.int64), *drawn])[start : start + n]

    def _draw_batch(self, number: int) -> list[NDArray[np.int64]]:
        """Draw the images of each person of a batch."""
        pass_number, part = divmod(number, len(self._images) // self._people_per_batch)
        # The third number keeps a pass apart from the batch of the same number.
        shuffled = _shuffle(len(self._images), self.seed, pass_number, 1)
        people = shuffled[part * self._people_per_batch :][: self._people_per_batch]
        rng = np.random.default_rng((self.seed, number))
        return [
            np.resize(rng.permutation(self._images[person]), self._images_per_person)
            for person in people
        ]


@functools.lru_cache(maxsize=1)  # the pass that is being handed out, however few at a time
def _shuffle(size: int, *seeds: int) -> NDArray[np.int64]:
    shuffled = np.random.default_rng(seeds).permutation(size)
    shuffled.flags.writeable = False  # every caller gets this one
    return shuffled
