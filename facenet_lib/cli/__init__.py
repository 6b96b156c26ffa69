"""The command ``facenet``."""

from facenet_lib.cli.commands import (
    main,
)

__all__ = [
    "main",
]
