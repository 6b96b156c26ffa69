"""Any folder of a model to one loaded network."""

import shutil
from pathlib import Path

import keras
import pytest
from toy_training import (
    load_run,
)

from facenet_lib import models
from facenet_lib.errors import FacenetError
from facenet_lib.models import load_network, network_settings


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
