"""What a run records at the ends of its epochs: evaluations, validations, histograms."""

import json

import numpy as np
import pytest
import tensorflow as tf
from toy_training import (
    CONFIG,
    assert_same_run,
    changed,
    toy_network,
    train,
)

from facenet_lib.errors import FacenetError
from facenet_lib.input_pipeline import input_pipeline
from facenet_lib.models import preprocessing_of
from facenet_lib.runs.checkpoints import last_checkpoint
from facenet_lib.runs.tables import read_metrics, read_prelogits_histograms
from facenet_lib.training import measuring
from facenet_lib.training.batches import prepare_faces

pytestmark = pytest.mark.slow  # each test trains, or needs what was trained


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


def test_an_evaluation_that_a_kill_prevented_is_made_up_for(run, faces, pairs, whole_run):
    path = run / "evaluations.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    result = train(CONFIG, faces, run, pairs, progress=False)
    assert result.evaluation["step"] == 18
    assert_same_run(run, whole_run)


def test_people_too_few_to_validate_with_are_refused_before_training(tmp_path, faces):
    few = {name: faces[name][:2] for name in list(faces)}
    config = changed(validation_part=0.2, validation_by="identities")
    with pytest.raises(FacenetError, match="pair"):
        train(config, few, tmp_path / "run", progress=False)
    assert not (tmp_path / "run" / "metrics.csv").read_text().splitlines()[1:]


def test_images_held_out_are_validated_and_never_trained_on(tmp_path, faces):
    config = changed(validation_part=0.25, validate_every=2)
    prepared = prepare_faces(config, faces)
    training_faces, held_out = prepared.training, prepared.held_out
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


def test_evaluations_are_as_the_settings_want_them(tmp_path, faces, pairs, monkeypatch):
    asked = []
    whole = measuring.evaluate_pairs

    def watched(embed, pairs, metric, subtract_mean):
        asked.append((embed.keywords["flip"], metric, subtract_mean))
        return whole(embed, pairs, metric, subtract_mean)

    monkeypatch.setattr(measuring, "evaluate_pairs", watched)
    config = changed(
        epochs=1, evaluate_flip=True, evaluate_metric="angular", evaluate_subtract_mean=True
    )
    train(config, faces, tmp_path / "run", pairs, progress=False)
    assert asked == [(True, "angular", True)]


def test_the_prelogits_of_every_epoch_are_counted(whole_run):
    epochs, _, counts = read_prelogits_histograms(whole_run / "prelogits.csv")
    np.testing.assert_array_equal(epochs, [0, 1, 2])
    images = CONFIG.epoch_size * CONFIG.batch_size
    np.testing.assert_array_equal(counts.sum(axis=1), [images * CONFIG.embedding_size] * 3)
