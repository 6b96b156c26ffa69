"""The versions of a model: which are served, and how they come and go."""

import gc
import shutil
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from asking_servers import wait_until
from served_versions import (
    IMAGES,
    SECONDS,
    embeddings,
    files,
    ready,
    refusal,
    serving,
    write_warm_up,
)
from serving_models import (
    NAME,
    add_version,
    expected_embeddings,
    remove_version,
)

from facenet_lib.errors import FacenetError
from facenet_lib.serving import model_folders
from facenet_lib.serving import versions as served_models
from facenet_lib.serving.answers import VersionStatus
from facenet_lib.serving.batching import LoadedVersion
from facenet_lib.serving.versions import ServedModels


@pytest.mark.slow
def test_versions_are_asked_for_by_number_and_label(folder, saved):
    add_version(saved[2], folder, 2)
    labels = {NAME: {"stable": 1, "canary": 2}}
    with ready(folder, versions="all", labels=labels) as served:
        for asked, version in (
            ({}, 2),
            ({"version": 1}, 1),
            ({"version": 2}, 2),
            ({"label": "stable"}, 1),
            ({"label": "canary"}, 2),
        ):
            answer = served.predict(NAME, files(IMAGES[:1]), **asked)
            np.testing.assert_allclose(
                embeddings(answer), expected_embeddings(IMAGES[:1], version), atol=1e-6
            )
            assert answer.result().version == version
            found = served.version(NAME, **asked)
            assert (found.number, found.folder) == (version, folder / str(version))
        for asked, code in (
            ({"version": 3}, "NOT_FOUND"),
            ({"label": "unknown"}, "INVALID_ARGUMENT"),
            ({"version": 1, "label": "stable"}, "INVALID_ARGUMENT"),
        ):
            for ask in (served.version, served.status):
                refusal(code, ask, NAME, **asked)
            refusal(code, served.predict, NAME, files(IMAGES[:1]), **asked)


def test_a_model_that_is_not_there(folder):
    with ready(folder) as served:
        told = refusal("NOT_FOUND", served.predict, "other", files(IMAGES[:1]))
        assert told == "Servable not found for request: Latest(other)"
        told = refusal("NOT_FOUND", served.predict, "../x", files(IMAGES[:1]), version=3)
        assert told == "Servable not found for request: Specific(../x, 3)"
        refusal("NOT_FOUND", served.status, "other")


@pytest.mark.slow
def test_a_new_version_takes_over_and_the_old_one_answers_what_waits_for_it(folder, saved, gate):
    with ready(folder) as served:
        running = served.predict(NAME, files(IMAGES[:1]))
        gate.reached.acquire()
        waiting = served.predict(NAME, files(IMAGES[:2]))
        add_version(saved[2], folder, 2)
        wait_until(lambda: VersionStatus(1, "UNLOADING") in served.status(NAME))
        assert served.status(NAME)[0] == VersionStatus(2, "AVAILABLE")
        new = served.predict(NAME, files(IMAGES[:1]))
        gate.opened.set()
        for future, images, version in (
            (running, IMAGES[:1], 1),
            (waiting, IMAGES[:2], 1),
            (new, IMAGES[:1], 2),
        ):
            assert future.result(SECONDS).version == version
            expected = expected_embeddings(images, version)
            np.testing.assert_allclose(embeddings(future), expected, atol=1e-6)
        wait_until(lambda: VersionStatus(1, "END") in served.status(NAME))
        refusal("NOT_FOUND", served.predict, NAME, files(IMAGES[:1]), version=1)
        assert served.batch_sizes(NAME) == {1: 2, 2: 1}


@pytest.mark.slow
def test_a_version_taken_away_gives_way_to_the_one_before(folder, saved):
    add_version(saved[2], folder, 2)
    with ready(folder) as served:
        assert served.status(NAME) == [VersionStatus(2, "AVAILABLE")]
        remove_version(folder, 2)
        wait_until(lambda: VersionStatus(2, "END") in served.status(NAME))
        assert served.predict(NAME, files(IMAGES[:1])).result(SECONDS).version == 1
        remove_version(folder, 1)
        wait_until(lambda: not served.ready())
        refusal("NOT_FOUND", served.predict, NAME, files(IMAGES[:1]))
        add_version(saved[1], folder, 3)
        wait_until(served.ready)
        assert served.predict(NAME, files(IMAGES[:1])).result(SECONDS).version == 3


@pytest.mark.slow
def test_no_request_fails_while_versions_come_and_go(folder, saved):
    stop = threading.Event()
    answered = set()

    def ask(served, images):
        while not stop.is_set():
            answer = served.predict(NAME, files(images)).result(SECONDS)
            expected = expected_embeddings(images, 1 + (answer.version - 1) % 2)
            np.testing.assert_allclose(answer.outputs["embeddings"], expected, atol=1e-6)
            answered.add(answer.version)

    with ready(folder) as served, ThreadPoolExecutor(4) as clients:
        asking = [clients.submit(ask, served, IMAGES[i : i + 2]) for i in range(4)]
        try:
            for version in range(2, 6):
                add_version(saved[1 + (version - 1) % 2], folder, version)
                wait_until(lambda version=version: version in answered)
                remove_version(folder, version - 1)
        finally:
            stop.set()
        for one in asking:
            one.result(SECONDS)
    assert answered == set(range(1, 6))


@pytest.mark.slow
def test_a_request_that_finds_its_version_just_unloaded_goes_to_the_next(
    folder, saved, monkeypatch
):
    with ready(folder) as served:
        gone = served._models[NAME].available[1]
        add_version(saved[2], folder, 2)
        wait_until(lambda: VersionStatus(1, "END") in served.status(NAME))
        found = [gone, gone, served._models[NAME].available[2]]
        monkeypatch.setattr(served, "version", lambda *choice: found.pop(0))
        assert served.predict(NAME, files(IMAGES[:1])).result(SECONDS).version == 2
        assert not found
        del gone


@pytest.mark.slow
def test_what_was_unloaded_is_freed(folder, saved):
    with ready(folder) as served:
        served.predict(NAME, files(IMAGES[:1])).result(SECONDS)
        version = weakref.ref(served._models[NAME].available[1])
        weights = weakref.ref(version()._model)
        add_version(saved[2], folder, 2)
        wait_until(lambda: VersionStatus(1, "END") in served.status(NAME))
        gc.collect()
        assert version() is None
        assert weights() is None


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["saved_model.pb", "variables"])
def test_a_version_is_loaded_when_its_copy_is_complete(folder, saved, missing):
    with ready(folder) as served:
        copied = folder / "2"
        shutil.copytree(saved[2], copied, ignore=shutil.ignore_patterns(missing))
        if missing == "variables":  # the program without its weights: a failure, but not for good
            wait_until(lambda: served.status(NAME)[0].state == "END")
            assert served.status(NAME)[0].error
        assert served.predict(NAME, files(IMAGES[:1])).result(SECONDS).version == 1
        source = saved[2] / missing
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copied / missing)
        wait_until(lambda: served.status(NAME)[0] == VersionStatus(2, "AVAILABLE"))


@pytest.mark.slow
def test_a_version_that_grows_is_left_alone(folder, saved, monkeypatch):
    """Files that change between two looks are still being copied."""
    with ready(folder) as served:
        loads = []
        load = LoadedVersion.__init__

        def counted(version, number, *arguments):
            loads.append(number)
            load(version, number, *arguments)

        monkeypatch.setattr(LoadedVersion, "__init__", counted)
        real = served_models._files
        changing = threading.Event()
        changing.set()
        monkeypatch.setattr(
            served_models, "_files", lambda path: object() if changing.is_set() else real(path)
        )
        add_version(saved[2], folder, 2)
        wait_until(lambda: VersionStatus(2, "START") in served.status(NAME))
        time.sleep(0.1)  # several looks
        assert loads == []
        changing.clear()
        wait_until(lambda: VersionStatus(2, "AVAILABLE") in served.status(NAME))
        assert loads == [2]


@pytest.mark.slow
@pytest.mark.parametrize("damaged", ["saved_model.pb", "variables/variables.index"])
def test_a_damaged_version_replaces_none_and_is_tried_once(folder, saved, caplog, damaged):
    with ready(folder) as served:
        scratch = folder.parent / "scratch"
        shutil.copytree(saved[2], scratch)
        (scratch / damaged).write_bytes(b"nonsense" * 10)
        scratch.rename(folder / "2")
        wait_until(lambda: served.status(NAME)[0].state == "END")
        time.sleep(0.1)  # several looks
        assert served.status(NAME)[0].error
        assert served.status(NAME)[1] == VersionStatus(1, "AVAILABLE")
        assert served.predict(NAME, files(IMAGES[:1])).result(SECONDS).version == 1
        refusal("NOT_FOUND", served.predict, NAME, files(IMAGES[:1]), version=2)
        assert sum("version 2 was not loaded" in line for line in caplog.messages) == 1
        assert "\n" not in "".join(caplog.messages)


def test_at_the_start_the_newest_that_can_be_loaded_answers(folder, saved, caplog):
    for version in (5, 7):
        add_version(saved[2], folder, version)
    (folder / "7" / "saved_model.pb").write_bytes(b"nonsense")
    write_warm_up(folder / "5", {"wrong": np.array([b"x"], object)})
    with ready(folder) as served:
        assert [(status.version, status.state) for status in served.status(NAME)] == [
            (7, "END"),
            (5, "END"),
            (1, "AVAILABLE"),
        ]
    of_7, of_5 = caplog.messages  # each with its own reason
    assert "version 7 was not loaded" in of_7
    assert "version 5 was not loaded" in of_5
    assert ["found wrong" in line for line in (of_7, of_5)] == [False, True]


@pytest.mark.slow
def test_which_versions_are_served(folder, saved):
    for version in (2, 10):
        add_version(saved[2], folder, version)
    for name in ("11-part", "x", ".12", "²", "-1", str(2**63)):
        shutil.copytree(saved[1], folder / name)
    (folder / "13").mkdir()
    (folder / "14").touch()
    for versions, expected in (
        ("latest", {10}),
        ("all", {1, 2, 10}),
        ([1, 2, 99], {1, 2}),
        ("latest:2", {2, 10}),
        ("latest:9", {1, 2, 10}),
    ):
        with ready(folder, versions=versions) as served:
            assert {status.version for status in served.status(NAME)} == expected
            assert served.predict(NAME, files(IMAGES[:1])).result().version == max(expected)


def test_a_folder_that_cannot_be_read_now_unloads_nothing(folder, monkeypatch, caplog):
    with ready(folder) as served:
        looks = []

        def fail(path):
            looks.append(path)
            raise FacenetError(f"{path}: cannot be read: Permission denied")

        monkeypatch.setattr(served_models, "find_versions", fail)
        wait_until(lambda: len(looks) > 2)
        assert served.status(NAME) == [VersionStatus(1, "AVAILABLE")]
    # Servers that other tests of this process share may have looked at folders of their own.
    (line,) = [message for message in caplog.messages if message.startswith(f"{folder}:")]
    assert line == f"{folder}: cannot be read: Permission denied"


def hide(monkeypatch, number):
    """Let a version's folder be one that cannot be read, as another user's can be."""
    real, hidden = model_folders.is_version, threading.Event()
    hidden.set()

    def is_version(folder):
        if folder.name == str(number) and hidden.is_set():
            raise PermissionError(13, "Permission denied")
        return real(folder)

    monkeypatch.setattr(model_folders, "is_version", is_version)
    return hidden


@pytest.mark.slow
def test_a_version_that_cannot_be_read_hides_no_other(folder, saved, monkeypatch, caplog):
    """Neither at the start, nor when a newer one comes; and it loads once it can be read."""
    hidden = hide(monkeypatch, 5)
    add_version(saved[2], folder, 5)
    reason = f"{folder / '5'}: cannot be read: Permission denied"
    with ready(folder) as served:
        assert served.status(NAME) == [
            VersionStatus(5, "END", reason),
            VersionStatus(1, "AVAILABLE"),
        ]
        add_version(saved[2], folder, 7)
        wait_until(lambda: served.status(NAME)[0] == VersionStatus(7, "AVAILABLE"))
        remove_version(folder, 7)
        wait_until(lambda: VersionStatus(1, "AVAILABLE") in served.status(NAME))
        hidden.clear()
        wait_until(lambda: VersionStatus(5, "AVAILABLE") in served.status(NAME))
    told = [line for line in caplog.messages if "cannot be read" in line and str(folder) in line]
    assert told == [f"{NAME} version 5 was not loaded: {reason}"]


def test_a_model_of_versions_that_cannot_be_read_says_why(folder, monkeypatch):
    hide(monkeypatch, 1)
    with serving(folder) as served, pytest.raises(FacenetError) as caught:
        served.wait_until_ready()
    assert f"{folder / '1'}: cannot be read: Permission denied" in str(caught.value)


@pytest.mark.slow
def test_a_link_that_leads_nowhere_keeps_no_version_from_loading(folder, saved):
    """Nor does what else cannot be looked at within a folder, such as another user's."""
    with ready(folder) as served:
        scratch = folder.parent / "scratch"
        shutil.copytree(saved[2], scratch)
        (scratch / "assets.extra").mkdir(exist_ok=True)
        (scratch / "assets.extra" / "link").symlink_to("nowhere")
        scratch.rename(folder / "2")
        wait_until(lambda: served.status(NAME)[0] == VersionStatus(2, "AVAILABLE"))


@pytest.mark.slow
@pytest.mark.parametrize("what", ["goes", "is overtaken"])
def test_a_version_that_is_being_copied_does_not_start_for_ever(folder, saved, monkeypatch, what):
    real = served_models._files
    monkeypatch.setattr(
        served_models, "_files", lambda path: object() if path.name == "2" else real(path)
    )
    with ready(folder) as served:
        add_version(saved[2], folder, 2)
        wait_until(lambda: VersionStatus(2, "START") in served.status(NAME))
        if what == "goes":
            shutil.rmtree(folder / "2")
        else:
            add_version(saved[2], folder, 3)
        wait_until(lambda: VersionStatus(2, "END") in served.status(NAME))
        assert served.ready()


def test_versions_that_are_not_there_are_told(folder, caplog):
    with serving(folder, versions=[7, 8]) as served, pytest.raises(FacenetError) as caught:
        served.wait_until_ready()
    assert f"{folder}: versions: expected some of 1, found 7, 8" in str(caught.value)
    caplog.clear()
    with ready(folder, versions=[1, 7]) as served:
        wait_until(lambda: [line for line in caplog.messages if "version 7" in line])
        assert served.predict(NAME, files(IMAGES[:1])).result(SECONDS).version == 1
    told = [line for line in caplog.messages if "version 7" in line]
    assert told == [f"{NAME} version 7 is not in {folder}"]


@pytest.mark.slow
def test_what_waits_at_the_end_is_answered_and_nothing_after(folder, gate):
    with ready(folder) as served:
        futures = [served.predict(NAME, files(IMAGES[i : i + 1])) for i in range(3)]
        closing = threading.Thread(target=served.close)
        closing.start()
        wait_until(lambda: VersionStatus(1, "UNLOADING") in served.status(NAME))
        refusal("UNAVAILABLE", served.predict, NAME, files(IMAGES[:1]))
        gate.opened.set()
        closing.join(SECONDS)
        for number, future in enumerate(futures):
            expected = expected_embeddings(IMAGES[number : number + 1], 1)
            np.testing.assert_allclose(embeddings(future), expected, atol=1e-6)


def test_models_that_cannot_be_served_are_refused(folder, tmp_path):
    (tmp_path / "file").touch()
    for models, told in (
        ({}, "at least one model"),
        ({NAME: tmp_path / "nowhere"}, "nowhere: expected the folder of a model"),
        ({NAME: tmp_path / "file"}, "file: expected the folder of a model"),
        ({NAME: folder / "1"}, f"found a version; name {folder}"),
        ({"a/b": folder}, "model name: expected letters"),
        ({"": folder}, "model name: expected letters"),
        ({"a b": folder}, "model name: expected letters"),
    ):
        with pytest.raises(FacenetError, match=r"models to serve: .*") as caught:
            ServedModels(models)
        assert told in str(caught.value)
    for versions in ("newest", "latest:0", "latest:x", "", [], [-1], ["1"], [True]):
        with pytest.raises(FacenetError, match="versions: expected latest, latest:N, all or num"):
            ServedModels({NAME: folder}, versions=versions)
    with pytest.raises(FacenetError, match="labels: expected names of models, found 'other'"):
        ServedModels({NAME: folder}, labels={"other": {"stable": 1}})


@pytest.mark.parametrize(
    ("versions", "served"), [("all", "2, 1"), ("latest", "2"), ([1], "1"), ([3], "none")]
)
def test_a_label_of_a_version_that_is_not_there_is_refused(tmp_path, versions, served):
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "saved_model.pb").touch()
    known = {"good": int(served[0])} if served != "none" else {}
    with pytest.raises(FacenetError) as caught:
        ServedModels({NAME: tmp_path}, versions=versions, labels={NAME: known | {"stable": 7}})
    told = f"label 'stable': expected one of the versions that are served, {served}, found 7"
    assert str(caught.value) == f"models to serve: {tmp_path}: {told}"


@pytest.mark.slow
def test_of_the_latest_so_many_stay(folder, saved):
    add_version(saved[2], folder, 2)
    with ready(folder, versions="latest:2") as served:
        assert served.predict(NAME, files(IMAGES[:1]), version=1).result().version == 1
        (folder / "4").mkdir()  # cannot be loaded: the two before stay
        (folder / "4" / "saved_model.pb").write_bytes(b"nonsense")
        wait_until(lambda: served.status(NAME)[0].error)
        assert served.predict(NAME, files(IMAGES[:1]), version=1).result().version == 1
        add_version(saved[2], folder, 5)
        wait_until(lambda: VersionStatus(1, "END") in served.status(NAME))
        for version in (2, 5):
            assert served.predict(NAME, files(IMAGES[:1]), version=version).result()


def test_a_folder_without_versions_is_told_when_one_waits_for_it(tmp_path):
    with (
        serving(tmp_path) as served,
        pytest.raises(FacenetError, match="expected numbered folders"),
    ):
        served.wait_until_ready()
