"""What a server says of a model."""

from __future__ import annotations

import math

import pytest
from made_up_servers import (
    SIGNATURES,
    SIZE,
    client_of,
)

from facenet_lib.errors import FacenetError
from facenet_lib.serving.answers import TensorInfo, VersionStatus


def test_both_protocols_say_the_same_of_the_model(rest, grpc_server):
    with client_of(rest) as one, client_of(grpc_server) as other:
        assert one.metadata() == other.metadata()
        assert one.status() == other.status() == [VersionStatus(7, "AVAILABLE", "")]
        metadata = one.metadata()
    assert (metadata.name, metadata.version, metadata.embedding_size) == ("facenet", 7, SIZE)
    tensors = metadata.signatures["embed_tensors"].inputs["images"]
    assert tensors == TensorInfo("DT_FLOAT", (None, None, None, 3))
    operation = metadata.signatures["__saved_model_init_op"].outputs
    assert operation == {"__saved_model_init_op": TensorInfo("DT_INVALID", None)}


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        {"model_version_status": [{}]},
        {"model_version_status": [{"version": math.inf}]},
        {"metadata": 3},
        {"model_spec": {"version": math.inf, "name": ""}, "metadata": {"signature_def": {}}},
        "x",
    ],
)
def test_a_status_or_metadata_of_another_kind_is_an_error(rest, answer):
    rest.answer = answer
    with client_of(rest) as client:
        for ask in (client.status, client.metadata):
            with pytest.raises(FacenetError, match="expected an answer of"):
                ask()


def test_a_model_that_is_not_ours_is_told(rest, monkeypatch):
    monkeypatch.delitem(SIGNATURES, "serving_default")
    told = "version 7: expected a signature serving_default"
    with client_of(rest) as client, pytest.raises(FacenetError, match=told):
        client.metadata().embedding_size  # noqa: B018
