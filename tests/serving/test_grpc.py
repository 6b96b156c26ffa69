"""The gRPC front beside the protocol: calls that wait, or are given up."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import grpc
import pytest
from asking_servers import (
    BODY,
    IMAGE,
    SECONDS,
    ask,
    code_of_predict,
    predict_request,
    stub,
    wait_until,
)
from grpc_health.v1 import health_pb2, health_pb2_grpc
from serving_models import NAME, png, remove_version
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2

from facenet_lib.serving import bounded_log
from facenet_lib.serving import grpc as local_server_grpc
from facenet_lib.serving.answers import METRICS_PATH
from facenet_lib.serving.batching import Batching
from facenet_lib.serving.limits import Limits
from facenet_lib.serving.server import LocalServer


@pytest.mark.slow
def test_a_call_whose_deadline_passed_is_not_computed(models, gate):
    with LocalServer({NAME: models}) as server, ThreadPoolExecutor(1) as clients:
        running = clients.submit(ask, server, body=BODY)
        gate.reached.acquire()
        assert code_of_predict(server, timeout=2) == grpc.StatusCode.DEADLINE_EXCEEDED
        (waiting,) = server.models._models[NAME].available[1]._waiting
        wait_until(waiting.future.cancelled)  # the server hears of it a little later
        gate.opened.set()
        assert running.result().status == 200
        assert ask(server, body=BODY).status == 200
        assert server.models.batch_sizes(NAME) == {1: 2}


@pytest.mark.slow
def test_what_is_not_answered_in_time_is_given_up(models, gate):
    with LocalServer({NAME: models}, limits=Limits(seconds_to_answer=0.3)) as server:
        assert code_of_predict(server) == grpc.StatusCode.DEADLINE_EXCEEDED
        gate.opened.set()


@pytest.mark.slow
def test_a_full_queue_is_unavailable_for_now(models, gate):
    batching = Batching(max_batch_size=1, max_waiting=1)
    with LocalServer({NAME: models}, batching=batching) as server, ThreadPoolExecutor(2) as clients:
        running = clients.submit(code_of_predict, server)
        gate.reached.acquire()
        waiting = clients.submit(code_of_predict, server)
        wait_until(lambda: server.models.rows_waiting(NAME) == 1)
        assert code_of_predict(server) == grpc.StatusCode.UNAVAILABLE
        gate.opened.set()
        assert running.result() == waiting.result() == grpc.StatusCode.OK


def test_a_message_may_be_as_large_as_a_body(models):
    with LocalServer({NAME: models}, limits=Limits(body_bytes=100_000)) as server:
        channel = grpc.insecure_channel(server.grpc_address)
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        for size, code in ((100_000, "INVALID_ARGUMENT"), (100_001, "RESOURCE_EXHAUSTED")):
            with pytest.raises(grpc.RpcError) as caught:
                call(b"\xff" * size, timeout=SECONDS)
            assert caught.value.code() == grpc.StatusCode[code]
        channel.close()


def refusal(server, method, request):
    with grpc.insecure_channel(server.grpc_address) as channel:
        call = channel.unary_unary(f"/tensorflow.serving.PredictionService/{method}")
        with pytest.raises(grpc.RpcError) as caught:
            call(request.SerializeToString(), timeout=SECONDS)
    return caught.value.code(), caught.value.details()


def test_inputs_together_are_no_larger_than_a_message(models):
    """Each is a single value that stands for many."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = NAME
    for name in "abc":
        tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[1.0])
        tensor.tensor_shape.dim.add().size = 10_000
        request.inputs[name].CopyFrom(tensor)
    with LocalServer({NAME: models}, limits=Limits(body_bytes=100_000)) as server:
        code, told = refusal(server, "Predict", request)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "shape [10000] has more than 20000 bytes" in told


def test_a_refusal_does_not_send_the_request_back(models):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["long\n" * 1000])
    request.model_spec.name = NAME
    with LocalServer({NAME: models}) as server:
        code, told = refusal(server, "GetModelMetadata", request)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert told.startswith("Metadata field long long")
    assert len(told) < 400


@pytest.mark.parametrize(
    "method",
    [
        "tensorflow.serving.ModelService/HandleReloadConfigRequest",
        "tensorflow.serving.SessionService/SessionRun",
        "grpc.health.v1.Health/Watch",
    ],
)
def test_what_is_missing_is_told_as_such(models, method):
    """Above all, that the server is not told over the network what to serve."""
    with LocalServer({NAME: models}) as server:
        channel = grpc.insecure_channel(server.grpc_address)
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(f"/{method}")(b"", timeout=SECONDS)
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
        channel.close()


@pytest.mark.slow
def test_health_is_that_of_every_model(folder):
    states = health_pb2.HealthCheckResponse
    with (
        LocalServer({NAME: folder}, poll_seconds=0.02) as server,
        grpc.insecure_channel(server.grpc_address) as channel,
    ):

        def health():
            return health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=SECONDS
            )

        assert health().status == states.SERVING
        remove_version(folder, 1)
        wait_until(lambda: health().status == states.NOT_SERVING)
        assert ask(server, "/healthz").status == 503
        counted = ask(server, "/monitoring/prometheus/metrics").data.decode()
        assert "request_count{" not in counted  # as little as health over REST


@pytest.mark.slow
def test_calls_that_never_send_their_message_keep_nobody_waiting(models):
    held = threading.Event()

    def never():
        held.wait(SECONDS)
        yield b""

    limits = Limits(seconds_to_send=0.3)
    with (
        LocalServer({NAME: models}, limits=limits) as server,
        grpc.insecure_channel(server.grpc_address, [("grpc.use_local_subchannel_pool", 1)]) as slow,
    ):
        method = slow.stream_unary("/tensorflow.serving.PredictionService/Predict")
        calls = [method.future(never()) for _ in range(local_server_grpc._MOST_MESSAGES)]
        assert code_of_predict(server) == grpc.StatusCode.OK
        assert {call.code() for call in calls} == {grpc.StatusCode.CANCELLED}
        held.set()


def own_channel(server):
    """A channel with a connection of its own: others share theirs."""
    return grpc.insecure_channel(server.grpc_address, [("grpc.use_local_subchannel_pool", 1)])


def count_of(server, status):
    """How many calls without the name of a model are counted with a status."""
    start = f':tensorflow:serving:request_count{{model_name="",status="{status}"}} '
    lines = ask(server, METRICS_PATH).data.decode().splitlines()
    return sum(float(line.removeprefix(start)) for line in lines if line.startswith(start))


@pytest.mark.slow
def test_calls_that_are_too_many_are_refused_counted_and_logged(models, gate, caplog):
    """Those that wait go on, and the refused are told when to come again."""
    most, more = local_server_grpc._MOST_CALLS, 60
    batching = Batching(max_waiting=2 * most)
    with LocalServer({NAME: models}, batching=batching) as server, ExitStack() as stack:
        calls = []
        for count in (most // 2, most // 2, more):
            method = stub(stack.enter_context(own_channel(server))).Predict
            calls.append([method.future(predict_request(png(IMAGE))) for _ in range(count)])
            wait_until(lambda: server._grpc._calls == min(most, sum(map(len, calls))))
        for call in calls[-1]:
            assert call.code() == grpc.StatusCode.UNAVAILABLE
            assert call.details() == f"{most} calls are being answered; try again later"
            assert ("grpc-retry-pushback-ms", "1000") in call.trailing_metadata()
        assert count_of(server, "UNAVAILABLE") == more
        lines = [line for line in caplog.messages if "try again later" in line]
        assert len(lines) == min(more, bounded_log._LINES_AT_FIRST)
        assert lines[0].startswith("gRPC ipv4:127.0.0.1:")
        gate.opened.set()
        for call in [*calls[0], *calls[1]]:
            assert call.code() == grpc.StatusCode.OK
    assert f"gRPC UNAVAILABLE: {more - len(lines)} more in " in caplog.text


@pytest.mark.slow
def test_a_call_that_its_caller_gives_up_leaves_no_line(models, gate, caplog):
    """Whether its message had come or not; one that sends none at all is told so."""
    held = threading.Event()

    def never():
        held.wait(SECONDS)
        yield b""

    with LocalServer({NAME: models}) as server, own_channel(server) as channel:
        method = channel.stream_unary("/tensorflow.serving.PredictionService/Predict")
        without_message = method.future(never())
        wait_until(lambda: server._grpc._receiving)
        with_message = stub(channel).Predict.future(predict_request(png(IMAGE)))
        gate.reached.acquire()
        without_message.cancel()
        with_message.cancel()
        wait_until(lambda: server._grpc._calls == 0)
        wait_until(lambda: count_of(server, "CANCELLED") == 1)
        assert caplog.messages == []
        with pytest.raises(grpc.RpcError) as caught:
            method(iter(()), timeout=SECONDS)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert caught.value.details() == "expected a request, found a call that ended without one"
        held.set()
        gate.opened.set()


@pytest.mark.slow
def test_connections_over_grpc_have_a_limit_of_their_own(models):
    """gRPC closes one too many; over REST there is room all the while."""
    limits = Limits(connections=5, seconds_idle=1000)
    speaks_http_2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
    with LocalServer({NAME: models}, limits=limits) as server, ExitStack() as stack:
        host, port = server.grpc_address.split(":")
        clients = []
        for _ in range(5 + 40):
            client = socket.create_connection((host, int(port)), timeout=SECONDS)
            clients.append(stack.enter_context(client))
            with suppress(ConnectionError):
                client.sendall(speaks_http_2)
        for client in clients[5:]:
            with suppress(ConnectionError):
                assert client.recv(1000) == b""
        assert ask(server, body=BODY).status == 200
        for client in clients[:5]:
            assert client.recv(1000)  # the server's part of the greeting
            client.close()
        wait_until(lambda: code_of_predict(server) == grpc.StatusCode.OK)
