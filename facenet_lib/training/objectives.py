"""What a run minimizes: softmax with center loss, or triplets; each with its own variables.

Mirrors section 6 of the article and, for triplets, what it leaves for later. An objective knows
the losses' settings and variables, and computes from a batch what the step differentiates and
the tables record. Derived in chapter 6, "Training"; triplets in chapter 9, "Triplet loss".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast

import keras
import numpy as np
import tensorflow as tf

from facenet_lib.center_loss import (
    MOST_CENTER_STEP,
    CenterLoss,
    LossFactors,
    LossTerms,
    describe_overshoot,
    prelogits_norm,
    total_loss,
)
from facenet_lib.network.inception_resnet import l2_normalize
from facenet_lib.runs.config import TrainingConfig
from facenet_lib.softmax_heads import SoftmaxHead
from facenet_lib.triplet_loss import (
    COLLAPSED_SPREAD,
    Selection,
    explain_collapse,
    select_triplets,
    spread,
    triplet_loss,
)

COLLAPSED_STEPS = 50
"""So many steps in a row with all embeddings alike end a triplet run."""


class Computed(NamedTuple):
    """What an objective computes from a batch.

    Attributes:
        total: float32 scalar, which is minimized.
        prelogits: float32 ``(n, embedding_size)``, in training mode.
        values: name to float32 scalar, for all names of the objective's ``columns`` and
            ``checked``.
    """

    total: tf.Tensor
    prelogits: tf.Tensor
    values: dict[str, tf.Tensor]


class Check(NamedTuple):
    """What an objective says of a step's values.

    Attributes:
        warning: what should be known, told once; or nothing.
        failure: why the run has to stop; or nothing.
        is_doubtful: whether a failure is near, so that no checkpoint should be made now.
    """

    warning: str = ""
    failure: str = ""
    is_doubtful: bool = False


class Objective(Protocol):
    """What a run needs of a loss."""

    columns: tuple[str, ...]
    """The names of what it computes, in the order of the tables."""
    checked: tuple[str, ...]
    """The names of what else it computes, which only :meth:`check` looks at."""
    validation_columns: tuple[str, ...]
    """The names of what :meth:`validate` returns, in its order."""
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

    def check(self, values: Mapping[str, float]) -> Check:
        """Look at what was computed from a batch, all replicas together, step after step.

        Args:
            values: name to number, for all of ``columns`` and ``checked``.
        """

    def validate(self, network: keras.Model, batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, ...]:
        """Compute figures of images held out, in inference mode.

        Args:
            network: images to prelogits.
            batch: what the input pipeline yields: ``images`` and ``labels``.

        Returns:
            float32 ``(n,)`` for each of ``validation_columns``.
        """


def objective_of(config: TrainingConfig, network: keras.Model, num_identities: int) -> Objective:
    """Return the objective that a run's settings name, with fresh variables.

    Args:
        config: the run's settings.
        network: images to prelogits; its trainable kernels are under weight decay.
        num_identities: people to train on.

    >>> network = keras.Sequential([keras.Input([4]), keras.layers.Dense(2)])
    >>> type(objective_of(TrainingConfig(embedding_size=2), network, 3)).__name__
    'SoftmaxObjective'
    """
    kernels = [variable for variable in network.trainable_variables if variable.name == "kernel"]
    if config.loss == "triplet":
        return TripletObjective(config, kernels)
    return SoftmaxObjective(config, kernels, num_identities)


class SoftmaxObjective(Objective):
    """Cross-entropy over the identities, center loss, prelogits norm and weight decay.

    Source: section 6 of the article.
    """

    columns = (*LossTerms._fields, "accuracy")
    checked = ("center_step",)
    validation_columns = ("cross_entropy", "accuracy")

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
        self._has_warned = False

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

    def check(self, values: Mapping[str, float]) -> Check:
        """Warn when a batch moves a center further than to the other side of its images."""
        if self._has_warned or values["center_step"] <= MOST_CENTER_STEP:
            return Check()
        self._has_warned = True
        return Check(warning=describe_overshoot(values["center_step"]))

    def validate(self, network: keras.Model, batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, ...]:
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


class TripletObjective(Objective):
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
    checked = ()
    validation_columns = ()

    def __init__(self, config: TrainingConfig, kernels: Sequence[Any]) -> None:
        self._config = config
        self._kernels = kernels
        self._collapsed_steps = 0
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

    def check(self, values: Mapping[str, float]) -> Check:
        """End a run whose embeddings have all become one."""
        if not values["spread"] < COLLAPSED_SPREAD:
            self._collapsed_steps = 0
            return Check()
        self._collapsed_steps += 1
        failure = ""
        if self._collapsed_steps >= COLLAPSED_STEPS:
            margin = self._config.triplet_margin
            failure = explain_collapse(values["spread"], margin, self._collapsed_steps)
        return Check(failure=failure, is_doubtful=True)

    def validate(self, network: keras.Model, batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, ...]:
        """Return nothing: there is no classifier that could know a person held out by images."""
        return ()

    def _select(self, mined: np.ndarray, labels: np.ndarray, step: np.ndarray) -> np.ndarray:
        if not np.isfinite(mined).all():  # the total, which is not finite either, tells of it
            return np.empty((0, 3), np.int64)
        selection = cast(Selection, self._config.triplet_selection)
        seed = (self._config.seed, int(step))
        return select_triplets(mined, labels, self._config.triplet_margin, selection, seed)
