"""The local server: exported models over TensorFlow Serving's own protocols, without Docker.

REST and gRPC in one process, for a laptop, a notebook or a test. It speaks to this machine
alone unless told otherwise: it knows neither users nor encryption.

Derived in chapter 8, "Serving".
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facenet_lib.errors import FacenetError
from facenet_lib.runtimes import Runtime
from facenet_lib.serving.addresses import before_port, check_origin, check_ports, listen
from facenet_lib.serving.batching import Batching
from facenet_lib.serving.end_signals import EndSignals
from facenet_lib.serving.grpc import GrpcFront
from facenet_lib.serving.http_server import HttpServer
from facenet_lib.serving.limits import Limits, RequestRecord, connections_per_port
from facenet_lib.serving.naming import Naming
from facenet_lib.serving.rest import RestFront
from facenet_lib.serving.versions import ServedModels

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_SECONDS_TO_LET_GO = 1.25  # of the models, once all requests are answered


class LocalServer:
    """Models served over REST and gRPC while the ``with`` block lasts.

    Args:
        models: each model's folder of numbered versions, by its name.
        host: the address to listen at.
        rest_port: REST's port; 0 takes a free one.
        grpc_port: gRPC's port; 0 takes a free one.
        versions: see :class:`~facenet_lib.serving.ServedModels`.
        labels: likewise.
        batching: likewise.
        runtime: likewise.
        poll_seconds: likewise.
        limits: see :class:`~facenet_lib.serving.Limits`.
        naming: a gallery beside the one model that is served then; see
            :class:`~facenet_lib.serving.Naming`.
        allowed_origins: of web pages elsewhere, such as ``https://example.com``, whose scripts may
            ask over REST; ``*`` for any, and none if not named.

    Entering waits until each model has a version that answers.

    Raises:
        FacenetError: when a model cannot be served, a port is taken, or the gallery is another
            model's, or the process may open too few files.

    Attributes:
        models: the :class:`~facenet_lib.serving.ServedModels`.
        naming: as given.
        rest_url: ``http://host:port``.
        grpc_address: ``host:port``.
    """

    def __init__(
        self,
        models: Mapping[str, str | Path],
        *,
        host: str = "127.0.0.1",
        rest_port: int = 0,
        grpc_port: int = 0,
        versions: str | Sequence[int] = "latest",
        labels: Mapping[str, Mapping[str, int]] | None = None,
        batching: Batching | None = None,
        runtime: Runtime | None = None,
        poll_seconds: float = 1.0,
        limits: Limits | None = None,
        naming: Naming | None = None,
        allowed_origins: Sequence[str] = (),
    ) -> None:
        for origin in allowed_origins:
            check_origin(origin)
        if naming is not None and len(models) != 1:
            raise FacenetError(f"a gallery: expected one model beside it, found {len(models)}")
        limits = limits or Limits()
        shown = before_port(host)
        with contextlib.ExitStack() as undone:  # unless all of it comes about
            check_ports(host, rest_port, grpc_port)
            connections = connections_per_port(limits)
            listening = undone.enter_context(listen(host, rest_port))
            self.models = ServedModels(
                models,
                versions=versions,
                labels=labels,
                batching=batching,
                runtime=runtime,
                poll_seconds=poll_seconds,
                meet=naming.meet if naming else None,
            )
            undone.callback(self.models.close)
            record = RequestRecord(self.models)
            address = f"{shown}:{grpc_port}"
            self._grpc = GrpcFront(self.models, address, limits, record, connections)
            undone.pop_all()
        local = host in ("localhost", "::1") or host.startswith("127.")
        hosts = _LOCAL_NAMES | {shown.lower()} if local else None
        self.naming = naming
        self._listening = listening
        self._record = record
        origins = frozenset(allowed_origins)
        front = RestFront(self.models, limits, record, hosts, naming, origins)
        self._rest = HttpServer(front, listening, connections, record.log)
        self.rest_url = f"http://{shown}:{listening.getsockname()[1]}"
        self.grpc_address = f"{shown}:{self._grpc.port}"

    def __enter__(self) -> LocalServer:
        with contextlib.ExitStack() as ending:
            ending.callback(self._record.log.close)
            ending.callback(self.models.close)
            ending.callback(self._listening.close)
            if self.naming is not None:  # whether it fits is known before anybody is answered
                self.models.wait_until_ready()
                self.naming.check(self.models.version(self.models.names[0]))
            self._rest.start()
            self._grpc.start()
            for end in (self._rest.join, self._grpc.stop, self._rest.stop):
                ending.callback(end)
            self.models.wait_until_ready()
            self._ending = ending.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        """Refuse what is new, finish what is under way, let go of the models.

        See ``Limits.seconds_to_stop`` for how long that takes.
        """
        self._ending.close()


def serve(
    models: Mapping[str, str | Path],
    *,
    rest_port: int = 8501,
    grpc_port: int = 8500,
    **options: Any,
) -> None:
    """Serve until the process is told to end (SIGTERM, or Ctrl-C), then finish what is under way.

    It takes what :class:`LocalServer` takes, and is called by the main thread. A second signal
    changes nothing: the end comes two seconds after ``Limits.seconds_to_stop`` at the latest.
    What cannot be interrupted, such as a version that is being loaded, then ends with the process.

    Raises:
        FacenetError: when a model cannot be served, or a port is taken.

    >>> serve({"facenet": "models/facenet"})  # doctest: +SKIP
    """
    _keep_libraries_quiet()
    # Unloading a version looks through memory for what is left of it, while no request is
    # answered; TensorFlow's own objects, which are many and stay, are not looked at from here on.
    gc.freeze()
    limits = options.setdefault("limits", None) or Limits()
    with (
        EndSignals(limits.seconds_to_stop + _SECONDS_TO_LET_GO) as told_to_end,
        LocalServer(models, rest_port=rest_port, grpc_port=grpc_port, **options) as server,
    ):
        for name in server.models.names:
            print(f"{server.rest_url}/v1/models/{name}:predict", flush=True)
        if server.naming:
            print(f"{server.rest_url}/v1/models/{name}:identify", flush=True)
        print(f"page: {server.rest_url}/   gRPC: {server.grpc_address}", flush=True)
        told_to_end.wait()


def _keep_libraries_quiet() -> None:
    """Log to standard error, and take that from the C libraries that decode images.

    They write a line or two of their own for each damaged image. What Python writes, a crash
    included, still arrives.
    """
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    faulthandler.enable(sys.stderr)
    logging.basicConfig(format="%(asctime)s %(message)s", stream=sys.stderr)
    logging.getLogger("facenet_lib").setLevel(logging.INFO)
