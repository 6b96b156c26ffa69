"""TensorFlow Serving's REST and gRPC protocols, as its documentation and sources tell them.

One suite for two servers: the library's own, and TensorFlow Serving itself where this computer
has it. Of a server it knows two addresses. What the documentation leaves open is not asked for,
and which answers are right is computed by ``serving_models`` with numpy.
"""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, Protocol

import grpc
import numpy as np
import pytest
import serving_models
import tensorflow as tf
import urllib3
from grpc_health.v1 import health_pb2, health_pb2_grpc
from serving_models import (
    EMBEDDING_SIZE,
    NAME,
    SIDE,
    THRESHOLD,
    b64,
    expected_distances,
    expected_embeddings,
    pixels,
    png,
)
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from facenet_lib.errors import FacenetError
from facenet_lib.serving.configuration import TENSORFLOW_SERVING_IMAGE, ServedModel
from facenet_lib.serving.server import LocalServer
from facenet_lib.serving.tensorflow_serving import (
    find_tensorflow_serving,
    start_tensorflow_serving,
)

VERSIONS = (1, 2)
LATEST = 2
LABELS = {"stable": 1, "canary": 2}
AVAILABLE = get_model_status_pb2.ModelVersionStatus.AVAILABLE
SECONDS = 300.0  # far more than a server that answers at all takes
MODEL = f"/v1/models/{NAME}"
PREDICT = f"{MODEL}:predict"

IMAGES = np.stack([pixels(seed) for seed in range(3)])
FILES = [png(image) for image in IMAGES]
NO_IMAGE = b"this is not an image"
TENSORS = IMAGES.astype(np.float32)


class Server(Protocol):
    rest_url: str
    grpc_address: str


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served") / NAME
    for version in VERSIONS:
        serving_models.save_model(folder, version)
    return folder


def why_no_tensorflow_serving() -> str:
    """Why the suite does not run against TensorFlow Serving; empty where it does."""
    try:
        kind = find_tensorflow_serving()
    except FacenetError as error:
        return str(error)
    inspect = ["docker", "image", "inspect", TENSORFLOW_SERVING_IMAGE]
    if kind == "docker" and subprocess.run(inspect, capture_output=True, check=False).returncode:
        return f"Docker has no image {TENSORFLOW_SERVING_IMAGE}, and tests fetch none"
    return ""


WHY_NOT = why_no_tensorflow_serving()


@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
def test_tensorflow_serving_is_here():
    """Skipped, with the reason, once and not once for each of the tests below."""
    assert find_tensorflow_serving() in ("binary", "docker")


@pytest.fixture(scope="module", params=["local"] + ["tensorflow_serving"] * (not WHY_NOT))
def server(request: pytest.FixtureRequest, models: Path) -> Iterator[Server]:
    if request.param == "local":
        running = LocalServer({NAME: models}, versions="all", labels={NAME: LABELS})
    else:
        served = ServedModel(models, NAME, versions=VERSIONS, labels=LABELS)
        running = start_tensorflow_serving([served])
    with running as server:
        wait_for_every_version(server)
        yield server


def wait_for_every_version(server: Server) -> None:
    deadline = time.monotonic() + SECONDS
    with grpc.insecure_channel(server.grpc_address) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        available = set()
        while available != set(VERSIONS):
            assert time.monotonic() < deadline, f"only {available or 'nothing'} became available"
            answer = stub.GetModelStatus(status_request(), timeout=SECONDS, wait_for_ready=True)
            available = {
                status.version
                for status in answer.model_version_status
                if status.state == AVAILABLE
            }
            time.sleep(0.05)


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[Http]:
    with urllib3.PoolManager(retries=False, timeout=SECONDS, maxsize=8) as pool:
        yield Http(pool, server.rest_url)


@pytest.fixture(scope="module")
def channel(server: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.grpc_address) as channel:
        yield channel


@pytest.fixture
def prediction(channel: grpc.Channel) -> prediction_service_pb2_grpc.PredictionServiceStub:
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture
def model_service(channel: grpc.Channel) -> model_service_pb2_grpc.ModelServiceStub:
    return model_service_pb2_grpc.ModelServiceStub(channel)


@dataclass(frozen=True)
class Http:
    pool: urllib3.PoolManager
    url: str

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send ``body``: bytes and text as they are, anything else as JSON."""
        if body is not None and not isinstance(body, bytes | str):
            body = json.dumps(body)
        return self.pool.request(method, self.url + path, body=body, headers=headers)

    def get(self, path: str) -> Any:
        return self._json(self.request("GET", path))

    def predict(self, body: Any, path: str = PREDICT) -> Any:
        return self._json(self.request("POST", path, body))

    def refused(self, method: str, path: str, body: Any = None) -> int:
        """Send what must be refused; return the status, after a look at the error's shape."""
        answer = self.request(method, path, body)
        assert answer.status >= HTTPStatus.BAD_REQUEST, answer.data
        error = json.loads(answer.data)
        assert list(error) == ["error"]
        assert isinstance(error["error"], str)
        assert error["error"]
        assert answer.headers["Content-Type"].startswith("application/json")
        return answer.status

    @staticmethod
    def _json(answer: Any) -> Any:
        assert answer.status == HTTPStatus.OK, answer.data
        assert answer.headers["Content-Type"].startswith("application/json")
        return json.loads(answer.data)


def assert_embeddings(answer: Any, images: np.ndarray = IMAGES, version: int = LATEST) -> None:
    np.testing.assert_allclose(answer, expected_embeddings(images, version), atol=2e-6)


# REST: status and metadata


def status_of(version: int) -> dict[str, Any]:
    # An int64 is a string in protobuf's JSON, and fields at their default are written out.
    return {
        "version": str(version),
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }


def test_status_tells_every_version(http):
    answer = http.get(MODEL)
    assert list(answer) == ["model_version_status"]
    told = sorted(answer["model_version_status"], key=lambda status: status["version"])
    assert told == [status_of(version) for version in VERSIONS]


@pytest.mark.parametrize("version", VERSIONS)
def test_status_of_one_version(http, version):
    answer = http.get(f"{MODEL}/versions/{version}")
    assert answer == {"model_version_status": [status_of(version)]}


@pytest.mark.parametrize("label", LABELS)
def test_status_by_label_tells_the_labelled_version(http, label):
    answer = http.get(f"{MODEL}/labels/{label}")
    assert status_of(LABELS[label]) in answer["model_version_status"]


@pytest.mark.parametrize("path", ["/v1/models/nobody", f"{MODEL}/versions/7"])
def test_status_of_what_is_not_there(http, path):
    assert http.refused("GET", path) == HTTPStatus.NOT_FOUND


def tensor_info(dtype: str, *shape: int) -> dict[str, Any]:
    return {
        "dtype": dtype,
        "tensor_shape": {
            "dim": [{"size": str(size), "name": ""} for size in shape],
            "unknown_rank": False,
        },
    }


SIGNATURES = {
    "serving_default": {
        "inputs": {"images": tensor_info("DT_STRING", -1)},
        "outputs": {
            "embeddings": tensor_info("DT_FLOAT", -1, EMBEDDING_SIZE),
            "valid": tensor_info("DT_BOOL", -1),
        },
    },
    "embed_tensors": {
        "inputs": {"images": tensor_info("DT_FLOAT", -1, -1, -1, 3)},
        "outputs": {"embeddings": tensor_info("DT_FLOAT", -1, EMBEDDING_SIZE)},
    },
    "verify": {
        "inputs": {
            "images_a": tensor_info("DT_STRING", -1),
            "images_b": tensor_info("DT_STRING", -1),
        },
        "outputs": {
            "distances": tensor_info("DT_FLOAT", -1),
            "same": tensor_info("DT_BOOL", -1),
            "valid": tensor_info("DT_BOOL", -1),
        },
    },
}


@pytest.mark.parametrize(
    ("path", "version"),
    [("", LATEST), ("/versions/1", 1), ("/versions/2", 2), ("/labels/stable", 1)],
)
def test_metadata(http, path, version):
    answer = http.get(f"{MODEL}{path}/metadata")
    assert answer["model_spec"]["name"] == NAME
    assert answer["model_spec"]["version"] == str(version)
    assert list(answer["metadata"]) == ["signature_def"]
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    for name, expected in SIGNATURES.items():
        assert signatures[name]["method_name"] == "tensorflow/serving/predict"
        for side in ("inputs", "outputs"):
            told = signatures[name][side]
            assert all(info["name"] for info in told.values())  # of the graph's tensor
            unnamed = {
                key: {k: v for k, v in info.items() if k != "name"} for key, info in told.items()
            }
            assert unnamed == expected[side]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/models/nobody/metadata", HTTPStatus.NOT_FOUND),
        (f"{MODEL}/versions/7/metadata", HTTPStatus.NOT_FOUND),
        (f"{MODEL}/labels/unheard_of/metadata", HTTPStatus.BAD_REQUEST),
    ],
)
def test_metadata_of_what_is_not_there(http, path, status):
    assert http.refused("GET", path) == status


# REST: predict


def test_rows_in_short_form(http):
    """One input: the value itself. Several outputs: an object a row."""
    answer = http.predict({"instances": [b64(file) for file in FILES]})
    assert list(answer) == ["predictions"]
    rows = answer["predictions"]
    assert all(set(row) == {"embeddings", "valid"} for row in rows)
    assert [row["valid"] for row in rows] == [True] * 3
    assert_embeddings([row["embeddings"] for row in rows])


def test_rows_with_the_inputs_name(http):
    answer = http.predict({"instances": [{"images": b64(file)} for file in FILES]})
    assert_embeddings([row["embeddings"] for row in answer["predictions"]])


def test_rows_with_one_output_are_its_values(http):
    body = {"signature_name": "embed_tensors", "instances": TENSORS.tolist()}
    answer = http.predict(body)
    assert list(answer) == ["predictions"]
    assert_embeddings(answer["predictions"])


def test_rows_with_two_inputs(http):
    others = IMAGES[[0, 2, 1]]
    rows = [
        {"images_a": b64(png(a)), "images_b": b64(png(b))}
        for a, b in zip(IMAGES, others, strict=True)
    ]
    answer = http.predict({"signature_name": "verify", "instances": rows})["predictions"]
    expected = expected_distances(IMAGES, others, LATEST)
    np.testing.assert_allclose([row["distances"] for row in answer], expected, atol=1e-5)
    assert [row["valid"] for row in answer] == [True] * 3
    assert (
        [row["same"] for row in answer] == (expected < THRESHOLD).tolist() == [True, False, False]
    )


def test_columns_in_short_form(http):
    answer = http.predict({"inputs": [b64(file) for file in FILES]})
    assert list(answer) == ["outputs"]
    assert set(answer["outputs"]) == {"embeddings", "valid"}
    assert answer["outputs"]["valid"] == [True] * 3
    assert_embeddings(answer["outputs"]["embeddings"])


def test_columns_with_the_inputs_name(http):
    answer = http.predict({"inputs": {"images": [b64(file) for file in FILES]}})
    assert_embeddings(answer["outputs"]["embeddings"])


def test_columns_with_one_output_are_its_values(http):
    body = {"signature_name": "embed_tensors", "inputs": TENSORS.tolist()}
    answer = http.predict(body)
    assert list(answer) == ["outputs"]
    assert_embeddings(answer["outputs"])


def test_columns_with_two_inputs(http):
    columns = {"images_a": [b64(FILES[0])], "images_b": [b64(FILES[1])]}
    outputs = http.predict({"signature_name": "verify", "inputs": columns})["outputs"]
    assert set(outputs) == {"distances", "valid", "same"}
    expected = expected_distances(IMAGES[:1], IMAGES[1:2], LATEST)
    np.testing.assert_allclose(outputs["distances"], expected, atol=1e-5)


def test_the_default_signature_may_be_named(http):
    answer = http.predict({"signature_name": "serving_default", "instances": [b64(FILES[0])]})
    assert_embeddings([answer["predictions"][0]["embeddings"]], IMAGES[:1])


@pytest.mark.parametrize(
    ("path", "version"),
    [("", LATEST), ("/versions/1", 1), ("/versions/2", 2)]
    + [(f"/labels/{label}", version) for label, version in LABELS.items()],
)
def test_versions_and_labels(http, path, version):
    answer = http.predict({"instances": [b64(FILES[0])]}, f"{MODEL}{path}:predict")
    assert_embeddings([answer["predictions"][0]["embeddings"]], IMAGES[:1], version)


def test_an_invalid_image_is_marked_and_costs_its_neighbours_nothing(http):
    files = [FILES[0], NO_IMAGE, FILES[2]]
    rows = http.predict({"instances": [b64(file) for file in files]})["predictions"]
    assert [row["valid"] for row in rows] == [True, False, True]
    assert rows[1]["embeddings"] == [0.0] * EMBEDDING_SIZE
    assert_embeddings([rows[0]["embeddings"], rows[2]["embeddings"]], IMAGES[[0, 2]])


def test_text_is_a_string_too(http):
    """Only bytes need base64; this text is a string, though no image."""
    rows = http.predict({"instances": ["no image"]})["predictions"]
    assert [row["valid"] for row in rows] == [False]


def test_numbers_of_any_kind_are_floats(http):
    """Whole numbers, exponents, and integers that a float32 can only come near to."""
    one = '{{"signature_name": "embed_tensors", "instances": [[[[{}, {}, {}]]]]}}'
    answer = http.predict(one.format("7", "2.5e1", "16777217"))
    values = np.array([7, 25, 16777216], np.float32).reshape(1, 1, 1, 3)
    np.testing.assert_allclose(
        answer["predictions"], expected_embeddings(values, LATEST), rtol=1e-6
    )


def test_infinities_and_nan_pass_in_both_directions(http):
    one = '{"signature_name": "embed_tensors", "instances": [[[[NaN, 1.0, Infinity]]]]}'
    (embedding,) = http.predict(one)["predictions"]
    assert np.isnan(embedding[0])  # NaN times any weight, also that of 0
    one = '{"signature_name": "embed_tensors", "instances": [[[[1, 1, -Infinity]]]]}'
    (embedding,) = http.predict(one)["predictions"]
    assert embedding[2] == -np.inf


def test_the_content_type_of_a_request_does_not_matter(http):
    """The documentation asks with curl -d, which says that it sends a form."""
    body = json.dumps({"instances": [b64(FILES[0])]})
    for content_type in ("application/x-www-form-urlencoded", "application/json", "text/plain"):
        answer = http.request("POST", PREDICT, body, **{"Content-Type": content_type})
        assert answer.status == HTTPStatus.OK


def test_a_name_may_be_percent_encoded(http):
    encoded = "".join(f"%{ord(letter):02X}" for letter in NAME)
    assert http.get(f"/v1/models/{encoded}")["model_version_status"]


def test_two_requests_on_one_connection_the_second_in_chunks(server):
    host, port = server.rest_url.removeprefix("http://").rsplit(":", 1)
    body = json.dumps({"instances": [b64(FILES[0])]}).encode()
    half = len(body) // 2
    chunks = [body[:half], body[half:], b""]
    with socket.create_connection((host, int(port)), timeout=SECONDS) as connection:
        head = f"POST {PREDICT} HTTP/1.1\r\nHost: {host}\r\n".encode()
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        first = read_response(connection)
        connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        for chunk in chunks:
            connection.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        second = read_response(connection)
    assert first == second
    assert_embeddings([second["predictions"][0]["embeddings"]], IMAGES[:1])


def read_response(connection: socket.socket) -> Any:
    """Read one answer of HTTP that has a length or comes in chunks."""
    response = HTTPResponse(connection, method="POST")
    response.begin()
    assert response.status == HTTPStatus.OK
    return json.loads(response.read())


@pytest.mark.parametrize("signature", ["serving_default", "verify"])
def test_rest_and_grpc_agree(http, prediction, signature):
    names = ["images"] if signature == "serving_default" else ["images_a", "images_b"]
    body = {name: [b64(file) for file in (FILES[0], NO_IMAGE, FILES[1])] for name in names}
    by_rest = http.predict({"signature_name": signature, "inputs": body})["outputs"]
    strings = np.array([FILES[0], NO_IMAGE, FILES[1]], object)
    request = predict_request({name: strings for name in names}, signature=signature)
    by_grpc = arrays(prediction.Predict(request, timeout=SECONDS))
    assert set(by_rest) == set(by_grpc)
    for name, values in by_grpc.items():
        np.testing.assert_array_equal(np.array(by_rest[name], values.dtype), values)


def test_every_one_of_many_clients_gets_its_own_rows(http, prediction):
    """Batches that a server forms from several requests are cut apart again, in order."""

    def ask(seed: int) -> None:
        images = np.stack([pixels(100 * seed + row) for row in range(1 + seed % 4)])
        files = [png(image) for image in images]
        if seed % 2:
            rows = http.predict({"instances": [b64(file) for file in files]})["predictions"]
            answer = [row["embeddings"] for row in rows]
        else:
            request = predict_request({"images": np.array(files, object)})
            answer = arrays(prediction.Predict(request, timeout=SECONDS))["embeddings"]
        assert_embeddings(answer, images)

    with ThreadPoolExecutor(8) as clients:
        list(clients.map(ask, range(48)))


# REST: errors

ONE = b64(FILES[0])
ONE_TENSOR = TENSORS[0].tolist()
RAGGED = [[[1.0, 2.0, 3.0], [1.0, 2.0]]]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("", id="empty body"),
        pytest.param("instances = [1, 2]", id="not JSON"),
        pytest.param('{"instances": ["a"]', id="JSON cut short"),
        pytest.param('{"instances": ["a"]} x', id="more after the JSON"),
        pytest.param([ONE], id="not an object"),
        pytest.param("null", id="null"),
        pytest.param({}, id="neither instances nor inputs"),
        pytest.param({"instances": [ONE], "inputs": [ONE]}, id="both instances and inputs"),
        pytest.param({"instances": ONE}, id="instances not a list"),
        pytest.param({"instances": []}, id="no instance"),
        pytest.param({"instances": [ONE], "signature_name": "unheard_of"}, id="unknown signature"),
        pytest.param({"instances": [ONE], "signature_name": 1}, id="signature not a string"),
        pytest.param({"instances": [{"image": ONE}]}, id="row: wrong input name"),
        pytest.param({"instances": [{"images": ONE, "more": 1}]}, id="row: extra input"),
        pytest.param({"instances": [{}]}, id="row: no input"),
        pytest.param({"instances": [ONE, {"images": ONE}]}, id="row: values and objects mixed"),
        pytest.param({"instances": [ONE, [ONE]]}, id="row: strings of two shapes"),
        pytest.param({"inputs": {"image": [ONE]}}, id="column: wrong input name"),
        pytest.param({"inputs": {}}, id="column: no input"),
        pytest.param({"instances": [3]}, id="number for a string"),
        pytest.param({"instances": [None]}, id="null for a string"),
        pytest.param({"instances": [True]}, id="truth value for a string"),
        pytest.param({"instances": [{"b64": "***"}]}, id="not base64"),
        pytest.param({"instances": [{"b64": "A"}]}, id="base64 cut short"),
        pytest.param({"instances": [{"b64": "_-_-"}]}, id="base64 of URLs"),
        pytest.param({"instances": [{"b64": 3}]}, id="base64 not a string"),
    ],
)
def test_a_request_for_files_that_is_refused(http, body):
    assert http.refused("POST", PREDICT, body) == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"instances": ["text"]}, id="text for numbers"),
        pytest.param({"instances": [[[["1", "2", "3"]]]]}, id="numbers as text"),
        pytest.param({"instances": [[[[True, False, True]]]]}, id="truth values for numbers"),
        pytest.param({"instances": [[[[None, 1, 1]]]]}, id="null for a number"),
        pytest.param({"instances": [[[[{}, 1, 1]]]]}, id="object for a number"),
        pytest.param({"instances": [[[[ONE]]]]}, id="base64 for numbers"),
        pytest.param({"instances": [RAGGED]}, id="row: ragged"),
        pytest.param({"instances": [ONE_TENSOR, [[[1, 2, 3]]]]}, id="rows of two sizes"),
        pytest.param({"instances": [ONE_TENSOR, 1.0]}, id="rows of two ranks"),
        pytest.param({"inputs": [RAGGED]}, id="column: ragged"),
        pytest.param({"inputs": [[[[1.0, 2.0, 3.0, 4.0]]]]}, id="four channels"),
        pytest.param({"inputs": [1.0, 2.0]}, id="wrong rank"),
    ],
)
def test_a_request_for_numbers_that_is_refused(http, body):
    answer = http.refused("POST", PREDICT, body | {"signature_name": "embed_tensors"})
    assert answer == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"instances": [ONE]}, id="value where two inputs are"),
        pytest.param({"instances": [{"images_a": ONE}]}, id="row: one input missing"),
        pytest.param(
            {"instances": [{"images_a": ONE, "images_b": ONE}, {"images_a": ONE}]},
            id="row: one input missing in the second",
        ),
        pytest.param({"inputs": [ONE]}, id="column: value where two inputs are"),
        pytest.param({"inputs": {"images_b": [ONE]}}, id="column: one input missing"),
        pytest.param(
            {"inputs": {"images_a": [ONE, ONE], "images_b": [ONE, ONE, ONE]}},
            id="column: two against three",
        ),
    ],
)
def test_a_request_for_two_inputs_that_is_refused(http, body):
    answer = http.refused("POST", PREDICT, body | {"signature_name": "verify"})
    assert answer == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/models/nobody:predict", HTTPStatus.NOT_FOUND),
        ("/v1/models/nobody/versions/1:predict", HTTPStatus.NOT_FOUND),
        (f"{MODEL}/versions/7:predict", HTTPStatus.NOT_FOUND),
        (f"{MODEL}/labels/unheard_of:predict", HTTPStatus.BAD_REQUEST),
    ],
)
def test_predicting_with_what_is_not_there(http, path, status):
    assert http.refused("POST", path, {"instances": [ONE]}) == status


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models"),
        ("GET", "/v1/unheard_of"),
        ("POST", "/v1/unheard_of"),
        ("POST", "/v1/models"),
        ("GET", f"{MODEL}/more"),
        ("GET", PREDICT),
        ("POST", MODEL),
        ("POST", f"{MODEL}/metadata"),
        ("POST", f"{MODEL}:unheard_of"),
        ("POST", f"{MODEL}/version/1:predict"),
        ("POST", f"{MODEL}/versions/one:predict"),
        ("POST", f"{MODEL}/versions/{2**64 - 1}:predict"),
        ("POST", f"{MODEL}/versions/1/labels/stable:predict"),
        ("GET", f"{MODEL}/versions/one"),
        ("GET", f"{MODEL}/versions/-1"),
    ],
)
def test_a_path_that_means_nothing_is_a_bad_request(http, method, path):
    body = {"instances": [ONE]} if method == "POST" else None
    assert http.refused(method, path, body) == HTTPStatus.BAD_REQUEST


def test_outside_the_protocols_paths_nothing_is_found(http):
    assert http.request("GET", "/unheard_of").status == HTTPStatus.NOT_FOUND


EXAMPLES = {"examples": [{"x": 1.0}]}


@pytest.mark.parametrize("method", ["classify", "regress"])
@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (MODEL, EXAMPLES, HTTPStatus.BAD_REQUEST),
        (MODEL, EXAMPLES | {"signature_name": "verify"}, HTTPStatus.BAD_REQUEST),
        (MODEL, EXAMPLES | {"signature_name": "unheard_of"}, HTTPStatus.BAD_REQUEST),
        (MODEL, {"instances": [ONE]}, HTTPStatus.BAD_REQUEST),
        (MODEL, {"examples": []}, HTTPStatus.BAD_REQUEST),
        (MODEL, {"examples": [1.0]}, HTTPStatus.BAD_REQUEST),
        (MODEL, "no JSON", HTTPStatus.BAD_REQUEST),
        (f"{MODEL}/versions/7", EXAMPLES, HTTPStatus.NOT_FOUND),
        ("/v1/models/nobody", EXAMPLES, HTTPStatus.NOT_FOUND),
        ("/v1/models/nobody", {}, HTTPStatus.BAD_REQUEST),
    ],
)
def test_classification_is_refused(http, method, path, body, status):
    """No signature here is one of classification or regression."""
    assert http.refused("POST", f"{path}:{method}", body) == status


def test_a_body_may_be_packed_by_gzip(http):
    body = gzip.compress(json.dumps({"instances": [ONE]}).encode())
    answer = http.request("POST", PREDICT, body, **{"Content-Encoding": "gzip"})
    assert answer.status == HTTPStatus.OK
    assert answer.json() == http.predict({"instances": [ONE]})


def test_browsers_may_ask_whether_they_may_ask(http):
    options = http.request("OPTIONS", PREDICT, None, Origin="https://example.com")
    assert options.status == HTTPStatus.OK
    assert "access-control-allow-origin" not in options.headers  # for nobody was allowed to
    assert http.request("OPTIONS", PREDICT, None).status == HTTPStatus.BAD_REQUEST


# gRPC: predict


def predict_request(
    inputs: dict[str, Any], signature: str = "", **spec: Any
) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest(model_spec=model_spec(signature_name=signature, **spec))
    for name, values in inputs.items():
        tensor = values
        if not isinstance(values, tensor_pb2.TensorProto):
            tensor = tf.make_tensor_proto(values)
        request.inputs[name].CopyFrom(tensor)
    return request


def model_spec(name: str = NAME, version: int | None = None, **fields: str) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=name, **fields)
    if version is not None:
        spec.version.value = version
    return spec


def arrays(answer: predict_pb2.PredictResponse) -> dict[str, np.ndarray]:
    return {name: tf.make_ndarray(tensor) for name, tensor in answer.outputs.items()}


def code_of(call: Any, request: Any) -> grpc.StatusCode:
    """Send what must be refused, and return how."""
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=SECONDS)
    assert caught.value.details()
    return caught.value.code()


STRINGS = {"images": np.array(FILES, object)}


def test_grpc_predicts(prediction):
    answer = prediction.Predict(predict_request(STRINGS), timeout=SECONDS)
    spec = answer.model_spec
    assert (spec.name, spec.version.value) == (NAME, LATEST)
    assert spec.signature_name == "serving_default"
    outputs = arrays(answer)
    assert set(outputs) == {"embeddings", "valid"}
    assert outputs["embeddings"].dtype == np.float32
    assert outputs["embeddings"].shape == (3, EMBEDDING_SIZE)
    assert outputs["valid"].dtype == np.bool_
    assert outputs["valid"].tolist() == [True] * 3
    assert_embeddings(outputs["embeddings"])


def test_grpc_names_a_signature(prediction):
    request = predict_request({"images": TENSORS}, signature="embed_tensors")
    answer = prediction.Predict(request, timeout=SECONDS)
    assert answer.model_spec.signature_name == "embed_tensors"
    assert_embeddings(arrays(answer)["embeddings"])


@pytest.mark.parametrize(
    ("spec", "version"),
    [({"version": 1}, 1), ({"version": 2}, 2)]
    + [({"version_label": label}, version) for label, version in LABELS.items()],
)
def test_grpc_names_a_version(prediction, spec, version):
    answer = prediction.Predict(predict_request(STRINGS, **spec), timeout=SECONDS)
    assert answer.model_spec.version.value == version
    assert_embeddings(arrays(answer)["embeddings"], version=version)


def test_grpc_filters_the_outputs(prediction):
    request = predict_request(STRINGS)
    request.output_filter.append("valid")
    assert set(prediction.Predict(request, timeout=SECONDS).outputs) == {"valid"}


def test_tensors_may_be_written_in_each_of_protobufs_ways(prediction):
    """As bytes, as numbers, and as one number that stands for all the rest."""
    shape = tf.TensorShape((1, SIDE, SIDE, 3)).as_proto()
    values = np.full((1, SIDE, SIDE, 3), 100.0, np.float32)
    float_type = types_pb2.DT_FLOAT
    ways = [
        {"tensor_content": values.tobytes()},
        {"float_val": values.ravel()},
        {"float_val": [100.0]},
    ]
    for way in ways:
        tensor = tensor_pb2.TensorProto(dtype=float_type, tensor_shape=shape, **way)
        request = predict_request({"images": tensor}, signature="embed_tensors")
        answer = arrays(prediction.Predict(request, timeout=SECONDS))
        assert_embeddings(answer["embeddings"], values)


def test_an_empty_batch_is_answered_or_refused(prediction):
    request = predict_request({"images": np.array([], object)})
    request.inputs["images"].dtype = types_pb2.DT_STRING
    try:
        answer = arrays(prediction.Predict(request, timeout=SECONDS))
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    else:
        assert answer["embeddings"].shape == (0, EMBEDDING_SIZE)
        assert answer["valid"].shape == (0,)


def broken_tensor() -> tensor_pb2.TensorProto:
    """Its shape promises more than its bytes hold."""
    tensor = tf.make_tensor_proto(TENSORS)
    tensor.tensor_content = tensor.tensor_content[:-4]
    return tensor


@pytest.mark.parametrize(
    ("inputs", "signature"),
    [
        pytest.param({}, "", id="no input"),
        pytest.param({"image": STRINGS["images"]}, "", id="wrong input name"),
        pytest.param(STRINGS | {"more": np.float32(1)}, "", id="extra input"),
        pytest.param({"images": TENSORS}, "", id="floats for strings"),
        pytest.param(STRINGS, "embed_tensors", id="strings for floats"),
        pytest.param({"images": IMAGES.astype(np.int64)}, "embed_tensors", id="another dtype"),
        pytest.param({"images": TENSORS[0, 0, 0]}, "embed_tensors", id="wrong rank"),
        pytest.param({"images": TENSORS[..., :2]}, "embed_tensors", id="two channels"),
        pytest.param({"images": broken_tensor()}, "embed_tensors", id="bytes missing"),
        pytest.param({"images_a": STRINGS["images"]}, "verify", id="one input missing"),
        pytest.param(
            {"images_a": STRINGS["images"], "images_b": STRINGS["images"][:2]},
            "verify",
            id="three against two",
        ),
    ],
)
def test_grpc_refuses_inputs(prediction, inputs, signature):
    request = predict_request(inputs, signature=signature)
    assert code_of(prediction.Predict, request) == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("names", [["unheard_of"], ["valid", "valid"]])
def test_grpc_refuses_a_filter(prediction, names):
    request = predict_request(STRINGS)
    request.output_filter.extend(names)
    assert code_of(prediction.Predict, request) == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"name": "nobody"}, grpc.StatusCode.NOT_FOUND),
        ({"version": 7}, grpc.StatusCode.NOT_FOUND),
        ({"version_label": "unheard_of"}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"name": ""}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"signature": "unheard_of"}, grpc.StatusCode.FAILED_PRECONDITION),
    ],
)
def test_grpc_knows_what_is_not_there(prediction, spec, code):
    assert code_of(prediction.Predict, predict_request(STRINGS, **spec)) == code


def test_grpc_wants_to_know_which_model(prediction):
    request = predict_request(STRINGS)
    request.ClearField("model_spec")
    assert code_of(prediction.Predict, request) == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"signature_name": "verify"}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"signature_name": "unheard_of"}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"name": "nobody"}, grpc.StatusCode.NOT_FOUND),
        ({"version": 7}, grpc.StatusCode.NOT_FOUND),
        ({"name": ""}, grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_grpc_does_not_classify(prediction, spec, code):
    """No signature here is one of classification or regression."""
    classify = classification_pb2.ClassificationRequest(model_spec=model_spec(**spec))
    assert code_of(prediction.Classify, classify) == code
    regress = regression_pb2.RegressionRequest(model_spec=model_spec(**spec))
    assert code_of(prediction.Regress, regress) == code
    for method in ("tensorflow/serving/classify", "tensorflow/serving/regress"):
        both = inference_pb2.MultiInferenceRequest()
        both.tasks.add(model_spec=model_spec(**spec), method_name=method)
        assert code_of(prediction.MultiInference, both) == code


@pytest.mark.parametrize(
    ("tasks", "code"),
    [
        ([], grpc.StatusCode.INVALID_ARGUMENT),
        ([(NAME, "tensorflow/serving/predict")], grpc.StatusCode.UNIMPLEMENTED),
        ([(NAME, "")], grpc.StatusCode.UNIMPLEMENTED),
    ],
)
def test_grpc_does_not_infer(prediction, tasks, code):
    request = inference_pb2.MultiInferenceRequest()
    for name, method in tasks:
        request.tasks.add(model_spec=model_spec(name), method_name=method)
    assert code_of(prediction.MultiInference, request) == code


@pytest.mark.parametrize("service", ["", "PredictionService", "ModelService"])
def test_grpc_tells_its_health(channel, service):
    answer = health_pb2_grpc.HealthStub(channel).Check(
        health_pb2.HealthCheckRequest(service=service), timeout=SECONDS
    )
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_grpc_knows_the_health_of_its_own_services_alone(channel):
    request = health_pb2.HealthCheckRequest(service="Unheard")
    code = code_of(health_pb2_grpc.HealthStub(channel).Check, request)
    assert code == grpc.StatusCode.NOT_FOUND


def test_a_method_that_nobody_knows(channel):
    call = channel.unary_unary("/tensorflow.serving.PredictionService/Unheard")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"", timeout=SECONDS)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


# gRPC: metadata and status


def metadata_request(
    fields: tuple[str, ...] = ("signature_def",), **spec: Any
) -> get_model_metadata_pb2.GetModelMetadataRequest:
    return get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec=model_spec(**spec), metadata_field=fields
    )


@pytest.mark.parametrize(
    ("spec", "version"), [({}, LATEST), ({"version": 1}, 1), ({"version_label": "stable"}, 1)]
)
def test_grpc_tells_the_signatures(prediction, spec, version):
    answer = prediction.GetModelMetadata(metadata_request(**spec), timeout=SECONDS)
    assert (answer.model_spec.name, answer.model_spec.version.value) == (NAME, version)
    assert list(answer.metadata) == ["signature_def"]
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    for name, expected in SIGNATURES.items():
        told = signatures.signature_def[name]
        assert told.method_name == "tensorflow/serving/predict"
        assert set(told.inputs) == set(expected["inputs"])
        assert set(told.outputs) == set(expected["outputs"])
    info = signatures.signature_def["embed_tensors"].inputs["images"]
    assert info.dtype == types_pb2.DT_FLOAT
    assert [dim.size for dim in info.tensor_shape.dim] == [-1, -1, -1, 3]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (metadata_request(name="nobody"), grpc.StatusCode.NOT_FOUND),
        (metadata_request(version=7), grpc.StatusCode.NOT_FOUND),
        (metadata_request(version_label="unheard_of"), grpc.StatusCode.INVALID_ARGUMENT),
        (metadata_request(fields=()), grpc.StatusCode.INVALID_ARGUMENT),
        (metadata_request(fields=("unheard_of",)), grpc.StatusCode.INVALID_ARGUMENT),
        (
            get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"]),
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
    ],
)
def test_grpc_refuses_to_tell_the_signatures(prediction, asked, code):
    assert code_of(prediction.GetModelMetadata, asked) == code


def status_request(**spec: Any) -> get_model_status_pb2.GetModelStatusRequest:
    return get_model_status_pb2.GetModelStatusRequest(model_spec=model_spec(**spec))


@pytest.mark.parametrize(("spec", "versions"), [({}, VERSIONS), ({"version": 1}, (1,))])
def test_grpc_tells_the_status(model_service, spec, versions):
    answer = model_service.GetModelStatus(status_request(**spec), timeout=SECONDS)
    told = sorted(answer.model_version_status, key=lambda status: status.version)
    assert tuple(status.version for status in told) == versions
    assert all(status.state == AVAILABLE for status in told)
    assert all(status.status.error_code == 0 for status in told)  # OK


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (status_request(name="nobody"), grpc.StatusCode.NOT_FOUND),
        (status_request(version=7), grpc.StatusCode.NOT_FOUND),
        (get_model_status_pb2.GetModelStatusRequest(), grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_grpc_refuses_to_tell_the_status(model_service, asked, code):
    assert code_of(model_service.GetModelStatus, asked) == code
