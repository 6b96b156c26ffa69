"""Face verification: do two images show one person, and how often is the answer right?

Two embeddings are accepted as one person when their distance is strictly less than a threshold.
LFW's protocol measures this on pairs in ten folds: the threshold is chosen on nine of them and
judged on the tenth. This module computes what the TF 1 reference (``lfw.evaluate`` with
``facenet.calculate_roc`` and ``facenet.calculate_val``) computes, to the last digit when it is
given the same grid of thresholds, but counts accepted pairs in sorted distances instead of
comparing every distance with every threshold.

Derived in chapter 1, "LFW pairs".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facenet_lib.checks import as_array, check_array, number_problems, word_problems
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.lfw_pairs import read_pairs, resolve_pairs

_BLOCK = 256  # pairs whose embeddings stay in the processor's cache between two operations
_Floats = NDArray[np.floating]
_Answers = NDArray[np.bool_]
_NORMAL_QUANTILE = 1.959963984540054  # 95% of a normal distribution lies this near its mean


def distances(
    embeddings1: ArrayLike, embeddings2: ArrayLike, metric: str = "sqeuclidean"
) -> NDArray[np.floating]:
    """Measure the distance of each row of one array to the same row of the other.

    Args:
        embeddings1: float (n, features).
        embeddings2: float (n, features).
        metric: "sqeuclidean" for the squared Euclidean distance, "angular" for the angle as a share
            of a half turn, arccos(similarity) / pi.

    Returns:
        float (n,), float32 for float32 embeddings.

    Raises:
        FacenetError: for another metric, other shapes, numbers that are not finite, or a vector
            of zeros, which has no angle.

    >>> distances([[1, 0], [1, 0]], [[0, 1], [-1, 0]])
    array([2., 4.])
    >>> distances([[1, 0], [1, 0]], [[0, 1], [-1, 0]], metric="angular")
    array([0.5, 1. ])
    """
    first, second = _as_floats("embeddings1", embeddings1), _as_floats("embeddings2", embeddings2)
    if first.shape != second.shape:
        raise FacenetError(
            f"embeddings2: expected the shape of embeddings1, {first.shape}, found {second.shape}"
        )
    refuse("distances", word_problems("metric", metric, list(_METRICS)))
    measured = _distances(first, second, metric)
    if not np.isfinite(measured).all():
        problems = _row_problems("embeddings1", first, metric)
        problems += _row_problems("embeddings2", second, metric)
        _refuse_distances(measured, problems)
    return measured


def evaluate(
    embeddings: ArrayLike,
    issame: ArrayLike,
    folds: int | ArrayLike = 10,
    metric: str = "sqeuclidean",
    subtract_mean: bool = False,
    thresholds: ArrayLike | None = None,
    far_target: float = 1e-3,
) -> VerificationResult:
    """Measure how well distances of embeddings tell same from different pairs.

    The reference's ``lfw.evaluate`` used one grid for the accuracy, ``np.arange(0, 4, 0.01)``,
    and a finer one for VAL, ``np.arange(0, 4, 0.001)``: evaluate with each to have its numbers.
    Without a grid every threshold at which a decision changes is considered, so that the result
    depends on nothing but the order of the distances.

    Args:
        embeddings: float (2n, features); rows 2i and 2i + 1 are the two images of pair i.
            float32 stays float32, as in the reference.
        issame: bool, or integers 0 and 1, (n,): whether both images of a pair show one person.
        folds: number of contiguous blocks of pairs, like scikit-learn's KFold without shuffling;
            or the fold of every pair, integers (n,) that count from 0, for example
            :meth:`facenet_lib.lfw_pairs.PairList.fold_ids`.
        metric: "sqeuclidean" or "angular", see :func:`distances`.
        subtract_mean: whether the mean of all embeddings of the other folds is subtracted first.
        thresholds: an increasing grid (k,); None finds the exact optimum.
        far_target: false accept rate, at least 0 and below 1, at which VAL is measured. On a
            grid, the threshold that has it on the other folds is interpolated linearly (after
            the last of several thresholds with one rate), and is 0 if no threshold reaches it;
            exactly, it is the largest whose rate on the other folds does not exceed it.

    Raises:
        FacenetError: for embeddings with numbers that are not finite, for other shapes or
            values than the above, and for folds in which a rate is undefined because a class is
            missing.

    >>> embeddings = [[0], [0.1], [0], [2], [1], [1.2], [1], [3]]
    >>> result = evaluate(embeddings, [True, False, True, False], folds=2)
    >>> result.accuracy, round(result.threshold, 2)
    (1.0, 2.02)
    """
    values = _as_floats("embeddings", embeddings)
    same = _check_issame(issame, len(values))
    fold_ids = _check_folds(folds, same)
    refuse("distances", word_problems("metric", metric, list(_METRICS)))
    grid = None if thresholds is None else _check_thresholds(thresholds)
    refuse("evaluation", number_problems("far_target", far_target, "[0, 1)"))
    measured = _pair_distances(values, metric, np.mean(values, axis=0) if subtract_mean else None)
    order = np.argsort(measured)
    overall = _SortedPairs.of(measured, same, order)
    held_out = np.empty(len(same))
    tests: list[_SortedPairs] = []
    scores = []
    for fold in range(fold_ids.max() + 1):
        test = fold_ids == fold
        if subtract_mean:
            mean = np.mean(np.concatenate([values[0::2][~test], values[1::2][~test]]), axis=0)
            measured = _pair_distances(values, metric, mean)
            order = np.argsort(measured)
        held_out[test] = measured[test]
        training = _SortedPairs.of(measured, same, order[~test[order]])
        tests.append(_SortedPairs.of(measured, same, order[test[order]]))
        scores.append(_score_fold(training, tests[-1], grid, far_target))

    if grid is None:
        pooled = _SortedPairs.of(held_out, same, np.argsort(held_out))
        roc_thresholds = pooled.candidates()
        rates = pooled.rates(roc_thresholds)
    else:
        roc_thresholds = grid
        rates = np.mean([test_pairs.rates(grid) for test_pairs in tests], axis=0)
    return _result(
        scores, far_target, same, _final_threshold(overall, grid), roc_thresholds, *rates
    )


@dataclass(frozen=True, eq=False)
class VerificationResult:
    """How well a distance and a threshold tell same from different pairs.

    A fold's threshold is always chosen on the other folds. Means and standard deviations are
    taken over folds; the standard deviation divides by the number of folds, as the reference's.

    Attributes:
        accuracy: mean share of right answers, each fold at the threshold that is best on the
            other folds (the smallest of equally good ones).
        accuracy_std: standard deviation of the folds' accuracies, the reference's "+-".
        standard_error: of the mean accuracy, ``accuracy_std / sqrt(folds)``.
        fold_accuracies: float64 (folds,).
        validation_rate: VAL, the mean share of same pairs accepted at the threshold that has
            the targeted false accept rate on the other folds.
        validation_rate_std: standard deviation of VAL over folds.
        false_accept_rate: FAR, the mean share of different pairs accepted at those thresholds.
        far_target: the false accept rate that was aimed at.
        true_accepts: same pairs accepted at those thresholds, counted over all folds.
        false_accepts: different pairs accepted at those thresholds, counted over all folds.
        same_pairs: same pairs in all folds.
        different_pairs: different pairs in all folds.
        area_under_curve: AUC, the area under the ROC below.
        equal_error_rate: EER, the false positive rate where the ROC, drawn with straight lines,
            has as many false positives as false negatives.
        threshold: one to use afterwards, best for the accuracy over all pairs at once: of a
            grid, the smallest such element; else half way between the largest distance that is
            accepted and the smallest that is not, so that rounding flips no pair. With
            ``subtract_mean``, for distances after subtraction of the mean of all embeddings.
        true_positive_rates: float64 (thresholds,), the ROC's ordinate. With a grid the mean over
            folds, as the reference's; else over all pairs at once.
        false_positive_rates: float64 (thresholds,), the ROC's abscissa, likewise.
        thresholds: float64 (thresholds,), increasing: the grid, or every distinct distance and
            one above them.
    """

    accuracy: float
    accuracy_std: float
    standard_error: float
    fold_accuracies: NDArray[np.float64]
    validation_rate: float
    validation_rate_std: float
    false_accept_rate: float
    far_target: float
    true_accepts: int
    false_accepts: int
    same_pairs: int
    different_pairs: int
    area_under_curve: float
    equal_error_rate: float
    threshold: float
    true_positive_rates: NDArray[np.float64]
    false_positive_rates: NDArray[np.float64]
    thresholds: NDArray[np.float64]

    @property
    def validation_rate_interval(self) -> tuple[float, float]:
        """95% interval of VAL, from the number of same pairs accepted."""
        return rate_interval(self.true_accepts, self.same_pairs)

    @property
    def false_accept_rate_interval(self) -> tuple[float, float]:
        """95% interval of FAR; on LFW a FAR of 0.001 rests on 3 of 3000 different pairs."""
        return rate_interval(self.false_accepts, self.different_pairs)

    def threshold_at(self, false_accept_rate: float) -> float:
        """Return a threshold that accepts at most this share of the different pairs.

        The largest of the ROC's thresholds that does, and from there half way to the next
        smaller one, so that rounding flips no pair.

        Raises:
            FacenetError: for a rate that is not from 0 to 1, or which the smallest threshold
                of a grid exceeds.
        """
        rates = self.false_positive_rates
        if not rates[0] <= false_accept_rate <= 1:
            raise FacenetError(
                f"false accept rate: expected from {rates[0]:g} to 1, found {false_accept_rate}"
            )
        return _between(self.thresholds, int(np.flatnonzero(rates <= false_accept_rate)[-1]))

    def to_dict(self) -> dict[str, Any]:
        """Everything but the ROC's arrays, in plain numbers and lists that JSON can hold."""
        arrays = ("true_positive_rates", "false_positive_rates", "thresholds")
        plain = {name: value for name, value in vars(self).items() if name not in arrays}
        plain["fold_accuracies"] = self.fold_accuracies.tolist()
        plain["validation_rate_interval"] = list(self.validation_rate_interval)
        plain["false_accept_rate_interval"] = list(self.false_accept_rate_interval)
        return plain

    def __str__(self) -> str:
        low, high = self.false_accept_rate_interval
        return (
            f"accuracy {self.accuracy:.4f} +- {self.standard_error:.4f} (standard error over "
            f"{len(self.fold_accuracies)} folds), validation rate {self.validation_rate:.4f} "
            f"+- {self.validation_rate_std:.4f} at false accept rate {self.false_accept_rate:.5f} "
            f"({self.false_accepts} of {self.different_pairs} different pairs; 95% interval "
            f"{low:.5f} to {high:.5f}; target {self.far_target:g}), area under curve "
            f"{self.area_under_curve:.4f}, equal error rate {self.equal_error_rate:.4f}, "
            f"threshold {self.threshold:.4f}"
        )


def rate_interval(successes: float, trials: int) -> tuple[float, float]:
    """95% confidence interval of a rate of which ``successes`` of ``trials`` were seen.

    Wilson's score interval (Wilson, 1927), which stays sensible for few or no successes: 0 of
    3000 gives (0, 0.0013). It takes the trials for independent, which pairs that share a person
    are not quite.

    Raises:
        FacenetError: if there are no trials, or more successes than trials.

    >>> low, high = rate_interval(3, 3000)
    >>> print(f"{low:.5f} to {high:.5f}")
    0.00034 to 0.00294
    """
    if not 0 <= successes <= trials or trials == 0:
        raise FacenetError(f"rate: expected 0 to {trials} successes, found {successes}")
    squared = _NORMAL_QUANTILE**2
    centre = (successes + squared / 2) / (trials + squared)
    spread = successes * (trials - successes) / trials + squared / 4
    half = _NORMAL_QUANTILE * math.sqrt(spread) / (trials + squared)
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == trials else centre + half
    return low, high


@dataclass(frozen=True)
class EvaluationPairs:
    """Image pairs to verify, as ``lfw_pairs.resolve_pairs`` gives them.

    Attributes:
        paths: images; 2i and 2i + 1 are pair i.
        issame: bool ``(pairs,)``, whether a pair shows one person.
        folds: int ``(pairs,)``, the fold of each pair.
    """

    paths: Sequence[str]
    issame: np.ndarray
    folds: np.ndarray

    @classmethod
    def from_file(cls, pairs_file: str | Path, root: str | Path) -> EvaluationPairs:
        """Read a pairs file and find its images below ``root``.

        Raises:
            FacenetError: for a file that is not in one of LFW's formats, images not there, or too
                few pairs for two folds.
        """
        pairs = read_pairs(pairs_file)
        paths, issame = resolve_pairs(root, pairs)
        try:
            folds = pairs.fold_ids()
        except FacenetError as error:
            raise FacenetError(f"{pairs_file}: {error}") from error
        return cls(paths, issame, folds)


def evaluate_pairs(
    embed: Callable[[Sequence[str]], np.ndarray],
    pairs: EvaluationPairs,
    metric: str = "sqeuclidean",
    subtract_mean: bool = False,
) -> VerificationResult:
    """Verify pairs with ``embed``, a function from paths to embeddings.

    Args:
        embed: called once, with all paths; ``functools.partial(model.embed, flip=True)``
            measures with mirror images as well.
        pairs: the pairs.
        metric: ``"sqeuclidean"`` or ``"angular"``, see :func:`distances`.
        subtract_mean: whether the embeddings' mean is subtracted first.

    Returns:
        What :func:`evaluate` says, otherwise with its defaults.

    >>> same, folds = np.array([True, False, True, False]), np.array([0, 0, 1, 1])
    >>> pairs = EvaluationPairs(["0", "0.1", "0", "2", "1", "1.2", "1", "3"], same, folds)
    >>> embed = lambda paths: [[float(path)] for path in paths]
    >>> evaluate_pairs(embed, pairs).accuracy
    1.0
    """
    return evaluate(embed(pairs.paths), pairs.issame, pairs.folds, metric, subtract_mean)


@dataclass(frozen=True)
class _SortedPairs:
    """Pairs in the order of their distances.

    Attributes:
        distances: (n,), increasing.
        same_below: (n + 1,), how many of the first 0, 1, ..., n pairs are same pairs.
    """

    distances: NDArray[np.float64]
    same_below: NDArray[np.int64]

    @classmethod
    def of(
        cls, distances: NDArray[np.float64], issame: NDArray[np.bool_], order: NDArray[np.int64]
    ) -> _SortedPairs:
        """The pairs ``order``, which are listed by increasing distance."""
        same_below = np.zeros(len(order) + 1, np.int64)
        np.cumsum(issame[order], out=same_below[1:])
        return cls(distances[order], same_below)

    def accepted(self, thresholds: ArrayLike) -> tuple[Any, Any]:
        """Numbers of same and of different pairs strictly below each threshold."""
        accepts = np.searchsorted(self.distances, thresholds)
        true_accepts = self.same_below[accepts]
        return true_accepts, accepts - true_accepts

    def rates(self, thresholds: ArrayLike) -> tuple[Any, Any]:
        """Shares of the same and of the different pairs that are accepted."""
        true_accepts, false_accepts = self.accepted(thresholds)
        same = self.same_below[-1]
        return true_accepts / same, false_accepts / (len(self.distances) - same)

    def accuracy(self, thresholds: ArrayLike) -> Any:
        """Share of pairs that are answered rightly."""
        true_accepts, false_accepts = self.accepted(thresholds)
        different = len(self.distances) - self.same_below[-1]
        return (true_accepts + (different - false_accepts)) / len(self.distances)

    def candidates(self) -> NDArray[np.float64]:
        """One threshold for each way to cut the sorted distances, increasing.

        A distance accepts what is below it; one number above all of them accepts everything.
        """
        is_first = np.append(True, self.distances[1:] > self.distances[:-1])
        above = np.nextafter(self.distances[-1], np.inf)
        return np.append(self.distances[is_first], above)

    def best(self, grid: _Floats | None) -> tuple[_Floats, int]:
        """The grid, or else all candidates, and the first of them with the most right answers."""
        thresholds = self.candidates() if grid is None else grid
        return thresholds, int(np.argmax(self.accuracy(thresholds)))


def _result(
    scores: Sequence[tuple[float, ...]],
    far_target: float,
    same: _Answers,
    threshold: float,
    roc_thresholds: NDArray[np.float64],
    true_positive_rates: NDArray[np.float64],
    false_positive_rates: NDArray[np.float64],
) -> VerificationResult:
    area, equal_error_rate = _area_and_equal_error_rate(true_positive_rates, false_positive_rates)
    accuracies, true_accepts, false_accepts, validation_rates, false_accept_rates = map(
        np.array, zip(*scores, strict=True)
    )
    return VerificationResult(
        accuracy=float(np.mean(accuracies)),
        accuracy_std=float(np.std(accuracies)),
        standard_error=float(np.std(accuracies) / math.sqrt(len(scores))),
        fold_accuracies=accuracies,
        validation_rate=float(np.mean(validation_rates)),
        validation_rate_std=float(np.std(validation_rates)),
        false_accept_rate=float(np.mean(false_accept_rates)),
        far_target=float(far_target),
        true_accepts=int(true_accepts.sum()),
        false_accepts=int(false_accepts.sum()),
        same_pairs=int(same.sum()),
        different_pairs=int(len(same) - same.sum()),
        area_under_curve=area,
        equal_error_rate=equal_error_rate,
        threshold=threshold,
        true_positive_rates=true_positive_rates,
        false_positive_rates=false_positive_rates,
        thresholds=roc_thresholds,
    )


def _score_fold(
    training: _SortedPairs, test: _SortedPairs, grid: _Floats | None, far_target: float
) -> tuple[float, ...]:
    """Accuracy; true and false accepts, and their rates, at the threshold for ``far_target``."""
    thresholds, best = training.best(grid)
    far_threshold = _far_threshold(training, grid, far_target)
    accuracy = test.accuracy(thresholds[best])
    return accuracy, *test.accepted(far_threshold), *test.rates(far_threshold)


def _far_threshold(training: _SortedPairs, grid: _Floats | None, far_target: float) -> float:
    """The threshold whose false accept rate is ``far_target``, interpolated as the reference.

    Without a grid, the largest that accepts at most so many of the different pairs: the distance
    of the first different pair too many, which strict less-than rejects.
    """
    if grid is None:
        different = training.distances[np.diff(training.same_below) == 0]
        rates = np.arange(len(different) + 1) / len(different)
        return float(different[np.searchsorted(rates, far_target, side="right") - 1])
    _, false_accept_rates = training.rates(grid)
    if false_accept_rates[0] > far_target:
        raise FacenetError(
            f"thresholds: expected the first, {grid[0]:g}, to accept at most {far_target:g} of the "
            f"different pairs, found {false_accept_rates[0]:.4f}; let the grid start lower"
        )
    if false_accept_rates[-1] < far_target:
        return 0.0
    return float(np.interp(far_target, false_accept_rates, grid))


def _final_threshold(pairs: _SortedPairs, grid: _Floats | None) -> float:
    thresholds, best = pairs.best(grid)
    return float(thresholds[best]) if grid is not None else _between(thresholds, best)


def _between(thresholds: _Floats, index: int) -> float:
    """Half way from this threshold to the next smaller one, if there is one."""
    if index == 0:
        return float(thresholds[0])
    accepted, rejected = thresholds[index - 1 : index + 1]
    middle = accepted + (rejected - accepted) / 2
    return float(middle if accepted < middle else rejected)


def _area_and_equal_error_rate(
    true_positive_rates: _Floats, false_positive_rates: _Floats
) -> tuple[float, float]:
    # A grid that stops short of a corner is joined to it, or the area beyond would be lost.
    if false_positive_rates[0] > 0 or false_positive_rates[-1] < 1:
        true_positive_rates = np.concatenate([[0.0], true_positive_rates, [1.0]])
        false_positive_rates = np.concatenate([[0.0], false_positive_rates, [1.0]])
    area = float(np.trapezoid(true_positive_rates, false_positive_rates))
    # False positives minus false negatives: never falls along the curve, from -1 up to 1.
    excess = false_positive_rates - (1 - true_positive_rates)
    after = int(np.argmax(excess >= 0))
    if after == 0:
        return area, float(false_positive_rates[0])
    share = -excess[after - 1] / (excess[after] - excess[after - 1])
    step = false_positive_rates[after] - false_positive_rates[after - 1]
    return area, float(false_positive_rates[after - 1] + share * step)


def _squared_euclidean(embeddings1: _Floats, embeddings2: _Floats) -> _Floats:
    difference = np.subtract(embeddings1, embeddings2)
    squared: _Floats = np.sum(np.square(difference, out=difference), axis=1)
    return squared


def _angle(embeddings1: _Floats, embeddings2: _Floats) -> _Floats:
    products = np.sum(np.multiply(embeddings1, embeddings2), axis=1)
    norms = np.linalg.norm(embeddings1, axis=1) * np.linalg.norm(embeddings2, axis=1)
    # Rounding carries the similarity of parallel vectors beyond 1, where arccos is undefined.
    similarity = np.clip(products / norms, -1, 1)
    angles: _Floats = np.arccos(similarity) / math.pi
    angles[~((norms > 0) & np.isfinite(norms))] = np.nan
    return angles


_METRICS = {"sqeuclidean": _squared_euclidean, "angular": _angle}


def _distances(
    embeddings1: _Floats, embeddings2: _Floats, metric: str, mean: _Floats | None = None
) -> _Floats:
    """The reference's operations, row by row the same, a block at a time; not checked."""
    measured = np.empty(len(embeddings1), embeddings1.dtype)
    with np.errstate(all="ignore"):  # the caller looks at what is not finite
        for start in range(0, len(measured), _BLOCK):
            block = slice(start, start + _BLOCK)
            first, second = embeddings1[block], embeddings2[block]
            if mean is not None:
                first, second = first - mean, second - mean
            measured[block] = _METRICS[metric](first, second)
    return measured


def _pair_distances(embeddings: _Floats, metric: str, mean: _Floats | None) -> NDArray[np.float64]:
    """Distances of rows 2i and 2i + 1, after subtraction of ``mean``; refused if not finite."""
    measured = _distances(embeddings[0::2], embeddings[1::2], metric, mean)
    if not np.isfinite(measured).all():
        _refuse_distances(measured, _row_problems("embeddings", embeddings, metric, mean))
    # float64 holds float32 exactly, and is what comparing with a float64 threshold works in.
    return measured.astype(np.float64)


def _row_problems(
    name: str, embeddings: _Floats, metric: str, mean: _Floats | None = None
) -> list[str]:
    problems = []
    for row in np.flatnonzero(~np.isfinite(embeddings).all(axis=1)):
        column = int(np.argmin(np.isfinite(embeddings[row])))
        found = f"found {embeddings[row, column]} in column {column}"
        problems.append(f"{name} row {row}: expected finite numbers, {found}")
    if metric == "angular" and not problems:
        centred, suffix = embeddings, ""
        if mean is not None:
            centred, suffix = embeddings - mean, " after subtraction of the mean"
        problems = [
            f"{name} row {row}: expected a direction, found a vector of zeros{suffix}"
            for row in np.flatnonzero(~centred.any(axis=1))
        ]
    return problems


def _refuse_distances(measured: _Floats, problems: Sequence[str]) -> None:
    """Tell the rows at fault, or the pairs whose finite rows have no distance in their dtype."""
    without = [
        f"pair {pair}: expected a finite distance, found {measured[pair]}: its embeddings are "
        f"too large or too small for {measured.dtype}"
        for pair in np.flatnonzero(~np.isfinite(measured))
    ]
    refuse("distances", problems or without)


def _as_floats(name: str, embeddings: ArrayLike) -> _Floats:
    values = check_array(name, embeddings, "numbers", ("rows", "features"))
    if not values.size:
        raise FacenetError(f"{name}: expected numbers, found none, of shape {values.shape}")
    dtype = np.float32 if values.dtype in (np.float16, np.float32) else np.float64
    return values.astype(dtype, copy=False)


def _check_issame(issame: ArrayLike, rows: int) -> _Answers:
    if rows % 2:
        raise FacenetError(f"embeddings: expected two rows for each pair, found {rows} rows")
    answers = as_array("issame", issame)
    if answers.shape != (rows // 2,):
        raise FacenetError(
            f"issame: expected shape ({rows // 2},), one answer for two rows of embeddings, "
            f"found {answers.shape}"
        )
    is_integral = answers.dtype.kind in "biu"
    neither = np.flatnonzero((answers != 0) & (answers != 1))
    if not is_integral or len(neither):
        found = f"{answers[neither[0]]} for pair {neither[0]}" if is_integral else answers.dtype
        raise FacenetError(f"issame: expected True and False, or 1 and 0, found {found}")
    same: _Answers = answers.astype(bool)
    if same.all() or not same.any():
        kind = "same" if same[0] else "different"
        raise FacenetError(f"issame: expected same and different pairs, found only {kind} pairs")
    return same


def _check_folds(folds: int | ArrayLike, same: _Answers) -> NDArray[np.int64]:
    """The fold of every pair, where every fold has pairs of both classes."""
    pairs = len(same)
    if isinstance(folds, Integral) and not isinstance(folds, bool):
        if not 2 <= folds <= pairs:
            raise FacenetError(f"folds: expected 2 to {pairs}, the number of pairs, found {folds}")
        blocks = np.array_split(same, int(folds))
        fold_ids = np.repeat(np.arange(len(blocks)), [len(block) for block in blocks])
    else:
        fold_ids = as_array("folds", folds)
        if fold_ids.shape != (pairs,) or fold_ids.dtype.kind not in "iu":
            raise FacenetError(
                f"folds: expected a number, or integers of shape ({pairs},), one for each pair, "
                f"found {fold_ids.dtype} of shape {fold_ids.shape}"
            )
        if fold_ids.min() < 0 or fold_ids.max() < 1:
            raise FacenetError(
                "folds: expected two or more folds, counted from 0, "
                f"found {fold_ids.min()} to {fold_ids.max()}"
            )
        if fold_ids.max() >= pairs:
            raise FacenetError(
                f"folds: expected at most one fold for each of {pairs} pairs, "
                f"found fold {fold_ids.max()}"
            )
    counts = [np.bincount(fold_ids[kind], minlength=fold_ids.max() + 1) for kind in (same, ~same)]
    problems = [
        f"fold {fold}: expected same and different pairs, found {same_count} and {different_count}"
        for fold, (same_count, different_count) in enumerate(zip(*counts, strict=True))
        if not (same_count and different_count)
    ]
    if problems:
        problems.append(
            "a rate without pairs is undefined; deal the pairs of each class to the folds, as "
            "PairList.fold_ids() does, or take fewer folds"
        )
    refuse("folds", problems)
    return fold_ids.astype(np.int64)


def _check_thresholds(thresholds: ArrayLike) -> NDArray[np.float64]:
    grid = check_array("thresholds", thresholds, "numbers", ("k",)).astype(np.float64)
    if not len(grid) or not np.isfinite(grid).all() or (np.diff(grid) < 0).any():
        raise FacenetError("thresholds: expected finite numbers of shape (k,) in increasing order")
    return grid
