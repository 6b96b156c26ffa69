"""TensorFlow Serving's protocol buffers: tensors, and what is said of a model and its versions.

The gRPC front sends them, the REST front writes them as JSON. Derived in chapter 8, "Serving".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from facenet_lib.serving.answers import VersionStatus
from facenet_lib.serving.messages import Array, ServingError

if TYPE_CHECKING:
    from facenet_lib.serving.batching import LoadedVersion

_MOST_DIMENSIONS = 64  # of NumPy's arrays
_UNKNOWN = 2  # the error code of a version that ended in one


def array_from_proto(proto: Any, most_bytes: int = 64 * 2**20) -> Array:
    """Return the array that a ``TensorProto`` holds; strings as an object array of bytes.

    Where it lists fewer values than its shape has, the last one counts for the rest, as
    everywhere in TensorFlow.

    Args:
        proto: the message.
        most_bytes: largest array; else a few bytes could fill the memory, by repetition.

    Raises:
        ServingError: ``INVALID_ARGUMENT``, when shape, type and values do not agree.
    """
    rank = len(proto.tensor_shape.dim)
    if rank > _MOST_DIMENSIONS:  # the product of a million sizes would take hours
        raise ServingError(f"tensor: expected at most {_MOST_DIMENSIONS} dimensions, found {rank}")
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise ServingError("tensor: expected a shape that is fully known")
    if proto.dtype not in _VALUE_FIELDS:
        raise ServingError(f"tensor: type {proto.dtype} is not supported")
    dtype = np.dtype(tf.as_dtype(proto.dtype).as_numpy_dtype)
    expected = math.prod(shape)
    if expected * dtype.itemsize > most_bytes:
        raise ServingError(f"tensor: shape {list(shape)} has more than {most_bytes} bytes")
    if proto.tensor_content and not dtype.hasobject:
        found = len(proto.tensor_content) / dtype.itemsize
        enough = found == expected
    else:
        found = len(getattr(proto, _VALUE_FIELDS[proto.dtype]))
        enough = min(1, expected) <= found <= expected
    if not enough:
        raise ServingError(
            f"tensor: expected {expected} values for shape {list(shape)}, found {found:g}"
        )
    try:
        return tf.make_ndarray(proto)
    except (OverflowError, ValueError) as error:  # also no values, but sizes that no array has
        raise ServingError(f"tensor: shape {list(shape)}: {error}") from error


def fill_proto(proto: Any, array: Array) -> None:
    """Write an array into an empty ``TensorProto``, value by value as TensorFlow Serving does.

    So that clients work too which read ``float_val`` and its likes instead of calling
    ``tf.make_ndarray``.
    """
    dtype = tf.string if array.dtype == object else tf.as_dtype(array.dtype)
    proto.dtype = dtype.as_datatype_enum
    for size in array.shape:
        proto.tensor_shape.dim.add().size = size
    values = array.view(np.uint16) if dtype in (tf.float16, tf.bfloat16) else array
    getattr(proto, _VALUE_FIELDS[proto.dtype]).extend(values.ravel().tolist())


_VALUE_FIELDS = {
    dtype.as_datatype_enum: f"{field_name}_val"
    for field_name, dtypes in {
        "float": [tf.float32],
        "double": [tf.float64],
        "half": [tf.float16, tf.bfloat16],
        "int": [tf.int8, tf.uint8, tf.int16, tf.uint16, tf.int32],
        "int64": [tf.int64],
        "uint32": [tf.uint32],
        "uint64": [tf.uint64],
        "bool": [tf.bool],
        "string": [tf.string],
    }.items()
    for dtype in dtypes
}


def metadata_response(model: str, version: LoadedVersion) -> Any:
    """Return the ``GetModelMetadataResponse`` of a version."""
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = model
    response.model_spec.version.value = version.number
    response.metadata["signature_def"].Pack(signature_map(version))
    return response


def signature_map(version: LoadedVersion) -> Any:
    """Return a version's signatures as the ``SignatureDefMap`` of such a response."""
    found = get_model_metadata_pb2.SignatureDefMap()
    for key, description in version.signature_defs.items():
        found.signature_def[key].CopyFrom(description)
    return found


def status_response(statuses: Sequence[VersionStatus]) -> Any:
    """Return the ``GetModelStatusResponse`` of some versions."""
    response = get_model_status_pb2.GetModelStatusResponse()
    states = get_model_status_pb2.ModelVersionStatus.State
    for status in statuses:
        added = response.model_version_status.add(
            version=status.version, state=states.Value(status.state)
        )
        added.status.error_code = _UNKNOWN if status.error else 0
        added.status.error_message = status.error
    return response
