"""Figures of chapter 5: features by class, and centers on their way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.ticker import MaxNLocator

from facenet_lib.plots.book_style import (
    GREY,
    NARROW,
    WIDTH,
    make_figure,
    make_panels,
    put_legend_below,
)


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
    figure, axes = make_figure(
        NARROW * len(rows) / len(columns),
        width=NARROW,
        rows=len(rows),
        columns=len(columns),
        squeeze=False,
        layout=ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, wspace=0.0, hspace=0.0),
    )
    for line, (title, snapshots) in zip(axes, rows.items(), strict=True):
        for axis, (features, centers) in zip(line, snapshots, strict=True):
            limit = 1.15 * float(max(np.abs(features).max(), np.abs(centers).max()))
            for number in np.unique(labels):
                dots = features[labels == number].T
                axis.plot(*dots, ".", color=f"C{number}", markersize=2, alpha=0.6)
            axis.plot(*centers.T, "x", color=GREY, markersize=5, markeredgewidth=1.2)
            scale = f"±{limit:.2g}" if limit < 10 else f"±{limit:.0f}"
            axis.text(0.03, 0.03, scale, transform=axis.transAxes, size=10)
            axis.set(xlim=(-limit, limit), ylim=(-limit, limit), xticks=[], yticks=[])
            axis.set_aspect("equal")
        line[0].set_ylabel(title)
    for axis, column in zip(axes[0], columns, strict=True):
        axis.set_title(column)
    return figure


def face_map(
    images: Sequence[npt.NDArray[Any]],
    features: Mapping[str, npt.NDArray[Any]],
    labels: Sequence[int],
) -> Figure:
    """Lay faces out where a network sees them, framed in the colour of their person.

    Args:
        images: each (height, width, 3) uint8, of one size.
        features: title of a panel, which has its own scale -> (n, 2) features of the images.
        labels: one for each image.
    """
    figure, panels = make_panels(features, WIDTH / len(features) + 0.3)
    for axis, places in panels:
        for image, place, label in zip(images, places, labels, strict=True):
            face = AnnotationBbox(
                OffsetImage(image, zoom=22 / len(image)),
                place,
                pad=0.08,
                bboxprops={"edgecolor": f"C{label}", "linewidth": 1.6},
            )
            axis.add_artist(face)
        axis.update_datalim(places)
        axis.margins(0.08)
        axis.set(xticks=[], yticks=[])
    return figure


def center_errors(panels: Mapping[str, Mapping[str, npt.NDArray[Any]]]) -> Figure:
    """Show how far a center is from its class over steps: growing, swinging or closing in.

    Args:
        panels: title of a panel -> label of a line -> (steps,) distances, above zero; the same
            labels in each panel.

    Returns:
        Panels side by side with one logarithmic axis and one legend.
    """
    figure, drawn = make_panels(panels, 0.55 * WIDTH, sharey=True)
    for axis, lines in drawn:
        for label, distances in lines.items():
            axis.semilogy(distances, "o-", markersize=3, label=label)
        axis.axhline(distances[0], color=GREY, linewidth=0.8, linestyle="--")
        axis.set_xlabel("step")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.axes[0].set_ylabel("distance of center to class")
    put_legend_below(figure)
    return figure
