"""The bytes of image files to pixels, and why some of them are no image for us."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from facenet_lib.errors import FacenetError
from facenet_lib.input_pipeline.formats import (
    JPEG_START,
    MAX_PIXELS,
    PNG_START,
    explain_too_large,
    explain_undecodable,
)
from facenet_lib.input_pipeline.orientation import (
    is_surely_upright,
    read_orientation,
    turn_upright,
)

_PNG_HEADER = (13, int.from_bytes(b"IHDR"))  # the length and the name of the chunk


def decode_image(encoded: tf.Tensor | bytes) -> tf.Tensor:
    """Decode one JPEG or PNG file to RGB.

    Grey and palette images become RGB; an alpha channel is dropped without blending, as the
    colours under it are what the camera saw; of 16-bit samples the high byte is kept; CMYK
    JPEGs are converted without a colour profile. The EXIF orientation is obeyed, so that the image
    stands upright, which the reference did not do. Truncated files are refused, and so are images
    of more than :data:`MAX_PIXELS`, by their header, before memory is taken for them.

    Args:
        encoded: scalar string tensor or Python bytes, the bytes of the file.

    Returns:
        uint8 (height, width, 3).

    Raises:
        FacenetError: if ``encoded`` is no scalar string, or the bytes are no whole JPEG or PNG
            of a size that is taken; the message names the format or the size that was found.
            (Inside a ``tf.function`` such bytes raise ``tf.errors.InvalidArgumentError``.)

    >>> decode_image(tf.io.encode_png(tf.zeros([2, 3, 1], tf.uint8))).shape
    TensorShape([2, 3, 3])
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
    try:
        return decode_upright(encoded, bounded=True)
    except tf.errors.OpError:
        file = bytes(encoded.numpy())
        raise FacenetError(
            f"image: {_explain_too_large(file) or explain_undecodable(file)}"
        ) from None


def decode_upright(encoded: tf.Tensor, bounded: bool = False, accurate: bool = False) -> tf.Tensor:
    """Decode inside a graph and turn upright, as the file's EXIF orientation asks.

    A file that cannot be decoded is an error of TensorFlow.

    Args:
        encoded: scalar string, the bytes of one file.
        bounded: refuse an image of more than :data:`MAX_PIXELS`.
        accurate: decode a JPEG to the pixels that Pillow gives, and not by TensorFlow's faster
            way, as training does.

    Returns:
        uint8 (height, width, 3).
    """
    image = decode_as_stored(encoded, bounded, accurate)
    with tf.control_dependencies([image]):  # what can be decoded has the bytes to look at
        is_upright = is_surely_upright(tf.identity(encoded))
    upright = tf.cond(
        is_upright, lambda: image, lambda: turn_upright(image, read_orientation(encoded))
    )
    return tf.ensure_shape(upright, (None, None, 3))


def decode_as_stored(
    encoded: tf.Tensor, bounded: bool = False, accurate: bool = False
) -> tf.Tensor:
    """Decode as ``decode_upright``, but leave an image lying that lies in its file.

    For files of which ``orientation.are_surely_upright`` says that none does: a conditional for
    each image costs a tenth of the decoding and more. Training does without the bound, too: its
    files are the reader's own, and looking into every header costs some percent.
    """
    decode_jpeg = functools.partial(
        tf.io.decode_jpeg, channels=3, dct_method="INTEGER_ACCURATE" if accurate else ""
    )
    # decode_jpeg reads whatever TensorFlow knows: PNG, but also GIF and WebP, the latter in
    # another rank. So the format is decided here, by the first bytes.
    start = tf.strings.substr(encoded, 0, len(JPEG_START))
    is_jpeg = start == JPEG_START
    is_png = start == PNG_START[: len(JPEG_START)]
    # The message has none of the file's bytes: Python could not read one that is no text.
    with _checked(is_jpeg | is_png, "expected JPEG or PNG"):
        if not bounded:
            return decode_jpeg(encoded)
        size = tf.cond(is_jpeg, lambda: _jpeg_size(encoded), lambda: _png_size(encoded))
    # In int64, as a header may promise more pixels than int32 can count.
    pixels = tf.reduce_prod(tf.cast(size, tf.int64))
    with _checked(pixels <= MAX_PIXELS, "expected fewer pixels, found height and width", size):
        return decode_jpeg(encoded)


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
    header = tf.strings.substr(encoded, 0, len(PNG_START) + 16)
    numbers = tf.io.decode_raw(header, tf.int32, little_endian=False)
    comes_first = tf.reduce_all(numbers[2:4] == _PNG_HEADER)
    with _checked(comes_first, "expected the header first in the PNG"):
        return numbers[:3:-1]


def _explain_too_large(encoded: bytes) -> str | None:
    """What to say of these bytes if they are an image of more pixels than are taken."""
    size_of = _jpeg_size if encoded.startswith(JPEG_START) else _png_size
    try:
        height, width = size_of(tf.constant(encoded)).numpy().tolist()
    except (tf.errors.OpError, ValueError):  # no header that could be read
        return None
    return explain_too_large(height, width)
