"""What a server says of a model, to either client: embeddings, versions and signatures.

Nothing here loads TensorFlow or a server. Derived in chapter 8, "Serving".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from facenet_lib.errors import FacenetError

DEFAULT_SIGNATURE = "serving_default"
"""The signature that is meant where a request names none."""

METRICS_PATH = "/monitoring/prometheus/metrics"
"""Where Prometheus reads a server's metrics, on the REST port."""

MOST_TOLD = 500
"""Characters of a server's words that an error repeats."""


@dataclass(frozen=True)
class Embedded:
    """The answer to images.

    Attributes:
        embeddings: float32 ``(n, embedding_size)``, rows of length one; zeros where not valid.
        valid: bool ``(n,)``, False where the bytes were no image that can be decoded.
    """

    embeddings: np.ndarray
    valid: np.ndarray


@dataclass(frozen=True)
class Verified:
    """The answer to pairs of images.

    Attributes:
        distances: float32 ``(n,)``, squared Euclidean distances of the embeddings.
        valid: bool ``(n,)``, False where one of a pair could not be decoded.
        same: bool ``(n,)``, whether the distance is below the model's threshold; None from a
            model that was exported without one.
    """

    distances: np.ndarray
    valid: np.ndarray
    same: np.ndarray | None


@dataclass(frozen=True)
class FacesFound:
    """The answer to photographs, from a model that was exported with alignment.

    Of each of n photographs up to k faces, the surest first; zeros where there is none.

    Attributes:
        decoded: bool ``(n,)``, False where the bytes were no photograph that can be read.
        valid: bool ``(n, k)``, whether there is such a face.
        boxes: float32 ``(n, k, 4)``, left, top, right, bottom, pixels of the upright photograph.
        landmarks: float32 ``(n, k, 5, 2)``, likewise.
        scores: float32 ``(n, k)``, how sure the detector is of a face.
        embeddings: float32 ``(n, k, embedding_size)``, rows of length one.
    """

    decoded: np.ndarray
    valid: np.ndarray
    boxes: np.ndarray
    landmarks: np.ndarray
    scores: np.ndarray
    embeddings: np.ndarray


@dataclass(frozen=True)
class VersionStatus:
    """The state of one version of a model.

    Attributes:
        version: the number of its folder.
        state: ``START``, ``LOADING``, ``AVAILABLE``, ``UNLOADING`` or ``END``.
        error: why it could not be loaded; empty when nothing is wrong.
    """

    version: int
    state: str
    error: str = ""


@dataclass(frozen=True)
class TensorInfo:
    """What a signature says of one of its tensors.

    Attributes:
        dtype: TensorFlow's name of it, such as ``DT_FLOAT``.
        shape: None where any length will do; None as a whole where even the rank is open.
    """

    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class Signature:
    """Name to tensor, of what a signature takes and of what it answers."""

    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]


@dataclass(frozen=True)
class ModelMetadata:
    """What a server says of a model.

    Attributes:
        name: as it is served.
        version: the one that was asked for, or the newest.
        signatures: name to signature.
    """

    name: str
    version: int
    signatures: Mapping[str, Signature]

    @property
    def embedding_size(self) -> int:
        """Length of an embedding.

        Raises:
            FacenetError: when the model is none that ``facenet export`` wrote.
        """
        signature = self.signatures.get(DEFAULT_SIGNATURE)
        tensor = signature.outputs.get("embeddings") if signature else None
        shape = tensor.shape if tensor else None
        if shape is None or len(shape) != 2 or shape[1] is None:
            raise FacenetError(
                f"model {self.name}, version {self.version}: expected a signature "
                f"{DEFAULT_SIGNATURE} that answers embeddings of a known length, "
                f"found {shape or 'none'}"
            )
        return shape[1]


# What comes of looking for something in JSON where something else is.
_OF_ANOTHER_FORM = (LookupError, TypeError, ValueError, AttributeError, OverflowError)


def status_from_json(answer: Any, where: str) -> list[VersionStatus]:
    """Return what a ``GetModelStatusResponse`` says.

    Args:
        answer: the message as JSON, from the server ``where``.
        where: the server, for errors.

    Raises:
        FacenetError: for something else.
    """
    try:
        return [
            VersionStatus(
                int(found["version"]),
                str(found.get("state", "UNKNOWN")),
                beginning(found.get("status", {}).get("error_message", "")),
            )
            for found in answer["model_version_status"]
        ]
    except _OF_ANOTHER_FORM as error:
        raise not_understood(where, "model_version_status", answer) from error


def metadata_from_json(answer: Any, where: str) -> ModelMetadata:
    """Return what a ``GetModelMetadataResponse`` says; see ``status_from_json``."""

    def tensors(found: Mapping[str, Any]) -> dict[str, TensorInfo]:
        return {
            # A SavedModel also has signatures of operations, which answer no tensor.
            name: TensorInfo(info.get("dtype", "DT_INVALID"), shape(info))
            for name, info in found.items()
        }

    def shape(info: Mapping[str, Any]) -> tuple[int | None, ...] | None:
        found = info.get("tensor_shape", {})
        if found.get("unknown_rank"):
            return None
        sizes = [int(dim.get("size", 0)) for dim in found.get("dim", [])]
        return tuple(None if size < 0 else size for size in sizes)

    try:
        spec, signature_map = answer["model_spec"], answer["metadata"]["signature_def"]
        signatures = {
            name: Signature(tensors(found.get("inputs", {})), tensors(found.get("outputs", {})))
            for name, found in signature_map["signature_def"].items()
        }
        return ModelMetadata(spec["name"], int(spec["version"]), signatures)
    except _OF_ANOTHER_FORM as error:
        raise not_understood(where, "metadata", answer) from error


def not_understood(where: str, expected: str, found: Any) -> FacenetError:
    """Return the error for an answer of another form, with the beginning of it."""
    return FacenetError(f"{where}: expected an answer of {expected}, found {beginning(found)!r}")


def beginning(found: Any) -> str:
    """A server's words on one line, without what would steer a terminal."""
    text = found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)
    line = " ".join(text[:MOST_TOLD].split())
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line
    )
