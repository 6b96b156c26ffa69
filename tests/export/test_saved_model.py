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
from drawn_images import noted
from PIL import Image, ImageOps
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry
from toy_training import SETTINGS, draw_people, full_disk, toy_network, train, write_ten_folds

from facenet_lib import training
from facenet_lib.embedding import embed_images
from facenet_lib.errors import FacenetError
from facenet_lib.export.saved_model import export_model
from facenet_lib.input_pipeline import MAX_PIXELS, Preprocessing
from facenet_lib.model_card import CARD, CARD_FOR_PEOPLE, read_card
from facenet_lib.models import (
    load_embedder,
    load_network,
    load_run,
    network_settings,
)
from facenet_lib.network.folding import fold_batch_norm
from facenet_lib.published.model_folder import tf1_variable_names
from facenet_lib.runs.config import TrainingConfig
from facenet_lib.verification import EvaluationPairs

pytestmark = pytest.mark.slow  # each test needs an exported model


def loaded(run):
    return load_run(run, build_network=toy_network)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return draw_people(tmp_path_factory.mktemp("faces"), "Known")


@pytest.fixture(scope="module")
def run(tmp_path_factory, faces):
    """A run whose preprocessing does everything: frame, window and resizing."""
    out = tmp_path_factory.mktemp("runs") / "run"
    config = TrainingConfig(**SETTINGS | {"crop_size": 60, "frame_size": 71, "epochs": 1})
    train(config, faces, out, progress=False)
    return out


@pytest.fixture(scope="module")
def exported(tmp_path_factory, run):
    return export_model(loaded(run), tmp_path_factory.mktemp("models") / "new" / "facenet")


THRESHOLD = 0.3


@pytest.fixture(scope="module")
def deciding(tmp_path_factory, run):
    """The same model with a threshold."""
    out = tmp_path_factory.mktemp("models") / "deciding"
    out.mkdir()
    (out / "Thumbs.db").touch()  # a system's own file makes no folder another's
    return export_model(loaded(run), out, threshold=THRESHOLD, false_accept_rate=0.001)


@pytest.fixture(scope="module")
def images(faces):
    return [str(path) for paths in faces.values() for path in paths[:3]]


@pytest.fixture(scope="module")
def expected(run, images):
    network = loaded(run)
    return embed_images(network.network, images, network.preprocessing)


def meta_graph(model):
    """The program as a server reads it."""
    content = (model / "saved_model.pb").read_bytes()
    return saved_model_pb2.SavedModel.FromString(content).meta_graphs[0]


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


def test_the_signatures_have_names(exported, deciding):
    strings, vectors = tf.TensorSpec([None], tf.string), tf.TensorSpec([None, 16], tf.float32)
    tensors = tf.TensorSpec([None, None, None, 3], tf.float32)
    numbers, marks = tf.TensorSpec([None], tf.float32), tf.TensorSpec([None], tf.bool)
    verified = {"distances": numbers, "valid": marks}
    for model, verify in ((exported, verified), (deciding, verified | {"same": marks})):
        expected = {
            "serving_default": ({"images": strings}, {"embeddings": vectors, "valid": marks}),
            "embed_tensors": ({"images": tensors}, {"embeddings": vectors}),
            "verify": ({"images_a": strings, "images_b": strings}, verify),
        }
        signatures = tf.saved_model.load(str(model)).signatures
        assert set(signatures) == set(expected)
        for name, (inputs, answers) in expected.items():
            for specs, found in (
                (inputs, signatures[name].structured_input_signature[1]),
                (answers, signatures[name].structured_outputs),
            ):
                assert set(found) == set(specs)
                for key, spec in specs.items():
                    assert found[key].dtype == spec.dtype
                    assert found[key].shape.as_list() == spec.shape.as_list()


def test_pairs_are_verified_in_the_graph(deciding, images, expected):
    verify = tf.saved_model.load(str(deciding)).signatures["verify"]
    files = [Path(path).read_bytes() for path in images]
    first = [*range(len(images)), 0, 0]
    second = [*range(1, len(images)), 0, 1, 0]
    answer = verify(
        images_a=tf.constant([files[row] for row in first]),
        images_b=tf.constant([files[row] for row in second]),
    )
    distances = np.sum((expected[first] - expected[second]) ** 2, axis=1)
    assert distances.min() < THRESHOLD < distances.max()
    assert np.abs(distances - THRESHOLD).min() > 1e-4  # so that rounding decides nothing
    np.testing.assert_allclose(answer["distances"], distances, atol=1e-5)
    np.testing.assert_array_equal(answer["same"], distances < THRESHOLD)
    assert answer["valid"].numpy().all()
    # The same image at two places of a batch: equal, or one bit apart on some processors.
    assert float(answer["distances"][-1]) < 1e-12


def test_a_pair_with_a_damaged_image_is_marked_and_no_match(deciding):
    model = tf.saved_model.load(str(deciding))
    good, other = image_file((80, 80))[1], image_file((90, 80), seed=1)[1]
    a = [good, b"", good, b"GIF89a", other, good[:300]]
    b = [good, good, b"", b"BM", good, good]
    answer = model.signatures["verify"](images_a=tf.constant(a), images_b=tf.constant(b))
    assert answer["valid"].numpy().tolist() == [True, False, False, False, True, False]
    assert not answer["same"].numpy()[[1, 2, 3, 5]].any()
    assert answer["distances"].numpy()[[1, 2, 3, 5]].tolist() == [4, 4, 4, 4]
    assert answer["same"].numpy()[0] and answer["distances"].numpy()[0] < 1e-12
    vectors = model.signatures["serving_default"](images=tf.constant([good, other]))["embeddings"]
    distance = np.sum((vectors[0] - vectors[1]).numpy() ** 2)
    np.testing.assert_allclose(answer["distances"][4], distance, atol=1e-5)


def test_lists_of_unequal_length_are_refused_with_both_numbers(deciding):
    verify = tf.saved_model.load(str(deciding)).signatures["verify"]
    file = image_file((80, 80))[1]
    for a, b in ((2, 3), (3, 1), (0, 1)):
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            verify(images_a=tf.constant([file] * a, tf.string), images_b=tf.constant([file] * b))
        told = f"[expected as many images_b as images_a,] [{a}] [found] [{b}]"
        assert told in " ".join(str(caught.value).split())


def test_every_operation_is_tensorflows_own(exported):
    """Nothing that needs Python, and nothing that a server would have to be built with."""
    graph = meta_graph(exported).graph_def
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    functions = {function.signature.name for function in graph.library.function}
    operations = {node.op for node in nodes} - functions
    assert "Conv2D" in operations and "DecodeJpeg" in operations
    assert not [name for name in operations if "PyFunc" in name]
    assert all(op_def_registry.get(name) is not None for name in operations)


def test_the_weights_are_written_once(exported, run):
    folded = fold_batch_norm(loaded(run).network).weights
    numbers = sum(int(np.prod(weight.shape)) for weight in folded)
    without_weights = 300_000  # the program, with names, shapes and nodes
    size = (exported / "saved_model.pb").stat().st_size
    assert 4 * numbers <= size <= 4 * numbers + without_weights
    graph = meta_graph(exported).graph_def
    kernels = [
        node
        for function in graph.library.function
        for node in function.node_def
        if node.op == "Const" and len(node.attr["value"].tensor.tensor_shape.dim) == 4
    ]
    assert len(kernels) == sum(len(weight.shape) == 4 for weight in folded)
    assert not [node for node in graph.node if node.op == "VarHandleOp"]
    names = [name for name, _ in tf.train.list_variables(str(exported / "variables/variables"))]
    assert names == ["_CHECKPOINTABLE_OBJECT_GRAPH"]


def test_a_bfloat16_model_is_smaller_and_nearly_equal(tmp_path, run, exported, images):
    half = export_model(loaded(run), tmp_path / "half", dtype="bfloat16")
    sizes = [(model / "saved_model.pb").stat().st_size for model in (half, exported)]
    assert sizes[0] < sizes[1]
    assert json.loads((half / CARD).read_text())["dtype"] == "bfloat16"
    exact, rounded = (load_embedder(model).embed(images) for model in (exported, half))
    assert rounded.dtype == np.float32
    assert np.sum(exact * rounded, axis=1).min() > 0.999
    assert not np.array_equal(exact, rounded)
    with pytest.raises(FacenetError, match="found 'float16'"):
        export_model(loaded(run), tmp_path / "other", dtype="float16")


def test_an_empty_batch_is_answered(exported):
    signatures = tf.saved_model.load(str(exported)).signatures
    answer = signatures["serving_default"](images=tf.constant([], tf.string))
    assert answer["embeddings"].shape == (0, 16)
    assert answer["valid"].shape == (0,)
    tensors = signatures["embed_tensors"](images=tf.zeros([0, 90, 80, 3]))
    assert tensors["embeddings"].shape == (0, 16)
    none = tf.constant([], tf.string)
    verified = signatures["verify"](images_a=none, images_b=none)
    assert [verified[name].shape for name in ("distances", "valid")] == [(0,), (0,)]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda image: np.full_like(image, np.nan),
        lambda image: np.full_like(image, np.inf),
        lambda image: np.full_like(image, 1e30),
        lambda image: np.where(image == image.max(), np.float32(np.nan), image),
        lambda image: image - 128,
        lambda image: image / 255,
        lambda image: (image - 127.5) / 128,
    ],
)
def test_what_can_be_no_pixels_is_marked_and_costs_its_neighbours_nothing(exported, spoil):
    embed = tf.saved_model.load(str(exported)).signatures["embed_tensors"]
    images = np.stack([image_file((90, 80), seed=seed)[0] for seed in range(3)]).astype(np.float32)
    good = embed(images=tf.constant(images))["embeddings"].numpy()
    np.testing.assert_allclose(np.linalg.norm(good, axis=1), 1, atol=1e-5)
    images[1] = spoil(images[1])
    found = embed(images=tf.constant(images))["embeddings"].numpy()
    np.testing.assert_array_equal(found[[0, 2]], good[[0, 2]])
    assert np.isnan(found[1]).all()


def test_an_image_without_pixels_is_marked(exported):
    embed = tf.saved_model.load(str(exported)).signatures["embed_tensors"]
    assert np.isnan(embed(images=tf.zeros([2, 0, 80, 3]))["embeddings"]).all()


def test_an_empty_batch_is_answered_by_the_real_network_too(tmp_path, faces):
    # Its first convolution is one that TensorFlow fuses with what stands before it.
    config = TrainingConfig(**SETTINGS | {"epochs": 1, "epoch_size": 1})
    training.train(config, faces, tmp_path / "run", progress=False)
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


def test_photographs_of_a_camera_held_sideways_are_seen_upright(exported, run, images, tmp_path):
    """By the run's network and by the exported model, as Pillow turns them."""
    lying, upright = [], []
    for orientation in range(1, 9):
        lying.append(str(tmp_path / f"{orientation}.png"))
        upright.append(str(tmp_path / f"{orientation}_upright.png"))
        with Image.open(images[0]) as picture:
            picture.crop((0, 0, 80, 64)).save(lying[-1], exif=noted(orientation))
        with Image.open(lying[-1]) as picture:
            ImageOps.exif_transpose(picture).save(upright[-1])
    network = loaded(run)
    for embed in (
        lambda paths: embed_images(network.network, paths, network.preprocessing),
        load_embedder(exported).embed,
    ):
        found, expected = embed(lying), embed(upright)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert np.linalg.norm(expected[0] - expected[5]) > 1e-3  # not the same picture lying


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
    for model in (exported, loaded(run)):
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
    for model in (exported, loaded(run)):
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


def test_the_card_says_what_the_model_is(exported, deciding):
    card = json.loads((exported / CARD).read_text())
    assert card["preprocessing"] == {
        "image_size": 75,
        "crop_size": 60,
        "frame_size": 71,
        "standardization": "fixed",
    }
    assert card["embedding_size"] == 16
    assert card["max_pixels"] == MAX_PIXELS
    assert card["training"] == {"identities": 4, "steps": 6, "precision": "float32"}
    for name in ("weights", "evaluation", "accuracy", "threshold", "false_accept_rate"):
        assert card[name] is None
    chosen = read_card(deciding)
    assert chosen.threshold == THRESHOLD
    assert chosen.threshold_chosen_for == "false_accept_rate"
    assert chosen.false_accept_rate == 0.001
    assert (deciding / CARD_FOR_PEOPLE).read_text() == chosen.to_markdown()


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, faces):
    """A run with pairs, and the figures of its last evaluation."""
    root = tmp_path_factory.mktemp("pairs")
    unseen = draw_people(root, "Unseen", seed=3)
    write_ten_folds(root / "pairs.txt", unseen)
    pairs = EvaluationPairs.from_file(root / "pairs.txt", root)
    train(TrainingConfig(**SETTINGS | {"epochs": 1}), faces, root / "run", pairs, progress=False)
    return root / "run"


def test_a_run_s_evaluation_gives_accuracy_and_threshold(evaluated, tmp_path, monkeypatch):
    figures = loaded(evaluated).evaluation
    card = read_card(export_model(loaded(evaluated), tmp_path / "model"))
    assert card.accuracy == figures["accuracy"]
    assert card.standard_error == figures["standard_error"]
    assert card.threshold == figures["threshold"]
    assert (card.threshold_chosen_for, card.false_accept_rate) == ("accuracy", None)
    assert card.evaluation == figures
    chosen = export_model(loaded(evaluated), tmp_path / "model", threshold=1, false_accept_rate=0)
    assert (read_card(chosen).threshold, read_card(chosen).accuracy) == (1, card.accuracy)


@pytest.mark.parametrize(
    "settings",
    [{"evaluate_flip": True}, {"evaluate_metric": "angular"}, {"evaluate_subtract_mean": True}],
)
def test_a_threshold_for_other_distances_is_not_stored(evaluated, tmp_path, settings):
    """The run was evaluated otherwise than ``verify`` compares."""
    other = Path(shutil.copytree(evaluated, tmp_path / "run"))
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | settings))
    card = read_card(export_model(loaded(other), tmp_path / "model"))
    assert (card.accuracy, card.threshold, card.evaluation) == (None, None, None)


FIGURES = {
    "accuracy": 0.9,
    "standard_error": 0.01,
    "threshold": 1.25,
    "same_pairs": 300,
    "metric": "sqeuclidean",
    "flip": False,
    "subtract_mean": False,
    "preprocessing": {
        "image_size": 75,
        "crop_size": 60,
        "frame_size": 71,
        "standardization": "fixed",
    },
}


SERVED_FIGURES = {name: value for name, value in FIGURES.items() if name != "preprocessing"}
SERVED_FIGURES |= {"server": "http://localhost:8501", "version": 1}


def test_numbers_of_numpy_are_thresholds_too(run, tmp_path):
    chosen = {"threshold": np.float32(0.25), "false_accept_rate": np.float32(0.5)}
    card = read_card(export_model(loaded(run), tmp_path / "model", **chosen))
    assert (card.threshold, card.false_accept_rate) == (0.25, 0.5)


def test_an_evaluation_by_file_is_stored(run, images, tmp_path):
    (tmp_path / "figures.json").write_text(json.dumps(FIGURES))
    exported = export_model(loaded(run), tmp_path / "model", evaluation=tmp_path / "figures.json")
    card = read_card(exported)
    assert (card.accuracy, card.standard_error, card.threshold) == (0.9, 0.01, 1.25)
    assert card.threshold_chosen_for == "accuracy"
    assert card.evaluation == FIGURES
    file = tf.constant([Path(images[0]).read_bytes()])
    verify = tf.saved_model.load(str(exported)).signatures["verify"]
    assert verify(images_a=file, images_b=file)["same"].numpy().tolist() == [True]


def test_an_evaluation_of_an_older_version_is_read(run, tmp_path):
    """What was called euclidean is the squared distance, too; and cosine is an angle."""
    (tmp_path / "figures.json").write_text(json.dumps(FIGURES | {"metric": "euclidean"}))
    exported = export_model(loaded(run), tmp_path / "model", evaluation=tmp_path / "figures.json")
    assert read_card(exported).evaluation == FIGURES
    (tmp_path / "figures.json").write_text(json.dumps(FIGURES | {"metric": "cosine"}))
    with pytest.raises(FacenetError, match="evaluated with metric 'angular'"):
        export_model(loaded(run), tmp_path / "other", evaluation=tmp_path / "figures.json")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "'facenet evaluate --json' writes"),
        ("[]", "'facenet evaluate --json' writes"),
        (json.dumps(FIGURES | {"threshold": None}), "'facenet evaluate --json' writes"),
        (
            json.dumps({"accuracy": 1}),
            "with standard_error, threshold, .*, found 'accuracy'",
        ),
        (json.dumps(FIGURES | {"flip": True}), "evaluated with flip True"),
        (json.dumps(FIGURES | {"metric": "angular"}), "evaluated with metric 'angular'"),
        (json.dumps(FIGURES | {"subtract_mean": True}), "evaluated with subtract_mean True"),
        (json.dumps(FIGURES | {"preprocessing": {"image_size": 75}}), "with preprocessing "),
        (json.dumps(FIGURES | {"threshold": float("nan")}), r"in \[0, 4\], found nan"),
        (json.dumps(FIGURES | {"threshold": -0.1}), r"threshold: expected a number in \[0, 4\]"),
        (json.dumps(FIGURES | {"accuracy": 1.5}), r"accuracy: expected a number in \[0, 1\]"),
        (json.dumps(FIGURES | {"accuracy": 10**400}), "'facenet evaluate --json' writes"),
        (json.dumps(SERVED_FIGURES), "that of a server, which does not tell it"),
        (json.dumps(FIGURES | {"flip": True, "metric": "angular"}), "2 problems"),
    ],
)
def test_an_evaluation_of_another_model_is_refused(run, tmp_path, text, told):
    (tmp_path / "figures.json").write_text(text)
    with pytest.raises(FacenetError, match=told) as caught:
        export_model(loaded(run), tmp_path / "model", evaluation=tmp_path / "figures.json")
    assert "figures.json: " in str(caught.value)
    assert not (tmp_path / "model").exists()
    with pytest.raises(FacenetError, match=r"none\.json: cannot be read: No such file"):
        export_model(loaded(run), tmp_path / "model", evaluation=tmp_path / "none.json")


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ({"threshold": 1.0}, "expected both, found no false_accept_rate"),
        ({"false_accept_rate": 0.1}, "expected both, found no threshold"),
        (
            {"threshold": -0.1, "false_accept_rate": 0.1},
            r"threshold: expected a number in \[0, 4\], found -0.1",
        ),
        ({"threshold": float("nan"), "false_accept_rate": 2}, "2 problems"),
        ({"threshold": "1", "false_accept_rate": 0.1}, r"in \[0, 4\], found '1'"),
    ],
)
def test_a_threshold_needs_what_it_was_chosen_for(run, tmp_path, chosen, told):
    with pytest.raises(FacenetError, match=told):
        export_model(loaded(run), tmp_path / "model", **chosen)
    assert not (tmp_path / "model").exists()


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory, run):
    """Imported weights, those of the small network: the whole one is tested elsewhere."""
    folder = tmp_path_factory.mktemp("imported")
    variables = tf1_variable_names(loaded(run).network)
    np.savez(folder / "weights.npz", **{name: value.numpy() for name, value in variables.items()})
    (folder / "model.json").write_text(json.dumps(WEIGHTS))
    return folder


WEIGHTS = {
    "source": "20180402-114759.pt",
    "weights_format": "facenet_pytorch",
    "sha256": "a" * 64,
    "embedding_size": 16,
    "image_size": 75,
    "standardization": "fixed",
    "training_set": "VGGFace2",
}


def test_imported_weights_are_exported_with_what_is_known_of_them(
    model_folder, run, images, tmp_path
):
    imported = load_network(model_folder, build_network=toy_network)
    exported = export_model(imported, tmp_path / "exported")
    card = json.loads((exported / CARD).read_text())
    assert card["weights"] == WEIGHTS
    assert card["embedding_size"] == 16
    assert card["training"] is None
    expected = embed_images(loaded(run).network, images, Preprocessing(75))
    for model in (imported, exported):
        embedder = load_embedder(model)
        assert (embedder.embedding_size, len(embedder.identities)) == (16, 0)
        np.testing.assert_allclose(embedder.embed(images), expected, atol=1e-5)


def test_the_card_of_a_fine_tuned_run_names_what_it_began_with(run, faces, tmp_path):
    settings = {"epoch_size": 1, "epochs": 1, "initial_model": run, "precision": "mixed_bfloat16"}
    config = TrainingConfig(**SETTINGS | network_settings(run) | settings)
    train(config, faces, tmp_path / "run", progress=False)
    exported = export_model(loaded(tmp_path / "run"), tmp_path / "exported")
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
    network = loaded(run)
    expected = embed_images(network.network, paths, network.preprocessing, flip=True)
    for model in (exported, loaded(run)):
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
    network = loaded(run).network
    for changes, preprocessing in (
        ({}, Preprocessing(75, 60, 71)),
        ({"standardization": "per_image"}, Preprocessing(75, 60, 71, "per_image")),
        ({"crop_size": 40}, Preprocessing(75, 40)),
        ({"crop_size": 80}, Preprocessing(75, 80)),  # beyond the frame of the training
    ):
        embedder = load_embedder(loaded(run), **changes)
        assert embedder.preprocessing == preprocessing
        expected = embed_images(network, images, preprocessing)
        np.testing.assert_allclose(embedder.embed(images), expected, atol=1e-6)
    for changes, told in (
        ({"standardization": "none"}, "standardization"),
        ({"crop_size": 0}, "crop_size"),
        ({"crop_size": "all"}, "crop_size"),
    ):
        with pytest.raises(FacenetError, match=told):
            load_embedder(loaded(run), **changes)


def test_the_preprocessing_inside_an_exported_model_cannot_be_changed(exported):
    for changes in ({"standardization": "fixed"}, {"crop_size": 60}):
        with pytest.raises(FacenetError, match="has its standardization and crop inside"):
            load_embedder(exported, **changes)


def test_what_is_no_sequence_of_files_or_no_batch_is_refused(exported, run, images):
    for model in (exported, loaded(run)):
        embedder = load_embedder(model)
        with pytest.raises(FacenetError, match="expected paths to be a sequence"):
            embedder.embed(images[0])
        for batch_size in (0, 2.5, "8"):
            with pytest.raises(FacenetError, match="batch_size: expected an integer of at least 1"):
                embedder.embed(images, batch_size=batch_size)


def test_each_export_is_the_next_version(run, exported, images, tmp_path):
    assert exported.name == "1"
    out = tmp_path / "facenet"
    assert export_model(loaded(run), out) == out / "1"
    assert export_model(loaded(run), out, version=7) == out / "7"
    (out / "notes").mkdir()  # no version, and nobody's business
    (out / "010").mkdir()
    assert export_model(loaded(run), str(out)) == out / "11"
    assert sorted(path.name for path in out.iterdir()) == ["010", "1", "11", "7", "notes"]


def test_the_highest_version_that_is_there_is_loaded(run, tmp_path):
    out = tmp_path / "facenet"
    for version, threshold in ((9, 0.1), (10, 0.2)):
        folder = export_model(
            loaded(run), out, version=version, threshold=threshold, false_accept_rate=0.1
        )
    shutil.rmtree(folder / "variables")
    with pytest.raises(FacenetError, match="10: not a whole SavedModel"):
        load_embedder(out)
    shutil.rmtree(folder)
    folder.mkdir()  # what a server that removes a version may leave for a moment
    assert load_embedder(out).embedding_size == 16
    assert load_embedder(out / "9").embedding_size == 16


def test_nothing_is_written_over(run, exported, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in exported.rglob("*")}
    with pytest.raises(FacenetError, match="1: already there; name another version"):
        export_model(loaded(run), exported.parent, version=1)
    with pytest.raises(FacenetError, match="already there; name a folder that is new, empty or"):
        export_model(loaded(run), run)
    assert {path: path.stat().st_mtime_ns for path in exported.rglob("*")} == before
    (tmp_path / "file").touch()
    with pytest.raises(FacenetError, match="already there"):
        export_model(loaded(run), tmp_path / "file")
    with pytest.raises(FacenetError, match="cannot be written"):
        export_model(loaded(run), tmp_path / "file" / "model")


@pytest.mark.parametrize("version", [0, -1, 1.0, "2", True])
def test_a_version_is_a_number_from_1(run, tmp_path, version):
    with pytest.raises(FacenetError, match="version: expected an integer of at least 1, found"):
        export_model(loaded(run), tmp_path / "model", version=version)


def test_a_version_s_folder_is_not_taken_for_the_model_s(run, tmp_path):
    with pytest.raises(FacenetError, match=r"facenet/1: expected the model's folder"):
        export_model(loaded(run), tmp_path / "facenet" / "1")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_filled(run, tmp_path):
    (tmp_path / "model").mkdir()
    assert load_embedder(export_model(loaded(run), tmp_path / "model")).embedding_size == 16
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["1"]


def test_a_full_disk_leaves_nothing_behind(run, exported, tmp_path):
    with full_disk(2000), pytest.raises(FacenetError, match="cannot be written"):
        export_model(loaded(run), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
    with full_disk(2000), pytest.raises(FacenetError, match="cannot be written"):
        export_model(loaded(run), exported.parent)
    assert list(exported.parent.iterdir()) == [exported]


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
        kinds = r"a run .* or of imported weights .* or of an exported model \(with .*\)"
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
