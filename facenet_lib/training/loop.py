"""The whole run: index queue, pipeline, network, total loss, schedule, checkpoints, evaluation.

Mirrors the article from its first section to its last; derived in chapter 6, "Training". One
loop serves one processor and many: a ``tf.function`` step run by the ``tf.distribute`` strategy
in whose scope :func:`train` is called (the default one where there is none).

A run is a folder::

    config.json           the settings, and which images and how many people it was given
    identities.txt        the people, one a line, in the order of their labels
    checkpoints/N.npz     weights, optimizer, centers, queue and position after N steps
                          (:mod:`facenet_lib.runs`)
    metrics.csv           loss terms, accuracy, learning rate and images a second of every step
    evaluations.csv       accuracy and rates on the pairs, every ``evaluate_every`` epochs
    validations.csv       cross-entropy and accuracy of images held out, or rates of people
    prelogits.csv         a histogram of the prelogits' sizes for every epoch
    tensorboard/          all of these for TensorBoard
    record.json           every start: its arguments, versions and revision
    lock                  held by the process that trains
"""

from __future__ import annotations

import functools
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from facenet_lib.center_loss import MOST_CENTER_STEP, describe_overshoot
from facenet_lib.datasets import draw_pairs
from facenet_lib.embedding import image_embedder
from facenet_lib.errors import FacenetError
from facenet_lib.input_pipeline import (
    Control,
    explained_errors,
    input_pipeline,
    skipped_paths,
)
from facenet_lib.models import (
    preprocessing_of,
)
from facenet_lib.runs.config import (
    TrainingConfig,
)
from facenet_lib.runs.provenance import RECORD_FILE, append_record, describe_environment
from facenet_lib.runs.tables import (
    EVALUATIONS_FILE,
    METRICS_FILE,
    RATES,
    VALIDATIONS_FILE,
    last_evaluation,
)
from facenet_lib.training.objectives import SoftmaxObjective
from facenet_lib.training.state import (
    DivergedError,
    RunState,
    lacks_measurements,
    open_metrics,
    prepare_faces,
)
from facenet_lib.training.step import training_step
from facenet_lib.training.tensorboard import MetricsFiles
from facenet_lib.training.workers import check_agreement, watch_peers
from facenet_lib.triplet_loss import COLLAPSED_SPREAD, explain_collapse
from facenet_lib.verification import EvaluationPairs, VerificationResult, evaluate_pairs

COLLAPSED_STEPS = 50
"""So many steps in a row with all embeddings alike end a triplet run."""

VALIDATION_PAIRS_PER_FOLD = 50
"""Pairs of one person, and as many of two, in each of ten folds of people held out."""


def augmentation_of(config: TrainingConfig) -> Control:
    """Return the control bits of this run's training images."""
    control = preprocessing_of(config).control
    for wanted, bit in (
        (config.random_rotate, Control.RANDOM_ROTATE),
        (config.random_crop, Control.RANDOM_CROP),
        (config.random_flip, Control.RANDOM_FLIP),
    ):
        control |= bit if wanted else Control(0)
    return control


@dataclass(frozen=True)
class TrainingResult:
    """How a call of :func:`train` ended.

    Attributes:
        run: the run's folder.
        steps: steps in the run so far, those of earlier calls included.
        finished: whether the schedule is at its end; False after Ctrl-C.
        evaluation: the last row of evaluations.csv, or None where there were no pairs.
    """

    run: Path
    steps: int
    finished: bool
    evaluation: dict[str, float] | None


def train(
    config: TrainingConfig,
    faces: Mapping[str, Sequence[Path]],
    out: str | Path,
    pairs: EvaluationPairs | None = None,
    progress: bool = True,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    arguments: Sequence[str] = (),
) -> TrainingResult:
    """Train a network, or go on with the run in ``out`` from its last checkpoint.

    An epoch takes ``epoch_size * batch_size`` indices from the index queue, whatever the number
    of images is, and ends with a checkpoint and, every ``evaluate_every`` epochs, with an
    evaluation. Ctrl-C (or SIGTERM) lets the step end, saves and returns; the same call
    continues there. A run that is finished is left as it is.

    Args:
        config: the settings. Of a run begun earlier, only :data:`FREE_SETTINGS` may differ.
        faces: person to images, as ``datasets.training_faces`` gives them.
        out: the run's folder; made where there is none.
        pairs: what to evaluate on. Their people should not be among ``faces``.
        progress: show a bar and a line an epoch on standard error.
        callbacks: Keras callbacks. Their ``model`` is the network; they see steps, with the
            step's metrics as logs, and epochs, with those of the last step and of the
            evaluation (``pairs_accuracy`` ...), and may set ``model.stop_training``.
        arguments: the words of the command that begins or goes on with the run, for its record.

    Returns:
        Where the run stands.

    Raises:
        FacenetError: when ``out`` holds another run, the initial model has not the settings'
            network, an image is damaged (unless ``damaged_images`` is ``skip``), the loss is not
            finite, or the disk is full. The last checkpoint is then good.

    Source: the article's sections 2 to 6.
    """
    faces, held_out = prepare_faces(config, faces)
    strategy = tf.distribute.get_strategy()
    with watch_peers(strategy), ExitStack() as opened:
        run = RunState(config, faces, Path(out))
        run.begin_or_resume(opened)
        if not run.finished or lacks_measurements(run, pairs, held_out):
            metrics = None
            if run.worker.is_chief:
                append_record(run.out / RECORD_FILE, describe_environment(arguments))
                metrics = opened.enter_context(open_metrics(run))
            stop = opened.enter_context(_stop_requests())
            _Loop(run, pairs, held_out, metrics, stop, progress, callbacks).run_epochs()
        # Workers that end early would look to the others like workers that died.
        check_agreement(strategy, {"step": run.step})
    return TrainingResult(run.out, run.step, run.finished, last_evaluation(run.out, run.step))


class _Loop:
    """Runs the epochs that a run has left."""

    def __init__(
        self,
        run: RunState,
        pairs: EvaluationPairs | None,
        held_out: Mapping[str, Sequence[Path]],
        metrics: MetricsFiles | None,
        stop: threading.Event,
        progress: bool,
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> None:
        self.run = run
        self.pairs = pairs
        self.held_out = held_out
        self.metrics = metrics  # the chief's
        self.stop = stop
        self.progress = progress and run.worker.is_chief
        self.preprocessing = preprocessing_of(run.config)
        self.embed = image_embedder(run.averaged, self.preprocessing)
        self.callbacks = keras.callbacks.CallbackList(
            list(callbacks),
            model=run.network,
            epochs=run.config.epochs,
            steps=run.config.epoch_size,
            verbose=0,
        )
        self.training_step: Callable[..., dict[str, tf.Tensor]] | None = None
        self.warned_of_centers = False
        self.collapsed_steps = 0
        self.stop_agreed = False
        self.held_out_pairs: EvaluationPairs | None = None
        if held_out and run.config.validation_by == "identities":
            drawn = draw_pairs(held_out, VALIDATION_PAIRS_PER_FOLD, seed=run.config.seed)
            self.held_out_pairs = EvaluationPairs(*drawn)

    def run_epochs(self) -> None:
        run = self.run
        run.network.stop_training = False
        self._measure()  # what a kill between an epoch and its evaluation left undone
        self.callbacks.on_train_begin()
        while not run.finished and not self._must_stop():
            self.callbacks.on_epoch_begin(run.epoch)
            try:
                logs = self._run_epoch()
            except DivergedError:
                raise
            except FacenetError:  # a damaged image, for example: what was computed stays
                if 0 < run.position < run.images_per_epoch:
                    run.save()
                raise
            if run.position < run.images_per_epoch:
                run.save()
                break
            if self.metrics is not None:
                self.metrics.add_prelogits(run.epoch, run.step, run.prelogits_counts)
            run.end_epoch()
            run.save()
            logs |= self._measure()
            self._say(logs)
            self.callbacks.on_epoch_end(run.epoch - 1, logs)
        self.callbacks.on_train_end()

    def _stopping(self) -> bool:
        return self.stop.is_set() or bool(self.run.network.stop_training)

    def _must_stop(self) -> bool:
        """Whether to stop now: several workers only when all have agreed to in a step."""
        return self._stopping() if self.run.worker.count == 1 else self.stop_agreed

    def _run_epoch(self) -> dict[str, float]:
        """Train the steps that the epoch has left; return the last step's metrics."""
        run, config = self.run, self.run.config
        started_at = run.position
        run.optimizer.learning_rate = config.learning_rate(run.epoch)
        indices = run.epoch_indices()[started_at:]
        paths = [run.image_list[index] for index in indices]
        batches = self._batches(paths, [run.label_list[index] for index in indices])
        if self.training_step is None:
            self.training_step = training_step(run, batches.element_spec)
        seen: list[int] = []
        logs: dict[str, float] = {}
        step_started = time.perf_counter()
        with explained_errors(list(dict.fromkeys(paths))), self._bar() as bar:
            for number, batch in enumerate(batches, start=started_at // config.batch_size):
                self.callbacks.on_train_batch_begin(number)
                of_batch = _indices(run.strategy, batch)
                seen += of_batch
                logs = self._run_step(batch, [paths[index] for index in of_batch], step_started)
                run.position = started_at + of_batch[-1] + 1
                if run.worker.count > 1:  # each sees a part of the batch, and leaves nothing out
                    run.position = (number + 1) * config.batch_size
                step_started = time.perf_counter()
                self.callbacks.on_train_batch_end(number, logs)
                bar.update()
                bar.set_postfix(loss=f"{logs['total']:.3f}")
                self.stop_agreed = logs["stops"] > 0
                if self._must_stop():
                    break
                at_end = run.position >= run.images_per_epoch  # which has a checkpoint anyway
                if self._checkpoint_is_due(number) and not at_end:
                    run.save()
            else:
                run.position = run.images_per_epoch  # the last images may have been left out
        if run.worker.count == 1:
            self._report_skipped(skipped_paths(paths[: run.position - started_at], seen))
        return logs

    def _checkpoint_is_due(self, number: int) -> bool:
        every = self.run.config.checkpoint_every
        # None of embeddings that are about to be found collapsed.
        return every > 0 and (number + 1) % every == 0 and self.collapsed_steps == 0

    def _batches(self, paths: Sequence[str], labels: Sequence[int]) -> Any:
        """The epoch's batches, read by each worker for its own replicas."""
        run, config = self.run, self.run.config

        def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
            workers = context.num_input_pipelines
            return input_pipeline(
                paths,
                labels=labels,
                controls=augmentation_of(config),
                preprocessing=self.preprocessing,
                # A worker with several replicas takes one batch for each of them.
                batch_size=config.batch_size * workers // context.num_replicas_in_sync,
                seed=config.seed,
                first_index=run.epoch * run.images_per_epoch + run.position,
                on_error=cast(Any, config.damaged_images),
                shard=(context.input_pipeline_id, workers),
            )

        return run.strategy.distribute_datasets_from_function(of_worker)

    def _run_step(self, batch: Any, paths: Sequence[str], started: float) -> dict[str, float]:
        """Make one step and write its row; its seconds include the wait for the batch."""
        run = self.run
        assert self.training_step is not None
        computed = self.training_step(batch, tf.constant(float(self._stopping())))
        run.prelogits_counts += computed.pop("prelogits_counts").numpy()
        values = {name: float(value) for name, value in computed.items()}
        self._check_centers(values)
        if not math.isfinite(values["total"]):
            what = f"the loss of step {run.step + 1} is {values['total']}"
            raise DivergedError(run, what, paths, self.warned_of_centers)
        seconds = time.perf_counter() - started
        run.step += 1
        run.seconds += seconds
        values |= {
            "epoch": run.epoch,
            "step": run.step,
            "learning_rate": run.config.learning_rate(run.epoch),
            "images_per_second": values.pop("images") / seconds,
        }
        if self.metrics is not None:
            self.metrics.add(METRICS_FILE, values)
        self._check_spread(values)
        return values

    def _check_centers(self, values: Mapping[str, float]) -> None:
        """Say once when a batch moves a center further than to the other side of its images."""
        if self.warned_of_centers or values.get("center_step", 0.0) <= MOST_CENTER_STEP:
            return
        self.warned_of_centers = True
        if self.run.worker.is_chief:
            self._write(
                f"warning: step {self.run.step + 1}: {describe_overshoot(values['center_step'])}"
            )

    def _check_spread(self, values: Mapping[str, float]) -> None:
        """Stop a triplet run whose embeddings have all become one."""
        collapsed = values.get("spread", math.inf) < COLLAPSED_SPREAD
        self.collapsed_steps = self.collapsed_steps + 1 if collapsed else 0
        if self.collapsed_steps >= COLLAPSED_STEPS:
            told = explain_collapse(
                values["spread"], self.run.config.triplet_margin, self.collapsed_steps
            )
            raise DivergedError(self.run, f"step {self.run.step}: {told}")

    def _report_skipped(self, paths: Sequence[str]) -> None:
        if len(paths) == self.run.images_per_epoch:
            raise FacenetError(
                f"none of the {len(paths)} images of an epoch can be decoded, such as {paths[0]}"
            )
        if paths:
            self._write(
                f"epoch {self.run.epoch + 1}: {len(set(paths))} damaged images left out, "
                f"such as {paths[0]}"
            )

    def _measure(self) -> dict[str, float]:
        """Validate and evaluate where an epoch's end wants it, as the chief."""
        if self.metrics is None:
            return {}
        self._add_histograms(self.metrics)
        return self._validate(self.metrics) | self._evaluate(self.metrics)

    def _position(self) -> dict[str, float]:
        run = self.run
        return {"epoch": run.epoch, "step": run.step, "minutes": run.seconds / 60}

    def _evaluate(self, metrics: MetricsFiles) -> dict[str, float]:
        run, config = self.run, self.run.config
        if self.pairs is None or not run.evaluation_is_due:
            return {}
        embed = functools.partial(self.embed, flip=config.evaluate_flip)
        result = evaluate_pairs(
            embed, self.pairs, config.evaluate_metric, config.evaluate_subtract_mean
        )
        row = _rates(result)
        metrics.add(EVALUATIONS_FILE, self._position() | row)
        return {f"pairs_{name}": value for name, value in row.items()}

    def _validate(self, metrics: MetricsFiles) -> dict[str, float]:
        run = self.run
        if not (self.held_out and run.validation_is_due):
            return {}
        if self.held_out_pairs is None:
            row = self._validate_images()
        else:
            row = _rates(evaluate_pairs(self.embed, self.held_out_pairs))
        metrics.add(VALIDATIONS_FILE, self._position() | row)
        return {f"validation_{name}": value for name, value in row.items()}

    def _validate_images(self) -> dict[str, float]:
        """Cross-entropy and accuracy of the network as it is trained, without its averages."""
        run = self.run
        labels = {name: label for label, name in enumerate(run.identities)}
        images = [
            (str(path), labels[name]) for name in self.held_out for path in self.held_out[name]
        ]
        paths, of_paths = zip(*images, strict=True)
        batches = input_pipeline(
            paths,
            labels=of_paths,
            preprocessing=self.preprocessing,
            batch_size=run.config.batch_size,
            on_error=cast(Any, run.config.damaged_images),
        )
        with explained_errors(paths):
            # Held out by images, there is a classifier: the settings see to that.
            validate = cast(SoftmaxObjective, run.objective).validate
            found = [validate(run.network, batch) for batch in batches]
        entropies, right = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return {"cross_entropy": float(entropies.mean()), "accuracy": float(right.mean())}

    def _add_histograms(self, metrics: MetricsFiles) -> None:
        run, every = self.run, self.run.config.histograms_every
        if every and run.epoch > 0 and run.position == 0 and run.epoch % every == 0:
            weights = {v.path: np.asarray(v) for v in run.trainable}
            metrics.add_histograms(run.step, weights)

    def _say(self, logs: dict[str, float]) -> None:
        # No loss where a run went on after an epoch's last step.
        line = f"epoch {self.run.epoch}" + (
            f": loss {logs['total']:.3f}" if "total" in logs else ""
        )
        if "pairs_accuracy" in logs:
            line += (
                f", pairs {logs['pairs_accuracy']:.4f} +- {logs['pairs_standard_error']:.4f}"
                f" (AUC {logs['pairs_area_under_curve']:.4f})"
            )
        if "validation_accuracy" in logs:
            line += f", validation {logs['validation_accuracy']:.4f}"
        if self.progress:
            self._write(line)

    def _write(self, line: str) -> None:
        tqdm.write(line, file=sys.stderr)

    def _bar(self) -> tqdm[Any]:
        run = self.run
        return tqdm(
            desc=f"epoch {run.epoch + 1}/{run.config.epochs}",
            total=run.config.epoch_size,
            initial=run.position // run.config.batch_size,
            unit="step",
            leave=False,
            disable=not self.progress,
        )


def _rates(result: VerificationResult) -> dict[str, float]:
    return {name: float(getattr(result, name)) for name in RATES}


def _indices(strategy: tf.distribute.Strategy, batch: dict[str, Any]) -> list[int]:
    """The positions of this worker's images of a batch in what is left of the epoch."""
    parts = strategy.experimental_local_results(batch["indices"])
    return [index for part in parts for index in part.numpy().tolist()]


@contextmanager
def _stop_requests() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets; a second Ctrl-C interrupts as usual."""
    stop = threading.Event()

    def request(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may set handlers
        return
    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
