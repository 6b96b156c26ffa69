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

import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import keras
import tensorflow as tf

from facenet_lib.datasets import LeftOut
from facenet_lib.errors import FacenetError
from facenet_lib.input_pipeline.pipeline import explained_errors, skipped_paths
from facenet_lib.models import BuildNetwork, network_of
from facenet_lib.runs.config import TrainingConfig
from facenet_lib.runs.provenance import RECORD_FILE, append_record, describe_environment
from facenet_lib.runs.tables import EVALUATIONS_FILE, last_row
from facenet_lib.training.batches import MakeSampler, prepare_faces, sampler_of, training_batches
from facenet_lib.training.measuring import Measurements, lacks_measurements, open_metrics
from facenet_lib.training.progress import describe_epoch, epoch_bar, say
from facenet_lib.training.state import DivergedError, RunState
from facenet_lib.training.step import StepResult, training_step
from facenet_lib.training.workers import check_agreement, watch_peers, worker_of
from facenet_lib.verification import EvaluationPairs


@dataclass(frozen=True)
class TrainingResult:
    """How a call of :func:`train` ended.

    Attributes:
        run: the run's folder.
        steps: steps in the run so far, those of earlier calls included.
        finished: whether the schedule is at its end; False after Ctrl-C.
        evaluation: the last row of evaluations.csv, or None where there were no pairs.
        left_out: what of the faces was neither trained on nor held out, an entry for each reason.
    """

    run: Path
    steps: int
    finished: bool
    evaluation: dict[str, float] | None
    left_out: tuple[LeftOut, ...]


def train(
    config: TrainingConfig,
    faces: Mapping[str, Sequence[Path]],
    out: str | Path,
    pairs: EvaluationPairs | None = None,
    *,
    progress: bool = True,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    arguments: Sequence[str] = (),
    build_network: BuildNetwork = network_of,
    make_sampler: MakeSampler = sampler_of,
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
        progress: show a bar and a line an epoch on standard error, and before them how many people
            and images are trained on, and what is left out.
        callbacks: Keras callbacks. Their ``model`` is the network; they see steps, with the
            step's metrics as logs, and epochs, with those of the last step and of the
            evaluation (``pairs_accuracy`` ...), and may set ``model.stop_training``.
        arguments: the words of the command that begins or goes on with the run, for its record.
        build_network: from the settings to a network of images to prelogits; another one than the
            library's has to be given to :func:`facenet_lib.models.load_run`, too.
        make_sampler: from the settings and the person of every image to the order of the images,
            see :class:`facenet_lib.index_queue.Sampler`.

    Returns:
        Where the run stands.

    Raises:
        FacenetError: when ``out`` holds another run, the initial model has not the settings'
            network, an image is damaged (unless ``damaged_images`` is ``skip``), the loss is not
            finite, or the disk is full. The last checkpoint is then good.

    Source: the article's sections 2 to 6.

    >>> result = train(TrainingConfig(), faces, "run", pairs)  # doctest: +SKIP
    """
    prepared = prepare_faces(config, faces)
    faces, held_out = prepared.training, prepared.held_out
    strategy = tf.distribute.get_strategy()
    if progress and worker_of(strategy).is_chief:
        for told in (*prepared.left_out, prepared):
            say(f"facenet: {told}")
    with watch_peers(strategy), ExitStack() as opened:
        run = RunState(config, faces, Path(out), build_network, make_sampler)
        run.begin_or_resume(opened)
        if not run.finished or lacks_measurements(run, pairs, held_out):
            metrics = None
            if run.worker.is_chief:
                append_record(run.out / RECORD_FILE, describe_environment(arguments))
                metrics = opened.enter_context(open_metrics(run))
            measurements = Measurements(run, metrics, pairs, held_out)
            stop = opened.enter_context(_stop_requests())
            _Loop(run, measurements, stop, progress, callbacks).run_epochs()
        # Workers that end early would look to the others like workers that died.
        check_agreement(strategy, {"step": run.step})
    evaluation = last_row(run.out / EVALUATIONS_FILE, run.step)
    return TrainingResult(run.out, run.step, run.finished, evaluation, prepared.left_out)


class _Loop:
    """Runs the epochs that a run has left."""

    def __init__(
        self,
        run: RunState,
        measurements: Measurements,
        stop: _StopRequest,
        progress: bool,
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> None:
        self.run = run
        self.measurements = measurements
        self.stop = stop
        self.progress = progress and run.worker.is_chief
        self.callbacks = keras.callbacks.CallbackList(
            list(callbacks),
            model=run.network,
            epochs=run.config.epochs,
            steps=run.config.epoch_size,
            verbose=0,
        )
        self.training_step: Callable[[Any, bool], StepResult] | None = None
        self.warnings: list[str] = []
        self.is_doubtful = False
        self.stop_agreed = False

    def run_epochs(self) -> None:
        run = self.run
        run.network.stop_training = False
        self.measurements.measure()  # what a kill between an epoch and its evaluation left undone
        self.callbacks.on_train_begin()
        while not run.finished and not self._must_stop():
            self.callbacks.on_epoch_begin(run.epoch)
            logs = self._run_epoch()
            if run.position < run.images_per_epoch:
                run.save()
                break
            self.measurements.add_epoch()
            run.end_epoch()
            run.save()
            logs |= self.measurements.measure()
            if self.progress:
                say(describe_epoch(run.epoch, logs))
            self.callbacks.on_epoch_end(run.epoch - 1, logs)
        self.callbacks.on_train_end()

    def _is_asked_to_stop(self) -> bool:
        return self.stop.asked or bool(self.run.network.stop_training)

    def _must_stop(self) -> bool:
        """Whether to stop now: several workers only when all have agreed to in a step."""
        return self._is_asked_to_stop() if self.run.worker.count == 1 else self.stop_agreed

    def _run_epoch(self) -> dict[str, float]:
        """Train the steps that the epoch has left; return the last step's metrics."""
        run, config = self.run, self.run.config
        run.optimizer.learning_rate = config.learning_rate(run.epoch)
        indices = run.sampler.peek_many(run.images_per_epoch)[run.position :]
        paths = [run.image_list[index] for index in indices]
        labels = [run.label_list[index] for index in indices]
        first_index = run.sampler.position + run.position
        batches = training_batches(config, paths, labels, first_index)
        if self.training_step is None:
            self.training_step = training_step(run, batches.element_spec)
        try:
            with explained_errors(list(dict.fromkeys(paths))):
                return self._run_steps(batches, paths)
        except DivergedError:
            raise
        except FacenetError:  # a damaged image, for example: what was computed stays
            if 0 < run.position < run.images_per_epoch:
                run.save()
            raise

    def _run_steps(self, batches: Iterable[Any], paths: Sequence[str]) -> dict[str, float]:
        """Make a step of every batch, or until the run must stop."""
        run, config = self.run, self.run.config
        first_step, started_at = run.position // config.batch_size, run.position
        seen: list[int] = []
        logs: dict[str, float] = {}
        step_started = time.perf_counter()
        with epoch_bar(run, self.progress) as bar:
            for number, batch in enumerate(batches, start=first_step):
                self.callbacks.on_train_batch_begin(number)
                logs = self._run_step(batch, paths, step_started)
                if config.damaged_images == "skip":  # what was left out is used up, too
                    seen += _indices(run.strategy, batch)
                    run.position = started_at + seen[-1] + 1
                else:
                    run.position += config.batch_size
                step_started = time.perf_counter()
                self.callbacks.on_train_batch_end(number, logs)
                bar.update()
                bar.set_postfix(loss=f"{logs['total']:.3f}")
                if self._must_stop():
                    break
                if self._checkpoint_is_due(number):
                    run.save()
            else:
                run.position = run.images_per_epoch  # the last images may have been left out
        if config.damaged_images == "skip":
            self._report_skipped(skipped_paths(paths[: run.position - started_at], seen))
        return logs

    def _checkpoint_is_due(self, number: int) -> bool:
        every = self.run.config.checkpoint_every
        at_end = self.run.position >= self.run.images_per_epoch  # which has a checkpoint anyway
        return every > 0 and (number + 1) % every == 0 and not self.is_doubtful and not at_end

    def _run_step(self, batch: Any, paths: Sequence[str], started: float) -> dict[str, float]:
        """Make one step and write its row; its seconds include the wait for the batch."""
        run = self.run
        assert self.training_step is not None
        values, stop_asked, prelogits_counts = self.training_step(batch, self._is_asked_to_stop())
        self.stop_agreed = stop_asked
        run.prelogits_counts += prelogits_counts
        check = run.objective.check(values)
        self.is_doubtful = check.is_doubtful
        if check.warning:
            self._warn(check.warning)
        if not math.isfinite(values["total"]):
            what = f"the loss of step {run.step + 1} is {values['total']}"
            images = [paths[index] for index in _indices(run.strategy, batch)]
            raise DivergedError(run.out, what, self.warnings, images)
        seconds = time.perf_counter() - started
        run.step += 1
        run.seconds += seconds
        values |= {
            "epoch": run.epoch,
            "step": run.step,
            "learning_rate": run.config.learning_rate(run.epoch),
            "images_per_second": values.pop("images") / seconds,
        }
        self.measurements.add_step(values)
        if check.failure:
            raise DivergedError(run.out, f"step {run.step}: {check.failure}", self.warnings)
        return values

    def _warn(self, warning: str) -> None:
        self.warnings.append(warning)
        if self.run.worker.is_chief:
            say(f"warning: step {self.run.step + 1}: {warning}")

    def _report_skipped(self, paths: Sequence[str]) -> None:
        if len(paths) == self.run.images_per_epoch:
            raise FacenetError(
                f"none of the {len(paths)} images of an epoch can be decoded, such as {paths[0]}"
            )
        if paths:
            say(
                f"epoch {self.run.epoch + 1}: {len(set(paths))} damaged images left out, "
                f"such as {paths[0]}"
            )


def _indices(strategy: tf.distribute.Strategy, batch: dict[str, Any]) -> list[int]:
    """The positions of this worker's images of a batch in what is left of the epoch."""
    parts = strategy.experimental_local_results(batch["indices"])
    return [index for part in parts for index in part.numpy().tolist()]


@dataclass
class _StopRequest:
    """Whether the run is asked to stop.

    Not a ``threading.Event``: a signal's handler that takes its lock can wait for ever for the
    thread that it interrupted.
    """

    asked: bool = False


@contextmanager
def _stop_requests() -> Iterator[_StopRequest]:
    """What Ctrl-C or SIGTERM asks for; a second Ctrl-C interrupts as usual.

    A second SIGTERM does not: managers of processes like to send two at once.
    """
    stop = _StopRequest()

    def request(number: int, frame: FrameType | None) -> None:
        if stop.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.asked = True

    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may set handlers
        return
    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
