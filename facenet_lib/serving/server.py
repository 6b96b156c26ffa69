"""The local server: exported models over TensorFlow Serving's own protocols, without Docker.

REST and gRPC in one process, for a laptop, a notebook or a test. It speaks to this machine
alone unless told otherwise: it knows neither users nor encryption.

Derived in chapter 8, "Serving".
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream

from facenet_lib.errors import FacenetError
from facenet_lib.serving.addresses import before_port, check_origin
from facenet_lib.serving.batching import Batching
from facenet_lib.serving.grpc import GrpcFront
from facenet_lib.serving.limits import Limits, RequestRecord
from facenet_lib.serving.naming import Naming
from facenet_lib.serving.rest import RestFront
from facenet_lib.serving.versions import ServedModels

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


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
        poll_seconds: likewise.
        limits: see :class:`~facenet_lib.serving.Limits`.
        naming: a gallery beside the one model that is served then; see
            :class:`~facenet_lib.serving.Naming`.
        allowed_origins: of web pages elsewhere, such as ``https://example.com``, whose scripts may
            ask over REST; ``*`` for any, and none if not named.

    Entering waits until each model has a version that answers.

    Raises:
        FacenetError: when a model cannot be served, a port is taken, or the gallery is another
            model's.

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
            listening = undone.enter_context(_listen(host, rest_port))
            self.models = ServedModels(
                models,
                versions=versions,
                labels=labels,
                batching=batching,
                poll_seconds=poll_seconds,
                meet=naming.meet if naming else None,
            )
            undone.callback(self.models.close)
            record = RequestRecord(self.models)
            self._grpc = GrpcFront(self.models, f"{shown}:{grpc_port}", limits, record)
            undone.pop_all()
        local = host in ("localhost", "::1") or host.startswith("127.")
        hosts = _LOCAL_NAMES | {shown.lower()} if local else None
        self.naming = naming
        self._listening = listening
        origins = frozenset(allowed_origins)
        front = RestFront(self.models, limits, record, hosts, naming, origins)
        self._rest = _RestServer(front, listening)
        self.rest_url = f"http://{shown}:{listening.getsockname()[1]}"
        self.grpc_address = f"{shown}:{self._grpc.port}"

    def __enter__(self) -> LocalServer:
        with contextlib.ExitStack() as ending:
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
        """Refuse what is new, finish what is under way, let go of the models."""
        self._ending.close()


def serve(
    models: Mapping[str, str | Path],
    *,
    rest_port: int = 8501,
    grpc_port: int = 8500,
    **options: Any,
) -> None:
    """Serve until the process is told to end (SIGTERM, or Ctrl-C), then finish what is under way.

    It takes what :class:`LocalServer` takes.

    Raises:
        FacenetError: when a model cannot be served, or a port is taken.

    >>> serve({"facenet": "models/facenet"})  # doctest: +SKIP
    """
    _keep_libraries_quiet()
    # Unloading a version looks through memory for what is left of it, while no request is
    # answered; TensorFlow's own objects, which are many and stay, are not looked at from here on.
    gc.freeze()
    ended = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: ended.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        with LocalServer(models, rest_port=rest_port, grpc_port=grpc_port, **options) as server:
            for name in server.models.names:
                print(f"{server.rest_url}/v1/models/{name}:predict", flush=True)
            if server.naming:
                print(f"{server.rest_url}/v1/models/{name}:identify", flush=True)
            print(f"page: {server.rest_url}/   gRPC: {server.grpc_address}", flush=True)
            # In steps: a signal that the system gives to another thread does not wake this one.
            while not ended.wait(1.0):
                pass
            for number, handler in before.items():  # a second signal does not wait
                signal.signal(number, handler)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(1024)
        listening.setblocking(False)
    except (OSError, OverflowError) as error:
        listening.close()
        raise FacenetError(f"{host}:{port}: cannot be listened at: {error}") from error
    return listening


class _RestServer(threading.Thread):
    """Tornado's HTTP server in a thread of its own."""

    def __init__(self, front: RestFront, listening: socket.socket) -> None:
        super().__init__(name="rest", daemon=True)
        self._front = front
        self._listening = listening
        self._begun = threading.Event()

    def start(self) -> None:
        super().start()
        self._begun.wait()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._told_to_end.set)

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._told_to_end = asyncio.get_running_loop(), asyncio.Event()
        limits = self._front.limits
        server = _BoundedServer(
            self._front,
            idle_connection_timeout=limits.seconds_idle,
            max_body_size=2**63,  # ours is told with status 413, where Tornado has 400
        )
        server.most_connections = limits.connections
        server.add_socket(self._listening)
        self._begun.set()
        await self._told_to_end.wait()
        server.stop()
        self._front.stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limits.seconds_to_send + limits.seconds_to_answer):
                while self._front.under_way:
                    await asyncio.sleep(0.05)
        await server.close_all_connections()


class _BoundedServer(HTTPServer):
    """An HTTP server with so many connections at a time: one too many is closed at once."""

    most_connections: int
    _connections_open = 0

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        if self._connections_open >= self.most_connections:
            stream.close()
            return
        self._connections_open += 1
        super().handle_stream(stream, address)

    def on_close(self, server_conn: object) -> None:
        self._connections_open -= 1
        super().on_close(server_conn)
