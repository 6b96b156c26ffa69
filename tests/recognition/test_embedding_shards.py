"""Shards of collections: read as they were written, a shard at a time, or refused by their name."""

from __future__ import annotations

import dataclasses
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from made_up_collections import ALIGNMENT, write_collection

from facenet_lib.errors import FacenetError
from facenet_lib.files import write_arrays
from facenet_lib.recognition.approximate import build_index
from facenet_lib.recognition.embedding_shards import (
    COLLECTION_FILE,
    CollectionSettings,
    EmbeddingShards,
    open_shards,
    shard_paths,
)
from facenet_lib.recognition.fingerprint import Fingerprint
from facenet_lib.recognition.search import nearest_rows

pytest.importorskip("pyarrow", reason="the extra cluster is not installed")

WIDTH, ROWS, PER_SHARD = 16, 205, 40


def random_rows(count: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, WIDTH))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards") / "one"
    write_collection(folder, random_rows(ROWS), [f"{n}.jpg" for n in range(ROWS)])
    return folder


def test_settings_are_read_as_they_were_written(written: Path) -> None:
    settings = CollectionSettings.load(written)
    assert (settings.alignment, settings.photographs) == (ALIGNMENT, ROWS)
    assert settings.fingerprint.model == "made up"
    settings.check_same(CollectionSettings.load(written), written)
    names = [paths.embeddings.name for paths in shard_paths(written, settings)]
    assert names == [f"0000{number}-of-00006.parquet" for number in range(1, 7)]
    many = dataclasses.replace(settings, photographs=123_456, photographs_per_shard=1)
    numbers = [paths.left_out.name for paths in shard_paths(written, many)]
    assert numbers == sorted(numbers)
    assert numbers[0] == "000001-of-123456.parquet"


def test_one_shard_after_the_other_is_read(written: Path) -> None:
    shards = open_shards(written)
    assert shards.shape == (ROWS, WIDTH)
    blocks = list(shards)
    assert [len(block) for block in blocks] == [40] * 5 + [5]
    assert blocks[0].dtype == np.float32
    np.testing.assert_array_equal(np.concatenate(blocks), random_rows(ROWS))


def test_faces_are_found_by_their_rows(written: Path) -> None:
    shards, wanted = open_shards(written), np.array([204, 3, 40, 39, 3, 120])
    found = shards.faces(wanted)
    assert found.paths.tolist() == [f"{row}.jpg" for row in wanted]
    np.testing.assert_array_equal(found.embeddings, random_rows(ROWS)[wanted])
    assert found.boxes.tolist() == [[row, row, row + 90, row + 90] for row in wanted.tolist()]
    assert (found.landmarks.shape, found.landmarks.dtype) == ((6, 5, 2), np.float32)
    assert found.scores.tolist() == wanted.tolist()
    assert shards.faces().paths.tolist() == [f"{row}.jpg" for row in range(ROWS)]
    assert shards.faces(np.empty(0, int)).embeddings.shape == (0, WIDTH)
    for rows in ([-1], [ROWS]):
        with pytest.raises(FacenetError, match=r"rows: expected 0 to 204, found "):
            shards.faces(rows)
    with pytest.raises(FacenetError, match="rows: expected integers"):
        shards.faces([0.5])


def test_several_collections_are_one(written: Path, tmp_path: Path) -> None:
    write_collection(tmp_path / "two", random_rows(50, seed=1), [f"new{n}.jpg" for n in range(50)])
    both = open_shards(written, tmp_path / "two")
    assert both.shape == (ROWS + 50, WIDTH)
    assert both.faces([ROWS + 7, 7]).paths.tolist() == ["new7.jpg", "7.jpg"]
    one_alone = [len(list(open_shards(folder))) for folder in (written, tmp_path / "two")]
    assert len(list(both)) == sum(one_alone)


@pytest.mark.parametrize("kind", ["exact_half", "hnsw"])
def test_an_index_of_shards_is_that_of_their_rows(written: Path, kind: str) -> None:
    shards, rows, queries = open_shards(written), random_rows(ROWS), random_rows(9, seed=2)
    streamed, whole = (build_index(each, kind, 0.5, ef=300) for each in (shards, rows))
    assert (streamed.recall, streamed.held_out) == (whole.recall, whole.held_out)
    for one, other in zip(streamed.search(queries, 5), whole.search(queries, 5), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(streamed.search(queries, 1)[0], nearest_rows(queries, rows, 1)[0])


def test_an_index_takes_shards_without_a_face_and_reads_one_at_a_time(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards, given = open_shards(written), []

    def blocks(self: EmbeddingShards) -> Iterator[np.ndarray]:
        for first in range(0, ROWS, 25):
            yield np.empty((0, WIDTH), np.float32)
            block = random_rows(ROWS)[first : first + 25].copy()
            given.append(weakref.ref(block))
            yield block
            assert sum(reference() is not None for reference in given) <= 2

    monkeypatch.setattr(EmbeddingShards, "__iter__", blocks)
    assert build_index(shards, "exact_half", 0.5).search(random_rows(ROWS)[60:61], 1)[0] == 60
    assert len(given) == 2 * 9  # read twice: to build, and to measure


def test_another_model_or_crop_is_refused(written: Path, tmp_path: Path) -> None:
    rows, names = random_rows(3), ["a.jpg", "b.jpg", "c.jpg"]
    other = Fingerprint("another", np.eye(4, WIDTH, dtype=np.float32)[::-1])
    write_collection(tmp_path / "model", rows, names, fingerprint=other)
    with pytest.raises(FacenetError, match="embeddings of the model made up, found those of anot"):
        open_shards(written, tmp_path / "model")
    crop = dataclasses.replace(ALIGNMENT, margin=0.5)
    write_collection(tmp_path / "crop", rows, names, alignment=crop)
    with pytest.raises(FacenetError, match=r"crop: margin: expected 0\.0, found 0\.5"):
        open_shards(written, tmp_path / "crop")


def test_what_is_no_collection_is_told(written: Path, tmp_path: Path) -> None:
    with pytest.raises(FacenetError, match="expected a collection that 'facenet embed-collection'"):
        open_shards(tmp_path)
    with pytest.raises(FacenetError, match="expected at least one folder, found none"):
        open_shards()
    write_arrays(tmp_path / COLLECTION_FILE, {"fingerprint": np.eye(4)}, {"model": "m"})
    with pytest.raises(FacenetError, match=r"collection\.npz: expected a collection .*'alignment'"):
        open_shards(tmp_path)


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A collection of one shard, to be damaged."""
    write_collection(tmp_path / "one", random_rows(40), [f"{n}.jpg" for n in range(40)])
    (path,) = (tmp_path / "one" / "embeddings").iterdir()
    return path


def test_a_shard_that_is_missing_is_named(damaged: Path) -> None:
    damaged.unlink()
    with pytest.raises(FacenetError, match=r"not yet done: expected the shards: 00001-of-00001\."):
        open_shards(damaged.parents[1])


def test_a_shard_cut_short_is_named(damaged: Path) -> None:
    damaged.write_bytes(damaged.read_bytes()[:-9])
    with pytest.raises(FacenetError, match=r"00001-of-00001\.parquet: expected a shard of a coll"):
        open_shards(damaged.parents[1])


def test_a_changed_byte_of_an_embedding_is_told(damaged: Path) -> None:
    content, row = damaged.read_bytes(), random_rows(40)[7].tobytes()
    at = content.find(row[:4])
    assert at > 0  # numbers are stored as they are
    damaged.write_bytes(content[:at] + b"\x00" + content[at + 1 :])
    with pytest.raises(FacenetError, match=r"parquet: expected a shard .*found a damaged file"):
        list(open_shards(damaged.parents[1]))


def test_a_table_of_something_else_is_told(damaged: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"source": ["a.jpg"]}), damaged)
    with pytest.raises(FacenetError, match=r"found a damaged file or another: .*embedding"):
        open_shards(damaged.parents[1])
    pq.write_table(pa.table({"embedding": [[0.0] * 3]}), damaged)
    with pytest.raises(FacenetError, match="expected embeddings of 16 numbers, found others"):
        open_shards(damaged.parents[1])


def test_without_pyarrow_the_extra_is_named(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(FacenetError, match=r"reading a collection needs .*facenet-lib\[cluster\]"):
        open_shards(written)
