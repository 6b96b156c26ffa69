"""Figures of chapter 4: the network, its speed, and what it makes of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from facenet_lib.plots.book_style import GREY, WIDTH, make_figure, make_panels


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
    rows, roots, millions = range(len(stages)), np.sqrt(sides), np.asarray(parameters) / 1e6
    height = 0.42 * len(stages) + 0.6
    figure, (funnel, bars) = make_figure(height, columns=2, width_ratios=(3, 2), sharey=True)
    funnel.barh(rows, 2 * roots, left=-roots, height=0.72)
    for row, side, depth in zip(rows, sides, channels, strict=True):
        shape = f"{side} x {side} x {depth}" if side > 1 else f"{depth}"
        funnel.text(1.08 * roots.max(), row, shape, va="center")
    funnel.set(xlim=(-roots.max(), 2.2 * roots.max()), title="output: grid x channels")
    bars.barh(rows, millions, height=0.72, color="C1")
    for row, value in zip(rows, millions, strict=True):
        if value:
            bars.text(value + 0.02 * millions.max(), row, f"{value:.2f}", va="center")
    bars.set(xlim=(0, 1.2 * millions.max()), title="parameters, millions")
    funnel.set(yticks=rows, yticklabels=stages)
    funnel.invert_yaxis()
    for axis in (funnel, bars):
        axis.set_xticks([])
        axis.grid(visible=False)
        axis.tick_params(left=False)
        axis.spines[:].set_visible(False)
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
    reached, limits = np.transpose(list(rates.values()))
    axis.barh(rows, reached, height=0.6)
    axis.vlines(limits, rows - 0.4, rows + 0.4, color="C1", label="matrix products alone")
    for row, (rate, limit) in enumerate(rates.values()):
        axis.text(0, row, f" {rate:.0f} ({rate / limit:.0%})", va="center", color="white")
    axis.set(yticks=rows, yticklabels=list(rates), xlabel=unit)
    axis.set_xlim(0, 1.05 * max(*limits, *reached))  # a limit measured in a slow moment is too low
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
    """
    figure, axis = make_figure(0.6 * WIDTH, width=0.6 * WIDTH)
    axis.add_patch(Circle((0, 0), 1, fill=False, edgecolor=GREY, linewidth=1))
    for start, end, label in zip(prelogits, embeddings, labels, strict=True):
        axis.plot(*np.transpose([start, end]), color=f"C{label}", linewidth=1, linestyle=":")
        axis.plot(*start, "o", markerfacecolor="none", markeredgecolor=f"C{label}")
        axis.plot(*end, "o", color=f"C{label}")
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
        matrices: title -> (n, n) cosine similarities, all on one colour scale.
        names: people in the order of the rows.
        images_per_name: rows of each person; n is this times the number of people.
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
        axis.set(xticks=[], yticks=[])
        axis.grid(visible=False)
        axis.tick_params(left=False)
    figure.axes[0].set_yticks(middles, [name.replace("_", " ") for name in names])
    figure.colorbar(image, ax=figure.axes, label="cosine similarity", shrink=0.8)
    return figure
