"""What a run minimizes: softmax with center loss, or triplets; each with its own variables.

Mirrors section 6 of the article and, for triplets, what it leaves for later. An objective knows
the losses' settings and variables, and computes from a batch what the step differentiates and
the tables record. Derived in chapter 6, "Training"; triplets in chapter 9, "Triplet loss".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, cast

import keras
import numpy as np
import tensorflow as tf

from facenet_lib.center_loss import CenterLoss, LossFactors, LossTerms, prelogits_norm, total_loss
from facenet_lib.network.inception_resnet import l2_normalize
from facenet_lib.runs.config import TrainingConfig
from facenet_lib.softmax_heads import SoftmaxHead
from facenet_lib.triplet_loss import Selection, select_triplets, spread, triplet_loss


class Computed(NamedTuple):
    """What an objective computes from a batch.

    Attributes:
        total: float32 scalar, which is minimized.
        prelogits: float32 ``(n, embedding_size)``, in training mode.
        values: name to float32 scalar: the objective's columns, which the tables record, and
            what else the loop looks at.
    """

    total: tf.Tensor
    prelogits: tf.Tensor
    values: dict[str, tf.Tensor]


class Objective(Protocol):
    """What the training step needs of a loss."""

    columns: tuple[str, ...]
    """The names of what it computes, in the order of the tables."""
    trainable: list[Any]
    """Its own variables that the optimizer moves, as opposed to the network's."""

    def variables(self) -> dict[str, Sequence[Any]]:
        """All its variables, by part of a checkpoint."""

    def compute(
        self, network: keras.Model, batch: dict[str, tf.Tensor], step: tf.Tensor
    ) -> Computed:
        """Compute the loss of a batch in training mode, and update what has no gradient.

        Args:
            network: images to prelogits.
            batch: what the input pipeline yields: ``images`` and ``labels``.
            step: int64 scalar, the steps made so far: everything random follows from it.
        """


def objective_of(
    config: TrainingConfig, network: keras.Model, num_identities: int
) -> SoftmaxObjective | TripletObjective:
    """Return the objective that a run's settings name, with fresh variables.

    Args:
        config: the run's settings.
        network: images to prelogits; its trainable kernels are under weight decay.
        num_identities: people to train on.
    """
    kernels = [variable for variable in network.trainable_variables if variable.name == "kernel"]
    if config.loss == "triplet":
        return TripletObjective(config, kernels)
    return SoftmaxObjective(config, kernels, num_identities)


class SoftmaxObjective:
    """Cross-entropy over the identities, center loss, prelogits norm and weight decay.

    Source: section 6 of the article.
    """

    columns = (*LossTerms._fields, "accuracy")

    def __init__(self, config: TrainingConfig, kernels: Sequence[Any], num_identities: int) -> None:
        self._kernels = kernels
        self._factors = LossFactors(
            center_loss=config.center_loss_factor,
            prelogits_norm=config.prelogits_norm_factor,
            prelogits_norm_p=config.prelogits_norm_p,
            weight_decay=config.weight_decay,
        )
        self._seed = config.seed
        self.head = SoftmaxHead(
            num_identities,
            config.embedding_size,
            scale=config.softmax_scale,
            margin=config.softmax_margin,
            sampled_identities=config.sampled_identities,
        )
        self.head.build()
        self.center_loss = CenterLoss(
            num_identities,
            config.embedding_size,
            config.center_loss_alpha,
            config.center_loss_divide,
        )
        self.trainable = list(self.head.trainable_variables)

    def variables(self) -> dict[str, Sequence[Any]]:
        """The head's and the centers."""
        return {"head": self.head.variables, "centers": [self.center_loss.centers]}

    def compute(
        self, network: keras.Model, batch: dict[str, tf.Tensor], step: tf.Tensor
    ) -> Computed:
        """Compute the total loss of a batch and move the centers."""
        labels = batch["labels"]
        prelogits = network(batch["images"], training=True)
        logits, targets, kernels = self.head(prelogits, labels, self.seed(step))
        terms = total_loss(
            logits,
            prelogits,
            labels,
            [*self._kernels, *kernels],
            self.center_loss,
            self._factors,
            targets=targets,
        )
        right = tf.argmax(logits, axis=1, output_type=targets.dtype) == targets
        values = {
            **terms._asdict(),
            "accuracy": tf.reduce_mean(tf.cast(right, tf.float32)),
            "center_step": self.center_loss.largest_step(labels),
        }
        return Computed(terms.total, prelogits, values)

    def validate(
        self, network: keras.Model, batch: dict[str, tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return cross-entropy and correctness, float32 ``(n,)`` each, in inference mode.

        Of all identities and without a margin, whatever training does.
        """
        labels = batch["labels"]
        logits = self.head.all_logits(network(batch["images"], training=False))
        entropies = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        right = tf.argmax(logits, axis=1, output_type=labels.dtype) == labels
        return entropies, tf.cast(right, tf.float32)

    def seed(self, step: tf.Tensor | int) -> tf.Tensor:
        """The seed of a step's sampled identities, another on every replica."""
        context = tf.distribute.get_replica_context()
        replica = 0 if context is None else context.replica_id_in_sync_group
        return tf.stack([tf.cast(part, tf.int64) for part in (self._seed, step, replica)])


class TripletObjective:
    """Triplet loss on embeddings, prelogits norm and weight decay.

    Triplets are chosen in inference mode: with dropout and the batch's own statistics, the
    distances would be those of another network than the one that is evaluated. Every image of
    the batch then goes forward in training mode once, however many triplets it is in. On several
    replicas each chooses among its own images, and the figures are means over the replicas.

    Source: Schroff et al. 2015, section 3.
    """

    columns = (
        "total",
        "triplet_loss",
        "active_fraction",
        "triplets",
        "spread",
        "prelogits_norm",
        "weight_decay",
    )

    def __init__(self, config: TrainingConfig, kernels: Sequence[Any]) -> None:
        self._config = config
        self._kernels = kernels
        self.trainable: list[Any] = []

    def variables(self) -> dict[str, Sequence[Any]]:
        """None of its own."""
        return {}

    def compute(
        self, network: keras.Model, batch: dict[str, tf.Tensor], step: tf.Tensor
    ) -> Computed:
        """Choose a batch's triplets and compute their loss."""
        config = self._config
        mined = l2_normalize(tf.cast(network(batch["images"], training=False), tf.float32))
        triplets = tf.numpy_function(
            self._select, [tf.stop_gradient(mined), batch["labels"], step], tf.int64, stateful=False
        )
        triplets = tf.ensure_shape(triplets, (None, 3))
        prelogits = network(batch["images"], training=True)
        computed = l2_normalize(tf.cast(prelogits, tf.float32))
        loss, active_fraction = triplet_loss(computed, triplets, config.triplet_margin)
        norm = prelogits_norm(prelogits, config.prelogits_norm_p)
        decay = tf.add_n([tf.nn.l2_loss(kernel) for kernel in self._kernels])
        total = loss + config.prelogits_norm_factor * norm + config.weight_decay * decay
        values = (
            total,
            loss,
            active_fraction,
            tf.cast(tf.shape(triplets)[0], tf.float32),
            spread(computed),
            norm,
            decay,
        )
        return Computed(total, prelogits, dict(zip(self.columns, values, strict=True)))

    def _select(self, mined: np.ndarray, labels: np.ndarray, step: np.ndarray) -> np.ndarray:
        if not np.isfinite(mined).all():  # the total, which is not finite either, tells of it
            return np.empty((0, 3), np.int64)
        selection = cast(Selection, self._config.triplet_selection)
        seed = (self._config.seed, int(step))
        return select_triplets(mined, labels, self._config.triplet_margin, selection, seed)
