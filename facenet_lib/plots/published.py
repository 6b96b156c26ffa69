"""Figures of chapter 11: accuracies beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from facenet_lib.plots.book_style import make_figure, name_rows, write_right_of_row


def accuracies(
    measured: Mapping[str, tuple[float, float]], runs: Mapping[str, Sequence[float]] | None = None
) -> Figure:
    """Compare accuracies, each with its standard error.

    Args:
        measured: what each row is called, and its accuracy and standard error, from the top down.
        runs: label of a row -> accuracies of the single runs that it is the mean of.

    Returns:
        A row for each: a dot, a bar of one standard error to each side, the accuracy in figures,
        and a ring for each run.
    """
    figure, axis = make_figure(0.4 * len(measured) + 0.7)
    for row, (label, (accuracy, error)) in enumerate(measured.items()):
        singles = (runs or {}).get(label, ())
        axis.errorbar(accuracy, row, xerr=error, fmt="o", color="C0", capsize=3)
        axis.plot(singles, [row] * len(singles), "o", c="C1", mfc="none", ms=9, zorder=3)
        write_right_of_row(axis, row, f"{accuracy:.3f} ± {error:.3f}")
    name_rows(axis, list(measured))
    axis.set_xlabel("accuracy on pairs")
    return figure
