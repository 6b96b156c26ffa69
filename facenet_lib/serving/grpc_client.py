"""The client over gRPC, by the stubs of ``tensorflow-serving-api``; derived in chapter 8."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from facenet_lib.errors import FacenetError, explain_missing
from facenet_lib.serving.addresses import check_host_and_port
from facenet_lib.serving.answers import (
    ModelMetadata,
    VersionStatus,
    beginning,
    metadata_from_json,
    not_understood,
    status_from_json,
)
from facenet_lib.serving.client import Client
from facenet_lib.serving.retries import TemporaryError, with_retries


class GrpcClient(Client):
    """Asks over gRPC, by the stubs of ``tensorflow-serving-api``.

    Importing those imports TensorFlow, on whose protos they are built. Connections are not
    encrypted: beyond one machine, put a proxy or a network of your own between.
    """

    def _open(self) -> str:
        check_host_and_port(self.server)
        with explain_missing("the gRPC client", "serving"):
            import grpc
            from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc
        self._grpc = grpc
        self._channel = grpc.insecure_channel(
            self.server,
            options=[
                # The pieces of a batch keep messages small; what is larger, the server judges.
                ("grpc.max_send_message_length", -1),
                ("grpc.max_receive_message_length", self.most_answer_bytes),
                # A channel that was refused waits before it connects again, and refuses calls
                # meanwhile: no longer than our own attempts are apart.
                ("grpc.initial_reconnect_backoff_ms", int(1000 * self.retries.first_wait)),
                ("grpc.max_reconnect_backoff_ms", int(1000 * self.retries.longest_wait)),
                ("grpc.min_reconnect_backoff_ms", int(1000 * self.connect_timeout)),
                ("grpc.enable_http_proxy", 0),  # as the REST client: straight to the server
            ],
        )
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)
        return self.server

    def status(self) -> list[VersionStatus]:
        """Return the state of the model's versions, or of the one that the client names."""
        from tensorflow_serving.apis import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest()
        answer = self._ask_for_json(self._models.GetModelStatus, request)
        return status_from_json(answer, self._where)

    def metadata(self) -> ModelMetadata:
        """Return which version answers, and the model's signatures."""
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        answer = self._ask_for_json(self._prediction.GetModelMetadata, request)
        return metadata_from_json(answer, self._where)

    def close(self) -> None:
        """Close the connections."""
        self._channel.close()

    def _name_model(self, model_spec: Any) -> None:
        model_spec.name = self.model
        if self.version is not None:
            model_spec.version.value = self.version
        if self.label is not None:
            model_spec.version_label = self.label

    def _size(self, item: bytes | np.ndarray) -> int:
        # Before a string stand its field's number and its length.
        return len(item) + 8 if isinstance(item, bytes) else 4 * item.size

    def _predict(self, signature: str, inputs: Mapping[str, Any], answers: str) -> dict[str, Any]:
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.signature_name = signature
        for name, images in inputs.items():
            tensor = request.inputs[name]
            if isinstance(images, np.ndarray):
                tensor.CopyFrom(tf.make_tensor_proto(images, tf.float32))
            else:  # not by way of numpy, whose strings lose the zeros at their end
                tensor.dtype = tf.string.as_datatype_enum
                tensor.tensor_shape.dim.add().size = len(images)
                tensor.string_val.extend(images)
        answer = self._call(self._prediction.Predict, request)
        for name, tensor in answer.outputs.items():
            # One number that is repeated can stand for an array of any size.
            if math.prod(dim.size for dim in tensor.tensor_shape.dim) > self.most_answer_bytes // 8:
                raise not_understood(self._where, f"a smaller array {name}", tensor.tensor_shape)
        try:
            return {name: tf.make_ndarray(tensor) for name, tensor in answer.outputs.items()}
        except (TypeError, ValueError) as error:
            raise not_understood(self._where, f"arrays of {signature}", error) from error

    def _ask_for_json(self, method: Callable[..., Any], request: Any) -> Any:
        """The answer as REST has it: signatures, which are a message packed into it, unpacked."""
        from google.protobuf import json_format
        from google.protobuf.message import DecodeError

        answer = self._call(method, request)
        try:
            return json_format.MessageToDict(answer, preserving_proto_field_name=True)
        except (DecodeError, TypeError) as error:
            raise not_understood(self._where, "signatures", answer) from error

    def _call(self, method: Callable[..., Any], request: Any) -> Any:
        self._name_model(request.model_spec)

        def attempt() -> Any:
            try:
                return method(request, timeout=self.timeout)
            except self._grpc.RpcError as error:
                raise self._explained(error) from error

        return with_retries(attempt, self.retries)

    def _explained(self, error: Any) -> FacenetError:
        code, details = error.code(), error.details() or ""
        told = f"{self._where}: {code.name}: {beginning(details)}"
        too_large = "larger than max" in details
        temporary = code.name in ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED")
        if not temporary or too_large:
            return FacenetError(told)
        return TemporaryError(told, _retry_after(error))


def _retry_after(error: Any) -> float:
    """Seconds that a server asks for, as gRPC has it in place of ``Retry-After``."""
    hint = dict(error.trailing_metadata() or ()).get("grpc-retry-pushback-ms", "")
    return int(hint) / 1000 if re.fullmatch("[0-9]{1,9}", str(hint)) else 0.0
