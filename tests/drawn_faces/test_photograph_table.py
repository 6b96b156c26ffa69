"""The table of faces: read back as it was written, and refused line by line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facenet_lib.drawn_faces import DrawnFace, read_photograph_faces
from facenet_lib.drawn_faces.photograph_table import table_row, write_table
from facenet_lib.errors import FacenetError

LANDMARKS = np.array([(3.0, 4.0), (7.0, 4.0), (5.0, 6.0), (4.0, 8.0), (6.0, 8.0)])


def face(name: str, left: float = 1.5) -> DrawnFace:
    return DrawnFace(name, (left, -2.25, 11.0, 12.0), LANDMARKS, 0.25, -30.0, 1.0, 12.5)


ROWS = [
    table_row("Ann/Ann_0001.jpg", face("Ann")),
    table_row("Ann/Ann_0001.jpg", face("Bob", left=-4.0)),
    table_row("b.jpg", face("Bob")),
]


def test_faces_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    write_table(tmp_path, ROWS)
    faces = read_photograph_faces(tmp_path)
    assert list(faces) == ["Ann/Ann_0001.jpg", "b.jpg"]
    assert [found.name for found in faces["Ann/Ann_0001.jpg"]] == ["Ann", "Bob"]
    (found,) = faces["b.jpg"]
    assert found.box == (1.5, -2.25, 11.0, 12.0)
    np.testing.assert_array_equal(found.landmarks, LANDMARKS)
    assert (found.hidden, found.yaw, found.pitch, found.roll) == (0.25, -30.0, 1.0, 12.5)


def test_the_table_says_what_its_columns_are(tmp_path: Path) -> None:
    write_table(tmp_path, ROWS)
    heading, first, *_ = (tmp_path / "faces.csv").read_text().splitlines()
    row = dict(zip(heading.split(","), first.split(","), strict=True))
    assert row["photograph"] == "Ann/Ann_0001.jpg"
    assert (row["right_eye_x"], row["nose_y"]) == ("7.000", "6.000")


def test_an_editors_line_ends_and_byte_order_mark_are_taken(tmp_path: Path) -> None:
    write_table(tmp_path, ROWS)
    path = tmp_path / "faces.csv"
    path.write_bytes(
        b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n").removesuffix(b"\r\n")
    )
    assert len(read_photograph_faces(tmp_path)) == 2


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (ROWS[0] + ",7", "expected 20 cells, found 21"),
        (ROWS[0].replace("11.000", "wide"), "right: expected a number from .* found 'wide'"),
        (ROWS[0].replace("11.000", "nan"), "right: expected a number from .* found 'nan'"),
        (ROWS[0].replace("0.250", "1.250"), "hidden: expected a number from 0 to 1, found '1.250'"),
        (ROWS[0].replace("11.000", "1.000"), "expected left < right and top < bottom"),
        (ROWS[0].replace("Ann/", "../"), "photograph: expected a file in this folder"),
        (ROWS[0].replace("Ann/", "/"), "photograph: expected a file in this folder"),
        (ROWS[0].replace(",Ann,", ",,"), "name: expected a person"),
        (ROWS[1], "expected each person once in Ann/Ann_0001.jpg, found Bob again"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, row: str, message: str) -> None:
    write_table(tmp_path, [*ROWS, row, ROWS[2].replace("b.jpg", "c.jpg")])
    with pytest.raises(FacenetError, match=f"faces.csv: line 5: {message}"):
        read_photograph_faces(tmp_path)


def test_all_damaged_lines_are_told_at_once(tmp_path: Path) -> None:
    write_table(tmp_path, ["a.jpg,Ann", *ROWS, "b.jpg"])
    with pytest.raises(
        FacenetError, match=r"2 problems\n  line 2: expected .*\n  line 6: expected"
    ):
        read_photograph_faces(tmp_path)
    (tmp_path / "faces.csv").write_text("photograph,name\na.jpg,Ann\n")
    with pytest.raises(
        FacenetError, match=r"expected the columns left, .*, found photograph, name$"
    ):
        read_photograph_faces(tmp_path)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", b""])
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "faces.csv").write_bytes(content)
    with pytest.raises(FacenetError, match=r"faces\.csv"):
        read_photograph_faces(tmp_path)
