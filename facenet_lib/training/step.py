"""One training step: forward, loss, gradients, optimizer, averages.

Derived in chapter 6, "Training".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from facenet_lib.network.layers import move_average
from facenet_lib.runs.tables import PRELOGITS_EDGES
from facenet_lib.training.state import RunState


class StepResult(NamedTuple):
    """What a step computed, of all replicas.

    Attributes:
        values: name to number: what the objective computes, and ``images``, how many images the
            step had.
        stop_asked: whether any replica was told to stop.
        prelogits_counts: int64 (50,), how many absolute prelogits lie in each bin of
            ``runs.tables.PRELOGITS_EDGES``.
    """

    values: dict[str, float]
    stop_asked: bool
    prelogits_counts: NDArray[np.int64]


def training_step(run: RunState, batch_spec: Any) -> Callable[[Any, bool], StepResult]:
    """Compile one step: forward, loss, gradients, optimizer, averages; under the run's strategy.

    Args:
        run: whose variables the step changes.
        batch_spec: what a batch is. It leaves the number of images open, so that a smaller last
            batch, as damaged images leave it, does not compile the step a second time.

    Returns:
        From a batch, and whether this worker wants to stop, to the step's result.
    """
    strategy = run.strategy
    replicas = strategy.num_replicas_in_sync
    average_pairs = run.average_pairs()
    names = (*run.objective.columns, *run.objective.checked)

    def replica_step(batch: dict[str, tf.Tensor], stop: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        step = tf.cast(run.optimizer.iterations, tf.int64)
        with tf.GradientTape() as tape:
            computed = run.objective.compute(run.network, batch, step)
            loss = computed.total / replicas  # the optimizer adds up the replicas' gradients
        run.optimizer.apply(tape.gradient(loss, run.trainable), run.trainable)
        _move_averages(average_pairs, run.config.ema_decay, run.optimizer.iterations)
        images = tf.cast(tf.shape(computed.prelogits)[0], tf.float32) * replicas
        values = [computed.values[name] for name in names]
        # One vector, because workers take a millisecond or more to add up anything at all.
        return tf.stack([*values, images, stop]), _prelogits_counts(computed.prelogits)

    # Nothing here is for AutoGraph to translate, and its search takes a second or two of a start.
    @tf.function(input_signature=[batch_spec, tf.TensorSpec([], tf.float32)], autograph=False)
    def all_replicas_step(
        batch: dict[str, tf.Tensor], stop: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        values, counts = strategy.run(replica_step, args=(batch, stop))
        mean, total = tf.distribute.ReduceOp.MEAN, tf.distribute.ReduceOp.SUM
        return strategy.reduce(mean, values, None), strategy.reduce(total, counts, None)

    def step(batch: Any, stop: bool) -> StepResult:
        values, counts = all_replicas_step(batch, tf.constant(float(stop)))
        *numbers, stop_asked = values.numpy().tolist()
        return StepResult(
            dict(zip((*names, "images"), numbers, strict=True)), stop_asked > 0, counts.numpy()
        )

    return step


def _move_averages(pairs: Sequence[tuple[Any, Any]], decay: float, steps: Any) -> None:
    """Move each average towards its variable, faster at first, as TF 1's averages did.

    Of the average stays the share min(decay, (1 + steps) / (10 + steps)).
    """
    made = tf.cast(steps, tf.float32)
    part = 1.0 - tf.minimum(decay, (1.0 + made) / (10.0 + made))
    for average, variable in pairs:
        move_average(average, tf.convert_to_tensor(variable), part)


def _prelogits_counts(prelogits: tf.Tensor) -> tf.Tensor:
    """How many absolute prelogits are in each bin of the run's histogram, int64."""
    sizes = tf.abs(tf.cast(prelogits, tf.float32))
    sizes = tf.where(tf.math.is_finite(sizes), sizes, 0.0)  # the loss tells of the others
    bins = len(PRELOGITS_EDGES) - 1
    return tf.histogram_fixed_width(sizes, [0.0, float(PRELOGITS_EDGES[-1])], bins, tf.int64)
