"""Figures of chapter 4: the network, its speed, and what it makes of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from facenet_lib.plots.book_style import COLORS, GREY, WIDTH, make_figure, make_panels


def network_stages(
    stages: Sequence[str], sides: Sequence[int], channels: Sequence[int], parameters: Sequence[int]
) -> Figure:
    """Draw a network as a funnel of feature maps, with the numbers that each stage learns.

    Args:
        stages: what each row is called, from the input down.
        sides: side of the grid after the stage; 1 for what has no grid any more.
        channels: numbers at every place of that grid.
        parameters: numbers in the stage's own layers.

    Returns:
        A funnel on the left, whose widths are the roots of the sides, and bars on the right.
    """
    rows = np.arange(len(stages))
    figure, (funnel, bars) = make_figure(
        0.42 * len(stages) + 0.6, columns=2, width_ratios=(3, 2), sharey=True
    )
    funnel.barh(rows, 2 * np.sqrt(sides), left=-np.sqrt(sides), height=0.72, color=COLORS[0])
    widest = float(np.sqrt(max(sides)))
    for row, side, depth in zip(rows, sides, channels, strict=True):
        shape = f"{side} x {side} x {depth}" if side > 1 else f"{depth}"
        funnel.text(1.08 * widest, row, shape, va="center", size=9)
    funnel.set(
        yticks=rows, yticklabels=stages, xticks=[], xlim=(-widest, 2.2 * widest),
        title="output: grid x channels",
    )  # fmt: skip
    millions = np.asarray(parameters) / 1e6
    bars.barh(rows, millions, height=0.72, color=COLORS[1])
    for row, value in zip(rows, millions, strict=True):
        if value:
            bars.text(value + 0.02 * millions.max(), row, f"{value:.2f}", va="center", size=9)
    bars.set(xticks=[], xlim=(0, 1.2 * millions.max()), title="parameters, millions")
    for axis in (funnel, bars):
        axis.grid(visible=False)
        axis.tick_params(left=False)
        for spine in axis.spines.values():
            spine.set_visible(False)
    funnel.invert_yaxis()
    return figure


def rates_and_limits(rates: Mapping[str, tuple[float, float]], unit: str) -> Figure:
    """Draw rates as bars, each with a mark where the processor's limit is.

    Args:
        rates: what each bar is called, and its rate and limit, from the top down.
        unit: what is counted, as the axis says it ("images a second").

    Returns:
        One bar a row; the number beside it is its rate and the part of the limit that it reaches.
    """
    figure, axis = make_figure(0.5 * len(rates) + 0.9)
    rows = np.arange(len(rates))
    reached = np.array([rate for rate, _ in rates.values()])
    limits = np.array([limit for _, limit in rates.values()])
    axis.barh(rows, reached, height=0.6, color=COLORS[0])
    axis.vlines(limits, rows - 0.4, rows + 0.4, color=COLORS[1], label="matrix products alone")
    for row, (rate, limit) in enumerate(rates.values()):
        axis.text(0, row, f" {rate:.0f} ({rate / limit:.0%})", va="center", size=9, color="white")
    axis.set(yticks=rows, yticklabels=list(rates), xlabel=unit, xlim=(0, 1.05 * limits.max()))
    axis.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0))
    axis.grid(visible=False, axis="y")
    axis.invert_yaxis()
    return figure


def unit_circle(
    prelogits: npt.NDArray[Any], embeddings: npt.NDArray[Any], labels: Sequence[int]
) -> Figure:
    """Show how two-dimensional prelogits become embeddings on the circle of radius one.

    Args:
        prelogits: (n, 2), drawn hollow.
        embeddings: (n, 2), drawn filled; a line joins each to its prelogits.
        labels: one for each row; chooses the colour.

    Returns:
        One square figure.
    """
    figure, axis = make_figure(0.6 * WIDTH, width=0.6 * WIDTH)
    axis.add_patch(Circle((0, 0), 1, fill=False, edgecolor=GREY, linewidth=1))
    for start, end, label in zip(prelogits, embeddings, labels, strict=True):
        color = COLORS[label % len(COLORS)]
        axis.plot(*np.stack([start, end]).T, color=color, linewidth=1, linestyle=":")
        axis.plot(*start, "o", markerfacecolor="none", markeredgecolor=color)
        axis.plot(*end, "o", color=color)
    axis.axhline(0, color=GREY, linewidth=0.6)
    axis.axvline(0, color=GREY, linewidth=0.6)
    axis.set_aspect("equal")
    axis.set(xlabel="first number", ylabel="second number")
    return figure


def similarity_matrices(
    matrices: Mapping[str, npt.NDArray[Any]], names: Sequence[str], images_per_name: int
) -> Figure:
    """Show how alike images are, each against each, people in blocks along the diagonal.

    Args:
        matrices: title -> (n, n) cosine similarities.
        names: people in the order of the rows.
        images_per_name: rows of each person; n is this times the number of people.

    Returns:
        Matrices side by side on one colour scale.
    """
    figure, panels = make_panels(matrices, WIDTH / len(matrices) + 0.3)
    lowest = min(float(np.min(matrix)) for matrix in matrices.values())
    edges = images_per_name * np.arange(1, len(names)) - 0.5
    middles = images_per_name * np.arange(len(names)) + (images_per_name - 1) / 2
    for axis, matrix in panels:
        image = axis.imshow(matrix, vmin=lowest, vmax=1.0)
        for edge in edges:
            axis.axhline(edge, color="white", linewidth=1)
            axis.axvline(edge, color="white", linewidth=1)
        first = axis is figure.axes[0]
        labels = [name.replace("_", " ") for name in names] if first else []
        axis.set(xticks=[], yticks=middles if first else [], yticklabels=labels)
        axis.grid(visible=False)
        axis.tick_params(left=False)
    figure.colorbar(image, ax=figure.axes, label="cosine similarity", shrink=0.8)
    return figure
