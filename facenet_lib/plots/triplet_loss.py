"""Figures of chapter 9: negatives by their distance, and losses beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from facenet_lib.errors import refuse
from facenet_lib.plots.book_style import GREY, NARROW, make_figure, name_rows, write_right_of_row


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
    figure, axis = make_figure(1.7, width=NARROW)
    beyond = to_positive + margin
    edges = (0.0, to_positive, beyond, 1.12 * max(beyond, *to_negatives))
    kinds = (("hard", "C1"), ("semi-hard", "C2"), ("easy", "C0"))
    for (kind, color), (start, end) in zip(kinds, pairwise(edges), strict=True):
        axis.axvspan(start, end, color=color, alpha=0.15, linewidth=0)
        axis.text((start + end) / 2, 1.0, kind, ha="center")
        inside = to_negatives[(to_negatives > start) & (to_negatives <= end)]
        axis.plot(inside, np.zeros(len(inside)), "o", color=color, markersize=9)
    axis.plot(to_positive, 0, "s", color=GREY, markersize=10)
    axis.text(to_positive, -0.75, "positive", ha="center")
    axis.set(xlim=(0, edges[-1]), ylim=(-1.1, 1.5), yticks=[])
    axis.set_xlabel("squared distance from the anchor")
    axis.grid(visible=False)
    return figure


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
        figure, axis = make_figure(0.45 * len(accuracies) + 0.7, width=NARROW)
        for row, (found, mean) in enumerate(zip(accuracies.values(), means, strict=True)):
            axis.plot(found, [row] * len(found), "o", color=f"C{row}", alpha=0.7)
            axis.plot([mean, mean], [row - 0.3, row + 0.3], color=f"C{row}")
            write_right_of_row(axis, row, f"{mean:.3f}")
        name_rows(axis, list(accuracies))
        axis.set_xlabel("accuracy on pairs")
    else:
        figure, axis = make_figure(0.6 * NARROW, width=NARROW)
        reach = 0.02 * max(max(spent) for spent in times.values())
        for row, ((loss, found), mean) in enumerate(zip(accuracies.items(), means, strict=True)):
            spent, color = times[loss], f"C{row}"
            axis.plot(spent, found, "o", color=color, alpha=0.7, label=f"{loss} {mean:.3f}")
            middle = float(np.mean(spent))
            axis.plot([middle - reach, middle + reach], [mean, mean], color=color)
        axis.set(xlabel="minutes of training", ylabel="accuracy on pairs", xlim=(0, None))
        figure.legend(loc="outside lower center", ncols=2)
    return figure
