"""Where MTCNN's weights are read from, and what is refused there."""

from __future__ import annotations

import importlib.metadata
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lz4.frame
import numpy as np
import pytest

from facenet_lib.alignment import mtcnn_weights
from facenet_lib.alignment.mtcnn_weights import read_mtcnn_weights
from facenet_lib.errors import FacenetError


def test_the_networks_have_the_paper_s_layers():
    kernels = [
        [values.shape for values in weights if values.ndim in (2, 4)]
        for weights in read_mtcnn_weights()
    ]
    assert kernels[0] == [
        (3, 3, 3, 10),
        (3, 3, 10, 16),
        (3, 3, 16, 32),
        (1, 1, 32, 4),
        (1, 1, 32, 2),
    ]
    assert kernels[1][:3] == [(3, 3, 3, 28), (3, 3, 28, 48), (2, 2, 48, 64)]
    assert kernels[1][3:] == [(576, 128), (128, 4), (128, 2)]
    assert kernels[2][:4] == [(3, 3, 3, 32), (3, 3, 32, 64), (3, 3, 64, 64), (2, 2, 64, 128)]
    assert kernels[2][4:] == [(1152, 256), (256, 4), (256, 10), (256, 2)]
    assert {w.dtype for weights in read_mtcnn_weights() for w in weights} == {np.dtype(np.float32)}


def test_a_package_that_is_missing_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch):
    def distribution(name: str) -> Any:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(mtcnn_weights, "distribution", distribution)
    with pytest.raises(FacenetError, match=r"MTCNN needs the package mtcnn.*facenet-lib\[alignmen"):
        read_mtcnn_weights()


class Trap:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_file_that_is_not_the_known_one_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sprung = tmp_path / "sprung"
    weights = tmp_path / "mtcnn" / "assets" / "weights" / "pnet.lz4"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(lz4.frame.compress(pickle.dumps(Trap(sprung))))
    package = SimpleNamespace(version="1.0.1", locate_file=lambda name: tmp_path / name)
    monkeypatch.setattr(mtcnn_weights, "distribution", lambda name: package)
    with pytest.raises(
        FacenetError, match=r"mtcnn 1\.0\.0, found .*another file, of version 1\.0\.1"
    ):
        read_mtcnn_weights()
    assert not sprung.exists()
    weights.unlink()
    with pytest.raises(FacenetError, match=r"pnet\.lz4: No such file"):
        read_mtcnn_weights()
