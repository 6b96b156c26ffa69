"""Embeddings of a collection of photographs on disk: Parquet shards, read one after the other.

A folder of them holds ``embeddings/``, a row for each face that was embedded; ``left_out/``, a row
for every other face, and for every photograph without; ``unusable.csv``, the photographs that
could not be read; and ``collection.npz``, what all rows have in common. A shard is written whole
or not at all, and is done once its file is in ``embeddings/``. Any program that reads Parquet
reads them; see :func:`facenet_lib.collection.embed_collection`. Derived in chapter 12.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facenet_lib.alignment.faces import Box
from facenet_lib.alignment.manifest import (
    ALIGNED,
    LANDMARK_COLUMNS,
    AlignmentSettings,
    setting_problems,
)
from facenet_lib.checks import check_array
from facenet_lib.embedding import PhotographFaces
from facenet_lib.errors import FacenetError, explain_missing, refuse
from facenet_lib.files import explain_write_errors, open_whole_file, read_arrays, write_arrays
from facenet_lib.recognition.fingerprint import Fingerprint

COLLECTION_FILE = "collection.npz"
UNUSABLE_FILE = "unusable.csv"
_A_COLLECTION = "a collection that 'facenet embed-collection' wrote"


@dataclass(frozen=True, eq=False)
class CollectionSettings:
    """What all shards of a folder have in common, and what decides what they hold.

    Attributes:
        fingerprint: of the model.
        alignment: how faces were found, chosen and cut out.
        photographs: how many there are.
        listing: SHA-256 of their names and the lengths of their files, in hexadecimal digits.
        photographs_per_shard: of all shards but the last.
    """

    fingerprint: Fingerprint
    alignment: AlignmentSettings
    photographs: int
    listing: str
    photographs_per_shard: int

    @property
    def shards(self) -> int:
        """How many shards there are when all is done."""
        return -(-self.photographs // self.photographs_per_shard)

    def save(self, folder: Path) -> None:
        """Write them, whole or not at all."""
        state = {
            "model": self.fingerprint.model,
            "alignment": asdict(self.alignment),
            "photographs": self.photographs,
            "listing": self.listing,
            "photographs_per_shard": self.photographs_per_shard,
        }
        arrays = {"fingerprint": self.fingerprint.embeddings}
        write_arrays(folder / COLLECTION_FILE, arrays, state)

    @classmethod
    def load(cls, folder: Path) -> CollectionSettings:
        """Read them.

        Raises:
            FacenetError: when there are none, or they are damaged or something else.
        """
        path = folder / COLLECTION_FILE
        arrays, state = read_arrays(path, _A_COLLECTION)
        try:
            pictures = check_array("fingerprint", arrays["fingerprint"], "numbers", (4, "n"))
            model, alignment = state.pop("model"), state.pop("alignment")
            fingerprint = Fingerprint(model, pictures.astype(np.float32))
            return cls(fingerprint, AlignmentSettings(**alignment), **state)
        except (FacenetError, KeyError, TypeError) as error:
            raise FacenetError(
                f"{path}: expected {_A_COLLECTION}, found one that is damaged: {error}"
            ) from error

    def check_same(self, now: CollectionSettings, folder: Path) -> None:
        """Refuse to go on in a folder that was begun with other settings than those of now.

        Raises:
            FacenetError: telling all that differs.
        """
        problems = setting_problems(self.alignment, now.alignment)
        try:
            self.fingerprint.check_same(now.fingerprint)
        except FacenetError as error:
            problems.append(f"model: {error}")
        for name in ("photographs", "photographs_per_shard"):
            there, expected = getattr(self, name), getattr(now, name)
            if there != expected:
                problems.append(f"{name}: expected {expected}, found {there}")
        if self.photographs == now.photographs and self.listing != now.listing:
            problems.append("photographs: names or lengths of files have changed since")
        refuse(f"{folder} holds a collection made otherwise; name another folder", problems)


@dataclass(frozen=True)
class ShardPaths:
    """Where a shard lies.

    Attributes:
        embeddings: its table of embedded faces; the shard is done once it is there.
        left_out: its table of all others.
    """

    embeddings: Path
    left_out: Path


def shard_paths(folder: Path, settings: CollectionSettings) -> list[ShardPaths]:
    """Return where each shard of a collection lies, whether it is there or not."""
    count = settings.shards
    digits = max(5, len(str(count)))
    names = [f"{number + 1:0{digits}d}-of-{count:0{digits}d}.parquet" for number in range(count)]
    return [ShardPaths(folder / "embeddings" / name, folder / "left_out" / name) for name in names]


def write_shard(paths: ShardPaths, faces: Any, embeddings: NDArray[np.float32]) -> None:
    """Write a shard, and what is left out of it first.

    Args:
        paths: where.
        faces: a pyarrow table with the columns ``status`` and ``reason``, among others.
        embeddings: float32 (n, embedding_size), of the n faces whose status is "aligned".

    Raises:
        FacenetError: when it cannot be written.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    is_aligned = pc.equal(faces["status"], ALIGNED)
    _write_table(paths.left_out, faces.filter(pc.invert(is_aligned)))
    numbers = pa.array(embeddings.reshape(-1), pa.float32())
    column = pa.FixedSizeListArray.from_arrays(numbers, embeddings.shape[1])
    embedded = faces.filter(is_aligned).drop_columns(["status", "reason"])
    _write_table(paths.embeddings, embedded.append_column("embedding", column))


@dataclass(frozen=True, eq=False)
class EmbeddingShards:
    """The n embeddings of one or several collections, one shard of which is in memory at a time.

    Iterating gives float32 (rows, embedding_size) of one shard after the other.

    Attributes:
        fingerprint: of the model that made them.
        alignment: how the faces were found, chosen and cut out.
        files: of the shards.
        first_rows: int64 (shards + 1,), the number of each one's first row; at the end n.
    """

    fingerprint: Fingerprint
    alignment: AlignmentSettings
    files: tuple[Path, ...]
    first_rows: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of embeddings, and the length of each."""
        return int(self.first_rows[-1]), self.fingerprint.embeddings.shape[1]

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        for path in self.files:
            yield self._embeddings(_read_table(path, ["embedding"]))

    def faces(self, rows: ArrayLike | None = None) -> PhotographFaces:
        """Read faces by the numbers of their rows, as the search of an index gives them.

        Args:
            rows: integers (m,), from 0 to n - 1; None: all.

        Returns:
            The m faces, in the order of ``rows``. Their ``paths`` begin in the folder of
            photographs that was embedded; landmarks that the detector did not give are NaN.

        Raises:
            FacenetError: for other numbers, or a damaged shard.
        """
        import pyarrow as pa

        wanted = np.arange(self.shape[0]) if rows is None else np.asarray(rows)
        check_array("rows", wanted, "integers", ("m",))
        if wanted.size and not (wanted.min() >= 0 and wanted.max() < self.shape[0]):
            found = f"{wanted.min()} to {wanted.max()}"
            raise FacenetError(f"rows: expected 0 to {self.shape[0] - 1}, found {found}")
        shards = np.searchsorted(self.first_rows, wanted, side="right") - 1
        parts = [
            _read_table(self.files[shard]).take(wanted[shards == shard] - self.first_rows[shard])
            for shard in np.unique(shards).tolist() or [0]  # whose columns an empty answer has
        ]
        back = np.argsort(np.argsort(shards, kind="stable"))
        table = pa.concat_tables(parts).take(back)
        return PhotographFaces(
            paths=np.array(table["source"].to_pylist(), np.str_),
            boxes=_numbers(table, Box._fields),
            landmarks=_numbers(table, LANDMARK_COLUMNS).reshape(-1, 5, 2),
            scores=_numbers(table, ["score"])[:, 0],
            embeddings=self._embeddings(table),
            unusable=(),
        )

    def _embeddings(self, table: Any) -> NDArray[np.float32]:
        numbers = table["embedding"].combine_chunks().flatten()
        return numbers.to_numpy().reshape(-1, self.shape[1])


def open_shards(*folders: str | os.PathLike[str]) -> EmbeddingShards:
    """Open the embeddings of collections, which are then read when they are asked for.

    Args:
        folders: what :func:`facenet_lib.collection.embed_collection` wrote, with one model and
            faces cut out in one way; their rows are numbered one folder after the other.

    Raises:
        FacenetError: when one is no such folder, lacks shards, was made with another model or
            other crops, or a shard is damaged at its end; and without pyarrow.

    >>> open_shards("nowhere")
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: nowhere/collection.npz: expected a collection that ...
    """
    known = [(Path(folder), CollectionSettings.load(Path(folder))) for folder in folders]
    if not known:
        raise FacenetError("open_shards: expected at least one folder, found none")
    first = known[0][1]
    files: list[Path] = []
    for folder, settings in known:
        first.fingerprint.check_same(settings.fingerprint)
        refuse(f"{folder}", setting_problems(settings.alignment, first.alignment))
        paths = [paths.embeddings for paths in shard_paths(folder, settings)]
        missing = [path.name for path in paths if not path.is_file()]
        refuse(f"{folder}: not yet done: expected the shards", missing)
        files += paths
    with explain_missing("reading a collection", "cluster"):
        import pyarrow  # noqa: F401
    counts = [_count_rows(path, first.fingerprint.embeddings.shape[1]) for path in files]
    return EmbeddingShards(
        first.fingerprint, first.alignment, tuple(files), np.cumsum([0, *counts], dtype=np.int64)
    )


# --------------------------------------------------------------------------------------------
# A file
# --------------------------------------------------------------------------------------------


def _write_table(path: Path, table: Any) -> None:
    import pyarrow.parquet as pq

    with explain_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with open_whole_file(path) as file:
        # A dictionary makes half as much again of numbers that hardly repeat.
        pq.write_table(table, file, use_dictionary=False, write_page_checksum=True)


def _read_table(path: Path, columns: Sequence[str] | None = None) -> Any:
    import pyarrow.parquet as pq

    with _explained(path):
        file = pq.ParquetFile(path, memory_map=True, page_checksum_verification=True)
        with file:
            return file.read(columns)


def _count_rows(path: Path, width: int) -> int:
    """The number of rows, which stands at the end of the file; also whether they are ours."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _explained(path), pq.ParquetFile(path) as file:
        if file.schema_arrow.field("embedding").type != pa.list_(pa.float32(), width):
            raise FacenetError(f"{path}: expected embeddings of {width} numbers, found others")
        return int(file.metadata.num_rows)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Tell in one line of a damaged file, whatever pyarrow raises for it."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, KeyError) as error:
        reason = " ".join(str(error)[:200].split())
        raise FacenetError(
            f"{path}: expected a shard of {_A_COLLECTION}, found a damaged file or another: "
            f"{reason}"
        ) from error


def _numbers(table: Any, columns: Sequence[str]) -> NDArray[np.float32]:
    """Columns as float32 (rows, columns); what is not there is NaN."""
    return np.stack([table[name].to_numpy() for name in columns], axis=1).astype(np.float32)
