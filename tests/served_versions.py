"""What the tests of served versions share: models in this process, and what they are asked."""

from contextlib import contextmanager

import numpy as np
import pytest
import tensorflow as tf
from serving_models import (
    NAME,
    pixels,
    png,
)
from tensorflow_serving.apis import prediction_log_pb2

from facenet_lib.model_card import WARMUP_REQUESTS
from facenet_lib.serving.messages import ServingError
from facenet_lib.serving.versions import ServedModels

SECONDS = 300.0  # far more than anything here takes


IMAGES = np.stack([pixels(seed) for seed in range(12)])


@contextmanager
def serving(folder, **options):
    served = ServedModels({NAME: folder}, poll_seconds=0.02, **options)
    try:
        yield served
    finally:
        served.close()


@contextmanager
def ready(folder, **options):
    with serving(folder, **options) as served:
        served.wait_until_ready()
        yield served


def files(images):
    array = np.empty(len(images), object)
    array[:] = [png(image) for image in images]
    return {"images": array}


def tensors(images):
    return {"images": np.asarray(images, np.float32)}


def embeddings(future):
    return future.result(SECONDS).outputs["embeddings"]


def refusal(code, function, *arguments, **options):
    with pytest.raises(ServingError) as caught:
        function(*arguments, **options)
    assert caught.value.code == code
    return str(caught.value)


def write_warm_up(version, *requests):
    (version / WARMUP_REQUESTS).parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(version / WARMUP_REQUESTS)) as writer:
        for inputs in requests:
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name = "any"
            for name, array in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
            writer.write(log.SerializeToString())
