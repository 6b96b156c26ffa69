"""Figures of chapter 12: who a face is, how many strangers get a name, and who is in an album."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Sized
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from facenet_lib.checks import check_integer
from facenet_lib.errors import FacenetError
from facenet_lib.plots.book_style import (
    COLORS,
    GREY,
    NARROW,
    WIDTH,
    make_figure,
    name_rows,
    put_legend_below,
)
from facenet_lib.recognition.calibration import Reliability
from facenet_lib.recognition.groups import GroupRates
from facenet_lib.recognition.measures import OpenSetCurve

_Points = Sequence[Sequence[float]] | npt.NDArray[Any]


def gallery_on_a_circle(
    people: Mapping[str, _Points], probes: Mapping[str, Sequence[float]], threshold: float
) -> Figure:
    """Show embeddings of two numbers: those of a gallery's people, and faces that are asked for.

    Args:
        people: name -> (photographs, 2), rows of length one.
        probes: what a face is called -> (2,), of length one.
        threshold: squared distance; what lies within it of a face is shaded.

    Raises:
        FacenetError: where there is nobody, or no face.
    """
    _need_some("people", people)
    _need_some("probes", probes)
    figure, axis = make_figure(0.8 * NARROW, 0.9 * NARROW)
    axis.add_patch(Circle((0, 0), 1, fill=False, edgecolor=GREY, linewidth=0.8))
    for number, (name, rows) in enumerate(people.items()):
        x, y = np.transpose(rows)
        axis.plot(x, y, "o", color=COLORS[number % len(COLORS)], markersize=9, label=name)
    for name, (x, y) in probes.items():
        near = Circle((x, y), np.sqrt(threshold), facecolor=GREY, alpha=0.15, linewidth=0)
        axis.add_patch(near)
        axis.plot(x, y, "*", color=GREY, markersize=12)
        axis.annotate(name, (1.1 * x, 1.1 * y), ha="left" if x > 0 else "right", va="center")
    axis.set(xlim=(-1.3, 1.75), ylim=(-1.4, 1.4), aspect="equal")
    axis.set_axis_off()
    axis.legend(loc="center", bbox_to_anchor=(0.426, 0.5))  # in the middle of the circle
    return figure


def match_rates(rates: Mapping[str, npt.NDArray[np.floating]], ranks: int = 10) -> Figure:
    """Show how often the own person is among the k nearest.

    Args:
        rates: label of a line -> (people,), the shares for k = 1, 2, ..., as
            :func:`facenet_lib.recognition.cumulative_match_rates` returns them.
        ranks: up to which k.

    Raises:
        FacenetError: where there is no line, or no rank.
    """
    _need_some("rates", rates)
    check_integer("ranks", ranks, at_least=1)
    figure, axis = make_figure(0.6 * NARROW, NARROW)
    for label, values in rates.items():
        shown = values[:ranks]
        axis.plot(np.arange(1, len(shown) + 1), shown, "o-", label=label)
    axis.set(xlabel="people looked at, the nearest first", ylabel="own person among them")
    axis.set(xticks=range(1, ranks + 1), ylim=(None, 1.005))
    axis.legend()
    return figure


def strangers_named(
    people: Sequence[int],
    measured: Mapping[str, Sequence[float]],
    expected: Mapping[str, tuple[Sequence[float], Sequence[float]]],
) -> Figure:
    """Show what share of strangers gets a name, by the size of the gallery.

    Args:
        people: sizes of galleries, drawn on a logarithmic axis.
        measured: label of a threshold -> the share for each size, dots.
        expected: the same labels -> lowest and highest share that a formula gives, a band.

    Raises:
        FacenetError: where there is no threshold, or the labels are not the same.
    """
    _need_some("measured", measured)
    if measured.keys() != expected.keys():
        raise FacenetError(f"expected: wanted {list(measured)}, found {list(expected)}")
    figure, axis = make_figure(0.72 * NARROW, NARROW)
    for number, (label, shares) in enumerate(measured.items()):
        color = COLORS[number % len(COLORS)]
        axis.fill_between(people, *expected[label], color=color, alpha=0.25, linewidth=0)
        axis.plot(people, shares, "o", color=color, label=label)
    axis.set(xscale="log", xticks=people, xticklabels=map(str, people), ylim=(0, 1.02))
    axis.minorticks_off()
    axis.set(xlabel="people in the gallery", ylabel="strangers who get a name")
    put_legend_below(figure, columns=1)
    return figure


def open_set_curves(
    curves: Mapping[str, OpenSetCurve], marks: Mapping[str, tuple[float, float]] | None = None
) -> Figure:
    """Show what share of known people is lost, by the share of strangers that gets a name.

    Args:
        curves: label of a line -> what :func:`facenet_lib.recognition.measure_open_set` returned.
        marks: what a ring is -> its FPIR and FNIR.

    Returns:
        FNIR over FPIR, the latter on a logarithmic axis that ends at one stranger.

    Raises:
        FacenetError: where there is no line.
    """
    _need_some("curves", curves)
    figure, axis = make_figure(0.68 * NARROW, NARROW)
    for label, curve in curves.items():
        seen = curve.false_positives > 0
        x, y = curve.false_positive_rates[seen], curve.false_negative_rates[seen]
        axis.plot(x, y, label=label, drawstyle="steps-post")
    for number, (label, place) in enumerate((marks or {}).items()):
        axis.plot(
            *place, "o^s"[number % 3], color=COLORS[(2 + number) % len(COLORS)], label=label,
            markersize=9, markerfacecolor="none", markeredgewidth=1.8,
        )  # fmt: skip
    strangers = max(curve.strangers for curve in curves.values())
    axis.set(xscale="log", xlim=(0.8 / strangers, 1.1), ylim=(0, 1.02))
    axis.xaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    axis.set(xlabel="strangers who get a name", ylabel="known people not named rightly")
    put_legend_below(figure)
    return figure


def reliability(curves: Mapping[str, Reliability]) -> Figure:
    """Show probabilities, and how often what they say is true.

    Args:
        curves: label of a line -> what :func:`facenet_lib.recognition.reliability_curve` returned.

    Returns:
        A dot for each bin with its 95% interval; dashed, where probabilities are true.

    Raises:
        FacenetError: where there is no line.
    """
    _need_some("curves", curves)
    figure, axis = make_figure(0.72 * NARROW, 0.85 * NARROW)
    axis.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    for number, (label, curve) in enumerate(curves.items()):
        errors = np.abs(curve.intervals.T - curve.shares)
        axis.errorbar(
            curve.mean_probabilities, curve.shares, errors, fmt="o-", label=label,
            color=COLORS[number % len(COLORS)],
        )  # fmt: skip
    axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    axis.set(xlabel="what was said", ylabel="share of one person")
    axis.legend()
    return figure


def album(groups: Sequence[tuple[str, Sequence[npt.NDArray[np.uint8]], Sequence[str]]]) -> Figure:
    """Show faces that were put together, a row for each group.

    Args:
        groups: for each, what it is called, its faces, uint8 (height, width, 3), and whom each
            really shows: orange frames are around those who are not the row's most frequent.

    Raises:
        FacenetError: where there is no group or one without faces, or another number of names.
    """
    _need_some("groups", groups)
    for title, faces, people in groups:
        _need_some(title, faces)
        if len(people) != len(faces):
            raise FacenetError(f"{title}: expected {len(faces)} people, found {len(people)}")
    columns = max(len(faces) for _, faces, _ in groups)
    side = 0.88 * WIDTH / columns
    figure, axes = make_figure((side + 0.06) * len(groups), rows=len(groups), squeeze=False)
    for axis, (title, faces, people) in zip(axes.flat, groups, strict=True):
        ((most, _),) = Counter(people).most_common(1)
        for place, (face, person) in enumerate(zip(faces, people, strict=True)):
            axis.imshow(face, extent=(place, place + 0.94, 0, 0.94))
            if person != most:
                frame = Rectangle((place, 0), 0.94, 0.94, fill=False, linewidth=3)
                frame.set_edgecolor(COLORS[1])
                axis.add_patch(frame)
        axis.set(xlim=(-0.03, columns), ylim=(-0.03, 0.97), xticks=[], yticks=[])
        axis.set_ylabel(title, rotation=0, ha="right", va="center")
        axis.spines[:].set_visible(False)
        axis.grid(visible=False)
    return figure


def cluster_sweep(
    thresholds: Sequence[float],
    agreement: Mapping[str, Sequence[float]],
    largest: Mapping[str, Sequence[float]],
    without: Mapping[str, float],
    chosen: float,
) -> Figure:
    """Show what ways of clustering make of an album as their threshold grows.

    Args:
        thresholds: squared distances.
        agreement: label of a line -> the F-score at each threshold.
        largest: the same labels -> the share of all faces that the largest cluster holds.
        without: what needs no threshold -> its F-score, dotted.
        chosen: a threshold, dashed.

    Raises:
        FacenetError: where there is no line, or the labels are not the same.
    """
    _need_some("agreement", agreement)
    if agreement.keys() != largest.keys():
        raise FacenetError(f"largest: expected {list(agreement)}, found {list(largest)}")
    figure, (above, below) = make_figure(0.95 * NARROW, NARROW, rows=2, sharex=True)
    for label, scores in agreement.items():
        above.plot(thresholds, scores, label=label)
        below.plot(thresholds, largest[label])
    for label, score in without.items():
        above.axhline(score, color=COLORS[2], linestyle=":", label=label)
    for axis in (above, below):
        axis.axvline(chosen, color=GREY, linestyle="--")
        axis.set(ylim=(0, 1.03))
    above.set(ylabel="B-cubed F-score")
    below.set(ylabel="in the largest cluster", xlabel="squared distance that is still near")
    put_legend_below(figure, columns=len(agreement) + len(without))
    return figure


def group_rates(divisions: Mapping[str, Sequence[GroupRates]]) -> Figure:
    """Show the error rates of groups of probes with their intervals.

    Args:
        divisions: what people or pictures are divided by -> the rates of each group.

    Returns:
        A row for each group: FPIR on the left, FNIR on the right; rings are small groups.

    Raises:
        FacenetError: where there is no group.
    """
    _need_some("divisions", divisions)
    rows = [(f"{title}: {entry.group}", entry) for title, of in divisions.items() for entry in of]
    _need_some("groups", rows)
    figure, axes = make_figure(0.3 * len(rows) + 0.8, NARROW, columns=2, sharey=True)
    for axis, kind in zip(axes, ("positive", "negative"), strict=True):
        for row, (_, entry) in enumerate(rows):
            interval = getattr(entry.rates, f"false_{kind}_rate_interval")
            rate = getattr(entry.rates, f"false_{kind}_rate")
            _draw_rate(axis, row, rate, interval, entry.is_small)
        name_rows(axis, [name for name, _ in rows])
        axis.set(xlim=(0, None))
        axis.locator_params(axis="x", nbins=5)
    axes[0].set(xlabel="FPIR")
    axes[1].set(xlabel="FNIR")
    return figure


def _draw_rate(
    axis: Axes, row: int, rate: float, interval: tuple[float, float], is_small: bool
) -> None:
    axis.plot(interval, [row, row], color=COLORS[0], linewidth=2)
    axis.plot(rate, row, "o", color=COLORS[0], markerfacecolor="none" if is_small else None)


def _need_some(what: str, things: Sized) -> None:
    if not len(things):
        raise FacenetError(f"{what}: expected at least one, found none")
