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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import keras
import tensorflow as tf
from keras import KerasTensor, layers

from facenet_lib.checks import integer_problems, number_problems, word_problems
from facenet_lib.errors import refuse
from facenet_lib.network.layers import FusedBatchNormalization, GlobalBatchDropout

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

    >>> network = inception_resnet_v1(75, embedding_size=8, width=0.1, blocks=(0, 0, 0))
    >>> network(tf.zeros([2, 75, 75, 3])).shape
    TensorShape([2, 8])
    """
    counts = [] if len(blocks) == 3 else [f"blocks: expected three counts, found {blocks}"]
    for count in blocks:
        counts += integer_problems("blocks", count, at_least=0)
    refuse(
        "network",
        [
            *integer_problems("image_size", image_size, at_least=MINIMUM_IMAGE_SIZE),
            *integer_problems("embedding_size", embedding_size, at_least=1),
            *number_problems("dropout_rate", dropout_rate, "[0, 1)"),
            *number_problems("width", width, "(0, inf)"),
            *counts,
            *number_problems("batch_norm_momentum", batch_norm_momentum, "[0, 1)"),
            *word_problems("precision", precision, ("float32", "mixed_bfloat16")),
        ],
    )
    make = _LayerMaker(width, batch_norm_momentum)
    images = keras.Input((image_size, image_size, 3), name="images", dtype="float32")
    with _dtype_policy(precision):
        features = _stem(make, images)
        features = _residual_stage(make, features, "Repeat", "block35", blocks[0], "Mixed_5a")
        features = _reduction(make, features, "Mixed_6a")
        features = _residual_stage(make, features, "Repeat_1", "block17", blocks[1], "Mixed_6b")
        features = _reduction(make, features, "Mixed_7a")
        features = _residual_stage(make, features, "Repeat_2", "block8", blocks[2], "Mixed_8a")
        features = _residual_block(make, features, "Block8", "block8", is_last=True)
        features = layers.Identity(name="Mixed_8b")(features)
    with _dtype_policy("float32"):
        features = layers.GlobalAveragePooling2D(name="PreLogitsFlatten")(features)
        features = GlobalBatchDropout(dropout_rate, name="Dropout")(features)
        features = layers.Dense(embedding_size, use_bias=False, name="Bottleneck")(features)
        prelogits = make.batch_norm("Bottleneck")(features)
    return keras.Model(images, prelogits, name="InceptionResnetV1")


def _stem(make: _LayerMaker, images: KerasTensor) -> KerasTensor:
    features = make.conv(images, 32, "Conv2d_1a_3x3", strides=2, padding="valid")
    features = make.conv(features, 32, "Conv2d_2a_3x3", padding="valid")
    features = make.conv(features, 64, "Conv2d_2b_3x3")
    features = layers.MaxPooling2D(3, 2, "valid", name="MaxPool_3a_3x3")(features)
    features = make.conv(features, 80, "Conv2d_3b_1x1", padding="valid")
    features = make.conv(features, 192, "Conv2d_4a_3x3", padding="valid")
    return make.conv(features, 256, "Conv2d_4b_3x3", strides=2, padding="valid")


def _residual_stage(
    make: _LayerMaker, features: KerasTensor, scope: str, kind: str, count: int, end_point: str
) -> KerasTensor:
    for number in range(1, count + 1):
        features = _residual_block(make, features, f"{scope}.{kind}_{number}", kind)
    return layers.Identity(name=end_point)(features)


def _residual_block(
    make: _LayerMaker, features: KerasTensor, name: str, kind: str, is_last: bool = False
) -> KerasTensor:
    """Add the branches, scaled and brought back to the input's depth, to the input."""
    mixed = layers.Concatenate(name=f"{name}.Concat")(_branches(make, features, name, kind))
    # The way back up has a bias and no normalization, in the reference too.
    up = layers.Conv2D(features.shape[-1], 1, name=f"{name}.Conv2d_1x1")(mixed)
    up = layers.Rescaling(1.0 if is_last else RESIDUAL_SCALES[kind], name=f"{name}.Scale")(up)
    features = layers.Add(name=f"{name}.Add")([features, up])
    return features if is_last else layers.Activation("relu", name=f"{name}.Relu")(features)


def _reduction(make: _LayerMaker, features: KerasTensor, name: str) -> KerasTensor:
    branches = _branches(make, features, name, name)
    pool = f"{name}.Branch_{len(branches)}.MaxPool_1a_3x3"
    branches.append(layers.MaxPooling2D(3, 2, "valid", name=pool)(features))
    return layers.Concatenate(name=name)(branches)


# A branch is a row of convolutions: the end of each one's name, which tells its kernel, to its
# channels. Those called 1a halve the grid.
_BRANCHES: dict[str, list[dict[str, int]]] = {
    "block35": [
        {"Conv2d_1x1": 32},
        {"Conv2d_0a_1x1": 32, "Conv2d_0b_3x3": 32},
        {"Conv2d_0a_1x1": 32, "Conv2d_0b_3x3": 32, "Conv2d_0c_3x3": 32},
    ],
    "Mixed_6a": [
        {"Conv2d_1a_3x3": 384},
        {"Conv2d_0a_1x1": 192, "Conv2d_0b_3x3": 192, "Conv2d_1a_3x3": 256},
    ],
    "block17": [
        {"Conv2d_1x1": 128},
        {"Conv2d_0a_1x1": 128, "Conv2d_0b_1x7": 128, "Conv2d_0c_7x1": 128},
    ],
    "Mixed_7a": [
        {"Conv2d_0a_1x1": 256, "Conv2d_1a_3x3": 384},
        {"Conv2d_0a_1x1": 256, "Conv2d_1a_3x3": 256},
        {"Conv2d_0a_1x1": 256, "Conv2d_0b_3x3": 256, "Conv2d_1a_3x3": 256},
    ],
    "block8": [
        {"Conv2d_1x1": 192},
        {"Conv2d_0a_1x1": 192, "Conv2d_0b_1x3": 192, "Conv2d_0c_3x1": 192},
    ],
}


def _branches(make: _LayerMaker, inputs: KerasTensor, name: str, kind: str) -> list[KerasTensor]:
    outputs = []
    for number, convolutions in enumerate(_BRANCHES[kind]):
        branch = inputs
        for part, channels in convolutions.items():
            strides, padding = (2, "valid") if "_1a_" in part else (1, "same")
            layer = f"{name}.Branch_{number}.{part}"
            branch = make.conv(branch, channels, layer, strides, padding)
        outputs.append(branch)
    return outputs


@dataclass(frozen=True)
class _LayerMaker:
    """Makes the convolution and normalization layers that share a width and a momentum."""

    width: float
    batch_norm_momentum: float

    def batch_norm(self, name: str) -> layers.BatchNormalization:
        # No gamma: the next convolution can scale as well, and the reference has none.
        return FusedBatchNormalization(
            scale=False,
            momentum=self.batch_norm_momentum,
            epsilon=BATCH_NORM_EPSILON,
            name=f"{name}.BatchNorm",
        )

    def conv(
        self, inputs: KerasTensor, channels: int, name: str, strides: int = 1, padding: str = "same"
    ) -> KerasTensor:
        """Convolution without bias, batch normalization, ReLU: slim's ``conv2d`` there."""
        kernel = [int(side) for side in name.rpartition("_")[2].split("x")]
        filters = max(8, round(channels * self.width / 8) * 8)
        convolution = layers.Conv2D(filters, kernel, strides, padding, use_bias=False, name=name)
        outputs = self.batch_norm(name)(convolution(inputs))
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


def l2_normalize(prelogits: tf.Tensor) -> tf.Tensor:
    """Scale every row to length one: ``prelogits / sqrt(max(sum(prelogits**2), 1e-10))``.

    Args:
        prelogits: float ``(n, embedding_size)``, not float16, to which 1e-10 is zero.

    Returns:
        ``(n, embedding_size)`` of the same dtype; a row of zeros stays zero.

    Source: section 5 of the article.

    >>> l2_normalize(tf.constant([[0.0, -2.0]])).numpy().tolist()
    [[0.0, -1.0]]
    """
    return tf.math.l2_normalize(prelogits, axis=1, epsilon=EMBEDDING_EPSILON)


def grid_sizes(image_size: int) -> dict[str, int]:
    """Return the side of the feature map after each part of the network that shrinks it.

    Args:
        image_size: side of the square input in pixels.

    Returns:
        Layer name to side, from ``Conv2d_1a_3x3`` to ``Mixed_7a``; 0 where nothing is left.

    >>> grid_sizes(160)["Mixed_7a"]
    3
    """
    strides = {"Conv2d_1a_3x3": 2, "Conv2d_2a_3x3": 1, "MaxPool_3a_3x3": 2, "Conv2d_4a_3x3": 1}
    strides |= {"Conv2d_4b_3x3": 2, "Mixed_6a": 2, "Mixed_7a": 2}
    sides, side = {}, image_size
    for name, stride in strides.items():
        side = sides[name] = max((side - 3) // stride + 1, 0)
    return sides


MINIMUM_IMAGE_SIZE = next(size for size in range(1, 160) if grid_sizes(size)["Mixed_7a"] >= 1)
"""The smallest input in pixels of which the strides leave anything."""


def floating_point_operations(network: keras.Model) -> int:
    """Return how many multiplications and additions one image takes, in inference.

    Only convolutions and dense layers are counted: the rest is less than a hundredth. A training
    step takes three times as many: the gradient to a layer's inputs and that to its kernel are
    convolutions of the same size.

    Args:
        network: images to prelogits, as built or folded.

    >>> floating_point_operations(keras.Sequential([keras.Input([10]), layers.Dense(5)]))
    100
    """
    count = 0
    for layer in network.layers:
        if isinstance(layer, layers.Conv2D | layers.Dense):
            places = math.prod(layer.output.shape[1:-1])
            count += 2 * places * math.prod(layer.kernel.shape)
    return count
