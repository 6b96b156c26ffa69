"""The server's life, and its connections; what it answers is the other files' matter."""

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
from contextlib import ExitStack, contextmanager, suppress
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
    predict_request,
    stub,
    wait_until,
)
from serving_models import NAME, expected_embeddings, png

from facenet_lib.errors import FacenetError
from facenet_lib.serving.batching import LoadedVersion
from facenet_lib.serving.limits import Limits
from facenet_lib.serving.messages import parse_json
from facenet_lib.serving.server import LocalServer

# Life


@pytest.mark.slow
def test_both_protocols_answer_while_it_runs_and_neither_after(models):
    before = threading.enumerate()  # of servers that other tests of this process share
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
    left = [thread for thread in threading.enumerate() if thread not in before]
    assert not [thread.name for thread in left if thread.name == "rest"]


@pytest.mark.slow
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


def test_one_port_for_both_protocols_is_refused(models):
    with pytest.raises(FacenetError, match="one for REST and another for gRPC, found 8500"):
        LocalServer({NAME: models}, rest_port=8500, grpc_port=8500)


def test_a_model_that_cannot_be_served_is_told_and_nothing_is_left(tmp_path):
    before = threading.active_count()
    with pytest.raises(FacenetError, match="expected the folder of a model"):
        LocalServer({NAME: tmp_path / "nowhere"})
    server = LocalServer({NAME: tmp_path})
    with pytest.raises(FacenetError, match="expected numbered folders"):
        server.__enter__()
    wait_until(lambda: threading.active_count() <= before)


@pytest.mark.slow
def test_what_is_under_way_at_the_end_is_answered(models, gate):
    limits = Limits(seconds_to_stop=SECONDS)
    with ThreadPoolExecutor(2) as clients:
        with LocalServer({NAME: models}, limits=limits) as server:
            over_rest = clients.submit(ask, server, body=BODY)
            gate.reached.acquire()
            channel = grpc.insecure_channel(server.grpc_address)
            over_grpc = clients.submit(stub(channel).Predict, predict_request(png(IMAGE)))
            wait_until(lambda: server.models.rows_waiting(NAME) == 1)
            threading.Timer(0.3, gate.opened.set).start()
        assert over_rest.result().status == 200
        assert over_grpc.result().outputs["valid"].bool_val == [True]
        channel.close()


@contextmanager
def process_of(program):
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.slow
def test_the_process_ends_in_good_order_when_told_to(models):
    program = f"from facenet_lib.serving.server import serve; serve({{{NAME!r}: {str(models)!r}}}"
    with process_of(program + ", rest_port=0, grpc_port=0)") as process:
        first = process.stdout.readline()
        url = re.fullmatch(rf"(http://127\.0\.0\.1:\d+){PREDICT}\n", first)
        assert url, process.communicate()
        with urllib3.PoolManager(timeout=SECONDS) as pool:
            assert pool.request("POST", url[1] + PREDICT, body=BODY).status == 200
        for _ in range(3):
            process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert "Traceback" not in log


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HALF_A_BODY = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{{".encode()
NO_SETTINGS = b"\0\0\0\4\0\0\0\0\0"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("port", "sent"),
    [
        pytest.param("REST", b"", id="silent"),
        pytest.param("REST", b"POST /v1", id="half a head"),
        pytest.param("REST", HALF_A_BODY, id="half a body"),
        pytest.param("gRPC", b"", id="silent over gRPC"),
        pytest.param("gRPC", PREFACE, id="HTTP/2 and no more"),
        pytest.param("gRPC", PREFACE + NO_SETTINGS, id="HTTP/2 that never acknowledges"),
        pytest.param("gRPC", None, id="a call without its message"),
    ],
)
def test_the_end_waits_for_no_client(models, port, sent):
    """Whose own time would be over after a thousand seconds."""
    limits = Limits(seconds_to_send=1000, seconds_idle=1000, seconds_to_stop=0.3)
    held = threading.Event()

    def never():
        held.wait(SECONDS)
        yield b""

    with ExitStack() as stack:
        server = LocalServer({NAME: models}, limits=limits).__enter__()
        place = address(server)
        if port == "gRPC":
            place = (place[0], int(server.grpc_address.split(":")[1]))
        if sent is None:
            channel = stack.enter_context(grpc.insecure_channel(server.grpc_address))
            stack.callback(held.set)
            call = channel.stream_unary("/tensorflow.serving.PredictionService/Predict")
            waiting = call.future(never())
            stack.callback(waiting.cancel)  # and holds it: else it would end at once
            wait_until(lambda: server._grpc._receiving)
        else:
            client = stack.enter_context(socket.create_connection(place, timeout=SECONDS))
            client.sendall(sent)
            wait_until(lambda: port == "gRPC" or server._rest._connections)
        ending = threading.Thread(target=server.__exit__)
        ending.start()
        ending.join(SECONDS)
        assert not ending.is_alive()


@pytest.mark.slow
def test_what_is_not_answered_in_time_at_the_end_is_told_to_come_again(models, gate):
    limits = Limits(seconds_to_stop=0.3)
    with ThreadPoolExecutor(3) as clients, ExitStack() as stack:
        server = LocalServer({NAME: models}, limits=limits).__enter__()
        over_rest = clients.submit(ask, server, body=BODY)
        gate.reached.acquire()
        slow = stack.enter_context(socket.create_connection(address(server), timeout=SECONDS))
        slow.sendall(predict_head(len(BODY)) + BODY[:-1])
        channel = stack.enter_context(grpc.insecure_channel(server.grpc_address))
        over_grpc = stub(channel).Predict.future(predict_request(png(IMAGE)))
        wait_until(lambda: server.models.rows_waiting(NAME) == 1 and busy(server) == 2)
        ended = clients.submit(server.__exit__)
        told = "the server is stopping; try again later"
        assert (over_rest.result().status, over_rest.result().json()) == (503, {"error": told})
        assert read_answer(slow) == (503, json.dumps({"error": told}).encode())
        assert (over_grpc.code(), over_grpc.details()) == (grpc.StatusCode.UNAVAILABLE, told)
        gate.opened.set()  # what is computed already cannot be broken off
        ended.result(SECONDS)


def test_it_is_ready_once_its_models_are(models, monkeypatch):
    held = threading.Event()
    load = LoadedVersion.__init__

    def slowly(*arguments):
        held.wait(SECONDS)
        load(*arguments)

    monkeypatch.setattr(LoadedVersion, "__init__", slowly)
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


def busy(server):
    """How many requests over REST are under way."""
    return sum(connection.busy for connection in tuple(server._rest._connections))


def status_of_answer(client):
    return read_answer(client)[0]


def read_answer(client):
    response = HTTPResponse(client)
    response.begin()
    return response.status, response.read()


def predict_head(length):
    lines = [f"POST {PREDICT} HTTP/1.1", "Host: localhost", f"Content-Length: {length}", "", ""]
    return "\r\n".join(lines).encode()


def test_a_connection_goes_on_after_a_request_that_was_refused(server):
    """The next request may come in pieces, too."""
    with socket.create_connection(address(server), timeout=SECONDS) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n")
        client.sendall(b"{}")
        assert status_of_answer(client) == 405
        client.sendall(b"GET /heal")
        client.sendall(b"thz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert status_of_answer(client) == 200


@pytest.mark.slow
def test_a_connection_without_a_request_is_closed(models):
    limits = Limits(seconds_idle=0.3)
    with (
        LocalServer({NAME: models}, limits=limits) as server,
        socket.create_connection(address(server), timeout=SECONDS) as client,
    ):
        assert client.recv(1) == b""
        assert ask(server, "/healthz").status == 200


@pytest.mark.slow
def test_a_body_that_does_not_come_in_time_is_told_of(models, caplog):
    with (
        LocalServer({NAME: models}, limits=Limits(seconds_to_send=0.3)) as server,
        socket.create_connection(address(server), timeout=SECONDS) as client,
    ):
        client.sendall(predict_head(len(BODY)) + BODY[:-1])
        message = "expected a request within 0.3 seconds"
        status, body = read_answer(client)
        assert (status, json.loads(body)) == (408, {"error": message})
        assert client.recv(1) == b""
        (line,) = caplog.messages
        assert line == f"REST 127.0.0.1 POST {PREDICT}: 408: {message}"
        wait_until(lambda: busy(server) == 0)
        assert ask(server, body=BODY).status == 200


def test_a_body_with_a_length_beyond_reading_is_refused_in_one_line(server, caplog):
    with socket.create_connection(address(server), timeout=SECONDS) as client:
        client.sendall(predict_head("9" * 5000))
        assert status_of_answer(client) == 413
        assert client.recv(1) == b""
    (line,) = caplog.messages
    assert ": 413: expected a body of at most" in line


@pytest.mark.slow
def test_a_connection_ends_with_its_answer_once_the_server_is_told_to_end(models):
    health = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    limits = Limits(seconds_to_stop=SECONDS)
    with ThreadPoolExecutor(1) as ending, ExitStack() as stack:
        server = LocalServer({NAME: models}, limits=limits).__enter__()
        front = server._rest._front
        slow, client = (
            stack.enter_context(socket.create_connection(address(server), timeout=SECONDS))
            for _ in range(2)
        )
        client.sendall(health)
        assert status_of_answer(client) == 200  # and the connection goes on
        for one in (slow, client):
            one.sendall(predict_head(len(BODY)) + BODY[:-1])
        wait_until(lambda: busy(server) == 2)
        ended = ending.submit(server.__exit__, None, None, None)
        wait_until(lambda: front.stopping)
        client.sendall(BODY[-1:])
        assert status_of_answer(client) == 200
        assert client.recv(1) == b""
        assert not ended.done()  # it waits for the other one
        slow.sendall(BODY[-1:])
        assert status_of_answer(slow) == 200
        ended.result(SECONDS)


def is_healthy(server):
    try:
        return ask(server, "/healthz").status == 200
    except urllib3.exceptions.HTTPError:
        return False


def test_connections_with_a_request_have_a_limit_also_when_many_come_at_once(models, caplog):
    """One too many is closed at once, and there is room again when another has gone."""
    limits = Limits(connections=5, seconds_to_send=1000, seconds_idle=1000)

    def connect():
        return stack.enter_context(socket.create_connection(address(server), timeout=SECONDS))

    with LocalServer({NAME: models}, limits=limits) as server, ExitStack() as stack:
        kept = [connect() for _ in range(5)]
        for client in kept:
            client.sendall(predict_head(len(BODY)) + BODY[:-1])
        wait_until(lambda: busy(server) == 5)
        for client in [connect() for _ in range(40)]:
            with suppress(ConnectionResetError):
                assert client.recv(1) == b""
        assert not is_healthy(server)
        (line,) = caplog.messages  # for all that were refused in this minute
        assert line == "REST 127.0.0.1: there was no room for a connection: 5 may be open"
        for client in kept:
            client.sendall(BODY[-1:])
            assert status_of_answer(client) == 200
        wait_until(lambda: is_healthy(server))


def test_the_connection_longest_without_a_request_makes_room_for_a_new_one(models, caplog):
    limits = Limits(connections=5, seconds_to_send=1000, seconds_idle=1000)
    with LocalServer({NAME: models}, limits=limits) as server, ExitStack() as stack:
        half, silent, *others = (
            stack.enter_context(socket.create_connection(address(server), timeout=SECONDS))
            for _ in range(5)
        )
        half.sendall(predict_head(len(BODY)) + BODY[:-1])
        wait_until(lambda: busy(server) == 1)
        for client in others:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert status_of_answer(client) == 200
        assert is_healthy(server)
        assert silent.recv(1) == b""
        half.sendall(BODY[-1:])
        for client in (half, *others[1:]):  # the first of them may have made room since
            if client is not half:
                client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert status_of_answer(client) == 200
        (line,) = caplog.messages
        assert "the connection longest without a request gave way to a connection" in line


@pytest.mark.slow
def test_the_process_s_open_files_are_shared_by_both_ports_with_some_to_spare(models):
    """As many silent connections at each port as may be, and health is answered."""
    program = f"""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from facenet_lib.serving.server import serve
serve({{{NAME!r}: {str(models)!r}}}, rest_port=0, grpc_port=0)
"""
    with process_of(program) as process, ExitStack() as stack:
        last = [process.stdout.readline() for _ in range(2)][1]
        url, grpc_address = re.fullmatch(r"page: (\S+)/   gRPC: (\S+)\n", last).groups()
        for port in (url, grpc_address):
            place = ("127.0.0.1", int(port.rpartition(":")[2]))
            for _ in range(80):
                stack.enter_context(socket.create_connection(place, timeout=SECONDS))
        with urllib3.PoolManager(timeout=SECONDS, retries=False) as pool:
            for _ in range(3):
                assert pool.request("GET", url + "/healthz").status == 200
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert "the process may open 64 files" in log
    assert "Too many open files" not in log
    assert len([line for line in log.splitlines() if "gave way" in line]) <= 2  # one, and a count


@pytest.mark.slow
def test_a_client_who_left_is_not_computed_for(models, gate):
    with LocalServer({NAME: models}) as server, ThreadPoolExecutor(1) as clients:
        running = clients.submit(ask, server, body=BODY)
        gate.reached.acquire()
        with socket.create_connection(address(server)) as connection:
            connection.sendall(predict_head(len(BODY)) + BODY)
            wait_until(lambda: server.models.rows_waiting(NAME) == 1)
        (waiting,) = server.models._models[NAME].available[1]._waiting
        wait_until(waiting.future.cancelled)
        gate.opened.set()
        assert running.result().status == 200
        assert server.models.batch_sizes(NAME) == {1: 1}


@pytest.mark.slow
def test_a_client_who_left_while_a_long_body_is_parsed_is_not_computed_for(
    models, gate, monkeypatch
):
    reached, parsed = threading.Event(), threading.Event()

    def slowly(body):
        if len(body) > len(BODY):
            reached.set()
            parsed.wait(SECONDS)
        return parse_json(body)

    monkeypatch.setattr("facenet_lib.serving.rest.parse_json", slowly)
    long = BODY.ljust(2**20)
    with LocalServer({NAME: models}) as server, ThreadPoolExecutor(1) as clients:
        running = clients.submit(ask, server, body=BODY)
        gate.reached.acquire()
        with socket.create_connection(address(server)) as connection:
            connection.sendall(predict_head(len(long)) + long)
            reached.wait(SECONDS)
        wait_until(lambda: busy(server) == 1)
        parsed.set()
        version = server.models._models[NAME].available[1]
        wait_until(lambda: [one.future.cancelled() for one in version._waiting] == [True])
        gate.opened.set()
        assert running.result().status == 200
        assert server.models.batch_sizes(NAME) == {1: 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "status"), [("/page/script.js", 200), ("/nowhere", 404)], ids=["answer", "refusal"]
)
def test_a_client_who_does_not_read_is_let_go(models, path, status):
    with LocalServer({NAME: models}, limits=Limits(seconds_to_send=0.5)) as server:
        # The connections' too, so that even short answers fill it soon.
        server._rest._listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        assert ask(server, path).status == status
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
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
    """Head and body leave together: else the second waits 40 milliseconds for the first."""
    with socket.create_connection(address(server), timeout=SECONDS) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head, _, body = client.recv(2**16).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body == b'{"status": "ok"}'
