"""Figures of chapter 7: the threshold that a model takes with it, and its speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from facenet_lib.plots.book_style import GREY, WIDTH, make_figure


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
        values = np.sort(measured[issame == same])
        counts.hist(values, cuts, alpha=0.65, label=of_whom)
        accepted = np.searchsorted(values, cuts) / len(values)
        share = 1 - accepted if same else accepted
        errors.plot(cuts, share, label=f"{of_whom}, {mistake}")
    for (label, threshold), dashes in zip(
        thresholds.items(), cycle(("--", ":", "-.")), strict=False
    ):
        for axis in (counts, errors):
            axis.axvline(threshold, color=GREY, linestyle=dashes, label=f"{threshold:.3f}: {label}")
        errors.plot(threshold, np.mean(measured[issame] >= threshold), "o", color="C0")
        errors.plot(threshold, np.mean(measured[~issame] < threshold), "o", color="C1")
    counts.set_ylabel("pairs")
    counts.legend()
    errors.set(xlabel="distance of the two images", ylabel="share of the pairs")
    errors.set(yscale="log", ylim=(0.7 / len(issame), 1.4))
    errors.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    errors.legend(handles=errors.lines[:2], loc="lower right")
    return figure


def throughput(batch_sizes: Sequence[int], rates: Mapping[str, Sequence[float]]) -> Figure:
    """Show how many images a second are computed, by the size of the batch.

    Args:
        batch_sizes: images in a batch, drawn on a logarithmic axis.
        rates: label of a line -> one rate for each batch size.
    """
    figure, axis = make_figure(0.48 * WIDTH)
    for label, values in rates.items():
        axis.plot(batch_sizes, values, "o-", label=label)
    axis.set_xscale("log", base=2)
    axis.set(xticks=batch_sizes, xticklabels=map(str, batch_sizes), ylim=(0, None))
    axis.set(xlabel="images in a batch", ylabel="images a second")
    axis.legend()
    return figure
