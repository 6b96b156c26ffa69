"""From an address to the client that asks there; derived in chapter 8."""

from __future__ import annotations

from facenet_lib.serving.addresses import parse_address
from facenet_lib.serving.client import Client
from facenet_lib.serving.grpc_client import GrpcClient
from facenet_lib.serving.rest_client import RestClient


def connect(address: str, model: str | None = None, *, version: int | None = None) -> Client:
    """Return the client for an address, which :func:`~facenet_lib.serving.parse_address` reads.

    Raises:
        FacenetError: for what is no address.

    >>> with connect("http://localhost:8501/faces", version=2) as client:
    ...     type(client).__name__, client.model, client.version
    ('RestClient', 'faces', 2)
    """
    parsed = parse_address(address, model)
    kind = RestClient if parsed.protocol == "REST" else GrpcClient
    return kind(parsed.server, parsed.model, version=version)
