"""What several commands' arguments have in common: how they are added, read and described."""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facenet_lib.errors import FacenetError

if TYPE_CHECKING:
    from facenet_lib.datasets import FoundFaces
    from facenet_lib.recognition.gallery import Gallery

FACES_HELP = (
    "a folder with one folder a person, 'lfw' (downloaded), or 'drawn'; folders that are called so "
    "are written ./lfw and ./drawn"
)
MODEL_HELP = (
    "the folder of a run, of imported weights, or of an exported model, or the address of a "
    "server: http://HOST:PORT/NAME for REST, grpc://HOST:PORT/NAME for gRPC, facenet if without "
    "NAME; or as facenet serve prints it"
)


def add_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], None], summary: str
) -> argparse.ArgumentParser:
    """Add a command that calls ``run``, whose docstring describes it, with the options found."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=run.__doc__
    )
    parser.set_defaults(command=run, parser=parser)
    return parser


NAMING_THRESHOLD_HELP = (
    "squared distance below which a face is named; if not named, the one that facenet gallery "
    "--false-positive-rate chose, else the model's for pairs"
)


def naming_threshold(
    named: float | None, path: Path, gallery: Gallery, of_pairs: float | None
) -> float:
    """Return what --threshold says, then what was chosen for the gallery, then the model's.

    One that was made for fewer people than the gallery holds is warned of on standard error.

    Args:
        named: with --threshold, or None.
        path: the gallery's file.
        gallery: what was read there.
        of_pairs: the model's own threshold, or None where it is not known.

    Raises:
        FacenetError: when none of the three is there.
    """
    if named is not None:
        return named
    people, chosen = len(gallery.people), gallery.threshold
    how = f"with 'facenet gallery {path} --false-positive-rate RATE'"
    if chosen is not None:
        # Its own people, if they were the strangers, were compared with all but themselves.
        if people > chosen.people + 1:
            _warn(
                f"the threshold was chosen for {chosen.people} people; among {people} more "
                f"strangers are named: choose again {how}"
            )
        return chosen.distance
    if of_pairs is None:
        raise FacenetError(f"{path}: no threshold is known; name --threshold, or choose one {how}")
    if people > 1:
        _warn(
            f"{of_pairs:.3f} is the model's threshold for pairs, which among {people} people names "
            f"more strangers than among one: choose one {how}"
        )
    return of_pairs


def _warn(words: str) -> None:
    print(f"facenet: warning: {words}", file=sys.stderr)


def share(words: str) -> float:
    """How argparse reads a rate."""
    with contextlib.suppress(ValueError):
        if 0 <= float(words) <= 1:
            return float(words)
    raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, found {words!r}")


def port(words: str) -> int:
    """How argparse reads a port; 0 is a free one."""
    if not re.fullmatch("[0-9]{1,5}", words) or int(words) > 65535:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 65535, found {words!r}")
    return int(words)


def check_folder_of(path: Path | None) -> None:
    """Refuse, before anything long is computed, a file that could not be written afterwards.

    Raises:
        FacenetError: if it is a folder, or in none that exists.
    """
    if path is not None and (path.is_dir() or not path.parent.is_dir()):
        raise FacenetError(f"{path}: expected a file in a folder that exists")


def count(number: int, what: str) -> str:
    """Return a number with its noun, such as "1 person" or "2 people"."""
    plural = "people" if what == "person" else f"{what}s"
    return f"{number} {what if number == 1 else plural}"


def tell_names_left_out(names: Sequence[str], what: str, why: str = "") -> None:
    """Say on standard error how many were left out, and the first of them; nothing of none."""
    if names:
        counted = f"{count(len(names), what)} {why}".rstrip()
        print(f"facenet: left out {counted}, such as {names[0]}", file=sys.stderr)


def tell_left_out(found: FoundFaces) -> None:
    """Say on standard error what was left out of a folder of faces, a line for each reason."""
    for told in found.left_out:
        print(f"facenet: {told}", file=sys.stderr)


def add_crop_arguments(parser: argparse.ArgumentParser, of_what: str = "") -> None:
    """Add how faces are cut out: ``--size``, ``--crop`` and ``--margin``, each None if not named.

    Args:
        parser: gets the options.
        of_what: what the help of each begins with.
    """
    parser.add_argument(
        "--size", type=int, help=f"{of_what}side of a crop in pixels; 160 if not named"
    )
    parser.add_argument(
        "--crop",
        choices=("reference", "square", "similarity"),
        help=f"{of_what}the box with a margin, squeezed, if not named; a square around the box; "
        "or turned and scaled by the landmarks, so that all eyes are at the same places",
    )
    parser.add_argument(
        "--margin",
        type=float,
        help=f"{of_what}how much wider than the face: pixels of the photograph for the crop "
        "reference, 32 if not named; as a part of the face for the others, 0.125",
    )
