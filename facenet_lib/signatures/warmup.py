"""Requests that a model which begins to serve answers itself, before it answers anyone.

Derived in chapter 7, "Export".
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from PIL import Image

from facenet_lib.drawn_faces.identity import draw_identity
from facenet_lib.drawn_faces.nuisance import draw_nuisance
from facenet_lib.drawn_faces.render import render_face

_WARMUP_SIZES = (1, 2)


def warmup_requests(side: int) -> Iterator[bytes]:
    """Yield requests for each signature, each a ``PredictionLog`` of TF Serving.

    The first request of a signature is slow, because its graph is optimized then; so is, less,
    the first of a second batch size. Further sizes cost next to nothing.

    Args:
        side: of the window that the network sees, in pixels.
    """
    faces, proto = drawn_faces(4), tf.make_tensor_proto
    for size in _WARMUP_SIZES:
        images, others = proto(faces[:size]), proto(faces[-size:])
        grey = proto(127.5, shape=[size, side, side, 3])  # one number, which is repeated
        for signature, inputs in (
            ("serving_default", {"images": images}),
            ("verify", {"images_a": images, "images_b": others}),
            ("embed_tensors", {"images": grey}),
        ):
            yield _prediction_log(signature, inputs)


def write_warmup_requests(path: Path, side: int) -> None:
    """Write the requests as TF Serving reads them, a file of TFRecord."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for request in warmup_requests(side):
            writer.write(request)


@functools.cache
def drawn_faces(count: int) -> tuple[bytes, ...]:
    """Draw ``count`` people, one picture of each, as JPEG files of 160 x 160 pixels."""
    files = []
    for number in range(count):
        file = io.BytesIO()
        face = render_face(draw_identity(number), draw_nuisance(number))
        Image.fromarray(face).save(file, "JPEG")
        files.append(file.getvalue())
    return tuple(files)


def _prediction_log(signature: str, inputs: Mapping[str, Any]) -> bytes:
    """A request as TF Serving's log has it, a protocol buffer ``PredictionLog``.

    Written by hand, since only tensorflow-serving-api has the class, an extra that exporting does
    without: a message is a row of fields, and all that are needed here are strings and messages.
    """
    model_spec = _field(3, signature.encode())  # of ModelSpec: signature_name
    request = _field(1, model_spec)  # of PredictRequest: model_spec, and below inputs
    for name, tensor in inputs.items():
        request += _field(2, _field(1, name.encode()) + _field(2, tensor.SerializeToString()))
    return _field(6, _field(1, request))  # of PredictionLog: predict_log; of that: request


def _field(number: int, content: bytes) -> bytes:
    """A field of a protocol buffer: its number with the mark 2 for bytes, its length, its bytes."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """A number in groups of seven bits, the lowest first; all but the last carry an eighth bit."""
    groups = []
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    return bytes([*groups, number])
