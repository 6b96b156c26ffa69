"""The explorable figure of chapter 1: a threshold over distances, and the rates that follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from facenet_lib.checks import as_array
from facenet_lib.errors import FacenetError
from facenet_lib.explorables.figure import Explorable, check_finite, check_some, draw_png
from facenet_lib.plots.lfw_pairs import pair_distances as draw_pair_distances

_STEPS = 200


def pair_distances(
    panels: Mapping[str, npt.NDArray[np.floating]],
    issame: npt.NDArray[np.bool_],
    thresholds: Sequence[float],
) -> Explorable:
    """Let a reader move a threshold over distances, and see accuracy, TPR, FPR and the ROC follow.

    Args:
        panels: title -> (pairs,) distances, finite.
        issame: (pairs,) whether a pair shows one person; some do and some do not.
        thresholds: one for each panel, where the slider stands at first.

    Returns:
        Counts are exact at each of the slider's 201 places, however many pairs there are. The
        still figure is :func:`facenet_lib.plots.pair_distances`.

    Raises:
        FacenetError: for other arrays, no panels, pairs of one kind only, all distances equal, or
            another number of thresholds.

    >>> issame = np.array([True, True, False])
    >>> figure = pair_distances({"pixels": np.array([1.0, 3.0, 2.0])}, issame, [2.5])
    >>> figure.data["panels"]["pixels"]["same"][-1]
    2
    """
    check_some("panels", panels)
    starts = check_finite("thresholds", thresholds, (len(panels),)).tolist()
    same = as_array("issame", issame)
    if same.dtype != np.bool_ or same.ndim != 1 or len(np.unique(same)) < 2:
        raise FacenetError(
            "issame: expected truth values of shape (pairs,), both of them, "
            f"found {same.dtype} of shape {same.shape}"
        )
    arrays = {title: check_finite(title, panel, same.shape) for title, panel in panels.items()}
    data = {
        title: _count_below(title, distances, same, start)
        for (title, distances), start in zip(arrays.items(), starts, strict=True)
    }
    alt = (
        "Histograms of the distances of pairs of one person and of two people, with a dashed "
        f"threshold: {', '.join(panels)}."
    )
    still = draw_png(draw_pair_distances(arrays, same, starts))
    label = "A threshold over the distances of pairs"
    return Explorable("pair_distances", label, {"panels": data}, still, alt)


def _count_below(
    title: str, distances: npt.NDArray[np.float64], same: npt.NDArray[np.bool_], start: float
) -> dict[str, Any]:
    low, high = float(distances.min()), float(distances.max())
    if low == high:
        raise FacenetError(f"{title}: expected different distances, found {low} only")
    above = max(high + (high - low) / 1000, np.nextafter(high, np.inf))
    cuts = np.linspace(low, above, _STEPS + 1)  # not rounded: the last has to be above all
    return {
        "thresholds": cuts.tolist(),
        "same": np.searchsorted(np.sort(distances[same]), cuts).tolist(),
        "different": np.searchsorted(np.sort(distances[~same]), cuts).tolist(),
        "start": int(np.abs(np.subtract(cuts, start)).argmin()),
    }
