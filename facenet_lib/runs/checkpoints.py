"""Checkpoints: files of arrays that are whole or not there.

A checkpoint is an uncompressed ``.npz`` archive with one array a variable and the member
``state``, JSON. The archive's checksums tell damage, and nothing in it is unpickled. Derived in
chapter 6, "Training".
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facenet_lib.errors import FacenetError, refuse
from facenet_lib.files import explain_write_errors, read_arrays, write_arrays

CHECKPOINTS_KEPT = 3
"""How many of a run's checkpoints stay: if the newest is damaged, there are others."""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds.

    Attributes:
        path: the file.
        arrays: variable name to value.
        state: whatever else was saved, as JSON gives it back.
    """

    path: Path
    arrays: dict[str, np.ndarray]
    state: dict[str, Any]


def write_checkpoint(
    folder: Path, step: int, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]
) -> Path:
    """Write a checkpoint, whole or not at all; then remove those that are no longer needed.

    Args:
        folder: where the checkpoints of one run are.
        step: steps that the run has made.
        arrays: variable name to value.
        state: whatever else is needed to go on, fit for JSON.

    Raises:
        FacenetError: when it cannot be written; the older ones are then still there.
    """
    path = folder / f"{step:08d}.npz"
    write_arrays(path, arrays, state)
    # What has a later step was damaged, or the run would have gone on from there.
    kept = [other for other in list_checkpoints(folder) if other.name <= path.name][
        :CHECKPOINTS_KEPT
    ]
    with explain_write_errors(folder):
        for other in list_checkpoints(folder):
            if other not in kept:
                other.unlink()
    return path


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        FacenetError: when it cannot be read or is damaged.
    """
    arrays, state = read_arrays(path, "a whole checkpoint")
    return Checkpoint(path, arrays, state)


def last_checkpoint(folder: Path) -> Checkpoint | None:
    """Read the newest checkpoint that is whole; say on standard error which ones are not.

    Returns:
        None where there is no checkpoint.

    Raises:
        FacenetError: when there are checkpoints and all of them are damaged.

    >>> print(last_checkpoint(Path("nowhere")))
    None
    """
    problems: list[str] = []
    for path in list_checkpoints(folder):
        try:
            found = read_checkpoint(path)
        except FacenetError as error:
            problems.append(str(error))
            continue
        for problem in problems:
            print(f"{problem}; going back to {path.name}", file=sys.stderr)
        return found
    refuse(f"{folder}: no checkpoint is whole", problems)
    return None


def list_checkpoints(folder: Path) -> list[Path]:
    """List the checkpoints of a run, the newest first; none where there is no such folder.

    >>> list_checkpoints(Path("nowhere"))
    []
    """
    # A system's own file beside one, such as ._00000040.npz, begins with no digit.
    return sorted(folder.glob("[0-9]*.npz"), reverse=True)


def name_variables(part: str, variables: Sequence[Any]) -> dict[str, Any]:
    """Variables by a name that does not depend on this process."""
    return {
        f"{part}/{number:04d}/{variable.name}": variable
        for number, variable in enumerate(variables)
    }


def is_float(variable: Any) -> bool:
    """Whether a variable holds floating point numbers, of which there are averages."""
    return "float" in str(variable.dtype)


def assign_variables(
    path: Path, variables: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
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
