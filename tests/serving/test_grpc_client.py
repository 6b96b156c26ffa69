"""What is the gRPC client's alone."""

from __future__ import annotations

import sys

import grpc
import numpy as np
import pytest
import tensorflow as tf
from made_up_servers import (
    client_of,
)

from facenet_lib.errors import FacenetError
from facenet_lib.serving.grpc_client import GrpcClient


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
    ("hint", "least"), [("30000", 30.0), ("0", 0.0), ("-1", 0.0), ("soon", 0.0), ("9" * 50, 0.0)]
)
def test_grpc_comes_again_no_sooner_than_it_is_told(grpc_server, waits, hint, least):
    grpc_server.faults = [(grpc.StatusCode.UNAVAILABLE, "the queue is full")]
    grpc_server.hint = hint
    with client_of(grpc_server) as client:
        assert client.embed([b"x"]).valid.all()
    assert len(waits) == 1
    assert least <= waits[0] <= max(least, 1.0)


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


def test_grpc_checks_what_it_is_answered(grpc_server):
    grpc_server.answer = {"embeddings": np.zeros((3, 4), np.float32), "valid": np.ones(3, bool)}
    with client_of(grpc_server) as client, pytest.raises(FacenetError, match="with 2 rows"):
        client.embed([b"x", b"y"])
    grpc_server.answer = {"logits": np.zeros(2, np.float32)}
    with client_of(grpc_server) as client, pytest.raises(FacenetError, match="found logits"):
        client.embed([b"x", b"y"])


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    with pytest.raises(
        FacenetError, match=r"tensorflow_serving.*pip install 'facenet-lib\[serving\]'"
    ):
        GrpcClient("localhost:8500")
