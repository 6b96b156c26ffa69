"""Folders of drawn faces: whole, the same from any number of workers, and taken up again."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

import facenet_lib
from facenet_lib.drawn_faces import DrawnFaces, write_faces
from facenet_lib.errors import FacenetError
from facenet_lib.lfw_pairs import read_pairs, read_people, resolve_pairs

LIBRARY = Path(facenet_lib.__file__).parent
DATASET = {"identities": 23, "images_per_identity": 3, "seed": 9, "size": 64}


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> DrawnFaces:
    root = tmp_path_factory.mktemp("faces") / "new" / "folder"
    return write_faces(root, **DATASET, workers=1, progress=False)


def test_a_dataset_has_the_layout_of_lfw(drawn: DrawnFaces) -> None:
    assert drawn.images == drawn.images_drawn == 23 * 3
    assert len(drawn.test_names) == 20
    assert len(drawn.train_names) == 3
    assert not set(drawn.test_names) & set(drawn.train_names)
    for name in (*drawn.test_names, *drawn.train_names):
        files = sorted(path.name for path in (drawn.root / name).iterdir())
        assert files == [f"{name}_{number:04d}.jpg" for number in (1, 2, 3)]
        with Image.open(drawn.root / name / files[0]) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (64, 64))
    (train,) = read_people(drawn.root / "peopleDevTrain.txt")
    assert train == dict.fromkeys(drawn.train_names, 3)


def test_folds_share_no_one_and_pairs_keep_to_their_fold(
    drawn: DrawnFaces,
) -> None:
    folds = read_people(drawn.root / "people.txt")
    assert len(folds) == 10
    people = [name for fold in folds for name in fold]
    assert sorted(people) == list(drawn.test_names)
    assert all(count == 3 for fold in folds for count in fold.values())
    pairs = read_pairs(drawn.root / "pairs.txt")
    assert pairs.folds == 10
    assert len(pairs) == drawn.pairs == 10 * 2 * 6  # two people with three images: 2 * 3 same pairs
    assert len(set(pairs)) == len(pairs)
    for pair, fold in zip(pairs, pairs.fold_ids(), strict=True):
        assert {pair.name1, pair.name2} <= set(folds[fold])
    paths, issame = resolve_pairs(drawn.root, pairs)
    assert len(paths) == 2 * len(pairs)
    assert all(issame[pairs.fold_ids() == fold].mean() == 0.5 for fold in range(10))


@pytest.mark.slow
def test_the_bytes_depend_neither_on_the_workers_nor_on_the_number_of_people(
    drawn: DrawnFaces, tmp_path: Path
) -> None:
    write_faces(tmp_path / "two", **DATASET, workers=2, progress=False)
    assert contents(tmp_path / "two") == contents(drawn.root)
    more = {**DATASET, "identities": 22, "images_per_identity": 2}
    fewer = write_faces(tmp_path / "fewer", **more, workers=1, progress=False)
    for path in fewer.root.rglob("*.jpg"):
        assert path.read_bytes() == (drawn.root / path.relative_to(fewer.root)).read_bytes()


@pytest.mark.slow
def test_an_interrupted_call_is_finished_by_the_next(
    drawn: DrawnFaces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = []
    save = Image.Image.save

    def save_until_interrupted(image: Image.Image, *args: object, **options: object) -> None:
        if len(saved) == 10:
            raise KeyboardInterrupt
        saved.append(image)
        save(image, *args, **options)

    monkeypatch.setattr(Image.Image, "save", save_until_interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_faces(tmp_path, **DATASET, workers=1, progress=False)
    monkeypatch.undo()
    assert len(list(tmp_path.rglob("*.jpg"))) == 10
    assert not (tmp_path / "pairs.txt").exists()
    (tmp_path / ".half.jpg.99.part").write_bytes(b"left by a call that was killed")
    again = write_faces(tmp_path, **DATASET, workers=1, progress=False)
    assert again.images_drawn == drawn.images - 10
    assert contents(tmp_path) == contents(drawn.root)
    assert write_faces(tmp_path, **DATASET, progress=False).images_drawn == 0


LONGEST = 300  # seconds: only so that a fault ends; a busy machine may take its time
PROGRAM = f"""
from facenet_lib.drawn_faces import write_faces
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a caller may ignore Ctrl-C
write_faces(sys.argv[1], **{DATASET!r}, workers=2, progress=False)
"""


@pytest.fixture
def drawing(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A program with two workers that has drawn its first picture into ``tmp_path / "faces"``."""
    command = [sys.executable, "-c", PROGRAM, tmp_path / "faces"]
    with subprocess.Popen(
        command, start_new_session=True, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_until(lambda: any((tmp_path / "faces").rglob("*.jpg")) or process.poll() is not None)
        assert process.poll() is None
        yield process


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def session_has_ended(leader: int) -> bool:
    """Whether no process of the group that ``leader`` began is there any more."""
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system cannot kill a process")
def test_a_killed_call_leaves_whole_files_and_no_process(
    drawn: DrawnFaces, drawing: subprocess.Popen[str], tmp_path: Path
) -> None:
    drawing.kill()
    drawing.wait()
    wait_until(lambda: session_has_ended(drawing.pid))
    expect_whole_files_that_a_later_call_completes(tmp_path / "faces", drawn)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="this system has no process groups")
def test_ctrl_c_leaves_whole_files_and_no_process(
    drawn: DrawnFaces, drawing: subprocess.Popen[str], tmp_path: Path
) -> None:
    os.killpg(drawing.pid, signal.SIGINT)  # as a terminal does: the workers hear it too
    _, errors = drawing.communicate()
    assert drawing.returncode == -signal.SIGINT
    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")
    wait_until(lambda: session_has_ended(drawing.pid))
    expect_whole_files_that_a_later_call_completes(tmp_path / "faces", drawn)


def expect_whole_files_that_a_later_call_completes(out: Path, drawn: DrawnFaces) -> None:
    whole = contents(drawn.root)
    for path in out.rglob("*.jpg"):
        assert path.read_bytes() == whole[str(path.relative_to(out))]
    write_faces(out, **DATASET, workers=1, progress=False)
    assert contents(out) == whole


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="this system has no such folder")
def test_what_stops_a_worker_is_told(tmp_path: Path, drawn: DrawnFaces) -> None:
    write_faces(tmp_path, **DATASET, workers=1, progress=False)
    folder = tmp_path / drawn.test_names[0]
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.symlink_to("/proc/self", target_is_directory=True)  # a folder that takes no file
    other = tmp_path / drawn.test_names[1] / f"{drawn.test_names[1]}_0001.jpg"
    other.unlink()  # two people are missing: two workers
    with pytest.raises(FacenetError, match=r"\.jpg.*: cannot be written"):
        write_faces(tmp_path, **DATASET, workers=2, progress=False)


HOSTILE = "raise SystemExit('a file of the current folder was loaded')"
AS_A_COMMAND = "{program}"
AS_A_NOTEBOOK = "import facenet_lib.drawn_faces, sys; sys.path.insert(0, '')\n{program}"


@pytest.mark.slow
@pytest.mark.parametrize("start", [AS_A_COMMAND, AS_A_NOTEBOOK], ids=["command", "notebook"])
def test_nothing_in_the_current_folder_is_loaded(
    drawn: DrawnFaces, tmp_path: Path, start: str
) -> None:
    here = tmp_path / "here"
    (here / "facenet_lib").mkdir(parents=True)
    for name in ("json.py", "signal.py", "joblib.py", "facenet_lib/__init__.py"):
        (here / name).write_text(HOSTILE)
    script = tmp_path / "script.py"
    script.write_text(start.format(program=PROGRAM))
    environment = {**os.environ, "PYTHONPATH": str(LIBRARY.parent)}
    command = [sys.executable, script, tmp_path / "faces"]
    subprocess.run(command, cwd=here, env=environment, check=True)
    assert contents(tmp_path / "faces") == contents(drawn.root)


@pytest.mark.slow
def test_workers_run_the_library_that_their_caller_runs(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(LIBRARY, checkout / "facenet_lib")
    module = checkout / "facenet_lib" / "drawn_faces" / "folders.py"
    module.write_text(module.read_text().replace('encoded, "JPEG"', 'encoded, "PNG"'))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    # Its own folder is the current one, which a program given with -c has on its path.
    command = [sys.executable, "-c", PROGRAM, tmp_path / "faces"]
    subprocess.run(command, cwd=checkout, env=environment, check=True)
    pictures = list((tmp_path / "faces").rglob("*.jpg"))
    assert len(pictures) == 23 * 3
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)


@pytest.mark.slow
def test_the_surroundings_are_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    before = list(sys.path), dict(os.environ)
    write_faces(tmp_path, **DATASET, workers=1, progress=False)
    assert (list(sys.path), dict(os.environ)) == before


def test_other_arguments_do_not_touch_a_folder_drawn_before(
    drawn: DrawnFaces,
) -> None:
    before = contents(drawn.root)
    other = {**DATASET, "seed": 10, "size": 65}
    with pytest.raises(FacenetError) as caught:
        write_faces(drawn.root, **other, progress=False)
    assert "seed: expected 10, found 9" in str(caught.value)
    assert "size: expected 65, found 64" in str(caught.value)
    assert contents(drawn.root) == before


def test_a_folder_with_strangers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(FacenetError, match=r"empty folder.*'holiday.jpg'"):
        write_faces(tmp_path, **DATASET, progress=False)
    assert contents(tmp_path) == {"holiday.jpg": b"mine"}


@pytest.mark.parametrize("settings", ["{", "[1]", "{}"])
def test_damaged_settings_are_named(tmp_path: Path, settings: str) -> None:
    (tmp_path / "drawn_faces.json").write_text(settings)
    with pytest.raises(FacenetError, match=re.escape(str(tmp_path))):
        write_faces(tmp_path, **DATASET, progress=False)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "faces").write_bytes(b"")
    with pytest.raises(FacenetError, match="faces: cannot be written"):
        write_faces(tmp_path / "faces", **DATASET, progress=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"identities": 20}, "identities .*: expected an integer of at least 21"),
        ({"identities": 2.5}, "identities"),
        (
            {"images_per_identity": 1},
            "images per identity: expected an integer from 2 to 9999, found 1",
        ),
        ({"images_per_identity": 10_000}, "images per identity"),
        ({"seed": -1}, "seed"),
        ({"size": 63}, "size"),
        ({"test_identities": 19}, "test identities: expected an integer from 20 to 22, found 19"),
        ({"test_identities": 23}, "test identities"),
        ({"pairs_per_fold": 0}, "pairs per fold .*: expected an integer from 1 to 6"),
        ({"pairs_per_fold": 7}, "pairs per fold"),
        ({"workers": 0}, "workers"),
    ],
)
def test_impossible_arguments_are_refused_before_anything_is_written(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(FacenetError, match=message):
        write_faces(tmp_path / "faces", **{**DATASET, **change}, progress=False)
    assert not (tmp_path / "faces").exists()


def test_all_wrong_arguments_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(FacenetError, match=r"2 problems(.|\n)*identities(.|\n)*size"):
        write_faces(tmp_path / "faces", 3, 5, size=10)
