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
    tensorboard/          all of these for TensorBoard (:mod:`facenet_lib.runs`)
    record.json           every start: its arguments, versions and revision
    lock                  held by the process that trains
"""

from __future__ import annotations

import functools
import json
import math
import signal
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal, cast

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from facenet_lib import __version__
from facenet_lib.center_loss import MOST_CENTER_STEP, describe_overshoot
from facenet_lib.datasets import draw_pairs, filter_faces, read_distances, split_faces
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.files import explain_write_errors, open_whole_file
from facenet_lib.index_queue import IndexQueue, image_and_label_lists
from facenet_lib.input_pipeline import (
    Control,
    Preprocessing,
    explained_errors,
    input_pipeline,
    skipped_paths,
)
from facenet_lib.lfw_pairs import read_pairs, resolve_pairs
from facenet_lib.network.inception_resnet import inception_resnet_v1, l2_normalize
from facenet_lib.published.model_folder import (
    ModelCard,
    PretrainedNetwork,
    is_model_folder,
    load_pretrained,
    read_card,
)
from facenet_lib.runs.checkpoints import Checkpoint, last_checkpoint, write_checkpoint
from facenet_lib.runs.config import (
    END_OF_TRAINING,
    TrainingConfig,
    config_from_dict,
    read_config,
)
from facenet_lib.runs.provenance import RECORD_FILE, append_record, describe_environment
from facenet_lib.runs.tables import (
    EVALUATIONS_FILE,
    METRICS_FILE,
    PRELOGITS_EDGES,
    PRELOGITS_FILE,
    RATES,
    VALIDATIONS_FILE,
    MetricsFiles,
    last_evaluation,
    last_validation,
    read_metrics,
    read_prelogits_histograms,
)
from facenet_lib.training.objectives import SoftmaxObjective, objective_of
from facenet_lib.training.optimizers import make_optimizer
from facenet_lib.training.workers import check_agreement, watch_peers, worker_of
from facenet_lib.triplet_loss import COLLAPSED_SPREAD, explain_collapse, people_batches
from facenet_lib.verification import VerificationResult, evaluate

if sys.platform == "win32":
    fcntl = None
else:
    import fcntl

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
    "prepare_faces",
    "preprocessing_of",
    "read_config",
    "read_metrics",
    "read_run_tables",
    "train",
    "unique_files",
]

CONFIG_FILE = "config.json"
IDENTITIES_FILE = "identities.txt"
CHECKPOINTS_FOLDER = "checkpoints"
LOCK_FILE = "lock"
SHARED_SETTINGS = ("image_size", "standardization", "embedding_size", "width", "blocks")
"""What a run and the initial model whose weights it begins with must agree on."""
FREE_SETTINGS = ("epochs", "checkpoint_every", "histograms_every")
"""Settings that may differ when a run goes on, because they change none of its numbers."""
COLLAPSED_STEPS = 50
"""So many steps in a row with all embeddings alike end a triplet run."""

VALIDATION_PAIRS_PER_FOLD = 50
"""Pairs of one person, and as many of two, in each of ten folds of people held out."""

_MOST_PATHS_TOLD = 5


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
    """
    return image_embedder(network, preprocessing)(paths, batch_size, flip)


def image_embedder(network: keras.Model, preprocessing: Preprocessing) -> Callable[..., np.ndarray]:
    """Return :func:`embed_images` for one network, ``embed(paths, batch_size=64, flip=False)``.

    It compiles the network once, and not at every call.
    """
    signature = [tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)]

    @tf.function(input_signature=signature)
    def embed_batch(images: tf.Tensor) -> tf.Tensor:
        return l2_normalize(network(images, training=False))

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
    """
    if isinstance(paths, str | Path):
        raise FacenetError(f"expected paths to be a sequence of files, found the one {paths!r}")
    unique, rows = np.unique([str(path) for path in paths], return_inverse=True)
    return unique.tolist(), rows


def evaluate_pairs(
    embed: Callable[[Sequence[str]], np.ndarray],
    pairs: EvaluationPairs,
    metric: str = "sqeuclidean",
    subtract_mean: bool = False,
) -> VerificationResult:
    """Verify pairs with ``embed``, a function from paths to embeddings.

    Args:
        embed: called once, with all paths; ``functools.partial(model.embed, flip=True)``
            measures with mirror images as well.
        pairs: the pairs.
        metric: ``"sqeuclidean"`` or ``"angular"``, see ``verification.distances``.
        subtract_mean: whether the embeddings' mean is subtracted first.

    Returns:
        What :func:`facenet_lib.verification.evaluate` says, otherwise with its defaults.
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
        run = _Run(config, faces, Path(out))
        run.begin_or_resume(opened)
        if not run.finished or _lacks_measurements(run, pairs, held_out):
            metrics = None
            if run.worker.is_chief:
                append_record(run.out / RECORD_FILE, describe_environment(arguments))
                metrics = opened.enter_context(_open_metrics(run))
            stop = opened.enter_context(_stop_requests())
            _Loop(run, pairs, held_out, metrics, stop, progress, callbacks).run_epochs()
        # Workers that end early would look to the others like workers that died.
        check_agreement(strategy, {"step": run.step})
    return TrainingResult(run.out, run.step, run.finished, last_evaluation(run.out, run.step))


def prepare_faces(
    config: TrainingConfig, faces: Mapping[str, Sequence[Path]]
) -> tuple[Mapping[str, Sequence[Path]], Mapping[str, Sequence[Path]]]:
    """Leave out and hold out what a run's settings say.

    Args:
        config: ``filter_distances``, ``minimum_images``, ``validation_part`` ... are read.
        faces: person to images.

    Returns:
        The faces to train on and those to validate with, which are none where nothing is held
        out.

    Raises:
        FacenetError: when fewer than two people are left to train on, or the file of distances
            is not about these faces.
    """
    kept = faces
    if config.filter_distances:
        distances = read_distances(config.filter_distances)
        kept = filter_faces(kept, distances, config.filter_percentile, config.minimum_images)
    # Of a person with one image there is no triplet.
    minimum = max(config.minimum_images, 2) if config.loss == "triplet" else config.minimum_images
    kept = {name: paths for name, paths in kept.items() if len(paths) >= minimum}
    held_out: Mapping[str, Sequence[Path]] = {}
    if config.validation_part and kept:
        by = cast(Literal["images", "identities"], config.validation_by)
        kept, held_out = split_faces(kept, config.validation_part, by, config.seed, minimum)
    if len(kept) < 2:
        raise FacenetError(
            f"training needs at least 2 people with {minimum} or more images, found {len(kept)}"
        )
    return kept, held_out


class _Run:
    """The state of a run: variables, index queue and position; knows how to save and restore."""

    def __init__(
        self, config: TrainingConfig, faces: Mapping[str, Sequence[Path]], out: Path
    ) -> None:
        self.config = config
        self.out = out
        self.identities = list(faces)
        self.image_list, self.label_list = image_and_label_lists(faces)
        self.queue = IndexQueue(len(self.image_list), config.seed)  # as at the epoch's beginning
        self.epoch = 0
        self.position = 0  # images of the epoch that are used up, or were left out as damaged
        self.step = 0
        self.seconds = 0.0
        self.prelogits_counts = np.zeros(len(PRELOGITS_EDGES) - 1, np.int64)  # of the epoch
        self.strategy = tf.distribute.get_strategy()
        self.worker = worker_of(self.strategy)
        refuse("this run cannot be shared", _sharing_problems(config, self.strategy))
        with self.strategy.scope():
            self._build()

    def _build(self) -> None:
        config = self.config
        # Initializers and dropout draw their seeds from Python's generator.
        keras.utils.set_random_seed(config.seed)
        self.network = network_of(config)
        if config.freeze_until:
            _freeze(self.network, config.freeze_until)
        self.objective = objective_of(config, self.network, len(self.identities))
        self.optimizer = make_optimizer(
            config.optimizer,
            config.learning_rate(0),
            adam_epsilon=config.adam_epsilon,
            global_clipnorm=config.clip_norm or None,
        )
        self.trainable = self.network.trainable_variables + self.objective.trainable
        self.optimizer.build(self.trainable)
        # The network that is evaluated and exported; its variables are the averages.
        self.averaged = network_of(config) if config.ema_decay else self.network

    @property
    def images_per_epoch(self) -> int:
        return self.config.epoch_size * self.config.batch_size

    @property
    def finished(self) -> bool:
        return self.config.learning_rate(self.epoch) == END_OF_TRAINING

    @property
    def evaluation_is_due(self) -> bool:
        """Whether an epoch has ended whose evaluation is wanted and not in the table yet."""
        return self._is_due(self.config.evaluate_every, last_evaluation(self.out, self.step))

    @property
    def validation_is_due(self) -> bool:
        """The same of a validation."""
        return self._is_due(self.config.validate_every, last_validation(self.out, self.step))

    def _is_due(self, every: int, last: Mapping[str, float] | None) -> bool:
        at_end_of_epoch = self.epoch > 0 and self.position == 0
        wanted = self.epoch % every == 0 or self.finished
        return at_end_of_epoch and wanted and (last is None or last["step"] != self.step)

    def epoch_indices(self) -> np.ndarray:
        """Which images the epoch takes, in order: the same however often it is asked for."""
        config = self.config
        if config.loss == "triplet":
            return people_batches(
                self.label_list,
                config.batch_size // config.images_per_person,
                config.images_per_person,
                config.epoch_size,
                config.seed,
                first_batch=self.epoch * config.epoch_size,
            ).ravel()
        return IndexQueue.from_state(self.queue.state()).dequeue_many(self.images_per_epoch)

    def end_epoch(self) -> None:
        """Go on to the next epoch."""
        self.queue.dequeue_many(self.images_per_epoch)
        self.epoch, self.position = self.epoch + 1, 0
        self.prelogits_counts[:] = 0

    def average_pairs(self) -> list[tuple[Any, Any]]:
        """The averages and what they are averages of: every number of the network."""
        pairs = zip(self.averaged.variables, self.network.variables, strict=True)
        if not self.config.ema_decay:
            return []
        # A dropout's state is no number to be averaged.
        return [(average, variable) for average, variable in pairs if _is_float(variable)]

    def variables(self) -> dict[str, Any]:
        """Every variable of the run, by name."""
        parts: dict[str, Sequence[Any]] = {
            "network": self.network.variables,
            "average": [average for average, _ in self.average_pairs()],
            **self.objective.variables(),
            "optimizer": self.optimizer.variables,
        }
        return {
            name: v
            for part, variables in parts.items()
            for name, v in _named(part, variables).items()
        }

    def facts(self) -> dict[str, Any]:
        """What all workers of a run must have alike before it begins."""
        people = zlib.crc32("\n".join(self.identities).encode(errors="surrogateescape"))
        return self.config.to_dict() | {
            "people": f"{len(self.identities)}, checksum {people:08x}",
            "images": f"checksum {_checksum(self.image_list, self.label_list)}",
        }

    def begin_or_resume(self, opened: ExitStack) -> None:
        """Make the run's folder, or check that it is this run's and restore the last checkpoint.

        The chief makes it, and the other workers, which see the same folder, then read it. Until
        ``opened`` is closed, no other process can do the same.
        """
        checkpoints = self.out / CHECKPOINTS_FOLDER
        if self.config.initial_model and not any(checkpoints.glob("*.npz")):
            _take_weights(self.network, self.config)
        check_agreement(self.strategy, self.facts())
        if self.worker.is_chief:
            self._claim_folder(opened)
        # From here on no other process writes there.
        check_agreement(self.strategy, {})
        checkpoint = last_checkpoint(checkpoints)
        made = 0 if checkpoint is None else checkpoint.state["step"]
        check_agreement(self.strategy, {"steps made": made})
        if not (self.out / CONFIG_FILE).is_file():
            raise FacenetError(
                f"{self.out}: {self.worker} expected the files that worker 0 has written there, "
                "found none; all workers need one shared folder"
            )
        if checkpoint is not None:
            self._restore(checkpoint)
            return
        for average, variable in self.average_pairs():
            average.assign(variable.value)

    def _claim_folder(self, opened: ExitStack) -> None:
        about = {
            "identities": len(self.identities),
            "images": len(self.image_list),
            "image_names": _checksum(self.image_list, self.label_list),
        }
        config_file = self.out / CONFIG_FILE
        if not config_file.exists():
            _refuse_foreign_folder(self.out)
        with explain_write_errors(self.out):
            (self.out / CHECKPOINTS_FOLDER).mkdir(parents=True, exist_ok=True)
        opened.enter_context(_locked(self.out))
        if config_file.exists():
            _check_same_run(self.out, self.config, self.identities, about)
        _write_text(self.out / IDENTITIES_FILE, "".join(f"{name}\n" for name in self.identities))
        contents = {"facenet_lib": __version__, "data": about, **self.config.to_dict()}
        # Last, since a folder is a run from the moment it has this file.
        _write_text(config_file, json.dumps(contents, indent=2) + "\n")

    def _restore(self, checkpoint: Checkpoint) -> None:
        _assign(checkpoint.path, self.variables(), checkpoint.arrays)
        state = checkpoint.state
        self.epoch, self.position = state["epoch"], state["position"]
        self.step, self.seconds = state["step"], state["seconds"]
        self.queue = IndexQueue.from_state(state["queue"])
        self.prelogits_counts[:] = state["prelogits_counts"]

    def save(self) -> None:
        """Write a checkpoint, as the chief.

        Raises:
            FacenetError: when a variable is not finite, or the file cannot be written.
        """
        if not self.worker.is_chief:
            return
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
            "prelogits_counts": self.prelogits_counts.tolist(),
        }
        write_checkpoint(self.out / CHECKPOINTS_FOLDER, self.step, arrays, state)


def _lacks_measurements(
    run: _Run, pairs: EvaluationPairs | None, held_out: Mapping[str, Sequence[Path]]
) -> bool:
    """Whether a finished run was killed before its last evaluation or validation."""
    evaluation = pairs is not None and run.evaluation_is_due
    return evaluation or (bool(held_out) and run.validation_is_due)


def _open_metrics(run: _Run) -> MetricsFiles:
    validation: Sequence[str] = ()
    if run.config.validation_part:
        by_images = run.config.validation_by == "images"
        validation = ("cross_entropy", "accuracy") if by_images else RATES
    columns = (*run.objective.columns, "images_per_second")
    return MetricsFiles(run.out, run.step, columns, validation)


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Keep a second process from training in the same folder; the lock ends with the process."""
    if fcntl is None:
        yield
        return
    with explain_write_errors(out):
        lock = (out / LOCK_FILE).open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FacenetError(f"{out}: another process is training here") from error
        yield


def _is_float(variable: Any) -> bool:
    return bool(tf.as_dtype(variable.dtype).is_floating)


def _sharing_problems(config: TrainingConfig, strategy: tf.distribute.Strategy) -> list[str]:
    """Why the replicas of a strategy cannot share a run's batches."""
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return []
    whole = config.images_per_person if config.loss == "triplet" else 1
    problems = []
    if config.batch_size % (replicas * whole):
        of_whom = " of whole people" if whole > 1 else ""
        problems.append(
            f"batch_size: expected equal parts{of_whom} for {replicas} replicas, "
            f"found {config.batch_size}"
        )
    if config.damaged_images == "skip":
        problems.append(
            "damaged_images: expected raise, because replicas that leave out images would no "
            "longer have equal parts of a batch, found skip"
        )
    return problems


class _Loop:
    """Runs the epochs that a run has left."""

    def __init__(
        self,
        run: _Run,
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
            except _DivergedError:
                raise
            except FacenetError:  # a damaged image, for example: what was computed stays
                if 0 < run.position < run.images_per_epoch:
                    run.save()
                raise
            if run.position < run.images_per_epoch:
                run.save()
                break
            if self.metrics is not None:
                self.metrics.add_prelogits_histogram(run.epoch, run.step, run.prelogits_counts)
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
            self.training_step = _training_step(run, batches.element_spec)
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
            raise _DivergedError(run, what, paths, self.warned_of_centers)
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
            self.metrics.add_step(values)
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
            raise _DivergedError(self.run, f"step {self.run.step}: {told}")

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
        metrics.add_evaluation(self._position() | row)
        return {f"pairs_{name}": value for name, value in row.items()}

    def _validate(self, metrics: MetricsFiles) -> dict[str, float]:
        run = self.run
        if not (self.held_out and run.validation_is_due):
            return {}
        if self.held_out_pairs is None:
            row = self._validate_images()
        else:
            row = _rates(evaluate_pairs(self.embed, self.held_out_pairs))
        metrics.add_validation(self._position() | row)
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


class _DivergedError(FacenetError):
    """The loss or a weight is not finite any more, so there is nothing worth saving."""

    def __init__(
        self, run: _Run, what: str, paths: Sequence[str] = (), by_centers: bool = False
    ) -> None:
        lines = [
            f"{what}: the run in {run.out} diverged, and only checkpoints from before are kept. "
            "Begin another run with a lower learning rate, or with clip_norm"
        ]
        if by_centers:
            lines.append("Its centers overshot before; center_loss_divide prevents that")
        kept = sorted((run.out / CHECKPOINTS_FOLDER).glob("[0-9]*.npz"))
        lines.append(f"Last good checkpoint: {kept[-1] if kept else 'none yet'}")
        if paths:
            shown = ", ".join(paths[:_MOST_PATHS_TOLD])
            more = f" and {len(paths) - _MOST_PATHS_TOLD} more" * (len(paths) > _MOST_PATHS_TOLD)
            lines.append(f"Images of the step: {shown}{more}")
        super().__init__("\n".join(lines))


def _training_step(run: _Run, batch_spec: Any) -> Callable[..., dict[str, tf.Tensor]]:
    """Compile one step: forward, loss, gradients, optimizer, averages; under the run's strategy.

    ``batch_spec`` leaves the number of images open, so that a smaller last batch, as damaged
    images leave it, does not compile the step a second time.
    """
    replicas = run.strategy.num_replicas_in_sync
    average_pairs = run.average_pairs()
    names: list[str] = []  # of the values, known once the step has been traced

    def replica_step(batch: dict[str, tf.Tensor], stop: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        step = tf.cast(run.optimizer.iterations, tf.int64)
        with tf.GradientTape() as tape:
            computed = run.objective.compute(run.network, batch, step)
            loss = computed.total / replicas  # the optimizer adds up the replicas' gradients
        run.optimizer.apply(tape.gradient(loss, run.trainable), run.trainable)
        _move_averages(average_pairs, run.config.ema_decay, run.optimizer.iterations)
        images = tf.cast(tf.shape(computed.prelogits)[0], tf.float32) * replicas
        values = {**computed.values, "images": images, "stops": stop}
        names[:] = values
        # One vector, because workers take a millisecond or more to add up anything at all.
        return tf.stack(list(values.values())), _prelogits_counts(computed.prelogits)

    @tf.function(input_signature=[batch_spec, tf.TensorSpec([], tf.float32)])
    def step(batch: dict[str, tf.Tensor], stop: tf.Tensor) -> dict[str, tf.Tensor]:
        values, counts = run.strategy.run(replica_step, args=(batch, stop))
        mean, total = tf.distribute.ReduceOp.MEAN, tf.distribute.ReduceOp.SUM
        reduced = tf.unstack(run.strategy.reduce(mean, values, None))
        counts = run.strategy.reduce(total, counts, None)
        return dict(zip(names, reduced, strict=True)) | {"prelogits_counts": counts}

    return step


def _move_averages(pairs: Sequence[tuple[Any, Any]], decay: float, steps: Any) -> None:
    """Move each average towards its variable, faster at first, as TF 1's averages did."""
    made = tf.cast(steps, tf.float32)
    kept = tf.minimum(decay, (1.0 + made) / (10.0 + made))
    for average, variable in pairs:
        value = tf.convert_to_tensor(average)
        part = tf.cast(1.0 - kept, value.dtype)
        average.assign(value - part * (value - tf.convert_to_tensor(variable)))


def _prelogits_counts(prelogits: tf.Tensor) -> tf.Tensor:
    """How many absolute prelogits are in each bin of the run's histogram, int64."""
    sizes = tf.abs(tf.cast(prelogits, tf.float32))
    sizes = tf.where(tf.math.is_finite(sizes), sizes, 0.0)  # the loss tells of the others
    bins = len(PRELOGITS_EDGES) - 1
    return tf.histogram_fixed_width(sizes, [0.0, float(PRELOGITS_EDGES[-1])], bins, tf.int64)


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
    """
    run = Path(run)
    config, _ = _read_config_file(run)
    identities = _read_identities(run)
    checkpoint = last_checkpoint(run / CHECKPOINTS_FOLDER)
    if checkpoint is None:
        raise FacenetError(f"{run}: the run has no checkpoint yet")
    network = network_of(config)
    _assign(checkpoint.path, *_as_evaluated(network, checkpoint.arrays))
    return TrainedNetwork(
        network=network,
        preprocessing=preprocessing_of(config),
        config=config,
        identities=tuple(identities),
        step=checkpoint.state["step"],
        evaluation=last_evaluation(run, checkpoint.state["step"]),
    )


def _as_evaluated(
    network: keras.Model, arrays: Mapping[str, np.ndarray]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Variables and what a checkpoint has for them: the averages where there are any."""
    part, variables = "network", list(network.variables)
    if any(name.startswith("average/") for name in arrays):
        part, variables = "average", [variable for variable in variables if _is_float(variable)]
    kept = {name: array for name, array in arrays.items() if name.startswith(f"{part}/")}
    return _named(part, variables), kept


def read_run_tables(
    run: str | Path,
) -> tuple[
    dict[str, np.ndarray],
    dict[str, np.ndarray] | None,
    dict[str, np.ndarray] | None,
    tuple[np.ndarray, np.ndarray, np.ndarray] | None,
]:
    """Read all tables of a run, as ``plots.run_report`` takes them.

    Args:
        run: a folder that :func:`train` made, of a run that goes on as well.

    Returns:
        The steps, the evaluations, the validations and the prelogits' histograms; None for a
        table without rows.

    Raises:
        FacenetError: when the folder is no run, or a table is damaged.
    """
    run = Path(run)
    _read_config_file(run)
    tables = [
        read_metrics(path) if path.exists() else {}
        for path in (run / EVALUATIONS_FILE, run / VALIDATIONS_FILE)
    ]
    evaluations, validations = (table if table and len(table["step"]) else None for table in tables)
    histograms = None
    if (run / PRELOGITS_FILE).exists():
        found = read_prelogits_histograms(run / PRELOGITS_FILE)
        histograms = found if len(found[0]) else None
    return read_metrics(run / METRICS_FILE), evaluations, validations, histograms


def load_network(model: str | Path) -> TrainedNetwork | PretrainedNetwork:
    """Load the network of a run or of a model folder.

    Args:
        model: a folder that :func:`train` or ``pretrained.import_weights`` made.

    Raises:
        FacenetError: when the folder is neither, or is damaged.
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
    ours = {CHECKPOINTS_FOLDER, LOCK_FILE, RECORD_FILE, f"{RECORD_FILE}.part"} | {
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
        if name not in (*FREE_SETTINGS, "image_names") and begun.get(name) != wanted[name]
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
    with open_whole_file(path) as file:
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
