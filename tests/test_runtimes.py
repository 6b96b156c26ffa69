"""What is loaded as another runtime's network, and what is refused; tests/export has the rest."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facenet_lib import runtimes
from facenet_lib.errors import FacenetError
from facenet_lib.model_card import CARD
from facenet_lib.runtimes import RUNTIMES, load_runtime_network, network_file

FILES = {"onnx": "model.onnx", "openvino": "model.xml"}


def version(folder: Path, file: str, **about: object) -> Path:
    card = {"facenet_lib": "0", "embedding_size": 2, "dtype": "float32"}
    card |= {"preprocessing": {"image_size": 4}} | about
    (folder / CARD).parent.mkdir(parents=True)
    (folder / CARD).write_text(json.dumps(card), "utf-8")
    (folder / file).write_bytes(b"a network")
    return folder


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_folder_is_known_by_its_file(tmp_path: Path, runtime: str) -> None:
    assert network_file(tmp_path) is None
    folder = version(tmp_path / "1", FILES[runtime])
    assert network_file(folder) == folder / FILES[runtime]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_is_no_network_is_refused(tmp_path: Path, runtime: str) -> None:
    pytest.importorskip({"onnx": "onnxruntime"}.get(runtime, runtime), reason="an extra")
    with pytest.raises(FacenetError, match=f"{FILES[runtime]}: not a whole network of ours"):
        load_runtime_network(version(tmp_path / "1", FILES[runtime]))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_runtime_that_is_not_installed_is_told_with_its_extra(
    tmp_path: Path, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, {"onnx": "onnxruntime"}.get(runtime, runtime), None)
    with pytest.raises(FacenetError, match=rf"pip install 'facenet-lib\[{runtime}\]'"):
        load_runtime_network(version(tmp_path / "1", FILES[runtime]))


def test_openvino_tells_nobody_that_it_was_imported() -> None:
    """In a process of its own: in this one it may have been imported already."""
    pytest.importorskip("openvino", reason="an extra")
    program = """
import sys
from facenet_lib.runtimes import import_openvino
import_openvino()
from openvino.tools import ovc
print(ovc.telemetry.__class__.__module__, *(n for n in sys.modules if n.startswith("openvino_t")))
assert sys.modules["openvino_telemetry"] is None
"""
    command = [sys.executable, "-c", program]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert told == ["openvino.tools.ovc.telemetry_stub", "openvino_telemetry"]


def test_onnx_runtime_computes_no_bfloat16(tmp_path: Path) -> None:
    folder = version(tmp_path / "1", "model.onnx", dtype="bfloat16")
    with pytest.raises(FacenetError, match="name the runtime openvino"):
        load_runtime_network(folder)


def test_windows_of_another_shape_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.ones((3, 2), np.float32)
    monkeypatch.setattr(runtimes, "_load_onnx", lambda file, dtype: lambda windows: rows)
    network = load_runtime_network(version(tmp_path / "1", "model.onnx"))
    assert network.embed(np.zeros((3, 4, 4, 3), np.uint8)) is rows
    assert network.embed(np.zeros((0, 4, 4, 3))).shape == (0, 2)
    with pytest.raises(FacenetError, match=r"expected shape \(n, 4, 4, 3\), found \(1, 5, 4, 3\)"):
        network.embed(np.zeros((1, 5, 4, 3)))
