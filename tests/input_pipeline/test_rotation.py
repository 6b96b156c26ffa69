"""A turned window beside TensorFlow's own operation, which turns any image by any angle."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from facenet_lib.input_pipeline.rotation import LARGEST_ANGLE, cut_turned


def turned_by_tensorflow(
    image: np.ndarray, degrees: float, top_left: list[int], side: int
) -> np.ndarray:
    """Float (side, side, 3): ``ImageProjectiveTransformV3``, which reflects at the edges too."""
    radians = math.radians(degrees)
    cos, sin = math.cos(radians), math.sin(radians)
    centre = (np.array(image.shape[:2]) - 1) / 2
    down, right = np.array(top_left) - centre
    to_x = [cos, -sin, cos * right - sin * down + centre[1]]
    to_y = [sin, cos, sin * right + cos * down + centre[0]]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image[np.newaxis].astype(np.float32),
        transforms=np.array([[*to_x, *to_y, 0, 0]], np.float32),
        output_shape=[side, side],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )[0].numpy()


SIDE = 24
SMALLEST = 8  # below it an edge may have to be reflected twice


@pytest.mark.slow
@settings(max_examples=60)
@given(
    shape=st.tuples(st.integers(SMALLEST, 60), st.integers(SMALLEST, 60)),
    degrees=st.floats(-LARGEST_ANGLE, LARGEST_ANGLE, width=32),
    place=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    seed=st.integers(0, 1000),
)
def test_a_turned_window_is_tensorflows(shape, degrees, place, seed):
    image = np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)
    rows, columns = size = [min(length, SIDE) for length in shape]
    top_left = [int(part * (n - cut)) for part, n, cut in zip(place, shape, size, strict=True)]
    found = cut_turned(tf.constant(image), degrees, tf.constant(top_left), SIDE, tf.constant(size))
    expected = turned_by_tensorflow(image, degrees, top_left, SIDE)
    # Half a level of rounding, and what places in float32 lose among pixels of noise.
    cut = np.s_[:rows, :columns]
    np.testing.assert_allclose(found.numpy()[cut], expected[cut], atol=0.51)


def test_no_angle_leaves_every_pixel():
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    found = cut_turned(tf.constant(image), 0.0, tf.constant([7, 20]), SIDE, [SIDE, SIDE])
    np.testing.assert_array_equal(found, image[7 : 7 + SIDE, 20 : 20 + SIDE])


@pytest.mark.parametrize("shape", [(10, 24), (3, 4), (1, 1)])
def test_an_image_smaller_than_the_window_is_turned_as_far_as_it_goes(shape):
    image = np.full((*shape, 3), 90, np.uint8)
    found = cut_turned(tf.constant(image), 9.0, tf.constant([0, 0]), SIDE, tf.constant(shape))
    assert np.unique(found[: shape[0], : shape[1]]) == [90]
