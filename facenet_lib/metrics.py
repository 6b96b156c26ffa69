"""The figures of a run: tables for people and programs, and the same for TensorBoard.

Derived in chapter 6, "Training".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np
import tensorflow as tf

from facenet_lib.center_loss import LossTerms
from facenet_lib.checkpoints import whole_file, writing
from facenet_lib.errors import FacenetError, refuse

METRICS_FILE = "metrics.csv"
EVALUATIONS_FILE = "evaluations.csv"
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

_POSITION = ("epoch", "step")
_METRICS = (
    *_POSITION,
    "learning_rate",
    *LossTerms._fields,
    "accuracy",
    "images_per_second",
)
_EVALUATIONS = (*_POSITION, "minutes", *RATES)


def read_metrics(path: str | Path) -> dict[str, np.ndarray]:
    """Read a run's metrics.csv or evaluations.csv, of a run that goes on as well.

    Returns:
        Column to float64 array, one value a row. ``step`` counts the steps made; ``epoch`` is,
        in metrics.csv, the epoch (from 0) that the step belongs to, and in evaluations.csv the
        number of epochs made.

    Raises:
        FacenetError: when the file is missing or a row does not hold a number for every column.

    Derived in chapter 6, "Training".
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


def last_evaluation(run: Path, step: int) -> dict[str, float] | None:
    """Return the last row of a run's evaluations.csv that is not from after ``step``.

    Derived in chapter 6, "Training".
    """
    path = run / EVALUATIONS_FILE
    if not path.exists():
        return None
    table = read_metrics(path)
    rows = np.flatnonzero(table["step"] <= step)
    return {name: float(column[rows[-1]]) for name, column in table.items()} if len(rows) else None


class MetricsFiles:
    """metrics.csv, evaluations.csv and TensorBoard's files, written on from a given step.

    A context manager: the files are open inside.

    Args:
        run: the run's folder.
        step: rows from after it, which a lost end of the run left behind, are removed.

    Raises:
        FacenetError: when a file cannot be read or written.

    Derived in chapter 6, "Training".
    """

    def __init__(self, run: Path, step: int) -> None:
        self._run = run
        with _writing(run), ExitStack() as opening:
            self._steps = opening.enter_context(_continued(run / METRICS_FILE, _METRICS, step))
            self._evaluations = opening.enter_context(
                _continued(run / EVALUATIONS_FILE, _EVALUATIONS, step)
            )
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
        self._add(self._steps, _METRICS, "train", values)

    def add_evaluation(self, values: Mapping[str, float]) -> None:
        """Add the row of an evaluation on the pairs."""
        self._add(self._evaluations, _EVALUATIONS, "pairs", values)

    def _add(
        self, file: TextIO, columns: Sequence[str], scope: str, values: Mapping[str, float]
    ) -> None:
        with _writing(self._run):
            cells = [f"{values[name]:d}" for name in _POSITION]
            cells += [f"{values[name]:.7g}" for name in columns[len(_POSITION) :]]
            file.write(",".join(cells) + "\n")
            file.flush()
            with self._summary.as_default(step=int(values["step"])):
                for name in columns[len(_POSITION) :]:
                    tf.summary.scalar(f"{scope}/{name}", values[name])


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
    with whole_file(path) as file:
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
        with writing(run):
            yield
    except tf.errors.OpError as error:
        raise FacenetError(
            f"{run}: cannot be written: {' '.join(error.message.split())}"
        ) from error
