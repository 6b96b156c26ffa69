"""Rate of the input pipeline beside that of decoding alone.

Run with ``make bench``, or ``pytest tests/benchmarks/test_bench_input_pipeline.py -s``; it asserts
no time. ``FACENET_LFW`` names LFW's images; without it the images are smooth noise of LFW's size,
whose JPEGs are smaller and decode faster.

Decoding alone is measured twice, as the consumer's own work per element counts: handed over
one by one, and in batches like the pipeline's, which is the stricter comparison.
"""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
import tensorflow as tf
from bench_report import Figure, Report, Row, Spread
from PIL import Image

from facenet_lib.input_pipeline import (
    Control,
    Preprocessing,
    decode_and_preprocess,
    input_pipeline,
)

IMAGES = 2000
ROUNDS = 11
BATCH_SIZE = 90


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    if "FACENET_LFW" in os.environ:
        found = sorted(Path(os.environ["FACENET_LFW"]).glob("*/*.jpg"))
        chosen = [str(path) for path in found[:: max(1, len(found) // IMAGES)][:IMAGES]]
    else:
        folder = tmp_path_factory.mktemp("images")
        rng = np.random.default_rng(0)
        chosen = [str(folder / f"{i}.jpg") for i in range(IMAGES)]
        for path in chosen:
            coarse = rng.integers(0, 256, (25, 25, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((250, 250), Image.Resampling.BICUBIC).save(path)
    for path in chosen:  # into the operating system's cache
        Path(path).read_bytes()
    return chosen


def decoding(paths: list[str]) -> tf.data.Dataset:
    untuned = tf.data.Options()  # as the pipeline is: the end of a tuned pass may wait
    untuned.autotune.enabled = False
    return (
        tf.data.Dataset.from_tensor_slices(paths)
        .map(
            lambda path: tf.io.decode_jpeg(tf.io.read_file(path), channels=3),
            num_parallel_calls=joblib.cpu_count(),
            deterministic=True,
        )
        .with_options(untuned)
    )


def measure(dataset: tf.data.Dataset) -> tuple[float, float]:
    """Images a second, and microseconds of processor time an image, of one whole pass."""
    clock, processor = time.perf_counter(), time.process_time()
    for _ in dataset:
        pass
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    return IMAGES / clock, processor / IMAGES * 1e6


def test_rate_beside_decoding_alone(paths: list[str], report: Report) -> None:
    preprocessing = Preprocessing()

    def pipeline(
        controls: Control, preprocessing: Preprocessing = preprocessing
    ) -> tf.data.Dataset:
        return input_pipeline(
            paths,
            np.zeros(len(paths), np.int64),
            preprocessing.control | controls,
            preprocessing=preprocessing,
            batch_size=BATCH_SIZE,
        )

    alone, alone_batched = "decoding alone", "decoding alone, batched"
    datasets = {
        alone: decoding(paths),
        alone_batched: decoding(paths).batch(BATCH_SIZE),
        "inference": pipeline(Control(0)),
        "random crop and flip": pipeline(Control.RANDOM_CROP | Control.RANDOM_FLIP),
        "the same and rotation": pipeline(
            Control.RANDOM_ROTATE | Control.RANDOM_CROP | Control.RANDOM_FLIP
        ),
        "crop 112, resized to 80": pipeline(
            Control.RANDOM_CROP | Control.RANDOM_FLIP, Preprocessing(80, crop_size=112)
        ),
    }
    for dataset in datasets.values():
        measure(dataset)
    measured = {name: [] for name in datasets}
    for _ in range(ROUNDS):  # in turn, so that a busy machine is busy for all
        for name, dataset in datasets.items():
            measured[name].append(measure(dataset))
    for beside in (alone, alone_batched):
        section = f"Input pipeline (images a second), beside {beside}"
        others = Spread(tuple(rate for rate, _ in measured[beside]))
        for name in (name for name in datasets if name not in (alone, alone_batched)):
            report.add(
                Row(section, name, Spread(tuple(rate for rate, _ in measured[name])), others)
            )
    for name, rounds in measured.items():
        spent = float(np.median([cost for _, cost in rounds]))
        report.add(Figure("Input pipeline (microseconds of processor time an image)", name, spent))


def test_encoded_batches_as_a_server_gets_them(paths: list[str], report: Report) -> None:
    """One nested dataset a batch, which survives damaged files, beside a plain map_fn."""
    preprocessing = Preprocessing()
    side = preprocessing.image_size

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def ours(files: tf.Tensor) -> tf.Tensor:
        return decode_and_preprocess(files, preprocessing)[0]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def mapped(files: tf.Tensor) -> tf.Tensor:
        def one(file: tf.Tensor) -> tf.Tensor:
            image = tf.io.decode_jpeg(file, channels=3)
            window = tf.image.resize_with_crop_or_pad(image, side, side)
            return (tf.cast(window, tf.float32) - 127.5) / 128

        signature = tf.TensorSpec((side, side, 3), tf.float32)
        return tf.map_fn(one, files, fn_output_signature=signature)

    section = "Decoding of a server's encoded batches (images a second), beside a plain map_fn"
    for size in (1, 8, 64):
        files = tf.constant([Path(path).read_bytes() for path in paths[:size]])
        rates: dict[str, list[float]] = {"ours": [], "map_fn": []}
        for function in (ours, mapped):
            function(files)
        for _, (name, function) in itertools.product(
            range(ROUNDS), (("ours", ours), ("map_fn", mapped))
        ):
            start = time.perf_counter()
            function(files)
            rates[name].append(size / (time.perf_counter() - start))
        spreads = [Spread(tuple(found)) for found in rates.values()]
        report.add(Row(section, f"batch of {size}", *spreads))
