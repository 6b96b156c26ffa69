"""Commands from photographs to faces: ``facenet align``."""

from __future__ import annotations

import argparse
import functools
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facenet_lib.alignment.detectors import LONGEST_SIDE
from facenet_lib.checks import check_integer
from facenet_lib.cli.arguments import (
    MODEL_HELP,
    add_command,
    add_crop_arguments,
    check_folder_of,
    count,
    tell_names_left_out,
)
from facenet_lib.cli.loading import load_tensorflow, open_embedder
from facenet_lib.errors import FacenetError
from facenet_lib.files import is_reserved

if TYPE_CHECKING:
    from facenet_lib.alignment.faces import Face, FaceDetector, Image
    from facenet_lib.alignment.folders import Alignment
    from facenet_lib.embedding import Embedder

_LICENCES = (
    "The code of both detectors is MIT. MTCNN's weights, of the package mtcnn, were trained on "
    "WIDER FACE, and the package's author calls them research-only; YuNet's file, also trained on "
    "WIDER FACE, is MIT."
)


def add_align(commands: Any) -> None:
    """Add ``facenet align``."""
    parser = add_command(commands, "align", _align, "find faces in photographs and cut them out")
    parser.epilog = _LICENCES
    parser.add_argument(
        "photographs", metavar="PHOTOS", type=Path, help="a folder: an album, or folders of people"
    )
    parser.add_argument(
        "out", metavar="OUT", type=Path, help="the folder to write: crops, and faces.csv"
    )
    parser.add_argument(
        "--rule",
        choices=("centre", "largest", "all", "one"),
        help="which faces of a photograph: the large one near its middle, if not named; the "
        "largest; all; or the only one, so that several are refused",
    )
    add_crop_arguments(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--detector",
        metavar="NAME",
        default="mtcnn",
        help="mtcnn, if not named; yunet, which loses fewer faces, is faster on small photographs, "
        "and whose file is downloaded once; or the path of that file, *.onnx "
        "(./NAME for one that is called like a detector)",
    )
    how.add_argument(
        "--from-manifest",
        metavar="FILE.csv",
        type=Path,
        help="take the faces from the faces.csv of an earlier call, and detect nothing; what is "
        "not named is then as it was",
    )
    parser.add_argument(
        "--longest-side",
        metavar="PIXELS",
        type=int,
        help="larger photographs are shrunk to this before faces are sought; 1000 if not named; "
        "more finds smaller faces and takes longer",
    )
    parser.add_argument(
        "--turn",
        action="store_true",
        help="find faces that lie on their side or head too; takes four times as long",
    )
    parser.add_argument(
        "--shard",
        metavar="I/N",
        type=_shard,
        default=(1, 1),
        help="do the I-th of N parts, on one of N machines; afterwards the same command without "
        "--shard, in a folder that has what all wrote, makes one faces.csv",
    )
    parser.add_argument(
        "--workers", type=int, help="processes; if not named, one per processor for many files"
    )


def _align(options: argparse.Namespace) -> None:
    """Find the faces of all photographs in PHOTOS, choose, and write crops and a table to OUT.

    OUT has the folders that PHOTOS has, so that facenet train and facenet evaluate take it as it
    is. faces.csv has every face that was found and what became of it. A call that was stopped
    goes on when it is given again.
    """
    from facenet_lib.alignment.folders import align_photographs, crop_again

    cut = {"rule": options.rule, "crop": options.crop, "size": options.size}
    cut |= {"margin": options.margin, "shard": options.shard, "workers": options.workers}
    if options.from_manifest:
        if options.longest_side is not None or options.turn:
            options.parser.error("--from-manifest: with it nothing is detected")
        done = crop_again(options.photographs, options.from_manifest, options.out, **cut)
    else:
        longest_side = LONGEST_SIDE if options.longest_side is None else options.longest_side
        done = align_photographs(
            options.photographs,
            options.out,
            detector_maker(options.detector, longest_side, options.turn),
            detection=f"longest side {longest_side}",
            **{name: value for name, value in cut.items() if value is not None},
        )
    _tell(done, options.shard)


def add_align_report(commands: Any) -> None:
    """Add ``facenet align-report``."""
    parser = add_command(
        commands, "align-report", _report, "tell how much a model minds another crop"
    )
    parser.epilog = _LICENCES
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("photographs", metavar="PHOTOS", type=Path, help="a folder")
    add_crop_arguments(parser)
    parser.add_argument(
        "--detector", metavar="NAME", default="mtcnn", help="as facenet align takes it"
    )
    parser.add_argument(
        "--most", metavar="N", type=int, default=50, help="photographs at most; 50 if not named"
    )
    parser.add_argument(
        "--threshold",
        type=float,
        help="squared distance below which two images are one person; if not named, the model's",
    )
    parser.add_argument("--picture", metavar="FILE.png", type=Path, help="draw the table too")


def _report(options: argparse.Namespace) -> None:
    """Cut the faces of PHOTOS out as MODEL wants them and in other ways, and compare.

    Of each photograph the face near its middle counts. The table has, for each change, the median
    and the ninth decile of the squared distance between the embeddings of the two crops, and the
    share of faces that are then no longer taken for themselves.
    """
    from facenet_lib.alignment.sensitivity import measure_sensitivity

    check_folder_of(options.picture)
    check_integer("--most", options.most, at_least=1)
    crop = options.crop or "reference"
    size = 160 if options.size is None else options.size
    detector = detector_maker(options.detector, LONGEST_SIDE, False)()
    faces = _chosen_faces(options.photographs, detector, options.most)
    with open_embedder(options.model) as model, tempfile.TemporaryDirectory() as folder:
        threshold = model.threshold if options.threshold is None else options.threshold
        embed = functools.partial(_embed_crops, model, Path(folder))
        table = measure_sensitivity(faces, embed, crop, size, options.margin)
    print(f"{'change':12} {'how much':18} {'median':>8} {'9th decile':>11} {'not the same':>13}")
    for row in table:
        median, high = np.quantile(row.distances, (0.5, 0.9))
        beyond = "" if threshold is None else f"{row.share_beyond(threshold):.0%}"
        print(f"{row.kind:12} {row.amount:18} {median:8.3f} {high:11.3f} {beyond:>13}")
    compared = "no threshold is known" if threshold is None else f"threshold {threshold:.3f}"
    print(f"{len(table[0].distances)} faces; squared distances of embeddings; {compared}")
    if options.picture:
        from facenet_lib.plots.alignment import crop_sensitivity
        from facenet_lib.plots.book_style import style, write_figure

        style()
        write_figure(crop_sensitivity(table, threshold), options.picture)
        print(options.picture)


def _chosen_faces(root: Path, detector: FaceDetector, most: int) -> Iterator[tuple[Image, Face]]:
    """The face near the middle of each photograph; tell how many have none or are unusable."""
    from tqdm import tqdm

    from facenet_lib.alignment.choosing import choose_face
    from facenet_lib.alignment.photographs import find_photographs, read_photograph

    found = find_photographs(root)
    without: list[str] = []
    unusable: list[str] = []
    names = found.photographs[:: max(1, len(found.photographs) // most)][:most]
    for name in tqdm(names, unit="photograph"):
        try:
            image = read_photograph(found.root / name)
        except FacenetError as error:
            unusable.append(str(error))
            continue
        chosen = choose_face(detector.detect([image])[0], image.shape[:2], "centre")
        if chosen:
            yield image, chosen[0]
        else:
            without.append(name)
    for told, reason in ((without, "without a face"), (unusable, "that cannot be used")):
        tell_names_left_out(told, "photograph", reason)


def _embed_crops(model: Embedder, folder: Path, crops: Sequence[Image]) -> np.ndarray:
    import PIL.Image

    paths = [folder / f"{number}.png" for number in range(len(crops))]
    for path, crop in zip(paths, crops, strict=True):
        PIL.Image.fromarray(crop).save(path)
    return model.embed(paths)


def detector_maker(name: str, longest_side: int, turn: bool) -> Callable[[], FaceDetector]:
    """Return what makes the detector that ``--detector`` names, in this process and others."""
    file = None
    if is_reserved(name, ["mtcnn", "yunet"], "the detector of that name", Path.is_file):
        if name == "yunet":
            from facenet_lib.published.fetching import fetch_file
            from facenet_lib.published.releases import YUNET

            file = fetch_file(YUNET)
    elif name.endswith(".onnx") or Path(name).is_file():
        name, file = "yunet", Path(name)
    else:
        raise FacenetError(
            f"--detector: expected mtcnn, yunet or the path of YuNet's .onnx file, found {name!r}"
        )
    # Other processes may have another current folder.
    return functools.partial(_make_detector, name, file and file.absolute(), longest_side, turn)


def _make_detector(name: str, file: Path | None, longest_side: int, turn: bool) -> FaceDetector:
    if name == "mtcnn":
        load_tensorflow()
    from facenet_lib.alignment.detectors import make_detector

    return make_detector(name, file, longest_side=longest_side, turned=turn)


def _tell(done: Alignment, shard: tuple[int, int]) -> None:
    tell_names_left_out(done.left_out, "other file")
    print(
        f"{done.out}: {count(done.photographs, 'photograph')}, {done.done_before} of them done "
        f"before; {done.without_face} without a face, {done.with_one_face} with one, "
        f"{done.with_several_faces} with several, {done.unusable} unusable; "
        f"{count(done.crops, 'crop')}"
    )
    print(f"{done.manifest}: every face, and why a photograph has no crop")
    if shard[1] > 1:
        print("the same command without --shard makes one faces.csv when all parts are done")


def _shard(words: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", words)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f"expected a part such as 2/4, found {words!r}")
    return int(match[1]), int(match[2])
