"""The gRPC front beside the protocol: calls that wait, or are given up."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from asking_servers import BODY, SECONDS, ask, code_of_predict, gate_for_batches, wait_until
from serving_models import NAME, save_model
from tensorflow_serving.apis import get_model_status_pb2

from facenet_lib.local_server import LocalServer
from facenet_lib.local_server_common import Limits
from facenet_lib.local_server_grpc import metadata_response, status_response
from facenet_lib.served_models import Batching, ModelStatus, ServedModels


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / NAME
    save_model(folder, 1)
    return folder


@pytest.fixture
def gate(monkeypatch):
    with gate_for_batches(monkeypatch) as held:
        yield held


def test_a_call_whose_deadline_passed_is_not_computed(models, gate):
    with LocalServer({NAME: models}) as server, ThreadPoolExecutor(1) as clients:
        running = clients.submit(ask, server, body=BODY)
        gate.reached.acquire()
        assert code_of_predict(server, timeout=0.3) == grpc.StatusCode.DEADLINE_EXCEEDED
        gate.opened.set()
        assert running.result().status == 200
        assert ask(server, body=BODY).status == 200
        assert server.models.batch_sizes(NAME) == {1: 2}


def test_what_is_not_answered_in_time_is_given_up(models, gate):
    with LocalServer({NAME: models}, limits=Limits(seconds_to_answer=0.3)) as server:
        assert code_of_predict(server) == grpc.StatusCode.DEADLINE_EXCEEDED
        gate.opened.set()


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


def test_statuses_are_told_with_their_errors():
    statuses = [ModelStatus(3, "END", "no such file"), ModelStatus(2, "AVAILABLE")]
    failed, available = status_response(statuses).model_version_status
    assert (failed.version, failed.state) == (3, get_model_status_pb2.ModelVersionStatus.END)
    assert (failed.status.error_code, failed.status.error_message) == (2, "no such file")
    assert available.state == get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert (available.status.error_code, available.status.error_message) == (0, "")


def test_metadata_are_the_versions_signatures(models):
    served = ServedModels({NAME: models})
    served.wait_until_ready()
    response = metadata_response(served, NAME, {"version": 1})
    assert (response.model_spec.name, response.model_spec.version.value) == (NAME, 1)
    version, signatures = served.signatures(NAME)
    found = type(signatures)()
    assert response.metadata["signature_def"].Unpack(found)
    assert (version, found) == (1, signatures)
    served.close()


def test_the_server_is_not_told_over_the_network_what_to_serve(models):
    with LocalServer({NAME: models}) as server:
        channel = grpc.insecure_channel(server.grpc_address)
        call = channel.unary_unary("/tensorflow.serving.ModelService/HandleReloadConfigRequest")
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", timeout=SECONDS)
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
        channel.close()
