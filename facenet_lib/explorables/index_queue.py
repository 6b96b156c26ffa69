"""The explorable figure of chapter 2: passes, batches and epochs of one stream of indices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from facenet_lib.checks import check_array, check_integer
from facenet_lib.explorables.figure import Explorable, check_some, draw_png
from facenet_lib.index_queue import IndexQueue
from facenet_lib.plots.index_queue import index_stream as draw_index_stream

_LARGEST_RANGE = 12
_SHOWN = 96  # two epochs of six batches of eight, the most that the sliders give


def index_stream(
    streams: Mapping[str, tuple[npt.NDArray[Any], int]], range_size: int, seed: int
) -> Explorable:
    """Let a reader choose range, batch and epoch, and see which pass each batch comes from.

    Args:
        streams: of the still figure, as :func:`facenet_lib.plots.index_stream` takes them.
        range_size: indices in a pass, from 2 to 12, where its slider stands at first.
        seed: of the :class:`facenet_lib.index_queue.IndexQueue` whose stream is shown.

    Raises:
        FacenetError: for no streams, others, a range of another size, or a seed that the queue
            refuses.

    >>> index_stream({"2 at a time": ([1, 0, 2, 2, 1, 0], 2)}, range_size=3, seed=0).name
    'index_stream'
    """
    check_some("streams", streams)
    for title, (indices, taken) in streams.items():
        check_some(title, check_array(title, indices, "integers", ("indices",)))
        check_integer(f"{title}: taken at a time", taken, at_least=1)
    data = {
        "rangeSize": check_integer("range_size", range_size, at_least=2, at_most=_LARGEST_RANGE),
        "streams": {
            str(size): IndexQueue(size, seed).dequeue_many(_SHOWN).tolist()
            for size in range(2, _LARGEST_RANGE + 1)
        },
    }
    alt = (
        "Rows of numbered, coloured cells, the same stream in each. Above the cells the passes, "
        f"below them the epochs: {'; '.join(streams)}."
    )
    label = "A stream of indices; the sizes of range, batch and epoch"
    still = draw_png(draw_index_stream(streams, range_size))
    return Explorable("index_stream", label, data, still, alt)
