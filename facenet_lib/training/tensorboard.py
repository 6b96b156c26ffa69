"""What a run measures, into its tables and into the files that TensorBoard shows.

Derived in chapter 6, "Training".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from facenet_lib.errors import FacenetError
from facenet_lib.files import explain_write_errors
from facenet_lib.runs.tables import (
    EVALUATIONS_FILE,
    METRICS_FILE,
    PRELOGITS_EDGES,
    VALIDATIONS_FILE,
    RunTables,
)

TENSORBOARD_FOLDER = "tensorboard"
_SCOPES = {METRICS_FILE: "train", EVALUATIONS_FILE: "pairs", VALIDATIONS_FILE: "validation"}


class MetricsFiles:
    """The tables of a run and TensorBoard's files, written on from a given step.

    A context manager: the files are open inside. Arguments and errors are those of
    ``runs.tables.RunTables``.
    """

    def __init__(
        self, run: Path, step: int, columns: Sequence[str], validation_columns: Sequence[str] = ()
    ) -> None:
        self._run = run
        with _explain_errors(run), ExitStack() as opening:
            tables = RunTables(run, step, columns, validation_columns)
            self._tables = opening.enter_context(tables)
            self._summary = tf.summary.create_file_writer(str(run / TENSORBOARD_FOLDER))
            opening.callback(self._summary.close)
            self._open = opening.pop_all()

    def __enter__(self) -> MetricsFiles:
        return self

    def __exit__(self, *exception: object) -> None:
        with _explain_errors(self._run):
            self._open.close()

    def add(self, table: str, values: Mapping[str, float]) -> None:
        """Add a row, as ``RunTables.add``, and its figures as scalars."""
        self._tables.add(table, values)
        with self._summaries(int(values["step"])):
            for name in self._tables.columns[table]:
                if name not in ("epoch", "step"):
                    tf.summary.scalar(f"{_SCOPES[table]}/{name}", values[name])

    def add_prelogits(self, epoch: int, step: int, counts: NDArray[np.integer[Any]]) -> None:
        """Add the row of an epoch, as ``RunTables.add_prelogits``, and its histogram."""
        self._tables.add_prelogits(epoch, step, counts)
        # TensorBoard's function counts for itself; this is what it writes then.
        plugin = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="histograms")
        metadata = tf.compat.v1.SummaryMetadata(plugin_data=plugin)
        buckets = np.stack([PRELOGITS_EDGES[:-1], PRELOGITS_EDGES[1:], counts], axis=1)
        with self._summaries(step):
            tf.summary.write("train/absolute_prelogits", buckets, metadata=metadata)

    def add_histograms(self, step: int, named_arrays: Mapping[str, np.ndarray]) -> None:
        """Give TensorBoard the histograms of arrays; no table holds them.

        Args:
            step: number of steps made.
            named_arrays: TensorBoard's name to numbers of any shape.
        """
        with self._summaries(step):
            for name, array in named_arrays.items():
                tf.summary.histogram(name, array)

    @contextmanager
    def _summaries(self, step: int) -> Iterator[None]:
        with _explain_errors(self._run), self._summary.as_default(step=step):
            yield


@contextmanager
def _explain_errors(run: Path) -> Iterator[None]:
    """As :func:`facenet_lib.files.explain_write_errors`, for TensorFlow's own errors too."""
    try:
        with explain_write_errors(run):
            yield
    except tf.errors.OpError as error:
        message = " ".join(error.message.split())
        raise FacenetError(f"{run}: cannot be written: {message}") from error
