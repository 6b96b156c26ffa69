import json
from functools import partial

import numpy as np
import pytest
from running_commands import evaluated, one_line
from toy_training import draw_people, write_ten_folds

from facenet_lib.cli import evaluation, main
from facenet_lib.datasets import read_faces
from facenet_lib.models import load_embedder
from facenet_lib.verification import EvaluationPairs, evaluate_pairs

pytestmark = pytest.mark.slow  # each test trains, or needs what was trained


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


def test_people_whom_the_run_was_trained_on_are_told(run, folder, tmp_path, capsys):
    pairs = tmp_path / "known.txt"
    known = {name: paths for name, paths in read_faces(folder).items() if name.startswith("Known")}
    write_ten_folds(pairs, known)
    assert main(["evaluate", str(run), str(folder), "--pairs", str(pairs)]) == 0
    assert "trained on 4 of the 4 people in these pairs" in capsys.readouterr().err


def test_known_people_are_told_in_whichever_form_their_folders_are(capsys):
    evaluation._warn_of_known_people(["Zo\u00eb"], ["faces/Zoe\u0308/Zoe\u0308_0001.jpg"])
    assert "was trained on 1 of the 1 people in these pairs" in capsys.readouterr().err


def test_a_server_embeds_as_the_model_does(server, exported, folder, tmp_path, capsys):
    images = [str(folder / "Known_1" / f"Known_1_000{number}.jpg") for number in (3, 1, 3)]
    expected = load_embedder(exported).embed(images)
    grpc = f"grpc://{server.grpc_address}"
    printed = (f"{server.rest_url}/v1/models/other:predict", server.grpc_address)  # by serve
    for address in (server.rest_url, grpc, f"{server.rest_url}/other", f"{grpc}/other", *printed):
        out = tmp_path / "x.npz"
        assert main(["embed", address, *images, "--out", str(out)]) == 0
        assert capsys.readouterr().out == f"{out}: 3 embeddings of 16 numbers\n"
        with np.load(out, allow_pickle=False) as archive:
            assert archive["paths"].tolist() == images
            np.testing.assert_allclose(archive["embeddings"], expected, atol=1e-5)


def test_a_server_is_evaluated_as_the_model_is(server, exported, folder, tmp_path):
    expected = evaluated(tmp_path, exported, folder)
    for where in (server.rest_url, f"grpc://{server.grpc_address}"):
        found = evaluated(tmp_path, where, folder)
        assert (found.pop("server"), found.pop("version")) == (where, 1)
        assert found["accuracy"] == expected["accuracy"]
        assert found["fold_accuracies"] == expected["fold_accuracies"]
        assert found.keys() == expected.keys() - {"preprocessing"}


def test_what_goes_wrong_with_a_server_is_explained_in_one_line(server, folder, tmp_path, capsys):
    image = str(folder / "Known_1" / "Known_1_0001.jpg")
    (tmp_path / "bad.jpg").write_bytes(b"GIF89a")
    out = ["--out", str(tmp_path / "x.npz")]
    for words, told in (
        ([server.rest_url, image, str(tmp_path / "bad.jpg")], "bad.jpg: the model"),
        ([server.rest_url, str(tmp_path / "none.jpg")], "none.jpg: cannot be read"),
        ([f"{server.rest_url}/nobody", image], "nobody"),
        ([f"{server.rest_url}/elsewhere/facenet", image], "404"),
        (["grpc://localhost", image], "expected host:port"),
        (["ftp://localhost", image], "http://localhost:8501 for REST"),
    ):
        assert main(["embed", *words, *out]) == 1, words
        assert told in one_line(capsys.readouterr())
    for option, told in (
        (["--flip"], "mirror images"),
        (["--crop", "60"], "its standardization and crop inside"),
        (["--standardization", "fixed"], "its standardization and crop inside"),
    ):
        assert main(["evaluate", server.rest_url, str(folder), *option]) == 1, option
        assert told in one_line(capsys.readouterr())
