import dataclasses
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import published_files
import pytest
import tensorflow as tf
import tf1_reference
from file_server import FileServer, refusing
from toy_training import draw_people

from facenet_lib.cli import main
from facenet_lib.embedding import embed_images
from facenet_lib.errors import FacenetError
from facenet_lib.export.litert import embed_litert
from facenet_lib.input_pipeline import Preprocessing
from facenet_lib.model_card import read_card
from facenet_lib.models import load_embedder, load_run
from facenet_lib.network.inception_resnet import inception_resnet_v1
from facenet_lib.published.model_folder import assign_tf1_variables, tf1_variable_names
from facenet_lib.published.releases import RELEASES
from facenet_lib.verification import EvaluationPairs, evaluate_pairs

SLOW = pytest.mark.slow  # trains, needs what was trained, or builds the whole network


@contextmanager
def eagerly() -> Iterator[None]:
    """Run functions as they are: compiling the whole network takes longer than one pass of it."""
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


@pytest.fixture
def server(monkeypatch, tmp_path):
    """What is published here is at vggface2's and 20170512-110547's place; the cache is empty."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("FACENET_CACHE", str(tmp_path / "cache"))
    with FileServer().running() as running:
        for name in ("vggface2", "20170512-110547"):
            publish(running, name, b"not weights", monkeypatch)
        yield running


def publish(server, name, content, monkeypatch):
    release = RELEASES[name]
    server.files[f"/{release.file.name}"] = content
    file = dataclasses.replace(
        release.file,
        address=f"{server.address}/{release.file.name}",
        sha256=hashlib.sha256(content).hexdigest(),
    )
    monkeypatch.setitem(RELEASES, name, dataclasses.replace(release, file=file))


@pytest.fixture
def without_tensorflow(monkeypatch):
    def load():
        raise FacenetError("far enough")

    monkeypatch.setattr("facenet_lib.cli.models.load_tensorflow", load)


def import_and_fail(capsys, *words):
    """What is told in the last line."""
    assert main(["import-weights", *map(str, words)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    return said.err.splitlines()[-1]


def test_another_file_than_the_published_one_is_not_read(
    server, without_tensorflow, tmp_path, capsys
):
    server.files = {path: b"something else" for path in server.files}
    told = import_and_fail(capsys, "vggface2", tmp_path / "out")
    assert told.startswith(f"facenet: {server.address}/20180402-114759-vggface2.pt: SHA256 hash")
    assert told.endswith("nothing of it was kept")
    assert not (tmp_path / "out").exists()
    assert not any((tmp_path / "cache" / "downloads").iterdir())


def test_without_a_network_it_is_told_what_to_do(server, without_tensorflow, tmp_path, capsys):
    server.faults = [refusing(503)]
    told = import_and_fail(capsys, "20170512-110547", tmp_path / "out")
    assert told.startswith(f"facenet: {server.address}/20170512-110547-weights.h5: cannot be")
    assert told.endswith(
        "download that file elsewhere and name its path: "
        "facenet import-weights 20170512-110547-weights.h5 OUT"
    )


def test_what_is_neither_a_path_nor_a_name_is_told(server, without_tensorflow, tmp_path, capsys):
    told = import_and_fail(capsys, "vggface3", tmp_path / "out")
    assert told == (
        "facenet: vggface3: expected published weights, a path or one of vggface2, casia-webface, "
        "20180402-114759, 20180408-102900, 20170512-110547, 20170511-185253, found no such file, "
        "folder or name"
    )
    assert "File name too long" in import_and_fail(capsys, "x" * 5000, tmp_path / "out")
    (tmp_path / "model.ckpt-1.index").write_bytes(b"")
    prefix = tmp_path / "model.ckpt-1"  # of a checkpoint, is a path too
    assert import_and_fail(capsys, prefix, tmp_path / "out") == "facenet: far enough"
    assert server.asked == []


def test_nothing_is_fetched_for_a_folder_that_is_taken(
    server, without_tensorflow, tmp_path, capsys
):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter").write_bytes(b"")
    told = import_and_fail(capsys, "vggface2", tmp_path / "out")
    assert told == f"facenet: {tmp_path / 'out'}: already there; name a folder that is new or empty"
    assert server.asked == []


def test_a_name_goes_before_a_path(server, without_tensorflow, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vggface2").mkdir()
    assert import_and_fail(capsys, "./vggface2", "out") == "facenet: far enough"
    assert server.asked == []
    assert main(["import-weights", "vggface2", "out"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(
        "vggface2: taken for the published weights; what is here is named ./vggface2\n"
    )
    assert server.asked == ["/20180402-114759-vggface2.pt"]
    assert RELEASES["vggface2"].file.about in said
    assert import_and_fail(capsys, "vggface2", "out") == "facenet: far enough"
    assert len(server.asked) == 1  # the cache has it


@SLOW
def test_weights_are_fetched_by_name(server, tmp_path, capsys, monkeypatch):
    """Those of 2017, which have 128 numbers and say nothing of what they were trained on."""
    shorter = published_files.with_128_numbers(tf1_reference.made_variables())
    file = published_files.write_keras(tmp_path / "by_hand.h5", shorter)
    publish(server, "20170512-110547", file.read_bytes(), monkeypatch)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    cards = {}
    for words in ("20170512-110547", str(file)):
        out = tmp_path / f"model{len(cards)}"
        assert main(["import-weights", words, str(out), "--image-size", "80"]) == 0
        said = capsys.readouterr()
        assert said.out.startswith(f"{out}: from ")
        assert f"sha256 {digest}, that of 20170512-110547\n" in said.out
        assert "of 128 numbers, images of 80 pixels, standardization per_image" in said.out
        assert said.out.endswith("training set: MS-Celeb-1M\n")
        assert ("MS-Celeb-1M" in said.err) == (not cards)  # the terms, once
        cards[out] = read_card(out).weights
    assert server.asked == ["/20170512-110547-weights.h5"]
    fetched, by_hand = cards.values()
    assert fetched == by_hand | {"source": "20170512-110547-weights.h5"}
    assert by_hand["source"] == "by_hand.h5"


@SLOW
def test_imported_weights_are_a_model_for_every_command(folder, tmp_path, capsys, monkeypatch):
    """With the whole network, which is what published weights are of; hence the small images."""
    variables = tf1_reference.made_variables()
    file = published_files.write_keras(tmp_path / "weights.h5", variables)
    model = tmp_path / "model"
    words = ["import-weights", file, model, "--image-size", 80, "--training-set", "made up"]
    with monkeypatch.context() as patch:
        patch.setattr(
            "facenet_lib.published.model_folder.load_imported_weights", None
        )  # the card is enough
        assert main(list(map(str, words))) == 0
    said = capsys.readouterr().out.splitlines()
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert (
        said[0]
        == f"{model}: from weights.h5 (keras_h5), sha256 {digest}, of no release that is known here"
    )
    assert "512 numbers, images of 80 pixels, standardization fixed" in said[1]
    assert said[1].endswith("training set: made up")

    images = [str(folder / "Known_1" / f"Known_1_000{number}.jpg") for number in (1, 2)]
    network = inception_resnet_v1(80)
    assign_tf1_variables(network, variables)
    with eagerly():
        expected = embed_images(network, images, Preprocessing(80))
    assert main(["export", str(model), str(tmp_path / "exported")]) == 0
    for one in (model, tmp_path / "exported"):
        with eagerly():
            assert main(["embed", str(one), *images, "--out", str(tmp_path / "x.npz")]) == 0
        with np.load(tmp_path / "x.npz") as archive:
            np.testing.assert_allclose(archive["embeddings"], expected, atol=1e-4)

    words = ["train", folder, "--out", tmp_path / "tuned", "--from", model, "--batch-size", 2]
    words += ["--epoch-size", 1, "--epochs", 1, "--freeze-until", "Mixed_8b"]
    without_pairs = tmp_path / "faces"
    draw_people(without_pairs, "Known", people=2, images=2)
    words[1] = without_pairs
    with eagerly():
        assert main(list(map(str, words))) == 0
    tuned = tf1_variable_names(load_run(tmp_path / "tuned").network)
    for name, values in variables.items():
        if "Bottleneck" not in name:
            np.testing.assert_array_equal(tuned[name], values, err_msg=name)


@SLOW
def test_an_evaluation_and_a_threshold_are_stored_in_the_next_version(
    run, exported, folder, tmp_path, capsys
):
    figures, out = tmp_path / "figures.json", tmp_path / "model"
    assert main(["evaluate", str(run), str(folder), "--json", str(figures)]) == 0
    other = json.loads(figures.read_text()) | {"threshold": 1.5}
    figures.write_text(json.dumps(other))
    by_rate = tmp_path / "by_rate.json"
    words = ["evaluate", str(run), str(folder), "--json", str(by_rate)]
    assert main([*words, "--false-accept-rate", "0.1"]) == 0
    told = capsys.readouterr().out
    chosen = ["--threshold", "0.5", "--false-accept-rate", "0.01"]
    for options in ([], ["--evaluation", str(figures)], chosen, ["--evaluation", str(by_rate)]):
        capsys.readouterr()
        assert main(["export", str(run), str(out), *options]) == 0
    assert capsys.readouterr().out == f"{out / '4'}\n"
    plain, evaluated, strict, by_rate = (read_card(out / str(n)) for n in (1, 2, 3, 4))
    assert by_rate.threshold_chosen_for == "false_accept_rate"
    assert by_rate.false_accept_rate == 0.1
    assert f"threshold {by_rate.threshold:.4f} for a false accept rate of 0.1" in told
    assert plain.threshold == load_run(run).evaluation["threshold"]
    assert (evaluated.threshold, evaluated.evaluation) == (1.5, other)
    assert (strict.threshold, strict.false_accept_rate) == (0.5, 0.01)


@SLOW
def test_a_litert_file_is_written(run, folder, tmp_path, capsys):
    out = tmp_path / "model.tflite"
    assert main(["export", str(run), str(out), "--litert", "float16"]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    images = sorted(map(str, folder.glob("Known_*/*.jpg")))[::7]
    model = load_embedder(run)
    found = embed_litert(out, images, model.preprocessing)
    np.testing.assert_allclose(found, model.embed(images), atol=0.01)


@SLOW
@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_a_network_for_another_runtime_is_written_and_evaluated(
    run, folder, tmp_path, capsys, runtime
):
    for package in {"onnx": ("tf2onnx", "onnxruntime"), "openvino": ("openvino",)}[runtime]:
        pytest.importorskip(package, reason=f"needs the extra {runtime}")
    out = tmp_path / "model"
    assert main(["export", str(run), str(out), f"--{runtime}"]) == 0
    assert capsys.readouterr().out == f"{out / '1'}\n"
    assert main(["evaluate", str(out), str(folder), "--json", str(tmp_path / "figures")]) == 0
    figures = json.loads((tmp_path / "figures").read_text("utf-8"))
    # Of the network itself, as Pillow decodes a JPEG with other rounding than TensorFlow.
    pairs = EvaluationPairs.from_file(folder / "pairs.txt", folder)
    computed = evaluate_pairs(load_embedder(out).embed, pairs)
    assert figures["accuracy"] == pytest.approx(computed.accuracy)
    assert figures["threshold"] == pytest.approx(computed.threshold)
    images = sorted(map(str, folder.glob("Known_*/*.jpg")))[::7]
    found = [load_embedder(model).embed(images) for model in (out, run)]
    assert np.sum(np.square(found[0] - found[1]), axis=1).max() < 0.05
