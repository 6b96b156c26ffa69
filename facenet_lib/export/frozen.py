"""A network for inference as a function of TensorFlow that holds its weights as constants.

TensorFlow rearranges a kernel for the processor at every call if it is a variable, which may have
changed, and once if it is a constant. The price is memory: every graph that is loaded and optimized
has copies of its constants. Derived in chapter 7, "Export".
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from facenet_lib.input_pipeline.preprocessing import preprocess
from facenet_lib.input_pipeline.settings import Preprocessing
from facenet_lib.network.inception_resnet import l2_normalize

Compute = Callable[[tf.Tensor], tf.Tensor]


def freeze_network(network: keras.Model) -> Compute:
    """Return a function from standardized images to embeddings, for graphs.

    Args:
        network: standardized images to prelogits, folded
            (:func:`facenet_lib.network.fold_batch_norm`).

    Returns:
        From float32 (n, image_size, image_size, 3), n at least 1, to float32 (n, embedding_size)
        of length one. Each graph that calls it gets the constants anew.

    >>> network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    >>> freeze_network(network)(tf.ones((1, 8, 8, 3))).shape
    TensorShape([1, 192])
    """
    trainable, others = (
        [np.asarray(variable) for variable in variables]
        for variables in (network.trainable_variables, network.non_trainable_variables)
    )

    def embed(images: tf.Tensor) -> tf.Tensor:
        prelogits, _ = network.stateless_call(trainable, others, images, training=False)
        return l2_normalize(prelogits)

    return embed


def freeze_with_pixels(
    network: keras.Model, preprocessing: Preprocessing
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Return a function from windows to embeddings, for programs that cut windows themselves.

    Args:
        network: as for ``freeze_network``.
        preprocessing: how a window becomes the network's input.

    Returns:
        From float32 (n, window_size, window_size, 3) of values 0 to 255 to ``embeddings``.

    >>> network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    >>> freeze_with_pixels(network, Preprocessing(8, crop_size=9))(tf.ones((1, 9, 9, 3))).keys()
    dict_keys(['embeddings'])
    """
    side, image_size = preprocessing.window_size, preprocessing.image_size
    of_resized = Preprocessing(image_size, standardization=preprocessing.standardization)
    matrix = resizing_matrix(side, image_size)
    embed = freeze_network(network)

    def embed_windows(images: tf.Tensor) -> dict[str, tf.Tensor]:
        resized = images if side == image_size else resize(images, matrix)
        return {"embeddings": embed(preprocess(resized, of_resized))}

    return embed_windows


def resizing_matrix(side: int, size: int) -> np.ndarray:
    """Float32 (size, side): how much of each of ``side`` pixels in a row is in each of ``size``."""
    of_each_pixel = tf.eye(side)[:, :, tf.newaxis]
    return tf.image.resize(of_each_pixel, (size, side), antialias=True)[:, :, 0].numpy()


def resize(images: tf.Tensor, matrix: np.ndarray) -> tf.Tensor:
    """Resize as ``tf.image.resize`` does, down the columns and then along the rows.

    Other runtimes have no resizing that averages when it makes smaller. But resizing is linear in
    the pixels, and all of them can multiply.
    """
    size, side = matrix.shape
    columns = tf.matmul(matrix, tf.reshape(images, (-1, side, side * 3)))
    return tf.matmul(matrix, tf.reshape(columns, (-1, size, side, 3)))
