"""The triplets of a batch that are worth a step, and their loss.

Stands for ``select_triplets`` and ``triplet_loss`` of the reference's train_tripletloss; the
batches of people are those of :class:`facenet_lib.index_queue.PeopleQueue`. The loss and the
semi-hard negatives are those of section 3 of Schroff et al. 2015 (FaceNet: A unified embedding for
face recognition and clustering), the batch-hard triplets those of Hermans et al. 2017 (In defense
of the triplet loss for person re-identification). Derived in chapter 9, "Triplet loss".
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from facenet_lib.checks import (
    check_array,
    check_integer,
    check_tensor,
    number_problems,
    word_problems,
)
from facenet_lib.errors import FacenetError, refuse

Selection = Literal["margin_violating", "semi_hard", "batch_hard"]
"""Which triplets of a batch are taken, see :func:`select_triplets`."""

COLLAPSED_SPREAD = 0.05
"""A batch of unit vectors whose :func:`spread` stays smaller has collapsed.

Where FaceNet's margin, 0.2, is kept, two images of different people are at least that far apart in
squared distance, and the spread is at least half of that, 0.1, times the share of pairs that show
different people. This is half of 0.1: two images taken at random are then half a margin apart.
"""

_Floats = NDArray[np.float64]
_Integers = NDArray[np.int64]

_PROPOSALS = 8  # draws for every pair before its anchor's candidates are narrowed again
_NARROWINGS = 3  # of the candidates, before the pairs that are left list their negatives
_LISTED_PAIRS = 64  # pairs that are compared with all images at a time: 1 MB for 2000 images


# The loss


class TripletLoss(NamedTuple):
    """The loss and how many triplets still have one, each a float32 scalar.

    Attributes:
        loss: mean over the triplets.
        active_fraction: share of the triplets whose loss is above 0; the others have no gradient.
    """

    loss: tf.Tensor
    active_fraction: tf.Tensor


def triplet_loss(embeddings: tf.Tensor, triplets: tf.Tensor, margin: float) -> TripletLoss:
    """Return the mean over the triplets of ``max(0, d(a, p) - d(a, n) + margin)``.

    d is the squared Euclidean distance. The gradient reaches all three embeddings of a triplet.
    Without triplets the loss and its gradient are 0.

    Args:
        embeddings: float ``(n, features)``.
        triplets: integers ``(t, 3)``, rows of the embeddings: anchor, positive, negative.
        margin: how much further the negative ought to be, above 0.

    Raises:
        FacenetError: when the shapes or dtypes are others, or the margin is not above 0.
        tf.errors.InvalidArgumentError: for a triplet whose row is not there.

    Source: Schroff et al. 2015, section 3.1, where it is a sum; the reference takes the mean.

    >>> embeddings = tf.constant([[0.0], [0.5], [0.6]])
    >>> result = triplet_loss(embeddings, tf.constant([[0, 1, 2]]), margin=0.2)
    >>> round(float(result.loss), 2), float(result.active_fraction)
    (0.09, 1.0)
    """
    embeddings, triplets = tf.convert_to_tensor(embeddings), tf.convert_to_tensor(triplets)
    refuse("triplet loss", number_problems("margin", margin, "(0, inf)"))
    check_tensor("embeddings", embeddings, "floating point numbers", ("n", "features"))
    check_tensor("triplets", triplets, "integers", ("t", 3))
    triplets = tf.cast(triplets, tf.int64)
    # A graphics processor would gather zeros for a row that is not there.
    in_range = tf.debugging.assert_equal(
        tf.logical_and(triplets >= 0, triplets < tf.shape(embeddings, tf.int64)[0]),
        True,
        message="triplets must be at least 0 and below the number of embeddings",
    )
    with tf.control_dependencies([] if in_range is None else [in_range]):
        anchors, positives, negatives = tf.unstack(
            tf.gather(tf.cast(embeddings, tf.float32), triplets), num=3, axis=1
        )
    nearer = tf.reduce_sum(tf.square(anchors - positives), axis=1)
    further = tf.reduce_sum(tf.square(anchors - negatives), axis=1)
    losses = tf.nn.relu(nearer - further + margin)
    count = tf.maximum(tf.cast(tf.shape(triplets)[0], tf.float32), 1.0)
    active = tf.reduce_sum(tf.cast(losses > 0.0, tf.float32))
    return TripletLoss(tf.reduce_sum(losses) / count, active / count)


# Selection of triplets


def select_triplets(
    embeddings: ArrayLike,
    labels: Sequence[int] | NDArray[np.integer],
    margin: float,
    selection: Selection,
    seed: int | Sequence[int],
) -> NDArray[np.int64]:
    """Choose the triplets of a batch that are worth a step.

    With d for the squared Euclidean distance, and anchor a, positive p and negative n:

    * ``"margin_violating"``, the reference's own: each pair (a, p) of images of one person, a
      before p, takes one negative at random of those with ``d(a, n) - d(a, p) < margin``.
    * ``"semi_hard"``, FaceNet's: likewise, of those with ``d(a, p) < d(a, n) < d(a, p) + margin``.
    * ``"batch_hard"``, of Hermans et al.: every image is an anchor once, with its furthest positive
      and its nearest negative, whatever the margin; of several equally far or near ones the first
      in the batch. Nothing is random.

    A pair without such a negative, and an image without positive or negative, gives no triplet.
    Negatives are drawn independently, all that are allowed equally likely. Distances are
    compared in float64, and equal embeddings are exactly equally far.

    Args:
        embeddings: float (n, features). The work takes memory for n x n numbers of 8 bytes.
        labels: integers (n,), the person of every row, in any order.
        margin: how much further the negative ought to be, above 0.
        selection: one of the three names above.
        seed: one or several non-negative integers, as ``numpy.random.default_rng`` takes them;
            equal seeds give equal triplets.

    Returns:
        int64 (triplets, 3), rows of ``embeddings``: anchor, positive, negative. Sorted by the
        person's label, then by anchor and positive: shuffle before taking a part.

    Raises:
        FacenetError: for other shapes or values than the above, or embeddings that are not finite.

    Source: Schroff et al. 2015, section 3.2; Hermans et al. 2017, section 2; ``select_triplets``
    of the reference.

    >>> embeddings = [[0.0], [0.5], [0.6]]
    >>> select_triplets(embeddings, [7, 7, 8], 0.2, "semi_hard", seed=0).tolist()
    [[0, 1, 2]]
    """
    values = _as_embeddings(embeddings)
    images, starts = _images_by_person(check_array("labels", labels, "integers", (len(values),)))
    problems = number_problems("margin", margin, "(0, inf)")
    refuse("triplets", problems + word_problems("selection", selection, get_args(Selection)))
    rng = _generator(seed)

    products, half_squares = _products_and_half_squares(values)
    triplets = [np.empty((0, 3), np.int64)]
    for start, end in pairwise(starts):
        own = images[start:end]
        if not 2 <= len(own) < len(values):
            continue
        # |a - b|^2 / 2 = |a|^2 / 2 + |b|^2 / 2 - a.b, and |a|^2 is the same for all compared.
        scores = half_squares - products[own]
        among_own = scores[:, own]
        scores[:, own] = np.inf
        if selection == "batch_hard":
            triplets.append(_batch_hard(own, among_own, scores))
        else:
            window = (0.0 if selection == "semi_hard" else -np.inf, margin / 2)
            triplets.append(_random_negatives(own, among_own, scores, window, rng))
    return np.concatenate(triplets)


def _products_and_half_squares(values: _Floats) -> tuple[_Floats, _Floats]:
    """Scalar products of all rows, and half of each with itself; the first row is the origin."""
    # Distances do not change with the origin, but rounding grows with the distance from it. Adding
    # 0 turns -0 into 0, so that equal rows are equal bytes.
    shifted = values - values[0] + 0.0
    products: _Floats = shifted @ shifted.T
    # The product may round equal rows differently, by where they stand; ties have to be ties.
    as_bytes = shifted.view(np.dtype((np.void, shifted.itemsize * shifted.shape[1])))[:, 0]
    _, first, inverse = np.unique(as_bytes, return_index=True, return_inverse=True)
    first_equal = first[inverse]
    copies = np.flatnonzero(first_equal != np.arange(len(values)))
    products[:, copies] = products[:, first_equal[copies]]
    return products, products.diagonal()[first_equal] / 2


def _batch_hard(own: _Integers, among_own: _Floats, to_others: _Floats) -> _Integers:
    np.fill_diagonal(among_own, -np.inf)  # no image is its own positive
    positives = own[among_own.argmax(axis=1)]
    return np.stack([own, positives, to_others.argmin(axis=1)], axis=1)


def _random_negatives(
    own: _Integers,
    among_own: _Floats,
    to_others: _Floats,
    window: tuple[float, float],
    rng: np.random.Generator,
) -> _Integers:
    """The triplets of one person whose negative is further than the positive by a ``window``."""
    places = np.arange(len(own))
    anchors, positives = np.nonzero(places[:, np.newaxis] < places)
    reach = among_own[anchors, positives]
    lower, upper = reach + window[0], reach + window[1]
    negatives = _draw_between(to_others, anchors, lower, upper, rng)
    triplets = np.stack([own[anchors], own[positives], negatives], axis=1)
    return triplets[negatives >= 0]


def _draw_between(
    scores: _Floats, rows: _Integers, lower: _Floats, upper: _Floats, rng: np.random.Generator
) -> _Integers:
    """For each pair, draw one column of its row with a score between its bounds; -1 for none.

    Sorting every row would find them all, but takes longer than all the rest. Columns are proposed
    and refused instead, which soon settles the pairs that have many; each time the candidates of
    a row are narrowed to what its remaining pairs may take. The few pairs that are left at last,
    with few columns or none, compare every one.
    """
    chosen = np.full(len(rows), -1)
    left = np.flatnonzero(scores.min(axis=1)[rows] < upper)
    for settle in (*[_by_proposals] * _NARROWINGS, _by_listing):
        if len(left):
            chosen[left] = settle(scores, rows[left], lower[left], upper[left], rng)
            left = left[chosen[left] < 0]
    return chosen


def _by_proposals(
    scores: _Floats, rows: _Integers, lower: _Floats, upper: _Floats, rng: np.random.Generator
) -> _Integers:
    """Draw from the columns below the highest upper bound of a row; a pair's row has some.

    The first allowed of several draws is kept: all allowed columns are equally likely to be it.
    """
    highest = np.full(len(scores), -np.inf)
    np.maximum.at(highest, rows, upper)
    candidates = np.flatnonzero(scores < highest[:, np.newaxis])
    starts = np.searchsorted(candidates, np.arange(len(scores) + 1) * scores.shape[1])
    first, last = starts[rows, np.newaxis], starts[rows + 1, np.newaxis]
    proposed = candidates[_draw(first, last, (len(rows), _PROPOSALS), rng)]
    score = scores.reshape(-1)[proposed]
    allowed = (lower[:, np.newaxis] < score) & (score < upper[:, np.newaxis])
    first_allowed = np.arange(len(rows)), allowed.argmax(axis=1)
    return np.where(allowed[first_allowed], proposed[first_allowed] % scores.shape[1], -1)


def _by_listing(
    scores: _Floats, rows: _Integers, lower: _Floats, upper: _Floats, rng: np.random.Generator
) -> _Integers:
    """Compare every column, and draw from the list of those that are allowed."""
    chosen = np.full(len(rows), -1)
    for start in range(0, len(rows), _LISTED_PAIRS):
        part = slice(start, start + _LISTED_PAIRS)
        score = scores[rows[part]]
        allowed = (lower[part, np.newaxis] < score) & (score < upper[part, np.newaxis])
        listed = np.flatnonzero(allowed)
        starts = np.searchsorted(listed, np.arange(len(score) + 1) * scores.shape[1])
        some = np.flatnonzero(np.diff(starts))
        drawn = listed[_draw(starts[some], starts[some + 1], some.shape, rng)]
        chosen[start + some] = drawn % scores.shape[1]
    return chosen


def _draw(
    first: _Integers, last: _Integers, shape: tuple[int, ...], rng: np.random.Generator
) -> _Integers:
    """Integers from ``first`` up to below ``last``; quicker than ``rng.integers`` for arrays."""
    drawn: _Integers = first + (rng.random(shape) * (last - first)).astype(np.int64)
    return drawn


# Collapse


def spread(embeddings: tf.Tensor) -> tf.Tensor:
    """Return the mean squared distance of a batch's embeddings from their mean.

    Half the mean squared distance of two rows taken at random; of unit vectors, one minus the
    squared length of their mean: 0 when all are alike, near 1 when they point everywhere. To see
    a collapse, take the embeddings that the loss was computed from: those that batch
    normalization makes of its moving averages lie close together at the start of any run.

    Args:
        embeddings: float ``(n, features)`` with n at least 1.

    Returns:
        float32 scalar.

    Raises:
        FacenetError: when the shape or dtype is another.

    >>> float(spread(tf.constant([[1.0, 0.0], [-1.0, 0.0]])))
    1.0
    """
    embeddings = tf.convert_to_tensor(embeddings)
    check_tensor("embeddings", embeddings, "floating point numbers", ("n", "features"))
    embeddings = tf.cast(embeddings, tf.float32)
    # One minus the squared mean would lose what is left of a small spread to rounding.
    centred = embeddings - tf.reduce_mean(embeddings, axis=0)
    return tf.reduce_mean(tf.reduce_sum(tf.square(centred), axis=1))


def explain_collapse(spread: float, margin: float, steps: int) -> str:
    """Say what it means that the spread stayed small, and what helps.

    Args:
        spread: of the last batch, below :data:`COLLAPSED_SPREAD`.
        margin: of the loss.
        steps: how many steps in a row the spread was as small.

    Returns:
        Sentences for the message with which a run ends.

    >>> explain_collapse(0.01, 0.2, steps=100)[:33]
    'the embeddings have collapsed: fo'
    """
    return (
        f"the embeddings have collapsed: for {steps} steps their spread was below "
        f"{COLLAPSED_SPREAD:g}, last {spread:.2g}. All images get nearly the same embedding, so "
        f"that all distances are small and the loss stays near the margin, {margin:g}; training "
        "on seldom mends it. Start again, or from a checkpoint before it happened, with a lower "
        "learning rate, with easier triplets at first (margin_violating or semi_hard instead of "
        "batch_hard), more people in a batch, a larger margin, or the weights of a network that "
        "was trained as a classifier."
    )


# Checks


def _images_by_person(labels: NDArray[np.integer]) -> tuple[_Integers, _Integers]:
    """Positions ordered by label, and where in these each person begins; last of all, the end."""
    images = np.argsort(labels, kind="stable")
    changes = np.flatnonzero(np.diff(labels[images])) + 1
    return images, np.concatenate([[0], changes, [len(labels)]])


def _as_embeddings(embeddings: ArrayLike) -> _Floats:
    values = check_array("embeddings", embeddings, "floating point numbers", ("n", "features"))
    if values.size == 0:
        raise FacenetError(
            f"embeddings: expected floating point numbers, found none in shape {values.shape}"
        )
    values = values.astype(np.float64, order="C")
    with np.errstate(over="ignore", invalid="ignore"):
        # Squared distances are at most four times the largest of these, sums of them twice that.
        squares = 8.0 * np.einsum("ij,ij->i", values, values)
    problems = [
        f"row {row}: expected finite numbers whose squares can be added, "
        f"found {np.abs(values[row]).max()}"
        for row in np.flatnonzero(~np.isfinite(squares))
    ]
    refuse("embeddings", problems)
    return values


def _generator(seed: int | Sequence[int]) -> np.random.Generator:
    several = seed if isinstance(seed, Sequence) else (seed,)
    return np.random.default_rng([check_integer("seed", number, at_least=0) for number in several])
