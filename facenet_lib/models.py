"""Any folder of a model to one loaded network; derived in chapters 6, 7 and 11."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np

from facenet_lib.errors import FacenetError
from facenet_lib.input_pipeline import (
    Preprocessing,
)
from facenet_lib.network.inception_resnet import inception_resnet_v1
from facenet_lib.published.model_folder import (
    ModelCard,
    PretrainedNetwork,
    is_model_folder,
    load_pretrained,
    read_card,
)
from facenet_lib.runs.checkpoints import (
    assign_variables,
    is_float,
    last_checkpoint,
    name_variables,
)
from facenet_lib.runs.config import (
    TrainingConfig,
)
from facenet_lib.runs.folder import (
    CHECKPOINTS_FOLDER,
    CONFIG_FILE,
    read_config_file,
    read_identities,
)
from facenet_lib.runs.tables import (
    last_evaluation,
)

SHARED_SETTINGS = ("image_size", "standardization", "embedding_size", "width", "blocks")
"""What a run and the initial model whose weights it begins with must agree on."""


@dataclass(frozen=True)
class TrainedNetwork:
    """A run's network as of its last checkpoint.

    Attributes:
        network: standardized images to prelogits.
        preprocessing: how an image becomes its input.
        config: the run's settings.
        identities: the people it was trained on, by label.
        step: steps it was trained for.
        evaluation: the last row of evaluations.csv up to that step, or None.
    """

    network: keras.Model
    preprocessing: Preprocessing
    config: TrainingConfig
    identities: tuple[str, ...]
    step: int
    evaluation: dict[str, float] | None


def load_network(model: str | Path) -> TrainedNetwork | PretrainedNetwork:
    """Load the network of a run or of a model folder.

    Args:
        model: a folder that :func:`train` or ``pretrained.import_weights`` made.

    Raises:
        FacenetError: when the folder is neither, or is damaged.
    """
    check_is_network(model)
    return load_pretrained(model) if is_model_folder(model) else load_run(model)


def load_run(run: str | Path) -> TrainedNetwork:
    """Load a run's network from its last good checkpoint.

    Args:
        run: a folder that :func:`train` made.

    Raises:
        FacenetError: when the folder is no run, has no checkpoint yet, or none that is whole.
    """
    run = Path(run)
    config, _ = read_config_file(run)
    identities = read_identities(run)
    checkpoint = last_checkpoint(run / CHECKPOINTS_FOLDER)
    if checkpoint is None:
        raise FacenetError(f"{run}: the run has no checkpoint yet")
    network = network_of(config)
    assign_variables(checkpoint.path, *_as_evaluated(network, checkpoint.arrays))
    return TrainedNetwork(
        network=network,
        preprocessing=preprocessing_of(config),
        config=config,
        identities=tuple(identities),
        step=checkpoint.state["step"],
        evaluation=last_evaluation(run, checkpoint.state["step"]),
    )


def _as_evaluated(
    network: keras.Model, arrays: Mapping[str, np.ndarray]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Variables and what a checkpoint has for them: the averages where there are any."""
    part, variables = "network", list(network.variables)
    if any(name.startswith("average/") for name in arrays):
        part, variables = "average", [variable for variable in variables if is_float(variable)]
    kept = {name: array for name, array in arrays.items() if name.startswith(f"{part}/")}
    return name_variables(part, variables), kept


def network_settings(model: str | Path) -> dict[str, Any]:
    """Return the settings with which a run can begin with the weights of ``model``.

    Fine-tuning is training with them, ``initial_model`` and settings of one's own::

        settings = network_settings(model) | {"initial_model": model, "epochs": 10}
        train(TrainingConfig(**settings), faces, out)

    Args:
        model: a folder that :func:`train` or ``pretrained.import_weights`` made.

    Returns:
        Setting to value. ``crop_size`` and ``frame_size`` may be changed, because they say where
        in an image the face is; the others the weights depend on, so that :func:`train` refuses
        other values.

    Raises:
        FacenetError: when the folder is neither, or is damaged.
    """
    check_is_network(model)
    if is_model_folder(model):
        return settings_of_network(read_card(model))
    return settings_of_network(read_config_file(Path(model))[0])


def settings_of_network(about: TrainingConfig | ModelCard) -> dict[str, Any]:
    """Return what a network needs of a run's settings, or of imported weights."""
    if isinstance(about, TrainingConfig):
        settings = about.to_dict()
        return {name: settings[name] for name in (*SHARED_SETTINGS, "crop_size", "frame_size")}
    return {
        "image_size": about.image_size,
        "standardization": about.standardization,
        "embedding_size": about.embedding_size,
        "width": 1.0,  # published weights are those of the full network
        "blocks": [5, 10, 5],
        "crop_size": 0,
        "frame_size": 0,
    }


def check_is_network(model: str | Path, or_of: str = "") -> None:
    """Refuse what :func:`load_network` does not take, by what is there.

    Args:
        model: a folder that :func:`train` or ``pretrained.import_weights`` made.
        or_of: what else the caller takes a folder of, for the message.

    Raises:
        FacenetError: when it is neither, or cannot be read.
    """
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
        return ", ".join(sorted(entry.name for entry in model.iterdir())[:5]) or "an empty folder"
    if model.exists():
        return "a file; facenet import-weights makes one of a published file"
    return "nothing"


def preprocessing_of(config: TrainingConfig) -> Preprocessing:
    """Return the sizes and standardization with which this run's network sees an image."""
    return Preprocessing(
        image_size=config.image_size,
        crop_size=config.crop_size or None,
        frame_size=config.frame_size or None,
        standardization=cast(Any, config.standardization),
    )


def network_of(config: TrainingConfig) -> keras.Model:
    """Build this run's network, with fresh weights."""
    return inception_resnet_v1(
        image_size=config.image_size,
        embedding_size=config.embedding_size,
        dropout_rate=config.dropout_rate,
        width=config.width,
        blocks=config.blocks,
        batch_norm_momentum=config.batch_norm_momentum,
        precision=config.precision,
    )
