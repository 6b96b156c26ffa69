"""Any folder of a model to one loaded network."""

import dataclasses
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from toy_training import (
    load_run,
)

from facenet_lib import models
from facenet_lib.errors import FacenetError
from facenet_lib.models import load_network, network_settings
from facenet_lib.runs.checkpoints import last_checkpoint


def test_what_is_no_run_cannot_be_loaded(tmp_path, toy_run):
    with pytest.raises(FacenetError, match="not a training run"):
        load_run(tmp_path)
    run = Path(shutil.copytree(toy_run, tmp_path / "run"))
    (run / "identities.txt").unlink()
    with pytest.raises(FacenetError, match=r"identities\.txt"):
        load_run(run)
    shutil.rmtree(run / "checkpoints")
    (run / "identities.txt").touch()
    with pytest.raises(FacenetError, match="no checkpoint yet"):
        load_run(run)


def test_a_run_of_other_variables_is_refused(toy_run):
    with pytest.raises(FacenetError, match=r"(?s)00000018\.npz.*conv.*: unknown|kernel: unknown"):
        models.load_run(toy_run, build_network=lambda config: keras.Sequential([keras.Input((3,))]))


def test_a_model_that_may_not_be_read_is_told(tmp_path, monkeypatch):
    def denied(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    for method in ("iterdir", "is_file"):  # may not be listed, may not even be entered
        with monkeypatch.context() as patch:
            patch.setattr(Path, method, denied)
            for attempt in (network_settings, load_network):
                with pytest.raises(FacenetError) as caught:
                    attempt(tmp_path)
                assert str(caught.value) == f"{tmp_path}: cannot be read: Permission denied"


def test_the_weights_themselves_are_there_beside_their_averages(toy_run):
    averaged, raw = load_run(toy_run), load_run(toy_run, averaged=False)
    arrays = last_checkpoint(toy_run / "checkpoints").arrays
    for name, loaded in (("average/0000/kernel", averaged), ("network/0000/kernel", raw)):
        np.testing.assert_array_equal(loaded.network.weights[0], arrays[name])
    assert not np.array_equal(averaged.network.weights[0], raw.network.weights[0])


def test_a_loaded_network_knows_where_it_comes_from(toy_run, toy_faces):
    loaded = load_run(toy_run)
    assert loaded.origin == {"training": {"identities": 4, "steps": 18, "precision": "float32"}}
    assert (loaded.step, loaded.identities) == (18, tuple(toy_faces))
    assert loaded.preprocessing == models.preprocessing_of(loaded.config)
    embedder = models.load_embedder(loaded)
    assert embedder.identities == loaded.identities
    assert embedder.about == {"preprocessing": dataclasses.asdict(loaded.preprocessing)}


class Server:
    """What a server is asked, without one."""

    def __init__(self, address):
        self.address = address


def test_the_threshold_is_that_of_the_images_it_was_measured_on(toy_run):
    loaded = load_run(toy_run)
    assert models.load_embedder(loaded).threshold == loaded.evaluation["threshold"] > 0
    assert models.load_embedder(loaded, standardization="per_image").threshold is None


def test_an_address_is_a_model(monkeypatch):
    monkeypatch.setattr("facenet_lib.serving.remote_embedder.RemoteEmbedder", Server)
    of_rest = ("http://localhost:8501/facenet", "HTTPS://a.b/c", "http://h:1/v1/models/a:predict")
    for address in (*of_rest, "grpc://localhost:8500", "localhost:8500", "[::1]:8500/facenet"):
        assert models.is_address(address)
        assert models.load_embedder(address).address == address
        with pytest.raises(FacenetError, match="a server has its standardization and crop inside"):
            models.load_embedder(address, crop_size=100)
    for folder in (
        "models/facenet",
        "./localhost:8500",
        "a:b",
        Path("http://localhost"),
        "run:1/a/b",
    ):
        assert not models.is_address(folder)
