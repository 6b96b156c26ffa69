"""Figures of chapter 1: pairs, their distances, and what a threshold makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle

from facenet_lib.plots.book_style import GREY, WIDTH, make_figure, make_panels, make_sheet
from facenet_lib.verification import VerificationResult


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
    """
    width = WIDTH / columns
    figure, axes = make_sheet(len(pairs), columns, width, 0.52 * width + 0.42)
    for axis, images, title, same in zip(axes, pairs, titles, issame, strict=False):
        both = np.concatenate(images, axis=1)
        axis.imshow(both)
        height, length = both.shape[:2]
        color = "C0" if same else "C1"
        axis.add_patch(
            Rectangle((0, 0), length, height, fill=False, color=color, linewidth=4, clip_on=False)
        )
        axis.axvline(length / 2, color=color, linewidth=2)
        axis.set(xlim=(0, length), ylim=(height, 0))
        axis.text(length / 2, 1.06 * height, title, ha="center", va="top")
    return figure


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
    figure, (line, roc) = make_figure(0.42 * WIDTH, columns=2, width_ratios=(3, 2))
    top = 1.12 * float(measured.max())
    line.axvspan(0, threshold, color=GREY, alpha=0.15, linewidth=0)
    line.axvline(threshold, color=GREY, linestyle="--")
    line.text(threshold / 2, 1.62, "accepted", ha="center")
    line.text((threshold + top) / 2, 1.62, "rejected", ha="center")
    for row, same in enumerate((False, True)):
        values = measured[issame == same]
        line.plot(values, np.full(len(values), row), "o", color=f"C{1 - row}", markersize=9)
        for value in values:
            line.text(value + 0.015 * top, row + 0.17, f"{value:g}")
    line.set(xlim=(0, top), ylim=(-0.5, 1.9), xlabel="distance")
    line.set(yticks=(0, 1), yticklabels=("two\npeople", "one\nperson"))
    line.grid(visible=False, axis="y")
    below = np.less.outer(measured, [*np.unique(measured), np.inf, threshold])
    *curve, here = np.transpose([below[~issame].mean(axis=0), below[issame].mean(axis=0)])
    roc.plot(*np.transpose(curve), "o-")
    roc.plot(*here, "o", markersize=13, markerfacecolor="none", markeredgecolor="C1")
    roc.set(xlim=(-0.06, 1.06), ylim=(-0.06, 1.06))
    roc.set(xlabel="false positive rate", ylabel="true positive rate")
    roc.set_box_aspect(1)
    return figure


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
    layout = ConstrainedLayoutEngine(hspace=0.08)
    figure, drawn = make_panels(
        panels, 2.2 * len(panels), stacked=True, sharex=False, layout=layout
    )
    for (axis, measured), threshold in zip(drawn, thresholds, strict=True):
        edges = np.linspace(float(measured.min()), float(measured.max()), 61).tolist()
        for same, label in ((True, "one person"), (False, "two people")):
            axis.hist(measured[issame == same], edges, alpha=0.65, label=label)
        axis.axvline(threshold, color=GREY, linestyle="--", label=f"threshold {threshold:.3g}")
        axis.set_ylabel("pairs")
        axis.legend()
    figure.axes[-1].set_xlabel("distance of the two images")
    return figure


def roc_curves(results: Mapping[str, VerificationResult]) -> Figure:
    """Show the ROC of several ways to compare one list of pairs.

    Args:
        results: label of a line -> what ``verification.evaluate`` returned.

    Returns:
        Two panels: all of the ROC, and its left end on a logarithmic axis.
    """
    figure, axes = make_figure(0.5 * WIDTH, columns=2, sharey=True)
    guess = np.geomspace(1e-4, 1, 200)
    for axis in axes:
        for label, result in results.items():
            axis.plot(result.false_positive_rates, result.true_positive_rates, label=label)
        axis.set(xlabel="false accept rate", ylim=(0, 1.02))
        axis.plot(guess, guess, color=GREY, linewidth=0.8, linestyle="--", label="guessing")
    different = max(result.different_pairs for result in results.values())
    axes[1].set(xscale="log", xlim=(1 / different, 1), xlabel="false accept rate, logarithmic")
    axes[0].set_ylabel("validation rate")
    axes[0].legend(loc="lower right")
    return figure


def threshold_choice(
    pairs: Sequence[int], accuracies: Mapping[str, Sequence[float]], best_possible: float
) -> Figure:
    """Show what is reported, by number of pairs, when the threshold is chosen in several ways.

    Args:
        pairs: pairs in an experiment, drawn on a logarithmic axis.
        accuracies: how the threshold was chosen -> mean accuracy for each number of pairs.
        best_possible: the accuracy of the best threshold on infinitely many pairs, dashed.
    """
    figure, axis = make_figure(0.45 * WIDTH)
    for label, values in accuracies.items():
        axis.plot(pairs, values, "o-", label=label)
    axis.axhline(best_possible, color=GREY, linestyle="--", label="best possible")
    axis.set_xscale("log")
    axis.set(xlabel="pairs", ylabel="mean accuracy", xticks=pairs, xticklabels=map(str, pairs))
    axis.minorticks_off()
    axis.legend()
    return figure
