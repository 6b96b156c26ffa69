"""``facenet align``: from photographs to a folder that training takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up_detectors import contents, draw_rectangles, make_rectangle_detector, save
from running_commands import one_line

from facenet_lib.alignment.choosing import RULES
from facenet_lib.alignment.crops import CROPS
from facenet_lib.alignment.manifest import read_manifest
from facenet_lib.cli import alignment, main

MIDDLE, BYSTANDER = (40, 30, 70, 66), (2, 4, 42, 48)


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(alignment, "detector_maker", lambda *how: make_rectangle_detector)
    root = tmp_path / "album"
    save(root / "Ann" / "1.png", draw_rectangles(110, 100, MIDDLE))
    save(root / "Ann" / "2.png", draw_rectangles(110, 100, BYSTANDER, MIDDLE))
    save(root / "Bob" / "1.png", draw_rectangles(110, 100))
    return root


def align(*words: object) -> int:
    return main(["align", *map(str, words)])


def test_what_was_found_is_told(album, tmp_path, capsys):
    (album / "Bob" / "2.jpg").write_bytes(b"")
    (album / "notes.txt").write_bytes(b"")
    assert align(album, tmp_path / "out") == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        f"{tmp_path / 'out'}: 4 photographs, 0 of them done before; 1 without a face, 1 with one, "
        "1 with several, 1 unusable; 2 crops",
        f"{tmp_path / 'out' / 'faces.csv'}: every face, and why a photograph has no crop",
    ]
    assert "facenet: left out 1 other file, such as notes.txt" in captured.err
    assert align(album, tmp_path / "out") == 0
    assert "4 photographs, 3 of them done before" in capsys.readouterr().out


def test_every_option_arrives(album, tmp_path):
    words = ["--size", 24, "--margin", 0.3, "--rule", "all", "--crop", "square", "--workers", 1]
    assert align(album, tmp_path / "out", *words, "--longest-side", 2000) == 0
    settings = read_manifest(tmp_path / "out" / "faces.csv")[0].settings
    assert (settings.size, settings.margin, settings.rule) == (24, 0.3, "all")
    assert (settings.crop_kind, settings.detection) == ("square", "longest side 2000")


def test_crops_of_another_size_need_no_detector(album, tmp_path, monkeypatch):
    assert align(album, tmp_path / "out", "--rule", "all", "--crop", "square") == 0
    monkeypatch.undo()
    manifest = tmp_path / "out" / "faces.csv"
    assert align(album, tmp_path / "small", "--from-manifest", manifest, "--size", 20) == 0
    settings = read_manifest(tmp_path / "small" / "faces.csv")[0].settings
    assert (settings.size, settings.rule, settings.crop_kind) == (20, "all", "square")


def test_shards_are_made_one(album, tmp_path, capsys):
    for part in ("1/2", "2/2"):
        assert align(album, tmp_path / "out", "--shard", part) == 0
        assert "without --shard" in capsys.readouterr().out
    assert align(album, tmp_path / "out") == 0
    assert align(album, tmp_path / "whole") == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    "words",
    [
        ["--shard", "3/2"],
        ["--shard", "0/2"],
        ["--shard", "2"],
        ["--rule", "first"],
        ["--crop", "round"],
        ["--from-manifest", "faces.csv", "--turn"],
        ["--from-manifest", "faces.csv", "--detector", "yunet"],
    ],
    ids=str,
)
def test_wrong_usage_is_told(album, tmp_path, capsys, words):
    with pytest.raises(SystemExit) as leaving:
        align(album, tmp_path / "out", *words)
    assert leaving.value.code == 2
    assert "usage: facenet align" in capsys.readouterr().err


def test_failures_are_one_line(album, tmp_path, capsys):
    assert align(tmp_path / "nowhere", tmp_path / "out") == 1
    assert "expected a folder of photographs" in one_line(capsys.readouterr())
    assert align(album, album) == 1
    assert "expected a folder outside of" in one_line(capsys.readouterr())


def test_another_detector_is_refused(tmp_path, capsys):
    assert align(tmp_path, tmp_path / "out", "--detector", "haar") == 1
    told = "expected mtcnn, yunet or the path of YuNet's .onnx file, found 'haar'"
    assert told in one_line(capsys.readouterr())


def test_a_file_that_a_detector_s_name_hides_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mtcnn").write_bytes(b"")
    made = alignment.detector_maker("mtcnn", 1000, False)
    assert made.args[:2] == ("mtcnn", None)
    told = "mtcnn: taken for the detector of that name; what is here is named ./mtcnn\n"
    assert capsys.readouterr().err == told
    made = alignment.detector_maker("./mtcnn", 1000, False)
    assert made.args[:2] == ("yunet", tmp_path / "mtcnn")
    assert capsys.readouterr().err == ""


def test_the_help_has_all_choices_and_the_licences(capsys):
    with pytest.raises(SystemExit):
        align("--help")
    shown = " ".join(capsys.readouterr().out.split())
    assert "{" + ",".join(RULES) + "}" in shown
    assert "{" + ",".join(CROPS) + "}" in shown
    assert "calls them research-only" in shown
