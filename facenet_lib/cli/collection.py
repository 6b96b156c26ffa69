"""The command that embeds a collection on many machines: ``facenet embed-collection``."""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facenet_lib.alignment.detectors import LONGEST_SIDE
from facenet_lib.cli.alignment import detector_maker
from facenet_lib.cli.arguments import (
    MODEL_HELP,
    add_command,
    add_crop_arguments,
    count,
    tell_names_left_out,
)
from facenet_lib.cli.loading import load_model, name_for_other_folders
from facenet_lib.errors import FacenetError

if TYPE_CHECKING:
    from facenet_lib.embedding import PhotographFaces
    from facenet_lib.recognition.embedding_shards import EmbeddingShards
    from facenet_lib.recognition.gallery import Gallery


def add_embed_collection(commands: Any) -> None:
    """Add ``facenet embed-collection``."""
    parser = add_command(
        commands, "embed-collection", _embed_collection, "align and embed, on many machines"
    )
    parser.add_argument("photographs", metavar="PHOTOS", type=Path, help="a folder")
    parser.add_argument("out", metavar="OUT", type=Path, help="the folder to write: the shards")
    parser.add_argument("--model", metavar="MODEL", required=True, help=MODEL_HELP)
    parser.add_argument(
        "--rule",
        choices=("centre", "largest", "all", "one"),
        default="centre",
        help="which faces of a photograph, as facenet align takes it",
    )
    add_crop_arguments(parser)
    parser.add_argument(
        "--detector",
        metavar="NAME",
        default="mtcnn",
        help="as facenet align takes it; where several machines work, YuNet's file by its path",
    )
    parser.add_argument(
        "--shard-size",
        metavar="N",
        type=int,
        default=1000,
        help="photographs of a shard; 1000 if not named. A killed process loses one",
    )
    parser.add_argument(
        "--workers",
        metavar="N",
        type=int,
        help="processes on this machine; if not named, one for each core of the Ray cluster that "
        "runs here or that RAY_ADDRESS names, and without one, of this machine",
    )


def _embed_collection(options: argparse.Namespace) -> None:
    """Find the faces of all photographs in PHOTOS and write their embeddings to OUT, as Parquet.

    The faces are those of facenet align, the embeddings those of facenet embed. Ray shares the
    work out among processes, and among machines where it runs on several: these need PHOTOS, OUT
    and MODEL under the same paths. A call that was stopped goes on when it is given again; a
    process that was killed loses one shard, which another does.

    OUT/embeddings has a row for every embedded face, OUT/left_out for every other face and every
    photograph without, OUT/unusable.csv what could not be read. facenet enroll takes OUT.
    """
    from facenet_lib.collection import embed_collection

    model = name_for_other_folders(options.model)
    cut = {name: getattr(options, name) for name in ("crop", "size", "margin")}
    done = embed_collection(
        options.photographs,
        options.out,
        model,
        functools.partial(load_model, model),
        detector_maker(options.detector, LONGEST_SIDE, turn=False),
        rule=options.rule,
        detection=f"longest side {LONGEST_SIDE}",
        photographs_per_shard=options.shard_size,
        workers=options.workers,
        **{name: value for name, value in cut.items() if value is not None},
    )
    tell_names_left_out(done.left_out, "other file")
    print(
        f"{done.out}: {count(done.photographs, 'photograph')}, {done.done_before} of them done "
        f"before; {count(done.embeddings, 'embedding')}; "
        f"{count(done.without_face, 'photograph')} without a face, {done.unusable} unusable, see "
        "unusable.csv"
    )


def open_collection(
    options: argparse.Namespace, known: Gallery | None
) -> tuple[EmbeddingShards, PhotographFaces] | None:
    """Read PHOTOS of ``facenet enroll`` where they are shards; None where they are photographs.

    The collection's model and crops then stand in the options, which may name no others.

    Raises:
        FacenetError: when it is damaged, or no collection that a gallery can take.
    """
    from facenet_lib.recognition.embedding_shards import COLLECTION_FILE, open_shards

    if not (options.photographs / COLLECTION_FILE).is_file():
        return None
    named = [n for n in ("detector", "crop", "size", "margin") if getattr(options, n) is not None]
    named += ["aligned"] * options.aligned
    if named:
        words = ", ".join(f"--{name}" for name in named)
        options.parser.error(f"{words}: not for a collection, whose faces are embedded already")
    shards = open_shards(options.photographs)
    made = shards.alignment
    if made.rule == "all":
        raise FacenetError(
            f"{options.photographs}: expected one face of each photograph, found all of them"
        )
    if known is not None and known.alignment is None:
        raise FacenetError(
            f"{options.gallery}: was made of faces that were cut out before, and can take no other"
        )
    options.crop, options.size, options.margin = made.crop_kind, made.size, made.margin
    options.model = options.model or shards.fingerprint.model
    return shards, shards.faces()
