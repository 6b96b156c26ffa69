"""The network as a function with constants, against the network with variables."""

import numpy as np
import pytest
import tensorflow as tf
from tiny_networks import tiny

from facenet_lib.export.frozen import freeze_network, freeze_with_pixels, resize, resizing_matrix
from facenet_lib.input_pipeline import Preprocessing, preprocess
from facenet_lib.network import fold_batch_norm, l2_normalize


@pytest.mark.parametrize(("side", "size"), [(144, 80), (31, 17), (20, 45)])
def test_resizing_by_products_is_tensorflow_s_resizing(side, size):
    images = np.random.default_rng(0).uniform(0, 255, (1, side, side, 3)).astype(np.float32)
    expected = tf.image.resize(images, (size, size), method="bilinear", antialias=True)
    found = resize(tf.constant(images), resizing_matrix(side, size))
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.slow
def test_the_weights_are_constants_and_the_embeddings_those_of_the_network():
    network = fold_batch_norm(tiny())
    preprocessing = Preprocessing(75, crop_size=84)
    images = np.random.default_rng(0).uniform(0, 255, (2, 84, 84, 3)).astype(np.float32)
    standardized = preprocess(images, preprocessing)
    expected = l2_normalize(network(standardized, training=False))
    np.testing.assert_allclose(freeze_network(network)(standardized), expected, atol=1e-6)
    signature = [tf.TensorSpec([None, 84, 84, 3], tf.float32)]
    function = tf.function(freeze_with_pixels(network, preprocessing), signature, autograph=False)
    np.testing.assert_allclose(function(images)["embeddings"], expected, atol=1e-5)
    frozen = function.get_concrete_function()
    assert not frozen.captured_inputs and not frozen.variables
    for variable in network.variables:  # what becomes of the network afterwards is no matter
        variable.assign(tf.zeros_like(variable))
    np.testing.assert_allclose(function(images)["embeddings"], expected, atol=1e-5)
