"""The explorable figure of chapter 1: a threshold over distances, and the rates that follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from facenet_lib.checks import as_array, check_array
from facenet_lib.errors import FacenetError
from facenet_lib.explorables.figure import Explorable, draw_png
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
        FacenetError: for other arrays, pairs of one kind only, or all distances equal.
    """
    same = as_array("issame", issame)
    if same.dtype != np.bool_ or same.ndim != 1 or len(np.unique(same)) < 2:
        raise FacenetError(
            "issame: expected truth values of shape (pairs,), both of them, "
            f"found {same.dtype} of shape {same.shape}"
        )
    data = {
        title: _count_below(title, measured, same, start)
        for (title, measured), start in zip(panels.items(), thresholds, strict=True)
    }
    alt = (
        "Histograms of the distances of pairs of one person and of two people, with a dashed "
        f"threshold: {', '.join(panels)}."
    )
    still = draw_png(draw_pair_distances(panels, issame, thresholds))
    label = "A threshold over the distances of pairs"
    return Explorable("pair_distances", label, {"panels": data}, still, alt)


def _count_below(
    title: str, measured: npt.NDArray[np.floating], same: npt.NDArray[np.bool_], start: float
) -> dict[str, Any]:
    distances = check_array(title, measured, "numbers", same.shape)
    low, high = float(distances.min()), float(distances.max())
    if not low < high < np.inf:
        raise FacenetError(f"{title}: expected different finite distances, found {low} to {high}")
    above = high + (high - low) / 1000
    cuts = [low, *(float(f"{cut:.7g}") for cut in np.linspace(low, above, _STEPS + 1)[1:])]
    return {
        "thresholds": cuts,
        "same": np.searchsorted(np.sort(distances[same]), cuts).tolist(),
        "different": np.searchsorted(np.sort(distances[~same]), cuts).tolist(),
        "start": int(np.abs(np.subtract(cuts, start)).argmin()),
    }
