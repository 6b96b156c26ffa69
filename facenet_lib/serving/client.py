"""Clients of the service: encoded images go out, embeddings and distances come back.

:class:`~facenet_lib.serving.RestClient` loads no TensorFlow, so that a program that only asks
starts at once. :class:`~facenet_lib.serving.GrpcClient` sends less over the wire, but the protos
of ``tensorflow-serving-api`` are built on TensorFlow's own, whose import loads all of it. Both
speak TF Serving's protocols, to it and to the local server alike. Derived in chapter 8, "Serving".
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from types import MappingProxyType
from typing import Any, Self

import numpy as np

from facenet_lib.checks import check_integer, check_model_name, pixel_problems
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.serving.answers import (
    DEFAULT_SIGNATURE,
    Embedded,
    FacesFound,
    ModelMetadata,
    Verified,
    VersionStatus,
    beginning,
)
from facenet_lib.serving.retries import Retries, check_seconds

MAX_BATCH_SIZE = 32
"""Images in one request: TF Serving refuses more than its batching configuration allows."""

MAX_MESSAGE_BYTES = 4_000_000
"""Bytes in one request: a gRPC server refuses more than 4 MiB unless it is told otherwise."""

_HEADER_BYTES = 4_096  # of a request, for all that is not images

# The outputs of the signature faces, and how many dimensions each has.
_OF_FACES = {"decoded": 1, "valid": 2, "boxes": 3, "landmarks": 4, "scores": 2, "embeddings": 3}


@dataclass(eq=False)
class Client(abc.ABC):
    """What both clients do; see :class:`RestClient` and :class:`GrpcClient` for how.

    A batch of any size is split by number of images and by bytes, asked for piece by piece, and
    joined in order. A single image over the limit of bytes goes alone, for the server to judge.
    Where no version is named and one is rolled in between two pieces, both versions answer:
    name the version when all embeddings of a large batch are to be compared with each other.
    A client may be used by several threads, and is closed by ``close()`` or a ``with`` block.

    Attributes:
        server: for REST such as ``http://localhost:8501``; https, and a path before ``/v1``, for
            a proxy. For gRPC ``host:port``, such as ``localhost:8500``.
        model: the name under which it is served.
        version: a version's number; None: the newest.
        label: a version's label, in place of the number.
        timeout: seconds after which a request has failed; over REST, without a byte of an answer.
        connect_timeout: seconds for the connection.
        retries: how often and how long it tries again.
        max_batch_size: images in one request.
        max_message_bytes: bytes in one request.

    Raises:
        FacenetError: for an address or a name that cannot be one; over gRPC also where the extra
            ``serving`` is not installed.
    """

    server: str
    model: str = "facenet"
    _: KW_ONLY
    version: int | None = None
    label: str | None = None
    timeout: float = 60.0
    connect_timeout: float = 5.0
    retries: Retries = field(default=Retries())
    max_batch_size: int = MAX_BATCH_SIZE
    max_message_bytes: int = MAX_MESSAGE_BYTES

    most_answer_bytes = 64 * 2**20
    """Beyond which an answer is not read: hundreds of times what a batch is answered with."""

    def __post_init__(self) -> None:
        check_model_name(self.model)
        if self.version is not None and self.label is not None:
            raise FacenetError(
                f"expected a version or a label, found {self.version} and {self.label!r}"
            )
        if self.version is not None:
            check_integer("version", self.version, at_least=0, at_most=2**63 - 1)
        if self.label is not None:
            check_model_name(self.label, what="label")
        check_integer("max_batch_size", self.max_batch_size, at_least=1)
        check_integer("max_message_bytes", self.max_message_bytes, at_least=_HEADER_BYTES + 1)
        check_seconds("timeout", self.timeout, least=0.001)
        check_seconds("connect_timeout", self.connect_timeout, least=0.001)
        self._where = self._open()

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
        answer = self._ask(DEFAULT_SIGNATURE, {"images": images}, {"embeddings": 2, "valid": 1})
        return Embedded(answer["embeddings"], answer["valid"])

    def embed_tensors(self, images: np.ndarray) -> np.ndarray:
        """Return float32 ``(n, embedding_size)`` of decoded images.

        Args:
            images: ``(n, height, width, 3)``, RGB values of 0 to 255, of any type of real
                number. REST sends them as decimal digits: encoded images are ten times smaller.

        Raises:
            FacenetError: as :meth:`embed` does, and for an array of another shape or with values
                that are no pixels, as of images that are standardized or divided by 255 already.
        """
        images = _checked_tensors(images)
        if not len(images):
            return np.empty((0, self.metadata().embedding_size), np.float32)
        return self._ask("embed_tensors", {"images": images}, {"embeddings": 2})["embeddings"]

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
        answer = self._ask("verify", inputs, {"distances": 1, "valid": 1}, optional={"same": 1})
        return Verified(answer["distances"], answer["valid"], answer.get("same"))

    def embed_faces(self, photographs: Sequence[bytes]) -> FacesFound:
        """Return the faces in encoded photographs, and their embeddings.

        Args:
            photographs: JPEG or PNG files as bytes, at least one.

        Raises:
            FacenetError: as :meth:`embed` does, and when the model was exported without
                alignment.
        """
        _check_encoded(photographs, "photographs")
        if not photographs:
            raise FacenetError("photographs: expected at least one, found none")
        return FacesFound(**self._ask("faces", {"photographs": photographs}, _OF_FACES))

    @abc.abstractmethod
    def _open(self) -> str:
        """Prepare to connect to the server; return its address, for errors."""

    @abc.abstractmethod
    def status(self) -> list[VersionStatus]:
        """Return the state of the model's versions, or of the one that the client names.

        Raises:
            FacenetError: when the server does not answer, or knows no such model.
        """

    @abc.abstractmethod
    def metadata(self) -> ModelMetadata:
        """Return which version answers, and the model's signatures.

        Raises:
            FacenetError: when the server does not answer, or knows no such model.
        """

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
        outputs: Mapping[str, int],
        optional: Mapping[str, int] = MappingProxyType({}),
    ) -> dict[str, np.ndarray]:
        """Ask for all images, piece by piece, for outputs of so many dimensions.

        The model may lack the ``optional`` ones.
        """
        sizes = [sum(map(self._size, row)) for row in zip(*inputs.values(), strict=True)]
        pieces: list[dict[str, np.ndarray]] = []
        for piece in _pieces(sizes, self.max_batch_size, self.max_message_bytes):
            part = {name: images[piece] for name, images in inputs.items()}
            answer = self._predict(signature, part, next(iter(outputs)))
            ranks = {**outputs, **{name: optional[name] for name in optional if name in answer}}
            rows = piece.stop - piece.start
            pieces.append(
                {
                    name: self._checked(signature, answer, name, rank, rows)
                    for name, rank in ranks.items()
                }
            )
        try:
            found = set().union(*pieces)
            return {name: np.concatenate([piece[name] for piece in pieces]) for name in found}
        except (KeyError, ValueError) as error:
            raise FacenetError(
                f"{self._where}: the answers to one batch do not fit together: were they from "
                "versions of different models?"
            ) from error

    def _checked(
        self, signature: str, answer: Mapping[str, Any], name: str, rank: int, rows: int
    ) -> np.ndarray:
        where = f"{self._where}: {signature}: {name}"
        if name not in answer:
            raise FacenetError(
                f"{self._where}: {signature}: expected the output {name!r}, "
                f"found {beginning(', '.join(sorted(answer))) or 'none'}"
            )
        try:
            found = np.asarray(answer[name])
        except ValueError as error:  # lists of unequal lengths
            raise FacenetError(f"{where}: expected an array, found {error}") from error
        flags = name in ("valid", "same", "decoded")
        kinds = "b" if flags else "fiu"
        if found.ndim != rank or len(found) != rows or found.dtype.kind not in kinds:
            raise FacenetError(
                f"{where}: expected {'flags' if flags else 'numbers'} of {rank} dimensions with "
                f"{rows} rows, found {found.dtype} of shape {found.shape}"
            )
        if flags:
            return found
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
            values = found.astype(np.float32)
        if not np.isfinite(values).all():
            raise FacenetError(f"{where}: found numbers not finite")
        return values


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
    fits = images.ndim == 4 and images.shape[-1] == 3 and 0 not in images.shape[1:3]
    if not fits or images.dtype.kind not in "iuf":
        raise FacenetError(
            "expected images to be numbers of shape (n, height, width, 3), "
            f"found {images.dtype} of shape {images.shape}"
        )
    if images.dtype == np.uint8:
        return images
    refuse("what is no image", pixel_problems("images", images))
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
