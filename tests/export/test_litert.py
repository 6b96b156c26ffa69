from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from toy_training import SETTINGS, draw_people, toy_network, train

from facenet_lib.embedding import embed_images
from facenet_lib.errors import FacenetError
from facenet_lib.export import litert
from facenet_lib.export.frozen import resizing_matrix
from facenet_lib.export.litert import embed_litert, export_litert
from facenet_lib.input_pipeline import Preprocessing
from facenet_lib.models import load_run
from facenet_lib.runs.config import TrainingConfig

pytestmark = pytest.mark.slow  # each test needs an exported model


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return draw_people(tmp_path_factory.mktemp("faces"), "Known")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, faces):
    """A run whose preprocessing does everything: frame, window and resizing."""
    out = tmp_path_factory.mktemp("runs") / "run"
    settings = {"image_size": 75, "crop_size": 78, "frame_size": 79, "epochs": 2}
    train(TrainingConfig(**SETTINGS | settings), faces, out, progress=False)
    return load_run(out, build_network=toy_network)


@pytest.fixture(scope="module")
def images(faces):
    return [str(path) for paths in faces.values() for path in paths[:3]]


@pytest.fixture(scope="module")
def expected(trained, images):
    return embed_images(trained.network, images, trained.preprocessing)


PREPROCESSING = Preprocessing(75, 78, 79)


@pytest.fixture(scope="module")
def halves(tmp_path_factory, trained):
    return export_litert(trained, tmp_path_factory.mktemp("litert") / "halves.tflite")


def test_float16_embeds_nearly_alike(halves, images, expected):
    rows = [*range(len(images))[::-1], 3]
    found = embed_litert(halves, [images[row] for row in rows], PREPROCESSING)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected[rows], atol=2e-3)
    assert not np.array_equal(found, expected[rows])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert embed_litert(halves, [], PREPROCESSING).shape == (0, 16)


@pytest.mark.parametrize("calibrated_by", ["drawn faces", "images"])
def test_int8_embeds_similarly(tmp_path, trained, images, expected, calibrated_by):
    calibration = images if calibrated_by == "images" else ()
    out = export_litert(trained, tmp_path / "bytes.tflite", "int8", calibration)
    found = embed_litert(out, images, PREPROCESSING)
    assert found.dtype == np.float32
    cosines = np.sum(found * expected, axis=1)
    assert cosines.min() > 0.9
    assert not np.allclose(found, expected, atol=2e-3)  # it did compute otherwise


def test_weights_are_stored_in_the_dtype(tmp_path, trained, halves):
    exported = export_litert(trained, tmp_path / "bytes.tflite", "int8")
    for file, dtype in ((halves, np.float16), (exported, np.int8)):
        interpreter = tf.lite.Interpreter(model_content=file.read_bytes())
        kernels = [
            details["dtype"]
            for details in interpreter.get_tensor_details()
            if details["shape"].tolist() == [8, 3, 3, 3]  # the convolution's, as LiteRT has it
        ]
        assert dtype in kernels
        (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
        assert (source["dtype"], source["shape"].tolist()) == (np.float32, [1, 78, 78, 3])
        assert (target["dtype"], target["shape"].tolist()) == (np.float32, [1, 16])
        assert list(interpreter.get_signature_list().values()) == [
            {"inputs": ["images"], "outputs": ["embeddings"]}
        ]


@pytest.mark.parametrize(("side", "size"), [(144, 80), (31, 17), (20, 45)])
def test_resizing_by_products_is_tensorflow_s_resizing(side, size):
    images = np.random.default_rng(0).uniform(0, 255, (1, side, side, 3)).astype(np.float32)
    expected = tf.image.resize(images, (size, size), method="bilinear", antialias=True)
    found = litert._resize(tf.constant(images), resizing_matrix(side, size))
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_per_image_standardization_is_inside(tmp_path, faces, images):
    settings = {"standardization": "per_image", "epochs": 1}
    train(TrainingConfig(**SETTINGS | settings), faces, tmp_path / "run", progress=False)
    loaded = load_run(tmp_path / "run", build_network=toy_network)
    assert loaded.preprocessing == Preprocessing(75, standardization="per_image")
    out = export_litert(loaded, tmp_path / "model.tflite")
    expected = embed_images(loaded.network, images, loaded.preprocessing)
    found = embed_litert(out, images, loaded.preprocessing)
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_what_cannot_be_exported_is_told(trained, halves, tmp_path):
    for arguments, told in (
        ((trained, halves), "already there"),
        ((tmp_path, tmp_path / "x"), "expected the folder of a run"),
        ((trained, tmp_path / "x", "float32"), "'float16' or 'int8', found 'float32'"),
        ((trained, tmp_path / "x", "int8", [tmp_path / "none.jpg"]), "none.jpg: no such file"),
        ((trained, tmp_path / "x", "int8", "none.jpg"), "expected paths to be a sequence"),
        ((trained, tmp_path / "none" / "x"), "cannot be written"),
    ):
        with pytest.raises(FacenetError, match=told):
            export_litert(*arguments)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_embedded_is_told(halves, images, tmp_path):
    (tmp_path / "moving.jpg").write_bytes(b"GIF89a" + bytes(100))
    with pytest.raises(FacenetError, match=r"moving\.jpg: .*GIF"):
        embed_litert(halves, [images[0], tmp_path / "moving.jpg"], PREPROCESSING)
    with pytest.raises(FacenetError, match=r"expected windows of shape \(1, 60, 60, 3\), found"):
        embed_litert(halves, images, Preprocessing(60))
    content = halves.read_bytes()
    for name, damaged in (("empty", b""), ("text", b"no model"), ("half", content[:2000])):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(FacenetError, match=f"{name}: expected a LiteRT file"):
            embed_litert(tmp_path / name, images, PREPROCESSING)
    with pytest.raises(FacenetError, match="none: expected a LiteRT file"):
        embed_litert(tmp_path / "none", images, PREPROCESSING)


def test_the_window_is_cut_as_in_training(halves, trained, images, tmp_path):
    """An image larger than the frame, and one smaller than the window."""
    paths = []
    for size in ((200, 121), (60, 61)):
        paths.append(tmp_path / f"{size[0]}.png")
        Image.open(images[0]).resize(size).save(paths[-1])
    expected = embed_images(trained.network, paths, trained.preprocessing)
    np.testing.assert_allclose(embed_litert(halves, paths, PREPROCESSING), expected, atol=2e-3)
    assert Path(halves).suffix == ".tflite"
