import numpy as np
import pytest
import tensorflow as tf

from facenet_lib.checks import (
    check_array,
    check_integer,
    check_model_name,
    check_tensor,
    integer_problems,
    number_problems,
    pixel_problems,
    word_problems,
)
from facenet_lib.errors import FacenetError


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.array(3)])
def test_integer_of_any_make_becomes_pythons(value):
    assert check_integer("n", value, at_least=3, at_most=3) == 3
    assert type(check_integer("n", value)) is int


@pytest.mark.parametrize("value", [True, np.True_, 3.0, "3", None, np.array([3]), 3 + 0j])
def test_what_is_no_integer_is_refused(value):
    with pytest.raises(FacenetError, match=r"^n: expected an integer of at least 0, found "):
        check_integer("n", value, at_least=0)


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"at_least": 6}, "n: expected an integer of at least 6, found 5"),
        ({"at_most": 4}, "n: expected an integer of at most 4, found 5"),
        ({"at_least": 1, "at_most": 4}, "n: expected an integer from 1 to 4, found 5"),
    ],
)
def test_integer_out_of_its_range_is_told_with_the_range(limits, told):
    assert integer_problems("n", 5, **limits) == [told]


@pytest.mark.parametrize(
    ("value", "interval", "fits"),
    [
        (0, "[0, 1]", True),
        (1, "[0, 1]", True),
        (1.0, "[0, 1)", False),
        (0.0, "(0, 1)", False),
        (np.float32(0.5), "(0, 1)", True),
        (1e300, "[0, inf)", True),
        (float("inf"), "[0, inf)", False),
        (float("nan"), "[0, inf)", False),
        (True, "[0, 1]", False),
        ("0.5", "[0, 1]", False),
    ],
)
def test_number_in_an_interval(value, interval, fits):
    told = [f"x: expected a number in {interval}, found {value!r}"]
    assert number_problems("x", value, interval) == ([] if fits else told)


@pytest.mark.parametrize("value", ["c", "", 1, None, ["a"]])
def test_word_that_is_not_known_is_refused(value):
    assert word_problems("w", value, ["a", "b"]) == [f"w: expected 'a' or 'b', found {value!r}"]
    assert word_problems("w", "b", ["a", "b"]) == []


def test_array_of_the_right_kind_and_shape_is_returned():
    assert check_array("rows", [[1.0, 2.0]], "floating point numbers", ("n", 2)).shape == (1, 2)
    assert check_array("labels", np.zeros(3, np.uint8), "integers", (3,)).dtype == np.uint8


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([1.0, 2.0], r"labels: expected integers of shape \(n,\), found float64 of shape \(2,\)"),
        ([[1], [2]], r"labels: expected integers of shape \(n,\), found int64 of shape \(2, 1\)"),
        (5, r"labels: expected integers of shape \(n,\), found int64 of shape \(\)"),
        ([True], "found bool"),
        ([[1], [2, 3]], "labels: expected rows of one length"),
    ],
)
def test_array_of_another_kind_or_shape_is_refused(values, told):
    with pytest.raises(FacenetError, match=told):
        check_array("labels", values, "integers", ("n",))


@pytest.mark.parametrize("shape", [("n", 3), (2, 3), (None, "width")])
def test_tensor_fits_what_its_shape_does_not_exclude(shape):
    check_tensor("t", tf.zeros((2, 3), tf.int64), "integers", shape)
    check_tensor("t", tf.zeros((2, 3), tf.bfloat16), "floating point numbers", shape)


@pytest.mark.parametrize(
    ("tensor", "told"),
    [
        (tf.zeros((2, 3)), r"t: expected integers of shape \(n, 3\), found float32 of shape \(2, "),
        (tf.zeros((2, 4), tf.int32), r"found int32 of shape \(2, 4\)"),
        (tf.zeros((3,), tf.int32), r"found int32 of shape \(3,\)"),
        (tf.zeros((2, 3), tf.bool), "found bool"),
    ],
)
def test_tensor_of_another_kind_or_shape_is_refused(tensor, told):
    with pytest.raises(FacenetError, match=told):
        check_tensor("t", tensor, "integers", ("n", 3))


def test_tensor_in_a_graph_may_have_unknown_lengths():
    def checked(t):
        check_tensor("t", t, "integers", ("n", 4))

    in_graph = tf.function(checked, autograph=False)
    with pytest.raises(FacenetError, match=r"found int32 of shape \(\?, 3\)"):
        in_graph.get_concrete_function(tf.TensorSpec([None, 3], tf.int32))
    for shape in ([None, 4], None):
        in_graph.get_concrete_function(tf.TensorSpec(shape, tf.int32))


@pytest.mark.parametrize("name", ["facenet", "größe", "顔", "v1.2_a-b", "-", "2"])
def test_model_name_of_any_script(name):
    check_model_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".a", "a/b", "a:b", "a b", "a\n", "a'b", "a,b", "50%"]
)
def test_name_that_would_have_to_be_quoted_somewhere_is_refused(name):
    with pytest.raises(FacenetError, match=r"^label: expected letters"):
        check_model_name(name, what="label")


PIXELS = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("images", [PIXELS, PIXELS[:0], PIXELS // 255, 0 * PIXELS, 1 + 0 * PIXELS])
def test_pixels_are_pixels(images, dtype):
    assert pixel_problems("images", images.astype(dtype)) == []
    if dtype == np.float32 and images is PIXELS:  # as resizing leaves them
        blurred = np.where(images == 255, np.float32(255.0002), images.astype(dtype) + 1 / 3)
        assert pixel_problems("images", blurred) == []


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (np.nan, "found values from nan to nan"),
        (np.inf, "to inf"),
        (-np.inf, "from -inf"),
        (1e30, "to 1e+30"),
        (-1, "from -1 to"),
        (256, "to 256"),
    ],
)
def test_one_value_that_is_none_spoils_its_image_alone(value, told):
    images = PIXELS.astype(np.float32)
    images[2, 3, 4, 1] = value
    (problem,) = pixel_problems("faces", images)
    assert problem.startswith("faces[2]: expected pixels from 0 to 255, found")
    assert told in problem


@pytest.mark.parametrize(
    "standardize",
    [lambda x: x / 255, lambda x: (x - 127.5) / 128, lambda x: (x - x.mean()) / x.std()],
    ids=["divided", "fixed", "per image"],
)
def test_images_that_are_standardized_already_are_noticed(standardize):
    assert len(pixel_problems("images", standardize(PIXELS.astype(np.float32)))) == len(PIXELS)


def test_images_without_pixels_are_told():
    assert len(pixel_problems("images", np.zeros((2, 0, 5, 3)))) == 2
