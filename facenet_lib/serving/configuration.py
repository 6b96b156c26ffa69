"""TensorFlow Serving's configuration, written and explained; derived in chapter 8, "Serving".

What the server is told are files in protobuf's text format. ``models.config`` is written with TF
Serving's own message type; the two others are ten lines of text together. Nothing here loads
TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import yaml

from facenet_lib.checks import check_integer, check_model_name
from facenet_lib.errors import FacenetError, explain_missing
from facenet_lib.files import explain_write_errors, write_text
from facenet_lib.serving.addresses import before_port
from facenet_lib.serving.answers import METRICS_PATH
from facenet_lib.serving.model_folders import (
    complete_versions,
    is_saved_model,
    latest_count,
    versions_problems,
)

TENSORFLOW_SERVING_IMAGE = "tensorflow/serving:2.21.0"
"""Docker image of the minor version of TensorFlow that the models are exported with. Never
``latest``: a newer server may compute differently, and an older one may not load the model."""

MODEL_SERVER = "tensorflow_model_server"
"""TF Serving's program."""

GRPC_PORT, REST_PORT = 8500, 8501
"""The ports that TF Serving's documents use, and every container of it."""

_MODELS_FILE, _BATCHING_FILE = "models.config", "batching.config"
_MONITORING_FILE, _COMPOSE_FILE = "monitoring.config", "compose.yaml"
_CONTAINER_MODELS = PurePosixPath("/models")
CONTAINER_CONFIGURATION = PurePosixPath("/configuration")


@dataclass(frozen=True)
class ServedModel:
    """One model for TF Serving.

    Attributes:
        folder: holds the versions, each in a folder whose name is its number.
        name: what requests call it.
        versions: ``"latest"``, the highest number, also when a higher one is added later;
            ``"latest:N"``, so many of the highest; ``"all"``; or the numbers themselves, which stay
            until the configuration changes.
        labels: name to version, for requests that should not know numbers, such as ``stable``.
            Only with versions that stay: a label on what ``"latest"`` replaces would point to
            nothing.

    Raises:
        FacenetError: for a name, versions or labels that TF Serving would refuse, and for a
            folder without versions.
    """

    folder: Path
    name: str = "facenet"
    versions: str | tuple[int, ...] = "latest"
    labels: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_model_name(self.name)
        found = complete_versions(self.folder).items()
        there = [number for number, version in found if is_saved_model(version)]
        if not there:
            raise FacenetError(
                f"{self.folder}: expected a model's folder with a version in it, such as "
                f"{self.folder / '1' / 'saved_model.pb'}, as 'facenet export' writes it"
            )
        for problem in versions_problems(self.versions):
            raise FacenetError(problem)
        if isinstance(self.versions, str):
            kept = there if self.versions == "all" else []
        else:
            kept = list(self.versions)
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
        for name, value in vars(self).items():
            check_integer(name, value, at_least=0 if name == "batch_timeout_micros" else 1)


_MODELS_COMMENT = """\
The models of the server: a ModelServerConfig, for --model_config_file.
name: what requests call the model, /v1/models/NAME. base_path: the folder whose numbered folders
are its versions. model_version_policy: which of them are loaded; without it, the highest number.
version_labels: names for versions; move one by editing this file, which the server reads again
(--model_config_file_poll_wait_seconds). A label may move only to a version that is loaded.
"""

_BATCHING_COMMENT = """\
How requests are joined: BatchingParameters, for --batching_parameters_file.
max_batch_size: images in one batch. batch_timeout_micros: how long a batch waits for more; 0:
it takes what waits. max_enqueued_batches: beyond them requests
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
    with explain_missing("TF Serving's configuration", "serving"):
        from google.protobuf import text_format
        from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig
    message = ModelServerConfig()
    for model in models:
        config = message.model_config_list.config.add()
        config.name = model.name
        config.base_path = str(root / model.name if root else model.folder.absolute())
        config.model_platform = "tensorflow"
        if model.versions == "all":
            config.model_version_policy.all.SetInParent()
        elif isinstance(model.versions, str):
            if (count := latest_count(model.versions)) != 1:
                config.model_version_policy.latest.num_versions = count
        else:
            config.model_version_policy.specific.versions.extend(sorted(model.versions))
        for label, version in sorted(model.labels.items()):
            config.version_labels[label] = version
    return _commented(_MODELS_COMMENT) + text_format.MessageToString(message)


def batching_config(batching: BatchingParameters) -> str:
    """Return ``batching.config``: ``BatchingParameters`` in text format, with comments.

    Its message is not in the wheel ``tensorflow-serving-api``; these lines are text format.
    """
    lines = [f"{name} {{ value: {value} }}\n" for name, value in vars(batching).items()]
    return _commented(_BATCHING_COMMENT) + "".join(lines)


def monitoring_config() -> str:
    """Return ``monitoring.config``: a ``MonitoringConfig`` in text format, with comments."""
    text = f'prometheus_config {{\n  enable: true\n  path: "{METRICS_PATH}"\n}}\n'
    return _commented(_MONITORING_COMMENT) + text


def _commented(comment: str) -> str:
    return "".join(f"# {line}\n" for line in comment.splitlines())


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

    >>> files = write_configuration("serving", [ServedModel("models/facenet")])  # doctest: +SKIP
    """
    folder = Path(folder).absolute()
    files = write_own_configuration(folder, models, batching, _CONTAINER_MODELS)
    compose = folder / _COMPOSE_FILE
    write_text(compose, _compose(folder, models, host, rest_port, grpc_port, image))
    return [*files, compose]


def write_own_configuration(
    folder: Path,
    models: Sequence[ServedModel],
    batching: BatchingParameters,
    root: PurePosixPath | None = None,
) -> list[Path]:
    """Write the first three of the four files, all that TF Serving itself reads.

    ``root`` is that of ``models_config``: None for a server outside of any container.

    Raises:
        FacenetError: as :func:`write_configuration` does.
    """
    files = {
        folder / _MODELS_FILE: models_config(models, root),
        folder / _BATCHING_FILE: batching_config(batching),
        folder / _MONITORING_FILE: monitoring_config(),
    }
    with explain_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        write_text(path, text)
    return list(files)


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
        "command": flags(GRPC_PORT, REST_PORT, CONTAINER_CONFIGURATION),
        "ports": [
            f"{before_port(host)}:{grpc_port}:{GRPC_PORT}",
            f"{before_port(host)}:{rest_port}:{REST_PORT}",
        ],
        "volumes": [
            {"type": "bind", "source": str(source), "target": str(target), "read_only": True}
            for source, target in mounts(folder, models)
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


def mounts(folder: Path, models: Sequence[ServedModel]) -> Iterator[tuple[Path, PurePosixPath]]:
    """What the container sees of this machine, and where."""
    yield folder, CONTAINER_CONFIGURATION
    for model in models:
        yield model.folder.absolute(), _CONTAINER_MODELS / model.name


def flags(grpc_port: int, rest_port: int, configuration: PurePosixPath | Path) -> list[str]:
    """The words after ``tensorflow_model_server``."""
    return [
        f"--port={grpc_port}",
        f"--rest_api_port={rest_port}",
        f"--model_config_file={configuration / _MODELS_FILE}",
        "--model_config_file_poll_wait_seconds=10",
        # At the start no version is loaded yet, and a label on any would be refused.
        "--allow_version_labels_for_unavailable_models=true",
        "--enable_grpc_healthcheck_service=true",
        "--enable_batching=true",
        f"--batching_parameters_file={configuration / _BATCHING_FILE}",
        f"--monitoring_config_file={configuration / _MONITORING_FILE}",
    ]
