"""Which versions a model's folder holds, for TF Serving and the local server alike.

Derived in chapter 8, "Serving".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from facenet_lib.errors import FacenetError
from facenet_lib.model_card import version_folders
from facenet_lib.runtimes import network_file

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
    return is_saved_model(folder) or network_file(folder) is not None


def is_saved_model(folder: Path) -> bool:
    """Whether a version is one for TensorFlow, and no network of another runtime."""
    return (folder / "saved_model.pb").is_file()


@dataclass(frozen=True)
class FoundVersions:
    """What a look at a model's folder found.

    Attributes:
        complete: folders of the versions that can be served, by number, rising.
        unreadable: why others cannot be read, by number.
    """

    complete: dict[int, Path]
    unreadable: dict[int, str]


def find_versions(model: Path) -> FoundVersions:
    """Look for a model's versions; one that cannot be read hides no other.

    Raises:
        FacenetError: when the model's folder itself cannot be read.
    """
    found = FoundVersions({}, {})
    for number, folder in version_folders(model).items():
        if number > LARGEST_VERSION:
            continue
        try:
            if is_version(folder):
                next(folder.iterdir())  # which may be forbidden, though its program is there
                found.complete[number] = folder
        except OSError as error:
            found.unreadable[number] = f"{folder}: cannot be read: {error.strerror}"
    return found


def complete_versions(model: Path) -> dict[int, Path]:
    """Return the versions that can be served, by number, rising.

    Raises:
        FacenetError: when the folder cannot be read.
    """
    return find_versions(model).complete


def check_model_folder(model: Path) -> None:
    """Refuse what is not the folder of a model, with a version or without.

    Raises:
        FacenetError: naming the folder that was meant, where that can be told.
    """
    try:
        there, version = model.is_dir(), is_version(model)
    except OSError as error:
        raise FacenetError(f"{model}: cannot be read: {error.strerror}") from error
    if not there:
        raise FacenetError(f"{model}: expected the folder of a model, found nothing there")
    if version:
        raise FacenetError(
            f"{model}: expected the folder that holds a model's numbered versions, found a "
            f"version; name {model.parent}"
        )


def check_versions(model: Path, versions: str | Sequence[int]) -> None:
    """Refuse numbers of versions of which a model has none at all.

    Args:
        model: the model's folder.
        versions: numbers; a word stands for whatever is there.

    Raises:
        FacenetError: with those that are there.
    """
    there = list(complete_versions(model))
    if not isinstance(versions, str) and there and not set(versions) & set(there):
        expected, found = (", ".join(map(str, numbers)) for numbers in (there, versions))
        raise FacenetError(f"{model}: versions: expected some of {expected}, found {found}")


def check_model_folders(models: Iterable[Path], versions: str | Sequence[int]) -> None:
    """Refuse what cannot be served, as far as a look at the folders tells: it takes no time.

    Raises:
        FacenetError: see ``check_model_folder`` and ``check_versions``.
    """
    for model in models:
        check_model_folder(model)
        check_versions(model, versions)
