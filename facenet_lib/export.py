"""From a run to a SavedModel that takes images and answers with embeddings.

The article's goal ("export the model and put it into TF Serving"); derived in chapter 7,
"Export". What is exported holds the preprocessing, the network in inference mode and the
weights, once; dropout, logits, losses and optimizer were for training only and stay behind.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from facenet_lib import __version__
from facenet_lib.checkpoints import writing
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.input_pipeline import (
    Preprocessing,
    decode_and_preprocess,
    decode_image,
    preprocess,
)
from facenet_lib.network import embeddings
from facenet_lib.training import TrainedNetwork, image_embedder, load_run

CARD = Path("assets.extra") / "facenet.json"
"""Where a SavedModel of ours says what it is; TF Serving passes over what lies there."""


class Embedder(Protocol):
    """Anything that turns image files into embeddings: a run or an exported model.

    Derived in chapter 7, "Export".
    """

    @property
    def embedding_size(self) -> int:
        """Length of an embedding."""

    @property
    def preprocessing(self) -> Preprocessing:
        """How an image becomes the network's input."""

    @property
    def identities(self) -> Sequence[str]:
        """The people it was trained on; none for an exported model, which does not name them."""

    def embed(self, paths: Sequence[str | Path], batch_size: int = 64) -> np.ndarray:
        """Return float32 ``(len(paths), embedding_size)``, rows of length one.

        Raises:
            FacenetError: naming the file, when one cannot be decoded.
        """


def load_embedder(model: str | Path) -> Embedder:
    """Load a model, whichever of the two kinds of folder it is.

    Load only models whose origin you trust: a SavedModel is a program that TensorFlow runs.

    Args:
        model: a run that ``training.train`` made, or a SavedModel that :func:`export_run` made.

    Raises:
        FacenetError: when the folder is neither.

    Derived in chapter 7, "Export".
    """
    model = Path(model)
    if (model / "saved_model.pb").is_file():
        return _load_saved_model(model)
    if (model / "config.json").is_file():
        return _RunEmbedder(load_run(model))
    raise FacenetError(
        f"{model}: expected the folder of a run (with config.json) or of a SavedModel "
        f"(with saved_model.pb), found {_what_is_there(model)}"
    )


def export_run(run: str | Path, out: str | Path) -> Path:
    """Write a run's network as a SavedModel with named signatures.

    ``serving_default`` takes ``images``, strings ``(n,)`` that are JPEG or PNG files;
    ``embed_tensors`` takes ``images``, float32 ``(n, height, width, 3)`` of values 0 to 255.
    Both cut, resize and standardize as in training, and answer ``embeddings``, float32
    ``(n, embedding_size)``. ``serving_default`` also answers ``valid``, bool ``(n,)``: False,
    with an embedding of zeros, where the bytes are no image that can be decoded. The folder
    also has a card, ``assets.extra/facenet.json``.

    Args:
        run: a folder that ``training.train`` made.
        out: the SavedModel's folder; must not exist, or be empty.

    Returns:
        ``out`` as a path.

    Raises:
        FacenetError: when ``run`` is no run, or ``out`` is not free or cannot be written.

    Derived in chapter 7, "Export".
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FacenetError(f"{out}: already there; name a folder that is new or empty")
    trained = load_run(run)
    module = _serving_module(trained)
    signatures = {"serving_default": module.embed_encoded, "embed_tensors": module.embed_tensors}
    try:
        with writing(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            # Beside its final place first, so that it is whole there or not at all.
            with tempfile.TemporaryDirectory(prefix=".export-", dir=out.parent) as scratch:
                part = Path(scratch) / "saved_model"
                tf.saved_model.save(module, str(part), signatures=signatures)
                (part / CARD).parent.mkdir()
                (part / CARD).write_text(json.dumps(_card(trained), indent=2) + "\n", "utf-8")
                part.replace(out)
    except tf.errors.OpError as error:
        raise FacenetError(
            f"{out}: cannot be written: {' '.join(error.message.split())}"
        ) from error
    return out


def _serving_module(trained: TrainedNetwork) -> Any:
    network, preprocessing = trained.network, trained.preprocessing

    class ServingModule(tf.Module):
        """Only what serving needs is an attribute, so only that is saved, and once."""

        def __init__(self) -> None:
            super().__init__(name="facenet")
            # Not network.variables, which are also the seeds of dropout.
            self.weights = [variable.value for variable in network.weights]

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="images")])
        def embed_encoded(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
            decoded, valid = decode_and_preprocess(images, preprocessing)
            computed = _embeddings(decoded)
            marked = tf.where(valid[:, tf.newaxis], computed, tf.zeros_like(computed))
            return {"embeddings": marked, "valid": valid}

        @tf.function(
            input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32, name="images")]
        )
        def embed_tensors(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"embeddings": _embeddings(preprocess(images, preprocessing))}

    def _embeddings(images: tf.Tensor) -> tf.Tensor:
        # Convolutions on a processor get the shape of an empty batch wrong: give it one image.
        # (Not by tf.pad, which TensorFlow would fuse into the first convolution and lose.)
        count = tf.shape(images)[0]
        spare = tf.zeros([tf.cast(count == 0, tf.int32), *images.shape[1:]])
        padded = tf.concat([images, spare], axis=0)
        return embeddings(network(padded, training=False))[:count]

    return ServingModule()


def _card(trained: TrainedNetwork) -> dict[str, Any]:
    return {
        "facenet_lib": __version__,
        "embedding_size": trained.config.embedding_size,
        "preprocessing": dataclasses.asdict(trained.preprocessing),
        "training": {"identities": len(trained.identities), "steps": trained.step},
        "evaluation": trained.evaluation,
    }


class _RunEmbedder:
    def __init__(self, trained: TrainedNetwork) -> None:
        self.embedding_size = trained.config.embedding_size
        self.preprocessing = trained.preprocessing
        self.identities = trained.identities
        self._embed = image_embedder(trained.network, trained.preprocessing)

    def embed(self, paths: Sequence[str | Path], batch_size: int = 64) -> np.ndarray:
        return self._embed([str(path) for path in paths], batch_size)


@dataclass(frozen=True)
class _SavedModelEmbedder:
    model: Any  # keeps the variables alive that its signatures read
    embedding_size: int
    preprocessing: Preprocessing
    identities: tuple[str, ...] = ()

    def embed(self, paths: Sequence[str | Path], batch_size: int = 64) -> np.ndarray:
        unique, rows = np.unique(np.asarray(paths, dtype=str), return_inverse=True)
        computed = np.empty((len(unique), self.embedding_size), np.float32)
        signature = self.model.signatures["serving_default"]
        for first in range(0, len(unique), batch_size):
            batch = unique[first : first + batch_size].tolist()
            encoded = [_read_image(path) for path in batch]
            answer = signature(images=tf.constant(encoded))
            problems = [
                _why_invalid(path, image)
                for path, image, valid in zip(batch, encoded, answer["valid"], strict=True)
                if not valid
            ]
            refuse("image files that cannot be used", problems)
            computed[first : first + batch_size] = answer["embeddings"]
        return computed[rows]


def _read_image(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise FacenetError(f"{path}: cannot be read: {error.strerror}") from error


def _why_invalid(path: str, encoded: bytes) -> str:
    try:
        decode_image(tf.constant(encoded))
    except FacenetError as error:
        return f"{path}: {error}"
    return f"{path}: the model cannot decode it"


def _load_saved_model(path: Path) -> _SavedModelEmbedder:
    try:
        card = json.loads((path / CARD).read_text(encoding="utf-8"))
        preprocessing = Preprocessing(**card["preprocessing"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FacenetError(
            f"{path / CARD}: expected the card of a model that 'facenet export' wrote, "
            f"found: {error!r}"
        ) from error
    try:
        model = tf.saved_model.load(str(path))
        answer = model.signatures["serving_default"].structured_outputs
        size = int(answer["embeddings"].shape[1])
    except Exception as error:
        # A damaged program fails wherever the damage makes itself felt.
        raise FacenetError(f"{path}: not a whole SavedModel of ours: {error}") from error
    return _SavedModelEmbedder(model, size, preprocessing)


def _what_is_there(path: Path) -> str:
    if not path.exists():
        return "nothing"
    if not path.is_dir():
        return "a file"
    return ", ".join(sorted(entry.name for entry in path.iterdir())[:5]) or "an empty folder"
