"""Published weights of every format give the reference's embeddings; loading is all or nothing.

That the names and shapes are the reference's, and its numbers, is proved in tests/network; how
the formats are read, and what is refused in them, in test_formats.py.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import published_files
import pytest
import tf1_reference

from facenet_lib.errors import FacenetError
from facenet_lib.input_pipeline import Preprocessing
from facenet_lib.model_card import card_of_weights, read_card
from facenet_lib.models import load_network
from facenet_lib.network import inception_resnet
from facenet_lib.network.inception_resnet import inception_resnet_v1, l2_normalize
from facenet_lib.published.containers import StoredArray
from facenet_lib.published.model_folder import (
    assign_tf1_variables,
    import_weights,
    is_model_folder,
    read_weights,
    tf1_variable_names,
)
from facenet_lib.published.releases import RELEASES

FIRST = "InceptionResnetV1/Conv2d_1a_3x3"
BLOCK = "InceptionResnetV1/Repeat/block35_1/Conv2d_1x1"


@pytest.fixture(scope="module")
def network() -> keras.Model:
    # With dropout, whose seed is a variable too but nothing that a checkpoint holds.
    return inception_resnet_v1(75, embedding_size=8, width=0.1, blocks=(1, 1, 1))


@pytest.fixture
def mapping(network: keras.Model) -> dict[str, np.ndarray]:
    """New values for every variable, made by the reference's rule."""
    return {
        name: tf1_reference.made_variable(name, tuple(variable.shape))
        for name, variable in tf1_variable_names(network).items()
    }


def values(network: keras.Model) -> list[np.ndarray]:
    return [variable.numpy() for variable in network.weights]


def test_every_weight_has_one_name_of_the_reference(network: keras.Model) -> None:
    named = tf1_variable_names(network)
    assert {id(v) for v in named.values()} == {id(v) for v in network.weights}
    assert len(named) == len(network.weights)
    assert named.keys() <= tf1_reference.variable_shapes().keys()


def test_every_variable_takes_its_own_value(network: keras.Model, mapping: dict) -> None:
    shuffled = dict(sorted(mapping.items()))  # the mapping's order does not matter
    assign_tf1_variables(network, shuffled)
    for name, variable in tf1_variable_names(network).items():
        np.testing.assert_array_equal(variable.numpy(), mapping[name])
    normalization = network.get_layer("Conv2d_1a_3x3.BatchNorm")
    np.testing.assert_array_equal(
        normalization.moving_variance, mapping[f"{FIRST}/BatchNorm/moving_variance"]
    )
    assert network.get_layer("Repeat.block35_1.Conv2d_1x1").bias.path.endswith("bias")


@pytest.mark.slow
def test_the_networks_outputs_are_those_of_the_loaded_weights(
    network: keras.Model, mapping: dict
) -> None:
    images = np.random.default_rng(0).standard_normal((2, 75, 75, 3)).astype("float32")
    assign_tf1_variables(network, mapping)
    before = network(images, training=False).numpy()
    twin = inception_resnet_v1(75, embedding_size=8, width=0.1, blocks=(1, 1, 1))
    assert np.abs(twin(images, training=False) - before).max() > 1e-3
    assign_tf1_variables(twin, mapping)
    np.testing.assert_allclose(twin(images, training=False), before, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "float64", "int32"])
def test_any_real_dtype_is_cast_to_the_variables(
    dtype: str, network: keras.Model, mapping: dict
) -> None:
    cast = {name: (8 * value).astype(dtype) for name, value in mapping.items()}
    assign_tf1_variables(network, cast)
    for name, variable in tf1_variable_names(network).items():
        assert variable.dtype == "float32"
        np.testing.assert_array_equal(variable.numpy(), cast[name].astype("float32"))


def remove(mapping: dict) -> None:
    del mapping[f"{FIRST}/BatchNorm/beta"]


def add(mapping: dict) -> None:
    mapping["InceptionResnetV1/Logits/weights"] = np.zeros((8, 3))


def reshape(mapping: dict) -> None:
    mapping[f"{FIRST}/weights"] = np.zeros((3, 3, 3, 9))


def spoil(mapping: dict) -> None:
    mapping[f"{BLOCK}/biases"][1] = np.nan


def overflow(mapping: dict) -> None:
    mapping[f"{BLOCK}/weights"] = np.full(mapping[f"{BLOCK}/weights"].shape, 1e300)


def mistype(mapping: dict) -> None:
    mapping[f"{FIRST}/BatchNorm/moving_mean"] = np.array(["a"] * 8)


MISTAKES = {
    remove: f"{FIRST}/BatchNorm/beta: missing",
    add: "InceptionResnetV1/Logits/weights: not part of the network",
    reshape: f"{FIRST}/weights: expected shape (3, 3, 3, 8), found (3, 3, 3, 9)",
    spoil: f"{BLOCK}/biases: holds NaN, infinity or a number beyond float32",
    overflow: f"{BLOCK}/weights: holds NaN, infinity or a number beyond float32",
    mistype: f"{FIRST}/BatchNorm/moving_mean: expected real numbers, found dtype <U1",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_one_mistake_is_named_and_nothing_changes(
    mistake: Callable[[dict], None], network: keras.Model, mapping: dict
) -> None:
    before = values(network)
    mistake(mapping)
    with pytest.raises(FacenetError) as raised:
        assign_tf1_variables(network, mapping)
    assert str(raised.value) == f"TF 1 variables: {MISTAKES[mistake]}"
    for old, new in zip(before, values(network), strict=True):
        np.testing.assert_array_equal(old, new)


def test_all_mistakes_are_told_at_once_and_nothing_changes(
    network: keras.Model, mapping: dict
) -> None:
    before = values(network)
    for mistake in MISTAKES:
        mistake(mapping)
    with pytest.raises(FacenetError) as raised:
        assign_tf1_variables(network, mapping)
    heading, *told = str(raised.value).splitlines()
    assert heading == f"TF 1 variables: {len(MISTAKES)} problems"
    assert {line.strip() for line in told} == set(MISTAKES.values())
    for old, new in zip(before, values(network), strict=True):
        np.testing.assert_array_equal(old, new)


def test_an_array_in_a_file_is_read_only_if_its_shape_is_right(
    network: keras.Model, mapping: dict
) -> None:
    read = []

    def stored(name: str, shape: tuple[int, ...]) -> StoredArray:
        def values() -> np.ndarray:
            read.append(name)
            return mapping[name]

        return StoredArray(Path("file"), shape, np.dtype("f4"), values)

    unread = {name: stored(name, array.shape) for name, array in mapping.items()}
    assign_tf1_variables(network, unread)
    assert sorted(read) == sorted(mapping)
    read.clear()
    unread[f"{FIRST}/weights"] = stored(f"{FIRST}/weights", (2**50, 3))
    with pytest.raises(FacenetError, match=r"^a file: .* found \(1125899906842624, 3\)$"):
        assign_tf1_variables(network, unread, "a file")
    assert f"{FIRST}/weights" not in read


# Published files, with the fixture's weights in all of their 23 million numbers.


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    shutil.rmtree(tmp_path)  # pytest would keep the files of three runs, gigabytes


IMAGES = tf1_reference.standardized_images()
EXPECTED = tf1_reference.expected_outputs()["embeddings"]


@pytest.fixture(scope="module")
def variables() -> dict[str, np.ndarray]:
    return tf1_reference.made_variables()


def release(path: Path, arrays: dict) -> Path:
    return published_files.write_release(path, arrays)


def frozen_graph(path: Path, arrays: dict) -> Path:
    return published_files.write_graph(path, arrays)


def keras_weights(path: Path, arrays: dict) -> Path:
    return published_files.write_keras(path, arrays)


def keras_model(path: Path, arrays: dict) -> Path:
    return published_files.write_keras(path, arrays, whole_model=True)


def deepface(path: Path, arrays: dict) -> Path:
    return published_files.write_keras(path, arrays, deepface=True)


def torch_zip(path: Path, arrays: dict) -> Path:
    return published_files.write_torch(path, published_files.torch_state(arrays, 10575))


def torch_legacy(path: Path, arrays: dict) -> Path:
    return published_files.write_legacy_torch(path, published_files.torch_state(arrays))


FORMATS: dict[Callable, tuple[str, str]] = {
    release: ("tf1_checkpoint", "VGGFace2"),
    frozen_graph: ("frozen_graph", "unknown"),
    keras_weights: ("keras_h5", "unknown"),
    keras_model: ("keras_h5", "unknown"),
    deepface: ("keras_h5", "unknown"),
    torch_zip: ("facenet_pytorch", "CASIA-WebFace"),
    torch_legacy: ("facenet_pytorch", "VGGFace2"),
}


def embedded(network: keras.Model) -> np.ndarray:
    return l2_normalize(network(IMAGES, training=False)).numpy()


@pytest.fixture(scope="module")
def full_network() -> keras.Model:
    return inception_resnet_v1()


@pytest.fixture
def built(full_network: keras.Model, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Let one network stand for all that would be built, and tell what was asked for."""
    asked: list[tuple[int, int]] = []

    def build(image_size: int, embedding_size: int, **others: object) -> keras.Model:
        asked.append((image_size, embedding_size))
        return full_network

    monkeypatch.setattr(inception_resnet, "inception_resnet_v1", build)
    return asked


@pytest.fixture
def blank_network(full_network: keras.Model, built: list) -> keras.Model:
    """The network that stands for all others, where a weight that was not read shows."""
    for weight in full_network.weights:
        weight.assign(np.full(weight.shape, np.nan))
    return full_network


@pytest.mark.slow
@pytest.mark.parametrize("write", FORMATS)
def test_a_published_file_gives_the_references_embeddings(
    write: Callable, variables: dict, blank_network: keras.Model, built: list, tmp_path: Path
) -> None:
    path = write(tmp_path / "published", variables)
    network, card = read_weights(path)
    assert built == [(160, 512)]
    assert network is blank_network
    np.testing.assert_allclose(embedded(network), EXPECTED, atol=1e-4)
    data = "model-20180402-114759.ckpt-275.data-00000-of-00001"
    numbers = path / data if path.is_dir() else path
    weights_format, training_set = FORMATS[write]
    assert card.weights == {
        "source": "published/model-20180402-114759.ckpt-275" if path.is_dir() else "published",
        "weights_format": weights_format,
        "sha256": hashlib.sha256(numbers.read_bytes()).hexdigest(),
        "embedding_size": 512,
        "image_size": 160,
        "standardization": "fixed",
        "training_set": training_set,
    }
    assert Preprocessing(**card.preprocessing) == Preprocessing(160, standardization="fixed")


@pytest.fixture(scope="module")
def model_folder(variables: dict, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("models")
    file = torch_legacy(folder / "20180402-114759-vggface2.pt", variables)
    out = import_weights(file, folder / "new" / "model")
    file.unlink()
    assert sorted(entry.name for entry in out.parent.iterdir()) == ["model"]  # nothing beside it
    yield out
    shutil.rmtree(folder)


@pytest.mark.slow
def test_a_model_folder_gives_the_references_embeddings(
    model_folder: Path, variables: dict
) -> None:
    assert is_model_folder(model_folder)
    assert sorted(entry.name for entry in model_folder.iterdir()) == ["model.json", "weights.npz"]
    with np.load(model_folder / "weights.npz", allow_pickle=False) as arrays:
        assert set(arrays.files) == set(variables)
        for name in arrays.files:
            np.testing.assert_array_equal(arrays[name], variables[name])
    loaded = load_network(model_folder)
    np.testing.assert_allclose(embedded(loaded.network), EXPECTED, atol=1e-4)
    assert loaded.origin["weights"]["source"] == "20180402-114759-vggface2.pt"
    assert loaded.origin["weights"]["training_set"] == "VGGFace2"


@pytest.mark.slow
def test_what_is_given_goes_before_what_is_guessed(
    variables: dict, built: list, tmp_path: Path
) -> None:
    file = frozen_graph(tmp_path / "a.pb", variables)
    out = import_weights(
        file, tmp_path / "model", image_size=182, standardization="per_image", training_set="Ours"
    )
    loaded = load_network(out)
    assert built == [(182, 512), (182, 512)]
    assert loaded.preprocessing.image_size == 182
    assert loaded.preprocessing.standardization == "per_image"
    assert loaded.origin["weights"]["training_set"] == "Ours"


@pytest.mark.slow
@pytest.mark.parametrize("write", [release, keras_weights])
def test_the_older_releases_have_128_numbers_and_standardize_each_image(
    write: Callable, variables: dict, tmp_path: Path
) -> None:
    shorter = published_files.with_128_numbers(variables)
    network, card = read_weights(write(tmp_path / "published", shorter))
    assert (card.embedding_size, card.weights["standardization"]) == (128, "per_image")
    assert card.preprocessing["standardization"] == "per_image"
    assert network.output_shape == (None, 128)
    named = tf1_variable_names(network)
    assert named.keys() == shorter.keys()
    for name, values in shorter.items():
        np.testing.assert_array_equal(named[name], values)


@pytest.mark.slow
def test_a_sum_that_is_known_tells_the_training_set(
    variables: dict, built: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as that of Keras' files, which have no classifier to tell it by."""
    path = keras_weights(tmp_path / "renamed.h5", variables)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    known = dataclasses.replace(RELEASES["vggface2"], training_set="Ours", other_sums=(digest,))
    monkeypatch.setitem(RELEASES, "ours", known)
    assert read_weights(path)[1].weights["training_set"] == "Ours"
    assert read_weights(path, training_set="Theirs")[1].weights["training_set"] == "Theirs"


@pytest.mark.slow
@pytest.mark.parametrize("write", [release, frozen_graph, keras_weights, torch_zip, torch_legacy])
def test_all_that_does_not_fit_is_told_at_once_and_nothing_is_written(
    write: Callable, variables: dict, built: list, full_network: keras.Model, tmp_path: Path
) -> None:
    before = full_network.get_layer("Conv2d_2a_3x3").kernel.numpy()
    wrong = dict(variables)
    del wrong[f"{FIRST}/BatchNorm/moving_mean"]
    wrong[f"{FIRST}/weights"] = np.zeros((3, 3, 3, 31), np.float32)
    wrong[f"{BLOCK}/biases"] = np.full(256, np.inf, np.float32)
    extra = {
        torch_zip: "InceptionResnetV1/Repeat_2/block8_6/Conv2d_1x1/biases",
        torch_legacy: "InceptionResnetV1/Repeat_2/block8_6/Conv2d_1x1/biases",
    }.get(write, "InceptionResnetV1/Conv2d_5a_3x3/weights")
    wrong[extra] = np.zeros(7, np.float32)
    path = write(tmp_path / "published", wrong)
    with pytest.raises(FacenetError) as raised:
        import_weights(path, tmp_path / "model")
    told = {
        torch_zip: "repeat_3.5.conv2d.bias",
        torch_legacy: "repeat_3.5.conv2d.bias",
        keras_weights: "Conv2d_5a_3x3/Conv2d_5a_3x3/kernel:0",
    }.get(write, extra)
    assert str(raised.value).splitlines() == [
        f"{path}: 4 problems",
        *sorted(
            [
                f"  {FIRST}/BatchNorm/moving_mean: missing",
                f"  {FIRST}/weights: expected shape (3, 3, 3, 32), found (3, 3, 3, 31)",
                f"  {BLOCK}/biases: holds NaN, infinity or a number beyond float32",
                f"  {told}: not part of the network",
            ]
        ),
    ]
    np.testing.assert_array_equal(full_network.get_layer("Conv2d_2a_3x3").kernel, before)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["published"]


def test_factors_of_batch_normalization_must_be_one(
    variables: dict, built: list, tmp_path: Path
) -> None:
    state = published_files.torch_state(variables)
    state["conv2d_1a.bn.weight"][:5] = 0.5
    state["last_bn.weight"] = np.full(512, np.nan, np.float32)
    path = published_files.write_torch(tmp_path / "tuned.pt", state)
    with pytest.raises(FacenetError) as raised:
        read_weights(path)
    reason = "expected factors of 1, because this network has none, found"
    assert str(raised.value).splitlines() == [
        f"{path}: 2 problems",
        f"  InceptionResnetV1/Bottleneck/BatchNorm/gamma: {reason} 512 others",
        f"  {FIRST}/BatchNorm/gamma: {reason} 5 others",
    ]


def test_factors_that_are_no_real_numbers_are_told_unread(
    variables: dict, built: list, tmp_path: Path
) -> None:
    # Complex ones, which are equal to 1.
    factors = {f"{FIRST}/BatchNorm/gamma": np.ones(32, np.complex64)}
    path = keras_weights(tmp_path / "a.h5", variables | factors)
    with pytest.raises(FacenetError) as raised:
        read_weights(path)
    assert str(raised.value) == (
        f"{path}: {FIRST}/BatchNorm/gamma: expected real numbers, found dtype complex64"
    )


def test_weights_of_another_network_are_told_by_their_names(built: list, tmp_path: Path) -> None:
    state = {"conv1.weight": np.zeros((10, 3, 3, 3), "f4"), "prelu1.weight": np.zeros(10, "f4")}
    path = published_files.write_torch(tmp_path / "pnet.pt", state)
    with pytest.raises(FacenetError) as raised:
        read_weights(path)
    assert str(raised.value) == (
        f"{path}: expected an InceptionResnetV1, found conv1.weight, prelu1.weight"
    )
    assert not built


def test_no_network_is_built_for_an_absurd_embedding(built: list, tmp_path: Path) -> None:
    name = "InceptionResnetV1/Bottleneck/weights"
    path = published_files.write_keras(tmp_path / "a.h5", {name: np.zeros((0, 2**40))})
    with pytest.raises(FacenetError, match="embeddings of 1 to 4096 numbers, found 1099511627776"):
        read_weights(path)
    assert not built


def test_a_missing_bottleneck_is_told_with_the_rest(built: list, tmp_path: Path) -> None:
    path = published_files.write_keras(tmp_path / "a.h5", {f"{FIRST}/BatchNorm/beta": np.ones(3)})
    with pytest.raises(FacenetError, match=r": 490 problems\n.*Block8/"):
        read_weights(path)
    assert built == [(160, 512)]


# The model folder.


def test_a_folder_that_is_not_free_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept", encoding="utf-8")
    for out in (tmp_path, tmp_path / "kept"):
        with pytest.raises(FacenetError, match="already there; name a folder that is new or empty"):
            import_weights(tmp_path / "any.pb", out)
    assert (tmp_path / "kept").read_text(encoding="utf-8") == "kept"


@pytest.mark.slow
def test_what_cannot_be_written_leaves_nothing(
    variables: dict, built: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = frozen_graph(tmp_path / "a.pb", variables)

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(FacenetError, match="model: cannot be written: No space left on device"):
        import_weights(file, tmp_path / "model")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.pb"]


@pytest.fixture
def copied(model_folder: Path, tmp_path: Path) -> Path:
    """A model folder to spoil, sharing the weights until they are written anew."""
    (tmp_path / "model").mkdir()
    shutil.copy(model_folder / "model.json", tmp_path / "model")
    (tmp_path / "model" / "weights.npz").hardlink_to(model_folder / "weights.npz")
    return tmp_path / "model"


def test_a_card_is_read_without_the_weights(copied: Path, built: list) -> None:
    known = json.loads((copied / "model.json").read_text(encoding="utf-8"))
    known |= {"image_size": 182, "standardization": "per_image"}
    (copied / "model.json").write_text(json.dumps(known), encoding="utf-8")
    (copied / "weights.npz").unlink()
    card = read_card(str(copied))
    assert card == card_of_weights(known)
    assert card.weights == known
    assert Preprocessing(**card.preprocessing) == Preprocessing(182, standardization="per_image")
    assert not built


def test_a_card_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(FacenetError, match=r"model\.json: expected the card of a model folder"):
        read_card(tmp_path)


def test_a_card_edited_by_hand_is_told_all_its_mistakes(copied: Path, built: list) -> None:
    path = copied / "model.json"
    card = json.loads(path.read_text(encoding="utf-8"))
    del card["source"]
    card |= {
        "weights_format": ["pickle"],
        "sha256": "abc",
        "embedding_size": True,
        "image_size": "160",
        "standardization": "none",
        "training_set": None,
        "crop": 182,
    }
    path.write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(FacenetError) as raised:
        load_network(copied)
    assert str(raised.value).splitlines() == [
        f"{path}: 8 problems",
        "  crop: unknown",
        "  source: missing, expected text",
        "  weights_format: expected one of tf1_checkpoint, frozen_graph, keras_h5, "
        'facenet_pytorch, found ["pickle"]',
        '  sha256: expected 64 hexadecimal digits, found "abc"',
        "  embedding_size: expected an integer from 1 to 4096, found true",
        '  image_size: expected an integer of at least 75, found "160"',
        '  standardization: expected fixed or per_image, found "none"',
        "  training_set: expected text, found null",
    ]
    assert not built


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 10**5])
def test_a_card_that_is_none_is_told(content: bytes, copied: Path) -> None:
    (copied / "model.json").write_bytes(content)
    with pytest.raises(FacenetError, match=r"model\.json: expected the card of a model folder"):
        load_network(copied)


def rewrite(path: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    with np.load(path, allow_pickle=False) as archive:
        arrays = dict(archive)
    change(arrays)
    path.unlink()  # and not the weights that it shares
    np.savez(path, **arrays)


def test_weights_that_do_not_fit_the_card_are_told(copied: Path, built: list) -> None:
    def change(arrays: dict[str, np.ndarray]) -> None:
        del arrays[f"{FIRST}/BatchNorm/beta"]
        arrays["InceptionResnetV1/Bottleneck/weights"] = np.zeros((1792, 128), np.float32)

    rewrite(copied / "weights.npz", change)
    with pytest.raises(FacenetError) as raised:
        load_network(copied)
    assert str(raised.value).splitlines() == [
        f"{copied / 'weights.npz'}: 2 problems",
        "  InceptionResnetV1/Bottleneck/weights: expected shape (1792, 512), found (1792, 128)",
        f"  {FIRST}/BatchNorm/beta: missing",
    ]


def test_damaged_weights_are_told(copied: Path, built: list) -> None:
    path = copied / "weights.npz"
    whole = path.read_bytes()
    path.unlink()
    for length in (0, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(FacenetError, match=r"weights\.npz: damaged: "):
            load_network(copied)
    wrong = bytearray(whole)
    wrong[len(whole) // 2] ^= 1
    path.write_bytes(wrong)
    with pytest.raises(FacenetError, match=r"weights\.npz: damaged: Bad CRC-32"):
        load_network(copied)


def test_a_bomb_for_weights_is_not_unpacked(copied: Path, built: list) -> None:
    path = copied / "weights.npz"
    path.unlink()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(f"{FIRST}/weights.npy", bytes(2**26))
    with pytest.raises(FacenetError, match=r"weights\.npz: damaged: "):
        load_network(copied)
    assert not built


def test_folders_that_may_not_be_looked_into_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    calls: list[Callable] = [is_model_folder, lambda out: import_weights("any.pb", out)]
    for call in calls:
        with monkeypatch.context() as patched, pytest.raises(FacenetError) as raised:
            patched.setattr(Path, "stat", denied)
            call(tmp_path)
        assert str(raised.value) == f"{tmp_path}: cannot be read: Permission denied"


def test_only_a_folder_with_both_files_is_a_model_folder(copied: Path) -> None:
    assert is_model_folder(str(copied))
    (copied / "model.json").unlink()
    assert not is_model_folder(copied)
    assert not is_model_folder(copied / "weights.npz")
    with pytest.raises(FacenetError, match=r"a TF 1 checkpoint, found weights\.npz"):
        read_weights(copied)
