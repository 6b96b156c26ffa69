"""Versions are numbered and written whole; what cards say is tested with what is exported."""

import pytest

from facenet_lib.errors import FacenetError
from facenet_lib.export.version_folder import (
    check_threshold,
    new_version,
    write_card,
    write_version,
)
from facenet_lib.model_card import ModelCard, read_card

CARD = ModelCard("0", 2, "float32", {"image_size": 80, "standardization": "fixed"})


def test_a_version_is_written_whole_or_not_at_all(tmp_path):
    out = tmp_path / "new" / "model"
    with pytest.raises(KeyError):
        write_version(new_version(out), lambda part: {}["no such thing"])
    assert not out.exists()
    for number in (1, 2):
        folder = write_version(new_version(out), lambda part: write_card(part, CARD))
        assert folder == out / str(number)
        assert read_card(folder) == CARD
    assert new_version(out, 7) == out / "7"
    with pytest.raises(FacenetError, match="2: already there"):
        new_version(out, 2)


def test_a_folder_of_something_else_is_not_written_to(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FacenetError, match="new, empty or holds versions"):
        new_version(tmp_path)
    with pytest.raises(FacenetError, match="a name that is itself a version"):
        new_version(tmp_path / "1")


def test_a_threshold_and_its_rate_belong_together():
    check_threshold(None, None)
    check_threshold(1.1, 0.001)
    with pytest.raises(FacenetError, match="found no false_accept_rate"):
        check_threshold(1.1, None)
