"""What the protocol's suite cannot ask of models that have no such signature."""

from types import SimpleNamespace

import pytest
from tensorflow_serving.apis import inference_pb2

from facenet_lib.serving.classification import (
    CLASSIFY,
    REGRESS,
    inference_refusal,
    tasks_refusal,
)


def signature(inputs, outputs):
    return SimpleNamespace(
        inputs=dict.fromkeys(inputs.split()), outputs=dict.fromkeys(outputs.split())
    )


SIGNATURES = {
    "serving_default": signature("images", "embeddings valid"),
    "classes": signature("inputs", "classes"),
    "scores": signature("inputs", "classes scores"),
    "more": signature("inputs", "classes scores more"),
    "numbers": signature("inputs", "outputs"),
    "two": signature("inputs more", "outputs"),
    "none": signature("inputs", ""),
}


@pytest.mark.parametrize(
    ("method", "name", "code"),
    [
        (CLASSIFY, "", "INVALID_ARGUMENT"),
        (CLASSIFY, "classes", "UNIMPLEMENTED"),
        (CLASSIFY, "scores", "UNIMPLEMENTED"),
        (CLASSIFY, "more", "INVALID_ARGUMENT"),
        (CLASSIFY, "numbers", "INVALID_ARGUMENT"),
        (CLASSIFY, "none", "INVALID_ARGUMENT"),
        (REGRESS, "numbers", "UNIMPLEMENTED"),
        (REGRESS, "classes", "INVALID_ARGUMENT"),
        (REGRESS, "two", "INVALID_ARGUMENT"),
        (REGRESS, "unheard_of", "INVALID_ARGUMENT"),
    ],
)
def test_a_signature_that_fits_is_told_that_nobody_computes_it(method, name, code):
    assert inference_refusal(method, name, SIGNATURES).code == code


def test_what_is_wrong_is_told():
    told = str(inference_refusal(CLASSIFY, "", SIGNATURES))
    assert "expected a signature of the input inputs and the outputs classes or scores" in told
    assert "found serving_default of images and embeddings, valid: ask by predict" in told
    told = str(inference_refusal(REGRESS, "embed", {"a": None, "b": None}))
    assert told == 'regress: no signature "embed"; expected one of a, b'


def tasks(*asked):
    request = inference_pb2.MultiInferenceRequest()
    for model, name, method in asked:
        task = request.tasks.add(method_name=method)
        task.model_spec.name, task.model_spec.signature_name = model, name
    return request.tasks


@pytest.mark.parametrize(
    ("asked", "told", "code"),
    [
        ([("a", "classes", CLASSIFY), ("b", "numbers", REGRESS)], "one model", "INVALID_ARGUMENT"),
        ([("a", "classes", CLASSIFY), ("a", "classes", CLASSIFY)], "twice", "INVALID_ARGUMENT"),
        ([("a", "classes", CLASSIFY), ("a", "", REGRESS)], "regress: ", "INVALID_ARGUMENT"),
        ([("a", "classes", "predict")], "found predict", "UNIMPLEMENTED"),
        ([("a", "classes", CLASSIFY), ("a", "numbers", REGRESS)], "does not", "UNIMPLEMENTED"),
    ],
)
def test_tasks_are_looked_at_one_by_one(asked, told, code):
    refusal = tasks_refusal(tasks(*asked), SIGNATURES)
    assert told in str(refusal)
    assert refusal.code == code
