"""A version's folder: its number, what its card says, and how it is written whole.

A SavedModel and the network of another runtime are written alike. Derived in chapter 7, "Export".
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from facenet_lib import __version__
from facenet_lib.checks import check_integer, number_problems
from facenet_lib.errors import FacenetError, refuse, shown
from facenet_lib.files import list_folder, open_whole_folder, read_json
from facenet_lib.input_pipeline.formats import MAX_PIXELS
from facenet_lib.input_pipeline.settings import Preprocessing
from facenet_lib.model_card import CARD, CARD_FOR_PEOPLE, ModelCard, version_folders
from facenet_lib.models import LoadedNetwork
from facenet_lib.runs.config import OLD_METRICS


def new_version(out: str | Path, version: int | None = None) -> Path:
    """Return the folder of a version that can be written to a model's folder.

    Args:
        out: the model's folder: new, empty, or one that holds versions.
        version: its number, at least 1; None: one more than the highest.

    Raises:
        FacenetError: when ``out`` is not free, or the version is there or no number.

    >>> new_version("models/facenet").as_posix()
    'models/facenet/1'
    """
    out = Path(out)
    if out.name.isdecimal():
        raise FacenetError(
            f"{out}: expected the model's folder, such as {out.parent}, in which the export makes "
            "the version's; found a name that is itself a version"
        )
    versions = version_folders(out)
    if not versions and out.exists() and (not out.is_dir() or list_folder(out)):
        raise FacenetError(
            f"{out}: already there; name a folder that is new, empty or holds versions"
        )
    if version is None:
        version = max(versions, default=0) + 1
    check_integer("version", version, at_least=1)
    if version in versions:
        raise FacenetError(f"{versions[version]}: already there; name another version")
    return out / str(version)


def write_version(folder: Path, write: Callable[[Path], None]) -> Path:
    """Write a version's folder whole, or nothing.

    Args:
        folder: of ``new_version``, whose parent is made where there is none.
        write: writes what belongs into the folder that it is given.

    Returns:
        ``folder``.
    """
    try:
        with open_whole_folder(folder) as part:
            write(part)
    finally:
        with contextlib.suppress(OSError):
            folder.parent.rmdir()  # only possible where nothing was written
    return folder


def write_card(folder: Path, card: ModelCard) -> None:
    """Write a model's card into a version's folder, for programs and for people."""
    (folder / CARD).parent.mkdir()
    (folder / CARD).write_text(card.to_json(), "utf-8")
    (folder / CARD_FOR_PEOPLE).write_text(card.to_markdown(), "utf-8")


def check_threshold(threshold: float | None, false_accept_rate: float | None) -> None:
    """Refuse a threshold without what it was chosen for, or one that is none."""
    if threshold is None and false_accept_rate is None:
        return
    problems = []
    for name, value in (("threshold", threshold), ("false_accept_rate", false_accept_rate)):
        if value is None:
            problems.append(f"expected both, found no {name}")
        else:
            problems += number_problems(name, value, _RANGES[name])
    refuse("threshold and false accept rate", problems)


# The card


def card_of(
    loaded: LoadedNetwork,
    dtype: str,
    evaluation: str | Path | None,
    threshold: float | None,
    false_accept_rate: float | None,
) -> ModelCard:
    """Return the card of an export, see :func:`facenet_lib.export.export_model`."""
    about: dict[str, Any] = dict(loaded.origin)
    figures = _last_evaluation(loaded)
    if evaluation is not None:
        figures = _read_evaluation(Path(evaluation), loaded.preprocessing)
    if figures is not None:
        about |= {name: figures[name] for name in _FIGURES} | {"evaluation": figures}
        about["threshold_chosen_for"] = "accuracy"
        if threshold is None and "chosen" in figures:
            threshold = figures["chosen"]["threshold"]
            false_accept_rate = figures["chosen"]["false_accept_rate"]
    if threshold is not None and false_accept_rate is not None:
        about |= {"threshold": float(threshold), "false_accept_rate": float(false_accept_rate)}
        about["threshold_chosen_for"] = "false_accept_rate"
    return ModelCard(
        facenet_lib=__version__,
        embedding_size=loaded.network.output_shape[1],
        dtype=dtype,
        preprocessing=dataclasses.asdict(loaded.preprocessing),
        max_pixels=MAX_PIXELS,
        **about,
    )


_RANGES = {
    "accuracy": "[0, 1]",
    "standard_error": "[0, 1]",
    "threshold": "[0, 4]",
    "false_accept_rate": "[0, 1]",
}
_FIGURES = ("accuracy", "standard_error", "threshold")
"""Of an evaluation, what stands in the card by itself."""
_AS_SERVED = {"metric": "sqeuclidean", "flip": False, "subtract_mean": False}


def _last_evaluation(loaded: LoadedNetwork) -> dict[str, Any] | None:
    """The run's last evaluation, if it compared embeddings as ``verify`` does."""
    how = {name: getattr(loaded.config, f"evaluate_{name}") for name in _AS_SERVED}
    return loaded.evaluation if how == _AS_SERVED else None


def _read_evaluation(path: Path, preprocessing: Preprocessing) -> dict[str, Any]:
    """The figures in a file that ``facenet evaluate --json`` wrote for this model."""
    expected = "what 'facenet evaluate --json' writes"
    figures = read_json(path, expected)
    of_server = "server" in figures
    needed = [*_FIGURES, *_AS_SERVED, *(["preprocessing"] if not of_server else [])]
    missing = [name for name in needed if name not in figures]
    if missing:
        raise FacenetError(
            f"{path}: expected {expected}, with {', '.join(missing)}, found "
            f"{shown(', '.join(figures)) if figures else 'nothing'}"
        )
    refuse(f"{path}: expected {expected}", _figure_problems(figures))
    figures |= {name: float(figures[name]) for name in _FIGURES}
    if isinstance(figures["metric"], str):
        figures["metric"] = OLD_METRICS.get(figures["metric"], figures["metric"])
    found = {name: figures[name] for name in (*_AS_SERVED, "preprocessing") if name in figures}
    if of_server:
        found["preprocessing"] = "that of a server, which does not tell it"
    as_served = _AS_SERVED | {"preprocessing": dataclasses.asdict(preprocessing)}
    problems = [
        f"evaluated with {name} {shown(found[name], 200)}, the model is exported with "
        f"{as_served[name]!r}"
        for name in as_served
        if found[name] != as_served[name]
    ]
    refuse(str(path), problems)
    return figures


def _figure_problems(figures: Mapping[str, Any]) -> list[str]:
    """Tell what is wrong with the numbers of an evaluation."""
    problems = []
    for name in _FIGURES:
        problems += number_problems(name, figures[name], _RANGES[name])
    chosen = figures.get("chosen", {})
    for name in ("threshold", "false_accept_rate") if "chosen" in figures else ():
        value = chosen.get(name) if isinstance(chosen, dict) else chosen
        problems += number_problems(f"chosen {name}", value, _RANGES[name])
    return problems
