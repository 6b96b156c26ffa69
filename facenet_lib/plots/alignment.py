"""Figures of chapter 10: faces in photographs, what finds them, and how they are cut out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle

from facenet_lib.alignment.faces import Face, Image
from facenet_lib.alignment.sensitivity import Sensitivity
from facenet_lib.checks import check_integer
from facenet_lib.errors import FacenetError
from facenet_lib.plots.book_style import (
    COLORS,
    GREY,
    WIDTH,
    make_figure,
    make_panels,
    make_sheet,
    name_rows,
)
from facenet_lib.verification import rate_interval


def found_faces(
    photographs: Mapping[str, tuple[Image, Sequence[Face]]],
    chosen: Sequence[Face] = (),
    columns: int = 2,
) -> Figure:
    """Show photographs with a frame around each face, and its landmarks.

    Args:
        photographs: title -> the photograph, and the faces in it.
        chosen: those of the faces whose frames are orange and thick.
        columns: photographs in a row.

    Returns:
        One figure, ``columns`` wide and as many rows high as needed.

    Raises:
        FacenetError: where there is no photograph, or for another number of columns.
    """
    check_integer("columns", columns, at_least=1)
    _need_some("photographs", photographs)
    width = WIDTH / columns
    shapes = [image.shape for image, _ in photographs.values()]
    height = width * max(shape[0] / shape[1] for shape in shapes)
    figure, axes = make_sheet(len(photographs), columns, width, height + 0.25)
    for axis, (title, (image, faces)) in zip(axes, photographs.items(), strict=False):
        axis.set_title(title)
        _show_photograph(axis, image)
        for face in faces:
            if any(face is other for other in chosen):
                _frame(axis, face, COLORS[1], 3.0)
            else:
                _frame(axis, face, COLORS[0], 1.6 if len(faces) < _MANY else 0.7)
    return figure


def faces_and_crops(
    photograph: Image, faces: Sequence[Face], crops: Mapping[str, Sequence[Image]]
) -> Figure:
    """Show a photograph with numbered faces, and under it each face as it was cut out.

    Args:
        photograph: uint8 (height, width, 3).
        faces: those in it, numbered from 1.
        crops: what a row is called -> one crop for each face, uint8 (size, size, 3).

    Raises:
        FacenetError: where there is no face or no row, or a row has another number of crops.
    """
    _need_some("faces", faces)
    _need_some("crops", crops)
    for name, images in crops.items():
        if len(images) != len(faces):
            raise FacenetError(f"{name}: expected {len(faces)} crops, found {len(images)}")
    side = WIDTH / (len(faces) + 0.5)
    height = 0.62 * WIDTH * photograph.shape[0] / photograph.shape[1]
    figure, axes = make_figure(
        height + side * len(crops) + 0.2, rows=1 + len(crops),
        height_ratios=[height, *[side] * len(crops)],
    )  # fmt: skip
    top: Axes = axes[0]
    top.set_axis_off()
    _show_photograph(top, photograph)
    for number, face in enumerate(faces, start=1):
        _frame(top, face, COLORS[1], 1.8)
        top.annotate(
            str(number), (face.box.left, face.box.top), (2, -2), textcoords="offset points",
            color="white", backgroundcolor=COLORS[1], size=8, va="top",
        )  # fmt: skip
    for axis, (name, images) in zip(axes[1:], crops.items(), strict=True):
        _show_row(axis, name, images)
    middles = [place * _GAP + 0.5 for place in range(len(faces))]
    axes[-1].set_xticks(middles, [str(1 + place) for place in range(len(faces))])
    axes[-1].tick_params(length=0)
    return figure


_GAP = 1.06  # of a crop, from one to the next


def _show_row(axis: Axes, name: str, crops: Sequence[Image]) -> None:
    for place, image in enumerate(crops):
        axis.imshow(image, extent=(place * _GAP, place * _GAP + 1, 0, 1))
    axis.set(xlim=(0, len(crops) * _GAP), ylim=(0, 1), xticks=[], yticks=[])
    axis.set_ylabel(name)
    axis.spines[:].set_visible(False)
    axis.grid(visible=False)


def suppressed_boxes(
    boxes: npt.NDArray[Any], scores: npt.NDArray[Any], kept: Sequence[int]
) -> Figure:
    """Show boxes with their scores, and those that non-maximum suppression keeps.

    Args:
        boxes: (n, 4), left, top, right, bottom.
        scores: (n,).
        kept: places of those that stay.

    Raises:
        FacenetError: where there is no box.
    """
    _need_some("boxes", boxes)
    lists = {"before": range(len(boxes)), "after": kept}
    figure, panels = make_panels(lists, 0.3 * WIDTH, sharey=True)
    for axis, places in panels:
        for place in places:
            left, top, right, bottom = boxes[place]
            color = COLORS[place % len(COLORS)]
            frame = Rectangle((left, top), right - left, bottom - top, fill=False, linewidth=2)
            frame.set_edgecolor(color)
            axis.add_patch(frame)
            axis.text(left + 0.3, bottom - 0.3, f"{scores[place]:g}", color=color, size=9)
        axis.set(
            xlim=(boxes[:, 0].min() - 1, boxes[:, 2].max() + 1),
            ylim=(boxes[:, 3].max() + 1, boxes[:, 1].min() - 1),
            aspect="equal",
        )
    return figure


def pyramid_levels(levels: Sequence[tuple[Image, npt.NDArray[np.floating]]]) -> Figure:
    """Show levels of an image pyramid, and how sure a network is of a face at each place.

    Args:
        levels: for each, the largest first, the image, and scores (rows, columns) from 0 to 1.

    Returns:
        Images in their relative sizes in the upper row, their scores in the lower one.

    Raises:
        FacenetError: where there is no level.
    """
    _need_some("levels", levels)
    widths = [image.shape[1] for image, _ in levels]
    tallest = levels[0][0].shape[0] / sum(widths)
    figure, axes = make_figure(
        2 * WIDTH * tallest + 0.4, rows=2, columns=len(levels), squeeze=False,
        width_ratios=widths, layout=ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03),
    )  # fmt: skip
    for (above, below), (image, scores) in zip(axes.T, levels, strict=True):
        height, width = image.shape[:2]
        above.imshow(image)
        above.set_title(f"{width} x {height}", size=9)
        rows, places = scores.shape
        shown = below.imshow(scores, vmin=0, vmax=1, aspect=height * places / (width * rows))
        for axis in (above, below):
            axis.set_axis_off()
            axis.set_anchor("N")
    figure.colorbar(shown, ax=axes[1, -1], label="score", shrink=0.9)
    return figure


def detection_by_bin(
    panels: Mapping[str, tuple[Sequence[str], npt.NDArray[np.int64], npt.NDArray[np.float64]]],
    errors: Mapping[str, npt.NDArray[np.float64]],
) -> Figure:
    """Show for kinds of faces what share was found, and how far the landmarks were off.

    Args:
        panels: what the bins of a panel are of -> their names, how many faces each has, and what
            share of these was found.
        errors: the same keys -> landmark error of each bin, in eye distances.

    Returns:
        Shares with their Wilson intervals in the upper row, with the number of faces above each;
        errors in the lower one.

    Raises:
        FacenetError: where there is no panel, or the keys are not the same.
    """
    _need_some("panels", panels)
    if panels.keys() != errors.keys():
        raise FacenetError(f"errors: expected those of {list(panels)}, found {list(errors)}")
    figure, axes = make_figure(
        0.62 * WIDTH, rows=2, columns=len(panels), sharey="row", squeeze=False,
        height_ratios=(3, 2),
    )  # fmt: skip
    for (above, below), (title, (names, counts, recall)) in zip(
        axes.T, panels.items(), strict=True
    ):
        places = np.arange(len(names))
        for place, count, share in zip(places, counts, recall, strict=True):
            if count:
                low, high = rate_interval(round(share * count), count)
                above.plot([place, place], [low, high], color=COLORS[0])
                above.plot(place, share, "o", color=COLORS[0])
            above.text(place, 1.08, f"{count}", ha="center", size=8)
        above.set(xticks=places, xticklabels=[], yticks=np.linspace(0, 1, 6))
        above.set(xlim=(-0.6, len(names) - 0.4), ylim=(0, 1.2))
        above.set_title(title)
        below.bar(places, errors[title], 0.55, color=COLORS[1])
        below.set(xticks=places, xticklabels=names, xlim=above.get_xlim())
        for axis in (above, below):
            axis.grid(visible=False, axis="x")
    axes[0, 0].set_ylabel("share found")
    axes[1, 0].set_ylabel("landmark error,\neye distances")
    return figure


def crop_moves(moves: Mapping[str, npt.NDArray[np.floating]], threshold: float) -> Figure:
    """Show how far another size of the same photographs moves their embeddings.

    Args:
        moves: how the faces were cut out -> the distance of each face's two embeddings.
        threshold: below which two embeddings count as one person's, dashed.

    Returns:
        A row of dots for each way, with a stroke at their median.

    Raises:
        FacenetError: where there is no way.
    """
    _need_some("moves", moves)
    figure, axis = make_figure(0.5 * len(moves) + 0.7)
    for row, values in enumerate(moves.values()):
        spread = 0.24 * np.sin(7.0 * np.arange(len(values)))  # so that no dot hides another
        axis.plot(values, row + spread, "o", color=COLORS[0], alpha=0.6, markeredgewidth=0)
        axis.plot([np.median(values)] * 2, [row - 0.35, row + 0.35], color=COLORS[1], linewidth=3)
    axis.axvline(threshold, color=GREY, linestyle="--")
    name_rows(axis, list(moves))
    axis.set(xlabel="squared distance to the same face at another size", xlim=(0, None))
    return figure


def crop_sensitivity(table: Sequence[Sensitivity], threshold: float | None = None) -> Figure:
    """Show how far each change of a crop moves the embeddings of faces.

    Args:
        table: what :func:`facenet_lib.alignment.measure_sensitivity` found.
        threshold: below which two embeddings count as one person's, dashed.

    Returns:
        A row for each change: a dot at the median, a line to the first and the ninth decile.

    Raises:
        FacenetError: where there is no change.
    """
    _need_some("changes", table)
    figure, axis = make_figure(0.28 * len(table) + 0.8)
    for row, change in enumerate(table):
        low, middle, high = np.quantile(change.distances, (0.1, 0.5, 0.9))
        axis.plot([low, high], [row, row], color=COLORS[0], linewidth=2)
        axis.plot(middle, row, "o", color=COLORS[0])
    if threshold is not None:
        axis.axvline(threshold, color=GREY, linestyle="--")
    name_rows(axis, [f"{change.kind}, {change.amount}" for change in table])
    axis.set(xlabel="squared distance to the unchanged crop", xlim=(0, None))
    return figure


_MANY = 20  # boxes and more have thin frames


def _need_some(what: str, things: Sized) -> None:
    if not len(things):
        raise FacenetError(f"{what}: expected at least one, found none")


def _show_photograph(axis: Axes, image: Image) -> None:
    axis.imshow(image, interpolation="antialiased")
    axis.set(xlim=(0, image.shape[1]), ylim=(image.shape[0], 0))


def _frame(axis: Axes, face: Face, color: str, line: float) -> None:
    corner = (face.box.left, face.box.top)
    frame = Rectangle(corner, face.box.width, face.box.height, fill=False, linewidth=line)
    frame.set_edgecolor(color)
    axis.add_patch(frame)
    if face.landmarks is not None:
        x, y = np.transpose(face.landmarks)
        axis.plot(x, y, "o", color=color, markersize=2.5, markeredgecolor="white", mew=0.4)
