"""Photographs to faces to embeddings, by as many machines as there are, into Parquet shards.

One shard is a thousand photographs or so, and the work of one process: it has
:func:`facenet_lib.alignment.align_photographs` cut the faces out into a folder of its own and the
model embed them, so that the results are those of ``facenet align`` and ``facenet embed``. Ray
hands the shards out and has another process do what a killed one began. Derived in the appendix.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import os
import platform
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from facenet_lib.alignment.crops import DEFAULT_MARGINS
from facenet_lib.alignment.faces import Box, FaceDetector
from facenet_lib.alignment.folders import (
    MakeDetector,
    align_photographs,
    check_apart,
    check_arguments,
)
from facenet_lib.alignment.manifest import (
    COLUMNS,
    LANDMARK_COLUMNS,
    NO_FACE,
    UNUSABLE,
    AlignmentSettings,
    read_manifest,
    setting_problems,
)
from facenet_lib.alignment.photographs import PhotographFolder, find_photographs
from facenet_lib.checks import check_integer
from facenet_lib.embedding import Embedder
from facenet_lib.errors import FacenetError, explain_missing, refuse
from facenet_lib.files import (
    check_new_folder,
    explain_write_errors,
    lock_folder,
    open_whole_file,
)
from facenet_lib.processes import use_one_thread
from facenet_lib.recognition.embedding_shards import (
    COLLECTION_FILE,
    UNUSABLE_FILE,
    CollectionSettings,
    ShardPaths,
    shard_paths,
    write_shard,
)
from facenet_lib.recognition.fingerprint import take_fingerprint

MakeEmbedder = Callable[[], Embedder]


@dataclass(frozen=True)
class Collection:
    """What a collection's folder holds when all is done.

    Attributes:
        out: the folder, for :func:`facenet_lib.recognition.open_shards`.
        photographs: how many there are.
        done_before: those of them that an earlier call had done.
        embeddings: faces that were embedded.
        without_face: photographs in which no face was found.
        unusable: photographs that could not be read; ``unusable.csv`` has the reasons.
        left_out: files among the photographs that are none.
    """

    out: Path
    photographs: int
    done_before: int
    embeddings: int
    without_face: int
    unusable: int
    left_out: tuple[str, ...]


def embed_collection(
    photographs: str | os.PathLike[str],
    out: str | os.PathLike[str],
    model: str,
    make_embedder: MakeEmbedder,
    make_detector: MakeDetector,
    *,
    rule: str = "centre",
    crop: str = "reference",
    size: int = 160,
    margin: float | None = None,
    detection: str = "",
    photographs_per_shard: int = 1000,
    workers: int | None = None,
    progress: bool = True,
) -> Collection:
    """Find, choose, cut out and embed the faces of all photographs in a folder.

    The faces are those of :func:`~facenet_lib.alignment.align_photographs`, their rows are in the
    order of the photographs' names, and no crop is kept. A shard is written whole or not at all;
    an interrupted call can be given again and does those that are missing. What decides what the
    shards hold is written first, and a call that would mix others in is refused.

    Where Ray runs on several machines, each needs this library, and the photographs, the output
    folder and the model under the same paths.

    Args:
        photographs: the folder.
        out: the folder to write; :func:`facenet_lib.recognition.open_shards` reads it.
        model: what the model is called in errors and in the folder: its folder or address.
        make_embedder: loads the model; called here and in every process.
        make_detector: makes what finds faces; likewise.
        rule: see :func:`~facenet_lib.alignment.choose_face`.
        crop: see :func:`~facenet_lib.alignment.crop_face`.
        size: side of the crops, pixels.
        margin: of the crops; None: the crop's usual one.
        detection: how else the detector was set, in words.
        photographs_per_shard: what a killed process loses at most.
        workers: processes on this machine; None: as many as the cores of the Ray cluster that
            this machine belongs to or ``RAY_ADDRESS`` names, and without one, of this machine.
        progress: show a bar on standard error.

    Returns:
        What there is now.

    Raises:
        FacenetError: if an argument is unusable, there is no photograph, the folder holds a
            collection made otherwise or something else, or cannot be written; when a shard could
            not be done, as its process ended again and again: the others are kept; and without
            Ray or pyarrow.

    >>> embed_collection("nowhere", "out", "m", make_embedder=list, make_detector=list)
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: nowhere: expected a folder of photographs, found no such folder
    """
    check_arguments(rule, crop, size, margin, (1, 1), workers)
    check_integer("photographs_per_shard", photographs_per_shard, at_least=1)
    folder, out = find_photographs(photographs), Path(out).absolute()
    check_apart(folder.root, out)
    with explain_missing("embedding a collection", "cluster"):
        import pyarrow  # noqa: F401
        import ray  # noqa: F401
    detector = make_detector()
    margin = DEFAULT_MARGINS[crop] if margin is None else float(margin)
    with contextlib.closing(make_embedder()) as embedder:
        settings = CollectionSettings(
            take_fingerprint(embedder, model),
            AlignmentSettings(rule, crop, size, margin, detector.name, detector.version, detection),
            len(folder.photographs),
            _sum_of(folder),
            photographs_per_shard,
        )
    with explain_write_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    with lock_folder(out, wait=False):
        _begin(out, settings)
        job = _Job(folder.root.absolute(), settings, make_embedder, make_detector)
        shards = shard_paths(out, settings)
        starts = range(0, settings.photographs, photographs_per_shard)
        missing = {
            paths: folder.photographs[start : start + photographs_per_shard]
            for paths, start in zip(shards, starts, strict=True)
            if not paths.embeddings.is_file()
        }
        done_before = settings.photographs - sum(map(len, missing.values()))
        with tqdm(
            total=settings.photographs,
            initial=done_before,
            unit="photo",
            desc="embedding",
            disable=not progress,
        ) as bar:
            for paths in _compute(job, missing, workers):
                bar.update(len(missing[paths]))
        return _summary(out, settings, shards, done_before, folder.left_out)


def _begin(out: Path, settings: CollectionSettings) -> None:
    """Write what all shards have in common, or make sure that it is what was written."""
    if (out / COLLECTION_FILE).exists():
        CollectionSettings.load(out).check_same(settings, out)
        return
    check_new_folder(out)
    settings.save(out)


def _sum_of(folder: PhotographFolder) -> str:
    """SHA-256 of the photographs' names and the lengths of their files."""
    whole = hashlib.sha256()
    for source in folder.photographs:
        try:
            length = (folder.root / source).stat().st_size
        except OSError:  # which is told when it is read
            length = 0
        whole.update(f"{source}\0{length}\n".encode())
    return whole.hexdigest()


def _summary(
    out: Path,
    settings: CollectionSettings,
    shards: Sequence[ShardPaths],
    done_before: int,
    left_out: tuple[str, ...],
) -> Collection:
    """Write the table of the unusable photographs, and count."""
    import pyarrow.csv
    import pyarrow.dataset

    faces = pyarrow.dataset.dataset([str(paths.embeddings) for paths in shards])
    others = pyarrow.dataset.dataset([str(paths.left_out) for paths in shards])
    status = pyarrow.dataset.field("status")
    unusable = others.to_table(["source", "source_bytes", "reason"], filter=status == UNUSABLE)
    with open_whole_file(out / UNUSABLE_FILE) as file:
        pyarrow.csv.write_csv(unusable, file)
    return Collection(
        out=out,
        photographs=settings.photographs,
        done_before=done_before,
        embeddings=faces.count_rows(),
        without_face=others.count_rows(filter=status == NO_FACE),
        unusable=unusable.num_rows,
        left_out=left_out,
    )


# --------------------------------------------------------------------------------------------
# A shard
# --------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Job:
    """What is the same for all shards.

    Attributes:
        root: the folder of the photographs.
        settings: how they are done.
        make_embedder: loads the model.
        make_detector: makes what finds faces.
        key: another one for each call.
    """

    root: Path
    settings: CollectionSettings
    make_embedder: MakeEmbedder
    make_detector: MakeDetector
    key: str = field(default_factory=lambda: uuid.uuid4().hex)


_TOOLS: dict[str, tuple[Embedder, FaceDetector]] = {}
"""What a process has loaded, under the key of the job that it works for."""


def _tools(job: _Job) -> tuple[Embedder, FaceDetector]:
    """Load the model and the detector, once in a process, and make sure that they are the job's."""
    if job.key not in _TOOLS:
        _TOOLS.clear()
        use_one_thread()
        embedder, known = job.make_embedder(), job.settings.fingerprint
        known.check_same(take_fingerprint(embedder, f"{known.model} on {platform.node()}"))
        _TOOLS[job.key] = embedder, job.make_detector()
    return _TOOLS[job.key]


def _embed_shard(job: _Job, paths: ShardPaths, sources: tuple[str, ...]) -> None:
    """Cut out and embed the faces of some photographs, and write their shard."""
    embedder, detector = _tools(job)
    wanted = job.settings.alignment
    with tempfile.TemporaryDirectory() as scratch:
        done = align_photographs(
            PhotographFolder(job.root, sources, ()),
            Path(scratch) / "faces",
            lambda: detector,
            rule=wanted.rule,
            crop=wanted.crop_kind,
            size=wanted.size,
            margin=wanted.margin,
            detection=wanted.detection,
            workers=1,
            progress=False,
        )
        rows = read_manifest(done.manifest)
        found = rows[0].settings
        refuse(f"the detector on {platform.node()}", setting_problems(found, wanted))
        embeddings = embedder.embed([done.out / row.crop for row in rows if row.crop])
        write_shard(paths, _faces_table(done.manifest), embeddings)


_TEXTS, _INTEGERS = ("source", "status", "reason"), ("source_bytes", "faces")
_NUMBERS = (*Box._fields, *LANDMARK_COLUMNS, "score")


def _faces_table(manifest: Path) -> Any:
    """Read the columns of a manifest that differ from row to row, but for the crops' places."""
    import pyarrow as pa
    import pyarrow.csv

    kinds = dict.fromkeys(_TEXTS, pa.string())
    kinds |= dict.fromkeys(_INTEGERS, pa.int64()) | dict.fromkeys(_NUMBERS, pa.float64())
    columns = [name for name in COLUMNS if name in kinds]
    options = pyarrow.csv.ConvertOptions(column_types=kinds, include_columns=columns)
    return pyarrow.csv.read_csv(manifest, convert_options=options)


# --------------------------------------------------------------------------------------------
# Ray
# --------------------------------------------------------------------------------------------


def _compute(
    job: _Job, missing: Mapping[ShardPaths, tuple[str, ...]], workers: int | None
) -> Iterator[ShardPaths]:
    """Have shards done by all processes that Ray has, and yield each once it is there.

    Ray tries a shard four times whose process ends, was it killed or its machine lost.
    """
    if not missing:
        return
    import ray

    failed: list[str] = []
    waiting = iter(missing.items())
    running: dict[Any, ShardPaths] = {}
    with _running_ray(workers), contextlib.ExitStack() as at_the_end:
        embed_shard, shared_job = ray.remote(_embed_shard), ray.put(job)
        at_the_end.callback(lambda: [ray.cancel(shard, force=True) for shard in running])
        while True:
            # Twice as many as there are cores, of which there may be more in the meantime.
            cores = int(ray.cluster_resources().get("CPU", 0))
            room = 2 * max(cores, 1) - len(running)
            for paths, sources in itertools.islice(waiting, max(room, 0)):
                running[embed_shard.remote(shared_job, paths, sources)] = paths
            if not running:
                break
            (ended,), _ = ray.wait(list(running))
            paths = running.pop(ended)
            try:
                ray.get(ended)
            except ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, FacenetError):
                    raise error.cause from None
                raise
            except ray.exceptions.RayError as error:
                failed.append(f"{paths.embeddings.name}: {' '.join(str(error).split())}")
            else:
                yield paths
    refuse("shards whose process ended too early, again and again", failed)


@contextlib.contextmanager
def _running_ray(workers: int | None) -> Iterator[None]:
    """Start Ray, or join the cluster that there is; one that the caller has joined is used."""
    import ray

    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would tell its makers of the run
    # Ray puts the current folder on the path of its processes, where what lies there by chance
    # would be loaded in place of ours; the library's own may be there.
    with contextlib.chdir(Path(__file__).parents[1]):
        try:
            ray.init(
                address=None if workers is None else "local",
                num_cpus=workers,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except ConnectionError as error:
            reason = f"{error}; {error.__cause__}"
            raise FacenetError(f"expected a Ray cluster to join: {reason}") from error
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where Ray tells of processes that died
            yield
    finally:
        ray.shutdown()
