"""Figures of chapter 2: what a queue hands out, and in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from facenet_lib.plots.book_style import (
    COLORS,
    GREY,
    WIDTH,
    make_figure,
    make_panels,
    put_legend_below,
)


def index_stream(streams: Mapping[str, tuple[npt.NDArray[Any], int]], range_size: int) -> Figure:
    """Show indices in the order in which a queue hands them out, a cell for each.

    Args:
        streams: title -> the indices and how many are taken at a time.
        range_size: indices in a pass; every index has its own colour, up to six of them.

    Returns:
        A row of cells for each stream: passes are marked above it, what is taken at a time below.
    """
    longest = max(len(indices) for indices, _ in streams.values())
    figure, panels = make_panels(streams, 1.45 * len(streams), stacked=True)
    for axis, (indices, taken) in panels:
        middles = np.arange(len(indices)) + 0.5
        axis.bar(middles, 1, 0.92, color=[f"C{index}" for index in indices])
        of_index: dict[str, Any] = {"color": "white", "size": 11, "weight": "bold"}
        for middle, index in zip(middles, indices, strict=True):
            axis.text(middle, 0.48, f"{index}", ha="center", va="center", **of_index)
        for name, step, level in (("pass", range_size, 1.28), ("epoch", taken, -0.28)):
            for number, start in enumerate(range(0, len(indices), step), start=1):
                end = min(start + step, len(indices))
                axis.plot([start + 0.12, end - 0.12], [level, level], color=GREY, linewidth=1.4)
                label = f"{name} {number}" + " ..." * (end < start + step)
                side, beyond = ("bottom", 0.12) if level > 0 else ("top", -0.12)
                axis.text((start + end) / 2, level + beyond, label, ha="center", va=side)
        axis.set(xlim=(0, longest), ylim=(-0.85, 1.85))
        axis.set_axis_off()
    return figure


def shuffle_orders(orders: Mapping[str, npt.NDArray[Any]]) -> Figure:
    """Show how well one pass is shuffled: a dot for each image, where it was and when it came.

    Args:
        orders: title -> (n,) positions in the list of images, in the order they are taken.

    Returns:
        Square panels side by side: a cloud if shuffled, a diagonal if not.
    """
    figure, panels = make_panels(orders, WIDTH / len(orders) + 0.5, sharey=True)
    for axis, order in panels:
        axis.plot(order, ".", markersize=1.2)
        axis.set(xlabel="taken as number", xticks=(0, len(order)), yticks=(0, len(order)))
        axis.set_box_aspect(1)
    figure.axes[0].set_ylabel("position in the list")
    return figure


def outcome_counts(
    counts: Mapping[str, npt.NDArray[Any]], outcomes: Sequence[str], expected: float
) -> Figure:
    """Compare how often equally likely outcomes came up in several samples.

    Args:
        counts: label of a sample -> (outcomes,) counts.
        outcomes: what each count is of.
        expected: the count that every outcome should have; a band of two standard deviations
            (of a Poisson count) is drawn around it.

    Returns:
        A column for each outcome, in it a mark for each sample.
    """
    figure, axis = make_figure(0.42 * WIDTH)
    spread = 2 * np.sqrt(expected)
    axis.axhspan(expected - spread, expected + spread, color=GREY, alpha=0.2, linewidth=0)
    axis.axhline(expected, color=GREY, linestyle="--", linewidth=1)
    places = np.arange(len(outcomes))
    for number, ((label, values), marker) in enumerate(zip(counts.items(), "osD^v", strict=False)):
        offset = 0.16 * (number - (len(counts) - 1) / 2)
        axis.plot(places + offset, values, marker, markersize=8, label=label)
    axis.set(xticks=places, xticklabels=outcomes, ylabel="passes")
    axis.grid(visible=False, axis="x")
    axis.legend(ncols=len(counts), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure


def times_seen(counts: Mapping[str, npt.NDArray[Any]]) -> Figure:
    """Show which share of the images was seen how often as epochs go by.

    Args:
        counts: title -> int (epochs, images), how often each image had come after each epoch.

    Returns:
        Panels side by side with one stacked bar for each epoch; four times or more are one.
    """
    labels = ("never", "once", "twice", "3 times", "4 or more")
    colors = ("#b0b0b0", *COLORS[:4])
    figure, panels = make_panels(counts, 0.5 * WIDTH, sharey=True)
    for axis, table in panels:
        epochs = np.arange(1, len(table) + 1)
        bottom = np.zeros(len(table))
        for times, (label, color) in enumerate(zip(labels, colors, strict=True)):
            is_last = times == len(labels) - 1
            share = np.mean(table >= times if is_last else table == times, axis=1)
            axis.bar(epochs, share, 0.86, bottom=bottom, color=color, label=label)
            bottom += share
        axis.set(xlabel="epochs", xticks=epochs)
        axis.grid(visible=False, axis="x")
    figure.axes[0].set_ylabel("share of the images")
    put_legend_below(figure, columns=len(labels))
    return figure
