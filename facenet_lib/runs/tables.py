"""The figures of a run: tables for people and programs, and the same for TensorBoard.

Derived in chapter 6, "Training".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from facenet_lib.errors import FacenetError, refuse
from facenet_lib.files import explain_write_errors, open_whole_file

METRICS_FILE = "metrics.csv"
EVALUATIONS_FILE = "evaluations.csv"
VALIDATIONS_FILE = "validations.csv"
PRELOGITS_FILE = "prelogits.csv"
RATES = (
    "accuracy",
    "accuracy_std",
    "standard_error",
    "validation_rate",
    "false_accept_rate",
    "area_under_curve",
    "equal_error_rate",
    "threshold",
)
"""What of a ``VerificationResult`` a row of evaluations.csv holds."""

PRELOGITS_EDGES = np.linspace(0.0, 10.0, 51)
"""Edges of the bins of prelogits.csv; the last bin is open: it counts larger values, too."""

_POSITION = ("epoch", "step")
_EVALUATIONS = (*_POSITION, "minutes", *RATES)
_PRELOGITS = (*_POSITION, *(f"{edge:.1f}" for edge in PRELOGITS_EDGES[:-1]))


def read_metrics(path: str | Path) -> dict[str, np.ndarray]:
    """Read a run's metrics.csv, evaluations.csv or validations.csv, of a run that goes on as well.

    Returns:
        Column to float64 array, one value a row. ``step`` counts the steps made; ``epoch`` is,
        in metrics.csv, the epoch (from 0) that the step belongs to, and in the others the number
        of epochs made.

    Raises:
        FacenetError: when the file is missing or a row does not hold a number for every column.
    """
    columns, lines = _read_table(Path(path))
    rows, problems = [], []
    for number, line in enumerate(lines, start=2):
        try:
            rows.append([float(cell) for cell in line.split(",")])
        except ValueError:
            rows.append([])
        if len(rows[-1]) != len(columns):
            problems.append(f"line {number}: expected {len(columns)} numbers, found {line!r}")
    refuse(str(path), problems)
    table = np.array(rows, dtype=np.float64).reshape(-1, len(columns))
    return dict(zip(columns, table.T, strict=True))


def read_prelogits_histograms(
    path: str | Path,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Read a run's prelogits.csv: how the sizes of its prelogits were spread, epoch by epoch.

    Returns:
        int64 (epochs,), the epochs, from 0; float64 (51,), the edges of the bins, of which the
        last is open; int64 (epochs, 50), how many absolute values lay in each bin.

    Raises:
        FacenetError: when the file is missing, or is no such table.
    """
    table = read_metrics(path)
    if tuple(table) != _PRELOGITS:
        raise FacenetError(
            f"{path}: expected the columns epoch, step and the lower edges of "
            f"{len(PRELOGITS_EDGES) - 1} bins, {_PRELOGITS[2]} to {_PRELOGITS[-1]}, "
            f"found {', '.join(list(table)[:6])} ..."
        )
    counts = np.stack([table[name] for name in _PRELOGITS[2:]], axis=1)
    return table["epoch"].astype(np.int64), PRELOGITS_EDGES.copy(), counts.astype(np.int64)


def last_evaluation(run: Path, step: int) -> dict[str, float] | None:
    """Return the last row of a run's evaluations.csv that is not from after ``step``."""
    return _last_row(run / EVALUATIONS_FILE, step)


def last_validation(run: Path, step: int) -> dict[str, float] | None:
    """Return the last row of a run's validations.csv that is not from after ``step``."""
    return _last_row(run / VALIDATIONS_FILE, step)


def _last_row(path: Path, step: int) -> dict[str, float] | None:
    if not path.exists():
        return None
    table = read_metrics(path)
    rows = np.flatnonzero(table["step"] <= step)
    return {name: float(column[rows[-1]]) for name, column in table.items()} if len(rows) else None


class MetricsFiles:
    """The tables of a run and TensorBoard's files, written on from a given step.

    ``metrics.csv`` has a row for each step, ``evaluations.csv`` one for each evaluation on pairs,
    ``validations.csv``, where there is validation, one for each, and ``prelogits.csv`` a
    histogram for each epoch. A context manager: the files are open inside.

    Args:
        run: the run's folder.
        step: rows from after it, which a lost end of the run left behind, are removed.
        columns: what a step measures: the columns of metrics.csv after epoch, step and
            learning_rate.
        validation_columns: what a validation measures: the columns of validations.csv after
            epoch, step and minutes; the file is made if there are any.

    Raises:
        FacenetError: when a file cannot be read or written, or has other columns.
    """

    def __init__(
        self,
        run: Path,
        step: int,
        columns: Sequence[str],
        validation_columns: Sequence[str] = (),
    ) -> None:
        self._run = run
        tables = {
            METRICS_FILE: (*_POSITION, "learning_rate", *columns),
            EVALUATIONS_FILE: _EVALUATIONS,
            PRELOGITS_FILE: _PRELOGITS,
        }
        if validation_columns:
            tables[VALIDATIONS_FILE] = (*_POSITION, "minutes", *validation_columns)
        with _writing(run), ExitStack() as opening:
            self._tables = {
                name: (opening.enter_context(_continued(run / name, names, step)), names)
                for name, names in tables.items()
            }
            self._summary = tf.summary.create_file_writer(str(run / "tensorboard"))
            opening.callback(self._summary.close)
            self._open = opening.pop_all()

    def __enter__(self) -> MetricsFiles:
        return self

    def __exit__(self, *exception: object) -> None:
        with _writing(self._run):
            self._open.close()

    def add_step(self, values: Mapping[str, float]) -> None:
        """Add the row of a training step."""
        self._add(METRICS_FILE, "train", values)

    def add_evaluation(self, values: Mapping[str, float]) -> None:
        """Add the row of an evaluation on the pairs."""
        self._add(EVALUATIONS_FILE, "pairs", values)

    def add_validation(self, values: Mapping[str, float]) -> None:
        """Add the row of a validation."""
        self._add(VALIDATIONS_FILE, "validation", values)

    def add_prelogits_histogram(
        self, epoch: int, step: int, counts: NDArray[np.integer[Any]]
    ) -> None:
        """Add the row of an epoch: how the sizes of its prelogits are spread.

        Args:
            epoch: the epoch, from 0.
            step: number of steps made.
            counts: integers (50,), how many absolute prelogits of all its steps lie in each bin
                of :data:`PRELOGITS_EDGES`.

        Raises:
            FacenetError: for other counts, or when the file cannot be written.
        """
        bins = len(PRELOGITS_EDGES) - 1
        is_whole = np.issubdtype(counts.dtype, np.integer)
        if not is_whole or counts.shape != (bins,) or counts.min() < 0:
            raise FacenetError(
                f"prelogits: expected {bins} counts, whole numbers of 0 or more, found "
                f"{np.array_repr(counts)[:60]}"
            )
        self._write_row(PRELOGITS_FILE, [str(int(number)) for number in (epoch, step, *counts)])
        # TensorBoard's function counts for itself; this is what it writes then.
        plugin = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="histograms")
        buckets = np.stack([PRELOGITS_EDGES[:-1], PRELOGITS_EDGES[1:], counts], axis=1)
        with _writing(self._run), self._summary.as_default(step=int(step)):
            tf.summary.write(
                "train/absolute_prelogits",
                buckets,
                metadata=tf.compat.v1.SummaryMetadata(plugin_data=plugin),
            )

    def add_histograms(self, step: int, named_arrays: Mapping[str, np.ndarray]) -> None:
        """Give TensorBoard the histograms of arrays; no table holds them.

        Args:
            step: number of steps made.
            named_arrays: TensorBoard's name to numbers of any shape.
        """
        with _writing(self._run), self._summary.as_default(step=int(step)):
            for name, array in named_arrays.items():
                tf.summary.histogram(name, array)

    def _add(self, table: str, scope: str, values: Mapping[str, float]) -> None:
        measured = self._tables[table][1][len(_POSITION) :]
        cells = [f"{values[name]:d}" for name in _POSITION]
        self._write_row(table, cells + [f"{values[name]:.7g}" for name in measured])
        with _writing(self._run), self._summary.as_default(step=int(values["step"])):
            for name in measured:
                tf.summary.scalar(f"{scope}/{name}", values[name])

    def _write_row(self, table: str, cells: Sequence[str]) -> None:
        file, _ = self._tables[table]
        with _writing(self._run):
            file.write(",".join(cells) + "\n")
            file.flush()


def _continued(path: Path, columns: Sequence[str], step: int) -> TextIO:
    """Open a table for more rows, without those from after ``step``."""
    kept: list[str] = []
    if path.exists():
        found, lines = _read_table(path)
        if found != list(columns):
            raise FacenetError(
                f"{path}: expected the columns {', '.join(columns)}, found {', '.join(found)}; "
                "move the file away and a new one is begun"
            )
        steps = read_metrics(path)["step"]
        kept = [line for line, row_step in zip(lines, steps, strict=True) if row_step <= step]
    with open_whole_file(path) as file:
        file.write("".join(f"{line}\n" for line in [",".join(columns), *kept]).encode())
    return path.open("a", encoding="utf-8", newline="\n")


def _read_table(path: Path) -> tuple[list[str], list[str]]:
    """Return the columns and the rows, without a last one that is not written to its end."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    except OSError as error:
        raise FacenetError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise FacenetError(
            f"{path}: expected a table of numbers, found byte {error.start}"
        ) from error
    if not lines:
        raise FacenetError(f"{path}: expected a table of numbers, found an empty file")
    return lines[0].split(","), lines[1:]


@contextmanager
def _writing(run: Path) -> Iterator[None]:
    """As :func:`checkpoints.writing`, for TensorFlow's writer too, which has its own errors."""
    try:
        with explain_write_errors(run):
            yield
    except tf.errors.OpError as error:
        raise FacenetError(
            f"{run}: cannot be written: {' '.join(error.message.split())}"
        ) from error
