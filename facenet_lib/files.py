"""Files written whole or not at all; folders, arrays and text read, whoever saved them."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
import tempfile
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from facenet_lib.errors import FacenetError

if TYPE_CHECKING:  # a model's card is read where there is no NumPy
    import numpy as np

if sys.platform == "win32":
    fcntl = None
else:
    import fcntl

_STATE = "state"  # the one member of an archive that is JSON and no array


@contextmanager
def open_whole_file(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Open a file that takes the place of ``path`` once the block has ended without an error.

    A reader therefore sees the old file or the new one, and never a part of one. A link stays one:
    the file that it leads to is replaced, and keeps its permissions.

    Args:
        path: the file.
        mode: permissions of a new file, less those that the process's mask takes away.

    Raises:
        FacenetError: when the file cannot be written; what was at ``path`` is still there.
    """
    target = path.resolve()
    part = target.with_name(f"{target.name}.part")
    try:
        with explain_write_errors(path):
            with contextlib.suppress(FileNotFoundError):
                mode = stat.S_IMODE(target.stat().st_mode)
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()  # there only after an error


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all; see :func:`open_whole_file`."""
    with open_whole_file(path) as file:
        file.write(text.encode())


def write_arrays(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    state: Mapping[str, Any],
    mode: int = 0o666,
) -> None:
    """Write an uncompressed ``.npz`` archive, whole or not at all; see :func:`open_whole_file`.

    Args:
        path: the file.
        arrays: name to value; numbers, no objects.
        state: whatever else there is, fit for JSON.
        mode: permissions of a new file.
    """
    import numpy as np

    members: dict[str, Any] = dict(arrays)
    members[_STATE] = np.frombuffer(json.dumps(state).encode(), dtype=np.uint8)
    with open_whole_file(path, mode) as file:
        np.savez(file, **members)


def read_arrays(path: Path, expected: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what :func:`write_arrays` wrote. Its checksums tell damage; nothing is unpickled.

    Args:
        path: the file.
        expected: what an error calls what should be there.

    Raises:
        FacenetError: when it cannot be read, is damaged or something else.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        state = dict(json.loads(arrays.pop(_STATE).tobytes()))
    except OSError as error:
        found = error.strerror or error
        raise FacenetError(f"{path}: expected {expected}, cannot be read: {found}") from error
    except Exception as error:
        # One wrong byte can look to the archive's reader like encryption, an unknown compression
        # or an array larger than the memory: damage has no one type of error.
        raise FacenetError(
            f"{path}: expected {expected}, found a damaged file or another: {error}"
        ) from error
    return arrays, state


@contextmanager
def open_whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder to fill, which is at ``folder`` once the block has ended without an error.

    Raises:
        FacenetError: when it cannot be written.
    """
    with explain_write_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Beside its final place first, so that it is whole there or not at all.
        with tempfile.TemporaryDirectory(prefix=".part-", dir=folder.parent) as scratch:
            part = Path(scratch) / folder.name
            part.mkdir()
            yield part
            part.replace(folder)


@contextmanager
def lock_folder(folder: Path, wait: bool = True) -> Iterator[None]:
    """Keep other processes that ask for the same out until the block ends.

    Where the system has no such locks, it does nothing.

    Args:
        folder: the folder; nothing is written to it.
        wait: until another process lets go of it; False: raise at once.

    Raises:
        FacenetError: when another process has it and ``wait`` is False, or it cannot be opened.

    >>> with lock_folder(Path(".")):
    ...     pass
    """
    if fcntl is None:
        yield
        return
    with explain_write_errors(folder):
        file = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise FacenetError(f"{folder}: another process works there") from error
        yield
    finally:
        os.close(file)


_SYSTEM_FILES = frozenset(
    name.casefold()
    for name in (
        *("Thumbs.db", "ehthumbs.db", "desktop.ini", "$RECYCLE.BIN", "RECYCLER"),  # Windows
        "System Volume Information",
        *("__MACOSX", "Icon\r", "Network Trash Folder", "Temporary Items"),  # macOS
        *("@eaDir", "#recycle", "#snapshot", "@Recycle", "@Recently-Snapshot"),  # network storage
        "lost+found",  # Linux
    )
)


def is_system_file(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or a system's own and not the user's.

    Systems put them beside anyone's files: previews, lists of what is shown how, what was deleted,
    and ``._name``, where macOS keeps what another disk cannot hold of the file ``name``.

    >>> [name for name in ("Ann", "._Ann", "@eaDir", "thumbs.db") if not is_system_file(name)]
    ['Ann']
    """
    return name.startswith(".") or name.casefold() in _SYSTEM_FILES


def list_folder(folder: Path) -> list[Path]:
    """List what a folder holds, but for hidden files and a system's own, sorted by name.

    The order is that of the names' characters in Unicode's form NFC, on every system.

    Raises:
        OSError: when the folder cannot be read.
    """
    found = [path for path in folder.iterdir() if not is_system_file(path.name)]
    return sorted(found, key=lambda path: normalize_name(path.name))


def normalize_name(name: str) -> str:
    """Return the name of a person or a file in the form in which names are compared.

    That is Unicode's form NFC: systems disagree whether é is one character or two, and an archive
    brings the names of one system to another.

    >>> normalize_name("Jose\\u0301") == "Jos\\u00e9"
    True
    """
    return unicodedata.normalize("NFC", name)


def check_new_folder(folder: Path) -> None:
    """Refuse, before anything long is done, a folder to write that holds something already.

    Raises:
        FacenetError: when it is there and not empty, or may not be looked into.
    """
    try:
        if folder.exists() and (not folder.is_dir() or list_folder(folder)):
            raise FacenetError(f"{folder}: already there; name a folder that is new or empty")
    except OSError as error:
        raise FacenetError(f"{folder}: cannot be read: {error.strerror or error}") from error


@contextmanager
def explain_write_errors(path: Path) -> Iterator[None]:
    """Tell in one line of a full disk, or of a folder that has gone, while ``path`` is written.

    Raises:
        FacenetError: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise FacenetError(
            f"{path}: cannot be written: {error.strerror or error}; what was saved before is "
            "untouched"
        ) from error


def read_bytes(path: Path) -> bytes:
    """Read a file.

    Raises:
        FacenetError: when it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise FacenetError(f"{path}: cannot be read: {error.strerror}") from error


def read_text(path: Path) -> str:
    """Read a text file as any editor saves it: UTF-8, with or without a byte order mark.

    Raises:
        FacenetError: when it cannot be read or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise FacenetError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise FacenetError(f"{path}: expected UTF-8 text, found byte {error.start}") from error


def read_json(path: Path, expected: str) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Args:
        path: the file.
        expected: what an error calls what should be there.

    Raises:
        FacenetError: when it cannot be read or holds something else.
    """
    try:
        found = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise FacenetError(f"{path}: expected {expected}, found: {error}") from error
    if not isinstance(found, dict):
        raise FacenetError(f"{path}: expected {expected}, found no object")
    return found
