"""``facenet enroll``, ``identify``, ``cluster`` and ``gallery``: from an album to names.

The photographs have rectangles for faces, whose blue says who it is, and the model sees colours.
"""

from __future__ import annotations

import contextlib
import csv
import json
import re
import sys
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pytest
from made_up_detectors import make_rectangle_detector, save
from made_up_embedders import ColourEmbedder
from running_commands import one_line

from facenet_lib.cli import main, recognition
from facenet_lib.errors import FacenetError
from facenet_lib.recognition import embedding_cache
from facenet_lib.recognition.gallery import Gallery, change_gallery

BLUE = {"Ann": 10, "Bea": 120, "Cid": 240}
STRANGER = 180
THRESHOLD = ["--threshold", 0.02]


def draw(path: Path, *blues: int) -> Path:
    """A photograph with a face for each number."""
    width = 60 * max(1, len(blues))
    pixels = np.full((60, width, 3), 128, np.uint8)
    for place, blue in enumerate(blues):
        pixels[12:48, 60 * place + 12 : 60 * place + 48] = (255, 0, blue)
    return save(path, pixels)


@pytest.fixture
def embedders(monkeypatch, tmp_path):
    """The model of every call, which counts what it embeds; a name with "turned" is another."""
    opened: list[ColourEmbedder] = []

    @contextlib.contextmanager
    def open_embedder(model):
        opened.append(ColourEmbedder(turned="turned" in model))
        yield opened[-1]

    monkeypatch.setattr(recognition, "open_embedder", open_embedder)
    monkeypatch.setattr(recognition, "detector_maker", lambda *name, turn: make_rectangle_detector)
    monkeypatch.setenv("FACENET_CACHE", str(tmp_path / "cache"))
    return opened


@pytest.fixture
def people(tmp_path):
    for name, blue in BLUE.items():
        for number in range(3):
            draw(tmp_path / "people" / name / f"{number}.png", blue + 2 * number)
    return tmp_path / "people"


@pytest.fixture
def gallery(embedders, people, tmp_path, capsys):
    words = ["enroll", tmp_path / "people.npz", people, "--model", "colours", *SQUARE, *DOUBTFUL]
    assert facenet(*words) == 0
    capsys.readouterr()
    return tmp_path / "people.npz"


SQUARE = ["--crop", "square", "--margin", 0]
DOUBTFUL = ["--keep-doubtful"]  # as a face of one colour is, which has no fine detail


def facenet(*words):
    return main(list(map(str, words)))


def named(path):
    photographs = json.loads(path.read_text())["photographs"]
    return {
        Path(one["photograph"]).name: [face["name"] for face in one["faces"]] for one in photographs
    }


def test_people_are_enrolled_by_their_folders(gallery):
    held = Gallery.load(gallery)
    assert held.people == tuple(BLUE)
    assert set(zip(held.names, held.sources, strict=True)) == {
        (name, f"{name}/{number}.png") for name in BLUE for number in range(3)
    }
    assert held.fingerprint.model == "colours"
    assert (held.alignment.crop_kind, held.alignment.margin) == ("square", 0)


def test_faces_are_named_or_nobodys(gallery, tmp_path, capsys):
    draw(tmp_path / "album" / "both.png", BLUE["Bea"] + 1, BLUE["Ann"] + 1)
    draw(tmp_path / "album" / "who.png", STRANGER)
    draw(tmp_path / "album" / "empty.png")
    out = tmp_path / "found.json"
    assert facenet("identify", gallery, tmp_path / "album", *THRESHOLD, "--json", out) == 0
    found = named(out)
    assert found.pop("who.png") == [None] and found.pop("empty.png") == []
    assert sorted(found.pop("both.png")) == ["Ann", "Bea"] and not found
    faces = json.loads(out.read_text())["photographs"][0]["faces"]
    assert {tuple(face["box"]) for face in faces} == {(12, 12, 48, 48), (72, 12, 108, 48)}
    said = capsys.readouterr()
    assert "3 photographs, 3 faces: 2 named, 1 nobody's; threshold 0.020" in said.out
    assert "left out 1 photograph without a face or unusable, such as empty.png" in said.err


def test_doubtful_photographs_are_told_and_left_out(gallery, tmp_path, capsys):
    draw(tmp_path / "more" / "Dee" / "blurred.png", STRANGER)
    assert facenet("enroll", gallery, tmp_path / "more") == 0
    said = capsys.readouterr()
    assert "facenet: Dee, Dee/blurred.png: blurred: expected a sharpness" in said.err
    assert "facenet: Dee, Dee/blurred.png: tiny: expected a side of at least 40 pixels" in said.err
    assert "left out 1 doubtful photograph; --keep-doubtful enrolls them too" in said.err
    assert "enrolled 0 photographs of 0 people, 0 were there already; it holds 3" in said.out
    assert Gallery.load(gallery).people == tuple(BLUE)


def test_all_photographs_of_two_people_under_one_name_are_left_out(gallery, tmp_path, capsys):
    for number in range(4):
        stripes = np.zeros((64, 64, 3), np.uint8)
        stripes[number:, ::3] = (255, 255, 0) if number < 2 else (0, 80, 255)
        save(tmp_path / "more" / "Dee" / f"{number}.png", stripes)
    assert facenet("enroll", gallery, tmp_path / "more", "--aligned") == 0
    said = capsys.readouterr()
    assert re.search(r"facenet: Dee, Dee/\d.png: two people: ", said.err)
    assert "left out 4 doubtful photographs" in said.err


def test_photographs_of_one_person_need_no_folder(gallery, tmp_path):
    draw(tmp_path / "dee" / "1.png", STRANGER)
    assert facenet("enroll", gallery, tmp_path / "dee", "--name", "Dee", *DOUBTFUL) == 0
    assert facenet("identify", gallery, draw(tmp_path / "x.png", STRANGER + 1), *THRESHOLD) == 0
    assert Gallery.load(gallery).people == (*BLUE, "Dee")


def test_photographs_without_a_name_are_refused(gallery, tmp_path, capsys):
    draw(tmp_path / "dee" / "1.png", STRANGER)
    assert facenet("enroll", gallery, tmp_path / "dee") == 1
    assert "in a folder named after the person, or --name" in capsys.readouterr().err


def test_two_folders_of_one_name_are_refused(gallery, tmp_path, capsys):
    for name in ("Zo\u00eb", "Zoe\u0308"):
        draw(tmp_path / "more" / name / "0.png", 60)
    assert facenet("enroll", gallery, tmp_path / "more") == 1
    told = one_line(capsys.readouterr())
    assert "Zoë: expected one folder of this name, found 'Zoe\\u0308' and 'Zo\\xeb'" in told


def test_what_was_enrolled_is_passed_over(gallery, people, capsys):
    draw(people / "Ann" / "9.png", BLUE["Ann"] + 9)
    assert facenet("enroll", gallery, people, *DOUBTFUL) == 0
    assert "enrolled 1 photograph of 1 person, 9 were there already" in capsys.readouterr().out
    assert len(Gallery.load(gallery).names) == 10


def test_another_photograph_of_one_name_is_enrolled_too(gallery, tmp_path):
    draw(tmp_path / "others" / "Ann" / "0.png", BLUE["Ann"] + 30)
    for _ in range(2):
        assert facenet("enroll", gallery, tmp_path / "others", *DOUBTFUL) == 0
    sources = Gallery.load(gallery).sources
    assert sources.count("Ann/0.png") == sources.count("Ann/0.png (2)") == 1


@pytest.mark.parametrize("batches", range(5))
def test_a_call_that_is_stopped_goes_on(embedders, people, tmp_path, monkeypatch, capsys, batches):
    monkeypatch.setattr(embedding_cache, "_BATCH", 2)
    words = ["enroll", tmp_path / "people.npz", people, "--model", "colours", *SQUARE, *DOUBTFUL]
    original = ColourEmbedder.embed

    def embed(self, paths, batch_size=64):
        if len(self.embedded) >= 4 + 2 * batches:  # the fingerprint's four are not faces
            raise KeyboardInterrupt
        return original(self, paths)

    monkeypatch.setattr(ColourEmbedder, "embed", embed)
    assert facenet(*words) == 1
    assert "where the same command finds it" in capsys.readouterr().err
    assert not (tmp_path / "people.npz").exists()
    monkeypatch.setattr(ColourEmbedder, "embed", original)
    assert facenet(*words) == 0
    assert len(embedders[-1].embedded) == 4 + 9 - 2 * batches
    assert len(Gallery.load(tmp_path / "people.npz").names) == 9
    assert not list((tmp_path / "cache" / "work").rglob("*"))


def test_two_calls_lose_nobody(gallery, tmp_path, monkeypatch):
    """Somebody is removed, and somebody else enrolled, while a call computes."""
    original = ColourEmbedder.embed

    def embed(self, paths, batch_size=64):
        if "crop" not in held and len(self.embedded) >= 4:
            held["crop"] = True
            with change_gallery(gallery) as changed:
                changed.remove("Bea")
                changed.enroll("Eve", original(ColourEmbedder(), [tmp_path / "eve.png"]), ["1"])
        return original(self, paths)

    held: dict[str, bool] = {}
    draw(tmp_path / "eve.png", 60)
    draw(tmp_path / "more" / "Dee" / "1.png", STRANGER)
    monkeypatch.setattr(ColourEmbedder, "embed", embed)
    assert facenet("enroll", gallery, tmp_path / "more", *DOUBTFUL) == 0
    assert Gallery.load(gallery).people == ("Ann", "Cid", "Dee", "Eve")


def test_another_model_is_refused_by_name(gallery, people, tmp_path, capsys):
    for command in (["enroll", gallery, people], ["identify", gallery, people]):
        assert facenet(*command, "--model", "turned") == 1
        assert "of the model colours, found those of turned" in capsys.readouterr().err


def test_another_crop_than_the_gallerys_is_refused(gallery, people, capsys):
    assert facenet("enroll", gallery, people, "--crop", "similarity") == 1
    assert (
        "--crop: expected square, as GALLERY was made, found similarity" in capsys.readouterr().err
    )


def test_faces_that_are_cut_out_need_no_detector(embedders, tmp_path, capsys):
    for name, blue in BLUE.items():
        save(tmp_path / "faces" / name / "1.png", np.full((9, 9, 3), (255, 0, blue), np.uint8))
    out = tmp_path / "people.npz"
    words = ["enroll", out, tmp_path / "faces", "--model", "colours", "--aligned", *DOUBTFUL]
    assert facenet(*words) == 0
    face = tmp_path / "faces" / "Ann" / "1.png"
    assert facenet("identify", out, face, "--aligned", *THRESHOLD) == 0
    assert "1 named, 0 nobody's" in capsys.readouterr().out


def test_a_person_is_forgotten_wholly(gallery, people, capsys):
    row = Gallery.load(gallery).embeddings[Gallery.load(gallery).names.index("Bea")]
    assert facenet("gallery", gallery, "--remove", "Bea") == 0
    with zipfile.ZipFile(gallery) as archive:
        left = b"".join(archive.read(name) for name in archive.namelist())
    assert b"Bea" not in left and row.tobytes() not in left
    assert "forgot Bea and 3 embeddings" in capsys.readouterr().out
    assert facenet("gallery", gallery, "--remove", "Bea") == 1
    assert "nobody is called 'Bea' here" in one_line(capsys.readouterr())


def test_a_gallery_is_listed(gallery, capsys):
    assert facenet("gallery", gallery) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[1:4]] == [[name, "3"] for name in BLUE]
    assert lines[4] == "3 people, 9 photographs; model colours; threshold none chosen"


@pytest.fixture
def larger(gallery, tmp_path):
    """With seven more people, who are strangers enough to each other."""
    for number, blue in enumerate((30, 50, 75, 95, 150, 200, 220)):
        for photograph in range(2):
            draw(tmp_path / "larger" / f"P{number}" / f"{photograph}.png", blue + photograph)
    assert facenet("enroll", gallery, tmp_path / "larger", *DOUBTFUL) == 0
    return gallery


def test_a_threshold_is_chosen_and_used(larger, people, tmp_path, capsys):
    assert facenet("gallery", larger, "--false-positive-rate", 0.4, "--by", "mean") == 0
    chosen = Gallery.load(larger).threshold
    assert (chosen.false_positive_rate, chosen.people, chosen.by) == (0.4, 9, "mean")
    capsys.readouterr()
    assert facenet("identify", larger, people) == 0
    said = capsys.readouterr()
    assert f"threshold {chosen.distance:.3f}" in said.out and "warning" not in said.err
    assert facenet("identify", larger, people, "--by", "nearest") == 1
    assert "--by: expected mean, for which the threshold was chosen" in capsys.readouterr().err
    assert facenet("identify", larger, people, "--by", "nearest", *THRESHOLD) == 0
    draw(tmp_path / "dee" / "Dee" / "1.png", STRANGER)
    assert facenet("enroll", larger, tmp_path / "dee", *DOUBTFUL) == 0
    assert facenet("identify", larger, people) == 0
    assert "chosen for 9 people; among 11" in capsys.readouterr().err


def test_too_few_strangers_are_told(gallery, capsys):
    assert facenet("gallery", gallery, "--false-positive-rate", 0.001) == 1
    assert "at least 3000 strangers" in one_line(capsys.readouterr())
    assert Gallery.load(gallery).threshold is None


def test_strangers_may_be_shown(larger, tmp_path, capsys):
    for number in range(8):
        draw(tmp_path / "others" / f"{number}" / "1.png", BLUE["Bea"] + 4 + number)
    words = ["--strangers", tmp_path / "others", "--false-positive-rate", 0.4]
    assert facenet("gallery", larger, *words) == 0
    near = Gallery.load(larger).threshold
    assert "(8 strangers;" in capsys.readouterr().out
    assert facenet("gallery", larger, "--false-positive-rate", 0.4) == 0
    assert near.distance < Gallery.load(larger).threshold.distance
    draw(tmp_path / "others" / "Bea" / "1.png", BLUE["Bea"])
    assert facenet("gallery", larger, *words) == 1
    assert "expected strangers, found people of" in capsys.readouterr().err


def test_a_threshold_for_pairs_is_used_with_a_warning(gallery, people, embedders, capsys):
    assert facenet("identify", gallery, people) == 0
    assert "0.100 is the model's threshold for pairs" in capsys.readouterr().err


def test_an_album_is_sorted_by_who_is_in_it(embedders, tmp_path, capsys):
    album, out = tmp_path / "album", tmp_path / "sorted"
    for number in range(4):
        draw(album / f"{number}.png", BLUE["Ann"] + number, BLUE["Cid"] + number)
    draw(album / "who.png", STRANGER)
    words = ["cluster", album, out, "--model", "colours", *SQUARE, *THRESHOLD]
    assert facenet(*words) == 0
    with (out / "people.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    by_person = {}
    for row in rows:
        by_person.setdefault(row["person"], []).append(row["photograph"])
        assert (out / row["face"]).is_file()
    assert sorted(map(len, by_person.values())) == [1, 4, 4]
    assert by_person["alone"] == ["who.png"]
    assert "9 faces, 2 people; 1 alone" in capsys.readouterr().out
    assert facenet(*words) == 1
    assert "already there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["gallery", "nowhere.npz"], "nowhere.npz: expected a gallery that 'facenet enroll' wrote"),
        (["identify", "nowhere.npz", "x.png"], "nowhere.npz: expected a gallery"),
        (["enroll", "new.npz", "nowhere", "--model", "m"], "nowhere: expected a folder of photo"),
        (["enroll", "new.npz", "album"], "--model: expected one for a new gallery"),
        (["enroll", "none/new.npz", "nowhere", "--model", "m"], "a file in a folder that exists"),
        (
            ["cluster", "nowhere", "out", "--model", "m"],
            "nowhere: expected a folder of photographs",
        ),
    ],
)
def test_what_is_not_there_is_told_in_one_line(
    embedders, tmp_path, monkeypatch, capsys, words, told
):
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "album" / "Ann" / "1.png", BLUE["Ann"])
    assert facenet(*words) == 1
    assert told in capsys.readouterr().err


def test_an_album_without_faces_is_told(gallery, tmp_path, capsys):
    draw(tmp_path / "album" / "empty.png")
    assert facenet("identify", gallery, tmp_path / "album", *THRESHOLD) == 0
    assert "1 photograph, 0 faces: 0 named" in capsys.readouterr().out
    assert facenet("cluster", tmp_path / "album", tmp_path / "out", "--model", "colours") == 1
    assert "no face was found" in capsys.readouterr().err


def test_one_person_has_no_strangers(embedders, tmp_path, capsys):
    draw(tmp_path / "ann" / "Ann" / "1.png", BLUE["Ann"])
    out = tmp_path / "people.npz"
    words = ["enroll", out, tmp_path / "ann", "--model", "colours", *SQUARE, *DOUBTFUL]
    assert facenet(*words) == 0
    capsys.readouterr()
    assert facenet("gallery", out, "--false-positive-rate", 0.5) == 1
    assert "no strangers of its own" in one_line(capsys.readouterr())


def test_one_photograph_is_one_however_it_is_named(gallery, tmp_path, monkeypatch, capsys):
    draw(tmp_path / "a" / "c" / "x.png", BLUE["Ann"])
    (tmp_path / "a" / "b").mkdir()
    monkeypatch.chdir(tmp_path / "a" / "b")
    words = ["../c/x.png", tmp_path / "a" / "c" / "x.png", "../../a/c"]
    assert facenet("identify", gallery, *words, *THRESHOLD) == 0
    assert "1 photograph, 1 face: 1 named" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("paths", "folder"),
    [
        ([PurePosixPath("/a/b/1.jpg")], "/a/b"),
        ([PurePosixPath("/a/b/1.jpg"), PurePosixPath("/a/bc/2.jpg")], "/a"),
        ([PureWindowsPath("C:/a/1.jpg"), PureWindowsPath("c:/A/b/2.jpg")], "C:/a"),
    ],
)
def test_photographs_are_named_from_their_common_folder(paths, folder):
    assert recognition._common_folder(paths) == type(paths[0])(folder)


def test_photographs_of_several_drives_are_refused():
    paths = [PureWindowsPath("D:/a/1.jpg"), PureWindowsPath("C:/a/1.jpg")]
    with pytest.raises(
        FacenetError, match="photographs of one drive in a call, found some of C:, D:"
    ):
        recognition._common_folder(paths)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes every name")
def test_a_name_that_no_table_can_hold_is_told(gallery, tmp_path, capsys):
    draw(tmp_path / "a.png", BLUE["Ann"]).rename(tmp_path / "a\nb.png")
    assert facenet("identify", gallery, tmp_path / "a\nb.png", *THRESHOLD) == 1
    assert "names that no table can hold" in one_line(capsys.readouterr())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["identify", "GALLERY", "people", "--threshold", "nan"],
            "--threshold: distance: expected",
        ),
        (
            ["cluster", "people", "out", "--model", "m", "--at-least", "1"],
            "--at-least: expected an integer",
        ),
        (["cluster", "people", "out", "--model", "m", "--threshold", "-1"], "threshold: expected"),
        (
            ["cluster", "people", "people/out", "--model", "m"],
            "expected a folder outside of people",
        ),
        (["gallery", "GALLERY", "--false-positive-rate", "0"], "rate: expected a number in (0, 1)"),
    ],
)
def test_what_cannot_be_is_told_before_the_work(gallery, people, monkeypatch, capsys, words, told):
    monkeypatch.chdir(people.parent)
    assert facenet(*(gallery if word == "GALLERY" else word for word in words)) == 1
    assert told in one_line(capsys.readouterr())


@pytest.mark.parametrize("method", ["dbscan", "agglomerative"])
def test_a_method_that_needs_a_threshold_says_so(people, tmp_path, capsys, method):
    with pytest.raises(SystemExit):
        facenet("cluster", people, tmp_path / "out", "--model", "m", "--method", method)
    assert f"--method {method}: needs --threshold" in capsys.readouterr().err


def test_a_gallery_of_cut_out_faces_takes_no_photographs(embedders, people, tmp_path, capsys):
    save(tmp_path / "faces" / "Ann" / "1.png", np.full((9, 9, 3), (255, 0, 10), np.uint8))
    out = tmp_path / "people.npz"
    words = ["enroll", out, tmp_path / "faces", "--model", "colours", "--aligned", *DOUBTFUL]
    assert facenet(*words) == 0
    assert facenet("enroll", out, people, *SQUARE) == 1
    assert "and name --aligned" in capsys.readouterr().err
