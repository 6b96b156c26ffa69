"""Whole albums: every photograph accounted for, taken up again, by any number of workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from made_up_detectors import (
    RectangleDetector,
    contents,
    draw_rectangles,
    make_rectangle_detector,
    save,
)

from facenet_lib.alignment.crops import crop_face
from facenet_lib.alignment.faces import FaceDetector
from facenet_lib.alignment.folders import Alignment, align_photographs, crop_again
from facenet_lib.alignment.manifest import FaceRow, read_manifest
from facenet_lib.datasets import read_faces
from facenet_lib.errors import FacenetError
from facenet_lib.lfw_pairs import read_pairs, resolve_pairs

TESTS = Path(__file__).parents[1]
MIDDLE, BYSTANDER = (40, 30, 70, 66), (2, 4, 42, 48)  # the bystander is the larger

PHOTOGRAPHS = {
    "Ann/Ann_0001.png": [MIDDLE],
    "Ann/Ann_0002.bmp": [BYSTANDER, MIDDLE],
    "Bob/Bob_0001.png": [MIDDLE, BYSTANDER],
    "Bob/Bob_0002.png": [],
}


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Folders of two people, of whom one photograph shows nobody, and one is damaged."""
    root = tmp_path / "album"
    for seed, (name, boxes) in enumerate(PHOTOGRAPHS.items()):
        save(root / name, draw_rectangles(110, 100, *boxes, seed=seed))
    (root / "Bob" / "Bob_0003.jpg").write_bytes(b"\xff\xd8\xff cut")
    (root / "notes.txt").write_text("mine")
    (root / "pairs.txt").write_text("1\t1\nAnn\t1\t2\nAnn\t1\tBob\t1\n")
    return root


def align(photographs: Path, out: Path, **changes: object) -> Alignment:
    arguments = {"make_detector": make_rectangle_detector, "size": 32, "progress": False}
    return align_photographs(photographs, out, **{**arguments, **changes})  # type: ignore[arg-type]


def no_detector() -> FaceDetector:
    raise AssertionError("nothing is to be detected")


def rows(out: Path) -> dict[str, list[FaceRow]]:
    found: dict[str, list[FaceRow]] = {}
    for row in read_manifest(out / "faces.csv"):
        found.setdefault(row.source, []).append(row)
    return found


def read(path: Path) -> np.ndarray:
    with PIL.Image.open(path) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
        return np.array(picture)


# What is written


def test_every_photograph_has_its_row_and_every_crop_its_place(album: Path, tmp_path: Path) -> None:
    done = align(album, tmp_path / "out")
    assert done == Alignment(
        out=tmp_path / "out",
        manifest=tmp_path / "out" / "faces.csv",
        photographs=5,
        without_face=1,
        with_one_face=1,
        with_several_faces=2,
        unusable=1,
        crops=3,
        done_before=0,
        left_out=("notes.txt",),
    )
    assert sorted(contents(done.out)) == [
        *("Ann/Ann_0001.png", "Ann/Ann_0002.png", "Bob/Bob_0001.png", "faces.csv", "pairs.txt")
    ]
    found = {name: [row.status for row in each] for name, each in rows(done.out).items()}
    assert found == {
        "Ann/Ann_0001.png": ["aligned"],
        "Ann/Ann_0002.bmp": ["not chosen", "aligned"],
        "Bob/Bob_0001.png": ["aligned", "not chosen"],
        "Bob/Bob_0002.png": ["no face"],
        "Bob/Bob_0003.jpg": ["unusable"],
    }
    (damaged,) = rows(done.out)["Bob/Bob_0003.jpg"]
    assert damaged.reason.startswith("expected JPEG, PNG,")
    assert damaged.source_bytes == 7


def test_training_and_evaluation_take_the_folder_as_it_is(album: Path, tmp_path: Path) -> None:
    out = align(album, tmp_path / "out").out
    assert {name: len(images) for name, images in read_faces(out).items()} == {"Ann": 2, "Bob": 1}
    paths, issame = resolve_pairs(out, read_pairs(out / "pairs.txt"))
    assert len(paths) == 4
    assert issame.tolist() == [True, False]


@pytest.mark.parametrize("crop", ["reference", "square", "similarity"])
@pytest.mark.parametrize("margin", [None, 0.5])
def test_a_crop_is_that_of_the_chosen_face(
    album: Path, tmp_path: Path, crop: str, margin: float | None
) -> None:
    out = align(album, tmp_path / "out", crop=crop, margin=margin).out
    for name, boxes in PHOTOGRAPHS.items():
        if MIDDLE in boxes:
            with PIL.Image.open(album / name) as picture:
                image = np.array(picture)
            number = boxes.index(MIDDLE)
            face = RectangleDetector().detect([image])[0][number]
            expected = crop_face(image, face, crop, 32, margin)
            assert np.array_equal(read((out / name).with_suffix(".png")), expected)
            row = rows(out)[name][number]
            assert (row.box, row.score) == (face.box, face.score)
            assert row.settings.crop_kind == crop


def test_by_the_rule_all_crops_are_numbered(album: Path, tmp_path: Path) -> None:
    done = align(album, tmp_path / "out", rule="all")
    names = ["Ann/Ann_0001_0", "Ann/Ann_0002_0", "Ann/Ann_0002_1", "Bob/Bob_0001_0"]
    names = [f"{name}.png" for name in [*names, "Bob/Bob_0001_1"]]
    assert [row.crop for each in rows(done.out).values() for row in each if row.crop] == names
    assert done.crops == 5
    assert set(names) < set(contents(done.out))


def test_by_the_rule_one_several_faces_are_told(album: Path, tmp_path: Path) -> None:
    done = align(album, tmp_path / "out", rule="one")
    assert (done.crops, done.with_several_faces) == (1, 2)
    several = rows(done.out)["Ann/Ann_0002.bmp"]
    assert [row.status for row in several] == ["several faces"] * 2
    assert several[0].reason == "expected one face, found 2"
    assert several[0].box is not None


def test_a_flat_album_gives_a_flat_folder(tmp_path: Path) -> None:
    album = tmp_path / "album"
    for number in range(3):
        save(album / f"{number}.png", draw_rectangles(90, 90, MIDDLE, seed=number))
    out = align(album, tmp_path / "out").out
    assert sorted(contents(out)) == ["0.png", "1.png", "2.png", "faces.csv"]


def test_a_face_that_cannot_be_cut_out_is_told(album: Path, tmp_path: Path) -> None:
    blind = lambda: RectangleDetector(landmarks=False)  # noqa: E731
    done = align(album, tmp_path / "out", crop="similarity", make_detector=blind, rule="all")
    assert (done.crops, done.with_one_face, done.with_several_faces) == (0, 1, 2)
    told = {row.reason for each in rows(done.out).values() for row in each if row.faces}
    assert told == {"crop: expected landmarks for a similarity transform, found none"}


# Names


def test_no_two_photographs_share_a_crop(tmp_path: Path) -> None:
    album, image = tmp_path / "album", draw_rectangles(90, 90, MIDDLE)
    names = ["a.bmp", "a.png", "a.png.png", "A.tif", "b.png", "b_0.png"]
    for name in names:
        save(album / name, image)
    for rule in ("centre", "all"):
        out = align(album, tmp_path / rule, rule=rule).out
        crops = [row.crop for each in rows(out).values() for row in each]
        assert len({crop.casefold() for crop in crops}) == len(names)
        assert set(crops) < set(contents(out))


def test_crops_keep_their_names_when_the_album_grows(tmp_path: Path) -> None:
    album, out = tmp_path / "album", tmp_path / "out"
    save(album / "b.png", draw_rectangles(90, 90, MIDDLE))
    align(album, out)
    save(album / "b.bmp", draw_rectangles(90, 90, BYSTANDER))
    done = align(album, out)
    assert (done.photographs, done.done_before) == (2, 1)
    assert [each[0].crop for each in rows(out).values()] == ["b.bmp.png", "b.png"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_name_in_another_unicode_form_is_the_same(tmp_path: Path, form: str) -> None:
    album, moved, out = (tmp_path / name for name in ("album", "moved", "out"))
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    image = draw_rectangles(90, 90, MIDDLE)
    save(album / unicodedata.normalize(form, "José/ä.png"), image)  # type: ignore[arg-type]
    save(moved / unicodedata.normalize(other, "José/ä.png"), image)  # type: ignore[arg-type]
    align(album, out)
    again = align(moved, out)
    assert (again.photographs, again.done_before, again.crops) == (1, 1, 1)
    cut = crop_again(moved, out / "faces.csv", tmp_path / "cut", size=24, progress=False)
    assert (cut.photographs, cut.crops, cut.left_out) == (1, 1, ())


# Going on


def test_the_same_call_does_what_is_missing(album: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    align(album, out)
    before = contents(out)
    assert align(album, out).done_before == 4  # all but the damaged one
    assert contents(out) == before
    (out / "Ann" / "Ann_0001.png").unlink()
    assert align(album, out).done_before == 3
    assert contents(out) == before


def test_a_damaged_photograph_is_tried_again(album: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    align(album, out)
    save(album / "Bob" / "Bob_0003.bmp", draw_rectangles(90, 90, MIDDLE)).rename(
        album / "Bob" / "Bob_0003.jpg"
    )
    assert align(album, out).crops == 4
    assert contents(out) == contents(align(album, tmp_path / "new").out)


def test_a_photograph_that_was_changed_is_done_again(album: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    align(album, out, rule="all")
    assert (out / "Ann" / "Ann_0002_1.png").exists()
    save(album / "Ann" / "Ann_0002.bmp", draw_rectangles(120, 100, MIDDLE))
    align(album, out, rule="all")
    assert not (out / "Ann" / "Ann_0002_1.png").exists()
    assert contents(out) == contents(align(album, tmp_path / "new", rule="all").out)


def test_what_was_found_is_kept_when_a_photograph_goes(album: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    align(album, out)
    before = contents(out)
    (album / "Ann" / "Ann_0001.png").unlink()
    assert align(album, out).photographs == 4
    assert contents(out) == before


def test_other_settings_are_refused_and_named(album: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    align(album, out, detection="minimum size 20")
    before = contents(out)
    other = {"rule": "largest", "crop": "square", "size": 40, "detection": "minimum size 40"}
    with pytest.raises(FacenetError) as caught:
        align(album, out, make_detector=lambda: RectangleDetector(version="2"), **other)
    for told in (
        f"{out} holds crops made otherwise",
        "rule: expected 'largest', found 'centre'",
        "crop_kind: expected 'square', found 'reference'",
        "size: expected 40, found 32",
        "margin: expected 0.125, found 32.0",
        "detector_version: expected '2', found '1'",
        "detection: expected 'minimum size 40', found 'minimum size 20'",
    ):
        assert told in str(caught.value)
    assert contents(out) == before


@pytest.mark.slow
def test_several_workers_write_what_one_does(album: Path, tmp_path: Path) -> None:
    several = align(album, tmp_path / "several", workers=2)
    assert contents(several.out) == contents(align(album, tmp_path / "one", workers=1).out)


def large_album(root: Path, photographs: int = 24) -> Path:
    for number in range(photographs):
        boxes = [MIDDLE, BYSTANDER][: number % 3]
        image = draw_rectangles(110, 100, *boxes, seed=number)
        save(root / f"person_{number % 4}" / f"{number:02d}.png", image)
    return root


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork a process")
@pytest.mark.slow
def test_killed_many_times_it_ends_with_the_same_files(tmp_path: Path) -> None:
    album, out = large_album(tmp_path / "album"), tmp_path / "out"
    command = [sys.executable, str(TESTS / "killed_alignment.py"), str(album), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LONGEST)
    noted = [int(line) for line in done.stdout.split()]
    assert noted == sorted(noted)
    assert 0 < max(noted) < 24  # the kills came while it worked
    assert contents(out) == contents(align(album, tmp_path / "new", rule="all", size=40).out)


LONGEST = 300  # seconds: only so that a fault ends
PROGRAM = """
import signal
import sys
from made_up_detectors import make_slow_detector
from facenet_lib.alignment import align_photographs
signal.signal(signal.SIGINT, signal.default_int_handler)  # a caller may ignore Ctrl-C
align_photographs(*sys.argv[1:], make_slow_detector, size=32, workers=2, progress=False)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="this system has no process groups")
@pytest.mark.parametrize("number", ["SIGKILL", "SIGINT"])
def test_stopped_with_its_workers_it_goes_on_later(tmp_path: Path, number: str) -> None:
    album, out = large_album(tmp_path / "album"), tmp_path / "out"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, album, out],
        start_new_session=True,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    ) as process:
        wait_until(lambda: noted(out) >= 4 or process.poll() is not None)
        assert process.poll() is None
        os.killpg(process.pid, signal.Signals[number])
        _, errors = process.communicate()
    assert process.returncode == -signal.Signals[number]
    assert errors.count("Traceback") == (number == "SIGINT")
    done = align(album, out)
    assert done.done_before >= 2  # of at most two faces each
    assert contents(out) == contents(align(album, tmp_path / "new").out)


def noted(out: Path) -> int:
    """Rows in the journal."""
    journal = out / "faces.journal"
    return journal.read_bytes().count(b"\n") - 1 if journal.exists() else 0


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_interrupted_call_keeps_what_is_done(album: Path, tmp_path: Path) -> None:
    detector = RectangleDetector()
    detect, calls = detector.detect, []

    def detect_until_interrupted(images: list[np.ndarray]) -> object:
        calls.append(images)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return detect(images)

    detector.detect = detect_until_interrupted  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        align(album, tmp_path / "out", make_detector=lambda: detector)
    assert noted(tmp_path / "out") == 3  # the second photograph has two faces
    assert align(album, tmp_path / "out").done_before == 2
    assert contents(tmp_path / "out") == contents(align(album, tmp_path / "new").out)


# Shards


def test_shards_do_what_one_call_does(tmp_path: Path) -> None:
    album, out = large_album(tmp_path / "album", 12), tmp_path / "out"
    parts = [align(album, out, shard=(number, 3)) for number in (2, 3)]
    assert all(part.photographs for part in parts)
    apart = align(album, tmp_path / "apart", shard=(1, 3))
    assert sum(part.photographs for part in (*parts, apart)) == 12
    for path in apart.out.rglob("*.*"):  # from another machine
        (out / path.relative_to(apart.out)).parent.mkdir(exist_ok=True)
        path.rename(out / path.relative_to(apart.out))
    assert align(album, out, make_detector=make_rectangle_detector).done_before == 12
    assert contents(out) == contents(align(album, tmp_path / "whole").out)


# From a manifest


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 24},
        {"margin": 4.0},
        {"crop": "similarity"},
        {"rule": "largest"},
        {"rule": "all", "crop": "square", "margin": 0.3},
    ],
    ids=str,
)
def test_crops_are_made_again_without_detecting(
    album: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    align(album, tmp_path / "out")
    manifest = tmp_path / "out" / "faces.csv"
    again = crop_again(album, manifest, tmp_path / "again", progress=False, **changes)  # type: ignore[arg-type]
    anew = align(album, tmp_path / "anew", **changes)
    assert (again.photographs, again.crops) == (anew.photographs, anew.crops)
    other = contents(anew.out)
    files = contents(again.out)
    assert files.pop("faces.csv") != b""
    assert other.pop("faces.csv") != b""
    assert files == other
    shown = [(row.source, row.status, row.box, row.crop) for row in read_manifest(again.manifest)]
    assert shown == [
        (row.source, row.status, row.box, row.crop) for row in read_manifest(anew.manifest)
    ]


def test_what_a_manifest_does_not_describe_is_told(album: Path, tmp_path: Path) -> None:
    align(album, tmp_path / "out")
    save(album / "Ann" / "Ann_0001.png", draw_rectangles(200, 200, MIDDLE))
    save(album / "Cem" / "new.png", draw_rectangles(90, 90, MIDDLE))
    (album / "Bob" / "Bob_0001.png").unlink()
    manifest = tmp_path / "out" / "faces.csv"
    again = crop_again(album, manifest, tmp_path / "again", progress=False)
    assert (again.photographs, again.unusable, again.crops) == (5, 3, 1)
    assert again.left_out == ("notes.txt", "Cem/new.png (not in the manifest)")
    reasons = {name: each[0].reason for name, each in rows(again.out).items()}
    assert "that the manifest describes, found" in reasons["Ann/Ann_0001.png"]
    assert "cannot be read: No such file" in reasons["Bob/Bob_0001.png"]
    assert "when faces were sought: " in reasons["Bob/Bob_0003.jpg"]
    assert crop_again(album, manifest, tmp_path / "again", progress=False).done_before == 2


def test_an_unusable_manifest_is_refused(album: Path, tmp_path: Path) -> None:
    align(album, tmp_path / "out")
    manifest = tmp_path / "out" / "faces.csv"
    header = manifest.read_text().split("\n")[0]
    manifest.write_text(header + "\n")
    with pytest.raises(FacenetError, match="expected rows, found none"):
        crop_again(album, manifest, tmp_path / "again")
    assert not (tmp_path / "again").exists()


# Bad input


def test_an_album_without_photographs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "album").mkdir()
    with pytest.raises(FacenetError, match="album: expected photographs, found an empty folder"):
        align(tmp_path / "album", tmp_path / "out", make_detector=no_detector)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("out", ["", "crops", "Ann"])
def test_crops_are_not_written_among_the_photographs(album: Path, out: str) -> None:
    before = contents(album)
    with pytest.raises(FacenetError, match="expected a folder outside of"):
        align(album, album / out, make_detector=no_detector)
    assert contents(album) == before


def test_a_folder_of_something_else_is_refused(album: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(FacenetError, match="expected a new or empty folder"):
        align(album, tmp_path / "out")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="this system has no such folder")
def test_a_folder_that_is_not_writable_is_told(album: Path, tmp_path: Path) -> None:
    with pytest.raises(FacenetError, match="cannot be written"):
        align(album, Path("/proc/self/out"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "Bob").symlink_to("/proc/self", target_is_directory=True)
    (tmp_path / "out" / "faces.journal").write_text("")
    with pytest.raises(FacenetError, match=r"Bob_0001\.png: cannot be written"):
        align(album, tmp_path / "out")
    assert noted(tmp_path / "out") == 3  # what came before is kept
    (tmp_path / "out" / "Bob").unlink()
    assert align(album, tmp_path / "out").done_before == 2
    assert contents(tmp_path / "out") == contents(align(album, tmp_path / "new").out)


@contextmanager
def full_disk(largest_file: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: the system refuses, as it does on a full disk."""
    resource = pytest.importorskip("resource", reason="this system has no such limit")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("largest_file", [100, 450, 700, 1200])
def test_a_full_disk_is_told_and_what_is_done_is_kept(
    album: Path, tmp_path: Path, largest_file: int
) -> None:
    out = tmp_path / "out"
    with full_disk(largest_file), pytest.raises(FacenetError, match=r"cannot be written: File too"):
        align(album, out, size=8)
    assert align(album, out, size=8).crops == 3
    assert contents(out) == contents(align(album, tmp_path / "new", size=8).out)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"rule": "first"}, "rule: expected 'centre'"),
        ({"crop": "round"}, "crop: expected 'reference'"),
        ({"size": 0}, "size: expected an integer from 1"),
        ({"margin": -1}, "margin: expected a number"),
        ({"shard": (0, 2)}, "shard: expected an integer from 1 to 2, found 0"),
        ({"shard": (3, 2)}, "shard: expected an integer from 1 to 2, found 3"),
        ({"shard": (1, 0)}, "number of shards: expected an integer of at least 1, found 0"),
        ({"workers": 0}, "workers: expected an integer of at least 1, found 0"),
    ],
)
def test_unusable_arguments_are_refused_before_anything_is_done(
    album: Path, tmp_path: Path, changes: dict[str, object], told: str
) -> None:
    with pytest.raises(FacenetError, match=told):
        align(album, tmp_path / "out", make_detector=no_detector, **changes)
    assert not (tmp_path / "out").exists()
