"""From paths, labels and controls to batches: the one ``tf.data`` pipeline."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import joblib
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from facenet_lib.checks import integer_problems, word_problems
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.input_pipeline.decoding import decode_as_stored, decode_upright
from facenet_lib.input_pipeline.formats import explain_undecodable
from facenet_lib.input_pipeline.orientation import are_surely_upright
from facenet_lib.input_pipeline.preprocessing import (
    CENTRE,
    as_pixels,
    cut_window,
    resize,
    standardize,
)
from facenet_lib.input_pipeline.rotation import LARGEST_ANGLE
from facenet_lib.input_pipeline.settings import Control, Preprocessing

_LARGEST_SEED = 2**128 - 1  # of the generator Philox
_PARALLEL_CALLS = joblib.cpu_count()  # of the cores that this process may use
_BATCHES_AHEAD = 2  # one is taken while one is made: more only hold memory

# How many more files are looked at once the first damaged one has been found.
_FURTHER_LOOK = 2000

# What reading and decoding raise; running out of memory, for one, is not among them.
_FILE_ERRORS = (
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.FailedPreconditionError,
    tf.errors.PermissionDeniedError,
    tf.errors.UnknownError,
)


def input_pipeline(
    paths: Sequence[str | os.PathLike[str]],
    labels: Sequence[int] | npt.NDArray[np.integer] | None = None,
    controls: int | Sequence[int] | npt.NDArray[np.integer] | None = None,
    *,
    preprocessing: Preprocessing,
    batch_size: int,
    seed: int = 0,
    first_index: int = 0,
    on_error: Literal["raise", "skip"] = "raise",
    shard: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Read, decode, augment, standardize and batch images, once through and in order.

    The article asks whether inference may leave out labels and controls: it may. This same
    function without them yields exactly what :func:`preprocess` makes of the images.

    Images are upright, as the EXIF orientation of their files asks. Whether any file has to be
    asked is found out when the pipeline is made, from the first bytes of each.

    Everything random about an image depends on ``(seed, first_index + its position)`` and on
    nothing else: neither on how many threads work nor on where a resumed run starts again.

    Args:
        paths: n image files, JPEG or PNG.
        labels: n class numbers, from 0; None: the batches have no labels.
        controls: None for ``preprocessing.control``, one :class:`Control` for all images, or n
            of them. Given controls decide everything, the standardization included: training
            usually passes ``preprocessing.control | Control.RANDOM_CROP | ...``.
        preprocessing: sizes and standardization.
        batch_size: images in a batch; the last batch holds what remains.
        seed: a non-negative integer for everything random.
        first_index: how many images were read before ``paths[0]`` in this run.
        on_error: what a damaged or missing file does: ``"raise"`` stops the iteration (see
            :func:`explained_errors`), ``"skip"`` leaves it out (see :func:`skipped_paths`).
        shard: ``(i, count)``: read only part i, from 0, of ``count`` equal parts of every batch.
            The parts of all shards are the batches of (0, 1), to the last bit; only these are of
            ``batch_size`` images.

    Returns:
        A dataset of dicts: ``"images"`` float32 (batch, image_size, image_size, 3),
        ``"indices"`` int64 (batch,), the images' positions in ``paths``, and, if labels were
        given, ``"labels"`` int64 (batch,). tf.data's tuning of it is off.

    Raises:
        FacenetError: if an argument cannot be used; all problems are told at once.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = f"{folder}/black.png"
    ...     tf.io.write_file(path, tf.io.encode_png(tf.zeros([8, 8, 3], tf.uint8)))
    ...     pipeline = input_pipeline([path], [4], preprocessing=Preprocessing(8), batch_size=2)
    ...     batches = list(pipeline.as_numpy_iterator())
    >>> batches[0]["images"].shape, batches[0]["labels"].tolist()
    ((1, 8, 8, 3), [4])
    """
    count = 0 if isinstance(paths, str | bytes | os.PathLike) else len(paths)
    given = preprocessing.control if controls is None else controls
    control_values = np.full(count, given) if np.ndim(given) == 0 else np.asarray(given)
    label_values = None if labels is None else np.asarray(labels)
    problems = [
        *_path_problems(paths),
        *([] if label_values is None else _label_problems(label_values, count)),
        *_control_problems(control_values, count),
        *integer_problems("batch_size", batch_size, at_least=1),
        *integer_problems("seed", seed, at_least=0, at_most=_LARGEST_SEED),
        *integer_problems("first_index", first_index, at_least=0),
        *word_problems("on_error", on_error, ("raise", "skip")),
    ]
    refuse("input pipeline", problems or _shard_problems(shard, batch_size, count))

    path_values = np.array([os.fspath(path) for path in paths], object)
    elements = {"path": path_values, "indices": np.arange(count)}
    if label_values is not None:
        elements["labels"] = label_values.astype(np.int64)
    elements |= _plan(control_values.astype(np.int64), seed, first_index)
    part, parts = shard
    of_shard = np.arange(count) % batch_size * parts // batch_size == part
    elements = {name: values[of_shard] for name, values in elements.items()}
    # A conditional for each image is left out where no image asks for it.
    decode = decode_as_stored if are_surely_upright(elements["path"].tolist()) else decode_upright

    # AutoGraph finds nothing to translate here, and its search takes a second of a start.
    @tf.autograph.experimental.do_not_convert
    def read_image(element: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        image = decode(tf.io.read_file(element.pop("path")))
        place, degrees = element.pop("place", CENTRE), element.pop("angle", None)
        window = cut_window(image, place, preprocessing, degrees)
        if "flip" in element:
            window = _flip(window, element.pop("flip"))
        return element | {"window": window}

    @tf.autograph.experimental.do_not_convert
    def finish_batch(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        windows = batch.pop("window")
        fixed = batch.pop("fixed", bool(control_values[0] & Control.FIXED_STANDARDIZATION))
        return {"images": standardize(resize(windows, preprocessing), fixed)} | batch

    dataset = tf.data.Dataset.from_tensor_slices(elements)
    dataset = dataset.map(read_image, num_parallel_calls=_PARALLEL_CALLS, deterministic=True)
    if on_error == "skip":
        dataset = dataset.ignore_errors()
    dataset = dataset.batch(batch_size // parts).map(finish_batch).prefetch(_BATCHES_AHEAD)
    return dataset.with_options(_untuned())


def _untuned() -> tf.data.Options:
    """Options without tf.data's tuning, which makes the end of a pass wait, often for seconds.

    The thread that tunes (TensorFlow 2.21) sleeps for longer and longer, and an iterator cannot
    end before it wakes.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def _flip(window: tf.Tensor, flip: tf.Tensor) -> tf.Tensor:
    """Mirror (height, width, 3) left to right if ``flip``.

    One image at a time: TensorFlow reverses rows of pixels several times faster in a tensor of
    rank 3 than in a batch, and half of the images need none of it.
    """
    return tf.cond(flip, lambda: tf.reverse(window, [1]), lambda: window)


def read_windows(
    paths: Sequence[str | os.PathLike[str]], preprocessing: Preprocessing
) -> Iterator[npt.NDArray[np.float32]]:
    """Read image files one after the other, each as the window that the network sees.

    Args:
        paths: image files, JPEG or PNG.
        preprocessing: says which window.

    Yields:
        Float32 (window_size, window_size, 3) of values 0 to 255.

    Raises:
        FacenetError: naming the files that cannot be read or decoded, once the first is reached.

    >>> list(read_windows(["nowhere.jpg"], Preprocessing()))
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: image files that cannot be used: nowhere.jpg: no such file
    """
    with explained_errors(paths):
        for batch in input_pipeline(paths, preprocessing=preprocessing.window_alone, batch_size=1):
            yield as_pixels(batch["images"][0]).numpy()


def skipped_paths(
    paths: Sequence[str | os.PathLike[str]], seen_indices: npt.ArrayLike
) -> list[str]:
    """The files that a pipeline with ``on_error="skip"`` left out.

    Args:
        paths: the paths that were given to :func:`input_pipeline`.
        seen_indices: every ``"indices"`` of its batches, put together.

    Returns:
        The paths whose index is missing, in their order; its length is their number.

    >>> skipped_paths(["whole.jpg", "damaged.jpg"], [0])
    ['damaged.jpg']
    """
    seen = np.zeros(len(paths), bool)
    seen[np.asarray(seen_indices, np.int64)] = True
    return [os.fspath(paths[i]) for i in np.flatnonzero(~seen).tolist()]


@contextmanager
def explained_errors(paths: Sequence[str | os.PathLike[str]]) -> Iterator[None]:
    """Say which files are at fault when iterating over a pipeline fails.

    TensorFlow's own error tells what went wrong but, for a damaged image, not where. This
    looks for the damaged files itself, from the first path on, so that finding the first
    takes no longer than the reading that came upon it, and then a bounded way further, so
    that neighbours in misfortune are named together.

    Args:
        paths: the paths that were given to :func:`input_pipeline`.

    Raises:
        FacenetError: naming every damaged file found and the reason. An error that no file
            explains is passed on unchanged.

    >>> with explained_errors(["a.jpg"]):
    ...     list(input_pipeline(["a.jpg"], preprocessing=Preprocessing(), batch_size=1))
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: image files that cannot be used: a.jpg: no such file
    """
    try:
        yield
    except _FILE_ERRORS:
        problems = [f"{path}: {_explain_unreadable(path)}" for path in _damaged(paths)]
        if not problems:
            raise
        try:
            refuse("image files that cannot be used", problems)
        except FacenetError as explained:
            raise explained from None


def _damaged(paths: Sequence[str | os.PathLike[str]]) -> list[str]:
    """The first damaged file among ``paths`` and those among the next few thousand."""

    @tf.autograph.experimental.do_not_convert
    def index_and_shape(index: tf.Tensor, path: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # The shape is asked for so that the decoding is not optimized away.
        return index, tf.shape(decode_as_stored(tf.io.read_file(path)))

    names = [os.fspath(path) for path in paths]
    dataset = tf.data.Dataset.from_tensor_slices(names).enumerate()
    dataset = dataset.map(index_and_shape, num_parallel_calls=_PARALLEL_CALLS, deterministic=True)
    dataset = dataset.ignore_errors().batch(256).with_options(_untuned())
    looked_at = 0
    damaged: list[int] = []
    for whole, _ in dataset.as_numpy_iterator():
        damaged += sorted(set(range(looked_at, whole[-1] + 1)) - set(whole.tolist()))
        looked_at = int(whole[-1]) + 1
        if damaged and looked_at > damaged[0] + _FURTHER_LOOK:
            break
    else:
        damaged += range(looked_at, len(names))
    return [names[i] for i in damaged[:_FURTHER_LOOK]]


def _explain_unreadable(path: str) -> str:
    if Path(path).is_dir():
        return "expected a file, found a folder"
    try:
        return explain_undecodable(Path(path).read_bytes())
    except FileNotFoundError:
        return "no such file"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _plan(
    controls: npt.NDArray[np.int64], seed: int, first_index: int
) -> dict[str, npt.NDArray[Any]]:
    """Decide what happens to every image; what no image asks for is left out.

    Mirroring commutes with standardization, so the random and the forced flip are one.

    Returns:
        ``"angle"`` float32 (n,) in degrees, ``"place"`` float32 (n, 2), the window's place as a
        fraction (down, right), ``"flip"`` bool (n,), ``"fixed"`` bool (n,) if images differ.
    """

    def asked(bit: Control) -> npt.NDArray[np.bool_]:
        return (controls & bit) != 0

    plan: dict[str, npt.NDArray[Any]] = {}
    uniform = _uniform(len(controls), seed, first_index)
    rotate, crop = asked(Control.RANDOM_ROTATE), asked(Control.RANDOM_CROP)
    if rotate.any():
        angle = (2 * uniform[:, 0] - 1) * np.float32(LARGEST_ANGLE)
        plan["angle"] = np.where(rotate, angle, np.float32(0))
    if crop.any():
        plan["place"] = np.where(crop[:, np.newaxis], uniform[:, 1:3], CENTRE)
    flip = (asked(Control.RANDOM_FLIP) & (uniform[:, 3] < 0.5)) ^ asked(Control.FLIP)
    if flip.any():
        plan["flip"] = flip
    fixed = asked(Control.FIXED_STANDARDIZATION)
    if fixed.any() and not fixed.all():
        plan["fixed"] = fixed
    return plan


def _uniform(count: int, seed: int, first_index: int) -> npt.NDArray[np.float32]:
    """Four numbers in [0, 1) for each of ``count`` images, float32 (count, 4).

    Philox is a generator with a counter: one step of the counter gives four numbers, so image i
    has step i to itself, and any part of a run draws what the whole run would have drawn.
    """
    bits = np.random.Philox(key=int(seed), counter=int(first_index)).random_raw(4 * count)
    # The upper 24 bits are what float32 holds exactly.
    return ((bits >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)).reshape(count, 4)


def _shard_problems(shard: tuple[int, int], batch_size: int, count: int) -> list[str]:
    part, parts = shard
    if not 0 <= part < parts:
        return [f"expected shard (i, count) with i from 0 and below count, found {shard}"]
    if parts > 1 and (batch_size % parts or count % batch_size):
        return [
            f"expected whole batches that {parts} shards can share equally, "
            f"found {count} images in batches of {batch_size}"
        ]
    return []


def _path_problems(paths: Sequence[str | os.PathLike[str]]) -> list[str]:
    if isinstance(paths, str | bytes | os.PathLike):
        return [f"expected paths to be a sequence of files, found the one {paths!r}"]
    problems = [] if len(paths) else ["expected at least one path, found none"]
    for i, path in enumerate(paths):
        if not isinstance(path, str | os.PathLike):
            problems.append(f"expected paths[{i}] to be a path, found {path!r}")
        elif not _is_file_name(os.fspath(path)):
            problems.append(
                f"expected paths[{i}] to be UTF-8 without a zero byte, found {path!r}; "
                "rename the file"
            )
    return problems


def _is_file_name(path: str | bytes) -> bool:
    """Whether TensorFlow, which takes names as UTF-8, can be given this one."""
    try:
        return isinstance(path, str) and b"\0" not in path.encode("utf-8")
    except UnicodeEncodeError:  # what os.fsdecode makes of other bytes
        return False


def _label_problems(labels: npt.NDArray[Any], count: int) -> list[str]:
    return _integers_problems("labels", labels, count, lambda label: label >= 0, "from 0")


def _control_problems(controls: npt.NDArray[Any], count: int) -> list[str]:
    expected = "made of " + ", ".join(f"{bit.name}={bit.value}" for bit in Control)
    return _integers_problems(
        "controls", controls, count, lambda control: control & ~sum(Control) == 0, expected
    )


def _integers_problems(
    name: str,
    values: npt.NDArray[Any],
    count: int,
    fits: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.bool_]],
    expected: str,
) -> list[str]:
    """Tell why ``values`` are no int64 (count,) of which every one fits."""
    if values.shape != (count,):
        return [f"expected {count} {name}, one for each path, found shape {values.shape}"]
    if count and (values.dtype.kind not in "iu" or values.max() > np.iinfo(np.int64).max):
        return [f"expected {name} to be int64 integers, found {values.dtype}"]
    wrong = np.flatnonzero(~fits(values.astype(np.int64)))
    where = [f"{name}[{row}] = {values[row]}" for row in wrong[:1]]
    return [f"expected {name} {expected}, found {found}" for found in where]
