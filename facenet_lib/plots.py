"""Every figure of the book, in one style that reads on white and on near-black pages.

A figure has a transparent background, grey text that keeps its contrast on both, and colours
that people with any of the common colour-vision deficiencies can tell apart. Each function
returns the :class:`matplotlib.figure.Figure` it made; a notebook shows it by ending a cell
with the call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import Circle
from matplotlib.rcsetup import cycler

from facenet_lib.errors import FacenetError

#: Text, axes and ticks: more than 4:1 against white and against the dark page.
GREY = "#797979"

#: Blue, orange, green, purple, brown, sky: the palette of Okabe and Ito (2008), moved until each
#: colour has 3:1 against white as well as against the dark page, and no two are alike to anyone.
COLORS = ("#086bc6", "#de6b02", "#028658", "#ad6398", "#a46026", "#3a9bd0")

#: Inches. The text column of the book is about 7.4 inches wide at 100 dots an inch.
WIDTH = 7.0


def style() -> None:
    """Make matplotlib draw in the book's style from here on (sets ``rcParams``)."""
    mpl.rcParams.update(
        {
            "figure.facecolor": "none",
            "figure.figsize": (WIDTH, 0.55 * WIDTH),
            "figure.dpi": 140,
            "figure.constrained_layout.use": True,
            "figure.titlesize": 11,
            "savefig.facecolor": "none",
            "savefig.transparent": True,
            "savefig.dpi": 140,
            "font.size": 10,
            "text.color": GREY,
            "axes.facecolor": "none",
            "axes.edgecolor": GREY,
            "axes.labelcolor": GREY,
            "axes.titlecolor": GREY,
            "axes.titlesize": 10,
            "axes.labelsize": 10,
            "axes.linewidth": 0.8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.prop_cycle": cycler(color=COLORS),
            "grid.color": GREY,
            "grid.alpha": 0.25,
            "grid.linewidth": 0.6,
            "xtick.color": GREY,
            "ytick.color": GREY,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "lines.linewidth": 1.8,
            "lines.markersize": 5,
            "legend.frameon": False,
            "legend.fontsize": 9,
            "image.cmap": "viridis",
            "image.interpolation": "nearest",
        }
    )


def image_grid(
    images: Sequence[npt.NDArray[Any]] | npt.NDArray[Any],
    titles: Sequence[str] | None = None,
    columns: int = 6,
) -> Figure:
    """Show images side by side, as on a photographer's contact sheet.

    Args:
        images: each (height, width, 3) or (height, width), uint8, or float in [0, 1]; the
            sizes may differ.
        titles: a line under each image (an underscore of LFW's file names becomes a space).
        columns: images in a row.

    Returns:
        One figure, ``columns`` wide and as many rows high as needed.

    Raises:
        FacenetError: if there are no images, or not one title for each.
    """
    if len(images) == 0:
        raise FacenetError("image_grid: no images to show")
    if titles is not None and len(titles) != len(images):
        raise FacenetError(f"image_grid: {len(images)} images but {len(titles)} titles")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    side = min(WIDTH / columns, 1.8)
    height = side + (0.22 if titles is not None else 0.0)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(side * columns, height * rows),
        layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.0, hspace=0.0),
        squeeze=False,
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for position, image in enumerate(images):
        axis = axes.flat[position]
        # Without limits matplotlib would stretch a grey or a float image to its own range.
        top = 255 if np.issubdtype(np.asarray(image).dtype, np.integer) else 1.0
        axis.imshow(image, cmap="gray", vmin=0, vmax=top)
        if titles is not None:
            label = titles[position].replace("_", " ")
            axis.text(0.5, -0.03, label, transform=axis.transAxes, ha="center", va="top", size=8)
    return _finish(figure)


def network_stages(
    stages: Sequence[str],
    sides: Sequence[int],
    channels: Sequence[int],
    parameters: Sequence[int],
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
    figure, (funnel, bars) = plt.subplots(
        1, 2, figsize=(WIDTH, 0.42 * len(stages) + 0.6), width_ratios=(3, 2), sharey=True
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
    return _finish(figure)


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
    figure, axis = plt.subplots(figsize=(0.6 * WIDTH, 0.6 * WIDTH))
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
    return _finish(figure)


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
    figure, axes = plt.subplots(
        1, len(matrices), figsize=(WIDTH, WIDTH / len(matrices) + 0.3), squeeze=False
    )
    lowest = min(float(np.min(matrix)) for matrix in matrices.values())
    edges = images_per_name * np.arange(1, len(names)) - 0.5
    middles = images_per_name * np.arange(len(names)) + (images_per_name - 1) / 2
    for axis, (title, matrix) in zip(axes[0], matrices.items(), strict=True):
        image = axis.imshow(matrix, vmin=lowest, vmax=1.0)
        for edge in edges:
            axis.axhline(edge, color="white", linewidth=1)
            axis.axvline(edge, color="white", linewidth=1)
        first = axis is axes[0, 0]
        labels = [name.replace("_", " ") for name in names] if first else []
        axis.set(title=title, xticks=[], yticks=middles if first else [], yticklabels=labels)
        axis.grid(visible=False)
        axis.tick_params(left=False)
    figure.colorbar(image, ax=axes, label="cosine similarity", shrink=0.8)
    return _finish(figure)


def feature_clusters(
    rows: Mapping[str, Sequence[tuple[npt.NDArray[Any], npt.NDArray[Any]]]],
    labels: npt.NDArray[Any],
    columns: Sequence[str],
) -> Figure:
    """Show two-dimensional features by class: a row for each loss, a column for each moment.

    Every panel has its own scale around the origin, written in its corner; what counts is how
    wide a cluster is beside the gaps between clusters.

    Args:
        rows: title -> for each column the features (n, 2) and the centers (classes, 2).
        labels: (n,) classes of the features.
        columns: titles of the columns.

    Returns:
        Small multiples: features as dots coloured by class, centers as crosses.
    """
    figure, axes = plt.subplots(
        len(rows),
        len(columns),
        figsize=(WIDTH, WIDTH * len(rows) / len(columns)),
        squeeze=False,
        layout=ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, wspace=0.0, hspace=0.0),
    )
    for line, (title, snapshots) in zip(axes, rows.items(), strict=True):
        for axis, (features, centers) in zip(line, snapshots, strict=True):
            limit = 1.15 * float(max(np.abs(features).max(), np.abs(centers).max()))
            for number in np.unique(labels):
                color = COLORS[number % len(COLORS)]
                axis.plot(*features[labels == number].T, ".", color=color, markersize=2, alpha=0.6)
            axis.plot(*centers.T, "x", color=GREY, markersize=7, markeredgewidth=1.6)
            axis.text(0.03, 0.03, f"±{limit:.2g}", transform=axis.transAxes, size=8)
            axis.set(xlim=(-limit, limit), ylim=(-limit, limit), xticks=[], yticks=[])
            axis.set_aspect("equal")
        line[0].set_ylabel(title)
    for axis, column in zip(axes[0], columns, strict=True):
        axis.set_title(column)
    return _finish(figure)


def face_map(
    images: Sequence[npt.NDArray[Any]],
    features: Mapping[str, npt.NDArray[Any]],
    labels: Sequence[int],
) -> Figure:
    """Lay faces out where a network sees them, framed in the colour of their person.

    Args:
        images: each (height, width, 3) uint8, of one size.
        features: title -> (n, 2) features of the images.
        labels: one for each image.

    Returns:
        One panel for each title, each with its own scale.
    """
    figure, axes = plt.subplots(
        1, len(features), figsize=(WIDTH, WIDTH / len(features) + 0.3), squeeze=False
    )
    for axis, (title, places) in zip(axes[0], features.items(), strict=True):
        for image, place, label in zip(images, places, labels, strict=True):
            face = AnnotationBbox(
                OffsetImage(image, zoom=18 / len(image)),
                place,
                pad=0.08,
                bboxprops={"edgecolor": COLORS[label % len(COLORS)], "linewidth": 1.6},
            )
            axis.add_artist(face)
        low, high = places.min(axis=0), places.max(axis=0)
        margin = 0.08 * (high - low)
        axis.set(
            title=title, xticks=[], yticks=[],
            xlim=(low[0] - margin[0], high[0] + margin[0]),
            ylim=(low[1] - margin[1], high[1] + margin[1]),
        )  # fmt: skip
    return _finish(figure)


def center_errors(panels: Mapping[str, Mapping[str, npt.NDArray[Any]]]) -> Figure:
    """Show how far a center is from its class over steps: growing, swinging or closing in.

    Args:
        panels: title of a panel -> label of a line -> (steps,) distances, above zero.

    Returns:
        Panels side by side with one logarithmic axis; a line of the same place in each panel
        has the same colour.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 0.5 * WIDTH), sharey=True)
    for axis, (title, lines) in zip(np.atleast_1d(axes), panels.items(), strict=True):
        for label, distances in lines.items():
            axis.semilogy(distances, "o-", markersize=3, label=label)
        axis.axhline(distances[0], color=GREY, linewidth=0.8, linestyle="--")
        axis.set(title=title, xlabel="step")
        axis.legend()
    np.atleast_1d(axes)[0].set_ylabel("distance of center to class")
    return _finish(figure)


def _finish(figure: Figure) -> Figure:
    """Take ``figure`` out of pyplot's hands, so that a notebook shows it once, not twice."""
    plt.close(figure)
    return figure
