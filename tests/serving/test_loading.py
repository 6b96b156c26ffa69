"""Versions for each runtime, against the SavedModel of the same network."""

import numpy as np
import pytest
import tensorflow as tf
from drawn_images import encoded, smooth_image
from tiny_networks import tiny

from facenet_lib.errors import FacenetError
from facenet_lib.export.runtime_files import export_for_runtime
from facenet_lib.export.saved_model import export_model
from facenet_lib.model_card import read_card
from facenet_lib.models import LoadedNetwork, preprocessing_of
from facenet_lib.runs.config import TrainingConfig
from facenet_lib.runtimes import RUNTIMES, RuntimeNetwork
from facenet_lib.serving.batching import Batching, LoadedVersion
from facenet_lib.serving.client import Client
from facenet_lib.serving.grpc_client import GrpcClient
from facenet_lib.serving.loading import loader
from facenet_lib.serving.messages import ServingError
from facenet_lib.serving.rest_client import RestClient
from facenet_lib.serving.server import LocalServer

SECONDS = 300.0
SIZES = {"image_size": 75, "crop_size": 84, "frame_size": 90}
DECISION = {"threshold": 0.5, "false_accept_rate": 0.01}
IMAGES = [encoded(smooth_image(seed, 100, 95), "PNG") for seed in range(4)]


def files(*images):
    array = np.empty(len(images), object)
    array[:] = images
    return array


REQUESTS = {
    "files": ("serving_default", {"images": files(*IMAGES, b"damaged")}),
    "no file that can be decoded": ("serving_default", {"images": files(b"damaged")}),
    "nothing": ("serving_default", {"images": files()}),
    "pixels": ("embed_tensors", {"images": np.full((2, 60, 100, 3), 99.5, np.float32)}),
    "pairs": (
        "verify",
        {"images_a": files(*IMAGES[:3]), "images_b": files(*IMAGES[1:3], b"damaged")},
    ),
}


@pytest.fixture(scope="module")
def network():
    return LoadedNetwork(tiny(), TrainingConfig(**SIZES), {})


@pytest.fixture(scope="module")
def saved_model(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    return export_model(network, folder, **DECISION)


@pytest.fixture(scope="module")
def by_tensorflow(saved_model):
    version = LoadedVersion(1, saved_model, Batching(), loader(None))
    yield version
    version.close()


@pytest.fixture(scope="module", params=RUNTIMES)
def exported(request, network, tmp_path_factory):
    """A version for another runtime, and the runtime's name."""
    for module in ("onnxruntime", "tf2onnx") if request.param == "onnx" else ("openvino",):
        pytest.importorskip(module, reason=f"needs the extra {request.param}")
    folder = tmp_path_factory.mktemp(request.param) / "model"
    return export_for_runtime(network, folder, request.param, **DECISION), request.param


@pytest.fixture(scope="module")
def by_another(exported):
    folder, runtime = exported
    version = LoadedVersion(1, folder, Batching(), loader(runtime))
    yield version
    version.close()


def answer(version, signature, inputs):
    return version.submit(inputs, signature).result(SECONDS).outputs


@pytest.mark.slow
@pytest.mark.parametrize("request_name", REQUESTS)
def test_every_runtime_answers_alike(by_tensorflow, by_another, request_name):
    expected = answer(by_tensorflow, *REQUESTS[request_name])
    found = answer(by_another, *REQUESTS[request_name])
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)
        np.testing.assert_allclose(found[name], array, atol=1e-5)


@pytest.mark.slow
def test_what_are_no_pixels_is_refused_alike(by_tensorflow, by_another):
    told = set()
    for version in (by_tensorflow, by_another):
        with pytest.raises(ServingError) as caught:
            answer(version, "embed_tensors", {"images": np.full((1, 84, 84, 3), -1, np.float32)})
        told.add(str(caught.value))
    assert len(told) == 1


def described(version):
    """What clients read of a version's signatures: all but the names within a graph."""
    return {
        name: (
            definition.method_name,
            *(
                {key: (info.dtype, str(info.tensor_shape)) for key, info in tensors.items()}
                for tensors in (definition.inputs, definition.outputs)
            ),
        )
        for name, definition in version.signature_defs.items()
        if not name.startswith("__")  # an operation of the file, which answers nothing
    }


@pytest.mark.slow
def test_signatures_are_described_alike(by_tensorflow, by_another):
    assert described(by_another) == described(by_tensorflow)
    assert list(described(by_another)) != []


@pytest.mark.slow
def test_both_protocols_answer_as_tensorflow_does(by_tensorflow, exported):
    folder, runtime = exported
    expected = answer(by_tensorflow, *REQUESTS["files"])
    with LocalServer({"tiny": folder.parent}, runtime=runtime) as server:
        clients: list[Client] = [
            RestClient(server.rest_url, "tiny"),
            GrpcClient(server.grpc_address, "tiny"),
        ]
        for client in clients:
            with client:
                found = client.embed([*IMAGES, b"damaged"])
                np.testing.assert_allclose(found.embeddings, expected["embeddings"], atol=1e-5)
                assert found.valid.tolist() == expected["valid"].tolist()
                assert client.metadata().embedding_size == 8


# What is around the network, with one that is arithmetic


@pytest.fixture
def batches(monkeypatch, saved_model):
    """The shapes with which a network is called that takes every runtime's place."""
    card, shapes = read_card(saved_model), []

    def embed(windows):
        shapes.append(windows.shape)
        if windows.max() == 77:
            raise RuntimeError("not computed\nat all")
        return windows.mean((1, 2)) / 255

    network = RuntimeNetwork(embed, "onnx", card, preprocessing_of(TrainingConfig(**SIZES)))
    monkeypatch.setattr(RuntimeNetwork, "embedding_size", 3)
    monkeypatch.setattr(
        "facenet_lib.serving.loading.load_runtime_network", lambda folder, runtime: network
    )
    return shapes


@pytest.fixture
def version(batches, tmp_path):
    loaded = LoadedVersion(1, tmp_path, Batching(), loader("onnx"))
    yield loaded
    loaded.close()


@pytest.mark.slow
def test_a_network_gets_the_pixels_of_windows(version):
    images = [smooth_image(seed, 84, 84) for seed in range(3)]
    pixels = np.stack([np.asarray(image) for image in images])
    expected = pixels.mean((1, 2)) / 255
    encoded_images = files(*(encoded(image, "PNG") for image in images))
    as_files = answer(version, "serving_default", {"images": encoded_images})
    np.testing.assert_allclose(as_files["embeddings"], expected, rtol=1e-6)
    as_numbers = answer(version, "embed_tensors", {"images": pixels.astype(np.float32)})
    np.testing.assert_allclose(as_numbers["embeddings"], expected, rtol=1e-6)


@pytest.mark.slow
def test_a_version_answers_requests_of_its_own_first(version, batches):
    """Each signature twice, for one image (or pair) and for two."""
    assert batches == [(n, 84, 84, 3) for n in (1, 2, 1, 2, 4, 2)]
    assert not version.batch_sizes


@pytest.mark.slow
def test_a_network_that_fails_is_told_in_one_line(version):
    grey = np.full((1, 84, 84, 3), 77, np.float32)
    with pytest.raises(ServingError) as caught:
        answer(version, "embed_tensors", {"images": grey})
    assert caught.value.code == "INTERNAL"
    assert str(caught.value).endswith("RuntimeError: not computed at all")


# What is not for the runtime


def test_a_version_of_another_kind_is_refused_with_the_command_that_makes_the_right_one(tmp_path):
    for file, runtime, told in (
        ("model.onnx", None, "'facenet export RUN OUT' writes, found model.onnx"),
        ("model.xml", None, "'facenet export RUN OUT' writes, found model.xml"),
        ("saved_model.pb", "onnx", "'facenet export RUN OUT --onnx' writes, found a SavedModel"),
        ("saved_model.pb", "openvino", "'facenet export RUN OUT --openvino' writes, found a Saved"),
    ):
        folder = tmp_path / f"{file} for {runtime}"
        folder.mkdir()
        (folder / file).touch()
        with pytest.raises(FacenetError, match=told) as caught:
            loader(runtime)(folder)
        assert str(folder) in str(caught.value)


def test_a_runtime_has_a_name():
    with pytest.raises(FacenetError, match="runtime: expected"):
        loader("torch")


def test_files_that_tensorflow_cannot_read_fail_as_they_do(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"nonsense")
    with pytest.raises((tf.errors.OpError, OSError)):
        loader(None)(tmp_path)
