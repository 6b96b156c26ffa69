"""Networks small enough to be built in a test."""

from __future__ import annotations

import keras

from facenet_lib.network.inception_resnet import inception_resnet_v1


def tiny(**arguments) -> keras.Model:
    """The smallest network of the same architecture."""
    defaults = {"image_size": 75, "embedding_size": 8, "width": 0.1, "blocks": (1, 1, 1)}
    return inception_resnet_v1(**{**defaults, **arguments})
