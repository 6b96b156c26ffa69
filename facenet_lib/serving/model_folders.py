"""Which versions a model's folder holds, for TF Serving and the local server alike.

Derived in chapter 8, "Serving".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from facenet_lib.errors import FacenetError
from facenet_lib.model_card import version_folders

LARGEST_VERSION = 2**63 - 1
"""What the protocols can write; a folder with a larger number is no version."""


def latest_count(versions: str | Sequence[int]) -> int | None:
    """Return how many of the newest versions are meant; None where they are chosen otherwise.

    >>> latest_count("latest"), latest_count("latest:3"), latest_count("all"), latest_count([2, 5])
    (1, 3, None, None)
    """
    if not isinstance(versions, str):
        return None
    found = re.fullmatch("latest(?::([1-9][0-9]{0,8}))?", versions)
    return int(found[1] or 1) if found else None


def versions_problems(versions: str | Sequence[int]) -> list[str]:
    """Tell why ``versions`` says of no folder which of its versions are to be served."""
    if isinstance(versions, str):
        fits = versions == "all" or latest_count(versions) is not None
    else:
        fits = bool(versions) and all(type(one) is int and one >= 0 for one in versions)
    expected = "latest, latest:N, all or numbers"
    return [] if fits else [f"versions: expected {expected}, found {versions!r}"]


def choose_versions(versions: str | Sequence[int], there: Iterable[int]) -> list[int]:
    """Return which of the versions that are there are to be served, the newest first.

    >>> choose_versions("latest:2", [1, 2, 3]), choose_versions([1, 7], [1, 2, 3])
    ([3, 2], [1])
    """
    if isinstance(versions, str):
        return sorted(there, reverse=True)[: latest_count(versions)]
    return sorted(set(versions) & set(there), reverse=True)


def label_problems(
    labels: Mapping[str, int], versions: str | Sequence[int], folder: Path
) -> list[str]:
    """Tell which labels stand for no version of a model's folder that is to be served."""
    served = choose_versions(versions, complete_versions(folder))
    known = ", ".join(map(str, served)) or "none"
    return [
        f"{folder}: label {label!r}: expected one of the versions that are served, {known}, "
        f"found {version}"
        for label, version in labels.items()
        if version not in served
    ]


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
