import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from running_commands import TRAIN_WORDS, one_line

from facenet_lib.cli import main
from facenet_lib.lfw_pairs import write_people
from facenet_lib.runs.config import TrainingConfig

pytestmark = pytest.mark.slow  # each test trains, or needs what was trained


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


def test_training_says_what_it_took_and_what_it_left_out(folder, schedule, tmp_path, capsys):
    faces = Path(shutil.copytree(folder, tmp_path / "faces"))
    (faces / "Known_0" / "Known_0_0009.webp").touch()
    (faces / "Known_1" / "old").mkdir()
    (faces / "Known_1" / "Known_1_0001.jpg").rename(faces / "Known_1" / "old" / "1.jpg")
    for path in sorted((faces / "Known_2").iterdir())[1:]:
        path.rename(path.with_suffix(".tiff"))
    (faces / "Known_3" / "Known_3_0001.jpg").rename(faces / "Known_3" / "Known_3_0001.jfif")
    words = ["train", faces, "--out", tmp_path / "run", "--learning-rates", schedule, *TRAIN_WORDS]
    words += ["--minimum-images", 2, "--epochs", 1, "--epoch-size", 1]
    assert main(list(map(str, words))) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("facenet: ")]
    assert lines == [
        "facenet: left out images that are neither JPEG nor PNG: 8 (Known_0/Known_0_0009.webp, "
        "Known_2/Known_2_0002.tiff, Known_2/Known_2_0003.tiff and 5 more)",
        "facenet: left out images in a folder below the person's: 1 (Known_1/old/1.jpg)",
        f"facenet: left out people whom {faces / 'pairs.txt'} compares: 4 "
        "(Unknown_0, Unknown_1, Unknown_2 and 1 more)",
        "facenet: left out people with fewer than 2 images: 1 (Known_2)",
        "facenet: training on 3 people with 23 images",
    ]


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
    told = capsys.readouterr().err.splitlines()[-1]  # after what was trained on
    assert "image_size: expected an integer of at least 75, found 60" in told
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
    metrics, deadline = out / "metrics.csv", time.monotonic() + 300
    while not (metrics.exists() and metrics.read_text().count("\n") > 3):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=300)
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
