"""What an exported model says of itself: a card, JSON for programs and Markdown for people.

Both stand in ``assets.extra`` of a version's folder, which TF Serving passes over. Whoever finds
only the folder reads there what images the model takes, how far its answers can be trusted, and
what its threshold was chosen for. Nothing here needs more than Python, so that a server or a
page can read a card without TensorFlow. Derived in chapter 7, "Export".
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from facenet_lib.errors import FacenetError, refuse

CARD = Path("assets.extra") / "facenet.json"
"""Where in a version's folder the card for programs is."""

CARD_FOR_PEOPLE = Path("assets.extra") / "README.md"
"""Where in a version's folder the card for people is."""

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
    """What is known of an exported model; the fields are the names in its JSON.

    Attributes:
        facenet_lib: version of the library that exported it.
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
        weights: of published weights: their own card, see ``pretrained.ModelCard``.
        intended_use: what the model is meant for.
        limits: what to expect no more of.
    """

    facenet_lib: str
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


def read_card(folder: str | Path) -> ModelCard:
    """Read what an exported model says of itself, without the model.

    Args:
        folder: a version's folder, as ``export.export_model`` wrote it.

    Raises:
        FacenetError: when it has no card, or one that is damaged, telling all that is wrong
            with it at once.
    """
    path = Path(folder) / CARD
    expected_card = "expected the card of a model that 'facenet export' wrote"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FacenetError(f"{path}: {expected_card}, found: {error!r}") from error
    if not isinstance(found, dict):
        raise FacenetError(f"{path}: {expected_card}, found no object")
    problems = []
    for name, (expected, fits) in _FIELDS.items():
        if name not in found:
            if name in _NEEDED:
                problems.append(f"{name}: missing, expected {expected}")
        elif not fits(found[name]):
            problems.append(f"{name}: expected {expected}, found {json.dumps(found[name])[:80]}")
    refuse(f"{path}: {expected_card}", problems)
    # What a later version of the library added says nothing to this one.
    known = {name: value for name, value in found.items() if name in _FIELDS}
    if "limits" in known:
        known["limits"] = tuple(known["limits"])
    return ModelCard(**known)


def version_folders(model: str | Path) -> dict[int, Path]:
    """Return the versions in a model's folder, as TF Serving finds them: by number, rising.

    Args:
        model: a model's folder, such as ``models/facenet``. Folders in it whose name is a number
            are versions; nothing else counts.

    Raises:
        FacenetError: when the folder may not be looked into.
    """
    model = Path(model)
    try:
        if not model.is_dir():
            return {}
        named = {path.name: path for path in model.iterdir() if path.is_dir()}
    except OSError as error:
        raise FacenetError(f"{model}: cannot be read: {error.strerror}") from error
    numbers = {name: int(name) for name in named if name.isascii() and name.isdecimal()}
    return {number: named[name] for name, number in sorted(numbers.items(), key=lambda n: n[1])}


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_number(lowest: float, highest: float) -> Callable[[object], bool]:
    def fits(value: object) -> bool:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and lowest <= cast(float, value) <= highest

    return fits


def _or_none(fits: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or fits(value)


_SHARE = ("a number from 0 to 1, or null", _or_none(_is_number(0, 1)))
_DETAILS = ("an object, or null", _or_none(_is_object))
_FIELDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "facenet_lib": ("a version", _is_text),
    "embedding_size": ("an integer of at least 1", _is_count),
    "dtype": ("a dtype's name", _is_text),
    "preprocessing": (
        "an object with image_size",
        lambda value: _is_object(value) and _is_count(value.get("image_size")),
    ),
    "max_pixels": ("an integer of at least 1, or null", _or_none(_is_count)),
    "threshold": ("a distance from 0 to 4, or null", _or_none(_is_number(0, 4))),
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
    "intended_use": ("a text", _is_text),
    "limits": (
        "a list of texts",
        lambda value: isinstance(value, list) and all(map(_is_text, value)),
    ),
}
_NEEDED = ("facenet_lib", "embedding_size", "dtype", "preprocessing")
