"""The folder of a run: what it holds, whose it is, and who may write there.

Derived in chapter 6, "Training".
"""

from __future__ import annotations

import json
import sys
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from facenet_lib import __version__
from facenet_lib.errors import FacenetError, refuse, shown
from facenet_lib.files import (
    check_columns,
    explain_write_errors,
    list_folder,
    normalize_name,
    read_json,
    read_text,
    write_text,
)
from facenet_lib.runs.config import TrainingConfig, config_from_dict, rename_old_settings
from facenet_lib.runs.provenance import RECORD_FILE
from facenet_lib.runs.tables import (
    EVALUATED,
    EVALUATIONS_FILE,
    METRICS_FILE,
    PRELOGITS_FILE,
    ROW_POSITION,
    VALIDATIONS_FILE,
    read_metrics,
    read_prelogits_histograms,
)

if sys.platform == "win32":
    fcntl = None
else:
    import fcntl

CONFIG_FILE = "config.json"
IDENTITIES_FILE = "identities.txt"
CHECKPOINTS_FOLDER = "checkpoints"
LOCK_FILE = "lock"
FREE_SETTINGS = ("epochs", "checkpoint_every", "histograms_every")
"""Settings that may differ when a run goes on, because they change none of its numbers."""

_SECONDS_TO_WAIT = 30.0  # a finished run is read in one or two, on a busy machine in some more


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
        run: a folder that :func:`facenet_lib.training.train` made, of a run that goes on as well.

    Returns:
        The steps, the evaluations, the validations and the prelogits' histograms; None for a
        table without rows.

    Raises:
        FacenetError: when the folder is no run, or a table is damaged.

    >>> metrics, evaluations, validations, prelogits = read_run_tables("run")  # doctest: +SKIP
    """
    run = Path(run)
    read_config_file(run)
    evaluations = _table_if_any(run / EVALUATIONS_FILE, EVALUATED)
    validations = _table_if_any(run / VALIDATIONS_FILE, ROW_POSITION)
    if validations and "validation_rate" in validations:  # of people held out, on pairs
        check_columns(str(run / VALIDATIONS_FILE), validations, EVALUATED)
    histograms = None
    if (run / PRELOGITS_FILE).exists():
        found = read_prelogits_histograms(run / PRELOGITS_FILE)
        histograms = found if len(found[0]) else None
    metrics = read_metrics(run / METRICS_FILE, ROW_POSITION)
    return metrics, evaluations, validations, histograms


def _table_if_any(path: Path, needed: Sequence[str]) -> dict[str, np.ndarray] | None:
    """A table with rows, else None."""
    table = read_metrics(path, needed) if path.exists() else {}
    return table if table and len(table["step"]) else None


def read_config_file(run: Path) -> tuple[TrainingConfig, dict[str, Any]]:
    """Return a run's configuration and what config.json says about its data."""
    path = run / CONFIG_FILE
    try:
        settings = read_json(path, "the configuration of a run")
    except FacenetError as error:
        if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            raise FacenetError(f"{run}: not a training run: no readable {CONFIG_FILE}") from error
        raise
    data = settings.pop("data", None)
    if not isinstance(data, dict) or settings.pop("facenet_lib", None) is None:
        raise FacenetError(
            f"{path}: expected the configuration of a run, with facenet_lib and data, found "
            f"{shown(', '.join(settings))}"
        )
    return config_from_dict(rename_old_settings(settings), source=str(path)), data


def read_identities(run: Path) -> list[str]:
    """Read the people of a run, in the order of their labels, in the form to be compared."""
    # Not splitlines(), which also splits at rare characters that a name may hold.
    names = read_text(run / IDENTITIES_FILE).rstrip("\n")  # an editor adds one, or takes it away
    return [normalize_name(name) for name in names.split("\n")] if names else []


@contextmanager
def claim_folder(
    out: Path, config: TrainingConfig, identities: Sequence[str], data: Mapping[str, Any]
) -> Iterator[None]:
    """Make a run's folder, or check that it is this run's; nobody else trains there meanwhile.

    Another process may have the folder for a moment, to find the run finished, as two notebooks
    do; so it is waited for, for up to half a minute, and said that it is.

    Args:
        out: the folder.
        config: the run's settings, for config.json.
        identities: the people, in the order of their labels, for identities.txt.
        data: what config.json says of the images: how many, of how many people, and
            ``image_names``, what ``checksum_images`` returned.

    Raises:
        FacenetError: when the folder is something else's or another run's, another process
            trains there, or it cannot be written.
    """
    config_file = out / CONFIG_FILE
    if not config_file.exists():
        _refuse_foreign_folder(out)
    with explain_write_errors(out):
        (out / CHECKPOINTS_FOLDER).mkdir(parents=True, exist_ok=True)
    with _lock_folder(out):
        if config_file.exists():
            _check_same_run(out, config, identities, data)
        write_text(out / IDENTITIES_FILE, "".join(f"{name}\n" for name in identities))
        contents = {"facenet_lib": __version__, "data": data, **config.to_dict()}
        # Last, since a folder is a run from the moment it has this file.
        write_text(config_file, json.dumps(contents, indent=2) + "\n")
        yield


def _refuse_foreign_folder(out: Path) -> None:
    """A folder without config.json must be empty, but for what a kill in its first moment left."""
    ours = {CHECKPOINTS_FOLDER, LOCK_FILE, RECORD_FILE, f"{RECORD_FILE}.part"} | {
        f"{name}{suffix}" for name in (CONFIG_FILE, IDENTITIES_FILE) for suffix in ("", ".part")
    }
    if out.is_dir() and any(entry.name not in ours for entry in list_folder(out)):
        raise FacenetError(f"{out}: not empty and no training run; name another folder")


def _check_same_run(
    out: Path, config: TrainingConfig, identities: Sequence[str], data: Mapping[str, Any]
) -> None:
    """Refuse to go on with a run that had other settings, people or images."""
    begun_config, begun_data = read_config_file(out)
    begun = begun_config.to_dict() | begun_data
    wanted = {**config.to_dict(), **data}
    problems = [
        f"{name} was {shown(begun.get(name), 200)} when the run began, now "
        f"{shown(wanted[name], 200)}"
        for name in wanted
        if name not in (*FREE_SETTINGS, "image_names") and begun.get(name) != wanted[name]
    ]
    if not problems and read_identities(out) != list(map(normalize_name, identities)):
        problems.append("the people are not those that the run began with")
    if not problems and begun.get("image_names") != wanted["image_names"]:
        problems.append("the people's images are not those that the run began with")
    refuse(f"{out}: holds another run; name another folder", problems)


def checksum_images(image_list: Sequence[str], label_list: Sequence[int]) -> str:
    """A checksum of whose image is called what, without the folders, which may be moved."""
    names = zip(label_list, (normalize_name(Path(path).name) for path in image_list), strict=True)
    listed = "\n".join(f"{label}/{name}" for label, name in names)
    return f"{zlib.crc32(listed.encode(errors='surrogateescape')):08x}"


@contextmanager
def _lock_folder(out: Path) -> Iterator[None]:
    """Keep a second process from training in the same folder; the lock ends with the process."""
    if fcntl is None:
        yield
        return
    with explain_write_errors(out):
        lock = (out / LOCK_FILE).open("w")
    with lock:
        if not _try_to_lock(lock):
            print(f"{out}: waiting for the process that has this run open", file=sys.stderr)
            given_up = time.monotonic() + _SECONDS_TO_WAIT
            while not _try_to_lock(lock):
                if time.monotonic() > given_up:
                    raise FacenetError(f"{out}: another process is training here")
                time.sleep(0.1)
        yield


def _try_to_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
