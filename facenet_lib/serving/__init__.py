"""Models over the network: TF Serving, clients and the local server (chapter 8).

Importing this package loads neither TensorFlow nor a server: what needs them comes when it is
first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from facenet_lib.serving.client import (
    Client,
    GrpcClient,
    RemoteEmbedder,
    RestClient,
    Retries,
    connect,
)
from facenet_lib.serving.tensorflow_serving import (
    TENSORFLOW_SERVING_IMAGE,
    ServedModel,
    run_tensorflow_serving,
    start_tensorflow_serving,
    write_configuration,
)

if TYPE_CHECKING:
    from facenet_lib.serving.limits import Limits
    from facenet_lib.serving.server import LocalServer, serve
    from facenet_lib.serving.versions import Batching, ServedModels

__all__ = [
    "TENSORFLOW_SERVING_IMAGE",
    "Batching",
    "Client",
    "GrpcClient",
    "Limits",
    "LocalServer",
    "RemoteEmbedder",
    "RestClient",
    "Retries",
    "ServedModel",
    "ServedModels",
    "connect",
    "run_tensorflow_serving",
    "serve",
    "start_tensorflow_serving",
    "write_configuration",
]

_LATER = {
    "Batching": "versions",
    "Limits": "limits",
    "LocalServer": "server",
    "ServedModels": "versions",
    "serve": "server",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
