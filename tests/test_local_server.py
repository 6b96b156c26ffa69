"""What the protocol's own tests leave open: life, limits, the page, counts and what is logged."""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import grpc
import numpy as np
import pytest
import tensorflow as tf
import urllib3
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from serving_models import NAME, b64, expected_embeddings, pixels, png, save_model
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from toy_training import SETTINGS, draw_people, toy_network

from facenet_lib import served_models, training
from facenet_lib.errors import FacenetError
from facenet_lib.export import export_model, load_embedder
from facenet_lib.local_server import LocalServer
from facenet_lib.local_server_common import Limits
from facenet_lib.served_models import Batching

SECONDS = 60.0  # far more than anything here takes
PREDICT = f"/v1/models/{NAME}:predict"
IMAGE = pixels(0)
BODY = json.dumps({"instances": [b64(png(IMAGE))]}).encode()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / NAME
    save_model(folder, 1)
    return folder


@pytest.fixture(scope="module")
def server(models):
    with LocalServer({NAME: models}) as running:
        yield running


@pytest.fixture
def gate(monkeypatch):
    """Holds each batch until it is opened, and tells how many have come to it."""

    class Gate:
        def __init__(self):
            self.opened = threading.Event()
            self.reached = threading.Semaphore(0)

    held = Gate()
    compute = served_models._Version._compute

    def wait_and_compute(version, batch):
        held.reached.release()
        assert held.opened.wait(SECONDS)
        return compute(version, batch)

    monkeypatch.setattr(served_models._Version, "_compute", wait_and_compute)
    yield held
    held.opened.set()


def ask(server, path=PREDICT, body=None, method=None, **headers):
    """Answer to a request over a connection of its own."""
    method = method or ("GET" if body is None else "POST")
    with urllib3.PoolManager(retries=False, timeout=SECONDS) as pool:
        return pool.request(method, server.rest_url + path, body=body, headers=headers)


def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def predict_request(*images):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = NAME
    request.inputs["images"].CopyFrom(tf.make_tensor_proto(np.array(images, object)))
    return request


def code_of_predict(server):
    """How a call over gRPC is refused."""
    with grpc.insecure_channel(server.grpc_address) as channel:
        call = stub(channel).Predict.future(predict_request(png(IMAGE)), timeout=SECONDS)
        return call.code()


def address(server):
    host, port = server.rest_url.removeprefix("http://").split(":")
    return host, int(port)


def wait_until(condition):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


# Life


def test_both_protocols_answer_while_it_runs_and_neither_after(models):
    with LocalServer({NAME: models}) as server:
        answer = ask(server, body=BODY).json()["predictions"][0]["embeddings"]
        expected = expected_embeddings(IMAGE[np.newaxis], 1)[0]
        np.testing.assert_allclose(answer, expected, atol=1e-6)
        with grpc.insecure_channel(server.grpc_address) as channel:
            found = stub(channel).Predict(predict_request(png(IMAGE)), timeout=SECONDS)
        np.testing.assert_allclose(found.outputs["embeddings"].float_val, expected, atol=1e-6)
    with pytest.raises(urllib3.exceptions.HTTPError):
        ask(server)
    with grpc.insecure_channel(server.grpc_address) as channel, pytest.raises(grpc.RpcError):
        stub(channel).Predict(predict_request(png(IMAGE)), timeout=1)
    assert not [thread.name for thread in threading.enumerate() if thread.name == "rest"]


def test_two_servers_run_side_by_side(models, server):
    with LocalServer({NAME: models, "other": models}) as second:
        assert second.rest_url != server.rest_url
        assert ask(second, "/v1/models/other").status == 200
        assert ask(server, "/v1/models/other").status == 404


def test_a_port_that_is_taken_is_told(models, server):
    before = threading.active_count()
    for taken, ports in (
        (address(server)[1], {"rest_port": address(server)[1]}),
        (server.grpc_address, {"grpc_port": int(server.grpc_address.split(":")[1])}),
    ):
        with pytest.raises(FacenetError, match=f"{taken}: cannot be listened at"):
            LocalServer({NAME: models}, **ports)
    wait_until(lambda: threading.active_count() <= before)


def test_a_model_that_cannot_be_served_is_told_and_nothing_is_left(tmp_path):
    before = threading.active_count()
    with pytest.raises(FacenetError, match="expected the folder of a model"):
        LocalServer({NAME: tmp_path / "nowhere"})
    server = LocalServer({NAME: tmp_path})
    with pytest.raises(FacenetError, match="expected numbered folders"):
        server.__enter__()
    wait_until(lambda: threading.active_count() <= before)


def test_what_is_under_way_at_the_end_is_answered(models, gate):
    with ThreadPoolExecutor(2) as clients:
        with LocalServer({NAME: models}) as server:
            over_rest = clients.submit(ask, server, body=BODY)
            gate.reached.acquire()
            channel = grpc.insecure_channel(server.grpc_address)
            over_grpc = clients.submit(stub(channel).Predict, predict_request(png(IMAGE)))
            wait_until(lambda: server.models.rows_waiting(NAME) == 1)
            threading.Timer(0.3, gate.opened.set).start()
        assert over_rest.result().status == 200
        assert over_grpc.result().outputs["valid"].bool_val == [True]
        channel.close()


def test_the_process_ends_in_good_order_when_told_to(models):
    program = f"from facenet_lib.local_server import serve; serve({{{NAME!r}: {str(models)!r}}}"
    with subprocess.Popen(
        [sys.executable, "-c", program + ", rest_port=0, grpc_port=0)"],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        first = process.stdout.readline()
        url = re.fullmatch(rf"(http://127\.0\.0\.1:\d+){PREDICT}\n", first)
        assert url, process.communicate()
        with urllib3.PoolManager(timeout=SECONDS) as pool:
            assert pool.request("POST", url[1] + PREDICT, body=BODY).status == 200
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert "Traceback" not in log


def test_it_is_ready_once_its_models_are(models, monkeypatch):
    held = threading.Event()
    load = served_models._Version.__init__

    def slowly(*arguments):
        held.wait(SECONDS)
        load(*arguments)

    monkeypatch.setattr(served_models._Version, "__init__", slowly)
    server = LocalServer({NAME: models})
    entering = threading.Thread(target=server.__enter__)
    entering.start()
    wait_until(lambda: ask(server, "/healthz").status == 503)
    assert ask(server, "/page/model").status == 503
    assert ask(server, f"/v1/models/{NAME}").json()["model_version_status"][0]["state"] == "LOADING"
    assert ask(server, body=BODY).status == 404
    held.set()
    entering.join(SECONDS)
    answer = ask(server, "/healthz")
    assert (answer.status, answer.json()) == (200, {"status": "ok"})
    server.__exit__(None, None, None)


# Requests that wait


def test_a_call_whose_deadline_passed_is_not_computed(models, gate):
    with LocalServer({NAME: models}) as server, ThreadPoolExecutor(1) as clients:
        running = clients.submit(ask, server, body=BODY)
        gate.reached.acquire()
        with grpc.insecure_channel(server.grpc_address) as channel:
            with pytest.raises(grpc.RpcError) as caught:
                stub(channel).Predict(predict_request(png(IMAGE)), timeout=0.3)
            assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        gate.opened.set()
        assert running.result().status == 200
        assert ask(server, body=BODY).status == 200
        assert server.models.batch_sizes(NAME) == {1: 2}


def test_a_client_who_left_is_not_computed_for(models, gate):
    with LocalServer({NAME: models}) as server, ThreadPoolExecutor(1) as clients:
        running = clients.submit(ask, server, body=BODY)
        gate.reached.acquire()
        head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BODY)}\r\n\r\n"
        with socket.create_connection(address(server)) as connection:
            connection.sendall(head.encode() + BODY)
            wait_until(lambda: server.models.rows_waiting(NAME) == 1)
        (waiting,) = server.models._models[NAME].available[1]._waiting
        wait_until(waiting.future.cancelled)
        gate.opened.set()
        assert running.result().status == 200
        assert server.models.batch_sizes(NAME) == {1: 1}


def test_what_is_not_answered_in_time_is_given_up(models, gate):
    with LocalServer({NAME: models}, limits=Limits(seconds_to_answer=0.3)) as server:
        answer = ask(server, body=BODY)
        assert (answer.status, answer.json()) == (504, {"error": "not answered in time"})
        assert code_of_predict(server) == grpc.StatusCode.DEADLINE_EXCEEDED
        gate.opened.set()


def test_a_full_queue_says_when_to_come_again(models, gate):
    batching = Batching(max_batch_size=1, max_waiting=1)
    with LocalServer({NAME: models}, batching=batching) as server, ThreadPoolExecutor(2) as clients:
        running = clients.submit(ask, server, body=BODY)
        gate.reached.acquire()
        waiting = clients.submit(ask, server, body=BODY)
        wait_until(lambda: server.models.rows_waiting(NAME) == 1)
        refused = ask(server, body=BODY)
        assert refused.status == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert "queue is full" in refused.json()["error"]
        assert code_of_predict(server) == grpc.StatusCode.UNAVAILABLE
        gate.opened.set()
        assert running.result().status == waiting.result().status == 200


# Limits


def test_bodies_together_have_a_limit_too(models, gate):
    limits = Limits(total_body_bytes=3 * len(BODY) // 2)
    with LocalServer({NAME: models}, limits=limits) as server, ThreadPoolExecutor(1) as clients:
        running = clients.submit(ask, server, body=BODY)
        gate.reached.acquire()
        assert ask(server, body=BODY).status == 503
        assert ask(server, "/healthz").status == 200
        gate.opened.set()
        assert running.result().status == 200
        assert ask(server, body=BODY).status == 200


def test_a_body_in_another_encoding_is_refused(server):
    answer = ask(server, body=BODY, **{"Content-Encoding": "gzip"})
    assert answer.status == 415


def test_a_client_who_does_not_read_is_let_go(models):
    with LocalServer({NAME: models}, limits=Limits(seconds_to_send=0.5)) as server:
        request = f"GET {PAGE_SCRIPT} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        with socket.create_connection(address(server)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(0.2)
            with pytest.raises(ConnectionError):
                deadline = time.monotonic() + SECONDS
                while time.monotonic() < deadline:  # its answers fill what the system holds for it
                    try:
                        connection.sendall(request * 1000)
                    except TimeoutError:
                        continue
        assert ask(server, "/healthz").status == 200


PAGE_SCRIPT = "/page/script.js"


def test_answers_do_not_wait_for_acknowledgements(server):
    """Else the second part of a small answer waits 40 milliseconds for that of the first."""
    with socket.create_connection(address(server)):
        connections = server._rest._server.server_state.connections
        wait_until(lambda: connections)
        for connection in connections:
            accepted = connection.transport.get_extra_info("socket")
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("name", list(vars(Limits())))
@pytest.mark.parametrize("value", [0, -1, float("nan"), "many"])
def test_limits_that_cannot_be_are_refused(name, value):
    with pytest.raises(FacenetError, match=f"{name}: expected a number above 0"):
        Limits(**{name: value})


# The page


@pytest.mark.parametrize(
    ("path", "content_type"),
    [("/", "text/html"), ("/page/style.css", "text/css"), ("/page/script.js", "text/javascript")],
)
def test_the_page_may_load_its_own_files_alone(server, path, content_type):
    answer = ask(server, path)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith(content_type)
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy
    assert "access-control-allow-origin" not in answer.headers
    head = ask(server, path, method="HEAD")
    assert (head.status, head.data) == (200, b"")


def test_eight_faces_are_drawn_two_of_each_person(server):
    faces = [ask(server, f"/page/faces/{number}.jpg") for number in range(8)]
    assert {face.headers["content-type"] for face in faces} == {"image/jpeg"}
    assert len({face.data for face in faces}) == 8
    for face in faces:
        assert Image.open(BytesIO(face.data)).size == (160, 160)
    assert ask(server, "/page/faces/3.jpg").data == faces[3].data
    for path in ("/page/faces/8.jpg", "/page/faces/00.jpg", "/page/faces/x.jpg"):
        assert ask(server, path).status == 404


def test_a_model_without_a_card_has_no_page(server):
    assert ask(server, "/page/model").status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_the_page_is_for_reading(server, method):
    assert ask(server, "/", method=method).status == 405


def test_other_names_for_this_machine_are_not_answered(models, server):
    _, port = address(server)
    for host in ("localhost", f"LOCALHOST:{port}", f"127.0.0.1:{port}", "[::1]:1"):
        assert ask(server, "/healthz", Host=host).status == 200
    for host in ("example.com", f"example.com:{port}", "127.0.0.1.example.com", "localhost.x"):
        for path in ("/healthz", f"/v1/models/{NAME}", "/"):
            assert ask(server, path, Host=host).status == 403
    with LocalServer({NAME: models}, host="0.0.0.0") as public:
        public.rest_url = public.rest_url.replace("0.0.0.0", "127.0.0.1")
        assert ask(public, "/healthz", Host="example.com").status == 200


# Counts and the log


def counts(server):
    answer = ask(server, "/monitoring/prometheus/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.data.decode())
        for sample in family.samples
    }


def test_requests_and_batches_are_counted(models):
    requests = ":tensorflow:serving:request_count"
    with LocalServer({NAME: models}) as server:
        for _ in range(3):
            ask(server, body=BODY)
        ask(server, body=b"{}")
        for number in range(50):
            ask(server, f"/v1/models/unknown{number}:predict", body=BODY)
        with grpc.insecure_channel(server.grpc_address) as channel:
            stub(channel).Predict(predict_request(png(IMAGE), png(IMAGE)), timeout=SECONDS)
        found = counts(server)
    assert found[requests, "OK", NAME] == 4
    assert found[requests, "INVALID_ARGUMENT", NAME] == 1
    assert found[requests, "", "NOT_FOUND"] == 50
    assert not [key for key in found if any("unknown" in part for part in key)]
    latency = ":tensorflow:serving:request_latency_count"
    assert found[latency, "REST", "predict", NAME] == 4
    assert found[latency, "GRPC", "Predict", NAME] == 1
    assert found["facenet_batches", "1", NAME] == 3
    assert found["facenet_batches", "2", NAME] == 1
    assert found["facenet_rows_waiting", NAME] == 0


def test_what_is_refused_leaves_one_line_without_its_bytes(server, caplog):
    secret = base64.b64encode(b"secret" * 1000).decode()
    for body in (
        json.dumps({"instances": [{"images": {"b64": secret}, "more": 1}]}).encode(),
        json.dumps({"instances": [[secret]]}).encode(),
        json.dumps({"inputs": {"x": secret}}).encode(),
        json.dumps({"signature_name": "no\nline", "inputs": [secret]}).encode(),
        f'{{"instances": ["{secret}'.encode(),
    ):
        caplog.clear()
        answer = ask(server, body=body)
        assert answer.status == 400
        (line,) = caplog.messages
        assert line.startswith("REST 127.0.0.1:")
        assert f"POST {PREDICT}: 400: " in line
        for told in (line, answer.json()["error"]):
            assert secret[:40] not in told
            assert "\n" not in told
            assert len(told) < 500
    with grpc.insecure_channel(server.grpc_address) as channel:
        for request in (b"\xff\xff", predict_pb2.PredictRequest().SerializeToString()):
            caplog.clear()
            with pytest.raises(grpc.RpcError):
                channel.unary_unary("/tensorflow.serving.PredictionService/Predict")(request)
            wait_until(lambda: caplog.messages)
            (line,) = caplog.messages
            assert line.startswith("gRPC ipv4:127.0.0.1:")
            assert "INVALID_ARGUMENT" in line


def test_what_is_answered_leaves_no_line(server, caplog):
    ask(server, body=BODY)
    ask(server, "/")
    assert caplog.messages == []


# A model of ours


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A run, its folder of one exported version, and the images that it was trained on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "network_of", toy_network)
        root = tmp_path_factory.mktemp("exported")
        faces = draw_people(root / "faces", "Known")
        config = training.TrainingConfig(**SETTINGS | {"crop_size": 60, "epochs": 1})
        training.train(config, faces, root / "run", progress=False)
        export_model(root / "run", root / "facenet")
    return root / "facenet", [path for paths in faces.values() for path in paths[:3]]


def test_an_exported_model_answers_as_it_does_in_process(exported):
    folder, paths = exported
    expected = load_embedder(folder).embed(paths)
    with LocalServer({"facenet": folder}) as server:
        content = [path.read_bytes() for path in paths]
        body = json.dumps({"instances": [b64(file) for file in content]}).encode()
        rows = ask(server, "/v1/models/facenet:predict", body=body).json()["predictions"]
        np.testing.assert_allclose([row["embeddings"] for row in rows], expected, atol=1e-5)
        request = predict_request(*content)
        request.model_spec.name = "facenet"
        with grpc.insecure_channel(server.grpc_address) as channel:
            answer = stub(channel).Predict(request, timeout=SECONDS)
        np.testing.assert_allclose(
            tf.make_ndarray(answer.outputs["embeddings"]), expected, atol=1e-5
        )
        about = ask(server, "/page/model").json()
    card = json.loads((folder / "1" / "assets.extra" / "facenet.json").read_text())
    assert about["card"] == card
    assert about["name"] == "facenet"
    assert about["version"] == 1
    assert (about["crop_size"], about["image_size"]) == (60, 75)
    assert about["threshold"] == card.get("threshold")
    assert about["max_body_bytes"] == Limits().body_bytes
