"""Clients of the service: encoded images go out, embeddings and distances come back.

:class:`RestClient` loads no TensorFlow, so that a program that only asks starts at once.
:class:`GrpcClient` sends less over the wire, but the protos of ``tensorflow-serving-api`` are
built on TensorFlow's own, whose import loads all of it. Both speak TF Serving's protocols, to it
and to :mod:`facenet_lib.serving` alike. Derived in chapter 8, "Serving".
"""

from __future__ import annotations

import abc
import base64
import email.utils
import itertools
import json
import math
import random
import re
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import urllib3
from urllib3.util import parse_url

from facenet_lib.errors import FacenetError, refuse, serving_extra

MAX_BATCH_SIZE = 32
"""Images in one request: TF Serving refuses more than its batching configuration allows."""

MAX_MESSAGE_BYTES = 4_000_000
"""Bytes in one request: a gRPC server refuses more than 4 MiB unless it is told otherwise."""

_HEADER_BYTES = 4_096  # of a request, for all that is not images
_EMBED, _EMBED_TENSORS, _VERIFY = "serving_default", "embed_tensors", "verify"
_MOST_ANSWER_BYTES = 64 * 2**20  # hundreds of times what a batch is answered with
_MOST_SECONDS = 1_000_000  # more milliseconds than these, gRPC cannot count
_MOST_TOLD = 500  # characters of a server's words

_Answer = TypeVar("_Answer")


# --------------------------------------------------------------------------------------------
# What a server answers
# --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Embedded:
    """The answer to images.

    Attributes:
        embeddings: float32 ``(n, embedding_size)``, rows of length one; zeros where not valid.
        valid: bool ``(n,)``, False where the bytes were no image that can be decoded.
    """

    embeddings: np.ndarray
    valid: np.ndarray


@dataclass(frozen=True)
class Verified:
    """The answer to pairs of images.

    Attributes:
        distances: float32 ``(n,)``, squared Euclidean distances of the embeddings.
        valid: bool ``(n,)``, False where one of a pair could not be decoded.
        same: bool ``(n,)``, whether the distance is below the model's threshold; None from a
            model that was exported without one.
    """

    distances: np.ndarray
    valid: np.ndarray
    same: np.ndarray | None


@dataclass(frozen=True)
class VersionStatus:
    """The state of one version of a model.

    Attributes:
        version: the number of its folder.
        state: ``START``, ``LOADING``, ``AVAILABLE``, ``UNLOADING`` or ``END``.
        error: why it could not be loaded; empty when nothing is wrong.
    """

    version: int
    state: str
    error: str


@dataclass(frozen=True)
class TensorInfo:
    """What a signature says of one of its tensors.

    Attributes:
        dtype: TensorFlow's name of it, such as ``DT_FLOAT``.
        shape: None where any length will do; None as a whole where even the rank is open.
    """

    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class Signature:
    """Name to tensor, of what a signature takes and of what it answers."""

    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]


@dataclass(frozen=True)
class ModelMetadata:
    """What a server says of a model.

    Attributes:
        name: as it is served.
        version: the one that was asked for, or the newest.
        signatures: name to signature.
    """

    name: str
    version: int
    signatures: Mapping[str, Signature]

    @property
    def embedding_size(self) -> int:
        """Length of an embedding.

        Raises:
            FacenetError: when the model is none that ``facenet export`` wrote.
        """
        signature = self.signatures.get(_EMBED)
        tensor = signature.outputs.get("embeddings") if signature else None
        shape = tensor.shape if tensor else None
        if shape is None or len(shape) != 2 or shape[1] is None:
            raise FacenetError(
                f"model {self.name}, version {self.version}: expected a signature {_EMBED} that "
                f"answers embeddings of a known length, found {shape or 'none'}"
            )
        return shape[1]


# --------------------------------------------------------------------------------------------
# Trying again
# --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Retries:
    """How often and how long a client tries again.

    Tried again is what another attempt may not meet, and nothing else:

    - the connection is refused, reset, or closed without an answer: a server starts or restarts;
    - 503 and gRPC's UNAVAILABLE: it has no room in its queue, or is loading or stopping;
    - gRPC's CANCELLED, which is not our doing: it stopped in that very moment;
    - 429 and RESOURCE_EXHAUSTED: it asks for fewer requests (but not for a message too large);
    - 502: a proxy before it did not reach it.

    Repeating a request is safe because a request only computes. Not tried again are a request
    that the server calls wrong, which would be wrong again; a deadline that passed, since the
    work would be asked of a slow server twice; and a host name that nobody knows.

    Attributes:
        attempts: the first one included.
        first_wait: seconds before the second attempt; each wait is twice the one before.
        longest_wait: seconds that no wait exceeds, unless the server's ``Retry-After`` does.
        total: seconds after the first attempt in which another may begin. A ``Retry-After``
            beyond them ends the attempts at once.
    """

    attempts: int = 5
    first_wait: float = 0.1
    longest_wait: float = 5.0
    total: float = 60.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise FacenetError(f"attempts: expected at least 1, found {self.attempts}")
        for name in ("first_wait", "longest_wait", "total"):
            _check_seconds(name, getattr(self, name), least=0.0)

    def wait_after(self, attempt: int) -> float:
        """Seconds to wait after attempt 1, 2 and so on.

        Half of it is drawn at random: clients that were refused together come back apart.
        """
        longest = min(self.longest_wait, self.first_wait * 2.0 ** min(attempt - 1, 60))
        return longest * random.uniform(0.5, 1.0)


class _TemporaryError(FacenetError):
    """A failure that another attempt may not meet."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def _check_seconds(name: str, seconds: float, least: float) -> None:
    if not (isinstance(seconds, int | float) and least <= seconds <= _MOST_SECONDS):
        raise FacenetError(
            f"{name}: expected from {least:g} to {_MOST_SECONDS:,} seconds, found {seconds!r}"
        )


def _with_retries(attempt: Callable[[], _Answer], retries: Retries) -> _Answer:
    end = time.monotonic() + retries.total
    for number in itertools.count(1):
        try:
            return attempt()
        except _TemporaryError as failure:
            wait = max(failure.retry_after, retries.wait_after(number))
            if number >= retries.attempts or time.monotonic() + wait > end:
                tried = f" (tried {number} times)" if number > 1 else ""
                raise FacenetError(f"{failure}{tried}") from failure
            time.sleep(wait)
    raise AssertionError("unreachable")


# --------------------------------------------------------------------------------------------
# The clients
# --------------------------------------------------------------------------------------------


class Client(abc.ABC):
    """What both clients do; see :class:`RestClient` and :class:`GrpcClient` for how.

    A batch of any size is split by number of images and by bytes, asked for piece by piece, and
    joined in order. A single image over the limit of bytes goes alone, for the server to judge.
    Where no version is named and one is rolled in between two pieces, both versions answer:
    name the version when all embeddings of a large batch are to be compared with each other.
    A client may be used by several threads, and is closed by ``close()`` or a ``with`` block.
    """

    def __init__(
        self,
        where: str,
        model: str,
        version: int | None,
        label: str | None,
        retries: Retries,
        max_batch_size: int,
        max_message_bytes: int,
        timeout: float,
        connect_timeout: float,
    ) -> None:
        check_model_name(model)
        if version is not None and label is not None:
            raise FacenetError(f"expected a version or a label, found {version} and {label!r}")
        if version is not None and not (type(version) is int and 0 <= version < 2**63):
            raise FacenetError(f"version: expected a number of at least 0, found {version!r}")
        if label is not None:
            check_model_name(label, what="label")
        if max_batch_size < 1 or max_message_bytes <= _HEADER_BYTES:
            raise FacenetError(
                f"expected max_batch_size of at least 1 and max_message_bytes over "
                f"{_HEADER_BYTES}, found {max_batch_size} and {max_message_bytes}"
            )
        for name, seconds in (("timeout", timeout), ("connect_timeout", connect_timeout)):
            _check_seconds(name, seconds, least=0.001)
        self.model = model
        self.version = version
        self.label = label
        self._where = where
        self._retries = retries
        self._max_batch_size = max_batch_size
        self._max_message_bytes = max_message_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def embed(self, images: Sequence[bytes]) -> Embedded:
        """Return the embeddings of encoded images, JPEG or PNG files as bytes.

        Raises:
            FacenetError: naming the server, when it does not answer, refuses, or answers with
                something else than embeddings.
        """
        _check_encoded(images, "images")
        if not images:
            empty = np.empty((0, self.metadata().embedding_size), np.float32)
            return Embedded(empty, np.empty(0, np.bool_))
        answer = self._ask(_EMBED, {"images": images}, {"embeddings": 2, "valid": 1})
        return Embedded(answer["embeddings"], answer["valid"])

    def embed_tensors(self, images: np.ndarray) -> np.ndarray:
        """Return float32 ``(n, embedding_size)`` of decoded images.

        Args:
            images: ``(n, height, width, 3)``, RGB values of 0 to 255, of any type of real
                number. REST sends them as decimal digits: encoded images are ten times smaller.

        Raises:
            FacenetError: as :meth:`embed` does, and for an array of another shape or with a
                value that is not from 0 to 255, as of images that are standardized already.
        """
        images = _checked_tensors(images)
        if not len(images):
            return np.empty((0, self.metadata().embedding_size), np.float32)
        return self._ask(_EMBED_TENSORS, {"images": images}, {"embeddings": 2})["embeddings"]

    def verify(self, images_a: Sequence[bytes], images_b: Sequence[bytes]) -> Verified:
        """Return the distance between each image of ``images_a`` and that of ``images_b``.

        Raises:
            FacenetError: as :meth:`embed` does, and for sequences of unequal length.
        """
        _check_encoded(images_a, "images_a")
        _check_encoded(images_b, "images_b")
        if len(images_a) != len(images_b):
            raise FacenetError(
                f"expected as many images_b as images_a, found {len(images_b)} and {len(images_a)}"
            )
        if not images_a:
            none = np.empty(0, np.bool_)
            return Verified(np.empty(0, np.float32), none, none)
        inputs = {"images_a": images_a, "images_b": images_b}
        answer = self._ask(_VERIFY, inputs, {"distances": 1, "valid": 1}, optional={"same": 1})
        return Verified(answer["distances"], answer["valid"], answer.get("same"))

    @abc.abstractmethod
    def status(self) -> list[VersionStatus]:
        """Return the state of the model's versions, or of the one that the client names."""

    @abc.abstractmethod
    def metadata(self) -> ModelMetadata:
        """Return which version answers, and the model's signatures."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close the connections."""

    @abc.abstractmethod
    def _predict(self, signature: str, inputs: Mapping[str, Any], answers: str) -> dict[str, Any]:
        """Return name to array. ``answers`` names the output where a protocol leaves that out."""

    @abc.abstractmethod
    def _size(self, item: bytes | np.ndarray) -> int:
        """Return the most bytes that an image can have in a message."""

    def _ask(
        self,
        signature: str,
        inputs: Mapping[str, Any],
        answers: Mapping[str, int],
        optional: Mapping[str, int] | None = None,
    ) -> dict[str, np.ndarray]:
        """Ask for all images, piece by piece; ``answers``: name of an output to its rank."""
        sizes = [sum(map(self._size, row)) for row in zip(*inputs.values(), strict=True)]
        pieces: list[dict[str, np.ndarray]] = []
        for piece in _pieces(sizes, self._max_batch_size, self._max_message_bytes):
            part = {name: images[piece] for name, images in inputs.items()}
            answer = self._predict(signature, part, next(iter(answers)))
            here = {name: rank for name, rank in (optional or {}).items() if name in answer}
            rows = piece.stop - piece.start
            pieces.append(
                {
                    name: self._checked(signature, answer, name, rank, rows)
                    for name, rank in {**answers, **here}.items()
                }
            )
        try:
            names = set().union(*pieces)
            return {name: np.concatenate([piece[name] for piece in pieces]) for name in names}
        except (KeyError, ValueError) as error:
            raise FacenetError(
                f"{self._where}: the answers to one batch do not fit together: were they from "
                "versions of different models?"
            ) from error

    def _checked(
        self, signature: str, answer: Mapping[str, Any], name: str, rank: int, rows: int
    ) -> np.ndarray:
        if name not in answer:
            raise FacenetError(
                f"{self._where}: {signature}: expected the output {name!r}, "
                f"found {_beginning(', '.join(sorted(answer))) or 'none'}"
            )
        try:
            found = np.asarray(answer[name])
        except ValueError as error:  # lists of unequal lengths
            raise FacenetError(
                f"{self._where}: {signature}: {name}: expected an array, found {error}"
            ) from error
        flags = name in ("valid", "same")
        if (
            found.ndim != rank
            or len(found) != rows
            or found.dtype.kind not in ("b" if flags else "fiu")
        ):
            raise FacenetError(
                f"{self._where}: {signature}: {name}: expected "
                f"{'flags' if flags else 'numbers'} of {rank} dimensions with {rows} rows, "
                f"found {found.dtype} of shape {found.shape}"
            )
        if flags:
            return found
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
            values = found.astype(np.float32)
        if not np.isfinite(values).all():
            raise FacenetError(f"{self._where}: {signature}: {name}: found numbers not finite")
        return values


class RestClient(Client):
    """Asks over TF Serving's REST API; imports no TensorFlow.

    Images travel as base64 within JSON, a third larger than they are.

    Args:
        url: such as ``http://localhost:8501``; https, and a path before ``/v1``, for a proxy.
        model: the name under which it is served.
        version: a version's number; None: the newest.
        label: a version's label, in place of the number.
        timeout: seconds without a byte of an answer after which a request has failed.
        connect_timeout: seconds for the connection.
        retries: what is tried again, see there.
        max_batch_size: images in one request.
        max_message_bytes: bytes in one request.

    Raises:
        FacenetError: for a URL or a name that cannot be one.
    """

    def __init__(
        self,
        url: str,
        model: str = "facenet",
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float = 60.0,
        connect_timeout: float = 5.0,
        retries: Retries = Retries(),
        max_batch_size: int = MAX_BATCH_SIZE,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        url = _checked_url(url)
        limits = max_batch_size, max_message_bytes, timeout, connect_timeout
        super().__init__(url, model, version, label, retries, *limits)
        quoted = urllib.parse.quote(model, safe="")
        self._url = f"{url}/v1/models/{quoted}"
        if version is not None:
            self._url += f"/versions/{version}"
        if label is not None:
            self._url += f"/labels/{urllib.parse.quote(label, safe='')}"
        self._pool = urllib3.PoolManager(
            num_pools=1,
            maxsize=8,
            timeout=urllib3.Timeout(connect=connect_timeout, read=timeout),
            retries=False,  # ours know the server's own words, and are gRPC's too
        )

    def status(self) -> list[VersionStatus]:
        """Return the state of the model's versions, or of the one that the client names.

        Raises:
            FacenetError: when the server does not answer, or knows no such model.
        """
        return _status_from(self._request("GET", ""), self._where)

    def metadata(self) -> ModelMetadata:
        """Return which version answers, and the model's signatures.

        Raises:
            FacenetError: when the server does not answer, or knows no such model.
        """
        answer = self._request("GET", "/metadata")
        try:
            return _metadata_from(answer["model_spec"], answer["metadata"]["signature_def"])
        except _OF_ANOTHER_FORM as error:
            raise _not_understood(self._where, "metadata", answer) from error

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _size(self, item: bytes | np.ndarray) -> int:
        if isinstance(item, bytes):
            return 4 * (len(item) // 3 + 1) + len('{"b64":""},')
        # Each number has a comma behind it, each row of them brackets and a comma.
        digits = 3 if item.dtype == np.uint8 else 25
        return (digits + 1) * item.size + 3 * (item.size // 3) + 3 * len(item) + 3

    def _predict(self, signature: str, inputs: Mapping[str, Any], answers: str) -> dict[str, Any]:
        columns = {
            name: images.tolist()
            if isinstance(images, np.ndarray)
            else [{"b64": base64.b64encode(image).decode("ascii")} for image in images]
            for name, images in inputs.items()
        }
        request = {"signature_name": signature, "inputs": columns}
        body = json.dumps(request, separators=(",", ":")).encode()
        answer = self._request("POST", ":predict", body)
        if not isinstance(answer, dict) or "outputs" not in answer:
            raise _not_understood(self._where, f"{signature} with outputs", answer)
        outputs = answer["outputs"]
        # The name of an only output is left out.
        return outputs if isinstance(outputs, dict) else {answers: outputs}

    def _request(self, method: str, path: str, body: bytes | None = None) -> Any:
        return _with_retries(lambda: self._attempt(method, self._url + path, body), self._retries)

    def _attempt(self, method: str, url: str, body: bytes | None) -> Any:
        try:
            response = self._pool.request(
                method,
                url,
                body=body,
                headers={"Content-Type": "application/json", "Accept": "application/json"},
                redirect=False,
                preload_content=False,
                decode_content=False,  # nothing packed is asked for
            )
            data = response.read(_MOST_ANSWER_BYTES + 1)
        except urllib3.exceptions.ReadTimeoutError as error:
            raise FacenetError(f"{url}: no answer in time: {_reason(error)}") from error
        except (urllib3.exceptions.NameResolutionError, urllib3.exceptions.SSLError) as error:
            raise FacenetError(f"{url}: {_reason(error)}") from error
        except urllib3.exceptions.NewConnectionError as error:
            raise _TemporaryError(f"{url}: cannot be reached: {_reason(error)}") from error
        except urllib3.exceptions.ConnectTimeoutError as error:
            raise _TemporaryError(f"{url}: cannot be reached in time: {_reason(error)}") from error
        except urllib3.exceptions.ProtocolError as error:
            raise _TemporaryError(f"{url}: the connection broke: {_reason(error)}") from error
        except urllib3.exceptions.HTTPError as error:
            raise FacenetError(f"{url}: {_reason(error)}") from error
        if len(data) > _MOST_ANSWER_BYTES:
            response.close()
            raise _not_understood(url, f"at most {_MOST_ANSWER_BYTES:,} bytes", data[:_MOST_TOLD])
        if response.status != 200:
            reason = _beginning(response.reason)
            told = f"{url}: {response.status} {reason}: {_error_text(data)}"
            if response.status in (429, 502, 503):
                raise _TemporaryError(told, _retry_after(response.headers.get("Retry-After")))
            raise FacenetError(told)
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise _not_understood(url, "JSON", data) from error


class GrpcClient(Client):
    """Asks over gRPC, by the stubs of ``tensorflow-serving-api``.

    Importing those imports TensorFlow, on whose protos they are built. Connections are not
    encrypted: beyond one machine, put a proxy or a network of your own between.

    Args:
        address: ``host:port``, such as ``localhost:8500``.
        model: the name under which it is served.
        version: a version's number; None: the newest.
        label: a version's label, in place of the number.
        timeout: seconds after which a request has failed.
        connect_timeout: seconds for the connection.
        retries: what is tried again, see there.
        max_batch_size: images in one request.
        max_message_bytes: bytes in one request.

    Raises:
        FacenetError: for an address or a name that cannot be one, or where the extra
            ``serving`` is not installed.
    """

    def __init__(
        self,
        address: str,
        model: str = "facenet",
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float = 60.0,
        connect_timeout: float = 5.0,
        retries: Retries = Retries(),
        max_batch_size: int = MAX_BATCH_SIZE,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        _check_address(address)
        limits = max_batch_size, max_message_bytes, timeout, connect_timeout
        super().__init__(address, model, version, label, retries, *limits)
        self._timeout = timeout
        with serving_extra("the gRPC client"):
            import grpc
            from tensorflow_serving.apis import (
                model_service_pb2_grpc,
                prediction_service_pb2_grpc,
            )
        self._grpc = grpc
        self._channel = grpc.insecure_channel(
            address,
            options=[
                # The pieces of a batch keep messages small; what is larger, the server judges.
                ("grpc.max_send_message_length", -1),
                ("grpc.max_receive_message_length", _MOST_ANSWER_BYTES),
                # A channel that was refused waits before it connects again, and refuses calls
                # meanwhile: no longer than our own attempts are apart.
                ("grpc.initial_reconnect_backoff_ms", int(1000 * retries.first_wait)),
                ("grpc.max_reconnect_backoff_ms", int(1000 * retries.longest_wait)),
                ("grpc.min_reconnect_backoff_ms", int(1000 * connect_timeout)),
                ("grpc.enable_http_proxy", 0),  # as the REST client: straight to the server
            ],
        )
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def status(self) -> list[VersionStatus]:
        """Return the state of the model's versions, or of the one that the client names.

        Raises:
            FacenetError: when the server does not answer, or knows no such model.
        """
        from google.protobuf import json_format
        from tensorflow_serving.apis import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest()
        self._name_model(request.model_spec)
        answer = self._call(self._models.GetModelStatus, request)
        return _status_from(
            json_format.MessageToDict(answer, preserving_proto_field_name=True), self._where
        )

    def metadata(self) -> ModelMetadata:
        """Return which version answers, and the model's signatures.

        Raises:
            FacenetError: when the server does not answer, or knows no such model.
        """
        from google.protobuf import json_format
        from google.protobuf.message import DecodeError
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        self._name_model(request.model_spec)
        answer = self._call(self._prediction.GetModelMetadata, request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        try:
            unpacked = answer.metadata["signature_def"].Unpack(signatures)
        except DecodeError:
            unpacked = False
        if not unpacked:
            raise _not_understood(self._where, "signatures", answer)
        return _metadata_from(
            {"name": answer.model_spec.name, "version": answer.model_spec.version.value},
            json_format.MessageToDict(signatures, preserving_proto_field_name=True),
        )

    def close(self) -> None:
        """Close the connections."""
        self._channel.close()

    def _name_model(self, model_spec: Any) -> None:
        model_spec.name = self.model
        if self.version is not None:
            model_spec.version.value = self.version
        if self.label is not None:
            model_spec.version_label = self.label

    def _size(self, item: bytes | np.ndarray) -> int:
        # Before a string stand its field's number and its length.
        return len(item) + 8 if isinstance(item, bytes) else 4 * item.size

    def _predict(self, signature: str, inputs: Mapping[str, Any], answers: str) -> dict[str, Any]:
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        self._name_model(request.model_spec)
        request.model_spec.signature_name = signature
        for name, images in inputs.items():
            tensor = request.inputs[name]
            if isinstance(images, np.ndarray):
                tensor.CopyFrom(tf.make_tensor_proto(images, tf.float32))
            else:  # not by way of numpy, whose strings lose the zeros at their end
                tensor.dtype = tf.string.as_datatype_enum
                tensor.tensor_shape.dim.add().size = len(images)
                tensor.string_val.extend(images)
        answer = self._call(self._prediction.Predict, request)
        for name, tensor in answer.outputs.items():
            # One number that is repeated can stand for an array of any size.
            if math.prod(dim.size for dim in tensor.tensor_shape.dim) > _MOST_ANSWER_BYTES // 8:
                raise _not_understood(self._where, f"a smaller array {name}", tensor.tensor_shape)
        try:
            return {name: tf.make_ndarray(tensor) for name, tensor in answer.outputs.items()}
        except (TypeError, ValueError) as error:
            raise _not_understood(self._where, f"arrays of {signature}", error) from error

    def _call(self, method: Callable[..., Any], request: Any) -> Any:
        def attempt() -> Any:
            try:
                return method(request, timeout=self._timeout)
            except self._grpc.RpcError as error:
                raise self._explained(error) from error

        return _with_retries(attempt, self._retries)

    def _explained(self, error: Any) -> FacenetError:
        code, details = error.code(), error.details() or ""
        told = f"{self._where}: {code.name}: {_beginning(details)}"
        too_large = "larger than max" in details
        temporary = code.name in ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED")
        return _TemporaryError(told) if temporary and not too_large else FacenetError(told)


def connect(server: str, model: str = "facenet", *, version: int | None = None) -> Client:
    """Return the client for an address: REST for ``http://host:port``, gRPC for ``host:port``.

    Raises:
        FacenetError: when it is neither.
    """
    kind = RestClient if re.match(r"https?://", server, re.IGNORECASE) else GrpcClient
    return kind(server, model, version=version)


# --------------------------------------------------------------------------------------------
# Image files
# --------------------------------------------------------------------------------------------


class RemoteEmbedder:
    """Turns image files into embeddings as a model in a folder does, but by asking a server.

    It stays with the version that it finds: embeddings of two versions cannot be compared, and
    one that is taken away meanwhile ends in an error and not in a mixture.

    It does what an :class:`facenet_lib.export.Embedder` does, but for ``preprocessing``: that
    is in the server's model, which takes the files as they are. Hence no mirror images either: a
    file can be mirrored only by decoding it and encoding it anew, and would then no longer give
    what the same model gives locally.

    Attributes:
        embedding_size: length of an embedding.
        version: the model's version that answers.
        identities: none; a server does not name whom its model was trained on.
    """

    def __init__(self, server: str, model: str = "facenet") -> None:
        with connect(server, model) as client:
            metadata = client.metadata()
        self.version = metadata.version
        self.embedding_size = metadata.embedding_size
        self.identities: Sequence[str] = ()
        self._client = connect(server, model, version=metadata.version)

    def __enter__(self) -> RemoteEmbedder:
        return self

    def __exit__(self, *error: object) -> None:
        self._client.close()

    def embed(self, paths: Sequence[str | Path], batch_size: int = MAX_BATCH_SIZE) -> np.ndarray:
        """Return float32 ``(len(paths), embedding_size)``, rows of length one.

        A file that stands there twice is sent once.

        Args:
            paths: JPEG or PNG files.
            batch_size: files that are read at a time; the client may split them further.

        Raises:
            FacenetError: naming the files that cannot be read or decoded, or the server.
        """
        if isinstance(paths, str | Path):
            raise FacenetError(f"expected paths to be a sequence of files, found the one {paths!r}")
        if not isinstance(batch_size, int) or batch_size < 1:
            raise FacenetError(
                f"expected batch_size to be an integer of at least 1, found {batch_size!r}"
            )
        files, rows = np.unique([str(path) for path in paths], return_inverse=True)
        computed = np.empty((len(files), self.embedding_size), np.float32)
        for first in range(0, len(files), batch_size):
            batch = files[first : first + batch_size].tolist()
            images = [_read_image(path) for path in batch]
            answer = self._client.embed(images)
            problems = [
                f"{path}: the model cannot decode it: expected a whole JPEG or PNG, not too large, "
                f"found {len(image)} bytes that begin with {image[:4]!r}"
                for path, image, valid in zip(batch, images, answer.valid, strict=True)
                if not valid
            ]
            refuse("image files that cannot be used", problems)
            if answer.embeddings.shape[1] != self.embedding_size:
                raise FacenetError(
                    f"{self._client.model}: expected embeddings of {self.embedding_size} numbers, "
                    f"as its metadata has it, found {answer.embeddings.shape[1]}"
                )
            computed[first : first + batch_size] = answer.embeddings
        return computed[rows]


def _read_image(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise FacenetError(f"{path}: cannot be read: {error.strerror}") from error


# --------------------------------------------------------------------------------------------
# What is checked before anything is sent
# --------------------------------------------------------------------------------------------


def check_model_name(name: str, what: str = "model name") -> None:
    """Refuse what cannot be a model's name or label in a URL and in TF Serving's files.

    Raises:
        FacenetError: for anything but letters, digits, ``.``, ``_`` and ``-``.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name):
        raise FacenetError(
            f"{what}: expected letters, digits, '.', '_' and '-', not '.' at first, found {name!r}"
        )


def _checked_url(url: str) -> str:
    try:
        parts = parse_url(url)
        usable = parts.scheme in ("http", "https") and bool(parts.host)
    except urllib3.exceptions.LocationParseError:
        usable = False
    if not usable or parts.query is not None or parts.fragment is not None or parts.auth:
        raise FacenetError(f"server: expected a URL such as http://localhost:8501, found {url!r}")
    path = (parts.path or "").rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}"


def _check_address(address: str) -> None:
    match = re.fullmatch(r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})", address)
    if not match or not 0 < int(match[1]) < 65536:
        raise FacenetError(
            "server: expected host:port, such as localhost:8500, for gRPC, or a URL such as "
            f"http://localhost:8501 for REST, found {address!r}"
        )


def _check_encoded(images: Sequence[bytes], name: str) -> None:
    if isinstance(images, bytes | str):
        raise FacenetError(f"expected {name} to be a sequence of encoded images, found one")
    for number, image in enumerate(images):
        if not isinstance(image, bytes):
            raise FacenetError(
                f"{name}[{number}]: expected the bytes of an image file, "
                f"found {type(image).__name__}"
            )


def _checked_tensors(images: np.ndarray) -> np.ndarray:
    images = np.asarray(images)
    if (
        images.ndim != 4
        or images.shape[-1] != 3
        or 0 in images.shape[1:3]
        or images.dtype.kind not in "iuf"
    ):
        raise FacenetError(
            "expected images to be numbers of shape (n, height, width, 3), "
            f"found {images.dtype} of shape {images.shape}"
        )
    if images.dtype == np.uint8:
        return images
    if not ((images >= 0) & (images <= 255)).all():  # NaN is neither
        raise FacenetError(
            "expected values of images from 0 to 255, "
            f"found some from {images.min()} to {images.max()}"
        )
    return images.astype(np.float32)


def _pieces(sizes: Sequence[int], most_images: int, most_bytes: int) -> Iterator[slice]:
    """Split a batch into slices of at most so many images and, if one alone fits, so many bytes."""
    first, total = 0, _HEADER_BYTES
    for number, size in enumerate(sizes):
        if number > first and (number - first == most_images or total + size > most_bytes):
            yield slice(first, number)
            first, total = number, _HEADER_BYTES
        total += size
    yield slice(first, len(sizes))


# --------------------------------------------------------------------------------------------
# What is read from an answer
# --------------------------------------------------------------------------------------------


_OF_ANOTHER_FORM = (LookupError, TypeError, ValueError, AttributeError, OverflowError)
"""What comes of looking for something in JSON where something else is."""


def _status_from(answer: Any, where: str) -> list[VersionStatus]:
    try:
        return [
            VersionStatus(
                int(found["version"]),
                str(found.get("state", "UNKNOWN")),
                _beginning(found.get("status", {}).get("error_message", "")),
            )
            for found in answer["model_version_status"]
        ]
    except _OF_ANOTHER_FORM as error:
        raise _not_understood(where, "model_version_status", answer) from error


def _metadata_from(model_spec: Mapping[str, Any], signature_def: Any) -> ModelMetadata:
    def tensors(found: Mapping[str, Any]) -> dict[str, TensorInfo]:
        return {
            # A SavedModel also has signatures of operations, which answer no tensor.
            name: TensorInfo(info.get("dtype", "DT_INVALID"), shape(info))
            for name, info in found.items()
        }

    def shape(info: Mapping[str, Any]) -> tuple[int | None, ...] | None:
        found = info.get("tensor_shape", {})
        if found.get("unknown_rank"):
            return None
        sizes = [int(dim.get("size", 0)) for dim in found.get("dim", [])]
        return tuple(None if size < 0 else size for size in sizes)

    signatures = {
        name: Signature(tensors(found.get("inputs", {})), tensors(found.get("outputs", {})))
        for name, found in signature_def["signature_def"].items()
    }
    return ModelMetadata(model_spec["name"], int(model_spec["version"]), signatures)


def _reason(error: Exception) -> str:
    """The system's own words, without urllib3's objects before them."""
    return str(error.__cause__ or error)


def _error_text(body: bytes) -> str:
    """What the server says is wrong: ``error`` of its JSON, or else the beginning of its words."""
    try:
        return _beginning(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return _beginning(body)


def _not_understood(where: str, expected: str, found: Any) -> FacenetError:
    return FacenetError(f"{where}: expected an answer of {expected}, found {_beginning(found)!r}")


def _beginning(found: Any) -> str:
    """A server's words on one line, without what would steer a terminal."""
    text = found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)
    line = " ".join(text[:_MOST_TOLD].split())
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line
    )


def _retry_after(header: str | None) -> float:
    """Seconds that a ``Retry-After`` asks for, which is a number of them or a date."""
    if header is None:
        return 0.0
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return 0.0
