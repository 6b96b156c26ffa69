"""Weights of the reference implementation in our network: by name, from files, as a model folder.

Chapter 4 checks the network against the reference with its weights put in by their TF 1 names.
Chapter 11 takes them from the files that the field published and keeps them in a model folder:
``weights.npz``, the variables by their TF 1 names, and ``model.json``, a card that says where
they come from and how images are to be prepared. Derived in chapter 11, "The published weights".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from facenet_lib.errors import FacenetError, refuse
from facenet_lib.files import check_new_folder, open_whole_folder
from facenet_lib.input_pipeline.settings import Preprocessing
from facenet_lib.model_card import (
    CARD_OF_WEIGHTS,
    MOST_EMBEDDING_SIZE,
    ModelCard,
    card_of_weights,
)
from facenet_lib.published.containers import StoredArray, explain_damage, open_npz
from facenet_lib.published.formats import TF1_SCOPE, WeightFile, open_weight_file
from facenet_lib.published.releases import find_release

if TYPE_CHECKING:
    import keras

_WEIGHTS = "weights.npz"
_TRAINING_SETS = {8631: "VGGFace2", 10575: "CASIA-WebFace"}  # identities trained on
_TF1_VARIABLES = {
    "kernel": "weights",
    "bias": "biases",
    "beta": "beta",
    "moving_mean": "moving_mean",
    "moving_variance": "moving_variance",
}


def read_weights(
    file: str | Path,
    *,
    image_size: int = 160,
    standardization: Literal["fixed", "per_image"] | None = None,
    training_set: str | None = None,
) -> tuple[keras.Model, ModelCard]:
    """Build the network with the weights of a published file.

    The arguments are those of :func:`import_weights`, which makes a model folder of it.

    Returns:
        A full Inception-ResNet-v1, standardized images to prelogits, and what is known of it.

    Raises:
        FacenetError: when the file is damaged or does not fit the network.

    >>> read_weights("nowhere.h5")
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: nowhere.h5: ...
    """
    from facenet_lib.network.inception_resnet import inception_resnet_v1

    with open_weight_file(Path(file)) as weights:
        embedding_size = _embedding_size(weights)
        standardization = standardization or ("per_image" if embedding_size == 128 else "fixed")
        sha256 = _sha256(weights.path)
        card = card_of_weights(
            {
                "source": weights.source,
                "weights_format": weights.weights_format,
                "sha256": sha256,
                "embedding_size": embedding_size,
                "image_size": image_size,
                "standardization": standardization,
                "training_set": training_set or _training_set(sha256, weights.identities),
            }
        )
        Preprocessing(**card.preprocessing)  # refuses before the network is built
        network = inception_resnet_v1(image_size, embedding_size)
        assign_tf1_variables(network, _without_gammas(weights, network), str(file))
    return network, card


def load_imported_weights(
    model: str | Path, build_network: Callable[[], keras.Model]
) -> keras.Model:
    """Build a network and give it the weights of a model folder.

    Args:
        model: a folder that :func:`import_weights` wrote.
        build_network: called once the weights are seen to be no damaged file.

    Raises:
        FacenetError: when they are damaged or do not fit the network.
    """
    path = Path(model) / _WEIGHTS
    with open_npz(path) as arrays:
        network = build_network()
        assign_tf1_variables(network, arrays, str(path))
    return network


def import_weights(
    file: str | Path,
    out: str | Path,
    *,
    image_size: int = 160,
    standardization: Literal["fixed", "per_image"] | None = None,
    training_set: str | None = None,
) -> Path:
    """Read a published file and write it as a model folder, whole or not at all.

    The formats are those of ``formats.open_weight_file``; nothing in the file is run.

    Args:
        file: the published file, or the folder or prefix of a TF 1 checkpoint.
        out: the model folder; must not exist, or be empty.
        image_size: side of the network's input in pixels.
        standardization: how the weights' images were standardized in training. None: as every
            release did it: "fixed" since 2018, and "per_image" for the 128-d ones of 2017.
        training_set: what the weights were trained on. None: what is known of the release that
            has a file with this sum, see :func:`find_release`; of another file what the number of
            identities in its classifier tells, 8631 being VGGFace2 and 10575 CASIA-WebFace;
            otherwise (Keras files and frozen graphs have no classifier) "unknown".

    Returns:
        ``out`` as a path.

    Raises:
        FacenetError: when ``file`` cannot be used, telling all that is wrong with its variables
            at once, or ``out`` is not free or cannot be written.

    >>> import_weights("20180402-114759-vggface2.pt", ".")
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: .: already there; name a folder that is new or empty
    """
    out = Path(out)
    check_new_folder(out)
    network, about = read_weights(
        file,
        image_size=image_size,
        standardization=standardization,
        training_set=training_set,
    )
    variables = tf1_variable_names(network)
    arrays: dict[str, Any] = {name: variable.numpy() for name, variable in variables.items()}
    with open_whole_folder(out) as part:
        np.savez(part / _WEIGHTS, **arrays)
        (part / CARD_OF_WEIGHTS).write_text(json.dumps(about.weights, indent=2) + "\n", "utf-8")
    return out


def is_model_folder(path: str | Path) -> bool:
    """Return whether ``path`` is a folder like those that :func:`import_weights` writes.

    Raises:
        FacenetError: when the folder may not be looked into.
    """
    path = Path(path)
    with explain_damage(path):
        return (path / CARD_OF_WEIGHTS).is_file() and (path / _WEIGHTS).is_file()


def tf1_variable_names(network: keras.Model) -> dict[str, keras.Variable]:
    """Return the network's variables by the names that they had in davidsandberg/facenet.

    Args:
        network: what :func:`facenet_lib.network.inception_resnet_v1` built.

    Returns:
        TF 1 name (``InceptionResnetV1/Conv2d_1a_3x3/weights``) to variable, in the network's
        order. Moving averages are included, as in the reference's own list.

    >>> from facenet_lib.network import inception_resnet_v1
    >>> network = inception_resnet_v1(75, embedding_size=8, width=0.1, blocks=(0, 0, 0))
    >>> next(iter(tf1_variable_names(network)))
    'InceptionResnetV1/Conv2d_1a_3x3/weights'
    """
    named = {}
    for layer in network.layers:
        for variable in layer.variables:
            if variable.name in _TF1_VARIABLES:  # a dropout layer's seed has no counterpart
                scope = layer.name.replace(".", "/")
                named[f"{TF1_SCOPE}/{scope}/{_TF1_VARIABLES[variable.name]}"] = variable
    return named


def assign_tf1_variables(
    network: keras.Model,
    mapping: Mapping[str, np.ndarray] | Mapping[str, StoredArray],
    source: str = "TF 1 variables",
) -> None:
    """Load every variable of ``network`` from ``mapping``, all or nothing.

    Args:
        network: what :func:`facenet_lib.network.inception_resnet_v1` built.
        mapping: TF 1 name to an array of that variable's shape, of any real dtype. An array
            that is still in its file is read only if its shape is right.
        source: what to call the mapping in an error.

    Raises:
        FacenetError: naming at once every variable that is missing, left over, no array of
            real numbers, of another shape or not finite. The network is then unchanged.

    >>> import keras
    >>> network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="Dense")])
    >>> values = {"InceptionResnetV1/Dense/weights": np.ones((2, 1))}
    >>> assign_tf1_variables(network, values | {"InceptionResnetV1/Dense/biases": np.zeros(2)})
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: TF 1 variables: InceptionResnetV1/Dense/biases: expected ...
    """
    variables = tf1_variable_names(network)
    problems = [f"{name}: missing" for name in variables if name not in mapping]
    problems += [f"{name}: not part of the network" for name in mapping if name not in variables]
    values = {}
    for name in variables.keys() & mapping.keys():
        variable, found = variables[name], mapping[name]
        if found.dtype.kind not in "fiu":
            problems.append(f"{name}: expected real numbers, found dtype {found.dtype}")
        elif found.shape != tuple(variable.shape):
            problems.append(f"{name}: expected shape {tuple(variable.shape)}, found {found.shape}")
        else:
            with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinity
                values[name] = np.asarray(found).astype(variable.dtype)
            if not np.isfinite(values[name]).all():
                problems.append(f"{name}: holds NaN, infinity or a number beyond {variable.dtype}")
    refuse(source, sorted(problems))
    for name, variable in variables.items():
        variable.assign(values[name])


def _embedding_size(weights: WeightFile) -> int:
    bottleneck = weights.arrays.get(f"{TF1_SCOPE}/Bottleneck/weights")
    if not any(name.startswith(TF1_SCOPE) for name in weights.arrays):
        found = ", ".join(list(weights.arrays)[:3]) or "nothing"
        raise FacenetError(f"{weights.path}: expected an {TF1_SCOPE}, found {found}")
    if bottleneck is None or len(bottleneck.shape) != 2:
        return 512  # what is wrong with it is told with all else that is wrong
    if not 1 <= bottleneck.shape[1] <= MOST_EMBEDDING_SIZE:
        raise FacenetError(
            f"{weights.path}: expected embeddings of 1 to {MOST_EMBEDDING_SIZE} numbers, "
            f"found {bottleneck.shape[1]}"
        )
    return bottleneck.shape[1]


def _training_set(sha256: str, identities: int | None) -> str:
    release = find_release(sha256)
    return release.training_set if release else _TRAINING_SETS.get(identities or 0, "unknown")


def _without_gammas(weights: WeightFile, network: keras.Model) -> dict[str, StoredArray]:
    """Leave out the factors of batch normalization, which the network has not, if they are 1.

    Others could be multiplied into the kernel and the moving mean for inference, but training
    from there would normalize the factor away: that would not be the file's network.
    """
    betas = tf1_variable_names(network)
    kept, problems = {}, []
    for name, array in weights.arrays.items():
        beta = betas.get(f"{name.removesuffix('/gamma')}/beta")
        if not name.endswith("/gamma") or beta is None or array.shape != tuple(beta.shape):
            kept[name] = array
        elif array.dtype.kind not in "fiu":
            problems.append(f"{name}: expected real numbers, found dtype {array.dtype}")
        elif not np.all(factors := np.asarray(array) == 1):
            problems.append(
                f"{name}: expected factors of 1, because this network has none, "
                f"found {np.count_nonzero(~factors)} others"
            )
    refuse(str(weights.path), sorted(problems))
    return kept


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
