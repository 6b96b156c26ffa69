"""The whole run: index queue, pipeline, network, total loss, schedule, checkpoints, evaluation.

Mirrors the article from its first section to its last; derived in chapter 6, "Training". One
loop serves one processor and many: a ``tf.function`` step run by the ``tf.distribute`` strategy
in whose scope :func:`train` is called (the default one where there is none).

A run is a folder::

    config.json           the settings, and which images and how many people it was given
    identities.txt        the people, one a line, in the order of their labels
    checkpoints/N.npz     weights, optimizer, centers, queue and position after N steps
                          (:mod:`facenet_lib.checkpoints`)
    metrics.csv           loss terms, accuracy, learning rate and images a second of every step
    evaluations.csv       accuracy and rates on the pairs, every ``evaluate_every`` epochs
    tensorboard/          the same as TensorBoard scalars (:mod:`facenet_lib.metrics`)
"""

from __future__ import annotations

import json
import math
import signal
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from facenet_lib import __version__
from facenet_lib.center_loss import CenterLoss, LossFactors, LossTerms, total_loss
from facenet_lib.checkpoints import last_checkpoint, whole_file, write_checkpoint, writing
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.index_queue import IndexQueue, image_and_label_lists
from facenet_lib.input_pipeline import (
    Control,
    Preprocessing,
    explained_errors,
    input_pipeline,
    skipped_paths,
)
from facenet_lib.lfw_pairs import read_pairs, resolve_pairs
from facenet_lib.metrics import RATES, MetricsFiles, last_evaluation, read_metrics
from facenet_lib.network import embeddings, inception_resnet_v1, logits_layer
from facenet_lib.optimizers import FusedAdam
from facenet_lib.pretrained import (
    ModelCard,
    PretrainedNetwork,
    is_model_folder,
    load_pretrained,
    read_card,
)
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
    "check_is_network",
    "embed_images",
    "evaluate_pairs",
    "image_embedder",
    "load_network",
    "load_run",
    "network_of",
    "network_settings",
    "preprocessing_of",
    "read_config",
    "read_metrics",
    "train",
    "unique_files",
]

CONFIG_FILE = "config.json"
IDENTITIES_FILE = "identities.txt"
CHECKPOINTS_FOLDER = "checkpoints"
SHARED_SETTINGS = ("image_size", "standardization", "embedding_size", "width", "blocks")
"""What a run and the initial model whose weights it begins with must agree on."""


# --------------------------------------------------------------------------------------------
# What a configuration stands for
# --------------------------------------------------------------------------------------------


def preprocessing_of(config: TrainingConfig) -> Preprocessing:
    """Return the sizes and standardization with which this run's network sees an image.

    Derived in chapter 6, "Training".
    """
    return Preprocessing(
        image_size=config.image_size,
        crop_size=config.crop_size or None,
        frame_size=config.frame_size or None,
        standardization=cast(Any, config.standardization),
    )


def augmentation_of(config: TrainingConfig) -> Control:
    """Return the control bits of this run's training images.

    Derived in chapter 6, "Training".
    """
    control = preprocessing_of(config).control
    for wanted, bit in (
        (config.random_rotate, Control.RANDOM_ROTATE),
        (config.random_crop, Control.RANDOM_CROP),
        (config.random_flip, Control.RANDOM_FLIP),
    ):
        control |= bit if wanted else Control(0)
    return control


def network_of(config: TrainingConfig) -> keras.Model:
    """Build this run's network, with fresh weights.

    Derived in chapter 6, "Training".
    """
    return inception_resnet_v1(
        image_size=config.image_size,
        embedding_size=config.embedding_size,
        dropout_rate=config.dropout_rate,
        width=config.width,
        blocks=config.blocks,
        batch_norm_momentum=config.batch_norm_momentum,
        precision=config.precision,
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

    Derived in chapter 6, "Training".
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
    flip: bool = False,
) -> np.ndarray:
    """Return the embeddings of image files.

    Args:
        network: images to prelogits.
        paths: JPEG or PNG files; a file that stands there twice is computed once.
        preprocessing: what the network was trained with.
        batch_size: images computed at a time.
        flip: add the embedding of the mirror image.

    Returns:
        float32 ``(len(paths), embedding_size)``, rows of length one. With ``flip``, as the
        reference's ``use_flipped_images`` has it, ``(len(paths), 2 * embedding_size)``: an
        image's embedding and, right of it, that of its window mirrored left to right.

    Raises:
        FacenetError: naming the file, when one cannot be decoded.

    Derived in chapter 6, "Training"; mirror images in chapter 11, "The published weights".
    """
    return image_embedder(network, preprocessing)(paths, batch_size, flip)


def image_embedder(network: keras.Model, preprocessing: Preprocessing) -> Callable[..., np.ndarray]:
    """Return :func:`embed_images` for one network, ``embed(paths, batch_size=64, flip=False)``.

    It compiles the network once, and not at every call.

    Derived in chapter 6, "Training".
    """
    signature = [tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)]

    @tf.function(input_signature=signature)
    def embed_batch(images: tf.Tensor) -> tf.Tensor:
        return embeddings(network(images, training=False))

    @tf.function(input_signature=signature)
    def embed_batch_and_mirror_images(images: tf.Tensor) -> tf.Tensor:
        # Mirroring commutes with the resizing and standardization that the images have behind them.
        return tf.concat([embed_batch(images), embed_batch(tf.reverse(images, [2]))], axis=1)

    def embed(paths: Sequence[str | Path], batch_size: int = 64, flip: bool = False) -> np.ndarray:
        compute = embed_batch_and_mirror_images if flip else embed_batch
        files, rows = unique_files(paths)
        if not files:
            return np.empty((0, network.output_shape[1] * (2 if flip else 1)), np.float32)
        batches = input_pipeline(files, preprocessing=preprocessing, batch_size=batch_size)
        with explained_errors(files):
            computed = np.concatenate([compute(batch["images"]).numpy() for batch in batches])
        return computed[rows]

    return embed


def unique_files(paths: Sequence[str | Path]) -> tuple[list[str], np.ndarray]:
    """Return the files among ``paths``, each once, and which of them stands at each place.

    Images of pairs come up many times: LFW's 12,000 places hold 7,701 images.

    Raises:
        FacenetError: for one path in place of a sequence of them.

    Derived in chapter 6, "Training".
    """
    if isinstance(paths, str | Path):
        raise FacenetError(f"expected paths to be a sequence of files, found the one {paths!r}")
    unique, rows = np.unique([str(path) for path in paths], return_inverse=True)
    return unique.tolist(), rows


def evaluate_pairs(
    embed: Callable[[Sequence[str]], np.ndarray],
    pairs: EvaluationPairs,
    metric: str = "euclidean",
    subtract_mean: bool = False,
) -> VerificationResult:
    """Verify pairs with ``embed``, a function from paths to embeddings.

    Args:
        embed: called once, with all paths; ``functools.partial(model.embed, flip=True)``
            measures with mirror images as well.
        pairs: the pairs.
        metric: ``"euclidean"`` or ``"cosine"``, see ``verification.distances``.
        subtract_mean: whether the embeddings' mean is subtracted first.

    Returns:
        What :func:`facenet_lib.verification.evaluate` says, otherwise with its defaults.

    Derived in chapter 6, "Training"; the options in chapter 11, "The published weights".
    """
    return evaluate(
        embed(pairs.paths),
        pairs.issame,
        folds=pairs.folds,
        metric=metric,
        subtract_mean=subtract_mean,
    )


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

    Derived in chapter 6, "Training".
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
        callbacks: Keras callbacks. Their ``model`` is the network; they see steps, with the
            step's metrics as logs, and epochs, with those of the last step and of the
            evaluation (``pairs_accuracy`` ...), and may set ``model.stop_training``.

    Returns:
        Where the run stands.

    Raises:
        FacenetError: when ``out`` holds another run, the initial model has not the settings'
            network, an image is damaged (unless ``damaged_images`` is ``skip``), the loss is not
            finite, or the disk is full. The last checkpoint is then good.

    Source: the article's sections 2 to 6. Derived in chapter 6, "Training".
    """
    faces = _with_enough_images(faces, config.minimum_images)
    run = _Run(config, faces, Path(out))
    run.begin_or_resume()
    if not run.finished or (pairs is not None and run.evaluation_is_due):
        with MetricsFiles(run.out, run.step) as metrics, _stop_requests() as stop:
            _Loop(run, pairs, metrics, stop, progress, callbacks).run_epochs()
    return TrainingResult(run.out, run.step, run.finished, last_evaluation(run.out, run.step))


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
        self.position = 0  # images of the epoch that are used up, or were left out as damaged
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
        if config.freeze_until:
            _freeze(self.network, config.freeze_until)
        self.head = logits_layer(len(self.identities))
        self.head.build((None, config.embedding_size))
        self.center_loss = CenterLoss(
            len(self.identities),
            config.embedding_size,
            config.center_loss_alpha,
            config.center_loss_divide,
        )
        clip = config.gradient_norm or None
        self.optimizer = FusedAdam(
            config.learning_rate(0), epsilon=config.adam_epsilon, global_clipnorm=clip
        )
        self.trainable = self.network.trainable_variables + self.head.trainable_variables
        self.kernels = [variable for variable in self.trainable if variable.name == "kernel"]
        self.optimizer.build(self.trainable)

    @property
    def images_per_epoch(self) -> int:
        return self.config.epoch_size * self.config.batch_size

    @property
    def finished(self) -> bool:
        return self.config.learning_rate(self.epoch) == END_OF_TRAINING

    @property
    def evaluation_is_due(self) -> bool:
        """Whether an epoch has ended whose evaluation is wanted and not in the table yet."""
        at_end_of_epoch = self.epoch > 0 and self.position == 0
        wanted = self.epoch % self.config.evaluate_every == 0 or self.finished
        if not (at_end_of_epoch and wanted):
            return False
        last = last_evaluation(self.out, self.step)
        return last is None or last["step"] != self.step

    def variables(self) -> dict[str, Any]:
        """Every variable of the run, by name."""
        return {
            "centers": self.center_loss.centers,
            **_named("network", self.network.variables),
            **_named("head", self.head.variables),
            **_named("optimizer", self.optimizer.variables),
        }

    def begin_or_resume(self) -> None:
        """Make the run's folder, or check that it is this run's and restore the last checkpoint."""
        about = {
            "identities": len(self.identities),
            "images": len(self.image_list),
            "image_names": _checksum(self.image_list, self.label_list),
        }
        config_file = self.out / CONFIG_FILE
        if config_file.exists():
            _check_same_run(self.out, self.config, self.identities, about)
        else:
            _refuse_foreign_folder(self.out)
        folder = self.out / CHECKPOINTS_FOLDER
        checkpoint = last_checkpoint(folder)
        if checkpoint is None and self.config.initial_model:
            _take_weights(self.network, self.config)
        with writing(self.out):
            folder.mkdir(parents=True, exist_ok=True)
        _write_text(self.out / IDENTITIES_FILE, "".join(f"{name}\n" for name in self.identities))
        contents = {"facenet_lib": __version__, "data": about, **self.config.to_dict()}
        # Last, since a folder is a run from the moment it has this file.
        _write_text(config_file, json.dumps(contents, indent=2) + "\n")
        if checkpoint is not None:
            _assign(checkpoint.path, self.variables(), checkpoint.arrays)
            state = checkpoint.state
            self.epoch, self.position = state["epoch"], state["position"]
            self.step, self.seconds = state["step"], state["seconds"]
            self.queue = IndexQueue.from_state(state["queue"])

    def save(self) -> None:
        """Write a checkpoint.

        Raises:
            FacenetError: when a variable is not finite, or the file cannot be written.
        """
        arrays = {name: np.asarray(variable) for name, variable in self.variables().items()}
        broken = [name for name, array in arrays.items() if not np.isfinite(array).all()]
        if broken:
            raise _DivergedError(self, f"after step {self.step}, {broken[0]} holds NaN or infinity")
        state = {
            "epoch": self.epoch,
            "position": self.position,
            "step": self.step,
            "seconds": self.seconds,
            "queue": self.queue.state(),
        }
        write_checkpoint(self.out / CHECKPOINTS_FOLDER, self.step, arrays, state)


class _Loop:
    """Runs the epochs that a run has left."""

    def __init__(
        self,
        run: _Run,
        pairs: EvaluationPairs | None,
        metrics: MetricsFiles,
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
        self.embed = image_embedder(run.network, self.preprocessing)
        self.callbacks = keras.callbacks.CallbackList(
            list(callbacks),
            model=run.network,
            epochs=run.config.epochs,
            steps=run.config.epoch_size,
            verbose=0,
        )
        self.training_step: Callable[..., dict[str, tf.Tensor]] | None = None

    def run_epochs(self) -> None:
        run = self.run
        run.network.stop_training = False
        self._evaluate()  # what a kill between an epoch and its evaluation left undone
        self.callbacks.on_train_begin()
        while not (run.finished or self._stopping()):
            self.callbacks.on_epoch_begin(run.epoch)
            # Kept until the epoch is whole: a stop inside it must dequeue the same again.
            queue_before = run.queue.state()
            try:
                logs = self._run_epoch()
            except _DivergedError:
                raise
            except FacenetError:  # a damaged image, for example: what was computed stays
                if 0 < run.position < run.images_per_epoch:
                    run.queue = IndexQueue.from_state(queue_before)
                    run.save()
                raise
            if run.position < run.images_per_epoch:
                run.queue = IndexQueue.from_state(queue_before)
                run.save()
                break
            run.epoch, run.position = run.epoch + 1, 0
            run.save()
            logs |= self._evaluate()
            self._say(logs)
            self.callbacks.on_epoch_end(run.epoch - 1, logs)
        self.callbacks.on_train_end()

    def _stopping(self) -> bool:
        return self.stop.is_set() or bool(self.run.network.stop_training)

    def _run_epoch(self) -> dict[str, float]:
        """Train the steps that the epoch has left; return the last step's metrics."""
        run, config = self.run, self.run.config
        started_at = run.position
        run.optimizer.learning_rate = config.learning_rate(run.epoch)
        indices = run.queue.dequeue_many(run.images_per_epoch)[started_at:]
        paths = [run.image_list[index] for index in indices]
        dataset = input_pipeline(
            paths,
            labels=[run.label_list[index] for index in indices],
            controls=augmentation_of(config),
            preprocessing=self.preprocessing,
            batch_size=config.batch_size,
            seed=config.seed,
            first_index=run.epoch * run.images_per_epoch + started_at,
            on_error=cast(Any, config.damaged_images),
        )
        batches = run.strategy.experimental_distribute_dataset(dataset)
        if self.training_step is None:
            self.training_step = _training_step(run, batches.element_spec)
        seen: list[int] = []
        logs: dict[str, float] = {}
        step_started = time.perf_counter()
        with explained_errors(list(dict.fromkeys(paths))), self._bar() as bar:
            for number, batch in enumerate(batches, start=started_at // config.batch_size):
                self.callbacks.on_train_batch_begin(number)
                seen += _indices(run.strategy, batch)
                run.position = started_at + seen[-1] + 1
                logs = self._run_step(self.training_step, batch, step_started)
                step_started = time.perf_counter()
                self.callbacks.on_train_batch_end(number, logs)
                bar.update()
                bar.set_postfix(loss=f"{logs['total']:.3f}", accuracy=f"{logs['accuracy']:.3f}")
                if self._stopping():
                    break
            else:
                run.position = run.images_per_epoch  # the last images may have been left out
        self._report_skipped(skipped_paths(paths[: run.position - started_at], seen))
        return logs

    def _run_step(
        self, training_step: Callable[..., dict[str, tf.Tensor]], batch: Any, started: float
    ) -> dict[str, float]:
        """Make one step and write its row; its seconds include the wait for the batch."""
        run = self.run
        values = {name: float(value) for name, value in training_step(batch).items()}
        if not math.isfinite(values["total"]):
            raise _DivergedError(run, f"the loss of step {run.step + 1} is {values['total']}")
        seconds = time.perf_counter() - started
        run.step += 1
        run.seconds += seconds
        values |= {
            "epoch": run.epoch,
            "step": run.step,
            "learning_rate": run.config.learning_rate(run.epoch),
            "images_per_second": values.pop("images") / seconds,
        }
        self.metrics.add_step(values)
        return values

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

    def _evaluate(self) -> dict[str, float]:
        run = self.run
        if self.pairs is None or not run.evaluation_is_due:
            return {}
        result = evaluate_pairs(self.embed, self.pairs)
        row = {name: float(getattr(result, name)) for name in RATES}
        position = {"epoch": run.epoch, "step": run.step, "minutes": run.seconds / 60}
        self.metrics.add_evaluation(position | row)
        return {f"pairs_{name}": value for name, value in row.items()}

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


def _indices(strategy: tf.distribute.Strategy, batch: dict[str, Any]) -> list[int]:
    """The positions of a batch's images in the epoch, over all replicas."""
    parts = strategy.experimental_local_results(batch["indices"])
    return [index for part in parts for index in part.numpy().tolist()]


class _DivergedError(FacenetError):
    """The loss or a weight is not finite any more, so there is nothing worth saving."""

    def __init__(self, run: _Run, what: str) -> None:
        super().__init__(
            f"{what}: the run in {run.out} diverged, and only checkpoints from before are kept. "
            "Begin another run with a lower learning rate, or with gradient_norm"
        )


def _training_step(run: _Run, batch_spec: Any) -> Callable[..., dict[str, tf.Tensor]]:
    """Compile one step: forward, total loss, gradients, Adam; under the run's strategy.

    ``batch_spec`` leaves the number of images open, so that a smaller last batch, as damaged
    images leave it, does not compile the step a second time.
    """
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

    @tf.function(input_signature=[batch_spec])
    def step(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        values = run.strategy.run(replica_step, args=(batch,))
        mean = tf.distribute.ReduceOp.MEAN
        return {name: run.strategy.reduce(mean, value, None) for name, value in values.items()}

    return step


def _freeze(network: keras.Model, end_point: str) -> None:
    """Keep what every layer up to an end point holds, moving statistics included.

    Keras lists layers so that each comes after all that lead to it, and at an end point
    everything comes together.
    """
    for layer in network.layers:
        layer.trainable = False
        if layer.name == end_point:
            return


def _take_weights(network: keras.Model, config: TrainingConfig) -> None:
    """Give a run's network the weights of its initial model.

    Raises:
        FacenetError: naming every setting in which the two disagree.
    """
    initial = load_network(config.initial_model)
    about = initial.config if isinstance(initial, TrainedNetwork) else initial.card
    theirs, ours = _network_settings(about), config.to_dict()
    problems = [
        f"{name} is {theirs[name]!r} in the initial model, but {ours[name]!r} in the settings"
        for name in SHARED_SETTINGS
        if ours[name] != theirs[name]
    ]
    refuse(f"{config.initial_model}: cannot be the beginning of this run", problems)
    network.set_weights(initial.network.get_weights())


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
        evaluation: the last row of evaluations.csv up to that step, or None.

    Derived in chapter 6, "Training".
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
    identities = _read_identities(run)
    checkpoint = last_checkpoint(run / CHECKPOINTS_FOLDER)
    if checkpoint is None:
        raise FacenetError(f"{run}: the run has no checkpoint yet")
    network = network_of(config)
    arrays = {k: array for k, array in checkpoint.arrays.items() if k.startswith("network/")}
    _assign(checkpoint.path, _named("network", network.variables), arrays)
    return TrainedNetwork(
        network=network,
        preprocessing=preprocessing_of(config),
        config=config,
        identities=tuple(identities),
        step=checkpoint.state["step"],
        evaluation=last_evaluation(run, checkpoint.state["step"]),
    )


def load_network(model: str | Path) -> TrainedNetwork | PretrainedNetwork:
    """Load the network of a run or of a model folder.

    Args:
        model: a folder that :func:`train` or ``pretrained.import_weights`` made.

    Raises:
        FacenetError: when the folder is neither, or is damaged.

    Derived in chapter 11, "The published weights".
    """
    check_is_network(model)
    return load_pretrained(model) if is_model_folder(model) else load_run(model)


def network_settings(model: str | Path) -> dict[str, Any]:
    """Return the settings with which a run can begin with the weights of ``model``.

    Fine-tuning is training with them, ``initial_model`` and settings of one's own::

        settings = network_settings(model) | {"initial_model": model, "epochs": 10}
        train(TrainingConfig(**settings), faces, out)

    Args:
        model: a folder that :func:`train` or ``pretrained.import_weights`` made.

    Returns:
        Setting to value. ``crop_size`` and ``frame_size`` may be changed, because they say where
        in an image the face is; the others the weights depend on, so that :func:`train` refuses
        other values.

    Raises:
        FacenetError: when the folder is neither, or is damaged.

    Derived in chapter 11, "The published weights".
    """
    check_is_network(model)
    if is_model_folder(model):
        return _network_settings(read_card(model))
    return _network_settings(_read_config_file(Path(model))[0])


def _network_settings(about: TrainingConfig | ModelCard) -> dict[str, Any]:
    if isinstance(about, TrainingConfig):
        settings = about.to_dict()
        return {name: settings[name] for name in (*SHARED_SETTINGS, "crop_size", "frame_size")}
    return {
        "image_size": about.image_size,
        "standardization": about.standardization,
        "embedding_size": about.embedding_size,
        "width": 1.0,  # published weights are those of the full network
        "blocks": [5, 10, 5],
        "crop_size": 0,
        "frame_size": 0,
    }


def check_is_network(model: str | Path, or_of: str = "") -> None:
    """Refuse what :func:`load_network` does not take, by what is there.

    Args:
        model: a folder that :func:`train` or ``pretrained.import_weights`` made.
        or_of: what else the caller takes a folder of, for the message.

    Raises:
        FacenetError: when it is neither, or cannot be read.

    Derived in chapter 11, "The published weights".
    """
    model = Path(model)
    try:
        if is_model_folder(model) or (model / CONFIG_FILE).is_file():
            return
        found = _what_is_there(model)
    except OSError as error:
        raise FacenetError(f"{model}: cannot be read: {error.strerror}") from error
    kinds = ["a run (with config.json)", "imported weights (with model.json and weights.npz)"]
    expected = " or of ".join(kinds + [or_of] * bool(or_of))
    raise FacenetError(f"{model}: expected the folder of {expected}, found {found}")


def _what_is_there(model: Path) -> str:
    if model.is_dir():
        return ", ".join(sorted(entry.name for entry in model.iterdir())[:5]) or "an empty folder"
    if model.exists():
        return "a file; facenet import-weights makes one of a published file"
    return "nothing"


def _refuse_foreign_folder(out: Path) -> None:
    """A folder without config.json must be empty, but for what a kill in its first moment left."""
    ours = {CHECKPOINTS_FOLDER} | {
        f"{name}{suffix}" for name in (CONFIG_FILE, IDENTITIES_FILE) for suffix in ("", ".part")
    }
    if out.is_dir() and any(entry.name not in ours for entry in out.iterdir()):
        raise FacenetError(f"{out}: not empty and no training run; name another folder")


def _check_same_run(
    out: Path, config: TrainingConfig, identities: list[str], about: dict[str, Any]
) -> None:
    begun_config, begun_about = _read_config_file(out)
    begun = begun_config.to_dict() | begun_about
    wanted = config.to_dict() | about
    problems = [
        f"{name} was {begun.get(name)!r} when the run began, now {wanted[name]!r}"
        for name in wanted
        if name not in ("epochs", "image_names") and begun.get(name) != wanted[name]
    ]
    if not problems and _read_identities(out) != identities:
        problems.append("the people are not those that the run began with")
    if not problems and begun.get("image_names") != wanted["image_names"]:
        problems.append("the people's images are not those that the run began with")
    refuse(f"{out}: holds another run; name another folder", problems)


def _checksum(image_list: Sequence[str], label_list: Sequence[int]) -> str:
    """A checksum of whose image is called what, without the folders, which may be moved."""
    names = zip(label_list, (Path(path).name for path in image_list), strict=True)
    listed = "\n".join(f"{label}/{name}" for label, name in names)
    return f"{zlib.crc32(listed.encode(errors='surrogateescape')):08x}"


def _write_text(path: Path, text: str) -> None:
    with whole_file(path) as file:
        file.write(text.encode())


def _read_identities(run: Path) -> list[str]:
    path = run / IDENTITIES_FILE
    try:
        # Not splitlines(), which also splits at rare characters that a name may hold.
        return path.read_text(encoding="utf-8").split("\n")[:-1]
    except (OSError, UnicodeDecodeError) as error:
        raise FacenetError(f"{path}: expected the run's people, found: {error}") from error


def _read_config_file(run: Path) -> tuple[TrainingConfig, dict[str, Any]]:
    """Return a run's configuration and what config.json says about its data."""
    path = run / CONFIG_FILE
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        about = dict(settings.pop("data"))
        del settings["facenet_lib"]
    except OSError as error:
        raise FacenetError(f"{run}: not a training run: no readable {CONFIG_FILE}") from error
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise FacenetError(f"{path}: not the configuration of a run: {error!r}") from error
    return config_from_dict(settings, source=str(path)), about


def _named(part: str, variables: Sequence[Any]) -> dict[str, Any]:
    """Variables by a name that does not depend on this process."""
    return {
        f"{part}/{number:04d}/{variable.name}": variable
        for number, variable in enumerate(variables)
    }


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
