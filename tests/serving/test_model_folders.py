"""Which versions a model's folder holds."""

import pytest

from facenet_lib.errors import FacenetError
from facenet_lib.serving.model_folders import (
    choose_versions,
    complete_versions,
    label_problems,
    latest_count,
    versions_problems,
)


def test_folders_of_a_number_with_a_program_are_versions(model_folder):
    for name in ("x", ".12", "²", "-1", str(2**63)):
        (model_folder / name).mkdir()
        (model_folder / name / "saved_model.pb").touch()
    expected = {number: model_folder / str(number) for number in (1, 2, 10)}
    assert list(complete_versions(model_folder).items()) == list(expected.items())


def test_a_folder_that_is_not_there_holds_none(tmp_path):
    assert complete_versions(tmp_path / "nowhere") == {}


@pytest.mark.parametrize(
    ("versions", "count", "chosen"),
    [
        ("latest", 1, [10]),
        ("latest:1", 1, [10]),
        ("latest:2", 2, [10, 2]),
        ("latest:99", 99, [10, 2, 1]),
        ("all", None, [10, 2, 1]),
        ((1, 10, 7), None, [10, 1]),
    ],
)
def test_versions_are_chosen_by_a_word_or_by_number(versions, count, chosen):
    assert versions_problems(versions) == []
    assert latest_count(versions) == count
    assert choose_versions(versions, [1, 2, 10]) == chosen


@pytest.mark.parametrize(
    "versions",
    ["", "newest", "latest:", "latest:0", "latest:-1", "latest: 2", "LATEST", (), ("1",)],
)
def test_other_words_and_numbers_are_refused(versions):
    assert versions_problems(versions)[0].startswith("versions: expected latest, latest:N, all")


def test_a_label_stands_for_a_version_that_is_served(model_folder):
    labels = {"stable": 2, "canary": 10}
    assert label_problems(labels, "all", model_folder) == []
    assert label_problems(labels, "latest:2", model_folder) == []
    (problem,) = label_problems(labels, "latest", model_folder)
    assert problem.endswith(
        "label 'stable': expected one of the versions that are served, 10, found 2"
    )


def test_a_folder_that_cannot_be_read_is_told(model_folder, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("facenet_lib.serving.model_folders.is_version", refuse)
    with pytest.raises(FacenetError, match="small network: cannot be read: Permission denied"):
        complete_versions(model_folder)
