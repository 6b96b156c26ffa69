"""Addresses of servers, as users write them; derived in chapter 8."""

from __future__ import annotations

import os
import re
import socket
import urllib.parse
from dataclasses import dataclass
from typing import Literal

import urllib3
from urllib3.util import parse_url

from facenet_lib.errors import FacenetError


@dataclass(frozen=True)
class Address:
    """Where a model is served.

    Attributes:
        protocol: ``"REST"`` or ``"gRPC"``.
        server: a URL without the model for REST, ``host:port`` for gRPC.
        model: the name under which it is served.
    """

    protocol: Literal["REST", "gRPC"]
    server: str
    model: str


def parse_address(address: str, model: str | None = None) -> Address:
    """Return what an address says: the protocol, the server, and the model at its end.

    Args:
        address: ``http://HOST:PORT[/NAME]``, or with ``https``, for REST, or with the path of a
            method, ``/v1/models/NAME:predict``, as ``facenet serve`` prints it;
            ``[grpc://]HOST:PORT[/NAME]`` for gRPC.
        model: the name, where the address does not end with it; a path in a URL then is a
            proxy's. None: what the address ends with, or else ``facenet``.

    Raises:
        FacenetError: for what is no address.

    >>> parse_address("http://localhost:8501/faces")
    Address(protocol='REST', server='http://localhost:8501', model='faces')
    >>> parse_address("grpc://localhost:8500")
    Address(protocol='gRPC', server='localhost:8500', model='facenet')
    """
    if re.match(r"https?://", address, re.IGNORECASE):
        server = check_url(address)
        scheme, _, rest = server.partition("://")
        printed = _METHOD.fullmatch(rest)
        if model is None and printed:
            if printed["version"]:
                raise FacenetError(
                    f"server: expected the address of a model, such as "
                    f"{scheme}://{printed['server']}/{printed['model']}, found that of one of its "
                    f"versions, {address!r}"
                )
            server = f"{scheme}://{printed['server']}"
            return Address("REST", server, urllib.parse.unquote(printed["model"]))
        if model is None and "/" in rest:
            rest, _, name = rest.rpartition("/")
            return Address("REST", f"{scheme}://{rest}", urllib.parse.unquote(name))
        return Address("REST", server, model or "facenet")
    server = re.sub(r"(?i)^grpc://", "", address)
    name = ""
    if model is None:
        server, _, name = server.partition("/")
    check_host_and_port(server)
    return Address("gRPC", server, model or urllib.parse.unquote(name) or "facenet")


_METHOD = re.compile(
    r"(?P<server>.*)/v1/models/(?P<model>[^/:]+)(?P<version>/(versions|labels)/[^/:]+)?(:\w+)?"
)


def check_url(url: str) -> str:
    """Return a server's URL without a slash at its end.

    Raises:
        FacenetError: for anything else, and for a user, a query or a fragment in it.
    """
    try:
        parts = parse_url(url)
        usable = parts.scheme in ("http", "https") and bool(parts.host)
    except urllib3.exceptions.LocationParseError:
        usable = False
    if not usable or parts.query is not None or parts.fragment is not None or parts.auth:
        raise FacenetError(f"server: expected a URL such as http://localhost:8501, found {url!r}")
    return f"{parts.scheme}://{parts.netloc}{(parts.path or '').rstrip('/')}"


def check_host_and_port(address: str) -> None:
    """Refuse anything but ``host:port``.

    Raises:
        FacenetError: for anything else.
    """
    match = re.fullmatch(r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})", address)
    if not match or not 0 < int(match[1]) < 65536:
        raise FacenetError(
            "server: expected host:port, such as localhost:8500, for gRPC, or a URL such as "
            f"http://localhost:8501 for REST, found {address!r}"
        )


def check_origin(origin: str) -> None:
    """Refuse what is no origin of a web page, as browsers write it, and not ``*`` for any.

    Raises:
        FacenetError: for anything else, a slash at the end included.

    >>> check_origin("https://example.com:8000")
    >>> check_origin("https://example.com/")
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: origin: expected a scheme, a host and a port if need be, ...
    """
    if not re.fullmatch(r"\*|https?://(?:[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?", origin):
        raise FacenetError(
            "origin: expected a scheme, a host and a port if need be, in small letters, such as "
            f"https://example.com, or * for any, found {origin!r}"
        )


def before_port(host: str) -> str:
    """Return an address as it stands before a port: of IPv6, in brackets.

    >>> before_port("::1")
    '[::1]'
    """
    return f"[{host}]" if ":" in host else host


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens, without waiting; port 0 takes a free one.

    Raises:
        FacenetError: when the port is taken, or the host is not this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # on Windows it would take a port that another program listens at
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(1024)
        listening.setblocking(False)
    except (OSError, OverflowError) as error:
        listening.close()
        told = f"{before_port(host)}:{port}: cannot be listened at: {error}"
        raise FacenetError(told) from error
    return listening


def check_ports(host: str, rest_port: int, grpc_port: int) -> None:
    """Refuse ports that a server could not take now: before it loads what takes seconds.

    Raises:
        FacenetError: when both are the same, one is taken, or the host is not this machine.
    """
    if rest_port == grpc_port != 0:
        raise FacenetError(f"ports: expected one for REST and another for gRPC, found {rest_port}")
    for port in (rest_port, grpc_port):
        listen(host, port).close()
