"""The local server's REST front: TensorFlow Serving's HTTP API, and the page for people.

Paths, formats, messages of errors and their HTTP status are TensorFlow Serving's (its
documentation, "RESTful API"). Names of models and versions are looked up, never opened. One
request is ours alone: ``:identify``, see :class:`~facenet_lib.serving.Naming`.

It stands on ``facenet_lib.serving.http_server`` and Tornado's HTTP, which bounds the time in
which the head of a request arrives, and tells when a client has left.

Derived in chapter 8, "Serving".
"""

from __future__ import annotations

import asyncio
import functools
import http.client
import io
import json
import re
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
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
from facenet_lib.serving.answers import METRICS_PATH
from facenet_lib.serving.classification import (
    CLASSIFY,
    REGRESS,
    check_examples,
    inference_refusal,
)
from facenet_lib.serving.compression import GzipUnpacker
from facenet_lib.serving.limits import Limits, RequestRecord
from facenet_lib.serving.messages import (
    ServingError,
    arrays_from_json,
    json_from_outputs,
    parse_json,
    serving_error,
    signature_of,
)
from facenet_lib.serving.model_folders import LARGEST_VERSION
from facenet_lib.serving.naming import Naming
from facenet_lib.serving.page_files import read_page_file
from facenet_lib.serving.protos import metadata_response, signature_map, status_response
from facenet_lib.serving.versions import ServedModels

_MODEL = r"(?i)/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"

_STATUS = {
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
}
"""HTTP's status for those of gRPC that a request may end with, as TensorFlow Serving maps them."""

_REFUSAL_HEADERS = {
    405: {"allow": "GET, HEAD"},
    415: {"accept-encoding": "gzip"},
    503: {"retry-after": "1"},
}
_METHODS = {"classify": CLASSIFY, "regress": REGRESS}

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
    "/page/who.css": ("who.css", "text/css; charset=utf-8"),
    "/page/who.js": ("who.js", "text/javascript; charset=utf-8"),
}
_FACES = 8  # of four people, two pictures each
_FACE_SIZE = 160


@dataclass(frozen=True)
class _Answer:
    body: bytes
    content_type: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class _Refused(ServingError):  # noqa: N818 - an answer too
    """A request that HTTP itself has a status for, which gRPC has not."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class _Route:
    path: str
    method: str
    answer: Callable[..., Awaitable[_Answer]]  # takes the request, and what the path names
    api: str = ""  # under which TensorFlow Serving counts it


class RestFront:
    """What answers over REST, from :class:`~facenet_lib.serving.ServedModels`.

    Args:
        models: what answers.
        limits: see :class:`~facenet_lib.serving.Limits`.
        record: where requests are counted.
        hosts: names by which a request may call this server; None: any. A server for this
            machine alone answers to its own names only, so that no page of another site
            reaches it under a name that leads here.
        naming: the gallery, where one is served.
        allowed_origins: of pages elsewhere whose scripts may read the answers of TensorFlow
            Serving's API, such as ``https://example.com``; ``*``: any.

    Attributes:
        stopping: whether each connection is to end with its next answer.
    """

    def __init__(
        self,
        models: ServedModels,
        limits: Limits,
        record: RequestRecord,
        hosts: frozenset[str] | None,
        naming: Naming | None = None,
        allowed_origins: frozenset[str] = frozenset(),
    ) -> None:
        self.models = models
        self.limits = limits
        self.record = record
        self.hosts = hosts
        self.naming = naming
        self.allowed_origins = allowed_origins
        self.bytes_held = 0
        self.stopping = False
        self._routes = [
            _Route(f"{_MODEL}:predict", "POST", self._predict, "predict"),
            _Route(f"{_MODEL}:(?P<verb>classify)", "POST", self._infer, "classify"),
            _Route(f"{_MODEL}:(?P<verb>regress)", "POST", self._infer, "regress"),
            _Route(f"{_MODEL}:identify", "POST", self._identify, "identify"),
            _Route(f"{_MODEL}/metadata", "GET", self._metadata, "GetModelMetadata"),
            _Route(_MODEL, "GET", self._status, "GetModelStatus"),
            _Route("(?i)/v1/.*", "OPTIONS", self._preflight),
            _Route("/healthz", "GET", self._health),
            _Route(METRICS_PATH, "GET", self._metrics),
            _Route("/page/model", "GET", self._page_model),
            _Route(rf"/page/faces/(?P<number>[0-{_FACES - 1}])\.jpg", "GET", self._face),
            _Route("|".join(map(re.escape, _PAGE_FILES)), "GET", self._page_file),
        ]

    def start_request(self, server_conn: object, request_conn: Any) -> _Request:
        """Return what takes the next request of a connection."""
        return _Request(self, request_conn)

    def route(self, method: str, path: str) -> tuple[_Route, dict[str, str]]:
        """Return what answers a method and path, and what the path names."""
        reads = "GET" if method == "HEAD" and not _is_api(path) else method
        for route in self._routes:
            found = re.fullmatch(route.path, path)
            if found and reads == route.method:
                named = found.groupdict().items()
                return route, {name: value and unquote(value) for name, value in named}
        return _Route("", method, self._nothing), {}

    # ------------------------------------------------------------ TensorFlow Serving's API

    async def _predict(self, request: _Request, name: str, version: str, label: str) -> _Answer:
        choice, rows = _choice(version, label), False

        def submit(document: dict[str, Any]) -> Future[Any]:
            nonlocal rows
            rows = "instances" in document
            # The version that will answer says how it is read.
            read = functools.partial(arrays_from_json, document)
            signature = signature_of(document)
            return self.models.predict(name, read, signature=signature, **choice)

        prediction = await self._answer(request, submit)
        return _Answer(json_from_outputs(prediction.outputs, rows=rows))

    async def _answer(
        self, request: _Request, submit: Callable[[dict[str, Any]], Future[Any]]
    ) -> Any:
        """Have a request wait for its turn, and wait for what becomes of it."""

        def ask() -> None:
            request.prediction = submit(parse_json(request.take_body()))
            if request.unwanted:  # meanwhile; nothing is computed for nobody
                request.prediction.cancel()

        await asyncio.to_thread(ask) if request.size > _LONG else ask()
        async with asyncio.timeout(self.limits.seconds_to_answer):
            return await asyncio.wrap_future(request.prediction)

    async def _infer(
        self, request: _Request, name: str, version: str, label: str, verb: str
    ) -> _Answer:
        """What the models of this library have no signature for."""

        document = await asyncio.to_thread(parse_json, request.take_body())
        check_examples(document)
        signature = signature_of(document)
        signature_defs = self.models.version(name, **_choice(version, label)).signature_defs
        raise inference_refusal(_METHODS[verb.lower()], signature, signature_defs)

    async def _metadata(self, request: _Request, name: str, version: str, label: str) -> _Answer:
        chosen = self.models.version(name, **_choice(version, label))
        spec = _json(metadata_response(name, chosen).model_spec)
        signatures = _json(signature_map(chosen))
        written = f'{{"model_spec":{spec},"metadata":{{"signature_def":{signatures}}}}}'
        return _Answer(written.encode())

    async def _status(self, request: _Request, name: str, version: str, label: str) -> _Answer:
        statuses = self.models.status(name, **_choice(version, label))
        return _Answer(_json(status_response(statuses)).encode())

    async def _preflight(self, request: _Request) -> _Answer:
        """A browser asks whether a page elsewhere may ask."""
        if not request.origin:
            raise ServingError("OPTIONS: expected the origin of a page, as browsers send it")
        return _Answer(
            b"",
            headers={
                "access-control-allow-methods": "GET, POST",
                "access-control-allow-headers": "content-type, content-encoding",
            },
        )

    def allow_origin(self, path: str, origin: str) -> dict[str, str]:
        """Return the headers that say which page's scripts may read an answer."""
        if not self.allowed_origins or not _is_api(path):
            return {}
        allowed = "*" if "*" in self.allowed_origins else origin
        if allowed not in self.allowed_origins:
            return {"vary": "origin"}
        return {"access-control-allow-origin": allowed, "vary": "origin"}

    async def _nothing(self, request: _Request) -> _Answer:
        """What answers where no route does."""
        if _is_api(request.path):
            raise ServingError("Malformed request: no such path or method")
        if request.method not in ("GET", "HEAD"):
            raise _Refused(f"{request.method} is not for this path", 405)
        raise _Refused("there is nothing at this path", 404)

    # ------------------------------------------------------------ ours alone

    async def _identify(self, request: _Request, name: str, version: str, label: str) -> _Answer:
        naming, choice = self.naming, _choice(version, label)
        if naming is None:
            raise _Refused(
                "nobody can be named here: this server was started without a gallery, which "
                "'facenet serve MODEL --gallery GALLERY' takes",
                404,
            )

        def submit(document: dict[str, Any]) -> Future[Any]:
            return self.models.submit(name, functools.partial(naming.submit, document), **choice)

        return _Answer(json.dumps(await self._answer(request, submit)).encode())

    # ------------------------------------------------------------ health and the page

    async def _health(self, request: _Request) -> _Answer:
        ready = self.models.ready()
        body = json.dumps({"status": "ok" if ready else "loading"}).encode()
        return _Answer(body, status=200 if ready else 503)

    async def _metrics(self, request: _Request) -> _Answer:
        return _Answer(self.record.page(), "text/plain; version=0.0.4; charset=utf-8")

    async def _page_file(self, request: _Request) -> _Answer:
        name, content_type = _PAGE_FILES[request.path]
        content = read_page_file(name, with_gallery=self.naming is not None)
        return _Answer(content, content_type, headers=_PAGE_HEADERS)

    async def _face(self, request: _Request, number: str) -> _Answer:
        drawn = await asyncio.to_thread(_draw_face, int(number))
        return _Answer(drawn, "image/jpeg", headers={"cache-control": "max-age=86400"})

    async def _page_model(self, request: _Request) -> _Answer:
        """What the page shows of the first model."""
        name = self.models.names[0]
        try:
            version = self.models.version(name)
        except ServingError as error:
            raise ServingError(str(error), "UNAVAILABLE") from None
        try:
            card = await asyncio.to_thread(read_card, version.folder)
        except FacenetError:
            raise _Refused(f"{name}: this model has no card", 404) from None
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
            "card": asdict(card),
        }
        if self.naming is not None:
            about["gallery"] = {"people": self.naming.people, "threshold": self.naming.threshold}
        return _Answer(json.dumps(about).encode())


class _Request(httputil.HTTPMessageDelegate):
    """One request: its body within limits, its answer in time, its end told to the record."""

    def __init__(self, front: RestFront, connection: HTTP1Connection) -> None:
        self.method = self.path = self.origin = ""
        self.size = 0  # bytes of the body, unpacked
        self.under_way = False  # from its head to the end of its answer
        self.left = False  # the client
        self.prediction: Future[Any] = Future()  # of nothing, until it waits for its turn
        self._front = front
        self._connection = connection
        self._chunks: list[bytes] = []
        self._unpacker: GzipUnpacker | None = None
        self._code = "OK"
        self._answered = self._given_up = self._ended = False
        self._task: asyncio.Task[None] | None = None

    def take_body(self) -> bytes:
        """Return the body, and hold it no longer."""
        body, self._chunks = b"".join(self._chunks), []
        return body

    @property
    def unwanted(self) -> bool:
        """Whether nobody will be told what becomes of it."""
        return self.left or self._given_up

    def give_up(self) -> None:
        """Answer at once that the server stops, unless an answer is on its way."""
        self._break_off(ServingError("the server is stopping; try again later", "UNAVAILABLE"))

    # ------------------------------------------------------------ what Tornado calls, in this order

    async def headers_received(self, start_line: Any, headers: httputil.HTTPHeaders) -> None:
        """The head has come."""
        self._began = time.perf_counter()
        request = httputil.HTTPServerRequest(
            connection=self._connection, start_line=start_line, headers=headers
        )
        self.method, self.path = str(request.method), request.path
        self.origin = headers.get("origin", "")
        self._route, self._named = self._front.route(self.method, self.path)
        self._peer = str(request.remote_ip)
        seconds = self._front.limits.seconds_to_send
        self._sending = asyncio.get_running_loop().call_later(seconds, self._too_slow)
        self.under_way = True
        try:
            self._check_head(headers)
        except _Refused as error:
            await self._refuse(error)

    async def data_received(self, chunk: bytes) -> None:
        """A part of the body has come."""
        if self._answered:
            return
        try:
            for piece in self._unpacker.unpack(chunk) if self._unpacker else [chunk]:
                if self._answered or self.left:
                    return
                self._take(piece)
                if self._unpacker:
                    await asyncio.sleep(0)  # a chunk may hold hundreds: others have their turn
        except ServingError as error:
            await self._refuse(error)

    def finish(self) -> None:
        """All of it has come."""
        self._sending.cancel()
        self._connection.set_close_callback(self.on_connection_close)
        if not self._answered:
            self._task = asyncio.create_task(self._respond())

    def on_connection_close(self) -> None:
        """The client has left."""
        self.left = True
        self.prediction.cancel()
        if self._task is not None:
            self._task.cancel()
        self._end()

    # ------------------------------------------------------------ parts

    async def _respond(self) -> None:
        try:
            if self._unpacker:
                self._unpacker.finish()
            answer = await self._route.answer(self, **self._named)
        except Exception as error:
            await self._refuse(error)
        else:
            await self._send(answer)

    def _too_slow(self) -> None:
        """The body has not come in time."""
        seconds = self._front.limits.seconds_to_send
        self._break_off(_Refused(f"expected a request within {seconds:g} seconds", 408))

    def _break_off(self, error: ServingError) -> None:
        if self._answered:
            return
        self._answered = self._given_up = True
        self.prediction.cancel()
        if self._task is not None:
            self._task.cancel()
        self._task = asyncio.create_task(self._refuse(error))

    def _check_head(self, headers: httputil.HTTPHeaders) -> None:
        host, hosts = headers.get("host", ""), self._front.hosts
        name = re.sub(r":\d*$", "", host).lower()  # without its port
        if hosts is not None and host and name not in hosts:
            raise _Refused("this server answers to the names of this machine alone", 403)
        encoding = headers.get("content-encoding", "").lower()
        if encoding in ("gzip", "x-gzip"):
            self._unpacker = GzipUnpacker()
        elif encoding not in ("", "identity"):
            raise _Refused(f"expected a body packed by gzip or by nothing, found {encoding}", 415)
        length = headers.get("content-length", "0")
        if length.isdecimal():  # else Tornado refuses it
            # More digits than any size has, which Python might not read.
            self._check_size(int(length) if len(length) < 20 else sys.maxsize)

    def _take(self, piece: bytes) -> None:
        """Keep a piece of the body, within the limits of one request and of all."""
        self._check_size(self.size + len(piece))
        self.size += len(piece)
        self._front.bytes_held += len(piece)
        if self._front.bytes_held > self._front.limits.total_body_bytes:
            raise ServingError("too many large requests; try again later", "UNAVAILABLE")
        self._chunks.append(piece)

    def _check_size(self, size: int) -> None:
        most = self._front.limits.body_bytes
        if size > most:
            raise _Refused(f"expected a body of at most {most} bytes", 413)

    async def _refuse(self, error: Exception) -> None:
        refusal = serving_error(error)
        message, self._code = str(refusal), refusal.code
        status = refusal.status if isinstance(refusal, _Refused) else _STATUS[refusal.code]
        what = f"{self.method} {self.path}"
        self._front.record.refused("REST", self._peer, what, str(status), message)
        body = json.dumps({"error": message}).encode()
        await self._send(_Answer(body, status=status, headers=_REFUSAL_HEADERS.get(status, {})))

    async def _send(self, answer: _Answer) -> None:
        """Answer, and let go of a client that does not read it."""
        self._answered = True
        end = self._connection.close if self._front.stopping else self._connection.finish
        try:
            async with asyncio.timeout(self._front.limits.seconds_to_send):
                await self._write(answer)
        except (TimeoutError, StreamClosedError):
            end = self._connection.close
        end()
        self._end()

    def _write(self, answer: _Answer) -> Awaitable[None]:
        headers = {
            "date": httputil.format_timestamp(time.time()),
            "content-type": answer.content_type,
            "content-length": str(len(answer.body)),
            "x-content-type-options": "nosniff",
            **self._front.allow_origin(self.path, self.origin),
            **answer.headers,
        }
        if self._front.stopping:
            headers["connection"] = "close"
        reason = http.client.responses[answer.status]
        return self._connection.write_headers(
            httputil.ResponseStartLine("", answer.status, reason),
            httputil.HTTPHeaders(headers),
            None if self.method == "HEAD" else answer.body,
        )

    def _end(self) -> None:
        if self._ended or not self.method:
            return
        self._ended, self.under_way = True, False
        self._sending.cancel()
        self._front.bytes_held -= self.size
        if self._route.api and not self.left:
            seconds, model = time.perf_counter() - self._began, self._named["name"]
            self._front.record.done("REST", self._route.api, model, self._code, seconds)


def _is_api(path: str) -> bool:
    return path.lower().startswith("/v1/")


def _choice(version: str | None, label: str | None) -> dict[str, Any]:
    """Which version a path names, in the words of ``ServedModels``."""
    if version:
        if len(version) > 19 or int(version) > LARGEST_VERSION:
            raise ServingError(f"Failed to convert version: {version} to numeric.")
        return {"version": int(version)}
    return {"label": label} if label else {}


def _json(message: Any) -> str:
    return json_format.MessageToJson(
        message, always_print_fields_with_no_presence=True, preserving_proto_field_name=True
    )


@functools.cache
def _draw_face(number: int) -> bytes:
    """A drawn face as JPEG: 0 to 3 are four people, 4 to 7 the same in another order."""
    person = (0, 1, 2, 3, 2, 0, 3, 1)[number]
    face = render_face(draw_identity((8, person)), draw_nuisance((8, 100 + number)), _FACE_SIZE)
    encoded = io.BytesIO()
    Image.fromarray(face).save(encoded, "JPEG", quality=90)
    return encoded.getvalue()
