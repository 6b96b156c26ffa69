"""The network for inference, with batch normalization and scales folded into its kernels.

Derived in chapter 4, "The network".
"""

from __future__ import annotations

from collections import Counter

import keras
import numpy as np
from keras import layers

from facenet_lib.checks import word_problems
from facenet_lib.errors import FacenetError, refuse

_WITH_KERNEL = (layers.Conv2D, layers.Dense)
_FOLDED = (layers.BatchNormalization, layers.Rescaling)


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

    >>> inputs = keras.Input([3])
    >>> outputs = layers.BatchNormalization()(layers.Dense(2, use_bias=False)(inputs))
    >>> network = keras.Model(inputs, outputs)
    >>> len(network.variables), len(fold_batch_norm(network).variables)
    (5, 2)
    """
    refuse("folding", word_problems("dtype", dtype, ("float32", "bfloat16")))
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
