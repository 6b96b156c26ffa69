"""The functions around a network that a served model consists of, whatever computes the network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from facenet_lib.alignment.graph import GraphAlignment, align_encoded
from facenet_lib.alignment.mtcnn import MtcnnDetector
from facenet_lib.input_pipeline.preprocessing import (
    are_pixels,
    decode_and_preprocess,
    preprocess,
)
from facenet_lib.input_pipeline.settings import Preprocessing

DISTANCE_OF_INVALID = 4.0
"""What ``verify`` answers where an image is not valid: the largest distance that there is."""


def serving_functions(
    embed: Callable[[tf.Tensor], tf.Tensor],
    preprocessing: Preprocessing,
    threshold: float | None = None,
    alignment: GraphAlignment | None = None,
) -> dict[str, Any]:
    """Return the functions that a served model answers with, by the names of their signatures.

    What each takes and answers stands at :func:`facenet_lib.export.export_model`.

    Args:
        embed: from images as ``preprocessing`` makes them, at least one, to float32
            (n, embedding_size), rows of length one; it becomes part of TensorFlow's graphs.
        preprocessing: how images are prepared for it.
        threshold: distance below which ``verify`` takes two images for one person; None: it
            answers no ``same``.
        alignment: how the signature ``faces`` cuts faces out; None: no such signature.

    Returns:
        Signature to ``tf.function``.

    >>> def brightness(images):
    ...     return tf.reduce_mean(images, axis=(1, 2))
    >>> functions = serving_functions(brightness, Preprocessing(image_size=8))
    >>> sorted(functions), functions["embed_tensors"](tf.zeros((1, 8, 8, 3)))["embeddings"].shape
    (['embed_tensors', 'serving_default', 'verify'], TensorShape([1, 3]))
    """
    encoded = tf.TensorSpec([None], tf.string)

    def embeddings_of(images: tf.Tensor) -> tf.Tensor:
        # Convolutions on a processor get the shape of an empty batch wrong: give it one image.
        # (Not by tf.pad, which TensorFlow would fuse into the first convolution and lose.)
        count = tf.shape(images)[0]
        spare = tf.zeros([tf.cast(count == 0, tf.int32), *images.shape[1:]])
        padded = tf.concat([images, spare], axis=0)
        return embed(padded)[:count]

    @tf.function(input_signature=[encoded])
    def embed_encoded(images: tf.Tensor) -> dict[str, tf.Tensor]:
        decoded, valid = decode_and_preprocess(images, preprocessing)
        computed = embeddings_of(decoded)
        marked = tf.where(valid[:, tf.newaxis], computed, tf.zeros_like(computed))
        return {"embeddings": marked, "valid": valid}

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)])
    def embed_tensors(images: tf.Tensor) -> dict[str, tf.Tensor]:
        computed = embeddings_of(preprocess(images, preprocessing))
        # Not an error, since a server's batch holds the images of others; nor zeros, which
        # are as near to any embedding as some people are to themselves.
        no_numbers = tf.fill(tf.shape(computed), np.nan)
        return {"embeddings": tf.where(are_pixels(images)[:, tf.newaxis], computed, no_numbers)}

    @tf.function(input_signature=[encoded, encoded])
    def verify(images_a: tf.Tensor, images_b: tf.Tensor) -> dict[str, tf.Tensor]:
        pairs = tf.shape(images_a)[0]
        unequal = ["expected as many images_b as images_a,", pairs, "found", tf.size(images_b)]
        tf.debugging.Assert(pairs == tf.size(images_b), unequal)
        # All images in one batch, which the network computes faster than two.
        answer = embed_encoded(tf.concat([images_a, images_b], axis=0))
        embeddings, valid = answer["embeddings"], answer["valid"]
        distances = tf.reduce_sum((embeddings[:pairs] - embeddings[pairs:]) ** 2, axis=1)
        both_valid = valid[:pairs] & valid[pairs:]
        distances = tf.where(both_valid, distances, DISTANCE_OF_INVALID)
        answers = {"distances": distances, "valid": both_valid}
        if threshold is not None:
            answers["same"] = both_valid & (distances < threshold)
        return answers

    functions = {
        "serving_default": embed_encoded,
        "embed_tensors": embed_tensors,
        "verify": verify,
    }
    if alignment is not None:
        detector = MtcnnDetector()

        @tf.function(input_signature=[encoded])
        def embed_faces(photographs: tf.Tensor) -> dict[str, tf.Tensor]:
            found = dict(align_encoded(photographs, detector, alignment))
            places, crops = tf.where(found["valid"]), found.pop("crops")
            computed = embeddings_of(preprocess(tf.gather_nd(crops, places), preprocessing))
            shape = [*tf.unstack(tf.shape(found["valid"], tf.int64)), computed.shape[1]]
            return found | {"embeddings": tf.scatter_nd(places, computed, tf.stack(shape))}

        functions["faces"] = embed_faces
    return functions
