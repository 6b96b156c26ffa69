"""Whole albums: every photograph read, its faces found, chosen and cut out, all of it noted.

Derived in chapter 10.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import PIL.Image
from joblib import cpu_count
from tqdm import tqdm

from facenet_lib.alignment.choosing import RULES, choose_face
from facenet_lib.alignment.crops import CROPS, DEFAULT_MARGINS, MOST_PIXELS_A_SIDE, crop_face
from facenet_lib.alignment.faces import Box, Face, FaceDetector, Image
from facenet_lib.alignment.journal import WHOLE_ALBUM, AlignmentJournal, Shard
from facenet_lib.alignment.manifest import (
    ALIGNED,
    NO_CROP,
    NO_FACE,
    NOT_CHOSEN,
    SEVERAL_FACES,
    UNUSABLE,
    AlignmentSettings,
    FaceRow,
    merge_manifests,
    read_manifest,
    rows_by_source,
    setting_problems,
)
from facenet_lib.alignment.photographs import PhotographFolder, find_photographs, read_photograph
from facenet_lib.checks import integer_problems, number_problems, word_problems
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.files import explain_write_errors, normalize_name, open_whole_file
from facenet_lib.processes import compute_in_processes, use_one_thread

PathLike = str | os.PathLike[str]
MakeDetector = Callable[[], FaceDetector]


@dataclass(frozen=True)
class Alignment:
    """What an output folder holds after an alignment.

    Attributes:
        out: the folder.
        manifest: its table; see :func:`read_manifest`.
        photographs: photographs of this call's part of the album.
        without_face: those of them in which no face was found.
        with_one_face: those with one.
        with_several_faces: those with more.
        unusable: those that could not be read; the manifest has the reasons.
        crops: crops of these photographs.
        done_before: photographs that an earlier call had done.
        left_out: files in the album that are no photographs.
    """

    out: Path
    manifest: Path
    photographs: int
    without_face: int
    with_one_face: int
    with_several_faces: int
    unusable: int
    crops: int
    done_before: int
    left_out: tuple[str, ...]


def align_photographs(
    photographs: PathLike | PhotographFolder,
    out: PathLike,
    make_detector: MakeDetector,
    *,
    rule: str = "centre",
    crop: str = "reference",
    size: int = 160,
    margin: float | None = None,
    detection: str = "",
    shard: tuple[int, int] = (1, 1),
    workers: int | None = None,
    progress: bool = True,
) -> Alignment:
    """Find, choose and cut out the faces of all photographs in a folder.

    The crops lie as the photographs do: ``Ann/1.jpg`` becomes ``Ann/1.png``; by the rule "all"
    ``Ann/1_0.png``, ``Ann/1_1.png`` and so on. Where two photographs differ in their suffix only,
    the second keeps it: ``Ann/1.png.png``. Every face is a row of ``faces.csv``, and so is
    every photograph without one; see :class:`FaceRow`. Lists of LFW, ``pairs.txt`` and the like,
    are copied, so that training and evaluation take the folder as it is.

    A crop is written whole or not at all, and noted once it is there. An interrupted call can be
    given again and goes on; so does one with more photographs. A photograph that could not be
    read, or whose file has another length than before, is tried again.

    Args:
        photographs: the folder: an album, or folders of people; or some photographs of one, in
            which the caller makes sure that ``out`` is no part of what is to be aligned.
        out: the folder to write.
        make_detector: makes what finds faces; called in every process.
        rule: see :func:`choose_face`.
        crop: see :func:`crop_face`.
        size: side of the crops, pixels.
        margin: of the crops, see :func:`crop_face`; None: the crop's usual one.
        detection: how else the detector was set, in words, for the manifest.
        shard: ``(2, 4)`` does the second quarter of the photographs, for one of four machines.
            When all are done, a call for the whole album makes one manifest of theirs.
        workers: processes; None: one per processor, or only this one for few photographs.
        progress: whether to show a progress bar.

    Returns:
        What there is now.

    Raises:
        FacenetError: if an argument is unusable, there is no photograph, the output folder holds
            something else or crops made otherwise, or it cannot be written; what was done until
            then is kept.

    >>> align_photographs("nowhere", "out", make_detector=lambda: None)
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: nowhere: expected a folder of photographs, found no such folder
    """
    part = check_arguments(rule, crop, size, margin, shard, workers)
    if isinstance(photographs, PhotographFolder):
        folder = photographs
    else:
        folder = find_photographs(photographs)
        check_apart(folder.root, Path(out))
    detector = make_detector()
    margin = DEFAULT_MARGINS[crop] if margin is None else float(margin)
    named = (detector.name, detector.version, detection)
    settings = AlignmentSettings(rule, crop, size, margin, *named)

    def compute(tasks: Sequence[_Task]) -> Generator[list[FaceRow], None, None]:
        count = _count_workers(workers, len(tasks))
        if count == 1:
            return (_align(task, detector) for task in tasks)
        prepare = functools.partial(_prepare_process, make_detector)
        return compute_in_processes(_align_in_process, tasks, count, prepare)

    return _align_all(folder, Path(out), settings, part, {}, compute, progress)


def crop_again(
    photographs: PathLike,
    manifest: PathLike,
    out: PathLike,
    *,
    rule: str | None = None,
    crop: str | None = None,
    size: int | None = None,
    margin: float | None = None,
    shard: tuple[int, int] = (1, 1),
    workers: int | None = None,
    progress: bool = True,
) -> Alignment:
    """Make crops of another kind, size, margin or rule from a manifest, without detecting.

    Otherwise as :func:`align_photographs`. Photographs that the manifest does not name are left
    out; one that it names and that is not there, or whose file has another length, is unusable.

    Args:
        photographs: the folder that the manifest's sources lie in.
        manifest: as :func:`align_photographs` wrote it.
        out: the folder to write.
        rule: None: the manifest's.
        crop: None: the manifest's.
        size: None: the manifest's.
        margin: None: the manifest's; of another crop than the manifest's, its usual one.
        shard: as in :func:`align_photographs`.
        workers: likewise.
        progress: likewise.

    Returns:
        What there is now.

    Raises:
        FacenetError: as :func:`align_photographs`, and if the manifest is damaged, empty or made
            with different settings.

    >>> crop_again("photographs", "nowhere.csv", "out")
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: nowhere.csv: cannot be read: No such file or directory
    """
    known = merge_manifests([read_manifest(manifest)])
    if not known:
        raise FacenetError(f"{os.fspath(manifest)}: expected rows, found none")
    before = known[0].settings
    rule, size = rule or before.rule, before.size if size is None else size
    if margin is None and crop in (None, before.crop_kind):
        margin = before.margin
    crop = crop or before.crop_kind
    part = check_arguments(rule, crop, size, margin, shard, workers)
    margin = DEFAULT_MARGINS[crop] if margin is None else float(margin)
    folder = find_photographs(photographs)
    check_apart(folder.root, Path(out))
    rows = _on_disk(rows_by_source(known), folder.photographs)
    unknown = (f"{name} (not in the manifest)" for name in folder.photographs if name not in rows)
    left_out = (*folder.left_out, *unknown)
    folder = replace(folder, photographs=tuple(sorted(rows)), left_out=left_out)
    settings = replace(before, rule=rule, crop_kind=crop, size=size, margin=margin)

    def compute(tasks: Sequence[_Task]) -> Generator[list[FaceRow], None, None]:
        return compute_in_processes(_align, tasks, _count_workers(workers, len(tasks)))

    return _align_all(folder, Path(out), settings, part, rows, compute, progress)


# --------------------------------------------------------------------------------------------
# An album
# --------------------------------------------------------------------------------------------

_LISTS = tuple(
    f"{what}{part}.txt" for what in ("pairs", "people") for part in ("", "DevTrain", "DevTest")
)
_FEWEST_FOR_WORKERS = 150  # photographs for which starting processes takes less than it saves


@dataclass(frozen=True)
class _Task:
    """One photograph, for whichever process is free.

    Attributes:
        root: the album's folder.
        source: the photograph's path from there.
        source_bytes: length of its file.
        out: the output folder.
        stem: path of its crops from there, without a number and ``.png``.
        settings: how it is to be done.
        known: its rows in another manifest, in place of a detector.
    """

    root: Path
    source: str
    source_bytes: int
    out: Path
    stem: str
    settings: AlignmentSettings
    known: tuple[FaceRow, ...] | None


def _align_all(
    folder: PhotographFolder,
    out: Path,
    settings: AlignmentSettings,
    shard: Shard,
    known: Mapping[str, list[FaceRow]],
    compute: Callable[[Sequence[_Task]], Generator[list[FaceRow], None, None]],
    progress: bool,
) -> Alignment:
    """Do what is not yet done of an album, or of a shard of it."""
    with AlignmentJournal(out, shard) as journal:
        journal.rows = _on_disk(journal.rows, folder.photographs)
        for done in itertools.islice(journal.rows.values(), 1):  # all have the same
            problems = setting_problems(done[0].settings, settings)
            refuse(f"{out} holds crops made otherwise; name another folder", problems)
        stems = _name_crops(folder.photographs, journal.rows, settings.rule)
        mine = [source for source in folder.photographs if _is_of_shard(source, shard)]
        tasks = [
            _Task(
                root=folder.root,
                source=source,
                source_bytes=_length(folder.root / source),
                out=out,
                stem=stems[source],
                settings=settings,
                known=tuple(known[source]) if source in known else None,
            )
            for source in mine
        ]
        tasks = [task for task in tasks if not _is_done(task, journal.rows.get(task.source, ()))]
        with (
            tqdm(total=len(tasks), unit="photo", desc="aligning", disable=not progress) as bar,
            contextlib.closing(compute(tasks)) as results,
        ):
            for rows in results:
                _remove_old_crops(out, journal.rows.get(rows[0].source, ()), rows)
                journal.add(rows)
                bar.update()
        manifest = journal.finish(functools.partial(_is_of_shard, shard=shard))
        left_out = tuple(name for name in folder.left_out if name not in _LISTS)
        if shard.is_whole:
            _copy_lists(folder.root, out)
        photographs = [journal.rows[source] for source in mine]
    return _summary(out, manifest, photographs, len(mine) - len(tasks), left_out)


def _summary(
    out: Path,
    manifest: Path,
    photographs: Sequence[Sequence[FaceRow]],
    done_before: int,
    left_out: tuple[str, ...],
) -> Alignment:
    unusable = sum(rows[0].status == UNUSABLE for rows in photographs)
    found = Counter(min(rows[0].faces, 2) for rows in photographs)
    return Alignment(
        out=out,
        manifest=manifest,
        photographs=len(photographs),
        without_face=found[0] - unusable,
        with_one_face=found[1],
        with_several_faces=found[2],
        unusable=unusable,
        crops=sum(bool(row.crop) for rows in photographs for row in rows),
        done_before=done_before,
        left_out=left_out,
    )


def check_arguments(
    rule: str,
    crop: str,
    size: int,
    margin: float | None,
    shard: tuple[int, int],
    workers: int | None,
) -> Shard:
    """Refuse arguments that :func:`align_photographs` cannot use; return the shard."""
    number, count = shard
    problems = [
        *word_problems("rule", rule, RULES),
        *word_problems("crop", crop, CROPS),
        *integer_problems("size", size, 1, MOST_PIXELS_A_SIDE),
        *(() if margin is None else number_problems("margin", margin, "[0, inf)")),
        *integer_problems("number of shards", count, 1),
        *(() if workers is None else integer_problems("workers", workers, 1)),
    ]
    refuse("alignment", problems or integer_problems("shard", number, 1, count))
    return WHOLE_ALBUM if count == 1 else Shard(number, count)


def check_apart(photographs: Path, out: Path) -> None:
    """Refuse to write crops among the photographs, where they would be taken for some."""
    if out.resolve().is_relative_to(photographs.resolve()):
        raise FacenetError(f"{out}: expected a folder outside of {photographs}")


def _count_workers(workers: int | None, tasks: int) -> int:
    if workers is None:
        workers = cpu_count() if tasks >= _FEWEST_FOR_WORKERS else 1
    return max(1, min(workers, tasks))


def _is_of_shard(source: str, shard: Shard) -> bool:
    # Not every n-th of the list, as machines may see lists of different lengths while the album
    # grows; and the same in every Unicode form.
    return zlib.crc32(normalize_name(source).encode()) % shard.count == shard.number - 1


def _on_disk(
    rows: Mapping[str, list[FaceRow]], photographs: Sequence[str]
) -> dict[str, list[FaceRow]]:
    """The rows by the names that photographs have on this disk, in whichever Unicode form."""
    there = set(photographs)
    forms = {normalize_name(name): name for name in photographs}
    found = {}
    for source, of_one in rows.items():
        name = source if source in there else forms.get(normalize_name(source), source)
        if name == source or name not in rows:
            found[name] = [replace(row, source=name) for row in of_one]
    return found


def _name_crops(
    sources: Iterable[str], rows: Mapping[str, Sequence[FaceRow]], rule: str
) -> dict[str, str]:
    """Say where the crops of each photograph go, no two to one place on any system.

    Args:
        sources: the photographs, in order.
        rows: those done, which keep their places.
        rule: by which their faces were chosen.

    Returns:
        source -> path of its crops without a number and ``.png``.
    """
    stems = {source: _stem(row.crop, rule) for source in rows for row in rows[source] if row.crop}
    taken = {normalize_name(stem).casefold() for stem in stems.values()}
    for source in sources:
        if source in stems:
            continue
        numbered = (f"{source}-{number}" for number in itertools.count(2))
        for stem in itertools.chain([str(Path(source).with_suffix("")), source], numbered):
            if normalize_name(stem).casefold() not in taken:
                break
        stems[source] = stem
        taken.add(normalize_name(stem).casefold())
    return stems


def _stem(crop: str, rule: str) -> str:
    stem = crop.removesuffix(_SUFFIX)
    return stem.rpartition("_")[0] if rule == "all" else stem


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # which is told when it is read
        return 0


def _is_done(task: _Task, rows: Sequence[FaceRow]) -> bool:
    return bool(rows) and all(
        row.status != UNUSABLE
        and row.source_bytes == task.source_bytes
        and (not row.crop or (task.out / row.crop).is_file())
        for row in rows
    )


def _remove_old_crops(out: Path, old: Iterable[FaceRow], new: Sequence[FaceRow]) -> None:
    """Remove the crops of a photograph that was done before and has others now."""
    for crop in {row.crop for row in old} - {row.crop for row in new} - {""}:
        with explain_write_errors(out / crop):
            (out / crop).unlink(missing_ok=True)


def _copy_lists(root: Path, out: Path) -> None:
    for name in _LISTS:
        if (root / name).is_file() and not (out / name).exists():
            with open_whole_file(out / name) as file:
                file.write((root / name).read_bytes())


# --------------------------------------------------------------------------------------------
# A photograph
# --------------------------------------------------------------------------------------------

_SUFFIX = ".png"  # without loss, as the reference's
_COMPRESSION = 1  # of 9; the usual 6 takes 10 ms more for a crop that is a tenth smaller
_DETECTORS: list[FaceDetector] = []
"""The detector of a process that others started for its work."""


def _prepare_process(make_detector: MakeDetector) -> None:
    use_one_thread()
    _DETECTORS[:] = [make_detector()]


def _align_in_process(task: _Task) -> list[FaceRow]:
    return _align(task, _DETECTORS[0])


def _align(task: _Task, detector: FaceDetector | None = None) -> list[FaceRow]:
    """Write the crops of a photograph and return its rows."""
    path = task.root / task.source
    try:
        _check_known(task)
        image = read_photograph(path)
        faces = _find_faces(task, image, detector)
    except FacenetError as error:
        return [_row(task, UNUSABLE, str(error).removeprefix(f"{path}: "))]
    if not faces:
        return [_row(task, NO_FACE, "no face was found")]
    try:
        chosen = choose_face(faces, image.shape[:2], task.settings.rule)
    except FacenetError as error:
        return [_row(task, SEVERAL_FACES, str(error), len(faces), face) for face in faces]
    rows: list[FaceRow] = []
    for face in faces:
        if any(face is other for other in chosen):
            number = f"_{len(rows)}" if task.settings.rule == "all" else ""
            rows.append(_cut_out(task, image, face, len(faces), f"{task.stem}{number}{_SUFFIX}"))
        else:
            reason = f"another face was chosen: {task.settings.rule}"
            rows.append(_row(task, NOT_CHOSEN, reason, len(faces), face))
    return rows


def _check_known(task: _Task) -> None:
    """Refuse a photograph that is not the one which another manifest describes."""
    for row in task.known or ():
        if row.status == UNUSABLE:
            raise FacenetError(f"when faces were sought: {row.reason}")
        if row.source_bytes != task.source_bytes and (task.root / task.source).exists():
            raise FacenetError(
                f"expected the file of {row.source_bytes} bytes that the manifest describes, "
                f"found {task.source_bytes}"
            )


def _find_faces(task: _Task, image: Image, detector: FaceDetector | None) -> list[Face]:
    if task.known is not None:
        return [row.face for row in task.known if row.face is not None]
    assert detector is not None  # one or the other
    return detector.detect([image])[0]


def _cut_out(task: _Task, image: Image, face: Face, faces: int, crop: str) -> FaceRow:
    settings = task.settings
    try:
        pixels = crop_face(image, face, settings.crop_kind, settings.size, settings.margin)
    except FacenetError as error:
        return _row(task, NO_CROP, str(error), faces, face)
    path = task.out / crop
    with explain_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with open_whole_file(path) as file:
        PIL.Image.fromarray(pixels).save(file, "PNG", compress_level=_COMPRESSION)
    return replace(_row(task, ALIGNED, "", faces, face), crop=crop)


def _row(
    task: _Task, status: str, reason: str, faces: int = 0, face: Face | None = None
) -> FaceRow:
    landmarks = None
    if face is not None and face.landmarks is not None:
        landmarks = tuple((float(x), float(y)) for x, y in face.landmarks)
    return FaceRow(
        source=task.source,
        source_bytes=task.source_bytes,
        status=status,
        reason=" ".join(reason.split()),  # in one line
        faces=faces,
        box=None if face is None else Box(*map(float, face.box)),
        landmarks=landmarks,
        score=None if face is None else float(face.score),
        crop="",
        settings=task.settings,
    )
