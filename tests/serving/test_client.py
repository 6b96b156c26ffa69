"""The clients against servers of a few lines, which keep what they were asked."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import numpy as np
import pytest
import serving_models
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from toy_training import SETTINGS, draw_people, load_run, train

from facenet_lib.errors import FacenetError
from facenet_lib.export.saved_model import export_model
from facenet_lib.models import load_embedder
from facenet_lib.runs.config import TrainingConfig
from facenet_lib.serving.addresses import Address, parse_address
from facenet_lib.serving.answers import TensorInfo, VersionStatus
from facenet_lib.serving.client import Client, connect
from facenet_lib.serving.grpc_client import GrpcClient
from facenet_lib.serving.remote_embedder import RemoteEmbedder
from facenet_lib.serving.rest_client import RestClient
from facenet_lib.serving.retries import Retries
from facenet_lib.serving.server import LocalServer
from facenet_lib.verification import EvaluationPairs, evaluate_pairs

SIZE = 4
FAST = Retries(first_wait=0.001, longest_wait=0.002)
SIGNATURES = {
    "serving_default": (
        {"images": ("DT_STRING", [-1])},
        {"embeddings": ("DT_FLOAT", [-1, SIZE]), "valid": ("DT_BOOL", [-1])},
    ),
    "embed_tensors": (
        {"images": ("DT_FLOAT", [-1, -1, -1, 3])},
        {"embeddings": ("DT_FLOAT", [-1, SIZE])},
    ),
    "verify": (
        {"images_a": ("DT_STRING", [-1]), "images_b": ("DT_STRING", [-1])},
        {"distances": ("DT_FLOAT", [-1]), "valid": ("DT_BOOL", [-1])},
    ),
    # Every SavedModel has this one as well: an operation, which answers no tensor.
    "__saved_model_init_op": ({}, {"__saved_model_init_op": ("DT_INVALID", None)}),
}

# ------------------------------------------------------------------------------ the made-up model


def is_valid(image: bytes) -> bool:
    return not image.startswith(b"bad")


def embedding(image: bytes) -> np.ndarray:
    """Numbers that only these bytes have, on the sphere."""
    if not is_valid(image):
        return np.zeros(SIZE, np.float32)
    numbers = np.frombuffer(hashlib.sha256(image).digest()[: 2 * SIZE], np.int16).astype(np.float64)
    return (numbers / np.linalg.norm(numbers)).astype(np.float32)


def answer_of(signature: str, inputs: dict) -> dict:
    """What the model answers: name to array."""
    if signature == "embed_tensors":
        means = np.asarray(inputs["images"], np.float64).mean((1, 2))
        return {"embeddings": np.pad(means, ((0, 0), (0, SIZE - 3))).astype(np.float32)}
    if signature == "verify":
        pairs = list(zip(inputs["images_a"], inputs["images_b"], strict=True))
        return {
            "distances": np.array(
                [np.sum((embedding(a) - embedding(b)) ** 2) for a, b in pairs], np.float32
            ),
            "valid": np.array([is_valid(a) and is_valid(b) for a, b in pairs]),
        }
    return {
        "embeddings": np.array([embedding(image) for image in inputs["images"]], np.float32),
        "valid": np.array([is_valid(image) for image in inputs["images"]]),
    }


# ------------------------------------------------------------------------------ its two servers


class RestServer:
    """Answers after the ``faults``: functions of the handler, one for each request to come."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, bytes]] = []
        self.connections = 0
        self.faults: list[Callable] = []
        self.answer: object = None  # in place of the model's
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                server.connections += 1

            def log_message(self, *words: object) -> None:
                pass

            def do_POST(self) -> None:
                self.respond()

            def do_GET(self) -> None:
                self.respond()

            def respond(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                server.requests.append((self.command, self.path, body))
                if server.faults:
                    server.faults.pop(0)(self)
                    return
                self.send(200, server.json_answer(self.path, body))

            def send(self, status: int, value: object, **headers: str) -> None:
                data = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                for name, text in headers.items():
                    self.send_header(name.replace("_", "-"), text)
                self.end_headers()
                self.wfile.write(data)

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.where = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=[0.01])
        self._thread.start()

    def json_answer(self, path: str, body: bytes) -> object:
        if self.answer is not None:
            return self.answer
        if path.endswith("/metadata"):
            signatures = {
                name: {"inputs": infos(inputs), "outputs": infos(outputs), "method_name": ""}
                for name, (inputs, outputs) in SIGNATURES.items()
            }
            return {
                "model_spec": {"name": "facenet", "signature_name": "", "version": "7"},
                "metadata": {"signature_def": {"signature_def": signatures}},
            }
        if not path.endswith(":predict"):
            found = {"version": "7", "state": "AVAILABLE"}
            return {
                "model_version_status": [
                    found | {"status": {"error_code": "OK", "error_message": ""}}
                ]
            }
        request = json.loads(body)
        inputs = {
            name: [
                base64.b64decode(value["b64"], validate=True) if "b64" in value else value
                for value in values
            ]
            for name, values in request["inputs"].items()
        }
        outputs = answer_of(request["signature_name"], inputs)
        listed = {name: array.tolist() for name, array in outputs.items()}
        return {"outputs": listed if len(listed) > 1 else next(iter(listed.values()))}

    def batches(self) -> list[tuple[int, int]]:
        """Images and bytes of each request to predict."""
        return [
            (len(next(iter(json.loads(body)["inputs"].values()))), len(body))
            for _, path, body in self.requests
            if path.endswith(":predict")
        ]

    def stop(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


def infos(tensors: dict) -> dict:
    return {
        name: {
            "dtype": dtype,
            "tensor_shape": {
                "dim": [{"size": str(size), "name": ""} for size in shape or []],
                "unknown_rank": shape is None,
            },
            "name": f"{name}:0",
        }
        for name, (dtype, shape) in tensors.items()
    }


class GrpcServer(
    prediction_service_pb2_grpc.PredictionServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
):
    """Answers after the ``faults``: pairs of a status code and its details."""

    def __init__(self) -> None:
        self.requests: list = []
        self.faults: list[tuple[grpc.StatusCode, str]] = []
        self.answer: dict | None = None
        # As TF Serving has it, which refuses no size.
        options = [("grpc.max_receive_message_length", -1)]
        self._server = grpc.server(ThreadPoolExecutor(4), options=options)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(self, self._server)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(self, self._server)
        self.where = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def _begin(self, request: object, context: grpc.ServicerContext) -> None:
        self.requests.append(request)
        if self.faults:
            context.abort(*self.faults.pop(0))

    def Predict(self, request, context):  # noqa: N802
        self._begin(request, context)
        inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        signature = request.model_spec.signature_name
        outputs = self.answer or answer_of(signature, inputs)
        tensors = {name: tf.make_tensor_proto(array) for name, array in outputs.items()}
        return predict_pb2.PredictResponse(outputs=tensors)

    def GetModelMetadata(self, request, context):  # noqa: N802
        self._begin(request, context)
        assert request.metadata_field == ["signature_def"]
        found = get_model_metadata_pb2.SignatureDefMap()
        for name, sides in SIGNATURES.items():
            signature = found.signature_def[name]
            for side, tensors in zip((signature.inputs, signature.outputs), sides, strict=True):
                for tensor, (dtype, shape) in tensors.items():
                    side[tensor].dtype = types_pb2.DataType.Value(dtype)
                    side[tensor].tensor_shape.unknown_rank = shape is None
                    for size in shape or []:
                        side[tensor].tensor_shape.dim.add(size=size)
        answer = get_model_metadata_pb2.GetModelMetadataResponse()
        answer.model_spec.name = request.model_spec.name
        answer.model_spec.version.value = 7
        answer.metadata["signature_def"].Pack(found)
        return answer

    def GetModelStatus(self, request, context):  # noqa: N802
        self._begin(request, context)
        answer = get_model_status_pb2.GetModelStatusResponse()
        answer.model_version_status.add(version=7, state="AVAILABLE")
        return answer

    def batches(self) -> list[tuple[int, int]]:
        return [
            (next(iter(one.inputs.values())).tensor_shape.dim[0].size, one.ByteSize())
            for one in self.requests
            if isinstance(one, predict_pb2.PredictRequest)
        ]

    def stop(self) -> None:
        self._server.stop(None).wait()


@pytest.fixture
def rest():
    server = RestServer()
    yield server
    server.stop()


@pytest.fixture
def grpc_server():
    server = GrpcServer()
    yield server
    server.stop()


@pytest.fixture(params=["rest", "grpc"])
def server(request):
    """Each of the two servers in turn, for what the clients have in common."""
    return request.getfixturevalue("rest" if request.param == "rest" else "grpc_server")


def client_of(server, **options) -> Client:
    kind = RestClient if isinstance(server, RestServer) else GrpcClient
    return kind(server.where, **{"retries": FAST} | options)


# ------------------------------------------------------------------------------ what is asked


IMAGES = [b"one", b"bad", b"", b"zeros at the end\0\0", bytes(range(256)), b"\xff\xd8\xff" * 50]


def test_embeddings_come_back_in_order_and_marked(server):
    with client_of(server) as client:
        answer = client.embed(IMAGES)
    assert answer.embeddings.dtype == np.float32
    assert answer.valid.dtype == np.bool_
    assert answer.valid.tolist() == [image != b"bad" for image in IMAGES]
    np.testing.assert_array_equal(answer.embeddings, [embedding(image) for image in IMAGES])


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 3000), min_size=1, max_size=40),
    most_images=st.integers(1, 9),
    most_bytes=st.integers(4200, 9000),
)
def test_a_batch_is_split_under_both_limits_and_joined_in_order(
    split_servers, lengths, most_images, most_bytes
):
    images = [bytes([number]) * length for number, length in enumerate(lengths)]
    expected = np.array([embedding(image) for image in images])
    for server in split_servers:
        server.requests.clear()
        limits = {"max_batch_size": most_images, "max_message_bytes": most_bytes}
        with client_of(server, **limits) as client:
            np.testing.assert_array_equal(client.embed(images).embeddings, expected)
        batches = server.batches()
        assert sum(count for count, _ in batches) == len(images)
        assert all(count <= most_images for count, _ in batches)
        assert all(size <= most_bytes or count == 1 for count, size in batches)


@pytest.fixture(scope="module")
def split_servers():
    servers = RestServer(), GrpcServer()
    yield servers
    for server in servers:
        server.stop()


def test_without_limits_named_a_request_has_32_images_and_stays_under_4_megabytes(server):
    small, large = [b"%d" % number for number in range(70)], [b"x" * 1_000_000] * 7
    with client_of(server) as client:
        client.embed(small)
        assert [count for count, _ in server.batches()] == [32, 32, 6]
        client.embed(large)
    counts, sizes = zip(*server.batches()[3:], strict=True)
    assert sum(counts) == 7
    assert max(sizes) <= 4_000_000
    assert max(counts) > 1  # and not one by one


def test_an_image_over_the_limit_goes_alone_for_the_server_to_judge(server):
    images = [b"small", b"x" * 5_000_000, b"other"]
    with client_of(server) as client:
        answer = client.embed(images)
    np.testing.assert_array_equal(answer.embeddings, [embedding(image) for image in images])
    assert [count for count, _ in server.batches()] == [1, 1, 1]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int64])
def test_tensors_are_embedded_and_split(server, dtype):
    images = np.random.default_rng(0).integers(0, 255, (7, 9, 5, 3)).astype(dtype)
    if images.dtype.kind == "f":
        images += 1 / 3
    with client_of(server, max_message_bytes=6_000) as client:
        found = client.embed_tensors(images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, :3], images.mean((1, 2)), rtol=1e-6)
    assert not found[:, 3:].any()
    batches = server.batches()
    assert len(batches) > 1
    assert all(size <= 6_000 for _, size in batches)


def test_bytes_are_sent_many_at_a_time(rest):
    """Three digits a number, and not the twenty of a float."""
    images = np.full((8, 9, 5, 3), 255, np.uint8)
    with client_of(rest, max_message_bytes=4096 + 8 * 800) as client:
        client.embed_tensors(images)
    assert [count for count, _ in rest.batches()] == [8]


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (np.zeros((2, 9, 9), np.uint8), "(n, height, width, 3)"),
        (np.zeros((2, 9, 9, 4), np.uint8), "(n, height, width, 3)"),
        (np.full((2, 9, 9, 3), "x"), "(n, height, width, 3)"),
        (np.zeros((2, 0, 9, 3), np.uint8), "(n, height, width, 3)"),
        (np.full((2, 9, 9, 3), np.nan), "from 0 to 255, found some from nan"),
        (np.full((2, 9, 9, 3), -0.5), "found some from -0.5"),
        (np.full((2, 9, 9, 3), 256), "to 256"),
    ],
)
def test_tensors_of_another_kind_are_refused_before_they_are_sent(rest, images, told):
    with client_of(rest) as client, pytest.raises(FacenetError) as refused:
        client.embed_tensors(images)
    assert told in str(refused.value)
    assert rest.requests == []


def test_pairs_are_verified(server):
    a, b = [b"one", b"two", b"bad", b"four"], [b"one", b"x", b"three", b"bad"]
    with client_of(server, max_batch_size=3) as client:
        answer = client.verify(a, b)
        with pytest.raises(FacenetError, match="found 3 and 4"):
            client.verify(a, b[:3])
    expected = [np.sum((embedding(x) - embedding(y)) ** 2) for x, y in zip(a, b, strict=True)]
    np.testing.assert_array_equal(answer.distances, np.array(expected, np.float32))
    assert answer.valid.tolist() == [True, True, False, False]
    assert answer.same is None
    assert [count for count, _ in server.batches()] == [3, 1]


def test_a_model_with_a_threshold_decides(server):
    outputs = {
        "distances": np.array([0.5, 1.5], np.float32),
        "valid": np.array([True, True]),
        "same": np.array([True, False]),
    }
    if isinstance(server, RestServer):
        server.answer = {"outputs": {name: array.tolist() for name, array in outputs.items()}}
    else:
        server.answer = outputs
    with client_of(server) as client:
        answer = client.verify([b"a", b"b"], [b"c", b"d"])
    assert answer.same.tolist() == [True, False]
    assert answer.same.dtype == np.bool_


def test_an_empty_batch_is_empty_arrays(server):
    with client_of(server) as client:
        answer = client.embed([])
        assert answer.embeddings.shape == (0, SIZE)
        assert answer.valid.shape == (0,)
        assert client.embed_tensors(np.zeros((0, 9, 9, 3))).shape == (0, SIZE)
        assert client.verify([], []).distances.shape == (0,)
    assert server.batches() == []


def test_what_is_no_sequence_of_bytes_is_refused(rest):
    with client_of(rest) as client:
        for images in (b"one image", "a path", ["a path"], [b"x", None]):
            with pytest.raises(FacenetError, match=r"encoded images|bytes of an image file"):
                client.embed(images)
    assert rest.requests == []


def test_both_protocols_say_the_same_of_the_model(rest, grpc_server):
    with client_of(rest) as one, client_of(grpc_server) as other:
        assert one.metadata() == other.metadata()
        assert one.status() == other.status() == [VersionStatus(7, "AVAILABLE", "")]
        metadata = one.metadata()
    assert (metadata.name, metadata.version, metadata.embedding_size) == ("facenet", 7, SIZE)
    tensors = metadata.signatures["embed_tensors"].inputs["images"]
    assert tensors == TensorInfo("DT_FLOAT", (None, None, None, 3))
    operation = metadata.signatures["__saved_model_init_op"].outputs
    assert operation == {"__saved_model_init_op": TensorInfo("DT_INVALID", None)}


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({}, "/v1/models/facenet"),
        ({"model": "other", "version": 12}, "/v1/models/other/versions/12"),
        ({"label": "stable"}, "/v1/models/facenet/labels/stable"),
    ],
)
def test_model_version_and_label_are_named(rest, grpc_server, options, path):
    with client_of(rest, **options) as client:
        client.status()
        client.metadata()
        client.embed([b"x"])
    assert [path for _, path, _ in rest.requests] == [path, f"{path}/metadata", f"{path}:predict"]
    with client_of(grpc_server, **options) as client:
        client.status()
        client.metadata()
        client.embed([b"x"])
    for request in grpc_server.requests:
        spec = request.model_spec
        assert spec.name == options.get("model", "facenet")
        assert spec.version.value == options.get("version", 0)
        assert spec.HasField("version") == ("version" in options)
        assert spec.version_label == options.get("label", "")


def test_a_path_before_the_api_is_kept(rest):
    with RestClient(rest.where + "/behind/a/proxy/") as client:
        client.status()
    assert rest.requests[0][1] == "/behind/a/proxy/v1/models/facenet"


def test_one_connection_serves_many_requests_and_many_threads_one_client(rest):
    with client_of(rest) as client:
        for _ in range(5):
            client.embed([b"x"])
        assert rest.connections == 1
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(lambda n: client.embed([b"%d" % n]).embeddings, range(40)))
    np.testing.assert_array_equal(
        np.concatenate(answers), [embedding(b"%d" % n) for n in range(40)]
    )
    assert rest.connections <= 5


# ------------------------------------------------------------------------------ trying again


def refusing(status: int, value: object = None, **headers: str) -> Callable:
    return lambda handler: handler.send(status, value or {"error": "its own words"}, **headers)


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


@pytest.mark.parametrize(
    "fault",
    [refusing(503), refusing(429), refusing(502, b"<html>"), hang_up],
    ids=["503", "429", "502", "hang up"],
)
def test_rest_tries_again_what_may_pass(rest, fault):
    rest.faults = [fault] * 3
    with client_of(rest) as client:
        assert client.embed([b"x"]).valid.all()
    assert len(rest.requests) == 4


@pytest.mark.parametrize("status", [302, 400, 401, 404, 413, 500, 501, 504])
def test_rest_does_not_try_again_what_would_fail_again(rest, status):
    rest.faults = [refusing(status, Location=f"{rest.where}/elsewhere")] * 2
    with client_of(rest) as client, pytest.raises(FacenetError) as refused:
        client.embed([b"x"])
    assert len(rest.requests) == 1
    for words in (f"{rest.where}/v1/models/facenet:predict", str(status), "its own words"):
        assert words in str(refused.value)


@pytest.mark.parametrize(
    "fault",
    [
        (grpc.StatusCode.UNAVAILABLE, "the batch scheduling queue is full"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests"),
        (grpc.StatusCode.CANCELLED, ""),
    ],
)
def test_grpc_tries_again_what_may_pass(grpc_server, fault):
    grpc_server.faults = [fault] * 3
    with client_of(grpc_server) as client:
        assert client.embed([b"x"]).valid.all()
    assert len(grpc_server.requests) == 4


@pytest.mark.parametrize(
    "fault",
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "its own words"),
        (grpc.StatusCode.NOT_FOUND, "its own words"),
        (grpc.StatusCode.INTERNAL, "its own words"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "its own words"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "its own words: message larger than max (5 vs. 4)"),
    ],
)
def test_grpc_does_not_try_again_what_would_fail_again(grpc_server, fault):
    grpc_server.faults = [fault] * 2
    with client_of(grpc_server) as client, pytest.raises(FacenetError) as refused:
        client.embed([b"x"])
    assert len(grpc_server.requests) == 1
    for words in (grpc_server.where, fault[0].name, "its own words"):
        assert words in str(refused.value)


def test_attempts_come_to_an_end(server):
    fault = (
        refusing(503)
        if isinstance(server, RestServer)
        else (grpc.StatusCode.UNAVAILABLE, "its own words")
    )
    server.faults = [fault] * 9
    retries = Retries(attempts=4, first_wait=0.001)
    with client_of(server, retries=retries) as client, pytest.raises(FacenetError) as refused:
        client.embed([b"x"])
    assert len(server.requests) == 4
    assert "its own words (tried 4 times)" in str(refused.value)


@pytest.fixture
def waits(monkeypatch):
    """How long was waited, without waiting."""
    found: list[float] = []
    monkeypatch.setattr("facenet_lib.serving.retries.time.sleep", found.append)
    return found


def test_waits_grow_to_a_limit_and_are_spread(rest, waits):
    retries = Retries(attempts=8, first_wait=0.5, longest_wait=4.0)
    rest.faults = [refusing(503)] * 7
    with client_of(rest, retries=retries) as client:
        client.embed([b"x"])
    longest = [0.5, 1.0, 2.0, 4.0, 4.0, 4.0, 4.0]
    assert len(waits) == 7
    assert all(most / 2 <= wait <= most for wait, most in zip(waits, longest, strict=True))
    assert len({wait / most for wait, most in zip(waits, longest, strict=True)}) == 7


def test_retry_after_is_honoured_as_seconds_and_as_a_date(rest, waits):
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    rest.faults = [refusing(503, Retry_After="3"), refusing(429, Retry_After=later)]
    rest.faults.append(refusing(503, Retry_After="soon"))
    with client_of(rest) as client:
        client.embed([b"x"])
    assert waits[0] == 3.0
    assert 15 < waits[1] <= 20
    assert waits[2] < 1


def test_a_server_that_asks_for_more_patience_than_there_is_is_believed_at_once(rest, waits):
    rest.faults = [refusing(503, Retry_After="3600")]
    with client_of(rest) as client, pytest.raises(FacenetError, match="its own words"):
        client.embed([b"x"])
    assert (len(rest.requests), waits) == (1, [])


def test_a_server_that_comes_late_is_reached(monkeypatch):
    """Nobody listens at first: the connection is refused."""
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        port = kept.getsockname()[1]
        begun: list[ThreadingHTTPServer] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b'{"model_version_status": []}')

            def log_message(self, *words: object) -> None:
                pass

        def begin(seconds: float) -> None:
            if not begun:
                kept.close()
                begun.append(ThreadingHTTPServer(("127.0.0.1", port), Handler))
                threading.Thread(target=begun[0].serve_forever, args=[0.01]).start()

        monkeypatch.setattr("facenet_lib.serving.retries.time.sleep", begin)
        with RestClient(f"http://127.0.0.1:{port}") as client:
            assert client.status() == []
        begun[0].shutdown()
        begun[0].server_close()


@pytest.mark.parametrize("kind", [RestClient, GrpcClient])
def test_a_server_that_is_not_there_is_told(kind):
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))  # and does not listen
        where = f"127.0.0.1:{kept.getsockname()[1]}"
        address = f"http://{where}" if kind is RestClient else where
        with kind(address, retries=FAST) as client, pytest.raises(FacenetError) as refused:
            client.status()
    assert where in str(refused.value)
    assert "tried 5 times" in str(refused.value)


def test_a_name_that_nobody_knows_is_told_at_once(waits):
    client = RestClient("http://no-such-host.invalid:8501")
    with client, pytest.raises(FacenetError, match=r"no-such-host\.invalid"):
        client.status()
    assert waits == []


@pytest.mark.parametrize("kind", [RestClient, GrpcClient])
def test_a_server_that_never_answers_is_given_up_once(kind, waits):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        address = f"http://{where}" if kind is RestClient else where
        begun = time.monotonic()
        with kind(address, timeout=0.2) as client, pytest.raises(FacenetError) as refused:
            client.embed([b"x"])
    assert where in str(refused.value)
    told = ("no answer in time", "DEADLINE_EXCEEDED")
    assert any(words in str(refused.value) for words in told)
    assert waits == []
    assert time.monotonic() - begun < 30  # and not the minute of the retries


# ------------------------------------------------------------------------------ wrong answers


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            b"<html>Welcome to the hotel network</html>",
            "expected an answer of JSON, found '<html>",
        ),
        (b"\xff\xfe\x00", "expected an answer of JSON"),
        (b"[" * 100_000, "expected an answer of JSON"),
        ([], "with outputs"),
        ({"predictions": []}, "with outputs"),
        ({"outputs": {"logits": [1.0], "valid": [True]}}, "'embeddings', found logits, valid"),
        ({"outputs": [[1.0] * SIZE] * 2}, "'valid', found embeddings"),
        ({"outputs": {"embeddings": [[1.0]], "valid": [True]}}, "with 2 rows"),
        ({"outputs": {"embeddings": [1.0, 2.0], "valid": [True] * 2}}, "of 2 dimensions"),
        ({"outputs": {"embeddings": [[1.0], [1.0, 2.0]], "valid": [True] * 2}}, "an array"),
        ({"outputs": {"embeddings": [["x"], ["y"]], "valid": [True] * 2}}, "expected numbers"),
        ({"outputs": {"embeddings": [[math.nan]] * 2, "valid": [True] * 2}}, "not finite"),
        ({"outputs": {"embeddings": [[1e39]] * 2, "valid": [True] * 2}}, "not finite"),
        ({"outputs": {"embeddings": [[1.0]] * 2, "valid": [1, 1]}}, "expected flags"),
        ({"outputs": {"embeddings": [[1.0]] * 2, "valid": [True]}}, "with 2 rows"),
        ({"outputs": {"embeddings": None, "valid": [True] * 2}}, "embeddings"),
    ],
)
def test_an_answer_of_another_kind_is_an_error_and_no_number(rest, answer, told):
    rest.answer = answer
    with client_of(rest) as client, pytest.raises(FacenetError) as refused:
        client.embed([b"x", b"y"])
    assert told in str(refused.value)
    assert rest.where in str(refused.value)
    assert len(rest.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        {"model_version_status": [{}]},
        {"model_version_status": [{"version": math.inf}]},
        {"metadata": 3},
        {"model_spec": {"version": math.inf, "name": ""}, "metadata": {"signature_def": {}}},
        "x",
    ],
)
def test_a_status_or_metadata_of_another_kind_is_an_error(rest, answer):
    rest.answer = answer
    with client_of(rest) as client:
        for ask in (client.status, client.metadata):
            with pytest.raises(FacenetError, match="expected an answer of"):
                ask()


def test_pieces_that_do_not_fit_together_are_an_error(rest):
    """As when the model is replaced by another one between two requests."""
    rest.faults = [
        refusing(200, {"outputs": {"embeddings": [[1.0] * size], "valid": [True]}})
        for size in (4, 5)
    ]
    with client_of(rest, max_batch_size=1) as client, pytest.raises(FacenetError) as refused:
        client.embed([b"x", b"y"])
    assert "do not fit together" in str(refused.value)


def test_pieces_of_which_only_the_second_decides_are_an_error(rest):
    outputs = {"distances": [0.5], "valid": [True]}
    rest.faults = [refusing(200, {"outputs": outputs | more}) for more in ({}, {"same": [True]})]
    with client_of(rest, max_batch_size=1) as client, pytest.raises(FacenetError) as refused:
        client.verify([b"a", b"b"], [b"c", b"d"])
    assert "do not fit together" in str(refused.value)


@pytest.fixture
def small_answers(monkeypatch):
    monkeypatch.setattr(Client, "most_answer_bytes", 4000)


def test_an_answer_without_end_is_not_read_to_its_end(rest, small_answers):
    rest.answer = b"[" * 4_001
    with client_of(rest) as client, pytest.raises(FacenetError, match="at most 4,000 bytes"):
        client.status()
    rest.answer = json.dumps({"model_version_status": [], "x": "y" * 3_000}).encode()
    with client_of(rest) as client:
        assert client.status() == []


def test_grpc_reads_no_answer_without_end(grpc_server, small_answers):
    grpc_server.answer = {"embeddings": np.zeros((1, 2000), np.float32), "valid": np.ones(1, bool)}
    with client_of(grpc_server) as client, pytest.raises(FacenetError, match="larger than max"):
        client.embed([b"x"])
    assert len(grpc_server.requests) == 1


def test_one_number_does_not_fill_the_memory(grpc_server, monkeypatch):
    """A tensor may say that its one number is repeated, as often as it likes."""
    tensor = tf.make_tensor_proto(1.0, shape=[1, 10**12])
    monkeypatch.setattr(tf, "make_tensor_proto", lambda value: tensor)
    with client_of(grpc_server) as client, pytest.raises(FacenetError, match="a smaller array"):
        client.embed([b"x"])


def test_a_packed_answer_is_not_unpacked(rest):
    """A few bytes can be packed that are many when they are unpacked."""
    packed = gzip.compress(b'{"model_version_status": []}')
    rest.faults = [refusing(200, packed, Content_Encoding="gzip")]
    with client_of(rest) as client, pytest.raises(FacenetError, match="expected an answer of JSON"):
        client.status()


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("words", [b"\x1b[2J\x07 gone", b'{"error": "\\u001b[2J\\u0007 gone"}'])
def test_a_server_s_words_do_not_steer_the_terminal(rest, status, words):
    rest.faults = [refusing(status, words)]
    with client_of(rest) as client, pytest.raises(FacenetError, match="gone") as refused:
        client.status()
    assert str(refused.value).isprintable()


def test_a_server_s_words_have_an_end(rest):
    rest.faults = [refusing(400, {"error": "x" * 100_000})]
    with client_of(rest) as client, pytest.raises(FacenetError) as refused:
        client.status()
    assert len(str(refused.value)) < 1000


def test_grpc_checks_what_it_is_answered(grpc_server):
    grpc_server.answer = {"embeddings": np.zeros((3, 4), np.float32), "valid": np.ones(3, bool)}
    with client_of(grpc_server) as client, pytest.raises(FacenetError, match="with 2 rows"):
        client.embed([b"x", b"y"])
    grpc_server.answer = {"logits": np.zeros(2, np.float32)}
    with client_of(grpc_server) as client, pytest.raises(FacenetError, match="found logits"):
        client.embed([b"x", b"y"])


def test_a_model_that_is_not_ours_is_told(rest, monkeypatch):
    monkeypatch.delitem(SIGNATURES, "serving_default")
    told = "version 7: expected a signature serving_default"
    with client_of(rest) as client, pytest.raises(FacenetError, match=told):
        client.metadata().embedding_size  # noqa: B018


# ------------------------------------------------------------------------------ addresses


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8501",
        "ftp://localhost",
        "http://",
        "http://[::1",
        "http://localhost:port",
        "http://localhost:8501/?x=1",
        "http://localhost:8501/#x",
        "http://me:secret@localhost:8501",
        "file:///etc/passwd",
    ],
)
def test_what_is_no_url_is_refused(url):
    with pytest.raises(FacenetError, match="expected a URL such as"):
        RestClient(url)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "localhost",
        "localhost:0",
        "localhost:99999",
        "http://localhost:8500",
        ":8500",
        "unix:/tmp/x",
        "a b:1",
    ],
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(FacenetError, match="expected host:port"):
        GrpcClient(address)


def test_an_address_decides_the_protocol():
    for server, kind in (
        ("http://localhost:8501", RestClient),
        ("HTTPS://localhost", RestClient),
        ("localhost:8500", GrpcClient),
        ("[::1]:8500", GrpcClient),
    ):
        with connect(server, "other", version=3) as client:
            assert type(client) is kind
            assert (client.model, client.version) == ("other", 3)
    with pytest.raises(FacenetError, match="expected host:port"):
        connect("localhost")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://localhost:8501", ("REST", "http://localhost:8501", "facenet")),
        ("http://localhost:8501/", ("REST", "http://localhost:8501", "facenet")),
        ("http://localhost:8501/faces", ("REST", "http://localhost:8501", "faces")),
        ("https://host/behind/a/proxy/faces/", ("REST", "https://host/behind/a/proxy", "faces")),
        ("http://h:1/gr%C3%B6%C3%9Fe", ("REST", "http://h:1", "größe")),
        ("grpc://localhost:8500", ("gRPC", "localhost:8500", "facenet")),
        ("GRPC://localhost:8500/faces", ("gRPC", "localhost:8500", "faces")),
        ("[::1]:8500/faces", ("gRPC", "[::1]:8500", "faces")),
    ],
)
def test_an_address_may_end_with_the_models_name(address, expected):
    assert parse_address(address) == Address(*expected)


def test_a_path_before_a_model_that_is_named_is_a_proxys():
    expected = Address("REST", "http://host/behind/a/proxy", "faces")
    assert parse_address("http://host/behind/a/proxy", "faces") == expected
    with pytest.raises(FacenetError, match="expected host:port"):
        parse_address("grpc://localhost:8500/behind", "faces")


@pytest.mark.parametrize(
    "options",
    [
        {"model": ""},
        {"model": "../facenet"},
        {"model": "a/b"},
        {"model": "a:b"},
        {"model": ".."},
        {"label": "a/b"},
        {"version": -1},
        {"version": "1"},
        {"version": 2**63},
        {"version": 1, "label": "stable"},
        {"timeout": 0},
        {"timeout": math.inf},
        {"connect_timeout": math.nan},
        {"connect_timeout": "5"},
        {"max_batch_size": 0},
        {"max_message_bytes": 10},
    ],
)
def test_what_cannot_be_asked_for_is_refused(options):
    with pytest.raises(FacenetError):
        RestClient("http://localhost:8501", **options)


def test_retries_need_an_attempt():
    with pytest.raises(FacenetError, match="at least 1"):
        Retries(attempts=0)


@pytest.mark.parametrize("name", ["first_wait", "longest_wait", "total"])
def test_waits_are_seconds(name):
    for seconds in (-1, math.nan, math.inf, None):
        with pytest.raises(FacenetError, match=f"{name}: expected from 0 to 1,000,000 seconds"):
            Retries(**{name: seconds})


# ------------------------------------------------------------------------------ what is imported


def test_the_rest_client_loads_no_tensorflow(rest):
    program = """
        import sys
        from facenet_lib.serving import RemoteEmbedder, RestClient
        with RestClient(sys.argv[1]) as client:
            assert client.embed([b"one", b"bad"]).valid.tolist() == [True, False]
            client.embed_tensors(__import__("numpy").zeros((1, 2, 2, 3)))
            client.verify([b"one"], [b"two"])
            client.status(), client.metadata()
        RemoteEmbedder(sys.argv[1]).embed([sys.argv[2]])
        print(sorted({"tensorflow", "keras", "matplotlib", "grpc", "PIL"} & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), rest.where, __file__],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    with pytest.raises(
        FacenetError, match=r"tensorflow_serving.*pip install 'facenet-lib\[serving\]'"
    ):
        GrpcClient("localhost:8500")


# ------------------------------------------------------------------------------ image files


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{number}.jpg" for number in range(9)]
    for number, path in enumerate(paths):
        path.write_bytes(b"image %d" % number)
    return paths


def test_files_are_embedded_in_order_and_each_once(server, files):
    wanted = [files[5], files[0], files[5], str(files[8]), *files]
    with RemoteEmbedder(server.where) as embedder:
        assert (embedder.embedding_size, embedder.version) == (SIZE, 7)
        assert list(embedder.identities) == []
        found = embedder.embed(wanted, batch_size=4)
        assert embedder.embed([]).shape == (0, SIZE)
    assert found.dtype == np.float32
    expected = [embedding(open(path, "rb").read()) for path in wanted]  # noqa: PTH123, SIM115
    np.testing.assert_array_equal(found, expected)
    assert [count for count, _ in server.batches()] == [4, 4, 1]


def test_the_version_that_was_found_answers_to_the_end(rest, grpc_server, files):
    with RemoteEmbedder(rest.where, "other") as embedder:
        embedder.embed(files, batch_size=3)
    asked = [path for _, path, _ in rest.requests]
    assert asked == ["/v1/models/other/metadata"] + 3 * ["/v1/models/other/versions/7:predict"]
    with RemoteEmbedder(grpc_server.where, "other") as embedder:
        embedder.embed(files, batch_size=3)
    assert [one.model_spec.version.value for one in grpc_server.requests] == [0, 7, 7, 7]


def test_embeddings_of_another_length_than_the_model_has_are_an_error(rest, files):
    """One number would else be taken for each of the four."""
    answer = {"outputs": {"embeddings": [[1.0]], "valid": [True]}}
    with RemoteEmbedder(rest.where) as embedder:
        rest.faults = [refusing(200, answer)]
        with pytest.raises(FacenetError, match=r"embeddings of 4 numbers, .* found 1"):
            embedder.embed(files[:1])


def test_files_that_cannot_be_used_are_named(rest, files, tmp_path):
    for damaged in (files[3], files[4]):
        damaged.write_bytes(b"bad")
    with RemoteEmbedder(rest.where) as embedder:
        with pytest.raises(FacenetError) as refused:
            embedder.embed(files)
        for damaged in (files[3], files[4]):
            assert f"{damaged}: the model cannot decode it: expected" in str(refused.value)
        assert "found 3 bytes that begin with b'bad'" in str(refused.value)
        with pytest.raises(FacenetError, match=r"none\.jpg: cannot be read: No such file"):
            embedder.embed([tmp_path / "none.jpg"])
        with pytest.raises(FacenetError, match="expected paths to be a sequence"):
            embedder.embed(str(files[0]))
        with pytest.raises(FacenetError, match="batch_size"):
            embedder.embed(files, batch_size=0)


# ------------------------------------------------------------------------------ a whole server


@pytest.fixture(scope="module")
def local_server(tmp_path_factory):
    models = tmp_path_factory.mktemp("served") / "tiny"
    serving_models.save_model(models, 1)
    with LocalServer({"tiny": models}) as server:
        yield server


@pytest.mark.parametrize("protocol", ["rest_url", "grpc_address"])
def test_every_signature_of_a_whole_server_is_understood(local_server, protocol):
    pixels = np.stack([serving_models.pixels(seed) for seed in range(40)])
    files = [serving_models.png(image) for image in pixels]
    expected = serving_models.expected_embeddings(pixels, 1)
    with connect(getattr(local_server, protocol), "tiny") as client:
        assert client.status() == [VersionStatus(1, "AVAILABLE", "")]
        assert client.metadata().embedding_size == serving_models.EMBEDDING_SIZE
        answer = client.embed([*files, b"none"])
        np.testing.assert_allclose(answer.embeddings[:-1], expected, atol=1e-5)
        assert answer.valid.tolist() == [True] * 40 + [False]
        np.testing.assert_allclose(client.embed_tensors(pixels), expected, atol=1e-5)
        verified = client.verify(files[:20], files[20:])
        distances = serving_models.expected_distances(pixels[:20], pixels[20:], 1)
        np.testing.assert_allclose(verified.distances, distances, atol=1e-5)
        assert verified.same.tolist() == (distances < serving_models.THRESHOLD).tolist()
        with pytest.raises(FacenetError, match="nobody"):
            connect(getattr(local_server, protocol), "nobody").status()


@pytest.fixture(scope="module")
def photographs():
    """LFW's pairs of photographs, where they are."""
    if not {"FACENET_LFW", "FACENET_LFW_PROTOCOL"} <= os.environ.keys():
        pytest.skip("FACENET_LFW and FACENET_LFW_PROTOCOL do not name LFW's images and files")
    pairs_file = Path(os.environ["FACENET_LFW_PROTOCOL"]) / "pairsDevTest.txt"
    return EvaluationPairs.from_file(pairs_file, os.environ["FACENET_LFW"])


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A network of two passes over drawn faces, exported."""
    root = tmp_path_factory.mktemp("exported")
    faces = draw_people(root / "faces", "Known")
    train(TrainingConfig(**SETTINGS), faces, root / "run", progress=False)
    export_model(load_run(root / "run"), root / "facenet")
    return root / "facenet"


def test_photographs_are_embedded_and_judged_as_in_process(exported, photographs):
    model = load_embedder(exported)
    paths = sorted(set(photographs.paths))[:500]
    expected = model.embed(paths)
    by_model = evaluate_pairs(model.embed, photographs)
    with LocalServer({"facenet": exported}) as server:
        for where in (server.rest_url, server.grpc_address):
            with RemoteEmbedder(where) as remote:
                np.testing.assert_allclose(remote.embed(paths), expected, atol=1e-5)
                served = evaluate_pairs(remote.embed, photographs)
            assert served.fold_accuracies.tolist() == by_model.fold_accuracies.tolist()
