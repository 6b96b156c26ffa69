"""The clients against servers of a few lines, which keep what they were asked."""

from __future__ import annotations

import math

import numpy as np
import pytest
import serving_models
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_servers import (
    SIZE,
    GrpcServer,
    RestServer,
    client_of,
    embedding,
    refusing,
)

from facenet_lib.errors import FacenetError
from facenet_lib.serving.answers import VersionStatus
from facenet_lib.serving.connection import connect
from facenet_lib.serving.rest_client import RestClient
from facenet_lib.serving.server import LocalServer

IMAGES = [b"one", b"bad", b"", b"zeros at the end\0\0", bytes(range(256)), b"\xff\xd8\xff" * 50]


def test_embeddings_come_back_in_order_and_marked(asked_server):
    with client_of(asked_server) as client:
        answer = client.embed(IMAGES)
    assert answer.embeddings.dtype == np.float32
    assert answer.valid.dtype == np.bool_
    assert answer.valid.tolist() == [image != b"bad" for image in IMAGES]
    np.testing.assert_array_equal(answer.embeddings, [embedding(image) for image in IMAGES])


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 3000), min_size=1, max_size=40),
    most_images=st.integers(1, 9),
    most_bytes=st.integers(4200, 9000),
)
def test_a_batch_is_split_under_both_limits_and_joined_in_order(
    split_servers, lengths, most_images, most_bytes
):
    images = [bytes([number]) * length for number, length in enumerate(lengths)]
    expected = np.array([embedding(image) for image in images])
    for server in split_servers:
        server.requests.clear()
        limits = {"max_batch_size": most_images, "max_message_bytes": most_bytes}
        with client_of(server, **limits) as client:
            np.testing.assert_array_equal(client.embed(images).embeddings, expected)
        batches = server.batches()
        assert sum(count for count, _ in batches) == len(images)
        assert all(count <= most_images for count, _ in batches)
        assert all(size <= most_bytes or count == 1 for count, size in batches)


@pytest.fixture(scope="module")
def split_servers():
    servers = RestServer(), GrpcServer()
    yield servers
    for server in servers:
        server.stop()


def test_without_limits_named_a_request_has_32_images_and_stays_under_4_megabytes(asked_server):
    small, large = [b"%d" % number for number in range(70)], [b"x" * 1_000_000] * 7
    with client_of(asked_server) as client:
        client.embed(small)
        assert [count for count, _ in asked_server.batches()] == [32, 32, 6]
        client.embed(large)
    counts, sizes = zip(*asked_server.batches()[3:], strict=True)
    assert sum(counts) == 7
    assert max(sizes) <= 4_000_000
    assert max(counts) > 1  # and not one by one


def test_an_image_over_the_limit_goes_alone_for_the_server_to_judge(asked_server):
    images = [b"small", b"x" * 5_000_000, b"other"]
    with client_of(asked_server) as client:
        answer = client.embed(images)
    np.testing.assert_array_equal(answer.embeddings, [embedding(image) for image in images])
    assert [count for count, _ in asked_server.batches()] == [1, 1, 1]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int64])
def test_tensors_are_embedded_and_split(asked_server, dtype):
    images = np.random.default_rng(0).integers(0, 255, (7, 9, 5, 3)).astype(dtype)
    if images.dtype.kind == "f":
        images += 1 / 3
    with client_of(asked_server, max_message_bytes=6_000) as client:
        found = client.embed_tensors(images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, :3], images.mean((1, 2)), rtol=1e-6)
    assert not found[:, 3:].any()
    batches = asked_server.batches()
    assert len(batches) > 1
    assert all(size <= 6_000 for _, size in batches)


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (np.zeros((2, 9, 9), np.uint8), "(n, height, width, 3)"),
        (np.zeros((2, 9, 9, 4), np.uint8), "(n, height, width, 3)"),
        (np.full((2, 9, 9, 3), "x"), "(n, height, width, 3)"),
        (np.zeros((2, 0, 9, 3), np.uint8), "(n, height, width, 3)"),
        (np.full((1, 9, 9, 3), np.nan), "images[0]: expected pixels from 0 to 255, found values"),
        (np.full((2, 9, 9, 3), -1), "found values from -1 to -1"),
        (np.full((2, 9, 9, 3), 256), "to 256"),
        (np.full((2, 9, 9, 3), 0.5), "found fractions from 0.5 to 0.5"),
    ],
)
def test_tensors_of_another_kind_are_refused_before_they_are_sent(rest, images, told):
    with client_of(rest) as client, pytest.raises(FacenetError) as refused:
        client.embed_tensors(images)
    assert told in str(refused.value)
    assert rest.requests == []


def test_pairs_are_verified(asked_server):
    a, b = [b"one", b"two", b"bad", b"four"], [b"one", b"x", b"three", b"bad"]
    with client_of(asked_server, max_batch_size=3) as client:
        answer = client.verify(a, b)
        with pytest.raises(FacenetError, match="found 3 and 4"):
            client.verify(a, b[:3])
    expected = [np.sum((embedding(x) - embedding(y)) ** 2) for x, y in zip(a, b, strict=True)]
    np.testing.assert_array_equal(answer.distances, np.array(expected, np.float32))
    assert answer.valid.tolist() == [True, True, False, False]
    assert answer.same is None
    assert [count for count, _ in asked_server.batches()] == [3, 1]


def test_a_model_with_a_threshold_decides(asked_server):
    outputs = {
        "distances": np.array([0.5, 1.5], np.float32),
        "valid": np.array([True, True]),
        "same": np.array([True, False]),
    }
    if isinstance(asked_server, RestServer):
        asked_server.answer = {"outputs": {name: array.tolist() for name, array in outputs.items()}}
    else:
        asked_server.answer = outputs
    with client_of(asked_server) as client:
        answer = client.verify([b"a", b"b"], [b"c", b"d"])
    assert answer.same.tolist() == [True, False]
    assert answer.same.dtype == np.bool_


def test_an_empty_batch_is_empty_arrays(asked_server):
    with client_of(asked_server) as client:
        answer = client.embed([])
        assert answer.embeddings.shape == (0, SIZE)
        assert answer.valid.shape == (0,)
        assert client.embed_tensors(np.zeros((0, 9, 9, 3))).shape == (0, SIZE)
        assert client.verify([], []).distances.shape == (0,)
    assert asked_server.batches() == []


def test_what_is_no_sequence_of_bytes_is_refused(rest):
    with client_of(rest) as client:
        for images in (b"one image", "a path", ["a path"], [b"x", None]):
            with pytest.raises(FacenetError, match=r"encoded images|bytes of an image file"):
                client.embed(images)
    assert rest.requests == []


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({}, "/v1/models/facenet"),
        ({"model": "other", "version": 12}, "/v1/models/other/versions/12"),
        ({"label": "stable"}, "/v1/models/facenet/labels/stable"),
    ],
)
def test_model_version_and_label_are_named(rest, grpc_server, options, path):
    with client_of(rest, **options) as client:
        client.status()
        client.metadata()
        client.embed([b"x"])
    assert [path for _, path, _ in rest.requests] == [path, f"{path}/metadata", f"{path}:predict"]
    with client_of(grpc_server, **options) as client:
        client.status()
        client.metadata()
        client.embed([b"x"])
    for request in grpc_server.requests:
        spec = request.model_spec
        assert spec.name == options.get("model", "facenet")
        assert spec.version.value == options.get("version", 0)
        assert spec.HasField("version") == ("version" in options)
        assert spec.version_label == options.get("label", "")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            b"<html>Welcome to the hotel network</html>",
            "expected an answer of JSON, found '<html>",
        ),
        (b"\xff\xfe\x00", "expected an answer of JSON"),
        (b"[" * 100_000, "expected an answer of JSON"),
        ([], "with outputs"),
        ({"predictions": []}, "with outputs"),
        ({"outputs": {"logits": [1.0], "valid": [True]}}, "'embeddings', found logits, valid"),
        ({"outputs": [[1.0] * SIZE] * 2}, "'valid', found embeddings"),
        ({"outputs": {"embeddings": [[1.0]], "valid": [True]}}, "with 2 rows"),
        ({"outputs": {"embeddings": [1.0, 2.0], "valid": [True] * 2}}, "of 2 dimensions"),
        ({"outputs": {"embeddings": [[1.0], [1.0, 2.0]], "valid": [True] * 2}}, "an array"),
        ({"outputs": {"embeddings": [["x"], ["y"]], "valid": [True] * 2}}, "expected numbers"),
        ({"outputs": {"embeddings": [[math.nan]] * 2, "valid": [True] * 2}}, "not finite"),
        ({"outputs": {"embeddings": [[1e39]] * 2, "valid": [True] * 2}}, "not finite"),
        ({"outputs": {"embeddings": [[1.0]] * 2, "valid": [1, 1]}}, "expected flags"),
        ({"outputs": {"embeddings": [[1.0]] * 2, "valid": [True]}}, "with 2 rows"),
        ({"outputs": {"embeddings": None, "valid": [True] * 2}}, "embeddings"),
    ],
)
def test_an_answer_of_another_kind_is_an_error_and_no_number(rest, answer, told):
    rest.answer = answer
    with client_of(rest) as client, pytest.raises(FacenetError) as refused:
        client.embed([b"x", b"y"])
    assert told in str(refused.value)
    assert rest.where in str(refused.value)
    assert len(rest.requests) == 1


def test_pieces_that_do_not_fit_together_are_an_error(rest):
    """As when the model is replaced by another one between two requests."""
    rest.faults = [
        refusing(200, {"outputs": {"embeddings": [[1.0] * size], "valid": [True]}})
        for size in (4, 5)
    ]
    with client_of(rest, max_batch_size=1) as client, pytest.raises(FacenetError) as refused:
        client.embed([b"x", b"y"])
    assert "do not fit together" in str(refused.value)


def test_pieces_of_which_only_the_second_decides_are_an_error(rest):
    outputs = {"distances": [0.5], "valid": [True]}
    rest.faults = [refusing(200, {"outputs": outputs | more}) for more in ({}, {"same": [True]})]
    with client_of(rest, max_batch_size=1) as client, pytest.raises(FacenetError) as refused:
        client.verify([b"a", b"b"], [b"c", b"d"])
    assert "do not fit together" in str(refused.value)


@pytest.mark.parametrize(
    "options",
    [
        {"model": ""},
        {"model": "../facenet"},
        {"model": "a/b"},
        {"model": "a:b"},
        {"model": ".."},
        {"label": "a/b"},
        {"version": -1},
        {"version": "1"},
        {"version": 2**63},
        {"version": 1, "label": "stable"},
        {"timeout": 0},
        {"timeout": math.inf},
        {"connect_timeout": math.nan},
        {"connect_timeout": "5"},
        {"max_batch_size": 0},
        {"max_message_bytes": 10},
    ],
)
def test_what_cannot_be_asked_for_is_refused(options):
    with pytest.raises(FacenetError):
        RestClient("http://localhost:8501", **options)


@pytest.fixture(scope="module")
def local_server(tmp_path_factory):
    models = tmp_path_factory.mktemp("served") / "tiny"
    serving_models.save_model(models, 1)
    with LocalServer({"tiny": models}) as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["rest_url", "grpc_address"])
def test_every_signature_of_a_whole_server_is_understood(local_server, protocol):
    pixels = np.stack([serving_models.pixels(seed) for seed in range(40)])
    files = [serving_models.png(image) for image in pixels]
    expected = serving_models.expected_embeddings(pixels, 1)
    with connect(getattr(local_server, protocol), "tiny") as client:
        assert client.status() == [VersionStatus(1, "AVAILABLE", "")]
        assert client.metadata().embedding_size == serving_models.EMBEDDING_SIZE
        answer = client.embed([*files, b"none"])
        np.testing.assert_allclose(answer.embeddings[:-1], expected, atol=1e-5)
        assert answer.valid.tolist() == [True] * 40 + [False]
        np.testing.assert_allclose(client.embed_tensors(pixels), expected, atol=1e-5)
        verified = client.verify(files[:20], files[20:])
        distances = serving_models.expected_distances(pixels[:20], pixels[20:], 1)
        np.testing.assert_allclose(verified.distances, distances, atol=1e-5)
        assert verified.same.tolist() == (distances < serving_models.THRESHOLD).tolist()
        with pytest.raises(FacenetError, match="nobody"):
            connect(getattr(local_server, protocol), "nobody").status()
