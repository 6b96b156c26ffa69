"""Figures of chapter 8: a server with many clients, and while its versions change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from facenet_lib.plots.book_style import GREY, WIDTH, make_figure, put_legend_above


def service_load(
    clients: Sequence[int],
    rates: Sequence[float],
    latencies: Mapping[str, Sequence[float]],
    batch_sizes: Sequence[Mapping[int, int]],
) -> Figure:
    """Show what a server answers to more and more clients, and how long each of them waits.

    Args:
        clients: how many ask at the same time.
        rates: answers a second to all of them together.
        latencies: label of a line, such as a percentile -> milliseconds for each of ``clients``.
        batch_sizes: for each of ``clients``, how many batches were computed, by their size.

    Returns:
        Left, latency against throughput; right, the share of images in batches of each size.
    """
    figure, (left, right) = make_figure(0.5 * WIDTH, columns=2)
    for label, milliseconds in latencies.items():
        left.plot(rates, milliseconds, "o-", label=label)
    left.set(xlim=(0, 1.08 * max(rates)), ylim=(0, 1.1 * max(map(max, latencies.values()))))
    left.set(xlabel="answers a second", ylabel="milliseconds to an answer")
    _count_clients(left, clients, rates, np.max(list(latencies.values()), axis=0))
    left.legend(loc="upper left")
    for position, counts in enumerate(batch_sizes):
        images = sum(size * count for size, count in counts.items())
        areas = [250 * size * count / images for size, count in counts.items()]
        right.scatter([position] * len(counts), list(counts), areas, color="C0", alpha=0.7)
    right.set(xticks=range(len(clients)), xticklabels=map(str, clients))
    right.set(xlim=(-0.5, len(clients) - 0.5), ylim=(0, None))
    right.set(xlabel="clients", ylabel="images in a batch")
    right.yaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _count_clients(
    axis: Axes, clients: Sequence[int], rates: Sequence[float], highest: npt.NDArray[np.float64]
) -> None:
    """Write how many clients asked above the highest point at each rate, where there is room.

    All points of one rate are of the same clients. The most clients come first; what would stand
    in another number's place is left out.
    """
    taken: list[npt.NDArray[np.float64]] = []
    size = np.array([axis.get_xlim()[1], axis.get_ylim()[1]])
    for count, *point in sorted(zip(clients, rates, highest, strict=True), reverse=True):
        place = np.array(point) / size
        if all(np.any(np.abs(place - other) > 0.08) for other in taken):
            beside: dict[str, Any] = {"xytext": (-4, 4), "textcoords": "offset points"}
            axis.annotate(f"{count}", tuple(point), ha="right", **beside)
            taken.append(place)


def answers_over_time(
    seconds: npt.NDArray[np.float64],
    milliseconds: npt.NDArray[np.float64],
    versions: npt.NDArray[np.int_],
    events: Mapping[str, float],
) -> Figure:
    """Show every answer of a server while its versions change.

    Args:
        seconds: (answers,) when each was asked for.
        milliseconds: (answers,) how long it took.
        versions: (answers,) which version gave it.
        events: what happened -> when, in seconds.

    Returns:
        A dot for each answer, in the colour of its version, and a dashed line for each event.
    """
    figure, axis = make_figure(0.42 * WIDTH)
    for version in np.unique(versions):
        chosen = versions == version
        axis.plot(seconds[chosen], milliseconds[chosen], "o", ms=3.5, label=f"version {version}")
    for line, (label, moment) in enumerate(events.items()):
        height = 0.98 - 0.07 * line  # events may follow one another closely
        axis.axvline(moment, ymax=height, color=GREY, linestyle="--", linewidth=1)
        axis.text(moment, height, f" {label}", transform=axis.get_xaxis_transform(), va="top")
    axis.set(xlabel="seconds", ylabel="milliseconds to an answer")
    axis.set_ylim(0, 1.35 * milliseconds.max())
    put_legend_above(axis)
    return figure
