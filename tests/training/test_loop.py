import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from toy_training import (
    SETTINGS,
    SIZE,
    draw_people,
    full_disk,
    toy_network,
    write_ten_folds,
)

from facenet_lib import models, verification
from facenet_lib.center_loss import total_loss
from facenet_lib.datasets import write_distances
from facenet_lib.embedding import embed_images, unique_files
from facenet_lib.errors import FacenetError
from facenet_lib.index_queue import IndexQueue, image_and_label_lists
from facenet_lib.input_pipeline import Preprocessing, decode_image, input_pipeline
from facenet_lib.models import (
    load_network,
    load_run,
    network_of,
    network_settings,
    preprocessing_of,
)
from facenet_lib.network.inception_resnet import inception_resnet_v1
from facenet_lib.published.model_folder import tf1_variable_names
from facenet_lib.runs.checkpoints import last_checkpoint
from facenet_lib.runs.config import END_POINTS, TrainingConfig
from facenet_lib.runs.tables import read_metrics, read_prelogits_histograms
from facenet_lib.softmax_heads import SoftmaxHead
from facenet_lib.training import loop as training
from facenet_lib.training import objectives
from facenet_lib.training import state as run_state
from facenet_lib.training.loop import train
from facenet_lib.verification import EvaluationPairs, evaluate, evaluate_pairs

CONFIG = TrainingConfig(**SETTINGS)


def changed(**settings):
    return dataclasses.replace(CONFIG, **settings)


@pytest.fixture(autouse=True)
def small_network(monkeypatch):
    monkeypatch.setattr(models, "network_of", toy_network)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return draw_people(tmp_path_factory.mktemp("faces"), "Known")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    root = tmp_path_factory.mktemp("pairs")
    write_ten_folds(root / "pairs.txt", draw_people(root, "Unknown", images=6, seed=1))
    return EvaluationPairs.from_file(root / "pairs.txt", root)


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory, faces, pairs):
    """A run that nothing interrupted."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "network_of", toy_network)
        result = train(CONFIG, faces, out, pairs, progress=False)
    assert result.finished
    return out


@pytest.fixture
def run(tmp_path, whole_run):
    """A copy of that run, to be damaged."""
    return Path(shutil.copytree(whole_run, tmp_path / "run"))


class StopAfter(keras.callbacks.Callback):
    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def on_train_batch_end(self, batch, logs=None):
        self.steps -= 1
        self.model.stop_training = self.steps <= 0


def checkpoints(run):
    return sorted((run / "checkpoints").iterdir())


def contents(run):
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def assert_same_run(run, other):
    """Bit for bit: all variables, where the queue stands, and every figure but the times."""
    with np.load(checkpoints(run)[-1]) as one, np.load(checkpoints(other)[-1]) as two:
        assert set(one.files) == set(two.files)
        for name in set(one.files) - {"state"}:
            np.testing.assert_array_equal(one[name], two[name], err_msg=name)
        states = [json.loads(archive["state"].tobytes()) for archive in (one, two)]
    for state in states:
        assert state.pop("seconds") > 0
    assert states[0] == states[1]
    for file, time in (("metrics.csv", "images_per_second"), ("evaluations.csv", "minutes")):
        tables = [read_metrics(path / file) for path in (run, other)]
        for name in tables[0].keys() - {time}:
            np.testing.assert_array_equal(tables[0][name], tables[1][name], err_msg=name)


# ------------------------------------------------------------------------------ a whole run


def test_a_run_learns_faces_that_are_easy_to_tell_apart(whole_run):
    table = read_metrics(whole_run / "metrics.csv")
    assert table["step"].tolist() == list(range(1, 19))
    assert table["epoch"].tolist() == [0.0] * 6 + [1.0] * 6 + [2.0] * 6
    assert table["learning_rate"].tolist() == [0.01] * 12 + [0.005] * 6
    assert table["total"][-6:].mean() < table["total"][:6].mean() / 2
    assert table["accuracy"][-6:].mean() > 0.9 > table["accuracy"][:2].mean()
    evaluations = read_metrics(whole_run / "evaluations.csv")
    assert evaluations["step"].tolist() == [6, 12, 18]
    assert evaluations["epoch"].tolist() == [1, 2, 3]
    assert evaluations["accuracy"][-1] > 0.8


def test_the_terms_add_up_to_the_total(whole_run):
    table = read_metrics(whole_run / "metrics.csv")
    total = (
        table["cross_entropy"]
        + CONFIG.center_loss_factor * table["center_loss"]
        + CONFIG.prelogits_norm_factor * table["prelogits_norm"]
        + CONFIG.weight_decay * table["weight_decay"]
    )
    np.testing.assert_allclose(table["total"], total, rtol=1e-5)


def test_tensorboard_tells_the_same_as_the_tables(whole_run):
    found = {}
    for path in (whole_run / "tensorboard").iterdir():
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                array = tf.make_ndarray(value.tensor)
                if array.ndim == 0:
                    found.setdefault(value.tag, []).append(float(array))
    metrics = read_metrics(whole_run / "metrics.csv")
    np.testing.assert_allclose(found["train/total"], metrics["total"], rtol=1e-6)
    evaluations = read_metrics(whole_run / "evaluations.csv")
    np.testing.assert_allclose(found["pairs/accuracy"], evaluations["accuracy"], rtol=1e-6)


def test_the_first_step_is_what_its_parts_say(tmp_path, faces):
    """Queue, pipeline, network and loss put together by hand, the cross-entropy in numpy."""
    config = changed(dropout_rate=0.0, epoch_size=1, epochs=1)
    train(config, faces, tmp_path / "run", progress=False)

    images, labels = image_and_label_lists(faces)
    indices = IndexQueue(len(images), config.seed).dequeue_many(config.batch_size)
    controls = training.augmentation_of(config)
    batch = next(
        iter(
            input_pipeline(
                [images[index] for index in indices],
                controls=controls,
                preprocessing=preprocessing_of(config),
                batch_size=config.batch_size,
                seed=config.seed,
            )
        )
    )
    keras.utils.set_random_seed(config.seed)
    network = toy_network(config)
    head = SoftmaxHead(len(faces), config.embedding_size)
    head.build()
    prelogits = network(batch["images"], training=True)
    kernel, bias = (np.asarray(variable, np.float64) for variable in head.variables)
    logits = prelogits.numpy() @ kernel.T + bias
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    right = probabilities[np.arange(len(indices)), [labels[index] for index in indices]]
    row = {k: v[0] for k, v in read_metrics(tmp_path / "run" / "metrics.csv").items()}
    assert row["cross_entropy"] == pytest.approx(-np.log(right).mean(), rel=1e-4)
    # The centers are zero at first.
    assert row["center_loss"] == pytest.approx(np.square(prelogits).mean(), rel=1e-4)


def test_the_step_is_traced_once(tmp_path, faces, monkeypatch):
    traces = []

    def counted(*arguments, **options):
        traces.append(1)
        return total_loss(*arguments, **options)

    monkeypatch.setattr(objectives, "total_loss", counted)
    broken = dict(faces) | {"Known_0": (tmp_path / "missing.jpg", *faces["Known_0"][1:])}
    config = changed(damaged_images="skip", learning_rates={0: 0.01, 1: 0.02, 2: 0.03})
    train(config, broken, tmp_path / "run", progress=False)
    table = read_metrics(tmp_path / "run" / "metrics.csv")
    assert table["learning_rate"][-1] == 0.03
    assert len(traces) == 1


def test_callbacks_see_steps_and_epochs(tmp_path, faces, pairs):
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen.append(("begin", self.model.name, self.params["epochs"], self.params["steps"]))

        def on_train_batch_end(self, batch, logs=None):
            seen.append(("step", batch, logs["step"], logs["total"] > 0))

        def on_epoch_end(self, epoch, logs=None):
            seen.append(("epoch", epoch, logs["step"], 0 <= logs["pairs_accuracy"] <= 1))

        def on_train_end(self, logs=None):
            seen.append(("end",))

    model = toy_network(CONFIG).name.rsplit("_", 1)[0]
    config = changed(epoch_size=2, epochs=2)
    train(config, faces, tmp_path / "run", pairs, progress=False, callbacks=[Watch()])
    assert seen.pop(0)[1].startswith(model)
    assert seen == [
        ("step", 0, 1, True),
        ("step", 1, 2, True),
        ("epoch", 0, 2, True),
        ("step", 0, 3, True),
        ("step", 1, 4, True),
        ("epoch", 1, 4, True),
        ("end",),
    ]


def test_a_callback_may_end_the_run_after_an_epoch(tmp_path, faces):
    class Enough(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    result = train(CONFIG, faces, tmp_path / "run", progress=False, callbacks=[Enough()])
    assert (result.steps, result.finished) == (6, False)
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["00000006.npz"]


def test_progress_is_a_line_an_epoch_or_nothing(tmp_path, faces, pairs, capsys):
    config = changed(epoch_size=1, epochs=2)
    train(config, faces, tmp_path / "said", pairs)
    said = capsys.readouterr().err
    assert "epoch 1: loss" in said
    assert "epoch 2: loss" in said
    assert "pairs " in said
    train(config, faces, tmp_path / "silent", pairs, progress=False)
    assert capsys.readouterr() == ("", "")


# ------------------------------------------------------------------------------ stop and go on


def test_a_finished_run_is_left_as_it_is(run, faces, pairs):
    before = contents(run)
    result = train(CONFIG, faces, run, pairs, progress=False)
    assert (result.steps, result.finished) == (18, True)
    assert result.evaluation["step"] == 18
    assert contents(run) == before


@pytest.mark.parametrize("stops", [(4,), (6,), (1, 12)])
def test_a_stopped_run_ends_as_the_run_left_alone(tmp_path, faces, pairs, whole_run, stops):
    out, steps = tmp_path / "run", 0
    for stop in stops:
        result = train(CONFIG, faces, out, pairs, progress=False, callbacks=[StopAfter(stop)])
        steps += stop
        assert (result.steps, result.finished) == (steps, False)
    assert train(CONFIG, faces, out, pairs, progress=False).finished
    assert_same_run(out, whole_run)


def test_a_stopped_run_that_skips_images_ends_as_the_run_left_alone(tmp_path, faces, capsys):
    missing = [tmp_path / "missing_1.jpg", tmp_path / "missing_2.jpg"]
    broken = dict(faces) | {"Known_0": (*missing, *faces["Known_0"][2:])}
    config = changed(damaged_images="skip")
    train(config, broken, tmp_path / "alone", progress=False)
    said = capsys.readouterr().err
    for epoch in (1, 2, 3):
        assert f"epoch {epoch}: 2 damaged images left out, such as {tmp_path}/missing_" in said
    out = tmp_path / "run"
    for stop in (2, 3, 5):
        train(config, broken, out, progress=False, callbacks=[StopAfter(stop)])
    assert train(config, broken, out, progress=False).finished
    assert_same_run(out, tmp_path / "alone")


def test_more_epochs_go_on_from_a_finished_run(tmp_path, faces, pairs, whole_run):
    out = tmp_path / "run"
    assert train(changed(epochs=1), faces, out, pairs, progress=False).finished
    assert train(CONFIG, faces, out, pairs, progress=False).steps == 18
    assert_same_run(out, whole_run)
    assert load_run(out).config == CONFIG


def test_ctrl_c_ends_the_step_and_saves(tmp_path, faces, pairs, whole_run):
    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 3:
                signal.raise_signal(signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    out = tmp_path / "run"
    result = train(CONFIG, faces, out, pairs, progress=False, callbacks=[Interrupt()])
    assert (result.steps, result.finished) == (4, False)
    assert signal.getsignal(signal.SIGINT) is handler
    train(CONFIG, faces, out, pairs, progress=False)
    assert_same_run(out, whole_run)


def test_a_second_ctrl_c_does_not_wait(tmp_path, faces):
    class Impatient(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, faces, tmp_path / "run", progress=False, callbacks=[Impatient()])
    assert signal.getsignal(signal.SIGINT) is handler


def test_an_evaluation_that_a_kill_prevented_is_made_up_for(run, faces, pairs, whole_run):
    path = run / "evaluations.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    result = train(CONFIG, faces, run, pairs, progress=False)
    assert result.evaluation["step"] == 18
    assert_same_run(run, whole_run)


def test_what_a_kill_left_after_the_checkpoint_is_dropped(tmp_path, faces, pairs, whole_run):
    out = tmp_path / "run"
    train(CONFIG, faces, out, pairs, progress=False, callbacks=[StopAfter(8)])
    lost = (whole_run / "metrics.csv").read_text().splitlines(keepends=True)[9:12]
    with (out / "metrics.csv").open("a") as file:
        file.write("".join(lost) + "1,12,0.0")
    (out / "checkpoints" / "00000012.npz.part").write_bytes(b"half of it")
    train(CONFIG, faces, out, pairs, progress=False)
    assert_same_run(out, whole_run)


def test_what_a_kill_in_the_first_moment_left_is_no_other_run(tmp_path, faces):
    out = tmp_path / "run"
    (out / "checkpoints").mkdir(parents=True)
    (out / "identities.txt").write_text("half")
    (out / "config.json.part").write_text("{")
    assert train(changed(epochs=1), faces, out, progress=False).finished


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
    assert f"{newest}: damaged checkpoint" in capsys.readouterr().err
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


def test_a_mixed_run_of_the_real_network_resumes_exactly(tmp_path, faces, monkeypatch):
    monkeypatch.setattr(models, "network_of", network_of)
    settings = {"precision": "mixed_bfloat16", "blocks": (1, 1, 1), "batch_size": 4}
    config = changed(**settings, epoch_size=2, epochs=1)
    assert train(config, faces, tmp_path / "whole", progress=False).finished
    out = tmp_path / "run"
    result = train(config, faces, out, progress=False, callbacks=[StopAfter(1)])
    assert (result.steps, result.finished) == (1, False)
    assert train(config, faces, out, progress=False).finished
    assert_same_run(out, tmp_path / "whole")

    loaded = load_run(out)
    # It did compute in bfloat16, and what it learns is float32.
    assert loaded.network.get_layer("Conv2d_1a_3x3").compute_dtype == "bfloat16"
    assert {weight.dtype for weight in loaded.network.trainable_variables} == {"float32"}
    with np.load(checkpoints(out)[0]) as first, np.load(checkpoints(out)[-1]) as last:
        kernels = [name for name in first.files if name.startswith("network/") and "kernel" in name]
        assert kernels
        assert not all(np.array_equal(first[name], last[name]) for name in kernels)
    with pytest.raises(FacenetError, match="precision was 'mixed_bfloat16' when the run began"):
        train(dataclasses.replace(config, precision="float32"), faces, out, progress=False)


# ------------------------------------------------------------------------------ refusals


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


def test_what_is_no_run_cannot_be_loaded(tmp_path, run):
    with pytest.raises(FacenetError, match="not a training run"):
        load_run(tmp_path)
    (run / "identities.txt").unlink()
    with pytest.raises(FacenetError, match=r"identities\.txt"):
        load_run(run)
    shutil.rmtree(run / "checkpoints")
    (run / "identities.txt").touch()
    with pytest.raises(FacenetError, match="no checkpoint yet"):
        load_run(run)


def test_a_run_of_other_variables_is_refused(run, monkeypatch):
    monkeypatch.setattr(
        training, "network_of", lambda config: keras.Sequential([keras.Input((3,))])
    )
    with pytest.raises(FacenetError, match=r"(?s)00000018\.npz.*conv.*: unknown|kernel: unknown"):
        load_run(run)


def test_a_classifier_needs_two_people(tmp_path, faces):
    few = {"Known_0": faces["Known_0"], "Known_1": faces["Known_1"][:2]}
    with pytest.raises(FacenetError, match="at least 2 people with 3 or more images, found 1"):
        train(changed(minimum_images=3), few, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_too_small_a_network_leaves_no_folder(tmp_path, faces, monkeypatch):
    monkeypatch.setattr(models, "network_of", network_of)
    with pytest.raises(FacenetError, match="image_size"):
        train(changed(image_size=60), faces, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------------------ mishaps


def test_a_loss_that_is_not_finite_stops_the_run_by_step(tmp_path, faces):
    config = changed(learning_rates={0: 0.01, 1: 1e38})
    told = r"the loss of step [89] is (nan|inf): .* diverged"
    with pytest.raises(FacenetError, match=told) as stopped:
        train(config, faces, tmp_path / "run", progress=False)
    *_, good, images = str(stopped.value).splitlines()
    assert good == f"Last good checkpoint: {checkpoints(tmp_path / 'run')[-1]}"
    paths = {str(path) for person in faces.values() for path in person}
    named, more = images.removeprefix("Images of the step: ").rsplit(" and ", 1)
    assert set(named.split(", ")) <= paths
    assert more == "3 more"  # of a batch of 8
    loaded = load_run(tmp_path / "run")
    assert loaded.step == 6
    assert all(np.isfinite(variable).all() for variable in loaded.network.weights)


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


def test_a_damaged_image_stops_the_run_by_name_and_costs_no_step(tmp_path, faces, pairs, whole_run):
    images, _ = image_and_label_lists(faces)
    queue = IndexQueue(len(images), CONFIG.seed)
    per_epoch = CONFIG.epoch_size * CONFIG.batch_size
    # 48 of 32 images an epoch: all are in the first; so the damage comes after the first epoch.
    assert len(set(queue.dequeue_many(per_epoch))) == 32
    out = tmp_path / "run"
    train(changed(epochs=1), faces, out, pairs, progress=False)
    second_epoch = queue.dequeue_many(per_epoch).tolist()
    latest = max(set(second_epoch), key=second_epoch.index)
    steps_before = second_epoch.index(latest) // CONFIG.batch_size
    assert steps_before > 0
    victim = Path(images[latest])
    content = victim.read_bytes()
    try:
        victim.write_bytes(content[:200])
        with pytest.raises(FacenetError) as caught:
            train(CONFIG, faces, out, pairs, progress=False)
        assert str(caught.value).count(str(victim)) == 1
        assert load_run(out).step == 6 + steps_before
    finally:
        victim.write_bytes(content)
    assert train(CONFIG, faces, out, pairs, progress=False).finished
    assert_same_run(out, whole_run)


def test_an_epoch_without_any_image_is_refused(tmp_path):
    broken = {name: (tmp_path / f"{name}.jpg",) for name in ("A", "B")}
    with pytest.raises(FacenetError, match="none of the 48 images of an epoch can be decoded"):
        train(changed(damaged_images="skip"), broken, tmp_path / "run", progress=False)


def test_a_full_disk_is_told_and_the_run_goes_on_later(tmp_path, faces, pairs, whole_run):
    out = tmp_path / "run"
    train(changed(epochs=1), faces, out, pairs, progress=False)
    size = checkpoints(out)[0].stat().st_size
    with full_disk(size // 2), pytest.raises(FacenetError, match="cannot be written"):
        train(CONFIG, faces, out, pairs, progress=False)
    assert [path.name for path in checkpoints(out)] == ["00000006.npz"]
    assert train(CONFIG, faces, out, pairs, progress=False).finished
    assert_same_run(out, whole_run)


# ------------------------------------------------------------------------------ strategies


def test_a_mirrored_strategy_of_one_device_changes_nothing(tmp_path, faces, pairs, whole_run):
    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        train(CONFIG, faces, tmp_path / "run", pairs, progress=False)
    assert_same_run(tmp_path / "run", whole_run)


def test_two_devices_train_one_network_and_resume_exactly(tmp_path, faces):
    """In a process of its own, whose processor is told to be two devices."""
    program = """
        import sys
        from pathlib import Path
        import tensorflow as tf
        cpu = tf.config.list_physical_devices("CPU")[0]
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
        from facenet_lib.training import objectives
from facenet_lib.training import state as run_state
        from facenet_lib.training import loop as training
        from facenet_lib.datasets import read_faces
        from toy_training import SETTINGS, toy_network
        models.network_of = toy_network
        faces, out = read_faces(sys.argv[1]), Path(sys.argv[2])
        def train(epochs, name):
            with tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"]).scope():
                config = runs.TrainingConfig(**SETTINGS | {"epochs": epochs})
                return training.train(config, faces, out / name, progress=False)
        assert train(3, "whole").finished
        train(1, "resumed")
        assert train(3, "resumed").steps == 18
    """
    root = faces["Known_0"][0].parent.parent
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(root), str(tmp_path)],
        check=True,
        env=os.environ
        | {"PYTHONPATH": str(Path(__file__).parents[1]), "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    table = read_metrics(tmp_path / "whole" / "metrics.csv")
    assert table["total"][-6:].mean() < table["total"][:6].mean() / 2
    resumed = read_metrics(tmp_path / "resumed" / "metrics.csv")
    np.testing.assert_array_equal(resumed["total"], table["total"])


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"batch_size": 9}, "batch_size: expected equal parts for 2 replicas, found 9"),
        (
            {"loss": "triplet", "images_per_person": 4, "batch_size": 12},
            "batch_size: expected equal parts of whole people for 2 replicas, found 12",
        ),
        ({"damaged_images": "skip"}, "damaged_images: expected raise, because replicas"),
        ({}, ""),
    ],
)
def test_a_batch_that_replicas_cannot_share_is_refused(settings, told):
    strategy = SimpleNamespace(num_replicas_in_sync=2)
    problems = training._sharing_problems(changed(**settings), strategy)
    assert len(problems) == bool(told)
    assert "".join(problems).startswith(told)


def test_a_run_killed_at_ten_moments_ends_as_the_run_left_alone(tmp_path, faces):
    root = faces["Known_0"][0].parent.parent
    program = Path(__file__).parents[1] / "killed_training.py"
    done = subprocess.run(
        [sys.executable, str(program), str(root), str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("killed after checkpoint") == 10
    assert_same_run(tmp_path / "killed", tmp_path / "alone")
    for file, time in (("validations.csv", "minutes"), ("prelogits.csv", None)):
        tables = [read_metrics(tmp_path / name / file) for name in ("killed", "alone")]
        for column in tables[0].keys() - {time}:
            np.testing.assert_array_equal(tables[0][column], tables[1][column], err_msg=column)
    assert len(json.loads((tmp_path / "killed" / "record.json").read_text())) == 11


# ------------------------------------------------------------------------------ more of a run


def test_the_averages_follow_the_weights_as_tf1_had_it(tmp_path, faces):
    """Written out: an average keeps min(decay, (1 + step) / (10 + step)) of itself."""
    config = changed(ema_decay=0.5, epoch_size=1, epochs=4, learning_rates={0: 0.01})

    class Weights(keras.callbacks.Callback):
        seen: ClassVar[list] = []

        def on_train_begin(self, logs=None):
            self.seen.append(self.model.get_weights())

        def on_train_batch_end(self, batch, logs=None):
            self.seen.append(self.model.get_weights())

    watch = Weights()
    train(config, faces, tmp_path / "run", progress=False, callbacks=[watch])
    expected, *later = [[w.astype(np.float64) for w in weights] for weights in watch.seen]
    for step, weights in enumerate(later, start=1):
        kept = min(0.5, (1 + step) / (10 + step))
        pairs = zip(expected, weights, strict=True)
        expected = [kept * average + (1 - kept) * weight for average, weight in pairs]
    averages = load_run(tmp_path / "run").network.get_weights()
    for found, average, last in zip(averages, expected, later[-1], strict=True):
        np.testing.assert_allclose(found, average, rtol=1e-4, atol=1e-6)
        assert not np.allclose(found, last, rtol=1e-4, atol=1e-6)


def test_without_averages_the_weights_themselves_are_evaluated(tmp_path, faces):
    config = changed(ema_decay=0.0, epochs=1)
    train(config, faces, tmp_path / "run", progress=False)
    with np.load(checkpoints(tmp_path / "run")[-1]) as arrays:
        assert not [name for name in arrays.files if name.startswith("average/")]
        kernel = next(name for name in arrays.files if name.startswith("network/0000"))
        np.testing.assert_array_equal(load_run(tmp_path / "run").network.weights[0], arrays[kernel])


@pytest.mark.parametrize("optimizer", ["ADAGRAD", "ADADELTA", "RMSPROP", "MOM"])
def test_every_optimizer_trains_and_resumes_exactly(tmp_path, faces, optimizer):
    rate = {"ADADELTA": 1.0, "RMSPROP": 0.05}.get(optimizer, 0.05)
    config = changed(optimizer=optimizer, learning_rates={0: rate}, epochs=2)
    train(config, faces, tmp_path / "whole", progress=False)
    train(config, faces, tmp_path / "run", progress=False, callbacks=[StopAfter(4)])
    train(config, faces, tmp_path / "run", progress=False)
    assert_same_run(tmp_path / "run", tmp_path / "whole")
    losses = read_metrics(tmp_path / "whole" / "metrics.csv")["cross_entropy"]
    assert losses[-3:].mean() < losses[:3].mean()


@pytest.fixture(scope="module")
def triplet_config():
    return changed(
        loss="triplet", images_per_person=4, epoch_size=10, learning_rates={0: 0.003}, epochs=3
    )


def test_a_triplet_run_learns_and_resumes_exactly(tmp_path, faces, pairs, triplet_config):
    train(triplet_config, faces, tmp_path / "whole", pairs, progress=False)
    stop = [StopAfter(14)]
    train(triplet_config, faces, tmp_path / "run", pairs, progress=False, callbacks=stop)
    train(triplet_config, faces, tmp_path / "run", pairs, progress=False)
    assert_same_run(tmp_path / "run", tmp_path / "whole")
    table = read_metrics(tmp_path / "whole" / "metrics.csv")
    assert list(table)[3:6] == ["total", "triplet_loss", "active_fraction"]
    assert read_metrics(tmp_path / "whole" / "evaluations.csv")["accuracy"][-1] >= 0.9


def test_a_triplet_run_that_diverges_is_told_by_step(tmp_path, faces, triplet_config):
    config = dataclasses.replace(triplet_config, learning_rates={0: 0.003, 1: 1e38})
    with pytest.raises(FacenetError, match=r"the loss of step 1[12] is (nan|inf): .* diverged"):
        train(config, faces, tmp_path / "run", progress=False)
    assert load_run(tmp_path / "run").step == 10


def test_people_too_few_to_validate_with_are_refused_before_training(tmp_path, faces):
    few = {name: faces[name][:2] for name in list(faces)}
    config = changed(validation_part=0.2, validation_by="identities")
    with pytest.raises(FacenetError, match="pair"):
        train(config, few, tmp_path / "run", progress=False)
    assert not (tmp_path / "run" / "metrics.csv").read_text().splitlines()[1:]


def test_a_collapsed_triplet_run_is_stopped_and_explained(
    tmp_path, faces, triplet_config, monkeypatch
):
    monkeypatch.setattr(training, "COLLAPSED_SPREAD", 3.0)  # any spread is below
    monkeypatch.setattr(training, "COLLAPSED_STEPS", 12)
    with pytest.raises(FacenetError, match="step 12: the embeddings have collapsed") as stopped:
        train(triplet_config, faces, tmp_path / "run", progress=False)
    assert "00000010.npz" in str(stopped.value)
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["00000010.npz"]


def test_a_center_that_overshoots_is_told_once_by_name(tmp_path, faces, capsys):
    config = changed(center_loss_alpha=0.0, epoch_size=2, epochs=1)
    train(config, faces, tmp_path / "run", progress=False)
    said = capsys.readouterr().err
    assert said.count("warning: step") == 1
    assert "center" in said
    train(changed(epoch_size=2, epochs=1), faces, tmp_path / "calm", progress=False)
    assert "warning" not in capsys.readouterr().err


def test_images_held_out_are_validated_and_never_trained_on(tmp_path, faces):
    config = changed(validation_part=0.25, validate_every=2)
    training_faces, held_out = training.prepare_faces(config, faces)
    assert not {p for ps in training_faces.values() for p in ps} & {
        p for ps in held_out.values() for p in ps
    }
    train(config, faces, tmp_path / "run", progress=False)
    table = read_metrics(tmp_path / "run" / "validations.csv")
    np.testing.assert_array_equal(table["step"], [12, 18])
    config_file = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config_file["data"]["images"] == 24
    # By hand, from what the run saved: the network as trained, without averages.
    arrays = last_checkpoint(tmp_path / "run" / "checkpoints").arrays
    network = toy_network(config)
    for variable, name in zip(
        network.variables, sorted(n for n in arrays if n.startswith("network/")), strict=True
    ):
        variable.assign(arrays[name])
    kernel, bias = (arrays[f"head/{name}"] for name in ("0000/kernel", "0001/bias"))
    losses, right = [], []
    for label, (_, paths) in enumerate(held_out.items()):
        batch = next(
            iter(input_pipeline(paths, preprocessing=preprocessing_of(config), batch_size=9))
        )
        logits = network(batch["images"], training=False).numpy() @ kernel.T + bias
        losses += list(np.log(np.exp(logits).sum(axis=1)) - logits[:, label])
        right += list(logits.argmax(axis=1) == label)
    assert table["cross_entropy"][-1] == pytest.approx(np.mean(losses), rel=1e-3)
    assert table["accuracy"][-1] == np.mean(right)


def test_people_held_out_are_verified(tmp_path, faces):
    config = changed(validation_part=0.5, validation_by="identities", epochs=1)
    train(config, faces, tmp_path / "run", progress=False)
    table = read_metrics(tmp_path / "run" / "validations.csv")
    assert 0.5 <= table["accuracy"][0] <= 1
    assert len((tmp_path / "run" / "identities.txt").read_text().splitlines()) == 2


def test_images_far_from_their_persons_mean_are_left_out(tmp_path, faces):
    distances = np.arange(32.0)
    write_distances(tmp_path / "far.csv", faces, distances)
    config = changed(
        filter_distances=str(tmp_path / "far.csv"), filter_percentile=75.0, minimum_images=3
    )
    kept, held_out = training.prepare_faces(config, faces)
    assert not held_out
    assert sum(len(paths) for paths in kept.values()) == 24
    assert list(kept) == list(faces)[:3]  # the last person's are the furthest


def test_evaluations_are_as_the_settings_want_them(tmp_path, faces, pairs, monkeypatch):
    asked = []
    whole = verification.evaluate_pairs

    def watched(embed, pairs, metric, subtract_mean):
        asked.append((embed.keywords["flip"], metric, subtract_mean))
        return whole(embed, pairs, metric, subtract_mean)

    monkeypatch.setattr(verification, "evaluate_pairs", watched)
    config = changed(
        epochs=1, evaluate_flip=True, evaluate_metric="angular", evaluate_subtract_mean=True
    )
    train(config, faces, tmp_path / "run", pairs, progress=False)
    assert asked == [(True, "angular", True)]


def test_a_folder_in_which_another_process_trains_is_refused(run, faces, pairs):
    with (run / training.LOCK_FILE).open("w") as lock:
        training.fcntl.flock(lock, training.fcntl.LOCK_EX)
        with pytest.raises(FacenetError, match="another process is training here"):
            train(changed(epochs=4), faces, run, pairs, progress=False)
    assert train(changed(epochs=4), faces, run, pairs, progress=False).finished


def test_every_start_leaves_its_record(tmp_path, faces):
    config = changed(epochs=1)
    words = ["train", "faces", "--out", "run"]
    train(config, faces, tmp_path / "run", progress=False, callbacks=[StopAfter(2)])
    train(config, faces, tmp_path / "run", progress=False, arguments=words)
    first, second = json.loads((tmp_path / "run" / "record.json").read_text())
    assert (first["arguments"], second["arguments"]) == ([], words)
    assert first["versions"]["tensorflow"]


def test_the_prelogits_of_every_epoch_are_counted(whole_run):
    epochs, _, counts = read_prelogits_histograms(whole_run / "prelogits.csv")
    np.testing.assert_array_equal(epochs, [0, 1, 2])
    images = CONFIG.epoch_size * CONFIG.batch_size
    np.testing.assert_array_equal(counts.sum(axis=1), [images * CONFIG.embedding_size] * 3)


# ------------------------------------------------------------------------------ embeddings


def test_embeddings_are_those_of_the_definition(run, faces):
    loaded = load_run(run)
    assert loaded.identities == tuple(faces)
    assert loaded.step == 18
    paths = [str(faces[name][number]) for name, number in (("Known_2", 1), ("Known_0", 5))]
    pixels = np.stack([np.asarray(Image.open(path)) for path in paths]).astype(np.float32)
    start = (80 - SIZE) // 2
    window = pixels[:, start : start + SIZE, start : start + SIZE]
    prelogits = loaded.network((window - 127.5) / 128.0, training=False).numpy()
    expected = prelogits / np.linalg.norm(prelogits, axis=1, keepdims=True)
    found = embed_images(loaded.network, paths, loaded.preprocessing)
    assert found.dtype == np.float32
    # Pillow's and TensorFlow's JPEG decoders may differ by a grey level.
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_embeddings_come_in_the_order_of_the_paths_however_often_and_batched(run, faces):
    loaded = load_run(run)
    paths = [str(path) for path in faces["Known_3"][::-1]]
    once = embed_images(loaded.network, paths, loaded.preprocessing)
    again = embed_images(loaded.network, [*paths, *paths[:2]], loaded.preprocessing, batch_size=3)
    np.testing.assert_allclose(again, np.concatenate([once, once[:2]]), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(once, axis=1), 1, atol=1e-6)
    assert embed_images(loaded.network, [], loaded.preprocessing).shape == (0, 16)


def test_an_image_that_cannot_be_embedded_is_named(run, tmp_path):
    loaded = load_run(run)
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"GIF89a")
    with pytest.raises(FacenetError, match=r"bad\.jpg.*GIF"):
        embed_images(loaded.network, [str(bad)], loaded.preprocessing)


def test_the_last_evaluation_is_that_of_the_saved_network(run, pairs):
    loaded = load_run(run)
    result = evaluate_pairs(
        lambda paths: embed_images(loaded.network, paths, loaded.preprocessing), pairs
    )
    for name in ("accuracy", "area_under_curve", "equal_error_rate"):
        assert getattr(result, name) == pytest.approx(loaded.evaluation[name], rel=1e-6)


def pixels_of(path):
    return decode_image(Path(path).read_bytes()).numpy()


@pytest.mark.parametrize("crop", [60, SIZE])  # an even and an odd rest of the 80 pixels
def test_right_of_an_embedding_stands_that_of_the_mirror_image(run, faces, crop):
    loaded = load_run(run)
    paths = [str(path) for path in faces["Known_1"][:3]]
    preprocessing = Preprocessing(SIZE, crop, 70 if crop == 60 else None)
    start = (80 - crop) // 2
    windows = [
        np.fliplr(pixels_of(path)[start : start + crop, start : start + crop]) for path in paths
    ]
    images = tf.image.resize(np.float32(windows), (SIZE, SIZE), antialias=True)
    prelogits = loaded.network((images - 127.5) / 128.0, training=False).numpy()
    mirrored = prelogits / np.linalg.norm(prelogits, axis=1, keepdims=True)

    found = embed_images(loaded.network, paths, preprocessing, flip=True)
    assert found.shape == (3, 32)
    np.testing.assert_allclose(
        found[:, :16], embed_images(loaded.network, paths, preprocessing), atol=1e-6
    )
    np.testing.assert_allclose(found[:, 16:], mirrored, atol=1e-5)
    assert np.abs(found[:, :16] - found[:, 16:]).max() > 0.01
    assert embed_images(loaded.network, [], preprocessing, flip=True).shape == (0, 32)


def test_mirror_images_are_those_of_mirrored_files(run, faces, tmp_path):
    loaded = load_run(run)
    preprocessing = Preprocessing(SIZE, 60, None, "per_image")
    path = faces["Known_2"][0]
    Image.fromarray(np.fliplr(pixels_of(path))).save(tmp_path / "mirrored.png")
    found = embed_images(loaded.network, [str(path)], preprocessing, flip=True)
    expected = embed_images(loaded.network, [str(tmp_path / "mirrored.png")], preprocessing)
    np.testing.assert_allclose(found[:, 16:], expected, atol=1e-5)


def test_every_image_is_read_once_for_all_its_places_and_both_orientations(run, faces, monkeypatch):
    read = []

    def counted(paths, **options):
        read.extend(paths)
        return input_pipeline(paths, **options)

    monkeypatch.setattr(training, "input_pipeline", counted)
    loaded = load_run(run)
    images = [str(path) for path in faces["Known_3"]]
    embed_images(loaded.network, images * 3, loaded.preprocessing, batch_size=5, flip=True)
    assert sorted(read) == sorted(images)


def test_one_path_is_not_taken_for_many(run, faces):
    loaded = load_run(run)
    for path in (faces["Known_0"][0], str(faces["Known_0"][0])):
        with pytest.raises(FacenetError, match="expected paths to be a sequence of files"):
            embed_images(loaded.network, path, loaded.preprocessing)
    files, rows = unique_files(["b", Path("a"), "b"])
    assert (files, rows.tolist()) == (["a", "b"], [1, 0, 1])


def test_metric_and_mean_reach_the_evaluation(pairs):
    embedded = np.random.default_rng(0).normal(size=(len(pairs.paths), 4)) + 1
    for options in ({}, {"metric": "angular"}, {"metric": "angular", "subtract_mean": True}):
        found = evaluate_pairs(lambda paths: embedded, pairs, **options)
        expected = evaluate(embedded, pairs.issame, folds=pairs.folds, **options)
        assert found.to_dict() == expected.to_dict()


# ------------------------------------------------------------------------------ fine-tuning


FROZEN = ("conv", "conv.BatchNorm")  # up to the toy network's Mixed_6b


def tuned_from(model, **settings):
    """Another recipe than CONFIG's, on the weights of ``model``."""
    others = {"initial_model": str(model), "seed": 5, "epoch_size": 4, "epochs": 2}
    return changed(**others | settings)


def by_layer(network):
    return {
        f"{layer.name}/{weight.name}": weight.numpy()
        for layer in network.layers
        for weight in layer.weights
    }


class Beginning(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.weights = by_layer(self.model)


def assert_same_weights(one, two):
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)


@pytest.fixture(scope="module")
def some_people(faces):
    return dict(list(faces.items())[:3])


@pytest.fixture(scope="module")
def frozen_run(tmp_path_factory, whole_run, some_people):
    out = tmp_path_factory.mktemp("runs") / "frozen"
    config = tuned_from(whole_run, freeze_until="Mixed_6b")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "network_of", toy_network)
        assert train(config, some_people, out, progress=False).finished
    return out


def test_a_run_begins_with_its_initial_models_weights_and_nothing_else_of_it(
    tmp_path, whole_run, some_people
):
    beginning = Beginning()
    config = tuned_from(whole_run, epoch_size=1, epochs=1)
    train(config, some_people, tmp_path / "run", progress=False, callbacks=[beginning])
    assert_same_weights(beginning.weights, by_layer(load_run(whole_run).network))
    with np.load(checkpoints(tmp_path / "run")[-1]) as archive:
        assert archive["optimizer/0000/iteration"] == 1
        state = json.loads(archive["state"].tobytes())
    assert (state["step"], state["queue"]["position"]) == (1, config.batch_size)
    # A fresh head answers evenly; that of the initial model would know these people.
    assert read_metrics(tmp_path / "run" / "metrics.csv")["cross_entropy"][0] > 0.5


def test_frozen_layers_stay_to_the_last_bit_and_the_others_learn(whole_run, frozen_run):
    before, after = (by_layer(load_run(run).network) for run in (whole_run, frozen_run))
    for name in before:
        if name.split("/")[0] in FROZEN:
            np.testing.assert_array_equal(after[name], before[name], err_msg=name)
        else:
            assert not np.array_equal(after[name], before[name]), name
    assert {
        "conv.BatchNorm/moving_mean",
        "conv/kernel",
        "dense.BatchNorm/moving_mean",
    } <= before.keys()


def test_there_is_no_weight_decay_on_what_is_frozen(tmp_path, whole_run, frozen_run, some_people):
    train(tuned_from(whole_run, epoch_size=1, epochs=1), some_people, tmp_path, progress=False)
    free, frozen = (read_metrics(run / "metrics.csv") for run in (tmp_path, frozen_run))
    kernel = by_layer(load_run(whole_run).network)["conv/kernel"]
    assert free["weight_decay"][0] - frozen["weight_decay"][0] == pytest.approx(
        np.square(kernel).sum() / 2, rel=1e-3
    )


@pytest.mark.parametrize("stops", [(2,), (1, 4)])
def test_a_stopped_fine_tuning_needs_its_initial_model_no_more(
    tmp_path, whole_run, frozen_run, some_people, stops, monkeypatch
):
    config = tuned_from(whole_run, freeze_until="Mixed_6b")
    out = tmp_path / "run"
    for stop in stops:
        train(config, some_people, out, progress=False, callbacks=[StopAfter(stop)])

        def gone(model):
            raise AssertionError("the initial model was read again")

        monkeypatch.setattr(models, "load_network", gone)
    assert train(config, some_people, out, progress=False).finished
    with np.load(checkpoints(out)[-1]) as one, np.load(checkpoints(frozen_run)[-1]) as two:
        assert set(one.files) == set(two.files)
        for name in set(one.files) - {"state"}:
            np.testing.assert_array_equal(one[name], two[name], err_msg=name)


def test_a_fine_tuning_killed_before_its_first_checkpoint_begins_again_with_the_model(
    tmp_path, whole_run, frozen_run, some_people
):
    config = tuned_from(whole_run, freeze_until="Mixed_6b")
    out = tmp_path / "run"
    train(config, some_people, out, progress=False, callbacks=[StopAfter(2)])
    for path in checkpoints(out):
        path.unlink()
    train(config, some_people, out, progress=False)
    assert_same_weights(by_layer(load_run(out).network), by_layer(load_run(frozen_run).network))


def test_all_that_disagrees_with_the_initial_model_is_told(tmp_path, whole_run, some_people):
    config = tuned_from(
        whole_run, embedding_size=8, width=0.2, blocks=(0, 1, 0), standardization="per_image"
    )
    with pytest.raises(FacenetError) as caught:
        train(config, some_people, tmp_path / "run", progress=False)
    message = str(caught.value)
    assert message.startswith(f"{whole_run}: cannot be the beginning of this run: 4 problems")
    for told in (
        "embedding_size is 16 in the initial model, but 8 in the settings",
        "width is 0.1 in the initial model, but 0.2 in",
        "blocks is [0, 0, 0] in the initial model, but [0, 1, 0] in",
        "standardization is 'fixed' in the initial model, but 'per_image' in",
    ):
        assert told in message
    assert not (tmp_path / "run").exists()


def test_where_the_face_is_may_differ_from_the_initial_model(tmp_path, whole_run, some_people):
    config = tuned_from(whole_run, crop_size=60, frame_size=70, epoch_size=1, epochs=1)
    train(config, some_people, tmp_path / "run", progress=False)
    assert load_run(tmp_path / "run").preprocessing == Preprocessing(SIZE, 60, 70)


def test_another_initial_model_is_another_run(tmp_path, whole_run, frozen_run, some_people):
    before = contents(frozen_run)
    for config, told in (
        (tuned_from(frozen_run, freeze_until="Mixed_6b"), "initial_model was"),
        (tuned_from(whole_run), "freeze_until was 'Mixed_6b' when the run began, now ''"),
    ):
        with pytest.raises(FacenetError, match=f"holds another run.*{told}"):
            train(config, some_people, frozen_run, progress=False)
    assert contents(frozen_run) == before


def test_an_initial_model_in_another_spelling_is_the_same(whole_run, frozen_run, some_people):
    before = contents(frozen_run)
    for spelled in (f"{whole_run}/", f"{whole_run.parent}/./{whole_run.name}"):
        config = tuned_from(spelled, freeze_until="Mixed_6b")
        assert train(config, some_people, frozen_run, progress=False).finished
    assert contents(frozen_run) == before


def test_a_model_that_may_not_be_read_is_told(tmp_path, monkeypatch):
    def denied(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    for method in ("iterdir", "is_file"):  # may not be listed, may not even be entered
        with monkeypatch.context() as patch:
            patch.setattr(Path, method, denied)
            for attempt in (network_settings, load_network):
                with pytest.raises(FacenetError) as caught:
                    attempt(tmp_path)
                assert str(caught.value) == f"{tmp_path}: cannot be read: Permission denied"


@pytest.mark.parametrize("content", [None, "nothing", "a file", "saved_model.pb"])
def test_what_holds_no_network_begins_no_run(tmp_path, some_people, content):
    model = tmp_path / "model"
    if content == "a file":
        model.touch()
    elif content != "nothing":
        model.mkdir()
        if content:
            (model / content).touch()
    told = f"model: expected the folder of a run .* found {content or 'an empty folder'}"
    for attempt in (
        lambda: train(tuned_from(model), some_people, tmp_path / "run", progress=False),
        lambda: network_settings(model),
        lambda: load_network(model),
    ):
        with pytest.raises(FacenetError, match=told) as caught:
            attempt()
        said = "facenet import-weights makes one of a published file"
        assert str(caught.value).endswith(f"a file; {said}") == (content == "a file")
    assert not (tmp_path / "run").exists()


def test_the_settings_of_a_run_are_enough_to_begin_with_it(whole_run, frozen_run):
    for run in (whole_run, frozen_run):
        settings = network_settings(run)
        assert "initial_model" not in settings
        config = TrainingConfig(**settings, initial_model=run)
        for name in ("image_size", "standardization", "embedding_size", "width", "blocks"):
            assert getattr(config, name) == getattr(CONFIG, name)
        assert config.epochs == TrainingConfig().epochs


def test_imported_weights_begin_a_run_as_a_runs_do(tmp_path, whole_run, some_people, monkeypatch):
    """The imported network is the whole one; the small one stands for it.

    Its settings are those of the card alone, which takes no network.
    """
    (tmp_path / "model").mkdir()
    card = {
        "source": "x.pt",
        "weights_format": "facenet_pytorch",
        "sha256": "0" * 64,
        "embedding_size": 16,
        "image_size": SIZE,
        "standardization": "per_image",
        "training_set": "VGGFace2",
    }
    (tmp_path / "model" / "model.json").write_text(json.dumps(card))
    (tmp_path / "model" / "weights.npz").touch()
    assert network_settings(tmp_path / "model") == {
        "image_size": SIZE,
        "standardization": "per_image",
        "embedding_size": 16,
        "width": 1.0,
        "blocks": [5, 10, 5],
        "crop_size": 0,
        "frame_size": 0,
    }
    network = load_run(whole_run, build_network=toy_network).network
    variables = tf1_variable_names(network)
    values = {name: variable.numpy() for name, variable in variables.items()}
    np.savez(tmp_path / "model" / "weights.npz", **values)
    monkeypatch.setattr(run_state, "load_network", partial(load_network, build_network=toy_network))
    whole = {"width": 1.0, "blocks": (5, 10, 5), "standardization": "per_image"}
    config = tuned_from(tmp_path / "model", epoch_size=1, epochs=1, **whole)
    beginning = Beginning()
    train(config, some_people, tmp_path / "run", progress=False, callbacks=[beginning])
    assert_same_weights(beginning.weights, by_layer(network))
    with pytest.raises(FacenetError, match="3 problems"):
        train(tuned_from(tmp_path / "model"), some_people, tmp_path / "other", progress=False)


@pytest.fixture(scope="module")
def real_network():
    return inception_resnet_v1(SIZE, 16, dropout_rate=0.0, width=0.1, blocks=(1, 1, 1))


@pytest.mark.parametrize("end_point", END_POINTS)
def test_what_leads_to_an_end_point_is_frozen(real_network, end_point):
    real_network.trainable = True
    training._freeze(real_network, end_point)
    leading = keras.Model(real_network.input, real_network.get_layer(end_point).output)
    names = {layer.name for layer in leading.layers}
    for layer in real_network.layers:
        assert layer.trainable == (layer.name not in names), layer.name
    assert not leading.trainable_variables
    assert real_network.trainable_variables


def test_frozen_layers_normalize_as_in_inference(real_network):
    real_network.trainable = True
    outputs = [real_network.get_layer("Mixed_6b").output, real_network.output]
    both = keras.Model(real_network.input, outputs)
    training._freeze(real_network, "Mixed_6b")
    images = np.random.default_rng(0).normal(size=(4, SIZE, SIZE, 3)).astype(np.float32)
    before = by_layer(real_network)
    inference, trained = both(images, training=False), both(images, training=True)
    np.testing.assert_allclose(trained[0], inference[0], atol=1e-5)
    assert np.abs(trained[1] - inference[1]).max() > 0.1
    after = by_layer(real_network)
    moved = {name.split("/")[0] for name in before if not np.array_equal(before[name], after[name])}
    leading = keras.Model(real_network.input, outputs[0])
    assert moved
    assert not moved & {layer.name for layer in leading.layers}
