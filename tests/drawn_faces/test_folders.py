"""Folders that are claimed and filled; what a killed or hindered call leaves, in test_dataset."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facenet_lib.drawn_faces.folders import draw_pictures, drawing_folder, write_picture
from facenet_lib.errors import FacenetError

SETTINGS = {"seed": 3, "size": 64}


def test_a_folder_keeps_its_settings_and_refuses_others(tmp_path: Path) -> None:
    for _ in range(2):
        with drawing_folder(tmp_path / "new", "settings.json", SETTINGS):
            pass
    assert json.loads((tmp_path / "new" / "settings.json").read_text()) == SETTINGS
    with (
        pytest.raises(FacenetError, match="size: expected 65, found 64"),
        drawing_folder(tmp_path / "new", "settings.json", {**SETTINGS, "size": 65}),
    ):
        pass


def test_what_was_left_behind_goes_once_all_is_done(tmp_path: Path) -> None:
    with drawing_folder(tmp_path, "settings.json", SETTINGS):
        pass
    left = tmp_path / ".half.jpg.99.part"
    left.write_bytes(b"half")
    with pytest.raises(KeyError), drawing_folder(tmp_path, "settings.json", SETTINGS):
        raise KeyError
    assert left.exists()
    with drawing_folder(tmp_path, "settings.json", SETTINGS):
        pass
    assert not left.exists()


def test_a_failure_to_write_is_told_in_one_sentence(tmp_path: Path) -> None:
    with (
        pytest.raises(FacenetError, match=r"file: cannot be written"),
        drawing_folder(tmp_path, "settings.json", SETTINGS),
    ):
        (tmp_path / "gone" / "file").write_bytes(b"")


def test_every_task_is_drawn(tmp_path: Path) -> None:
    drawn = []

    def draw(task: int) -> Iterator[None]:
        for picture in range(task):
            drawn.append((task, picture))
            yield

    draw_pictures(draw, [1, 3], 4, fewest=100, workers=None, progress=False)
    assert sorted(drawn) == [(1, 0), (3, 0), (3, 1), (3, 2)]


def test_a_picture_keeps_its_comment(tmp_path: Path) -> None:
    picture = np.full((8, 9, 3), 90, np.uint8)
    write_picture(tmp_path / "with.jpg", picture, 90, b"said")
    write_picture(tmp_path / "without.jpg", picture, 90)
    with Image.open(tmp_path / "with.jpg") as image:
        assert image.info["comment"] == b"said"
        assert (image.format, image.size) == ("JPEG", (9, 8))
    with Image.open(tmp_path / "without.jpg") as image:
        assert "comment" not in image.info
    assert sorted(path.name for path in tmp_path.iterdir()) == ["with.jpg", "without.jpg"]
