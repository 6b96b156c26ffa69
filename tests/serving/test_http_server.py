"""The HTTP server's connections, with answers that the tests hold back."""

import errno
import socket
import threading
from contextlib import ExitStack, contextmanager
from http.client import HTTPResponse

import pytest
from tornado import httputil

from facenet_lib.serving.addresses import listen
from facenet_lib.serving.http_server import HttpServer
from facenet_lib.serving.limits import Limits

SECONDS = 300.0  # far more than anything here takes
HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
PATIENT = Limits(seconds_idle=1000, seconds_to_send=1000, seconds_to_stop=1000)


class Exchange(httputil.HTTPMessageDelegate):
    """Answers with a word; the thread that serves stands still until it may."""

    def __init__(self, front, connection):
        self.under_way = False
        self._front = front
        self._connection = connection

    def headers_received(self, start_line, headers):
        self.under_way = True

    def finish(self):
        self._front.reached.set()
        assert self._front.opened.wait(SECONDS)
        self._answer(b"done")

    def give_up(self):
        self._answer(b"stop")

    def _answer(self, word):
        headers = httputil.HTTPHeaders({"content-length": str(len(word))})
        start = httputil.ResponseStartLine("", 200, "OK")
        self._connection.write_headers(start, headers, word)
        self._connection.finish()
        self.under_way = False


class Front:
    limits = PATIENT
    stopping = False

    def __init__(self):
        self.opened, self.reached = threading.Event(), threading.Event()
        self.opened.set()

    def start_request(self, server_conn, request_conn):
        return Exchange(self, request_conn)


class Log:
    def __init__(self):
        self.lines = []

    def write(self, kind, line, at_first=None):
        self.lines.append(line)


class Listening(socket.socket):
    """A socket that sometimes cannot accept, as when the process has no room for more files."""

    def __init__(self):
        real = listen("127.0.0.1", 0)
        super().__init__(real.family, real.type, fileno=real.detach())
        self.setblocking(False)
        self.failures = 0

    def accept(self):
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


@contextmanager
def serving(front=None, listening=None, most_connections=100):
    listening = listening or listen("127.0.0.1", 0)
    log = Log()
    server = HttpServer(front or Front(), listening, most_connections, log)
    server.place = listening.getsockname()
    server.start()
    try:
        yield server, log
    finally:
        server.stop()
        server.join(SECONDS)
        assert not server.is_alive()


def connect(server):
    return socket.create_connection(server.place, timeout=SECONDS)


def answer(client):
    response = HTTPResponse(client)
    response.begin()
    return response.read()


def test_requests_are_answered_on_one_connection_after_another():
    with serving() as (server, log):
        for _ in range(2):
            with connect(server) as client:
                for _ in range(2):
                    client.sendall(HEAD)
                    assert answer(client) == b"done"
    assert log.lines == []


@pytest.mark.parametrize("sent", [b"", HEAD[:5], HEAD], ids=["silent", "half a head", "kept"])
def test_the_end_waits_for_no_connection_without_a_request(sent):
    with serving() as (server, _), connect(server) as client:
        client.sendall(sent)
        if sent == HEAD:
            assert answer(client) == b"done"
        server.stop()
        assert client.recv(1) == b""
        server.join(SECONDS)
        assert not server.is_alive()


def test_connections_that_were_let_in_before_the_end_are_answered(monkeypatch):
    """The system lets connections in on its own, while the thread that accepts is busy."""
    monkeypatch.setattr("facenet_lib.serving.http_server._AT_ONCE", 1)
    front = Front()
    front.opened.clear()
    with serving(front) as (server, _), ExitStack() as stack:
        busy = stack.enter_context(connect(server))
        busy.sendall(HEAD)
        assert front.reached.wait(SECONDS)
        late = [stack.enter_context(connect(server)) for _ in range(10)]
        for client in late:
            client.sendall(HEAD)
        server.stop()
        front.opened.set()
        for client in (busy, *late):
            assert answer(client) == b"done"


def test_after_the_end_the_door_is_closed():
    with serving() as (server, _):
        server.stop()
        server.join(SECONDS)
        with pytest.raises(ConnectionRefusedError):
            connect(server)


def test_a_process_without_room_for_more_files_says_so_and_goes_on(monkeypatch):
    monkeypatch.setattr("facenet_lib.serving.http_server._SECONDS_TO_PAUSE", 0.01)
    listening = Listening()
    with serving(listening=listening) as (server, log):
        listening.failures = 3
        with connect(server) as client:
            client.sendall(HEAD)
            assert answer(client) == b"done"
    assert log.lines == ["REST: no connection can be opened: [Errno 24] Too many open files"] * 3


def test_it_makes_room_where_a_connection_has_no_request(monkeypatch):
    """At once: it would pause for a thousand seconds else."""
    monkeypatch.setattr("facenet_lib.serving.http_server._SECONDS_TO_PAUSE", 1000)
    listening = Listening()
    with serving(listening=listening) as (server, _), ExitStack() as stack:
        silent, client = (stack.enter_context(connect(server)) for _ in range(2))
        client.sendall(HEAD)
        assert answer(client) == b"done"
        listening.failures = 1
        further = stack.enter_context(connect(server))
        further.sendall(HEAD)
        assert silent.recv(1) == b""
        assert answer(further) == b"done"


def test_of_too_many_connections_the_one_longest_without_a_request_goes():
    with serving(most_connections=2) as (server, log), ExitStack() as stack:
        first, second = (stack.enter_context(connect(server)) for _ in range(2))
        for client in (second, first):  # whose last request is newer now
            client.sendall(HEAD)
            assert answer(client) == b"done"
        third = stack.enter_context(connect(server))
        third.sendall(HEAD)
        assert answer(third) == b"done"
        assert second.recv(1) == b""
        first.sendall(HEAD)
        assert answer(first) == b"done"
    what = "the connection longest without a request gave way to a connection"
    assert log.lines == [f"REST 127.0.0.1: {what}: 2 may be open"]
