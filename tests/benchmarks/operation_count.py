"""The floating-point operations of a training step, from those of the network."""

from __future__ import annotations

import keras

from facenet_lib.network.inception_resnet import floating_point_operations


def training_operations(network: keras.Model, classes: int) -> int:
    """Those of one image in a training step with ``classes`` logits.

    Backward, every layer has two products of the forward size: the gradient with respect to its
    kernel and that with respect to its input, which the first layer does without.
    """
    first = next(layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D))
    first_layer = floating_point_operations(keras.Model(network.input, first.output))
    head = 2 * network.output_shape[1] * classes
    return 3 * (floating_point_operations(network) + head) - first_layer
