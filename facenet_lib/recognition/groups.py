"""Whether a threshold treats groups of people alike: error rates of each group.

Derived in chapter 12.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from facenet_lib.checks import check_integer
from facenet_lib.recognition.measures import (
    OpenSetRates,
    check_labels,
    check_person_distances,
    measure_open_set,
)


@dataclass(frozen=True)
class GroupRates:
    """What a threshold does to the probes of one group.

    Attributes:
        group: its label.
        rates: counts, rates and intervals of its probes; a rate that nobody can show is not a
            number, and its interval from 0 to 1.
        is_small: whether it has too few strangers or mates to say much.
    """

    group: str | int
    rates: OpenSetRates
    is_small: bool


def rates_by_group(
    distances: ArrayLike,
    truth: ArrayLike,
    groups: ArrayLike,
    threshold: float,
    at_least: int = 30,
) -> list[GroupRates]:
    """Measure the error rates of each group of probes at one threshold.

    Everyone is compared with the same gallery, whose people may be of any group.

    Args:
        distances: numbers (probes, people), of each probe to each person of the gallery.
        truth: integers (probes,), the column of the probe's person; -1 for a stranger.
        groups: words or integers (probes,), the group of each probe.
        threshold: names a probe whose nearest person is at a distance strictly below it.
        at_least: strangers, and mates, without which a group is small; at least 1.

    Returns:
        One entry a group, by ascending label; small ones are marked and stay.

    Raises:
        FacenetError: for unusable arguments.

    Source: Grother, Ngan and Hanaoka, "Face Recognition Vendor Test (FRVT) Part 3: Demographic
    Effects", NISTIR 8280, 2019.

    >>> distances, truth = [[0.2, 0.9], [0.7, 0.8], [0.9, 0.3], [0.4, 0.8]], [0, -1, 1, -1]
    >>> for entry in rates_by_group(distances, truth, ["a", "a", "b", "b"], threshold=0.5):
    ...     print(entry.group, entry.rates.false_positive_rate, entry.is_small)
    a 0.0 True
    b 1.0 True
    """
    values, owners = check_person_distances(distances, truth)
    labels = check_labels("groups", groups, len(owners))
    enough = check_integer("at_least", at_least, at_least=1)
    entries = []
    for label in np.unique(labels):
        rows = labels == label
        rates = measure_open_set(values[rows], owners[rows]).rates_at(threshold)
        is_small = min(rates.strangers, rates.mates) < enough
        entries.append(GroupRates(label.item(), rates, is_small))
    return entries
