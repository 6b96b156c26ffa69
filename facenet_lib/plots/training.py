"""Figures of chapter 6: what the tables of a run hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from facenet_lib.errors import FacenetError, refuse
from facenet_lib.plots.book_style import GREY, NARROW, Table, make_figure, put_legend_above

_POSITION = ("epoch", "step")  # columns that say where a row belongs


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
    figure, axes = make_figure(
        sum(heights) + 0.9, NARROW, rows=len(strips), height_ratios=heights, sharex=True,
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
    return figure


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
    figure, axis = make_figure(0.62 * NARROW, width=NARROW)
    drawn = []
    for label, table in runs.items():
        window = _window(table[column])
        drawn.append(_moving_mean(table[column], window))
        style = "o-" if _are_few(drawn[-1]) else "-"
        axis.plot(table[against][window - 1 :], drawn[-1], style, markersize=4, label=label)
    _fit_ordinate(axis, column, np.concatenate(drawn))
    axis.set(xlabel=_words(against), ylabel=_words(column), xlim=(0, None))
    if all(np.all(np.mod(table[against], 1) == 0) for table in runs.values()):
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))  # no half steps
    short = max(map(len, runs)) <= 24
    figure.legend(loc="outside lower center", ncols=2 if short else 1)
    return figure


def _metrics_strips(
    metrics: Table, validations: Table
) -> list[tuple[float, Callable[[Axes], None]]]:
    """Of metrics.csv, the height of each strip, inches, and what draws it."""
    named: dict[str, list[str]] = {"loss": [], "penalties": []}
    for name in metrics:
        title = _strip_of(name)
        # A term that is not computed stands in the table as zeros.
        if name not in _POSITION and (title not in ("loss", "penalties") or np.any(metrics[name])):
            named.setdefault(title, []).append(name)
    return [
        (1.7 if title == "loss" else 1.0, partial(_steps_strip, title, names, metrics, validations))
        for title, names in named.items()
        if names
    ]


def _strip_of(column: str) -> str:
    if column == "total" or column.endswith(("_loss", "_entropy")):
        return "loss"
    return "penalties" if column.endswith(("_norm", "_decay")) else _words(column)


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
        put_legend_above(axis)


def _fit_ordinate(axis: Axes, column: str, values: npt.NDArray[np.float64]) -> None:
    """Losses and rates over more than a magnitude on a logarithmic axis, all else from zero."""
    is_scale_free = _strip_of(column) in ("loss", "penalties", "learning rate")
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
        put_legend_above(axis)


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
    scale.text(-0.05, 0, "share", transform=scale.transAxes, ha="right")


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
