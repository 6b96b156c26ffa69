"""TensorFlow Serving started, waited for, explained when it fails, and stopped.

TF Serving is a program of its own, ``tensorflow_model_server``; it comes in a Docker image or in
Google's package archive, and not from PyPI. Nothing here loads TensorFlow. Derived in chapter 8,
"Serving".
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from facenet_lib.errors import FacenetError
from facenet_lib.serving.addresses import before_port
from facenet_lib.serving.configuration import (
    CONTAINER_CONFIGURATION,
    GRPC_PORT,
    MODEL_SERVER,
    REST_PORT,
    TENSORFLOW_SERVING_IMAGE,
    BatchingParameters,
    ServedModel,
    flags,
    mounts,
    write_configuration,
    write_own_configuration,
)
from facenet_lib.serving.rest_client import RestClient
from facenet_lib.serving.retries import Retries

_POLL_SECONDS = 0.1
_STOP_SECONDS = 15.0
_LINES_OF_LOG = 20

Kind = Literal["binary", "docker"]


def find_tensorflow_serving() -> Kind:
    """Return ``"binary"`` where ``tensorflow_model_server`` is on the PATH, or else ``"docker"``.

    Raises:
        FacenetError: saying why neither can be used.
    """
    if shutil.which(MODEL_SERVER):
        return "binary"
    if problem := _why_not_docker():
        raise FacenetError(f"no TF Serving here: no {MODEL_SERVER} on the PATH, and {problem}")
    return "docker"


def _why_not_docker() -> str | None:
    if not shutil.which("docker"):
        return "no docker on the PATH"
    try:
        asked = _docker("version", "--format", "{{.Server.Version}}", timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"docker does not answer: {error}"
    if asked.returncode:
        return f"docker has no daemon: {' '.join(asked.stderr.split())}"
    return None


def _docker(*words: str, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", *words], capture_output=True, errors="replace", timeout=timeout, check=False
    )


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
    batching: BatchingParameters | None = None,
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

    >>> with start_tensorflow_serving([ServedModel("models/facenet")]) as server:  # doctest: +SKIP
    ...     print(server.rest_url)
    """
    if kind is None:
        kind = find_tensorflow_serving()
    elif kind == "docker" and (problem := _why_not_docker()):
        raise FacenetError(f"no TF Serving here: {problem}")
    batching = batching or BatchingParameters()
    free = _two_free_ports()
    rest_port, grpc_port = rest_port or free[0], grpc_port or free[1]
    reached = "127.0.0.1" if kind == "binary" or host == "0.0.0.0" else before_port(host)
    with tempfile.TemporaryDirectory(prefix="tensorflow-serving-") as name:
        folder = Path(name)
        log = folder / "log.txt"
        container = f"facenet-{uuid.uuid4().hex[:12]}" if kind == "docker" else None
        if container is None:
            write_own_configuration(folder, models, batching)
            command = [MODEL_SERVER, *flags(grpc_port, rest_port, folder)]
        else:
            _fetch_image(image)
            write_configuration(folder, models, batching=batching, image=image)
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
            _stop(process, container)


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

    >>> run_tensorflow_serving([ServedModel("models/facenet")], kind="docker")  # doctest: +SKIP
    """
    told = [signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        told.append(signal.SIGHUP)

    def interrupt(number: int, frame: FrameType | None) -> None:
        for one in told:  # managers of processes like to send two
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in told}
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
    command += ["--publish", f"{before_port(host)}:{rest_port}:{REST_PORT}"]
    command += ["--publish", f"{before_port(host)}:{grpc_port}:{GRPC_PORT}"]
    for source, target in mounts(folder, models):
        if "," in str(source):
            raise FacenetError(f"{source}: docker mounts no folder with a comma in its name")
        command += ["--mount", f"type=bind,source={source},target={target},readonly"]
    return [*command, image, *flags(GRPC_PORT, REST_PORT, CONTAINER_CONFIGURATION)]


def _fetch_image(image: str) -> None:
    """Fetch the image first, which may take minutes that are not the server's."""
    if _docker("image", "inspect", image).returncode:
        fetched = _docker("pull", "--quiet", "--platform", "linux/amd64", image)
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


def _stop(process: subprocess.Popen[bytes], container: str | None) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        if container:  # the client may have gone before it
            _docker("rm", "--force", container)


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


def _two_free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        for listening in (one, other):  # both at once, so that they differ
            listening.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
