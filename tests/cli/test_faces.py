import json

import pytest
from running_commands import TRAIN_WORDS

from facenet_lib.cli import main
from facenet_lib.drawn_faces import person_name, read_photograph_faces


@pytest.mark.slow
def test_drawn_faces_are_a_folder_to_train_on(tmp_path, capsys):
    out = tmp_path / "drawn"
    words = ["draw-faces", out, "--identities", 22, "--images-per-identity", 2]
    words += ["--test-identities", 20, "--size", 64, "--seed", 3]
    assert main(list(map(str, words))) == 0
    assert str(out) in capsys.readouterr().out
    assert len(list(out.glob("*/*.jpg"))) == 44
    assert (out / "pairs.txt").is_file()


@pytest.mark.slow
def test_drawing_says_in_one_line_what_there_is(tmp_path, capsys):
    words = ["draw-faces", str(tmp_path / "faces"), "--identities", "21", "--size", "64"]
    assert main([*words, "--images-per-identity", "2"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path / 'faces'}: 42 images; 1 people to train on, 20 in 40 pairs to test on"
    ]


@pytest.mark.slow
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


def test_drawn_photographs_come_with_their_faces(tmp_path, capsys):
    out = tmp_path / "photographs"
    words = ["draw-photographs", str(out), "--photographs", "1", "--seed", "24"]
    assert main([*words, "--identities", "2", "--first-identity", "5"]) == 0
    faces = read_photograph_faces(out)
    count = len(faces["photograph_0001.jpg"])
    assert capsys.readouterr().out.splitlines() == [
        f"{out}: 1 photographs, {count} faces in faces.csv"
    ]
    names = {face.name for face in faces["photograph_0001.jpg"]}
    assert names <= {person_name(5, 24), person_name(6, 24)}


def test_an_album_of_photographs_has_folders_of_people(tmp_path):
    out = tmp_path / "album"
    words = ["draw-photographs", str(out), "--photographs", "1", "--per-person"]
    assert main([*words, "--identities", "1", "--first-identity", "5"]) == 0
    assert list(read_photograph_faces(out)) == [f"{person_name(5)}/{person_name(5)}_0001.jpg"]


def test_people_who_cannot_be_are_refused_in_one_line(tmp_path, capsys):
    for option, value, least in (("--identities", "0", 1), ("--first-identity", "-1", 0)):
        assert main(["draw-photographs", str(tmp_path / "out"), option, value]) == 1
        told = f"facenet: {option}: expected an integer of at least {least}, found {value}\n"
        assert capsys.readouterr().err == told
