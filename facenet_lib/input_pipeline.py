"""From image files to standardized, augmented, labelled batches.

Stands for the article's sections 3 and 4: the input queue of (path, label, control) and
``create_input_pipeline``. What TF 1 did in queue-runner threads is one ``tf.data`` pipeline
here, and what its control bits asked for is decided for every image before the first file is
read. Evaluation, export and training share :func:`preprocess`, so they cannot disagree.
Derived in chapter 3, "Input pipeline".
"""

from __future__ import annotations

import enum
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from facenet_lib.errors import FacenetError, refuse

MAX_PIXELS = 25_000_000
"""Height times width beyond which an image is refused where strangers send it: 75 MB decoded."""


class Control(enum.IntFlag):
    """What to do with one image: the bits of the reference implementation, which may be added."""

    #: Turn the image by an angle drawn uniformly from -10 to 10 degrees.
    RANDOM_ROTATE = 1
    #: Cut the window at a random place of the frame; without this bit, at its centre.
    RANDOM_CROP = 2
    #: Mirror left to right with probability one half.
    RANDOM_FLIP = 4
    #: Standardize with (x - 127.5) / 128; without this bit, by the image's own mean and deviation.
    FIXED_STANDARDIZATION = 8
    #: Mirror left to right always (after the random flip).
    FLIP = 16


@dataclass(frozen=True)
class Preprocessing:
    """How a face image becomes the network's input; training, evaluation and export share it.

    Attributes:
        image_size: side of the network's square input, in pixels.
        crop_size: side of the square window that is cut from the frame; None: ``image_size``.
            A window of another size than ``image_size`` is resized to it.
        frame_size: side of the centre square of the source image that may be seen at all;
            None: the whole image. Where the source is smaller than the window, the window is
            padded with zeros (black) on all sides alike.
        standardization: ``"fixed"`` for (x - 127.5) / 128, ``"per_image"`` for zero mean and
            unit deviation of every image.

    Raises:
        FacenetError: if a size is below 1, the window larger than the frame, or the
            standardization unknown.
    """

    image_size: int = 160
    crop_size: int | None = None
    frame_size: int | None = None
    standardization: Literal["fixed", "per_image"] = "fixed"

    def __post_init__(self) -> None:
        problems = []
        for name in ("image_size", "crop_size", "frame_size"):
            size = getattr(self, name)
            optional = name != "image_size"
            if not (optional and size is None) and not (_is_integer(size) and size >= 1):
                problems.append(f"expected {name} to be an integer of at least 1, found {size!r}")
        if not problems and self.frame_size is not None and self.window_size > self.frame_size:
            problems.append(
                f"expected the window to fit the frame, found a window of {self.window_size} "
                f"pixels in a frame_size of {self.frame_size}"
            )
        if self.standardization not in ("fixed", "per_image"):
            problems.append(
                "expected standardization to be 'fixed' or 'per_image', "
                f"found {self.standardization!r}"
            )
        refuse("preprocessing", problems)

    @property
    def window_size(self) -> int:
        """Side of the window that is cut from the source image, in pixels."""
        return self.image_size if self.crop_size is None else self.crop_size

    @property
    def control(self) -> Control:
        """The control bits of inference: the standardization and no augmentation."""
        return Control.FIXED_STANDARDIZATION if self.standardization == "fixed" else Control(0)


def decode_image(encoded: tf.Tensor | bytes) -> tf.Tensor:
    """Decode one JPEG or PNG file to RGB.

    Grey and palette images become RGB; an alpha channel is dropped without blending, as the
    colours under it are what the camera saw; of 16-bit samples the high byte is kept; CMYK
    JPEGs are converted without a colour profile. An EXIF orientation is not applied, as in the
    reference. Truncated files are refused, and so are images of more than :data:`MAX_PIXELS`,
    by their header, before memory is taken for them.

    Args:
        encoded: scalar string tensor or Python bytes, the bytes of the file.

    Returns:
        uint8 (height, width, 3).

    Raises:
        FacenetError: if ``encoded`` is no scalar string, or the bytes are no whole JPEG or PNG
            of a size that is taken; the message names the format or the size that was found.
            (Inside a ``tf.function`` such bytes raise ``tf.errors.InvalidArgumentError``.)
    """
    try:
        encoded = tf.convert_to_tensor(encoded)
    except (TypeError, ValueError):
        raise FacenetError(
            f"image: expected the bytes of one file, found {type(encoded).__name__}"
        ) from None
    if encoded.dtype != tf.string or encoded.shape.rank not in (0, None):
        raise FacenetError(
            "image: expected the bytes of one file, a scalar string, "
            f"found {encoded.dtype.name} of shape {encoded.shape}"
        )
    if not tf.executing_eagerly():
        return _decode(encoded, bounded=True)
    try:
        return _decode(encoded, bounded=True)
    except tf.errors.OpError:
        file = bytes(encoded.numpy())
        raise FacenetError(f"image: {_why_too_large(file) or _why_undecodable(file)}") from None


def preprocess(images: tf.Tensor, preprocessing: Preprocessing) -> tf.Tensor:
    """Cut, resize and standardize images without augmentation: the input of inference.

    Args:
        images: uint8 or floating (n, height, width, 3), values 0 to 255.
        preprocessing: sizes and standardization.

    Returns:
        float32 (n, image_size, image_size, 3).

    Raises:
        FacenetError: if ``images`` has another rank, number of channels or dtype.
    """
    images = tf.convert_to_tensor(images)
    if images.shape.rank != 4 or images.shape[-1] != 3:
        raise FacenetError(f"images: expected shape (n, height, width, 3), found {images.shape}")
    if not (images.dtype == tf.uint8 or images.dtype.is_floating):
        raise FacenetError(f"images: expected uint8 or floats, found {images.dtype.name}")
    fixed = preprocessing.standardization == "fixed"
    return _standardize(_resize(_window(images, _CENTRE, preprocessing), preprocessing), fixed)


def decode_and_preprocess(
    encoded: tf.Tensor, preprocessing: Preprocessing
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decode and preprocess a batch of image files of any sizes, inside a graph if need be.

    One damaged file does not fail its batch: its row is zero and marked, and so is that of an
    image of more than :data:`MAX_PIXELS`. The files are decoded in parallel, by operations that
    a SavedModel can hold, and of each only the window is kept: there are never more whole images
    in memory than the machine has processors.

    Args:
        encoded: string (n,), the bytes of n JPEG or PNG files; n may be 0.
        preprocessing: sizes and standardization.

    Returns:
        ``images``, float32 (n, image_size, image_size, 3), and ``valid``, bool (n,), False where
        the file could not be decoded or has too many pixels.

    Raises:
        FacenetError: if ``encoded`` has another rank.
    """
    encoded = tf.convert_to_tensor(encoded, tf.string)
    if encoded.shape.rank != 1:
        raise FacenetError(f"encoded images: expected shape (n,), found {encoded.shape}")
    count = tf.shape(encoded, tf.int64)[0]
    side = preprocessing.window_size

    def cut(row: tf.Tensor, file: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return row, _window(_decode(file, bounded=True), _CENTRE, preprocessing)

    decoded = (
        tf.data.Dataset.from_tensor_slices(encoded)
        .enumerate()
        .map(cut, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .ignore_errors()
    )
    # One row more than asked for, so that there is a batch even when no file could be decoded.
    spare_row = tf.data.Dataset.from_tensors((count, tf.zeros((side, side, 3), tf.uint8)))
    rows, windows = decoded.concatenate(spare_row).batch(count + 1).get_single_element()
    rows, windows = rows[:-1, tf.newaxis], windows[:-1]
    valid = tf.scatter_nd(rows, tf.ones_like(rows[:, 0], tf.bool), count[tf.newaxis])
    images = preprocess(windows, preprocessing)
    shape = tf.stack([count, preprocessing.image_size, preprocessing.image_size, 3])
    images = tf.scatter_nd(rows, images, tf.cast(shape, tf.int64))
    return tf.ensure_shape(images, (None, *images.shape[1:])), valid


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
        given, ``"labels"`` int64 (batch,).

    Raises:
        FacenetError: if an argument cannot be used; all problems are told at once.
    """
    problems: list[str] = []
    path_list = _path_list(paths, problems)
    label_array = None if labels is None else _label_array(labels, len(path_list), problems)
    given = preprocessing.control if controls is None else controls
    control_array = _control_array(given, len(path_list), problems)
    for name, value, least in (
        ("batch_size", batch_size, 1),
        ("seed", seed, 0),
        ("first_index", first_index, 0),
    ):
        if not (_is_integer(value) and value >= least):
            problems.append(
                f"expected {name} to be an integer of at least {least}, found {value!r}"
            )
    if not problems and seed >= 2**128:
        problems.append(f"expected seed to be less than 2**128, found {seed}")
    if on_error not in ("raise", "skip"):
        problems.append(f"expected on_error to be 'raise' or 'skip', found {on_error!r}")
    if not problems:
        problems += _shard_problems(shard, batch_size, len(path_list))
    refuse("input pipeline", problems)

    elements = {"path": np.array(path_list, object), "indices": np.arange(len(path_list))}
    if label_array is not None:
        elements["labels"] = label_array
    elements |= _plan(control_array, seed, first_index)
    part, parts = shard
    of_shard = np.arange(len(path_list)) % batch_size * parts // batch_size == part
    elements = {name: values[of_shard] for name, values in elements.items()}

    def read_image(element: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        image = _decode(tf.io.read_file(element.pop("path")))
        place, degrees = element.pop("place", _CENTRE), element.pop("angle", None)
        window = _window(image, place, preprocessing, degrees)
        if "flip" in element:
            window = _flip(window, element.pop("flip"))
        return element | {"window": window}

    def finish_batch(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        windows = batch.pop("window")
        fixed = batch.pop("fixed", bool(control_array[0] & Control.FIXED_STANDARDIZATION))
        return {"images": _standardize(_resize(windows, preprocessing), fixed)} | batch

    dataset = tf.data.Dataset.from_tensor_slices(elements)
    dataset = dataset.map(read_image, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    if on_error == "skip":
        dataset = dataset.ignore_errors()
    return dataset.batch(batch_size // parts).map(finish_batch).prefetch(tf.data.AUTOTUNE)


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


def skipped_paths(
    paths: Sequence[str | os.PathLike[str]], seen_indices: npt.ArrayLike
) -> list[str]:
    """The files that a pipeline with ``on_error="skip"`` left out.

    Args:
        paths: the paths that were given to :func:`input_pipeline`.
        seen_indices: every ``"indices"`` of its batches, put together.

    Returns:
        The paths whose index is missing, in their order; its length is their number.
    """
    seen = np.zeros(len(paths), bool)
    seen[np.asarray(seen_indices, np.int64)] = True
    return [os.fspath(paths[i]) for i in np.flatnonzero(~seen).tolist()]


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


@contextmanager
def explained_errors(paths: Sequence[str | os.PathLike[str]]) -> Iterator[None]:
    """Say which files are at fault when iterating over a pipeline fails.

    TensorFlow's own error tells what went wrong but, for a damaged image, not where. This
    looks for the damaged files itself, from the first path on, so that finding the first
    takes no longer than the reading that came upon it, and then a bounded way further, so
    that neighbours in misfortune are named together::

        with explained_errors(paths):
            for batch in input_pipeline(paths, ...):
                ...

    Args:
        paths: the paths that were given to :func:`input_pipeline`.

    Raises:
        FacenetError: naming every damaged file found and the reason. An error that no file
            explains is passed on unchanged.
    """
    try:
        yield
    except _FILE_ERRORS:
        problems = [f"{path}: {_why_unreadable(path)}" for path in _damaged(paths)]
        if not problems:
            raise
        try:
            refuse("image files that cannot be used", problems)
        except FacenetError as explained:
            raise explained from None


def _damaged(paths: Sequence[str | os.PathLike[str]]) -> list[str]:
    """The first damaged file among ``paths`` and those among the next few thousand."""

    def index_and_shape(index: tf.Tensor, path: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # The shape is asked for so that the decoding is not optimized away.
        return index, tf.shape(_decode(tf.io.read_file(path)))

    names = [os.fspath(path) for path in paths]
    dataset = tf.data.Dataset.from_tensor_slices(names).enumerate()
    dataset = dataset.map(index_and_shape, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    looked_at = 0
    damaged: list[int] = []
    for whole, _ in dataset.ignore_errors().batch(256).as_numpy_iterator():
        damaged += sorted(set(range(looked_at, whole[-1] + 1)) - set(whole.tolist()))
        looked_at = int(whole[-1]) + 1
        if damaged and looked_at > damaged[0] + _FURTHER_LOOK:
            break
    else:
        damaged += range(looked_at, len(names))
    return [names[i] for i in damaged[:_FURTHER_LOOK]]


def _why_unreadable(path: str) -> str:
    if Path(path).is_dir():
        return "expected a file, found a folder"
    try:
        return _why_undecodable(Path(path).read_bytes())
    except FileNotFoundError:
        return "no such file"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


_JPEG_START = b"\xff\xd8\xff"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER = (13, int.from_bytes(b"IHDR"))  # the length and the name of the chunk
_OTHER_FORMATS = {
    "GIF": (b"GIF8",),
    "BMP": (b"BM",),
    "TIFF": (b"II*\0", b"MM\0*"),
    "JPEG XL": (b"\xff\x0a", b"\0\0\0\x0cJXL "),
    "JPEG 2000": (b"\0\0\0\x0cjP  ",),
    "PDF": (b"%PDF",),
}


def _why_too_large(encoded: bytes) -> str | None:
    """What to say of these bytes if they are an image of more pixels than are taken."""
    size_of = _jpeg_size if encoded.startswith(_JPEG_START) else _png_size
    try:
        height, width = size_of(tf.constant(encoded)).numpy().tolist()
    except (tf.errors.OpError, ValueError):  # no header that could be read
        return None
    if height * width <= MAX_PIXELS:
        return None
    return f"expected at most {MAX_PIXELS:,} pixels, found {height:,} x {width:,}"


def _why_undecodable(encoded: bytes) -> str:
    """Why these bytes, which could not be decoded, are no image for us."""
    if not encoded:
        return "the file is empty, expected JPEG or PNG"
    if encoded.startswith((_JPEG_START, _PNG_START)):
        kind = "JPEG" if encoded.startswith(_JPEG_START) else "PNG"
        return f"the {kind} is damaged or cut short ({len(encoded)} bytes)"
    found = [name for name, starts in _OTHER_FORMATS.items() if encoded.startswith(starts)]
    if encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP":
        found = ["WebP"]
    elif encoded[4:8] == b"ftyp":
        found = ["HEIF or AVIF"]
    what = found[0] if found else f"something that begins with {encoded[:12]!r}"
    return f"found {what}, expected JPEG or PNG"


def _decode(encoded: tf.Tensor, bounded: bool = False) -> tf.Tensor:
    """Decode to uint8 (height, width, 3); ``bounded``: unless it has more than ``MAX_PIXELS``.

    Training does without the bound: its files are the reader's own, and looking into every
    header costs some percent of the decoding.
    """
    # decode_jpeg reads whatever TensorFlow knows: PNG, but also GIF and WebP, the latter in
    # another rank. So the format is decided here, by the first bytes.
    start = tf.strings.substr(encoded, 0, len(_JPEG_START))
    is_jpeg = start == _JPEG_START
    is_png = start == _PNG_START[: len(_JPEG_START)]
    # The message has none of the file's bytes: Python could not read one that is no text.
    with _checked(is_jpeg | is_png, "expected JPEG or PNG"):
        if not bounded:
            return tf.io.decode_jpeg(encoded, channels=3)
        size = tf.cond(is_jpeg, lambda: _jpeg_size(encoded), lambda: _png_size(encoded))
    # In int64, as a header may promise more pixels than int32 can count.
    pixels = tf.reduce_prod(tf.cast(size, tf.int64))
    with _checked(pixels <= MAX_PIXELS, "expected fewer pixels, found height and width", size):
        return tf.io.decode_jpeg(encoded, channels=3)


@contextmanager
def _checked(condition: tf.Tensor, *found: str | tf.Tensor) -> Iterator[None]:
    """Compute what is inside only once ``condition`` has held."""
    # The raw operation, as tf.debugging.Assert would wrap it in a conditional for each image.
    check = tf.raw_ops.Assert(condition=condition, data=found)
    with tf.control_dependencies([] if check is None else [check]):  # None when run eagerly
        yield


def _jpeg_size(encoded: tf.Tensor) -> tf.Tensor:
    """Height and width that the header promises, int32 (2,)."""
    return tf.io.extract_jpeg_shape(encoded)[:2]


def _png_size(encoded: tf.Tensor) -> tf.Tensor:
    """Height and width that the header promises, int32 (2,).

    After 8 bytes for the start comes the header: 4 for its length, 4 for its name, then the
    width and the height. Decoders pass over a chunk of unknown name before it, so the name is
    looked at too: the size of such a chunk's making would be no limit.
    """
    # From the first byte on: a later one that is not there would be told with bytes of the file.
    header = tf.strings.substr(encoded, 0, len(_PNG_START) + 16)
    numbers = tf.io.decode_raw(header, tf.int32, little_endian=False)
    comes_first = tf.reduce_all(numbers[2:4] == _PNG_HEADER)
    with _checked(comes_first, "expected the header first in the PNG"):
        return numbers[:3:-1]


# The place of a window in its frame is a fraction in [0, 1) of the places it could take.
# Just under one half is the centre, rounded as tf.image.resize_with_crop_or_pad rounds it.
_CENTRE = np.nextafter(np.full(2, 0.5, np.float32), np.float32(0))


def _window(
    images: tf.Tensor,
    place: tf.Tensor | npt.NDArray[np.float32],
    preprocessing: Preprocessing,
    degrees: tf.Tensor | None = None,
) -> tf.Tensor:
    """Cut (..., height, width, 3) to (..., window_size, window_size, 3), turned if asked.

    All axes are computed at once, as vectors (..., down, right, channels): for one image in
    ``tf.data``, the number of operations is what costs.
    """
    side = preprocessing.window_size
    size = tf.shape(images)
    uncut = [0.0] * (images.shape.rank - 3)

    def square(side: int) -> tf.Tensor:
        return tf.concat([size[:-3], [side, side, 3]], axis=0) if uncut else [side, side, 3]

    frame = size
    if preprocessing.frame_size is not None:
        frame = tf.minimum(size, square(preprocessing.frame_size))
    window = square(side)
    cut = tf.minimum(frame, window)
    choices = tf.cast(frame - cut + 1, tf.float32)
    top_left = tf.cast(tf.concat([uncut, place, [0.0]], axis=0) * choices, tf.int32)
    if preprocessing.frame_size is not None:
        top_left += (size - frame) // 2
    if degrees is None:
        pixels = tf.slice(images, top_left, cut)
    else:
        pixels = tf.cond(
            degrees == 0,
            lambda: tf.slice(images, top_left, cut),
            lambda: _rotate(images, degrees, top_left[:2], cut[:2]),
        )
    before = (window - cut) // 2
    padded = tf.pad(pixels, tf.stack([before, window - cut - before], axis=1))
    return tf.ensure_shape(padded, (*images.shape[:-3], side, side, 3))


def _rotate(
    image: tf.Tensor, degrees: tf.Tensor, top_left: tf.Tensor, size: tf.Tensor
) -> tf.Tensor:
    """Turn uint8 (height, width, 3) counter-clockwise about its centre; return one window of it.

    Only the window's pixels are computed, bilinearly. Beyond the edges comes the image's own
    reflection: the black wedges that the reference leaves never occur at inference, and they
    would shift the mean of per-image standardization.
    """
    radians = degrees * (math.pi / 180)
    cos, sin = tf.cos(radians), tf.sin(radians)
    centre = (tf.cast(tf.shape(image)[:2], tf.float32) - 1) / 2
    corner = tf.cast(top_left, tf.float32) - centre
    # The transform takes a pixel (x, y) of the window to where its value is found in the image.
    to_x = [cos, -sin, cos * corner[1] - sin * corner[0] + centre[1]]
    to_y = [sin, cos, sin * corner[1] + cos * corner[0] + centre[0]]
    turned = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(image, tf.float32)[tf.newaxis],
        transforms=tf.stack([*to_x, *to_y, 0.0, 0.0])[tf.newaxis],
        output_shape=size,
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )[0]
    # Rounds; on uint8 the operation itself would cut the fractions off and darken the image.
    return tf.cast(turned + 0.5, tf.uint8)


def _flip(window: tf.Tensor, flip: tf.Tensor) -> tf.Tensor:
    """Mirror (height, width, 3) left to right if ``flip``.

    One image at a time: TensorFlow reverses rows of pixels several times faster in a tensor of
    rank 3 than in a batch, and half of the images need none of it.
    """
    return tf.cond(flip, lambda: tf.reverse(window, [1]), lambda: window)


def _resize(windows: tf.Tensor, preprocessing: Preprocessing) -> tf.Tensor:
    """Bring windows to the network's size.

    Bilinear with antialiasing averages over the source pixels when it makes smaller, where
    plain bilinear would drop some; when it makes larger, the two are the same.
    """
    side = preprocessing.image_size
    if preprocessing.window_size == side:
        return windows
    return tf.image.resize(windows, (side, side), method="bilinear", antialias=True)


def _standardize(images: tf.Tensor, fixed: tf.Tensor | bool) -> tf.Tensor:
    """Standardize images to float32, all in one way or each as ``fixed`` (n,) says."""
    if fixed is True:
        return _fixed_standardization(images)
    per_image = tf.image.per_image_standardization(images)
    if fixed is False:
        return per_image
    which = fixed[:, tf.newaxis, tf.newaxis, tf.newaxis]
    return tf.where(which, _fixed_standardization(images), per_image)


def _fixed_standardization(images: tf.Tensor) -> tf.Tensor:
    """(x - 127.5) / 128 as float32."""
    if images.dtype != tf.uint8:
        return (tf.cast(images, tf.float32) - 127.5) / 128.0
    # Spreads 0 ... 255 evenly over the range: the same numbers to the last bit, but in one pass
    # over the memory instead of three.
    lowest, highest = (0 - 127.5) / 128, (255 - 127.5) / 128
    return tf.quantization.dequantize(
        tf.bitcast(images, tf.quint8), lowest, highest, mode="MIN_COMBINED"
    )


_LARGEST_ANGLE = 10.0  # degrees


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
    random_bits = Control.RANDOM_ROTATE | Control.RANDOM_CROP | Control.RANDOM_FLIP
    uniform = (
        _uniform(len(controls), seed, first_index)
        if asked(random_bits).any()
        else np.zeros((1, 4), np.float32)
    )
    rotate, crop = asked(Control.RANDOM_ROTATE), asked(Control.RANDOM_CROP)
    if rotate.any():
        angle = (2 * uniform[:, 0] - 1) * np.float32(_LARGEST_ANGLE)
        plan["angle"] = np.where(rotate, angle, np.float32(0))
    if crop.any():
        plan["place"] = np.where(crop[:, np.newaxis], uniform[:, 1:3], _CENTRE)
    flip = asked(Control.RANDOM_FLIP) & (uniform[:, 3] < 0.5)
    flip ^= asked(Control.FLIP)
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


def _is_integer(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _path_list(paths: Sequence[str | os.PathLike[str]], problems: list[str]) -> list[str]:
    if isinstance(paths, str | bytes | os.PathLike):
        problems.append(f"expected paths to be a sequence of files, found the one {paths!r}")
        return []
    if len(paths) == 0:
        problems.append("expected at least one path, found none")
    for i, path in enumerate(paths):
        if not isinstance(path, str | os.PathLike):
            problems.append(f"expected paths[{i}] to be a path, found {path!r}")
        elif not _is_file_name(os.fspath(path)):
            problems.append(
                f"expected paths[{i}] to be UTF-8 without a zero byte, found {path!r}; "
                "rename the file"
            )
    return [os.fspath(path) for path in paths] if not problems else ["?"] * len(paths)


def _is_file_name(path: str | bytes) -> bool:
    """Whether TensorFlow, which takes names as UTF-8, can be given this one."""
    try:
        return isinstance(path, str) and b"\0" not in path.encode("utf-8")
    except UnicodeEncodeError:  # what os.fsdecode makes of other bytes
        return False


def _integer_array(
    name: str, values: object, count: int, problems: list[str]
) -> npt.NDArray[np.int64] | None:
    """``values`` as int64 (count,), or None and a problem told."""
    array = np.asarray(values)
    if array.shape != (count,):
        problems.append(f"expected {count} {name}, one for each path, found shape {array.shape}")
    elif count and (array.dtype.kind not in "iu" or array.max() > np.iinfo(np.int64).max):
        problems.append(f"expected {name} to be int64 integers, found {array.dtype}")
    else:
        return array.astype(np.int64)
    return None


def _label_array(labels: object, count: int, problems: list[str]) -> npt.NDArray[np.int64] | None:
    array = _integer_array("labels", labels, count, problems)
    if array is not None and (array < 0).any():
        row = int(np.argmax(array < 0))
        problems.append(f"expected labels from 0, found labels[{row}] = {array[row]}")
    return array


def _control_array(controls: object, count: int, problems: list[str]) -> npt.NDArray[np.int64]:
    every_bit = sum(Control)
    if _is_integer(controls):
        controls = np.full(count, controls)
    array = _integer_array("controls", controls, count, problems)
    if array is None:
        return np.zeros(count, np.int64)
    unknown = (array & ~every_bit) != 0
    if unknown.any():
        row = int(np.argmax(unknown))
        names = ", ".join(f"{bit.name}={bit.value}" for bit in Control)
        problems.append(f"expected controls made of {names}, found {array[row]} at position {row}")
    return array
