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

from facenet_lib.errors import FacenetError

PRELOGITS_NORM_EPSILON = 1e-4
"""Added to every absolute prelogit before the norm is taken; the reference's value."""


class CenterLoss(tf.Module):
    """Mean squared distance of features to the center of their class; moves the centers.

    Called as ``loss = center_loss(features, labels)``. One call takes the centers of the
    batch's labels, returns the mean of ``(features - centers)**2`` against these, and then
    subtracts ``(1 - alpha) * (centers - features)`` from them, once for every row: k images of
    one class in a batch make k steps, all measured from where the center was before. With
    ``k * (1 - alpha) > 2`` a center therefore overshoots further each time and diverges;
    ``divide_by_count=True`` is the paper's update, which divides the sum by ``1 + k``.

    Attributes:
        centers: variable, float32 ``(num_classes, num_features)``, zero at first. It has no
            gradient; the call updates it.

    Source: section 6 of the article; Wen et al. 2016, equations 2 and 4 (their alpha is one
    minus this one). Derived in chapter 5, "Center loss".
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
        if num_classes < 1 or num_features < 1:
            raise FacenetError(
                "num_classes and num_features must be at least 1, "
                f"found {num_classes} and {num_features}"
            )
        if not 0.0 <= alpha <= 1.0:
            raise FacenetError(f"alpha must be in [0, 1], found {alpha}")
        self.alpha = alpha
        self.divide_by_count = divide_by_count
        self.centers = tf.Variable(
            tf.zeros([num_classes, num_features]),
            trainable=False,
            name="centers",
            # Replicas see different batches; their centers stay one by taking the mean.
            aggregation=tf.VariableAggregation.MEAN,
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
        self._check(features, labels)
        labels = tf.cast(labels, tf.int64)  # a uint8 could not hold the number of classes
        classes = self.centers.shape[0]
        in_range = tf.debugging.assert_equal(
            tf.logical_and(labels >= 0, labels < classes),
            True,
            message=f"labels must be at least 0 and below the number of classes, {classes}",
        )
        with tf.control_dependencies([] if in_range is None else [in_range]):
            centers_batch = tf.gather(self.centers, labels)
        diff = (1.0 - self.alpha) * (centers_batch - tf.cast(features, tf.float32))
        if self.divide_by_count:
            _, position, count = tf.unique_with_counts(labels)
            images_of_class = tf.cast(tf.gather(count, position), tf.float32)
            diff /= 1.0 + images_of_class[:, tf.newaxis]
        self.centers.scatter_sub(tf.IndexedSlices(diff, labels))
        return tf.reduce_mean(tf.square(features - tf.cast(centers_batch, features.dtype)))

    def _check(self, features: tf.Tensor, labels: tf.Tensor) -> None:
        width = self.centers.shape[1]
        # One row of features would broadcast over many labels, so the two n are compared too.
        if labels.shape.rank != 1 or not features.shape.is_compatible_with((*labels.shape, width)):
            raise FacenetError(
                f"features must be (n, {width}) and labels (n,), "
                f"found {features.shape} and {labels.shape}"
            )
        if not (features.dtype.is_floating and labels.dtype.is_integer):
            raise FacenetError(
                "features must be floating point and labels integers, "
                f"found {features.dtype.name} and {labels.dtype.name}"
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

    Source: section 6 of the article ("reg loss"). Derived in chapter 5, "Center loss".
    """
    if not p >= 1.0:
        raise FacenetError(f"the order p of a norm must be at least 1, found {p}")
    return tf.reduce_mean(tf.norm(tf.abs(prelogits) + PRELOGITS_NORM_EPSILON, ord=p, axis=1))


@dataclass(frozen=True)
class LossFactors:
    """How much each term counts in the total loss; the cross-entropy counts 1.

    Attributes:
        center_loss: factor of the center loss.
        prelogits_norm: factor of the prelogits norm.
        prelogits_norm_p: order of that norm.
        weight_decay: factor of half the sum of squares of every kernel.

    Source: the arguments of the reference's train_softmax. Derived in chapter 5, "Center loss".
    """

    center_loss: float = 0.0
    prelogits_norm: float = 0.0
    prelogits_norm_p: float = 1.0
    weight_decay: float = 0.0


class LossTerms(NamedTuple):
    """The total loss and its terms before their factors, each a float32 scalar.

    Derived in chapter 5, "Center loss".
    """

    total: tf.Tensor
    cross_entropy: tf.Tensor
    center_loss: tf.Tensor
    prelogits_norm: tf.Tensor
    weight_decay: tf.Tensor


def total_loss(
    logits: tf.Tensor,
    prelogits: tf.Tensor,
    labels: tf.Tensor,
    kernels: Sequence[keras.Variable],
    center_loss: CenterLoss,
    factors: LossFactors,
) -> LossTerms:
    """Add up cross-entropy, center loss, prelogits norm and weight decay.

    ``total = cross_entropy + factors.center_loss * center_loss
    + factors.prelogits_norm * prelogits_norm + factors.weight_decay * weight_decay``

    Args:
        logits: float ``(n, num_classes)``.
        prelogits: float ``(n, embedding_size)``.
        labels: integers ``(n,)`` in ``[0, num_classes)``.
        kernels: the variables that weight decay holds small: weights of convolutions and dense
            layers, no biases; may be empty.
        center_loss: called once, and so updated, even where its factor is 0: the centers and
            the term then still tell how compact the classes are.
        factors: what each term counts.

    Returns:
        The total and its terms, the latter before their factors.

    Source: section 6 of the article. Derived in chapter 5, "Center loss".
    """
    logits, prelogits = tf.cast(logits, tf.float32), tf.cast(prelogits, tf.float32)
    cross_entropy = tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
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
