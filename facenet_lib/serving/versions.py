"""The versions of each model that is served: watched, loaded, and let go of.

A model is a folder of numbered versions, as TensorFlow Serving wants it (``facenet/1``,
``facenet/2``). One thread watches the folders, loads what appears and unloads what has gone.
Derived in chapter 8, "Serving".
"""

from __future__ import annotations

import gc
import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from facenet_lib.checks import check_model_name
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.runtimes import Runtime
from facenet_lib.serving.answers import DEFAULT_SIGNATURE, VersionStatus
from facenet_lib.serving.batching import Batching, Closed, Inputs, LoadedVersion, Prediction
from facenet_lib.serving.loading import Load, loader
from facenet_lib.serving.messages import ServingError, one_line
from facenet_lib.serving.model_folders import (
    FoundVersions,
    check_model_folder,
    check_versions,
    find_versions,
    label_problems,
    latest_count,
    versions_problems,
)

_log = logging.getLogger(__name__)


class ServedModels:
    """Models that answer requests, each in the versions that its folder holds.

    Versions load in the background, warm-up requests included. Under ``"latest"`` a new version
    answers from the moment at which it can, and only then is the one before unloaded, after it
    has answered what waited for it: no request fails. ``"latest:N"`` keeps so many of the newest.
    A version that does not load leaves the one before in its place, and is tried again when its
    files have changed.

    Load only models whose origin you trust: a SavedModel is a program that TensorFlow runs.

    Args:
        folders: each model's folder, by the name under which it is asked for.
        versions: ``"latest"``, ``"latest:N"``, ``"all"``, or the numbers of those to serve, of each
            model.
        labels: for each model, numbers of versions by the label under which they are asked for;
            of those that are there, and to be served, now.
        batching: see :class:`Batching`.
        runtime: what computes the networks: ``"onnx"`` or ``"openvino"``, of versions that
            ``facenet export`` wrote for it; None: TensorFlow, SavedModels.
        poll_seconds: how often the folders are looked at.
        meet: is shown each version once it is loaded, before it answers.

    Raises:
        FacenetError: when a folder is not there or is a version itself, or an argument is
            unusable.
    """

    def __init__(
        self,
        folders: Mapping[str, str | Path],
        *,
        versions: str | Sequence[int] = "latest",
        labels: Mapping[str, Mapping[str, int]] | None = None,
        batching: Batching | None = None,
        runtime: Runtime | None = None,
        poll_seconds: float = 1.0,
        meet: Callable[[LoadedVersion], None] | None = None,
    ) -> None:
        refuse("models to serve", _problems(folders, versions, labels or {}))
        self._labels = {name: dict(known) for name, known in (labels or {}).items()}
        batching, load = batching or Batching(), loader(runtime)
        self._models = {
            name: _Model(name, Path(folder), versions, batching, load, meet)
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
        inputs: Inputs,
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
                of bytes. All have as many rows. Or what makes them of the types and shapes that
                the signature of the version that will answer takes.
            version: a version's number; None: the highest that is available.
            label: a version's label, in place of its number.
            signature: name of the signature.
            outputs: names of the outputs to answer with; empty: all.

        Returns:
            A future of the prediction; cancelling it before its turn saves the work.
            A failure of the model shows there, as a ``ServingError``.

        Raises:
            ServingError: ``NOT_FOUND``, ``INVALID_ARGUMENT``, or ``UNAVAILABLE`` when too many
                wait already.
        """
        return self.submit(
            name,
            lambda chosen: chosen.submit(inputs, signature, outputs),
            version=version,
            label=label,
        )

    def submit(
        self,
        name: str,
        submit_to: Callable[[LoadedVersion], Future[Any]],
        *,
        version: int | None = None,
        label: str | None = None,
    ) -> Future[Any]:
        """Let a request wait that depends on the version; :meth:`predict` is the usual one.

        Args:
            name: the model.
            submit_to: submits the request to the version that answers.
            version: as for :meth:`predict`.
            label: likewise.

        Raises:
            ServingError: ``NOT_FOUND``, ``UNAVAILABLE``, and what ``submit_to`` raises.
        """
        while not self._stop.is_set():
            chosen = self.version(name, version, label)
            try:
                return submit_to(chosen)
            except Closed:  # unloaded in between: the next one is there already
                continue
        raise ServingError("the server is stopping", "UNAVAILABLE")

    def version(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> LoadedVersion:
        """Return the version of a model that answers a request, as :meth:`predict` chooses it.

        Raises:
            ServingError: ``NOT_FOUND`` or ``INVALID_ARGUMENT``.
        """
        number = self._number(name, version, label)
        available = self._models[name].available if name in self._models else {}
        chosen = available.get(max(available, default=0) if number is None else number)
        if chosen is not None:
            return chosen
        asked = f"Latest({name})" if number is None else f"Specific({name}, {number})"
        raise ServingError(f"Servable not found for request: {asked}", "NOT_FOUND")

    def status(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> list[VersionStatus]:
        """Return what became of each version, the newest first; of one, when it is named.

        Raises:
            ServingError: ``NOT_FOUND``, or ``INVALID_ARGUMENT`` for an unknown label.
        """
        number = self._number(name, version, label)
        statuses = self._models[name].statuses if name in self._models else {}
        found = [statuses[n] for n in sorted(statuses, reverse=True) if number in (None, n)]
        if not found:
            asked = "any versions" if number is None else f"version {number}"
            raise ServingError(f"Could not find {asked} of model {name}", "NOT_FOUND")
        return found

    def ready(self) -> bool:
        """Whether every model has a version that is available."""
        return all(model.available for model in self._models.values())

    def wait_until_ready(self) -> None:
        """Wait until all folders have been looked at once, and what they held was loaded.

        Raises:
            FacenetError: when a model has no version that is available then, with the reason.
        """
        while not self._looked.wait(1.0):  # in steps: a signal may have been another thread's
            pass
        problems = []
        for model in self._models.values():
            if not model.available:
                statuses = [model.statuses[number] for number in sorted(model.statuses)]
                errors = [status.error for status in statuses if status.error]
                problems.append(f"{model.folder}: {errors[-1]}" if errors else model.why_empty())
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
                f"Both model version ({version}) and model version label ({label}) "
                "cannot be supplied."
            )
        try:
            return self._labels[name][label]
        except KeyError:
            raise ServingError(f"Unrecognized servable version label: {label}") from None


def _problems(
    folders: Mapping[str, str | Path],
    versions: str | Sequence[int],
    labels: Mapping[str, Mapping[str, int]],
) -> list[str]:
    problems = [] if folders else ["expected at least one model, found none"]
    for name, folder in folders.items():
        try:
            check_model_name(name)
        except FacenetError as error:
            problems.append(str(error))
        try:
            check_model_folder(Path(folder))
        except FacenetError as error:
            problems.append(str(error))
    problems += versions_problems(versions)
    problems += [
        f"labels: expected names of models, found {name!r}"
        for name in labels
        if name not in folders
    ]
    if not problems:
        for name, known in labels.items():
            problems += label_problems(known, versions, Path(folders[name]))
    return problems


class _Model:
    """The versions of one model: what its folder holds, what is loaded and what became of it."""

    def __init__(
        self,
        name: str,
        folder: Path,
        versions: str | Sequence[int],
        batching: Batching,
        load: Load,
        meet: Callable[[LoadedVersion], None] | None,
    ) -> None:
        self.name = name
        self.folder = folder
        self.available: Mapping[int, LoadedVersion] = {}  # replaced as a whole, never changed
        self.statuses: Mapping[int, VersionStatus] = {}  # likewise
        self.batch_sizes: Counter[int] = Counter()  # of versions that have gone
        self._versions = versions
        self._batching = batching
        self._load_folder = load
        self._meet = meet
        self._failed: dict[int, object] = {}  # the files with which loading failed
        self._seen: dict[int, object] | None = None  # the files at the last look, if any
        self._readable = True
        self._missing: set[int] = set()

    def refresh(self) -> None:
        """Load what is new in the folder and wanted, then let go of what is not wanted now."""
        try:
            self.folder.stat()
            found = find_versions(self.folder)
        except (OSError, FacenetError) as error:  # which says nothing of its versions
            if self._readable:  # one line, not one a look
                _log.warning("%s", one_line(str(error)))
            self._readable = False
            return
        self._readable = True
        there = found.complete.keys() | found.unreadable.keys()
        if isinstance(self._versions, str):
            wanted = sorted(there, reverse=True)
        else:
            wanted = [number for number in self._versions if number in there]
            self._tell_missing(set(self._versions) - there)
        serving, looked_at = [], set()
        for number in wanted:
            looked_at.add(number)
            if number in self.available or self._load(number, found):
                serving.append(number)
                if len(serving) == latest_count(self._versions):
                    break
        for number in self.available:
            # While the newest is being copied or will not load, the one before it goes on.
            if number not in serving:
                self._unload(number)
        for number, status in self.statuses.items():
            if status.state == "START" and number not in looked_at:  # it went, or a newer one came
                self._set_status(number, "END")
        self._seen = {number: _files(path) for number, path in found.complete.items()}

    def why_empty(self) -> str:
        """Tell why no version was even tried."""
        try:
            check_versions(self.folder, self._versions)
        except FacenetError as error:
            return str(error)
        return (
            f"{self.folder}: expected numbered folders, each with a model that "
            "'facenet export' wrote, found none"
        )

    def _tell_missing(self, missing: set[int]) -> None:
        for number in sorted(missing - self._missing):
            _log.warning("%s version %d is not in %s", self.name, number, self.folder)
        self._missing = missing

    def close(self) -> None:
        for number in self.available:
            self._unload(number)

    def _load(self, number: int, found: FoundVersions) -> bool:
        if number in found.unreadable:
            self._set_failed(number, found.unreadable[number])
            return False
        folder = found.complete[number]
        files = _files(folder)
        if self._failed.get(number) == files:
            return False
        if self._seen is not None and self._seen.get(number) != files:
            # Still being copied, as far as one can see: it is loaded when it stays as it is.
            self._set_status(number, "START")
            return False
        self._set_status(number, "LOADING")
        try:
            version = LoadedVersion(number, folder, self._batching, self._load_folder)
        except Exception as error:  # a damaged program fails wherever the damage makes itself felt
            self._failed[number] = files
            ours = isinstance(error, FacenetError)
            self._set_failed(number, str(error) if ours else f"{type(error).__name__}: {error}")
            return False
        self._failed.pop(number, None)
        if self._meet is not None:
            self._meet(version)
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

    def _set_failed(self, number: int, error: str) -> None:
        reason = one_line(error)
        before = self.statuses.get(number)
        self._set_status(number, "END", reason)
        if before != self.statuses[number]:  # one line, not one a look
            _log.warning("%s version %d was not loaded: %s", self.name, number, reason)

    def _set_status(self, number: int, state: str, error: str = "") -> None:
        self.statuses = {**self.statuses, number: VersionStatus(number, state, error)}


def _files(folder: Path) -> object:
    """What tells whether a folder changed: its files' names, sizes and times."""
    try:
        return [_file(path) for path in sorted(folder.rglob("*"))]
    except OSError as error:
        return error.errno


def _file(path: Path) -> tuple[object, ...]:
    try:
        stat = path.stat()
    except OSError as error:  # it goes right now, or leads nowhere
        return str(path), error.errno
    return str(path), stat.st_size, stat.st_mtime_ns
