"""How well people are found in a gallery: closed set, open set, and how sure the figures are.

A probe is a photograph that is compared with everyone in the gallery. Its mate is its own person,
if the gallery holds that person; a probe without a mate is a stranger. A threshold names a probe
when its nearest person is at a distance strictly below it. The rates are those of identification,
as ISO/IEC 19795-1 has them; where this book says false positive and false negative rate, the
standard says FPIR and FNIR.

Derived in chapter 12.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facenet_lib.checks import as_array, check_array, check_integer, number_problems
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.verification import rate_interval

Measure = Callable[[NDArray[np.float64], NDArray[np.int64]], float]
"""From distances (probes, people) and truth (probes,) to a figure."""


def cumulative_match_rates(distances: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """Measure how often a probe's own person is among its k nearest people, for every k.

    The cumulative match characteristic (CMC) of closed-set identification. Probes without a mate
    take no part. Ties count against us, see :func:`rank_own_people`.

    Args:
        distances: numbers (probes, people), of each probe to each person of the gallery.
        truth: integers (probes,), the column of the probe's person; -1 for a stranger.

    Returns:
        float64 (people,), element k - 1 for the k nearest; the first is the rank-1 rate.

    Raises:
        FacenetError: for other shapes, distances that are not finite, a truth that is no column,
            or no probe with a mate.

    Source: Phillips, Grother and Micheals, "Evaluation methods in face recognition", in
    Handbook of Face Recognition, 2011.

    >>> distances = [[0.1, 0.9, 1.0], [0.5, 0.6, 1.0]]
    >>> cumulative_match_rates(distances, truth=[0, 1])
    array([0.5, 1. , 1. ])
    """
    values, owners = check_person_distances(distances, truth)
    ranks = rank_own_people(values, owners)
    if not len(ranks):
        raise FacenetError("truth: expected a probe with a mate, found strangers only")
    counts = np.bincount(ranks, minlength=values.shape[1] + 1)[1:]
    rates: NDArray[np.float64] = np.cumsum(counts) / len(ranks)
    return rates


def rank_own_people(distances: ArrayLike, truth: ArrayLike) -> NDArray[np.int64]:
    """Say how many people are as near to each probe with a mate as its own person, or nearer.

    Ties count against us: of a person who is as near as the own one we assume the worse.

    Args:
        distances: see :func:`cumulative_match_rates`.
        truth: likewise.

    Returns:
        int64 (mates,), from 1, for the probes with a mate in their order.

    Raises:
        FacenetError: as :func:`cumulative_match_rates`.

    >>> rank_own_people([[0.1, 0.9], [0.2, 0.8], [0.5, 0.5]], truth=[0, -1, 1])
    array([1, 2])
    """
    values, owners = check_person_distances(distances, truth)
    own = _own_distances(values, owners)
    ranks: NDArray[np.int64] = np.sum(values[owners >= 0] <= own[:, None], axis=1)
    return ranks


def measure_open_set(distances: ArrayLike, truth: ArrayLike) -> OpenSetCurve:
    """Count false positives and false negatives at every threshold where one of them changes.

    A false positive is a stranger who is named at all. A false negative is a probe with a mate
    that is not named rightly: it is nearer to somebody else (or as near), or not below the
    threshold. What remains of the mates is the detection and identification rate.

    Args:
        distances: numbers (probes, people), of each probe to each person of the gallery.
        truth: integers (probes,), the column of the probe's person; -1 for a stranger.

    Raises:
        FacenetError: for other shapes, distances that are not finite, or a truth that is no
            column.

    Source: ISO/IEC 19795-1; Grother, Ngan and Hanaoka, "Face Recognition Vendor Test (FRVT)
    Part 2: Identification", NISTIR 8271.

    >>> curve = measure_open_set([[0.1, 0.9], [0.7, 0.4], [0.8, 0.6]], truth=[0, 0, -1])
    >>> curve.thresholds.round(2), curve.false_positive_rates, curve.false_negative_rates
    (array([0.1, 0.6, 0.9]), array([0., 0., 1.]), array([1. , 0.5, 0.5]))
    """
    values, owners = check_person_distances(distances, truth)
    wrongly_from = np.sort(values[owners < 0].min(axis=1))
    is_nearest = rank_own_people(values, owners) == 1
    rightly_from = np.sort(_own_distances(values, owners)[is_nearest])
    # A distance accepts what is below it; one number above all of them accepts everything.
    above = np.nextafter(values.max(), np.inf)
    thresholds = np.append(np.unique(np.concatenate([wrongly_from, rightly_from])), above)
    mates = len(is_nearest)
    return OpenSetCurve(
        thresholds=thresholds,
        false_positives=np.searchsorted(wrongly_from, thresholds),
        strangers=len(wrongly_from),
        false_negatives=mates - np.searchsorted(rightly_from, thresholds),
        mates=mates,
    )


@dataclass(frozen=True, eq=False)
class OpenSetCurve:
    """What every threshold does to strangers and to probes with a mate.

    Between two thresholds nothing changes: a threshold between them does what the next larger
    one of the curve does.

    Attributes:
        thresholds: float64 (n,), increasing.
        false_positives: int64 (n,), strangers who are named.
        strangers: how many there are.
        false_negatives: int64 (n,), probes with a mate that are not named rightly.
        mates: how many probes have a mate.
    """

    thresholds: NDArray[np.float64]
    false_positives: NDArray[np.int64]
    strangers: int
    false_negatives: NDArray[np.int64]
    mates: int

    @property
    def false_positive_rates(self) -> NDArray[np.float64]:
        """FPIR, float64 (n,), never falling; not numbers if there are no strangers."""
        return _shares(self.false_positives, self.strangers)

    @property
    def false_negative_rates(self) -> NDArray[np.float64]:
        """FNIR, float64 (n,), never rising; not numbers if no probe has a mate."""
        return _shares(self.false_negatives, self.mates)

    def false_negative_rate_at(self, false_positive_rate: float) -> float:
        """Return the smallest FNIR among the thresholds whose FPIR is at most the given one.

        Raises:
            FacenetError: for a rate not above 0 or above 1, one that is less than one of the
                strangers, or if no probe has a mate.
        """
        name = "false_positive_rate"
        refuse("open set", number_problems(name, false_positive_rate, "(0, 1]"))
        if not self.mates:
            raise FacenetError("truth: expected a probe with a mate, found strangers only")
        if not self.strangers or false_positive_rate < 1 / self.strangers:
            raise FacenetError(
                f"{name}: expected at least one of the {self.strangers} strangers, "
                f"found {false_positive_rate:g}, which no count of them can show"
            )
        reached = np.searchsorted(self.false_positive_rates, false_positive_rate, side="right")
        return float(self.false_negative_rates[reached - 1])

    def rates_at(self, threshold: float) -> OpenSetRates:
        """Return the counts and rates at any threshold.

        Raises:
            FacenetError: for a threshold that is not a finite number.
        """
        refuse("open set", number_problems("threshold", threshold, "(-inf, inf)"))
        place = min(int(np.searchsorted(self.thresholds, threshold)), len(self.thresholds) - 1)
        return OpenSetRates(
            threshold=float(threshold),
            false_positives=int(self.false_positives[place]),
            strangers=self.strangers,
            false_negatives=int(self.false_negatives[place]),
            mates=self.mates,
        )


@dataclass(frozen=True)
class OpenSetRates:
    """What one threshold does to strangers and to probes with a mate.

    The intervals take the probes for independent, which several photographs of one person are
    not; :func:`bootstrap_interval` does not take them so.

    Attributes:
        threshold: names a probe whose nearest person is at a distance strictly below it.
        false_positives: strangers who are named, or are to be expected named.
        strangers: how many there are.
        false_negatives: probes with a mate that are not named rightly, likewise.
        mates: how many probes have a mate.
    """

    threshold: float
    false_positives: float
    strangers: int
    false_negatives: float
    mates: int

    @property
    def false_positive_rate(self) -> float:
        """FPIR; not a number if there are no strangers."""
        return self.false_positives / self.strangers if self.strangers else np.nan

    @property
    def false_negative_rate(self) -> float:
        """FNIR; not a number if no probe has a mate."""
        return self.false_negatives / self.mates if self.mates else np.nan

    @property
    def false_positive_rate_interval(self) -> tuple[float, float]:
        """95% interval of FPIR; from 0 to 1 if there are no strangers."""
        return interval_of_rate(self.false_positives, self.strangers)

    @property
    def false_negative_rate_interval(self) -> tuple[float, float]:
        """95% interval of FNIR; from 0 to 1 if no probe has a mate."""
        return interval_of_rate(self.false_negatives, self.mates)


def bootstrap_interval(
    distances: ArrayLike,
    truth: ArrayLike,
    measure: Measure,
    probe_people: ArrayLike,
    repeats: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Find the 95% interval of a measure where probes of one person are not independent.

    People are drawn with replacement, each with all of its probes: strangers among strangers and
    people with a mate among theirs, as many as there are. The interval lies between the 2.5th and
    97.5th percentiles of what is measured on such draws. The gallery stays as it is: the interval
    speaks of other probes, not of other galleries. With fewer than some 30 people it comes out
    too narrow.

    Args:
        distances: numbers (probes, people), of each probe to each person of the gallery.
        truth: integers (probes,), the column of the probe's person; -1 for a stranger.
        measure: from such distances and truth to a figure, for example
            ``lambda d, t: measure_open_set(d, t).false_negative_rate_at(0.01)``. It is given
            float64 and int64.
        probe_people: words or integers (probes,), whose each probe is, strangers' as well.
        repeats: how many draws, at least 40, as the percentiles lie 1 in 40 from the ends.
        seed: at least 0.

    Returns:
        Low and high end.

    Raises:
        FacenetError: for unusable arguments, a person with two truths, a single person among the
            strangers or among those with a mate, or a figure that is not finite; and what
            ``measure`` raises.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 and 13.

    >>> distances, truth = [[0.1, 0.9], [0.2, 0.8], [0.9, 0.3], [0.1, 0.7]], [0, 0, 1, 1]
    >>> rank_1 = lambda distances, truth: cumulative_match_rates(distances, truth)[0]
    >>> bootstrap_interval(distances, truth, rank_1, ["Ann", "Ann", "Bob", "Bob"])
    (0.5, 1.0)
    """
    values, owners = check_person_distances(distances, truth)
    strata = _rows_of_people(check_labels("probe_people", probe_people, len(owners)), owners)
    draws = check_integer("repeats", repeats, at_least=40)
    generator = np.random.default_rng(check_integer("seed", seed, at_least=0))
    figures = []
    for _ in range(draws):
        drawn = [rows[i] for rows in strata for i in generator.integers(len(rows), size=len(rows))]
        chosen = np.concatenate(drawn)
        figures.append(measure(values[chosen], owners[chosen]))
    if not np.isfinite(figures).all():
        raise FacenetError("measure: expected a finite figure for every draw, found others")
    low, high = np.percentile(figures, [2.5, 97.5])
    return float(low), float(high)


def interval_of_rate(count: float, trials: int) -> tuple[float, float]:
    """Return the 95% interval of a rate; from 0 to 1 where nothing was tried.

    Args:
        count: how often it was seen, or is to be expected.
        trials: how often it could have been seen.

    Raises:
        FacenetError: for more seen than tried.

    >>> interval_of_rate(0, 0)
    (0.0, 1.0)
    """
    return rate_interval(count, trials) if trials else (0.0, 1.0)


def check_person_distances(
    distances: ArrayLike, truth: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return distances of probes to people, and whose the probes are, as arrays that fit.

    Distances become float64, which holds float32 exactly: a threshold is not rounded then.

    Args:
        distances: finite numbers (probes, people), at least one of either.
        truth: integers (probes,), the column of the probe's person; -1 for a stranger.

    Raises:
        FacenetError: for anything else.

    >>> check_person_distances([[0.1, 0.9]], [2])
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: truth: expected -1 or a column below 2, found 2 for probe 0
    """
    values = check_array("distances", distances, "numbers", ("probes", "people"))
    if not values.size:
        raise FacenetError(f"distances: expected probes and people, found shape {values.shape}")
    values = values.astype(np.float64, copy=False)
    for probe, person in np.argwhere(~np.isfinite(values))[:1]:
        found = f"{values[probe, person]} for probe {probe} and person {person}"
        raise FacenetError(f"distances: expected finite numbers, found {found}")
    owners = check_array("truth", truth, "integers", (len(values),))
    for probe in np.flatnonzero((owners < -1) | (owners >= values.shape[1]))[:1]:
        found = f"{owners[probe]} for probe {probe}"
        raise FacenetError(f"truth: expected -1 or a column below {values.shape[1]}, found {found}")
    return values, owners.astype(np.int64)


def check_labels(name: str, labels: ArrayLike, probes: int) -> NDArray[np.generic]:
    """Return one label a probe as an array of words, integers or truth values.

    Args:
        name: what an error calls them.
        labels: words, integers or truth values, such as a table's column.
        probes: how many there should be.

    Raises:
        FacenetError: for other labels, or another number of them.

    >>> check_labels("groups", ["young", None], 2)
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: groups: expected words or integers of shape (2,), ...
    """
    # NumPy would make words of numbers beside words, and of what is missing in a table's column.
    values = labels if isinstance(labels, list | tuple) else as_array(name, labels).tolist()
    array = as_array(name, values)
    kinds = {type(value) for value in values} if array.ndim == 1 else set()
    if array.shape != (probes,) or array.dtype.kind not in "Uiub" or len(kinds) > 1:
        raise FacenetError(
            f"{name}: expected words or integers of shape ({probes},), "
            f"found {' and '.join(sorted(kind.__name__ for kind in kinds)) or array.dtype} "
            f"of shape {array.shape}"
        )
    return array


def _own_distances(values: NDArray[np.float64], owners: NDArray[np.int64]) -> NDArray[np.float64]:
    mates = np.flatnonzero(owners >= 0)
    return values[mates, owners[mates]]


def _shares(counts: NDArray[np.int64], of: int) -> NDArray[np.float64]:
    return counts / of if of else np.full(len(counts), np.nan)


def _rows_of_people(
    labels: NDArray[np.generic], owners: NDArray[np.int64]
) -> list[list[NDArray[np.intp]]]:
    """The rows of each person with a mate, and the rows of each stranger, where there are any."""
    with_mate: list[NDArray[np.intp]] = []
    strangers: list[NDArray[np.intp]] = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        truths = np.unique(owners[rows])
        if len(truths) > 1:
            found = f"{truths[0]} and {truths[1]} for {label.item()!r}"
            raise FacenetError(f"probe_people: expected one truth a person, found {found}")
        (strangers if truths[0] < 0 else with_mate).append(rows)
    for kind, people in (("people with a mate", with_mate), ("strangers", strangers)):
        if len(people) == 1:
            raise FacenetError(f"probe_people: expected several {kind}, found one")
    return [people for people in (with_mate, strangers) if people]
