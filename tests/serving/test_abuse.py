"""What a service on a network meets: damage, haste, sloth and malice; and new versions.

The server runs in a process of its own, as a user starts it, so that its life, its memory and
its log can be watched. After each test it still answers rightly, and its log has no traceback.
FACENET_DAMAGED_IMAGES sets how many damaged images are sent (100).
"""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import serving_models
import tensorflow as tf
import urllib3
from PIL import Image
from serving_models import EMBEDDING_SIZE, NAME, SIDE, b64, expected_embeddings, jpeg, pixels, png
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from facenet_lib.errors import FacenetError
from facenet_lib.input_pipeline import decode_image

pytestmark = pytest.mark.slow  # one server in a process of its own, under all that clients can do

DAMAGED_IMAGES = int(os.environ.get("FACENET_DAMAGED_IMAGES", "100"))
CLIENTS = 4
SECONDS = 300.0  # far more than a healthy server needs for anything here
MAX_BODY = 2**21
PATIENCE = 2.0  # seconds that a client may take to send a request's head, and its body
MAX_CONNECTIONS = 250
MEMORY = 200 * 2**20  # what no request may cost; 10,000 x 10,000 pixels would be 300 MB
PREDICT = f"/v1/models/{NAME}:predict"
METHOD = "/tensorflow.serving.PredictionService/Predict"

PROGRAM = f"""
import sys
from pathlib import Path
from facenet_lib.serving import bounded_log
from facenet_lib.serving.server import serve
from facenet_lib.serving.limits import Limits

bounded_log._LINES_AT_FIRST = sys.maxsize  # the tests count them
serve(
    {{"{NAME}": Path(sys.argv[1])}},
    rest_port=int(sys.argv[2]),
    grpc_port=int(sys.argv[3]),
    poll_seconds=0.2,
    limits=Limits(
        body_bytes={MAX_BODY},
        seconds_to_send={PATIENCE},
        seconds_idle={PATIENCE},
        connections={MAX_CONNECTIONS},
        seconds_to_stop={SECONDS},
    ),
)
"""


@dataclass
class Service:
    process: subprocess.Popen[bytes]
    models: Path
    log: Path
    rest_port: int
    grpc_port: int

    def rest(self, images: Sequence[bytes]) -> tuple[np.ndarray, list[bool]]:
        """Ask for embeddings over a connection of its own."""
        body = json.dumps({"instances": [b64(image) for image in images]})
        status, answer = self.post(body.encode())
        assert status == 200, f"status={status}: {answer!r}"
        rows = json.loads(answer)["predictions"]
        return np.array([row["embeddings"] for row in rows]), [row["valid"] for row in rows]

    def grpc(self, images: Sequence[bytes]) -> tuple[np.ndarray, list[bool]]:
        with self.channel() as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            answer = stub.Predict(predict_request(images), timeout=SECONDS)
        arrays = {name: tf.make_ndarray(tensor) for name, tensor in answer.outputs.items()}
        return arrays["embeddings"], arrays["valid"].tolist()

    def post(self, body: bytes, path: str = PREDICT) -> tuple[int, bytes]:
        with urllib3.PoolManager(retries=False, timeout=SECONDS) as pool:
            answer = pool.request("POST", f"http://127.0.0.1:{self.rest_port}{path}", body=body)
            return answer.status, answer.data

    def connect(self, port: int | None = None) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port or self.rest_port), timeout=SECONDS)

    def channel(self) -> grpc.Channel:
        # Channels to one address share a connection unless they are told not to.
        options = [("grpc.use_local_subchannel_pool", 1)]
        return grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}", options)

    def versions(self) -> dict[int, str]:
        """State of each version."""
        url = f"http://127.0.0.1:{self.rest_port}/v1/models/{NAME}"
        with urllib3.PoolManager(retries=False, timeout=SECONDS) as pool:
            statuses = json.loads(pool.request("GET", url).data).get("model_version_status", [])
        return {int(status["version"]): status["state"] for status in statuses}

    def lines(self) -> list[str]:
        return self.log.read_text(encoding="utf-8").splitlines()

    def peak_memory(self) -> int:
        """Bytes of main memory that the process has held at most since they were last watched."""
        status = Path(f"/proc/{self.process.pid}/status").read_text("utf-8")
        (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1024

    @contextmanager
    def memory_bounded(self, most: int) -> Iterator[None]:
        """What is done inside may cost so many bytes of main memory, at every moment of it."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")  # the peak is now's again
        before = self.peak_memory()
        yield
        assert self.peak_memory() - before < most


def predict_request(images: Sequence[bytes]) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = NAME
    request.inputs["images"].CopyFrom(tf.make_tensor_proto(np.array(images, object)))
    return request


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where versions 1 and 2 lie ready to be served."""
    folder = tmp_path_factory.mktemp("saved") / NAME
    for version in (1, 2):
        serving_models.save_model(folder, version)
    return folder


@pytest.fixture(scope="module")
def service(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("served")
    models = folder / NAME
    models.mkdir()
    serving_models.add_version(saved / "1", models, 1)
    log = folder / "log"
    rest_port, grpc_port = free_ports(2)
    command = [sys.executable, "-c", PROGRAM, models, rest_port, grpc_port]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [str(part) for part in command],
            stdout=output,
            stderr=output,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},  # as the command line has it
        ) as process,
    ):
        service = Service(process, models, log, rest_port, grpc_port)
        try:
            wait_until(lambda: answers(service), process)
            yield service
        finally:
            process.kill()


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [each.getsockname()[1] for each in sockets]


def answers(service: Service) -> bool:
    try:
        return service.versions().get(1) == "AVAILABLE"
    except urllib3.exceptions.HTTPError:
        return False


def wait_until(
    condition: Callable[[], bool], process: subprocess.Popen[bytes] | None = None
) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert process is None or process.poll() is None, "the server ended"
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


@pytest.fixture(autouse=True)
def stays_healthy(service: Service) -> Iterator[None]:
    yield
    assert "Traceback" not in service.log.read_text(encoding="utf-8")
    if service.process.returncode is None:  # the test has not itself seen it end
        assert service.process.poll() is None
        assert_right(service)


def assert_right(service: Service, version: int = 1) -> None:
    image = pixels(1)
    for ask in (service.rest, service.grpc):
        embeddings, valid = ask([png(image)])
        assert valid == [True]
        expected = expected_embeddings(image[np.newaxis], version)
        np.testing.assert_allclose(embeddings, expected, atol=2e-6)


@contextmanager
def lines_in_the_log(service: Service, least: int, most: int) -> Iterator[None]:
    """How many lines what is done inside adds to the log, each of which tells the client."""
    before = len(service.lines())
    yield
    # One refusal more, whose line comes after all others, shows that the log is complete.
    mark = f"mark{before}"
    service.post(b"{}", f"/v1/models/{mark}:predict")
    wait_until(lambda: any(mark in line for line in service.lines()))
    new = service.lines()[before:-1]
    assert least <= len(new) <= most, "\n".join(new)
    assert [line for line in new if "127.0.0.1" not in line] == []


# Damaged images


def damaged_image(index: int) -> bytes:
    """One damaged file; ``index`` tells the kind and the place of the damage."""
    kinds = [cut_short, flipped, other_format, huge, lambda _: b"", noise]
    return kinds[index % len(kinds)](random.Random(index))


def cut_short(random: random.Random) -> bytes:
    whole = random.choice([png, jpeg])(pixels(random.randrange(1000)))
    return whole[: random.randrange(1, len(whole) - 12)]


def flipped(random: random.Random) -> bytes:
    whole = bytearray(random.choice([png, jpeg])(pixels(random.randrange(1000))))
    for _ in range(20):
        whole[random.randrange(len(whole))] ^= 1 << random.randrange(8)
    return bytes(whole)


def other_format(random: random.Random) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(pixels(random.randrange(1000)))
    kind = random.choice(["GIF", "animated GIF", "BMP", "TIFF", "WEBP", "text", "PDF"])
    if kind == "text":
        return b"a sentence, in place of an image"
    if kind == "animated GIF":
        image.save(file, "GIF", save_all=True, append_images=[image.rotate(90)])
    else:
        image.save(file, kind)
    return file.getvalue()


def huge(random: random.Random) -> bytes:
    """A header that promises far more pixels than there are bytes, or a bomb that keeps it."""
    kind = random.choice(["PNG header", "JPEG header", "bomb"])
    if kind == "JPEG header":
        small = jpeg(pixels(0))
        frame = small.index(b"\xff\xc0")
        return small[: frame + 5] + struct.pack(">HH", 65000, 65000) + small[frame + 9 :]
    side = 10_000 if kind == "bomb" else 60_000
    rows = bytes((side // 8 + 1) * side) if kind == "bomb" else b""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    data = png_chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + data + png_chunk(b"IEND", b"")


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def noise(random: random.Random) -> bytes:
    start = random.choice([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"])
    return start + random.randbytes(random.randrange(1, 3000))


def decodes(file: bytes) -> bool:
    """Whether damage left something that is an image still, as a flipped bit can."""
    try:
        decode_image(file)
    except FacenetError:
        return False
    return True


@dataclass(frozen=True)
class File:
    content: bytes
    image: np.ndarray | None  # None: damaged


def mixed_requests(damaged: Sequence[bytes]) -> list[list[File]]:
    """Half good and half damaged files, in requests of two to eight."""
    good = [pixels(seed) for seed in range(len(damaged))]
    mixed = random.Random(0)
    requests = []
    while damaged:
        count = mixed.randint(1, 4)
        request = [File(content, None) for content in damaged[:count]]
        request += [File(png(image), image) for image in good[:count]]
        mixed.shuffle(request)
        requests.append(request)
        damaged, good = damaged[count:], good[count:]
    return requests


def test_damaged_images_among_good_ones(service):
    damaged = [damaged_image(index) for index in range(DAMAGED_IMAGES)]
    still_images = {file for file in damaged if decodes(file)}
    assert len(still_images) < DAMAGED_IMAGES / 10

    def ask(number: int, request: list[File]) -> None:
        call = service.rest if number % 2 else service.grpc
        embeddings, valid = call([file.content for file in request])
        for file, row, is_valid in zip(request, embeddings, valid, strict=True):
            if file.image is not None:
                assert is_valid
                expected = expected_embeddings(file.image[np.newaxis], 1)[0]
                np.testing.assert_allclose(row, expected, atol=2e-6)
            elif file.content not in still_images:
                assert not is_valid
                assert row.tolist() == [0.0] * EMBEDDING_SIZE

    requests = mixed_requests(damaged)
    with (
        service.memory_bounded(MEMORY),
        lines_in_the_log(service, 0, len(damaged)),
        ThreadPoolExecutor(CLIENTS) as clients,
    ):
        list(clients.map(ask, range(len(requests)), requests))


# Versions


@dataclass
class Load:
    """What clients were answered so far, while they ask without a pause."""

    versions: list[int]
    failures: list[str]


@contextmanager
def under_load(service: Service) -> Iterator[Load]:
    load = Load([], [])
    stop = threading.Event()

    def ask(client: int) -> None:
        call = service.rest if client % 2 else service.grpc
        image = pixels(client)
        while not stop.is_set():
            try:
                embeddings, _ = call([png(image)])
                load.versions.append(version_of(embeddings, image))
            except Exception as error:
                load.failures.append(repr(error))
                return

    with ThreadPoolExecutor(CLIENTS) as clients:
        asking = [clients.submit(ask, client) for client in range(CLIENTS)]
        try:
            yield load
        finally:
            stop.set()
    for each in asking:
        each.result()


def version_of(embeddings: np.ndarray, image: np.ndarray) -> int:
    """The version whose answer this is."""
    for version in (1, 2):
        if np.allclose(embeddings, expected_embeddings(image[np.newaxis], version), atol=2e-6):
            return version
    raise AssertionError(f"no version answers {embeddings}")


def test_versions_roll_in_and_out_under_load(service, saved):
    def wait_for_answers() -> int:
        """Let every client ask on; return how many had been answered before."""
        done = len(load.versions)
        wait_until(lambda: len(load.versions) > done + 10 * CLIENTS or bool(load.failures))
        return done

    with under_load(service) as load:
        wait_for_answers()
        serving_models.add_version(saved / "2", service.models, 2)
        wait_until(lambda: service.versions().get(2) == "AVAILABLE")
        wait_until(lambda: service.versions().get(1, "END") == "END")
        rolled_in = wait_for_answers() + CLIENTS  # as many may have been under way
        back = len(load.versions)
        serving_models.remove_version(service.models, 2)
        wait_until(lambda: service.versions().get(1) == "AVAILABLE")
        wait_until(lambda: service.versions().get(2, "END") == "END")
        rolled_out = wait_for_answers() + CLIENTS
    assert load.failures == []
    assert set(load.versions[rolled_in:back]) == {2}
    assert set(load.versions[rolled_out:]) == {1}


def test_a_version_that_cannot_be_loaded_replaces_none(service):
    with under_load(service) as load:
        broken = service.models / "3"
        broken.mkdir()
        (broken / "saved_model.pb").write_bytes(b"no program")
        try:
            wait_until(lambda: service.versions().get(3) == "END")
        finally:
            serving_models.remove_version(service.models, 3)
    assert load.failures == []
    assert set(load.versions) == {1}


# Requests that are too large, too slow or too many


def raw(service: Service, request: bytes) -> tuple[int, bytes]:
    """Send bytes as they are; return status and body, or 0 when the connection was closed."""
    with service.connect() as connection:
        try:
            connection.sendall(request)
            return read_answer(connection)
        except (ConnectionError, HTTPException):
            return 0, b""


def read_answer(connection: socket.socket) -> tuple[int, bytes]:
    response = HTTPResponse(connection)
    response.begin()
    return response.status, response.read()


def head(*fields: str, path: str = PREDICT) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def test_a_body_over_the_limit_is_refused_before_it_is_sent(service):
    with lines_in_the_log(service, 1, 1):
        status, answer = raw(service, head(f"Content-Length: {10**12}"))
    assert status == 413
    assert json.loads(answer)["error"]


def test_a_body_over_the_limit_in_chunks_is_refused(service):
    chunk = b"10000\r\n" + bytes(2**16) + b"\r\n"
    with (
        service.memory_bounded(20 * MAX_BODY),
        lines_in_the_log(service, 1, 1),
        service.connect() as connection,
    ):
        connection.sendall(head("Transfer-Encoding: chunked"))
        with pytest.raises(ConnectionError):  # without end, unless the server makes one
            while True:
                connection.sendall(chunk)


def test_a_body_just_under_the_limit_is_answered(service):
    body = json.dumps({"instances": [b64(png(pixels(1)))]}).encode()
    status, answer = service.post(body.ljust(MAX_BODY))
    assert status == 200, answer
    status, answer = service.post(body.ljust(MAX_BODY + 1))
    assert status == 413, answer


def test_a_packed_body_that_would_fill_the_memory_is_refused(service):
    packed = gzip.compress(bytes(300 * 2**20))
    assert len(packed) < MAX_BODY
    fields = ("Content-Encoding: gzip", f"Content-Length: {len(packed)}")
    with service.memory_bounded(20 * MAX_BODY), lines_in_the_log(service, 1, 1):
        status, answer = raw(service, head(*fields) + packed)
    assert status == 413
    assert json.loads(answer)["error"]


def test_a_grpc_message_over_the_limit_is_refused(service):
    with service.channel() as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(predict_request([bytes(2 * MAX_BODY)]), timeout=SECONDS)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"POST /v1", id="in the first line"),
        pytest.param(head("Content-Length: 100")[:-2], id="in the header"),
        pytest.param(head("Content-Length: 100") + b"{", id="in the body"),
        pytest.param(head("Transfer-Encoding: chunked") + b"5\r\n{", id="in a chunk"),
    ],
)
def test_slow_clients_are_sent_away(service, start):
    """They go on sending a byte now and then, so that no pause alone tells them from others."""
    slow_clients = 10
    with lines_in_the_log(service, 0, slow_clients), ExitStack() as stack:
        connections = [stack.enter_context(service.connect()) for _ in range(slow_clients)]
        for connection in connections:
            connection.sendall(start)
        assert_right(service)
        deadline = time.monotonic() + SECONDS
        waiting = connections
        while waiting:
            assert time.monotonic() < deadline, f"{len(waiting)} were never sent away"
            waiting = [connection for connection in waiting if not sent_away(connection)]


def sent_away(connection: socket.socket) -> bool:
    try:
        connection.sendall(b"a")
        connection.settimeout(0.05)
        answer = connection.recv(1000)
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return not answer or answer.split()[1] == b"408"


def test_idle_connections_starve_nobody(service):
    with lines_in_the_log(service, 0, 250), ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(service.connect())
        for _ in range(50):
            stack.enter_context(service.connect(service.grpc_port))
        with ThreadPoolExecutor(CLIENTS) as clients:
            for each in [clients.submit(assert_right, service) for _ in range(20)]:
                each.result()


ONE_REQUEST = json.dumps({"instances": [b64(png(pixels(1)))]}).encode()
ONE_REQUEST = head(f"Content-Length: {len(ONE_REQUEST)}", "Connection: close") + ONE_REQUEST


def test_idle_connections_make_room_for_new_ones(service):
    with lines_in_the_log(service, 0, 1), ExitStack() as stack:
        for _ in range(MAX_CONNECTIONS + 20):
            stack.enter_context(service.connect())
        assert raw(service, ONE_REQUEST)[0] == 200


def test_a_connection_too_many_is_refused_until_there_is_room(service):
    def refused_when_full() -> bool:
        with ExitStack() as stack:
            for _ in range(MAX_CONNECTIONS + 20):
                busy = stack.enter_context(service.connect())
                busy.sendall(ONE_REQUEST[:-1])
            time.sleep(0.1)  # one whose bytes the server has not read yet counts as idle
            return raw(service, ONE_REQUEST)[0] in (0, 503)

    with lines_in_the_log(service, 0, 2 * MAX_CONNECTIONS):
        wait_until(refused_when_full)
        wait_until(lambda: raw(service, ONE_REQUEST)[0] == 200)


def test_clients_who_do_not_wait_for_the_answer(service):
    with lines_in_the_log(service, 0, 60):
        for part in (0.5, 1.0):
            for _ in range(20):
                with service.connect() as connection:
                    connection.sendall(ONE_REQUEST[: int(part * len(ONE_REQUEST))])
        with service.channel() as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            for _ in range(20):
                stub.Predict.future(predict_request([png(pixels(1))])).cancel()


def test_more_at_once_than_may_wait_is_answered_or_refused_for_now(service):
    images = np.stack([pixels(seed) for seed in range(32)])
    files = [png(image) for image in images]
    expected = expected_embeddings(images, 1)

    def ask(client: int) -> bool:
        try:
            embeddings, _ = (service.rest if client % 2 else service.grpc)(files)
        except AssertionError as error:
            assert "status=503" in str(error)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE
        else:
            np.testing.assert_allclose(embeddings, expected, atol=2e-6)
            return True
        return False

    clients = 60
    with lines_in_the_log(service, 0, clients), ThreadPoolExecutor(clients) as pool:
        assert any(pool.map(ask, range(clients)))


# Names and bytes that were never meant


PATH_TRICKS = [
    "/v1/models/../../../etc/passwd",
    "/v1/models/..%2f..%2f..%2fetc%2fpasswd",
    "/v1/models/%2e%2e/%2e%2e/etc/passwd:predict",
    f"/v1/models/{NAME}%00:predict",
    f"/v1/models/{NAME}/../{NAME}:predict",
    f"/v1/models/{NAME}/versions/../../../secret:predict",
    f"/v1/models/{NAME}/labels/..%2f1:predict",
    f"/v1/models/{NAME}/versions/{'9' * 5000}:predict",
    "/v1/models/%ff%fe:predict",
    "/v1/models/%:predict",
    "/v1/models/%0a2026-01-01%20forged%20line%0d%0a:predict",
    "/v1/models/%1b[31mred:predict",
    "/v1/models/%E2%80%A8line:predict",
    "/v1/models/" + "a" * 20000 + ":predict",
    "/page/..%2f..%2f__init__.py",
    "/page/../server.py",
    "/page/faces/..%2f..%2fetc%2fpasswd",
    "/page/faces/-1.jpg",
    "//etc/passwd",
    "http://example.com/v1/models/x:predict",
]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", PATH_TRICKS, ids=lambda path: path[:40])
def test_path_tricks(service, method, path):
    request = head("Content-Length: 2", "Connection: close", path=path) + b"{}"
    before = len(service.lines())
    with lines_in_the_log(service, 0, 1):
        status, answer = raw(service, request.replace(b"POST", method.encode(), 1))
    assert 400 <= status < 500
    assert b"root:" not in answer
    assert b"import" not in answer
    assert all(line.isprintable() for line in service.lines()[before:])


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), id="TLS"),
        pytest.param(b"GET\r\n\r\n", id="no path"),
        pytest.param(b"\r\n" * 100 + b"nonsense\r\n\r\n", id="nonsense"),
        pytest.param(head("Content-Length: -1"), id="negative length"),
        pytest.param(head("Content-Length: many"), id="length in words"),
        pytest.param(head(f"Content-Length: {'9' * 5000}"), id="length of many digits"),
        pytest.param(head("Content-Length: 1", "Content-Length: 2") + b"{}", id="two lengths"),
        pytest.param(
            head("Content-Length: 5", "Transfer-Encoding: gzip, what") + b"{}\r\n",
            id="unknown coding",
        ),
        pytest.param(head("Transfer-Encoding: chunked") + b"zz\r\n{}\r\n", id="no chunk size"),
        pytest.param(head(f"X-Long: {'a' * 200_000}"), id="long header"),
        pytest.param(head(*[f"X-{n}: a" for n in range(20_000)]), id="many headers"),
        pytest.param(head("Bad Header"), id="header without a colon"),
    ],
)
def test_malformed_http(service, request_):
    with lines_in_the_log(service, 0, 1):
        status, _ = raw(service, request_)
    assert status == 0 or 400 <= status < 600


@pytest.mark.parametrize(
    "bytes_",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", id="HTTP/1"),
        pytest.param(random.Random(1).randbytes(5000), id="random"),
        pytest.param(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + random.Random(2).randbytes(5000),
            id="HTTP/2 and then random",
        ),
    ],
)
def test_the_grpc_port_takes_any_bytes(service, bytes_):
    with lines_in_the_log(service, 0, 1), service.connect(service.grpc_port) as connection:
        try:
            connection.sendall(bytes_)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(2**16):
                pass
        except ConnectionError:
            pass


GOOD_BODY = json.dumps({"instances": [b64(png(pixels(1))), b64(png(pixels(2)))]}).encode()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b'{"instances": ' * 50_000, id="deep objects"),
        pytest.param(b'{"instances": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", id="deep and whole"),
        pytest.param(b'{"instances": [' + b"9" * 10_000 + b"]}", id="long number"),
        pytest.param(b'{"instances": ["\xff\xfe"]}', id="not UTF-8"),
        pytest.param(b'{"instances": ["\\ud800"], "signature_name": "\\ud800"}', id="surrogate"),
        pytest.param(b'{"instances": ["a"], "signature_name": "\\u0000\\n\\u001b"}', id="controls"),
        pytest.param(b'{"instances": [{"b64": "\\ud800"}]}', id="surrogate in base64"),
        pytest.param(b'{"instances": [[]]}', id="empty row"),
        pytest.param(b'{"instances": [[[[[[]]]]]]}', id="empty rows"),
        pytest.param(b'{"instances": NaN}', id="NaN"),
        pytest.param(b'{"inputs": null}', id="null"),
        pytest.param(b"{'instances': ['a']}", id="Python"),
        pytest.param("{}".encode("utf-16"), id="UTF-16"),
        pytest.param(b"\x00" * 1000, id="zeros"),
        pytest.param(GOOD_BODY[:-1], id="cut short"),
        pytest.param(GOOD_BODY.replace(b'"}', b'"', 1), id="no brace"),
    ],
)
def test_malformed_json(service, body):
    with lines_in_the_log(service, 1, 1):
        status, answer = service.post(body)
    assert status == 400, answer
    assert list(json.loads(answer)) == ["error"]
    assert len(answer) < 2000  # it does not send the whole request back


def test_json_with_a_few_bytes_changed(service):
    """Answered or refused, whatever the bytes have become."""
    for seed in range(60):
        changed = random.Random(seed)
        body = bytearray(GOOD_BODY)
        for _ in range(changed.randint(1, 8)):
            # Half of them in the first bytes, where the structure is.
            last = changed.choice([40, len(body)])
            body[changed.randrange(last)] = changed.randrange(256)
        status, answer = service.post(bytes(body))
        assert status in (200, 400), answer


def tensor(dtype: int, *shape: int, **values: Any) -> tensor_pb2.TensorProto:
    proto = tensor_pb2.TensorProto(dtype=dtype, **values)
    for size in shape:
        proto.tensor_shape.dim.add().size = size
    return proto


def request_of(proto: tensor_pb2.TensorProto, signature: str = "embed_tensors") -> bytes:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = NAME
    request.model_spec.signature_name = signature
    request.inputs["images"].CopyFrom(proto)
    return request.SerializeToString()


FLOAT, STRING = types_pb2.DT_FLOAT, types_pb2.DT_STRING
GOOD_MESSAGE = predict_request([png(pixels(1))]).SerializeToString()


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"\xff" * 100, id="no protobuf"),
        pytest.param(random.Random(0).randbytes(1000), id="random"),
        pytest.param(GOOD_MESSAGE[:-5], id="cut short"),
        pytest.param(b"", id="empty"),
        pytest.param(request_of(tensor(FLOAT, -1, SIDE, SIDE, 3)), id="negative size"),
        pytest.param(request_of(tensor(FLOAT, 2**40, float_val=[1.0])), id="too large by far"),
        pytest.param(request_of(tensor(FLOAT, 1, 13_000, 13_000, 3, float_val=[1.0])), id="a bomb"),
        pytest.param(
            request_of(tensor(FLOAT, *[2**31] * 4, float_val=[1.0])), id="sizes that overflow"
        ),
        pytest.param(request_of(tensor(FLOAT, 0, 2**62, 2**62, 3)), id="nothing, but wide"),
        pytest.param(request_of(tensor(FLOAT, *[1] * 500, float_val=[1.0])), id="500 dimensions"),
        pytest.param(request_of(tensor(999, 1, float_val=[1.0])), id="unknown type"),
        pytest.param(request_of(tensor(0)), id="no type"),
        pytest.param(request_of(tensor(types_pb2.DT_RESOURCE, 1)), id="resource"),
        pytest.param(request_of(tensor(types_pb2.DT_VARIANT, 1)), id="variant"),
        pytest.param(request_of(tensor(types_pb2.DT_FLOAT_REF, 1)), id="reference"),
        pytest.param(
            request_of(tensor(STRING, 10**7, string_val=[b"a"]), "serving_default"),
            id="many strings in one",
        ),
        pytest.param(
            request_of(tensor(STRING, 2, tensor_content=b"\xff\xff"), "serving_default"),
            id="strings as bytes",
        ),
        pytest.param(
            request_of(tensor(STRING, 1, string_val=[b"a", b"b", b"c"]), "serving_default"),
            id="more strings than room",
        ),
    ],
)
def test_malformed_protobuf(service, message):
    with (
        service.memory_bounded(MEMORY),
        lines_in_the_log(service, 0, 1),
        service.channel() as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        channel.unary_unary(METHOD)(message, timeout=SECONDS)
    refusals = {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.INTERNAL,  # gRPC's own word for bytes that are no message
    }
    assert caught.value.code() in refusals
    assert len(caught.value.details()) < 2000


def test_names_over_grpc(service):
    with service.channel() as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for name in ("../../etc/passwd", "a" * 100_000, "tiny\0", "forged\nline", "\x1b[31m"):
            request = predict_request([png(pixels(1))])
            request.model_spec.name = name
            with lines_in_the_log(service, 1, 1), pytest.raises(grpc.RpcError) as caught:
                stub.Predict(request, timeout=SECONDS)
            assert caught.value.code() == grpc.StatusCode.NOT_FOUND


# The end


def listens(service: Service) -> bool:
    try:
        service.connect().close()
    except ConnectionError:
        return False
    return True


def test_it_stops_gracefully_under_load(service):
    """What was taken on is answered, in whole; what comes later finds a closed door.

    The last test: it ends the server.
    """
    with under_load(service) as load:
        wait_until(lambda: len(load.versions) > 10 * CLIENTS)
        assert load.failures == []
        with service.connect() as half_sent:
            half_sent.sendall(ONE_REQUEST[:-1])
            assert_right(service)  # by now it has read that
            for _ in range(2):  # as managers of processes do
                service.process.send_signal(signal.SIGTERM)
            wait_until(lambda: not listens(service))
            half_sent.sendall(ONE_REQUEST[-1:])
            assert read_answer(half_sent)[0] == 200
        assert service.process.wait(SECONDS) == 0
    assert set(load.versions) == {1}
    closed_doors = (
        "Connection refused",
        "Connection reset",
        "closed connection without response",  # accepted, and its request had not come yet
        "status=503",
        "UNAVAILABLE",
        "CANCELLED",
    )
    for failure in load.failures:
        assert any(words in failure for words in closed_doors), failure
