"""A server on loopback that has files, and misbehaves as it is told."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer:
    """Answers after the ``faults``: functions of the handler, one for each request to come.

    Attributes:
        address: without a slash at its end.
        files: path, which begins with a slash, to content.
        asked: the paths that were asked for.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: list[Callable] = []
        self.asked: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *words: object) -> None:
                pass

            def do_GET(self) -> None:
                server.asked.append(self.path)
                if server.faults:
                    server.faults.pop(0)(self)
                elif self.path in server.files:
                    self.promise(len(self.content))
                    self.wfile.write(self.content)
                else:
                    self.send_error(404)

            @property
            def content(self) -> bytes:
                return server.files[self.path]

            def promise(self, length: int) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(length))
                self.end_headers()

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._http.server_address[1]}"

    @contextlib.contextmanager
    def running(self) -> Iterator[FileServer]:
        thread = threading.Thread(target=self._http.serve_forever, args=[0.01])
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            thread.join()
            self._http.server_close()


def in_two_parts(between: Callable[[], object]) -> Callable:
    """Send the file, and do something when half of it is on its way."""

    def answer(handler) -> None:
        half = len(handler.content) // 2
        handler.promise(len(handler.content))
        handler.wfile.write(handler.content[:half])
        handler.wfile.flush()
        between()
        with contextlib.suppress(ConnectionError):  # who asked may be gone
            handler.wfile.write(handler.content[half:])

    return answer


def cut(handler) -> None:
    """Promise the file, and hang up after half of it."""
    handler.promise(len(handler.content))
    handler.wfile.write(handler.content[: len(handler.content) // 2])


def cut_unseen(handler) -> None:
    """Send half of the file, as if that was all."""
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(handler.content[: len(handler.content) // 2])


def refusing(status: int) -> Callable:
    return lambda handler: handler.send_error(status)


def redirecting(address: str) -> Callable:
    def answer(handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", address)
        handler.end_headers()

    return answer
