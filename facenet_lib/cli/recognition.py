"""Commands from faces to names: ``facenet enroll``, ``identify``, ``cluster`` and ``gallery``."""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import io
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facenet_lib.alignment.crops import DEFAULT_MARGINS
from facenet_lib.alignment.detectors import LONGEST_SIDE
from facenet_lib.alignment.folders import align_photographs
from facenet_lib.alignment.manifest import NO_CROP, NO_FACE, UNUSABLE, read_manifest
from facenet_lib.alignment.photographs import PhotographFolder, find_photographs
from facenet_lib.cli.alignment import detector_maker
from facenet_lib.cli.arguments import (
    MODEL_HELP,
    add_command,
    add_crop_arguments,
    check_folder_of,
    share,
)
from facenet_lib.cli.loading import open_embedder
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.files import check_new_folder, explain_write_errors, open_whole_folder, write_text
from facenet_lib.recognition.embedding_cache import embed_resumably
from facenet_lib.recognition.fingerprint import Fingerprint, take_fingerprint
from facenet_lib.recognition.gallery import Gallery, GalleryThreshold, check_person_name
from facenet_lib.recognition.identification import identify

if TYPE_CHECKING:
    from facenet_lib.alignment.faces import Box
    from facenet_lib.embedding import Embedder

_ALIGNED_HELP = "the images are faces already, cut out as the model wants them"


def add_enroll(commands: Any) -> None:
    """Add ``facenet enroll``."""
    parser = add_command(commands, "enroll", _enroll, "add people to a gallery")
    parser.add_argument("gallery", metavar="GALLERY", type=Path, help="a file; new or known")
    parser.add_argument(
        "photographs", metavar="PHOTOS", type=Path, help="a folder with one folder a person"
    )
    parser.add_argument("--model", metavar="MODEL", help=f"{MODEL_HELP}; if not named, GALLERY's")
    parser.add_argument("--name", help="of the one person whom all photographs in PHOTOS show")
    _add_face_arguments(parser)
    parser.add_argument(
        "--keep-doubtful",
        action="store_true",
        help="enroll the photographs too that are told to be doubtful",
    )


def _enroll(options: argparse.Namespace) -> None:
    """Embed photographs of people and keep them in GALLERY under their names.

    Doubtful photographs are told and left out: those that are blurred, tiny, there twice or nearer
    to somebody else, and all of a person whose photographs seem to show two people. A call that
    was stopped goes on when it is given again; what was enrolled before is passed over.
    """

    check_folder_of(options.gallery)
    known = Gallery.load(options.gallery) if options.gallery.exists() else None
    with _open_model(options.model, known) as (model, fingerprint):
        gallery = known or Gallery(fingerprint)
        with _work_folder(options, gallery) as work:
            faces = _faces(options, options.photographs, gallery, work, rule="centre")
            owners = [_owner(face, options.name, options.photographs) for face in faces]
            known_faces = set(zip(gallery.names, gallery.sources, strict=True))
            new = [
                place
                for place, face in enumerate(faces)
                if (owners[place], face.source) not in known_faces
            ]
            added = _embed([faces[place] for place in new], model, fingerprint, work)
            names = [owners[place] for place in new]
            fresh = [faces[place] for place in new]
            doubtful = _doubtful(gallery, model, fresh, names, added) if new else set()
            left_out = set() if options.keep_doubtful else doubtful
            for name in sorted(set(names)):
                mine = [row for row, owner in enumerate(names) if owner == name]
                mine = [row for row in mine if row not in left_out]
                if mine:
                    gallery.enroll(name, added[mine], [fresh[row].source for row in mine])
            gallery.save(options.gallery)
    enrolled = [name for row, name in enumerate(names) if row not in left_out]
    if left_out:
        print(
            f"facenet: left out {_count(len(left_out), 'doubtful photograph')}; --keep-doubtful "
            "enrolls them too",
            file=sys.stderr,
        )
    added_people = _count(len(set(enrolled)), "person")
    print(
        f"{options.gallery}: enrolled {_count(len(enrolled), 'photograph')} of {added_people}; it "
        f"holds {_count(len(gallery.people), 'person')} with "
        f"{_count(len(gallery.names), 'photograph')}"
    )


def add_identify(commands: Any) -> None:
    """Add ``facenet identify``."""
    parser = add_command(commands, "identify", _identify, "name the faces in photographs")
    parser.add_argument("gallery", metavar="GALLERY", type=Path, help="of facenet enroll")
    parser.add_argument(
        "photographs", metavar="PHOTO", nargs="+", type=Path, help="photographs, or folders of them"
    )
    parser.add_argument("--model", metavar="MODEL", help="if not named, GALLERY's")
    _add_face_arguments(parser)
    parser.add_argument(
        "--threshold",
        type=float,
        help="squared distance below which a face is named; if not named, the one that facenet "
        "gallery --false-positive-rate chose, else the model's for pairs",
    )
    parser.add_argument(
        "--by",
        choices=("nearest", "mean"),
        default="nearest",
        help="a person's distance: to the nearest photograph, if not named, or to their mean",
    )
    parser.add_argument("--json", metavar="OUT", type=Path, help="write the answers here")


def _identify(options: argparse.Namespace) -> None:
    """Find every face in photographs and say who it is, or that nobody in GALLERY is.

    With --json, a call that was stopped goes on when it is given again.
    """

    check_folder_of(options.json)
    gallery = Gallery.load(options.gallery)
    folder = _listed(options.photographs)
    with (
        _open_model(options.model, gallery) as (model, fingerprint),
        _work_folder(options, gallery) as work,
    ):
        threshold = _naming_threshold(options, gallery, model)
        faces = _faces(options, folder, gallery, work, rule="all")
        embeddings = _embed(faces, model, fingerprint, work)
        found = identify(gallery, embeddings, threshold, options.by) if faces else []
        if options.json:
            answers: dict[str, list[Any]] = {source: [] for source in folder.photographs}
            for face, answer in zip(faces, found, strict=True):
                box = None if face.box is None else [round(side, 1) for side in face.box]
                answers[face.source].append({"box": box, **asdict(answer)})
            whole = {
                "gallery": str(options.gallery),
                "model": fingerprint.model,
                "threshold": threshold,
                "photographs": [
                    {"photograph": str(folder.root / source), "faces": of_it}
                    for source, of_it in answers.items()
                ],
            }
            write_text(options.json, json.dumps(whole, indent=2, ensure_ascii=False) + "\n")
    rows = [
        (
            face.source,
            "" if face.box is None else f"{face.box.left:.0f},{face.box.top:.0f}",
            answer.name or "nobody",
            f"{answer.distance:.3f}",
            "" if answer.runner_up is None else answer.runner_up,
            "" if answer.runner_up_distance is None else f"{answer.runner_up_distance:.3f}",
        )
        for face, answer in zip(faces, found, strict=True)
    ]
    heads = ("photograph", "left,top", "who", "distance", "runner-up", "distance")
    _print_table([heads, *rows])
    named = sum(answer.name is not None for answer in found)
    print(
        f"{_count(len(folder.photographs), 'photograph')}, {_count(len(faces), 'face')}: "
        f"{named} named, {len(faces) - named} nobody's; threshold {threshold:.3f}"
    )


def add_cluster(commands: Any) -> None:
    """Add ``facenet cluster``."""
    parser = add_command(commands, "cluster", _cluster, "sort an album by who is in it")
    parser.add_argument("photographs", metavar="PHOTOS", type=Path, help="a folder")
    parser.add_argument("out", metavar="OUT", type=Path, help="the folder to write")
    parser.add_argument("--model", metavar="MODEL", required=True, help=MODEL_HELP)
    _add_face_arguments(parser)
    parser.add_argument(
        "--threshold",
        type=float,
        help="mean squared distance below which groups become one person; if not named, groups are "
        "those that hold together longest (hdbscan), which needs none",
    )
    parser.add_argument(
        "--method",
        choices=("agglomerative", "dbscan", "hdbscan"),
        help="if not named, agglomerative with --threshold, else hdbscan; dbscan chains easily",
    )
    parser.add_argument(
        "--at-least", metavar="N", type=int, default=3, help="faces that make a person; 3"
    )


def _cluster(options: argparse.Namespace) -> None:
    """Put the faces of an album into one folder a person, without knowing any.

    OUT gets a folder of faces for each person, and people.csv with every face and its person.
    Those who look like nobody else, or are too few, stand as 'alone'. A call that was stopped goes
    on when it is given again.
    """
    from facenet_lib.recognition.clustering import cluster

    check_new_folder(options.out)
    with (
        _open_model(options.model, None) as (model, fingerprint),
        _work_folder(options, None) as work,
    ):
        faces = _faces(options, options.photographs, None, work, rule="all")
        if not faces:
            raise FacenetError(f"{options.photographs}: no face was found")
        embeddings = _embed(faces, model, fingerprint, work)
        method = options.method or ("hdbscan" if options.threshold is None else "agglomerative")
        labels = cluster(embeddings, method, options.threshold, options.at_least)
        people = ["alone" if label < 0 else f"person_{label + 1:03d}" for label in labels]
        with open_whole_folder(options.out) as out:
            table = [("person", "photograph", "face")]
            for number, (person, face) in enumerate(zip(people, faces, strict=True)):
                name = f"{number:05d}_{Path(face.source).stem}{face.crop.suffix}"
                (out / person).mkdir(exist_ok=True)
                shutil.copyfile(face.crop, out / person / name)
                table.append((person, face.source, f"{person}/{name}"))
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(table)
            write_text(out / "people.csv", text.getvalue())
    counts = Counter(people)
    rows = [(person, str(counts[person])) for person in sorted(counts) if person != "alone"]
    _print_table([("person", "faces"), *rows])
    print(
        f"{options.out}: {_count(len(faces), 'face')}, {_count(len(rows), 'person')}; "
        f"{counts['alone']} alone; people.csv has every face"
    )


def add_gallery(commands: Any) -> None:
    """Add ``facenet gallery``."""
    parser = add_command(commands, "gallery", _gallery, "list a gallery, or change it")
    parser.add_argument("gallery", metavar="GALLERY", type=Path, help="of facenet enroll")
    parser.add_argument("--remove", metavar="NAME", help="forget a person wholly")
    parser.add_argument(
        "--false-positive-rate",
        metavar="RATE",
        type=share,
        help="choose and keep the threshold at which at most this share of strangers is named; the "
        "people of GALLERY are each other's strangers, or --strangers are",
    )
    parser.add_argument(
        "--strangers",
        metavar="PHOTOS",
        type=Path,
        help="a folder with one folder a person, none of whom is in GALLERY",
    )
    parser.add_argument("--model", metavar="MODEL", help="for --strangers; if not named, GALLERY's")
    _add_face_arguments(parser)


def _gallery(options: argparse.Namespace) -> None:
    """List the people of GALLERY, forget one of them, or choose the threshold for naming."""

    if options.strangers and options.false_positive_rate is None:
        options.parser.error("--strangers: needs --false-positive-rate")
    gallery = Gallery.load(options.gallery)
    if options.remove is not None:
        removed = gallery.remove(options.remove)
        gallery.save(options.gallery)
        print(f"{options.gallery}: forgot {options.remove} and {_count(removed, 'embedding')}")
    if options.false_positive_rate is not None:
        _choose_threshold(options, gallery)
        gallery.save(options.gallery)
    counts = Counter(gallery.names)
    _print_table(
        [("person", "photographs"), *((name, str(counts[name])) for name in gallery.people)]
    )
    chosen = gallery.threshold
    told = (
        "none chosen"
        if chosen is None
        else (
            f"{chosen.distance:.4f}, for {chosen.false_positive_rate:g} of strangers named among "
            f"{_count(chosen.people, 'person')}"
        )
    )
    print(
        f"{_count(len(gallery.people), 'person')}, {_count(len(gallery.names), 'photograph')}; "
        f"model {gallery.fingerprint.model}; threshold {told}"
    )


def _choose_threshold(options: argparse.Namespace, gallery: Gallery) -> None:
    from facenet_lib.recognition.thresholds import choose_threshold

    distances, truth = gallery.leave_one_out()
    if options.strangers:
        with (
            _open_model(options.model, gallery) as (model, fingerprint),
            _work_folder(options, gallery) as work,
        ):
            faces = _faces(options, options.strangers, gallery, work, rule="centre")
            strange = gallery.distances(_embed(faces, model, fingerprint, work))
        distances = np.concatenate([distances[truth >= 0], strange])
        truth = np.concatenate([truth[truth >= 0], np.full(len(strange), -1)])
    rate = options.false_positive_rate
    chosen = choose_threshold(distances, truth, rate)
    gallery.threshold = GalleryThreshold(chosen.threshold, rate, len(gallery.people))
    print(chosen)


# What the commands share


def _add_face_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--aligned", action="store_true", help=_ALIGNED_HELP)
    parser.add_argument(
        "--detector", metavar="NAME", help="as facenet align takes it; mtcnn, if not named"
    )
    add_crop_arguments(parser)


@dataclass(frozen=True)
class _Face:
    """A face to embed: its photograph, where it is in it, and the file that is cut out."""

    source: str
    box: Box | None
    crop: Path


@contextlib.contextmanager
def _open_model(name: str | None, gallery: Gallery | None) -> Iterator[tuple[Embedder, Any]]:
    """Open the model that is named, or the gallery's, and make sure that it is the gallery's."""

    if name is None:
        if gallery is None:
            raise FacenetError("--model: expected one for a new gallery, found none")
        name = gallery.fingerprint.model
    with open_embedder(name) as model:
        fingerprint = take_fingerprint(model, name)
        if gallery is not None:
            gallery.fingerprint.check_same(fingerprint)
        yield model, fingerprint


@contextlib.contextmanager
def _work_folder(options: argparse.Namespace, gallery: Gallery | None) -> Iterator[Path]:
    """A folder for what is computed, which the same command finds again after it was stopped."""
    from facenet_lib.datasets import cache_folder

    named = {**vars(options), **asdict(_cut(options, gallery))}
    what = [Path.cwd(), *(named.get(name) for name in _WHAT_IS_COMPUTED)]
    folder = cache_folder() / "work" / hashlib.sha256(str(what).encode()).hexdigest()[:16]
    with explain_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    except BaseException:
        print(
            f"facenet: what was computed is kept in {folder}: the same command goes on",
            file=sys.stderr,
        )
        raise
    shutil.rmtree(folder, ignore_errors=True)


_WHAT_IS_COMPUTED = (
    "command", "photographs", "strangers", "aligned", "detector", "crop", "size", "margin",
)  # fmt: skip


@dataclass(frozen=True)
class _Cut:
    """How faces are cut out of photographs."""

    crop: str
    size: int
    margin: float


def _cut(options: argparse.Namespace, gallery: Gallery | None) -> _Cut:
    """What is named, then what the gallery was made with, then the usual.

    Raises:
        FacenetError: where both are there and differ: such embeddings cannot be compared.
    """
    crop = options.crop or "reference"
    margin = DEFAULT_MARGINS[crop] if options.margin is None else options.margin
    size = 160 if options.size is None else options.size
    named = _Cut(crop, size, float(margin))
    made = None if gallery is None else gallery.alignment
    if made is None:
        return named
    before = _Cut(made.crop_kind, made.size, made.margin)
    problems = [
        f"--{name}: expected {getattr(before, name)}, as GALLERY was made, found {value}"
        for name, value in asdict(named).items()
        if getattr(options, name) is not None and value != getattr(before, name)
    ]
    refuse("faces that cannot be compared with the gallery's", problems)
    return before


def _faces(
    options: argparse.Namespace,
    photographs: Path | PhotographFolder,
    gallery: Gallery | None,
    work: Path,
    rule: str,
) -> list[_Face]:
    """Find the faces of photographs and cut them out; tell which photographs have none.

    A new gallery notes how it was done.
    """
    folder = find_photographs(photographs) if isinstance(photographs, Path) else photographs
    if options.aligned:
        return [_Face(name, None, folder.root / name) for name in folder.photographs]
    cut = _cut(options, gallery)
    made = None if gallery is None else gallery.alignment
    detector = options.detector or ("mtcnn" if made is None else made.detector)
    done = align_photographs(
        folder,
        work / "faces",
        detector_maker(detector, LONGEST_SIDE, turn=False),
        rule=rule,
        detection=f"longest side {LONGEST_SIDE}",
        **asdict(cut),
    )
    rows = read_manifest(done.manifest)
    without = [f"{row.source} ({row.reason})" for row in rows if row.status in _WITHOUT]
    _tell_left_out(without, "photograph", "without a face or unusable")
    _tell_left_out(done.left_out, "other file", "")
    if gallery is not None and gallery.alignment is None and not gallery.names:
        gallery.alignment = rows[0].settings
    return [_Face(row.source, row.box, done.out / row.crop) for row in rows if row.crop]


_WITHOUT = (NO_FACE, NO_CROP, UNUSABLE)


def _embed(
    faces: Sequence[_Face], model: Embedder, fingerprint: Fingerprint, work: Path
) -> NDArray[np.float32]:
    return embed_resumably(
        model, fingerprint, [face.crop for face in faces], work / "embeddings.npz"
    )


def _doubtful(
    gallery: Gallery,
    model: Embedder,
    faces: Sequence[_Face],
    names: Sequence[str],
    embeddings: NDArray[np.float32],
) -> set[int]:
    """Tell which of the new faces had better not be enrolled; return their places."""
    from facenet_lib.alignment.photographs import read_photograph
    from facenet_lib.recognition.enrolment import check_enrolment, measure_sharpness

    enrolled = [_BEYOND_DOUBT] * len(gallery.names)
    sides = [
        _BEYOND_DOUBT if face.box is None else max(face.box.width, face.box.height)
        for face in faces
    ]
    sharpness = [measure_sharpness(read_photograph(face.crop)) for face in faces]
    found = check_enrolment(
        np.concatenate([gallery.embeddings, embeddings]),
        [*gallery.names, *names],
        [*gallery.sources, *(face.source for face in faces)],
        _FARTHEST if model.threshold is None else model.threshold,
        sharpness=[*enrolled, *sharpness],
        face_sides=[*enrolled, *sides],
    )
    doubtful = set()
    for problem in found:
        of_person = {row for row, name in enumerate(names) if name == problem.name}
        alone = {row for row in of_person if faces[row].source == problem.source}
        rows = of_person if problem.kind == "two people" else alone
        if rows:
            print(f"facenet: {problem}", file=sys.stderr)
        doubtful |= rows
    return doubtful


_BEYOND_DOUBT = 1e6  # pixels or sharpness of a photograph that is enrolled, or cut out, already
_FARTHEST = 4.0  # squared distance: where no threshold is known, nobody is two people


def _owner(face: _Face, name: str | None, root: Path) -> str:
    """Whose photograph it is: of the person who is named, or of the folder's."""
    if name is not None:
        return check_person_name(name)
    if "/" not in face.source:
        raise FacenetError(
            f"{root / face.source}: expected photographs in a folder named after the person, or "
            "--name, whom all of them show"
        )
    return check_person_name(face.source.partition("/")[0])


def _listed(paths: Sequence[Path]) -> PhotographFolder:
    """The photographs that are named, and those in folders that are."""
    found: list[Path] = []
    left_out: list[str] = []
    for path in paths:
        if path.is_dir():
            folder = find_photographs(path)
            found += [folder.root / name for name in folder.photographs]
            left_out += [str(folder.root / name) for name in folder.left_out]
        elif path.is_file():
            found.append(path)
        else:
            raise FacenetError(f"{path}: expected a photograph or a folder of them, found nothing")
    whole = sorted({path.absolute() for path in found})
    root = Path(os.path.commonpath([path.parent for path in whole]))
    names = tuple(path.relative_to(root).as_posix() for path in whole)
    return PhotographFolder(root, names, tuple(left_out))


def _naming_threshold(options: argparse.Namespace, gallery: Gallery, model: Embedder) -> float:
    """What is named, then what was chosen for this gallery, then the model's, with a warning."""
    if options.threshold is not None:
        return options.threshold
    people, chosen = len(gallery.people), gallery.threshold
    if chosen is not None:
        if people > chosen.people:
            print(
                f"facenet: warning: the threshold was chosen for {chosen.people} people; "
                f"among {people} more strangers are named: choose again with 'facenet gallery "
                f"{options.gallery} --false-positive-rate RATE'",
                file=sys.stderr,
            )
        return chosen.distance
    if model.threshold is None:
        raise FacenetError(
            f"{options.gallery}: no threshold is known; name --threshold, or choose one with "
            f"'facenet gallery {options.gallery} --false-positive-rate RATE'"
        )
    print(
        f"facenet: warning: {model.threshold:.3f} is the model's threshold for pairs, which among "
        f"{_count(people, 'person')} names more strangers than among one: choose one with 'facenet "
        f"gallery {options.gallery} --false-positive-rate RATE'",
        file=sys.stderr,
    )
    return model.threshold


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def _tell_left_out(names: Sequence[str], what: str, why: str) -> None:
    if names:
        count = f"{_count(len(names), what)} {why}".rstrip()
        print(f"facenet: left out {count}, such as {names[0]}", file=sys.stderr)


def _count(number: int, what: str) -> str:
    plural = "people" if what == "person" else f"{what}s"
    return f"{number} {what if number == 1 else plural}"
