"""From a trained network to a SavedModel that takes images and answers with embeddings.

The article's goal ("export the model and put it into TF Serving"); derived in chapter 7,
"Export". What is exported holds the preprocessing, the network in inference mode and the
weights, once, as constants; dropout, logits, losses and optimizer were for training only and stay
behind.
Beside the graph lie a card (:mod:`facenet_lib.model_card`) and requests to warm up with.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tensorflow as tf

from facenet_lib.alignment.graph import GraphAlignment
from facenet_lib.alignment.mtcnn import MtcnnDetector
from facenet_lib.errors import FacenetError
from facenet_lib.export.frozen import freeze_network
from facenet_lib.export.version_folder import (
    card_of,
    check_threshold,
    new_version,
    write_card,
    write_version,
)
from facenet_lib.model_card import WARMUP_REQUESTS
from facenet_lib.models import LoadedNetwork, load_network
from facenet_lib.network.folding import fold_batch_norm
from facenet_lib.signatures.functions import serving_functions
from facenet_lib.signatures.warmup import write_warmup_requests


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
        4 (``signatures.DISTANCE_OF_INVALID``) and ``same`` is False. Without a threshold there is
        no ``same``.
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
    folder = new_version(out, version)
    check_threshold(threshold, false_accept_rate)
    loaded = model if isinstance(model, LoadedNetwork) else load_network(model)
    card = card_of(loaded, dtype, evaluation, threshold, false_accept_rate)
    if alignment is not None:
        detection = {"detector": MtcnnDetector.version, **dataclasses.asdict(alignment)}
        detection["margin"] = alignment.window_margin
        card = dataclasses.replace(card, alignment=detection)
    network = fold_batch_norm(loaded.network, dtype)
    # One function for all signatures, so that what is saved holds the weights once.
    standardized = tf.TensorSpec([None, *network.input_shape[1:]], tf.float32)
    embed = tf.function(freeze_network(network), input_signature=[standardized], autograph=False)
    signatures = serving_functions(embed, loaded.preprocessing, card.threshold, alignment)

    def write(part: Path) -> None:
        tf.saved_model.save(tf.Module(), str(part), signatures=signatures)
        write_card(part, card)
        write_warmup_requests(part / WARMUP_REQUESTS, loaded.preprocessing.window_size)

    try:
        return write_version(folder, write)
    except tf.errors.OpError as error:
        raise FacenetError(
            f"{folder}: cannot be written: {' '.join(error.message.split())}"
        ) from error
