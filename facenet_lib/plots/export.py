"""Figures of chapter 7: the threshold that a model takes with it, and its speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from facenet_lib.plots.book_style import COLORS, GREY, WIDTH, make_figure


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
    figure, (counts, errors) = make_figure(0.75 * WIDTH, rows=2, sharex=True, height_ratios=(2, 3))
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
    return figure


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
    figure, axis = make_figure(0.48 * WIDTH)
    for label, values in rates.items():
        axis.plot(batch_sizes, values, "o-", label=label)
    axis.set_xscale("log", base=2)
    axis.set(
        xticks=batch_sizes, xticklabels=[str(size) for size in batch_sizes],
        xlabel="images in a batch", ylabel=unit,
    )  # fmt: skip
    axis.set_ylim(bottom=0)
    axis.legend()
    return figure
