"""Batch normalization and dropout that compute, on any number of replicas, what one would.

Derived in chapter 4, "The network"; chapter 13, "Scaling", has several replicas.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import layers


@keras.saving.register_keras_serializable(package="facenet_lib")
class FusedBatchNormalization(layers.BatchNormalization):
    """Keras' batch normalization, computed by TensorFlow's one operation for it.

    Keras spells the formula out in operations each of which reads and writes the whole feature
    map: with its own layer, a training step of a small network took 1.2 times as long on two cores,
    with one replica and with two. Outputs, gradients and moving statistics are Keras' own up to
    rounding; channels come last, masks are not known. On several replicas the statistics are those
    of the global batch, so that these compute what one process would.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: None = None) -> tf.Tensor:
        """Normalize ``(n, channels)`` or ``(n, height, width, channels)``.

        In training, by the batch's own statistics, unless the layer is frozen (``trainable`` is
        False); then, and in inference, by the moving ones.
        """
        if len(inputs.shape) == 2:  # to the operation, a row of features is an image of one pixel
            return self.call(inputs[:, tf.newaxis, tf.newaxis, :], training)[:, 0, 0, :]
        offset = tf.convert_to_tensor(self.beta)
        scale = tf.ones_like(offset) if self.gamma is None else tf.convert_to_tensor(self.gamma)
        arguments = (inputs, scale, offset, self.epsilon)
        if not (training and self.trainable):
            return _normalize(*arguments, self.moving_mean, self.moving_variance)[0]
        if _replicas() > 1:
            about = tf.convert_to_tensor(self.moving_mean)
            outputs, mean, variance = _normalize_global_batch(*arguments, about)
        else:
            outputs, mean, variance, *_ = _normalize(*arguments)
            # The operation divides by one less than the number of values, Keras by the number.
            count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), variance.dtype)
            variance = variance * (count - 1) / count
        move_average(self.moving_mean, mean, 1 - self.momentum)
        move_average(self.moving_variance, variance, 1 - self.momentum)
        return outputs


def move_average(average: keras.Variable, value: tf.Tensor, part: float | tf.Tensor) -> None:
    """Move a moving average by this part of its way to a value.

    A run has hundreds of averages, and reading each once leaves less to compile at its start.

    Args:
        average: floating-point, of any shape.
        value: of the same shape and dtype.
        part: between 0 and 1.

    >>> move_average(average := keras.Variable(1.0), tf.constant(3.0), 0.25)
    >>> float(average)
    1.5
    """
    before = tf.convert_to_tensor(average)
    average.assign(before - tf.cast(part, before.dtype) * (before - value))


def _normalize(
    inputs: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, epsilon: float, *moments: tf.Tensor
) -> tuple[tf.Tensor, ...]:
    """TensorFlow's operation, by this mean and variance; where there are none, by the batch's."""
    mean, variance = moments or ([], [])
    return tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=scale,
        offset=offset,
        mean=mean,
        variance=variance,
        epsilon=epsilon,
        is_training=not moments,
    )


def _replicas() -> int:
    """How many replicas compute this step together; 1 outside of a step."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def _sum_over_replicas(values: tf.Tensor) -> tf.Tensor:
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def _normalize_global_batch(
    inputs: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, epsilon: float, about: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalize each replica's ``(n, height, width, channels)`` by the statistics of all.

    One sum over the replicas forward and one backward, and otherwise the fused operations.

    Squares are summed about ``about``, float32 ``(channels,)``, any guess of the mean: the
    difference of two large numbers would leave little of a small variance.

    Returns:
        The outputs, and mean and variance over the global batch.
    """
    channels = inputs.shape[-1]

    @tf.custom_gradient
    def normalize(
        inputs: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor
    ) -> tuple[tuple[tf.Tensor, tf.Tensor, tf.Tensor], Any]:
        # The fused operation sums over the images several times faster than tf.reduce_sum does.
        _, own_mean, own_variance, *_ = _normalize(inputs, scale, offset, epsilon)
        count = tf.cast(tf.size(inputs), tf.float32) / channels
        sums = count * (own_mean - about)
        # The operation divides by one less than the number of values.
        squares = (count - 1) * own_variance + count * tf.square(own_mean - about)
        totals = _sum_over_replicas(tf.concat([sums, squares, [count]], axis=0))
        sums, squares, all_values = totals[:channels], totals[channels:-1], totals[-1]
        shift = sums / all_values
        mean = about + shift
        variance = tf.maximum(squares / all_values - tf.square(shift), 0.0)  # less by rounding
        outputs, *_, saved = _normalize(inputs, scale, offset, epsilon, mean, variance)

        def gradient(
            by_outputs: tf.Tensor, by_mean: tf.Tensor, by_variance: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            # As if mean and variance were constants, and then what they owe to the inputs.
            by_inputs, by_scale, by_offset, *_ = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=by_outputs,
                x=inputs,
                scale=scale,
                reserve_space_1=mean,
                reserve_space_2=variance,
                reserve_space_3=saved,
                epsilon=epsilon,
                is_training=False,
            )
            sums = _sum_over_replicas(tf.concat([by_offset, by_scale], axis=0)) / all_values
            mean_by_offset, mean_by_scale = sums[:channels], sums[channels:]
            deviation = tf.math.rsqrt(variance + epsilon)
            # slope * (inputs - mean) + level in one pass; spelled out, it would take three.
            slope = scale * deviation * deviation * mean_by_scale
            level = scale * deviation * mean_by_offset
            owed, *_ = _normalize(inputs, slope, level, 0.0, mean, tf.ones_like(variance))
            return by_inputs - owed, by_scale, by_offset

        return (outputs, mean, variance), gradient

    return normalize(inputs, scale, offset)


@keras.saving.register_keras_serializable(package="facenet_lib")
class GlobalBatchDropout(layers.Dropout):
    """Keras' dropout, which on several replicas drops what one process would.

    Every replica draws for the global batch, from the same seed, and takes its own rows, which
    are those of one process as long as each worker has one replica or there is one worker.
    (Keras' own would drop the same of every replica's rows.)
    """

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Drop of ``(n, features)``, or ``(n, ...)``, in training."""
        if not training or _replicas() == 1:
            return super().call(inputs, training)
        rows = tf.shape(inputs)[0]
        first = rows * tf.distribute.get_replica_context().replica_id_in_sync_group
        shape = tf.concat([[rows * _replicas()], tf.shape(inputs)[1:]], axis=0)
        kept = super().call(tf.ones(shape, inputs.dtype), training)
        return inputs * kept[first : first + rows]
