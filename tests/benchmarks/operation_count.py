"""The floating-point operations of a network, counted from its layers.

A multiplication and an addition are two. Convolutions and dense layers count, as nearly all work
is theirs; so the count is what matrix products must do, however the rest is done.
"""

from __future__ import annotations

import math

import keras


def inference_operations(network: keras.Model) -> int:
    """Floating-point operations of one image's way through the network."""
    return 2 * sum(multiply_adds(layer) for layer in network.layers)


def training_operations(network: keras.Model, classes: int) -> int:
    """Those of one image in a training step with ``classes`` logits.

    Backward, every layer has two products of the forward size: the gradient with respect to its
    kernel and that with respect to its input, which the first layer does without.
    """
    first = next(layer for layer in network.layers if multiply_adds(layer))
    head = 2 * network.output_shape[1] * classes
    return 3 * (inference_operations(network) + head) - 2 * multiply_adds(first)


def multiply_adds(layer: keras.layers.Layer) -> int:
    """Products that a layer adds up for one image; 0 for layers without a kernel."""
    if isinstance(layer, keras.layers.Conv2D):
        return math.prod(layer.output.shape[1:3]) * math.prod(layer.kernel.shape)
    if isinstance(layer, keras.layers.Dense):
        return math.prod(layer.kernel.shape)
    return 0
