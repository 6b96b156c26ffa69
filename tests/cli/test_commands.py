import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import published_files
import pytest
import tf1_reference
from PIL import Image
from toy_training import SETTINGS, draw_people, write_ten_folds

from facenet_lib import __version__
from facenet_lib.cli.commands import main
from facenet_lib.datasets import read_faces
from facenet_lib.embedding import embed_images
from facenet_lib.export.litert import embed_litert
from facenet_lib.input_pipeline import Preprocessing
from facenet_lib.lfw_pairs import write_people
from facenet_lib.model_card import read_card
from facenet_lib.models import load_embedder, load_run
from facenet_lib.network.inception_resnet import inception_resnet_v1
from facenet_lib.published.model_folder import assign_tf1_variables, tf1_variable_names
from facenet_lib.runs.config import TrainingConfig
from facenet_lib.serving.configuration import TENSORFLOW_SERVING_IMAGE, ServedModel
from facenet_lib.serving.rest_client import RestClient
from facenet_lib.serving.server import LocalServer
from facenet_lib.verification import EvaluationPairs, evaluate_pairs

COMMANDS = (
    "draw-faces",
    "import-weights",
    "train",
    "report",
    "evaluate",
    "distances",
    "embed",
    "export",
    "serve",
)
TRAIN_WORDS = [
    word
    for name, value in SETTINGS.items()
    if name not in ("learning_rates", "random_crop", "blocks", "epoch_size", "epochs")
    for word in (f"--{name.replace('_', '-')}", str(value))
] + ["--blocks", "0", "0", "0", "--epoch-size", "20", "--epochs", "2", "--no-random-crop"]


def facenet(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "facenet_lib", *map(str, words)],
        capture_output=True,
        text=True,
        **options,
    )


def one_line(captured):
    """Nothing on standard output, and on standard error one line of ours."""
    assert captured.out == ""
    assert re.fullmatch(r"facenet: .+\n", captured.err)
    return captured.err


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Faces in one folder, with a pairs file over half of the people and a schedule."""
    root = tmp_path_factory.mktemp("faces")
    draw_people(root, "Known")
    write_ten_folds(root / "pairs.txt", draw_people(root, "Unknown", images=6, seed=1))
    return root


@pytest.fixture(scope="module")
def schedule(tmp_path_factory):
    path = tmp_path_factory.mktemp("schedule") / "schedule.txt"
    path.write_text("# epoch: rate\n0: 1e-2\n1: 5e-3\n")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory, folder, schedule):
    out = tmp_path_factory.mktemp("runs") / "run"
    words = ["train", folder, "--out", out, "--learning-rates", schedule, *TRAIN_WORDS]
    assert main(list(map(str, words))) == 0
    return out


@pytest.fixture(scope="module")
def exported(tmp_path_factory, run):
    out = tmp_path_factory.mktemp("models") / "facenet"
    assert main(["export", str(run), str(out)]) == 0
    return out


# ------------------------------------------------------------------------------ help and usage


@pytest.mark.parametrize("words", [("--help",), *((command, "--help") for command in COMMANDS)])
def test_help_comes_without_tensorflow(words):
    # TensorFlow's import, and keras', would fail.
    program = (
        "import sys; sys.modules.update(dict.fromkeys(['tensorflow', 'keras', 'matplotlib']));"
        "from facenet_lib.cli.commands import main; main(sys.argv[1:])"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: facenet")
    assert done.stderr == ""
    if words == ("--help",):
        assert all(command in done.stdout for command in COMMANDS)
    if words[0] == "train":
        assert all(f"--{name.replace('_', '-')}" in done.stdout for name in SETTINGS)


def test_the_module_is_the_command():
    done = facenet("--version")
    assert (done.returncode, done.stdout) == (0, f"facenet {__version__}\n")
    assert facenet().returncode == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "required: COMMAND"),
        (["swim"], "invalid choice"),
        (["train", "faces"], "required: --out"),
        (["train", "faces", "--out", "x", "--epochs", "many"], "invalid int value"),
        (["train", "faces", "--out", "x", "--epochs", "0"], "epochs: expected at least 1"),
        (["train", "faces", "--out", "x", "--blocks", "1", "2"], "expected 3 arguments"),
        (["train", "faces", "--out", "x", "--width", "nan"], "width: expected a number"),
        (["train", "faces", "--out", "x", "--learning-rates", "none.txt"], "none.txt"),
        (["embed", "model"], "required: --out"),
        (["embed", "--out", "x"], "required: IMAGE"),
        (["embed", "model", "--out", "x"], "required: MODEL, or --server"),
        (["embed", "model", "image", "--out", "x", "--name", "y"], "only with --server"),
        (["evaluate", "faces"], "required: MODEL, or --server"),
        (["evaluate", "model", "faces", "--server", "http://x"], "found both"),
        (["evaluate", "faces", "--server", "http://x", "--flip"], "--flip: not with --server"),
        (["evaluate", "faces", "--server", "http://x", "--crop", "60"], "--crop: not with"),
        (["evaluate", "faces", "--server", "http://x", "--crop", "0"], "--crop: not with"),
        (["serve"], "required: MODEL"),
        (["serve", "model", "--docker", "--tensorflow-serving"], "not allowed with"),
        (["serve", "model", "--versions", "newest"], "latest, all, or numbers such as 1,2"),
        (["serve", "model", "--label", "stable"], "expected LABEL=VERSION"),
        (["serve", "model", "--label", "a=1", "--label", "a=2"], "found one twice"),
        (["serve", "model", "--image", "x"], "only with --docker"),
        (["serve", "model", "--rest-port", "65536"], "expected a number from 0 to 65535"),
        (["serve", "model", "--grpc-port", "-1"], "expected a number from 0 to 65535"),
        (["export", "run"], "required: OUT"),
        (["export", "run", "x", "--litert", "int8", "--threshold", "1"], "neither evaluation nor"),
        (["export", "run", "x", "--litert", "int8", "--dtype", "bfloat16"], "not allowed with"),
        (["evaluate", "model", "faces", "--metric", "manhattan"], "invalid choice"),
        (["evaluate", "model", "faces", "--standardization", "none"], "invalid choice"),
        (["evaluate", "model", "faces", "--crop", "all"], "invalid int value"),
        (["train", "faces", "--out", "x", "--freeze-until", "Mixed_6b"], "an initial_model"),
        (["import-weights", "file"], "required: OUT"),
    ],
)
def test_wrong_usage_exits_with_2(words, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    assert told in capsys.readouterr().err


# ------------------------------------------------------------------------------ the commands


def test_drawn_faces_are_a_folder_to_train_on(tmp_path, capsys):
    out = tmp_path / "drawn"
    words = ["draw-faces", out, "--identities", 22, "--images-per-identity", 2]
    words += ["--test-identities", 20, "--size", 64, "--seed", 3]
    assert main(list(map(str, words))) == 0
    assert str(out) in capsys.readouterr().out
    assert len(list(out.glob("*/*.jpg"))) == 44
    assert (out / "pairs.txt").is_file()


def test_training_says_where_the_run_stands(run, folder, schedule, capsys):
    words = ["train", folder, "--out", run, "--learning-rates", schedule, *TRAIN_WORDS]
    assert main(list(map(str, words))) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == f"{run}: 40 steps"
    assert re.fullmatch(r"accuracy [01]\.\d{4} \+- [01]\.\d{4} \(standard error\)", lines[1])
    settings = json.loads((run / "config.json").read_text())
    assert settings["data"]["identities"] == 4  # not the people of the pairs
    assert settings["random_crop"] is False
    assert settings["learning_rates"] == {"0": 0.01, "1": 0.005}


def test_a_people_file_decides_whom_to_train_on(run, folder, schedule, tmp_path, capsys):
    people = tmp_path / "people.txt"
    write_people(people, [{"Known_0": 8, "Known_2": 8}])
    words = ["train", folder, "--out", run, "--people", people, "--learning-rates", schedule]
    assert main(list(map(str, [*words, *TRAIN_WORDS]))) == 1
    assert "identities was 4 when the run began, now 2" in capsys.readouterr().err


def test_the_command_lines_settings_take_the_place_of_the_files(folder, tmp_path, capsys):
    config = tmp_path / "run.yaml"
    config.write_text("image_size: 60\nepochs: 1\nbatch_norm_momentum: 9e-1\n")
    words = ["train", folder, "--out", tmp_path / "run", "--config", config]
    assert main(list(map(str, words))) == 1  # an image of 60 pixels is too small
    assert "image_size 60 is too small" in one_line(capsys.readouterr())
    assert not (tmp_path / "run").exists()
    with pytest.raises(SystemExit):
        main([*map(str, words), "--image-size", "0"])


def test_ctrl_c_in_the_shell_saves_and_the_same_command_goes_on(
    run, folder, schedule, tmp_path, capfd
):
    out = tmp_path / "run"
    words = ["train", folder, "--out", out, "--learning-rates", schedule, *TRAIN_WORDS]
    process = subprocess.Popen(
        [sys.executable, "-m", "facenet_lib", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"},
    )
    metrics, deadline = out / "metrics.csv", time.monotonic() + 120
    while not (metrics.exists() and metrics.read_text().count("\n") > 3):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=60)
    assert (process.returncode, said) == (1, "")
    # The progress bar rewrites its line; what stays are lines of ours and none of TensorFlow's.
    lines = [line.split("\r")[-1] for line in errors.splitlines() if line.split("\r")[-1].strip()]
    assert re.fullmatch(
        r"facenet: stopped after step \d+; the same command goes on from there", lines[-1]
    )
    assert all(line.startswith(("facenet: ", "epoch ")) for line in lines), errors
    assert list((out / "checkpoints").glob("*.npz"))

    assert main(list(map(str, words))) == 0
    assert f"{out}: 40 steps" in capfd.readouterr().out
    with (
        np.load(out / "checkpoints" / "00000040.npz") as one,
        np.load(run / "checkpoints" / "00000040.npz") as two,
    ):
        assert set(one.files) == set(two.files)
        for name in set(one.files) - {"state"}:
            np.testing.assert_array_equal(one[name], two[name], err_msg=name)


def test_run_and_exported_model_are_evaluated_alike(run, exported, folder, tmp_path, capsys):
    figures = []
    for model in (run, exported):
        out = tmp_path / f"{model.name}.json"
        assert main(["evaluate", str(model), str(folder), "--json", str(out)]) == 0
        said = capsys.readouterr()
        assert said.err == ""
        figures.append(json.loads(out.read_text()))
        assert f"accuracy {figures[-1]['accuracy']:.4f}" in said.out
    assert figures[0]["accuracy"] == figures[1]["accuracy"]
    assert figures[0]["fold_accuracies"] == figures[1]["fold_accuracies"]
    assert (
        figures[0].keys()
        == figures[1].keys()
        >= {
            "accuracy",
            "accuracy_std",
            "standard_error",
            "validation_rate",
            "validation_rate_std",
            "false_accept_rate",
            "area_under_curve",
            "equal_error_rate",
            "threshold",
        }
    )
    assert len(figures[0]["fold_accuracies"]) == 10


def evaluated(tmp_path, *words):
    out = tmp_path / "evaluated.json"
    assert main(["evaluate", *map(str, words), "--json", str(out)]) == 0
    return json.loads(out.read_text())


def test_the_evaluations_options_are_those_of_the_library(run, exported, folder, tmp_path, capsys):
    pairs = EvaluationPairs.from_file(folder / "pairs.txt", folder)
    model = load_embedder(run, standardization="per_image", crop_size=60)
    expected = evaluate_pairs(partial(model.embed, flip=True), pairs, "angular", subtract_mean=True)
    words = ["--flip", "--subtract-mean", "--metric", "angular"]
    found = evaluated(tmp_path, run, folder, *words, "--standardization", "per_image", "--crop", 60)
    assert f"threshold {expected.threshold:.4f}" in capsys.readouterr().out
    how = {name: found.pop(name) for name in ("flip", "subtract_mean", "metric", "preprocessing")}
    assert found == json.loads(json.dumps(expected.to_dict()))
    assert how == {
        "flip": True,
        "subtract_mean": True,
        "metric": "angular",
        "preprocessing": {
            "image_size": 75,
            "crop_size": 60,
            "frame_size": None,
            "standardization": "per_image",
        },
    }
    plain = evaluated(tmp_path, run, folder)
    assert (plain["flip"], plain["subtract_mean"], plain["metric"]) == (False, False, "sqeuclidean")
    assert plain["preprocessing"]["standardization"] == "fixed"
    mirrored = evaluated(tmp_path, exported, folder, "--flip")
    both = evaluate_pairs(partial(load_embedder(exported).embed, flip=True), pairs)
    assert {name: mirrored[name] for name in both.to_dict()} == json.loads(
        json.dumps(both.to_dict())
    )
    assert mirrored["threshold"] != plain["threshold"]


def test_fine_tuning_takes_what_is_not_said_from_the_initial_model(run, folder, tmp_path, capsys):
    model = Path(shutil.copytree(run, tmp_path / "model"))
    config = tmp_path / "tune.yaml"
    config.write_text("batch_size: 4\nepoch_size: 2\nlearning_rates: {0: 1.0e-3}\n")
    out = tmp_path / "tuned"
    words = ["train", folder, "--out", out, "--config", config, "--from", model]
    words += ["--freeze-until", "Mixed_6b", "--epochs"]
    assert main([*map(str, words), "1"]) == 0
    assert f"{out}: 2 steps" in capsys.readouterr().out
    settings, of_model = (json.loads((at / "config.json").read_text()) for at in (out, model))
    for name in ("image_size", "standardization", "embedding_size", "width", "blocks"):
        assert settings[name] == of_model[name]
    assert settings["dropout_rate"] == TrainingConfig().dropout_rate
    assert (settings["initial_model"], settings["freeze_until"]) == (str(model), "Mixed_6b")

    again = [f"{tmp_path}/./model/" if word is model else word for word in words]
    assert main([*map(str, again), "1"]) == 0  # the same model, so the same run
    assert f"{out}: 2 steps" in capsys.readouterr().out
    shutil.rmtree(model)  # a run that has begun does not need it
    assert main([*map(str, words), "2"]) == 0
    assert f"{out}: 4 steps" in capsys.readouterr().out
    assert main([*map(str, words), "2", "--width", "0.2"]) == 1
    assert "width was 0.1 when the run began, now 0.2" in capsys.readouterr().err
    (tmp_path / "model").mkdir()
    assert main([*map(str, [*words[:3], tmp_path / "other", *words[4:]]), "1"]) == 1
    assert "expected the folder of a run" in one_line(capsys.readouterr())


def test_settings_that_contradict_each_other_are_told_with_both_sources(
    run, folder, tmp_path, capsys
):
    config = tmp_path / "tune.yaml"
    config.write_text("frame_size: 60\n")  # smaller than the model's window
    words = ["train", folder, "--out", tmp_path / "x", "--config", config, "--from", f"{run}/"]
    assert main(list(map(str, words))) == 1
    told = f"facenet: {config} with {run}: frame_size: expected at least 75"
    assert one_line(capsys.readouterr()).startswith(told)


def test_a_run_that_begins_with_no_file_of_settings_names_the_model(
    run, folder, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("facenet_lib.models.network_settings", lambda model: {"width": "wide"})
    words = ["train", folder, "--out", tmp_path / "x", "--from", run]
    assert main(list(map(str, words))) == 1
    assert one_line(capsys.readouterr()).startswith(f"facenet: {run}: width: expected a number")


def test_what_disagrees_with_the_initial_model_is_told_at_once(run, folder, tmp_path, capsys):
    words = ["train", folder, "--out", tmp_path / "x", "--from", run, "--width", 0.2]
    assert main([*map(str, words), "--embedding-size", "8"]) == 1
    said = capsys.readouterr().err
    assert "width is 0.1 in the initial model, but 0.2 in the settings" in said
    assert "embedding_size is 16 in the initial model, but 8 in the settings" in said
    assert not (tmp_path / "x").exists()


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
    expected = embed_images(network, images, Preprocessing(80))
    assert main(["export", str(model), str(tmp_path / "exported")]) == 0
    for one in (model, tmp_path / "exported"):
        assert main(["embed", str(one), *images, "--out", str(tmp_path / "x.npz")]) == 0
        with np.load(tmp_path / "x.npz") as archive:
            np.testing.assert_allclose(archive["embeddings"], expected, atol=1e-4)

    words = ["train", folder, "--out", tmp_path / "tuned", "--from", model, "--batch-size", 2]
    words += ["--epoch-size", 1, "--epochs", 1, "--freeze-until", "Mixed_8b"]
    without_pairs = tmp_path / "faces"
    draw_people(without_pairs, "Known", people=2, images=2)
    words[1] = without_pairs
    assert main(list(map(str, words))) == 0
    tuned = tf1_variable_names(load_run(tmp_path / "tuned").network)
    for name, values in variables.items():
        if "Bottleneck" not in name:
            np.testing.assert_array_equal(tuned[name], values, err_msg=name)


def test_a_report_is_a_picture_beside_the_run_or_where_it_is_wanted(run, tmp_path, capsys):
    copy = shutil.copytree(run, tmp_path / "run")
    assert main(["report", str(copy)]) == 0
    assert main(["report", str(copy), "--out", str(tmp_path / "curves.png")]) == 0
    for path in (copy / "report.png", tmp_path / "curves.png"):
        assert str(path) in capsys.readouterr().out or path.exists()
        with Image.open(path) as picture:
            assert min(picture.size) > 400
    assert main(["report", str(tmp_path)]) == 1
    assert "not a training run" in one_line(capsys.readouterr())


def test_distances_decide_whom_a_run_leaves_out(run, folder, tmp_path, capsys):
    table = tmp_path / "distances.csv"
    assert main(["distances", str(run), str(folder), "--out", str(table)]) == 0
    assert "32 images of 4 people" in capsys.readouterr().out
    words = ["--filter-distances", str(table), "--filter-percentile", "75"]
    out = tmp_path / "filtered"
    command = ["train", str(folder), "--out", str(out), *TRAIN_WORDS, *words, "--epochs", "1"]
    assert main(command) == 0
    assert json.loads((out / "config.json").read_text())["data"]["images"] == 24
    record = json.loads((out / "record.json").read_text())
    assert record[0]["arguments"] == command


def test_another_pairs_file_may_be_named(run, folder, tmp_path, capsys):
    lines = (folder / "pairs.txt").read_text().splitlines()
    one_fold = [line for line in lines[1:] if line.count("\t") == 2]
    one_fold += [line for line in lines[1:] if line.count("\t") == 3]
    (tmp_path / "view1.txt").write_text("\n".join(["10", *one_fold]) + "\n")
    words = ["evaluate", str(run), str(folder), "--pairs", str(tmp_path / "view1.txt")]
    assert main(words) == 0
    assert "accuracy" in capsys.readouterr().out
    (folder_without := tmp_path / "faces").mkdir()
    draw_people(folder_without, "Known", people=2, images=2)
    assert main(["evaluate", str(run), str(folder_without)]) == 1
    assert "name a pairs file with --pairs" in one_line(capsys.readouterr())


def test_embeddings_are_written_with_their_paths(run, exported, folder, tmp_path, capsys):
    images = [str(folder / "Known_1" / f"Known_1_000{number}.jpg") for number in (3, 1, 3)]
    found = []
    for model in (run, exported):
        out = tmp_path / f"{model.name}.npz"
        assert main(["embed", str(model), *images, "--out", str(out)]) == 0
        assert capsys.readouterr().out == f"{out}: 3 embeddings of 16 numbers\n"
        with np.load(out, allow_pickle=False) as archive:
            assert archive["paths"].tolist() == images
            found.append(archive["embeddings"])
    assert found[0].dtype == np.float32
    assert found[0].shape == (3, 16)
    np.testing.assert_allclose(np.linalg.norm(found[0], axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(found[0][0], found[0][2])
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


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


# ------------------------------------------------------------------------------ the service


@pytest.fixture(scope="module")
def server(exported):
    with LocalServer({"facenet": exported, "other": exported}) as running:
        yield running


def test_a_server_embeds_as_the_model_does(server, exported, folder, tmp_path, capsys):
    images = [str(folder / "Known_1" / f"Known_1_000{number}.jpg") for number in (3, 1, 3)]
    expected = load_embedder(exported).embed(images)
    for words in (
        ["--server", server.rest_url, *images],
        [images[0], "--server", server.grpc_address, *images[1:]],
        ["--server", server.rest_url, "--name", "other", *images],
    ):
        out = tmp_path / "x.npz"
        assert main(["embed", *words, "--out", str(out)]) == 0
        assert capsys.readouterr().out == f"{out}: 3 embeddings of 16 numbers\n"
        with np.load(out, allow_pickle=False) as archive:
            assert archive["paths"].tolist() == images
            np.testing.assert_allclose(archive["embeddings"], expected, atol=1e-5)


def test_asking_a_server_over_rest_loads_no_tensorflow(server, folder, tmp_path):
    program = (
        "import sys; sys.modules.update(dict.fromkeys(['tensorflow', 'keras', 'matplotlib']));"
        "from facenet_lib.cli.commands import main; sys.exit(main(sys.argv[1:]))"
    )
    image, out = folder / "Known_1" / "Known_1_0001.jpg", tmp_path / "x.npz"
    words = ["embed", "--server", server.rest_url, image, "--out", out]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{out}: 1 embeddings of 16 numbers\n"


def test_a_server_is_evaluated_as_the_model_is(server, exported, folder, tmp_path):
    expected = evaluated(tmp_path, exported, folder)
    for where in (server.rest_url, server.grpc_address):
        found = evaluated(tmp_path, folder, "--server", where)
        assert (found.pop("server"), found.pop("version")) == (where, 1)
        assert found["accuracy"] == expected["accuracy"]
        assert found["fold_accuracies"] == expected["fold_accuracies"]
        assert found.keys() == expected.keys() - {"preprocessing"}


def test_what_goes_wrong_with_a_server_is_explained_in_one_line(server, folder, tmp_path, capsys):
    image = str(folder / "Known_1" / "Known_1_0001.jpg")
    (tmp_path / "bad.jpg").write_bytes(b"GIF89a")
    out = ["--out", str(tmp_path / "x.npz")]
    for words, told in (
        (["--server", server.rest_url, image, str(tmp_path / "bad.jpg")], "bad.jpg: the model"),
        (["--server", server.rest_url, str(tmp_path / "none.jpg")], "none.jpg: cannot be read"),
        (["--server", server.rest_url, "--name", "nobody", image], "nobody"),
        (["--server", f"{server.rest_url}/elsewhere", image], "404"),
        (["--server", "localhost", image], "expected host:port"),
        (["--server", "ftp://localhost", image], "http://localhost:8501 for REST"),
    ):
        assert main(["embed", *words, *out]) == 1, words
        assert told in one_line(capsys.readouterr())


@pytest.mark.parametrize(
    ("words", "package"),
    [
        (["embed", "--server", "http://x", "image", "--out", "x"], "urllib3"),
        (["serve", "model", "--docker"], "urllib3"),
        (["serve", "model"], "uvicorn"),
    ],
)
def test_the_extra_that_is_missing_is_named(words, package):
    program = (
        "import sys; sys.modules[sys.argv.pop(1)] = None;"  # importing it raises
        "from facenet_lib.cli.commands import main; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, package, *words], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(
        f"needs the package {package}, which is not installed: pip install 'facenet-lib[serving]'"
    )
    assert "Traceback" not in done.stderr


def test_options_may_stand_anywhere(run, folder, tmp_path):
    images = [str(folder / "Known_1" / f"Known_1_000{number}.jpg") for number in (1, 2)]
    out = str(tmp_path / "x.npz")
    assert main(["embed", str(run), images[0], "--out", out, images[1]]) == 0
    with np.load(out) as archive:
        assert archive["paths"].tolist() == images
    figures = tmp_path / "x.json"
    assert main(["evaluate", str(run), "--json", str(figures), str(folder)]) == 0
    assert figures.is_file()


def test_a_model_is_served_until_the_process_is_told_to_end(exported, folder, tmp_path):
    words = ["serve", exported, "--rest-port", "0", "--grpc-port", "0", "--versions", "all"]
    process = subprocess.Popen(
        [sys.executable, "-m", "facenet_lib", *words, "--label", "stable=1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = process.stdout.readline().removesuffix("/v1/models/facenet:predict\n")
        with RestClient(url, label="stable") as client:
            image = (folder / "Known_1" / "Known_1_0001.jpg").read_bytes()
            assert client.embed([image]).valid.all()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert all("facenet version 1" in line for line in errors.splitlines()), errors


def test_tf_serving_is_configured_and_run(exported, tmp_path, monkeypatch, capsys):
    words = ["serve", str(exported), "--name", "mine", "--versions", "1", "--label", "stable=1"]
    words += ["--host", "0.0.0.0", "--rest-port", "81", "--grpc-port", "80"]
    out = tmp_path / "configuration"
    assert main([*words, "--image", "serving:test", "--configure", str(out)]) == 0
    files = sorted(out.iterdir())
    assert sorted(capsys.readouterr().out.splitlines()) == list(map(str, files))
    compose = (out / "compose.yaml").read_text()
    assert all(word in compose for word in ("serving:test", "0.0.0.0:81:8501", "0.0.0.0:80:8500"))
    assert 'key: "stable"' in (out / "models.config").read_text()

    runs = []
    monkeypatch.setattr(
        "facenet_lib.serving.tensorflow_serving.run_tensorflow_serving",
        lambda models, **options: runs.append((models, options)),
    )
    model = ServedModel(exported, "mine", (1,), {"stable": 1})
    options = {"host": "0.0.0.0", "rest_port": 81, "grpc_port": 80}
    options["image"] = TENSORFLOW_SERVING_IMAGE
    assert main([*words, "--docker"]) == 0
    assert capsys.readouterr().err == ""
    assert main([*words, "--tensorflow-serving"]) == 0
    assert "listens at every address" in one_line(capsys.readouterr())
    assert runs == [([model], options | {"kind": kind}) for kind in ("docker", "binary")]


def test_a_litert_file_is_written(run, folder, tmp_path, capsys):
    out = tmp_path / "model.tflite"
    assert main(["export", str(run), str(out), "--litert", "float16"]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    images = sorted(map(str, folder.glob("Known_*/*.jpg")))[::7]
    model = load_embedder(run)
    found = embed_litert(out, images, model.preprocessing)
    np.testing.assert_allclose(found, model.embed(images), atol=0.01)


def test_failures_are_explained_in_one_line(run, exported, folder, tmp_path, capsys):
    image = str(folder / "Known_1" / "Known_1_0001.jpg")
    (tmp_path / "bad.jpg").write_bytes(b"GIF89a")
    for words, told in (
        (["evaluate", str(tmp_path), str(folder)], "expected the folder of a run"),
        (["evaluate", str(run), str(tmp_path / "none")], "none: expected a folder"),
        (["evaluate", str(run), str(folder), "--pairs", str(tmp_path / "p")], "expected a file"),
        (["evaluate", str(run), str(folder), "--json", str(tmp_path)], "expected a file in"),
        (["embed", str(run), str(tmp_path / "bad.jpg"), "--out", str(tmp_path / "x")], "GIF"),
        (["embed", str(run), image, "--out", str(tmp_path / "none" / "x")], "expected a file in"),
        (["embed", str(run), image, "--out", str(tmp_path)], "expected a file in"),
        (["export", str(run), str(run)], "already there"),
        (["export", str(run), str(tmp_path / "m"), "--threshold", "1"], "no false_accept_rate"),
        (["export", str(run), str(tmp_path / "m"), "--evaluation", image], "facenet evaluate --j"),
        (["export", str(tmp_path), str(tmp_path / "model")], "expected the folder of a run"),
        (["export", "run", str(tmp_path / "n" / "x"), "--litert", "int8"], "expected a file in a"),
        (["evaluate", str(exported), str(folder), "--crop", "60"], "has its standardization and"),
        (["evaluate", str(run), str(folder), "--crop", "0"], "crop_size"),
        (["import-weights", image, str(tmp_path / "model")], "Known_1_0001.jpg"),
        (["import-weights", str(tmp_path / "none"), str(tmp_path / "model")], "none"),
        (["train", str(folder), "--out", str(tmp_path / "x"), "--from", "none"], "none: expected"),
        (["train", str(folder), "--out", str(folder)], "not empty and no training run"),
        (["train", str(folder), "--out", str(run), "--config", "none"], "none: expected a YAML"),
    ):
        assert main(words) == 1, words
        assert told in one_line(capsys.readouterr())
    assert [path.name for path in tmp_path.iterdir()] == ["bad.jpg"]


def test_tensorflows_own_words_do_not_drown_the_answer(run, folder, tmp_path):
    clean = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    image = folder / "Known_1" / "Known_1_0001.jpg"
    words = ["embed", run, image, "--out", tmp_path / "x.npz"]
    quiet = facenet(*words, env=clean)
    assert quiet.stdout == f"{tmp_path / 'x.npz'}: 1 embeddings of 16 numbers\n"
    assert (quiet.returncode, quiet.stderr) == (0, "")


def test_ctrl_c_before_anything_is_done_is_one_line(monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("facenet_lib.drawn_faces.dataset.write_faces", interrupted)
    assert main(["draw-faces", "nowhere"]) == 1
    assert one_line(capsys.readouterr()) == "facenet: interrupted\n"


def test_a_mistake_of_our_own_keeps_its_traceback(monkeypatch):
    def wrong(*arguments, **options):
        raise ZeroDivisionError

    monkeypatch.setattr("facenet_lib.drawn_faces.dataset.write_faces", wrong)
    with pytest.raises(ZeroDivisionError):
        main(["draw-faces", str(Path("nowhere"))])


def test_drawing_says_in_one_line_what_there_is(tmp_path, capsys):
    words = ["draw-faces", str(tmp_path / "faces"), "--identities", "21", "--size", "64"]
    assert main([*words, "--images-per-identity", "2"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path / 'faces'}: 42 images; 1 people to train on, 20 in 40 pairs to test on"
    ]


def test_people_whom_the_run_was_trained_on_are_told(run, folder, tmp_path, capsys):
    pairs = tmp_path / "known.txt"
    known = {name: paths for name, paths in read_faces(folder).items() if name.startswith("Known")}
    write_ten_folds(pairs, known)
    assert main(["evaluate", str(run), str(folder), "--pairs", str(pairs)]) == 0
    assert "trained on 4 of the 4 people in these pairs" in capsys.readouterr().err
