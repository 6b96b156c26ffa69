"""Which versions a model's folder holds."""

import pytest

from facenet_lib.errors import FacenetError
from facenet_lib.serving.model_folders import complete_versions


def test_folders_of_a_number_with_a_program_are_versions(model_folder):
    for name in ("x", ".12", "²", "-1", str(2**63)):
        (model_folder / name).mkdir()
        (model_folder / name / "saved_model.pb").touch()
    expected = {number: model_folder / str(number) for number in (1, 2, 10)}
    assert list(complete_versions(model_folder).items()) == list(expected.items())


def test_a_folder_that_is_not_there_holds_none(tmp_path):
    assert complete_versions(tmp_path / "nowhere") == {}


def test_a_folder_that_cannot_be_read_is_told(model_folder, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("facenet_lib.serving.model_folders.is_version", refuse)
    with pytest.raises(FacenetError, match="small network: cannot be read: Permission denied"):
        complete_versions(model_folder)
