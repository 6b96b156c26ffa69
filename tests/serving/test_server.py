"""The server's life, and its connections; what it answers is the other files' matter."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPResponse

import grpc
import numpy as np
import pytest
import urllib3
from asking_servers import (
    BODY,
    IMAGE,
    PREDICT,
    SECONDS,
    address,
    ask,
    gate_for_batches,
    predict_request,
    stub,
    wait_until,
)
from serving_models import NAME, expected_embeddings, png, save_model

from facenet_lib.errors import FacenetError
from facenet_lib.serving import versions as served_models
from facenet_lib.serving.limits import Limits
from facenet_lib.serving.server import LocalServer


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
    with gate_for_batches(monkeypatch) as held:
        yield held


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
    program = f"from facenet_lib.serving.server import serve; serve({{{NAME!r}: {str(models)!r}}}"
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


# Connections


def connections_of(server):
    return server._rest._server.server_state.connections


def status_of_answer(client):
    response = HTTPResponse(client)
    response.begin()
    response.read()
    return response.status


def test_each_request_has_its_own_time(models):
    """Also the one after a request that was refused before the whole of it had come."""
    with (
        LocalServer({NAME: models}) as server,
        socket.create_connection(address(server)) as client,
    ):
        wait_until(lambda: connections_of(server))
        (connection,) = connections_of(server)

        def is_idle():
            return connection.timeout_keep_alive_task and not connection._sending

        wait_until(is_idle)
        client.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n")
        assert status_of_answer(client) == 405
        assert connection._sending
        client.sendall(b"{}")
        wait_until(is_idle)
        client.sendall(b"GET /heal")
        wait_until(lambda: connection._sending and not connection.timeout_keep_alive_task)
        client.sendall(b"thz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert status_of_answer(client) == 200
        wait_until(is_idle)


def test_connections_have_a_limit_also_when_many_come_at_once(models):
    limits = Limits(connections=5, seconds_to_send=1000, seconds_idle=1000)
    with LocalServer({NAME: models}, limits=limits) as server, ExitStack() as stack:
        stack.enter_context(socket.create_connection(address(server)))
        wait_until(lambda: connections_of(server))
        (connection,) = connections_of(server)
        held = threading.Event()
        connection.loop.call_soon_threadsafe(held.wait, SECONDS)
        for _ in range(40):
            stack.enter_context(socket.create_connection(address(server)))
        held.set()
        assert ask(server, "/healthz").status == 200  # by now it has taken all of them
        wait_until(lambda: len(connections_of(server)) <= 5)


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


def test_a_client_who_does_not_read_is_let_go(models):
    with LocalServer({NAME: models}, limits=Limits(seconds_to_send=0.5)) as server:
        request = f"GET {'/page/script.js'} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
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


def test_answers_do_not_wait_for_acknowledgements(server):
    """Else the second part of a small answer waits 40 milliseconds for that of the first."""
    with socket.create_connection(address(server)):
        connections = server._rest._server.server_state.connections
        wait_until(lambda: connections)
        for connection in connections:
            accepted = connection.transport.get_extra_info("socket")
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
