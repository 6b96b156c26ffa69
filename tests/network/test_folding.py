"""The folded network computes what the network does."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf1_reference
from tiny_networks import tiny

from facenet_lib.errors import FacenetError
from facenet_lib.network.folding import fold_batch_norm
from facenet_lib.network.inception_resnet import (
    inception_resnet_v1,
    l2_normalize,
)
from facenet_lib.network.layers import FusedBatchNormalization
from facenet_lib.published.model_folder import assign_tf1_variables


@pytest.mark.slow
def test_folding_keeps_what_the_reference_computes(expected) -> None:
    network = inception_resnet_v1()
    assign_tf1_variables(network, tf1_reference.made_variables())
    images = tf1_reference.standardized_images()
    folded = fold_batch_norm(network)
    prelogits = folded(images, training=False)
    np.testing.assert_allclose(prelogits, expected["prelogits"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(l2_normalize(prelogits), expected["embeddings"], rtol=0, atol=1e-5)
    rounded = fold_batch_norm(network, "bfloat16")(images, training=False)
    assert rounded.dtype == tf.float32
    # Eight bits of mantissa: the angle to the exact embedding stays below two degrees.
    cosines = np.sum(l2_normalize(rounded).numpy() * expected["embeddings"], axis=1)
    assert cosines.min() > 0.9994
    assert np.abs(rounded - prelogits).max() > 1e-3  # it was in fact computed in less precision


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_folding_leaves_convolutions_and_drops_the_rest(precision: str) -> None:
    network = tiny(precision=precision)
    for layer in network.layers:
        if isinstance(layer, FusedBatchNormalization):
            values = np.random.default_rng(2).uniform(0.1, 3.0, layer.moving_variance.shape)
            layer.moving_variance.assign(values)
    folded = fold_batch_norm(network)
    dropped = (keras.layers.BatchNormalization, keras.layers.Rescaling, keras.layers.Dropout)
    assert not any(isinstance(layer, dropped) for layer in folded.layers)
    assert {layer.name for layer in folded.layers} < {layer.name for layer in network.layers}
    images = tf.random.stateless_normal((3, 75, 75, 3), seed=(0, 8))
    exact = tiny()  # in float32, whatever the precision of the training was
    exact.set_weights(network.get_weights())
    np.testing.assert_allclose(folded(images), exact(images), rtol=1e-3, atol=1e-4)
    assert (precision == "float32") == np.allclose(network(images), exact(images), atol=1e-4)
    assert all(weight.dtype == "float32" for weight in folded.weights)
    assert all(
        weight.dtype == ("float32" if "Bottleneck" in weight.path else "bfloat16")
        for weight in fold_batch_norm(network, "bfloat16").weights
    )
    with pytest.raises(FacenetError, match="found 'int8'"):
        fold_batch_norm(network, "int8")


def test_folding_refuses_what_has_no_kernel_before_it_or_another_reader() -> None:
    images = keras.Input((4, 4, 3))
    lonely = keras.layers.BatchNormalization(name="lonely")(images)
    with pytest.raises(FacenetError, match="lonely cannot be folded"):
        fold_batch_norm(keras.Model(images, lonely))
    features = keras.layers.Conv2D(2, 1)(images)
    halves = keras.layers.Rescaling(0.5, name="halves")(features)
    with pytest.raises(FacenetError, match="halves cannot be folded"):
        fold_batch_norm(keras.Model(images, keras.layers.Add()([features, halves])))
    with pytest.raises(FacenetError, match="halves cannot be folded"):
        fold_batch_norm(keras.Model(images, [features, halves]))
    rectified = keras.layers.Conv2D(2, 1, activation="relu")(images)
    after = keras.layers.BatchNormalization(name="after")(rectified)
    with pytest.raises(FacenetError, match="after cannot be folded"):
        fold_batch_norm(keras.Model(images, after))
    depthwise = keras.layers.DepthwiseConv2D(1, name="depthwise")(images)
    with pytest.raises(FacenetError, match="depthwise cannot be folded: a DepthwiseConv2D"):
        fold_batch_norm(keras.Model(images, depthwise))


def test_folding_knows_gamma_and_offsets() -> None:
    images = keras.Input((4, 4, 3))
    features = keras.layers.Conv2D(2, 3, name="conv")(images)
    features = keras.layers.BatchNormalization(name="norm")(features)
    network = keras.Model(images, keras.layers.Rescaling(0.5, offset=2.0)(features))
    generator = np.random.default_rng(3)
    network.set_weights([generator.uniform(0.5, 2.0, w.shape) for w in network.weights])
    inputs = generator.normal(size=(2, 4, 4, 3)).astype(np.float32)
    folded = fold_batch_norm(network)
    assert len(folded.layers) == 2
    np.testing.assert_allclose(folded(inputs), network(inputs), rtol=1e-5, atol=1e-5)
