"""Our worker: training steps, the exported SavedModel and matrix products of facenet_lib.

By hand::

    python worker_facenet_lib.py '{"command": "train"}' '{"command": "turn"}'
"""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from operation_profile import operation_times
from worker_protocol import peak_memory, rate_of, seconds_of, serve

from facenet_lib.export import saved_model as export
from facenet_lib.models import LoadedNetwork, network_of
from facenet_lib.network import inception_resnet as network
from facenet_lib.runs.config import TrainingConfig
from facenet_lib.softmax_heads import SoftmaxHead
from facenet_lib.training.batches import sampler_of
from facenet_lib.training.optimizers import FusedOptimizer
from facenet_lib.training.state import RunState
from facenet_lib.training.step import training_step

SIDE = 160  # pixels
CLASSES = 1000
MATRIX_SIDE = 2048
_IMAGES = tf.TensorSpec((None, SIDE, SIDE, 3), tf.float32)
_LABELS = tf.TensorSpec((None,), tf.int64)


class FacenetLib:
    """Its methods are the commands; ``train``, ``train_whole`` or ``load`` come before ``turn``."""

    def __init__(self) -> None:
        self._step: Callable[[int], object] | None = None
        self._function: Any = None
        self._products: dict[str, Callable[[], object]] = {}

    def train(
        self,
        precision: str = "float32",
        keras_batch_norm: bool = False,
        keras_adam: bool = False,
        batch: int = 16,
    ) -> dict[str, Any]:
        """Prepare training steps of the full network: forward, cross-entropy, backward, Adam."""
        start = time.perf_counter()
        ours, keras_own = network.FusedBatchNormalization, keras.layers.BatchNormalization
        layer = keras_own if keras_batch_norm else ours
        with mock.patch.object(network, "FusedBatchNormalization", layer):
            body = network.inception_resnet_v1(image_size=SIDE, precision=precision)
        head = SoftmaxHead(CLASSES, body.output_shape[1])
        head.build()
        optimizer = (
            keras.optimizers.Adam()
            if keras_adam
            else FusedOptimizer("ADAM", settings={"epsilon": 1e-7})
        )
        variables = body.trainable_variables + head.trainable_variables
        optimizer.build(variables)
        built = time.perf_counter() - start

        @tf.function(input_signature=[_IMAGES, _LABELS])
        def step(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                logits, targets, _ = head(
                    body(images, training=True), labels, tf.zeros(3, tf.int64)
                )
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
                loss = tf.reduce_mean(losses)
            optimizer.apply(tape.gradient(loss, variables), variables)
            return loss

        batches = _batches()
        return self._prepare(step, lambda n: step(*batches(n)).numpy(), batch, built)

    def train_whole(self, precision: str = "float32", batch: int = 16) -> dict[str, Any]:
        """Prepare the step of ``facenet train`` itself, all terms of its loss included."""
        start = time.perf_counter()
        config = TrainingConfig(batch_size=batch, precision=precision)
        faces = {f"person {number}": [Path("never read")] for number in range(CLASSES)}
        run = RunState(config, faces, Path("never written"), network_of, sampler_of)
        built = time.perf_counter() - start
        step = training_step(run, {"images": _IMAGES, "labels": _LABELS})
        batches = _batches()

        def one(n: int) -> None:
            images, labels = batches(n)
            step({"images": images, "labels": labels}, False)

        return self._prepare(step, one, batch, built)

    def _prepare(
        self, function: Any, step: Callable[[int], object], batch: int, built: float
    ) -> dict[str, Any]:
        memory_before = peak_memory()
        first = seconds_of(lambda: step(batch))
        step(batch)
        self._step, self._function = step, function
        return {
            "build_seconds": built,
            "first_step_seconds": first,
            "memory_before": memory_before,
            "memory_after": peak_memory(),
        }

    def traces(self, batches: list[int]) -> int:
        """How often the step was traced, after steps with these numbers of images."""
        for batch in batches:
            self._step(batch)
        return self._function.experimental_get_tracing_count()

    def export(self, out: str, dtype: str = "float32", folded: bool = True) -> str:
        """Write the SavedModel of a full network with random weights."""
        config = TrainingConfig(image_size=SIDE)
        model = LoadedNetwork(network_of(config), config, {})
        if folded:
            return str(export.export_model(model, out, dtype))
        with mock.patch.object(export, "fold_batch_norm", lambda unfolded, _: unfolded):
            return str(export.export_model(model, out))

    def load(self, folder: str) -> dict[str, float]:
        """Load a SavedModel for inference, by the signature that takes tensors."""
        start = time.perf_counter()
        model = tf.saved_model.load(folder)
        loaded = time.perf_counter() - start
        generator = np.random.default_rng(0)

        @functools.cache
        def images(batch: int) -> tf.Tensor:
            return tf.constant(generator.integers(0, 256, (batch, SIDE, SIDE, 3)), tf.float32)

        def step(batch: int) -> None:
            model.signatures["embed_tensors"](images=images(batch))["embeddings"].numpy()

        first = seconds_of(lambda: step(1))
        self._step = step
        return {"load_seconds": loaded, "first_answer_seconds": first}

    def turn(self, batch: int = 16, seconds: float = 0.7) -> float:
        """Images a second of what was prepared."""
        return rate_of(lambda: self._step(batch), batch, seconds)

    def matrix_product(self, dtype: str, seconds: float = 0.25) -> float:
        """Floating-point operations a second of a product of two square matrices."""
        if dtype not in self._products:
            matrix = tf.cast(tf.random.normal((MATRIX_SIDE, MATRIX_SIDE)), dtype)
            product = tf.function(lambda: tf.reduce_max(tf.matmul(matrix, matrix)))
            self._products[dtype] = lambda: product().numpy()
        return rate_of(self._products[dtype], 2 * MATRIX_SIDE**3, seconds)

    def profile(self, batch: int, steps: int) -> dict[str, Any]:
        """Milliseconds of one step: by the clock, and the sums over each type of operation."""
        self._step(batch)
        with tempfile.TemporaryDirectory() as folder:
            tf.profiler.experimental.start(folder)
            seconds = seconds_of(lambda: [self._step(batch) for _ in range(steps)])
            tf.profiler.experimental.stop()
            totals = operation_times(Path(folder))
        milliseconds = {kind: total / steps for kind, total in totals.items()}
        return {"clock": seconds / steps * 1e3, "operations": milliseconds}


def _batches() -> Callable[[int], tuple[tf.Tensor, tf.Tensor]]:
    """The first n of a few random images and labels, made once."""
    images = tf.random.normal((32, SIDE, SIDE, 3))
    labels = tf.random.uniform((32,), 0, CLASSES, tf.int64)
    return functools.cache(lambda n: (images[:n], labels[:n]))


if __name__ == "__main__":
    serve(FacenetLib())
