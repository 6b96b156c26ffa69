"""Small models whose embeddings are an image's colours, and galleries of coloured people.

One takes crops; the other finds faces itself: the left half of a photograph shows one and the
right half another, where they are not grey. What a server must answer follows from the colours.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, cast

import numpy as np
import tensorflow as tf
from PIL import Image
from serving_models import png

from facenet_lib.alignment.manifest import AlignmentSettings
from facenet_lib.embedding import Embedder
from facenet_lib.input_pipeline import Preprocessing, decode_and_preprocess
from facenet_lib.model_card import CARD, ModelCard
from facenet_lib.recognition.fingerprint import take_fingerprint
from facenet_lib.recognition.gallery import Gallery

SIDE = 16
THRESHOLD = 0.2
MAX_PIXELS = 10_000
PREPROCESSING = Preprocessing(image_size=SIDE)
COLOURS = {"Ann": (250, 60, 60), "Bea": (60, 250, 60), "C\u00e9lia": (60, 60, 250)}
STRANGER = (250, 250, 60)
GREY = (127, 127, 127)
ALIGNMENT = {
    "detector": "halves", "crop": "square", "margin": 0.125, "size": SIDE, "most_faces": 2,
}  # fmt: skip
SETTINGS = AlignmentSettings("all", "square", SIDE, 0.125, "halves", "1")


def save_model(folder: Path, finds_faces: bool, turned: bool = False) -> Path:
    """Save a version, whole at once; ``turned``: another model, of the same embedding size."""
    part = folder.with_name(f".{folder.parent.name}-{folder.name}")
    module = _model(turned)
    signatures = {"serving_default": module.embed_encoded}
    if finds_faces:
        signatures["faces"] = module.embed_faces
    tf.saved_model.save(module, str(part), signatures=signatures)
    card = ModelCard(
        facenet_lib="0",
        embedding_size=3,
        dtype="float32",
        preprocessing=dataclasses.asdict(PREPROCESSING),
        max_pixels=MAX_PIXELS,
        threshold=THRESHOLD,
        alignment=ALIGNMENT if finds_faces else None,
    )
    (part / CARD).parent.mkdir(exist_ok=True)
    (part / CARD).write_text(card.to_json(), encoding="utf-8")
    folder.parent.mkdir(parents=True, exist_ok=True)
    return part.replace(folder)


def gallery_of(turned: bool = False, **people: tuple[int, int, int]) -> Gallery:
    gallery = Gallery(take_fingerprint(cast(Embedder, _Embedder(turned)), "colours"))
    for name, colour in (people or COLOURS).items():
        gallery.enroll(name, [embedding(colour, turned)], ["1.png"])
    return gallery


def photograph(*colours: tuple[int, int, int], side: int = SIDE) -> bytes:
    """A PNG file with these colours side by side."""
    parts = [np.full((side, side, 3), colour, np.uint8) for colour in colours]
    return png(np.concatenate(parts, axis=1))


def embedding(colour: tuple[float, ...], turned: bool = False) -> np.ndarray:
    away = np.array(colour, np.float64) - 127.5
    away = np.roll(away, 1) if turned else away
    return away / np.linalg.norm(away)


def distance(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    return float(np.square(embedding(one) - embedding(other)).sum())


@dataclasses.dataclass(frozen=True)
class _Embedder:
    turned: bool

    def embed(self, paths: list[Path]) -> np.ndarray:
        means = [np.asarray(Image.open(path))[_MIDDLE].mean((0, 1)) for path in paths]
        return np.stack([embedding(tuple(mean), self.turned) for mean in means])


_MIDDLE = (slice(117, 133), slice(117, 133))  # of 250 pixels, what the model sees


def _model(turned: bool) -> Any:
    encoded = tf.TensorSpec([None], tf.string)

    class Colours(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shift = tf.Variable(int(turned))

        def embed(self, images: tf.Tensor) -> tf.Tensor:
            away = tf.roll(tf.reduce_mean(images, axis=(1, 2)), self.shift, axis=1)
            return tf.linalg.l2_normalize(away, axis=1)

        @tf.function(input_signature=[encoded])
        def embed_encoded(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
            standardized, valid = decode_and_preprocess(images, PREPROCESSING)
            embeddings = self.embed(standardized)
            marked = tf.where(valid[:, tf.newaxis], embeddings, tf.zeros_like(embeddings))
            return {"embeddings": marked, "valid": valid}

        @tf.function(input_signature=[encoded])
        def embed_faces(self, photographs: tf.Tensor) -> dict[str, tf.Tensor]:
            whole = Preprocessing(image_size=2 * SIDE)
            standardized, decoded = decode_and_preprocess(photographs, whole)
            middle = standardized[:, SIDE // 2 : -SIDE // 2]  # without the black above and below
            halves = tf.stack([middle[:, :, :SIDE], middle[:, :, SIDE:]], axis=1)
            colourful = tf.math.reduce_std(tf.reduce_mean(halves, axis=(2, 3)), axis=2) > 0.1
            valid = decoded[:, tf.newaxis] & colourful
            flat = self.embed(tf.reshape(halves, (-1, SIDE, SIDE, 3)))
            embeddings = tf.reshape(flat, (-1, 2, 3)) * tf.cast(valid, tf.float32)[..., tf.newaxis]
            boxes = tf.constant([[0, 0, SIDE, SIDE], [SIDE, 0, 2 * SIDE, SIDE]], tf.float32)
            many = tf.shape(photographs)[0]
            return {
                "decoded": decoded,
                "valid": valid,
                "boxes": tf.tile(boxes[tf.newaxis], (many, 1, 1)),
                "landmarks": tf.zeros((many, 2, 5, 2)),
                "scores": tf.cast(valid, tf.float32),
                "embeddings": embeddings,
            }

    return Colours()
