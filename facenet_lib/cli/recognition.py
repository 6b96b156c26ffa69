"""Commands from faces to names: ``facenet enroll``, ``identify``, ``cluster`` and ``gallery``."""

from __future__ import annotations

import argparse
import contextlib
import csv
import dataclasses
import io
import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facenet_lib.alignment.crops import DEFAULT_MARGINS
from facenet_lib.alignment.detectors import LONGEST_SIDE
from facenet_lib.alignment.faces import Box
from facenet_lib.alignment.folders import align_photographs, check_apart
from facenet_lib.alignment.manifest import NO_CROP, NO_FACE, UNUSABLE, read_manifest
from facenet_lib.alignment.photographs import PhotographFolder, can_be_written, find_photographs
from facenet_lib.checks import check_integer, number_problems
from facenet_lib.cli.alignment import detector_maker
from facenet_lib.cli.arguments import (
    MODEL_HELP,
    NAMING_THRESHOLD_HELP,
    add_command,
    add_crop_arguments,
    check_folder_of,
    count,
    naming_threshold,
    share,
    tell_names_left_out,
)
from facenet_lib.cli.collection import open_collection
from facenet_lib.cli.loading import name_for_other_folders, open_embedder
from facenet_lib.cli.work_folder import find_work, open_work_folder
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.files import (
    check_new_folder,
    open_whole_folder,
    write_text,
)
from facenet_lib.lfw_pairs import name_folders

if TYPE_CHECKING:  # the room loads scikit-learn, which help does without
    from facenet_lib.alignment.manifest import AlignmentSettings
    from facenet_lib.embedding import Embedder
    from facenet_lib.recognition.fingerprint import Fingerprint
    from facenet_lib.recognition.gallery import Gallery
    from facenet_lib.recognition.identification import Identification

_GALLERY_HELP = "the file of facenet enroll"
_OWN_MODEL_HELP = "if not named, the one that made GALLERY"


def add_enroll(commands: Any) -> None:
    """Add ``facenet enroll``."""
    parser = add_command(commands, "enroll", _enroll, "add people to a gallery")
    parser.add_argument("gallery", metavar="GALLERY", type=Path, help="a file; new or known")
    parser.add_argument(
        "photographs",
        metavar="PHOTOS",
        type=Path,
        help="a folder with one folder a person, or what facenet embed-collection made of one",
    )
    parser.add_argument("--model", metavar="MODEL", help=f"{MODEL_HELP}; {_OWN_MODEL_HELP}")
    parser.add_argument("--name", help="of the one person whom all photographs in PHOTOS show")
    _add_face_arguments(parser)
    add_crop_arguments(parser)
    parser.add_argument(
        "--keep-doubtful",
        action="store_true",
        help="enroll the photographs too that are told to be doubtful",
    )


def _enroll(options: argparse.Namespace) -> None:
    """Embed photographs of people and keep them in GALLERY under their names.

    Doubtful photographs are told and left out: those that are blurred, tiny, there twice or nearer
    to somebody else, and all of a person whose photographs seem to show two people. A call that
    was stopped goes on when it is given again; what was enrolled before is passed over. Of a
    collection no crops are kept, so that nothing is called blurred. GALLERY holds no pictures, but
    who has it can compare faces with those in it.
    """
    from facenet_lib.recognition.gallery import Gallery, change_gallery

    check_folder_of(options.gallery)
    known = Gallery.load(options.gallery) if options.gallery.exists() else None
    collection = open_collection(options, known)
    if collection is None:
        folder = find_photographs(options.photographs)
    else:
        shards, found = collection
        folder = PhotographFolder(options.photographs, tuple(found.paths.tolist()), ())
    _check_owners(folder, options.name)  # before anything is computed
    with (
        _open_model(options.model, known) as (model, fingerprint),
        open_work_folder(options, asdict(_cut(options, known))) as work,
    ):
        if collection is None:
            faces, settings = _faces(options, folder, known, work, rule="centre")
            embeddings = _embed(faces, model, fingerprint, work)
        else:
            fingerprint.check_same(shards.fingerprint)
            boxes = [Box(*box) for box in found.boxes.tolist()]
            faces = [
                _Face(*face, _NOT_KEPT) for face in zip(folder.photographs, boxes, strict=True)
            ]
            settings, embeddings = shards.alignment, found.embeddings
        names = [_owner(face.source, options.name, folder.root) for face in faces]
        with change_gallery(options.gallery, Gallery(fingerprint, settings)) as gallery:
            gallery.fingerprint.check_same(fingerprint)
            sources = _new_sources(gallery, names, faces, embeddings)
            new = [row for row, source in enumerate(sources) if source]
            doubtful = (
                _doubtful(gallery, model, faces, names, sources, embeddings) if new else set()
            )
            enrolled = [row for row in new if options.keep_doubtful or row not in doubtful]
            for name in sorted({names[row] for row in enrolled}):
                mine = [row for row in enrolled if names[row] == name]
                gallery.enroll(name, embeddings[mine], [sources[row] for row in mine])
            if not gallery.names:
                raise FacenetError(f"{options.photographs}: nobody could be enrolled")
    if len(enrolled) < len(new):
        print(
            f"facenet: left out {count(len(new) - len(enrolled), 'doubtful photograph')}; "
            "--keep-doubtful enrolls them too",
            file=sys.stderr,
        )
    of_people = count(len({names[row] for row in enrolled}), "person")
    print(
        f"{options.gallery}: enrolled {count(len(enrolled), 'photograph')} of {of_people}, "
        f"{len(faces) - len(new)} were there already; it holds "
        f"{count(len(gallery.people), 'person')} with {count(len(gallery.names), 'photograph')}"
    )


def add_identify(commands: Any) -> None:
    """Add ``facenet identify``."""
    parser = add_command(commands, "identify", _identify, "name the faces in photographs")
    parser.add_argument("gallery", metavar="GALLERY", type=Path, help=_GALLERY_HELP)
    parser.add_argument(
        "photographs", metavar="PHOTO", nargs="+", type=Path, help="photographs, or folders of them"
    )
    parser.add_argument("--model", metavar="MODEL", help=_OWN_MODEL_HELP)
    _add_face_arguments(parser)
    parser.add_argument("--threshold", type=float, help=NAMING_THRESHOLD_HELP)
    _add_by(parser, "as the threshold was chosen, if not named, else nearest")
    parser.add_argument("--json", metavar="OUT", type=Path, help="write the answers here")


def _identify(options: argparse.Namespace) -> None:
    """Find every face in photographs and say who it is, or that nobody in GALLERY is.

    Faces are cut out as those of GALLERY were. A call that was stopped goes on when it is given
    again.
    """
    from facenet_lib.recognition.gallery import Gallery
    from facenet_lib.recognition.identification import identify

    check_folder_of(options.json)
    gallery = Gallery.load(options.gallery)
    folder = _listed(options.photographs)
    with _open_model(options.model, gallery) as (model, fingerprint):
        threshold = naming_threshold(options.threshold, options.gallery, gallery, model.threshold)
        refuse("--threshold", number_problems("distance", threshold, "(0, inf)"))
        by = _by(options, gallery)
        with open_work_folder(options, asdict(_cut(options, gallery))) as work:
            faces, _ = _faces(options, folder, gallery, work, rule="all")
            embeddings = _embed(faces, model, fingerprint, work)
            found = identify(gallery, embeddings, threshold, by) if faces else []
            if options.json:
                about = {
                    "gallery": str(options.gallery),
                    "model": fingerprint.model,
                    "threshold": threshold,
                }
                _write_answers(options.json, about, folder, faces, found)
    rows = [
        (
            face.source,
            "" if face.box is None else f"{face.box.left:.0f},{face.box.top:.0f}",
            answer.name or "nobody",
            f"{answer.distance:.3f}",
            answer.runner_up or "",
            "" if answer.runner_up_distance is None else f"{answer.runner_up_distance:.3f}",
        )
        for face, answer in zip(faces, found, strict=True)
    ]
    heads = ("photograph", "left,top", "who", "distance", "runner-up", "distance")
    _print_table([heads, *rows])
    named = sum(answer.name is not None for answer in found)
    print(
        f"{count(len(folder.photographs), 'photograph')}, {count(len(faces), 'face')}: "
        f"{named} named, {len(faces) - named} nobody's; threshold {threshold:.3f}"
    )


def _write_answers(
    out: Path,
    about: dict[str, Any],
    folder: PhotographFolder,
    faces: Sequence[_Face],
    found: Sequence[Identification],
) -> None:
    """Write who is in each photograph, those without a face too."""
    answers: dict[str, list[Any]] = {source: [] for source in folder.photographs}
    for face, answer in zip(faces, found, strict=True):
        box = None if face.box is None else [round(side, 1) for side in face.box]
        answers[face.source].append({"box": box, **asdict(answer)})
    photographs = [
        {"photograph": str(folder.root / source), "faces": of_it}
        for source, of_it in answers.items()
    ]
    whole = about | {"photographs": photographs}
    write_text(out, json.dumps(whole, indent=2, ensure_ascii=False) + "\n")


def _by(options: argparse.Namespace, gallery: Gallery) -> str:
    """How a person's distance is taken: as it was when the threshold was chosen."""
    chosen = gallery.threshold
    if options.threshold is not None or chosen is None:
        return options.by or "nearest"
    if options.by not in (None, chosen.by):
        raise FacenetError(
            f"--by: expected {chosen.by}, for which the threshold was chosen, found {options.by}; "
            "name --threshold too, or choose another with 'facenet gallery'"
        )
    return chosen.by


def add_cluster(commands: Any) -> None:
    """Add ``facenet cluster``."""
    parser = add_command(commands, "cluster", _cluster, "sort an album by who is in it")
    parser.add_argument("photographs", metavar="PHOTOS", type=Path, help="a folder")
    parser.add_argument("out", metavar="OUT", type=Path, help="the folder to write")
    parser.add_argument("--model", metavar="MODEL", required=True, help=MODEL_HELP)
    _add_face_arguments(parser)
    add_crop_arguments(parser)
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
        "--at-least", metavar="N", type=int, default=2, help="faces that make a person; 2"
    )


def _cluster(options: argparse.Namespace) -> None:
    """Put the faces of an album into one folder a person, without knowing any.

    OUT gets a folder of faces for each person, and people.csv with every face and its person.
    Those who look like nobody else, or are too few, stand as 'alone'. A call that was stopped goes
    on when it is given again.
    """
    from facenet_lib.recognition.clustering import cluster

    check_new_folder(options.out)
    folder = find_photographs(options.photographs)
    check_apart(folder.root, options.out)
    check_integer("--at-least", options.at_least, at_least=2)
    method = options.method or ("hdbscan" if options.threshold is None else "agglomerative")
    if method != "hdbscan" and options.threshold is None:
        options.parser.error(f"--method {method}: needs --threshold")
    cluster([[1.0]], method, options.threshold, options.at_least)  # refuses before the work
    with (
        _open_model(options.model, None) as (model, fingerprint),
        open_work_folder(options, asdict(_cut(options, None))) as work,
    ):
        faces, _ = _faces(options, folder, None, work, rule="all")
        if not faces:
            raise FacenetError(f"{options.photographs}: no face was found")
        embeddings = _embed(faces, model, fingerprint, work)
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
        f"{options.out}: {count(len(faces), 'face')}, {count(len(rows), 'person')}; "
        f"{counts['alone']} alone; people.csv has every face"
    )


def add_gallery(commands: Any) -> None:
    """Add ``facenet gallery``."""
    parser = add_command(commands, "gallery", _gallery, "list a gallery, or change it")
    parser.add_argument("gallery", metavar="GALLERY", type=Path, help=_GALLERY_HELP)
    parser.add_argument(
        "--remove",
        metavar="NAME",
        help="forget a person: the file has then neither the name nor an embedding, and what "
        "stopped calls left is deleted. Copies of the file, written answers and running servers "
        "are yours to see to",
    )
    parser.add_argument(
        "--false-positive-rate",
        metavar="RATE",
        type=share,
        help="choose and keep the threshold at which at most this share of strangers is named; the "
        "people of GALLERY are each other's strangers, or --strangers are",
    )
    _add_by(parser, "nearest, if not named")
    parser.add_argument(
        "--strangers",
        metavar="PHOTOS",
        type=Path,
        help="a folder with one folder a person, none of whom is in GALLERY",
    )
    parser.add_argument("--model", metavar="MODEL", help=f"for --strangers; {_OWN_MODEL_HELP}")
    _add_face_arguments(parser)


def _gallery(options: argparse.Namespace) -> None:
    """List the people of GALLERY, forget one of them, or choose the threshold for naming."""
    from facenet_lib.recognition.gallery import Gallery, change_gallery

    rate = options.false_positive_rate
    if rate is None and (options.strangers or options.by):
        options.parser.error("--strangers and --by: need --false-positive-rate")
    if not options.strangers and (options.model or options.aligned or options.detector):
        options.parser.error("--model, --aligned and --detector: need --strangers")
    if options.remove is not None:
        with change_gallery(options.gallery) as gallery:
            removed = gallery.remove(options.remove)
        for left in find_work(options.gallery):
            shutil.rmtree(left, ignore_errors=True)
        print(f"{options.gallery}: forgot {options.remove} and {count(removed, 'embedding')}")
    if rate is not None:
        refuse("--false-positive-rate", number_problems("rate", rate, "(0, 1)"))
        _choose_threshold(options)
    gallery = Gallery.load(options.gallery)
    counts = Counter(gallery.names)
    rows = [(name, str(counts[name])) for name in gallery.people]
    _print_table([("person", "photographs"), *rows])
    chosen = gallery.threshold
    told = (
        "none chosen"
        if chosen is None
        else f"{chosen.distance:.4f} by {chosen.by}, for {chosen.false_positive_rate:g} of "
        f"strangers named who are compared with {count(chosen.people, 'person')}"
    )
    print(
        f"{count(len(gallery.people), 'person')}, {count(len(gallery.names), 'photograph')}; "
        f"model {gallery.fingerprint.model}; threshold {told}"
    )


def _choose_threshold(options: argparse.Namespace) -> None:
    from facenet_lib.recognition.gallery import Gallery, GalleryThreshold, change_gallery
    from facenet_lib.recognition.thresholds import choose_threshold

    gallery, by = Gallery.load(options.gallery), options.by or "nearest"
    people = len(gallery.people)
    if options.strangers:
        folder = find_photographs(options.strangers)
        _check_owners(folder, None)
        with (
            _open_model(options.model, gallery) as (model, fingerprint),
            open_work_folder(options, asdict(_cut(options, gallery))) as work,
        ):
            faces, _ = _faces(options, folder, gallery, work, rule="centre")
            whose = [_owner(face.source, None, folder.root) for face in faces]
            refuse(
                f"{options.strangers}: expected strangers, found people of {options.gallery}",
                sorted(set(whose) & set(gallery.people)),
            )
            distances = gallery.distances(_embed(faces, model, fingerprint, work), by)
        truth = np.full(len(distances), -1)
        if people > 1:  # who is lost, too
            own, mates = gallery.leave_one_out(by)
            distances = np.concatenate([own[mates >= 0], distances])
            truth = np.concatenate([mates[mates >= 0], truth])
            whose = [gallery.people[mate] for mate in mates[mates >= 0]] + whose
    else:
        distances, truth = gallery.leave_one_out(by)
        whose = [gallery.people[mate] for mate in truth[truth >= 0]] + list(gallery.names)
        people -= 1
    chosen = choose_threshold(distances, truth, options.false_positive_rate, probe_people=whose)
    print(dataclasses.replace(chosen, people=people))
    with change_gallery(options.gallery) as changed:
        if changed.names != gallery.names:
            raise FacenetError(f"{options.gallery}: was changed meanwhile: choose again")
        rate = options.false_positive_rate
        changed.threshold = GalleryThreshold(chosen.threshold, rate, people, by)


# What the commands share


def _add_face_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--aligned",
        action="store_true",
        help="the images are faces already, cut out as the model wants them",
    )
    parser.add_argument(
        "--detector", metavar="NAME", help="as facenet align takes it; mtcnn, if not named"
    )


def _add_by(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--by",
        choices=("nearest", "mean"),
        help=f"a person's distance: that of the nearest photograph, or of their mean; {default}",
    )


@contextlib.contextmanager
def _open_model(
    name: str | None, gallery: Gallery | None
) -> Iterator[tuple[Embedder, Fingerprint]]:
    """Open the model that is named, or the gallery's, and make sure that it is the gallery's."""
    from facenet_lib.recognition.fingerprint import take_fingerprint

    if name is None:
        if gallery is None:
            raise FacenetError("--model: expected one for a new gallery, found none")
        name = gallery.fingerprint.model
    name = name_for_other_folders(name)
    with open_embedder(name) as model:
        fingerprint = take_fingerprint(model, name)
        if gallery is not None:
            gallery.fingerprint.check_same(fingerprint)
        yield model, fingerprint


@dataclass(frozen=True)
class _Cut:
    """How faces are cut out of photographs."""

    crop: str
    size: int
    margin: float


def _cut(options: argparse.Namespace, gallery: Gallery | None) -> _Cut:
    """As the gallery's were; without one, what is named, then the usual.

    Raises:
        FacenetError: where both are there and differ: such embeddings cannot be compared.
    """
    named = {name: getattr(options, name, None) for name in ("crop", "size", "margin")}
    crop = named["crop"] or "reference"
    size = 160 if named["size"] is None else named["size"]
    margin = DEFAULT_MARGINS[crop] if named["margin"] is None else float(named["margin"])
    made = None if gallery is None else gallery.alignment
    if made is None:
        return _Cut(crop, size, margin)
    before = _Cut(made.crop_kind, made.size, made.margin)
    problems = [
        f"--{name}: expected {getattr(before, name)}, as GALLERY was made, found {value}"
        for name, value in named.items()
        if value is not None and value != getattr(before, name)
    ]
    refuse("faces that cannot be compared with the gallery's", problems)
    return before


_NOT_KEPT = Path()
"""In place of the crop of a face that a collection has, which keeps none."""


@dataclass(frozen=True)
class _Face:
    """A face to embed: its photograph, where it is in it, and the file that is cut out."""

    source: str
    box: Box | None
    crop: Path


def _faces(
    options: argparse.Namespace,
    folder: PhotographFolder,
    gallery: Gallery | None,
    work: Path,
    rule: str,
) -> tuple[list[_Face], AlignmentSettings | None]:
    """Find the faces of photographs and cut them out; tell which photographs have none.

    Returns:
        The faces, and how they were cut out; None of images that are faces already.
    """
    tell_names_left_out(folder.left_out, "other file")
    if options.aligned:
        return [_Face(name, None, folder.root / name) for name in folder.photographs], None
    made = None if gallery is None else gallery.alignment
    if gallery is not None and made is None:
        raise FacenetError(
            f"{options.gallery}: was made of faces that were cut out before; cut these out in the "
            "same way, and name --aligned"
        )
    done = align_photographs(
        folder,
        work / "faces",
        detector_maker(
            options.detector or ("mtcnn" if made is None else made.detector),
            LONGEST_SIDE,
            turn=False,
        ),
        rule=rule,
        detection=f"longest side {LONGEST_SIDE}",
        **asdict(_cut(options, gallery)),
    )
    rows = read_manifest(done.manifest)
    without = [
        f"{row.source} ({row.reason})" for row in rows if row.status in (NO_FACE, NO_CROP, UNUSABLE)
    ]
    tell_names_left_out(without, "photograph", "without a face or unusable")
    faces = [_Face(row.source, row.box, done.out / row.crop) for row in rows if row.crop]
    return faces, rows[0].settings


def _embed(
    faces: Sequence[_Face], model: Embedder, fingerprint: Fingerprint, work: Path
) -> NDArray[np.float32]:
    from facenet_lib.recognition.embedding_cache import embed_resumably

    return embed_resumably(
        model, fingerprint, [face.crop for face in faces], work / "embeddings.npz"
    )


def _owner(source: str, name: str | None, root: Path) -> str:
    """Whose photograph it is: of the person who is named, or of the folder's."""
    from facenet_lib.recognition.gallery import check_person_name

    if name is not None:
        return check_person_name(name)
    if "/" not in source:
        raise FacenetError(
            f"{root / source}: expected photographs in a folder named after the person, or --name, "
            "whom all of them show"
        )
    return check_person_name(source.partition("/")[0])


def _check_owners(folder: PhotographFolder, name: str | None) -> None:
    """Refuse photographs that are nobody's, and two folders whose names become one."""
    for source in folder.photographs:
        _owner(source, name, folder.root)
    if name is None:
        name_folders({Path(source.partition("/")[0]) for source in folder.photographs})


def _new_sources(
    gallery: Gallery,
    names: Sequence[str],
    faces: Sequence[_Face],
    embeddings: NDArray[np.float32],
) -> list[str]:
    """What each face is to be called in the gallery; empty for one that is there already.

    Two folders may hold different photographs of one name: the second is then numbered.
    """
    from facenet_lib.recognition.enrolment import DUPLICATE_BELOW

    there = dict(
        zip(zip(gallery.names, gallery.sources, strict=True), gallery.embeddings, strict=True)
    )
    sources = []
    for name, face, row in zip(names, faces, embeddings, strict=True):
        source, number = face.source, 1
        while (name, source) in there and (
            np.square(there[name, source] - row).sum() >= DUPLICATE_BELOW
        ):
            number += 1
            source = f"{face.source} ({number})"
        sources.append("" if (name, source) in there else source)
        there[name, source] = row
    return sources


_BEYOND_DOUBT = 1e6  # pixels or sharpness of a photograph that is enrolled, or cut out, already
_FARTHEST = 4.0  # squared distance: where no threshold is known, nobody is two people


def _doubtful(
    gallery: Gallery,
    model: Embedder,
    faces: Sequence[_Face],
    names: Sequence[str],
    sources: Sequence[str],
    embeddings: NDArray[np.float32],
) -> set[int]:
    """Tell which of the new faces had better not be enrolled; return their places."""
    from facenet_lib.alignment.photographs import read_photograph
    from facenet_lib.recognition.enrolment import check_enrolment, measure_sharpness

    new = [row for row, source in enumerate(sources) if source]
    boxes = [faces[row].box for row in new]
    sides = [_BEYOND_DOUBT if box is None else max(box.width, box.height) for box in boxes]
    crops = [faces[row].crop for row in new]
    sharpness = [
        _BEYOND_DOUBT if crop == _NOT_KEPT else measure_sharpness(read_photograph(crop))
        for crop in crops
    ]
    enrolled = [_BEYOND_DOUBT] * len(gallery.names)
    problems = check_enrolment(
        np.concatenate([gallery.embeddings, embeddings[new]]),
        [*gallery.names, *(names[row] for row in new)],
        [*gallery.sources, *(sources[row] for row in new)],
        _FARTHEST if model.threshold is None else model.threshold,
        sharpness=[*enrolled, *sharpness],
        face_sides=[*enrolled, *sides],
    )
    doubtful: set[int] = set()
    for problem in problems:
        of_person = {row for row in new if names[row] == problem.name}
        alone = {row for row in of_person if sources[row] == problem.source}
        rows = of_person if problem.kind == "two people" else alone
        if rows:
            print(f"facenet: {problem}", file=sys.stderr)
        doubtful |= rows
    return doubtful


def _listed(paths: Sequence[Path]) -> PhotographFolder:
    """The photographs that are named, and those in folders that are."""
    found: set[Path] = set()
    left_out: list[str] = []
    for path in paths:
        if path.is_dir():
            folder = find_photographs(path)
            found |= {(folder.root / name).resolve() for name in folder.photographs}
            left_out += [str(folder.root / name) for name in folder.left_out]
        elif path.is_file():
            found.add(path.resolve())
        else:
            raise FacenetError(f"{path}: expected a photograph or a folder of them, found nothing")
    whole = sorted(found)
    unwritable = [f"{str(path)!r}: rename it" for path in whole if not can_be_written(str(path))]
    refuse("names that no table can hold", unwritable)
    root = Path(_common_folder(whole))
    names = tuple(path.relative_to(root).as_posix() for path in whole)
    return PhotographFolder(root, names, tuple(left_out))


def _common_folder(paths: Sequence[PurePath]) -> PurePath:
    """The innermost folder that holds all files, which on Windows may lie on several drives."""
    for folder in paths[0].parents:
        if all(path.is_relative_to(folder) for path in paths):
            return folder
    drives = ", ".join(sorted({path.drive for path in paths}))
    raise FacenetError(f"expected photographs of one drive in a call, found some of {drives}")


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
