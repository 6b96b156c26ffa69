"""The tables of a run: what it measured, a row a step, an evaluation or an epoch.

Derived in chapter 6, "Training".
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from facenet_lib.errors import FacenetError, shown
from facenet_lib.files import Table, explain_write_errors, parse_table, read_text, write_text

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

ROW_POSITION = ("epoch", "step")
"""The columns of every table that say where in the run a row belongs."""
EVALUATED = (*ROW_POSITION, "accuracy", "standard_error", "validation_rate", "threshold")
"""What is needed of a row of evaluations.csv."""

_EVALUATIONS = (*ROW_POSITION, "minutes", *RATES)
_PRELOGITS = (*ROW_POSITION, *(f"{edge:.1f}" for edge in PRELOGITS_EDGES[:-1]))


def read_metrics(path: str | Path, needed: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Read a run's metrics.csv, evaluations.csv or validations.csv, of a run that goes on as well.

    Args:
        path: the file.
        needed: columns that must be there.

    Returns:
        Column to float64 array, one value a row. ``step`` counts the steps made; ``epoch`` is,
        in metrics.csv, the epoch (from 0) that the step belongs to, and in the others the number
        of epochs made.

    Raises:
        FacenetError: when the file is missing or lacks a column, or a row does not hold a number
            for every column.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = Path(folder, "metrics.csv").write_text("step,total\\n1,2.5\\n2,1.5\\n")
    ...     read_metrics(Path(folder, "metrics.csv"))["total"]
    array([2.5, 1.5])
    """
    found = _read_table(Path(path), needed)
    return dict(zip(found.columns, _numbers(found).T, strict=True))


def read_prelogits_histograms(
    path: str | Path,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Read a run's prelogits.csv: how the sizes of its prelogits were spread, epoch by epoch.

    Returns:
        int64 (epochs,), the epochs, from 0; float64 (51,), the edges of the bins, of which the
        last is open; int64 (epochs, 50), how many absolute values lay in each bin.

    Raises:
        FacenetError: when the file is missing, or is no such table.

    >>> epochs, edges, counts = read_prelogits_histograms("run/prelogits.csv")  # doctest: +SKIP
    """
    table = read_metrics(path, _PRELOGITS)
    counts = np.stack([table[name] for name in _PRELOGITS[2:]], axis=1)
    return table["epoch"].astype(np.int64), PRELOGITS_EDGES.copy(), counts.astype(np.int64)


def last_row(path: Path, step: int) -> dict[str, float] | None:
    """Return the last row of a table that is not from after ``step``, or None.

    Raises:
        FacenetError: when the table is damaged or lacks a column that is needed of it.
    """
    if not path.exists():
        return None
    is_of_pairs = path.name == EVALUATIONS_FILE
    table = read_metrics(path, EVALUATED if is_of_pairs else ROW_POSITION)
    rows = np.flatnonzero(table["step"] <= step)
    return {name: float(column[rows[-1]]) for name, column in table.items()} if len(rows) else None


class RunTables:
    """The tables of a run, written on from a given step.

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
        self, run: Path, step: int, columns: Sequence[str], validation_columns: Sequence[str] = ()
    ) -> None:
        self._run = run
        self.columns: dict[str, tuple[str, ...]] = {
            METRICS_FILE: (*ROW_POSITION, "learning_rate", *columns),
            EVALUATIONS_FILE: _EVALUATIONS,
            PRELOGITS_FILE: _PRELOGITS,
        }
        if validation_columns:
            self.columns[VALIDATIONS_FILE] = (*ROW_POSITION, "minutes", *validation_columns)
        with explain_write_errors(run), ExitStack() as opening:
            self._files = {
                name: opening.enter_context(_continued(run / name, names, step))
                for name, names in self.columns.items()
            }
            self._open = opening.pop_all()

    def __enter__(self) -> RunTables:
        return self

    def __exit__(self, *exception: object) -> None:
        with explain_write_errors(self._run):
            self._open.close()

    def add(self, table: str, values: Mapping[str, float]) -> None:
        """Add a row to metrics.csv, evaluations.csv or validations.csv.

        Args:
            table: the file's name.
            values: column to value; others are left out.

        Raises:
            FacenetError: when the file cannot be written.
        """
        measured = self.columns[table][len(ROW_POSITION) :]
        cells = [f"{values[name]:d}" for name in ROW_POSITION]
        self._write_row(table, cells + [f"{values[name]:.7g}" for name in measured])

    def add_prelogits(self, epoch: int, step: int, counts: NDArray[np.integer[Any]]) -> None:
        """Add the row of an epoch to prelogits.csv: how the sizes of its prelogits are spread.

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

    def _write_row(self, table: str, cells: Sequence[str]) -> None:
        with explain_write_errors(self._run):
            self._files[table].write(",".join(cells) + "\n")
            self._files[table].flush()


def _continued(path: Path, columns: Sequence[str], step: int) -> TextIO:
    """Open a table for more rows, without those from after ``step``."""
    kept: list[str] = []
    if path.exists():
        found = _read_table(path)
        if found.columns != tuple(columns):
            raise FacenetError(
                f"{path}: expected the columns {', '.join(columns)}, found "
                f"{', '.join(found.columns)}; move the file away and a new one is begun"
            )
        steps = _numbers(found)[:, columns.index("step")]
        kept = [
            ",".join(cells)
            for (_, cells), row_step in zip(found.rows, steps, strict=True)
            if row_step <= step
        ]
    write_text(path, "".join(f"{line}\n" for line in [",".join(columns), *kept]))
    return path.open("a", encoding="utf-8", newline="\n")


def _read_table(path: Path, needed: Sequence[str] = ()) -> Table:
    """Return a table without a last row that is not written to its end."""
    text = read_text(path)
    return parse_table(text[: text.rfind("\n") + 1], str(path), needed)


def _numbers(table: Table) -> NDArray[np.float64]:
    """The cells as numbers, (rows, columns), read all at once; one by one if some are none."""
    cells = [row for _, row in table.rows]
    shape = (len(cells), len(table.columns))
    with contextlib.suppress(ValueError):
        numbers = np.array(cells, dtype=np.float64)
        if numbers.shape == shape:
            return numbers
    return np.array(table.parse(_row_of_numbers), dtype=np.float64).reshape(shape)


def _row_of_numbers(cells: Mapping[str, str]) -> list[float]:
    try:
        return [float(cell) for cell in cells.values()]
    except ValueError as error:
        found = shown(",".join(cells.values()))
        raise FacenetError(f"expected {len(cells)} numbers, found {found}") from error
