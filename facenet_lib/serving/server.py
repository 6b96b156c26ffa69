"""The local server: exported models over TensorFlow Serving's own protocols, without Docker.

REST and gRPC in one process, for a laptop, a notebook or a test. It speaks to this machine
alone unless told otherwise: it knows neither users nor encryption.

Derived in chapter 8, "Serving".
"""

from __future__ import annotations

import asyncio
import faulthandler
import functools
import gc
import logging
import math
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from facenet_lib.errors import FacenetError
from facenet_lib.serving.grpc import GrpcFront
from facenet_lib.serving.limits import Limits, RequestRecord
from facenet_lib.serving.rest import WHEN_GONE, RestFront, error_response
from facenet_lib.serving.versions import Batching, ServedModels

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

    Entering waits until each model has a version that answers.

    Raises:
        FacenetError: when a model cannot be served, or a port is taken.

    Attributes:
        models: the :class:`~facenet_lib.serving.ServedModels`.
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
    ) -> None:
        limits = limits or Limits()
        listening = _listen(host, rest_port)
        try:
            self.models = ServedModels(
                {name: Path(folder) for name, folder in models.items()},
                versions=versions,
                labels=labels,
                batching=batching,
                poll_seconds=poll_seconds,
            )
        except BaseException:
            listening.close()
            raise
        record = RequestRecord(self.models)
        shown = f"[{host}]" if ":" in host else host
        try:
            self._grpc = GrpcFront(self.models, f"{shown}:{grpc_port}", limits, record)
        except BaseException:
            listening.close()
            self.models.close()
            raise
        local = host in ("localhost", "::1") or host.startswith("127.")
        hosts = _LOCAL_NAMES | {shown.lower()} if local else None
        rest = RestFront(self.models, limits, record, hosts)
        self._rest = _RestServer(rest, listening, limits, record)
        self.rest_url = f"http://{shown}:{listening.getsockname()[1]}"
        self.grpc_address = f"{shown}:{self._grpc.port}"

    def __enter__(self) -> LocalServer:
        self._rest.start()
        self._grpc.start()
        try:
            self.models.wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        """Refuse what is new, finish what is under way, let go of the models."""
        self._rest.stop()
        self._grpc.stop()
        self._rest.join()
        self.models.close()


def serve(
    models: Mapping[str, str | Path],
    *,
    host: str = "127.0.0.1",
    rest_port: int = 8501,
    grpc_port: int = 8500,
    versions: str | Sequence[int] = "latest",
    labels: Mapping[str, Mapping[str, int]] | None = None,
    batching: Batching | None = None,
    poll_seconds: float = 1.0,
    limits: Limits | None = None,
) -> None:
    """Serve until the process is told to end (SIGTERM, or Ctrl-C), then finish what is under way.

    It takes what :class:`LocalServer` takes.

    Raises:
        FacenetError: when a model cannot be served, or a port is taken.
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
        with LocalServer(
            models,
            host=host,
            rest_port=rest_port,
            grpc_port=grpc_port,
            versions=versions,
            labels=labels,
            batching=batching,
            poll_seconds=poll_seconds,
            limits=limits,
        ) as server:
            for name in server.models.names:
                print(f"{server.rest_url}/v1/models/{name}:predict", flush=True)
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
    # By its number, or asyncio does not see that it is TCP, and lets the second part of an answer
    # wait for the first to be acknowledged (Nagle's algorithm): 40 milliseconds.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(1024)
    except (OSError, OverflowError) as error:
        listening.close()
        raise FacenetError(f"{host}:{port}: cannot be listened at: {error}") from error
    return listening


class _RestServer:
    """uvicorn in a thread of its own."""

    def __init__(
        self, front: RestFront, listening: socket.socket, limits: Limits, record: RequestRecord
    ) -> None:
        connection = functools.partial(
            _Connection, limits=limits, record=record, open_connections={}
        )
        config = uvicorn.Config(
            front,
            http=connection,  # type: ignore[arg-type]
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_keep_alive=math.ceil(limits.seconds_idle),
            timeout_graceful_shutdown=math.ceil(limits.seconds_to_send + limits.seconds_to_answer),
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._server.serve([listening])), name="rest", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True

    def join(self) -> None:
        self._thread.join()


class _Connection(H11Protocol):
    """A connection that has to send its requests in time, and to make room when idle.

    uvicorn bounds only the time from an answer to the next request.
    """

    def __init__(
        self,
        *arguments: Any,
        limits: Limits,
        record: RequestRecord,
        open_connections: dict[_Connection, None],
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self._limits = limits
        self._record = record
        self._open = open_connections  # in the order of their last request
        self._sending: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._open[self] = None
        self._watch()
        if len(self._open) > self._limits.connections:
            longest_idle = next(one for one in self._open if one.idle)  # itself, at the last
            del self._open[longest_idle]  # now: the next may come before this one hears of its end
            longest_idle.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._open.pop(self, None)
        self._unset_keepalive_if_required()
        for timer in (self._sending, self._reading):
            if timer:
                timer.cancel()
        if self.scope and WHEN_GONE in self.scope["state"]:
            self.scope["state"][WHEN_GONE]()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self in self._open:
            del self._open[self]
            self._open[self] = None  # at the end
        self._watch()

    def _watch(self) -> None:
        """A request has so many seconds, from its first byte to its last; so has a pause."""
        between = self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]
        sending = not between and self.conn.their_state in (h11.IDLE, h11.SEND_BODY)
        if sending and self._sending is None:
            self._sending = self.loop.call_later(self._limits.seconds_to_send, self._too_slow)
        elif not sending and self._sending is not None:
            self._sending.cancel()
            self._sending = None
        if between and self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _too_slow(self) -> None:
        self._refuse(408, f"expected a request within {self._limits.seconds_to_send:g} seconds")

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, msg)

    def _refuse(self, status: int, message: str) -> None:
        """End the connection; with an answer, unless the request has had one."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE) and not self.transport.is_closing():
            peer = ":".join(map(str, self.client)) if self.client else "?"
            self._record.refused("REST", peer, "request", str(status), message)
            self.transport.write(error_response(status, message))
        if self.cycle is not None:
            self.cycle.disconnected = True
        self.transport.close()

    def pause_writing(self) -> None:
        """The client does not read its answer."""
        super().pause_writing()
        self._reading = self.loop.call_later(self._limits.seconds_to_send, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._reading:
            self._reading.cancel()

    def timeout_keep_alive_handler(self) -> None:
        self.transport.abort()  # without waiting for what the client does not read
