"""The softmax that training puts on the prelogits: one logit for every identity, or for a sample.

The reference's head is a matrix and a bias. Two changes to it are here by arguments: logits of
cosines with a margin (Wang et al. 2018, CosFace: large margin cosine loss for deep face
recognition), and, for very many identities, a softmax over the identities of the batch and a
sample of the others. It mirrors section 5 of the article; derived in chapter 5, "Center loss".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from facenet_lib.center_loss import labels_in_range
from facenet_lib.checks import check_tensor, integer_problems, number_problems
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.network.inception_resnet import l2_normalize

_SHUFFLE_ROUNDS = 8  # of the cipher that draws identities; with 4 some sets come up more often


class SoftmaxHead(keras.layers.Layer):
    """Prelogits and labels to logits; it is no part of the network, as only training needs it.

    With ``scale`` 0 the logits are ``prelogits @ kernel.T + bias``, the reference's. Otherwise
    they are ``scale * cosine``, of the angle between the prelogits and an identity's row of the
    kernel, and from the cosine of an image's own identity ``margin`` is subtracted first: it has
    to win by so much.

    With ``sampled_identities`` S, below the number of identities C, the P identities of the
    batch are joined by ``k = min(S, C - P)`` others, which are drawn anew in every step, each set
    of k as likely as any other. Each of them stands for ``(C - P) / k``: the logarithm of that is
    added to its logit, and in the weight decay its row counts as often. The sum under the softmax
    and the weight decay then are, on average over the draws, exactly those of all identities. The
    loss, a logarithm of the sum, is on average a little too small, the less so the larger k is. A
    step touches P + k rows of the kernel, whatever C is.

    Attributes:
        kernel: variable, float32 ``(num_classes, embedding_size)``, Glorot initialization.
        bias: variable, float32 ``(num_classes,)``, zero at first; None with a scale.

    Source: section 5 of the article; Wang et al. 2018, equation 4; Bengio and Senécal 2008 for
    the sampling.

    >>> head = SoftmaxHead(num_classes=5, embedding_size=3)
    >>> head(tf.ones([2, 3]), tf.constant([4, 0])).logits.shape
    TensorShape([2, 5])
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        scale: float = 0.0,
        margin: float = 0.0,
        sampled_identities: int = 0,
    ) -> None:
        """Keep the settings; :meth:`build`, or the first call, makes kernel and bias.

        Args:
            num_classes: number of identities, at least 2.
            embedding_size: length of the prelogits, at least 1.
            scale: 0 for the reference's logits, or the factor on cosines, such as 64.
            margin: in [0, 1); needs a scale. CosFace's is 0.35.
            sampled_identities: how many others join those of the batch; 0 for all.

        Raises:
            FacenetError: naming every argument that is out of its range.
        """
        super().__init__(name="Logits", dtype="float32")
        problems = [
            *integer_problems("num_classes", num_classes, at_least=2),
            *integer_problems("embedding_size", embedding_size, at_least=1),
            *number_problems("scale", scale, "[0, inf)"),
            *number_problems("margin", margin, "[0, 1)"),
            *integer_problems("sampled_identities", sampled_identities, at_least=0),
        ]
        if margin and not scale:
            problems.append(f"margin: one of cosines, which need a scale, found {margin} without")
        refuse("softmax head", problems)
        self.num_classes = num_classes
        self.embedding_size = embedding_size
        self.scale = scale
        self.margin = margin
        self.sampled_identities = sampled_identities

    def build(self, input_shape: object = None) -> None:
        """Make kernel and bias; the shape of the input is known without being told."""
        # A cast, which Keras may make of a variable inside a layer, would read all of it.
        self.kernel = self.add_weight(
            shape=(self.num_classes, self.embedding_size),
            initializer="glorot_uniform",
            autocast=False,
            name="kernel",
        )
        self.bias = None
        if not self.scale:
            self.bias = self.add_weight(
                shape=(self.num_classes,), initializer="zeros", autocast=False, name="bias"
            )

    def call(
        self, prelogits: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor | None = None
    ) -> SoftmaxOutput:
        """Return the logits of a batch.

        Args:
            prelogits: float ``(n, embedding_size)``.
            labels: integers ``(n,)`` in ``[0, num_classes)``.
            seed: only for a head that samples: integers ``(3,)``, such as a run's seed, the number
                of the step and that of the replica. The same ones draw the same identities.

        Returns:
            Logits of all identities, ``(n, num_classes)``, by their labels; or, sampled, of
            ``(n, P + k)``: the batch's identities in the order of their labels, then the others.

        Raises:
            FacenetError: when the shapes do not fit, or labels or seed are no integers, or the
                head samples and there is no seed.
            tf.errors.InvalidArgumentError: for a label out of range.
        """
        labels = tf.convert_to_tensor(labels)
        check_tensor("labels", labels, "integers", ("n",))
        shape = (*labels.shape, self.embedding_size)
        check_tensor("prelogits", prelogits, "floating point numbers", shape)
        labels = labels_in_range(labels, self.num_classes)
        if not 0 < self.sampled_identities < self.num_classes:
            logits = self._logits(prelogits, self.kernel.value, self.bias, labels)
            return SoftmaxOutput(logits, labels, [self.kernel])
        if seed is None:
            raise FacenetError("seed: expected 3 integers for a head that samples, found none")
        seed = tf.convert_to_tensor(seed)
        check_tensor("seed", seed, "integers", (3,))
        positives, _ = tf.unique(tf.sort(labels))
        others, each_for = self._draw(positives, seed)
        # How many identities each column stands for.
        counts = tf.concat([tf.ones_like(positives, tf.float32), each_for], axis=0)
        identities = tf.concat([positives, others], axis=0)
        # Values of variables, so that the gradients have these rows alone.
        kernel = tf.gather(self.kernel.value, identities)
        bias = None if self.bias is None else tf.gather(self.bias.value, identities)
        targets = tf.searchsorted(positives, labels, out_type=tf.int64)
        logits = self._logits(prelogits, kernel, bias, targets) + tf.math.log(counts)
        return SoftmaxOutput(logits, targets, [kernel * tf.sqrt(counts)[:, tf.newaxis]])

    def all_logits(self, prelogits: tf.Tensor) -> tf.Tensor:
        """Return the logits of all identities without a margin, as a classifier is asked.

        Args:
            prelogits: float ``(n, embedding_size)``.

        Returns:
            float32 ``(n, num_classes)``.
        """
        return self._logits(prelogits, self.kernel.value, self.bias)

    def _logits(
        self, prelogits: tf.Tensor, kernel: tf.Tensor, bias: Any, targets: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Logits of the identities whose rows are given; with a margin where targets are."""
        if bias is not None:
            return tf.matmul(prelogits, kernel, transpose_b=True) + bias
        cosines = tf.matmul(l2_normalize(prelogits), l2_normalize(kernel), transpose_b=True)
        if targets is not None:
            cosines -= self.margin * tf.one_hot(targets, tf.shape(kernel)[0])
        return self.scale * cosines

    def _draw(self, positives: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Draw identities that are not among ``positives``, which are sorted.

        Returns:
            int64 ``(k,)``, no two of them equal, and float32 ``(k,)``, how many each stands for.
        """
        remaining = self.num_classes - tf.size(positives, tf.int64)
        count = tf.minimum(remaining, self.sampled_identities)
        # Seeds that follow each other would give similar permutations; scrambled ones do not.
        seed = tf.random.fold_in(seed[:2], seed[2])
        scrambled = tf.random.stateless_uniform([3], seed, minval=None, maxval=None, dtype=tf.int64)
        # The operation refuses to shuffle none, as when the batch has all identities.
        at_least_one, last = tf.range(tf.maximum(count, 1)), tf.maximum(remaining - 1, 0)
        ranks = tf.random_index_shuffle(at_least_one, scrambled, last, rounds=_SHUFFLE_ROUNDS)
        ranks = ranks[:count]
        # From rank r among the others to identity: r, and one more for each positive before it,
        # which are those that have at most r others before them.
        others_before = positives - tf.range(tf.size(positives, tf.int64))
        others = ranks + tf.searchsorted(others_before, ranks, side="right", out_type=tf.int64)
        return others, tf.fill([count], tf.cast(remaining / count, tf.float32))


class SoftmaxOutput(NamedTuple):
    """What a head says of a batch; what :func:`facenet_lib.center_loss.total_loss` takes.

    Attributes:
        logits: float32 ``(n, columns)``.
        targets: integers ``(n,)``, the column of each image's identity.
        kernels: what stands for the head's kernel in weight decay.
    """

    logits: tf.Tensor
    targets: tf.Tensor
    kernels: Sequence[keras.Variable | tf.Tensor]
