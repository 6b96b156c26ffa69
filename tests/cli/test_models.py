import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import published_files
import pytest
import tensorflow as tf
import tf1_reference
from toy_training import draw_people

from facenet_lib.cli import main
from facenet_lib.embedding import embed_images
from facenet_lib.export.litert import embed_litert
from facenet_lib.input_pipeline import Preprocessing
from facenet_lib.model_card import read_card
from facenet_lib.models import load_embedder, load_run
from facenet_lib.network.inception_resnet import inception_resnet_v1
from facenet_lib.published.model_folder import assign_tf1_variables, tf1_variable_names

pytestmark = pytest.mark.slow  # each test trains, or needs what was trained


@contextmanager
def eagerly() -> Iterator[None]:
    """Compile nothing: of the whole network, that takes longer than to compute with it once."""
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


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
    assert said[0] == f"{model}: from weights.h5 (keras_h5), sha256 {digest}"
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


def test_a_litert_file_is_written(run, folder, tmp_path, capsys):
    out = tmp_path / "model.tflite"
    assert main(["export", str(run), str(out), "--litert", "float16"]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    images = sorted(map(str, folder.glob("Known_*/*.jpg")))[::7]
    model = load_embedder(run)
    found = embed_litert(out, images, model.preprocessing)
    np.testing.assert_allclose(found, model.embed(images), atol=0.01)
