"""The state of a run: variables, sampler and position, saved and restored.

Derived in chapter 6, "Training".
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from facenet_lib.errors import FacenetError
from facenet_lib.index_queue import image_and_label_lists
from facenet_lib.models import BuildNetwork
from facenet_lib.runs.checkpoints import (
    Checkpoint,
    assign_variables,
    is_float,
    last_checkpoint,
    list_checkpoints,
    name_variables,
    write_checkpoint,
)
from facenet_lib.runs.config import END_OF_TRAINING, TrainingConfig
from facenet_lib.runs.folder import CHECKPOINTS_FOLDER, CONFIG_FILE, checksum_images, claim_folder
from facenet_lib.runs.tables import PRELOGITS_EDGES
from facenet_lib.training.batches import Faces, MakeSampler
from facenet_lib.training.fine_tuning import freeze, take_initial_weights
from facenet_lib.training.objectives import objective_of
from facenet_lib.training.optimizers import make_optimizer
from facenet_lib.training.workers import check_agreement, check_sharing, worker_of

_MOST_PATHS_SHOWN = 5


class RunState:
    """What changes while a run goes on; knows how to save and restore it.

    Args:
        config: the run's settings.
        faces: person to images, to train on.
        out: the run's folder.
        build_network: from the settings to the network.
        make_sampler: from the settings and the label of every image to the images' order.

    Raises:
        FacenetError: when the settings do not fit the network, the faces or the strategy.
    """

    def __init__(
        self,
        config: TrainingConfig,
        faces: Faces,
        out: Path,
        build_network: BuildNetwork,
        make_sampler: MakeSampler,
    ) -> None:
        self.config = config
        self.out = out
        self.identities = list(faces)
        self.image_list, self.label_list = image_and_label_lists(faces)
        self.sampler = make_sampler(config, self.label_list)  # as at the epoch's beginning
        self.epoch = 0
        self.position = 0  # images of the epoch that are used up, or were left out as damaged
        self.step = 0
        self.seconds = 0.0
        self.prelogits_counts = np.zeros(len(PRELOGITS_EDGES) - 1, np.int64)  # of the epoch
        self.strategy = tf.distribute.get_strategy()
        self.worker = worker_of(self.strategy)
        check_sharing(config, self.strategy)
        with self.strategy.scope():
            self._build(build_network)

    def _build(self, build_network: BuildNetwork) -> None:
        config = self.config
        # Initializers and dropout draw their seeds from Python's generator.
        keras.utils.set_random_seed(config.seed)
        self.network = build_network(config)
        if config.freeze_until:
            freeze(self.network, config.freeze_until)
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
        self.averaged = build_network(config) if config.ema_decay else self.network
        if config.initial_model and not list_checkpoints(self.out / CHECKPOINTS_FOLDER):
            take_initial_weights(self.network, config, build_network)

    @property
    def images_per_epoch(self) -> int:
        """Images that an epoch takes, however many there are."""
        return self.config.epoch_size * self.config.batch_size

    @property
    def finished(self) -> bool:
        """Whether the schedule is at its end."""
        return self.config.learning_rate(self.epoch) == END_OF_TRAINING

    def end_epoch(self) -> None:
        """Go on to the next epoch."""
        self.sampler.dequeue_many(self.images_per_epoch)
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

    def begin_or_resume(self, opened: ExitStack) -> None:
        """Make the run's folder, or check that it is this run's and restore the last checkpoint.

        The chief makes it, and the other workers, which see the same folder, then read it. Until
        ``opened`` is closed, no other process can do the same.

        Raises:
            FacenetError: when the folder is no run or another one, is being trained in, or its
                checkpoints are all damaged; or the workers do not agree.
        """
        data = {
            "identities": len(self.identities),
            "images": len(self.image_list),
            "image_names": checksum_images(self.image_list, self.label_list),
        }
        people = zlib.crc32("\n".join(self.identities).encode(errors="surrogateescape"))
        check_agreement(self.strategy, self.config.to_dict() | data | {"people": people})
        if self.worker.is_chief:
            opened.enter_context(claim_folder(self.out, self.config, self.identities, data))
        # From here on no other process writes there.
        check_agreement(self.strategy, {})
        checkpoint = last_checkpoint(self.out / CHECKPOINTS_FOLDER)
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

    def _restore(self, checkpoint: Checkpoint) -> None:
        assign_variables(checkpoint.path, self.variables(), checkpoint.arrays)
        state = checkpoint.state
        self.epoch, self.position = state["epoch"], state["position"]
        self.step, self.seconds = state["step"], state["seconds"]
        self.sampler.restore(state["queue"])
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
            what = f"after step {self.step}, {broken[0]} holds NaN or infinity"
            raise DivergedError(self.out, what)
        state = {
            "epoch": self.epoch,
            "position": self.position,
            "step": self.step,
            "seconds": self.seconds,
            "queue": self.sampler.state(),
            "prelogits_counts": self.prelogits_counts.tolist(),
        }
        write_checkpoint(self.out / CHECKPOINTS_FOLDER, self.step, arrays, state)


class DivergedError(FacenetError):
    """The loss or a weight is not finite any more, so there is nothing worth saving.

    Args:
        run: the run's folder.
        what: what was found.
        warnings: what was told before.
        paths: the images of the step.
    """

    def __init__(
        self, run: Path, what: str, warnings: Sequence[str] = (), paths: Sequence[str] = ()
    ) -> None:
        lines = [
            f"{what}: the run in {run} diverged, and only checkpoints from before are kept. "
            "Begin another run with a lower learning rate, or with clip_norm"
        ]
        lines += [f"Warned of before: {warning}" for warning in warnings]
        kept = list_checkpoints(run / CHECKPOINTS_FOLDER)
        lines.append(f"Last good checkpoint: {kept[0] if kept else 'none yet'}")
        if paths:
            shown = ", ".join(paths[:_MOST_PATHS_SHOWN])
            more = f" and {len(paths) - _MOST_PATHS_SHOWN} more" * (len(paths) > _MOST_PATHS_SHOWN)
            lines.append(f"Images of the step: {shown}{more}")
        super().__init__("\n".join(lines))
