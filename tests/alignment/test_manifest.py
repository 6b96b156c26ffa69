"""The manifest: what is written is read again, and what cannot be meant is told by its line."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facenet_lib.alignment.faces import Box
from facenet_lib.alignment.manifest import (
    COLUMNS,
    STATUSES,
    AlignmentSettings,
    FaceRow,
    manifest_lines,
    merge_manifests,
    parse_manifest,
    read_manifest,
    write_manifest,
)
from facenet_lib.errors import FacenetError

SETTINGS = AlignmentSettings("centre", "reference", 160, 32.0, "mtcnn", "1.0.0", "turned")
FOUND = FaceRow(
    source="Ann/1.jpg",
    source_bytes=1234,
    status="aligned",
    reason="",
    faces=1,
    box=Box(1.5, -2.0, 30.25, 40.1),
    landmarks=((5.1, 6.0), (20.0, 6.5), (12.0, 15.0), (7.0, 22.0), (18.0, 22.5)),
    score=0.987,
    crop="Ann/1.png",
    settings=SETTINGS,
)
NONE = replace(
    FOUND,
    source="Bob/2.jpg",
    status="no face",
    reason='none, not "one"',
    faces=0,
    box=None,
    landmarks=None,
    score=None,
    crop="",
)

words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=6)
names = st.lists(
    words.filter(lambda w: w and "/" not in w and w not in (".", "..")), min_size=1, max_size=3
)
paths = names.map("/".join)
numbers = st.floats(allow_nan=False, allow_infinity=False)
rows = st.builds(
    FaceRow,
    source=paths,
    source_bytes=st.integers(0),
    status=st.sampled_from([status for status in STATUSES if status != "aligned"]),
    reason=words,
    faces=st.integers(0, 9),
    box=st.builds(Box, numbers, numbers, numbers, numbers),
    landmarks=st.none() | st.tuples(*[st.tuples(numbers, numbers)] * 5),
    score=numbers,
    crop=st.just("") | paths,
    settings=st.builds(
        AlignmentSettings, words, words, st.integers(), numbers, words, words, words
    ),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(rows, max_size=3))
def test_what_is_written_is_read(each: list[FaceRow]) -> None:
    assert parse_manifest(manifest_lines(each, header=True), "faces.csv") == each


def test_the_order_is_that_of_the_photographs_and_of_their_faces(tmp_path: Path) -> None:
    second = replace(FOUND, status="not chosen", crop="")
    write_manifest(tmp_path / "faces.csv", [NONE, FOUND, second])
    assert read_manifest(tmp_path / "faces.csv") == [FOUND, second, NONE]
    with (tmp_path / "faces.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["source"] for row in table] == ["Ann/1.jpg", "Ann/1.jpg", "Bob/2.jpg"]
    assert (table[0]["left_eye_x"], table[0]["margin"]) == ("5.1", "32.0")
    assert table[2]["left"] == ""


def test_what_a_spreadsheet_saves_is_read(tmp_path: Path) -> None:
    """With a byte order mark, other ends of lines, columns moved and added, all in quotes."""
    write_manifest(tmp_path / "faces.csv", [FOUND, NONE])
    with (tmp_path / "faces.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    columns = ["checked by", *reversed(COLUMNS)]
    with (tmp_path / "saved.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, columns, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
        writer.writeheader()
        writer.writerows({**row, "checked by": "me, twice"} for row in table)
        file.write("\r\n")
    assert read_manifest(tmp_path / "saved.csv") == [FOUND, NONE]


def test_a_face_is_read_back() -> None:
    assert NONE.face is None
    face = FOUND.face
    assert face is not None
    assert (face.box, face.score) == (FOUND.box, FOUND.score)
    assert face.landmarks is not None
    assert face.landmarks.tolist() == [list(point) for point in FOUND.landmarks or ()]
    without = replace(FOUND, landmarks=None).face
    assert without is not None
    assert without.landmarks is None


def changed(**cells: str) -> str:
    """A manifest whose second row, on line 3, has other cells."""
    table = list(csv.DictReader(manifest_lines([FOUND, FOUND], header=True).splitlines()))
    table[1] |= {name: value for name, value in cells.items()}
    lines = [",".join(COLUMNS), *(",".join(row.values()) for row in table)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ({"source": "../1.jpg"}, "source: expected a path below the folder, found '../1.jpg'"),
        ({"source": "/etc/1.jpg"}, "source: expected a path below"),
        ({"source": "a//1.jpg"}, "source: expected a path below"),
        ({"crop": "a/../../1.png"}, "crop: expected a path below"),
        ({"source": ""}, "expected a source"),
        ({"crop": ""}, "expected a source, and of what is aligned a box and a crop"),
        ({"status": "lost"}, "status: expected aligned or .*, found 'lost'"),
        ({"left": "wide"}, "left: expected a number, found 'wide'"),
        ({"left": "nan"}, "left: expected a number, found 'nan'"),
        ({"left": ""}, "left: expected a number, found ''"),
        ({"score": ""}, "expected a box, a score and perhaps landmarks"),
        ({"nose_x": "1e999"}, "nose_x: expected a number"),
        ({"size": "160.5"}, "size: expected an integer, found '160.5'"),
        ({"source_bytes": ""}, "source_bytes: expected an integer, found ''"),
        ({"faces": "many"}, "faces: expected an integer"),
        ({"crop": "a.png,b.png"}, "expected 28 cells, found 29"),
        ({"reason": '"a" b'}, "expected cells separated by commas"),
    ],
)
def test_a_damaged_row_is_told_with_its_line(cells: dict[str, str], told: str) -> None:
    with pytest.raises(FacenetError, match=rf"^faces.csv: line 3: {told}"):
        parse_manifest(changed(**cells), "faces.csv")


def test_all_damaged_rows_are_told_at_once() -> None:
    text = manifest_lines([FOUND, NONE, FOUND], header=True).replace("1234", "some")
    with pytest.raises(FacenetError, match=r"3 problems\n  line 2: .*\n  line 3: .*\n  line 4: "):
        parse_manifest(text, "faces.csv")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected the columns source, source_bytes, .*, found an empty file"),
        ("photograph,name\n", "expected the columns source, .*, found photograph, name$"),
        (",".join(c for c in COLUMNS if c != "score"), "expected the column score, found source"),
        (";".join(COLUMNS), "expected cells separated by commas, found semicolons; save"),
    ],
)
def test_a_table_of_something_else_is_told(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "faces.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FacenetError, match=told) as caught:
        read_manifest(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "faces.csv").write_bytes(b"\xff\xfe\0")
    with pytest.raises(FacenetError, match="expected text in UTF-8, found UTF-16 text"):
        read_manifest(tmp_path / "faces.csv")


# Several manifests


def test_parts_are_merged_and_the_last_word_on_a_photograph_counts() -> None:
    again = replace(NONE, status="unusable", reason="damaged")
    other = replace(FOUND, source="Cem/1.jpg", crop="Cem/1.png")
    assert merge_manifests([[NONE, other], [FOUND], [again]]) == [FOUND, again, other]
    assert merge_manifests([[FOUND], [FOUND]]) == [FOUND]
    assert merge_manifests([]) == []


def test_parts_made_otherwise_are_refused() -> None:
    other = replace(NONE, settings=replace(SETTINGS, margin=44.0, detector="yunet"))
    with pytest.raises(FacenetError) as caught:
        merge_manifests([[FOUND], [other]])
    assert "margin: expected 32.0, found 44.0" in str(caught.value)
    assert "detector: expected 'mtcnn', found 'yunet'" in str(caught.value)


def test_two_photographs_with_one_crop_are_refused() -> None:
    other = replace(FOUND, source="Ann/1.bmp")
    told = r"expected a crop for each, found Ann/1\.png of Ann/1\.bmp and Ann/1\.jpg"
    with pytest.raises(FacenetError, match=told):
        merge_manifests([[FOUND], [other]])


def test_a_manifest_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(FacenetError, match=r"faces\.csv: cannot be written"):
        write_manifest(tmp_path / "nowhere" / "faces.csv", [FOUND])
