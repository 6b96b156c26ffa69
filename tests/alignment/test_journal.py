"""The journal: whatever moment a kill comes at, what was noted to its end is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from made_up_windows import needs_descriptors, needs_locks, windows_files

from facenet_lib.alignment.faces import Box
from facenet_lib.alignment.journal import AlignmentJournal, Shard
from facenet_lib.alignment.manifest import (
    AlignmentSettings,
    FaceRow,
    manifest_lines,
    read_manifest,
    write_manifest,
)
from facenet_lib.errors import FacenetError

SETTINGS = AlignmentSettings("all", "square", 160, 0.125, "rectangles", "1")


def rows_of(source: str, faces: int = 1, **changes: object) -> list[FaceRow]:
    rows = [
        FaceRow(
            source,
            9,
            "aligned",
            "",
            faces,
            Box(n, 0, 9, 9),
            None,
            0.9,
            f"{source}_{n}.png",
            SETTINGS,
        )
        for n in range(faces)
    ]
    return [replace(row, **changes) for row in rows]  # type: ignore[arg-type]


def everything(source: str) -> bool:
    return True


def finish(out: Path, *photographs: list[FaceRow], shard: Shard = Shard()) -> Path:  # noqa: B008
    with AlignmentJournal(out, shard) as journal:
        for rows in photographs:
            journal.add(rows)
        return journal.finish(everything)


ONE, TWO, THREE = rows_of("a.jpg"), rows_of("b.jpg", 2), rows_of("c.jpg", 3)


def test_rows_become_a_manifest_in_order_and_the_journal_goes(tmp_path: Path) -> None:
    manifest = finish(tmp_path / "new" / "out", TWO, ONE)
    assert manifest == tmp_path / "new" / "out" / "faces.csv"
    assert read_manifest(manifest) == [*ONE, *TWO]
    assert [path.name for path in manifest.parent.iterdir()] == ["faces.csv"]


@needs_descriptors
def test_the_journal_goes_where_open_files_stay(tmp_path: Path) -> None:
    with AlignmentJournal(tmp_path, Shard(1, 2)) as journal:
        journal.add(ONE)
    with windows_files():
        manifest = finish(tmp_path, TWO)
        assert list(tmp_path.iterdir()) == [manifest]
        with AlignmentJournal(tmp_path / "other"):
            pass
        assert list((tmp_path / "other").iterdir()) == []
    assert read_manifest(manifest) == [*ONE, *TWO]


def test_a_call_that_ended_early_is_taken_up(tmp_path: Path) -> None:
    with AlignmentJournal(tmp_path) as journal:
        journal.add(TWO)
    assert [path.name for path in tmp_path.iterdir()] == ["faces.journal"]
    with AlignmentJournal(tmp_path) as journal:
        assert journal.rows == {"b.jpg": TWO}
        journal.add(ONE)
        assert journal.rows == {"b.jpg": TWO, "a.jpg": ONE}
    assert read_manifest(finish(tmp_path, THREE)) == [*ONE, *TWO, *THREE]
    with AlignmentJournal(tmp_path) as journal:
        assert journal.rows == {"a.jpg": ONE, "b.jpg": TWO, "c.jpg": THREE}


def test_a_journal_cut_anywhere_has_whole_photographs_only(tmp_path: Path) -> None:
    text = manifest_lines([*TWO, *THREE], header=True).encode()
    after_two = len(manifest_lines(TWO, header=True).encode())
    for length in range(0, len(text) + 1, 7):
        (tmp_path / "faces.journal").write_bytes(text[:length])
        with AlignmentJournal(tmp_path) as journal:
            expected = {}
            if length >= after_two:
                expected["b.jpg"] = TWO
            if length >= len(text):
                expected["c.jpg"] = THREE
            assert journal.rows == expected
            journal.add(ONE)
        with AlignmentJournal(tmp_path) as journal:
            assert journal.rows == {**expected, "a.jpg": ONE}


def test_a_photograph_that_is_tried_again_has_its_last_rows(tmp_path: Path) -> None:
    failed = [replace(TWO[0], status="unusable", faces=0, box=None, score=None, crop="")]
    with AlignmentJournal(tmp_path) as journal:
        journal.add(failed)
        journal.add(ONE)
        journal.add(TWO)
    with AlignmentJournal(tmp_path) as journal:
        assert journal.rows == {"a.jpg": ONE, "b.jpg": TWO}
    assert read_manifest(finish(tmp_path)) == [*ONE, *TWO]


@needs_locks
def test_a_second_process_is_refused(tmp_path: Path) -> None:
    with AlignmentJournal(tmp_path):
        for shard in (Shard(), Shard(1, 2)):
            told = "another process is aligning photographs here"
            with pytest.raises(FacenetError, match=told), AlignmentJournal(tmp_path, shard):
                pass
    with AlignmentJournal(tmp_path / "other"), AlignmentJournal(tmp_path):
        pass


@needs_locks
def test_shards_work_beside_each_other_and_the_whole_takes_them_in(tmp_path: Path) -> None:
    with (
        AlignmentJournal(tmp_path, Shard(1, 2)) as first,
        AlignmentJournal(tmp_path, Shard(2, 2)) as second,
    ):
        first.add(ONE)
        second.add(TWO)
        told = "another process is aligning photographs here"
        with pytest.raises(FacenetError, match=told), AlignmentJournal(tmp_path):
            pass
        manifest = second.finish(lambda source: source == "b.jpg")
    assert manifest.name == "faces-2-of-2.csv"
    assert read_manifest(manifest) == TWO
    with AlignmentJournal(tmp_path, Shard(1, 2)) as journal:
        assert journal.rows == {"a.jpg": ONE}
    assert read_manifest(finish(tmp_path)) == [*ONE, *TWO]
    assert [path.name for path in tmp_path.iterdir()] == ["faces.csv"]


def test_shards_of_another_number_are_refused(tmp_path: Path) -> None:
    finish(tmp_path, ONE, shard=Shard(1, 2))
    told = "expected shards of 2, as the folder was begun, found 1/3"
    with pytest.raises(FacenetError, match=told), AlignmentJournal(tmp_path, Shard(1, 3)):
        pass


def test_what_shards_found_later_counts(tmp_path: Path) -> None:
    failed = [replace(ONE[0], status="unusable", faces=0, box=None, score=None, crop="")]
    finish(tmp_path, failed)
    with AlignmentJournal(tmp_path, Shard(1, 2)) as journal:
        assert journal.rows == {"a.jpg": failed}
        journal.add(ONE)
        journal.finish(everything)
    assert read_manifest(finish(tmp_path)) == ONE


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FacenetError, match=r"found 'mine\.txt' and no faces\.csv"):
        finish(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_table_of_something_else_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "faces.csv").write_text("photograph,name\n")
    with pytest.raises(FacenetError, match=r"the columns source, .*, found photograph, name"):
        finish(tmp_path)
    assert (tmp_path / "faces.csv").read_text() == "photograph,name\n"


def test_a_damaged_journal_is_told_with_its_line(tmp_path: Path) -> None:
    text = manifest_lines([*ONE, *TWO], header=True).replace("a.jpg", "../a.jpg")
    (tmp_path / "faces.journal").write_text(text)
    with pytest.raises(FacenetError, match=r"faces\.journal: line 2: source"):
        finish(tmp_path)
    (tmp_path / "faces.journal").write_bytes(b"\xff\n")
    with pytest.raises(FacenetError, match=r"faces\.journal: expected text in UTF-8"):
        finish(tmp_path)


def test_a_place_that_takes_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FacenetError, match="cannot be written"):
        finish(tmp_path / "file")
    with pytest.raises(FacenetError, match="cannot be written"):
        finish(tmp_path / "file" / "out")


def test_rows_of_other_settings_in_one_folder_are_refused(tmp_path: Path) -> None:
    finish(tmp_path, ONE, shard=Shard(1, 2))
    other = rows_of("b.jpg", settings=replace(SETTINGS, size=96))
    write_manifest(tmp_path / "faces-2-of-2.csv", other)
    with pytest.raises(FacenetError, match="size: expected 160, found 96"):
        finish(tmp_path)
