"""The state of a run: variables, queue and position, saved and restored.

Derived in chapter 6, "Training".
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, cast

import keras
import numpy as np
import tensorflow as tf

from facenet_lib import __version__
from facenet_lib.datasets import filter_faces, read_distances, split_faces
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.files import explain_write_errors
from facenet_lib.index_queue import IndexQueue, image_and_label_lists
from facenet_lib.models import SHARED_SETTINGS, load_network, network_of
from facenet_lib.runs.checkpoints import (
    Checkpoint,
    assign_variables,
    is_float,
    last_checkpoint,
    name_variables,
    write_checkpoint,
)
from facenet_lib.runs.config import (
    END_OF_TRAINING,
    TrainingConfig,
)
from facenet_lib.runs.folder import (
    CHECKPOINTS_FOLDER,
    CONFIG_FILE,
    IDENTITIES_FILE,
    check_same_run,
    checksum_images,
    lock_folder,
    refuse_foreign_folder,
    write_text,
)
from facenet_lib.runs.tables import (
    PRELOGITS_EDGES,
    RATES,
    last_evaluation,
    last_validation,
)
from facenet_lib.training.objectives import objective_of
from facenet_lib.training.optimizers import make_optimizer
from facenet_lib.training.tensorboard import MetricsFiles
from facenet_lib.training.workers import check_agreement, worker_of
from facenet_lib.triplet_loss import people_batches
from facenet_lib.verification import EvaluationPairs


class RunState:
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
        """Images that an epoch takes, however many there are."""
        return self.config.epoch_size * self.config.batch_size

    @property
    def finished(self) -> bool:
        """Whether the schedule is at its end."""
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
        return [(average, variable) for average, variable in pairs if is_float(variable)]

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
            for name, v in name_variables(part, variables).items()
        }

    def facts(self) -> dict[str, Any]:
        """What all workers of a run must have alike before it begins."""
        people = zlib.crc32("\n".join(self.identities).encode(errors="surrogateescape"))
        return self.config.to_dict() | {
            "people": f"{len(self.identities)}, checksum {people:08x}",
            "images": f"checksum {checksum_images(self.image_list, self.label_list)}",
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
            "image_names": checksum_images(self.image_list, self.label_list),
        }
        config_file = self.out / CONFIG_FILE
        if not config_file.exists():
            refuse_foreign_folder(self.out)
        with explain_write_errors(self.out):
            (self.out / CHECKPOINTS_FOLDER).mkdir(parents=True, exist_ok=True)
        opened.enter_context(lock_folder(self.out))
        if config_file.exists():
            check_same_run(self.out, self.config, self.identities, about)
        write_text(self.out / IDENTITIES_FILE, "".join(f"{name}\n" for name in self.identities))
        contents = {"facenet_lib": __version__, "data": about, **self.config.to_dict()}
        # Last, since a folder is a run from the moment it has this file.
        write_text(config_file, json.dumps(contents, indent=2) + "\n")

    def _restore(self, checkpoint: Checkpoint) -> None:
        assign_variables(checkpoint.path, self.variables(), checkpoint.arrays)
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
            raise DivergedError(self, f"after step {self.step}, {broken[0]} holds NaN or infinity")
        state = {
            "epoch": self.epoch,
            "position": self.position,
            "step": self.step,
            "seconds": self.seconds,
            "queue": self.queue.state(),
            "prelogits_counts": self.prelogits_counts.tolist(),
        }
        write_checkpoint(self.out / CHECKPOINTS_FOLDER, self.step, arrays, state)


def lacks_measurements(
    run: RunState, pairs: EvaluationPairs | None, held_out: Mapping[str, Sequence[Path]]
) -> bool:
    """Whether a finished run was killed before its last evaluation or validation."""
    evaluation = pairs is not None and run.evaluation_is_due
    return evaluation or (bool(held_out) and run.validation_is_due)


def open_metrics(run: RunState) -> MetricsFiles:
    """Open the tables of a run, with the columns that its objective and validation have."""
    validation: Sequence[str] = ()
    if run.config.validation_part:
        by_images = run.config.validation_by == "images"
        validation = ("cross_entropy", "accuracy") if by_images else RATES
    columns = (*run.objective.columns, "images_per_second")
    return MetricsFiles(run.out, run.step, columns, validation)


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
    theirs, ours = initial.config.to_dict(), config.to_dict()
    problems = [
        f"{name} is {theirs[name]!r} in the initial model, but {ours[name]!r} in the settings"
        for name in SHARED_SETTINGS
        if ours[name] != theirs[name]
    ]
    refuse(f"{config.initial_model}: cannot be the beginning of this run", problems)
    network.set_weights(initial.network.get_weights())


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


_MOST_PATHS_SHOWN = 5


class DivergedError(FacenetError):
    """The loss or a weight is not finite any more, so there is nothing worth saving."""

    def __init__(
        self, run: RunState, what: str, paths: Sequence[str] = (), by_centers: bool = False
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
            shown = ", ".join(paths[:_MOST_PATHS_SHOWN])
            more = f" and {len(paths) - _MOST_PATHS_SHOWN} more" * (len(paths) > _MOST_PATHS_SHOWN)
            lines.append(f"Images of the step: {shown}{more}")
        super().__init__("\n".join(lines))
