"""One training step, against its parts put together by hand."""

from typing import ClassVar

import keras
import numpy as np
import pytest
from toy_training import (
    changed,
    load_run,
    toy_network,
    train,
)

from facenet_lib.center_loss import total_loss
from facenet_lib.index_queue import IndexQueue, image_and_label_lists
from facenet_lib.input_pipeline import input_pipeline
from facenet_lib.models import preprocessing_of
from facenet_lib.runs.tables import read_metrics
from facenet_lib.softmax_heads import SoftmaxHead
from facenet_lib.training import objectives
from facenet_lib.training.batches import augmentation_of


@pytest.mark.slow
def test_the_first_step_is_what_its_parts_say(tmp_path, faces):
    """Queue, pipeline, network and loss put together by hand, the cross-entropy in numpy."""
    config = changed(dropout_rate=0.0, epoch_size=1, epochs=1)
    train(config, faces, tmp_path / "run", progress=False)

    images, labels = image_and_label_lists(faces)
    indices = IndexQueue(len(images), config.seed).dequeue_many(config.batch_size)
    controls = augmentation_of(config)
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


@pytest.mark.slow
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


@pytest.mark.slow
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
