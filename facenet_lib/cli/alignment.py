"""Commands from photographs to faces: ``facenet align``."""

from __future__ import annotations

import argparse
import functools
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facenet_lib.cli.arguments import add_command
from facenet_lib.cli.loading import load_tensorflow
from facenet_lib.errors import FacenetError

if TYPE_CHECKING:
    from facenet_lib.alignment.faces import FaceDetector
    from facenet_lib.alignment.folders import Alignment

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
    _add_crop_arguments(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--detector",
        metavar="NAME",
        default="mtcnn",
        help="mtcnn, if not named; yunet, which is faster and whose file is downloaded once; or "
        "the path of that file, *.onnx",
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


def _add_crop_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=int, help="side of a crop in pixels; 160 if not named")
    parser.add_argument(
        "--rule",
        choices=("centre", "largest", "all", "one"),
        help="which faces of a photograph: the large one near its middle, if not named; the "
        "largest; all; or the only one, so that several are refused",
    )
    parser.add_argument(
        "--crop",
        choices=("reference", "square", "similarity"),
        help="the box with a margin, squeezed, if not named; a square around the box; or turned "
        "and scaled by the landmarks, so that all eyes are at the same places",
    )
    parser.add_argument(
        "--margin",
        type=float,
        help="how much wider than the face: pixels of the photograph for the crop reference, 32 "
        "if not named; as a part of the face for the others, 0.125",
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
        longest_side = 1000 if options.longest_side is None else options.longest_side
        done = align_photographs(
            options.photographs,
            options.out,
            _detector_maker(options.detector, longest_side, options.turn),
            detection=f"longest side {longest_side}",
            **{name: value for name, value in cut.items() if value is not None},
        )
    _tell(done, options.shard)


def _detector_maker(name: str, longest_side: int, turn: bool) -> Callable[[], FaceDetector]:
    """Return what makes the detector, in this process and others."""
    file = None
    if name == "yunet":
        from facenet_lib.published.fetching import fetch_file
        from facenet_lib.published.releases import YUNET

        file = fetch_file(YUNET)
    elif name.endswith(".onnx"):
        name, file = "yunet", Path(name)
    elif name != "mtcnn":
        raise FacenetError(
            f"--detector: expected mtcnn, yunet or the path of YuNet's .onnx file, found {name!r}"
        )
    return functools.partial(_make_detector, name, file, longest_side, turn)


def _make_detector(name: str, file: Path | None, longest_side: int, turn: bool) -> FaceDetector:
    if name == "mtcnn":
        load_tensorflow()
    from facenet_lib.alignment.detectors import make_detector

    return make_detector(name, file, longest_side=longest_side, turned=turn)


def _tell(done: Alignment, shard: tuple[int, int]) -> None:
    if done.left_out:
        print(
            f"facenet: left out {_count(len(done.left_out), 'other file')}, such as "
            f"{done.left_out[0]}",
            file=sys.stderr,
        )
    print(
        f"{done.out}: {_count(done.photographs, 'photograph')}, {done.done_before} of them done "
        f"before; {done.without_face} without a face, {done.with_one_face} with one, "
        f"{done.with_several_faces} with several, {done.unusable} unusable; "
        f"{_count(done.crops, 'crop')}"
    )
    print(f"{done.manifest}: every face, and why a photograph has no crop")
    if shard[1] > 1:
        print("the same command without --shard makes one faces.csv when all parts are done")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _shard(words: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", words)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f"expected a part such as 2/4, found {words!r}")
    return int(match[1]), int(match[2])
