"""The functions of a served model, around a network that is arithmetic on pixels."""

import numpy as np
import pytest
import tensorflow as tf
from drawn_images import encoded, smooth_image

from facenet_lib.input_pipeline.settings import Preprocessing
from facenet_lib.signatures.functions import DISTANCE_OF_INVALID, serving_functions

SIDE = 16
IMAGES = [smooth_image(seed, SIDE, SIDE) for seed in range(4)]
FILES = [encoded(image, "PNG") for image in IMAGES]
EXPECTED = np.stack([(np.asarray(image) - 127.5).mean((0, 1)) / 128 for image in IMAGES])


def mean_colour(images):
    tf.debugging.assert_positive(tf.shape(images)[0], "a network never sees an empty batch")
    return tf.reduce_mean(images, axis=(1, 2))


def functions(threshold=None):
    return serving_functions(mean_colour, Preprocessing(SIDE), threshold)


def test_files_get_what_the_network_computes_and_damaged_ones_a_mark():
    answer = functions()["serving_default"](tf.constant([*FILES, b"damaged"]))
    np.testing.assert_allclose(answer["embeddings"][:4], EXPECTED, atol=1e-5)
    assert answer["valid"].numpy().tolist() == [True] * 4 + [False]
    assert not answer["embeddings"][4].numpy().any()


def test_pixels_get_it_too_and_what_are_none_no_number():
    pixels = np.stack([np.asarray(image, np.float32) for image in IMAGES])
    pixels[1] = -1
    answer = functions()["embed_tensors"](pixels)["embeddings"].numpy()
    np.testing.assert_allclose(answer[[0, 2, 3]], EXPECTED[[0, 2, 3]], atol=1e-5)
    assert np.isnan(answer[1]).all()


def test_pairs_are_compared_by_the_squared_distance_at_the_threshold():
    expected = ((EXPECTED[:2] - EXPECTED[2:]) ** 2).sum(1)
    between = float(expected.mean())
    pairs = tf.constant([*FILES[:2], FILES[0]]), tf.constant([*FILES[2:], b"damaged"])
    answer = {name: found.numpy() for name, found in functions(between)["verify"](*pairs).items()}
    np.testing.assert_allclose(answer["distances"], [*expected, DISTANCE_OF_INVALID], rtol=1e-4)
    assert answer["valid"].tolist() == [True, True, False]
    assert answer["same"].tolist() == [*(expected < between), False]
    assert "same" not in functions()["verify"](*pairs)


@pytest.mark.parametrize("name", ["serving_default", "verify"])
def test_nothing_is_answered_by_nothing(name):
    none = tf.constant([], tf.string)
    answer = functions()[name](*([none] * (2 if name == "verify" else 1)))
    assert {len(found) for found in answer.values()} == {0}
