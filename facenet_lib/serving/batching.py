"""How requests become batches: a loaded version of a model, and the thread that computes for it.

One thread computes, because TensorFlow uses every core for one call already; requests that
arrive while it computes wait and become its next batch. Derived in chapter 8, "Serving".
"""

from __future__ import annotations

import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from facenet_lib.checks import check_integer, pixel_problems
from facenet_lib.serving.answers import DEFAULT_SIGNATURE
from facenet_lib.serving.loading import Load, LoadedModel
from facenet_lib.serving.messages import Array, ServingError, serving_error
from facenet_lib.serving.protos import array_from_proto

Inputs = Mapping[str, Array] | Callable[[Mapping[str, tf.TensorSpec]], Mapping[str, Array]]
"""Arrays by name, or what makes them of the types and shapes that a signature takes."""


@dataclass(frozen=True)
class Batching:
    """How single requests become batches: of what waits while the batch before is computed.

    Attributes:
        max_batch_size: most rows of one batch; a request with more is refused.
        max_waiting: most rows that wait for one version; what comes then is refused.
    """

    max_batch_size: int = 32
    max_waiting: int = 256

    def __post_init__(self) -> None:
        least = check_integer("max_batch_size", self.max_batch_size, at_least=1)
        check_integer("max_waiting (max_batch_size or more)", self.max_waiting, at_least=least)


@dataclass(frozen=True)
class Prediction:
    """The answer to one request: its outputs by name, the version and the signature."""

    outputs: dict[str, Array]
    version: int
    signature: str


def _unchanged(prediction: Prediction) -> Prediction:
    return prediction


@dataclass(frozen=True)
class _Signature:
    """A function of a loaded model, and what may be given to it."""

    name: str
    function: Any
    inputs: Mapping[str, tf.TensorSpec]
    outputs: frozenset[str]
    batched: bool  # every tensor's first axis is free: requests can be concatenated
    pixels: bool  # its numbers are those of images, from 0 to 255

    def check(self, inputs: Mapping[str, Array], outputs: Sequence[str], most_rows: int) -> int:
        """Return the number of rows; refuse what would not run, before it meets others."""
        problems = []
        if inputs.keys() != self.inputs.keys():
            expected, found = (", ".join(sorted(names)) for names in (self.inputs, inputs))
            problems.append(
                "input size does not match signature: expected the inputs "
                f"{expected}, found {found or 'none'}"
            )
        for name in inputs.keys() & self.inputs.keys():
            spec, array = self.inputs[name], inputs[name]
            if array.dtype != spec.dtype.as_numpy_dtype:
                found = "string" if array.dtype == object else array.dtype.name
                problems.append(f"{name}: expected {spec.dtype.name}, found {found}")
            elif not spec.shape.is_compatible_with(array.shape):
                problems.append(f"{name}: expected shape {spec.shape}, found {array.shape}")
            elif self.pixels and spec.dtype.is_floating:
                problems += pixel_problems(name, array)
        if unknown := [name for name in outputs if name not in self.outputs]:
            problems.append(
                f"output tensor alias not found in signature: {', '.join(unknown)}; expected some "
                f"of {', '.join(sorted(self.outputs))}"
            )
        if len(set(outputs)) < len(outputs):
            problems.append(f"duplicate output tensor alias: {', '.join(outputs)}")
        if problems:
            raise ServingError("; ".join(problems))
        if not self.batched:
            return 1
        rows = {name: len(array) for name, array in inputs.items()}
        if len(set(rows.values())) > 1:
            raise ServingError(f"expected inputs with as many rows each, found {rows}")
        (count,) = set(rows.values())
        if count > most_rows:
            raise ServingError(
                f"Task size {count} is larger than maximum input batch size {most_rows}"
            )
        return count


@dataclass(frozen=True)
class _Request:
    signature: _Signature
    inputs: Mapping[str, Array]
    outputs: frozenset[str]
    rows: int
    conclude: Callable[[Prediction], Any] = _unchanged
    future: Future[Any] = field(default_factory=Future)

    @property
    def kind(self) -> tuple[Any, ...]:
        """Requests of one kind can be concatenated."""
        shapes = sorted((name, array.shape[1:]) for name, array in self.inputs.items())
        return (self.signature.name, tuple(shapes))


class Closed(Exception):  # noqa: N818 - told to the caller, who looks again
    """The version no longer takes requests."""


class LoadedVersion:
    """A loaded version: its signatures, the requests that wait for it, and its thread.

    Args:
        number: the version's.
        folder: of its files.
        batching: see :class:`Batching`.
        load: makes functions of the folder.

    Attributes:
        rows_waiting: rows that wait for their turn.
    """

    def __init__(self, number: int, folder: Path, batching: Batching, load: Load) -> None:
        self.number = number
        self.folder = folder
        self.batch_sizes: Counter[int] = Counter()
        self._batching = batching
        self._model = load(folder)
        self.signature_defs = self._model.signature_defs
        self.signatures = _signatures(self._model)
        self._waiting: deque[_Request] = deque()
        self.rows_waiting = 0
        self._closed = False
        self._changed = threading.Condition()
        self._warm_up()
        self._thread = threading.Thread(target=self._work, name=f"version-{number}", daemon=True)
        self._thread.start()

    def signature(self, name: str) -> _Signature:
        """Return one of the version's functions; an empty name means the default one.

        Raises:
            ServingError: ``FAILED_PRECONDITION``, for a name that the version has not.
        """
        name = name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            raise ServingError(
                f'Serving signature name: "{name}" not found in signature def; '
                f"expected one of {', '.join(sorted(self.signatures))}",
                "FAILED_PRECONDITION",
            )
        return self.signatures[name]

    def submit(
        self,
        inputs: Inputs,
        signature: str = DEFAULT_SIGNATURE,
        outputs: Sequence[str] = (),
        conclude: Callable[[Prediction], Any] = _unchanged,
    ) -> Future[Any]:
        """Check a request and let it wait; see ``ServedModels.predict``.

        Args:
            inputs: see there.
            signature: likewise.
            outputs: likewise.
            conclude: makes of the prediction what the future then holds, in the thread that
                computes, so that whoever asks waits for that too.

        Raises:
            Closed: when the version no longer takes requests.
            ServingError: see there.
        """
        called = self.signature(signature)
        arrays = inputs(called.inputs) if callable(inputs) else inputs
        rows = called.check(arrays, outputs, self._batching.max_batch_size)
        request = _Request(called, arrays, frozenset(outputs), rows, conclude)
        self._enqueue(request)
        return request.future

    def _enqueue(self, request: _Request) -> None:
        with self._changed:
            if self._closed:
                raise Closed
            if self.rows_waiting + request.rows > self._batching.max_waiting:
                self._forget_cancelled()
            if self.rows_waiting + request.rows > self._batching.max_waiting:
                raise ServingError(
                    f"The batch scheduling queue is full: {self.rows_waiting} rows wait; "
                    "try again later",
                    "UNAVAILABLE",
                )
            self._waiting.append(request)
            self.rows_waiting += request.rows
            self._changed.notify()

    def close(self) -> None:
        """Take no more requests, answer those that wait, and let go of the model."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _forget_cancelled(self) -> None:
        self._waiting = deque(one for one in self._waiting if not one.future.cancelled())
        self.rows_waiting = sum(one.rows for one in self._waiting)

    def _work(self) -> None:
        while batch := self._next_batch():
            running = [one for one in batch if one.future.set_running_or_notify_cancel()]
            if running:
                self._answer(running)
            del batch, running  # while it waits it holds nobody's images

    def _next_batch(self) -> list[_Request]:
        """Wait for a request; return it with those of its kind that fit. Empty: closed."""
        with self._changed:
            while not self._waiting:
                if self._closed:
                    return []
                self._changed.wait()
            batch, rows, left = list[_Request](), 0, deque[_Request]()
            for one in self._waiting:
                fits = rows + one.rows <= self._batching.max_batch_size
                if not batch or (fits and one.signature.batched and one.kind == batch[0].kind):
                    batch.append(one)
                    rows += one.rows
                else:
                    left.append(one)
            self._waiting = left
            self.rows_waiting -= rows
            return batch

    def _answer(self, batch: list[_Request]) -> None:
        try:
            answers = self._compute(batch)
        except Exception as error:  # whatever it is, the thread lives on for the others
            if len(batch) == 1:
                batch[0].future.set_exception(_of_the_model(error))
                return
            for one in batch:  # which of them is to blame shows when each runs alone
                self._answer([one])
            return
        for one, outputs in zip(batch, answers, strict=True):
            try:
                answer = one.conclude(Prediction(outputs, self.number, one.signature.name))
            except Exception as error:
                one.future.set_exception(serving_error(error))
            else:
                one.future.set_result(answer)

    def _compute(self, batch: list[_Request]) -> list[dict[str, Array]]:
        signature = batch[0].signature
        inputs = {
            name: tf.constant(_concatenated([one.inputs[name] for one in batch]), spec.dtype)
            for name, spec in signature.inputs.items()
        }
        computed = signature.function(**inputs)
        outputs = {name: computed[name].numpy() for name in sorted(computed)}
        rows = sum(one.rows for one in batch)
        self.batch_sizes[rows] += 1
        if len(batch) == 1:
            return [_chosen(outputs, batch[0].outputs)]
        if any(len(output) != rows for output in outputs.values()):
            raise ServingError("the model answered with another number of rows", "INTERNAL")
        answers, first = [], 0
        for one in batch:
            part = {name: output[first : first + one.rows] for name, output in outputs.items()}
            answers.append(_chosen(part, one.outputs))
            first += one.rows
        return answers

    def _warm_up(self) -> None:
        for record in self._model.warmup_requests:
            request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
            signature = self.signature(request.model_spec.signature_name)
            inputs = {name: array_from_proto(proto) for name, proto in request.inputs.items()}
            # Of any size: it is not a client's, and runs alone.
            rows = signature.check(inputs, (), most_rows=sys.maxsize)
            self._compute([_Request(signature, inputs, frozenset(), rows)])
        self.batch_sizes.clear()


def _signatures(model: LoadedModel) -> dict[str, _Signature]:
    signatures = {}
    for name, function in model.functions.items():
        description = model.signature_defs[name]
        described = [*description.inputs.values(), *description.outputs.values()]
        batched = all(
            len(info.tensor_shape.dim) > 0 and info.tensor_shape.dim[0].size == -1
            for info in described
        )
        inputs = {
            key: tf.TensorSpec(tf.TensorShape(info.tensor_shape), tf.as_dtype(info.dtype), key)
            for key, info in description.inputs.items()
        }
        outputs = frozenset(description.outputs)
        signatures[name] = _Signature(name, function, inputs, outputs, batched, model.pixels)
    return signatures


def _concatenated(arrays: list[Array]) -> Array:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _chosen(outputs: dict[str, Array], names: frozenset[str]) -> dict[str, Array]:
    return {name: outputs[name] for name in outputs if name in names} if names else outputs


def _of_the_model(error: Exception) -> ServingError:
    if isinstance(error, tf.errors.OpError):
        return ServingError(error.message, _CODES.get(error.error_code, "INTERNAL"))
    return serving_error(error)


_CODES = {
    tf.errors.INVALID_ARGUMENT: "INVALID_ARGUMENT",
    tf.errors.OUT_OF_RANGE: "OUT_OF_RANGE",
    tf.errors.FAILED_PRECONDITION: "FAILED_PRECONDITION",
    tf.errors.RESOURCE_EXHAUSTED: "RESOURCE_EXHAUSTED",
    tf.errors.UNIMPLEMENTED: "UNIMPLEMENTED",
}
