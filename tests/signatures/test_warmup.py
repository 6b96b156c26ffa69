"""The requests that a server answers before it takes others'."""

from io import BytesIO

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from toy_training import load_run

from facenet_lib.export.saved_model import export_model
from facenet_lib.model_card import WARMUP_REQUESTS

pytestmark = pytest.mark.slow  # each test needs an exported model


@pytest.fixture(scope="module")
def exported(tmp_path_factory, toy_run):
    return export_model(load_run(toy_run), tmp_path_factory.mktemp("models") / "facenet")


def read_warmup_requests(model):
    records = tf.data.TFRecordDataset(str(model / WARMUP_REQUESTS))
    return [record.numpy() for record in records]


def test_warm_up_requests_are_what_tensorflow_serving_reads(exported):
    prediction_log_pb2 = pytest.importorskip(
        "tensorflow_serving.apis.prediction_log_pb2", reason="needs tensorflow-serving-api"
    )
    model = tf.saved_model.load(str(exported))
    asked = []
    for record in read_warmup_requests(exported):
        log = prediction_log_pb2.PredictionLog.FromString(record)
        request = log.predict_log.request
        inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        answer = model.signatures[request.model_spec.signature_name](
            **{name: tf.constant(values) for name, values in inputs.items()}
        )
        if "valid" in answer:
            assert answer["valid"].numpy().all()
        counts = {len(values) for values in (*inputs.values(), *answer.values())}
        assert len(counts) == 1
        asked.append((request.model_spec.signature_name, *counts))
        # Written as the class itself writes it: no field is lost or unknown.
        again = prediction_log_pb2.PredictionLog.FromString(log.SerializeToString())
        assert again == log and log.ByteSize() == len(record)
        assert not log.HasField("log_metadata") and not request.output_filter
    signatures = ("serving_default", "verify", "embed_tensors")
    assert asked == [(name, count) for count in (1, 2) for name in signatures]


def test_warm_up_faces_differ(exported):
    prediction_log_pb2 = pytest.importorskip(
        "tensorflow_serving.apis.prediction_log_pb2", reason="needs tensorflow-serving-api"
    )
    files = set()
    for record in read_warmup_requests(exported):
        inputs = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request.inputs
        for proto in inputs.values():
            files.update(proto.string_val)
    pixels = [np.asarray(Image.open(BytesIO(file))) for file in files]
    assert {image.shape for image in pixels} == {(160, 160, 3)}
    assert len(pixels) == 4
