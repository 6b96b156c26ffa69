"""The local server's gRPC front: TensorFlow Serving's PredictionService and ModelService.

``Predict``, ``GetModelMetadata`` and ``GetModelStatus``; ``Classify``, ``Regress`` and
``MultiInference``, which are refused (``classification``); and ``Check`` of
gRPC's own health service. Whatever else these services have is answered with ``UNIMPLEMENTED``,
``Watch`` of the health service among it: a client who watches holds a call for ever.

Derived in chapter 8, "Serving".
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from facenet_lib.errors import FacenetError
from facenet_lib.serving.classification import CLASSIFY, REGRESS, inference_refusal, tasks_refusal
from facenet_lib.serving.limits import Limits, RequestRecord
from facenet_lib.serving.messages import Array, ServingError, serving_error
from facenet_lib.serving.protos import (
    array_from_proto,
    fill_proto,
    metadata_response,
    status_response,
)
from facenet_lib.serving.versions import ServedModels

_MOST_MESSAGES = 64  # received or answered at a time; who sends slowly keeps one from the others
_MOST_CALLS = 256  # as many as there may be images that wait; others are refused
_REFUSING_THREADS = 16  # which find room when all other calls wait
_SECONDS_TO_CONNECT = 2.0  # to say that HTTP/2 is spoken, which takes one message
_SECONDS_TO_ARRIVE = 0.25  # at the end: for a call that was sent before it
_SECONDS_TO_LEAVE = 0.5  # at the end: for answers, and for clients to close their connections

_RETRY_HINT = (("grpc-retry-pushback-ms", "1000"),)
"""What gRPC has for ``Retry-After``: its clients obey it where they retry (gRFC A6)."""

_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_SERVICES = ("", "PredictionService", "ModelService")
"""Whose health may be asked for, by the names that TensorFlow Serving has for them; empty: all."""

_AnswerCall = Callable[[Any, grpc.ServicerContext], Any]


class GrpcFront:
    """A gRPC server over :class:`~facenet_lib.serving.ServedModels`.

    It answers in threads: beside TensorFlow, which keeps all cores busy, they cost less
    and wait less long than ``grpc.aio`` does.

    Args:
        models: what answers.
        address: host and port; port 0 takes a free one.
        limits: see :class:`~facenet_lib.serving.Limits`.
        record: where requests are counted.
        most_connections: a further one is closed by gRPC, unseen by us. gRPC cannot close an idle
            one for it; one that never speaks HTTP/2 ends after two seconds, one without calls
            after ``limits.seconds_idle``.

    Raises:
        FacenetError: when the port is taken.

    Attributes:
        port: the port.
    """

    def __init__(
        self,
        models: ServedModels,
        address: str,
        limits: Limits,
        record: RequestRecord,
        most_connections: int,
    ) -> None:
        self._models = models
        self._limits = limits
        self._record = record
        self._receiving: dict[grpc.ServicerContext, float] = {}  # calls, and since when
        self._stopping = threading.Event()
        self._given_up: Future[None] = Future()  # done when no call is waited for any longer
        self._calls = 0
        self._counting = threading.Lock()
        self._turns = threading.Semaphore(_MOST_MESSAGES)
        seconds_to_connect = min(_SECONDS_TO_CONNECT, limits.seconds_to_send)
        self._server = grpc.server(
            # Calls are bounded here: those that gRPC's own bounds refuse, nobody counts or logs.
            # It has one left, for the thousand or more that it has not handed over yet.
            ThreadPoolExecutor(_MOST_CALLS + _REFUSING_THREADS, thread_name_prefix="grpc"),
            options=[
                ("grpc.max_receive_message_length", limits.body_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
                ("grpc.server_handshake_timeout_ms", round(seconds_to_connect * 1000)),
                ("grpc.max_connection_idle_ms", round(limits.seconds_idle * 1000)),
                ("grpc.max_allowed_incoming_connections", most_connections),
            ],
        )
        metadata_request = get_model_metadata_pb2.GetModelMetadataRequest
        status_request = get_model_status_pb2.GetModelStatusRequest
        predicts, tells = (f"tensorflow.serving.{service}" for service in _SERVICES[1:])
        for service, api, kind, answer in (
            (predicts, "Predict", predict_pb2.PredictRequest, self._predict),
            (predicts, "Classify", classification_pb2.ClassificationRequest, self._classify),
            (predicts, "Regress", regression_pb2.RegressionRequest, self._regress),
            (predicts, "MultiInference", inference_pb2.MultiInferenceRequest, self._infer),
            (predicts, "GetModelMetadata", metadata_request, self._metadata),
            (tells, "GetModelStatus", status_request, self._status),
            (_HEALTH, "Check", health_pb2.HealthCheckRequest, self._health),
        ):
            methods = {api: self._method(api, kind, answer)}
            handler = grpc.method_handlers_generic_handler(service, methods)
            self._server.add_generic_rpc_handlers([handler])
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise FacenetError(
                f"{address}: cannot be listened at; is another server there?"
            ) from error

    def start(self) -> None:
        """Answer from now on."""
        self._server.start()
        threading.Thread(target=self._end_slow_calls, name="slow-calls", daemon=True).start()

    def stop(self) -> None:
        """Refuse what is new and finish what is under way, within ``seconds_to_stop``."""
        seconds = self._limits.seconds_to_stop
        end = time.monotonic() + seconds
        time.sleep(_SECONDS_TO_ARRIVE)  # gRPC cancels what it has not handed over yet
        stopped = self._server.stop(seconds + _SECONDS_TO_LEAVE)
        while self._calls and time.monotonic() < end:
            time.sleep(0.02)
        self._given_up.set_result(None)
        if not stopped.wait(_SECONDS_TO_LEAVE):
            self._server.stop(0)  # on connections whose client does not say that it has heard
            stopped.wait(_SECONDS_TO_LEAVE)
        self._stopping.set()

    def _end_slow_calls(self) -> None:
        """Cancel calls whose message does not arrive: each keeps a turn, and grpc waits on."""
        seconds = self._limits.seconds_to_send
        while not self._stopping.wait(min(1.0, seconds)):
            late = time.monotonic() - seconds
            for context, since in tuple(self._receiving.items()):
                if since < late:
                    context.cancel()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait until a call may have its message, or refuse it when too many wait already."""
        with self._counting:
            if self._calls >= _MOST_CALLS:
                told = f"{_MOST_CALLS} calls are being answered; try again later"
                raise ServingError(told, "UNAVAILABLE")
            self._calls += 1
        try:
            with self._turns:
                yield
        finally:
            with self._counting:
                self._calls -= 1

    def _received(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        since = self._receiving[context] = time.monotonic()
        message = None
        try:
            with contextlib.suppress(grpc.RpcError):  # cancelled, by the caller or above
                message = next(messages, None)
        finally:
            del self._receiving[context]
        seconds = self._limits.seconds_to_send
        if message is not None:
            return message
        if time.monotonic() - since > seconds:
            raise ServingError(f"no request arrived within {seconds:g} seconds", "CANCELLED")
        if not context.is_active():
            raise _CallerLeft
        raise ServingError("expected a request, found a call that ended without one")

    def _method(self, api: str, kind: Any, answer: _AnswerCall) -> grpc.RpcMethodHandler:
        """A method for one message, which it takes and parses itself.

        Because grpc would wait for it without end, and writes a traceback for one that it cannot
        parse. On the wire a stream of one message is no other than the message.
        """

        def handle(messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            began, code, model = time.perf_counter(), "OK", ""
            try:
                with contextlib.nullcontext() if api == "Check" else self._turn():
                    request = _parsed(kind, self._received(messages, context))
                    if api != "Check":
                        model = _model_spec(request).name
                        if not model:
                            raise ServingError("ModelSpec has no name specified.")
                    return answer(request, context).SerializeToString()
            except _CallerLeft:  # which nobody is to be told of
                code = "CANCELLED"
                return b""
            except Exception as error:
                refusal = serving_error(error)
                code, told = refusal.code, str(refusal)
                self._record.refused("gRPC", context.peer(), f"{api} {model!r}", code, told)
                context.set_code(grpc.StatusCode[code])
                context.set_details(told)
                if code == "UNAVAILABLE":
                    context.set_trailing_metadata(_RETRY_HINT)
                return b""
            finally:
                if api != "Check":  # nor is health over REST
                    self._record.done("GRPC", api, model, code, time.perf_counter() - began)

        return grpc.stream_unary_rpc_method_handler(handle)

    def _result(self, future: Future[Any], context: grpc.ServicerContext) -> Any:
        """Wait for the answer to a call, unless its caller leaves or the server is to end."""
        if not context.add_callback(future.cancel):  # called when the caller goes, or gave up
            future.cancel()
        try:
            wait((future, self._given_up), self._limits.seconds_to_answer, FIRST_COMPLETED)
            if not context.is_active():
                raise _CallerLeft
            if not future.done() and self._given_up.done():
                raise ServingError("the server is stopping; try again later", "UNAVAILABLE")
            return future.result(timeout=0)
        finally:
            future.cancel()

    def _predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        spec = request.model_spec
        future = self._models.predict(
            spec.name,
            _arrays(request.inputs, self._limits.body_bytes),
            signature=spec.signature_name,
            outputs=request.output_filter,
            **_choice(spec),
        )
        prediction = self._result(future, context)
        response = predict_pb2.PredictResponse()
        response.model_spec.name = spec.name
        response.model_spec.signature_name = prediction.signature
        response.model_spec.version.value = prediction.version
        for name, array in prediction.outputs.items():
            fill_proto(response.outputs[name], array)
        return response

    def _classify(self, request: Any, context: grpc.ServicerContext) -> Any:
        signature = request.model_spec.signature_name
        raise inference_refusal(CLASSIFY, signature, self._signature_defs(request))

    def _regress(self, request: Any, context: grpc.ServicerContext) -> Any:
        signature = request.model_spec.signature_name
        raise inference_refusal(REGRESS, signature, self._signature_defs(request))

    def _infer(self, request: Any, context: grpc.ServicerContext) -> Any:
        raise tasks_refusal(request.tasks, self._signature_defs(request))

    def _signature_defs(self, request: Any) -> Mapping[str, Any]:
        spec = _model_spec(request)
        return self._models.version(spec.name, **_choice(spec)).signature_defs

    def _metadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        if not request.metadata_field:
            raise ServingError("GetModelMetadataRequest must specify at least one metadata_field")
        for name in request.metadata_field:
            if name != "signature_def":
                raise ServingError(f"Metadata field {name} is not supported")
        spec = request.model_spec
        return metadata_response(spec.name, self._models.version(spec.name, **_choice(spec)))

    def _status(self, request: Any, context: grpc.ServicerContext) -> Any:
        spec = request.model_spec
        return status_response(self._models.status(spec.name, **_choice(spec)))

    def _health(self, request: Any, context: grpc.ServicerContext) -> Any:
        if request.service not in _SERVICES:
            raise ServingError(
                f"service: expected {' or '.join(_SERVICES[1:])} or none, found {request.service}",
                "NOT_FOUND",
            )
        states = health_pb2.HealthCheckResponse
        ready = self._models.ready()
        return states(status=states.SERVING if ready else states.NOT_SERVING)


class _CallerLeft(Exception):  # noqa: N818 - nobody's fault
    """Nobody waits for an answer to a call any longer."""


def _parsed(kind: Any, content: bytes) -> Any:
    try:
        return kind.FromString(content)
    except DecodeError:
        name = kind.DESCRIPTOR.name
        raise ServingError(f"expected a {name}, found another message") from None


def _model_spec(request: Any) -> Any:
    """The model that a request names; of several tasks, the first one's, which all have to name."""
    if not isinstance(request, inference_pb2.MultiInferenceRequest):
        return request.model_spec
    return request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()


def _arrays(protos: Mapping[str, Any], most_bytes: int) -> dict[str, Array]:
    """A request's inputs, together no larger than a request: few bytes can stand for many."""
    arrays = {}
    for name, proto in protos.items():
        arrays[name] = array_from_proto(proto, most_bytes)
        most_bytes -= arrays[name].nbytes
    return arrays


def _choice(spec: Any) -> dict[str, Any]:
    """Which version a request names, in the words of ``ServedModels``."""
    chosen = spec.WhichOneof("version_choice")
    if chosen == "version":
        return {"version": spec.version.value}
    return {"label": spec.version_label} if chosen == "version_label" else {}
