"""The three terms that the reference trains with, and their sum.

Mirrors section 6 of the article; derived in chapter 5, "Center loss". The center loss is that of
Wen et al. 2016 (A discriminative feature learning approach for deep face recognition), with the
update of davidsandberg/facenet, which the article follows, and the paper's own by an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import keras
import tensorflow as tf

from facenet_lib.checks import check_tensor, integer_problems, number_problems
from facenet_lib.errors import refuse

PRELOGITS_NORM_EPSILON = 1e-4
"""Added to every absolute prelogit before the norm is taken; the reference's value."""
MOST_CENTER_STEP = 2.0
"""A center that moves by more than so many times its distance to its images diverges."""


class CenterLoss(tf.Module):
    """Mean squared distance of features to the center of their class; moves the centers.

    Called as ``loss = center_loss(features, labels)``. One call takes the centers of the
    batch's labels, returns the mean of ``(features - centers)**2`` against these, and then
    subtracts ``(1 - alpha) * (centers - features)`` from them, once for every row: k images of
    one class in a batch make k steps, all measured from where the center was before. With
    ``k * (1 - alpha) > 2`` a center therefore overshoots further each time and diverges;
    ``divide_by_count=True`` is the paper's update, which divides the sum by ``1 + k``.

    On several replicas each returns the loss of its own images, and all of them move the centers
    by the images of all, as one process with the global batch would. A call reads and writes the
    centers of the batch alone, so that it costs the same with a thousand classes and a million.

    Attributes:
        centers: variable, float32 ``(num_classes, num_features)``, zero at first. It has no
            gradient; the call updates it.

    Source: section 6 of the article; Wen et al. 2016, equations 2 and 4 (their alpha is one
    minus this one).

    >>> center_loss = CenterLoss(num_classes=2, num_features=2, alpha=0.5)
    >>> float(center_loss(tf.constant([[2.0, 4.0]]), tf.constant([1])))
    10.0
    >>> center_loss.centers.numpy().tolist()
    [[0.0, 0.0], [1.0, 2.0]]
    """

    def __init__(
        self,
        num_classes: int,
        num_features: int,
        alpha: float = 0.95,
        divide_by_count: bool = False,
    ) -> None:
        """Make the centers.

        Args:
            num_classes: number of identities, at least 1.
            num_features: length of the prelogits, at least 1.
            alpha: how much of a center one image leaves in place, in [0, 1].
            divide_by_count: divide a class's update by one plus its images in the batch.

        Raises:
            FacenetError: for an argument out of its range.
        """
        super().__init__(name="center_loss")
        refuse(
            "center loss",
            [
                *integer_problems("num_classes", num_classes, at_least=1),
                *integer_problems("num_features", num_features, at_least=1),
                *number_problems("alpha", alpha, "[0, 1]"),
            ],
        )
        self.alpha = alpha
        self.divide_by_count = divide_by_count
        self.centers = tf.Variable(
            tf.zeros([num_classes, num_features]),
            trainable=False,
            name="centers",
            # All replicas compute the same update, of which one is taken.
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def __call__(self, features: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Return the loss against the centers as they were, and update these.

        Args:
            features: float ``(n, num_features)``, the prelogits.
            labels: integers ``(n,)`` in ``[0, num_classes)``.

        Returns:
            Scalar of the features' dtype; its gradient reaches the features alone.

        Raises:
            FacenetError: when the shapes do not fit the centers or each other, or the labels
                are no integers.
            tf.errors.InvalidArgumentError: for a label that has no center.
        """
        features = tf.convert_to_tensor(features)
        labels = tf.convert_to_tensor(labels)
        check_tensor("labels", labels, "integers", ("n",))
        # One row of features would broadcast over many labels, so that both n are compared too.
        shape = (*labels.shape, self.centers.shape[1])
        check_tensor("features", features, "floating point numbers", shape)
        labels = labels_in_range(labels, self.centers.shape[0])
        centers = tf.gather(self.centers, labels)
        self._update(_of_all_replicas(tf.cast(features, tf.float32)), _of_all_replicas(labels))
        return tf.reduce_mean(tf.square(features - tf.cast(centers, features.dtype)))

    def largest_step(self, labels: tf.Tensor) -> tf.Tensor:
        """Return the largest part of its distance to its images that a center moves in a call.

        Of the class with the most images in the batch, k: ``k * (1 - alpha)``, or with
        ``divide_by_count`` that divided by ``1 + k``. Above :data:`MOST_CENTER_STEP` a center
        ends up further from its images than it was.

        Args:
            labels: integers ``(n,)``; on several replicas those of all count.

        Returns:
            float32 scalar; 0 for no labels.
        """
        *_, counts = tf.unique_with_counts(_of_all_replicas(tf.convert_to_tensor(labels)))
        most = tf.cast(tf.reduce_max(tf.concat([counts, [0]], axis=0)), tf.float32)
        step = most * (1.0 - self.alpha)
        return step / (1.0 + most) if self.divide_by_count else step

    def _update(self, features: tf.Tensor, labels: tf.Tensor) -> None:
        diff = (1.0 - self.alpha) * (tf.gather(self.centers, labels) - features)
        if self.divide_by_count:
            _, position, count = tf.unique_with_counts(labels)
            images_of_class = tf.cast(tf.gather(count, position), tf.float32)
            diff /= 1.0 + images_of_class[:, tf.newaxis]
        self.centers.scatter_sub(tf.IndexedSlices(diff, labels))


def _of_all_replicas(values: tf.Tensor) -> tf.Tensor:
    """Every replica's values below one another; where there is one replica, its own."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    # What is gathered must have been computed on the replica's own device.
    return context.all_gather(tf.identity(values), axis=0)


def describe_overshoot(center_step: float) -> str:
    """Say what a step above :data:`MOST_CENTER_STEP` leads to, and how to prevent it.

    Args:
        center_step: what :meth:`CenterLoss.largest_step` returned.

    >>> describe_overshoot(2.5)[:65]
    'a batch has so many images of one person that its center moves 2.'
    """
    return (
        f"a batch has so many images of one person that its center moves {center_step:.3g} times "
        f"its distance to them; beyond {MOST_CENTER_STEP:g} it ends up further away every time. "
        "Divide a center's update by the count, raise its alpha, or have fewer images of a person "
        "in a batch"
    )


def prelogits_norm(prelogits: tf.Tensor, p: float = 1.0) -> tf.Tensor:
    """Return the mean over images of the p-norm of the prelogits.

    The reference adds 1e-4 to every absolute value, which keeps the gradient of the norm finite
    at zero; so do we.

    Args:
        prelogits: float ``(n, embedding_size)``.
        p: order of the norm, at least 1.

    Returns:
        Scalar of the prelogits' dtype.

    Raises:
        FacenetError: for an order below 1, which is no norm.

    Source: section 6 of the article ("reg loss").

    >>> round(float(prelogits_norm(tf.constant([[3.0, -4.0]]), p=2.0)), 3)
    5.0
    """
    refuse("prelogits norm", number_problems("p", p, "[1, inf)"))
    return tf.reduce_mean(tf.norm(tf.abs(prelogits) + PRELOGITS_NORM_EPSILON, ord=p, axis=1))


@dataclass(frozen=True)
class LossFactors:
    """How much each term counts in the total loss; the cross-entropy counts 1.

    Attributes:
        center_loss: factor of the center loss.
        prelogits_norm: factor of the prelogits norm.
        prelogits_norm_p: order of that norm.
        weight_decay: factor of half the sum of squares of every kernel.

    Source: the arguments of the reference's train_softmax.
    """

    center_loss: float = 0.0
    prelogits_norm: float = 0.0
    prelogits_norm_p: float = 1.0
    weight_decay: float = 0.0


class LossTerms(NamedTuple):
    """The total loss and its terms before their factors, each a float32 scalar."""

    total: tf.Tensor
    cross_entropy: tf.Tensor
    center_loss: tf.Tensor
    prelogits_norm: tf.Tensor
    weight_decay: tf.Tensor


def total_loss(
    logits: tf.Tensor,
    prelogits: tf.Tensor,
    labels: tf.Tensor,
    kernels: Sequence[keras.Variable | tf.Tensor],
    center_loss: CenterLoss,
    factors: LossFactors,
    targets: tf.Tensor | None = None,
) -> LossTerms:
    """Add up cross-entropy, center loss, prelogits norm and weight decay.

    ``total = cross_entropy + factors.center_loss * center_loss
    + factors.prelogits_norm * prelogits_norm + factors.weight_decay * weight_decay``

    Args:
        logits: float ``(n, columns)``, one column for each identity or for some of them.
        prelogits: float ``(n, embedding_size)``.
        labels: integers ``(n,)`` in ``[0, num_classes)``.
        kernels: what weight decay holds small: weights of convolutions and dense layers, no
            biases; may be empty.
        center_loss: called once, and so updated, even where its factor is 0: the centers and
            the term then still tell how compact the classes are.
        factors: what each term counts.
        targets: integers ``(n,)``, the column of each image's identity in the logits; None: its
            label. :class:`facenet_lib.softmax_heads.SoftmaxHead` gives logits, targets and its
            share of the kernels.

    Returns:
        The total and its terms, the latter before their factors.

    Source: section 6 of the article.

    >>> terms = total_loss(
    ...     logits=tf.zeros([1, 2]),
    ...     prelogits=tf.ones([1, 3]),
    ...     labels=tf.constant([0]),
    ...     kernels=[],
    ...     center_loss=CenterLoss(num_classes=2, num_features=3),
    ...     factors=LossFactors(center_loss=0.5),
    ... )
    >>> round(float(terms.cross_entropy), 3), round(float(terms.total), 3)
    (0.693, 1.193)
    """
    logits, prelogits = tf.cast(logits, tf.float32), tf.cast(prelogits, tf.float32)
    cross_entropy = tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=labels if targets is None else targets, logits=logits
        )
    )
    center_term = center_loss(prelogits, labels)
    norm_term = prelogits_norm(prelogits, factors.prelogits_norm_p)
    decay_term = sum((tf.nn.l2_loss(kernel) for kernel in kernels), start=tf.zeros([]))
    total = (
        cross_entropy
        + factors.center_loss * center_term
        + factors.prelogits_norm * norm_term
        + factors.weight_decay * decay_term
    )
    return LossTerms(total, cross_entropy, center_term, norm_term, decay_term)


def labels_in_range(labels: tf.Tensor, num_classes: int) -> tf.Tensor:
    """Return the labels as int64, which are checked when the result is used.

    Args:
        labels: integers of any dtype and shape.
        num_classes: labels must be below it, and at least 0.

    Raises:
        tf.errors.InvalidArgumentError: for any other label; in a ``tf.function``, when it runs.

    >>> labels_in_range(tf.constant([0, 2]), num_classes=3).numpy().tolist()
    [0, 2]
    """
    labels = tf.cast(labels, tf.int64)  # a uint8 could not hold the number of classes
    in_range = tf.debugging.assert_equal(
        tf.logical_and(labels >= 0, labels < num_classes),
        True,
        message=f"labels must be at least 0 and below the number of classes, {num_classes}",
    )
    with tf.control_dependencies([] if in_range is None else [in_range]):
        return tf.identity(labels)
