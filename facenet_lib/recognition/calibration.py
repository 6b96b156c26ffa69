"""From a distance to a probability that two photographs show one person, and whether it is true.

Derived in chapter 12.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression

from facenet_lib.checks import as_array, check_array, check_integer, number_problems
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.verification import rate_interval


@dataclass(frozen=True)
class Calibration:
    """Log odds of one person that are a straight line of the distance.

    Attributes:
        coefficient: change of the log odds for one more of squared distance, below 0.
        intercept: log odds at distance 0.
        prior: share of same pairs among those of the fit.
    """

    coefficient: float
    intercept: float
    prior: float

    def probability(self, distances: ArrayLike, prior: float | None = None) -> NDArray[np.float64]:
        """Return the probability that two photographs show one person.

        By Bayes' rule, in log odds: another prior adds the difference of the log odds of both.

        Args:
            distances: numbers of any shape, squared distances of embeddings.
            prior: share of same pairs among those that are to be expected, above 0 and below 1:
                0.001 where one in a thousand comparisons is of one person. None: that of the fit,
                which is seldom what is wanted.

        Returns:
            float64, of the same shape.

        Raises:
            FacenetError: for distances that are not finite numbers, or a prior out of range.

        >>> calibration = Calibration(coefficient=-10.0, intercept=12.0, prior=0.5)
        >>> calibration.probability([0.8, 1.2, 1.6]).round(3)
        array([0.982, 0.5  , 0.018])
        >>> calibration.probability([0.8, 1.2, 1.6], prior=0.001).round(3)
        array([0.052, 0.001, 0.   ])
        """
        expected = self.prior if prior is None else prior
        refuse("calibration", number_problems("prior", expected, "(0, 1)"))
        values = _finite("distances", distances)
        shift = _log_odds(expected) - _log_odds(self.prior)
        log_odds = self.coefficient * values + self.intercept + shift
        probabilities: NDArray[np.float64] = np.exp(-np.logaddexp(0, -log_odds))
        return probabilities


def fit_calibration(distances: ArrayLike, is_same: ArrayLike) -> Calibration:
    """Fit a logistic regression to pairs, by maximum likelihood.

    Args:
        distances: numbers (n,), squared distances of pairs that took no part in training.
        is_same: bool, or integers 0 and 1, (n,): whether a pair shows one person.

    Raises:
        FacenetError: for unusable arguments, if same or different pairs are missing, if a
            threshold tells them apart without a mistake, as then every slope could be steeper,
            or if same pairs are not the nearer ones on the average.

    Source: Platt, "Probabilistic outputs for support vector machines", 1999.

    >>> distances = [0.5, 0.7, 0.9, 1.3, 0.8, 1.2, 1.4, 1.6]
    >>> calibration = fit_calibration(distances, [True] * 4 + [False] * 4)
    >>> calibration.probability([0.5, 1.6]).round(2)
    array([0.9, 0.1])
    """
    values, same = _pairs("distances", distances, is_same)
    if same.all() or not same.any():
        kind = "same" if same[0] else "different"
        raise FacenetError(f"is_same: expected same and different pairs, found only {kind} pairs")
    of_same, of_different = values[same], values[~same]
    if of_same.max() <= of_different.min():
        raise FacenetError(
            f"distances: expected same and different pairs that overlap, found same ones up to "
            f"{of_same.max():g} and different ones from {of_different.min():g}: take more pairs"
        )
    if of_same.mean() >= of_different.mean():  # the slope has the sign of this difference
        raise FacenetError(
            f"distances: expected same pairs nearer than different ones, found means of "
            f"{of_same.mean():g} and {of_different.mean():g}"
        )
    # Without a penalty: as the pairs overlap, there is one most likely line.
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-8, max_iter=1000)
    fitted = model.fit(values[:, None], same)
    coefficient, intercept = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    return Calibration(coefficient, intercept, float(same.mean()))


def reliability_curve(probabilities: ArrayLike, is_same: ArrayLike, bins: int = 10) -> Reliability:
    """Compare probabilities with what happened, in bins of one width.

    A probability on a bin's edge is in the lower bin, as in scikit-learn's ``calibration_curve``,
    which does not tell how many there are. For one figure of how good probabilities are there is
    scikit-learn's ``brier_score_loss``.

    Args:
        probabilities: numbers from 0 to 1, (n,), that a pair shows one person.
        is_same: bool, or integers 0 and 1, (n,): whether it does.
        bins: how many from 0 to 1, at least 1. Empty ones are left out of the result.

    Raises:
        FacenetError: for unusable arguments.

    Source: Niculescu-Mizil and Caruana, "Predicting good probabilities with supervised
    learning", 2005.

    >>> curve = reliability_curve([0.1, 0.2, 0.2, 0.9], [False, True, False, True], bins=4)
    >>> curve.counts, curve.empty_bins, curve.shares.round(2)
    (array([3, 1]), 2, array([0.33, 1.  ]))
    >>> round(curve.expected_calibration_error, 3)
    0.15
    """
    values, same = _pairs("probabilities", probabilities, is_same)
    for pair in np.flatnonzero((values < 0) | (values > 1))[:1]:
        found = f"{values[pair]:g} for pair {pair}"
        raise FacenetError(f"probabilities: expected numbers from 0 to 1, found {found}")
    edges = np.linspace(0, 1, check_integer("bins", bins, at_least=1) + 1)
    bin_of = np.searchsorted(edges[1:-1], values)
    counts = np.bincount(bin_of, minlength=bins)
    sums = np.bincount(bin_of, weights=values, minlength=bins)
    is_filled = counts > 0
    return Reliability(
        mean_probabilities=sums[is_filled] / counts[is_filled],
        same_counts=np.bincount(bin_of[same], minlength=bins)[is_filled],
        counts=counts[is_filled],
        empty_bins=int(np.sum(~is_filled)),
    )


@dataclass(frozen=True, eq=False)
class Reliability:
    """How often pairs of a probability show one person, in the b bins that are not empty.

    Attributes:
        mean_probabilities: float64 (b,), the mean of the probabilities in a bin, increasing.
        same_counts: int64 (b,), pairs of one person.
        counts: int64 (b,), all pairs.
        empty_bins: how many bins were left out.
    """

    mean_probabilities: NDArray[np.float64]
    same_counts: NDArray[np.int64]
    counts: NDArray[np.int64]
    empty_bins: int

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of a bin's pairs that show one person, float64 (b,)."""
        return self.same_counts / self.counts

    @property
    def intervals(self) -> NDArray[np.float64]:
        """95% intervals of the shares, float64 (b, 2)."""
        counts = zip(self.same_counts.tolist(), self.counts.tolist(), strict=True)
        return np.array([rate_interval(same, pairs) for same, pairs in counts])

    @property
    def expected_calibration_error(self) -> float:
        """ECE, the mean distance of share and probability, a bin weighing as many as it holds.

        Source: Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using
        Bayesian binning", 2015.
        """
        errors = np.abs(self.shares - self.mean_probabilities)
        return float(np.average(errors, weights=self.counts))


def _log_odds(probability: float) -> float:
    return float(np.log(probability) - np.log1p(-probability))


def _pairs(
    name: str, values: ArrayLike, is_same: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """One number and one answer a pair."""
    numbers = _finite(name, check_array(name, values, "numbers", ("n",)))
    answers = as_array("is_same", is_same)
    if not len(numbers) or answers.shape != numbers.shape:
        raise FacenetError(
            f"is_same: expected an answer for each of one or more pairs, found {len(numbers)} "
            f"pairs and answers of shape {answers.shape}"
        )
    wrong = answers[~np.isin(answers, (0, 1))] if answers.dtype.kind in "biu" else answers
    if len(wrong):
        raise FacenetError(f"is_same: expected True and False, or 1 and 0, found {wrong[0]!r}")
    return numbers, answers.astype(bool)


def _finite(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = as_array(name, values)
    if array.dtype.kind not in "iuf":
        raise FacenetError(f"{name}: expected numbers, found {array.dtype}")
    if not np.isfinite(array).all():
        raise FacenetError(
            f"{name}: expected finite numbers, found {array[~np.isfinite(array)][0]}"
        )
    return array.astype(np.float64)
