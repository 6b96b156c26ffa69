"""The HTTP server under the local server's REST half: connections within bounds, and their end.

Tornado reads and writes HTTP on each connection. Which connections there are is decided here,
because its own server has no bound for them, writes a traceback for each one that the process
may not open, and at its end does not know which of them have a request under way.

Derived in chapter 8, "Serving".
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from dataclasses import dataclass
from typing import Any, Protocol

from tornado import httputil
from tornado.http1connection import HTTP1ConnectionParameters, HTTP1ServerConnection
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream

from facenet_lib.serving.bounded_log import BoundedLog
from facenet_lib.serving.limits import Limits

_AT_ONCE = 128  # connections accepted before requests have their turn
_SECONDS_TO_ARRIVE = 0.25  # at the end: for a request that was sent before it
_SECONDS_TO_LEAVE = 0.5  # at the end: for an answer, and for a connection to close
_SECONDS_TO_PAUSE = 1.0  # when no connection can be opened
_NO_BOUND = 2**63  # of a body: the front has one of its own, which it explains


class Exchange(Protocol):
    """A request and its answer, a ``tornado.httputil.HTTPMessageDelegate``.

    Attributes:
        under_way: whether the head has come, and the answer not gone.
    """

    under_way: bool

    def give_up(self) -> None:
        """Answer at once that the server stops."""


class Front(Protocol):
    """What answers requests.

    Attributes:
        limits: see :class:`~facenet_lib.serving.Limits`.
        stopping: whether each connection is to end with its next answer.
    """

    limits: Limits
    stopping: bool

    def start_request(self, server_conn: object, request_conn: Any) -> Any:
        """Return the ``Exchange`` that takes the next request of a connection."""


@dataclass(frozen=True)
class _Peer:
    """Who asks, in the words in which Tornado's requests look it up."""

    remote_ip: str
    protocol: str = "http"


class HttpServer(threading.Thread):
    """A thread that serves HTTP on a socket that listens already, which it closes at its end.

    When all connections that may be open are, the one that has been without a request for
    longest is closed for a new one; where none is, the new one is closed.

    Args:
        front: what answers.
        listening: the socket.
        most_connections: how many may be open.
        log: where connections that were closed or refused are told of.
    """

    def __init__(
        self, front: Front, listening: socket.socket, most_connections: int, log: BoundedLog
    ) -> None:
        super().__init__(name="rest", daemon=True)
        self._front = front
        self._listening = listening
        self._most_connections = most_connections
        self._log = log
        self._connections: dict[_Connection, None] = {}  # the longest without a request first
        self._parameters = HTTP1ConnectionParameters(
            header_timeout=front.limits.seconds_idle, max_body_size=_NO_BOUND
        )
        self._begun = threading.Event()

    def start(self) -> None:
        """Answer from now on."""
        super().start()
        self._begun.wait()

    def stop(self) -> None:
        """Take no more connections and finish what is under way, within ``seconds_to_stop``.

        The thread ends afterwards; ``join`` waits for it.
        """
        with contextlib.suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(self._told_to_end.set)

    def run(self) -> None:
        """Serve; the thread calls this."""
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._told_to_end = asyncio.get_running_loop(), asyncio.Event()
        self._accept_from_now_on()
        self._begun.set()
        await self._told_to_end.wait()
        self._listen_no_more()
        await self._finish_requests()

    # ------------------------------------------------------------ connections

    def _accept_from_now_on(self) -> None:
        if not self._told_to_end.is_set():
            IOLoop.current().add_handler(self._listening, self._some_wait, IOLoop.READ)

    def _some_wait(self, listening: socket.socket, events: int) -> None:
        self._accept_some()

    def _accept_some(self) -> bool:
        """Accept connections that wait; return whether there may be more."""
        for _ in range(_AT_ONCE):
            try:
                connection, address = self._listening.accept()
            except BlockingIOError:
                return False
            except ConnectionAbortedError:  # it left while it waited
                continue
            except OSError as error:
                self._log.write("REST", f"REST: no connection can be opened: {error}", at_first=1)
                if not self._make_room():
                    self._pause()
                return False
            if len(self._connections) < self._most_connections:
                self._open(connection, address)
            elif self._make_room():
                self._tell_full(address, "the connection longest without a request gave way to")
                self._open(connection, address)
            else:
                self._tell_full(address, "there was no room for")
                connection.close()
        return True

    def _make_room(self) -> bool:
        """Close the connection that has been without a request for longest, if one is."""
        for connection in self._connections:
            if not connection.busy:
                connection.close()
                return True
        return False

    def _tell_full(self, address: tuple[Any, ...], what: str) -> None:
        line = f"REST {address[0]}: {what} a connection: {self._most_connections} may be open"
        self._log.write(f"REST: {what} connections", line, at_first=1)

    def _open(self, connection: socket.socket, address: tuple[Any, ...]) -> None:
        _Connection(self, self._front, IOStream(connection)).serve(self._parameters, address[0])

    def _pause(self) -> None:
        IOLoop.current().remove_handler(self._listening)
        self._loop.call_later(_SECONDS_TO_PAUSE, self._accept_from_now_on)

    def waits(self, connection: _Connection) -> None:
        """A connection waits for its next request from now on."""
        self._connections.pop(connection, None)
        self._connections[connection] = None

    def gone(self, connection: _Connection) -> None:
        """A connection is no more."""
        self._connections.pop(connection, None)

    # ------------------------------------------------------------ the end

    def _listen_no_more(self) -> None:
        while self._accept_some():  # who waits was let in by the system already
            pass
        IOLoop.current().remove_handler(self._listening)
        self._listening.close()

    async def _finish_requests(self) -> None:
        self._front.stopping = True
        await asyncio.sleep(_SECONDS_TO_ARRIVE)
        for connection in [one for one in self._connections if not one.busy]:
            connection.close()
        await self._wait_for_requests(self._front.limits.seconds_to_stop - _SECONDS_TO_ARRIVE)
        for connection in tuple(self._connections):
            connection.give_up()
        await self._wait_for_requests(_SECONDS_TO_LEAVE)
        for connection in tuple(self._connections):
            connection.close()

    async def _wait_for_requests(self, seconds: float) -> None:
        end = self._loop.time() + seconds
        while self._loop.time() < end and any(one.busy for one in self._connections):
            await asyncio.sleep(0.02)


class _Connection(httputil.HTTPServerConnectionDelegate):
    """One connection, and the request of it that comes or is under way."""

    def __init__(self, server: HttpServer, front: Front, stream: IOStream) -> None:
        self._server = server
        self._front = front
        self._stream = stream
        self._exchange: Exchange | None = None

    @property
    def busy(self) -> bool:
        return self._exchange is not None and self._exchange.under_way

    def serve(self, parameters: HTTP1ConnectionParameters, remote_ip: str) -> None:
        self._server.waits(self)
        HTTP1ServerConnection(self._stream, parameters, _Peer(remote_ip)).start_serving(self)

    def give_up(self) -> None:
        if self._exchange is not None and self._exchange.under_way:
            self._exchange.give_up()

    def close(self) -> None:
        self._server.gone(self)
        self._stream.close()

    def start_request(self, server_conn: object, request_conn: Any) -> Any:
        """Tornado calls this before each request."""
        self._server.waits(self)
        self._exchange = self._front.start_request(server_conn, request_conn)
        return self._exchange

    def on_close(self, server_conn: object) -> None:
        """Tornado calls this at the end."""
        self._server.gone(self)
