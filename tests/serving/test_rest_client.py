"""What is the REST client's alone."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from made_up_servers import (
    client_of,
    embedding,
    hang_up,
    refusing,
)

from facenet_lib.errors import FacenetError
from facenet_lib.serving.rest_client import RestClient


def test_bytes_are_sent_many_at_a_time(rest):
    """Three digits a number, and not the twenty of a float."""
    images = np.full((8, 9, 5, 3), 255, np.uint8)
    with client_of(rest, max_message_bytes=4096 + 8 * 800) as client:
        client.embed_tensors(images)
    assert [count for count, _ in rest.batches()] == [8]


def test_a_path_before_the_api_is_kept(rest):
    with RestClient(rest.where + "/behind/a/proxy/") as client:
        client.status()
    assert rest.requests[0][1] == "/behind/a/proxy/v1/models/facenet"


@pytest.mark.slow
def test_one_connection_serves_many_requests_and_many_threads_one_client(rest):
    with client_of(rest) as client:
        for _ in range(5):
            client.embed([b"x"])
        assert rest.connections == 1
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(lambda n: client.embed([b"%d" % n]).embeddings, range(40)))
    np.testing.assert_array_equal(
        np.concatenate(answers), [embedding(b"%d" % n) for n in range(40)]
    )
    assert rest.connections <= 5


@pytest.mark.parametrize(
    "fault",
    [refusing(503), refusing(429), refusing(502, b"<html>"), hang_up],
    ids=["503", "429", "502", "hang up"],
)
def test_rest_tries_again_what_may_pass(rest, fault):
    rest.faults = [fault] * 3
    with client_of(rest) as client:
        assert client.embed([b"x"]).valid.all()
    assert len(rest.requests) == 4


@pytest.mark.parametrize("status", [302, 400, 401, 404, 413, 500, 501, 504])
def test_rest_does_not_try_again_what_would_fail_again(rest, status):
    rest.faults = [refusing(status, Location=f"{rest.where}/elsewhere")] * 2
    with client_of(rest) as client, pytest.raises(FacenetError) as refused:
        client.embed([b"x"])
    assert len(rest.requests) == 1
    for words in (f"{rest.where}/v1/models/facenet:predict", str(status), "its own words"):
        assert words in str(refused.value)


def test_retry_after_is_honoured_as_seconds_and_as_a_date(rest, waits):
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    rest.faults = [refusing(503, Retry_After="3"), refusing(429, Retry_After=later)]
    rest.faults.append(refusing(503, Retry_After="soon"))
    with client_of(rest) as client:
        client.embed([b"x"])
    assert waits[0] == 3.0
    assert 15 < waits[1] <= 20
    assert waits[2] < 1


def test_a_server_that_asks_for_more_patience_than_there_is_is_believed_at_once(rest, waits):
    rest.faults = [refusing(503, Retry_After="3600")]
    with client_of(rest) as client, pytest.raises(FacenetError, match="its own words"):
        client.embed([b"x"])
    assert (len(rest.requests), waits) == (1, [])


def test_a_server_that_comes_late_is_reached(monkeypatch):
    """Nobody listens at first: the connection is refused."""
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        port = kept.getsockname()[1]
        begun: list[ThreadingHTTPServer] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b'{"model_version_status": []}')

            def log_message(self, *words: object) -> None:
                pass

        def begin(seconds: float) -> None:
            if not begun:
                kept.close()
                begun.append(ThreadingHTTPServer(("127.0.0.1", port), Handler))
                threading.Thread(target=begun[0].serve_forever, args=[0.01]).start()

        monkeypatch.setattr("facenet_lib.serving.retries.time.sleep", begin)
        with RestClient(f"http://127.0.0.1:{port}") as client:
            assert client.status() == []
        begun[0].shutdown()
        begun[0].server_close()


def test_a_name_that_nobody_knows_is_told_at_once(waits):
    client = RestClient("http://no-such-host.invalid:8501")
    with client, pytest.raises(FacenetError, match=r"no-such-host\.invalid"):
        client.status()
    assert waits == []


def test_an_answer_without_end_is_not_read_to_its_end(rest, small_answers):
    rest.answer = b"[" * 4_001
    with client_of(rest) as client, pytest.raises(FacenetError, match="at most 4,000 bytes"):
        client.status()
    rest.answer = json.dumps({"model_version_status": [], "x": "y" * 3_000}).encode()
    with client_of(rest) as client:
        assert client.status() == []


def test_a_packed_answer_is_not_unpacked(rest):
    """A few bytes can be packed that are many when they are unpacked."""
    packed = gzip.compress(b'{"model_version_status": []}')
    rest.faults = [refusing(200, packed, Content_Encoding="gzip")]
    with client_of(rest) as client, pytest.raises(FacenetError, match="expected an answer of JSON"):
        client.status()


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("words", [b"\x1b[2J\x07 gone", b'{"error": "\\u001b[2J\\u0007 gone"}'])
def test_a_server_s_words_do_not_steer_the_terminal(rest, status, words):
    rest.faults = [refusing(status, words)]
    with client_of(rest) as client, pytest.raises(FacenetError, match="gone") as refused:
        client.status()
    assert str(refused.value).isprintable()


def test_a_server_s_words_have_an_end(rest):
    rest.faults = [refusing(400, {"error": "x" * 100_000})]
    with client_of(rest) as client, pytest.raises(FacenetError) as refused:
        client.status()
    assert len(str(refused.value)) < 1000


def test_the_rest_client_loads_no_tensorflow(rest):
    program = """
        import sys
        from facenet_lib.serving import RemoteEmbedder, RestClient
        with RestClient(sys.argv[1]) as client:
            assert client.embed([b"one", b"bad"]).valid.tolist() == [True, False]
            client.embed_tensors(__import__("numpy").zeros((1, 2, 2, 3)))
            client.verify([b"one"], [b"two"])
            client.status(), client.metadata()
        RemoteEmbedder(sys.argv[1]).embed([sys.argv[2]])
        print(sorted({"tensorflow", "keras", "matplotlib", "grpc", "PIL"} & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), rest.where, __file__],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
