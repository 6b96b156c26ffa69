"""Which versions a model's folder holds, for TF Serving and the local server alike.

Derived in chapter 8, "Serving".
"""

from __future__ import annotations

from pathlib import Path

from facenet_lib.errors import FacenetError
from facenet_lib.model_card import version_folders

LARGEST_VERSION = 2**63 - 1
"""What the protocols can write; a folder with a larger number is no version."""


def is_version(folder: Path) -> bool:
    """Whether a folder is that of a version, whole enough to have a program."""
    return (folder / "saved_model.pb").is_file()


def complete_versions(model: Path) -> dict[int, Path]:
    """Return the versions that can be served, by number, rising.

    Raises:
        FacenetError: when the folder cannot be read.
    """
    try:
        return {
            number: folder
            for number, folder in version_folders(model).items()
            if number <= LARGEST_VERSION and is_version(folder)
        }
    except OSError as error:
        raise FacenetError(f"{model}: cannot be read: {error.strerror}") from error
