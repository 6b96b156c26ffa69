"""The state of a run: what is saved, restored and refused."""

import dataclasses

import keras
import numpy as np
import pytest
from made_up_windows import needs_locks
from toy_training import (
    CONFIG,
    StopAfter,
    assert_same_run,
    changed,
    checkpoints,
    contents,
    full_disk,
    load_run,
    train,
)

from facenet_lib import models, training
from facenet_lib.errors import FacenetError
from facenet_lib.runs import folder

pytestmark = pytest.mark.slow  # each test trains, or needs what was trained


@pytest.mark.parametrize("damage", ["truncated", "flipped byte"])
def test_a_damaged_checkpoint_is_told_and_the_one_before_used(
    run, faces, pairs, whole_run, capsys, damage
):
    newest = checkpoints(run)[-1]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content if damage == "flipped byte" else content[:-100])
    assert load_run(run).step == 12
    assert load_run(run).evaluation["step"] == 12
    assert str(newest) in capsys.readouterr().err
    train(CONFIG, faces, run, pairs, progress=False)
    assert f"{newest}: expected a whole checkpoint" in capsys.readouterr().err
    assert_same_run(run, whole_run)


def test_without_a_whole_checkpoint_nothing_is_begun_anew(run, faces, pairs):
    for path in checkpoints(run):
        path.write_bytes(path.read_bytes()[:1000])
    before = contents(run)
    for attempt in (
        lambda: train(CONFIG, faces, run, pairs, progress=False),
        lambda: load_run(run),
    ):
        with pytest.raises(FacenetError, match="no checkpoint is whole"):
            attempt()
    assert contents(run) == before


def test_a_mixed_run_of_the_real_network_resumes_exactly(tmp_path, faces):
    settings = {"precision": "mixed_bfloat16", "blocks": (0, 1, 0), "batch_size": 4}
    config = changed(**settings, epoch_size=2, epochs=1)
    assert training.train(config, faces, tmp_path / "whole", progress=False).finished
    out = tmp_path / "run"
    result = training.train(config, faces, out, progress=False, callbacks=[StopAfter(1)])
    assert (result.steps, result.finished) == (1, False)
    assert training.train(config, faces, out, progress=False).finished
    assert_same_run(out, tmp_path / "whole")

    loaded = models.load_run(out)
    # It did compute in bfloat16, and what it learns is float32.
    assert loaded.network.get_layer("Conv2d_1a_3x3").compute_dtype == "bfloat16"
    assert {weight.dtype for weight in loaded.network.trainable_variables} == {"float32"}
    with np.load(checkpoints(out)[0]) as first, np.load(checkpoints(out)[-1]) as last:
        kernels = [name for name in first.files if name.startswith("network/") and "kernel" in name]
        assert kernels
        assert not all(np.array_equal(first[name], last[name]) for name in kernels)
    with pytest.raises(FacenetError, match="precision was 'mixed_bfloat16' when the run began"):
        training.train(dataclasses.replace(config, precision="float32"), faces, out, progress=False)


def test_a_folder_of_something_else_is_refused(tmp_path, faces):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(FacenetError, match="not empty and no training run"):
        train(CONFIG, faces, tmp_path, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(FacenetError, match="cannot be written"):
        train(CONFIG, faces, tmp_path / "thesis.tex", progress=False)


def other_person(faces):
    return {"Other" if name == "Known_2" else name: paths for name, paths in faces.items()}


def other_images(faces):
    return dict(faces) | {"Known_2": tuple(reversed(faces["Known_2"]))}


def other_owner(faces):
    """As many images of as many people, one of which belongs to another person now."""
    first, second = faces["Known_1"], faces["Known_2"]
    return dict(faces) | {"Known_1": first[:-1], "Known_2": (first[-1], *second)}


@pytest.mark.parametrize(
    ("settings", "change", "told"),
    [
        ({"seed": 3, "width": 0.2, "epochs": 9}, dict, "seed was 0 when the run began, now 3"),
        ({"seed": 3, "width": 0.2, "epochs": 9}, dict, "width was 0.1 when the run began, now 0.2"),
        ({}, lambda faces: dict(list(faces.items())[:3]), "identities was 4 .* now 3"),
        ({}, lambda faces: dict(faces) | {"Known_2": faces["Known_2"][1:]}, "images was 32 .* 31"),
        ({}, other_person, "the people are not those"),
        ({}, other_images, "the people's images are not those"),
        ({}, other_owner, "the people's images are not those"),
    ],
)
def test_another_run_is_refused_by_what_differs(run, faces, settings, change, told):
    before = contents(run)
    with pytest.raises(FacenetError, match=f"(?s)holds another run.*{told}") as caught:
        train(changed(**settings), change(faces), run, progress=False)
    assert "epochs" not in str(caught.value)
    assert contents(run) == before


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"data": {}}', '{"data": 3}', "\x00"])
def test_a_damaged_configuration_is_refused(run, faces, content):
    (run / "config.json").write_text(content)
    for attempt in (lambda: train(CONFIG, faces, run, progress=False), lambda: load_run(run)):
        with pytest.raises(FacenetError, match=r"config\.json|holds another run"):
            attempt()


def test_too_small_a_network_leaves_no_folder(tmp_path, faces):
    with pytest.raises(FacenetError, match="image_size"):
        training.train(changed(image_size=60), faces, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_weights_that_are_not_finite_are_never_saved(tmp_path, faces):
    class Poison(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if logs["step"] == 12:  # the loss of this step was still finite
                self.model.trainable_variables[0].assign(
                    np.full(self.model.trainable_variables[0].shape, np.nan)
                )

    with pytest.raises(FacenetError, match=r"after step 12, network/.* holds NaN"):
        train(CONFIG, faces, tmp_path / "run", progress=False, callbacks=[Poison()])
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["00000006.npz"]


def test_a_full_disk_is_told_and_the_run_goes_on_later(tmp_path, faces, pairs, whole_run):
    out = tmp_path / "run"
    train(changed(epochs=1), faces, out, pairs, progress=False)
    size = checkpoints(out)[0].stat().st_size
    with full_disk(size // 2), pytest.raises(FacenetError, match="cannot be written"):
        train(CONFIG, faces, out, pairs, progress=False)
    assert [path.name for path in checkpoints(out)] == ["00000006.npz"]
    assert train(CONFIG, faces, out, pairs, progress=False).finished
    assert_same_run(out, whole_run)


def test_without_averages_the_weights_themselves_are_evaluated(tmp_path, faces):
    config = changed(ema_decay=0.0, epochs=1)
    train(config, faces, tmp_path / "run", progress=False)
    with np.load(checkpoints(tmp_path / "run")[-1]) as arrays:
        assert not [name for name in arrays.files if name.startswith("average/")]
        kernel = next(name for name in arrays.files if name.startswith("network/0000"))
        np.testing.assert_array_equal(load_run(tmp_path / "run").network.weights[0], arrays[kernel])


@needs_locks
def test_a_folder_in_which_another_process_trains_is_refused(run, faces, pairs, monkeypatch):
    monkeypatch.setattr(folder, "_SECONDS_TO_WAIT", 0)
    with (run / folder.LOCK_FILE).open("w") as lock:
        folder.fcntl.flock(lock, folder.fcntl.LOCK_EX)
        with pytest.raises(FacenetError, match="another process is training here"):
            train(changed(epochs=4), faces, run, pairs, progress=False)
    assert train(changed(epochs=4), faces, run, pairs, progress=False).finished
