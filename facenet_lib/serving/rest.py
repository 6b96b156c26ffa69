"""The local server's REST front: TensorFlow Serving's HTTP API, and the page for people.

Paths, formats, messages of errors and their HTTP status are TensorFlow Serving's (its
documentation, "RESTful API"). Names of models and versions are looked up, never opened.

It stands on Tornado's HTTP server, which bounds the time in which the head of a request arrives,
and tells when a client has left. Derived in chapter 8, "Serving".
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import http.client
import importlib.resources
import io
import json
import re
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from google.protobuf import json_format
from PIL import Image
from tornado import httputil
from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError

from facenet_lib.drawn_faces.identity import draw_identity
from facenet_lib.drawn_faces.nuisance import draw_nuisance
from facenet_lib.drawn_faces.render import render_face
from facenet_lib.errors import FacenetError
from facenet_lib.model_card import read_card
from facenet_lib.serving.answers import DEFAULT_SIGNATURE, METRICS_PATH
from facenet_lib.serving.limits import Limits, RequestRecord
from facenet_lib.serving.messages import (
    ServingError,
    arrays_from_json,
    json_from_outputs,
    one_line,
    parse_json,
    signature_of,
)
from facenet_lib.serving.model_folders import LARGEST_VERSION
from facenet_lib.serving.protos import metadata_response, signature_map, status_response
from facenet_lib.serving.versions import ServedModels

_MODEL = r"(?i)/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"

_STATUS = {
    "OK": 200,
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
}
"""HTTP's status for gRPC's, as TensorFlow Serving maps them."""

_LONG = 256 * 1024  # bytes of a body whose parsing would keep other requests waiting

# What the page may load: its own files, and the photographs that were dropped on it.
_PAGE_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
}
_PAGE_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page/style.css": ("style.css", "text/css; charset=utf-8"),
    "/page/script.js": ("script.js", "text/javascript; charset=utf-8"),
}
_FACES = 8  # of four people, two pictures each
_FACE_SIZE = 160

_Asked = tuple[Future[Any], bool]  # a prediction that is to come, and whether it is one of rows


@dataclass(frozen=True)
class _Answer:
    body: bytes
    content_type: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


class _Refused(Exception):  # noqa: N818 - an answer too
    """A request that HTTP itself has a status for, which gRPC has not."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class _Route:
    path: re.Pattern[str]
    method: str
    answer: Callable[..., Awaitable[_Answer]]  # takes the request, and what the path names
    api: str = ""  # under which TensorFlow Serving counts it


class RestFront(httputil.HTTPServerConnectionDelegate):
    """What answers over REST, from :class:`~facenet_lib.serving.ServedModels`.

    Args:
        models: what answers.
        limits: see :class:`~facenet_lib.serving.Limits`.
        record: where requests are counted.
        hosts: names by which a request may call this server; None: any. A server for this
            machine alone answers to its own names only, so that no page of another site
            reaches it under a name that leads here.

    Attributes:
        under_way: how many requests are being received or answered.
        stopping: whether each connection is to end with its next answer.
    """

    def __init__(
        self,
        models: ServedModels,
        limits: Limits,
        record: RequestRecord,
        hosts: frozenset[str] | None,
    ) -> None:
        self.models = models
        self.limits = limits
        self.record = record
        self.hosts = hosts
        self.bytes_held = 0
        self.under_way = 0
        self.stopping = False
        page_files = "|".join(map(re.escape, _PAGE_FILES))
        verbs = "(?P<verb>classify|regress|predict)"
        self._routes = [
            _Route(re.compile(f"{_MODEL}:{verbs}"), "POST", self._predict, "predict"),
            _Route(re.compile(f"{_MODEL}/metadata"), "GET", self._metadata, "GetModelMetadata"),
            _Route(re.compile(_MODEL), "GET", self._status, "GetModelStatus"),
            _Route(re.compile("/healthz"), "GET", self._health),
            _Route(re.compile(METRICS_PATH), "GET", self._metrics),
            _Route(re.compile("/page/model"), "GET", self._page_model),
            _Route(re.compile(r"/page/faces/(?P<number>\d)\.jpg"), "GET", self._face),
            _Route(re.compile(page_files), "GET", self._page_file),
        ]

    def start_request(self, server_conn: object, request_conn: Any) -> _Request:
        """Return what takes the next request of a connection; Tornado calls this."""
        return _Request(self, request_conn)

    def route(self, method: str, path: str) -> tuple[_Route, dict[str, str]]:
        """Return what answers a method and path, and what the path names."""
        reads = "GET" if method == "HEAD" and not _is_api(path) else method
        for route in self._routes:
            found = route.path.fullmatch(path)
            if found and reads == route.method:
                named = found.groupdict().items()
                return route, {name: value and unquote(value) for name, value in named}
        return _Route(re.compile(""), method, self._nothing), {}

    # ------------------------------------------------------------ TensorFlow Serving's API

    async def _predict(
        self, request: _Request, name: str, version: str, label: str, verb: str
    ) -> _Answer:
        if verb.lower() != "predict":
            raise ServingError(
                "INVALID_ARGUMENT", f"{verb}: these models have no signature for it; use predict"
            )
        choice = _choice(version, label)
        ask = functools.partial(self._ask, name, choice, request.take_body())
        future, rows = await _asked_in_a_thread(ask) if request.size > _LONG else ask()
        del ask  # and with it the body
        try:
            async with asyncio.timeout(self.limits.seconds_to_answer):
                prediction = await asyncio.wrap_future(future)
        except TimeoutError:
            raise ServingError("DEADLINE_EXCEEDED", "not answered in time") from None
        return _Answer(json_from_outputs(prediction.outputs, rows=rows))

    def _ask(self, name: str, choice: dict[str, Any], body: bytes) -> _Asked:
        """Have a request wait for its turn; the version that will answer says how it is read."""
        document = parse_json(body)
        signature = signature_of(document) or DEFAULT_SIGNATURE
        read = functools.partial(arrays_from_json, document)
        future = self.models.predict(name, read, signature=signature, **choice)
        return future, "instances" in document

    async def _metadata(self, request: _Request, name: str, version: str, label: str) -> _Answer:
        chosen = self.models.version(name, **_choice(version, label))
        spec = _json(metadata_response(name, chosen).model_spec)
        signatures = _json(signature_map(chosen))
        written = f'{{"model_spec":{spec},"metadata":{{"signature_def":{signatures}}}}}'
        return _Answer(written.encode())

    async def _status(self, request: _Request, name: str, version: str, label: str) -> _Answer:
        statuses = self.models.status(name, **_choice(version, label))
        return _Answer(_json(status_response(statuses)).encode())

    async def _nothing(self, request: _Request) -> _Answer:
        """What answers where no route does."""
        if _is_api(request.path):
            raise ServingError("INVALID_ARGUMENT", "Malformed request: no such path or method")
        if request.method not in ("GET", "HEAD"):
            raise _Refused(405, f"{request.method} is not for this path")
        raise _Refused(404, "there is nothing at this path")

    # ------------------------------------------------------------ health and the page

    async def _health(self, request: _Request) -> _Answer:
        ready = self.models.ready()
        body = json.dumps({"status": "ok" if ready else "loading"}).encode()
        return _Answer(body, status=200 if ready else 503)

    async def _metrics(self, request: _Request) -> _Answer:
        return _Answer(self.record.page(), "text/plain; version=0.0.4; charset=utf-8")

    async def _page_file(self, request: _Request) -> _Answer:
        name, content_type = _PAGE_FILES[request.path]
        return _Answer(_read_page_file(name), content_type, headers=_PAGE_HEADERS)

    async def _face(self, request: _Request, number: str) -> _Answer:
        if int(number) >= _FACES:
            raise _Refused(404, "there is nothing at this path")
        drawn = await asyncio.to_thread(_draw_face, int(number))
        return _Answer(drawn, "image/jpeg", headers={"cache-control": "max-age=86400"})

    async def _page_model(self, request: _Request) -> _Answer:
        return await asyncio.to_thread(self._describe_model)

    def _describe_model(self) -> _Answer:
        """What the page shows of the first model."""
        name = self.models.names[0]
        try:
            version = self.models.version(name)
        except ServingError as error:
            raise ServingError("UNAVAILABLE", str(error)) from None
        try:
            card = read_card(version.folder)
        except FacenetError:
            raise _Refused(404, f"{name}: this model has no card") from None
        preprocessing = card.preprocessing
        about = {
            "name": name,
            "version": version.number,
            "threshold": card.threshold,
            "crop_size": preprocessing.get("crop_size") or preprocessing["image_size"],
            "frame_size": preprocessing.get("frame_size"),
            "image_size": preprocessing["image_size"],
            "faces": _FACES,
            "max_body_bytes": self.limits.body_bytes,
            "card": dataclasses.asdict(card),
        }
        return _Answer(json.dumps(about).encode())


class _Request(httputil.HTTPMessageDelegate):
    """One request: its body within limits, its answer in time, its end told to the record."""

    def __init__(self, front: RestFront, connection: HTTP1Connection) -> None:
        self.method = self.path = ""
        self.size = 0  # bytes of the body
        self._front = front
        self._connection = connection
        self._peer = "?"
        self._chunks: list[bytes] = []
        self._code = "OK"
        self._answered = self._left = self._ended = False
        self._task: asyncio.Task[None] | None = None

    def take_body(self) -> bytes:
        """Return the body, and hold it no longer."""
        body, self._chunks = b"".join(self._chunks), []
        return body

    # ------------------------------------------------------------ what Tornado calls, in this order

    async def headers_received(self, start_line: Any, headers: httputil.HTTPHeaders) -> None:
        """The head has come."""
        self._began = time.perf_counter()
        request = httputil.HTTPServerRequest(
            connection=self._connection, start_line=start_line, headers=headers
        )
        self.method, self.path = str(request.method), request.path
        self._route, self._named = self._front.route(self.method, self.path)
        self._peer = str(request.remote_ip)
        seconds = self._front.limits.seconds_to_send
        self._sending = asyncio.get_running_loop().call_later(seconds, self._too_slow)
        self._front.under_way += 1
        try:
            self._check_head(headers)
        except _Refused as error:
            await self._refuse(error)

    async def data_received(self, chunk: bytes) -> None:
        """A part of the body has come."""
        if self._answered:
            return
        try:
            self._check_size(self.size + len(chunk))
            self.size += len(chunk)
            self._front.bytes_held += len(chunk)
            if self._front.bytes_held > self._front.limits.total_body_bytes:
                raise ServingError("UNAVAILABLE", "too many large requests; try again later")
            self._chunks.append(chunk)
        except (_Refused, ServingError) as error:
            await self._refuse(error)

    def finish(self) -> None:
        """All of it has come."""
        self._sending.cancel()
        self._connection.set_close_callback(self.on_connection_close)
        if not self._answered:
            self._task = asyncio.create_task(self._respond())

    def on_connection_close(self) -> None:
        """The client has left."""
        self._left = True
        if self._task is not None:
            self._task.cancel()
        self._end()

    # ------------------------------------------------------------ parts

    async def _respond(self) -> None:
        try:
            answer = await self._route.answer(self, **self._named)
        except Exception as error:
            await self._refuse(error)
        else:
            await self._send(answer)

    def _too_slow(self) -> None:
        """The body has not come in time."""
        if not self._answered:
            self._answered = True
            seconds = self._front.limits.seconds_to_send
            error = _Refused(408, f"expected a request within {seconds:g} seconds")
            self._task = asyncio.create_task(self._refuse(error))

    def _check_head(self, headers: httputil.HTTPHeaders) -> None:
        host, hosts = headers.get("host", ""), self._front.hosts
        if hosts is not None and host and _host_name(host) not in hosts:
            raise _Refused(403, "this server answers to the names of this machine alone")
        if headers.get("content-encoding", "identity") not in ("", "identity"):
            raise _Refused(415, "expected a body without content-encoding")
        length = headers.get("content-length", "0")
        if length.isdecimal():  # else Tornado refuses it
            # More digits than any size has, which Python might not read.
            self._check_size(int(length) if len(length) < 20 else sys.maxsize)

    def _check_size(self, size: int) -> None:
        most = self._front.limits.body_bytes
        if size > most:
            raise _Refused(413, f"expected a body of at most {most} bytes")

    async def _refuse(self, error: Exception) -> None:
        self._code, answer = _told(error)
        message = json.loads(answer.body)["error"]
        what = f"{self.method} {self.path}"
        self._front.record.refused("REST", self._peer, what, str(answer.status), message)
        await self._send(answer)

    async def _send(self, answer: _Answer) -> None:
        """Answer, and let go of a client that does not read it."""
        self._answered = True
        try:
            async with asyncio.timeout(self._front.limits.seconds_to_send):
                await self._write(answer)
        except TimeoutError:
            self._connection.close()
        except StreamClosedError:
            pass
        else:
            if self._front.stopping:
                self._connection.close()
            else:
                self._connection.finish()
        self._end()

    def _write(self, answer: _Answer) -> Awaitable[None]:
        headers = {
            "date": httputil.format_timestamp(time.time()),
            "content-type": answer.content_type,
            "content-length": str(len(answer.body)),
            "x-content-type-options": "nosniff",
            **answer.headers,
        }
        if self._front.stopping:
            headers["connection"] = "close"
        reason = http.client.responses.get(answer.status, "Unknown")
        return self._connection.write_headers(
            httputil.ResponseStartLine("", answer.status, reason),
            httputil.HTTPHeaders(headers),
            None if self.method == "HEAD" else answer.body,
        )

    def _end(self) -> None:
        if self._ended or not self.method:
            return
        self._ended = True
        self._sending.cancel()
        self._front.under_way -= 1
        self._front.bytes_held -= self.size
        if self._route.api and not self._left:
            seconds, model = time.perf_counter() - self._began, self._named["name"]
            self._front.record.done("REST", self._route.api, model, self._code, seconds)


def _is_api(path: str) -> bool:
    return path.lower().startswith("/v1/")


async def _asked_in_a_thread(ask: Callable[[], _Asked]) -> _Asked:
    """Return what ``ask`` does; when the client leaves meanwhile, nothing is computed for it."""
    asked = asyncio.get_running_loop().run_in_executor(None, ask)
    try:
        return await asyncio.shield(asked)
    except asyncio.CancelledError:  # the thread goes on, and has the request wait for its turn
        asked.add_done_callback(_cancel_asked)
        raise


def _cancel_asked(asked: asyncio.Future[_Asked]) -> None:
    if not asked.cancelled() and asked.exception() is None:
        asked.result()[0].cancel()


def _choice(version: str | None, label: str | None) -> dict[str, Any]:
    """Which version a path names, in the words of ``ServedModels``."""
    if version:
        if len(version) > 19 or int(version) > LARGEST_VERSION:
            raise ServingError(
                "INVALID_ARGUMENT", f"Failed to convert version: {version} to numeric."
            )
        return {"version": int(version)}
    return {"label": label} if label else {}


def _json(message: Any) -> str:
    return json_format.MessageToJson(
        message, always_print_fields_with_no_presence=True, preserving_proto_field_name=True
    )


def _host_name(host: str) -> str:
    """A Host header's name, in lower case and without its port."""
    return re.sub(r":\d*$", "", host).lower()


def _told(error: Exception) -> tuple[str, _Answer]:
    """gRPC's name of the status and the answer."""
    headers: dict[str, str] = {}
    if isinstance(error, _Refused):
        code, status, message = "INVALID_ARGUMENT", error.status, str(error)
        if status == 405:
            headers["allow"] = "GET, HEAD"
    elif isinstance(error, ServingError):
        code, status, message = error.code, _STATUS[error.code], str(error)
        if code == "UNAVAILABLE":
            headers["retry-after"] = "1"
    else:
        code, status, message = "INTERNAL", 500, f"{type(error).__name__}: {error}"
    body = json.dumps({"error": one_line(message)}).encode()
    return code, _Answer(body, status=status, headers=headers)


@functools.cache
def _read_page_file(name: str) -> bytes:
    return (importlib.resources.files("facenet_lib.serving.pages") / name).read_bytes()


@functools.cache
def _draw_face(number: int) -> bytes:
    """A drawn face as JPEG: 0 to 3 are four people, 4 to 7 the same in another order."""
    person = (0, 1, 2, 3, 2, 0, 3, 1)[number]
    face = render_face(draw_identity((8, person)), draw_nuisance((8, 100 + number)), _FACE_SIZE)
    encoded = io.BytesIO()
    Image.fromarray(face).save(encoded, "JPEG", quality=90)
    return encoded.getvalue()
