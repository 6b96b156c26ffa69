"""The explorable figure of chapter 12: strangers named, by threshold and size of the gallery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from facenet_lib.checks import check_integer
from facenet_lib.errors import FacenetError
from facenet_lib.explorables.figure import Explorable, check_finite, check_some, draw_png
from facenet_lib.plots.recognition import strangers_named as draw_strangers_named
from facenet_lib.recognition.measures import check_person_distances

_STEPS = 100


def strangers_named(
    people: Sequence[int],
    measured: Mapping[str, Sequence[float]],
    expected: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    distances: npt.NDArray[Any],
    truth: npt.NDArray[Any],
    pair_distances: npt.NDArray[Any],
    photographs: int,
) -> Explorable:
    """Let a reader choose a threshold and the size of a gallery, and see FPIR and FNIR.

    The rates are those of all galleries of that size: a probe is a stranger to those without its
    own person, and has a mate in those with it. Who else is in them is left to chance, whose share
    is known (the hypergeometric distribution), so that no gallery is drawn.

    Args:
        people: sizes of galleries in the still figure; the largest is where the slider
            stands, or one below all people, where it ends.
        measured: of the still figure, as :func:`facenet_lib.plots.strangers_named` takes it.
        expected: likewise.
        distances: numbers (probes, people), of each probe to all people, its own among them.
        truth: integers (probes,), the column of the own person.
        pair_distances: (pairs,) of photographs of two people.
        photographs: how many of each person a gallery holds.

    Returns:
        The slider for the threshold goes from 0 to the median of ``pair_distances``.

    Raises:
        FacenetError: for other arrays or sizes, no thresholds, shares of other thresholds or for
            another number of sizes, a probe without its own person, or fewer than three people.

    >>> distances = np.array([[0.2, 0.9, 0.8], [0.7, 0.3, 0.6], [0.9, 0.5, 0.4]])
    >>> still = [1, 2], {"at 0.5": [0.1, 0.2]}, {"at 0.5": ([0.1, 0.2], [0.2, 0.3])}
    >>> strangers_named(*still, distances, np.arange(3), distances[0], photographs=1).data["size"]
    2
    """
    sizes = [check_integer("people", size, at_least=1) for size in people]
    check_some("people", sizes)
    for label, shares in measured.items():
        check_finite(f"measured[{label!r}]", shares, (len(sizes),))
    for label, band in expected.items():
        check_finite(f"expected[{label!r}]", band, (2, len(sizes)))
    values, owners = check_person_distances(distances, truth)
    apart = check_finite("pair_distances", pair_distances, ("pairs",))
    count = values.shape[1]
    if (owners < 0).any() or count < 3:
        raise FacenetError(
            f"truth: expected the own person of every probe and three people or more, found "
            f"{np.sum(owners < 0)} probes without, and {count} people"
        )
    if np.median(apart) <= 0:
        raise FacenetError("pair_distances: expected distances above 0, found half of them not")
    cuts = [float(f"{t:.7g}") for t in np.linspace(0, np.median(apart), _STEPS + 1)]
    data = {
        "people": count,
        "probes": len(owners),
        "photographs": check_integer("photographs", photographs, at_least=1),
        "thresholds": cuts,
        "falseMatchRates": [float(f"{np.mean(apart < cut):.6g}") for cut in cuts],
        **_count_people_near(values, owners, cuts),
        "size": min(max(sizes), count - 1),
        "start": _STEPS // 3,
    }
    alt = (
        "Share of strangers who get a name over the size of the gallery, at each of several "
        "thresholds: dots in rising bands."
    )
    still = draw_png(draw_strangers_named(sizes, measured, expected))
    label = "A threshold and the size of a gallery"
    return Explorable("strangers_named", label, data, still, alt)


def _count_people_near(
    values: npt.NDArray[np.float64], owners: npt.NDArray[np.int64], cuts: Sequence[float]
) -> dict[str, list[list[int]]]:
    """How many probes have 0, 1, ... other people near, and near and before their own person."""
    rows = np.arange(len(owners))
    own = values[rows, owners]
    others = values.copy()
    others[rows, owners] = np.inf
    before_own = np.sum(others <= own[:, None], axis=1)  # ties count against us
    near = [np.bincount(np.sum(others < cut, axis=1)).tolist() for cut in cuts]
    mates = [np.bincount(before_own[own < cut]).tolist() for cut in cuts]
    return {"near": near, "mates": mates}
