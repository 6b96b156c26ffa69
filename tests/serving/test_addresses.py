"""Addresses as users write them."""

from __future__ import annotations

import pytest

from facenet_lib.errors import FacenetError
from facenet_lib.serving.addresses import Address, parse_address
from facenet_lib.serving.grpc_client import GrpcClient
from facenet_lib.serving.rest_client import RestClient


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


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://localhost:8501", ("REST", "http://localhost:8501", "facenet")),
        ("http://localhost:8501/", ("REST", "http://localhost:8501", "facenet")),
        ("http://localhost:8501/faces", ("REST", "http://localhost:8501", "faces")),
        ("https://host/behind/a/proxy/faces/", ("REST", "https://host/behind/a/proxy", "faces")),
        ("http://h:1/gr%C3%B6%C3%9Fe", ("REST", "http://h:1", "größe")),
        ("http://h:1/v1/models/faces:predict", ("REST", "http://h:1", "faces")),
        ("http://h:1/proxy/v1/models/faces", ("REST", "http://h:1/proxy", "faces")),
        ("http://h:1/v1/models/gr%C3%B6%C3%9Fe:identify", ("REST", "http://h:1", "größe")),
        ("grpc://localhost:8500", ("gRPC", "localhost:8500", "facenet")),
        ("GRPC://localhost:8500/faces", ("gRPC", "localhost:8500", "faces")),
        ("[::1]:8500/faces", ("gRPC", "[::1]:8500", "faces")),
    ],
)
def test_an_address_may_end_with_the_models_name(address, expected):
    assert parse_address(address) == Address(*expected)


@pytest.mark.parametrize("version", ["versions/2:predict", "labels/stable", "versions/7"])
def test_the_address_of_a_version_is_refused(version):
    with pytest.raises(FacenetError, match=r"of a model, such as http://h:1/faces, found that of"):
        parse_address(f"http://h:1/v1/models/faces/{version}")


def test_a_path_before_a_model_that_is_named_is_a_proxys():
    expected = Address("REST", "http://host/behind/a/proxy", "faces")
    assert parse_address("http://host/behind/a/proxy", "faces") == expected
    with pytest.raises(FacenetError, match="expected host:port"):
        parse_address("grpc://localhost:8500/behind", "faces")
