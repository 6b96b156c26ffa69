"""A made-up model and two servers for it of a few lines, which keep what they were asked."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from facenet_lib.serving.client import Client
from facenet_lib.serving.grpc_client import GrpcClient
from facenet_lib.serving.rest_client import RestClient
from facenet_lib.serving.retries import Retries

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
        self.hint: str | None = None  # when to come again after a fault
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
            if self.hint is not None:
                context.set_trailing_metadata([("grpc-retry-pushback-ms", self.hint)])
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


def client_of(server, **options) -> Client:
    kind = RestClient if isinstance(server, RestServer) else GrpcClient
    return kind(server.where, **{"retries": FAST} | options)


def refusing(status: int, value: object = None, **headers: str) -> Callable:
    return lambda handler: handler.send(status, value or {"error": "its own words"}, **headers)


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True
