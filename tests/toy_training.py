"""What the tests of training, export and the command line share: small faces, a small network."""

import dataclasses
import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from facenet_lib import models, training
from facenet_lib.lfw_pairs import Pair, PairList, write_pairs
from facenet_lib.network.layers import FusedBatchNormalization
from facenet_lib.runs.config import TrainingConfig
from facenet_lib.runs.tables import read_metrics

SIZE = 75

SETTINGS = {
    "image_size": SIZE,
    "random_crop": True,
    "embedding_size": 16,
    "width": 0.1,
    "blocks": (0, 0, 0),
    "dropout_rate": 0.3,
    "batch_norm_momentum": 0.9,
    "batch_size": 8,
    "epoch_size": 6,
    "epochs": 3,
    "learning_rates": {0: 0.01, 2: 0.005},
    "adam_epsilon": 1e-7,
    "center_loss_factor": 1e-3,
    "center_loss_alpha": 0.9,
    "prelogits_norm_factor": 1e-4,
}

CONFIG = TrainingConfig(**SETTINGS)


def changed(**settings) -> TrainingConfig:
    return dataclasses.replace(CONFIG, **settings)


def draw_people(
    root: Path, prefix: str, people: int = 4, images: int = 8, seed: int = 0
) -> dict[str, tuple[Path, ...]]:
    """People who are coarse colour patterns under noise: easy to tell apart."""
    rng = np.random.default_rng(seed)
    faces = {}
    for person in range(people):
        pattern = np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((20, 20, 1)))
        name = f"{prefix}_{person}"
        (root / name).mkdir(parents=True)
        paths = [root / name / f"{name}_{number:04d}.jpg" for number in range(1, images + 1)]
        for path in paths:
            noisy = (pattern + rng.normal(0, 20, pattern.shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(path, quality=90)
        faces[name] = tuple(paths)
    return faces


def write_ten_folds(path: Path, faces: dict[str, tuple[Path, ...]]) -> None:
    """A pairs.txt of ten folds over four people, one same and one different pair in each."""
    names = list(faces)
    pairs = []
    for fold in range(10):
        person, other = names[fold % 4], names[(fold + 1) % 4]
        pairs.append(Pair(person, fold % 4 + 1, person, fold % 4 + 2))
        pairs.append(Pair(person, fold % 4 + 1, other, fold % 4 + 1))
    write_pairs(path, PairList(tuple(pairs), folds=10))


def toy_network(config: TrainingConfig) -> keras.Model:
    """Stands for the real network where a test is about the loop around it: compiles fast.

    It has what makes resuming hard, batch normalization and dropout, and one end point.
    """
    layers = keras.layers
    images = keras.Input((config.image_size, config.image_size, 3), name="images")
    x = layers.AveragePooling2D(15, name="pool")(images)
    x = layers.Conv2D(8, 3, use_bias=False, name="conv")(x)
    x = FusedBatchNormalization(scale=False, momentum=0.9, name="conv.BatchNorm")(x)
    x = layers.Identity(name="Mixed_6b")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(config.dropout_rate, name="dropout")(x)
    x = layers.Dense(config.embedding_size, use_bias=False, name="dense")(x)
    x = FusedBatchNormalization(scale=False, momentum=0.9, name="dense.BatchNorm")(x)
    return keras.Model(images, x)


train = functools.partial(training.train, build_network=toy_network)
load_run = functools.partial(models.load_run, build_network=toy_network)


@contextmanager
def full_disk(largest_file: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: the system refuses, as it does on a full disk."""
    resource = pytest.importorskip("resource", reason="this system does not bound files")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


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
