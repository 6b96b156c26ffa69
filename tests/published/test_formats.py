"""Every published format gives the reference's names and layout, whatever its file is called.

The arrays have the fixture's 490 names and only corners of its shapes, so that files are small.
test_model_folder.py has the whole network.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np
import published_files
import pytest
import tensorflow as tf
import tf1_reference

from facenet_lib.errors import FacenetError
from facenet_lib.published.formats import open_weight_file

BETA = "InceptionResnetV1/Conv2d_1a_3x3/BatchNorm/beta"
RELEASE = "model-20180402-114759.ckpt-275"


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        name: generator.standard_normal([min(2 + place, side) for place, side in enumerate(shape)])
        .astype(np.float32)
        for name, shape in tf1_reference.variable_shapes().items()
    }  # fmt: skip


def keras_whole(path: Path, arrays: dict) -> Path:
    return published_files.write_keras(path, arrays, whole_model=True)


def deepface(path: Path, arrays: dict) -> Path:
    return published_files.write_keras(path, arrays, deepface=True)


def torch_zip(path: Path, arrays: dict) -> Path:
    return published_files.write_torch(path, published_files.torch_state(arrays))


def torch_legacy(path: Path, arrays: dict) -> Path:
    return published_files.write_legacy_torch(path, published_files.torch_state(arrays))


def torch_checkpoint(path: Path, arrays: dict) -> Path:
    """As a training on several processors of graphics saves it."""
    state = {f"module.{name}": a for name, a in published_files.torch_state(arrays).items()}
    return published_files.write_torch(path, {"epoch": 3, "loss": 0.5, "state_dict": state})


FORMATS: dict[Callable, tuple[str, int | None]] = {
    published_files.write_release: ("tf1_checkpoint", 8631),
    published_files.write_graph: ("frozen_graph", None),
    published_files.write_keras: ("keras_h5", None),
    keras_whole: ("keras_h5", None),
    deepface: ("keras_h5", None),
    torch_zip: ("facenet_pytorch", 8631),
    torch_legacy: ("facenet_pytorch", 8631),
    torch_checkpoint: ("facenet_pytorch", 8631),
}


@pytest.mark.slow
@pytest.mark.parametrize("write", FORMATS)
def test_names_and_layouts_are_the_references(
    write: Callable, arrays: dict, tmp_path: Path
) -> None:
    path = write(tmp_path / "weights.jpg", arrays)  # the name says nothing
    with open_weight_file(str(path)) as weights:
        assert (weights.weights_format, weights.identities) == FORMATS[write]
        gammas = {name for name in weights.arrays if name.endswith("/gamma")}
        assert weights.arrays.keys() - gammas == arrays.keys()
        for name, expected in arrays.items():
            assert weights.arrays[name].shape == expected.shape
            np.testing.assert_array_equal(np.asarray(weights.arrays[name]), expected)
        betas = {name.replace("/beta", "/gamma") for name in arrays if name.endswith("/beta")}
        assert gammas == (betas if weights.weights_format == "facenet_pytorch" else set())
        if path.is_file():
            assert (weights.path, weights.source) == (path, "weights.jpg")


def test_deepface_numbers_second_branches_like_their_blocks(arrays: dict) -> None:
    layers = {published_files.keras_names(name, deepface=True)[0] for name in arrays}
    assert "Block17_10_Branch_10_Conv2d_0c_7x1_BatchNorm" in layers
    assert "Block8_6_Branch_1_Conv2d_0c_3x1" in layers
    assert "Block35_2_Branch_1_Conv2d_0a_1x1" in layers


# The names of these projects, from their own code where it is installed.


def test_facenet_pytorchs_own_state_dict_has_these_names(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="facenet-pytorch is not installed here")
    peer = pytest.importorskip("facenet_pytorch.models.inception_resnet_v1")
    network = peer.InceptionResnetV1(classify=True, num_classes=8631)
    named = published_files.torch_state(tf1_reference.made_variables())
    named["logits.weight"] = np.zeros((8631, 512), np.float32)
    state = {name: torch.from_numpy(values) for name, values in named.items()}
    network.load_state_dict(state)  # strict: no name may be missing or left over
    network.eval().classify = False
    images = torch.from_numpy(tf1_reference.standardized_images()).permute(0, 3, 1, 2)
    embeddings = network(images).detach().numpy()
    np.testing.assert_allclose(
        embeddings, tf1_reference.expected_outputs()["embeddings"], atol=1e-5
    )
    for legacy in (False, True):
        path = tmp_path / f"{legacy}.pt"
        torch.save(state, path, _use_new_zipfile_serialization=not legacy)
        with open_weight_file(path) as weights:
            for name, expected in tf1_reference.made_variables().items():
                np.testing.assert_array_equal(np.asarray(weights.arrays[name]), expected)


# TF 1 checkpoints.


@pytest.mark.slow
def test_a_saver_of_tf1_writes_what_is_read(arrays: dict, tmp_path: Path) -> None:
    folder = tmp_path / "20180402-114759"
    folder.mkdir()
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variables = [
            tf.compat.v1.get_variable(name, initializer=values, use_resource=False)
            for name, values in arrays.items()
        ]
        session.run(tf.compat.v1.global_variables_initializer())
        saver = tf.compat.v1.train.Saver(variables)
        saver.save(session, str(folder / "model-20180402-114759.ckpt"), global_step=275)
    assert (folder / f"{RELEASE}.meta").is_file()
    for path, source in ((folder, f"20180402-114759/{RELEASE}"), (folder / RELEASE, RELEASE)):
        with open_weight_file(path) as weights:
            assert weights.source == source
            assert weights.path == folder / f"{RELEASE}.data-00000-of-00001"
            assert weights.identities is None
            assert weights.arrays.keys() == arrays.keys()
            np.testing.assert_array_equal(np.asarray(weights.arrays[BETA]), arrays[BETA])


def test_what_only_training_needs_is_left_out(tmp_path: Path) -> None:
    plain = {"InceptionResnetV1/Bottleneck/weights": np.ones((3, 2), np.float32)}
    training = [
        "Logits/weights", "Logits/biases", "centers", "global_step", "Variable",
        "beta1_power", "beta2_power", "total_loss/avg", "cross_entropy/avg",
        "Logits/weights/Adam",
    ] + [
        f"InceptionResnetV1/Bottleneck/weights/{slot}"
        for slot in (
            "ExponentialMovingAverage", "Adagrad", "Adadelta", "Adadelta_1", "Adam", "Adam_1",
            "RMSProp", "RMSProp_1", "Momentum",
        )
    ]  # fmt: skip
    others = ["InceptionResnetV1/Logits/weights", "AuxLogits/weights", "Logits_2/weights"]
    values = {name: np.zeros((2, 7), np.float32) for name in training + others}
    published_files.write_checkpoint(tmp_path / "a.ckpt", plain | values)
    with open_weight_file(tmp_path / "a.ckpt") as weights:
        assert weights.arrays.keys() == plain.keys() | set(others)
        assert weights.identities == 7
        np.testing.assert_array_equal(np.asarray(*[weights.arrays[n] for n in plain]), 1)


def test_several_checkpoints_are_told(tmp_path: Path) -> None:
    for step in (90, 275):
        published_files.write_checkpoint(tmp_path / f"model.ckpt-{step}", {BETA: np.ones(2)})
    with pytest.raises(FacenetError) as raised:
        open_weight_file(tmp_path).__enter__()
    assert str(raised.value) == (
        f"{tmp_path}: expected one checkpoint, found model.ckpt-275, model.ckpt-90; name one of "
        f"them, for example {tmp_path / 'model.ckpt-90'}"
    )
    with open_weight_file(tmp_path / "model.ckpt-90") as weights:
        assert weights.source == "model.ckpt-90"


def test_a_system_s_own_files_are_no_checkpoints(tmp_path: Path) -> None:
    """What macOS leaves beside each file in a folder that it could not keep attributes in."""
    published_files.write_checkpoint(tmp_path / "model.ckpt-90", {BETA: np.ones(2)})
    for path in list(tmp_path.iterdir()):
        (tmp_path / f"._{path.name}").write_bytes(b"\0\5\x16\7")
    (tmp_path / "Thumbs.db").touch()
    with open_weight_file(tmp_path) as weights:
        assert weights.source.endswith("model.ckpt-90")


def test_a_checkpoint_without_its_numbers_is_told(tmp_path: Path) -> None:
    published_files.write_checkpoint(tmp_path / "a.ckpt", {BETA: np.ones(2)})
    data = tmp_path / "a.ckpt.data-00000-of-00001"
    data.unlink()
    with pytest.raises(FacenetError) as raised:
        open_weight_file(tmp_path).__enter__()
    assert str(raised.value) == f"{data}: expected the numbers of a.ckpt.index, found no file"


def test_a_folder_named_like_the_checkpoint_is_not_entered(tmp_path: Path) -> None:
    published_files.write_checkpoint(tmp_path / "a.ckpt", {BETA: np.ones(2)})
    inner = tmp_path / "a.ckpt"
    inner.mkdir()
    published_files.write_checkpoint(inner / "b.ckpt", {BETA: np.zeros(2)})
    (inner / "checkpoint").write_text('model_checkpoint_path: "b.ckpt"\n', encoding="utf-8")
    with open_weight_file(tmp_path) as weights:
        assert weights.source == f"{tmp_path.name}/a.ckpt"
        np.testing.assert_array_equal(np.asarray(weights.arrays[BETA]), np.ones(2))


@pytest.mark.parametrize(
    "name", [f"{RELEASE}.index", f"{RELEASE}.data-00000-of-00001", "model-20180402-114759.meta"]
)
def test_one_file_of_a_checkpoint_is_told_by_its_name(name: str, tmp_path: Path) -> None:
    folder = published_files.write_release(tmp_path / "release", {BETA: np.ones(2, np.float32)})
    if name.endswith(".meta"):  # begins like a frozen graph
        (folder / name).write_bytes(b"\n\x04\n\x02v1")
    with pytest.raises(FacenetError) as raised:
        open_weight_file(folder / name).__enter__()
    assert str(raised.value).startswith(f"{folder / name}: expected the folder or the prefix of")
    assert str(raised.value).endswith(
        f"found one file of a TF 1 checkpoint; name its folder, {folder}"
    )


@pytest.mark.parametrize("method", ["iterdir", "stat"])
def test_a_folder_that_may_not_be_looked_into_is_told(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched, pytest.raises(FacenetError) as raised:
        patched.setattr(Path, method, denied)
        open_weight_file(tmp_path).__enter__()
    assert str(raised.value) == f"{tmp_path}: cannot be read: Permission denied"


@pytest.mark.parametrize("suffix", ["index", "data-00000-of-00001"])
@pytest.mark.parametrize("part", [0, 0.5, 0.99])
def test_a_checkpoint_cut_short_is_told(suffix: str, part: float, tmp_path: Path) -> None:
    published_files.write_checkpoint(tmp_path / "a.ckpt", {BETA: np.ones(1000)})
    path = tmp_path / f"a.ckpt.{suffix}"
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with (
        pytest.raises(FacenetError, match=re.escape(f"{path}: damaged: ")),
        open_weight_file(tmp_path) as weights,
    ):
        np.asarray(weights.arrays[BETA])


# Frozen graphs.


def test_a_graph_cut_short_is_told_or_lacks_variables(arrays: dict, tmp_path: Path) -> None:
    path = published_files.write_graph(tmp_path / "a.pb", arrays)
    whole = path.read_bytes()
    damaged = 0
    for length in range(1, len(whole) - 200, len(whole) // 50):
        path.write_bytes(whole[:length])
        try:
            with open_weight_file(path) as weights:
                assert len(weights.arrays) < len(arrays)
        except FacenetError as error:
            assert str(error).startswith(f"{path}: damaged: ")
            damaged += 1
    assert damaged > 40


def test_constants_that_are_no_variables_are_passed_over(tmp_path: Path) -> None:
    path = published_files.write_graph(tmp_path / "a.pb", {BETA: np.ones(2, np.float32)})
    with open_weight_file(path) as weights:
        assert list(weights.arrays) == [BETA]


def test_a_graph_that_claims_a_giant_does_not_make_it(tmp_path: Path) -> None:
    graph = tf.compat.v1.GraphDef()
    node = graph.node.add(name=BETA, op="Const")
    node.attr["value"].tensor.dtype = tf.float32.as_datatype_enum
    node.attr["value"].tensor.tensor_shape.dim.add(size=2**50)
    node.attr["value"].tensor.float_val.append(1.0)
    (tmp_path / "a.pb").write_bytes(graph.SerializeToString())
    with open_weight_file(tmp_path / "a.pb") as weights:
        assert weights.arrays[BETA].shape == (2**50,)


def test_graphs_with_variables_or_with_names_twice_are_told(tmp_path: Path) -> None:
    path = published_files.write_graph(tmp_path / "a.pb", {BETA: np.ones(2, np.float32)})
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(FacenetError, match="damaged: two nodes of the graph have one name"):
        open_weight_file(path).__enter__()
    graph = tf.compat.v1.GraphDef()
    graph.node.add(name=BETA, op="VariableV2")
    path.write_bytes(graph.SerializeToString())
    with pytest.raises(FacenetError, match="expected a frozen graph, found one with variables"):
        open_weight_file(path).__enter__()


def test_a_graph_too_large_to_parse_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.pb"
    with path.open("wb") as file:
        file.write(b"\n")
        file.truncate(2**28 + 1)  # takes no room on the disk
    with pytest.raises(FacenetError, match="expected at most 268435456 bytes"):
        open_weight_file(path).__enter__()


# Keras and torch.


def test_two_datasets_for_one_variable_are_told(tmp_path: Path) -> None:
    path = published_files.write_keras(tmp_path / "a.h5", {BETA: np.ones(2)})
    with h5py.File(path, "a") as file:
        file["Conv2d_1a_3x3_BatchNorm/other/beta:0"] = np.zeros(2)
    with pytest.raises(FacenetError, match=f"a second array for {BETA}"):
        open_weight_file(path).__enter__()


def test_two_tensors_for_one_variable_are_told(tmp_path: Path) -> None:
    state = {"conv2d_1a.bn.bias": np.ones(2, "f4"), BETA: np.zeros(2, "f4")}
    path = published_files.write_torch(tmp_path / "a.pt", state)
    with pytest.raises(FacenetError) as raised:
        open_weight_file(path).__enter__()
    assert str(raised.value) == f"{path}: {BETA}: a second array for {BETA}"


# What is none of the four.


def nothing(path: Path) -> str:
    return "nothing"


def holding(content: bytes, found: str, name: str = "weights") -> Callable[[Path], str]:
    """A file of other bytes, and what an error then says."""

    def make(path: Path) -> str:
        path.write_bytes(content)
        return found

    make.__name__ = name
    return make


SAFETENSORS = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
OTHERS = [
    nothing,
    holding(b"", "an empty file", "empty"),
    holding(
        b"weights of a\tnetwork\n" * 9, "a text that begins with 'weights of a network", "text"
    ),
    holding(b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(99), "a JPEG image", "picture"),
    holding(b"\x08\x01\x12\xc4\x02\n", "the graph of a SavedModel; what facenet", "saved model"),
    holding(b"\x80\x04}.", "a pickle of Python", "pickle"),
    holding(b"\x08\x08\x12\x07tf2onnx" + bytes(99), "an ONNX model, which", "ONNX"),
    holding(bytes([54, *bytes(7)]) + SAFETENSORS + bytes(4), "a safetensors file; save", "tensors"),
    holding(b"\x1c\0\0\0TFL3" + bytes(99), "a LiteRT model, whose weights", "LiteRT"),
    holding(b"a.index".ljust(257, b"\0") + b"ustar\x0000", "a tar archive; unpack it", "tar"),
    holding(b"\x1f\x8b\x08" + bytes(99), "an archive that gzip packed", "gzip"),
    holding(b"\n<!DOCTYPE html>\n<html>"[1:], "a web page, as a download that did", "web page"),
    holding(b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS", "Git LFS"),
    holding(b"\xfe\xed\xfa\xce" + bytes(99), "a file of another kind", "bytes"),
]


@pytest.mark.parametrize("make", OTHERS, ids=lambda make: make.__name__)
def test_what_is_there_instead_is_told(make: Callable[[Path], str], tmp_path: Path) -> None:
    path = tmp_path / "20180402-114759.pb"
    found = make(path)
    with pytest.raises(FacenetError) as raised:
        open_weight_file(path).__enter__()
    assert str(raised.value).startswith(
        f"{path}: expected the folder or the prefix of a TF 1 checkpoint, a frozen graph (.pb), "
        f"a Keras .h5 file or a torch .pt file, found {found}"
    )


def test_a_release_that_is_still_packed_is_told(arrays: dict, tmp_path: Path) -> None:
    folder = published_files.write_release(tmp_path / "20180402-114759", arrays)
    packed = shutil.make_archive(str(folder), "zip", tmp_path, folder.name)
    with pytest.raises(FacenetError) as raised:
        open_weight_file(packed).__enter__()
    assert str(raised.value).startswith(f"{packed}: expected torch's archive with one data.pkl")
    assert "20180402-114759/20180402-114759.pb" in str(raised.value)
    assert str(raised.value).endswith("is to be unpacked first, and its folder named")
    with open_weight_file(folder) as weights:
        assert weights.arrays.keys() == arrays.keys()


def test_what_keras_3_saves_is_told_and_its_hdf5_is_read(tmp_path: Path) -> None:
    """What the message advises, followed to its end."""
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(2, use_bias=False, name="Bottleneck")(inputs)
    model = keras.Model(inputs, outputs)
    for name, told in (
        (
            "a.keras",
            r"found a model that Keras 3 saved \(\.keras\), .* model\.save\('weights\.h5'\)$",
        ),
        ("a.weights.h5", r"a file of weights that Keras 3 saved .* model\.save\('weights\.h5'\)$"),
    ):
        (model.save if name == "a.keras" else model.save_weights)(tmp_path / name)
        with pytest.raises(FacenetError, match=told):
            open_weight_file(tmp_path / name).__enter__()
    model.save(tmp_path / "weights.h5")
    with open_weight_file(tmp_path / "weights.h5") as weights:
        assert list(weights.arrays) == ["InceptionResnetV1/Bottleneck/weights"]
        np.testing.assert_array_equal(
            np.asarray(weights.arrays["InceptionResnetV1/Bottleneck/weights"]), model.weights[0]
        )


def test_numpys_archive_is_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.zeros(3))
    with pytest.raises(FacenetError, match=r"found arrays that NumPy saved \(\.npz\)"):
        open_weight_file(tmp_path / "a.npz").__enter__()


def test_a_text_that_begins_like_a_graph_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.pb").write_text("\n\nweights of a network\n", encoding="utf-8")
    with pytest.raises(FacenetError, match=r"a\.pb: damaged: "):
        open_weight_file(tmp_path / "a.pb").__enter__()


def test_a_folder_without_a_checkpoint_is_told(tmp_path: Path) -> None:
    with pytest.raises(FacenetError, match="expected a folder with a TF 1 checkpoint, found noth"):
        open_weight_file(tmp_path).__enter__()
    (tmp_path / "20180402-114759.pb").write_bytes(b"")
    with pytest.raises(FacenetError, match=r"TF 1 checkpoint, found 20180402-114759\.pb$"):
        open_weight_file(tmp_path).__enter__()
