"""What a run records: the figures of steps, and at the ends of epochs what it is measured by.

Derived in chapter 6, "Training".
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import tensorflow as tf

from facenet_lib.embedding import image_embedder
from facenet_lib.input_pipeline.pipeline import explained_errors, input_pipeline
from facenet_lib.models import preprocessing_of
from facenet_lib.runs.tables import (
    EVALUATIONS_FILE,
    METRICS_FILE,
    RATES,
    VALIDATIONS_FILE,
    last_row,
)
from facenet_lib.splitting import draw_pairs
from facenet_lib.training.batches import Faces
from facenet_lib.training.state import RunState
from facenet_lib.training.tensorboard import MetricsFiles
from facenet_lib.verification import EvaluationPairs, VerificationResult, evaluate_pairs

VALIDATION_PAIRS_PER_FOLD = 50
"""Pairs of one person, and as many of two, in each of ten folds of people held out."""


def lacks_measurements(run: RunState, pairs: EvaluationPairs | None, held_out: Faces) -> bool:
    """Whether a finished run was killed before its last evaluation or validation."""
    evaluation = pairs is not None and _evaluation_is_due(run)
    return evaluation or (bool(held_out) and _validation_is_due(run))


def open_metrics(run: RunState) -> MetricsFiles:
    """Open the tables of a run, with the columns that its objective and validation have."""
    validation: Sequence[str] = ()
    if run.config.validation_part:
        by_images = run.config.validation_by == "images"
        validation = run.objective.validation_columns if by_images else RATES
    columns = (*run.objective.columns, "images_per_second")
    return MetricsFiles(run.out, run.step, columns, validation)


class Measurements:
    """Records a run's steps, and evaluates and validates it where an epoch's end wants it.

    Args:
        run: the run.
        metrics: where to write; None of a worker that writes nothing and measures nothing.
        pairs: what to evaluate on, if anything.
        held_out: the faces to validate with, which may be none.

    Raises:
        FacenetError: when there are too few people to draw pairs of.
    """

    def __init__(
        self,
        run: RunState,
        metrics: MetricsFiles | None,
        pairs: EvaluationPairs | None,
        held_out: Faces,
    ) -> None:
        self._run = run
        self._metrics = metrics
        self._pairs = pairs
        self._held_out = held_out
        self._embed = image_embedder(run.averaged, preprocessing_of(run.config))
        # Compiled on the first use: eager calls of a small network cost more than its numbers.
        self._validate_batch = tf.function(
            functools.partial(run.objective.validate, run.network),
            autograph=False,
            reduce_retracing=True,  # batches with damaged images, and last ones, are smaller
        )
        self._held_out_pairs: EvaluationPairs | None = None
        if held_out and run.config.validation_by == "identities":
            drawn = draw_pairs(held_out, VALIDATION_PAIRS_PER_FOLD, seed=run.config.seed)
            self._held_out_pairs = EvaluationPairs(*drawn)

    def add_step(self, values: Mapping[str, float]) -> None:
        """Write the row of a training step."""
        if self._metrics is not None:
            self._metrics.add(METRICS_FILE, values)

    def add_epoch(self) -> None:
        """Write how the prelogits of the epoch that is ending are spread."""
        run = self._run
        if self._metrics is not None:
            self._metrics.add_prelogits(run.epoch, run.step, run.prelogits_counts)

    def measure(self) -> dict[str, float]:
        """Validate and evaluate, if an epoch has ended that wants it and has no row yet.

        Returns:
            What was found, by names such as ``validation_accuracy`` and ``pairs_accuracy``.
        """
        if self._metrics is None:
            return {}
        self._add_histograms(self._metrics)
        logs: dict[str, float] = {}
        if self._held_out and _validation_is_due(self._run):
            logs |= self._add(VALIDATIONS_FILE, "validation", self._validate())
        if self._pairs is not None and _evaluation_is_due(self._run):
            logs |= self._add(EVALUATIONS_FILE, "pairs", self._evaluate(self._pairs))
        return logs

    def _add(self, table: str, prefix: str, values: dict[str, float]) -> dict[str, float]:
        assert self._metrics is not None
        run = self._run
        position = {"epoch": run.epoch, "step": run.step, "minutes": run.seconds / 60}
        self._metrics.add(table, position | values)
        return {f"{prefix}_{name}": value for name, value in values.items()}

    def _evaluate(self, pairs: EvaluationPairs) -> dict[str, float]:
        config = self._run.config
        embed = functools.partial(self._embed, flip=config.evaluate_flip)
        return _rates(
            evaluate_pairs(embed, pairs, config.evaluate_metric, config.evaluate_subtract_mean)
        )

    def _validate(self) -> dict[str, float]:
        if self._held_out_pairs is not None:
            return _rates(evaluate_pairs(self._embed, self._held_out_pairs))
        return self._validate_images()

    def _validate_images(self) -> dict[str, float]:
        """What the objective tells of images: of the network as it is trained, not its averages."""
        run = self._run
        labels = {name: label for label, name in enumerate(run.identities)}
        images = [(path, labels[name]) for name, paths in self._held_out.items() for path in paths]
        paths, of_paths = zip(*images, strict=True)
        batches = input_pipeline(
            paths,
            labels=of_paths,
            preprocessing=preprocessing_of(run.config),
            batch_size=run.config.batch_size,
            on_error=cast(Any, run.config.damaged_images),
        )
        with explained_errors(paths):
            found = [self._validate_batch(batch) for batch in batches]
        figures = [np.concatenate(of_images) for of_images in zip(*found, strict=True)]
        named = zip(run.objective.validation_columns, figures, strict=True)
        return {name: float(of_images.mean()) for name, of_images in named}

    def _add_histograms(self, metrics: MetricsFiles) -> None:
        run, every = self._run, self._run.config.histograms_every
        if every and _epoch_has_ended(run) and run.epoch % every == 0:
            weights = {variable.path: np.asarray(variable) for variable in run.trainable}
            metrics.add_histograms(run.step, weights)


def _evaluation_is_due(run: RunState) -> bool:
    return _is_due(run, run.config.evaluate_every, EVALUATIONS_FILE)


def _validation_is_due(run: RunState) -> bool:
    return _is_due(run, run.config.validate_every, VALIDATIONS_FILE)


def _is_due(run: RunState, every: int, table: str) -> bool:
    """Whether an epoch has ended whose row in a table is wanted and not there yet."""
    if not _epoch_has_ended(run) or (run.epoch % every and not run.finished):
        return False
    last = last_row(run.out / table, run.step)
    return last is None or last["step"] != run.step


def _epoch_has_ended(run: RunState) -> bool:
    return run.epoch > 0 and run.position == 0


def _rates(result: VerificationResult) -> dict[str, float]:
    return {name: float(getattr(result, name)) for name in RATES}
