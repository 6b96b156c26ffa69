import json
import os
import shutil
import subprocess
import sys
import textwrap
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from toy_training import SETTINGS, draw_people, full_disk, toy_network

from facenet_lib import training
from facenet_lib.errors import FacenetError
from facenet_lib.export import CARD, export_model, load_embedder
from facenet_lib.input_pipeline import Preprocessing
from facenet_lib.network import fold_batch_norm
from facenet_lib.pretrained import ModelCard, PretrainedNetwork
from facenet_lib.training import TrainingConfig, embed_images, load_run, network_settings, train

REAL_NETWORK_OF = training.network_of


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return draw_people(tmp_path_factory.mktemp("faces"), "Known")


@pytest.fixture(scope="module", autouse=True)
def small_network():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "network_of", toy_network)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory, faces):
    """A run whose preprocessing does everything: frame, window and resizing."""
    out = tmp_path_factory.mktemp("runs") / "run"
    config = TrainingConfig(**SETTINGS | {"crop_size": 60, "frame_size": 71, "epochs": 1})
    train(config, faces, out, progress=False)
    return out


@pytest.fixture(scope="module")
def exported(tmp_path_factory, run):
    return export_model(run, tmp_path_factory.mktemp("models") / "new" / "facenet")


@pytest.fixture(scope="module")
def images(faces):
    return [str(path) for paths in faces.values() for path in paths[:3]]


@pytest.fixture(scope="module")
def expected(run, images):
    loaded = load_run(run)
    return embed_images(loaded.network, images, loaded.preprocessing)


def image_file(size, format="PNG", seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(noise).save(file, format)
    return noise, file.getvalue()


def test_tensorflow_alone_gets_the_same_embeddings(exported, images, expected, tmp_path):
    """Files and tensors, in a process that cannot import this library."""
    program = """
        import sys
        sys.modules["facenet_lib"] = None  # importing it raises
        sys.modules["keras"] = None
        import numpy as np
        import tensorflow as tf
        model = tf.saved_model.load(sys.argv[1])
        paths = sys.argv[3:]
        encoded = tf.constant([tf.io.read_file(path).numpy() for path in paths])
        answer = model.signatures["serving_default"](images=encoded)
        pixels = [tf.cast(tf.io.decode_jpeg(file), tf.float32) for file in encoded]
        tensors = model.signatures["embed_tensors"](images=tf.stack(pixels))
        np.savez(
            sys.argv[2],
            encoded=answer["embeddings"],
            valid=answer["valid"],
            tensors=tensors["embeddings"],
        )
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), exported, tmp_path / "out.npz", *images],
        check=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    with np.load(tmp_path / "out.npz") as found:
        np.testing.assert_allclose(found["encoded"], expected, atol=1e-5)
        np.testing.assert_allclose(found["tensors"], expected, atol=1e-5)
        assert found["valid"].all()


def test_the_signatures_have_names(exported):
    signatures = tf.saved_model.load(str(exported)).signatures
    assert set(signatures) == {"serving_default", "embed_tensors"}
    for name, inputs, answers in (
        ("serving_default", tf.TensorSpec([None], tf.string), {"embeddings", "valid"}),
        ("embed_tensors", tf.TensorSpec([None, None, None, 3], tf.float32), {"embeddings"}),
    ):
        (spec,) = signatures[name].structured_input_signature[1].values()
        assert spec.name == "images"
        assert spec.shape.as_list() == inputs.shape.as_list()
        assert spec.dtype == inputs.dtype
        outputs = signatures[name].structured_outputs
        assert set(outputs) == answers
        assert outputs["embeddings"].shape.as_list() == [None, 16]


def test_the_weights_are_written_once(exported, run):
    folded = fold_batch_norm(load_run(run).network).weights
    numbers = sum(int(np.prod(weight.shape)) for weight in folded)
    (data,) = (exported / "variables").glob("variables.data-*")
    assert 4 * numbers <= data.stat().st_size <= 1.02 * 4 * numbers + 4096
    names = [name for name, _ in tf.train.list_variables(str(exported / "variables/variables"))]
    weights = [name for name in names if not name.startswith("_CHECKPOINTABLE_OBJECT_GRAPH")]
    assert len(weights) == len(folded)


def test_a_bfloat16_model_is_smaller_and_nearly_equal(tmp_path, run, exported, images):
    half = export_model(run, tmp_path / "half", dtype="bfloat16")
    sizes = [
        next((model / "variables").glob("variables.data-*")).stat().st_size
        for model in (half, exported)
    ]
    assert sizes[0] < sizes[1]
    assert json.loads((half / CARD).read_text())["dtype"] == "bfloat16"
    exact, rounded = (load_embedder(model).embed(images) for model in (exported, half))
    assert rounded.dtype == np.float32
    assert np.sum(exact * rounded, axis=1).min() > 0.999
    assert not np.array_equal(exact, rounded)
    with pytest.raises(FacenetError, match="found 'float16'"):
        export_model(run, tmp_path / "other", dtype="float16")


def test_an_empty_batch_is_answered(exported):
    signatures = tf.saved_model.load(str(exported)).signatures
    answer = signatures["serving_default"](images=tf.constant([], tf.string))
    assert answer["embeddings"].shape == (0, 16)
    assert answer["valid"].shape == (0,)
    tensors = signatures["embed_tensors"](images=tf.zeros([0, 90, 80, 3]))
    assert tensors["embeddings"].shape == (0, 16)


def test_an_empty_batch_is_answered_by_the_real_network_too(tmp_path, faces, monkeypatch):
    # Its first convolution is one that TensorFlow fuses with what stands before it.
    monkeypatch.setattr(training, "network_of", REAL_NETWORK_OF)
    config = TrainingConfig(**SETTINGS | {"epochs": 1, "epoch_size": 1})
    train(config, faces, tmp_path / "run", progress=False)
    model = tf.saved_model.load(str(export_model(tmp_path / "run", tmp_path / "model")))
    answer = model.signatures["serving_default"](images=tf.constant([], tf.string))
    assert answer["embeddings"].shape == (0, 16)
    tensors = model.signatures["embed_tensors"](images=tf.zeros([0, 90, 80, 3]))
    assert tensors["embeddings"].shape == (0, 16)


def test_files_of_several_sizes_share_a_batch(exported):
    signatures = tf.saved_model.load(str(exported)).signatures
    files = [image_file((80, 80)), image_file((120, 93), seed=1), image_file((50, 61), seed=2)]
    together = signatures["serving_default"](images=tf.constant([file for _, file in files]))
    assert together["valid"].numpy().all()
    for row, (pixels, _) in enumerate(files):
        tensor = tf.constant(pixels[np.newaxis].astype(np.float32))
        alone = signatures["embed_tensors"](images=tensor)["embeddings"][0]
        np.testing.assert_allclose(together["embeddings"][row], alone, atol=1e-5)


def test_a_damaged_file_costs_its_neighbours_nothing(exported):
    signature = tf.saved_model.load(str(exported)).signatures["serving_default"]
    good, other = image_file((80, 80))[1], image_file((90, 80), seed=1)[1]
    expected = signature(images=tf.constant([good, other]))["embeddings"]
    answer = signature(images=tf.constant([b"", good, good[:300], other, b"GIF89a"]))
    assert answer["valid"].numpy().tolist() == [False, True, False, True, False]
    np.testing.assert_allclose(answer["embeddings"].numpy()[[1, 3]], expected, atol=1e-6)
    assert not answer["embeddings"].numpy()[[0, 2, 4]].any()


def test_run_and_exported_model_are_used_alike(exported, run, images, expected):
    repeated = [*images[::-1], images[3], Path(images[0])]
    rows = [*range(len(images))[::-1], 3, 0]
    for model in (exported, run):
        embedder = load_embedder(model)
        assert embedder.embedding_size == 16
        assert embedder.preprocessing == Preprocessing(75, 60, 71, "fixed")
        found = embedder.embed(repeated, batch_size=5)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected[rows], atol=1e-5)
        assert embedder.embed([]).shape == (0, 16)


def test_both_name_the_files_that_cannot_be_embedded(exported, run, images, tmp_path):
    (tmp_path / "short.jpg").write_bytes(Path(images[0]).read_bytes()[:300])
    (tmp_path / "moving.jpg").write_bytes(b"GIF89a" + bytes(100))
    bad = [str(tmp_path / "short.jpg"), str(tmp_path / "moving.jpg")]
    for model in (exported, run):
        embedder = load_embedder(model)
        with pytest.raises(FacenetError) as caught:
            embedder.embed([images[0], *bad])
        assert f"{bad[0]}: " in str(caught.value)
        assert "cut short" in str(caught.value)
        assert f"{bad[1]}: " in str(caught.value)
        assert "GIF" in str(caught.value)
        for missing in (tmp_path / "missing.jpg", tmp_path):
            with pytest.raises(FacenetError, match=str(missing)):
                embedder.embed([images[0], missing])


def test_the_card_says_what_the_model_is(exported, run):
    card = json.loads((exported / CARD).read_text())
    assert card["preprocessing"] == {
        "image_size": 75,
        "crop_size": 60,
        "frame_size": 71,
        "standardization": "fixed",
    }
    assert card["embedding_size"] == 16
    assert card["training"] == {"identities": 4, "steps": 6, "precision": "float32"}
    assert card["evaluation"] is None


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory, run):
    """Imported weights, for which a small network stands: the loader is tested elsewhere."""
    folder = tmp_path_factory.mktemp("imported") / "model"
    card = ModelCard("20180402-114759.pt", "facenet_pytorch", "a" * 64, 16, 75, "fixed", "VGGFace2")
    pretrained = PretrainedNetwork(load_run(run).network, Preprocessing(75), card)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "is_model_folder", lambda path: Path(path) == folder)
        patch.setattr(training, "load_pretrained", lambda path: pretrained)
        yield folder


def test_imported_weights_are_exported_with_what_is_known_of_them(
    model_folder, run, images, tmp_path
):
    exported = export_model(model_folder, tmp_path / "exported")
    card = json.loads((exported / CARD).read_text())
    assert card["weights"] == {
        "source": "20180402-114759.pt",
        "weights_format": "facenet_pytorch",
        "sha256": "a" * 64,
        "embedding_size": 16,
        "image_size": 75,
        "standardization": "fixed",
        "training_set": "VGGFace2",
    }
    assert card["embedding_size"] == 16
    assert "training" not in card
    expected = embed_images(load_run(run).network, images, Preprocessing(75))
    for model in (model_folder, exported):
        embedder = load_embedder(model)
        assert (embedder.embedding_size, len(embedder.identities)) == (16, 0)
        np.testing.assert_allclose(embedder.embed(images), expected, atol=1e-5)


def test_the_card_of_a_fine_tuned_run_names_what_it_began_with(run, faces, tmp_path):
    settings = {"epoch_size": 1, "epochs": 1, "initial_model": run, "precision": "mixed_bfloat16"}
    config = TrainingConfig(**SETTINGS | network_settings(run) | settings)
    train(config, faces, tmp_path / "run", progress=False)
    exported = export_model(tmp_path / "run", tmp_path / "exported")
    card = json.loads((exported / CARD).read_text())
    assert card["training"] == {
        "identities": 4,
        "steps": 1,
        "precision": "mixed_bfloat16",
        "initial_model": "run",
    }
    assert card["dtype"] == "float32"


@pytest.mark.parametrize("images_of", ["one size", "several sizes"])
def test_mirror_images_are_embedded_alike_by_run_and_exported_model(
    exported, run, images, tmp_path, images_of
):
    paths = list(images)
    if images_of == "several sizes":  # with odd and even rests, and too small for the window
        for number, size in enumerate([(80, 81), (121, 93), (50, 61), (66, 66)]):
            paths.append(str(tmp_path / f"{number}.png"))
            Path(paths[-1]).write_bytes(image_file(size, seed=number)[1])
    paths.append(paths[1])
    loaded = load_run(run)
    expected = embed_images(loaded.network, paths, loaded.preprocessing, flip=True)
    for model in (exported, run):
        embedder = load_embedder(model)
        found = embedder.embed(paths, batch_size=5, flip=True)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert embedder.embed([], flip=True).shape == (0, 32)


def test_a_damaged_file_has_no_mirror_image(exported, images, tmp_path):
    (tmp_path / "moving.jpg").write_bytes(b"GIF89a" + bytes(100))
    with pytest.raises(FacenetError, match=r"moving\.jpg: .*GIF"):
        load_embedder(exported).embed([images[0], str(tmp_path / "moving.jpg")], flip=True)


def test_a_network_may_be_given_other_preprocessing(run, images):
    network = load_run(run).network
    for changes, preprocessing in (
        ({}, Preprocessing(75, 60, 71)),
        ({"standardization": "per_image"}, Preprocessing(75, 60, 71, "per_image")),
        ({"crop_size": 40}, Preprocessing(75, 40)),
        ({"crop_size": 80}, Preprocessing(75, 80)),  # beyond the frame of the training
    ):
        embedder = load_embedder(run, **changes)
        assert embedder.preprocessing == preprocessing
        expected = embed_images(network, images, preprocessing)
        np.testing.assert_allclose(embedder.embed(images), expected, atol=1e-6)
    for changes, told in (
        ({"standardization": "none"}, "standardization"),
        ({"crop_size": 0}, "crop_size"),
        ({"crop_size": "all"}, "crop_size"),
    ):
        with pytest.raises(FacenetError, match=told):
            load_embedder(run, **changes)


def test_the_preprocessing_inside_an_exported_model_cannot_be_changed(exported):
    for changes in ({"standardization": "fixed"}, {"crop_size": 60}):
        with pytest.raises(FacenetError, match="has its standardization and crop inside"):
            load_embedder(exported, **changes)


def test_what_is_no_sequence_of_files_or_no_batch_is_refused(exported, run, images):
    for model in (exported, run):
        embedder = load_embedder(model)
        with pytest.raises(FacenetError, match="expected paths to be a sequence"):
            embedder.embed(images[0])
        for batch_size in (0, 2.5, "8"):
            with pytest.raises(FacenetError, match="expected batch_size to be an integer of at"):
                embedder.embed(images, batch_size=batch_size)


def test_nothing_is_written_over(run, exported, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in exported.rglob("*")}
    with pytest.raises(FacenetError, match="already there"):
        export_model(run, exported)
    assert {path: path.stat().st_mtime_ns for path in exported.rglob("*")} == before
    (tmp_path / "file").touch()
    with pytest.raises(FacenetError, match="already there"):
        export_model(run, tmp_path / "file")
    with pytest.raises(FacenetError, match="cannot be written"):
        export_model(run, tmp_path / "file" / "model")


def test_an_empty_folder_is_filled(run, tmp_path):
    (tmp_path / "model").mkdir()
    assert load_embedder(export_model(run, tmp_path / "model")).embedding_size == 16
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_full_disk_leaves_nothing_behind(run, tmp_path):
    with full_disk(2000), pytest.raises(FacenetError, match="cannot be written"):
        export_model(run, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_network_is_not_exported(tmp_path, exported):
    with pytest.raises(FacenetError, match=r"expected the folder of a run .* saved_model\.pb"):
        export_model(exported, tmp_path / "model")
    with pytest.raises(FacenetError, match="expected the folder of a run"):
        export_model(tmp_path, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "card",
    [None, "", "[]", "{}", '{"preprocessing": {"image_size": -1}}', '{"preprocessing": {"x": 1}}'],
)
def test_a_model_without_its_card_is_refused(exported, tmp_path, card):
    model = Path(shutil.copytree(exported, tmp_path / "model"))
    (model / CARD).unlink()
    if card is not None:
        (model / CARD).write_text(card)
    with pytest.raises(FacenetError, match=r"facenet\.json: expected the card"):
        load_embedder(model)


def test_a_damaged_model_is_refused(exported, tmp_path):
    for name in ("saved_model.pb", "variables/variables.index", "variables"):
        model = Path(shutil.copytree(exported, tmp_path / name.replace("/", "_")))
        if (model / name).is_dir():
            shutil.rmtree(model / name)
        else:
            content = (model / name).read_bytes()
            (model / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(FacenetError, match="not a whole SavedModel"):
            load_embedder(model)


def test_a_model_of_another_program_is_refused(exported, tmp_path):
    module = tf.Module()
    module.answer = tf.function(lambda: {"x": tf.constant(1)}, input_signature=[])
    tf.saved_model.save(module, str(tmp_path), signatures={"other": module.answer})
    (tmp_path / CARD).parent.mkdir()
    shutil.copy(exported / CARD, tmp_path / CARD)
    with pytest.raises(FacenetError, match="not a whole SavedModel of ours"):
        load_embedder(tmp_path)


def test_what_is_no_model_is_refused_by_what_is_there(tmp_path):
    for path, found in (
        (tmp_path / "nowhere", "nothing"),
        (tmp_path / "empty", "an empty folder"),
        (tmp_path / "file", "a file"),
        (tmp_path, "empty, file"),
    ):
        (tmp_path / "empty").mkdir(exist_ok=True)
        (tmp_path / "file").touch()
        kinds = r"a run .* or of imported weights .* or of a SavedModel \(with saved_model\.pb\)"
        with pytest.raises(FacenetError, match=f"the folder of {kinds}, found {found}"):
            load_embedder(path)


def test_a_published_file_is_told_what_becomes_of_it(tmp_path):
    (tmp_path / "weights.h5").touch()
    for attempt in (load_embedder, lambda model: export_model(model, tmp_path / "out")):
        with pytest.raises(
            FacenetError, match=r"weights\.h5: .*; facenet import-weights makes one"
        ):
            attempt(tmp_path / "weights.h5")


def test_a_model_that_may_not_be_read_is_told(tmp_path, monkeypatch):
    def denied(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", denied)
    with pytest.raises(FacenetError, match="cannot be read: Permission denied"):
        load_embedder(tmp_path)
