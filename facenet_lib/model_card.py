"""What a model says of itself: a card, JSON for programs and Markdown for people.

Those of an exported model stand in ``assets.extra`` of a version's folder, which TF Serving passes
over; that of imported weights is ``model.json`` of their folder. Whoever finds only the folder
reads there what images the model takes, how far its answers can be trusted, and what its
threshold was chosen for. Nothing here needs more than Python, so that a server or a page can read
a card without TensorFlow. Derived in chapter 7, "Export".
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from facenet_lib.errors import FacenetError, refuse
from facenet_lib.files import read_json

CARD = Path("assets.extra") / "facenet.json"
"""Where in a version's folder the card for programs is."""

WARMUP_REQUESTS = Path("assets.extra") / "tf_serving_warmup_requests"
"""Where in a version's folder TF Serving looks for requests that it plays before it answers any: a
TFRecord file of ``PredictionLog``."""

CARD_FOR_PEOPLE = Path("assets.extra") / "README.md"
"""Where in a version's folder the card for people is."""

CARD_OF_WEIGHTS = Path("model.json")
"""Where in a folder of imported weights their card is."""

WEIGHTS_FORMATS = ("tf1_checkpoint", "frozen_graph", "keras_h5", "facenet_pytorch")
"""The formats in which weights were published, see :mod:`facenet_lib.published`."""

MOST_EMBEDDING_SIZE = 4096
"""What the length of an embedding of published weights is believed up to."""

_LEAST_IMAGE_SIZE = 75  # network.MINIMUM_IMAGE_SIZE, which takes TensorFlow to load

INTENDED_USE = (
    "Comparing photographs of faces of people who agreed to it, and learning how that is done. "
    "Not for watching people, nor for decisions about them that nobody looks at again."
)
LIMITS = (
    "The face has to be where it was in the training images: upright, of about the same size, "
    "at the centre. Whatever the image shows is embedded, be it a face or not.",
    "The accuracy was measured on pairs of one kind. Faces of other cameras, ages, groups of "
    "people or poses can be told apart less well: measure on your own.",
    "Among many people rare mistakes become common: the false accept rate is that of one "
    "comparison.",
)


@dataclass(frozen=True)
class ModelCard:
    """What is known of a model; the fields are the names in an exported model's JSON.

    Attributes:
        facenet_lib: version of the library that exported it; None of imported weights.
        embedding_size: length of an embedding.
        dtype: ``"float32"`` or ``"bfloat16"``, of the network's weights and arithmetic.
        preprocessing: ``image_size``, ``crop_size``, ``frame_size`` and ``standardization``,
            see ``input_pipeline.Preprocessing``.
        max_pixels: height times width beyond which an image is marked as not valid.
        threshold: squared Euclidean distance, from 0 to 4, strictly below which two images are
            taken for one person; None: unknown, and then the model decides nothing.
        threshold_chosen_for: ``"accuracy"``, the best on the evaluation's pairs, or
            ``"false_accept_rate"``.
        false_accept_rate: share of pairs of different people that the threshold was chosen to
            accept; None where it was chosen for the accuracy.
        accuracy: mean over folds on the evaluation's pairs, from 0 to 1.
        standard_error: of the accuracy.
        evaluation: every figure of the evaluation.
        training: of a run: ``identities``, ``steps``, ``precision``, and ``initial_model`` where
            it began with another's weights.
        weights: of published weights, what ``model.json`` holds: ``source``, the name of the
            published file; ``weights_format``, one of :data:`WEIGHTS_FORMATS`; ``sha256``, of that
            file, of a checkpoint of its data file; ``embedding_size``; ``image_size``, the side of
            the network's input in pixels; ``standardization``; and ``training_set``, what they
            were trained on, or ``"unknown"``.
        alignment: of a model with the signature ``faces``: ``detector``, ``crop``, ``margin``,
            ``size`` and ``most_faces``, see ``alignment.GraphAlignment``.
        intended_use: what the model is meant for.
        limits: what to expect no more of.
    """

    facenet_lib: str | None
    embedding_size: int
    dtype: str
    preprocessing: Mapping[str, Any]
    max_pixels: int | None = None
    threshold: float | None = None
    threshold_chosen_for: str | None = None
    false_accept_rate: float | None = None
    accuracy: float | None = None
    standard_error: float | None = None
    evaluation: Mapping[str, Any] | None = None
    training: Mapping[str, Any] | None = None
    weights: Mapping[str, Any] | None = None
    alignment: Mapping[str, Any] | None = None
    intended_use: str = INTENDED_USE
    limits: tuple[str, ...] = LIMITS

    def to_json(self) -> str:
        """Return the card as a JSON object, one field a line."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    def to_markdown(self) -> str:
        """Return the card as a page that people read."""
        lines = [
            "# A FaceNet model",
            "",
            f"Exported by facenet_lib {self.facenet_lib}. From an image of a face it computes an "
            f"embedding of {self.embedding_size} numbers, computed in {self.dtype}; the smaller "
            "the squared Euclidean distance of two embeddings, the more likely both images show "
            "one person.",
            "",
            "## Images",
            "",
            *(f"- {line}" for line in self._images()),
            "",
            "## Data",
            "",
            *(f"- {name.replace('_', ' ')}: {value}" for name, value in self._data().items()),
            "",
            "## Accuracy",
            "",
            self._accuracy(),
            "",
            "## Threshold",
            "",
            self._threshold(),
            "",
            "## Limits",
            "",
            *(f"- {limit}" for limit in self.limits),
            "",
            "## Intended use",
            "",
            self.intended_use,
        ]
        return "\n".join(lines) + "\n"

    def _images(self) -> list[str]:
        image_size = self.preprocessing["image_size"]
        window = self.preprocessing.get("crop_size") or image_size
        frame = self.preprocessing.get("frame_size")
        of_what = f"of the central {frame} x {frame} pixels" if frame else "of the image"
        lines = [
            "JPEG or PNG of any size"
            + (f" up to {self.max_pixels:,} pixels" if self.max_pixels else ""),
            f"cut to {window} x {window} pixels at the centre {of_what}, black where it is smaller",
            f"standardized: {self.preprocessing.get('standardization')}",
        ]
        if window != image_size:
            lines.insert(2, f"resized to {image_size} x {image_size} pixels")
        if self.alignment:
            lines.append(
                "photographs too, by the signature `faces`: detector {detector}, crop {crop} of "
                "{size} pixels with margin {margin:g}, at most {most_faces} faces of each".format(
                    **self.alignment
                )
            )
        return lines

    def _data(self) -> Mapping[str, Any]:
        return self.training or self.weights or {"trained on": "unknown"}

    def _accuracy(self) -> str:
        if self.accuracy is None:
            return "Not measured. `facenet evaluate` measures it."
        error = "" if self.standard_error is None else f" +- {self.standard_error:.4f}"
        return (
            f"{self.accuracy:.4f}{error} (standard error over folds) of pairs answered rightly, "
            "those of a fold at the threshold that was best on the others."
        )

    def _threshold(self) -> str:
        if self.threshold is None:
            return "None is stored, so the model gives distances and no decisions."
        chosen = "the best accuracy on the evaluation's pairs"
        if self.false_accept_rate is not None:
            chosen = f"a false accept rate of {self.false_accept_rate:g}"
        return (
            f"Two images are taken for one person below {self.threshold:.4f}, chosen for {chosen}."
        )


def card_of_weights(weights: Mapping[str, Any]) -> ModelCard:
    """Return the card of imported weights.

    Args:
        weights: what ``model.json`` holds, see the ``weights`` of a :class:`ModelCard`.

    >>> weights = {"embedding_size": 512, "image_size": 160, "standardization": "fixed"}
    >>> card_of_weights(weights).preprocessing["image_size"]
    160
    """
    return ModelCard(
        facenet_lib=None,
        embedding_size=weights["embedding_size"],
        dtype="float32",
        preprocessing={
            "image_size": weights["image_size"],
            "crop_size": None,
            "frame_size": None,
            "standardization": weights["standardization"],
        },
        weights=weights,
    )


def read_card(folder: str | Path) -> ModelCard:
    """Read what is known of a model, without the model.

    Args:
        folder: a version's folder, as :func:`facenet_lib.export.export_model` wrote it, or one of
            imported weights, as :func:`facenet_lib.published.import_weights` did.

    Raises:
        FacenetError: when it has no card, or one that is damaged, telling all that is wrong
            with it at once.

    >>> read_card("nowhere")
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: nowhere/assets.extra/facenet.json: expected the card of ...
    """
    folder = Path(folder)
    exported, imported = folder / CARD, folder / CARD_OF_WEIGHTS
    card, card_of = "the card of a model that 'facenet export' wrote", "the card of a model folder"
    if _is_file(imported):
        found = read_json(imported, card_of)
        unknown = [f"{name}: unknown" for name in found if name not in _WEIGHTS_FIELDS]
        problems = _field_problems(found, _WEIGHTS_FIELDS, needed=_WEIGHTS_FIELDS)
        refuse(str(imported), unknown + problems)
        return card_of_weights(found)
    if not _is_file(exported):
        raise FacenetError(
            f"{exported}: expected {card}, or {imported}: expected {card_of}, found neither"
        )
    found = read_json(exported, card)
    refuse(f"{exported}: expected {card}", _field_problems(found, _FIELDS, needed=_NEEDED))
    # What a later version of the library added says nothing to this one.
    known = {name: value for name, value in found.items() if name in _FIELDS}
    if "limits" in known:
        known["limits"] = tuple(known["limits"])
    return ModelCard(**known)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # nobody may look
        return False


def _field_problems(
    found: Mapping[str, Any], fields: Mapping[str, _Field], needed: Container[str]
) -> list[str]:
    problems = []
    for name, (expected, fits) in fields.items():
        if name not in found:
            if name in needed:
                problems.append(f"{name}: missing, expected {expected}")
        elif not fits(found[name]):
            problems.append(f"{name}: expected {expected}, found {json.dumps(found[name])[:80]}")
    return problems


def version_folders(model: str | Path) -> dict[int, Path]:
    """Return the versions in a model's folder, as TF Serving finds them: by number, rising.

    Args:
        model: a model's folder, such as ``models/facenet``. Folders in it whose name is a number
            are versions; nothing else counts.

    Raises:
        FacenetError: when the folder may not be looked into.

    >>> version_folders("nowhere")
    {}
    """
    model = Path(model)
    try:
        if not model.is_dir():
            return {}
        named = {path.name: path for path in model.iterdir() if _may_be_folder(path)}
    except OSError as error:
        raise FacenetError(f"{model}: cannot be read: {error.strerror}") from error
    numbers = {name: int(name) for name in named if name.isascii() and name.isdecimal()}
    return {number: named[name] for name, number in sorted(numbers.items(), key=lambda n: n[1])}


def _may_be_folder(path: Path) -> bool:
    """Whether an entry is a folder; one that cannot be told about may be, and hides no other."""
    try:
        return path.is_dir()
    except OSError:
        return True


_Field = tuple[str, Callable[[Any], bool]]
"""What is expected of a field, in words and as a test."""


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_number(value: object, lowest: float, highest: float) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and lowest <= cast(float, value) <= highest


def _is_integer(value: object, lowest: int = 1, highest: float = math.inf) -> bool:
    return isinstance(value, int) and _is_number(value, lowest, highest)


def _or_null(expected: str, fits: Callable[[Any], bool]) -> _Field:
    return f"{expected}, or null", lambda value: value is None or fits(value)


def _one_of(words: Sequence[str], expected: str) -> _Field:
    return expected, lambda value: isinstance(value, str) and value in words


_SHARE = _or_null("a number from 0 to 1", lambda value: _is_number(value, 0, 1))
_DETAILS = _or_null("an object", _is_object)
_FIELDS: Mapping[str, _Field] = {
    "facenet_lib": ("a version", _is_text),
    "embedding_size": ("an integer of at least 1", _is_integer),
    "dtype": ("a dtype's name", _is_text),
    "preprocessing": (
        "an object with image_size",
        lambda value: _is_object(value) and _is_integer(value.get("image_size")),
    ),
    "max_pixels": _or_null("an integer of at least 1", _is_integer),
    "threshold": _or_null("a distance from 0 to 4", lambda value: _is_number(value, 0, 4)),
    "threshold_chosen_for": (
        "'accuracy', 'false_accept_rate' or null",
        lambda value: value in ("accuracy", "false_accept_rate", None),
    ),
    "false_accept_rate": _SHARE,
    "accuracy": _SHARE,
    "standard_error": _SHARE,
    "evaluation": _DETAILS,
    "training": _DETAILS,
    "weights": _DETAILS,
    "alignment": _DETAILS,
    "intended_use": ("a text", _is_text),
    "limits": (
        "a list of texts",
        lambda value: isinstance(value, list) and all(map(_is_text, value)),
    ),
}
_NEEDED = ("facenet_lib", "embedding_size", "dtype", "preprocessing")

_WEIGHTS_FIELDS: Mapping[str, _Field] = {
    "source": ("text", _is_text),
    "weights_format": _one_of(WEIGHTS_FORMATS, f"one of {', '.join(WEIGHTS_FORMATS)}"),
    "sha256": (
        "64 hexadecimal digits",
        lambda value: _is_text(value) and re.fullmatch("[0-9a-f]{64}", value) is not None,
    ),
    "embedding_size": (
        f"an integer from 1 to {MOST_EMBEDDING_SIZE}",
        lambda value: _is_integer(value, 1, MOST_EMBEDDING_SIZE),
    ),
    "image_size": (
        f"an integer of at least {_LEAST_IMAGE_SIZE}",
        lambda value: _is_integer(value, _LEAST_IMAGE_SIZE),
    ),
    "standardization": _one_of(("fixed", "per_image"), "fixed or per_image"),
    "training_set": ("text", _is_text),
}
