"""The client that an address leads to."""

from __future__ import annotations

import pytest

from facenet_lib.errors import FacenetError
from facenet_lib.serving.connection import connect
from facenet_lib.serving.grpc_client import GrpcClient
from facenet_lib.serving.rest_client import RestClient


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
