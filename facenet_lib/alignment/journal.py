"""What an alignment has done so far, kept so that a kill loses the photographs in work at most.

Derived in chapter 10.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from facenet_lib.alignment.manifest import (
    MANIFEST_FILE,
    FaceRow,
    manifest_lines,
    merge_manifests,
    parse_manifest,
    read_manifest,
    rows_by_source,
    write_manifest,
)
from facenet_lib.errors import FacenetError
from facenet_lib.files import decode_text, explain_write_errors, list_folder

if sys.platform == "win32":
    fcntl = None
else:
    import fcntl


@dataclass(frozen=True)
class Shard:
    """A part of an album, for one of several machines.

    Attributes:
        number: which part, from 1.
        count: how many there are; 1 for all of the album.
    """

    number: int = 1
    count: int = 1

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the album."""
        return self.count == 1

    @property
    def name(self) -> str:
        """How its files are called, without a suffix."""
        name = Path(MANIFEST_FILE).stem
        return name if self.is_whole else f"{name}-{self.number}-of-{self.count}"


WHOLE_ALBUM = Shard()


class AlignmentJournal:
    """The rows of an output folder: read when it begins, added to, and at last one manifest.

    A context manager. Inside it, no other process aligns the same photographs into the folder.
    ``faces.journal`` has the rows in the order in which they came; ``finish`` writes
    ``faces.csv`` of them and removes it. A shard has files of its own; the whole album takes in
    those of its shards.

    Args:
        out: the folder; made where there is none.
        shard: the part of the album.

    Raises:
        FacenetError: when the folder holds something else or was begun in other shards, another
            process works there, a table in it is damaged, or it cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, AlignmentJournal(Path(folder)) as journal:
    ...     journal.rows
    {}
    """

    def __init__(self, out: Path, shard: Shard = WHOLE_ALBUM) -> None:
        self._out = out
        self._shard = shard
        self.rows: dict[str, list[FaceRow]] = {}
        """The rows of each photograph."""
        self._path = out / f"{shard.name}{_JOURNAL}"
        self._is_empty = True
        self._merged: list[Path] = []  # what the manifest takes the place of

    def __enter__(self) -> AlignmentJournal:
        with explain_write_errors(self._out), ExitStack() as opening:
            self._out.mkdir(parents=True, exist_ok=True)
            found = _tables(self._out)
            self._check_shards(found)
            self._file = opening.enter_context(self._path.open("a+b"))
            self._lock(self._file, exclusive=True)
            for path in found:
                if path.suffix == _JOURNAL and path != self._path and self._concerns(path):
                    other = opening.enter_context(path.open("rb"))
                    self._lock(other, exclusive=self._shard.is_whole)
            self._read([path for path in found if self._concerns(path)])
            self._open = opening.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        with explain_write_errors(self._path), self._open:
            if self._is_empty:  # of a call that was refused, or interrupted at once
                self._remove([self._path])

    def add(self, rows: Sequence[FaceRow]) -> None:
        """Note the rows of one photograph, whose crops are written.

        Raises:
            FacenetError: when they cannot be written.
        """
        with explain_write_errors(self._path):
            self._is_empty = False
            self._file.write(manifest_lines(rows).encode())
            self._file.flush()
        self.rows[rows[0].source] = list(rows)

    def finish(self, wanted: Callable[[str], bool]) -> Path:
        """Write the manifest and remove the journal.

        Args:
            wanted: whether the rows of a photograph are of this shard.

        Raises:
            FacenetError: when it cannot be written; the journal is then still there.
        """
        manifest = self._out / f"{self._shard.name}.csv"
        rows = [row for source, found in self.rows.items() if wanted(source) for row in found]
        write_manifest(manifest, merge_manifests([rows]))
        with explain_write_errors(manifest):
            self._remove([self._path, *self._merged])
        return manifest

    def _remove(self, paths: Sequence[Path]) -> None:
        """Remove tables while they are locked; where there are no locks, open files stay."""
        if fcntl is None:
            self._open.close()
        for path in paths:
            path.unlink(missing_ok=True)

    def _check_shards(self, found: Sequence[Path]) -> None:
        """Refuse a folder that is not ours, or in which the album was parted otherwise."""
        strangers = [path.name for path in list_folder(self._out)]
        if not found and strangers:
            raise FacenetError(
                f"{self._out}: expected a new or empty folder, or one that an alignment began, "
                f"found {strangers[0]!r} and no {MANIFEST_FILE}"
            )
        counts = {_shard_of(path).count for path in found} - {1, self._shard.count}
        if counts and not self._shard.is_whole:
            raise FacenetError(
                f"{self._out}: expected shards of {min(counts)}, as the folder was begun, found "
                f"{self._shard.number}/{self._shard.count}"
            )

    def _concerns(self, path: Path) -> bool:
        """Whether a table has rows of this shard."""
        return self._shard.is_whole or _shard_of(path) in (WHOLE_ALBUM, self._shard)

    def _lock(self, file: BinaryIO, exclusive: bool) -> None:
        """Keep other processes out; the lock ends with the process."""
        if fcntl is None:
            return
        try:
            fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            is_there = Path(file.name).stat().st_ino == os.fstat(file.fileno()).st_ino
        except (BlockingIOError, FileNotFoundError):
            is_there = False  # or another process has just finished it
        if not is_there:
            raise FacenetError(f"{self._out}: another process is aligning photographs here")

    def _read(self, found: Sequence[Path]) -> None:
        manifests = [path for path in found if path.suffix != _JOURNAL]
        journals = [path for path in found if path.suffix == _JOURNAL and path != self._path]
        parts = [read_manifest(path) for path in manifests]
        for path in journals:
            parts.append(_whole_rows(path.read_bytes(), path)[0])
        self._file.seek(0)
        rows, length = _whole_rows(self._file.read(), self._path)
        self._is_empty = not rows
        self._file.truncate(length)  # a last row that was not written to its end
        if not length:
            self._file.write(manifest_lines([], header=True).encode())
            self._file.flush()
        self.rows = rows_by_source(merge_manifests([*parts, rows]))
        if self._shard.is_whole:
            self._merged = [*journals, *(path for path in manifests if path.name != MANIFEST_FILE)]


_JOURNAL = ".journal"
_TABLE = re.compile(rf"{Path(MANIFEST_FILE).stem}(?:-(\d+)-of-(\d+))?(?:\.csv|\{_JOURNAL})")


def _tables(out: Path) -> list[Path]:
    """The manifests and journals in a folder, the oldest first.

    What a shard wrote is younger than the manifest of the whole, which takes it in.
    """
    found = [path for path in out.iterdir() if _TABLE.fullmatch(path.name)]
    return sorted(found, key=lambda path: (path.suffix == _JOURNAL, len(path.name), path.name))


def _shard_of(table: Path) -> Shard:
    match = _TABLE.fullmatch(table.name)
    return Shard(int(match[1]), int(match[2])) if match and match[1] else WHOLE_ALBUM


def _whole_rows(content: bytes, path: Path) -> tuple[list[FaceRow], int]:
    """The rows of the photographs that are noted to their end, and how many bytes they take.

    Rows have one line each, as no name with a line break in it is taken.
    """
    lines = content.split(b"\n")[:-1]
    rows = parse_manifest(decode_text(b"\n".join(lines), str(path)), str(path)) if lines else []
    photographs: dict[str, list[FaceRow]] = {}
    first = 0
    while first < len(rows):
        after = first + max(1, rows[first].faces)
        if after > len(rows):
            break
        photographs[rows[first].source] = rows[first:after]  # one that was tried again counts
        first = after
    length = sum(len(line) + 1 for line in lines[: 1 + first])
    return [row for found in photographs.values() for row in found], length
