"""What a million identities cost: the center loss, and the softmax over a sample of them.

Both touch some rows of large matrices. These are compared with small ones of a thousand rows,
which stay in the processor's caches. Run with ``make bench``, or ``pytest
tests/benchmarks/test_bench_identities.py -s``; it asserts no time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from bench_report import PAIRS, Figure, Report, Row, Spread

from facenet_lib.center_loss import CenterLoss
from facenet_lib.softmax_heads import SoftmaxHead
from facenet_lib.training.optimizers import make_optimizer

BATCH, FEATURES, SAMPLED, STEPS = 90, 128, 900, 100
FEW, MANY = 1_000, 1_000_000
SECTION = f"{MANY:,} identities beside {FEW:,} (steps a second; batch {BATCH}, {FEATURES} features)"

Step = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


def center_loss_step(identities: int) -> Step:
    """Loss, its gradient and the update of the centers."""
    center_loss = CenterLoss(identities, FEATURES)

    def step(features: tf.Tensor, labels: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(features)
            loss = center_loss(features, labels)
        return tape.gradient(loss, features)

    return step


def sampled_softmax_step(identities: int) -> Step:
    """Cross-entropy, weight decay, their gradients and Adam's update of the head; no network."""
    head = SoftmaxHead(identities, FEATURES, sampled_identities=SAMPLED)
    head.build()
    optimizer = make_optimizer("ADAM", 0.05)
    optimizer.build(head.trainable_variables)
    seed = tf.constant(0, tf.int64)

    def step(features: tf.Tensor, labels: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(features)
            logits, targets, kernels = head(features, labels, tf.stack([seed, number, seed]))
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)
            loss = tf.reduce_mean(losses) + 5e-4 * tf.nn.l2_loss(kernels[0])
        by_features, *by_head = tape.gradient(loss, [features, *head.trainable_variables])
        optimizer.apply(by_head, head.trainable_variables)
        return by_features

    return step


KINDS = {"center loss": center_loss_step, f"softmax over {SAMPLED} others": sampled_softmax_step}


class Stepper:
    """Makes steps with random labels, and says at what rate.

    TensorFlow wrote every row when it made the matrices, so that no page of theirs is new. Each
    call has labels of its own: the rows of the last ones would still be in the cache.
    """

    def __init__(self, step: Step, identities: int) -> None:
        self._identities = identities
        self._generator = np.random.default_rng(0)
        features = self._generator.standard_normal((BATCH, FEATURES))
        self._features = tf.constant(features, tf.float32)
        self._step = tf.function(step)
        self._loop = tf.function(self._steps)
        self._made = 0

    def one_by_one(self) -> float:
        """Steps a second, each called from Python."""
        batches = tf.unstack(self._labels())
        start = time.perf_counter()
        for number, labels in enumerate(batches, start=self._made):
            last = self._step(self._features, labels, tf.constant(number, tf.int64))
        last.numpy()
        return self._rate_since(start)

    def in_a_loop(self) -> float:
        """Steps a second inside one compiled loop, as little around them as there can be."""
        labels = self._labels()
        start = time.perf_counter()
        self._loop(labels, tf.constant(self._made, tf.int64)).numpy()
        return self._rate_since(start)

    def _labels(self) -> tf.Tensor:
        return tf.constant(self._generator.integers(0, self._identities, (STEPS, BATCH)))

    def _rate_since(self, start: float) -> float:
        seconds = time.perf_counter() - start
        self._made += STEPS
        return STEPS / seconds

    def _steps(self, labels: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
        last = tf.zeros_like(self._features)
        for i in tf.range(STEPS):
            last = self._step(self._features, labels[i], first + tf.cast(i, tf.int64))
        return last


@pytest.mark.parametrize("kind", KINDS)
def test_rate_of_steps(kind: str, report: Report) -> None:
    few, many = (Stepper(KINDS[kind](identities), identities) for identities in (FEW, MANY))
    for what, steps in ((kind, Stepper.one_by_one), (f"{kind}, in a loop", Stepper.in_a_loop)):
        steps(few), steps(many)  # compiles
        ours, other = zip(*((steps(many), steps(few)) for _ in range(3 * PAIRS)), strict=True)
        row = Row(SECTION, what, Spread(ours), Spread(other))
        times = Spread(other).divided_by(Spread(ours)).median
        report.add(row, Figure(SECTION, f"{what}: time with many", times, "of that with few"))


PEAK = """
import sys
from pathlib import Path

import tensorflow as tf
from test_bench_identities import BATCH, FEATURES, KINDS

kind, identities = sys.argv[1], int(sys.argv[2])
step = tf.function(KINDS[kind](identities))
for number in range(10):
    labels = tf.random.stateless_uniform([BATCH], [0, number], maxval=identities, dtype=tf.int64)
    step(tf.ones((BATCH, FEATURES)), labels, tf.constant(number, tf.int64))
# Not getrusage: that begins with the peak of the process that started this one.
lines = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process its peak")
@pytest.mark.parametrize("kind", KINDS)
def test_peak_memory(kind: str, report: Report) -> None:
    """Of a process that makes the variables and some steps, in matrices of the many."""
    peaks = []
    for identities in (FEW, MANY):
        command = [sys.executable, "-c", PEAK, kind, str(identities)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
        done = subprocess.run(
            command, env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
        peaks.append(int(done.stdout) * 1024)
    matrix = MANY * FEATURES * 4
    share = (peaks[1] - peaks[0]) / matrix
    what = f"{kind}: what many add to the peak memory"
    report.add(Figure(SECTION, what, share, f"matrices of {matrix / 1e6:.0f} MB"))
