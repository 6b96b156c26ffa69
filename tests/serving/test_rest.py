"""The REST front beside the protocol: the page, hosts, waiting, and a model of ours."""

import gzip
import json
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import grpc
import numpy as np
import pytest
import tensorflow as tf
from asking_servers import (
    BODY,
    PREDICT,
    SECONDS,
    address,
    ask,
    predict_request,
    stub,
    wait_until,
)
from PIL import Image
from serving_models import NAME, b64
from tensorflow_serving.apis import predict_pb2
from toy_training import SETTINGS, draw_people, load_run, train

from facenet_lib import runs
from facenet_lib.errors import FacenetError
from facenet_lib.export.saved_model import export_model
from facenet_lib.model_card import CARD
from facenet_lib.models import load_embedder
from facenet_lib.serving.batching import Batching
from facenet_lib.serving.compression import GzipUnpacker
from facenet_lib.serving.limits import Limits
from facenet_lib.serving.server import LocalServer
from facenet_lib.serving.versions import ServedModels

# Requests that wait


@pytest.mark.slow
def test_what_is_not_answered_in_time_is_given_up(models, gate):
    with LocalServer({NAME: models}, limits=Limits(seconds_to_answer=0.3)) as server:
        answer = ask(server, body=BODY)
        assert (answer.status, answer.json()) == (504, {"error": "not answered in time"})
        gate.opened.set()


@pytest.mark.slow
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
        gate.opened.set()
        assert running.result().status == waiting.result().status == 200


@pytest.mark.slow
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


# Bodies that were packed


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip"])
def test_a_body_in_another_encoding_is_refused(server, encoding):
    answer = ask(server, body=BODY, **{"Content-Encoding": encoding})
    assert answer.status == 415
    assert answer.headers["accept-encoding"] == "gzip"
    assert f"found {encoding}" in answer.json()["error"]


def packed(body, encoding="gzip"):
    return {"body": gzip.compress(body), "Content-Encoding": encoding}


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip"])
def test_a_body_packed_by_gzip_is_a_body(server, encoding):
    answer = ask(server, **packed(BODY, encoding))
    assert (answer.status, answer.json()) == (200, ask(server, body=BODY).json())
    assert ask(server, "/healthz", **{"Content-Encoding": encoding}).status == 200


@pytest.mark.parametrize("spoilt", [BODY, gzip.compress(BODY)[:-9]], ids=["plain", "cut short"])
def test_what_gzip_did_not_pack_is_refused(server, spoilt):
    answer = ask(server, body=spoilt, **{"Content-Encoding": "gzip"})
    assert answer.status == 400
    assert "packed by gzip" in answer.json()["error"]


def test_the_limit_is_that_of_the_body_unpacked(models):
    with LocalServer({NAME: models}, limits=Limits(body_bytes=len(BODY))) as server:
        assert ask(server, **packed(BODY)).status == 200
        answer = ask(server, **packed(BODY + b" "))
        assert answer.status == 413
        assert answer.json() == {"error": f"expected a body of at most {len(BODY)} bytes"}
    limits = Limits(total_body_bytes=len(BODY) - 1)
    with LocalServer({NAME: models}, limits=limits) as server:
        assert ask(server, **packed(BODY)).status == 503


@pytest.mark.slow
def test_a_body_that_would_fill_the_memory_is_refused_while_it_is_unpacked(models, monkeypatch):
    """What is unpacked is no more than the limit and a piece, of 300 times as much."""
    unpack, bytes_unpacked = GzipUnpacker.unpack, []

    def counted(unpacker, chunk):
        for piece in unpack(unpacker, chunk):
            bytes_unpacked.append(len(piece))
            yield piece

    monkeypatch.setattr(GzipUnpacker, "unpack", counted)
    with LocalServer({NAME: models}, limits=Limits(body_bytes=2**20)) as server:
        answer = ask(server, **packed(bytes(300 * 2**20)))
        assert answer.status == 413
        assert ask(server, body=BODY).status == 200
    assert sum(bytes_unpacked) <= 2**20 + 2**16


def test_a_packed_body_that_takes_too_long_is_refused_once(models, monkeypatch, caplog):
    def slow(unpacker, chunk):
        while not caplog.messages:
            time.sleep(0.01)
            yield b" "
        yield bytes(10_000)  # too many: a second reason to refuse it

    monkeypatch.setattr(GzipUnpacker, "unpack", slow)
    limits = Limits(body_bytes=5_000, seconds_to_send=0.1)
    with LocalServer({NAME: models}, limits=limits) as server:
        assert ask(server, **packed(BODY)).status == 408
    assert len(caplog.messages) == 1


# Pages elsewhere

ELSEWHERE = "https://example.com"


def cors(answer):
    named = {name.lower(): value for name, value in answer.headers.items()}
    return {name: value for name, value in named.items() if "control-allow" in name}


def test_a_script_elsewhere_may_ask_where_its_origin_is_allowed(models):
    with LocalServer({NAME: models}, allowed_origins=[ELSEWHERE, "http://[::1]:3000"]) as server:
        for origin in (ELSEWHERE, "http://[::1]:3000"):
            allowed = {"access-control-allow-origin": origin}
            preflight = ask(server, method="OPTIONS", Origin=origin)
            assert (preflight.status, preflight.data) == (200, b"")
            assert cors(preflight).items() > allowed.items()
            assert cors(preflight)["access-control-allow-methods"] == "GET, POST"
            assert "content-type" in cors(preflight)["access-control-allow-headers"]
            for body in (BODY, b"{}"):  # so that a refusal can be read, too
                answer = ask(server, body=body, Origin=origin)
                assert cors(answer) == allowed
                assert answer.headers["vary"] == "origin"
        for origin in ("https://example.com.evil.org", "http://example.com", "null", ""):
            preflight = ask(server, method="OPTIONS", Origin=origin or "x://")
            assert "access-control-allow-origin" not in preflight.headers
            answer = ask(server, body=BODY, **({"Origin": origin} if origin else {}))
            assert (answer.status, cors(answer), answer.headers["vary"]) == (200, {}, "origin")
        assert cors(ask(server, "/page/model", Origin=ELSEWHERE)) == {}
    with LocalServer({NAME: models}, allowed_origins=["*"]) as server:
        answer = ask(server, body=BODY, Origin=ELSEWHERE)
        assert cors(answer) == {"access-control-allow-origin": "*"}


def test_no_script_elsewhere_may_ask_unless_it_is_told(server):
    for options in ({"method": "OPTIONS"}, {"body": BODY}):
        answer = ask(server, Origin=ELSEWHERE, **options)
        assert answer.status == 200
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", ["example.com", "https://example.com/", "ftp://x", "null", ""])
def test_what_is_no_origin_is_refused(models, origin):
    with pytest.raises(FacenetError, match="origin: expected a scheme, a host and a port"):
        LocalServer({NAME: models}, allowed_origins=[origin])


def test_the_version_that_answers_is_looked_up_once(models, server, monkeypatch):
    """So that no new version can come between the reading of a request and its answer."""
    looked_up = []
    look_up = ServedModels.version

    def counted(*choice):
        looked_up.append(choice)
        return look_up(*choice)

    monkeypatch.setattr(ServedModels, "version", counted)
    for path in (PREDICT, f"/v1/models/{NAME}/versions/1:predict"):
        assert ask(server, path, BODY).status == 200
    assert ask(server, f"/v1/models/{NAME}/metadata").status == 200
    assert len(looked_up) == 3


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


@pytest.mark.slow
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
    answer = ask(server, "/page/model")
    assert answer.status == 404
    assert answer.json() == {"error": f"{NAME}: this model has no card"}


@pytest.mark.parametrize("card", [b"\xff", b"[]", b"{}", b'{"preprocessing": {}}'])
def test_nor_has_one_with_a_damaged_card(models, server, card):
    path = models / "1" / CARD
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(card)
    try:
        assert ask(server, "/page/model").status == 404
    finally:
        path.unlink()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_the_page_is_for_reading(server, method):
    answer = ask(server, "/", method=method)
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD"


def test_a_refusal_does_not_send_the_request_back(server):
    answer = ask(server, f"/v1/models/{NAME}/versions/{'9' * 5000}")
    assert answer.status == 400
    assert answer.json()["error"].startswith("Failed to convert version: 999")
    assert len(answer.data) < 400


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


# A model of ours


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A run, its folder of one exported version, and the images that it was trained on."""
    root = tmp_path_factory.mktemp("exported")
    faces = draw_people(root / "faces", "Known")
    config = runs.TrainingConfig(**SETTINGS | {"crop_size": 60, "epochs": 1})
    train(config, faces, root / "run", progress=False)
    export_model(load_run(root / "run"), root / "facenet")
    return root / "facenet", [path for paths in faces.values() for path in paths[:3]]


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("value", "told"),
    [
        (float("nan"), "found values from nan to nan"),
        (float("inf"), "found values from inf to inf"),
        (1e30, "found values from 1e+30 to 1e+30"),
        (-1.0, "found values from -1 to -1"),
        (0.5, "found fractions from 0.5 to 0.5"),
    ],
)
def test_what_can_be_no_pixels_is_refused_by_the_model_s_server(exported, value, told):
    """And not by that of any model: the protocol's suite sends such numbers to another one."""
    images = np.full((3, 80, 80, 3), 128, np.float32)
    with LocalServer({"facenet": exported[0]}) as server:
        url = "/v1/models/facenet:predict"
        document = {"signature_name": "embed_tensors", "inputs": images.tolist()}
        good = ask(server, url, json.dumps(document).encode()).json()["outputs"]
        np.testing.assert_allclose(np.linalg.norm(good, axis=1), 1, atol=1e-5)
        images[2] = value
        document["inputs"] = images.tolist()
        answer = ask(server, url, json.dumps(document).encode())
        assert answer.status == 400
        assert f"images[2]: expected pixels from 0 to 255, {told}" in answer.json()["error"]
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = "facenet", "embed_tensors"
        request.inputs["images"].CopyFrom(tf.make_tensor_proto(images))
        with grpc.insecure_channel(server.grpc_address) as channel:
            call = stub(channel).Predict.future(request, timeout=SECONDS)
            assert call.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert f"images[2]: expected pixels from 0 to 255, {told}" in call.details()
