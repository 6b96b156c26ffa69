"""Files written whole or not at all; folders, arrays, text and tables read, whoever saved them."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import json
import os
import stat
import sys
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeVar

from facenet_lib.errors import FacenetError, refuse, shown

if TYPE_CHECKING:  # a model's card is read where there is no NumPy
    import numpy as np

if sys.platform == "win32":
    fcntl = None
else:
    import fcntl

Row = TypeVar("Row")
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
    """Write a text file in UTF-8, whole or not at all; see :func:`open_whole_file`.

    Raises:
        FacenetError: when it cannot be written, or a name in it is no UTF-8.
    """
    with open_whole_file(path) as file:
        file.write(_encoded(path, text))


def _encoded(path: Path, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        line = text[: error.start].rpartition("\n")[2] + text[error.start :].partition("\n")[0]
        raise FacenetError(
            f"{path}: expected names in UTF-8 to write, found {shown(line)}; rename it"
        ) from error


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
        with path.open("rb") as file:
            start = file.read(_LONGEST_SIGN)
            if start and not start.startswith(b"PK"):  # NumPy's advice would be to unpickle it
                there = describe_bytes(start) or "a file of another kind"
                raise FacenetError(f"{path}: expected {expected}, found {there}")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        if _STATE not in arrays:
            there = f"an archive of {shown(', '.join(arrays))}"
            raise FacenetError(f"{path}: expected {expected}, found {there}")
        state = dict(json.loads(arrays.pop(_STATE).tobytes()))
    except FacenetError:
        raise
    except OSError as error:
        found = error.strerror or error
        raise FacenetError(f"{path}: expected {expected}, cannot be read: {found}") from error
    except Exception as error:
        # One wrong byte can look to the archive's reader like encryption, an unknown compression
        # or an array larger than the memory: damage has no one type of error.
        reason = " ".join(str(error)[:200].split())
        raise FacenetError(
            f"{path}: expected {expected}, found a damaged file or another: {reason}"
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
            if fcntl is None and folder.is_dir():  # Windows puts nothing in its place
                folder.rmdir()
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


def is_reserved(
    name: object,
    words: Collection[str],
    meaning: str,
    could_be_meant: Callable[[Path], bool] = Path.exists,
) -> bool:
    """Return whether ``name`` is a word that stands for something of ours, and is no path.

    A word goes before a path, everywhere alike: what a call does shall not depend on what lies
    around. Where it hides a path, that and how to name it is said on standard error.

    Args:
        name: what was given; a ``Path`` is always a path.
        words: the words.
        meaning: what the word stands for, for the message.
        could_be_meant: whether a path of that name is one that could have been meant.

    >>> is_reserved("lfw", ["lfw", "drawn"], "LFW"), is_reserved("./lfw", ["lfw", "drawn"], "LFW")
    (True, False)
    """
    if not isinstance(name, str) or name not in words:
        return False
    if could_be_meant(Path(name)):
        print(f"{name}: taken for {meaning}; what is here is named ./{name}", file=sys.stderr)
    return True


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
    """Read a text file as any editor saves it, with lines that end with a line feed alone.

    Raises:
        FacenetError: when it cannot be read or is not UTF-8, see :func:`decode_text`.
    """
    text = decode_text(read_bytes(path), str(path))
    return text.replace("\r\n", "\n").replace("\r", "\n")


def decode_text(
    content: bytes,
    name: str,
    expected: str = "text",
    errors: Literal["strict", "surrogateescape"] = "strict",
) -> str:
    """Return the text of a file in UTF-8, with or without a byte order mark.

    Args:
        content: of the whole file.
        name: what an error calls it.
        expected: what an error calls what should be there.
        errors: "surrogateescape" takes bytes that are no UTF-8 as names of files have them.

    Raises:
        FacenetError: when it is not UTF-8, saying what it is instead or where that shows.

    >>> decode_text("\ufeffZo\u00eb\\r\\n".encode(), "people.txt") == "Zo\u00eb\\r\\n"
    True
    >>> decode_text("Ann".encode("utf-16"), "people.txt")
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: people.txt: expected text in UTF-8, found UTF-16 text, ...
    """
    other = _what_is_no_utf8(content)
    if other:
        raise FacenetError(f"{name}: expected {expected} in UTF-8, found {other}")
    try:
        text = content.decode(errors=errors)
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, position = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        raise FacenetError(
            f"{name}: expected {expected} in UTF-8, found byte 0x{content[error.start]:02x} at "
            f"position {position} of line {line}; save the file as UTF-8"
        ) from error
    # A program that knows no byte order mark lets the next one put a second before it.
    return text.lstrip("\ufeff")


def describe_bytes(start: bytes) -> str | None:
    """Say what a file is that begins with these bytes; None where it is not known here.

    >>> describe_bytes(b"PK\\x03\\x04..."), describe_bytes(b"Ann")
    ('a zip archive, as .npz, .keras and .xlsx files are', None)
    """
    return next((what for sign, what in _SIGNS if start.startswith(sign)), None)


def _what_is_no_utf8(content: bytes) -> str | None:
    """Say what a file is instead of text in UTF-8, as far as its beginning or zero bytes tell."""
    for mark, encoding in _OTHER_MARKS:
        if content.startswith(mark):
            return f"{encoding} text, which Windows calls Unicode; save the file as UTF-8"
    is_text = content.count(b"\0") <= len(content) // 8  # a few may be damage, which has its line
    return describe_bytes(content) or (None if is_text else "a file that is no text")


_OTHER_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),  # before UTF-16, with whose mark it begins
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_SIGNS = (
    (b"PK\x03\x04", "a zip archive, as .npz, .keras and .xlsx files are"),
    (b"\x1f\x8b", "an archive that gzip packed"),
    (b"\x93NUMPY", "an array that NumPy saved (.npy)"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF-", "a PDF document"),
    (b"\xd0\xcf\x11\xe0", "a document of an old Office program (.xls)"),
    *((b"\x80" + bytes([protocol]), "a pickle of Python") for protocol in range(2, 6)),
)


_LONGEST_SIGN = max(len(sign) for sign, _ in _SIGNS)


def read_json(path: Path, expected: str) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Args:
        path: the file.
        expected: what an error calls what should be there.

    Raises:
        FacenetError: when it cannot be read or holds something else.
    """
    text = decode_text(read_bytes(path), str(path), expected)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FacenetError(f"{path}: expected {expected}, found no JSON: {error}") from error
    if not isinstance(found, dict):
        raise FacenetError(f"{path}: expected {expected}, found no object")
    return found


@dataclass(frozen=True)
class Table:
    """A file of cells that commas separate, below a line of the columns' names.

    Attributes:
        name: what errors call it.
        columns: the names, as they stand.
        rows: the number of the line of each row, from 1, and its cells; empty lines are none.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[int, list[str]], ...]

    def parse(self, parse_row: Callable[[dict[str, str]], Row]) -> list[Row]:
        """Make something of each row, in their order.

        Args:
            parse_row: from column to cell; raises FacenetError for a row that will not do.

        Raises:
            FacenetError: telling at once every row that has too few or too many cells, or will
                not do, each with its line.

        >>> table = parse_table("name,age\\nAnn,7", "people.csv", ["age"])
        >>> table.parse(lambda row: int(row["age"]))
        [7]
        """
        parsed, problems = [], []
        for line, cells in self.rows:
            try:
                if len(cells) != len(self.columns):
                    raise FacenetError(
                        f"expected {len(self.columns)} cells, found {len(cells)}: "
                        f"{shown(','.join(cells))}"
                    )
                parsed.append(parse_row(dict(zip(self.columns, cells, strict=True))))
            except FacenetError as error:
                problems.append(f"line {line}: {error}")
        refuse(self.name, problems)
        return parsed


def parse_table(text: str, name: str, needed: Sequence[str] = ()) -> Table:
    """Split the text of a table into its cells, in quotes or not.

    Args:
        text: see :func:`decode_text`.
        name: what errors call it.
        needed: columns that must be there; others may be, too, in any order.

    Raises:
        FacenetError: when a column is missing or there twice, or commas do not separate the cells.

    >>> parse_table("name;age", "people.csv", ["age"])
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: people.csv: expected cells separated by commas, found ...
    """
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = next(lines, [])
        check_columns(name, columns, needed)
        rows = tuple((lines.line_num, cells) for cells in lines if any(cells))
    except csv.Error as error:
        raise FacenetError(
            f"{name}: line {lines.line_num}: expected cells separated by commas: {error}"
        ) from error
    return Table(name, tuple(columns), rows)


def check_columns(name: str, columns: Collection[str], needed: Sequence[str]) -> None:
    """Refuse the columns of a table that lack one, or have one twice.

    Raises:
        FacenetError: naming the columns that are missing and those that are there.
    """
    wanted = f"the column{'s' * (len(needed) != 1)} {_listed(needed)}" if needed else "a table"
    if not columns:
        raise FacenetError(f"{name}: expected {wanted}, found an empty file")
    first = next(iter(columns))
    other = next((sign for sign in _OTHER_SEPARATORS if len(columns) == 1 and sign in first), None)
    if other:
        raise FacenetError(
            f"{name}: expected cells separated by commas, found {_OTHER_SEPARATORS[other]}; save "
            "the table with commas between cells and points in numbers"
        )
    missing = [column for column in needed if column not in columns]
    if missing:
        raise FacenetError(
            f"{name}: expected the column{'s' * (len(missing) != 1)} {_listed(missing)}, found "
            f"{_listed(columns)}"
        )
    twice = [column for column, count in Counter(list(columns)).items() if column and count > 1]
    refuse(name, [f"the column {shown(column)} is there twice" for column in twice])


def _listed(columns: Iterable[str]) -> str:
    names = ", ".join(columns)
    return names if len(names) <= 200 else f"{names[:200]}..."


_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs"}
