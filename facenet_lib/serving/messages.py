"""Tensors as the two protocols of TensorFlow Serving write them: ``TensorProto`` and JSON.

What cannot be read is refused with the status that TensorFlow Serving answers with.

Derived in chapter 8, "Serving".
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from facenet_lib.errors import FacenetError

Array = NDArray[Any]
_LONGEST_MESSAGE = 300
_MOST_DIMENSIONS = 64  # of NumPy's arrays


class ServingError(FacenetError):
    """A request that is not answered, with the gRPC status that says of which kind it is.

    Attributes:
        code: name of a ``grpc.StatusCode``, for example ``"INVALID_ARGUMENT"``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def one_line(text: str) -> str:
    """Return a message as one line of bounded length, whatever it carries along."""
    start = text[: 10 * _LONGEST_MESSAGE]  # to split all of a long one would fill the memory
    line = " ".join(start.split())
    shown = line[:_LONGEST_MESSAGE]
    return shown if shown == line and start == text else shown + "..."


# --------------------------------------------------------------------------- TensorProto


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
        raise _invalid(f"tensor: expected at most {_MOST_DIMENSIONS} dimensions, found {rank}")
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise _invalid("tensor: expected a shape that is fully known")
    if proto.dtype not in _VALUE_FIELDS:
        raise _invalid(f"tensor: type {proto.dtype} is not supported")
    dtype = np.dtype(tf.as_dtype(proto.dtype).as_numpy_dtype)
    expected = math.prod(shape)
    if expected * dtype.itemsize > most_bytes:
        raise _invalid(f"tensor: shape {list(shape)} has more than {most_bytes} bytes")
    if proto.tensor_content and not dtype.hasobject:
        if len(proto.tensor_content) != expected * dtype.itemsize:
            raise _wrong_count(shape, len(proto.tensor_content) / dtype.itemsize)
        return np.frombuffer(proto.tensor_content, dtype).reshape(shape)
    values = getattr(proto, _VALUE_FIELDS[proto.dtype])
    if len(values) > expected or (expected and not values):
        raise _wrong_count(shape, len(values))
    array = np.empty(expected, dtype)  # not np.array, which drops zeros at the end of bytes
    bits = array.view(np.uint16) if _VALUE_FIELDS[proto.dtype] == "half_val" else array
    try:
        bits[: len(values)] = np.fromiter(values, bits.dtype, len(values))
    except OverflowError as error:
        raise _invalid(f"tensor: {error}") from error
    bits[len(values) :] = bits[len(values) - 1 : len(values)]
    try:
        return array.reshape(shape)
    except ValueError as error:  # no values at all, but sizes beyond what an array can have
        raise _invalid(f"tensor: shape {list(shape)}: {error}") from None


def _wrong_count(shape: tuple[int, ...], found: float) -> ServingError:
    return _invalid(
        f"tensor: expected {math.prod(shape)} values for shape {list(shape)}, found {found:g}"
    )


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


# --------------------------------------------------------------------------- JSON


def parse_json(body: bytes) -> dict[str, Any]:
    """Return the object that a request's body holds; NaN and Infinity count as numbers.

    Raises:
        ServingError: ``INVALID_ARGUMENT``.
    """
    try:
        document = json.loads(body)
    except json.JSONDecodeError as error:
        raise _invalid(f"JSON Parse error: {error.msg} at offset: {error.pos}") from None
    except (ValueError, RecursionError) as error:  # no UTF-8; digits or lists without end
        raise _invalid(f"JSON Parse error: {one_line(str(error))}") from None
    if not isinstance(document, dict):
        raise _invalid(f"JSON Value: is not an object, but {_kind(document)}")
    return document


def signature_of(document: Mapping[str, Any]) -> str:
    """Return the signature that a request names; empty: the default one.

    Raises:
        ServingError: ``INVALID_ARGUMENT``, when it is no text.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise _invalid("'signature_name' key must be a string value.")
    return name


def arrays_from_json(
    document: Mapping[str, Any], inputs: Mapping[str, tf.TensorSpec]
) -> dict[str, Array]:
    """Return the arrays of a Predict request in row (``instances``) or column (``inputs``) format.

    Args:
        document: the request.
        inputs: types of the signature's inputs, by name.

    Raises:
        ServingError: ``INVALID_ARGUMENT``.
    """
    if ("instances" in document) == ("inputs" in document):
        found = "both" if "inputs" in document else "neither"
        raise _invalid(f"expected one of the keys 'inputs' and 'instances', found {found}")
    if "instances" in document:
        columns = _columns(document["instances"], inputs)
    elif _is_object(document["inputs"]):
        columns = document["inputs"]
        if missing := sorted(inputs.keys() - columns.keys()):
            raise _invalid(f"Missing named input: {', '.join(missing)} in 'inputs' object.")
    else:
        columns = {_only(inputs, "inputs is a plain value/list"): document["inputs"]}
    return {name: _array(name, columns[name], spec.dtype) for name, spec in inputs.items()}


def _columns(instances: Any, inputs: Mapping[str, tf.TensorSpec]) -> dict[str, list[Any]]:
    """One list of values for each input, from one object or value for each instance."""
    if not isinstance(instances, list):
        raise _invalid(f"expected 'instances' to be a list, found {_kind(instances)}")
    if not instances:
        raise _invalid("No values in 'instances' array")
    objects = sum(map(_is_object, instances))
    if not objects:
        return {_only(inputs, "instances is a plain list"): instances}
    if objects < len(instances):
        raise _invalid("expected 'instances' to hold objects or values, found both")
    for number, instance in enumerate(instances):
        if instance.keys() != inputs.keys():
            raise _invalid(
                f"Failed to process element: {number} of 'instances' list. "
                f"keys must be equal to: {','.join(sorted(inputs))}"
            )
    return {name: [instance[name] for instance in instances] for name in inputs}


def _only(inputs: Mapping[str, tf.TensorSpec], found: str) -> str:
    if len(inputs) != 1:
        raise _invalid(f"{found}, but the signature has the inputs {', '.join(sorted(inputs))}")
    return next(iter(inputs))


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def _array(name: str, value: Any, dtype: tf.DType) -> Array:
    """Nested lists as an array, level by level, all of it in loops of the interpreter's own."""
    values, shape = [value], []
    while values and isinstance(values[0], list):
        if set(map(type, values)) != {list} or len(set(map(len, values))) != 1:
            raise _invalid(f"{name}: expected lists of one length at each level")
        shape.append(len(values[0]))
        values = list(chain.from_iterable(values))
    try:
        return _typed(values, dtype).reshape(shape)
    except (TypeError, ValueError, OverflowError) as error:
        raise _invalid(f"{name}: expected {dtype.name}, found {one_line(str(error))}") from None


def _typed(values: list[Any], dtype: tf.DType) -> Array:
    kinds = set(map(type, values))
    if dtype == tf.string:
        strings = np.empty(len(values), object)
        strings[:] = [_bytes(value) for value in values]
        return strings
    allowed = {bool} if dtype == tf.bool else {int} if dtype.is_integer else {int, float}
    if other := kinds - allowed:
        raise TypeError(_kind_name(next(iter(other))))
    if dtype.is_floating:
        exact = np.array(values, np.float64)
        with np.errstate(over="ignore"):
            rounded = exact.astype(dtype.as_numpy_dtype)
        if np.any(np.isinf(rounded.astype(np.float64)) & np.isfinite(exact)):
            raise ValueError("a number beyond its range")
        return rounded
    return np.array(values, dtype.as_numpy_dtype)


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if not _is_base64(value):
        raise TypeError(_kind(value))
    encoded = value["b64"]
    try:  # the padding may be left out
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        raise ValueError("text that is no base64") from None


def json_from_outputs(outputs: Mapping[str, Array], *, rows: bool) -> bytes:
    """Write a Predict response in the format of its request: rows, or columns.

    Strings are written as text, or in base64 where the output's name ends in ``_bytes``.

    Raises:
        ServingError: ``INVALID_ARGUMENT``, for rows that the outputs have not alike.
    """
    columns = {name: _json_values(name, array) for name, array in outputs.items()}
    if not rows:
        answer = columns if len(columns) > 1 else next(iter(columns.values()))
        return json.dumps({"outputs": answer}).encode()
    if len({array.shape[:1] for array in outputs.values()}) != 1 or not all(
        array.ndim for array in outputs.values()
    ):
        raise _invalid("outputs with unequal rows: ask in the column format, by 'inputs'")
    if len(columns) == 1:
        return json.dumps({"predictions": next(iter(columns.values()))}).encode()
    instances = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    return json.dumps({"predictions": instances}).encode()


def _json_values(name: str, array: Array) -> Any:
    if array.dtype.hasobject:
        write = _base64_object if name.endswith("_bytes") else _text
        return np.asarray(np.frompyfunc(write, 1, 1)(array), object).tolist()
    if array.dtype.kind not in "biuf":  # bfloat16, which NumPy only borrows
        array = array.astype(np.float32)
    return array.tolist()


def _base64_object(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _invalid(message: str) -> ServingError:
    return ServingError("INVALID_ARGUMENT", message)


def _kind(value: Any) -> str:
    return _kind_name(type(value))


def _kind_name(kind: type) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}
    return names.get(kind, "null" if kind is type(None) else "a number")
