"""What the tests of the local server share: the tiny model's requests, and a gate for batches."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
import urllib3
from serving_models import NAME, b64, pixels, png
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from facenet_lib.serving.batching import LoadedVersion
from facenet_lib.serving.server import LocalServer

SECONDS = 300.0  # far more than anything here takes
PREDICT = f"/v1/models/{NAME}:predict"
IMAGE = pixels(0)
BODY = json.dumps({"instances": [b64(png(IMAGE))]}).encode()


def ask(
    server: LocalServer,
    path: str = PREDICT,
    body: bytes | None = None,
    method: str | None = None,
    **headers: str,
) -> urllib3.BaseHTTPResponse:
    """Answer to a request over a connection of its own."""
    method = method or ("GET" if body is None else "POST")
    with urllib3.PoolManager(retries=False, timeout=SECONDS) as pool:
        return pool.request(method, server.rest_url + path, body=body, headers=headers)


def address(server: LocalServer) -> tuple[str, int]:
    host, port = server.rest_url.removeprefix("http://").split(":")
    return host, int(port)


def stub(channel: grpc.Channel) -> prediction_service_pb2_grpc.PredictionServiceStub:
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def predict_request(*images: bytes) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = NAME
    request.inputs["images"].CopyFrom(tf.make_tensor_proto(np.array(images, object)))
    return request


def code_of_predict(server: LocalServer, timeout: float = SECONDS) -> grpc.StatusCode:
    """How a call over gRPC ends."""
    with grpc.insecure_channel(server.grpc_address) as channel:
        return stub(channel).Predict.future(predict_request(png(IMAGE)), timeout=timeout).code()


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


@dataclass
class Gate:
    """Holds each batch until it is opened, and tells how many have come to it."""

    opened: threading.Event = field(default_factory=threading.Event)
    reached: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


@contextmanager
def gate_for_batches(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    held = Gate()
    compute = LoadedVersion._compute

    def wait_and_compute(version: Any, batch: Any) -> Any:
        held.reached.release()
        assert held.opened.wait(SECONDS)
        return compute(version, batch)

    monkeypatch.setattr(LoadedVersion, "_compute", wait_and_compute)
    yield held
    held.opened.set()
