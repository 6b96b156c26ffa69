"""TensorFlow Serving: its configuration, written and explained, and the server started by it.

TF Serving is a program of its own, ``tensorflow_model_server``; it comes in a Docker image or in
Google's package archive, and not from PyPI. What it is told are files in protobuf's text format;
:func:`write_configuration` makes them from a few dataclasses, and :func:`start_tensorflow_serving`
runs the program with them. Nothing here loads TensorFlow. Derived in chapter 8, "Serving".
"""

from __future__ import annotations

import contextlib
import functools
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import yaml

from facenet_lib.checks import check_model_name
from facenet_lib.errors import FacenetError, serving_extra
from facenet_lib.files import open_whole_file
from facenet_lib.model_card import version_folders
from facenet_lib.serving.rest_client import RestClient
from facenet_lib.serving.retries import Retries

TENSORFLOW_SERVING_IMAGE = "tensorflow/serving:2.21.0"
"""Docker image of the minor version of TensorFlow that the models are exported with. Never
``latest``: a newer server may compute differently, and an older one may not load the model."""

MODEL_SERVER = "tensorflow_model_server"
"""TF Serving's program."""

GRPC_PORT, REST_PORT = 8500, 8501
"""The ports that TF Serving's documents use, and every container of it."""

METRICS_PATH = "/monitoring/prometheus/metrics"
"""Where Prometheus reads the server's metrics, on the REST port."""

_MODELS_FILE, _BATCHING_FILE = "models.config", "batching.config"
_MONITORING_FILE, _COMPOSE_FILE = "monitoring.config", "compose.yaml"
_CONTAINER_MODELS = PurePosixPath("/models")
_CONTAINER_CONFIGURATION = PurePosixPath("/configuration")
_POLL_SECONDS = 0.1
_STOP_SECONDS = 15.0
_LINES_OF_LOG = 20

Kind = Literal["binary", "docker"]


# --------------------------------------------------------------------------------------------
# What is served
# --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ServedModel:
    """One model for TF Serving.

    Attributes:
        folder: holds the versions, each in a folder whose name is its number.
        name: what requests call it.
        versions: ``"latest"``, the highest number, also when a higher one is added later;
            ``"all"``; or the numbers themselves, which stay until the configuration changes.
        labels: name to version, for requests that should not know numbers, such as ``stable``.
            Only with versions that stay: a label on what ``"latest"`` replaces would point to
            nothing.

    Raises:
        FacenetError: for a name, versions or labels that TF Serving would refuse, and for a
            folder without versions.
    """

    folder: Path
    name: str = "facenet"
    versions: Literal["latest", "all"] | tuple[int, ...] = "latest"
    labels: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_model_name(self.name)
        there = _versions_in(self.folder)
        if isinstance(self.versions, str):
            if self.versions not in ("latest", "all"):
                raise FacenetError(
                    f"versions: expected 'latest', 'all' or numbers, found {self.versions!r}"
                )
            kept = [] if self.versions == "latest" else there
        else:
            kept = list(self.versions)
            if not kept:
                raise FacenetError("versions: expected at least one number, found none")
        missing = sorted(set(kept) - set(there))
        if missing:
            raise FacenetError(f"{self.folder}: has the versions {there}, but not {missing}")
        for label, version in self.labels.items():
            check_model_name(label, what="label")
            if version not in kept:
                raise FacenetError(
                    f"label {label!r}: expected one of the versions that stay, {kept or 'none'}, "
                    f"found {version}"
                )


def _versions_in(folder: Path) -> list[int]:
    found = [
        number
        for number, version in version_folders(folder).items()
        if (version / "saved_model.pb").is_file()
    ]
    if not found:
        raise FacenetError(
            f"{folder}: expected a model's folder with a version in it, such as "
            f"{folder / '1' / 'saved_model.pb'}, as 'facenet export' writes it"
        )
    return found


@dataclass(frozen=True)
class BatchingParameters:
    """How TF Serving joins requests into batches; the names are those of its own message.

    Attributes:
        max_batch_size: images in one batch. A larger request is refused by some versions of TF
            Serving, and split by others: our clients never send one.
        batch_timeout_micros: microseconds that a batch waits for more requests while a thread
            is free. 0: whatever waits is computed at once. Under load a batch fills while the
            one before is computed, and a lone request is not held up.
        max_enqueued_batches: batches that may wait; beyond them a request is refused as
            UNAVAILABLE, which clients try again, instead of waiting without end.
        num_batch_threads: batches computed at the same time. TensorFlow divides each among all
            processors, so that two suffice: one computes while the other's images are decoded.
    """

    max_batch_size: int = 32
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 100
    num_batch_threads: int = 2

    def __post_init__(self) -> None:
        for name, least in (
            ("max_batch_size", 1),
            ("batch_timeout_micros", 0),
            ("max_enqueued_batches", 1),
            ("num_batch_threads", 1),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise FacenetError(
                    f"{name}: expected an integer of at least {least}, found {value!r}"
                )


# --------------------------------------------------------------------------------------------
# The files in protobuf's text format
# --------------------------------------------------------------------------------------------

_MODELS_COMMENT = """\
The models of the server: a ModelServerConfig, for --model_config_file.
name: what requests call the model, /v1/models/NAME. base_path: the folder whose numbered folders
are its versions. model_version_policy: which of them are loaded; without it, the highest number.
version_labels: names for versions; move one by editing this file, which the server reads again
(--model_config_file_poll_wait_seconds). A label may move only to a version that is loaded.
"""

_BATCHING_COMMENT = """\
How requests are joined: BatchingParameters, for --batching_parameters_file.
max_batch_size: images in one batch. batch_timeout_micros: how long a batch waits for more; 0,
which is written as an empty { }: it takes what waits. max_enqueued_batches: beyond them requests
are refused as UNAVAILABLE. num_batch_threads: batches computed at the same time.
"""

_MONITORING_COMMENT = """\
Metrics for Prometheus, on the REST port: a MonitoringConfig, for --monitoring_config_file.
"""

_COMPOSE_COMMENT = """\
TF Serving in a container: docker compose -f compose.yaml up
The models and this folder are mounted to be read only. Ports are bound to the address before
them: TF Serving asks nobody who they are, so let only those reach it who may use it. The health
check asks the REST API whether the first model has a version that is AVAILABLE.
"""


def models_config(models: Sequence[ServedModel], root: PurePosixPath | None = None) -> str:
    """Return ``models.config``: a ``ModelServerConfig`` in text format, with comments.

    Args:
        models: what is served, of different names.
        root: where the server sees the models, each in a folder of its name; None: where they
            are, for a server outside of any container.

    Raises:
        FacenetError: for no model, two of one name, or where the extra ``serving`` is missing.
    """
    names = [model.name for model in models]
    if not names or len(set(names)) != len(names):
        raise FacenetError(f"expected models of different names, found {names or 'none'}")
    with serving_extra("TF Serving's configuration"):
        from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig
    message = ModelServerConfig()
    for model in models:
        config = message.model_config_list.config.add()
        config.name = model.name
        config.base_path = str(root / model.name if root else model.folder.absolute())
        config.model_platform = "tensorflow"
        if model.versions == "all":
            config.model_version_policy.all.SetInParent()
        elif model.versions != "latest":
            config.model_version_policy.specific.versions.extend(sorted(model.versions))
        for label, version in sorted(model.labels.items()):
            config.version_labels[label] = version
    return _text(message, _MODELS_COMMENT)


def batching_config(batching: BatchingParameters) -> str:
    """Return ``batching.config``: ``BatchingParameters`` in text format, with comments."""
    message = serving_messages()["BatchingParameters"]()
    for name in message.DESCRIPTOR.fields_by_name:
        getattr(message, name).value = getattr(batching, name)
    return _text(message, _BATCHING_COMMENT)


def monitoring_config() -> str:
    """Return ``monitoring.config``: a ``MonitoringConfig`` in text format, with comments."""
    message = serving_messages()["MonitoringConfig"]()
    message.prometheus_config.enable = True
    message.prometheus_config.path = METRICS_PATH
    return _text(message, _MONITORING_COMMENT)


def _text(message: Any, comment: str) -> str:
    from google.protobuf import text_format

    return _commented(comment) + text_format.MessageToString(message)


def _commented(comment: str) -> str:
    return "".join(f"# {line}\n" for line in comment.splitlines())


@functools.cache
def serving_messages() -> Mapping[str, Any]:
    """Return TF Serving's messages ``BatchingParameters`` and ``MonitoringConfig`` by name.

    They are part of its public configuration, but not of the wheel ``tensorflow-serving-api``.
    Here stand those of their fields that are used, with TF Serving's names and numbers.
    """
    from google.protobuf import (
        descriptor_pb2,
        descriptor_pool,
        message_factory,
        wrappers_pb2,
    )

    of = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="facenet_lib/tensorflow_serving_configuration.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )

    def declare(message: str, *fields: tuple[str, int, str | None]) -> None:
        declared = file.message_type.add(name=message)
        for number, (name, kind, type_name) in enumerate(fields, start=1):
            declared.field.add(
                name=name, number=number, type=kind, type_name=type_name, label=of.LABEL_OPTIONAL
            )

    integer = (of.TYPE_MESSAGE, ".google.protobuf.Int64Value")
    declare(
        "BatchingParameters",
        ("max_batch_size", *integer),
        ("batch_timeout_micros", *integer),
        ("max_enqueued_batches", *integer),
        ("num_batch_threads", *integer),
    )
    declare("PrometheusConfig", ("enable", of.TYPE_BOOL, None), ("path", of.TYPE_STRING, None))
    declare(
        "MonitoringConfig",
        ("prometheus_config", of.TYPE_MESSAGE, ".tensorflow.serving.PrometheusConfig"),
    )
    # A pool of its own, so that a wheel that has these messages one day may declare them too.
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"tensorflow.serving.{name}")
        )
        for name in ("BatchingParameters", "MonitoringConfig")
    }


# --------------------------------------------------------------------------------------------
# All files together
# --------------------------------------------------------------------------------------------


def write_configuration(
    folder: str | Path,
    models: Sequence[ServedModel],
    *,
    batching: BatchingParameters = BatchingParameters(),
    host: str = "127.0.0.1",
    rest_port: int = REST_PORT,
    grpc_port: int = GRPC_PORT,
    image: str = TENSORFLOW_SERVING_IMAGE,
) -> list[Path]:
    """Write TF Serving's configuration for a container, and the compose file that starts it.

    ``models.config``, ``batching.config``, ``monitoring.config`` and ``compose.yaml``; those
    that are there are replaced, and a server that runs reads ``models.config`` again.

    Args:
        folder: made if it is not there.
        models: what is served.
        batching: how requests are joined.
        host: address of this machine that the ports are bound to.
        rest_port: for REST and the metrics.
        grpc_port: for gRPC.
        image: TF Serving's Docker image.

    Returns:
        The four files.

    Raises:
        FacenetError: for models that do not go together, or when a file cannot be written.
    """
    folder = Path(folder).absolute()
    return _write_files(
        folder,
        {
            _MODELS_FILE: models_config(models, _CONTAINER_MODELS),
            _BATCHING_FILE: batching_config(batching),
            _MONITORING_FILE: monitoring_config(),
            _COMPOSE_FILE: _compose(folder, models, host, rest_port, grpc_port, image),
        },
    )


def _write_files(folder: Path, files: Mapping[str, str]) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FacenetError(f"{folder}: cannot be written: {error.strerror}") from error
    for name, text in files.items():
        with open_whole_file(folder / name) as file:
            file.write(text.encode())
    return [folder / name for name in files]


def _compose(
    folder: Path,
    models: Sequence[ServedModel],
    host: str,
    rest_port: int,
    grpc_port: int,
    image: str,
) -> str:
    probe = (
        f"exec 3<>/dev/tcp/127.0.0.1/{REST_PORT}; "
        f"printf 'GET /v1/models/{models[0].name} HTTP/1.0\\r\\n\\r\\n' >&3; "
        "grep -q AVAILABLE <&3"
    )
    service = {
        "image": image,
        "platform": "linux/amd64",  # the only one that the image is built for
        "entrypoint": [MODEL_SERVER],
        "command": _flags(GRPC_PORT, REST_PORT, _CONTAINER_CONFIGURATION),
        "ports": [
            f"{_before_port(host)}:{grpc_port}:{GRPC_PORT}",
            f"{_before_port(host)}:{rest_port}:{REST_PORT}",
        ],
        "volumes": [
            {"type": "bind", "source": str(source), "target": str(target), "read_only": True}
            for source, target in _mounts(folder, models)
        ],
        # The image has no curl; its bash can open a connection.
        "healthcheck": {
            "test": ["CMD", "bash", "-c", probe],
            "interval": "5s",
            "timeout": "5s",
            "start_period": "60s",
        },
        "init": True,
        "restart": "unless-stopped",
    }
    text = yaml.safe_dump({"services": {"tensorflow-serving": service}}, sort_keys=False, width=96)
    # Compose puts the environment's variables where a dollar stands alone.
    return _commented(_COMPOSE_COMMENT) + text.replace("$", "$$")


def _mounts(folder: Path, models: Sequence[ServedModel]) -> Iterator[tuple[Path, PurePosixPath]]:
    """What the container sees of this machine, and where."""
    yield folder, _CONTAINER_CONFIGURATION
    for model in models:
        yield model.folder.absolute(), _CONTAINER_MODELS / model.name


def _flags(grpc_port: int, rest_port: int, configuration: PurePosixPath | Path) -> list[str]:
    """The words after ``tensorflow_model_server``."""
    return [
        f"--port={grpc_port}",
        f"--rest_api_port={rest_port}",
        f"--model_config_file={configuration / _MODELS_FILE}",
        "--model_config_file_poll_wait_seconds=10",
        # At the start no version is loaded yet, and a label on any would be refused.
        "--allow_version_labels_for_unavailable_models=true",
        "--enable_batching=true",
        f"--batching_parameters_file={configuration / _BATCHING_FILE}",
        f"--monitoring_config_file={configuration / _MONITORING_FILE}",
    ]


# --------------------------------------------------------------------------------------------
# The server
# --------------------------------------------------------------------------------------------


def find_tensorflow_serving() -> Kind:
    """Return ``"binary"`` where ``tensorflow_model_server`` is on the PATH, or else ``"docker"``.

    Raises:
        FacenetError: saying why neither can be used.
    """
    if shutil.which(MODEL_SERVER):
        return "binary"
    problem = _why_not_docker()
    if problem:
        raise FacenetError(f"no TF Serving here: no {MODEL_SERVER} on the PATH, and {problem}")
    return "docker"


def _why_not_docker() -> str | None:
    if not shutil.which("docker"):
        return "no docker on the PATH"
    try:
        asked = subprocess.run(
            ["docker", "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"docker does not answer: {error}"
    if asked.returncode:
        return f"docker has no daemon: {' '.join(asked.stderr.split())}"
    return None


@dataclass(frozen=True)
class RunningServer:
    """A TF Serving that has a version of each of its models available.

    Attributes:
        rest_url: for :class:`facenet_lib.serving.RestClient`.
        grpc_address: for :class:`facenet_lib.serving.GrpcClient`.
        log: the file into which the server writes.
        process: the server, or the docker client that stands for it.
    """

    rest_url: str
    grpc_address: str
    log: Path
    process: subprocess.Popen[bytes]

    def wait(self) -> None:
        """Return when the server has ended by itself.

        Raises:
            FacenetError: with the end of its log, when it has failed.
        """
        if self.process.wait():
            raise FacenetError(_ended(self.process, self.log))


@contextlib.contextmanager
def start_tensorflow_serving(
    models: Sequence[ServedModel],
    *,
    kind: Kind | None = None,
    batching: BatchingParameters = BatchingParameters(),
    host: str = "127.0.0.1",
    rest_port: int = 0,
    grpc_port: int = 0,
    image: str = TENSORFLOW_SERVING_IMAGE,
    timeout: float = 120.0,
) -> Iterator[RunningServer]:
    """Run TF Serving in a ``with`` block, from when every model is available to its end.

    The program itself listens on every address of the machine, which nothing can tell it not to
    do; as a container it is bound to ``host``.

    Args:
        models: what is served.
        kind: ``"binary"`` or ``"docker"``; None: what is here.
        batching: how requests are joined.
        host: address that the container's ports are bound to.
        rest_port: for REST; 0: a free one.
        grpc_port: for gRPC; 0: a free one.
        image: TF Serving's Docker image; fetched first where it is not here.
        timeout: seconds in which each model must become available.

    Raises:
        FacenetError: when there is no TF Serving here, or with the end of its log when it ends
            or does not become ready in time.
    """
    if kind is None:
        kind = find_tensorflow_serving()
    elif kind == "docker" and (problem := _why_not_docker()):
        raise FacenetError(f"no TF Serving here: {problem}")
    free = _two_free_ports()
    rest_port, grpc_port = rest_port or free[0], grpc_port or free[1]
    reached = "127.0.0.1" if kind == "binary" or host == "0.0.0.0" else _before_port(host)
    with tempfile.TemporaryDirectory(prefix="tensorflow-serving-") as name:
        folder = Path(name)
        log = folder / "log.txt"
        if kind == "binary":
            command = _binary_command(folder, models, batching, rest_port, grpc_port)
            remove = None
        else:
            _fetch_image(image)
            write_configuration(folder, models, batching=batching, image=image)
            container = f"facenet-{uuid.uuid4().hex[:12]}"
            remove = ["docker", "rm", "--force", container]
            command = _docker_command(folder, models, container, host, rest_port, grpc_port, image)
        with log.open("wb") as output:
            process = _start(command, output)
        server = RunningServer(
            f"http://{reached}:{rest_port}", f"{reached}:{grpc_port}", log, process
        )
        try:
            for model in models:
                wait_until_ready(server.rest_url, model.name, timeout, server=server)
            yield server
        finally:
            _stop(process, remove)


def run_tensorflow_serving(models: Sequence[ServedModel], **options: Any) -> None:
    """Run TF Serving until this process is told to end (SIGTERM, or Ctrl-C), then stop it.

    So it does, where there is one, when the terminal is closed (SIGHUP), unless ``nohup`` said
    not to mind: the server would else stay behind.

    Args:
        models: what is served.
        options: those of :func:`start_tensorflow_serving`.

    Raises:
        FacenetError: as :func:`start_tensorflow_serving` does, and when the server ends by
            itself.
    """
    told = [signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        told.append(signal.SIGHUP)
    before = {number: signal.signal(number, signal.default_int_handler) for number in told}
    try:
        with (
            contextlib.suppress(KeyboardInterrupt),
            start_tensorflow_serving(models, **options) as server,
        ):
            for model in models:
                print(f"{server.rest_url}/v1/models/{model.name}:predict")
            print(f"gRPC: {server.grpc_address}", flush=True)
            server.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _binary_command(
    folder: Path,
    models: Sequence[ServedModel],
    batching: BatchingParameters,
    rest_port: int,
    grpc_port: int,
) -> list[str]:
    files = {
        _MODELS_FILE: models_config(models),
        _BATCHING_FILE: batching_config(batching),
        _MONITORING_FILE: monitoring_config(),
    }
    _write_files(folder, files)
    return [MODEL_SERVER, *_flags(grpc_port, rest_port, folder)]


def _docker_command(
    folder: Path,
    models: Sequence[ServedModel],
    container: str,
    host: str,
    rest_port: int,
    grpc_port: int,
    image: str,
) -> list[str]:
    command = ["docker", "run", "--rm", "--init", "--name", container]
    command += ["--platform", "linux/amd64", "--entrypoint", MODEL_SERVER]
    command += ["--publish", f"{_before_port(host)}:{rest_port}:{REST_PORT}"]
    command += ["--publish", f"{_before_port(host)}:{grpc_port}:{GRPC_PORT}"]
    for source, target in _mounts(folder, models):
        if "," in str(source):
            raise FacenetError(f"{source}: docker mounts no folder with a comma in its name")
        command += ["--mount", f"type=bind,source={source},target={target},readonly"]
    return [*command, image, *_flags(GRPC_PORT, REST_PORT, _CONTAINER_CONFIGURATION)]


def _fetch_image(image: str) -> None:
    """Fetch the image first, which may take minutes that are not the server's."""
    known = subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False)
    if known.returncode:
        fetched = subprocess.run(
            ["docker", "pull", "--quiet", "--platform", "linux/amd64", image],
            capture_output=True,
            text=True,
            check=False,
        )
        if fetched.returncode:
            raise FacenetError(f"{image}: cannot be fetched: {' '.join(fetched.stderr.split())}")


def _start(command: Sequence[str], output: Any) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us, who then stop it in order
        )
    except OSError as error:
        raise FacenetError(f"{command[0]}: cannot be started: {error.strerror}") from error


def _stop(process: subprocess.Popen[bytes], remove: Sequence[str] | None) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        if remove:  # the client may have gone before its container
            subprocess.run(remove, capture_output=True, check=False)


def wait_until_ready(
    rest_url: str,
    name: str = "facenet",
    timeout: float = 60.0,
    *,
    server: RunningServer | None = None,
) -> None:
    """Return as soon as a version of the model is available.

    Args:
        rest_url: such as ``http://localhost:8501``; any server that speaks TF Serving's protocol.
        name: the model's.
        timeout: seconds.
        server: what must go on running meanwhile.

    Raises:
        FacenetError: with the last state that was seen and, where there is a ``server``, with
            the end of its log, when the time is over, the server has ended, or every version
            has failed.
    """
    end = time.monotonic() + timeout
    seen = "nothing"
    with RestClient(rest_url, name, timeout=10.0, retries=Retries(attempts=1)) as client:
        while time.monotonic() < end:
            if server is not None and server.process.poll() is not None:
                raise FacenetError(_ended(server.process, server.log))
            try:
                versions = client.status()
            except FacenetError as error:  # not listening yet, or the model is not known yet
                seen = str(error)
            else:
                if any(version.state == "AVAILABLE" for version in versions):
                    return
                seen = ", ".join(f"{one.version} {one.state} {one.error}" for one in versions)
                if versions and all(one.state == "END" and one.error for one in versions):
                    break
            time.sleep(_POLL_SECONDS)
    log = f"\n{_end_of(server.log)}" if server is not None else ""
    raise FacenetError(f"{rest_url}: model {name} is not ready: {seen}{log}")


def _ended(process: subprocess.Popen[bytes], log: Path) -> str:
    return f"TF Serving has ended with {process.returncode}:\n{_end_of(log)}"


def _end_of(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-_LINES_OF_LOG:])


def _before_port(host: str) -> str:
    """An address as it stands before a port: of IPv6, in brackets."""
    return f"[{host}]" if ":" in host else host


def _two_free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        for listening in (one, other):  # both at once, so that they differ
            listening.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
