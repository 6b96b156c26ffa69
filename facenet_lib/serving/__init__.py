"""Models over the network: TF Serving, clients and the local server (chapter 8).

Importing this package loads neither TensorFlow nor what the extra ``serving`` installs: each
module comes when something of it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facenet_lib.serving.addresses import Address, parse_address
    from facenet_lib.serving.answers import (
        Embedded,
        FacesFound,
        ModelMetadata,
        Signature,
        TensorInfo,
        Verified,
        VersionStatus,
    )
    from facenet_lib.serving.batching import Batching, Prediction
    from facenet_lib.serving.client import Client
    from facenet_lib.serving.configuration import (
        TENSORFLOW_SERVING_IMAGE,
        BatchingParameters,
        ServedModel,
        write_configuration,
    )
    from facenet_lib.serving.connection import connect
    from facenet_lib.serving.grpc_client import GrpcClient
    from facenet_lib.serving.limits import Limits
    from facenet_lib.serving.messages import ServingError
    from facenet_lib.serving.naming import Naming
    from facenet_lib.serving.remote_embedder import RemoteEmbedder
    from facenet_lib.serving.rest_client import RestClient
    from facenet_lib.serving.retries import Retries
    from facenet_lib.serving.server import LocalServer, serve
    from facenet_lib.serving.tensorflow_serving import (
        RunningServer,
        run_tensorflow_serving,
        start_tensorflow_serving,
    )
    from facenet_lib.serving.versions import ServedModels

_MODULES = {
    "addresses": "Address parse_address",
    "answers": "Embedded FacesFound ModelMetadata Signature TensorInfo Verified VersionStatus",
    "batching": "Batching Prediction",
    "client": "Client",
    "configuration": "BatchingParameters TENSORFLOW_SERVING_IMAGE ServedModel write_configuration",
    "connection": "connect",
    "grpc_client": "GrpcClient",
    "limits": "Limits",
    "messages": "ServingError",
    "naming": "Naming",
    "remote_embedder": "RemoteEmbedder",
    "rest_client": "RestClient",
    "retries": "Retries",
    "server": "LocalServer serve",
    "tensorflow_serving": "RunningServer run_tensorflow_serving start_tensorflow_serving",
    "versions": "ServedModels",
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = [
    "TENSORFLOW_SERVING_IMAGE",
    "Address",
    "Batching",
    "BatchingParameters",
    "Client",
    "Embedded",
    "FacesFound",
    "GrpcClient",
    "Limits",
    "LocalServer",
    "ModelMetadata",
    "Naming",
    "Prediction",
    "RemoteEmbedder",
    "RestClient",
    "Retries",
    "RunningServer",
    "ServedModel",
    "ServedModels",
    "ServingError",
    "Signature",
    "TensorInfo",
    "Verified",
    "VersionStatus",
    "connect",
    "parse_address",
    "run_tensorflow_serving",
    "serve",
    "start_tensorflow_serving",
    "write_configuration",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
