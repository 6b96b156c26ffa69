"""Commands about faces: ``facenet draw-faces``, ``draw-photographs`` and ``distances``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from facenet_lib.checks import check_integer
from facenet_lib.cli.arguments import (
    FACES_HELP,
    MODEL_HELP,
    add_command,
    check_folder_of,
    tell_left_out,
)
from facenet_lib.cli.loading import open_embedder


def add_draw_faces(commands: Any) -> None:
    """Add ``facenet draw-faces``."""
    parser = add_command(commands, "draw-faces", _draw_faces, "draw a folder of made-up faces")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write")
    parser.add_argument("--identities", type=int, default=300, help="people, test people included")
    parser.add_argument("--images-per-identity", type=int, default=16, help="images of each")
    parser.add_argument("--test-identities", type=int, help="people in pairs.txt; None: a fifth")
    parser.add_argument("--seed", type=int, default=0, help="equal seeds draw equal faces")
    parser.add_argument("--size", type=int, default=160, help="side of an image in pixels")
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter


def _draw_faces(options: argparse.Namespace) -> None:
    """Draw made-up people in LFW's layout, with pairs.txt, people.txt and peopleDevTrain.txt."""
    from facenet_lib.drawn_faces.dataset import write_faces

    drawn = write_faces(
        options.out,
        options.identities,
        options.images_per_identity,
        seed=options.seed,
        size=options.size,
        test_identities=options.test_identities,
    )
    print(
        f"{drawn.root}: {drawn.images} images; {len(drawn.train_names)} people to train on, "
        f"{len(drawn.test_names)} in {drawn.pairs} pairs to test on"
    )


def add_draw_photographs(commands: Any) -> None:
    """Add ``facenet draw-photographs``."""
    parser = add_command(
        commands, "draw-photographs", _draw_photographs, "draw photographs of made-up people"
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write")
    parser.add_argument("--photographs", type=int, default=100, help="photographs to draw")
    parser.add_argument("--identities", type=int, default=300, help="people who may be in them")
    parser.add_argument(
        "--first-identity",
        type=int,
        default=0,
        help="first of these people, as draw-faces numbers them; it tests on the last",
    )
    parser.add_argument(
        "--per-person",
        action="store_true",
        help="draw as many photographs for each person, who is in the middle, in their own folder",
    )
    parser.add_argument("--seed", type=int, default=0, help="equal seeds draw equal photographs")
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter


def _draw_photographs(options: argparse.Namespace) -> None:
    """Draw photographs of made-up people, and faces.csv, which says where their faces are."""
    from facenet_lib.drawn_faces.photographs import write_photographs

    check_integer("--identities", options.identities, at_least=1)
    first = check_integer("--first-identity", options.first_identity, at_least=0)
    drawn = write_photographs(
        options.out,
        options.photographs,
        range(first, first + options.identities),
        seed=options.seed,
        per_person=options.per_person,
    )
    print(f"{drawn.root}: {drawn.photographs} photographs, {drawn.faces} faces in faces.csv")


def add_distances(commands: Any) -> None:
    """Add ``facenet distances``."""
    parser = add_command(
        commands,
        "distances",
        _distances,
        "measure how far each image is from its person's mean",
    )
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("faces", metavar="FACES", help=FACES_HELP)
    parser.add_argument("--people", type=Path, help="people file, as the training will have it")
    parser.add_argument("--pairs", type=Path, help="pairs file, as the training will have it")
    parser.add_argument("--out", metavar="FILE.csv", type=Path, required=True)


def _distances(options: argparse.Namespace) -> None:
    """Write each image's distance to the mean of its person's, for train --filter-distances."""
    from facenet_lib.datasets import find_training_faces, open_faces
    from facenet_lib.filtering import distances_to_centers, write_distances
    from facenet_lib.index_queue import image_and_label_lists

    check_folder_of(options.out)
    found = find_training_faces(open_faces(options.faces, options.pairs, options.people))
    tell_left_out(found)
    faces = found.faces
    paths, labels = image_and_label_lists(faces)
    with open_embedder(options.model) as model:
        distances = distances_to_centers(model.embed(paths), labels)
    write_distances(options.out, faces, distances)
    print(f"{options.out}: {len(paths)} images of {len(faces)} people")
