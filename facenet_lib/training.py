"""The whole run: index queue, pipeline, network, total loss, schedule, checkpoints, evaluation.

Mirrors the article from its first section to its last; derived in chapter 6, "Training". One
loop serves one processor and many: a ``tf.function`` step run by the ``tf.distribute`` strategy
in whose scope :func:`train` is called (the default one where there is none).

A run is a folder::

    config.json           the settings, and how many images and people it was given
    identities.txt        the people, one a line, in the order of their labels
    checkpoints/N.npz     weights, optimizer, centers, queue and position after N steps
    metrics.csv           loss terms, accuracy, learning rate and images a second of every step
    evaluations.csv       accuracy and rates on the pairs, every ``evaluate_every`` epochs
    tensorboard/          the same as TensorBoard scalars
"""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TextIO, cast

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from facenet_lib import __version__
from facenet_lib.center_loss import CenterLoss, LossFactors, LossTerms, total_loss
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.index_queue import IndexQueue, image_and_label_lists
from facenet_lib.input_pipeline import (
    Control,
    Preprocessing,
    explained_errors,
    input_pipeline,
)
from facenet_lib.lfw_pairs import read_pairs, resolve_pairs
from facenet_lib.network import embeddings, inception_resnet_v1, logits_layer
from facenet_lib.training_config import (
    END_OF_TRAINING,
    TrainingConfig,
    config_from_dict,
    read_config,
)
from facenet_lib.verification import VerificationResult, evaluate

__all__ = [
    "EvaluationPairs",
    "TrainedNetwork",
    "TrainingConfig",
    "TrainingResult",
    "embed_images",
    "evaluate_pairs",
    "load_run",
    "network_of",
    "preprocessing_of",
    "read_config",
    "read_metrics",
    "train",
]

CHECKPOINTS_KEPT = 3
_METRICS = [
    "epoch",
    "step",
    "learning_rate",
    *LossTerms._fields,
    "accuracy",
    "images_per_second",
]
_RATES = [
    "accuracy",
    "accuracy_std",
    "standard_error",
    "validation_rate",
    "false_accept_rate",
    "area_under_curve",
    "equal_error_rate",
    "threshold",
]
_EVALUATIONS = ["epoch", "step", "minutes", *_RATES]
_CHECKPOINT_STATE = "state"  # the one member of a checkpoint that is JSON and no variable


# --------------------------------------------------------------------------------------------
# What a configuration stands for
# --------------------------------------------------------------------------------------------


def preprocessing_of(config: TrainingConfig) -> Preprocessing:
    """Return the sizes and standardization with which this run's network sees an image."""
    return Preprocessing(
        image_size=config.image_size,
        crop_size=config.crop_size or None,
        frame_size=config.frame_size or None,
        standardization=cast(Any, config.standardization),
    )


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


def network_of(config: TrainingConfig) -> keras.Model:
    """Build this run's network, with fresh weights."""
    return inception_resnet_v1(
        image_size=config.image_size,
        embedding_size=config.embedding_size,
        dropout_rate=config.dropout_rate,
        width=config.width,
        blocks=config.blocks,
        batch_norm_momentum=config.batch_norm_momentum,
    )


# --------------------------------------------------------------------------------------------
# Evaluation on pairs
# --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EvaluationPairs:
    """Image pairs to verify, as ``lfw_pairs.resolve_pairs`` gives them.

    Attributes:
        paths: images; 2i and 2i + 1 are pair i.
        issame: bool ``(pairs,)``, whether a pair shows one person.
        folds: int ``(pairs,)``, the fold of each pair.
    """

    paths: Sequence[str]
    issame: np.ndarray
    folds: np.ndarray

    @classmethod
    def from_file(cls, pairs_file: str | Path, root: str | Path) -> EvaluationPairs:
        """Read a pairs file and find its images below ``root``.

        Raises:
            FacenetError: for a file that is not in one of LFW's formats or images not there.
        """
        pairs = read_pairs(pairs_file)
        paths, issame = resolve_pairs(root, pairs)
        return cls(paths, issame, pairs.fold_ids())


def embed_images(
    network: keras.Model,
    paths: Sequence[str],
    preprocessing: Preprocessing,
    batch_size: int = 64,
) -> np.ndarray:
    """Return the embeddings of image files.

    Args:
        network: images to prelogits.
        paths: JPEG or PNG files; a file that stands there twice is computed once.
        preprocessing: what the network was trained with.
        batch_size: images computed at a time.

    Returns:
        float32 ``(len(paths), embedding_size)``, rows of length one.

    Raises:
        FacenetError: naming the file, when one cannot be decoded.

    Derived in chapter 6, "Training".
    """
    unique, rows = np.unique(np.asarray(paths, dtype=str), return_inverse=True)
    batches = input_pipeline(unique.tolist(), preprocessing=preprocessing, batch_size=batch_size)
    step = _embedding_step(network)
    with explained_errors(unique.tolist()):
        computed = np.concatenate([step(batch["images"]).numpy() for batch in batches])
    return computed[rows]


def _embedding_step(network: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    signature = [tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)]

    @tf.function(input_signature=signature)
    def step(images: tf.Tensor) -> tf.Tensor:
        return embeddings(network(images, training=False))

    return step


def evaluate_pairs(
    embed: Callable[[Sequence[str]], np.ndarray], pairs: EvaluationPairs
) -> VerificationResult:
    """Verify pairs with ``embed``, a function from paths to embeddings.

    Returns:
        What :func:`facenet_lib.verification.evaluate` says, with its defaults.
    """
    return evaluate(embed(pairs.paths), pairs.issame, folds=pairs.folds)


# --------------------------------------------------------------------------------------------
# The run
# --------------------------------------------------------------------------------------------


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
) -> TrainingResult:
    """Train a network, or go on with the run in ``out`` from its last checkpoint.

    An epoch takes ``epoch_size * batch_size`` indices from the index queue, whatever the number
    of images is, and ends with a checkpoint and, every ``evaluate_every`` epochs, with an
    evaluation. Ctrl-C (or SIGTERM) lets the step end, saves and returns; the same call
    continues there. A run that is finished is left as it is.

    Args:
        config: the settings. Of a run begun earlier, only ``epochs`` may differ.
        faces: person to images, as ``datasets.training_faces`` gives them.
        out: the run's folder; made where there is none.
        pairs: what to evaluate on. Their people should not be among ``faces``.
        progress: show a bar and a line an epoch on standard error.
        callbacks: Keras callbacks; they see epochs (with the last step's metrics and the
            evaluation as logs) and may set ``model.stop_training``.

    Returns:
        Where the run stands.

    Raises:
        FacenetError: when ``out`` holds another run, an image is damaged (unless
            ``damaged_images`` is ``skip``), the loss is not finite, or the disk is full.
            The last checkpoint is then good.

    Source: the article's sections 2 to 6. Derived in chapter 6, "Training".
    """
    faces = _with_enough_images(faces, config.minimum_images)
    run = _Run(config, faces, Path(out))
    run.begin_or_resume()
    with _MetricsFiles(run.out, run.step) as metrics, _stop_requests() as stop:
        loop = _Loop(run, pairs, metrics, stop, progress, callbacks)
        loop.run_epochs()
    return TrainingResult(run.out, run.step, run.finished, _last_row(run.out / "evaluations.csv"))


def _with_enough_images(
    faces: Mapping[str, Sequence[Path]], minimum: int
) -> Mapping[str, Sequence[Path]]:
    kept = {name: paths for name, paths in faces.items() if len(paths) >= minimum}
    if len(kept) < 2:
        raise FacenetError(
            f"training needs at least 2 people with {minimum} or more images, found {len(kept)}"
        )
    return kept


class _Run:
    """The state of a run: variables, index queue and position; knows how to save and restore."""

    def __init__(
        self, config: TrainingConfig, faces: Mapping[str, Sequence[Path]], out: Path
    ) -> None:
        self.config = config
        self.out = out
        self.identities = list(faces)
        self.image_list, self.label_list = image_and_label_lists(faces)
        self.queue = IndexQueue(len(self.image_list), config.seed)
        self.epoch = 0
        self.step_of_epoch = 0
        self.step = 0
        self.seconds = 0.0
        self.strategy = tf.distribute.get_strategy()
        with self.strategy.scope():
            self._build()

    def _build(self) -> None:
        config = self.config
        # Initializers and dropout draw their seeds from Python's generator.
        keras.utils.set_random_seed(config.seed)
        self.network = network_of(config)
        self.head = logits_layer(len(self.identities))
        self.head.build((None, config.embedding_size))
        self.center_loss = CenterLoss(
            len(self.identities),
            config.embedding_size,
            config.center_loss_alpha,
            config.center_loss_divide,
        )
        clip = config.gradient_norm or None
        self.optimizer = keras.optimizers.Adam(config.learning_rate(0), global_clipnorm=clip)
        self.trainable = self.network.trainable_variables + self.head.trainable_variables
        self.kernels = [variable for variable in self.trainable if variable.name == "kernel"]
        self.optimizer.build(self.trainable)

    @property
    def finished(self) -> bool:
        return self.config.learning_rate(self.epoch) == END_OF_TRAINING

    def variables(self) -> dict[str, Any]:
        """Every variable of the run by a name that does not depend on this process."""
        named: dict[str, Any] = {"centers": self.center_loss.centers}
        for part, variables in (
            ("network", self.network.variables),
            ("head", self.head.variables),
            ("optimizer", self.optimizer.variables),
        ):
            for number, variable in enumerate(variables):
                named[f"{part}/{number:04d}/{variable.name}"] = variable
        return named

    def begin_or_resume(self) -> None:
        """Make the run's folder, or check that it is this run's and restore the last checkpoint."""
        about = {"identities": len(self.identities), "images": len(self.image_list)}
        config_file = self.out / "config.json"
        if config_file.exists():
            _check_same_run(self.out, self.config, self.identities, about)
        elif self.out.is_dir() and any(self.out.iterdir()):
            raise FacenetError(f"{self.out}: not empty and no training run; name another folder")
        with _writing(self.out):
            (self.out / "checkpoints").mkdir(parents=True, exist_ok=True)
            _write_whole(self.out / "identities.txt", "".join(f"{n}\n" for n in self.identities))
            contents = {"facenet_lib": __version__, "data": about, **self.config.to_dict()}
            _write_whole(config_file, json.dumps(contents, indent=2) + "\n")
        found = _last_checkpoint(self.out)
        if found is not None:
            self._restore(*found)

    def save(self) -> None:
        """Write a checkpoint, whole or not at all, and remove the oldest."""
        arrays = {name: np.asarray(variable) for name, variable in self.variables().items()}
        state = {
            "epoch": self.epoch,
            "step_of_epoch": self.step_of_epoch,
            "step": self.step,
            "seconds": self.seconds,
            "queue": self.queue.state(),
        }
        folder = self.out / "checkpoints"
        with _writing(self.out):
            _write_checkpoint(folder / f"{self.step:08d}.npz", arrays, state)
            for old in sorted(folder.glob("*.npz"))[:-CHECKPOINTS_KEPT]:
                old.unlink()

    def _restore(self, path: Path, arrays: dict[str, np.ndarray], state: dict[str, Any]) -> None:
        _assign(path, self.variables(), arrays)
        self.epoch, self.step_of_epoch = state["epoch"], state["step_of_epoch"]
        self.step, self.seconds = state["step"], state["seconds"]
        self.queue = IndexQueue.from_state(state["queue"])


class _Loop:
    """Runs the epochs that a run has left."""

    def __init__(
        self,
        run: _Run,
        pairs: EvaluationPairs | None,
        metrics: _MetricsFiles,
        stop: threading.Event,
        progress: bool,
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> None:
        self.run = run
        self.pairs = pairs
        self.metrics = metrics
        self.stop = stop
        self.progress = progress
        self.preprocessing = preprocessing_of(run.config)
        self.callbacks = keras.callbacks.CallbackList(list(callbacks), model=run.network)
        self.training_step: Callable[..., dict[str, tf.Tensor]] | None = None

    def run_epochs(self) -> None:
        run = self.run
        run.network.stop_training = False
        self.callbacks.on_train_begin()
        while not (run.finished or self.stop.is_set() or run.network.stop_training):
            self.callbacks.on_epoch_begin(run.epoch)
            # Kept until the epoch is whole: a stop inside it must dequeue the same again.
            queue_before = run.queue.state()
            logs = self._run_epoch()
            if run.step_of_epoch < run.config.epoch_size:
                run.queue = IndexQueue.from_state(queue_before)
                break
            run.epoch, run.step_of_epoch = run.epoch + 1, 0
            run.save()
            logs |= self._evaluate()
            self._say(logs)
            self.callbacks.on_epoch_end(run.epoch - 1, logs)
        if run.step_of_epoch:
            run.save()
            self._write(f"stopped after step {run.step}; saved. The same call goes on from there.")
        self.callbacks.on_train_end()

    def _run_epoch(self) -> dict[str, float]:
        """Train the steps that the epoch has left; return the last step's metrics."""
        run, config = self.run, self.run.config
        run.optimizer.learning_rate = config.learning_rate(run.epoch)
        indices = run.queue.dequeue_many(config.epoch_size * config.batch_size)
        indices = indices[run.step_of_epoch * config.batch_size :]
        paths = [run.image_list[index] for index in indices]
        dataset = input_pipeline(
            paths,
            labels=[run.label_list[index] for index in indices],
            controls=augmentation_of(config),
            preprocessing=self.preprocessing,
            batch_size=config.batch_size,
            seed=config.seed,
            first_index=(run.epoch * config.epoch_size + run.step_of_epoch) * config.batch_size,
            on_error=cast(Any, config.damaged_images),
        )
        logs: dict[str, float] = {}
        with explained_errors(paths), self._bar() as bar:
            for batch in run.strategy.experimental_distribute_dataset(dataset):
                logs = self._run_step(batch)
                bar.update()
                bar.set_postfix(loss=f"{logs['total']:.3f}", accuracy=f"{logs['accuracy']:.3f}")
                if self.stop.is_set():
                    break
            else:
                # Damaged images that were skipped may have cost the epoch its last steps.
                run.step_of_epoch = config.epoch_size
        return logs

    def _run_step(self, batch: dict[str, tf.Tensor]) -> dict[str, float]:
        run = self.run
        if self.training_step is None:
            self.training_step = _training_step(run)
        started = time.perf_counter()
        values = {name: float(value) for name, value in self.training_step(batch).items()}
        seconds = time.perf_counter() - started
        if not math.isfinite(values["total"]):
            raise FacenetError(
                f"the loss of step {run.step} is {values['total']}: the run in {run.out} diverged; "
                "its last checkpoint is from before. A lower learning rate, or gradient_norm, helps"
            )
        run.step += 1
        run.step_of_epoch += 1
        run.seconds += seconds
        values |= {
            "epoch": run.epoch,
            "step": run.step,
            "learning_rate": run.config.learning_rate(run.epoch),
            "images_per_second": values.pop("images") / seconds,
        }
        self.metrics.add_step(values)
        return values

    def _evaluate(self) -> dict[str, float]:
        run = self.run
        if self.pairs is None or (run.epoch % run.config.evaluate_every and not run.finished):
            return {}

        def embed(paths: Sequence[str]) -> np.ndarray:
            return embed_images(run.network, paths, self.preprocessing)

        result = evaluate_pairs(embed, self.pairs)
        row = {name: float(getattr(result, name)) for name in _RATES}
        position = {"epoch": run.epoch, "step": run.step, "minutes": run.seconds / 60}
        self.metrics.add_evaluation(position | row)
        return {f"pairs_{name}": value for name, value in row.items()}

    def _say(self, logs: dict[str, float]) -> None:
        line = f"epoch {self.run.epoch}: loss {logs['total']:.3f}"
        if "pairs_accuracy" in logs:
            line += (
                f", pairs {logs['pairs_accuracy']:.4f} +- {logs['pairs_standard_error']:.4f}"
                f" (AUC {logs['pairs_area_under_curve']:.4f})"
            )
        self._write(line)

    def _write(self, line: str) -> None:
        if self.progress:
            tqdm.write(line, file=sys.stderr)

    def _bar(self) -> tqdm[Any]:
        run = self.run
        return tqdm(
            desc=f"epoch {run.epoch + 1}/{run.config.epochs}",
            total=run.config.epoch_size,
            initial=run.step_of_epoch,
            unit="step",
            leave=False,
            disable=not self.progress,
        )


def _training_step(run: _Run) -> Callable[..., dict[str, tf.Tensor]]:
    """Compile one step: forward, total loss, gradients, Adam; under the run's strategy."""
    factors = LossFactors(
        center_loss=run.config.center_loss_factor,
        prelogits_norm=run.config.prelogits_norm_factor,
        prelogits_norm_p=run.config.prelogits_norm_p,
        weight_decay=run.config.weight_decay,
    )
    replicas = run.strategy.num_replicas_in_sync

    def replica_step(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        labels = batch["labels"]
        with tf.GradientTape() as tape:
            prelogits = run.network(batch["images"], training=True)
            logits = run.head(prelogits)
            terms: LossTerms = total_loss(
                logits, prelogits, labels, run.kernels, run.center_loss, factors
            )
            loss = terms.total / replicas  # the optimizer adds up the replicas' gradients
        run.optimizer.apply(tape.gradient(loss, run.trainable), run.trainable)
        right = tf.argmax(logits, axis=1, output_type=labels.dtype) == labels
        return {
            **terms._asdict(),
            "accuracy": tf.reduce_mean(tf.cast(right, tf.float32)),
            "images": tf.cast(tf.size(labels), tf.float32) * replicas,
        }

    @tf.function(reduce_retracing=True)
    def step(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        values = run.strategy.run(replica_step, args=(batch,))
        mean = tf.distribute.ReduceOp.MEAN
        return {name: run.strategy.reduce(mean, value, None) for name, value in values.items()}

    return step


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


# --------------------------------------------------------------------------------------------
# The run's folder
# --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrainedNetwork:
    """A run's network as of its last checkpoint.

    Attributes:
        network: standardized images to prelogits.
        preprocessing: how an image becomes its input.
        config: the run's settings.
        identities: the people it was trained on, by label.
        step: steps it was trained for.
        evaluation: the last row of evaluations.csv, or None.
    """

    network: keras.Model
    preprocessing: Preprocessing
    config: TrainingConfig
    identities: tuple[str, ...]
    step: int
    evaluation: dict[str, float] | None


def load_run(run: str | Path) -> TrainedNetwork:
    """Load a run's network from its last good checkpoint.

    Args:
        run: a folder that :func:`train` made.

    Raises:
        FacenetError: when the folder is no run, has no checkpoint yet, or none that is whole.

    Derived in chapter 6, "Training".
    """
    run = Path(run)
    config, _ = _read_config_file(run)
    found = _last_checkpoint(run)
    if found is None:
        raise FacenetError(f"{run}: the run has no checkpoint yet")
    path, arrays, state = found
    network = network_of(config)
    variables = {
        f"network/{number:04d}/{variable.name}": variable
        for number, variable in enumerate(network.variables)
    }
    weights = {name: array for name, array in arrays.items() if name.startswith("network/")}
    _assign(path, variables, weights)
    return TrainedNetwork(
        network=network,
        preprocessing=preprocessing_of(config),
        config=config,
        identities=tuple((run / "identities.txt").read_text(encoding="utf-8").splitlines()),
        step=state["step"],
        evaluation=_last_row(run / "evaluations.csv"),
    )


def read_metrics(path: str | Path) -> dict[str, np.ndarray]:
    """Read a run's metrics.csv or evaluations.csv.

    Returns:
        Column to float64 array, one value a row.

    Raises:
        FacenetError: when the file is missing or a cell is no number.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        names = rows[0].keys() if rows else ()
        return {name: np.array([float(row[name]) for row in rows]) for name in names}
    except OSError as error:
        raise FacenetError(f"{path}: {error.strerror}") from error
    except (TypeError, ValueError) as error:
        raise FacenetError(f"{path}: expected a table of numbers: {error}") from error


def _last_row(path: Path) -> dict[str, float] | None:
    if not path.exists():
        return None
    columns = read_metrics(path)
    return {name: float(column[-1]) for name, column in columns.items()} or None


class _MetricsFiles:
    """metrics.csv, evaluations.csv and TensorBoard's files, written on from a given step."""

    def __init__(self, out: Path, step: int) -> None:
        self.out = out
        with _writing(out):
            self._steps = _continue_csv(out / "metrics.csv", _METRICS, step)
            self._evaluations = _continue_csv(out / "evaluations.csv", _EVALUATIONS, step)
            self._summary = tf.summary.create_file_writer(str(out / "tensorboard"))

    def __enter__(self) -> _MetricsFiles:
        return self

    def __exit__(self, *exception: object) -> None:
        self._steps.close()
        self._evaluations.close()
        self._summary.close()

    def add_step(self, values: Mapping[str, float]) -> None:
        self._add(self._steps, _METRICS, "train", values)

    def add_evaluation(self, values: Mapping[str, float]) -> None:
        self._add(self._evaluations, _EVALUATIONS, "pairs", values)

    def _add(
        self, file: TextIO, columns: list[str], scope: str, values: Mapping[str, float]
    ) -> None:
        with _writing(self.out):
            csv.writer(file).writerow([f"{values[name]:.7g}" for name in columns])
            file.flush()
            with self._summary.as_default(step=int(values["step"])):
                for name in columns[2:]:
                    tf.summary.scalar(f"{scope}/{name}", values[name])


def _continue_csv(path: Path, columns: list[str], step: int) -> TextIO:
    """Open a table for more rows, without those that a lost end of the run left behind."""
    kept = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        # A row that a kill cut short has no value in its last column.
        whole = [row for row in rows if row.get(columns[-1])]
        kept = [row for row in whole if float(row["step"]) <= step]
    file = path.open("w", newline="", encoding="utf-8")
    writer = csv.DictWriter(file, columns, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(kept)
    file.flush()
    return file


def _read_config_file(run: Path) -> tuple[TrainingConfig, dict[str, Any]]:
    path = run / "config.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        about = settings.pop("data")
        settings.pop("facenet_lib")
    except OSError as error:
        raise FacenetError(f"{run}: not a training run: no readable config.json") from error
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise FacenetError(f"{path}: not the configuration of a run: {error}") from error
    return config_from_dict(settings, source=str(path)), about


def _check_same_run(
    out: Path, config: TrainingConfig, identities: list[str], about: dict[str, int]
) -> None:
    begun_config, begun_about = _read_config_file(out)
    begun = begun_config.to_dict() | begun_about
    wanted = config.to_dict() | about
    problems = [
        f"{name} was {begun[name]!r} when the run began, now {wanted[name]!r}"
        for name in wanted
        if name != "epochs" and begun[name] != wanted[name]
    ]
    names_file = out / "identities.txt"
    if not problems and names_file.read_text(encoding="utf-8").splitlines() != identities:
        problems.append("the people are not those that the run began with")
    refuse(f"{out}: holds another run", problems)


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Tell a full disk or a folder that has gone in one line."""
    try:
        yield
    except OSError as error:
        raise FacenetError(
            f"{error.filename or out}: cannot write: {error.strerror or error}; what the run in "
            f"{out} saved before is untouched"
        ) from error


def _write_whole(path: Path, text: str) -> None:
    """Write a text file so that a reader sees the old one or the new one, never a part."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _write_checkpoint(
    path: Path, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]
) -> None:
    part = path.with_name(path.name + ".part")
    encoded = np.frombuffer(json.dumps(state).encode(), dtype=np.uint8)
    with part.open("wb") as file:
        np.savez(file, allow_pickle=False, **{_CHECKPOINT_STATE: encoded, **arrays})
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _read_checkpoint(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a checkpoint; the archive's own checksums find damage.

    Raises:
        FacenetError: when it is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        state = json.loads(arrays.pop(_CHECKPOINT_STATE).tobytes())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise FacenetError(f"{path}: damaged checkpoint: {error}") from error
    return arrays, state


def _last_checkpoint(run: Path) -> tuple[Path, dict[str, np.ndarray], dict[str, Any]] | None:
    """Return the newest checkpoint that is whole; say aloud which damaged ones were passed over."""
    problems = []
    for path in sorted((run / "checkpoints").glob("*.npz"), reverse=True):
        try:
            return path, *_read_checkpoint(path)
        except FacenetError as error:
            problems.append(str(error))
            print(f"{error}; trying the one before", file=sys.stderr)
    refuse(f"{run}: no checkpoint is whole", problems)
    return None


def _assign(path: Path, variables: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Give every variable its array, all or nothing."""
    problems = [f"{name}: missing" for name in variables if name not in arrays]
    problems += [f"{name}: unknown" for name in arrays if name not in variables]
    problems += [
        f"{name}: expected shape {tuple(variables[name].shape)}, found {arrays[name].shape}"
        for name in variables.keys() & arrays.keys()
        if tuple(variables[name].shape) != arrays[name].shape
    ]
    refuse(str(path), sorted(problems))
    for name, variable in variables.items():
        variable.assign(arrays[name])
