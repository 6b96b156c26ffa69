"""The style that every figure of the book shares: it reads on white and on near-black pages.

A figure has a transparent background, grey text that keeps its contrast on both, and colours
that people with any of the common colour-vision deficiencies can tell apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler

from facenet_lib.files import open_whole_file

#: Text, axes and ticks: more than 4:1 against white and against the dark page.
GREY = "#797979"

#: Blue, orange, green, purple, brown, sky: the palette of Okabe and Ito (2008), moved until each
#: colour has 3:1 against white as well as against the dark page, and no two are alike to anyone.
COLORS = ("#086bc6", "#de6b02", "#028658", "#ad6398", "#a46026", "#3a9bd0")

#: Inches. The text column of the book is about 7.4 inches wide at 100 dots an inch.
WIDTH = 7.0

#: Inches. For figures that are looked at on a phone, too: 360 pixels wide, their text is 10 high.
NARROW = 5.0

#: Columns of a run's table by their names, see :func:`facenet_lib.runs.read_metrics`.
Table = Mapping[str, npt.NDArray[np.float64]]

Content = TypeVar("Content")


def style() -> None:
    """Make matplotlib draw in the book's style from here on (sets ``rcParams``)."""
    mpl.rcParams.update(
        {
            "figure.facecolor": "none",
            "figure.figsize": (WIDTH, 0.55 * WIDTH),
            "figure.dpi": 140,
            "figure.constrained_layout.use": True,
            "font.size": 9,  # of legends and numbers at the axes, too
            "text.color": GREY,
            "axes.facecolor": "none",
            "axes.edgecolor": GREY,
            "axes.labelcolor": GREY,
            "axes.titlecolor": GREY,
            "axes.titlesize": 10,
            "axes.labelsize": 10,
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
            "lines.linewidth": 1.8,
            "lines.markersize": 5,
            "legend.frameon": False,
            "image.interpolation": "nearest",
        }
    )


def make_figure(
    height: float, width: float = WIDTH, rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Figure, Any]:
    """Make a figure of this height and width, inches, and its axes, as ``plt.subplots`` does.

    It is taken out of pyplot's hands, so that a notebook shows it once, not twice.
    """
    figure, axes = plt.subplots(rows, columns, figsize=(width, height), **options)
    plt.close(figure)
    return figure, axes


def write_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure as a PNG file, whole or not at all.

    Args:
        figure: any.
        path: the file.

    Raises:
        FacenetError: when the file cannot be written.
    """
    with open_whole_file(Path(path)) as file:
        # Not transparent: a picture in a folder is looked at on whatever ground a viewer has.
        figure.savefig(file, format="png", facecolor="white", transparent=False)


def make_panels(
    contents: Mapping[str, Content], height: float, stacked: bool = False, **options: Any
) -> tuple[Figure, Iterator[tuple[Axes, Content]]]:
    """Make a panel for each title, with what it is to show: side by side, or stacked.

    Args:
        height: inches, of the figure.
        stacked: one above the other over one abscissa, with titles at the left.
        options: as ``plt.subplots`` takes them.
    """
    rows, columns = (len(contents), 1) if stacked else (1, len(contents))
    options = {"sharex": stacked} | options
    figure, axes = make_figure(height, rows=rows, columns=columns, squeeze=False, **options)
    for axis, title in zip(axes.flat, contents, strict=True):
        axis.set_title(title, loc="left" if stacked else "center")
    return figure, zip(axes.flat, contents.values(), strict=True)


def make_sheet(
    count: int, columns: int, width: float, height: float, **options: Any
) -> tuple[Figure, Sequence[Axes]]:
    """Make places for ``count`` pictures of this width and height, inches, without any axes."""
    rows = -(-count // columns)
    figure, axes = make_figure(
        height * rows, width * columns, rows=rows, columns=columns, squeeze=False, **options
    )
    for axis in axes.flat:
        axis.set_axis_off()
    return figure, list(axes.flat)


def name_rows(axis: Axes, names: Sequence[str]) -> None:
    """Name the rows 0, 1, ... of a panel, the first of them on top."""
    axis.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5))
    axis.grid(visible=False, axis="y")


def write_right_of_row(axis: Axes, row: int, text: str) -> None:
    """Write beside a panel, at the height of one of its rows."""
    axis.text(1.02, row, text, va="center", transform=axis.get_yaxis_transform())


def put_legend_above(axis: Axes) -> None:
    """A legend beside the title, where it covers no line."""
    axis.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderpad=0)


def put_legend_below(figure: Figure, columns: int = 2) -> None:
    """One legend of all panels, which have the same lines."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)
