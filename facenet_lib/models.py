"""Any folder or address of a model to one loaded network, or to what embeds image files.

Nothing here loads TensorFlow before a network of TensorFlow is asked for, so that one that another
runtime computes starts at once. Derived in chapters 6, 7 and 11.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from facenet_lib.embedding import (
    Embedder,
    FindFaces,
    PhotographFaces,
    embed_files,
    embed_photographs,
    encoded_batches,
    image_embedder,
)
from facenet_lib.errors import FacenetError, explain_missing
from facenet_lib.files import list_folder
from facenet_lib.input_pipeline.pillow_decoding import decode_each_window, decode_window
from facenet_lib.input_pipeline.settings import Preprocessing
from facenet_lib.model_card import CARD, ModelCard, read_card, version_folders
from facenet_lib.published.model_folder import is_model_folder, load_imported_weights
from facenet_lib.runs.checkpoints import assign_variables, is_float, last_checkpoint, name_variables
from facenet_lib.runs.config import TrainingConfig
from facenet_lib.runs.folder import (
    CHECKPOINTS_FOLDER,
    CONFIG_FILE,
    read_config_file,
    read_identities,
)
from facenet_lib.runs.tables import EVALUATIONS_FILE, last_row
from facenet_lib.runtimes import ONNX_FILE, OPENVINO_FILE, load_runtime_network, network_file

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

SHARED_SETTINGS = ("image_size", "standardization", "embedding_size", "width", "blocks")
"""What a run and the initial model whose weights it begins with must agree on."""

SAVED_MODEL_FILE = "saved_model.pb"

BuildNetwork = Callable[[TrainingConfig], "keras.Model"]


@dataclass(frozen=True)
class LoadedNetwork:
    """The network of a run as of its last checkpoint, or one with published weights.

    Attributes:
        network: standardized images to prelogits.
        config: the run's settings; of published weights, those with which a run can begin.
        origin: where the weights come from, as a card has it: ``{"training": {"identities",
            "steps", "precision"}}``, with ``initial_model`` where there was one, or
            ``{"weights": ...}``, the card of published weights.
        identities: the people it was trained on, by label; none of published weights.
        step: steps that it was trained for here; 0 of published weights.
        evaluation: the last row of the run's evaluations.csv up to that step, or None.
    """

    network: keras.Model
    config: TrainingConfig
    origin: Mapping[str, Mapping[str, Any]]
    identities: tuple[str, ...] = ()
    step: int = 0
    evaluation: dict[str, float] | None = None

    @property
    def preprocessing(self) -> Preprocessing:
        """How an image becomes the network's input."""
        return preprocessing_of(self.config)


def network_of(config: TrainingConfig) -> keras.Model:
    """Build this run's network, with fresh weights.

    >>> tiny = TrainingConfig(image_size=80, embedding_size=16, width=0.1, blocks=(0, 0, 0))
    >>> network_of(tiny).output_shape
    (None, 16)
    """
    from facenet_lib.network.inception_resnet import inception_resnet_v1

    return inception_resnet_v1(
        image_size=config.image_size,
        embedding_size=config.embedding_size,
        dropout_rate=config.dropout_rate,
        width=config.width,
        blocks=config.blocks,
        batch_norm_momentum=config.batch_norm_momentum,
        precision=config.precision,
    )


def load_network(model: str | Path, *, build_network: BuildNetwork = network_of) -> LoadedNetwork:
    """Load the network of a run or of imported weights.

    Args:
        model: a folder that :func:`facenet_lib.training.train` or
            :func:`facenet_lib.published.import_weights` made.
        build_network: see :func:`load_run`.

    Raises:
        FacenetError: when the folder is neither, or is damaged.

    >>> load_network("nowhere")
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: nowhere: expected the folder of a run (with config.json) or ...
    """
    _check_is_network(model)
    if not is_model_folder(model):
        return load_run(model, build_network=build_network)
    card = read_card(model)
    config = _config_of_weights(card)
    network = load_imported_weights(model, partial(build_network, config))
    return LoadedNetwork(network, config, {"weights": card.weights or {}})


def load_run(
    run: str | Path, averaged: bool = True, *, build_network: BuildNetwork = network_of
) -> LoadedNetwork:
    """Load a run's network from its last good checkpoint.

    Args:
        run: a folder that :func:`facenet_lib.training.train` made.
        averaged: with the moving averages of the weights, as a run is evaluated and exported
            where it keeps them; False: with the weights themselves.
        build_network: from the settings to the network, if the run was trained with another one
            than the library's.

    Raises:
        FacenetError: when the folder is no run, has no checkpoint yet, or none that is whole.

    >>> load_run("nowhere")
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: nowhere: not a training run: no readable config.json
    """
    run = Path(run)
    config, _ = read_config_file(run)
    identities = read_identities(run)
    checkpoint = last_checkpoint(run / CHECKPOINTS_FOLDER)
    if checkpoint is None:
        raise FacenetError(f"{run}: the run has no checkpoint yet")
    network = build_network(config)
    assign_variables(checkpoint.path, *_stored_weights(network, checkpoint.arrays, averaged))
    step = checkpoint.state["step"]
    training = {"identities": len(identities), "steps": step, "precision": config.precision}
    if config.initial_model:
        training["initial_model"] = Path(config.initial_model).name
    return LoadedNetwork(
        network=network,
        config=config,
        origin={"training": training},
        identities=tuple(identities),
        step=step,
        evaluation=last_row(run / EVALUATIONS_FILE, step),
    )


def load_embedder(
    model: str | Path | LoadedNetwork,
    *,
    standardization: str | None = None,
    crop_size: int | None = None,
) -> Embedder:
    """Load a model to embed image files with, whichever kind of folder or address it is.

    Load only models whose origin you trust: a SavedModel is a program that TensorFlow runs.

    Args:
        model: a run that :func:`facenet_lib.training.train` made; imported weights that
            :func:`facenet_lib.published.import_weights` made; a SavedModel that
            :func:`facenet_lib.export.export_model` made, or a network that
            :func:`facenet_lib.export.export_for_runtime` made, a version's folder or the model's,
            of which the highest version is loaded; a server's address, ``http://HOST:PORT/NAME``
            for REST or ``grpc://HOST:PORT/NAME`` for gRPC, where the name is ``facenet`` if there
            is none, or as ``facenet serve`` prints it; or a network that is loaded already.
        standardization: ``"fixed"`` or ``"per_image"``; None: what the model was trained with.
        crop_size: side in pixels of the window at the centre of an image that the network sees,
            for images that show faces larger or smaller than those of the training; None: as in
            training.

    Raises:
        FacenetError: when the folder is none of them, the server does not answer, or when a
            exported model or a server, which has its preprocessing inside, is asked for another.

    >>> load_embedder("grpc://localhost:8500/facenet", crop_size=160)
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: grpc://localhost:8500/facenet: a server has its ...
    """
    changes: dict[str, Any] = {}
    if standardization is not None:
        changes["standardization"] = standardization
    if crop_size is not None:
        # A frame limits where training's random windows may lie; one at the centre needs none.
        changes |= {"crop_size": crop_size, "frame_size": None}
    if isinstance(model, LoadedNetwork):
        return _network_embedder(model, changes)
    if is_address(model):
        _refuse_changes(model, "a server", changes)
        with explain_missing("a server's address", "serving"):
            from facenet_lib.serving.remote_embedder import RemoteEmbedder
        return RemoteEmbedder(str(model))
    exported = _exported_in(Path(model))
    if exported is not None:
        _refuse_changes(model, "an exported model", changes)
        of_tensorflow = (exported / SAVED_MODEL_FILE).is_file()
        return _saved_model_embedder(exported) if of_tensorflow else _runtime_embedder(exported)
    files = f"{SAVED_MODEL_FILE}, {ONNX_FILE} or {OPENVINO_FILE}"
    _check_is_network(model, or_of=f"an exported model (with {files})")
    return _network_embedder(load_network(model), changes)


def network_settings(model: str | Path) -> dict[str, Any]:
    """Return the settings with which a run can begin with the weights of ``model``.

    Fine-tuning is training with them, ``initial_model`` and settings of one's own::

        settings = network_settings(model) | {"initial_model": model, "epochs": 10}
        train(TrainingConfig(**settings), faces, out)

    Args:
        model: a folder that :func:`facenet_lib.training.train` or
            :func:`facenet_lib.published.import_weights` made.

    Returns:
        Setting to value. ``crop_size`` and ``frame_size`` may be changed, because they say where
        in an image the face is; the others the weights depend on, so that
        :func:`facenet_lib.training.train` refuses other values.

    Raises:
        FacenetError: when the folder is neither, or is damaged.

    >>> network_settings("nowhere")
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: nowhere: expected the folder of a run (with config.json) or ...
    """
    _check_is_network(model)
    if is_model_folder(model):
        config = _config_of_weights(read_card(model))
    else:
        config, _ = read_config_file(Path(model))
    settings = config.to_dict()
    return {name: settings[name] for name in (*SHARED_SETTINGS, "crop_size", "frame_size")}


def preprocessing_of(config: TrainingConfig) -> Preprocessing:
    """Return the sizes and standardization with which this run's network sees an image.

    >>> preprocessing_of(TrainingConfig(image_size=80, crop_size=144)).window_size
    144
    """
    return Preprocessing(
        image_size=config.image_size,
        crop_size=config.crop_size or None,
        frame_size=config.frame_size or None,
        standardization=cast(Any, config.standardization),
    )


def _config_of_weights(card: ModelCard) -> TrainingConfig:
    """The settings of a run whose network is that of published weights: the full one."""
    return TrainingConfig(
        image_size=card.preprocessing["image_size"],
        standardization=card.preprocessing["standardization"],
        embedding_size=card.embedding_size,
    )


def _stored_weights(
    network: keras.Model, arrays: Mapping[str, np.ndarray], averaged: bool
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Variables and what a checkpoint has for them: the averages where there are any."""
    part, variables = "network", list(network.variables)
    if averaged and any(name.startswith("average/") for name in arrays):
        part, variables = "average", [variable for variable in variables if is_float(variable)]
    kept = {name: array for name, array in arrays.items() if name.startswith(f"{part}/")}
    return name_variables(part, variables), kept


# What a folder or an address is


def _check_is_network(model: str | Path, or_of: str = "") -> None:
    """Refuse what is no folder for :func:`load_network`, nor of what else the caller takes."""
    model = Path(model)
    try:
        if is_model_folder(model) or (model / CONFIG_FILE).is_file():
            return
        found = _what_is_there(model)
    except OSError as error:
        raise FacenetError(f"{model}: cannot be read: {error.strerror}") from error
    kinds = ["a run (with config.json)", "imported weights (with model.json and weights.npz)"]
    expected = " or of ".join(kinds + [or_of] * bool(or_of))
    raise FacenetError(f"{model}: expected the folder of {expected}, found {found}")


def _what_is_there(model: Path) -> str:
    if model.is_dir():
        return ", ".join(entry.name for entry in list_folder(model)[:5]) or "an empty folder"
    if model.exists():
        return "a file; facenet import-weights makes one of a published file"
    return "nothing"


def is_address(model: str | Path) -> bool:
    """Return whether ``model`` is the address of a server and no folder.

    A folder whose name looks like one is written ``./NAME``, or given as a ``Path``.

    >>> is_address("grpc://localhost:8500/facenet"), is_address("models/facenet")
    (True, False)
    """
    # facenet serve prints its address for gRPC without a scheme, as gRPC's own clients take it.
    form = r"\w+://.*|([\w.-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}(/[^/]*)?"
    return isinstance(model, str) and re.fullmatch(form, model) is not None


def needs_tensorflow(model: str | Path) -> bool:
    """Return whether :func:`load_embedder` loads TensorFlow for this model.

    A server that is asked over REST does without, and so does what ONNX Runtime or OpenVINO
    compute.

    >>> needs_tensorflow("http://localhost:8501/facenet"), needs_tensorflow("run")
    (False, True)
    """
    if is_address(model):
        return not str(model).lower().startswith(("http://", "https://"))
    exported = _exported_in(Path(model))
    return exported is None or (exported / SAVED_MODEL_FILE).is_file()


def _exported_in(model: Path) -> Path | None:
    """The exported model that is the folder itself, or the highest version in it."""
    try:
        for folder in (model, *reversed(version_folders(model).values())):
            if (folder / SAVED_MODEL_FILE).is_file() or network_file(folder) is not None:
                return folder
    except OSError as error:
        raise FacenetError(f"{model}: cannot be read: {error.strerror}") from error
    return None


def _refuse_changes(model: str | Path, what: str, changes: Mapping[str, Any]) -> None:
    if changes:
        raise FacenetError(
            f"{model}: {what} has its standardization and crop inside, which nothing can change; "
            "name the run or the model folder that it was exported from"
        )


# The embedders


@dataclass(frozen=True)
class _LocalEmbedder:
    """An :class:`facenet_lib.embedding.Embedder` of this process."""

    embed: Callable[..., np.ndarray]
    embedding_size: int
    preprocessing: Preprocessing
    identities: tuple[str, ...] = ()
    threshold: float | None = None
    find_faces: FindFaces | None = None

    @property
    def about(self) -> Mapping[str, Any]:
        return {"preprocessing": dataclasses.asdict(self.preprocessing)}

    def embed_faces(
        self, photographs: Sequence[str | Path], *, progress: bool = True
    ) -> PhotographFaces:
        if self.find_faces is None:
            raise FacenetError(
                "this model takes crops and not photographs: cut the faces out with 'facenet "
                "align', or name a model that was exported with --with-alignment"
            )
        return embed_photographs(photographs, self.find_faces, progress=progress)

    def close(self) -> None:
        pass


def _network_embedder(loaded: LoadedNetwork, changes: Mapping[str, Any]) -> Embedder:
    preprocessing = dataclasses.replace(loaded.preprocessing, **changes)
    embed = image_embedder(loaded.network, preprocessing)
    # A threshold is that of the images as they were when it was measured.
    measured = None if any(changes.values()) else loaded.evaluation
    return _LocalEmbedder(
        embed,
        loaded.network.output_shape[1],
        preprocessing,
        loaded.identities,
        None if measured is None else measured["threshold"],
    )


def _runtime_embedder(folder: Path) -> Embedder:
    network = load_runtime_network(folder)

    def ask(images: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
        windows, valid = decode_each_window(images, network.preprocessing)
        return network.embed(windows), valid

    def ask_with_mirror_images(images: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
        windows, valid = decode_each_window(images, network.preprocessing)
        sides = [network.embed(side) for side in (windows, windows[:, :, ::-1])]
        return np.concatenate(sides, axis=1), valid

    def embed(paths: Any, batch_size: int = 64, flip: bool = False) -> np.ndarray:
        batches = encoded_batches(ask_with_mirror_images if flip else ask, _explain_no_window)
        return embed_files(paths, batch_size, network.embedding_size * (1 + flip), batches)

    return _LocalEmbedder(
        embed, network.embedding_size, network.preprocessing, threshold=network.card.threshold
    )


def _explain_no_window(encoded: bytes) -> str:
    """Say why the bytes of an image file are not valid."""
    try:
        decode_window(encoded, Preprocessing())
    except FacenetError as error:
        return str(error)
    return "it cannot be decoded"


def _saved_model_embedder(path: Path) -> Embedder:
    import tensorflow as tf

    from facenet_lib.input_pipeline.preprocessing import decode_windows

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

    def ask(images: list[bytes]) -> tuple[tf.Tensor, tf.Tensor]:
        answer = model.signatures["serving_default"](images=tf.constant(images))
        return answer["embeddings"], answer["valid"]

    def ask_with_mirror_images(images: list[bytes]) -> tuple[tf.Tensor, tf.Tensor]:
        # Only a tensor can be mirrored. What the model then cuts from a window is all of it.
        windows, valid = decode_windows(tf.constant(images), preprocessing)
        embed = model.signatures["embed_tensors"]
        answers = [embed(images=side) for side in (windows, tf.reverse(windows, [2]))]
        return tf.concat([answer["embeddings"] for answer in answers], axis=1), valid

    def embed(paths: Any, batch_size: int = 64, flip: bool = False) -> np.ndarray:
        batches = encoded_batches(ask_with_mirror_images if flip else ask, _explain_invalid)
        return embed_files(paths, batch_size, size * (1 + flip), batches)

    def find_faces(photographs: list[bytes]) -> Mapping[str, np.ndarray]:
        answer = model.signatures["faces"](photographs=tf.constant(photographs))
        return {name: value.numpy() for name, value in answer.items()}

    has_faces = "faces" in model.signatures
    return _LocalEmbedder(
        embed,
        size,
        preprocessing,
        threshold=card.threshold,
        find_faces=find_faces if has_faces else None,
    )


def _explain_invalid(encoded: bytes) -> str:
    """Say why the bytes of an image file are not valid."""
    from facenet_lib.input_pipeline.decoding import decode_image

    try:
        decode_image(encoded)
    except FacenetError as error:
        return str(error)
    return "the model cannot decode it"
