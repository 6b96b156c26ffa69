"""Image files to embeddings; derived in chapters 6 and 7."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from facenet_lib.errors import FacenetError
from facenet_lib.input_pipeline import (
    Preprocessing,
    explained_errors,
    input_pipeline,
)
from facenet_lib.network.inception_resnet import l2_normalize


def embed_images(
    network: keras.Model,
    paths: Sequence[str],
    preprocessing: Preprocessing,
    batch_size: int = 64,
    flip: bool = False,
) -> np.ndarray:
    """Return the embeddings of image files.

    Args:
        network: images to prelogits.
        paths: JPEG or PNG files; a file that stands there twice is computed once.
        preprocessing: what the network was trained with.
        batch_size: images computed at a time.
        flip: add the embedding of the mirror image.

    Returns:
        float32 ``(len(paths), embedding_size)``, rows of length one. With ``flip``, as the
        reference's ``use_flipped_images`` has it, ``(len(paths), 2 * embedding_size)``: an
        image's embedding and, right of it, that of its window mirrored left to right.

    Raises:
        FacenetError: naming the file, when one cannot be decoded.
    """
    return image_embedder(network, preprocessing)(paths, batch_size, flip)


def image_embedder(network: keras.Model, preprocessing: Preprocessing) -> Callable[..., np.ndarray]:
    """Return :func:`embed_images` for one network, ``embed(paths, batch_size=64, flip=False)``.

    It compiles the network once, and not at every call.
    """
    signature = [tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)]

    @tf.function(input_signature=signature)
    def embed_batch(images: tf.Tensor) -> tf.Tensor:
        return l2_normalize(network(images, training=False))

    @tf.function(input_signature=signature)
    def embed_batch_and_mirror_images(images: tf.Tensor) -> tf.Tensor:
        # Mirroring commutes with the resizing and standardization that the images have behind them.
        return tf.concat([embed_batch(images), embed_batch(tf.reverse(images, [2]))], axis=1)

    def embed(paths: Sequence[str | Path], batch_size: int = 64, flip: bool = False) -> np.ndarray:
        compute = embed_batch_and_mirror_images if flip else embed_batch
        files, rows = unique_files(paths)
        if not files:
            return np.empty((0, network.output_shape[1] * (2 if flip else 1)), np.float32)
        batches = input_pipeline(files, preprocessing=preprocessing, batch_size=batch_size)
        with explained_errors(files):
            computed = np.concatenate([compute(batch["images"]).numpy() for batch in batches])
        return computed[rows]

    return embed


def unique_files(paths: Sequence[str | Path]) -> tuple[list[str], np.ndarray]:
    """Return the files among ``paths``, each once, and which of them stands at each place.

    Images of pairs come up many times: LFW's 12,000 places hold 7,701 images.

    Raises:
        FacenetError: for one path in place of a sequence of them.
    """
    if isinstance(paths, str | Path):
        raise FacenetError(f"expected paths to be a sequence of files, found the one {paths!r}")
    unique, rows = np.unique([str(path) for path in paths], return_inverse=True)
    return unique.tolist(), rows
