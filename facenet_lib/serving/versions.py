"""Exported models, loaded and answering: all of the local server but the network.

A model is a folder of numbered versions, as TensorFlow Serving wants it (``facenet/1``,
``facenet/2``). One thread watches the folders, loads what appears and lets go of what has gone.
Each loaded version has one thread that computes, because TensorFlow uses every core for one
call already; requests that arrive while it computes wait and become its next batch.

Derived in chapter 8, "Serving".
"""

from __future__ import annotations

import gc
import logging
import sys
import threading
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, prediction_log_pb2

from facenet_lib.errors import refuse
from facenet_lib.serving.messages import Array, ServingError, array_from_proto, one_line

DEFAULT_SIGNATURE = "serving_default"
WARM_UP = Path("assets.extra") / "tf_serving_warmup_requests"
"""Requests, a TFRecord file of ``PredictionLog``, that are played before a version answers."""
LARGEST_VERSION = 2**63 - 1
"""What the protocols can write; a folder with a larger number is no version."""

_log = logging.getLogger(__name__)


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
        problems = []
        if self.max_batch_size < 1:
            problems.append(f"max_batch_size: expected at least 1, found {self.max_batch_size}")
        if self.max_waiting < self.max_batch_size:
            problems.append(
                f"max_waiting: expected at least max_batch_size ({self.max_batch_size}), "
                f"found {self.max_waiting}"
            )
        refuse("batching", problems)


@dataclass(frozen=True)
class ModelStatus:
    """What became of one version.

    Attributes:
        version: its number.
        state: ``START``, ``LOADING``, ``AVAILABLE``, ``UNLOADING`` or ``END``, as TensorFlow
            Serving names them.
        error: why it ended; empty when it did so in good order.
    """

    version: int
    state: str
    error: str = ""


@dataclass(frozen=True)
class Prediction:
    """The answer to one request: its outputs by name, the version and the signature."""

    outputs: dict[str, Array]
    version: int
    signature: str


# --------------------------------------------------------------------------- one version


@dataclass(frozen=True)
class _Signature:
    """A function of a loaded model, and what may be given to it."""

    name: str
    function: Any
    inputs: Mapping[str, tf.TensorSpec]
    outputs: frozenset[str]
    batched: bool  # every tensor's first axis is free: requests can be concatenated

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
        if unknown := [name for name in outputs if name not in self.outputs]:
            problems.append(
                f"output tensor alias not found in signature: {', '.join(unknown)}; expected some "
                f"of {', '.join(sorted(self.outputs))}"
            )
        if len(set(outputs)) < len(outputs):
            problems.append(f"duplicate output tensor alias: {', '.join(outputs)}")
        if problems:
            raise ServingError("INVALID_ARGUMENT", one_line("; ".join(problems)))
        if not self.batched:
            return 1
        rows = {name: len(array) for name, array in inputs.items()}
        if len(set(rows.values())) > 1:
            raise ServingError(
                "INVALID_ARGUMENT", f"expected inputs with as many rows each, found {rows}"
            )
        (count,) = set(rows.values())
        if count > most_rows:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"Task size {count} is larger than maximum input batch size {most_rows}",
            )
        return count


@dataclass(frozen=True)
class _Request:
    signature: _Signature
    inputs: Mapping[str, Array]
    outputs: frozenset[str]
    rows: int
    future: Future[Prediction] = field(default_factory=Future)

    @property
    def kind(self) -> tuple[Any, ...]:
        """Requests of one kind can be concatenated."""
        shapes = sorted((name, array.shape[1:]) for name, array in self.inputs.items())
        return (self.signature.name, tuple(shapes))


class _Closed(Exception):  # noqa: N818 - told to the caller, who looks again
    """The version no longer takes requests."""


class _Version:
    """A loaded version: its signatures, the requests that wait for it, and its thread."""

    def __init__(self, number: int, folder: Path, batching: Batching) -> None:
        self.number = number
        self.folder = folder
        self.batch_sizes: Counter[int] = Counter()
        self._batching = batching
        self._model = tf.saved_model.load(str(folder))
        self.signature_defs = _signature_defs(folder)
        self.signatures = {
            name: _signature(name, function, self.signature_defs[name])
            for name, function in self._model.signatures.items()
        }
        self._waiting: deque[_Request] = deque()
        self._rows_waiting = 0
        self._closed = False
        self._changed = threading.Condition()
        self._warm_up()
        self._thread = threading.Thread(target=self._work, name=f"version-{number}", daemon=True)
        self._thread.start()

    @property
    def rows_waiting(self) -> int:
        return self._rows_waiting

    def signature(self, name: str) -> _Signature:
        try:
            return self.signatures[name or DEFAULT_SIGNATURE]
        except KeyError:
            raise ServingError(
                "FAILED_PRECONDITION",
                f'Serving signature name: "{one_line(name or DEFAULT_SIGNATURE)}" not found in '
                f"signature def; expected one of {', '.join(sorted(self.signatures))}",
            ) from None

    def submit(self, request: _Request) -> None:
        with self._changed:
            if self._closed:
                raise _Closed
            if self._rows_waiting + request.rows > self._batching.max_waiting:
                self._forget_cancelled()
            if self._rows_waiting + request.rows > self._batching.max_waiting:
                raise ServingError(
                    "UNAVAILABLE",
                    f"The batch scheduling queue is full: {self._rows_waiting} rows wait; "
                    "try again later",
                )
            self._waiting.append(request)
            self._rows_waiting += request.rows
            self._changed.notify()

    def close(self) -> None:
        """Take no more requests, answer those that wait, and let go of the model."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _forget_cancelled(self) -> None:
        self._waiting = deque(one for one in self._waiting if not one.future.cancelled())
        self._rows_waiting = sum(one.rows for one in self._waiting)

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
            first = self._waiting.popleft()
            batch, rows, left = [first], first.rows, deque[_Request]()
            while self._waiting and first.signature.batched:
                other = self._waiting.popleft()
                fits = rows + other.rows <= self._batching.max_batch_size
                if fits and other.kind == first.kind:
                    batch.append(other)
                    rows += other.rows
                else:
                    left.append(other)
            left.extend(self._waiting)
            self._waiting = left
            self._rows_waiting -= rows
            return batch

    def _answer(self, batch: list[_Request]) -> None:
        try:
            answers = self._compute(batch)
        except Exception as error:  # whatever it is, the thread lives on for the others
            if len(batch) == 1:
                batch[0].future.set_exception(_serving_error(error))
                return
            for one in batch:  # which of them is to blame shows when each runs alone
                self._answer([one])
            return
        for one, outputs in zip(batch, answers, strict=True):
            one.future.set_result(Prediction(outputs, self.number, one.signature.name))

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
            raise ServingError("INTERNAL", "the model answered with another number of rows")
        answers, first = [], 0
        for one in batch:
            part = {name: output[first : first + one.rows] for name, output in outputs.items()}
            answers.append(_chosen(part, one.outputs))
            first += one.rows
        return answers

    def _warm_up(self) -> None:
        path = self.folder / WARM_UP
        if not path.is_file():
            return
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
            signature = self.signature(request.model_spec.signature_name)
            inputs = {name: array_from_proto(proto) for name, proto in request.inputs.items()}
            # Of any size: it is not a client's, and runs alone.
            rows = signature.check(inputs, (), most_rows=sys.maxsize)
            self._compute([_Request(signature, inputs, frozenset(), rows)])
        self.batch_sizes.clear()


def _signature_defs(folder: Path) -> Mapping[str, Any]:
    """The signatures as the file describes them: names, types and shapes."""
    content = (folder / "saved_model.pb").read_bytes()
    graphs = saved_model_pb2.SavedModel.FromString(content).meta_graphs
    return next(graph for graph in graphs if "serve" in graph.meta_info_def.tags).signature_def


def _signature(name: str, function: Any, description: Any) -> _Signature:
    described = [*description.inputs.values(), *description.outputs.values()]
    batched = all(
        len(info.tensor_shape.dim) > 0 and info.tensor_shape.dim[0].size == -1 for info in described
    )
    inputs = {
        key: tf.TensorSpec(tf.TensorShape(info.tensor_shape), tf.as_dtype(info.dtype), key)
        for key, info in description.inputs.items()
    }
    return _Signature(name, function, inputs, frozenset(description.outputs), batched)


def _concatenated(arrays: list[Array]) -> Array:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _chosen(outputs: dict[str, Array], names: frozenset[str]) -> dict[str, Array]:
    return {name: outputs[name] for name in outputs if name in names} if names else outputs


def _serving_error(error: Exception) -> ServingError:
    if isinstance(error, ServingError):
        return error
    if isinstance(error, tf.errors.OpError):
        code = _CODES.get(error.error_code, "INTERNAL")
        return ServingError(code, one_line(error.message))
    return ServingError("INTERNAL", one_line(f"{type(error).__name__}: {error}"))


_CODES = {
    tf.errors.INVALID_ARGUMENT: "INVALID_ARGUMENT",
    tf.errors.OUT_OF_RANGE: "OUT_OF_RANGE",
    tf.errors.FAILED_PRECONDITION: "FAILED_PRECONDITION",
    tf.errors.RESOURCE_EXHAUSTED: "RESOURCE_EXHAUSTED",
    tf.errors.UNIMPLEMENTED: "UNIMPLEMENTED",
}


# --------------------------------------------------------------------------- one model's folder


class _Model:
    """The versions of one model: what its folder holds, what is loaded and what became of it."""

    def __init__(
        self, name: str, folder: Path, versions: str | Sequence[int], batching: Batching
    ) -> None:
        self.name = name
        self.folder = folder
        self.available: Mapping[int, _Version] = {}  # replaced as a whole, never changed
        self.statuses: Mapping[int, ModelStatus] = {}  # likewise
        self.batch_sizes: Counter[int] = Counter()  # of versions that have gone
        self._versions = versions
        self._batching = batching
        self._failed: dict[int, object] = {}  # the files with which loading failed
        self._seen: dict[int, object] = {}  # the files at the last look
        self._looked = False
        self._readable = True

    def refresh(self) -> None:
        """Load what is new in the folder and wanted, then let go of what is not wanted now."""
        try:
            found = _numbered_folders(self.folder)
        except OSError as error:  # a folder that cannot be read now says nothing of its versions
            if self._readable:  # one line, not one a look
                _log.warning("%s cannot be read: %s", self.folder, error.strerror)
            self._readable = False
            return
        self._readable = True
        if isinstance(self._versions, str):
            wanted = sorted(found, reverse=True)
        else:
            wanted = [number for number in self._versions if number in found]
        serving = []
        for number in wanted:
            if number in self.available or self._load(number, found[number]):
                serving.append(number)
                if self._versions == "latest":
                    break
        for number in self.available:
            # While the newest is being copied or will not load, the one before it goes on.
            if number not in serving:
                self._unload(number)
        self._seen = {number: _files(path) for number, path in found.items()}
        self._looked = True

    def close(self) -> None:
        for number in self.available:
            self._unload(number)

    def _load(self, number: int, folder: Path) -> bool:
        files = _files(folder)
        if self._failed.get(number) == files:
            return False
        if self._looked and self._seen.get(number) != files:
            # Still being copied, as far as one can see: it is loaded when it stays as it is.
            self._set_status(number, "START")
            return False
        self._set_status(number, "LOADING")
        try:
            version = _Version(number, folder, self._batching)
        except Exception as error:  # a damaged program fails wherever the damage makes itself felt
            self._failed[number] = files
            reason = one_line(f"{type(error).__name__}: {error}")
            self._set_status(number, "END", reason)
            _log.warning("%s version %d was not loaded: %s", self.name, number, reason)
            return False
        self._failed.pop(number, None)
        self.available = {**self.available, number: version}
        self._set_status(number, "AVAILABLE")
        _log.info("%s version %d is available", self.name, number)
        return True

    def _unload(self, number: int) -> None:
        version = self.available[number]
        self._set_status(number, "UNLOADING")
        self.available = {key: one for key, one in self.available.items() if key != number}
        version.close()
        self.batch_sizes += version.batch_sizes
        del version
        gc.collect()  # TensorFlow's functions refer to each other
        self._set_status(number, "END")
        _log.info("%s version %d was unloaded", self.name, number)

    def _set_status(self, number: int, state: str, error: str = "") -> None:
        self.statuses = {**self.statuses, number: ModelStatus(number, state, error)}


def _error_of(model: _Model) -> str:
    """Why its newest version that failed did so."""
    errors = [status.error for _, status in sorted(model.statuses.items()) if status.error]
    return errors[-1] if errors else ""


def _numbered_folders(folder: Path) -> dict[int, Path]:
    """The versions that lie there, whole enough to have a program."""
    return {
        int(path.name): path
        for path in folder.iterdir()
        if path.name.isascii()
        and path.name.isdecimal()
        and int(path.name) <= LARGEST_VERSION
        and (path / "saved_model.pb").is_file()
    }


def _files(folder: Path) -> object:
    """What tells whether a folder changed: its files' names, sizes and times."""
    try:
        stats = [(str(path), path.stat()) for path in sorted(folder.rglob("*"))]
    except OSError:
        return object()  # equal to nothing: it changes right now
    return [(path, stat.st_size, stat.st_mtime_ns) for path, stat in stats]


# --------------------------------------------------------------------------- all of them


class ServedModels:
    """Models that answer requests, each in the versions that its folder holds.

    Versions load in the background, warm-up requests included. Under ``"latest"`` a new version
    answers from the moment at which it can, and only then is the one before unloaded, after it
    has answered what waited for it: no request fails. A version that does not load leaves the
    one before in its place, and is tried again when its files have changed.

    Load only models whose origin you trust: a SavedModel is a program that TensorFlow runs.

    Args:
        folders: each model's folder, by the name under which it is asked for.
        versions: ``"latest"``, ``"all"``, or the numbers of those to serve.
        labels: for each model, numbers of versions by the label under which they are asked for.
        batching: see :class:`Batching`.
        poll_seconds: how often the folders are looked at.

    Raises:
        FacenetError: when a folder is not there or is a version itself, or an argument is
            unusable.
    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        *,
        versions: str | Sequence[int] = "latest",
        labels: Mapping[str, Mapping[str, int]] | None = None,
        batching: Batching | None = None,
        poll_seconds: float = 1.0,
    ) -> None:
        refuse("models to serve", _problems(folders, versions, labels or {}))
        self._labels = {name: dict(known) for name, known in (labels or {}).items()}
        self._batching = batching or Batching()
        self._models = {
            name: _Model(name, Path(folder), versions, self._batching)
            for name, folder in folders.items()
        }
        self._poll_seconds = poll_seconds
        self._stop = threading.Event()
        self._looked = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="versions", daemon=True)
        self._watcher.start()

    @property
    def names(self) -> tuple[str, ...]:
        """The models' names, in the order in which they were given."""
        return tuple(self._models)

    def predict(
        self,
        name: str,
        inputs: Mapping[str, Array],
        *,
        version: int | None = None,
        label: str | None = None,
        signature: str = DEFAULT_SIGNATURE,
        outputs: Sequence[str] = (),
    ) -> Future[Prediction]:
        """Check a request and let it wait for its turn.

        Args:
            name: the model.
            inputs: arrays by name, of exactly the signature's types; strings are object arrays
                of bytes. All have as many rows.
            version: a version's number; None: the highest that is available.
            label: a version's label, in place of its number.
            signature: name of the signature.
            outputs: names of the outputs to answer with; empty: all.

        Returns:
            A future of the :class:`Prediction`; cancelling it before its turn saves the work.
            A failure of the model shows there, as a ``ServingError``.

        Raises:
            ServingError: ``NOT_FOUND``, ``INVALID_ARGUMENT``, or ``UNAVAILABLE`` when too many
                wait already.
        """
        while not self._stop.is_set():
            chosen = self._version(name, version, label)
            try:
                called = chosen.signature(signature)
                rows = called.check(inputs, outputs, self._batching.max_batch_size)
                request = _Request(called, inputs, frozenset(outputs), rows)
                chosen.submit(request)
            except _Closed:  # unloaded in between: the next one is there already
                continue
            return request.future
        raise ServingError("UNAVAILABLE", "the server is stopping")

    def inputs(
        self,
        name: str,
        signature: str = DEFAULT_SIGNATURE,
        *,
        version: int | None = None,
        label: str | None = None,
    ) -> Mapping[str, tf.TensorSpec]:
        """Return types and shapes of a signature's inputs, by name.

        Raises:
            ServingError: ``NOT_FOUND`` or ``INVALID_ARGUMENT``.
        """
        return self._version(name, version, label).signature(signature).inputs

    def signatures(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> tuple[int, get_model_metadata_pb2.SignatureDefMap]:
        """Return the version's number and its signatures, as ``GetModelMetadata`` tells them.

        Raises:
            ServingError: ``NOT_FOUND`` or ``INVALID_ARGUMENT``.
        """
        chosen = self._version(name, version, label)
        found = get_model_metadata_pb2.SignatureDefMap()
        for key, description in chosen.signature_defs.items():
            found.signature_def[key].CopyFrom(description)
        return chosen.number, found

    def status(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> list[ModelStatus]:
        """Return what became of each version, the newest first; of one, when it is named.

        Raises:
            ServingError: ``NOT_FOUND``, or ``INVALID_ARGUMENT`` for an unknown label.
        """
        number = self._number(name, version, label)
        statuses = self._models[name].statuses if name in self._models else {}
        if number is None:
            if not statuses:
                raise ServingError(
                    "NOT_FOUND", f"Could not find any versions of model {one_line(name)}"
                )
            return sorted(statuses.values(), key=lambda status: -status.version)
        if number not in statuses:
            raise ServingError(
                "NOT_FOUND", f"Could not find version {number} of model {one_line(name)}"
            )
        return [statuses[number]]

    def folder(self, name: str, version: int | None = None, label: str | None = None) -> Path:
        """Return the folder of a version that is available, whose name is its number.

        Raises:
            ServingError: ``NOT_FOUND`` or ``INVALID_ARGUMENT``.
        """
        return self._version(name, version, label).folder

    def ready(self) -> bool:
        """Whether every model has a version that is available."""
        return all(model.available for model in self._models.values())

    def wait_until_ready(self) -> None:
        """Wait until all folders have been looked at once, and what they held was loaded.

        Raises:
            FacenetError: when a model has no version that is available then, with the reason.
        """
        self._looked.wait()
        problems = []
        for model in self._models.values():
            if not model.available:
                reason = _error_of(model) or (
                    "expected numbered folders, each with a SavedModel that 'facenet export' "
                    "wrote, found none"
                )
                problems.append(f"{model.folder}: {reason}")
        refuse(f"models to serve ({', '.join(self.names)})", problems)

    def batch_sizes(self, name: str) -> Counter[int]:
        """Return how many batches were computed, by their number of rows."""
        model = self._models[name]
        return sum(
            # Copies, made at once: a batch of a new size must not come while they are added.
            (Counter(version.batch_sizes) for version in model.available.values()),
            Counter(model.batch_sizes),
        )

    def rows_waiting(self, name: str) -> int:
        """Return how many rows wait for their turn."""
        return sum(version.rows_waiting for version in self._models[name].available.values())

    def close(self) -> None:
        """Take no more requests, answer those that wait, and unload everything."""
        self._stop.set()
        self._watcher.join()
        for model in self._models.values():
            model.close()

    def _watch(self) -> None:
        while True:
            for model in self._models.values():
                model.refresh()
            self._looked.set()
            if self._stop.wait(self._poll_seconds):
                return

    def _number(self, name: str, version: int | None, label: str | None) -> int | None:
        if label is None:
            return version
        if version is not None:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"Both model version ({version}) and model version label ({one_line(label)}) "
                "cannot be supplied.",
            )
        try:
            return self._labels[name][label]
        except KeyError:
            raise ServingError(
                "INVALID_ARGUMENT", f"Unrecognized servable version label: {one_line(label)}"
            ) from None

    def _version(self, name: str, version: int | None, label: str | None) -> _Version:
        number = self._number(name, version, label)
        available = self._models[name].available if name in self._models else {}
        chosen = available.get(max(available, default=0) if number is None else number)
        if chosen is not None:
            return chosen
        shown = one_line(name)
        asked = f"Latest({shown})" if number is None else f"Specific({shown}, {number})"
        raise ServingError("NOT_FOUND", f"Servable not found for request: {asked}")


def _problems(
    folders: Mapping[str, Path],
    versions: str | Sequence[int],
    labels: Mapping[str, Mapping[str, int]],
) -> list[str]:
    problems = []
    if not folders:
        problems.append("expected at least one model, found none")
    for name, folder in folders.items():
        if not name or any(character in "/:?#%" or character.isspace() for character in name):
            problems.append(f"expected a name without / : ? # % and spaces, found {name!r}")
        folder = Path(folder)
        if not folder.is_dir():
            problems.append(f"{folder}: expected the folder of a model, found nothing there")
        elif (folder / "saved_model.pb").is_file():
            problems.append(
                f"{folder}: expected the folder that holds a model's numbered versions, found a "
                f"version; name {folder.parent}"
            )
    if isinstance(versions, str):
        if versions not in ("latest", "all"):
            problems.append(f"versions: expected latest, all or numbers, found {versions!r}")
    elif not versions or not all(type(number) is int and number >= 0 for number in versions):
        problems.append(f"versions: expected latest, all or numbers, found {versions!r}")
    problems += [
        f"labels: expected names of models, found {name!r}"
        for name in labels
        if name not in folders
    ]
    return problems
