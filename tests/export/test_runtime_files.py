"""Networks for ONNX Runtime and OpenVINO, against the SavedModel of the same network."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from drawn_images import encoded, smooth_image
from tiny_networks import tiny

from facenet_lib.errors import FacenetError
from facenet_lib.export.runtime_files import ONNX_OPSET, export_for_runtime
from facenet_lib.export.saved_model import export_model
from facenet_lib.model_card import CARD, CARD_FOR_PEOPLE, read_card
from facenet_lib.models import LoadedNetwork, load_embedder
from facenet_lib.runs.config import TrainingConfig
from facenet_lib.runtimes import RUNTIMES, load_runtime_network

# Both are in extras of their own, as each takes 100 MB.
onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
pytest.importorskip("onnxruntime", reason="needs the extra onnx")
openvino = pytest.importorskip("openvino", reason="needs the extra openvino")
pytestmark = pytest.mark.slow  # each test needs an exported model

PROJECT = Path(__file__).parents[2]
NODE_MODULES = PROJECT / ".cache" / "onnx" / "node_modules"  # where .ci/run installs it

SIZES = {"image_size": 75, "crop_size": 84, "frame_size": 90}


def network_of(**settings) -> LoadedNetwork:
    """A tiny network whose biases are not zero, as those of a trained one."""
    network = tiny()
    generator = np.random.default_rng(0)
    for variable in network.variables:
        if "moving_variance" not in variable.path:
            variable.assign(variable + generator.normal(0, 0.05, variable.shape))
    return LoadedNetwork(network, TrainingConfig(**SIZES | settings), {})


@pytest.fixture(scope="module")
def loaded():
    return network_of()


@pytest.fixture(scope="module")
def saved_model(loaded, tmp_path_factory):
    return export_model(loaded, tmp_path_factory.mktemp("saved") / "model")


@pytest.fixture(scope="module")
def exported(loaded, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    thresholds = {"threshold": 0.5, "false_accept_rate": 0.01}
    return {
        name: export_for_runtime(loaded, folder / name, name, **thresholds) for name in RUNTIMES
    }


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for number in range(5):  # larger than the frame, smaller than the window
        image = smooth_image(number, 60 + 20 * number, 100)
        (folder / f"{number}.png").write_bytes(encoded(image, "PNG"))
    return sorted(folder.iterdir())


def windows_of(count, side=84):
    return np.random.default_rng(1).integers(0, 256, (count, side, side, 3)).astype(np.float32)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_windows_have_the_embeddings_of_the_saved_model(exported, saved_model, runtime):
    network = load_runtime_network(exported[runtime])
    embed = tf.saved_model.load(str(saved_model)).signatures["embed_tensors"]
    for count in (1, 3, 8, 2):
        windows = windows_of(count) / 3  # pixels with fractions
        expected = embed(images=tf.constant(windows))["embeddings"].numpy()
        found = network.embed(windows)
        assert (found.dtype, found.shape) == (np.float32, (count, 8))
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert network.embed(windows[:0]).shape == (0, 8)
    kept = found.copy()
    network.embed(windows[::-1])
    np.testing.assert_array_equal(found, kept)  # an answer stays as it was given


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("flip", [False, True])
def test_files_have_the_embeddings_of_the_saved_model(exported, saved_model, images, runtime, flip):
    embedder = load_embedder(exported[runtime].parent)
    expected = load_embedder(saved_model).embed(images, batch_size=2, flip=flip)
    found = embedder.embed(images, batch_size=2, flip=flip)
    np.testing.assert_allclose(found, expected, atol=1e-5)  # of PNG, whose pixels are the same
    assert (embedder.threshold, embedder.embedding_size) == (0.5, 8)
    assert embedder.about == load_embedder(saved_model).about
    with pytest.raises(FacenetError, match="takes crops and not photographs"):
        embedder.embed_faces(images)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_files_that_cannot_be_embedded_are_told_alike(
    exported, saved_model, images, runtime, tmp_path
):
    (tmp_path / "moving.jpg").write_bytes(b"GIF89a" + bytes(100))
    (tmp_path / "half.png").write_bytes(images[0].read_bytes()[:200])
    files = [images[0], tmp_path / "moving.jpg", tmp_path / "half.png"]
    told = []
    for model in (exported[runtime], saved_model):
        with pytest.raises(FacenetError) as caught:
            load_embedder(model).embed(files)
        told.append(str(caught.value))
    assert told[0] == told[1]


def test_per_image_standardization_is_inside(tmp_path):
    loaded = network_of(standardization="per_image")
    windows = windows_of(3)
    expected = tf.saved_model.load(str(export_model(loaded, tmp_path / "saved"))).signatures[
        "embed_tensors"
    ](images=tf.constant(windows))["embeddings"]
    for runtime in RUNTIMES:
        network = load_runtime_network(export_for_runtime(loaded, tmp_path / "other", runtime))
        np.testing.assert_allclose(network.embed(windows), expected, atol=1e-5)


def test_openvino_reads_the_onnx_file_too(exported):
    windows = windows_of(3)
    found = [load_runtime_network(exported["onnx"], runtime).embed(windows) for runtime in RUNTIMES]
    np.testing.assert_allclose(*found, atol=1e-5)
    with pytest.raises(FacenetError, match=r"model\.xml: ONNX Runtime reads model\.onnx"):
        load_runtime_network(exported["openvino"], "onnx")
    with pytest.raises(FacenetError, match="expected 'onnx' or 'openvino', found 'torch'"):
        load_runtime_network(exported["onnx"], "torch")


def test_the_files_are_those_of_their_formats(exported):
    file = exported["onnx"] / "model.onnx"
    onnx.checker.check_model(str(file), full_check=True)
    model = onnx.load(file)
    assert {one.domain: one.version for one in model.opset_import}[""] == ONNX_OPSET
    (images,), (embeddings,) = model.graph.input, model.graph.output
    assert (images.name, embeddings.name) == ("images", "embeddings")
    assert [one.dim_value for one in images.type.tensor_type.shape.dim][1:] == [84, 84, 3]
    network = openvino.Core().read_model(exported["openvino"] / "model.xml")
    assert network.inputs[0].names == {"images"}
    assert network.outputs[0].names == {"embeddings"}
    for folder in exported.values():
        assert {path.name for path in folder.iterdir()} <= {
            "assets.extra",
            "model.onnx",
            "model.xml",
            "model.bin",
        }
        assert "taken for one person below 0.5" in (folder / CARD_FOR_PEOPLE).read_text("utf-8")


def test_bfloat16_is_half_the_size_and_nearly_equal(loaded, exported, tmp_path):
    halves = export_for_runtime(loaded, tmp_path / "halves", "openvino", "bfloat16")
    assert read_card(halves).dtype == "bfloat16"
    sizes = [(folder / "model.bin").stat().st_size for folder in (halves, exported["openvino"])]
    assert 0.45 < sizes[0] / sizes[1] < 0.55
    windows = windows_of(3)
    expected = load_runtime_network(exported["openvino"]).embed(windows)
    np.testing.assert_allclose(load_runtime_network(halves).embed(windows), expected, atol=0.03)
    with pytest.raises(FacenetError, match="ONNX Runtime computes bfloat16 on no processor"):
        export_for_runtime(loaded, tmp_path / "x", "onnx", "bfloat16")


def test_each_export_is_the_next_version_whatever_computes_it(loaded, exported, tmp_path):
    models = tmp_path / "models"
    shutil.copytree(exported["onnx"], models / "1")
    assert export_for_runtime(loaded, models, "openvino") == models / "2"
    assert load_embedder(models).embedding_size == 8
    with pytest.raises(FacenetError, match="already there; name another version"):
        export_for_runtime(loaded, models, "onnx", version=2)
    assert sorted(path.name for path in models.iterdir()) == ["1", "2"]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_is_damaged_is_told(exported, runtime, tmp_path):
    for name, spoil in (
        ("network", lambda folder: spoiled(folder, runtime)),
        ("card", lambda folder: (folder / CARD).unlink()),
        ("preprocessing", lambda folder: without_sizes(folder / CARD)),
    ):
        folder = Path(shutil.copytree(exported[runtime], tmp_path / name))
        spoil(folder)
        with pytest.raises(FacenetError, match=r"not a whole network of ours|expected the card"):
            load_embedder(folder)


def spoiled(folder, runtime):
    (file,) = folder.glob("model.onnx" if runtime == "onnx" else "model.xml")
    file.write_bytes(file.read_bytes()[:300])


def without_sizes(card):
    found = json.loads(card.read_text("utf-8"))
    found["preprocessing"] = {"image_size": 80, "side": 3}
    card.write_text(json.dumps(found), "utf-8")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_tensorflow_is_not_loaded(exported, images, runtime, tmp_path):
    program = """
import sys
from facenet_lib.cli import main
assert main(["embed", *sys.argv[1:]]) == 0
assert not {"tensorflow", "keras", "onnx"} & set(sys.modules)
"""
    words = [exported[runtime].parent, *images, "--out", tmp_path / "out.npz"]
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    with np.load(tmp_path / "out.npz") as found:
        assert found["embeddings"].shape == (5, 8)


@pytest.mark.skipif(shutil.which("node") is None, reason="no node")
@pytest.mark.skipif(not NODE_MODULES.is_dir(), reason="no onnxruntime-web: .ci/run installs it")
def test_javascript_computes_the_same(exported, tmp_path):
    windows = windows_of(2)
    windows.tofile(tmp_path / "windows")
    program = f"""
const {{ createRequire }} = require('module');
const ort = createRequire('{NODE_MODULES.as_posix()}/')('onnxruntime-web');
const fs = require('fs');
ort.env.wasm.numThreads = 1;
(async () => {{
  const session = await ort.InferenceSession.create(fs.readFileSync('model.onnx'));
  const pixels = new Float32Array(fs.readFileSync('windows').buffer.slice(0));
  const images = new ort.Tensor('float32', pixels, [2, 84, 84, 3]);
  const {{ embeddings }} = await session.run({{ images }});
  fs.writeFileSync('embeddings', Buffer.from(embeddings.data.buffer));
}})();
"""
    shutil.copy(exported["onnx"] / "model.onnx", tmp_path)
    (tmp_path / "program.cjs").write_text(program, "utf-8")
    subprocess.run(["node", "program.cjs"], cwd=tmp_path, check=True, capture_output=True)
    found = np.fromfile(tmp_path / "embeddings", np.float32).reshape(2, -1)
    expected = load_runtime_network(exported["onnx"]).embed(windows)
    np.testing.assert_allclose(found, expected, atol=1e-5)
