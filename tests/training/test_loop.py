"""Whole runs: what they compute, stopped, killed and resumed, and what stops them."""

import dataclasses
import json
import signal
import textwrap
from pathlib import Path

import fresh_processes
import keras
import numpy as np
import pytest
import tensorflow as tf
from toy_training import (
    CONFIG,
    StopAfter,
    assert_same_run,
    changed,
    checkpoints,
    contents,
    load_run,
    toy_network,
    train,
)

from facenet_lib.errors import FacenetError
from facenet_lib.index_queue import IndexQueue, image_and_label_lists
from facenet_lib.runs.tables import read_metrics
from facenet_lib.training import objectives

pytestmark = pytest.mark.slow  # each test trains, or needs what was trained


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


@pytest.mark.parametrize(
    "numbers",
    [[signal.SIGINT], [signal.SIGTERM, signal.SIGTERM]],
    ids=["Ctrl-C", "SIGTERM twice"],  # as managers of processes send it
)
def test_a_signal_ends_the_step_and_saves(tmp_path, faces, pairs, whole_run, numbers):
    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 3:
                for number in numbers:
                    signal.raise_signal(number)

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
        from facenet_lib.datasets import read_faces
        from toy_training import changed, train
        faces, out = read_faces(sys.argv[1]), Path(sys.argv[2])
        def train_on_two(epochs, name):
            with tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"]).scope():
                return train(changed(epochs=epochs), faces, out / name, progress=False)
        assert train_on_two(3, "whole").finished
        train_on_two(1, "resumed")
        assert train_on_two(3, "resumed").steps == 18
    """
    root = faces["Known_0"][0].parent.parent
    fresh_processes.run(textwrap.dedent(program), root, tmp_path, log=tmp_path / "log")
    table = read_metrics(tmp_path / "whole" / "metrics.csv")
    assert table["total"][-6:].mean() < table["total"][:6].mean() / 2
    resumed = read_metrics(tmp_path / "resumed" / "metrics.csv")
    np.testing.assert_array_equal(resumed["total"], table["total"])


def test_a_run_killed_at_ten_moments_ends_as_the_run_left_alone(tmp_path, faces):
    root = faces["Known_0"][0].parent.parent
    program = (Path(__file__).parents[1] / "killed_training.py").read_text()
    log = tmp_path / "log"
    fresh_processes.run(program, root, tmp_path, log=log)
    assert log.read_text().count("killed after checkpoint") == 10
    assert_same_run(tmp_path / "killed", tmp_path / "alone")
    for file, time in (("validations.csv", "minutes"), ("prelogits.csv", None)):
        tables = [read_metrics(tmp_path / name / file) for name in ("killed", "alone")]
        for column in tables[0].keys() - {time}:
            np.testing.assert_array_equal(tables[0][column], tables[1][column], err_msg=column)
    assert len(json.loads((tmp_path / "killed" / "record.json").read_text())) == 11


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


def test_a_collapsed_triplet_run_is_stopped_and_explained(
    tmp_path, faces, triplet_config, monkeypatch
):
    monkeypatch.setattr(objectives, "COLLAPSED_SPREAD", 3.0)  # any spread is below
    monkeypatch.setattr(objectives, "COLLAPSED_STEPS", 12)
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


def test_every_start_leaves_its_record(tmp_path, faces):
    config = changed(epochs=1)
    words = ["train", "faces", "--out", "run"]
    train(config, faces, tmp_path / "run", progress=False, callbacks=[StopAfter(2)])
    train(config, faces, tmp_path / "run", progress=False, arguments=words)
    first, second = json.loads((tmp_path / "run" / "record.json").read_text())
    assert (first["arguments"], second["arguments"]) == ([], words)
    assert first["versions"]["tensorflow"]
