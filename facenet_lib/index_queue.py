"""Which images come next: the image list, the label list and an endless shuffled range.

Stands for the TF 1 queue ``tf.train.range_input_producer(range_size, shuffle=True)`` and its
``dequeue_many(batch_size * epoch_size)`` (section 2 of the article). Derived in chapter 2,
"Index queue".
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

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
    """
    image_list = [str(path) for paths in faces.values() for path in paths]
    label_list = [label for label, paths in enumerate(faces.values()) for _ in paths]
    if not image_list:
        raise FacenetError(f"image list: expected images, found {len(faces)} people without any")
    return image_list, label_list


class IndexQueue:
    """An endless queue of the indices 0 ... range_size - 1, every pass in a new shuffled order.

    Pass k is ``numpy.random.default_rng((seed, k)).permutation(range_size)``, so the whole
    future of the queue follows from three integers, which :meth:`state` returns. How many
    indices are taken at a time is free: fewer than a pass, several passes, or any part of one.

    Args:
        range_size: number of images in the dataset, at least 1.
        seed: a non-negative integer; equal seeds give equal queues.

    Raises:
        FacenetError: if an argument is not such an integer.
    """

    def __init__(self, range_size: int, seed: int) -> None:
        self._range_size = _integer("range_size", range_size, at_least=1)
        self._seed = _integer("seed", seed, at_least=0)
        self._position = 0
        # The pass that is being handed out, kept so that small dequeues do not shuffle it anew.
        self._pass_number = -1
        self._permutation: npt.NDArray[np.int64] = np.empty(0, np.int64)

    def dequeue_many(self, n: int) -> npt.NDArray[np.int64]:
        """Take the next ``n`` indices, across as many passes as that needs.

        Args:
            n: how many indices, for an epoch ``batch_size * epoch_size``; 0 takes none.

        Returns:
            int64 array (n,).

        Raises:
            FacenetError: if ``n`` is negative or not an integer.
        """
        n = _integer("n", n, at_least=0)
        indices = np.empty(n, np.int64)
        filled = 0
        while filled < n:
            pass_number, start = divmod(self._position, self._range_size)
            part = self._pass(pass_number)[start : start + n - filled]
            indices[filled : filled + len(part)] = part
            filled += len(part)
            self._position += len(part)
        return indices

    def state(self) -> dict[str, int]:
        """The queue's whole state, fit for JSON: ``range_size``, ``seed`` and ``position``.

        ``position`` counts the indices taken so far.
        """
        values = (self._range_size, self._seed, self._position)
        return dict(zip(_STATE_KEYS, values, strict=True))

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> IndexQueue:
        """A queue that goes on exactly where the one that returned ``state`` stood.

        Raises:
            FacenetError: if ``state`` lacks an entry, has one too many, or has one that is
                not an integer in range.
        """
        if not isinstance(state, Mapping) or set(state) != set(_STATE_KEYS):
            found = sorted(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
            raise FacenetError(
                f"index queue state: expected the entries {', '.join(_STATE_KEYS)}, found {found}"
            )
        queue = cls(state["range_size"], state["seed"])
        queue._position = _integer("position", state["position"], at_least=0)
        return queue

    def _pass(self, number: int) -> npt.NDArray[np.int64]:
        if number != self._pass_number:
            rng = np.random.default_rng((self._seed, number))
            self._permutation = rng.permutation(self._range_size)
            self._pass_number = number
        return self._permutation


def _integer(name: str, value: SupportsIndex, at_least: int) -> int:
    expected = f"index queue: expected {name} to be an integer of at least {at_least}"
    if isinstance(value, bool | np.bool_):
        raise FacenetError(f"{expected}, found {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise FacenetError(f"{expected}, found {value!r}") from None
    if number < at_least:
        raise FacenetError(f"{expected}, found {number}")
    return number
