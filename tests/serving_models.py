"""A tiny model with the three signatures, whose every answer is arithmetic on pixels.

The tests compute what a server must answer from the pixels that they drew, with numpy alone.
"""

from __future__ import annotations

import base64
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from facenet_lib.input_pipeline import Preprocessing, decode_and_preprocess

NAME = "tiny"
SIDE = 16
THRESHOLD = 0.05
PREPROCESSING = Preprocessing(image_size=SIDE)

# From an image's mean red, green and blue to its embedding. Version 2 answers twice as much.
WEIGHTS = np.array([[1, 0, 0, 0.5], [0, 1, 0, 0.25], [0, 0, 1, -1]], np.float32)
EMBEDDING_SIZE = WEIGHTS.shape[1]


def save_model(models: Path, version: int) -> Path:
    """Save the model of ``version`` as ``models/version``, whole at once; return that folder."""
    folder = models / str(version)
    part = models.with_name(f".{models.name}-{version}")
    module = _tiny_model(version)
    signatures = {
        "serving_default": module.embed_encoded,
        "embed_tensors": module.embed_tensors,
        "verify": module.verify,
    }
    tf.saved_model.save(module, str(part), signatures=signatures)
    models.mkdir(parents=True, exist_ok=True)
    return part.replace(folder)


def add_version(saved: Path, models: Path, version: int) -> Path:
    """Copy the folder ``saved`` into ``models`` as ``version``, whole at once."""
    part = models.with_name(f".{models.name}-{version}")
    shutil.copytree(saved, part)
    return part.replace(models / str(version))


def remove_version(models: Path, version: int) -> None:
    """Take a version out of ``models``, whole at once."""
    gone = models.with_name(f".{models.name}-{version}-gone")
    (models / str(version)).rename(gone)
    shutil.rmtree(gone)


def pixels(seed: int, side: int = SIDE) -> np.ndarray:
    """A noisy image of one colour, uint8 ``(side, side, 3)``; each seed has a colour of its own."""
    random = np.random.default_rng(seed)
    colour = random.integers(40, 216, 3)
    noise = random.integers(-40, 41, (side, side, 3))
    return (colour + noise).astype(np.uint8)


def png(image: np.ndarray) -> bytes:
    return _encoded(image, "PNG")


def jpeg(image: np.ndarray) -> bytes:
    """A JPEG; only one of a single grey decodes to the pixels that went in."""
    return _encoded(image, "JPEG")


def b64(data: bytes) -> dict[str, str]:
    """Bytes as a value in JSON."""
    return {"b64": base64.b64encode(data).decode()}


def expected_embeddings(images: np.ndarray, version: int) -> np.ndarray:
    """What ``version`` answers for images ``(n, height, width, 3)``."""
    return version * (np.asarray(images, np.float64).mean(axis=(1, 2)) / 255) @ WEIGHTS


def expected_distances(a: np.ndarray, b: np.ndarray, version: int) -> np.ndarray:
    differences = expected_embeddings(a, version) - expected_embeddings(b, version)
    return (differences**2).sum(axis=1)


def _encoded(image: np.ndarray, format: str) -> bytes:
    file = BytesIO()
    Image.fromarray(image).save(file, format)
    return file.getvalue()


def _tiny_model(version: int) -> Any:
    encoded = tf.TensorSpec([None], tf.string)

    class TinyModel(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = tf.Variable(version * WEIGHTS)

        @tf.function(
            input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32, name="images")]
        )
        def embed_tensors(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
            means = tf.reduce_mean(images, axis=(1, 2)) / 255.0
            return {"embeddings": tf.linalg.matmul(means, self.weights)}

        @tf.function(input_signature=[encoded])
        def embed_encoded(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
            standardized, valid = decode_and_preprocess(images, PREPROCESSING)
            embeddings = self.embed_tensors(standardized * 128.0 + 127.5)["embeddings"]
            marked = tf.where(valid[:, tf.newaxis], embeddings, tf.zeros_like(embeddings))
            return {"embeddings": marked, "valid": valid}

        @tf.function(input_signature=[encoded, encoded])
        def verify(self, images_a: tf.Tensor, images_b: tf.Tensor) -> dict[str, tf.Tensor]:
            a, b = self.embed_encoded(images_a), self.embed_encoded(images_b)
            distances = tf.reduce_sum((a["embeddings"] - b["embeddings"]) ** 2, axis=1)
            valid = a["valid"] & b["valid"]
            return {"distances": distances, "valid": valid, "same": valid & (distances < THRESHOLD)}

    return TinyModel()
