"""Every figure of the book, in one style that reads on white and on near-black pages.

A figure has a transparent background, grey text that keeps its contrast on both, and colours
that people with any of the common colour-vision deficiencies can tell apart. Each function
returns the :class:`matplotlib.figure.Figure` it made; a notebook shows it by ending a cell
with the call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import Circle, Rectangle
from matplotlib.rcsetup import cycler
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from facenet_lib.errors import FacenetError, refuse
from facenet_lib.verification import VerificationResult

#: Text, axes and ticks: more than 4:1 against white and against the dark page.
GREY = "#797979"

#: Blue, orange, green, purple, brown, sky: the palette of Okabe and Ito (2008), moved until each
#: colour has 3:1 against white as well as against the dark page, and no two are alike to anyone.
COLORS = ("#086bc6", "#de6b02", "#028658", "#ad6398", "#a46026", "#3a9bd0")

#: Inches. The text column of the book is about 7.4 inches wide at 100 dots an inch.
WIDTH = 7.0

#: Inches. For figures that are looked at on a phone, too: 360 pixels wide, their text is 10 high.
NARROW = 5.0

Table = Mapping[str, npt.NDArray[np.float64]]

_POSITION = ("epoch", "step")  # columns that say where a row belongs


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


def index_stream(streams: Mapping[str, tuple[npt.NDArray[Any], int]], range_size: int) -> Figure:
    """Show indices in the order in which a queue hands them out, a cell for each.

    Args:
        streams: title -> the indices and how many are taken at a time.
        range_size: indices in a pass; every index has its own colour, up to six of them.

    Returns:
        A row of cells for each stream: passes are marked above it, what is taken at a time below.
    """
    longest = max(len(indices) for indices, _ in streams.values())
    figure, axes = plt.subplots(
        len(streams), 1, figsize=(WIDTH, 1.45 * len(streams)), sharex=True, squeeze=False
    )
    for axis, (title, (indices, taken)) in zip(axes[:, 0], streams.items(), strict=True):
        for place, index in enumerate(indices):
            color = COLORS[index % len(COLORS)]
            axis.add_patch(Rectangle((place + 0.04, 0), 0.92, 1, color=color, linewidth=0))
            axis.text(
                place + 0.5, 0.48, str(index), ha="center", va="center",
                color="white", size=11, weight="bold",
            )  # fmt: skip
        for name, step, level in (("pass", range_size, 1.28), ("epoch", taken, -0.28)):
            for number, start in enumerate(range(0, len(indices), step), start=1):
                end = min(start + step, len(indices))
                whole = end == start + step
                axis.plot([start + 0.12, end - 0.12], [level, level], color=GREY, linewidth=1.4)
                label = f"{name} {number}" if whole else f"{name} {number} ..."
                axis.text(
                    (start + end) / 2, level + np.sign(level) * 0.12, label,
                    ha="center", va="bottom" if level > 0 else "top", size=9,
                )  # fmt: skip
        axis.set_title(title, loc="left")
        axis.set(xlim=(0, longest), ylim=(-0.85, 1.85))
        axis.set_axis_off()
    return _finish(figure)


def shuffle_orders(orders: Mapping[str, npt.NDArray[Any]]) -> Figure:
    """Show how well one pass is shuffled: a dot for each image, where it was and when it came.

    Args:
        orders: title -> (n,) positions in the list of images, in the order they are taken.

    Returns:
        Square panels side by side: a cloud if shuffled, a diagonal if not.
    """
    figure, axes = plt.subplots(
        1, len(orders), figsize=(WIDTH, WIDTH / len(orders) + 0.5), sharey=True, squeeze=False
    )
    for axis, (title, order) in zip(axes[0], orders.items(), strict=True):
        axis.plot(order, ".", color=COLORS[0], markersize=1.2)
        ends = (0, len(order))
        axis.set(title=title, xlabel="taken as number", xticks=ends, yticks=ends)
        axis.set_box_aspect(1)
    axes[0, 0].set_ylabel("position in the list")
    return _finish(figure)


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
    figure, axis = plt.subplots(figsize=(WIDTH, 0.42 * WIDTH))
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
    return _finish(figure)


def times_seen(counts: Mapping[str, npt.NDArray[Any]]) -> Figure:
    """Show which share of the images was seen how often as epochs go by.

    Args:
        counts: title -> int (epochs, images), how often each image had come after each epoch.

    Returns:
        Panels side by side with one stacked bar for each epoch; four times or more are one.
    """
    labels = ("never", "once", "twice", "3 times", "4 or more")
    colors = ("#b0b0b0", *COLORS[:4])
    figure, axes = plt.subplots(1, len(counts), figsize=(WIDTH, 0.5 * WIDTH), sharey=True)
    for axis, (title, table) in zip(np.atleast_1d(axes), counts.items(), strict=True):
        epochs = np.arange(1, len(table) + 1)
        bottom = np.zeros(len(table))
        for times, (label, color) in enumerate(zip(labels, colors, strict=True)):
            is_last = times == len(labels) - 1
            share = np.mean(table >= times if is_last else table == times, axis=1)
            axis.bar(epochs, share, 0.86, bottom=bottom, color=color, label=label)
            bottom += share
        axis.set(title=title, xlabel="epochs", xticks=epochs)
        axis.grid(visible=False, axis="x")
    np.atleast_1d(axes)[0].set_ylabel("share of the images")
    handles, names = np.atleast_1d(axes)[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(labels))
    return _finish(figure)


def pixel_tables(tables: Mapping[str, npt.NDArray[Any]], columns: int = 3) -> Figure:
    """Show tiny grey images as tables of numbers, each cell in the grey of its number.

    Args:
        tables: title -> (height, width) numbers; integers are written whole, floats with two
            digits. Greys run from the smallest to the largest number of a table.
        columns: tables in a row.

    Returns:
        One figure of tables.
    """
    rows = -(-len(tables) // columns)
    side = WIDTH / columns
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, (side + 0.1) * rows), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (title, table) in zip(axes.flat, tables.items(), strict=False):
        axis.imshow(table, cmap="gray")
        middle = (float(np.min(table)) + float(np.max(table))) / 2
        is_integer = np.issubdtype(table.dtype, np.integer)
        for (row, column), value in np.ndenumerate(table):
            # Adding zero turns a rounded -0.0 into 0.0.
            text = f"{value}" if is_integer else f"{round(float(value), 2) + 0.0:.2f}"
            axis.text(
                column, row, text, ha="center", va="center",
                color="black" if value > middle else "white", size=9,
            )  # fmt: skip
        axis.set_title(title)
    return _finish(figure)


def value_distributions(panels: Mapping[str, Mapping[str, npt.NDArray[Any]]]) -> Figure:
    """Show how the values of several images are distributed, before and after a change.

    Args:
        panels: title of a panel -> label of an image -> its values, of any shape.

    Returns:
        Panels one above the other on one axis of values, a line for each image.
    """
    values = np.concatenate([np.ravel(v) for lines in panels.values() for v in lines.values()])
    edges = np.linspace(float(values.min()), float(values.max()), 60)
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(WIDTH, 1.75 * len(panels) + 0.4), sharex=True, squeeze=False
    )
    for axis, (title, lines) in zip(axes[:, 0], panels.items(), strict=True):
        for label, image in lines.items():
            share = np.histogram(image, edges)[0] / np.size(image)
            axis.stairs(share, edges, label=label, linewidth=1.6)
        axis.set_title(title, loc="left")
        axis.set(yticks=[])
        axis.axvline(0, color=GREY, linewidth=0.8)
    axes[0, 0].legend()
    axes[-1, 0].set_xlabel("value after standardization")
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


def rates_and_limits(rates: Mapping[str, tuple[float, float]], unit: str) -> Figure:
    """Draw rates as bars, each with a mark where the processor's limit is.

    Args:
        rates: what each bar is called, and its rate and limit, from the top down.
        unit: what is counted, as the axis says it ("images a second").

    Returns:
        One bar a row; the number beside it is its rate and the part of the limit that it reaches.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 0.5 * len(rates) + 0.9))
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
            axis.plot(*centers.T, "x", color=GREY, markersize=5, markeredgewidth=1.2)
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
                OffsetImage(image, zoom=22 / len(image)),
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
        panels: title of a panel -> label of a line -> (steps,) distances, above zero; the same
            labels in each panel.

    Returns:
        Panels side by side with one logarithmic axis and one legend.
    """
    figure, axes = plt.subplots(
        1, len(panels), figsize=(WIDTH, 0.55 * WIDTH), sharey=True, squeeze=False
    )
    for axis, (title, lines) in zip(axes[0], panels.items(), strict=True):
        for label, distances in lines.items():
            axis.semilogy(distances, "o-", markersize=3, label=label)
        axis.axhline(distances[0], color=GREY, linewidth=0.8, linestyle="--")
        axis.set(title=title, xlabel="step")
    axes[0, 0].set_ylabel("distance of center to class")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return _finish(figure)


def training_curves(
    metrics: Mapping[str, npt.NDArray[np.float64]],
    evaluations: Mapping[str, npt.NDArray[np.float64]],
    factors: Mapping[str, float],
    baselines: Mapping[str, float],
    window: int = 20,
) -> Figure:
    """Show a run over its steps: the parts of its loss, and what it gets right.

    Args:
        metrics: columns of metrics.csv, see :func:`facenet_lib.runs.read_metrics`.
        evaluations: columns of evaluations.csv, likewise.
        factors: column of a loss term -> its factor in the total; terms of factor 0 are left out.
        baselines: name -> accuracy on the same pairs, drawn as level lines.
        window: steps over which a line is averaged, up to its right end.

    Returns:
        Two panels over one axis of steps. Dotted lines mark where the learning rate changes.
    """
    figure, (losses, rates) = plt.subplots(2, 1, figsize=(WIDTH, 0.9 * WIDTH), sharex=True)
    steps = metrics["step"][window - 1 :]

    def smooth(column: str) -> npt.NDArray[np.float64]:
        return _moving_mean(metrics[column], window)

    losses.semilogy(steps, smooth("total"), color=GREY, label="total")
    for name, factor in factors.items():
        if factor:
            label = f"{name.replace('_', ' ')} x {factor:g}"
            losses.semilogy(steps, factor * smooth(name), label=label)
    losses.set_ylabel("loss")
    rates.plot(steps, smooth("accuracy"), label="training images named rightly")
    rates.plot(evaluations["step"], evaluations["accuracy"], "o-", label="unseen pairs: network")
    for number, (name, accuracy) in enumerate(baselines.items(), start=2):
        rates.axhline(accuracy, color=COLORS[number], linestyle="--", label=f"unseen pairs: {name}")
    rates.set(xlabel="step", ylabel="accuracy", ylim=(0, 1.02))
    changes = np.flatnonzero(np.diff(metrics["learning_rate"]))
    for axis in (losses, rates):
        for change in changes:
            axis.axvline(metrics["step"][change], color=GREY, linewidth=0.8, linestyle=":")
    for start in [0, *(changes + 1)]:
        losses.text(
            metrics["step"][start], 1.01, f" {metrics['learning_rate'][start]:g}", size=8,
            transform=losses.get_xaxis_transform(), va="bottom",
        )  # fmt: skip
    losses.legend(loc="upper right", ncols=2)
    rates.legend(loc="lower right")
    return _finish(figure)


def run_report(
    metrics: Table,
    evaluations: Table | None = None,
    validations: Table | None = None,
    prelogits: tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]] | None = None,
) -> Figure:
    """Show all that a run's tables hold, strip below strip over one axis of steps.

    The first strips hold the loss, the columns ``total``, ``..._loss`` and ``..._entropy``, and
    its penalties, ``..._norm`` and ``..._decay``, all as they stand in the table, without their
    factors. Any other column has its own strip. What is measured at every step is averaged over
    a fiftieth of them; validations are dots in the colour of the line of the same name.

    Args:
        metrics: columns of metrics.csv, see :func:`facenet_lib.runs.read_metrics`.
        evaluations: columns of evaluations.csv; the band is one standard error to each side.
        validations: columns of validations.csv; those of people held out are measured on pairs
            and drawn beside the evaluations.
        prelogits: what :func:`facenet_lib.runs.read_prelogits_histograms` returned; colours
            say which share of an epoch's numbers lies in a bin.

    Returns:
        One strip for each kind of what is there.

    Raises:
        FacenetError: if the run has not made a step.
    """
    if not len(metrics["step"]):
        raise FacenetError("run_report: expected the metrics of at least one step, found none")
    pairs = {"evaluation": evaluations or {}}
    if validations and "validation_rate" in validations:
        pairs["people held out"], validations = validations, {}
    strips = _metrics_strips(metrics, validations or {})
    pairs = {label: table for label, table in pairs.items() if len(table.get("step", ()))}
    if pairs:
        strips.append((1.2, partial(_pairs_strip, pairs, "accuracy")))
        strips.append((1.0, partial(_pairs_strip, pairs, "validation_rate")))
    if prelogits is not None and len(prelogits[0]):
        strips.append((1.3, partial(_prelogits_strip, metrics, *prelogits)))
    heights = [height for height, _ in strips]
    figure, axes = plt.subplots(
        len(strips), 1, figsize=(NARROW, sum(heights) + 0.9), height_ratios=heights, sharex=True,
        squeeze=False, layout=ConstrainedLayoutEngine(hspace=0.04),
    )  # fmt: skip
    for axis, (_, draw) in zip(axes[:, 0], strips, strict=True):
        draw(axis)
    lowest = axes[-1, 0]
    lowest.set(xlabel="step", xlim=(0, 1.01 * metrics["step"][-1]))
    lowest.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    epochs = _ended_epochs(metrics)
    if len(epochs):
        below = lowest.secondary_xaxis(-0.7 / heights[-1])
        below.set_ticks(_last_steps(metrics, epochs), [f"{epoch:.0f}" for epoch in epochs])
        below.set_xlabel("epochs made")
    return _finish(figure)


def _metrics_strips(
    metrics: Table, validations: Table
) -> list[tuple[float, Callable[[Axes], None]]]:
    """Of metrics.csv, the height of each strip, inches, and what draws it."""
    named = {
        # A term that is not computed stands in the table as zeros.
        "loss": [name for name in metrics if _is_loss(name) and np.any(metrics[name])],
        "penalties": [name for name in metrics if _is_penalty(name) and np.any(metrics[name])],
    }
    named |= {
        _words(name): [name]
        for name in metrics
        if name not in _POSITION and not _is_loss(name) and not _is_penalty(name)
    }
    return [
        (1.7 if title == "loss" else 1.0, partial(_steps_strip, title, names, metrics, validations))
        for title, names in named.items()
        if names
    ]


def _is_loss(column: str) -> bool:
    return column == "total" or column.endswith(("_loss", "_entropy"))


def _is_penalty(column: str) -> bool:
    return column.endswith(("_norm", "_decay"))


def _words(column: str) -> str:
    return column.replace("_", " ")


def _steps_strip(
    title: str, names: Sequence[str], metrics: Table, validations: Table, axis: Axes
) -> None:
    """Lines of what is measured at every step, and dots of what validation says of the same."""
    window = 1 if title == "learning rate" else _window(metrics["step"])
    steps, drawn = metrics["step"][window - 1 :], []
    for name in names:
        values = _moving_mean(metrics[name], window)
        color = GREY if name == "total" else None
        label = "training" if [name] == list(names) else _words(name)
        (line,) = axis.plot(steps, values, color=color, label=label)
        drawn.append(values)
        if len(validations.get(name, ())):
            axis.plot(
                validations["step"], validations[name], "o", color=line.get_color(),
                markersize=4 if _are_few(validations[name]) else 1.5,
                label="validation" if label == "training" else f"{label}, validation",
            )  # fmt: skip
            drawn.append(validations[name])
    axis.set_title(title, loc="left")
    _fit_ordinate(axis, names[0], np.concatenate(drawn))
    if len(drawn) > 1:
        _legend_above(axis)


def _legend_above(axis: Axes) -> None:
    """A legend beside the title, where it covers no line."""
    axis.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderpad=0)


def _fit_ordinate(axis: Axes, column: str, values: npt.NDArray[np.float64]) -> None:
    """Losses and rates over more than a magnitude on a logarithmic axis, all else from zero."""
    is_scale_free = _is_loss(column) or _is_penalty(column) or column == "learning_rate"
    is_short = values.max() < 100 * values.min()
    if is_scale_free and 0 < 10 * values.min() < values.max():
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if is_short else (1.0,)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(NullFormatter())
    elif values.min() >= 0:
        axis.set_ylim(0, 1.08 * max(values.max(), 1e-9))


def _pairs_strip(pairs: Mapping[str, Table], column: str, axis: Axes) -> None:
    """Lines of what is measured on pairs; an accuracy has a band of one standard error."""
    for label, table in pairs.items():
        style = "o-" if _are_few(table[column]) else "-"
        (line,) = axis.plot(table["step"], table[column], style, markersize=3, label=label)
        if column == "accuracy":
            low, high = (table[column] + sign * table["standard_error"] for sign in (-1, 1))
            axis.fill_between(
                table["step"], low, high, color=line.get_color(), alpha=0.25, linewidth=0
            )
    axis.set_title(f"{_words(column)} on pairs", loc="left")
    if column == "validation_rate":
        _fit_ordinate(axis, column, np.concatenate([table[column] for table in pairs.values()]))
    if len(pairs) > 1:
        _legend_above(axis)


def _prelogits_strip(
    metrics: Table,
    epochs: npt.NDArray[Any],
    edges: npt.NDArray[Any],
    counts: npt.NDArray[Any],
    axis: Axes,
) -> None:
    """A column for each epoch, from the step after which it began to that with which it ended."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    borders = _last_steps(metrics, [epochs[0], *(epochs + 1)])
    norm = LogNorm(1e-4, max(shares.max(), 1e-3), clip=True)
    mesh = axis.pcolormesh(borders, edges, np.ma.masked_equal(shares.T, 0), norm=norm)
    highest = np.flatnonzero(counts.any(axis=0)).max(initial=0)
    axis.set_ylim(0, edges[highest + 1])
    axis.set_title("absolute prelogits", loc="left")
    axis.grid(visible=False)
    scale = axis.inset_axes((0.6, 1.06, 0.4, 0.07))
    axis.figure.colorbar(mesh, cax=scale, orientation="horizontal", ticklocation="top")
    scale.minorticks_off()
    scale.text(-0.05, 0, "share", transform=scale.transAxes, ha="right", size=9)


def _last_steps(metrics: Table, epochs: Sequence[int]) -> npt.NDArray[np.float64]:
    """The step with which each number of epochs was made."""
    made = [metrics["step"][metrics["epoch"] < epoch] for epoch in epochs]
    return np.array([steps.max(initial=0.0) for steps in made])


def _ended_epochs(metrics: Table) -> list[int]:
    """At most six numbers of epochs, evenly spread, that were made to their end."""
    begun = int(metrics["epoch"][-1]) + 1
    steps = [int(np.sum(metrics["epoch"] == epoch)) for epoch in (0, begun - 1)]
    made = begun if begun > 1 and steps[1] >= steps[0] else begun - 1
    ticks = MaxNLocator(5, integer=True).tick_values(0, max(made, 1))
    return [int(tick) for tick in ticks if 1 <= tick <= made]


def _are_few(values: npt.NDArray[np.float64]) -> bool:
    """Whether each value can have a dot of its own beside the others."""
    return len(values) <= 40


def _window(values: npt.NDArray[np.float64]) -> int:
    """Rows over which what is measured at every step is averaged: a fiftieth of them."""
    return max(1, len(values) // 50)


def _moving_mean(values: npt.NDArray[np.float64], window: int) -> npt.NDArray[np.float64]:
    """The mean of every ``window`` neighbours, in a time that does not grow with the window."""
    if window == 1:
        return values
    sums = np.cumsum(np.concatenate([[0.0], values]))
    return (sums[window:] - sums[:-window]) / window


def run_comparison(runs: Mapping[str, Table], column: str, against: str = "step") -> Figure:
    """Show one column of several tables as lines: of runs, or of training and validation.

    Args:
        runs: label of a line -> columns of a table, see
            :func:`facenet_lib.runs.read_metrics`. A line is averaged over a fiftieth of its
            rows.
        column: what is compared.
        against: the column on the abscissa: "step", "epoch" or "minutes".

    Returns:
        One panel; losses and learning rates that span more than a magnitude have a logarithmic
        axis.

    Raises:
        FacenetError: if a table has not both columns, or no row.
    """
    missing = [
        f"{label}: expected a table with {name}"
        for label, table in runs.items()
        for name in (column, against)
        if not len(table.get(name, ()))
    ]
    refuse("run_comparison", missing)
    figure, axis = plt.subplots(figsize=(NARROW, 0.62 * NARROW))
    drawn = []
    for label, table in runs.items():
        window = _window(table[column])
        drawn.append(_moving_mean(table[column], window))
        style = "o-" if _are_few(drawn[-1]) else "-"
        axis.plot(table[against][window - 1 :], drawn[-1], style, markersize=4, label=label)
    _fit_ordinate(axis, column, np.concatenate(drawn))
    axis.set(xlabel=_words(against), ylabel=_words(column), xlim=(0, None))
    figure.legend(loc="outside lower center", ncols=2)
    return _finish(figure)


def loss_comparison(
    accuracies: Mapping[str, Sequence[float]], minutes: Mapping[str, Sequence[float]] | None = None
) -> Figure:
    """Compare the accuracies of several losses, each trained with several seeds.

    Args:
        accuracies: loss -> accuracy on pairs of each of its runs.
        minutes: loss -> minutes that each of these runs trained; None leaves time out.

    Returns:
        A dot for each run and a bar at the mean of each loss: over the minutes, or in a row for
        each loss.

    Raises:
        FacenetError: if a loss has no run, or not as many minutes as accuracies.
    """
    times = {} if minutes is None else minutes
    refuse(
        "loss_comparison",
        [
            f"{loss}: expected runs, each with its accuracy, and all or none with minutes"
            for loss, found in accuracies.items()
            if not len(found) or (minutes is not None and len(times.get(loss, ())) != len(found))
        ],
    )
    means = [float(np.mean(found)) for found in accuracies.values()]
    if minutes is None:
        figure, axis = plt.subplots(figsize=(NARROW, 0.45 * len(accuracies) + 0.7))
        for row, (found, mean) in enumerate(zip(accuracies.values(), means, strict=True)):
            color = COLORS[row % len(COLORS)]
            axis.plot(found, [row] * len(found), "o", color=color, alpha=0.7)
            axis.plot([mean, mean], [row - 0.3, row + 0.3], color=color)
            axis.text(
                1.02, row, f"{mean:.3f}", va="center", size=9,
                transform=axis.get_yaxis_transform(),
            )  # fmt: skip
        axis.set(yticks=range(len(accuracies)), yticklabels=list(accuracies))
        axis.set(xlabel="accuracy on pairs", ylim=(len(accuracies) - 0.5, -0.5))
        axis.grid(visible=False, axis="y")
    else:
        figure, axis = plt.subplots(figsize=(NARROW, 0.6 * NARROW))
        for row, (loss, found) in enumerate(accuracies.items()):
            color, spent = COLORS[row % len(COLORS)], times[loss]
            axis.plot(spent, found, "o", color=color, alpha=0.7, label=f"{loss} {means[row]:.3f}")
            middle, reach = float(np.mean(spent)), 0.02 * max(max(t) for t in times.values())
            axis.plot([middle - reach, middle + reach], [means[row]] * 2, color=color)
        axis.set(xlabel="minutes of training", ylabel="accuracy on pairs", xlim=(0, None))
        figure.legend(loc="outside lower center", ncols=2)
    return _finish(figure)


def negatives_on_a_line(
    to_positive: float, to_negatives: npt.NDArray[np.floating], margin: float
) -> Figure:
    """Show the squared distances from an anchor: which negatives are hard, semi-hard or easy.

    Args:
        to_positive: squared distance from the anchor to its positive.
        to_negatives: (negatives,) squared distances to images of other people.
        margin: how much further than the positive a negative ought to be.

    Returns:
        One line with a shaded stretch for each kind, the positive as a square, the negatives as
        dots.
    """
    figure, axis = plt.subplots(figsize=(NARROW, 1.7))
    edges = (
        0.0,
        to_positive,
        to_positive + margin,
        1.12 * max(to_positive + margin, *to_negatives),
    )
    for number, kind in enumerate(("hard", "semi-hard", "easy")):
        start, end = edges[number : number + 2]
        color = COLORS[(1, 2, 0)[number]]
        axis.axvspan(start, end, color=color, alpha=0.15, linewidth=0)
        axis.text((start + end) / 2, 1.0, kind, ha="center", size=9)
        inside = to_negatives[(to_negatives > start) & (to_negatives <= end)]
        axis.plot(inside, np.zeros(len(inside)), "o", color=color, markersize=9)
    axis.plot(to_positive, 0, "s", color=GREY, markersize=10)
    axis.text(to_positive, -0.75, "positive", ha="center", size=9)
    axis.set(xlim=(0, edges[-1]), ylim=(-1.1, 1.5), yticks=[])
    axis.set_xlabel("squared distance from the anchor")
    axis.grid(visible=False)
    return _finish(figure)


def accuracy_over_time(
    evaluations: Mapping[str, npt.NDArray[np.float64]], baselines: Mapping[str, float]
) -> Figure:
    """Show the accuracy on pairs over the minutes that a run has trained.

    Args:
        evaluations: columns of evaluations.csv, see :func:`facenet_lib.runs.read_metrics`.
        baselines: name -> accuracy on the same pairs, drawn as level lines.

    Returns:
        One panel; the band is one standard error to each side.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 0.5 * WIDTH))
    minutes, accuracy = evaluations["minutes"], evaluations["accuracy"]
    error = evaluations["standard_error"]
    axis.fill_between(minutes, accuracy - error, accuracy + error, alpha=0.25, linewidth=0)
    axis.plot(minutes, accuracy, "o-", label="network, on people it never saw")
    for number, (name, level) in enumerate(baselines.items(), start=1):
        axis.axhline(level, color=COLORS[number], linestyle="--", label=name)
    axis.set(xlabel="minutes of training", ylabel="accuracy on pairs", xlim=(0, None))
    axis.legend(loc="center right")
    return _finish(figure)


def threshold_sweep(
    measured: npt.NDArray[np.floating], issame: npt.NDArray[np.bool_], threshold: float
) -> Figure:
    """Show a handful of distances on a line, cut by a threshold, and the ROC that cuts make.

    Args:
        measured: (pairs,) distances.
        issame: (pairs,) whether a pair shows one person.
        threshold: drawn as a dashed line among the distances and as a ring on the ROC.

    Returns:
        The line of distances on the left, the ROC with a dot for each cut on the right.
    """
    figure, (line, roc) = plt.subplots(1, 2, figsize=(WIDTH, 0.42 * WIDTH), width_ratios=(3, 2))
    top = 1.12 * float(measured.max())
    line.axvspan(0, threshold, color=GREY, alpha=0.15, linewidth=0)
    line.axvline(threshold, color=GREY, linestyle="--")
    line.text(threshold / 2, 1.62, "accepted", ha="center", size=9)
    line.text((threshold + top) / 2, 1.62, "rejected", ha="center", size=9)
    for row, same in enumerate((False, True)):
        values = measured[issame == same]
        line.plot(values, np.full(len(values), row), "o", color=COLORS[1 - row], markersize=9)
        for value in values:
            line.text(value + 0.015 * top, row + 0.17, f"{value:g}", size=9)
    line.set(
        xlim=(0, top), ylim=(-0.5, 1.9), yticks=(0, 1), yticklabels=("two\npeople", "one\nperson"),
        xlabel="distance",
    )  # fmt: skip
    line.grid(visible=False, axis="y")
    cuts = [*np.unique(measured), np.inf]
    rates = [[np.mean(measured[issame == same] < cut) for same in (False, True)] for cut in cuts]
    roc.plot(*np.transpose(rates), "o-")
    here = [np.mean(measured[issame == same] < threshold) for same in (False, True)]
    roc.plot(*here, "o", markersize=13, markerfacecolor="none", markeredgecolor=COLORS[1])
    roc.set(
        xlim=(-0.06, 1.06), ylim=(-0.06, 1.06),
        xlabel="false positive rate", ylabel="true positive rate",
    )  # fmt: skip
    roc.set_box_aspect(1)
    return _finish(figure)


def threshold_choice(
    pairs: Sequence[int], accuracies: Mapping[str, Sequence[float]], best_possible: float
) -> Figure:
    """Show what is reported, by number of pairs, when the threshold is chosen in several ways.

    Args:
        pairs: pairs in an experiment, drawn on a logarithmic axis.
        accuracies: how the threshold was chosen -> mean accuracy for each number of pairs.
        best_possible: the accuracy of the best threshold on infinitely many pairs, dashed.

    Returns:
        One panel with a line for each way.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 0.45 * WIDTH))
    for label, values in accuracies.items():
        axis.plot(pairs, values, "o-", label=label)
    axis.axhline(best_possible, color=GREY, linestyle="--", label="best possible")
    axis.set_xscale("log")
    axis.set(xlabel="pairs", ylabel="mean accuracy", xticks=pairs, xticklabels=map(str, pairs))
    axis.minorticks_off()
    axis.legend()
    return _finish(figure)


def pair_sheet(
    pairs: Sequence[tuple[npt.NDArray[Any], npt.NDArray[Any]]],
    titles: Sequence[str],
    issame: Sequence[bool],
    columns: int = 3,
) -> Figure:
    """Show pairs of faces, each side by side in a frame of the colour of its answer.

    Args:
        pairs: both images of each pair, (height, width, 3) uint8 and of one size.
        titles: lines under each pair.
        issame: the answers: blue frames for one person, orange for two.
        columns: pairs in a row.

    Returns:
        One figure, ``columns`` pairs wide and as many rows high as needed.
    """
    rows = -(-len(pairs) // columns)
    width = WIDTH / columns
    figure, axes = plt.subplots(
        rows, columns, figsize=(WIDTH, (0.52 * width + 0.42) * rows), squeeze=False
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, images, title, same in zip(axes.flat, pairs, titles, issame, strict=False):
        both = np.concatenate(images, axis=1)
        axis.imshow(both)
        height, length = both.shape[:2]
        color = COLORS[0 if same else 1]
        axis.add_patch(
            Rectangle((0, 0), length, height, fill=False, color=color, linewidth=4, clip_on=False)
        )
        axis.axvline(length / 2, color=color, linewidth=2)
        axis.set(xlim=(0, length), ylim=(height, 0))
        axis.text(length / 2, 1.06 * height, title, ha="center", va="top", size=9)
    return _finish(figure)


def pair_distances(
    panels: Mapping[str, npt.NDArray[np.floating]],
    issame: npt.NDArray[np.bool_],
    thresholds: Sequence[float],
) -> Figure:
    """Show the distances of same and of different pairs as histograms, and what parts them.

    Args:
        panels: title -> (pairs,) distances.
        issame: (pairs,) whether a pair shows one person.
        thresholds: one for each panel, drawn as a dashed line.

    Returns:
        Panels above one another, each with its own scale of distances.
    """
    figure, axes = plt.subplots(
        len(panels),
        1,
        figsize=(WIDTH, 2.2 * len(panels)),
        squeeze=False,
        layout=ConstrainedLayoutEngine(hspace=0.08),
    )
    for axis, (title, measured), threshold in zip(
        axes[:, 0], panels.items(), thresholds, strict=True
    ):
        edges = np.linspace(float(measured.min()), float(measured.max()), 61)
        for same, label, color in ((True, "one person", 0), (False, "two people", 1)):
            axis.hist(measured[issame == same], edges, color=COLORS[color], alpha=0.65, label=label)
        axis.axvline(threshold, color=GREY, linestyle="--", label=f"threshold {threshold:.3g}")
        axis.set(title=title, ylabel="pairs")
        axis.legend()
    axes[-1, 0].set_xlabel("distance of the two images")
    return _finish(figure)


def threshold_trade(
    measured: npt.NDArray[np.floating],
    issame: npt.NDArray[np.bool_],
    thresholds: Mapping[str, float],
) -> Figure:
    """Show how one error grows while the other shrinks, wherever the threshold is.

    Args:
        measured: (pairs,) distances.
        issame: (pairs,) whether a pair shows one person.
        thresholds: what each was chosen for -> the threshold.

    Returns:
        Above, the distances of same and of different pairs as histograms. Below, over the same
        distances, the share of same pairs that a threshold refuses and of different pairs that
        it accepts, on a logarithmic axis, with a dot for each at every threshold.
    """
    figure, (counts, errors) = plt.subplots(
        2, 1, figsize=(WIDTH, 0.75 * WIDTH), sharex=True, height_ratios=(2, 3)
    )
    cuts = np.linspace(float(measured.min()), float(measured.max()), 61)
    for same, of_whom, mistake in ((True, "one person", "refused"), (False, "two people", "taken")):
        color, values = COLORS[0 if same else 1], np.sort(measured[issame == same])
        counts.hist(values, cuts, color=color, alpha=0.65, label=of_whom)
        accepted = np.searchsorted(values, cuts) / len(values)
        errors.plot(
            cuts, 1 - accepted if same else accepted, color=color, label=f"{of_whom}, {mistake}"
        )
    for position, (label, threshold) in enumerate(thresholds.items()):
        dashes = ("--", ":", "-.")[position % 3]
        for axis in (counts, errors):
            axis.axvline(threshold, color=GREY, linestyle=dashes, label=f"{threshold:.3f}: {label}")
        errors.plot(threshold, np.mean(measured[issame] >= threshold), "o", color=COLORS[0])
        errors.plot(threshold, np.mean(measured[~issame] < threshold), "o", color=COLORS[1])
    counts.set(ylabel="pairs")
    counts.legend()
    errors.set(xlabel="distance of the two images", ylabel="share of the pairs", yscale="log")
    errors.set_ylim(0.7 / len(issame), 1.4)
    errors.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    errors.legend(handles=errors.lines[:2], loc="lower right")
    return _finish(figure)


def roc_curves(results: Mapping[str, VerificationResult]) -> Figure:
    """Show the ROC of several ways to compare one list of pairs.

    Args:
        results: label of a line -> what ``verification.evaluate`` returned.

    Returns:
        Two panels: all of the ROC, and its left end on a logarithmic axis.
    """
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 0.5 * WIDTH), sharey=True)
    for axis in axes:
        for label, result in results.items():
            axis.plot(result.false_positive_rates, result.true_positive_rates, label=label)
        axis.set(xlabel="false accept rate", ylim=(0, 1.02))
    guess = np.geomspace(1e-4, 1, 200)
    for axis in axes:
        axis.plot(guess, guess, color=GREY, linewidth=0.8, linestyle="--", label="guessing")
    different = max(result.different_pairs for result in results.values())
    axes[1].set(xscale="log", xlim=(1 / different, 1), xlabel="false accept rate, logarithmic")
    axes[0].set_ylabel("validation rate")
    axes[0].legend(loc="lower right")
    return _finish(figure)


def accuracies(
    measured: Mapping[str, tuple[float, float]],
    runs: Mapping[str, Sequence[float]] | None = None,
) -> Figure:
    """Compare accuracies, each with its standard error.

    Args:
        measured: what each row is called, and its accuracy and standard error, from the top down.
        runs: label of a row -> accuracies of the single runs that it is the mean of.

    Returns:
        A row for each: a dot, a bar of one standard error to each side, the accuracy in figures,
        and a ring for each run.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 0.4 * len(measured) + 0.7))
    for row, (label, (accuracy, error)) in enumerate(measured.items()):
        singles = (runs or {}).get(label, ())
        axis.errorbar(accuracy, row, xerr=error, fmt="o", color=COLORS[0], capsize=3)
        axis.plot(singles, [row] * len(singles), "o", c=COLORS[1], mfc="none", ms=9, zorder=3)
        axis.text(
            1.02, row, f"{accuracy:.3f} ± {error:.3f}", va="center", size=9,
            transform=axis.get_yaxis_transform(),
        )  # fmt: skip
    axis.set(yticks=range(len(measured)), yticklabels=list(measured), xlabel="accuracy on pairs")
    axis.set_ylim(len(measured) - 0.5, -0.5)
    axis.grid(visible=False, axis="y")
    return _finish(figure)


def throughput(
    batch_sizes: Sequence[int], rates: Mapping[str, Sequence[float]], unit: str = "images a second"
) -> Figure:
    """Show how many images a second are computed, by the size of the batch.

    Args:
        batch_sizes: images in a batch, drawn on a logarithmic axis.
        rates: label of a line -> one rate for each batch size.
        unit: what is on the ordinate.

    Returns:
        One panel that starts at zero.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 0.48 * WIDTH))
    for label, values in rates.items():
        axis.plot(batch_sizes, values, "o-", label=label)
    axis.set_xscale("log", base=2)
    axis.set(
        xticks=batch_sizes, xticklabels=[str(size) for size in batch_sizes],
        xlabel="images in a batch", ylabel=unit,
    )  # fmt: skip
    axis.set_ylim(bottom=0)
    axis.legend()
    return _finish(figure)


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
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 0.5 * WIDTH))
    for label, milliseconds in latencies.items():
        left.plot(rates, milliseconds, "o-", label=label)
        for count, rate, value in zip(clients, rates, milliseconds, strict=True):
            left.annotate(
                str(count), (rate, value), xytext=(-4, 4), textcoords="offset points",
                ha="right", size=8,
            )  # fmt: skip
    left.set(xlabel="answers a second", ylabel="milliseconds to an answer")
    left.set_xlim(0, 1.08 * max(rates))
    left.set_ylim(0, 1.1 * max(map(max, latencies.values())))
    left.legend(loc="upper left")
    for position, counts in enumerate(batch_sizes):
        images = sum(size * count for size, count in counts.items())
        areas = [250 * size * count / images for size, count in counts.items()]
        right.scatter([position] * len(counts), list(counts), areas, color=COLORS[0], alpha=0.7)
    right.set(
        xticks=range(len(clients)), xticklabels=list(map(str, clients)),
        xlabel="clients", ylabel="images in a batch",
    )  # fmt: skip
    right.set_xlim(-0.5, len(clients) - 0.5)
    right.set_ylim(bottom=0)
    right.yaxis.set_major_locator(MaxNLocator(integer=True))
    return _finish(figure)


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
    figure, axis = plt.subplots(figsize=(WIDTH, 0.42 * WIDTH))
    for version in np.unique(versions):
        chosen = versions == version
        axis.plot(seconds[chosen], milliseconds[chosen], "o", ms=3.5, label=f"version {version}")
    for label, moment in events.items():
        axis.axvline(moment, color=GREY, linestyle="--", linewidth=1)
        axis.text(moment, 0.98, f" {label}", transform=axis.get_xaxis_transform(), va="top", size=9)
    axis.set(xlabel="seconds", ylabel="milliseconds to an answer")
    axis.set_ylim(0, 1.2 * milliseconds.max())
    _legend_above(axis)
    return _finish(figure)


def _finish(figure: Figure) -> Figure:
    """Take ``figure`` out of pyplot's hands, so that a notebook shows it once, not twice."""
    plt.close(figure)
    return figure
