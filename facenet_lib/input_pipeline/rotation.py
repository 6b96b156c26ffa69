"""Random rotation: a window of an image that is turned, without turning the rest of the image."""

from __future__ import annotations

import math

import tensorflow as tf

LARGEST_ANGLE = 10.0
"""Degrees to either side."""


def cut_turned(
    image: tf.Tensor, degrees: tf.Tensor, top_left: tf.Tensor, side: int, size: tf.Tensor
) -> tf.Tensor:
    """Turn an image counter-clockwise about its centre and cut a window out, bilinearly.

    Only what the window shows is computed, from a square of the image that is just large enough
    for any angle. Beyond the image's edges comes its reflection: the black wedges that the
    reference leaves never occur at inference, and they would shift the mean of per-image
    standardization.

    Args:
        image: uint8 (height, width, 3).
        degrees: float32 scalar, up to :data:`LARGEST_ANGLE` to either side.
        top_left: int32 (2,), the window's first row and column in the image once it is turned.
        side: how many rows and columns are computed.
        size: int32 (2,), how many of these lie on the turned image; the others mean nothing.

    Returns:
        uint8 (side, side, 3).

    >>> even = tf.fill([9, 9, 3], tf.constant(7, tf.uint8))
    >>> turned = cut_turned(even, 5.0, tf.constant([2, 2]), 4, tf.constant([4, 4]))
    >>> turned.shape, turned.numpy().min(), turned.numpy().max()
    (TensorShape([4, 4, 3]), np.uint8(7), np.uint8(7))
    """
    shape = tf.shape(image)[:2]
    radians = degrees * (math.pi / 180)
    cos, sin = tf.cos(radians), tf.sin(radians)
    centre = (tf.cast(shape, tf.float32) - 1) / 2
    # Where a pixel (row, column) of the window is found: from + row * down + column * right.
    down, right = tf.stack([cos, -sin]), tf.stack([sin, cos])
    corner = tf.cast(top_left, tf.float32) - centre
    origin = centre + corner[0] * down + corner[1] * right
    middle = (tf.cast(size, tf.float32) - 1) / 2
    middle = origin + middle[0] * down + middle[1] * right

    needed = _needed_side(side)
    inside = tf.minimum(shape, needed)
    first = tf.cast(tf.floor(middle), tf.int32) - needed // 2
    first = tf.clip_by_value(first, 0, shape - inside)
    around = tf.slice(image, tf.concat([first, [0]], 0), tf.concat([inside, [3]], 0))
    missing = needed - inside
    around = tf.pad(around, [[0, missing[0]], [0, missing[1]], [0, 0]])
    around = tf.ensure_shape(around, (needed, needed, 3))
    return _interpolate(around, tf.stack([origin, down, right]), shape, first, side)


def _needed_side(side: int) -> int:
    """Side of a square that holds a smaller one however it is turned, and all neighbours."""
    radians = math.radians(LARGEST_ANGLE)
    return math.ceil(side * (math.cos(radians) + math.sin(radians))) + 3


# One compiled loop over the pixels: as operations of TensorFlow, each of which writes all pixels
# to memory for the next, it takes ten times as long.
@tf.function(jit_compile=True, autograph=False)
def _interpolate(
    around: tf.Tensor, positions: tf.Tensor, shape: tf.Tensor, first: tf.Tensor, side: int
) -> tf.Tensor:
    steps = tf.range(side, dtype=tf.float32)
    origin, down, right = tf.unstack(positions)
    lower, part = [], []
    for axis in (0, 1):
        place = origin[axis] + steps[:, tf.newaxis] * down[axis] + steps * right[axis]
        # The edges are mirrors, half a pixel beyond the first and the last one. A window is no
        # larger than its image, so that one reflection is enough but for tiny images.
        last = tf.cast(shape[axis] - 1, tf.float32)
        place = tf.abs(place + 0.5) - 0.5
        place = last + 0.5 - tf.abs(last + 0.5 - place)
        place = tf.clip_by_value(place, 0.0, last)
        floor = tf.minimum(tf.floor(place), tf.maximum(last - 1, 0.0))
        lower.append(tf.cast(floor, tf.int32) - first[axis])
        part.append((place - floor)[..., tf.newaxis])
    width = around.shape[1]
    pixels = tf.reshape(tf.cast(around, tf.float32), [-1, 3])
    number = lower[0] * width + lower[1]
    left, below_left = tf.gather(pixels, number), tf.gather(pixels, number + width)
    right, below_right = tf.gather(pixels, number + 1), tf.gather(pixels, number + width + 1)
    above = left + part[1] * (right - left)
    below = below_left + part[1] * (below_right - below_left)
    return tf.cast(above + part[0] * (below - above) + 0.5, tf.uint8)  # rounds
