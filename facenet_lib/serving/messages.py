"""Requests and answers in JSON, as TensorFlow Serving's REST protocol writes them.

What cannot be read is refused with the status that TensorFlow Serving answers with. Nothing here
loads TensorFlow, so that the REST client shares it.

Derived in chapter 8, "Serving".
"""

from __future__ import annotations

import base64
import binascii
import json
import operator
from collections.abc import Mapping
from concurrent.futures import CancelledError
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from facenet_lib.errors import FacenetError

if TYPE_CHECKING:
    import tensorflow as tf

Array = NDArray[Any]
_LONGEST_MESSAGE = 300


class ServingError(FacenetError):
    """A request that is not answered: why, in one line, and the gRPC status of that kind.

    Attributes:
        code: name of a ``grpc.StatusCode``.
    """

    def __init__(self, message: str, code: str = "INVALID_ARGUMENT") -> None:
        super().__init__(one_line(message))
        self.code = code


def serving_error(error: Exception) -> ServingError:
    """Return what a caller is told of an error, whatever it is."""
    if isinstance(error, ServingError):
        return error
    if isinstance(error, TimeoutError | CancelledError):
        return ServingError("not answered in time", "DEADLINE_EXCEEDED")
    return ServingError(f"{type(error).__name__}: {error}", "INTERNAL")


def one_line(text: str) -> str:
    """Return a message as one line of bounded length, whatever it carries along."""
    start = text[: 10 * _LONGEST_MESSAGE]  # to split all of a long one would fill the memory
    line = " ".join(start.split())
    shown = line[:_LONGEST_MESSAGE]
    return shown if shown == line and start == text else shown + "..."


def parse_json(body: bytes) -> dict[str, Any]:
    """Return the object that a request's body holds; NaN and Infinity count as numbers.

    Raises:
        ServingError: ``INVALID_ARGUMENT``.
    """
    try:
        document = json.loads(body)
    except json.JSONDecodeError as error:
        raise ServingError(f"JSON Parse error: {error.msg} at offset: {error.pos}") from None
    except (ValueError, RecursionError) as error:  # no UTF-8; digits or lists without end
        raise ServingError(f"JSON Parse error: {error}") from None
    if not isinstance(document, dict):
        raise ServingError(f"JSON Value: is not an object, but {_kind(document)}")
    return document


def signature_of(document: Mapping[str, Any]) -> str:
    """Return the signature that a request names; empty: the default one.

    Raises:
        ServingError: ``INVALID_ARGUMENT``, when it is no text.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise ServingError("'signature_name' key must be a string value.")
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
        raise ServingError(f"expected one of the keys 'inputs' and 'instances', found {found}")
    if "instances" in document:
        columns = _columns(document["instances"], inputs)
    elif _is_object(document["inputs"]):
        columns = document["inputs"]
        if missing := sorted(inputs.keys() - columns.keys()):
            raise ServingError(f"Missing named input: {', '.join(missing)} in 'inputs' object.")
    else:
        columns = {_only(inputs, "inputs is a plain value/list"): document["inputs"]}
    return {name: _array(name, columns[name], spec.dtype) for name, spec in inputs.items()}


def files_from_json(document: Mapping[str, Any], key: str) -> Array:
    """Return the files of a request that holds a list of them and nothing else, as bytes.

    Raises:
        ServingError: ``INVALID_ARGUMENT``.
    """
    if document.keys() != {key}:
        found = ", ".join(map(repr, document)) or "none"
        raise ServingError(f"expected the key {key!r} alone, found {found}")
    files = document[key]
    if not isinstance(files, list) or not files:
        found = _kind(files) if files else "none"
        raise ServingError(f"{key}: expected a list of at least one file, found {found}")
    try:
        return _strings(files)
    except (TypeError, ValueError) as error:
        raise ServingError(f'{key}: expected files as {{"b64": TEXT}}, found {error}') from None


def _columns(instances: Any, inputs: Mapping[str, tf.TensorSpec]) -> dict[str, list[Any]]:
    """One list of values for each input, from one object or value for each instance."""
    if not isinstance(instances, list):
        raise ServingError(f"expected 'instances' to be a list, found {_kind(instances)}")
    if not instances:
        raise ServingError("No values in 'instances' array")
    objects = sum(map(_is_object, instances))
    if not objects:
        return {_only(inputs, "instances is a plain list"): instances}
    if objects < len(instances):
        raise ServingError("expected 'instances' to hold objects or values, found both")
    for number, instance in enumerate(instances):
        if instance.keys() != inputs.keys():
            raise ServingError(
                f"Failed to process element: {number} of 'instances' list. "
                f"keys must be equal to: {','.join(sorted(inputs))}"
            )
    return {name: [instance[name] for instance in instances] for name in inputs}


def _only(inputs: Mapping[str, tf.TensorSpec], found: str) -> str:
    if len(inputs) != 1:
        raise ServingError(f"{found}, but the signature has the inputs {', '.join(sorted(inputs))}")
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
            raise ServingError(f"{name}: expected lists of one length at each level")
        shape.append(len(values[0]))
        values = list(chain.from_iterable(values))
    try:
        return _typed(values, dtype).reshape(shape)
    except (TypeError, ValueError, OverflowError) as error:
        raise ServingError(f"{name}: expected {dtype.name}, found {error}") from None


def _typed(values: list[Any], dtype: tf.DType) -> Array:
    if dtype.name == "string":
        return _strings(values)
    allowed = {bool} if dtype.name == "bool" else {int} if dtype.is_integer else {int, float}
    if set(map(type, values)) - allowed:
        raise TypeError(_kind(next(value for value in values if type(value) not in allowed)))
    if dtype.is_floating:
        exact = np.array(values, np.float64)
        with np.errstate(over="ignore"):
            rounded = exact.astype(dtype.as_numpy_dtype)
        if np.any(np.isinf(rounded.astype(np.float64)) & np.isfinite(exact)):
            raise ValueError("a number beyond its range")
        return rounded
    return np.array(values, dtype.as_numpy_dtype)


def _strings(values: list[Any]) -> Array:
    strings = np.empty(len(values), object)
    strings[:] = [_bytes(value) for value in values]
    return strings


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

    Strings are written as text, or in base64 where the output's name ends in ``_bytes``; numbers
    of half and single precision with the fewest digits that are read as the same float32.

    Raises:
        ServingError: ``INVALID_ARGUMENT``, for rows that the outputs have not alike.
    """
    lengths = {array.shape[:1] for array in outputs.values()}
    if rows and (len(lengths) != 1 or () in lengths):
        raise ServingError("outputs with unequal rows: ask in the column format, by 'inputs'")
    columns = {name: _json_values(name, array) for name, array in outputs.items()}
    answer: Any = columns
    if len(columns) == 1:
        (answer,) = columns.values()
    elif rows:
        each_row = zip(*columns.values(), strict=True)
        answer = [dict(zip(columns, values, strict=True)) for values in each_row]
    written = {"predictions" if rows else "outputs": answer}
    return orjson.dumps(written, option=orjson.OPT_SERIALIZE_NUMPY)


def _json_values(name: str, array: Array) -> Any:
    """What orjson writes for an output; arrays of numbers it writes as they are."""
    if array.dtype.hasobject:
        as_text = operator.methodcaller("decode", errors="replace")
        write = json_of_bytes if name.endswith("_bytes") else as_text
        return np.asarray(np.frompyfunc(write, 1, 1)(array), object).tolist()
    if array.dtype.kind not in "biu" and array.dtype != np.float64:
        array = array.astype(np.float32)  # also bfloat16, which NumPy borrows
    if not np.isfinite(array).all():
        values = [one if np.isfinite(one) else _NOT_FINITE[str(one)] for one in array.ravel()]
        return np.array([*values, None], object)[:-1].reshape(array.shape).tolist()
    return np.ascontiguousarray(array) if array.ndim else array.item()


_NOT_FINITE = {
    "nan": orjson.Fragment("NaN"),
    "inf": orjson.Fragment("Infinity"),
    "-inf": orjson.Fragment("-Infinity"),
}
"""Numbers that JSON has not, as TensorFlow Serving writes them."""


def json_of_bytes(value: bytes) -> dict[str, str]:
    """Return the object that stands for bytes.

    >>> json_of_bytes(b"JPEG")
    {'b64': 'SlBFRw=='}
    """
    return {"b64": base64.b64encode(value).decode()}


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}
    return names.get(type(value), "null" if value is None else "a number")
