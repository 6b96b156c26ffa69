"""Addresses as users write them."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest

from facenet_lib.errors import FacenetError
from facenet_lib.serving import addresses
from facenet_lib.serving.addresses import Address, check_ports, listen, parse_address
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


def test_a_port_that_is_taken_or_nobody_s_is_told():
    with listen("127.0.0.1", 0) as listening:
        taken = listening.getsockname()[1]
        for host, port in (("127.0.0.1", taken), ("192.0.2.1", 0), ("127.0.0.1", 2**40)):
            with pytest.raises(FacenetError, match=f"{host}:{port}: cannot be listened at"):
                listen(host, port)
        for ports in ((taken, 0), (0, taken)):
            with pytest.raises(FacenetError, match=f"127.0.0.1:{taken}: cannot be listened at"):
                check_ports("127.0.0.1", *ports)
    check_ports("127.0.0.1", taken, 0)  # and leaves them free
    check_ports("127.0.0.1", taken, 0)


@pytest.mark.parametrize(("system", "shares"), [("posix", True), ("nt", False)])
def test_on_windows_no_port_is_shared_with_another_program(monkeypatch, system, shares):
    monkeypatch.setattr(addresses, "os", SimpleNamespace(name=system))
    with listen("127.0.0.1", 0) as listening:
        assert bool(listening.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)) == shares


def test_one_port_for_both_protocols_is_refused():
    check_ports("127.0.0.1", 0, 0)  # two that are free
    with pytest.raises(FacenetError, match="one for REST and another for gRPC, found 8500"):
        check_ports("127.0.0.1", 8500, 8500)
