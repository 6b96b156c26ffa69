"""What a training run is told: one frozen dataclass, read from YAML or the command line.

Apart from :mod:`facenet_lib.training` only so that ``facenet train --help`` can list every setting
without loading TensorFlow. Derived in chapter 6, "Training".
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from facenet_lib.errors import FacenetError, refuse, shown
from facenet_lib.files import is_reserved, read_text

RECIPES_FOLDER = Path(__file__).parents[1] / "recipes"
END_OF_TRAINING = -1.0
"""The learning rate that ends a run in a schedule, as in the reference's schedule files."""
END_POINTS = (
    "Mixed_5a",
    "Mixed_6a",
    "Mixed_6b",
    "Mixed_7a",
    "Mixed_8a",
    "Mixed_8b",
    "PreLogitsFlatten",
)
"""The network's end points, from the input to the output: whatever follows goes through them."""
OPTIMIZERS = ("ADAGRAD", "ADADELTA", "ADAM", "RMSPROP", "MOM")
"""The reference's optimizers by its names; :mod:`facenet_lib.training` makes them."""
TRIPLET_SELECTIONS = ("margin_violating", "semi_hard", "batch_hard")
"""How triplets are chosen; :mod:`facenet_lib.triplet_loss` does it."""

_OLD_NAMES = {"average_decay": "ema_decay", "gradient_norm": "clip_norm"}
OLD_METRICS = {"euclidean": "sqeuclidean", "cosine": "angular"}


def _setting(default: Any, about: str, lowest: float | None = None, below: float = math.inf) -> Any:
    """A field with its help text and its range ``[lowest, below)``."""
    metadata = {"help": about, "lowest": lowest, "below": below}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def _choice(about: str, words: Sequence[str], default: str | None = None) -> Any:
    """A field that is one of some words, by default the first."""
    metadata = {"help": f"{about}: {', '.join(filter(None, words))}", "words": words}
    return field(default=words[0] if default is None else default, metadata=metadata)


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides a run, apart from its images.

    The defaults are those of the reference's published recipe for VGGFace2 (its wiki page
    "Classifier training of Inception-ResNet-v1") on a full-size network: weeks on two cores.
    ``facenet train --help`` prints every setting with its meaning; here are those whose unit is
    not in the name.

    Attributes:
        image_size: pixels; see ``input_pipeline.Preprocessing`` for this and the next two.
        crop_size: pixels; 0 stands for the image size.
        frame_size: pixels; 0 stands for the whole image.
        epoch_size: batches in an epoch, which need not be one pass over the images.
        learning_rates: epoch (from 0) to the rate from that epoch on; -1 ends the run.
        ema_decay: at step n the averages, with which a run is evaluated and exported, keep
            the part ``min(ema_decay, (1 + n) / (10 + n))`` of themselves.
        softmax_scale: 0 stands for logits that are inner products; see
            ``softmax_heads.SoftmaxHead`` for this and the next two.
        images_per_person: in a batch of a triplet run, whose ``batch_size`` is a multiple of it.
        filter_distances: a file that ``facenet distances`` wrote; images further from the mean
            of their person than ``filter_percentile`` percent of all are left out.
        validation_part: what part of the images, or of the identities, is held out and never
            trained on; 0: none. By images, their cross-entropy and accuracy are measured; by
            identities, pairs of the people held out are verified.
        clip_norm: largest global norm of a gradient; 0 leaves it alone. Where a strategy has
            several replicas, each clips its own, of its share of the loss, before they are added.
        initial_model: folder of a run or of imported weights; the network begins with its
            weights. :func:`facenet_lib.models.network_settings` gives the settings that must
            agree with it.
        freeze_until: one of :data:`END_POINTS`; it and all before it keeps the initial model's
            weights and moving statistics.

    Raises:
        FacenetError: naming every setting that is of the wrong type or out of its range.

    Source: sections 2 to 6 of the article.
    """

    image_size: int = _setting(160, "side of the network's input in pixels", 1)
    crop_size: int = _setting(0, "side of the window cut from an image; 0: image_size", 0)
    frame_size: int = _setting(0, "centre square of an image that is used; 0: all of it", 0)
    standardization: str = _choice(
        "by (x - 127.5) / 128, or by each image's own", ("fixed", "per_image")
    )
    random_crop: bool = _setting(True, "cut the training window at random, not in the centre")
    random_flip: bool = _setting(True, "mirror a training image with probability one half")
    random_rotate: bool = _setting(False, "turn training images by up to 10 degrees")
    embedding_size: int = _setting(512, "length of an embedding", 1)
    width: float = _setting(1.0, "factor on the channels of every convolution", 0.01)
    blocks: tuple[int, int, int] = _setting((5, 10, 5), "residual blocks of the three stages", 0)
    dropout_rate: float = _setting(0.6, "part of the pooled features dropped", 0.0, 1.0)
    batch_norm_momentum: float = _setting(0.995, "kept of a moving average at a step", 0.0, 1.0)
    initial_model: str = _setting("", "run or model folder whose weights to begin with")
    freeze_until: str = _choice("train only what follows", ("", *END_POINTS))
    precision: str = _choice("of the convolutions", ("float32", "mixed_bfloat16"))
    loss: str = _choice("over the identities, or of triplets", ("softmax", "triplet"))
    batch_size: int = _setting(90, "images in a step", 2)
    epoch_size: int = _setting(1000, "steps in an epoch", 1)
    epochs: int = _setting(500, "epochs in the run, if its schedule does not end it before", 1)
    learning_rates: Mapping[int, float] = _setting(
        {0: 0.05, 100: 0.005, 200: 0.0005, 276: END_OF_TRAINING}, "schedule file, or epoch: rate"
    )
    optimizer: str = _choice("what makes a step of a gradient", OPTIMIZERS, "ADAM")
    adam_epsilon: float = _setting(0.1, "Adam's epsilon; a large one tames large rates", 1e-12)
    ema_decay: float = _setting(
        0.9999, "kept of the weights' moving averages (EMA) at a step; 0: no averages", 0.0, 1.0
    )
    clip_norm: float = _setting(0.0, "clip a replica's gradient to this global norm; 0: never", 0.0)
    softmax_scale: float = _setting(0.0, "logits are cosines times this; 0: plain logits", 0.0)
    softmax_margin: float = _setting(
        0.0, "taken from the cosine of an image's own identity (needs softmax_scale)", 0.0, 1.0
    )
    sampled_identities: int = _setting(
        0, "other identities in a step's softmax, drawn anew each time; 0: all", 0
    )
    triplet_margin: float = _setting(0.2, "margin of the triplet loss (alpha)", 1e-6)
    triplet_selection: str = _choice("which triplets", TRIPLET_SELECTIONS, "semi_hard")
    images_per_person: int = _setting(4, "images of each person in a batch of a triplet run", 2)
    center_loss_factor: float = _setting(0.0, "factor of the center loss", 0.0)
    center_loss_alpha: float = _setting(0.95, "kept of a center by one image", 0.0, 1.0)
    center_loss_divide: bool = _setting(False, "divide a center's update as the paper does")
    prelogits_norm_factor: float = _setting(5e-4, "factor of the prelogits norm", 0.0)
    prelogits_norm_p: float = _setting(1.0, "order of the prelogits norm", 1.0)
    weight_decay: float = _setting(5e-4, "factor of half the squares of the kernels", 0.0)
    minimum_images: int = _setting(1, "leave out people with fewer images than this", 1)
    filter_distances: str = _setting("", "file of the images' distances to their person's mean")
    filter_percentile: float = _setting(
        0.0, "keep images whose distance is within this percentile; 0: all", 0.0, 100.0
    )
    validation_part: float = _setting(0.0, "held out of the training for validation", 0.0, 1.0)
    validation_by: str = _choice("what is held out", ("images", "identities"))
    validate_every: int = _setting(1, "epochs between two validations", 1)
    evaluate_every: int = _setting(1, "epochs between two evaluations on the pairs", 1)
    evaluate_flip: bool = _setting(False, "evaluate with mirror images as well")
    evaluate_subtract_mean: bool = _setting(False, "evaluate without the embeddings' mean")
    evaluate_metric: str = _choice("distance in evaluations", ("sqeuclidean", "angular"))
    histograms_every: int = _setting(
        0, "epochs between two histograms of every weight in TensorBoard; 0: never", 0
    )
    checkpoint_every: int = _setting(
        0, "steps between two checkpoints inside an epoch; 0: only at its end", 0
    )
    damaged_images: str = _choice("stop at a damaged image, or leave it out", ("raise", "skip"))
    seed: int = _setting(0, "seed of all that is random in a run", 0, 2**32)

    def __post_init__(self) -> None:
        for name, convert in _CONVERSIONS.items():
            object.__setattr__(self, name, convert(getattr(self, name)))
        refuse("training configuration", _problems(vars(self)))

    def learning_rate(self, epoch: int) -> float:
        """Return the rate of ``epoch`` (from 0); :data:`END_OF_TRAINING` once it is over."""
        if epoch >= self.epochs:
            return END_OF_TRAINING
        started = max(first for first in self.learning_rates if first <= epoch)
        return self.learning_rates[started]

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as what JSON and YAML can hold."""
        settings = dataclasses.asdict(self)
        return settings | {"blocks": list(self.blocks), "learning_rates": dict(self.learning_rates)}


def recipe_names() -> list[str]:
    """Return the names of the configurations that come with the library.

    >>> "drawn_faces" in recipe_names()
    True
    """
    return sorted(path.stem for path in RECIPES_FOLDER.glob("*.yaml"))


def read_config(path: str | Path, **changes: Any) -> TrainingConfig:
    """Read a configuration from a YAML file of ``setting: value`` lines.

    Args:
        path: what :func:`read_settings` takes.
        changes: settings that take the place of the file's.

    Raises:
        FacenetError: when the file cannot be read, or naming every setting that is unknown,
            of the wrong type or out of its range.

    >>> read_config("drawn_faces", epochs=3).epochs
    3
    """
    return config_from_dict({**read_settings(path), **changes}, source=str(path))


def read_settings(path: str | Path) -> dict[str, Any]:
    """Read the settings that a YAML file names, without the defaults of the others.

    Args:
        path: a file, or the name of a recipe that comes with the library, one of
            :func:`recipe_names`; a file called like a recipe is written ``./NAME``. A schedule
            file, initial model or file of distances that it names is looked for beside it.

    Returns:
        Setting to value, for :func:`config_from_dict`, which looks at both.

    Raises:
        FacenetError: when the file cannot be read or holds something else.

    >>> read_settings("drawn_faces")["embedding_size"] == read_config("drawn_faces").embedding_size
    True
    """
    is_recipe = is_reserved(path, recipe_names(), "the recipe of that name", Path.is_file)
    file = RECIPES_FOLDER / f"{path}.yaml" if is_recipe else Path(path)
    if not file.exists():
        raise FacenetError(
            f"{path}: expected a YAML file or a recipe ({', '.join(recipe_names())}), found neither"
        )
    settings = rename_old_settings(_read_yaml(file))
    for name in ("learning_rates", "initial_model", "filter_distances"):
        if isinstance(settings.get(name), str) and settings[name]:
            settings[name] = str(file.parent / settings[name])
    return settings


def rename_old_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings of an older file the names, and the words, that they have today.

    >>> rename_old_settings({"average_decay": 0.99, "evaluate_metric": "cosine"})
    {'ema_decay': 0.99, 'evaluate_metric': 'angular'}
    """
    renamed = {
        # A file with both names is left as it is, and refused for the one that nobody knows.
        name if (new := _OLD_NAMES.get(name, name)) in settings else new: value
        for name, value in settings.items()
    }
    metric = renamed.get("evaluate_metric")
    if isinstance(metric, str) and metric in OLD_METRICS:
        renamed["evaluate_metric"] = OLD_METRICS[metric]
    return renamed


def config_from_dict(settings: Mapping[str, Any], source: str = "settings") -> TrainingConfig:
    """Make a configuration from a mapping of settings.

    Args:
        settings: name to value; what is not named has its default.
        source: how an error calls the mapping.

    Raises:
        FacenetError: naming every setting that is unknown, of the wrong type or out of range.

    >>> config_from_dict({"loss": "triplet", "batch_size": 60}).images_per_person
    4
    """
    defaults = vars(TrainingConfig())
    problems = [
        f"unknown setting {shown(name)}; known are {', '.join(defaults)}"
        for name in settings
        if name not in defaults
    ]
    known = {
        name: _CONVERSIONS[name](value) if name in _CONVERSIONS else value
        for name, value in settings.items()
        if name in defaults
    }
    refuse(source, problems + _problems(defaults | known))
    return TrainingConfig(**known)


def read_learning_rates(path: str | Path) -> dict[int, float]:
    """Read a schedule file of ``epoch: rate`` lines; ``#`` starts a comment, -1 ends the run.

    Args:
        path: the file, in the layout of the reference's learning_rate_schedule files.

    Returns:
        Epoch to rate, in the file's order.

    Raises:
        FacenetError: naming every line that is not ``epoch: rate``.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = Path(folder, "rates.txt").write_text("0: 0.05  # at first\\n100: 0.005\\n")
    ...     read_learning_rates(Path(folder, "rates.txt"))
    {0: 0.05, 100: 0.005}
    """
    rates: dict[int, float] = {}
    problems = []
    for number, line in enumerate(read_text(Path(path)).splitlines(), start=1):
        content = line.split("#")[0].strip()
        if not content:
            continue
        try:
            epoch, rate = content.split(":")
            if int(epoch) in rates:
                problems.append(f"line {number}: epoch {int(epoch)} stands twice")
            rates[int(epoch)] = float(rate)
        except ValueError:
            problems.append(f"line {number}: expected 'epoch: rate', found {shown(content)}")
    refuse(str(path), problems)
    return rates


class _SettingsLoader(yaml.SafeLoader):
    """Plain YAML, but 1e-3 is a number (YAML 1.1 wants 1.0e-3) and no key may stand twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = [key for number, key in enumerate(keys) if key in keys[:number]]
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"{shown(twice[0])} stands twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


_SettingsLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), "-+0123456789"
)


def _read_yaml(path: Path) -> dict[str, Any]:
    text = read_text(path)
    try:
        content = yaml.load(text, _SettingsLoader)  # a SafeLoader: it makes no objects
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # or a date of month 13
        raise FacenetError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise FacenetError(f"{path}: expected lines of 'setting: value', found {shown(text, 40)}")
    return content


def _as_schedule(rates: Any) -> Any:
    """A schedule in the order of its epochs, however it was given."""
    if isinstance(rates, str | Path):
        rates = read_learning_rates(rates)
    if not isinstance(rates, Mapping):
        return rates
    try:
        # JSON turns the epochs into strings.
        epochs = [int(epoch) if isinstance(epoch, str) else epoch for epoch in rates]
    except ValueError:
        return rates
    if len(set(epochs)) < len(epochs) or not all(_is_int(epoch) for epoch in epochs):
        return rates
    return dict(sorted(zip(epochs, rates.values(), strict=True)))


def _as_text(path: Any) -> Any:
    """A path in the one spelling that ./model and model/ share, so that they are one run's."""
    return str(Path(path)) if path and isinstance(path, str | Path) else path


_CONVERSIONS: Mapping[str, Callable[[Any], Any]] = {
    "blocks": lambda blocks: tuple(blocks) if isinstance(blocks, list) else blocks,
    "learning_rates": _as_schedule,
    "initial_model": _as_text,
    "filter_distances": _as_text,
}


def _problems(settings: Mapping[str, Any]) -> list[str]:
    """What is wrong with single settings, or else with several of them together."""
    problems = []
    for setting in dataclasses.fields(TrainingConfig):
        problems += _setting_problems(setting, settings[setting.name])
    return problems or list(_conflicts(SimpleNamespace(**settings)))


def _conflicts(config: Any) -> Iterator[str]:
    """What is wrong with settings each of which would do by itself."""
    if config.freeze_until and not config.initial_model:
        yield "freeze_until: expected an initial_model, whose weights are to be kept, found none"
    if config.softmax_margin and not config.softmax_scale:
        because = "because the margin is one of cosines"
        yield f"softmax_margin: expected a softmax_scale, {because}, found none"
    if bool(config.filter_percentile) != bool(config.filter_distances):
        found = f"{config.filter_percentile:g} and {config.filter_distances!r}"
        yield f"filter_percentile and filter_distances: expected both or neither, found {found}"
    if config.loss == "triplet":
        people, rest = divmod(config.batch_size, config.images_per_person)
        if rest or people < 2:
            expected = "a multiple of images_per_person, for at least 2 people"
            found = f"{config.batch_size} for {config.images_per_person} images each"
            yield f"batch_size: expected {expected}, found {found}"
        if config.validation_part and config.validation_by == "images":
            because = "because a triplet run has no classifier"
            yield f"validation_by: expected identities, {because}, found images"
    window, frame = config.crop_size or config.image_size, config.frame_size
    if frame and window > frame:
        yield f"frame_size: expected at least {window}, the window to be cut from it, found {frame}"


def _setting_problems(setting: dataclasses.Field[Any], value: Any) -> list[str]:
    name, about = setting.name, setting.metadata
    if name == "learning_rates":
        return _schedule_problems(value)
    if name == "blocks":
        return _blocks_problems(value)
    expected, fits = {
        "int": ("a whole number", _is_int(value)),
        "float": ("a number", _is_number(value)),
        "bool": ("true or false", isinstance(value, bool)),
        "str": ("a word", isinstance(value, str)),
    }[str(setting.type)]
    if fits and value not in about.get("words", (value,)):
        expected, fits = " or ".join(filter(None, about["words"])), False
    elif fits and about.get("lowest") is not None and not about["lowest"] <= value < about["below"]:
        limit = f" and below {about['below']}" if about["below"] < math.inf else ""
        expected, fits = f"at least {about['lowest']:g}{limit}", False
    return [] if fits else [f"{name}: expected {expected}, found {shown(value)}"]


def _blocks_problems(blocks: Any) -> list[str]:
    counts = blocks if isinstance(blocks, tuple) else ()
    if len(counts) == 3 and all(_is_int(count) and count >= 0 for count in counts):
        return []
    return [f"blocks: expected three counts of at least 0, found {shown(blocks)}"]


def _schedule_problems(rates: Any) -> list[str]:
    good = isinstance(rates, dict) and all(
        _is_int(epoch) and _is_number(rate) and (rate > 0 or rate == END_OF_TRAINING)
        for epoch, rate in rates.items()
    )
    if not good:
        return [f"learning_rates: expected epoch: positive rate or -1, found {shown(rates)}"]
    if min(rates, default=None) != 0 or rates[0] == END_OF_TRAINING:
        return [f"learning_rates: expected a positive rate for epoch 0, found {shown(rates)}"]
    return []


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return (_is_int(value) or isinstance(value, float)) and math.isfinite(value)
