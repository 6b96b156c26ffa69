"""The record of a run: with what, and on what, each of its starts was made.

``record.json`` holds a list with an entry for every start, the first and each resume, so that a
result can be traced to the code that computed it. Nothing in it tells who started the run or on
which computer: no environment variables, no names of user or host, no path but those among the
arguments. Derived in chapter 6, "Training".
"""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from facenet_lib import __version__
from facenet_lib.errors import shown
from facenet_lib.files import explain_write_errors, read_text, write_text

RECORD_FILE = "record.json"
_PACKAGES = ("tensorflow", "keras", "numpy", "pillow")
_GIT_SECONDS = 10  # on a slow file system a run begins without the revision
_GIT_PLACES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")


def describe_environment(arguments: Sequence[str]) -> dict[str, Any]:
    """Describe what a run is started with, fit for JSON.

    Args:
        arguments: the arguments of the command line; empty where a program starts the run.

    Returns:
        ``started``, the time in UTC in ISO format; ``arguments``; ``python``;
        ``operating_system``; ``processors``, how many this process may use; ``versions`` of
        facenet_lib and the packages under it, None for one that is not there; ``git``, the
        ``revision`` of the checkout that facenet_lib was imported from, and whether it has
        ``uncommitted_changes`` in the files that git tracks; None where facenet_lib is no part of
        a checkout, or git is missing.

    Source: the reference's ``store_revision_info`` and ``write_arguments_to_file``.
    """
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "arguments": list(arguments),
        "python": platform.python_version(),
        "operating_system": platform.platform(),
        "processors": _processors(),
        "versions": {"facenet_lib": __version__, **{name: _version(name) for name in _PACKAGES}},
        "git": _checkout(Path(__file__).parents[1]),
    }


def append_record(path: str | Path, record: Mapping[str, Any]) -> None:
    """Add an entry to a run's record.

    A record that cannot be read does not stop a run: it is moved aside, which is told on
    standard error, and another is begun.

    Args:
        path: the file, ``record.json`` in the run's folder; replaced as a whole.
        record: what ``describe_environment`` returned.

    Raises:
        FacenetError: if the file cannot be written.
    """
    path = Path(path)
    records = _read_records(path)
    write_text(path, json.dumps([*records, record], indent=2) + "\n")


def _read_records(path: Path) -> list[Any]:
    if not path.exists():
        return []
    try:
        records = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        return _move_aside(path, str(error).removeprefix(f"{path}: "))
    if not isinstance(records, list):
        return _move_aside(path, f"expected a list, found {shown(records)}")
    return records


def _move_aside(path: Path, why: str) -> list[Any]:
    names = (path.with_name(f"{path.name}.damaged-{number}") for number in itertools.count(1))
    aside = next(name for name in names if not name.exists())
    with explain_write_errors(path):
        path.rename(aside)
    print(f"{path}: damaged record: {why}; moved to {aside.name}", file=sys.stderr)
    return []


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _checkout(folder: Path) -> dict[str, Any] | None:
    """The state of the checkout that ``folder`` belongs to."""
    # A library installed below somebody else's checkout is no part of it.
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    revision = _git(folder, "rev-parse", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    if revision is None or changes is None:
        return None
    return {"revision": revision, "uncommitted_changes": bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    """What git answers, or None where it cannot."""
    # Where one of git's hooks started us, its variables name another checkout.
    environment = {name: value for name, value in os.environ.items() if name not in _GIT_PLACES}
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
