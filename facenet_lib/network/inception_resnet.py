"""Inception-ResNet-v1 as a Keras functional model: standardized images in, prelogits out.

Mirrors section 5 of the article; derived in chapter 4, "The network". The architecture is that
of Szegedy et al. 2016 (Inception-v4, Inception-ResNet and the impact of residual connections on
learning, figures 10 to 15) as davidsandberg/facenet laid it out in TF 1: a stem, five 35x35
blocks, a reduction, ten 17x17 blocks, a reduction, five 8x8 blocks and a last one without
activation, an average pool, dropout, and the bottleneck that gives the prelogits.

A layer's name is the scope it had in TF 1 with dots for slashes, so that
``Repeat.block35_1.Branch_0.Conv2d_1x1`` holds ``InceptionResnetV1/Repeat/block35_1/Branch_0/
Conv2d_1x1/weights`` and ``pretrained.assign_tf1_variables`` needs no table.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from facenet_lib.errors import FacenetError

BATCH_NORM_EPSILON = 1e-3
"""Added to the variance in every batch normalization; the reference's value."""

EMBEDDING_EPSILON = 1e-10
"""Least squared norm by which prelogits are divided; the reference's value."""

RESIDUAL_SCALES = {"block35": 0.17, "block17": 0.10, "block8": 0.20}
"""How much of a block's output is added to its input; the reference's values."""


def inception_resnet_v1(
    image_size: int = 160,
    embedding_size: int = 512,
    dropout_rate: float = 0.2,
    width: float = 1.0,
    blocks: tuple[int, int, int] = (5, 10, 5),
    batch_norm_momentum: float = 0.995,
    precision: str = "float32",
) -> keras.Model:
    """Build the network from standardized images to prelogits.

    With the defaults it has the reference's 490 variables and 23,497,424 numbers. Smaller
    ``width`` and ``blocks`` give the same architecture in a size that learns on a laptop.

    Args:
        image_size: side of the square input in pixels; at least 75, which is what the strides
            leave a 1x1 grid of.
        embedding_size: length of the prelogits and so of the embeddings.
        dropout_rate: part of the pooled features that is set to zero in training; the
            reference's "keep probability" is one minus this.
        width: factor on every convolution's number of channels (rounded to a multiple of 8).
        blocks: how many 35x35, 17x17 and 8x8 residual blocks, the last 8x8 block (the one
            without activation) not counted.
        batch_norm_momentum: part of a moving average that one training step keeps. The
            reference's 0.995 suits runs of many thousand steps; a run of one thousand wants 0.95.
        precision: ``float32``, or ``mixed_bfloat16``: everything up to the average pool computes
            in bfloat16 with float32 variables. Pool, bottleneck and prelogits stay float32.

    Returns:
        A functional model, float32 ``(n, image_size, image_size, 3)`` to float32
        ``(n, embedding_size)``. Its end points are the outputs of the layers ``Mixed_5a``,
        ``Mixed_6a``, ``Mixed_6b``, ``Mixed_7a``, ``Mixed_8a``, ``Mixed_8b`` (the reference's
        PrePool) and ``PreLogitsFlatten`` (before the dropout; the reference's is after it).

    Raises:
        FacenetError: for an image size that the strides leave nothing of, or another argument
            out of its range.

    Source: section 5 of the article; Szegedy et al. 2016.
    """
    _check_arguments(image_size, embedding_size, dropout_rate, width, blocks, batch_norm_momentum)
    _check_word("precision", precision, ("float32", "mixed_bfloat16"))
    make = _LayerMaker(width, batch_norm_momentum)
    images = keras.Input((image_size, image_size, 3), name="images", dtype="float32")
    with _dtype_policy(precision):
        features = _stem(make, images)
        features = _residual_stage(make, features, "Repeat", "block35", blocks[0], "Mixed_5a")
        features = _reduction_a(make, features)
        features = _residual_stage(make, features, "Repeat_1", "block17", blocks[1], "Mixed_6b")
        features = _reduction_b(make, features)
        features = _residual_stage(make, features, "Repeat_2", "block8", blocks[2], "Mixed_8a")
        features = _residual_block(make, features, "Block8", "block8", scale=1.0, activation=None)
        features = layers.Identity(name="Mixed_8b")(features)
    with _dtype_policy("float32"):
        features = layers.GlobalAveragePooling2D(name="PreLogitsFlatten")(features)
        features = GlobalBatchDropout(dropout_rate, name="Dropout")(features)
        features = layers.Dense(embedding_size, use_bias=False, name="Bottleneck")(features)
        prelogits = make.batch_norm("Bottleneck")(features)
    return keras.Model(images, prelogits, name="InceptionResnetV1")


def l2_normalize(prelogits: tf.Tensor) -> tf.Tensor:
    """Scale every row to length one: ``prelogits / sqrt(max(sum(prelogits**2), 1e-10))``.

    Args:
        prelogits: float ``(n, embedding_size)``, not float16, to which 1e-10 is zero.

    Returns:
        ``(n, embedding_size)`` of the same dtype; a row of zeros stays zero.

    Source: section 5 of the article.
    """
    return tf.math.l2_normalize(prelogits, axis=1, epsilon=EMBEDDING_EPSILON)


def fold_batch_norm(network: keras.Model, dtype: str = "float32") -> keras.Model:
    """Return a network for inference that computes the same with fewer operations.

    In inference a batch normalization is one factor and one offset a channel, and a block's
    residual scale is one factor: both are multiplied into the kernel and bias of the convolution
    before them. What remains is convolution, bias, addition and ReLU, which TensorFlow runs as
    one operation on processors.

    Args:
        network: what :func:`inception_resnet_v1` built, of any precision.
        dtype: ``float32`` or ``bfloat16``, of the variables and the arithmetic up to the average
            pool; what follows is float32.

    Returns:
        A functional model with the same input and output, whose layers have the same names.
        It has no dropout, batch normalization or scale, and no use in training.

    Raises:
        FacenetError: for another dtype, or a network of another kind that cannot be folded.
    """
    _check_word("dtype", dtype, ("float32", "bfloat16"))
    followers = _followers(network)
    in_float32 = (layers.InputLayer, layers.GlobalAveragePooling2D, layers.Dense)

    def with_bias(layer: layers.Layer) -> layers.Layer:
        config = layer.get_config()
        config["dtype"] = "float32" if isinstance(layer, in_float32) else dtype
        if isinstance(layer, _WITH_KERNEL):
            config["use_bias"] = True
        return type(layer).from_config(config)

    def call(layer: layers.Layer, inputs: object, **_: object) -> object:
        return inputs if isinstance(layer, (*_FOLDED, layers.Dropout)) else layer(inputs)

    folded = keras.models.clone_model(network, clone_function=with_bias, call_function=call)
    for name, following in followers.items():
        folded.get_layer(name).set_weights(_folded_weights(network.get_layer(name), following))
    return folded


def _followers(network: keras.Model) -> dict[str, list[layers.Layer]]:
    """For every layer with a kernel, by name: what is to be multiplied into it, in order."""
    followers: dict[str, list[layers.Layer]] = {}
    carriers: dict[int, str] = {}  # an output's identity to the layer with the kernel behind it
    readers = Counter(id(t) for layer in network.layers for t in keras.tree.flatten(layer.input))
    readers.update(id(t) for t in network.outputs)
    for layer in network.layers:
        if isinstance(layer, _WITH_KERNEL):
            followers[layer.name] = []
            if layer.activation is keras.activations.linear:
                carriers[id(layer.output)] = layer.name
        elif isinstance(layer, _FOLDED):
            name = carriers.get(id(layer.input))
            if name is None or readers[id(layer.input)] > 1:
                raise FacenetError(
                    f"{layer.name} cannot be folded: expected it to be alone in following a "
                    "convolution or dense layer without activation"
                )
            followers[name].append(layer)
            carriers[id(layer.output)] = name
        elif layer.weights:
            raise FacenetError(
                f"{layer.name} cannot be folded: a {type(layer).__name__} with weights"
            )
    return followers


def _folded_weights(layer: layers.Layer, following: list[layers.Layer]) -> list[np.ndarray]:
    """Kernel and bias with what follows multiplied in, computed in float64."""
    kernel, *biases = (np.asarray(weight, np.float64) for weight in layer.weights)
    bias = biases[0] if biases else np.zeros(kernel.shape[-1])
    for follower in following:
        factor, offset = _factor_and_offset(follower)
        kernel, bias = kernel * factor, bias * factor + offset
    return [kernel, bias]


def _factor_and_offset(layer: layers.Layer) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(layer, layers.Rescaling):
        return np.asarray(layer.scale), np.asarray(layer.offset)
    factor = 1 / np.sqrt(np.asarray(layer.moving_variance, np.float64) + layer.epsilon)
    if layer.gamma is not None:
        factor = factor * np.asarray(layer.gamma, np.float64)
    return factor, np.asarray(layer.beta) - np.asarray(layer.moving_mean) * factor


def grid_sizes(image_size: int) -> dict[str, int]:
    """Return the side of the feature map after each part of the network that shrinks it.

    Args:
        image_size: side of the square input in pixels.

    Returns:
        Layer name to side, from ``Conv2d_1a_3x3`` to ``Mixed_7a``; 0 where nothing is left.
    """
    halved_at = {"Conv2d_1a_3x3", "MaxPool_3a_3x3", "Conv2d_4b_3x3", "Mixed_6a", "Mixed_7a"}
    sides: dict[str, int] = {}
    side = image_size
    for name in (
        "Conv2d_1a_3x3",
        "Conv2d_2a_3x3",
        "MaxPool_3a_3x3",
        "Conv2d_4a_3x3",
        "Conv2d_4b_3x3",
        "Mixed_6a",
        "Mixed_7a",
    ):
        side = (side - 3) // 2 + 1 if name in halved_at else side - 2
        side = max(side, 0)
        sides[name] = side
    return sides


def floating_point_operations(network: keras.Model) -> int:
    """Return how many multiplications and additions one image takes, in inference.

    Only convolutions and dense layers are counted: the rest is less than a hundredth. A training
    step takes three times as many: the gradient to a layer's inputs and that to its kernel are
    convolutions of the same size.

    Args:
        network: images to prelogits, as built or folded.
    """
    count = 0
    for layer in network.layers:
        if isinstance(layer, _WITH_KERNEL):
            places = math.prod(layer.output.shape[1:-1])
            count += 2 * places * math.prod(layer.kernel.shape)
    return count


MINIMUM_IMAGE_SIZE = next(size for size in range(1, 160) if grid_sizes(size)["Mixed_7a"] >= 1)
"""The smallest input in pixels of which the strides leave anything."""


@keras.saving.register_keras_serializable(package="facenet_lib")
class FusedBatchNormalization(layers.BatchNormalization):
    """Keras' batch normalization, computed by TensorFlow's one operation for it.

    Keras spells the formula out in operations each of which reads and writes the whole feature
    map. Outputs, gradients and moving statistics are Keras' own up to rounding; channels
    come last, masks are not known. On several replicas the statistics are those of the global
    batch, so that these compute what one process would.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: None = None) -> tf.Tensor:
        """Normalize ``(n, channels)`` or ``(n, height, width, channels)``.

        In training, by the batch's own statistics, unless the layer is frozen (``trainable`` is
        False); then, and in inference, by the moving ones.
        """
        if len(inputs.shape) == 2:  # to the operation, a row of features is an image of one pixel
            return self.call(inputs[:, tf.newaxis, tf.newaxis, :], training)[:, 0, 0, :]
        by_batch = bool(training) and self.trainable
        offset = tf.convert_to_tensor(self.beta)
        scale = tf.ones_like(offset) if self.gamma is None else tf.convert_to_tensor(self.gamma)
        if by_batch and _replicas() > 1:
            moving_mean = tf.convert_to_tensor(self.moving_mean)
            outputs, mean, variance = _normalize_global_batch(
                inputs, scale, offset, moving_mean, self.epsilon
            )
            self._move(self.moving_mean, mean)
            self._move(self.moving_variance, variance)
            return outputs
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=scale,
            offset=offset,
            mean=[] if by_batch else self.moving_mean,
            variance=[] if by_batch else self.moving_variance,
            epsilon=self.epsilon,
            is_training=by_batch,
        )
        if by_batch:
            # The operation divides by one less than the number of values, Keras by the number.
            count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), variance.dtype)
            self._move(self.moving_mean, mean)
            self._move(self.moving_variance, variance * (count - 1) / count)
        return outputs

    def _move(self, average: keras.Variable, value: tf.Tensor) -> None:
        average.assign(average * self.momentum + value * (1 - self.momentum))


def _replicas() -> int:
    """How many replicas compute this step together; 1 outside of a step."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def _sum_over_replicas(values: tf.Tensor) -> tf.Tensor:
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def _normalize_global_batch(
    inputs: tf.Tensor,
    scale: tf.Tensor,
    offset: tf.Tensor,
    about: tf.Tensor,
    epsilon: float,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalize each replica's ``(n, height, width, channels)`` by the statistics of all.

    One sum over the replicas forward and one backward, and otherwise the fused operations.

    Args:
        inputs: the replica's part of the batch.
        scale: float32 ``(channels,)``.
        offset: float32 ``(channels,)``.
        about: float32 ``(channels,)``, any guess of the mean: squares are summed about it, for
            the difference of two large numbers would leave little of a small variance.
        epsilon: added to the variance.

    Returns:
        The outputs, and mean and variance over the global batch.
    """
    channels = inputs.shape[-1]

    @tf.custom_gradient
    def normalize(
        inputs: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor
    ) -> tuple[tuple[tf.Tensor, tf.Tensor, tf.Tensor], Any]:
        # The fused operation sums over the images several times faster than tf.reduce_sum does.
        _, own_mean, own_variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs, scale=scale, offset=offset, mean=[], variance=[], epsilon=epsilon
        )
        count = tf.cast(tf.size(inputs), tf.float32) / channels
        sums = count * (own_mean - about)
        # The operation divides by one less than the number of values.
        squares = (count - 1) * own_variance + count * tf.square(own_mean - about)
        totals = _sum_over_replicas(tf.concat([sums, squares, [count]], axis=0))
        sums, squares, all_values = totals[:channels], totals[channels:-1], totals[-1]
        shift = sums / all_values
        mean = about + shift
        variance = tf.maximum(squares / all_values - tf.square(shift), 0.0)  # less by rounding
        outputs, *_, saved = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=scale,
            offset=offset,
            mean=mean,
            variance=variance,
            epsilon=epsilon,
            is_training=False,
        )

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
            # slope * (inputs - mean) + offset in one pass; spelled out, it would take three.
            owed, *_ = tf.raw_ops.FusedBatchNormV3(
                x=inputs,
                scale=scale * deviation * deviation * mean_by_scale,
                offset=scale * deviation * mean_by_offset,
                mean=mean,
                variance=tf.ones_like(variance),
                epsilon=0.0,
                is_training=False,
            )
            return by_inputs - owed, by_scale, by_offset

        return (outputs, mean, variance), gradient

    outputs, mean, variance = normalize(inputs, scale, offset)
    return outputs, mean, variance


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


_WITH_KERNEL = (layers.Conv2D, layers.Dense)
_FOLDED = (layers.BatchNormalization, layers.Rescaling)


class _LayerMaker:
    """Makes the convolution and normalization layers that share a width and a momentum."""

    def __init__(self, width: float, batch_norm_momentum: float) -> None:
        self.width = width
        self.batch_norm_momentum = batch_norm_momentum

    def channels(self, channels: int) -> int:
        return max(8, round(channels * self.width / 8) * 8)

    def batch_norm(self, name: str) -> layers.BatchNormalization:
        # No gamma: the next convolution can scale as well, and the reference has none.
        return FusedBatchNormalization(
            scale=False,
            momentum=self.batch_norm_momentum,
            epsilon=BATCH_NORM_EPSILON,
            name=f"{name}.BatchNorm",
        )

    def conv(
        self,
        inputs: keras.KerasTensor,
        channels: int,
        kernel_size: int | tuple[int, int],
        name: str,
        strides: int = 1,
        padding: str = "same",
    ) -> keras.KerasTensor:
        """Convolution without bias, batch normalization, ReLU: slim's ``conv2d`` there."""
        outputs = layers.Conv2D(
            self.channels(channels), kernel_size, strides, padding, use_bias=False, name=name
        )(inputs)
        outputs = self.batch_norm(name)(outputs)
        return layers.Activation("relu", name=f"{name}.Relu")(outputs)


@contextmanager
def _dtype_policy(policy: str) -> Iterator[None]:
    """Layers made inside get this policy, whatever the process' own is."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _stem(make: _LayerMaker, images: keras.KerasTensor) -> keras.KerasTensor:
    features = make.conv(images, 32, 3, "Conv2d_1a_3x3", strides=2, padding="valid")
    features = make.conv(features, 32, 3, "Conv2d_2a_3x3", padding="valid")
    features = make.conv(features, 64, 3, "Conv2d_2b_3x3")
    features = layers.MaxPooling2D(3, 2, "valid", name="MaxPool_3a_3x3")(features)
    features = make.conv(features, 80, 1, "Conv2d_3b_1x1", padding="valid")
    features = make.conv(features, 192, 3, "Conv2d_4a_3x3", padding="valid")
    return make.conv(features, 256, 3, "Conv2d_4b_3x3", strides=2, padding="valid")


def _residual_stage(
    make: _LayerMaker,
    features: keras.KerasTensor,
    scope: str,
    kind: str,
    count: int,
    end_point: str,
) -> keras.KerasTensor:
    for number in range(1, count + 1):
        name = f"{scope}.{kind}_{number}"
        scale = RESIDUAL_SCALES[kind]
        features = _residual_block(make, features, name, kind, scale, activation="relu")
    return layers.Identity(name=end_point)(features)


def _residual_block(
    make: _LayerMaker,
    features: keras.KerasTensor,
    name: str,
    kind: str,
    scale: float,
    activation: str | None,
) -> keras.KerasTensor:
    """Add ``scale`` times the branches, brought back to the input's depth, to the input."""
    branches = _BRANCHES[kind](make, features, name)
    mixed = layers.Concatenate(name=f"{name}.Concat")(branches)
    # The way back up has a bias and no normalization, in the reference too.
    up = layers.Conv2D(features.shape[-1], 1, name=f"{name}.Conv2d_1x1")(mixed)
    up = layers.Rescaling(scale, name=f"{name}.Scale")(up)
    features = layers.Add(name=f"{name}.Add")([features, up])
    if activation is None:
        return features
    return layers.Activation(activation, name=f"{name}.Relu")(features)


def _block35_branches(
    make: _LayerMaker, features: keras.KerasTensor, name: str
) -> list[keras.KerasTensor]:
    branch_0 = make.conv(features, 32, 1, f"{name}.Branch_0.Conv2d_1x1")
    branch_1 = make.conv(features, 32, 1, f"{name}.Branch_1.Conv2d_0a_1x1")
    branch_1 = make.conv(branch_1, 32, 3, f"{name}.Branch_1.Conv2d_0b_3x3")
    branch_2 = make.conv(features, 32, 1, f"{name}.Branch_2.Conv2d_0a_1x1")
    branch_2 = make.conv(branch_2, 32, 3, f"{name}.Branch_2.Conv2d_0b_3x3")
    branch_2 = make.conv(branch_2, 32, 3, f"{name}.Branch_2.Conv2d_0c_3x3")
    return [branch_0, branch_1, branch_2]


def _block17_branches(
    make: _LayerMaker, features: keras.KerasTensor, name: str
) -> list[keras.KerasTensor]:
    branch_0 = make.conv(features, 128, 1, f"{name}.Branch_0.Conv2d_1x1")
    branch_1 = make.conv(features, 128, 1, f"{name}.Branch_1.Conv2d_0a_1x1")
    branch_1 = make.conv(branch_1, 128, (1, 7), f"{name}.Branch_1.Conv2d_0b_1x7")
    branch_1 = make.conv(branch_1, 128, (7, 1), f"{name}.Branch_1.Conv2d_0c_7x1")
    return [branch_0, branch_1]


def _block8_branches(
    make: _LayerMaker, features: keras.KerasTensor, name: str
) -> list[keras.KerasTensor]:
    branch_0 = make.conv(features, 192, 1, f"{name}.Branch_0.Conv2d_1x1")
    branch_1 = make.conv(features, 192, 1, f"{name}.Branch_1.Conv2d_0a_1x1")
    branch_1 = make.conv(branch_1, 192, (1, 3), f"{name}.Branch_1.Conv2d_0b_1x3")
    branch_1 = make.conv(branch_1, 192, (3, 1), f"{name}.Branch_1.Conv2d_0c_3x1")
    return [branch_0, branch_1]


_BRANCHES = {
    "block35": _block35_branches,
    "block17": _block17_branches,
    "block8": _block8_branches,
}


def _reduction_a(make: _LayerMaker, features: keras.KerasTensor) -> keras.KerasTensor:
    branch_0 = make.conv(features, 384, 3, "Mixed_6a.Branch_0.Conv2d_1a_3x3", 2, "valid")
    branch_1 = make.conv(features, 192, 1, "Mixed_6a.Branch_1.Conv2d_0a_1x1")
    branch_1 = make.conv(branch_1, 192, 3, "Mixed_6a.Branch_1.Conv2d_0b_3x3")
    branch_1 = make.conv(branch_1, 256, 3, "Mixed_6a.Branch_1.Conv2d_1a_3x3", 2, "valid")
    pooled = layers.MaxPooling2D(3, 2, "valid", name="Mixed_6a.Branch_2.MaxPool_1a_3x3")(features)
    return layers.Concatenate(name="Mixed_6a")([branch_0, branch_1, pooled])


def _reduction_b(make: _LayerMaker, features: keras.KerasTensor) -> keras.KerasTensor:
    branch_0 = make.conv(features, 256, 1, "Mixed_7a.Branch_0.Conv2d_0a_1x1")
    branch_0 = make.conv(branch_0, 384, 3, "Mixed_7a.Branch_0.Conv2d_1a_3x3", 2, "valid")
    branch_1 = make.conv(features, 256, 1, "Mixed_7a.Branch_1.Conv2d_0a_1x1")
    branch_1 = make.conv(branch_1, 256, 3, "Mixed_7a.Branch_1.Conv2d_1a_3x3", 2, "valid")
    branch_2 = make.conv(features, 256, 1, "Mixed_7a.Branch_2.Conv2d_0a_1x1")
    branch_2 = make.conv(branch_2, 256, 3, "Mixed_7a.Branch_2.Conv2d_0b_3x3")
    branch_2 = make.conv(branch_2, 256, 3, "Mixed_7a.Branch_2.Conv2d_1a_3x3", 2, "valid")
    pooled = layers.MaxPooling2D(3, 2, "valid", name="Mixed_7a.Branch_3.MaxPool_1a_3x3")(features)
    return layers.Concatenate(name="Mixed_7a")([branch_0, branch_1, branch_2, pooled])


def _check_word(name: str, found: str, known: tuple[str, ...]) -> None:
    if found not in known:
        raise FacenetError(f"{name} must be one of {', '.join(known)}, found {found!r}")


def _check_arguments(
    image_size: int,
    embedding_size: int,
    dropout_rate: float,
    width: float,
    blocks: tuple[int, int, int],
    batch_norm_momentum: float,
) -> None:
    if image_size < MINIMUM_IMAGE_SIZE:
        raise FacenetError(
            f"image_size {image_size} is too small for the network's strides: "
            f"expected at least {MINIMUM_IMAGE_SIZE} pixels"
        )
    if embedding_size < 1:
        raise FacenetError(f"embedding_size must be at least 1, found {embedding_size}")
    if not 0.0 <= dropout_rate < 1.0:
        raise FacenetError(f"dropout_rate must be in [0, 1), found {dropout_rate}")
    if not width > 0.0:
        raise FacenetError(f"width must be positive, found {width}")
    if len(blocks) != 3 or min(blocks) < 0:
        raise FacenetError(f"blocks must be three counts of at least 0, found {blocks}")
    if not 0.0 <= batch_norm_momentum < 1.0:
        raise FacenetError(f"batch_norm_momentum must be in [0, 1), found {batch_norm_momentum}")
