"""Commands that use a model: ``facenet evaluate`` and ``facenet embed``."""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facenet_lib.checks import check_integer
from facenet_lib.cli.arguments import (
    FACES_HELP,
    MODEL_HELP,
    add_command,
    check_folder_of,
    share,
)
from facenet_lib.cli.loading import open_embedder
from facenet_lib.errors import FacenetError
from facenet_lib.files import normalize_name

if TYPE_CHECKING:
    from facenet_lib.embedding import Embedder


def add_evaluate(commands: Any) -> None:
    """Add ``facenet evaluate``."""
    parser = add_command(commands, "evaluate", _evaluate, "verify pairs as LFW does")
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("faces", metavar="FACES", help=FACES_HELP)
    parser.add_argument("--pairs", type=Path, help="pairs file; FACES' own where not named")
    parser.add_argument("--json", metavar="OUT", type=Path, help="write the figures here")
    parser.add_argument(
        "--false-accept-rate",
        metavar="RATE",
        type=share,
        help="choose a threshold that accepts at most this share of the different pairs, too; "
        "facenet export --evaluation takes it from the --json file",
    )
    parser.add_argument(
        "--flip", action="store_true", help="add the embedding of the mirror image to each"
    )
    parser.add_argument(
        "--subtract-mean", action="store_true", help="subtract the embeddings' mean first"
    )
    parser.add_argument(
        "--metric",
        choices=("sqeuclidean", "angular"),
        default="sqeuclidean",
        help="squared distance, or angle; the squared distance if not named",
    )
    parser.add_argument(
        "--standardization",
        choices=("fixed", "per_image"),
        help="in place of what the model was trained with",
    )
    parser.add_argument(
        "--crop",
        metavar="PIXELS",
        type=int,
        help="side of the centre of an image that is used, in place of the model's",
    )


def _evaluate(options: argparse.Namespace) -> None:
    """Verify the pairs of a pairs file with MODEL's embeddings, ten-fold.

    A SavedModel or a server has its preprocessing inside: --standardization and --crop need the
    run or the imported weights. A server takes images as they are, so that --flip needs a folder.
    """
    from facenet_lib.datasets import open_faces
    from facenet_lib.files import write_text
    from facenet_lib.verification import EvaluationPairs, evaluate_pairs

    check_folder_of(options.json)
    if options.crop is not None:
        check_integer("--crop", options.crop, at_least=1)
    folder = open_faces(options.faces, options.pairs)
    if folder.pairs is None:
        raise FacenetError(f"{folder.root}: has no pairs.txt; name a pairs file with --pairs")
    pairs = EvaluationPairs.from_file(folder.pairs, folder.root)
    how: dict[str, Any] = {
        name: getattr(options, name) for name in ("flip", "subtract_mean", "metric")
    }
    changes = {"standardization": options.standardization, "crop_size": options.crop}
    with open_embedder(options.model, **changes) as model:
        _warn_of_known_people(model.identities, pairs.paths)
        embed = functools.partial(model.embed, flip=options.flip)
        result = evaluate_pairs(embed, pairs, options.metric, options.subtract_mean)
        how |= model.about
    print(result)
    rate = options.false_accept_rate
    if rate is not None:
        how["chosen"] = {"threshold": result.threshold_at(rate), "false_accept_rate": rate}
        print(f"threshold {how['chosen']['threshold']:.4f} for a false accept rate of {rate:g}")
    if options.json:
        write_text(options.json, json.dumps(result.to_dict() | how, indent=2) + "\n")


def _warn_of_known_people(identities: Sequence[str], paths: Sequence[str]) -> None:
    """Say that an accuracy is not one on unseen people, where the model knows whom it saw."""
    compared = {normalize_name(Path(path).parent.name) for path in paths}
    known = compared.intersection(identities)
    if known:
        print(
            f"facenet: warning: the model was trained on {len(known)} of the {len(compared)} "
            f"people in these pairs, such as {min(known)}: expect less on people it never saw",
            file=sys.stderr,
        )


def add_embed(commands: Any) -> None:
    """Add ``facenet embed``."""
    parser = add_command(commands, "embed", _embed, "compute embeddings of images")
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="JPEG or PNG files")
    parser.add_argument("--out", metavar="FILE.npz", type=Path, required=True)
    parser.add_argument(
        "--faces",
        action="store_true",
        help="the images are photographs: embed every face in them, with a model or server that "
        "was exported with --with-alignment",
    )


def _embed(options: argparse.Namespace) -> None:
    """Write embeddings, float32 (n, embedding_size), and paths of images to an .npz file.

    With --faces, a row for each face, and boxes, landmarks and scores beside it.
    """
    import numpy as np

    from facenet_lib.files import open_whole_file

    check_folder_of(options.out)
    with open_embedder(options.model) as model:
        if options.faces:
            arrays = _embed_faces(model, options.images)
        else:
            arrays = {"embeddings": model.embed(options.images), "paths": np.array(options.images)}
    with open_whole_file(options.out) as file:
        np.savez(file, **arrays)
    count, size = arrays["embeddings"].shape
    print(f"{options.out}: {count} embeddings of {size} numbers")


def _embed_faces(model: Embedder, photographs: Sequence[str]) -> dict[str, Any]:
    """Return the arrays of all faces; say how many photographs have none or cannot be used."""
    found = dict(vars(model.embed_faces(photographs)))
    unusable, of_all = found.pop("unusable"), set(photographs)
    if unusable:
        print(
            f"facenet: left out {len(unusable)} of {len(of_all)} photographs, which cannot be "
            f"decoded, such as {unusable[0]}",
            file=sys.stderr,
        )
    without = of_all - set(unusable) - set(found["paths"].tolist())
    print(f"{len(of_all)} photographs, {len(without)} of them without a face")
    return found
