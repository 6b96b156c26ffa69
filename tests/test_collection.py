"""Collections embedded shard by shard: equal to align and embed, whoever does them, and told."""

from __future__ import annotations

import contextlib
import csv
import functools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_detectors import RectangleDetector, contents, draw_rectangles, save
from made_up_embedders import ColourEmbedder
from watched_detectors import WatchedDetector, make_detector_of_a_version, processes, seen

from facenet_lib import collection
from facenet_lib.alignment.folders import align_photographs
from facenet_lib.alignment.manifest import FaceRow, read_manifest
from facenet_lib.collection import Collection, embed_collection
from facenet_lib.errors import FacenetError
from facenet_lib.recognition.embedding_shards import open_shards

pq = pytest.importorskip("pyarrow.parquet", reason="the extra cluster is not installed")

TESTS = Path(__file__).parent
SIZE, PER_SHARD = 32, 4
FIRST_WIDTH = 110  # a photograph is known by its width


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seventeen photographs: some show nobody, some two people, two are damaged."""
    root = tmp_path_factory.mktemp("collection") / "album"
    for number in range(15):
        faces = [(40, 30, 70, 66), (2, 4, 42, 48)][: number % 3]
        image = draw_rectangles(FIRST_WIDTH + number, 100, *faces, seed=number)
        save(root / f"P{number % 4}" / f"{number:02}.png", image)
    (root / "P1" / "cut.jpg").write_bytes(b"\xff\xd8\xff cut")
    (root / "P3" / "empty.jpg").touch()
    (root / "notes.txt").write_text("mine")
    return root


def embed(photographs: Path, out: Path, **changes: Any) -> Collection:
    arguments = {
        "model": "colours",
        "make_embedder": ColourEmbedder,
        "make_detector": RectangleDetector,
        "size": SIZE,
        "photographs_per_shard": PER_SHARD,
        "workers": 2,
        "progress": False,
    }
    return embed_collection(photographs, out, **{**arguments, **changes})


@contextlib.contextmanager
def without_ray() -> Iterator[None]:
    """Shards are done one after the other, in this process."""

    def compute(job, missing, workers):
        for paths, sources in missing.items():
            collection._embed_shard(job, paths, sources)
            yield paths

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setitem(sys.modules, "ray", object())
        monkeypatch.setattr(collection, "_compute", compute)
        yield


@pytest.fixture
def in_this_process() -> Iterator[None]:
    with without_ray():
        yield


@pytest.fixture(scope="module")
def embedded(album: Path) -> Path:
    with without_ray():
        embed(album, album.parent / "embedded")
    return album.parent / "embedded"


def check_equal_to_align_and_embed(photographs: Path, out: Path, tmp_path: Path, rule: str) -> None:
    """Every row of ``faces.csv`` is in one of the two tables, every crop's embedding beside it."""
    done = align_photographs(
        photographs, tmp_path / "faces", RectangleDetector, size=SIZE, rule=rule, progress=False
    )
    manifest = read_manifest(done.manifest)
    shards = open_shards(out)
    crops = [row for row in manifest if row.crop]
    embedded = [row for path in shards.files for row in pq.read_table(path).to_pylist()]
    left_out = [
        row
        for path in sorted((out / "left_out").glob("*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]
    assert [cells(row) for row in crops] == [
        {"status": "aligned", "reason": ""}
        | {name: row[name] for name in row if name != "embedding"}
        for row in embedded
    ]
    assert [cells(row) for row in manifest if not row.crop] == left_out
    expected = ColourEmbedder().embed([done.out / row.crop for row in crops])
    np.testing.assert_array_equal(np.concatenate(list(shards)), expected)
    assert {row.settings for row in manifest} == {shards.alignment}


def cells(row: FaceRow) -> dict[str, Any]:
    found = {"source": row.source, "source_bytes": row.source_bytes, "status": row.status}
    found |= {"reason": row.reason, "faces": row.faces, "score": row.score}
    box = row.box or [None] * 4
    found |= dict(zip(("left", "top", "right", "bottom"), box, strict=True))
    points = np.full((5, 2), None) if row.landmarks is None else np.array(row.landmarks)
    for name, point in zip(
        ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth"), points, strict=True
    ):
        found |= {f"{name}_x": point[0], f"{name}_y": point[1]}
    return found


# Without Ray


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("rule", ["centre", "all", "one"])
def test_the_tables_are_those_of_align_and_embed(album: Path, tmp_path: Path, rule: str) -> None:
    done = embed(album, tmp_path / "out", rule=rule)
    embeddings = {"centre": 10, "all": 15, "one": 5}[rule]
    assert done == Collection(tmp_path / "out", 17, 0, embeddings, 5, 2, ("notes.txt",))
    check_equal_to_align_and_embed(album, tmp_path / "out", tmp_path, rule)


def test_damaged_files_are_told_in_the_words_of_align(
    album: Path, embedded: Path, tmp_path: Path
) -> None:
    aligned = align_photographs(album, tmp_path / "faces", RectangleDetector, progress=False)
    words = {r.source: r.reason for r in read_manifest(aligned.manifest) if r.status == "unusable"}
    with (embedded / "unusable.csv").open(newline="") as file:
        told = {row["source"]: row["reason"] for row in csv.DictReader(file)}
    assert told == words
    assert list(told) == ["P1/cut.jpg", "P3/empty.jpg"]


@pytest.mark.usefixtures("in_this_process")
def test_a_second_call_does_what_is_missing_and_nothing_else(album: Path, tmp_path: Path) -> None:
    log, out = tmp_path / "log", tmp_path / "out"
    watched = functools.partial(WatchedDetector, log=log)
    whole = embed(album, out, make_detector=watched)
    assert set(seen(log).values()) == {1}
    before = contents(out)
    lost = sorted((out / "embeddings").iterdir())[1]
    lost.rename(lost.with_suffix(".parquet.part"))  # as a kill leaves it
    log.unlink()
    again = embed(album, out, make_detector=watched)
    assert seen(log) == dict.fromkeys(FIRST_WIDTH + np.array([1, 5, 9, 13]), 1)  # the second four
    assert (again.done_before, again.embeddings) == (13, whole.embeddings)
    assert contents(out) == before
    assert embed(album, out, make_detector=watched).done_before == 17
    assert sum(seen(log).values()) == 4


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 33}, "size: expected 33, found 32"),
        ({"rule": "all"}, "rule: expected 'all', found 'centre'"),
        ({"margin": 5}, "margin: expected 5.0, found 32.0"),
        ({"detection": "other"}, "detection: expected 'other', found ''"),
        (
            {"make_detector": functools.partial(RectangleDetector, version="2")},
            "detector_version: expected '2', found '1'",
        ),
        (
            {"make_embedder": functools.partial(ColourEmbedder, turned=True), "model": "turned"},
            "model: expected embeddings of the model colours, found those of turned",
        ),
        ({"photographs_per_shard": 5}, "photographs_per_shard: expected 5, found 4"),
    ],
)
def test_other_settings_are_told_and_refused(
    album: Path, embedded: Path, changes: dict[str, Any], words: str
) -> None:
    before = contents(embedded)
    with pytest.raises(FacenetError, match="holds a collection made otherwise; name ano") as told:
        embed(album, embedded, **changes)
    assert words in str(told.value)
    assert contents(embedded) == before


@pytest.mark.usefixtures("in_this_process")
def test_other_photographs_are_told_and_refused(tmp_path: Path) -> None:
    album, out = tmp_path / "album", tmp_path / "out"
    save(album / "a.png", draw_rectangles(110, 100, (40, 30, 70, 66)))
    embed(album, out)
    save(album / "a.png", draw_rectangles(111, 100, (40, 30, 70, 66)))
    with pytest.raises(FacenetError, match="names or lengths of files have changed since"):
        embed(album, out)
    save(album / "b.png", draw_rectangles(110, 100))
    with pytest.raises(FacenetError, match="photographs: expected 2, found 1"):
        embed(album, out)


@pytest.mark.usefixtures("in_this_process")
def test_a_machine_with_another_model_or_detector_is_refused(album: Path, tmp_path: Path) -> None:
    """The first call of each is this process, the second a worker."""
    models = iter([ColourEmbedder(), ColourEmbedder(turned=True)])
    with pytest.raises(FacenetError, match=r"found those of colours on .*, which is another one"):
        embed(album, tmp_path / "out", make_embedder=lambda: next(models))
    detectors = iter([RectangleDetector(), RectangleDetector(version="2")])
    with pytest.raises(FacenetError, match=r"the detector on .*: detector_version: expected '1'"):
        embed(album, tmp_path / "out", make_detector=lambda: next(detectors))


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.usefixtures("in_this_process")
def test_progress_is_shown(album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    embed(album, tmp_path / "out", progress=True)
    assert "embedding: 100%" in capsys.readouterr().err
    embed(album, tmp_path / "out")
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("in_this_process")
def test_a_folder_of_something_else_is_refused(album: Path, tmp_path: Path) -> None:
    save(tmp_path / "out" / "mine.png", draw_rectangles(10, 10))
    with pytest.raises(FacenetError, match="already there; name a folder that is new or empty"):
        embed(album, tmp_path / "out")
    with pytest.raises(FacenetError, match="expected a folder outside of"):
        embed(album, album / "out")
    with pytest.raises(FacenetError, match="photographs_per_shard: expected an integer of at leas"):
        embed(album, tmp_path / "out", photographs_per_shard=0)
    with pytest.raises(FacenetError, match="workers: expected an integer of at least 1, found 0"):
        embed(album, tmp_path / "out", workers=0)


@pytest.mark.usefixtures("in_this_process")
def test_a_collection_without_a_face_is_no_error(tmp_path: Path) -> None:
    save(tmp_path / "album" / "a.png", draw_rectangles(110, 100))
    done = embed(tmp_path / "album", tmp_path / "out")
    assert (done.embeddings, done.without_face) == (0, 1)
    assert open_shards(tmp_path / "out").shape == (0, 48)


@pytest.mark.parametrize("package", ["ray", "pyarrow"])
def test_without_the_extra_it_is_named(
    album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(FacenetError, match=r"needs the package .*facenet-lib\[cluster\]"):
        embed(album, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# With Ray


@pytest.fixture
def ray_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's processes find these tests' detectors."""
    pytest.importorskip("ray", reason="the extra cluster is not installed")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), *sys.path]))


@pytest.mark.slow
@pytest.mark.usefixtures("ray_paths")
def test_a_killed_process_costs_its_shard_alone(
    album: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('what lies in the current folder')")
    monkeypatch.chdir(tmp_path)
    log, deadly = tmp_path / "log", FIRST_WIDTH + 5
    kills = functools.partial(WatchedDetector, log=log, deadly=deadly, deaths=1, seconds=0.05)
    embed(album, Path("out"), make_detector=kills)
    check_equal_to_align_and_embed(album, tmp_path / "out", tmp_path, "centre")
    assert len(processes(log)) >= 2  # one of which was killed
    again = {width for width, times in seen(log).items() if times > 1}
    assert deadly in again
    assert len(again) <= PER_SHARD
    assert len(seen(log)) == 15
    said = capsys.readouterr()
    assert said.out == ""
    assert "A worker died or was killed" in said.err


def test_a_cluster_that_cannot_be_joined_is_told(
    ray_paths: None, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**options: object) -> None:
        raise ConnectionError("at 192.0.2.1") from RuntimeError("no token")

    monkeypatch.setattr("ray.init", refuse)
    with pytest.raises(FacenetError, match=r"a Ray cluster to join: at 192\.0\.2\.1; no token$"):
        embed(album, tmp_path / "out", workers=None)


@pytest.fixture
def ray_of_the_caller(ray_paths: None) -> Iterator[Any]:
    ray = pytest.importorskip("ray")
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()
    monkeypatch.undo()


@pytest.mark.slow
def test_what_cannot_be_done_is_told_and_the_rest_is_kept(
    ray_of_the_caller: Any, album: Path, tmp_path: Path
) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    kills = functools.partial(WatchedDetector, log=log, deadly=FIRST_WIDTH + 5, deaths=99)
    with pytest.raises(FacenetError, match=r"too early, again and again: 00002-of-00005.parquet"):
        embed(album, out, make_detector=kills)
    assert seen(log)[FIRST_WIDTH + 5] == 4
    with pytest.raises(FacenetError, match=r"not yet done: expected .*: 00002-of-00005"):
        open_shards(out)
    # The same processes then work for another call, with other tools.
    assert embed(album, out).done_before == 13
    assert ray_of_the_caller.is_initialized()
    turned = functools.partial(ColourEmbedder, turned=True)
    embed(album, tmp_path / "turned", make_embedder=turned, model="turned")
    one, other = (np.concatenate(list(open_shards(tmp_path / name))) for name in ("out", "turned"))
    np.testing.assert_array_equal(one[:, ::-1], other)
    # An error of a process is the caller's.
    fails = functools.partial(WatchedDetector, log=tmp_path / "nowhere" / "log")
    with pytest.raises(FileNotFoundError):
        embed(album, tmp_path / "failed", make_detector=fails)
    differs = functools.partial(make_detector_of_a_version, os.getpid())
    with pytest.raises(
        FacenetError, match=r"^the detector on .*: detector_version: expected '1', "
    ):
        embed(album, tmp_path / "differing", make_detector=differs)
