"""Every text file that the library reads is taken as other programs save it, or refused in words.

Excel puts a byte order mark before UTF-8 and ends lines as Windows does; where the language has
decimal commas it separates cells by semicolons. Notepad's "Unicode" is UTF-16.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from table_rows import COLUMNS, VALIDATION, add_rows

from facenet_lib.alignment.faces import Box
from facenet_lib.alignment.manifest import AlignmentSettings, FaceRow, read_manifest, write_manifest
from facenet_lib.drawn_faces.photograph_table import read_photograph_faces, write_table
from facenet_lib.errors import FacenetError
from facenet_lib.files import read_json, write_text
from facenet_lib.filtering import read_distances, write_distances
from facenet_lib.lfw_pairs import Pair, PairList, read_pairs, read_people, write_pairs, write_people
from facenet_lib.model_card import CARD, ModelCard, read_card
from facenet_lib.runs.config import TrainingConfig, read_learning_rates, read_settings
from facenet_lib.runs.folder import claim_folder, read_config_file, read_identities, read_run_tables
from facenet_lib.runs.provenance import append_record
from facenet_lib.runs.tables import RunTables, last_row, read_prelogits_histograms

CONFIG = TrainingConfig()


@dataclass(frozen=True)
class TextFile:
    """A kind of file: its name, and what writes one there and reads it."""

    name: str
    write: Callable[[Path], object]
    read: Callable[[Path], Any]


def write_run(path: Path) -> None:
    data = {"images": 2, "identities": 1, "image_names": "0"}
    with claim_folder(path.parent, CONFIG, ["Zoë", "Ann"], data):
        pass
    with RunTables(path.parent, 0, COLUMNS, VALIDATION) as tables:
        add_rows(tables, range(1, 7))


def write_card(path: Path) -> None:
    preprocessing = {"image_size": 160, "standardization": "fixed"}
    card = ModelCard("0.1", 512, "float32", preprocessing, intended_use="Zoë's")
    path.parent.mkdir()
    write_text(path, json.dumps(vars(card), ensure_ascii=False))


def write_drawn(path: Path) -> None:
    path.parent.mkdir()
    write_table(path.parent, [DRAWN])


def read_record(path: Path) -> Any:
    append_record(path, {"start": 2})
    assert [other.name for other in path.parent.iterdir()] == [path.name]  # none was moved aside
    return json.loads(path.read_bytes())


SETTINGS = AlignmentSettings("centre", "square", 160, 0.125, "mtcnn", "1.0.0")
ROW = FaceRow("Zoë/1.jpg", 9, "aligned", "", 1, Box(0, 0, 9, 9), None, 0.9, "Zoë/1.png", SETTINGS)
DRAWN = "Zoë/Zoë_0001.jpg,Zoë," + ",".join(f"{number}.5" for number in range(14)) + ",0.5,1,2,3"
PAIRS = PairList((Pair("Zoë", 1, "Zoë", 2), Pair("Zoë", 1, "Ann", 1)), 1)
FACES = {"Zoë": [Path("1.jpg"), Path("2.jpg")]}

FILES = [
    TextFile("pairs.txt", lambda path: write_pairs(path, PAIRS), read_pairs),
    TextFile("people.txt", lambda path: write_people(path, [{"Zoë": 2, "Ann": 1}]), read_people),
    TextFile("rates.txt", lambda path: write_text(path, "# Zoë\n0: 0.05\n"), read_learning_rates),
    TextFile("run.yaml", lambda path: write_text(path, "# Zoë\nepochs: 3\n"), read_settings),
    TextFile("config.json", write_run, lambda path: read_config_file(path.parent)),
    TextFile("identities.txt", write_run, lambda path: read_identities(path.parent)),
    TextFile("record.json", lambda path: append_record(path, {"start": 1}), read_record),
    TextFile(CARD, write_card, lambda path: read_card(path.parents[1])),
    TextFile(
        "figures.json",
        lambda path: write_text(path, '{"who": "Zoë"}\n'),
        lambda path: read_json(path, "figures"),
    ),
]
TABLES = [
    TextFile("distances.csv", lambda path: write_distances(path, FACES, [0.5, 1]), read_distances),
    TextFile("metrics.csv", write_run, lambda path: read_run_tables(path.parent)),
    TextFile("evaluations.csv", write_run, lambda path: last_row(path, 99)),
    TextFile("validations.csv", write_run, lambda path: last_row(path, 99)),
    TextFile("prelogits.csv", write_run, read_prelogits_histograms),
    TextFile("faces.csv", lambda path: write_manifest(path, [ROW]), read_manifest),
    TextFile("drawn/faces.csv", write_drawn, lambda path: read_photograph_faces(path.parent)),
]
ALL = [*FILES, *TABLES]
OLD_MAC = "an old Macintosh"
# Names in these may hold a carriage return.
NAMES_OLD_MAC = [(name, OLD_MAC) for name in ("pairs.txt", "people.txt", "distances.csv")]


SAVED_AS: dict[str, Callable[[str], bytes]] = {
    "Notepad": lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"),
    OLD_MAC: lambda text: text.replace("\n", "\r").encode(),
    "two programs": lambda text: codecs.BOM_UTF8 + text.encode("utf-8-sig"),
    "an empty line more": lambda text: f"{text}\r\n".encode(),
}
SAVED_OTHERWISE: dict[str, tuple[Callable[[str], bytes], str]] = {
    "Unicode": (lambda text: text.encode("utf-16"), "in UTF-8, found UTF-16 text"),
    "Unicode big endian": (
        lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
        "in UTF-8, found UTF-16 text",
    ),
    "a workbook": (lambda text: b"PK\x03\x04" + text.encode(), "found a zip archive, as .npz"),
    "a picture": (lambda text: b"\xff\xd8\xff\xe0" + text.encode(), "found a JPEG image"),
}


def same(one: Any, other: Any) -> bool:
    """Equality, of arrays too."""
    return repr(np.array(one, object)) == repr(np.array(other, object))


def made(file: TextFile, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    file.write(folder / file.name)
    return folder / file.name


@pytest.mark.parametrize(
    ("file", "saved"),
    [
        (file, saved)
        for file in ALL
        for saved in SAVED_AS
        if (file.name, saved) not in NAMES_OLD_MAC
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_what_other_programs_save_is_read(tmp_path: Path, file: TextFile, saved: str) -> None:
    path = made(file, tmp_path / "after")
    path.write_bytes(SAVED_AS[saved](path.read_text("utf-8")))
    assert same(file.read(path), file.read(made(file, tmp_path / "before")))


@pytest.mark.parametrize("saved", SAVED_OTHERWISE)
@pytest.mark.parametrize("file", ALL, ids=lambda file: file.name)
def test_other_encodings_are_refused_by_their_names(
    tmp_path: Path, file: TextFile, saved: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = made(file, tmp_path)
    encode, told = SAVED_OTHERWISE[saved]
    path.write_bytes(encode(path.read_text("utf-8")))
    if file.name == "record.json":  # which does not stop a run
        append_record(path, {"start": 2})
        assert told in capsys.readouterr().err
        return
    with pytest.raises(FacenetError) as caught:
        file.read(path)
    assert str(caught.value).startswith(f"{path}: expected ")
    assert told in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(path))


@pytest.mark.parametrize("file", TABLES, ids=lambda file: file.name)
def test_a_column_that_is_missing_is_told_with_those_that_are_there(
    tmp_path: Path, file: TextFile
) -> None:
    path = made(file, tmp_path)
    heading, _, rows = path.read_text("utf-8").partition("\n")
    first, second, *others = heading.rstrip().split(",")
    path.write_text(",".join([first, "lost", *others]) + f"\n{rows}", "utf-8")
    with pytest.raises(FacenetError) as caught:
        file.read(path)
    expected, _, found = str(caught.value).partition(", found ")
    assert expected == f"{path}: expected the column {second}"
    assert found.startswith(f"{first}, lost")


@pytest.mark.parametrize("file", TABLES, ids=lambda file: file.name)
def test_a_row_is_not_told_at_length(tmp_path: Path, file: TextFile) -> None:
    path = made(file, tmp_path)
    heading = path.read_text("utf-8").splitlines()[0]
    for cells in (["x" * 9999] * (heading.count(",") + 1), ["x" * 9999]):
        path.write_text(f"{heading}\n{','.join(cells)}\n", "utf-8")
        with pytest.raises(FacenetError) as caught:
            file.read(path)
        assert str(caught.value).startswith(f"{path}: line 2: ")
        assert len(str(caught.value)) < 4000


LINES = [file for file in ALL if file.name not in ("identities.txt", "record.json")]


@pytest.mark.parametrize("file", LINES, ids=lambda file: file.name)
def test_a_line_is_not_told_at_length(tmp_path: Path, file: TextFile) -> None:
    path = made(file, tmp_path)
    path.write_text("x" * 99_999 + "\n", "utf-8")
    with pytest.raises(FacenetError) as caught:
        file.read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < 700 + len(str(path))


@pytest.mark.parametrize("sign", [";", "\t"])
@pytest.mark.parametrize("file", TABLES, ids=lambda file: file.name)
def test_other_signs_between_cells_are_told(tmp_path: Path, file: TextFile, sign: str) -> None:
    path = made(file, tmp_path)
    path.write_text(path.read_text("utf-8").replace(",", sign), "utf-8")
    found = {";": "semicolons", "\t": "tabs"}[sign]
    with pytest.raises(FacenetError) as caught:
        file.read(path)
    told = f"{path}: expected cells separated by commas, found {found}; save the table with commas"
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize("file", TABLES, ids=lambda file: file.name)
def test_a_spreadsheet_s_quotes_and_empty_rows_are_taken(tmp_path: Path, file: TextFile) -> None:
    path = made(file, tmp_path / "after")
    lines = path.read_text("utf-8").splitlines()
    quoted = ['"' + line.replace(",", '","') + '"' for line in lines]
    empty = "," * lines[0].count(",")
    path.write_text("\r\n".join([*quoted, empty, ""]), "utf-8", newline="")
    assert same(file.read(path), file.read(made(file, tmp_path / "before")))
