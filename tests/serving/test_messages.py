import base64
import json
import tracemalloc
from decimal import Decimal

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from facenet_lib.errors import FacenetError
from facenet_lib.serving.messages import (
    ServingError,
    arrays_from_json,
    json_from_outputs,
    one_line,
    parse_json,
    signature_of,
)

IMAGES = {"images": tf.TensorSpec([None], tf.string)}
PIXELS = {"images": tf.TensorSpec([None, None, None, 3], tf.float32)}
PAIRS = {"a": tf.TensorSpec([None], tf.string), "b": tf.TensorSpec([None], tf.int32)}


def strings(*values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


def b64(data):
    return {"b64": base64.b64encode(data).decode()}


def refusal(function, *arguments, **options):
    with pytest.raises(ServingError) as caught:
        function(*arguments, **options)
    assert caught.value.code == "INVALID_ARGUMENT"
    return str(caught.value)


# JSON to arrays


def parsed(specs, /, **document):
    return arrays_from_json(parse_json(json.dumps(document).encode()), specs)


def test_rows_and_columns_mean_the_same():
    for document in (
        {"instances": [b64(b"\xff\0"), "text"]},
        {"instances": [{"images": b64(b"\xff\0")}, {"images": "text"}]},
        {"inputs": [b64(b"\xff\0"), "text"]},
        {"inputs": {"images": [b64(b"\xff\0"), "text"]}},
        {"inputs": {"images": [b64(b"\xff\0"), "text"], "unknown": 3}},
    ):
        assert parsed(IMAGES, **document)["images"].tolist() == [b"\xff\0", b"text"]
    for document in (
        {"instances": [{"a": "x", "b": 1}, {"b": 2, "a": "y"}]},
        {"inputs": {"a": ["x", "y"], "b": [1, 2]}},
    ):
        found = parsed(PAIRS, **document)
        assert found["a"].tolist() == [b"x", b"y"]
        assert found["b"].dtype == np.int32
        assert found["b"].tolist() == [1, 2]


@settings(deadline=None)
@given(arrays.arrays(np.float32, arrays.array_shapes(min_dims=4, max_dims=4, max_side=3)))
def test_nested_lists_are_arrays(values):
    for document in ({"instances": values.tolist()}, {"inputs": {"images": values.tolist()}}):
        found = parsed(PIXELS, **document)["images"]
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, values)


def test_whole_numbers_are_floats_too_but_not_the_other_way_round():
    assert parsed(PIXELS, inputs=[1, 2.5])["images"].tolist() == [1.0, 2.5]
    assert "int32" in refusal(parsed, PAIRS, inputs={"a": ["x"], "b": [1.5]})


def test_base64_may_lack_its_padding():
    assert parsed(IMAGES, inputs=[{"b64": "YQ"}, {"b64": "YQ=="}])["images"].tolist() == [b"a"] * 2


def test_empty_lists_have_a_shape():
    assert parsed(IMAGES, inputs=[])["images"].shape == (0,)
    assert parsed(PIXELS, inputs=[[], []])["images"].shape == (2, 0)


@pytest.mark.parametrize(
    ("inputs", "document", "told"),
    [
        (IMAGES, {}, "expected one of the keys"),
        (IMAGES, {"instances": ["a"], "inputs": ["a"]}, "found both"),
        (IMAGES, {"images": ["a"]}, "found neither"),
        (IMAGES, {"instances": "a"}, "to be a list, found a text"),
        (IMAGES, {"instances": []}, "No values"),
        (IMAGES, {"instances": ["a", {"images": "b"}]}, "found both"),
        (IMAGES, {"instances": [{"image": "a"}]}, "keys must be equal to: images"),
        (IMAGES, {"instances": [{"images": "a", "other": 1}]}, "element: 0"),
        (IMAGES, {"inputs": {"image": ["a"]}}, "Missing named input: images"),
        (IMAGES, {"inputs": [1]}, "expected string, found a number"),
        (IMAGES, {"inputs": [None]}, "found null"),
        (IMAGES, {"inputs": [{"b64": "!!!!"}]}, "no base64"),
        (IMAGES, {"inputs": [{"b64": "Y"}]}, "no base64"),
        (IMAGES, {"inputs": [{"b64": "ü"}]}, "expected string"),
        (IMAGES, {"inputs": [{"b64": 1}]}, "found an object"),
        (IMAGES, {"inputs": ["\ud800"]}, "expected string"),
        (PIXELS, {"instances": [[1], [1, 2]]}, "one length at each level"),
        (PIXELS, {"instances": [[1], 2]}, "one length at each level"),
        (PIXELS, {"instances": [1, [2]]}, "expected float32, found a list"),
        (PIXELS, {"instances": [[1.0, True]]}, "found a truth value"),
        (PIXELS, {"instances": [["1.0"]]}, "found a text"),
        (PIXELS, {"instances": [1e39]}, "beyond its range"),
        (PIXELS, {"instances": [10**400]}, "expected float32"),
        (PAIRS, {"instances": ["a"]}, "has the inputs a, b"),
        (PAIRS, {"inputs": ["a"]}, "has the inputs a, b"),
        (PAIRS, {"inputs": {"a": ["x"], "b": [2**31]}}, "expected int32"),
    ],
)
def test_a_document_that_does_not_fit_is_refused(inputs, document, told):
    assert told in refusal(arrays_from_json, document, inputs)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"3", b"null", b"\xff", b'{"a": 1} x', b"[" * 100_000, b"1" * 100_000],
)
def test_what_is_no_json_object_is_refused_in_a_short_line(body):
    told = refusal(parse_json, body)
    assert "JSON" in told
    assert len(told) < 400
    assert "\n" not in told


def test_a_signature_is_named_by_text():
    assert signature_of({}) == ""
    assert signature_of({"signature_name": "verify"}) == "verify"
    assert "must be a string" in refusal(signature_of, {"signature_name": 3})


def test_infinities_and_nan_are_numbers():
    document = parse_json(b'{"inputs": [NaN, Infinity, -Infinity]}')
    np.testing.assert_array_equal(
        arrays_from_json(document, PIXELS)["images"], [np.nan, np.inf, -np.inf]
    )


# Arrays to JSON


def test_several_outputs_are_objects_and_one_is_its_values():
    embeddings = np.array([[0.1, 2], [3, 4]], np.float32)
    valid = np.array([True, False])
    both = {"embeddings": embeddings, "valid": valid}
    rows = json.loads(json_from_outputs(both, rows=True))
    assert [row["valid"] for row in rows["predictions"]] == [True, False]
    found = np.array([row["embeddings"] for row in rows["predictions"]], np.float32)
    np.testing.assert_array_equal(found, embeddings)
    written = [[0.1, 2.0], [3.0, 4.0]]
    columns = json.loads(json_from_outputs(both, rows=False))["outputs"]
    assert columns == {"embeddings": written, "valid": valid.tolist()}
    one = {"embeddings": embeddings}
    for rows, key in ((True, "predictions"), (False, "outputs")):
        assert json.loads(json_from_outputs(one, rows=rows)) == {key: written}


def test_bytes_are_base64_where_the_name_says_so():
    outputs = {"image_bytes": strings(b"\xff"), "name": strings(b"caf\xc3\xa9")}
    assert json.loads(json_from_outputs(outputs, rows=True)) == {
        "predictions": [{"image_bytes": b64(b"\xff"), "name": "café"}]
    }


def test_what_is_not_finite_is_written_as_tensorflow_serving_does():
    values = np.array([np.nan, np.inf, -np.inf], np.float32)
    assert json_from_outputs({"x": values}, rows=True) == (
        b'{"predictions":[NaN,Infinity,-Infinity]}'
    )


def written_as_numpy_writes(values):
    """That the digits in JSON are those that NumPy writes of a float32, by its own algorithm."""
    document = json.loads(json_from_outputs({"x": values}, rows=True), parse_float=str)
    for read, value in zip(document["predictions"], values, strict=True):
        assert np.float32(float(read)).tobytes() == value.tobytes()
        assert Decimal(read) == Decimal(str(value))  # digit by digit


@settings(deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_a_float_is_written_in_the_fewest_digits_that_are_read_as_the_same(values):
    written_as_numpy_writes(np.array(values, np.float32))


def test_floats_of_every_size_are_too():
    bits = np.random.default_rng(0).integers(0, 2**32, 20_000, dtype=np.uint32)
    of_every_size = bits.view(np.float32)
    written_as_numpy_writes(of_every_size[np.isfinite(of_every_size)])
    tens = np.float32(10.0) ** np.arange(-44, 39, dtype=np.float32)
    neighbours = [tens, np.nextafter(tens, np.float32(0)), np.nextafter(tens, np.float32(np.inf))]
    written_as_numpy_writes(np.concatenate(neighbours))


def test_embeddings_are_written_in_no_more_digits_than_they_have():
    rows = np.random.default_rng(0).standard_normal((8, 128)).astype(np.float32)
    written = json_from_outputs(
        {"x": rows / np.linalg.norm(rows, axis=1, keepdims=True)}, rows=True
    )
    assert len(written) < 14.5 * rows.size  # a sign, "0.", a zero, nine digits, ", "


def test_a_float64_keeps_all_its_digits():
    (read,) = json.loads(json_from_outputs({"x": np.array([0.1 + 0.2])}, rows=True))["predictions"]
    assert read == 0.1 + 0.2


def test_half_precision_is_written_in_numbers():
    half = tf.cast([1.5, -2.0], tf.bfloat16).numpy()
    assert json.loads(json_from_outputs({"x": half}, rows=False)) == {"outputs": [1.5, -2.0]}


def test_rows_that_the_outputs_have_not_alike_are_refused():
    unequal = {"a": np.zeros(2), "b": np.zeros(3)}
    assert "column format" in refusal(json_from_outputs, unequal, rows=True)
    assert "column format" in refusal(json_from_outputs, {"a": np.zeros(())}, rows=True)
    assert json.loads(json_from_outputs(unequal, rows=False))["outputs"]["b"] == [0.0] * 3


def test_messages_are_one_short_line():
    assert one_line("a\n  b\tc") == "a b c"
    assert len(one_line("x" * 10_000)) < 400
    assert one_line("a" + " " * 10_000 + "b").endswith("...")
    assert issubclass(ServingError, FacenetError)


def test_a_long_message_is_shortened_without_being_taken_apart():
    text = "ab " * 1_000_000
    tracemalloc.start()
    one_line(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < len(text)
