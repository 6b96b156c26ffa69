"""What several commands' arguments have in common: how they are added, read and described."""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from facenet_lib.errors import FacenetError

FACES_HELP = "a folder with one folder a person, 'lfw' (downloaded), or 'drawn'"
MODEL_HELP = (
    "the folder of a run, of imported weights, or of an exported SavedModel, or the address of a "
    "server: http://HOST:PORT/NAME for REST, grpc://HOST:PORT/NAME for gRPC; facenet if without "
    "NAME"
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
