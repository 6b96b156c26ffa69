"""Paths in environment variables mean the folder where the user stands; chapters run in book/."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_VARIABLES = ("FACENET_FACES", "FACENET_CACHE", "SCIKIT_LEARN_DATA")
_WORDS = ("drawn", "lfw")  # FACENET_FACES takes them, and no folder is meant


def resolve_user_paths() -> None:
    """Make the paths that the environment names absolute, for the processes started from here."""
    for variable in _VARIABLES:
        value = os.environ.get(variable)
        if value and value not in _WORDS:
            os.environ[variable] = str(Path(value).expanduser().absolute())


if __name__ == "__main__":  # python user_paths.py COMMAND WORD...: a command that finds them so
    resolve_user_paths()
    os.execvp(sys.argv[1], sys.argv[1:])
