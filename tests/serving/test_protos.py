"""Tensors, and what is said of models, as protocol buffers."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis.extra import numpy as arrays
from serving_models import NAME
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from facenet_lib.serving.answers import VersionStatus
from facenet_lib.serving.messages import ServingError
from facenet_lib.serving.protos import (
    array_from_proto,
    fill_proto,
    metadata_response,
    signature_map,
    status_response,
)
from facenet_lib.serving.versions import ServedModels

NUMBERS = [
    *(tf.float16, tf.bfloat16, tf.float32, tf.float64, tf.bool),
    *(tf.int8, tf.uint8, tf.int16, tf.uint16, tf.int32, tf.uint32, tf.int64, tf.uint64),
]


def strings(*values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


def refusal(function, *arguments, **options):
    with pytest.raises(ServingError) as caught:
        function(*arguments, **options)
    assert caught.value.code == "INVALID_ARGUMENT"
    return str(caught.value)


@pytest.mark.parametrize("dtype", NUMBERS, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 3)], ids=str)
def test_numbers_survive_the_message_in_both_of_its_forms(dtype, shape):
    values = np.arange(math.prod(shape)).reshape(shape).astype(dtype.as_numpy_dtype)
    packed = tf.make_tensor_proto(values)
    listed = tensor_pb2.TensorProto()
    fill_proto(listed, values)
    assert not listed.tensor_content
    for message in (packed, listed):
        found = array_from_proto(message)
        assert found.dtype == values.dtype
        assert found.shape == shape
        np.testing.assert_array_equal(found, values)
        np.testing.assert_array_equal(tf.make_ndarray(message), values)


@pytest.mark.parametrize("values", [(), (b"",), (b"a\0", b"\0b", b"", b"\xff\xd8" * 1000)])
def test_strings_survive_the_message_to_the_last_byte(values):
    message = tensor_pb2.TensorProto()
    fill_proto(message, strings(*values))
    assert array_from_proto(message).tolist() == list(values)
    assert array_from_proto(tf.make_tensor_proto(strings(*values))).tolist() == list(values)


@settings(deadline=None)
@given(arrays.arrays(np.float32, arrays.array_shapes(max_side=4)))
def test_any_float_survives(values):
    message = tensor_pb2.TensorProto()
    fill_proto(message, values)
    np.testing.assert_array_equal(array_from_proto(message), values)


@pytest.mark.parametrize("listed", [[7.0], [1.0, 2.0]])
def test_the_last_of_too_few_values_counts_for_the_rest_as_in_tensorflow(listed):
    message = tf.make_tensor_proto(np.zeros((0,), np.float32))
    message.float_val.extend(listed)
    message.tensor_shape.dim[0].size = 5
    np.testing.assert_array_equal(array_from_proto(message), tf.make_ndarray(message))


def proto(dtype=tf.float32, shape=(2,), **fields):
    return tensor_pb2.TensorProto(
        dtype=dtype.as_datatype_enum, tensor_shape=tf.TensorShape(shape).as_proto(), **fields
    )


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (proto(float_val=[1, 2, 3]), "expected 2 values"),
        (proto(), "expected 2 values"),
        (proto(tensor_content=b"1234567"), "expected 2 values"),
        (proto(tensor_content=b"123456789"), "expected 2 values"),
        (proto(tf.string, tensor_content=b"12345678"), "expected 2 values"),
        (proto(shape=(1,), int_val=[1]), "expected 1 values"),
        (proto(shape=(2**20, 2**20), float_val=[1]), "more than"),
        (proto(tf.string, shape=(2**40,), string_val=[b"x"]), "more than"),
        (proto(shape=(0, 2**62, 2**62), float_val=[]), "too big"),
        (proto(shape=(1,) * 65, float_val=[1]), "at most 64 dimensions, found 65"),
        (proto(shape=(2**62,) * 10_000, float_val=[1]), "at most 64 dimensions, found 10000"),
        (proto(shape=(None,)), "shape"),
        (proto(shape=None), "shape"),
        (proto(tf.complex64, shape=()), "not supported"),
        (proto(tf.variant, shape=()), "not supported"),
        (tensor_pb2.TensorProto(dtype=77), "not supported"),
        (tensor_pb2.TensorProto(), "not supported"),
        (proto(tf.int8, shape=(1,), int_val=[300]), "out of bounds"),
    ],
)
def test_a_message_that_contradicts_itself_is_refused(message, told):
    assert told in refusal(array_from_proto, message)


def test_the_largest_array_may_be_set():
    message = tf.make_tensor_proto(np.zeros(10, np.float32))
    assert array_from_proto(message, 40).shape == (10,)
    assert "more than 39 bytes" in refusal(array_from_proto, message, 39)


def test_statuses_are_told_with_their_errors():
    statuses = [VersionStatus(3, "END", "no such file"), VersionStatus(2, "AVAILABLE")]
    failed, available = status_response(statuses).model_version_status
    assert (failed.version, failed.state) == (3, get_model_status_pb2.ModelVersionStatus.END)
    assert (failed.status.error_code, failed.status.error_message) == (2, "no such file")
    assert available.state == get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert (available.status.error_code, available.status.error_message) == (0, "")


@pytest.mark.slow
def test_metadata_are_the_versions_signatures(models):
    served = ServedModels({NAME: models})
    served.wait_until_ready()
    version = served.version(NAME, 1)
    response = metadata_response(NAME, version)
    assert (response.model_spec.name, response.model_spec.version.value) == (NAME, 1)
    found = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(found)
    assert found == signature_map(version)
    assert dict(found.signature_def) == dict(version.signature_defs)
    served.close()
