"""Which versions a model's folder holds."""

from pathlib import Path

import pytest

from facenet_lib.errors import FacenetError
from facenet_lib.model_card import version_folders
from facenet_lib.serving.model_folders import (
    check_model_folder,
    check_versions,
    choose_versions,
    complete_versions,
    find_versions,
    is_saved_model,
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


@pytest.mark.parametrize("program", ["model.onnx", "model.xml"])
def test_so_are_those_of_a_network_for_another_runtime(tmp_path, program):
    (tmp_path / "4").mkdir()
    (tmp_path / "4" / program).touch()
    assert complete_versions(tmp_path) == {4: tmp_path / "4"}
    assert not is_saved_model(tmp_path / "4")
    with pytest.raises(FacenetError, match="found a version; name"):
        check_model_folder(tmp_path / "4")


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


def test_a_folder_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(FacenetError, match=f"{tmp_path}: cannot be read: Permission denied"):
        complete_versions(tmp_path)


@pytest.mark.parametrize("method", ["is_dir", "is_file", "iterdir"])
def test_a_version_that_cannot_be_read_hides_no_other(model_folder, monkeypatch, method):
    bad = model_folder / "10"
    look = getattr(Path, method)

    def refuse(path):
        if bad in (path, path.parent):
            raise PermissionError(13, "Permission denied")
        return look(path)

    monkeypatch.setattr(Path, method, refuse)
    if method == "is_dir":  # a folder of whose kind nothing is known
        (bad / "saved_model.pb").unlink()
        assert list(version_folders(model_folder)) == [1, 2, 3, 10]
    found = find_versions(model_folder)
    assert list(found.complete) == [1, 2]
    expected = {10: f"{bad}: cannot be read: Permission denied"}
    assert found.unreadable == ({} if method == "is_dir" else expected)


def test_what_is_no_model_s_folder_is_told(model_folder, tmp_path, monkeypatch):
    check_model_folder(model_folder)
    check_model_folder(tmp_path)  # a version may come
    with pytest.raises(FacenetError, match="nowhere: expected the folder of a model"):
        check_model_folder(tmp_path / "nowhere")
    with pytest.raises(FacenetError, match=f"found a version; name {model_folder}"):
        check_model_folder(model_folder / "1")


def test_versions_of_which_none_is_there_are_told(model_folder, tmp_path):
    for versions in ("latest", "all", (1,), (7, 10)):
        check_versions(model_folder, versions)
    check_versions(tmp_path, (7,))  # which has none at all, and is told otherwise
    with pytest.raises(FacenetError, match=r"versions: expected some of 1, 2, 10, found 7, 8$"):
        check_versions(model_folder, (7, 8))
