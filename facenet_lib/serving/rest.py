"""The local server's REST front: TensorFlow Serving's HTTP API, and the page for people.

Paths, formats, messages of errors and their HTTP status are TensorFlow Serving's (its
documentation, "RESTful API"). Names of models and versions are looked up, never opened.

Derived in chapter 8, "Serving".
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import http
import importlib.resources
import io
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from google.protobuf import json_format
from PIL import Image

from facenet_lib.drawn_faces.identity import draw_identity
from facenet_lib.drawn_faces.nuisance import draw_nuisance
from facenet_lib.drawn_faces.render import render_face
from facenet_lib.model_card import CARD
from facenet_lib.serving.grpc import metadata_response, status_response
from facenet_lib.serving.limits import Limits, RequestRecord
from facenet_lib.serving.messages import (
    ServingError,
    arrays_from_json,
    json_from_outputs,
    one_line,
    parse_json,
    signature_of,
)
from facenet_lib.serving.versions import DEFAULT_SIGNATURE, LARGEST_VERSION, ServedModels

_VERSION = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_PREDICTION = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){_VERSION}:(?P<verb>classify|regress|predict)", re.I
)
_MODEL = re.compile(rf"/v1/models/(?P<name>[^/:]+){_VERSION}(?P<metadata>/metadata)?", re.I)
_FACE = re.compile(r"/page/faces/(\d)\.jpg")
METRICS_PATH = "/monitoring/prometheus/metrics"
HEALTH_PATH = "/healthz"
WHEN_GONE = "when_gone"
"""Under which a request's state says what to call when its connection ends."""

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


class _Gone(Exception):  # noqa: N818
    """The client left before it had sent its request."""


class RestFront:
    """The ASGI application over :class:`~facenet_lib.serving.ServedModels`.

    Args:
        models: what answers.
        limits: see :class:`~facenet_lib.serving.Limits`.
        record: where requests are counted.
        hosts: names by which a request may call this server; None: any. A server for this
            machine alone answers to its own names only, so that no page of another site
            reaches it under a name that leads here.
    """

    def __init__(
        self,
        models: ServedModels,
        limits: Limits,
        record: RequestRecord,
        hosts: frozenset[str] | None,
    ) -> None:
        self._models = models
        self._limits = limits
        self._record = record
        self._hosts = hosts
        self._bytes_held = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, whatever it is."""
        request = _Request(scope, receive)
        began = time.perf_counter()
        code = "OK"
        try:
            answer = await self._answer(request)
        except _Gone:
            return
        except Exception as error:
            code, answer = _told(error)
            message = json.loads(answer.body)["error"]
            self._record.refused("REST", request.peer, request.line, str(answer.status), message)
        finally:
            self._bytes_held -= request.bytes_held
        if request.api:
            seconds = time.perf_counter() - began
            self._record.done("REST", request.api, request.model, code, seconds)
        headers = {
            "content-type": answer.content_type,
            "content-length": str(len(answer.body)),
            "x-content-type-options": "nosniff",
            **answer.headers,
        }
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, request: _Request) -> _Answer:
        self._check_host(request)
        if request.path.lower().startswith("/v1/"):
            return await self._api(request)
        if request.method not in ("GET", "HEAD"):
            raise _Refused(405, f"{request.method} is not for this path")
        if request.path == HEALTH_PATH:
            return self._health()
        if request.path == METRICS_PATH:
            return _Answer(self._record.page(), "text/plain; version=0.0.4; charset=utf-8")
        if request.path == "/page/model":
            return await asyncio.to_thread(self._page_model)
        if request.path in _PAGE_FILES:
            name, content_type = _PAGE_FILES[request.path]
            return _Answer(_page_file(name), content_type, headers=_PAGE_HEADERS)
        face = _FACE.fullmatch(request.path)
        if face and int(face[1]) < _FACES:
            drawn = await asyncio.to_thread(_face, int(face[1]))
            return _Answer(drawn, "image/jpeg", headers={"cache-control": "max-age=86400"})
        raise _Refused(404, "there is nothing at this path")

    def _check_host(self, request: _Request) -> None:
        host = request.header(b"host")
        if self._hosts is not None and host and _host_name(host) not in self._hosts:
            raise _Refused(403, "this server answers to the names of this machine alone")

    # ------------------------------------------------------------ TensorFlow Serving's API

    async def _api(self, request: _Request) -> _Answer:
        if request.method == "POST" and (found := _PREDICTION.fullmatch(request.path)):
            request.api, request.model = "predict", unquote(found["name"])
            if found["verb"].lower() != "predict":
                raise ServingError(
                    "INVALID_ARGUMENT",
                    f"{found['verb']}: these models have no signature for it; use predict",
                )
            return await self._predict(request, request.model, _choice(found))
        if request.method == "GET" and (found := _MODEL.fullmatch(request.path)):
            request.model, choice = unquote(found["name"]), _choice(found)
            if found["metadata"]:
                request.api = "GetModelMetadata"
                return _Answer(self._metadata(request.model, choice))
            request.api = "GetModelStatus"
            response = status_response(self._models.status(request.model, **choice))
            return _Answer(_json(response, preserving_proto_field_name=True).encode())
        raise ServingError("INVALID_ARGUMENT", "Malformed request: no such path or method")

    async def _predict(self, request: _Request, name: str, choice: dict[str, Any]) -> _Answer:
        body = await self._body(request)
        parse = functools.partial(self._parsed, name, choice, body)
        signature, inputs, rows = await asyncio.to_thread(parse) if len(body) > _LONG else parse()
        del body, parse
        future = self._models.predict(name, inputs, signature=signature, **choice)
        request.when_gone(future.cancel)
        try:
            async with asyncio.timeout(self._limits.seconds_to_answer):
                prediction = await asyncio.wrap_future(future)
        except TimeoutError:
            raise ServingError("DEADLINE_EXCEEDED", "not answered in time") from None
        except asyncio.CancelledError:
            raise _Gone from None
        return _Answer(json_from_outputs(prediction.outputs, rows=rows))

    def _parsed(
        self, name: str, choice: dict[str, Any], body: bytes
    ) -> tuple[str, dict[str, Any], bool]:
        document = parse_json(body)
        signature = signature_of(document) or DEFAULT_SIGNATURE
        inputs = arrays_from_json(document, self._models.inputs(name, signature, **choice))
        return signature, inputs, "instances" in document

    def _metadata(self, name: str, choice: dict[str, Any]) -> bytes:
        response = metadata_response(self._models, name, choice)
        signatures = type(self._models.signatures(name, **choice)[1])()
        response.metadata["signature_def"].Unpack(signatures)
        spec, definitions = (
            _json(message, preserving_proto_field_name=True)
            for message in (response.model_spec, signatures)
        )
        written = f'{{"model_spec":{spec},"metadata":{{"signature_def":{definitions}}}}}'
        return written.encode()

    async def _body(self, request: _Request) -> bytes:
        if request.header(b"content-encoding") not in ("", "identity"):
            raise _Refused(415, "expected a body without content-encoding")
        length = request.header(b"content-length")
        if length and int(length) > self._limits.body_bytes:
            raise self._too_large()
        chunks, size, more = [], 0, True
        while more:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            chunk, more = message.get("body", b""), message.get("more_body", False)
            chunks.append(chunk)
            size += len(chunk)
            if size > self._limits.body_bytes:
                raise self._too_large()
            request.bytes_held += len(chunk)
            self._bytes_held += len(chunk)
            if self._bytes_held > self._limits.total_body_bytes:
                raise ServingError("UNAVAILABLE", "too many large requests; try again later")
        return b"".join(chunks)

    def _too_large(self) -> _Refused:
        return _Refused(413, f"expected a body of at most {self._limits.body_bytes} bytes")

    # ------------------------------------------------------------ health and the page

    def _health(self) -> _Answer:
        ready = self._models.ready()
        body = json.dumps({"status": "ok" if ready else "loading"}).encode()
        return _Answer(body, status=200 if ready else 503)

    def _page_model(self) -> _Answer:
        """What the page shows of the first model."""
        name = self._models.names[0]
        try:
            folder = self._models.folder(name)
        except ServingError as error:
            raise ServingError("UNAVAILABLE", str(error)) from None
        try:
            card = json.loads((folder / CARD).read_text("utf-8"))
            preprocessing = card["preprocessing"]
            window = preprocessing["crop_size"] or preprocessing["image_size"]
        except (OSError, ValueError, KeyError, TypeError):
            raise _Refused(404, f"{name}: this model has no card") from None
        about = {
            "name": name,
            "version": int(folder.name),
            "threshold": card.get("threshold"),
            "crop_size": window,
            "frame_size": preprocessing.get("frame_size"),
            "image_size": preprocessing["image_size"],
            "faces": _FACES,
            "max_body_bytes": self._limits.body_bytes,
            "card": card,
        }
        return _Answer(json.dumps(about).encode())


class _Request:
    """What a request says of itself, and how far it has come."""

    def __init__(self, scope: Any, receive: Any) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["raw_path"].decode("ascii", "replace")
        self.receive = receive
        self.api = ""
        self.model = ""
        self.bytes_held = 0
        self._state: dict[str, Any] = scope["state"]
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]
        self._client = scope.get("client")

    def when_gone(self, call: Callable[[], object]) -> None:
        """Have the connection call this if it ends before the answer."""
        self._state[WHEN_GONE] = call

    @property
    def peer(self) -> str:
        return ":".join(map(str, self._client)) if self._client else "?"

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"

    def header(self, name: bytes) -> str:
        """The header's value; empty where there is none."""
        return next((value.decode("latin-1") for key, value in self._headers if key == name), "")


def _choice(found: re.Match[str]) -> dict[str, Any]:
    """Which version a path names, in the words of ``ServedModels``."""
    if found["version"]:
        if len(found["version"]) > 19 or int(found["version"]) > LARGEST_VERSION:
            raise ServingError(
                "INVALID_ARGUMENT", f"Failed to convert version: {found['version']} to numeric."
            )
        return {"version": int(found["version"])}
    return {"label": unquote(found["label"])} if found["label"] else {}


def _json(message: Any, **options: Any) -> str:
    return json_format.MessageToJson(message, always_print_fields_with_no_presence=True, **options)


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


def error_response(status: int, message: str) -> bytes:
    """Return the whole of a response that ends its connection, for what is no request yet."""
    body = json.dumps({"error": message}).encode()
    head = (
        f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body


@functools.cache
def _page_file(name: str) -> bytes:
    return (importlib.resources.files("facenet_lib.serving.pages") / name).read_bytes()


@functools.cache
def _face(number: int) -> bytes:
    """A drawn face as JPEG: 0 to 3 are four people, 4 to 7 the same in another order."""
    person = (0, 1, 2, 3, 2, 0, 3, 1)[number]
    face = render_face(draw_identity((8, person)), draw_nuisance((8, 100 + number)), _FACE_SIZE)
    encoded = io.BytesIO()
    Image.fromarray(face).save(encoded, "JPEG", quality=90)
    return encoded.getvalue()
