"""A threshold for a gallery: how many strangers it may name, and how many people it then loses.

A threshold that accepts one in a thousand pairs of different people names many more strangers
than one in a thousand, as a stranger is compared with everyone in the gallery and needs to be near
to only one of them.

Derived in chapter 12.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facenet_lib.checks import check_integer, number_problems
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.recognition.measures import (
    OpenSetRates,
    check_labels,
    check_person_distances,
    rank_own_people,
)


def choose_threshold(
    distances: ArrayLike,
    truth: ArrayLike,
    false_positive_rate: float,
    people: int | None = None,
    probe_people: ArrayLike | None = None,
) -> ChosenThreshold:
    """Choose the largest threshold that names at most this share of the strangers.

    From there it lies half way to the next smaller distance, so that rounding names nobody.

    A gallery that is to hold fewer people than were measured is any of their subsets of that
    size: what is chosen and told is the exact expectation over all of them. A stranger who is
    near to c of n people is named by a gallery of p of them unless it holds none of the c, whose
    chance is hypergeometric, C(n - c, p) / C(n, p). A probe's own person is always in the
    gallery, and p - 1 of the others.

    Args:
        distances: numbers (probes, people), of each probe to each person of the gallery.
        truth: integers (probes,), the column of the probe's person; -1 for a stranger. Without
            any mates the false negative rate is not a number.
        false_positive_rate: FPIR, above 0 and below 1. There have to be 3 / rate strangers: where
            none of s is named, up to 3 / s of all may be, at 95% (the rule of three).
        people: that the gallery is to hold; None: as many as there are columns.
        probe_people: labels (probes,), whose each probe is: then people are counted as strangers,
            and not photographs, of which those of one person are much alike. The intervals still
            take photographs for independent.

    Raises:
        FacenetError: for unusable arguments, more people than columns, or too few strangers.

    Source for the rule of three: Hanley and Lippman-Hand, "If nothing goes wrong, is everything
    all right?", JAMA, 1983.

    >>> strangers = [[1.0, 1.9], [1.2, 1.4], [1.8, 1.1], [1.5, 1.6]]
    >>> distances, truth = [[0.1, 1.8], *strangers], [0, -1, -1, -1, -1]
    >>> chosen = choose_threshold(distances, truth, false_positive_rate=0.8)
    >>> round(chosen.threshold, 2), chosen.false_positive_rate
    (1.45, 0.75)
    >>> choose_threshold(distances, truth, 0.8, people=1).false_positive_rate
    0.75
    """
    values, owners = check_person_distances(distances, truth)
    measured = values.shape[1]
    refuse("threshold", number_problems("false_positive_rate", false_positive_rate, "(0, 1)"))
    gallery = measured if people is None else check_integer("people", people, at_least=1)
    if gallery > measured:
        raise FacenetError(
            f"people: expected at most the {measured} that were measured, found {gallery}: a rate "
            "in a larger gallery cannot be read off a smaller one"
        )
    strangers = values[owners < 0]
    independent = len(strangers)
    if probe_people is not None:
        labels = check_labels("probe_people", probe_people, len(owners))
        independent = len(np.unique(labels[owners < 0]))
    _check_number(independent, false_positive_rate)
    no_near_one = _chances_of_none(measured, gallery)
    too_far = _first_that_names_too_many(strangers, no_near_one, false_positive_rate)
    threshold = _half_way_down(values, too_far)
    near = np.sum(strangers < threshold, axis=1)
    own = values[owners >= 0, owners[owners >= 0]]
    no_nearer_one = _chances_of_none(measured - 1, gallery - 1)
    named_rightly = (own < threshold) * no_nearer_one[rank_own_people(values, owners) - 1]
    return ChosenThreshold(
        threshold=threshold,
        people=gallery,
        wanted_false_positive_rate=float(false_positive_rate),
        false_positives=float(np.sum(1 - no_near_one[near])),
        strangers=len(strangers),
        false_negatives=float(np.sum(1 - named_rightly)),
        mates=len(own),
    )


@dataclass(frozen=True)
class ChosenThreshold(OpenSetRates):
    """A threshold, and what it does to the probes on which it was chosen.

    The counts are expectations over the galleries of so many people, and whole numbers where that
    is everyone measured. The intervals are Wilson's for such counts: they take the probes for
    independent, and are rather wide for an expectation, as a share from 0 to 1 varies no more
    than a yes or no of the same mean.

    Attributes:
        people: that the gallery holds.
        wanted_false_positive_rate: the FPIR that was asked for.
    """

    people: int
    wanted_false_positive_rate: float

    def __str__(self) -> str:
        positive_low, positive_high = self.false_positive_rate_interval
        negative_low, negative_high = self.false_negative_rate_interval
        return (
            f"threshold {self.threshold:.4f} in a gallery of {self.people} people: false positive "
            f"rate {self.false_positive_rate:.5f} ({self.strangers} strangers; 95% interval "
            f"{positive_low:.5f} to {positive_high:.5f}; wanted at most "
            f"{self.wanted_false_positive_rate:g}), false negative rate "
            f"{self.false_negative_rate:.4f} ({self.mates} probes with a mate; 95% interval "
            f"{negative_low:.4f} to {negative_high:.4f})"
        )


def false_positive_rate_of_gallery(false_match_rate: float, people: int) -> float:
    """Predict from pairs how often a gallery names a stranger: 1 - (1 - FMR)^people.

    That holds where every comparison is independent. Those of one stranger are not: some faces
    are near to many ("wolves"), and name themselves over and over where others are never named.
    The true rate in a large gallery is then smaller than this, yet far above the false match
    rate: measure it with :func:`choose_threshold`.

    Args:
        false_match_rate: share of pairs of different people that the threshold accepts, at least
            0 and below 1.
        people: in the gallery, with one comparison each.

    Raises:
        FacenetError: for a rate out of range, or no people.

    Source: Daugman, "Biometric decision landscapes", 2000; wolves: Doddington et al., "Sheep,
    goats, lambs and wolves", 1998.

    >>> round(false_positive_rate_of_gallery(0.001, people=1000), 3)
    0.632
    """
    refuse("gallery", number_problems("false_match_rate", false_match_rate, "[0, 1)"))
    number = check_integer("people", people, at_least=1)
    return -math.expm1(number * math.log1p(-false_match_rate))


def _check_number(strangers: int, false_positive_rate: float) -> None:
    if strangers and false_positive_rate >= 3 / strangers:
        return
    supported = "support no rate"
    if strangers > 3:
        supported = f"support 3/{strangers} = {3 / strangers:.4g} and above"
    raise FacenetError(
        f"distances: expected those of at least {math.ceil(3 / false_positive_rate)} strangers for "
        f"a false positive rate of {false_positive_rate:g}, found {strangers}, which {supported}"
    )


def _chances_of_none(others: int, drawn: int) -> NDArray[np.float64]:
    """C(others - c, drawn) / C(others, drawn), float64 (others + 1,), for c from 0 to others."""
    left = others - np.arange(others)
    # One more to be missed: of those that are left, drawn or not, it is one of the not drawn.
    return np.cumprod(np.append(1.0, np.maximum(left - drawn, 0) / left))


def _first_that_names_too_many(
    strangers: NDArray[np.float64], no_near_one: NDArray[np.float64], rate: float
) -> float:
    """The distance above which more than ``rate`` of the strangers are to be expected named.

    The threshold may reach it, as what is named has to be nearer.
    """
    gains = -np.diff(no_near_one)  # of naming a stranger, as its 1st, 2nd, ... person gets near
    counts = gains > 0
    reached = np.sort(strangers, axis=1)[:, counts]
    order = np.argsort(reached, axis=None)
    named = np.cumsum(np.broadcast_to(gains[counts], reached.shape).ravel()[order])
    # The last one names everybody, whatever rounding made of the sum.
    place = np.searchsorted(named[:-1] / len(strangers), rate, side="right")
    return float(reached.ravel()[order[place]])


def _half_way_down(values: NDArray[np.float64], limit: float) -> float:
    """Half way from ``limit`` to the next smaller of the values, if there is one."""
    below = values[values < limit]
    if not below.size:
        return limit
    middle = below.max() + (limit - below.max()) / 2
    return float(middle) if middle > below.max() else limit
