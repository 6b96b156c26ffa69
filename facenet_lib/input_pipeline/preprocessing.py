"""What every image goes through, in training, evaluation, export and serving alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from facenet_lib.checks import LEAST_PIXEL, MOST_PIXEL
from facenet_lib.errors import FacenetError
from facenet_lib.input_pipeline.decoding import decode_upright
from facenet_lib.input_pipeline.rotation import cut_turned
from facenet_lib.input_pipeline.settings import Preprocessing

# The place of a window in its frame is a fraction in [0, 1) of the places it could take.
# Just under one half is the centre, rounded as tf.image.resize_with_crop_or_pad rounds it.
CENTRE = np.nextafter(np.full(2, 0.5, np.float32), np.float32(0))


def preprocess(images: tf.Tensor, preprocessing: Preprocessing) -> tf.Tensor:
    """Cut, resize and standardize images without augmentation: the input of inference.

    Args:
        images: uint8 or floating (n, height, width, 3), values 0 to 255; other values are not
            noticed, see :func:`are_pixels`.
        preprocessing: sizes and standardization.

    Returns:
        float32 (n, image_size, image_size, 3).

    Raises:
        FacenetError: if ``images`` has another rank, number of channels or dtype.

    >>> preprocess(tf.zeros([1, 40, 30, 3], tf.uint8), Preprocessing(image_size=20)).shape
    TensorShape([1, 20, 20, 3])
    """
    images = tf.convert_to_tensor(images)
    if images.shape.rank != 4 or images.shape[-1] != 3:
        raise FacenetError(f"images: expected shape (n, height, width, 3), found {images.shape}")
    if not (images.dtype == tf.uint8 or images.dtype.is_floating):
        raise FacenetError(f"images: expected uint8 or floats, found {images.dtype.name}")
    fixed = preprocessing.standardization == "fixed"
    return standardize(resize(cut_window(images, CENTRE, preprocessing), preprocessing), fixed)


def are_pixels(images: tf.Tensor) -> tf.Tensor:
    """Return which images hold what pixels can be: :func:`facenet_lib.checks.pixel_problems`.

    An operation for graphs, which can mark a row and cannot refuse it without its neighbours.

    Args:
        images: float32 (n, height, width, 3).

    Returns:
        bool (n,).

    >>> are_pixels(tf.stack([tf.fill([2, 2, 3], value) for value in (255.0, -1.0, 0.5)])).numpy()
    array([ True, False, False])
    """
    each = [1, 2, 3]
    within = tf.reduce_all((images >= LEAST_PIXEL) & (images <= MOST_PIXEL), axis=each)
    divided = (tf.reduce_max(images, axis=each) <= 1) & tf.reduce_any(
        images != tf.floor(images), axis=each
    )
    return within & ~divided & (tf.reduce_prod(tf.shape(images)[1:3]) > 0)


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

    >>> decode_and_preprocess(tf.constant([b"damaged"]), Preprocessing())[1].numpy()
    array([False])
    """
    encoded = tf.convert_to_tensor(encoded, tf.string)
    if encoded.shape.rank != 1:
        raise FacenetError(f"encoded images: expected shape (n,), found {encoded.shape}")
    count = tf.shape(encoded, tf.int64)[0]
    side = preprocessing.window_size

    @tf.autograph.experimental.do_not_convert
    def cut(row: tf.Tensor, file: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return row, cut_window(decode_upright(file, bounded=True), CENTRE, preprocessing)

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


def decode_windows(encoded: tf.Tensor, preprocessing: Preprocessing) -> tuple[tf.Tensor, tf.Tensor]:
    """Decode image files and cut the window that the network sees, but leave it as pixels.

    Args:
        encoded: string (n,), the bytes of n JPEG or PNG files; n may be 0.
        preprocessing: says which window.

    Returns:
        ``windows``, float32 (n, window_size, window_size, 3) of values 0 to 255, and ``valid``,
        bool (n,), as :func:`decode_and_preprocess` has it.

    >>> decode_windows(tf.constant([b"damaged"]), Preprocessing(80, crop_size=112))[0].shape
    TensorShape([1, 112, 112, 3])
    """
    standardized, valid = decode_and_preprocess(encoded, preprocessing.window_alone)
    return as_pixels(standardized), valid


def as_pixels(standardized: tf.Tensor) -> tf.Tensor:
    """Undo fixed standardization, exactly."""
    return standardized * 128.0 + 127.5


def cut_window(
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
        turned = cut_turned(images, degrees, top_left[:2], side, cut[:2])
        pixels = tf.slice(turned, [0, 0, 0], cut)
    before = (window - cut) // 2
    padded = tf.pad(pixels, tf.stack([before, window - cut - before], axis=1))
    return tf.ensure_shape(padded, (*images.shape[:-3], side, side, 3))


def resize(windows: tf.Tensor, preprocessing: Preprocessing) -> tf.Tensor:
    """Bring windows to the network's size.

    Bilinear with antialiasing averages over the source pixels when it makes smaller, where
    plain bilinear would drop some; when it makes larger, the two are the same.
    """
    side = preprocessing.image_size
    if preprocessing.window_size == side:
        return windows
    return tf.image.resize(windows, (side, side), method="bilinear", antialias=True)


def standardize(images: tf.Tensor, fixed: tf.Tensor | bool) -> tf.Tensor:
    """Standardize images to float32, all in one way or each as ``fixed`` (n,) says."""
    if fixed is True:
        return _standardize_fixed(images)
    per_image = tf.image.per_image_standardization(images)
    if fixed is False:
        return per_image
    which = fixed[:, tf.newaxis, tf.newaxis, tf.newaxis]
    return tf.where(which, _standardize_fixed(images), per_image)


def _standardize_fixed(images: tf.Tensor) -> tf.Tensor:
    """(x - 127.5) / 128 as float32."""
    if images.dtype != tf.uint8:
        return (tf.cast(images, tf.float32) - 127.5) / 128.0
    # Spreads 0 ... 255 evenly over the range: the same numbers to the last bit, but in one pass
    # over the memory instead of three.
    lowest, highest = (0 - 127.5) / 128, (255 - 127.5) / 128
    return tf.quantization.dequantize(
        tf.bitcast(images, tf.quint8), lowest, highest, mode="MIN_COMBINED"
    )
