"""From a trained network to a SavedModel that takes images and answers with embeddings.

The article's goal ("export the model and put it into TF Serving"); derived in chapter 7,
"Export". What is exported holds the preprocessing, the network in inference mode and the
weights, once; dropout, logits, losses and optimizer were for training only and stay behind.
Beside the graph lie a card (:mod:`facenet_lib.model_card`) and requests to warm up with.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import json
import numbers
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from facenet_lib import __version__
from facenet_lib.drawn_faces.identity import draw_identity
from facenet_lib.drawn_faces.nuisance import draw_nuisance
from facenet_lib.drawn_faces.render import render_face
from facenet_lib.embedding import image_embedder, unique_files
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.files import explain_write_errors
from facenet_lib.input_pipeline import (
    MAX_PIXELS,
    Preprocessing,
    decode_and_preprocess,
    decode_image,
    preprocess,
)
from facenet_lib.model_card import (
    CARD,
    CARD_FOR_PEOPLE,
    ModelCard,
    read_card,
    version_folders,
)
from facenet_lib.models import TrainedNetwork, check_is_network, load_network
from facenet_lib.network.inception_resnet import fold_batch_norm, l2_normalize
from facenet_lib.published.model_folder import PretrainedNetwork

WARMUP_REQUESTS = Path("assets.extra") / "tf_serving_warmup_requests"
"""Where TF Serving looks for requests that it answers itself before it answers anyone."""

DISTANCE_OF_INVALID = 4.0
"""What ``verify`` answers where an image is not valid: the largest distance that there is."""


class Embedder(Protocol):
    """Anything that turns image files into embeddings: a run, imported weights or a SavedModel."""

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
        :func:`facenet_lib.embedding.embed_images`. A file that stands there twice is decoded once.

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
            ``pretrained.import_weights`` made, or a SavedModel that :func:`export_model` made: a
            version's folder, or the model's, of which the highest version is loaded.
        standardization: ``"fixed"`` or ``"per_image"``; None: what the model was trained with.
        crop_size: side in pixels of the window at the centre of an image that the network sees,
            for images that show faces larger or smaller than those of the training; None: as in
            training.

    Raises:
        FacenetError: when the folder is none of them, or when a SavedModel, which has its
            preprocessing inside, is asked for another.
    """
    model = Path(model)
    changes: dict[str, Any] = {}
    if standardization is not None:
        changes["standardization"] = standardization
    if crop_size is not None:
        # A frame limits where training's random windows may lie; one at the centre needs none.
        changes |= {"crop_size": crop_size, "frame_size": None}
    saved_model = _saved_model_in(model)
    if saved_model is not None:
        if changes:
            raise FacenetError(
                f"{model}: a SavedModel has its standardization and crop inside, which nothing "
                "can change; name the run or the model folder that it was exported from"
            )
        return _load_saved_model(saved_model)
    check_is_network(model, or_of="a SavedModel (with saved_model.pb)")
    loaded = load_network(model)
    preprocessing = dataclasses.replace(loaded.preprocessing, **changes)
    return _NetworkEmbedder(loaded, preprocessing)


def _saved_model_in(model: Path) -> Path | None:
    """The SavedModel that is the folder itself, or the highest version in it."""
    try:
        for folder in (model, *reversed(version_folders(model).values())):
            if (folder / "saved_model.pb").is_file():
                return folder
    except OSError as error:
        raise FacenetError(f"{model}: cannot be read: {error.strerror}") from error
    return None


def export_model(
    model: str | Path,
    out: str | Path,
    dtype: str = "float32",
    *,
    version: int | None = None,
    evaluation: str | Path | None = None,
    threshold: float | None = None,
    false_accept_rate: float | None = None,
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
        signature has one dtype: bytes are cast by who sends them.
    ``verify``
        ``images_a`` and ``images_b``, encoded, of one length, to ``distances``, squared
        Euclidean, float32 ``(n,)``; ``valid``, whether both images are; and ``same``, whether
        the distance is below the model's threshold. Where a pair is not valid, the distance is
        :data:`DISTANCE_OF_INVALID` and ``same`` is False. Without a threshold there is no
        ``same``.

    Beside the graph lie the model's card, for programs and for people
    (:mod:`facenet_lib.model_card`), and warm-up requests of drawn faces, which a server answers
    itself before it takes others'.

    The network is folded (:func:`facenet_lib.network.fold_batch_norm`), so that it is faster than
    that of the training and its embeddings are equal up to rounding: that of float32, or that
    of bfloat16 where the run was ``mixed_bfloat16``, whose network is exported in ``dtype`` too.

    Args:
        model: a folder that ``training.train`` or ``pretrained.import_weights`` made.
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

    Returns:
        The version's folder.

    Raises:
        FacenetError: when ``model`` is neither, an argument is another, ``evaluation`` is one
            with other preprocessing or other distances, or ``out`` is not free or cannot be
            written.
    """
    out = Path(out)
    folder = out / str(_new_version(out, version))
    _check_threshold(threshold, false_accept_rate)
    loaded = load_network(model)
    card = _card(loaded, dtype, evaluation, threshold, false_accept_rate)
    network = fold_batch_norm(loaded.network, dtype)
    module = _serving_module(network, loaded.preprocessing, card.threshold)
    signatures = {
        "serving_default": module.embed_encoded,
        "embed_tensors": module.embed_tensors,
        "verify": module.verify,
    }
    try:
        with explain_write_errors(folder):
            out.mkdir(parents=True, exist_ok=True)
            # Beside its final place first, so that it is whole there or not at all.
            with tempfile.TemporaryDirectory(prefix=".export-", dir=out) as scratch:
                part = Path(scratch) / "saved_model"
                tf.saved_model.save(module, str(part), signatures=signatures)
                (part / CARD).parent.mkdir()
                (part / CARD).write_text(card.to_json(), "utf-8")
                (part / CARD_FOR_PEOPLE).write_text(card.to_markdown(), "utf-8")
                _write_warmup_requests(part / WARMUP_REQUESTS, loaded.preprocessing.window_size)
                part.replace(folder)
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
    if not versions and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FacenetError(
            f"{out}: already there; name a folder that is new, empty or holds versions"
        )
    if version is None:
        return max(versions, default=0) + 1
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise FacenetError(f"expected version to be an integer of at least 1, found {version!r}")
    if version in versions:
        raise FacenetError(f"{versions[version]}: already there; name another version")
    return version


def _check_threshold(threshold: float | None, false_accept_rate: float | None) -> None:
    if threshold is None and false_accept_rate is None:
        return
    problems = []
    for name, value, highest in (
        ("threshold", threshold, 4),
        ("false_accept_rate", false_accept_rate, 1),
    ):
        if value is None:
            problems.append(f"expected both, found no {name}")
        elif not (isinstance(value, numbers.Real) and 0 <= value <= highest):
            problems.append(f"expected {name} to be from 0 to {highest}, found {value!r}")
    refuse("threshold and false accept rate", problems)


def _serving_module(
    network: keras.Model, preprocessing: Preprocessing, threshold: float | None
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
            return {"embeddings": _embeddings(preprocess(images, preprocessing))}

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

    return ServingModule()


# --------------------------------------------------------------------------------------------
# The card
# --------------------------------------------------------------------------------------------


def _card(
    loaded: TrainedNetwork | PretrainedNetwork,
    dtype: str,
    evaluation: str | Path | None,
    threshold: float | None,
    false_accept_rate: float | None,
) -> ModelCard:
    about: dict[str, Any] = {}
    figures = _last_evaluation(loaded)
    if evaluation is not None:
        figures = _read_evaluation(Path(evaluation), loaded.preprocessing)
    if figures is not None:
        about = {name: figures[name] for name in _HIGHEST} | {"evaluation": figures}
        about["threshold_chosen_for"] = "accuracy"
        if threshold is None and "chosen" in figures:
            threshold = figures["chosen"]["threshold"]
            false_accept_rate = figures["chosen"]["false_accept_rate"]
    if threshold is not None and false_accept_rate is not None:
        about |= {"threshold": float(threshold), "false_accept_rate": float(false_accept_rate)}
        about["threshold_chosen_for"] = "false_accept_rate"
    if isinstance(loaded, PretrainedNetwork):
        about["weights"] = dataclasses.asdict(loaded.card)
    else:
        about["training"] = _training(loaded)
    return ModelCard(
        facenet_lib=__version__,
        embedding_size=loaded.network.output_shape[1],
        dtype=dtype,
        preprocessing=dataclasses.asdict(loaded.preprocessing),
        max_pixels=MAX_PIXELS,
        **about,
    )


_HIGHEST = {"accuracy": 1, "standard_error": 1, "threshold": 4}
"""The figures that stand in the card by themselves, and how large each can be."""


def _training(loaded: TrainedNetwork) -> dict[str, Any]:
    training: dict[str, Any] = {
        "identities": len(loaded.identities),
        "steps": loaded.step,
        "precision": loaded.config.precision,
    }
    if loaded.config.initial_model:
        training["initial_model"] = Path(loaded.config.initial_model).name
    return training


_AS_SERVED = {"metric": "sqeuclidean", "flip": False, "subtract_mean": False}


def _last_evaluation(loaded: TrainedNetwork | PretrainedNetwork) -> dict[str, Any] | None:
    """The run's last evaluation, if it compared embeddings as ``verify`` does."""
    if isinstance(loaded, PretrainedNetwork):
        return None
    how = {name: getattr(loaded.config, f"evaluate_{name}") for name in _AS_SERVED}
    return loaded.evaluation if how == _AS_SERVED else None


def _read_evaluation(path: Path, preprocessing: Preprocessing) -> dict[str, Any]:
    """The figures in a file that ``facenet evaluate --json`` wrote for this model."""
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
        values = {name: float(figures[name]) for name in _HIGHEST}
        if "chosen" in figures:
            chosen = figures["chosen"]
            _check_threshold(chosen["threshold"], chosen["false_accept_rate"])
        found = {name: figures[name] for name in _AS_SERVED}
        of_server = "that of a server, which does not tell it"
        found["preprocessing"] = of_server if "server" in figures else figures["preprocessing"]
    except (OSError, ValueError, OverflowError, LookupError, TypeError, RecursionError) as error:
        raise FacenetError(
            f"{path}: expected what 'facenet evaluate --json' writes, found: {error!r}"
        ) from error
    as_served = _AS_SERVED | {"preprocessing": dataclasses.asdict(preprocessing)}
    problems = [
        f"evaluated with {name} {found[name]!r}, the model is exported with {as_served[name]!r}"
        for name in as_served
        if found[name] != as_served[name]
    ]
    problems += [
        f"{name}: expected a number from 0 to {_HIGHEST[name]}, found {value}"
        for name, value in values.items()
        if not 0 <= value <= _HIGHEST[name]
    ]
    refuse(str(path), problems)
    return figures | values


# --------------------------------------------------------------------------------------------
# Warm-up
# --------------------------------------------------------------------------------------------

_WARMUP_SIZES = (1, 2)


def _write_warmup_requests(path: Path, side: int) -> None:
    """Write requests for each signature, TFRecord of TF Serving's ``PredictionLog``.

    The first request of a signature is slow, because its graph is optimized then; so is, less,
    the first of a second batch size. Further sizes cost next to nothing.
    """
    faces, proto = _warmup_faces(), tf.make_tensor_proto
    with tf.io.TFRecordWriter(str(path)) as writer:
        for size in _WARMUP_SIZES:
            images, others = proto(faces[:size]), proto(faces[-size:])
            grey = proto(127.5, shape=[size, side, side, 3])  # one number, which is repeated
            for signature, inputs in (
                ("serving_default", {"images": images}),
                ("verify", {"images_a": images, "images_b": others}),
                ("embed_tensors", {"images": grey}),
            ):
                writer.write(_prediction_log(signature, inputs))


@functools.lru_cache(maxsize=1)
def _warmup_faces() -> list[bytes]:
    return drawn_faces(4)


def drawn_faces(count: int) -> list[bytes]:
    """Draw ``count`` people, one picture of each, as JPEG files of 160 x 160 pixels."""
    files = []
    for number in range(count):
        file = io.BytesIO()
        face = render_face(draw_identity(number), draw_nuisance(number))
        Image.fromarray(face).save(file, "JPEG")
        files.append(file.getvalue())
    return files


def _prediction_log(signature: str, inputs: Mapping[str, Any]) -> bytes:
    """A request as TF Serving's log has it, a protocol buffer ``PredictionLog``.

    Written by hand, since only the package tensorflow-serving-api has the class: a message is a
    row of fields, and all that are needed here are strings and messages.
    """
    model_spec = _field(3, signature.encode())  # of ModelSpec: signature_name
    request = _field(1, model_spec)  # of PredictRequest: model_spec, and below inputs
    for name, tensor in inputs.items():
        request += _field(2, _field(1, name.encode()) + _field(2, tensor.SerializeToString()))
    return _field(6, _field(1, request))  # of PredictionLog: predict_log; of that: request


def _field(number: int, content: bytes) -> bytes:
    """A field of a protocol buffer: its number with the mark 2 for bytes, its length, its bytes."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """A number in groups of seven bits, the lowest first; all but the last carry an eighth bit."""
    groups = []
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    return bytes([*groups, number])


# --------------------------------------------------------------------------------------------
# Models as embedders
# --------------------------------------------------------------------------------------------


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
        windows, valid = decode_windows(encoded, self.preprocessing)
        embed = self.model.signatures["embed_tensors"]
        sides = [embed(images=images) for images in (windows, tf.reverse(windows, [2]))]
        return tf.concat([side["embeddings"] for side in sides], axis=1), valid


def decode_windows(encoded: tf.Tensor, preprocessing: Preprocessing) -> tuple[tf.Tensor, tf.Tensor]:
    """Decode image files and cut the window that the network sees, but leave it as pixels.

    Args:
        encoded: string (n,), the bytes of n JPEG or PNG files.
        preprocessing: says which window.

    Returns:
        ``windows``, float32 (n, window_size, window_size, 3) of values 0 to 255, and ``valid``,
        bool (n,), as :func:`facenet_lib.input_pipeline.decode_and_preprocess` has it.
    """
    cut = Preprocessing(preprocessing.window_size, None, preprocessing.frame_size)
    standardized, valid = decode_and_preprocess(encoded, cut)
    return standardized * 128.0 + 127.5, valid  # undoes fixed standardization, exactly


def read_windows(paths: Sequence[str | Path], preprocessing: Preprocessing) -> Iterator[np.ndarray]:
    """Read image files one after the other, each as the window that the network sees.

    Yields:
        Float32 (window_size, window_size, 3) of values 0 to 255.

    Raises:
        FacenetError: naming the file, when one cannot be read or decoded.
    """
    decode = tf.function(
        functools.partial(decode_windows, preprocessing=preprocessing),
        input_signature=[tf.TensorSpec([1], tf.string)],
    )
    for path in map(str, paths):
        file = _read_image(path)
        windows, valid = decode(tf.constant([file]))
        if not valid[0]:
            raise FacenetError(_why_invalid(path, file))
        yield windows[0].numpy()


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
    card = read_card(path)
    try:
        preprocessing = Preprocessing(**card.preprocessing)
    except (FacenetError, TypeError) as error:
        raise FacenetError(
            f"{path / CARD}: expected the card of a model that 'facenet export' wrote, "
            f"found: {error}"
        ) from error
    try:
        model = tf.saved_model.load(str(path))
        answer = model.signatures["serving_default"].structured_outputs
        size = int(answer["embeddings"].shape[1])
    except Exception as error:
        # A damaged program fails wherever the damage makes itself felt.
        raise FacenetError(f"{path}: not a whole SavedModel of ours: {error}") from error
    return _SavedModelEmbedder(model, size, preprocessing)
