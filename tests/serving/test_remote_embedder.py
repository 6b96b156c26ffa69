"""Image files to embeddings by asking a server."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from made_up_servers import (
    SIZE,
    embedding,
    refusing,
)
from toy_training import SETTINGS, draw_people, load_run, train

from facenet_lib.errors import FacenetError
from facenet_lib.export.saved_model import export_model
from facenet_lib.models import load_embedder
from facenet_lib.runs.config import TrainingConfig
from facenet_lib.serving.remote_embedder import RemoteEmbedder
from facenet_lib.serving.server import LocalServer
from facenet_lib.verification import EvaluationPairs, evaluate_pairs


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{number}.jpg" for number in range(9)]
    for number, path in enumerate(paths):
        path.write_bytes(b"image %d" % number)
    return paths


def test_files_are_embedded_in_order_and_each_once(asked_server, files):
    wanted = [files[5], files[0], files[5], str(files[8]), *files]
    with RemoteEmbedder(asked_server.where) as embedder:
        assert (embedder.embedding_size, embedder.version) == (SIZE, 7)
        assert list(embedder.identities) == []
        found = embedder.embed(wanted, batch_size=4)
        assert embedder.embed([]).shape == (0, SIZE)
    assert found.dtype == np.float32
    expected = [embedding(open(path, "rb").read()) for path in wanted]  # noqa: PTH123, SIM115
    np.testing.assert_array_equal(found, expected)
    assert [count for count, _ in asked_server.batches()] == [4, 4, 1]


def test_the_version_that_was_found_answers_to_the_end(rest, grpc_server, files):
    with RemoteEmbedder(rest.where, "other") as embedder:
        embedder.embed(files, batch_size=3)
    asked = [path for _, path, _ in rest.requests]
    assert asked == ["/v1/models/other/metadata"] + 3 * ["/v1/models/other/versions/7:predict"]
    with RemoteEmbedder(grpc_server.where, "other") as embedder:
        embedder.embed(files, batch_size=3)
    assert [one.model_spec.version.value for one in grpc_server.requests] == [0, 7, 7, 7]


def test_embeddings_of_another_length_than_the_model_has_are_an_error(rest, files):
    """One number would else be taken for each of the four."""
    answer = {"outputs": {"embeddings": [[1.0]], "valid": [True]}}
    with RemoteEmbedder(rest.where) as embedder:
        rest.faults = [refusing(200, answer)]
        with pytest.raises(FacenetError, match=r"embeddings of 4 numbers, .* found 1"):
            embedder.embed(files[:1])


def test_files_that_cannot_be_used_are_named(rest, files, tmp_path):
    for damaged in (files[3], files[4]):
        damaged.write_bytes(b"bad")
    with RemoteEmbedder(rest.where) as embedder:
        with pytest.raises(FacenetError) as refused:
            embedder.embed(files)
        for damaged in (files[3], files[4]):
            assert f"{damaged}: the model cannot decode it: expected" in str(refused.value)
        assert "found 3 bytes that begin with b'bad'" in str(refused.value)
        with pytest.raises(FacenetError, match=r"none\.jpg: cannot be read: No such file"):
            embedder.embed([tmp_path / "none.jpg"])
        with pytest.raises(FacenetError, match="expected paths to be a sequence"):
            embedder.embed(str(files[0]))
        with pytest.raises(FacenetError, match="batch_size"):
            embedder.embed(files, batch_size=0)


@pytest.fixture(scope="module")
def photographs():
    """LFW's pairs of photographs, where they are."""
    if not {"FACENET_LFW", "FACENET_LFW_PROTOCOL"} <= os.environ.keys():
        pytest.skip("FACENET_LFW and FACENET_LFW_PROTOCOL do not name LFW's images and files")
    pairs_file = Path(os.environ["FACENET_LFW_PROTOCOL"]) / "pairsDevTest.txt"
    return EvaluationPairs.from_file(pairs_file, os.environ["FACENET_LFW"])


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A network of two passes over drawn faces, exported."""
    root = tmp_path_factory.mktemp("exported")
    faces = draw_people(root / "faces", "Known")
    train(TrainingConfig(**SETTINGS), faces, root / "run", progress=False)
    export_model(load_run(root / "run"), root / "facenet")
    return root / "facenet"


@pytest.mark.slow
def test_photographs_are_embedded_and_judged_as_in_process(exported, photographs):
    model = load_embedder(exported)
    paths = sorted(set(photographs.paths))[:500]
    expected = model.embed(paths)
    by_model = evaluate_pairs(model.embed, photographs)
    with LocalServer({"facenet": exported}) as server:
        for where in (server.rest_url, server.grpc_address):
            with RemoteEmbedder(where) as remote:
                np.testing.assert_allclose(remote.embed(paths), expected, atol=1e-5)
                served = evaluate_pairs(remote.embed, photographs)
            assert served.fold_accuracies.tolist() == by_model.fold_accuracies.tolist()
