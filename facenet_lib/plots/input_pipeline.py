"""Figures of chapter 3: images, and the numbers that they are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from facenet_lib.errors import FacenetError
from facenet_lib.plots.book_style import GREY, WIDTH, make_panels, make_sheet


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

    Raises:
        FacenetError: if there are no images, or not one title for each.
    """
    if len(images) == 0:
        raise FacenetError("image_grid: no images to show")
    if titles is not None and len(titles) != len(images):
        raise FacenetError(f"image_grid: {len(images)} images but {len(titles)} titles")
    columns = min(columns, len(images))
    side = min(WIDTH / columns, 1.8)
    figure, axes = make_sheet(
        len(images), columns, side, side + (0.22 if titles is not None else 0.0),
        layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.0, hspace=0.0),
    )  # fmt: skip
    for axis, image, title in zip(axes, images, titles or repeat(""), strict=False):
        # Without limits matplotlib would stretch a grey or a float image to its own range.
        top = 255 if np.issubdtype(np.asarray(image).dtype, np.integer) else 1.0
        axis.imshow(image, cmap="gray", vmin=0, vmax=top)
        under: dict[str, Any] = {
            "transform": axis.transAxes,
            "ha": "center",
            "va": "top",
            "size": 8,
        }
        axis.text(0.5, -0.03, title.replace("_", " "), **under)
    return figure


def pixel_tables(tables: Mapping[str, npt.NDArray[Any]], columns: int = 3) -> Figure:
    """Show tiny grey images as tables of numbers, each cell in the grey of its number.

    Args:
        tables: title -> (height, width) numbers; integers are written whole, floats with two
            digits. Greys run from the smallest to the largest number of a table.
        columns: tables in a row.
    """
    side = WIDTH / columns
    figure, axes = make_sheet(len(tables), columns, side, side + 0.1)
    for axis, (title, table) in zip(axes, tables.items(), strict=False):
        axis.imshow(table, cmap="gray")
        middle = (float(np.min(table)) + float(np.max(table))) / 2
        is_integer = np.issubdtype(table.dtype, np.integer)
        for (row, column), value in np.ndenumerate(table):
            # Adding zero turns a rounded -0.0 into 0.0.
            text = f"{value}" if is_integer else f"{round(float(value), 2) + 0.0:.2f}"
            color = "black" if value > middle else "white"
            axis.text(column, row, text, ha="center", va="center", color=color)
        axis.set_title(title)
    return figure


def value_distributions(panels: Mapping[str, Mapping[str, npt.NDArray[Any]]]) -> Figure:
    """Show how the values of several images are distributed, before and after a change.

    Args:
        panels: title of a panel -> label of an image -> its values, of any shape.

    Returns:
        Panels one above the other on one axis of values, a line for each image.
    """
    values = np.concatenate([np.ravel(v) for lines in panels.values() for v in lines.values()])
    edges = np.linspace(float(values.min()), float(values.max()), 60)
    figure, drawn = make_panels(panels, 1.75 * len(panels) + 0.4, stacked=True)
    for axis, lines in drawn:
        for label, image in lines.items():
            share = np.histogram(image, edges)[0] / np.size(image)
            axis.stairs(share, edges, label=label, linewidth=1.6)
        axis.set(yticks=[])
        axis.axvline(0, color=GREY, linewidth=0.8)
    figure.axes[0].legend()
    figure.axes[-1].set_xlabel("value after standardization")
    return figure
