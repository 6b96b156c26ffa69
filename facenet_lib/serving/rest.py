"""The local server's REST front: TensorFlow Serving's HTTP API, and the page for people.

Paths, formats, messages of errors and their HTTP status are TensorFlow Serving's (its
documentation, "RESTful API"). Names of models and versions are looked up, never opened.

It stands on Tornado, whose public settings bound the time in which the head and the body of a
request arrive and tell when a client has left. Derived in chapter 8, "Serving".
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import importlib.resources
import io
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from PIL import Image
from tornado.iostream import StreamClosedError
from tornado.web import Application, HTTPError, RequestHandler, stream_request_body

from facenet_lib.drawn_faces.identity import draw_identity
from facenet_lib.drawn_faces.nuisance import draw_nuisance
from facenet_lib.drawn_faces.render import render_face
from facenet_lib.model_card import CARD
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


class RestFront:
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

    def application(self) -> Application:
        """Return the application for Tornado's HTTP server: which function answers which path."""
        routes: list[tuple[str, dict[str, _Function]]] = [
            (rf"{_MODEL}:(?P<verb>classify|regress|predict)", {"POST": self._predict}),
            (rf"{_MODEL}/metadata", {"GET": self._metadata}),
            (_MODEL, {"GET": self._status}),
            (r"(?i)/v1/.*", {}),
            ("/healthz", {"GET": self._health}),
            (METRICS_PATH, {"GET": self._metrics}),
            ("/page/model", {"GET": self._page_model}),
            (r"/page/faces/(?P<number>\d)\.jpg", {"GET": self._face}),
            (f"(?:{'|'.join(map(re.escape, _PAGE_FILES))})", {"GET": self._page_file}),
            (".*", {}),
        ]
        return Application(
            [(path, _Handler, {"front": self, "functions": by}) for path, by in routes],
            log_function=lambda handler: None,
        )

    # ------------------------------------------------------------ TensorFlow Serving's API

    async def _predict(
        self, request: _Handler, name: str, version: str, label: str, verb: str
    ) -> _Answer:
        request.counts_as("predict", name)
        if verb.lower() != "predict":
            raise ServingError(
                "INVALID_ARGUMENT", f"{verb}: these models have no signature for it; use predict"
            )
        choice = _choice(version, label)
        ask = functools.partial(self._ask, name, choice, request.take_body())
        future, rows = await asyncio.to_thread(ask) if request.size > _LONG else ask()
        del ask  # and with it the body
        try:
            async with asyncio.timeout(self.limits.seconds_to_answer):
                prediction = await asyncio.wrap_future(future)
        except TimeoutError:
            raise ServingError("DEADLINE_EXCEEDED", "not answered in time") from None
        return _Answer(json_from_outputs(prediction.outputs, rows=rows))

    def _ask(self, name: str, choice: dict[str, Any], body: bytes) -> tuple[Any, bool]:
        """Have a request wait for its turn; the version that will answer says how it is read."""
        document = parse_json(body)
        signature = signature_of(document) or DEFAULT_SIGNATURE
        read = functools.partial(arrays_from_json, document)
        future = self.models.predict(name, read, signature=signature, **choice)
        return future, "instances" in document

    async def _metadata(self, request: _Handler, name: str, version: str, label: str) -> _Answer:
        request.counts_as("GetModelMetadata", name)
        chosen = self.models.version(name, **_choice(version, label))
        spec = _json(metadata_response(name, chosen).model_spec)
        signatures = _json(signature_map(chosen))
        written = f'{{"model_spec":{spec},"metadata":{{"signature_def":{signatures}}}}}'
        return _Answer(written.encode())

    async def _status(self, request: _Handler, name: str, version: str, label: str) -> _Answer:
        request.counts_as("GetModelStatus", name)
        statuses = self.models.status(name, **_choice(version, label))
        return _Answer(_json(status_response(statuses)).encode())

    # ------------------------------------------------------------ health and the page

    async def _health(self, request: _Handler) -> _Answer:
        ready = self.models.ready()
        body = json.dumps({"status": "ok" if ready else "loading"}).encode()
        return _Answer(body, status=200 if ready else 503)

    async def _metrics(self, request: _Handler) -> _Answer:
        return _Answer(self.record.page(), "text/plain; version=0.0.4; charset=utf-8")

    async def _page_file(self, request: _Handler) -> _Answer:
        name, content_type = _PAGE_FILES[request.request.path]
        return _Answer(_read_page_file(name), content_type, headers=_PAGE_HEADERS)

    async def _face(self, request: _Handler, number: str) -> _Answer:
        if int(number) >= _FACES:
            raise _Refused(404, "there is nothing at this path")
        drawn = await asyncio.to_thread(_draw_face, int(number))
        return _Answer(drawn, "image/jpeg", headers={"cache-control": "max-age=86400"})

    async def _page_model(self, request: _Handler) -> _Answer:
        return await asyncio.to_thread(self._describe_model)

    def _describe_model(self) -> _Answer:
        """What the page shows of the first model."""
        name = self.models.names[0]
        try:
            version = self.models.version(name)
        except ServingError as error:
            raise ServingError("UNAVAILABLE", str(error)) from None
        try:
            card = json.loads((version.folder / CARD).read_text("utf-8"))
            preprocessing = card["preprocessing"]
            window = preprocessing["crop_size"] or preprocessing["image_size"]
        except (OSError, ValueError, KeyError, TypeError):
            raise _Refused(404, f"{name}: this model has no card") from None
        about = {
            "name": name,
            "version": version.number,
            "threshold": card.get("threshold"),
            "crop_size": window,
            "frame_size": preprocessing.get("frame_size"),
            "image_size": preprocessing["image_size"],
            "faces": _FACES,
            "max_body_bytes": self.limits.body_bytes,
            "card": card,
        }
        return _Answer(json.dumps(about).encode())


_Function = Callable[..., Awaitable[_Answer]]


@stream_request_body
class _Handler(RequestHandler):
    """One request: its body within limits, its answer in time, its end told to the record."""

    def initialize(self, front: RestFront, functions: Mapping[str, _Function]) -> None:
        self.size = 0  # bytes of the body
        self._front = front
        self._functions = functions
        self._chunks: list[bytes] = []
        self._began = time.perf_counter()
        self._api = self._model = ""
        self._code = "OK"
        self._answered = self._left = self._ended = False
        self._task: asyncio.Task[Any] | None = None
        front.under_way += 1

    def counts_as(self, api: str, model: str) -> None:
        """Count this request as one to an API of TensorFlow Serving."""
        self._api, self._model = api, model

    def take_body(self) -> bytes:
        """Return the body, and hold it no longer."""
        body, self._chunks = b"".join(self._chunks), []
        return body

    # ------------------------------------------------------------ what Tornado calls, in this order

    def set_default_headers(self) -> None:
        self.clear_header("server")
        self.set_header("x-content-type-options", "nosniff")
        self.set_header("content-type", "application/json")

    def prepare(self) -> None:
        try:
            self._check_head()
        except _Refused as error:
            self._refuse(error)

    def data_received(self, chunk: bytes) -> None:
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
            self._refuse(error)

    async def get(self, *_: str, **named: str) -> None:
        self._task = asyncio.current_task()
        try:
            answer = await self._function()(self, **named)
            self._write(answer)
            async with asyncio.timeout(self._front.limits.seconds_to_send):
                await self.flush()
        except TimeoutError:  # the client does not read its answer
            self._end()
            self.detach().close()
            return
        except StreamClosedError:
            pass
        except asyncio.CancelledError:
            if not self._left:
                raise
            return
        except Exception as error:
            self._refuse(error)
            return
        self.finish()

    head = post = put = patch = delete = options = get

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self._left = True
        if self._task is not None:
            self._task.cancel()
        self._end()

    def on_finish(self) -> None:
        self._end()

    def write_error(self, status_code: int, **about: Any) -> None:
        """For what Tornado itself refuses: a path that is no text, an unknown method."""
        error = about["exc_info"][1] if "exc_info" in about else None
        message = error.log_message if isinstance(error, HTTPError) else None
        self._refuse(_Refused(status_code, message or "this request cannot be answered"))

    def log_exception(self, *about: Any) -> None:
        """Nothing: what is refused has its line in the record."""

    def compute_etag(self) -> None:
        """None: no answer is worth the sum."""

    # ------------------------------------------------------------ parts

    def _check_head(self) -> None:
        host, hosts = self.request.headers.get("host", ""), self._front.hosts
        if hosts is not None and host and _host_name(host) not in hosts:
            raise _Refused(403, "this server answers to the names of this machine alone")
        if self.request.headers.get("content-encoding", "identity") not in ("", "identity"):
            raise _Refused(415, "expected a body without content-encoding")
        length = self.request.headers.get("content-length", "0")
        self._check_size(int(length) if length.isdecimal() else 0)  # else Tornado refuses it

    def _check_size(self, size: int) -> None:
        if size > self._front.limits.body_bytes:
            raise _Refused(413, f"expected a body of at most {self._front.limits.body_bytes} bytes")

    def _function(self) -> _Function:
        method = self.request.method
        found = self._functions.get("GET" if method == "HEAD" else method or "")
        if found is not None and not (method == "HEAD" and self._is_api()):
            return found
        if self._is_api():
            raise ServingError("INVALID_ARGUMENT", "Malformed request: no such path or method")
        if method not in ("GET", "HEAD"):
            raise _Refused(405, f"{method} is not for this path")
        raise _Refused(404, "there is nothing at this path")

    def _is_api(self) -> bool:
        return self.request.path.lower().startswith("/v1/")

    def _write(self, answer: _Answer) -> None:
        self._answered = True
        self.set_status(answer.status)
        headers = {"content-type": answer.content_type, **answer.headers}
        if self._front.stopping:
            headers["connection"] = "close"
        for name, value in headers.items():
            self.set_header(name, value)
        self.set_header("content-length", len(answer.body))
        self.write(answer.body)

    def _refuse(self, error: Exception) -> None:
        self._code, answer = _told(error)
        message = json.loads(answer.body)["error"]
        peer, what = str(self.request.remote_ip), f"{self.request.method} {self.request.path}"
        self._front.record.refused("REST", peer, what, str(answer.status), message)
        self._write(answer)
        self.finish()

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        self._front.under_way -= 1
        self._front.bytes_held -= self.size
        if self._api and not self._left:
            seconds = time.perf_counter() - self._began
            self._front.record.done("REST", self._api, self._model, self._code, seconds)


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
