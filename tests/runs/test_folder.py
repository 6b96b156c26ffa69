"""The folder of a run: who may claim it, what it holds, and folders that older versions wrote."""

import json
import shutil
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from made_up_windows import needs_locks
from table_rows import COLUMNS, VALIDATION, add_rows
from toy_training import CONFIG, assert_same_run, changed, contents, load_run, train

import facenet_lib
from facenet_lib.errors import FacenetError
from facenet_lib.runs import folder
from facenet_lib.runs.checkpoints import read_checkpoint, write_checkpoint
from facenet_lib.runs.folder import (
    checksum_images,
    claim_folder,
    read_config_file,
    read_identities,
    read_run_tables,
)
from facenet_lib.runs.tables import RunTables

PEOPLE = ["Ann", "Bo\u2028Li"]  # a name may hold a separator of lines that is no line's end
DATA = {"identities": 2, "images": 3, "image_names": "00c0ffee"}


def test_a_claimed_folder_tells_whose_it_is(tmp_path):
    with claim_folder(tmp_path / "run", CONFIG, PEOPLE, DATA):
        config, data = read_config_file(tmp_path / "run")
    assert (config, data) == (CONFIG, DATA)
    assert read_identities(tmp_path / "run") == PEOPLE
    written = json.loads((tmp_path / "run" / "config.json").read_text())
    assert written["facenet_lib"] == facenet_lib.__version__
    there = {path.name for path in (tmp_path / "run").iterdir()}
    assert there - {"lock"} == {"checkpoints", "config.json", "identities.txt"}


@needs_locks
def test_only_one_claims_a_folder_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "_SECONDS_TO_WAIT", 0)
    with (
        claim_folder(tmp_path, CONFIG, PEOPLE, DATA),
        pytest.raises(FacenetError, match="another process is training here"),
        claim_folder(tmp_path, CONFIG, PEOPLE, DATA),
    ):
        pass
    with claim_folder(tmp_path, changed(epochs=9), PEOPLE, DATA):
        pass
    assert read_config_file(tmp_path)[0].epochs == 9


@needs_locks
def test_who_looks_at_a_run_for_a_moment_is_waited_for(tmp_path, monkeypatch, capsys):
    """As two notebooks do that open one finished run at the same time."""
    with ExitStack() as other:
        other.enter_context(claim_folder(tmp_path, CONFIG, PEOPLE, DATA))
        monkeypatch.setattr(folder.time, "sleep", lambda seconds: other.close())
        with claim_folder(tmp_path, CONFIG, PEOPLE, DATA):
            assert read_identities(tmp_path) == PEOPLE
    assert capsys.readouterr().err.count("waiting for the process") == 1


@pytest.mark.parametrize(
    ("config", "people", "data", "told"),
    [
        (changed(seed=1), PEOPLE, {}, "seed was 0 when the run began, now 1"),
        (CONFIG, PEOPLE[::-1], {}, "the people are not those"),
        (CONFIG, PEOPLE, {"images": 4}, "images was 3 when the run began, now 4"),
        (CONFIG, PEOPLE, {"image_names": "0"}, "the people's images are not those"),
    ],
)
def test_another_run_s_folder_is_refused_and_left_alone(tmp_path, config, people, data, told):
    with claim_folder(tmp_path, CONFIG, PEOPLE, DATA):
        before = contents(tmp_path)
    with (
        pytest.raises(FacenetError, match=f"holds another run.*{told}"),
        claim_folder(tmp_path, config, people, DATA | data),
    ):
        pass
    assert contents(tmp_path) == before


def test_the_checksum_is_of_names_and_owners_and_not_of_folders():
    first = checksum_images(["a/1.jpg", "a/2.jpg"], [0, 1])
    assert checksum_images(["b/1.jpg", "c/2.jpg"], [0, 1]) == first
    assert checksum_images(["a/1.jpg", "a/2.jpg"], [0, 0]) != first
    assert checksum_images(["a/2.jpg", "a/1.jpg"], [0, 1]) != first


def test_all_tables_of_a_run_are_read_and_empty_ones_are_none(tmp_path):
    with claim_folder(tmp_path, CONFIG, PEOPLE, DATA):
        with RunTables(tmp_path, 0, COLUMNS) as tables:
            pass
        steps, *others = read_run_tables(tmp_path)
        assert len(steps["step"]) == 0
        assert others == [None, None, None]
        with RunTables(tmp_path, 0, COLUMNS, VALIDATION) as tables:
            add_rows(tables, range(1, 7))
    steps, evaluations, validations, histograms = read_run_tables(tmp_path)
    assert len(steps["step"]) == 6
    assert evaluations["step"].tolist() == validations["step"].tolist() == [3, 6]
    assert histograms[0].tolist() == [0, 1]
    with pytest.raises(FacenetError, match="not a training run"):
        read_run_tables(tmp_path / "checkpoints")


# Folders that older versions wrote

OLD_NAMES = {"ema_decay": "average_decay", "clip_norm": "gradient_norm"}


@pytest.fixture
def old_run(tmp_path, toy_run):
    """The run as the first versions wrote it: other names and words, the same state."""
    run = Path(shutil.copytree(toy_run, tmp_path / "old"))
    config = json.loads((run / "config.json").read_text())
    old = {OLD_NAMES.get(name, name): value for name, value in config.items()}
    assert {"average_decay", "gradient_norm"} <= old.keys()
    (run / "config.json").write_text(json.dumps(old | {"evaluate_metric": "euclidean"}))
    checkpoint = read_checkpoint(run / "checkpoints" / "00000018.npz")
    images = CONFIG.epochs * CONFIG.epoch_size * CONFIG.batch_size
    state = {
        "epoch": 3,
        "position": 0,
        "step": 18,
        "seconds": checkpoint.state["seconds"],
        "queue": {"range_size": 32, "seed": CONFIG.seed, "position": images},
        "prelogits_counts": [0] * 50,
    }
    assert state == checkpoint.state  # and so is today's
    write_checkpoint(run / "checkpoints", 18, checkpoint.arrays, state)
    return run


def test_an_older_run_is_loaded(old_run, toy_run):
    old, new = load_run(old_run), load_run(toy_run)
    assert (old.config, old.evaluation) == (new.config, new.evaluation)
    for one, two in zip(old.network.get_weights(), new.network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.slow
def test_an_older_run_goes_on_as_a_new_one(tmp_path, old_run, toy_run, toy_faces, toy_pairs):
    new_run = Path(shutil.copytree(toy_run, tmp_path / "new"))
    for run in (old_run, new_run):
        train(changed(epochs=4), toy_faces, run, toy_pairs, progress=False)
    assert_same_run(old_run, new_run)
    assert "average_decay" not in json.loads((old_run / "config.json").read_text())


def test_a_folder_with_a_system_s_own_files_is_free(tmp_path):
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (tmp_path / name).touch()
    (tmp_path / "@eaDir").mkdir()
    with claim_folder(tmp_path, CONFIG, PEOPLE, DATA):
        pass
    assert read_identities(tmp_path) == PEOPLE


def test_a_run_goes_on_with_names_in_another_form(tmp_path):
    checksums = [checksum_images([f"{zoe}/{zoe}_1.jpg"], [0]) for zoe in ("Zo\u00eb", "Zoe\u0308")]
    assert checksums[0] == checksums[1]
    for name in ("Zoe\u0308", "Zo\u00eb"):
        with claim_folder(tmp_path, CONFIG, [name, "Ann"], DATA):
            assert read_identities(tmp_path) == ["Zo\u00eb", "Ann"]
