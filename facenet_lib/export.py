"""From a trained network to a SavedModel that takes images and answers with embeddings.

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

import keras
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
from facenet_lib.network import embeddings, fold_batch_norm
from facenet_lib.pretrained import PretrainedNetwork
from facenet_lib.training import (
    TrainedNetwork,
    check_is_network,
    image_embedder,
    load_network,
    unique_files,
)

CARD = Path("assets.extra") / "facenet.json"
"""Where a SavedModel of ours says what it is; TF Serving passes over what lies there."""


class Embedder(Protocol):
    """Anything that turns image files into embeddings: a run, imported weights or a SavedModel.

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
        """The people it was trained on; none where the model does not name them: only runs do."""

    def embed(
        self, paths: Sequence[str | Path], batch_size: int = 64, flip: bool = False
    ) -> np.ndarray:
        """Return float32 ``(len(paths), embedding_size)``, rows of length one.

        With ``flip``, twice as wide: right of it the embedding of the mirror image, see
        :func:`facenet_lib.training.embed_images`. A file that stands there twice is decoded once.

        Raises:
            FacenetError: naming the file, when one cannot be decoded.
        """


def load_embedder(
    model: str | Path, *, standardization: str | None = None, crop_size: int | None = None
) -> Embedder:
    """Load a model, whichever of the three kinds of folder it is.

    Load only models whose origin you trust: a SavedModel is a program that TensorFlow runs.

    Args:
        model: a run that ``training.train`` made, a model folder that
            ``pretrained.import_weights`` made, or a SavedModel that :func:`export_model` made.
        standardization: ``"fixed"`` or ``"per_image"``; None: what the model was trained with.
        crop_size: side in pixels of the window at the centre of an image that the network sees,
            for images that show faces larger or smaller than those of the training; None: as in
            training.

    Raises:
        FacenetError: when the folder is none of them, or when a SavedModel, which has its
            preprocessing inside, is asked for another.

    Derived in chapter 7, "Export"; other preprocessing in chapter 11, "The published weights".
    """
    model = Path(model)
    changes: dict[str, Any] = {}
    if standardization is not None:
        changes["standardization"] = standardization
    if crop_size is not None:
        # A frame limits where training's random windows may lie; one at the centre needs none.
        changes |= {"crop_size": crop_size, "frame_size": None}
    if _is_saved_model(model):
        if changes:
            raise FacenetError(
                f"{model}: a SavedModel has its standardization and crop inside, which nothing "
                "can change; name the run or the model folder that it was exported from"
            )
        return _load_saved_model(model)
    check_is_network(model, or_of="a SavedModel (with saved_model.pb)")
    loaded = load_network(model)
    preprocessing = dataclasses.replace(loaded.preprocessing, **changes)
    return _NetworkEmbedder(loaded, preprocessing)


def _is_saved_model(model: Path) -> bool:
    try:
        return (model / "saved_model.pb").is_file()
    except OSError as error:
        raise FacenetError(f"{model}: cannot be read: {error.strerror}") from error


def export_model(model: str | Path, out: str | Path, dtype: str = "float32") -> Path:
    """Write the network of a run or of imported weights as a SavedModel with named signatures.

    ``serving_default`` takes ``images``, strings ``(n,)`` that are JPEG or PNG files;
    ``embed_tensors`` takes ``images``, float32 ``(n, height, width, 3)`` of values 0 to 255.
    Both cut, resize and standardize as in training, and answer ``embeddings``, float32
    ``(n, embedding_size)``. ``serving_default`` also answers ``valid``, bool ``(n,)``: False,
    with an embedding of zeros, where the bytes are no image that can be decoded. The folder
    also has a card, ``assets.extra/facenet.json``.

    The network is folded (:func:`facenet_lib.network.fold_batch_norm`), so that it is faster than
    that of the training and its embeddings are equal up to rounding: that of float32, or that
    of bfloat16 where the run was ``mixed_bfloat16``, whose network is exported in ``dtype`` too.

    Args:
        model: a folder that ``training.train`` or ``pretrained.import_weights`` made.
        out: the SavedModel's folder; must not exist, or be empty.
        dtype: ``float32``, or ``bfloat16``: half the size, and up to twice as fast on processors
            with instructions for it (measure on others); embeddings turn by about a degree at
            most on the book's networks, and stay float32.

    Returns:
        ``out`` as a path.

    Raises:
        FacenetError: when ``model`` is neither, ``dtype`` is another, or ``out`` is not free or
            cannot be written.

    Derived in chapter 7, "Export".
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FacenetError(f"{out}: already there; name a folder that is new or empty")
    loaded = load_network(model)
    module = _serving_module(fold_batch_norm(loaded.network, dtype), loaded.preprocessing)
    signatures = {"serving_default": module.embed_encoded, "embed_tensors": module.embed_tensors}
    try:
        with writing(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            # Beside its final place first, so that it is whole there or not at all.
            with tempfile.TemporaryDirectory(prefix=".export-", dir=out.parent) as scratch:
                part = Path(scratch) / "saved_model"
                tf.saved_model.save(module, str(part), signatures=signatures)
                (part / CARD).parent.mkdir()
                (part / CARD).write_text(json.dumps(_card(loaded, dtype), indent=2) + "\n", "utf-8")
                part.replace(out)
    except tf.errors.OpError as error:
        raise FacenetError(
            f"{out}: cannot be written: {' '.join(error.message.split())}"
        ) from error
    return out


def _serving_module(network: keras.Model, preprocessing: Preprocessing) -> Any:
    class ServingModule(tf.Module):
        """Only what serving needs is an attribute, so only that is saved, and once."""

        def __init__(self) -> None:
            super().__init__(name="facenet")
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


def _card(loaded: TrainedNetwork | PretrainedNetwork, dtype: str) -> dict[str, Any]:
    card = {
        "facenet_lib": __version__,
        "embedding_size": loaded.network.output_shape[1],
        "dtype": dtype,
        "preprocessing": dataclasses.asdict(loaded.preprocessing),
    }
    if isinstance(loaded, PretrainedNetwork):
        return card | {"weights": dataclasses.asdict(loaded.card)}
    training: dict[str, Any] = {
        "identities": len(loaded.identities),
        "steps": loaded.step,
        "precision": loaded.config.precision,
    }
    if loaded.config.initial_model:
        training["initial_model"] = Path(loaded.config.initial_model).name
    return card | {"training": training, "evaluation": loaded.evaluation}


class _NetworkEmbedder:
    def __init__(
        self, loaded: TrainedNetwork | PretrainedNetwork, preprocessing: Preprocessing
    ) -> None:
        self.embedding_size: int = loaded.network.output_shape[1]
        self.preprocessing = preprocessing
        self.identities = loaded.identities if isinstance(loaded, TrainedNetwork) else ()
        self.embed = image_embedder(loaded.network, preprocessing)


@dataclass(frozen=True)
class _SavedModelEmbedder:
    model: Any  # keeps the variables alive that its signatures read
    embedding_size: int
    preprocessing: Preprocessing
    identities: tuple[str, ...] = ()

    def embed(
        self, paths: Sequence[str | Path], batch_size: int = 64, flip: bool = False
    ) -> np.ndarray:
        if not isinstance(batch_size, int) or batch_size < 1:
            raise FacenetError(
                f"expected batch_size to be an integer of at least 1, found {batch_size!r}"
            )
        compute = self._embed_with_mirror_images if flip else self._embed
        files, rows = unique_files(paths)
        computed = np.empty((len(files), self.embedding_size * (2 if flip else 1)), np.float32)
        for first in range(0, len(files), batch_size):
            batch = files[first : first + batch_size]
            encoded = [_read_image(path) for path in batch]
            answer, all_valid = compute(tf.constant(encoded))
            problems = [
                _why_invalid(path, image)
                for path, image, valid in zip(batch, encoded, all_valid, strict=True)
                if not valid
            ]
            refuse("image files that cannot be used", problems)
            computed[first : first + batch_size] = answer
        return computed[rows]

    def _embed(self, encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        answer = self.model.signatures["serving_default"](images=encoded)
        return answer["embeddings"], answer["valid"]

    def _embed_with_mirror_images(self, encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Decode and cut here, because only a tensor can be mirrored, and give those to the model.

        What it then cuts from a window is the whole window.
        """
        cut = Preprocessing(self.preprocessing.window_size, None, self.preprocessing.frame_size)
        standardized, valid = decode_and_preprocess(encoded, cut)
        windows = standardized * 128.0 + 127.5  # undoes fixed standardization, exactly
        embed = self.model.signatures["embed_tensors"]
        sides = [embed(images=images) for images in (windows, tf.reverse(windows, [2]))]
        return tf.concat([side["embeddings"] for side in sides], axis=1), valid


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
