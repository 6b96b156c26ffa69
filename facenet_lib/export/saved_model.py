"""From a trained network to a SavedModel that takes images and answers with embeddings.

The article's goal ("export the model and put it into TF Serving"); derived in chapter 7,
"Export". What is exported holds the preprocessing, the network in inference mode and the
weights, once; dropout, logits, losses and optimizer were for training only and stay behind.
Beside the graph lie a card (:mod:`facenet_lib.model_card`) and requests to warm up with.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from facenet_lib import __version__
from facenet_lib.alignment.graph import GraphAlignment, align_encoded
from facenet_lib.alignment.mtcnn import MtcnnDetector
from facenet_lib.checks import check_integer, number_problems
from facenet_lib.errors import FacenetError, refuse, shown
from facenet_lib.export.warmup import write_warmup_requests
from facenet_lib.files import list_folder, open_whole_folder, read_json
from facenet_lib.input_pipeline.formats import MAX_PIXELS
from facenet_lib.input_pipeline.preprocessing import (
    are_pixels,
    decode_and_preprocess,
    preprocess,
)
from facenet_lib.input_pipeline.settings import Preprocessing
from facenet_lib.model_card import (
    CARD,
    CARD_FOR_PEOPLE,
    WARMUP_REQUESTS,
    ModelCard,
    version_folders,
)
from facenet_lib.models import LoadedNetwork, load_network
from facenet_lib.network.folding import fold_batch_norm
from facenet_lib.network.inception_resnet import l2_normalize
from facenet_lib.runs.config import OLD_METRICS

DISTANCE_OF_INVALID = 4.0
"""What ``verify`` answers where an image is not valid: the largest distance that there is."""


def export_model(
    model: str | Path | LoadedNetwork,
    out: str | Path,
    dtype: str = "float32",
    *,
    version: int | None = None,
    evaluation: str | Path | None = None,
    threshold: float | None = None,
    false_accept_rate: float | None = None,
    alignment: GraphAlignment | None = None,
) -> Path:
    """Write the network of a run or of imported weights as a SavedModel with named signatures.

    ``out`` is the model's folder, in which TF Serving looks for versions; the SavedModel is a
    new one, such as ``out/1``. It has three signatures. Encoded images are strings ``(n,)``,
    each a JPEG or PNG file of any size; all images are cut, resized and standardized as in
    training; an embedding is float32 ``(embedding_size,)`` of length one.

    ``serving_default``
        ``images``, encoded, to ``embeddings`` and ``valid``, bool ``(n,)``: False, with an
        embedding of zeros, where the bytes are no image that can be decoded, or one of more
        than ``input_pipeline.MAX_PIXELS``.
    ``embed_tensors``
        ``images``, float32 ``(n, height, width, 3)`` of values 0 to 255, to ``embeddings``. A
        signature has one dtype: bytes are cast by who sends them. The embedding of what can be
        no pixels (:func:`facenet_lib.input_pipeline.are_pixels`) is not-a-number throughout.
    ``verify``
        ``images_a`` and ``images_b``, encoded, of one length, to ``distances``, squared
        Euclidean, float32 ``(n,)``; ``valid``, whether both images are; and ``same``, whether
        the distance is below the model's threshold. Where a pair is not valid, the distance is
        :data:`DISTANCE_OF_INVALID` and ``same`` is False. Without a threshold there is no
        ``same``.
    ``faces``, with ``alignment`` alone
        ``photographs``, encoded, to the faces in them: ``decoded``, bool ``(n,)``, whether a
        photograph could be read; of each up to k faces, the surest first, ``valid``, bool
        ``(n, k)``, ``boxes``, float32 ``(n, k, 4)``, left, top, right and bottom,
        ``landmarks``, float32 ``(n, k, 5, 2)``, both in pixels of the upright photograph,
        ``scores``, float32 ``(n, k)``, and ``embeddings``, float32 ``(n, k, embedding_size)``;
        zeros where there is none.

    Beside the graph lie the model's card, for programs and for people
    (:mod:`facenet_lib.model_card`), and warm-up requests of drawn faces, which a server answers
    itself before it takes others'.

    The network is folded (:func:`facenet_lib.network.fold_batch_norm`), so that it is faster than
    that of the training and its embeddings are equal up to rounding: that of float32, or that
    of bfloat16 where the run was ``mixed_bfloat16``, whose network is exported in ``dtype`` too.

    Args:
        model: a folder that :func:`facenet_lib.training.train` or
            :func:`facenet_lib.published.import_weights` made, or a network that is loaded.
        out: the model's folder: new, empty, or one that holds versions.
        dtype: ``float32``, or ``bfloat16``: half the size, and up to twice as fast on processors
            with instructions for it (measure on others); embeddings turn by about a degree at
            most on the book's networks, and stay float32.
        version: number of the new version, at least 1; None: one more than the highest.
        evaluation: file of figures that ``facenet evaluate --json`` wrote, for the card and for
            the threshold; None: the run's last evaluation, if it was one of embeddings as the
            signatures compare them (squared Euclidean distance, no mirror images, no mean).
        threshold: in place of the evaluation's, which is the one that was chosen there for a
            false accept rate (``facenet evaluate --false-accept-rate``), or else the best for
            the accuracy.
        false_accept_rate: what ``threshold`` was chosen for: the share of pairs of different
            people that it accepts.
        alignment: how the signature ``faces`` cuts faces out, which should be as the network's
            training images were; it holds MTCNN, whose weights come with the extra
            ``alignment``. None: no such signature.

    Returns:
        The version's folder.

    Raises:
        FacenetError: when ``model`` is neither, an argument is another, ``evaluation`` is one
            with other preprocessing or other distances, or ``out`` is not free or cannot be
            written.

    >>> export_model("run", "models/facenet/1")
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: models/facenet/1: expected the model's folder, such as ...
    """
    out = Path(out)
    folder = out / str(_new_version(out, version))
    _check_threshold(threshold, false_accept_rate)
    loaded = model if isinstance(model, LoadedNetwork) else load_network(model)
    card = _card(loaded, dtype, evaluation, threshold, false_accept_rate)
    if alignment is not None:
        detection = {"detector": MtcnnDetector.version, **dataclasses.asdict(alignment)}
        detection["margin"] = alignment.window_margin
        card = dataclasses.replace(card, alignment=detection)
    network = fold_batch_norm(loaded.network, dtype)
    module = _serving_module(network, loaded.preprocessing, card.threshold, alignment)
    signatures = {
        "serving_default": module.embed_encoded,
        "embed_tensors": module.embed_tensors,
        "verify": module.verify,
    }
    if alignment is not None:
        signatures["faces"] = module.embed_faces
    try:
        with open_whole_folder(folder) as part:
            tf.saved_model.save(module, str(part), signatures=signatures)
            (part / CARD).parent.mkdir()
            (part / CARD).write_text(card.to_json(), "utf-8")
            (part / CARD_FOR_PEOPLE).write_text(card.to_markdown(), "utf-8")
            write_warmup_requests(part / WARMUP_REQUESTS, loaded.preprocessing.window_size)
    except tf.errors.OpError as error:
        raise FacenetError(
            f"{folder}: cannot be written: {' '.join(error.message.split())}"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            out.rmdir()  # only possible where nothing was written
    return folder


def _new_version(out: Path, version: int | None) -> int:
    """The number of a version that can be written to the model's folder ``out``."""
    if out.name.isdecimal():
        raise FacenetError(
            f"{out}: expected the model's folder, such as {out.parent}, in which the export makes "
            "the version's; found a name that is itself a version"
        )
    versions = version_folders(out)
    if not versions and out.exists() and (not out.is_dir() or list_folder(out)):
        raise FacenetError(
            f"{out}: already there; name a folder that is new, empty or holds versions"
        )
    if version is None:
        return max(versions, default=0) + 1
    check_integer("version", version, at_least=1)
    if version in versions:
        raise FacenetError(f"{versions[version]}: already there; name another version")
    return version


def _check_threshold(threshold: float | None, false_accept_rate: float | None) -> None:
    if threshold is None and false_accept_rate is None:
        return
    problems = []
    for name, value in (("threshold", threshold), ("false_accept_rate", false_accept_rate)):
        if value is None:
            problems.append(f"expected both, found no {name}")
        else:
            problems += number_problems(name, value, _RANGES[name])
    refuse("threshold and false accept rate", problems)


def _serving_module(
    network: keras.Model,
    preprocessing: Preprocessing,
    threshold: float | None,
    alignment: GraphAlignment | None,
) -> Any:
    encoded = tf.TensorSpec([None], tf.string)

    class ServingModule(tf.Module):
        """Only what serving needs is an attribute, so only that is saved, and once."""

        def __init__(self) -> None:
            super().__init__(name="facenet")
            self.weights = [variable.value for variable in network.weights]

        @tf.function(input_signature=[encoded])
        def embed_encoded(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
            decoded, valid = decode_and_preprocess(images, preprocessing)
            computed = _embeddings(decoded)
            marked = tf.where(valid[:, tf.newaxis], computed, tf.zeros_like(computed))
            return {"embeddings": marked, "valid": valid}

        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)])
        def embed_tensors(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
            computed = _embeddings(preprocess(images, preprocessing))
            # Not an error, since a server's batch holds the images of others; nor zeros, which
            # are as near to any embedding as some people are to themselves.
            no_numbers = tf.fill(tf.shape(computed), np.nan)
            return {"embeddings": tf.where(are_pixels(images)[:, tf.newaxis], computed, no_numbers)}

        @tf.function(input_signature=[encoded, encoded])
        def verify(self, images_a: tf.Tensor, images_b: tf.Tensor) -> dict[str, tf.Tensor]:
            pairs = tf.shape(images_a)[0]
            unequal = ["expected as many images_b as images_a,", pairs, "found", tf.size(images_b)]
            tf.debugging.Assert(pairs == tf.size(images_b), unequal)
            # All images in one batch, which the network computes faster than two.
            answer = self.embed_encoded(tf.concat([images_a, images_b], axis=0))
            embeddings, valid = answer["embeddings"], answer["valid"]
            distances = tf.reduce_sum((embeddings[:pairs] - embeddings[pairs:]) ** 2, axis=1)
            both_valid = valid[:pairs] & valid[pairs:]
            distances = tf.where(both_valid, distances, DISTANCE_OF_INVALID)
            answers = {"distances": distances, "valid": both_valid}
            if threshold is not None:
                answers["same"] = both_valid & (distances < threshold)
            return answers

    def _embeddings(images: tf.Tensor) -> tf.Tensor:
        # Convolutions on a processor get the shape of an empty batch wrong: give it one image.
        # (Not by tf.pad, which TensorFlow would fuse into the first convolution and lose.)
        count = tf.shape(images)[0]
        spare = tf.zeros([tf.cast(count == 0, tf.int32), *images.shape[1:]])
        padded = tf.concat([images, spare], axis=0)
        return l2_normalize(network(padded, training=False))[:count]

    module = ServingModule()
    if alignment is not None:
        detector = MtcnnDetector()

        def embed_faces(photographs: tf.Tensor) -> dict[str, tf.Tensor]:
            found = dict(align_encoded(photographs, detector, alignment))
            places, crops = tf.where(found["valid"]), found.pop("crops")
            computed = _embeddings(preprocess(tf.gather_nd(crops, places), preprocessing))
            shape = [*tf.unstack(tf.shape(found["valid"], tf.int64)), computed.shape[1]]
            return found | {"embeddings": tf.scatter_nd(places, computed, tf.stack(shape))}

        module.embed_faces = tf.function(embed_faces, input_signature=[encoded])
    return module


# The card


def _card(
    loaded: LoadedNetwork,
    dtype: str,
    evaluation: str | Path | None,
    threshold: float | None,
    false_accept_rate: float | None,
) -> ModelCard:
    about: dict[str, Any] = dict(loaded.origin)
    figures = _last_evaluation(loaded)
    if evaluation is not None:
        figures = _read_evaluation(Path(evaluation), loaded.preprocessing)
    if figures is not None:
        about |= {name: figures[name] for name in _FIGURES} | {"evaluation": figures}
        about["threshold_chosen_for"] = "accuracy"
        if threshold is None and "chosen" in figures:
            threshold = figures["chosen"]["threshold"]
            false_accept_rate = figures["chosen"]["false_accept_rate"]
    if threshold is not None and false_accept_rate is not None:
        about |= {"threshold": float(threshold), "false_accept_rate": float(false_accept_rate)}
        about["threshold_chosen_for"] = "false_accept_rate"
    return ModelCard(
        facenet_lib=__version__,
        embedding_size=loaded.network.output_shape[1],
        dtype=dtype,
        preprocessing=dataclasses.asdict(loaded.preprocessing),
        max_pixels=MAX_PIXELS,
        **about,
    )


_RANGES = {
    "accuracy": "[0, 1]",
    "standard_error": "[0, 1]",
    "threshold": "[0, 4]",
    "false_accept_rate": "[0, 1]",
}
_FIGURES = ("accuracy", "standard_error", "threshold")
"""Of an evaluation, what stands in the card by itself."""
_AS_SERVED = {"metric": "sqeuclidean", "flip": False, "subtract_mean": False}


def _last_evaluation(loaded: LoadedNetwork) -> dict[str, Any] | None:
    """The run's last evaluation, if it compared embeddings as ``verify`` does."""
    how = {name: getattr(loaded.config, f"evaluate_{name}") for name in _AS_SERVED}
    return loaded.evaluation if how == _AS_SERVED else None


def _read_evaluation(path: Path, preprocessing: Preprocessing) -> dict[str, Any]:
    """The figures in a file that ``facenet evaluate --json`` wrote for this model."""
    expected = "what 'facenet evaluate --json' writes"
    figures = read_json(path, expected)
    of_server = "server" in figures
    needed = [*_FIGURES, *_AS_SERVED, *(["preprocessing"] if not of_server else [])]
    missing = [name for name in needed if name not in figures]
    if missing:
        raise FacenetError(
            f"{path}: expected {expected}, with {', '.join(missing)}, found "
            f"{shown(', '.join(figures)) if figures else 'nothing'}"
        )
    refuse(f"{path}: expected {expected}", _figure_problems(figures))
    figures |= {name: float(figures[name]) for name in _FIGURES}
    if isinstance(figures["metric"], str):
        figures["metric"] = OLD_METRICS.get(figures["metric"], figures["metric"])
    found = {name: figures[name] for name in (*_AS_SERVED, "preprocessing") if name in figures}
    if of_server:
        found["preprocessing"] = "that of a server, which does not tell it"
    as_served = _AS_SERVED | {"preprocessing": dataclasses.asdict(preprocessing)}
    problems = [
        f"evaluated with {name} {shown(found[name], 200)}, the model is exported with "
        f"{as_served[name]!r}"
        for name in as_served
        if found[name] != as_served[name]
    ]
    refuse(str(path), problems)
    return figures


def _figure_problems(figures: Mapping[str, Any]) -> list[str]:
    """Tell what is wrong with the numbers of an evaluation."""
    problems = []
    for name in _FIGURES:
        problems += number_problems(name, figures[name], _RANGES[name])
    chosen = figures.get("chosen", {})
    for name in ("threshold", "false_accept_rate") if "chosen" in figures else ():
        value = chosen.get(name) if isinstance(chosen, dict) else chosen
        problems += number_problems(f"chosen {name}", value, _RANGES[name])
    return problems
