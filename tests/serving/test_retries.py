"""Trying again, and giving up."""

from __future__ import annotations

import math
import socket
import time

import grpc
import pytest
from made_up_servers import (
    FAST,
    RestServer,
    client_of,
    refusing,
)

from facenet_lib.errors import FacenetError
from facenet_lib.serving.grpc_client import GrpcClient
from facenet_lib.serving.rest_client import RestClient
from facenet_lib.serving.retries import Retries


def test_attempts_come_to_an_end(asked_server):
    fault = (
        refusing(503)
        if isinstance(asked_server, RestServer)
        else (grpc.StatusCode.UNAVAILABLE, "its own words")
    )
    asked_server.faults = [fault] * 9
    retries = Retries(attempts=4, first_wait=0.001)
    with client_of(asked_server, retries=retries) as client, pytest.raises(FacenetError) as refused:
        client.embed([b"x"])
    assert len(asked_server.requests) == 4
    assert "its own words (tried 4 times)" in str(refused.value)


def test_waits_grow_to_a_limit_and_are_spread(rest, waits):
    retries = Retries(attempts=8, first_wait=0.5, longest_wait=4.0)
    rest.faults = [refusing(503)] * 7
    with client_of(rest, retries=retries) as client:
        client.embed([b"x"])
    longest = [0.5, 1.0, 2.0, 4.0, 4.0, 4.0, 4.0]
    assert len(waits) == 7
    assert all(most / 2 <= wait <= most for wait, most in zip(waits, longest, strict=True))
    assert len({wait / most for wait, most in zip(waits, longest, strict=True)}) == 7


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


def test_retries_need_an_attempt():
    with pytest.raises(FacenetError, match="at least 1"):
        Retries(attempts=0)


@pytest.mark.parametrize("name", ["first_wait", "longest_wait", "total"])
def test_waits_are_seconds(name):
    for seconds in (-1, math.nan, math.inf, None):
        with pytest.raises(FacenetError, match=f"{name}: expected from 0 to 1,000,000 seconds"):
            Retries(**{name: seconds})
