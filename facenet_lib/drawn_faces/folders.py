"""Folders that the book draws: claimed, filled by several processes, taken up again."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from joblib import cpu_count
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from facenet_lib.errors import FacenetError, refuse, shown
from facenet_lib.files import list_folder, read_json
from facenet_lib.processes import compute_in_processes

Task = TypeVar("Task")


@contextmanager
def drawing_folder(root: Path, settings_name: str, settings: Mapping[str, int]) -> Iterator[None]:
    """Claim a folder for the time in which it is filled.

    The settings are noted in a new folder. What a killed call left behind is removed once the
    block has ended without an error.

    Raises:
        FacenetError: if the folder holds other files already, or was begun with other settings,
            or cannot be written.
    """
    try:
        _claim_folder(root, settings_name, settings)
        abandoned = list(root.rglob(f"*{_PART}"))
        yield
        for path in abandoned:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise FacenetError(f"{error.filename or root}: cannot be written: {error}") from error


def _claim_folder(root: Path, settings_name: str, settings: Mapping[str, int]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    path = root / settings_name
    wanted = {key: int(value) for key, value in settings.items()}
    if not path.exists():
        strangers = [path.name for path in list_folder(root) if not path.name.endswith(_PART)]
        if strangers:
            raise FacenetError(
                f"{root}: expected a new or empty folder, or one drawn before, found "
                f"{strangers[0]!r} and no {settings_name}"
            )
        _write_whole(path, (json.dumps(wanted, indent=2) + "\n").encode())
        return
    found = read_json(path, "the settings of a drawn folder")
    refuse(
        f"{root} was drawn otherwise (choose another folder)",
        [
            f"{key}: expected {value}, found {shown(found.get(key))}"
            for key, value in wanted.items()
            if found.get(key) != value
        ],
    )


def draw_pictures(
    draw: Callable[[Task], Iterable[object]],
    tasks: Sequence[Task],
    pictures: int,
    *,
    fewest: int,
    workers: int | None,
    progress: bool,
) -> None:
    """Draw every task, by whichever process is free.

    Args:
        draw: draws a task; yields once for each picture, when it is written.
        tasks: what is to be drawn, in no order.
        pictures: of all tasks together.
        fewest: pictures for which starting processes takes less time than it saves.
        workers: processes; None: one per processor, or only this one for fewer pictures.
        progress: whether to show a progress bar.

    Raises:
        FacenetError: if a process ended too early.
    """
    if workers is None:
        workers = cpu_count() if pictures >= fewest else 1
    draw_task = functools.partial(_draw_task, draw)
    results = compute_in_processes(draw_task, tasks, min(workers, max(1, len(tasks))))
    with (
        tqdm(total=pictures, unit="image", desc="drawing", disable=not progress) as bar,
        contextlib.closing(results) as counts,
    ):
        for count in counts:
            bar.update(count)


def _draw_task(draw: Callable[[Task], Iterable[object]], task: Task) -> int:
    return sum(1 for _ in draw(task))


def write_picture(
    path: Path, picture: NDArray[np.uint8], quality: int, comment: bytes | None = None
) -> None:
    """Write a JPEG file that is either not there or complete, whenever this process is killed."""
    encoded = io.BytesIO()
    Image.fromarray(picture).save(encoded, "JPEG", quality=quality, comment=comment)
    _write_whole(path, encoded.getvalue())


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Not by :func:`facenet_lib.files.open_whole_file`: pictures can be drawn again, so that
    thousands need not wait for the disk one by one, and two calls may fill one folder.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}{_PART}")
    try:
        part.write_bytes(content)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


_PART = ".part"
