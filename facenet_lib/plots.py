"""Every figure of the book, in one style that reads on white and on near-black pages.

A figure has a transparent background, grey text that keeps its contrast on both, and colours
that people with any of the common colour-vision deficiencies can tell apart. Each function
returns the :class:`matplotlib.figure.Figure` it made; a notebook shows it by ending a cell
with the call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
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


def _finish(figure: Figure) -> Figure:
    """Take ``figure`` out of pyplot's hands, so that a notebook shows it once, not twice."""
    plt.close(figure)
    return figure
