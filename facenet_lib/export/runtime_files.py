"""A network as a file that ONNX Runtime or OpenVINO compute: ``model.onnx``, or ``model.xml``.

What the file takes and answers, and how it is loaded again, is said in
:mod:`facenet_lib.runtimes`. Derived in chapter 7, "Export".
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from facenet_lib.checks import word_problems
from facenet_lib.errors import FacenetError, explain_missing, refuse
from facenet_lib.export.frozen import freeze_with_pixels
from facenet_lib.export.version_folder import (
    card_of,
    check_threshold,
    new_version,
    write_card,
    write_version,
)
from facenet_lib.models import LoadedNetwork, load_network
from facenet_lib.network.folding import fold_batch_norm
from facenet_lib.runtimes import ONNX_FILE, OPENVINO_FILE, RUNTIMES, Runtime, import_openvino

WriteNetwork = Callable[[Any, Path], None]
"""From a function of windows and the folder of a version to its files."""

ONNX_OPSET = 15
"""The version of ONNX' operations: that of 2021, which all runtimes of today read."""


def export_for_runtime(
    model: str | Path | LoadedNetwork,
    out: str | Path,
    runtime: Runtime,
    dtype: str = "float32",
    *,
    version: int | None = None,
    evaluation: str | Path | None = None,
    threshold: float | None = None,
    false_accept_rate: float | None = None,
) -> Path:
    """Write the network of a run or of imported weights for ONNX Runtime or OpenVINO.

    ``out`` is the model's folder, in which a version is made, such as ``out/1``, with the card of
    a SavedModel (:func:`export_model`). The network is folded, its weights are constants, and
    resizing, standardization and the division by the length are inside.

    ``images``
        The input, float32 ``(n, window_size, window_size, 3)`` of values 0 to 255: windows that
        are cut already. The file looks at no values: other ones than those of pixels get an
        embedding that means nothing (:func:`facenet_lib.checks.pixel_problems`).
    ``embeddings``
        The output, float32 ``(n, embedding_size)`` of length one.

    Args:
        model: as for :func:`export_model`.
        out: likewise.
        runtime: ``"onnx"`` for ``model.onnx``, of opset :data:`ONNX_OPSET`, which ONNX Runtime and
            OpenVINO read; ``"openvino"`` for ``model.xml`` and its weights in ``model.bin``.
        dtype: ``float32``; or ``bfloat16``, for OpenVINO alone, which computes so on processors
            that have instructions for it and in float32 on others. Its weights are stored as
            float16, which holds more digits in as many bytes.
        version: as for :func:`export_model`.
        evaluation: likewise.
        threshold: likewise.
        false_accept_rate: likewise.

    Returns:
        The version's folder.

    Raises:
        FacenetError: where :func:`export_model` does, for another runtime, and when what converts
            is not installed.

    >>> export_for_runtime("run", "models/facenet", "onnx", "bfloat16")
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: dtype: ONNX Runtime computes bfloat16 on no processor...
    """
    refuse("export", word_problems("runtime", runtime, RUNTIMES))
    refuse("export", word_problems("dtype", dtype, ("float32", "bfloat16")))
    if (runtime, dtype) == ("onnx", "bfloat16"):
        raise FacenetError(
            "dtype: ONNX Runtime computes bfloat16 on no processor; export for OpenVINO, which does"
        )
    folder = new_version(out, version)
    check_threshold(threshold, false_accept_rate)
    write_network = {"onnx": _onnx_writer, "openvino": _openvino_writer}[runtime](dtype)
    loaded = model if isinstance(model, LoadedNetwork) else load_network(model)
    card = card_of(loaded, dtype, evaluation, threshold, false_accept_rate)
    network = fold_batch_norm(loaded.network)
    preprocessing = loaded.preprocessing
    windows = tf.TensorSpec([None, *[preprocessing.window_size] * 2, 3], tf.float32, "images")
    function = tf.function(
        freeze_with_pixels(network, preprocessing), input_signature=[windows], autograph=False
    )

    def write(part: Path) -> None:
        write_network(function, part)
        write_card(part, card)

    return write_version(folder, write)


def _onnx_writer(_: str) -> WriteNetwork:
    with explain_missing("facenet export --onnx", "onnx"):
        import onnx
        import onnxruntime  # noqa: F401 - what cannot be read afterwards need not be written
        import tf2onnx

    def write(function: Any, part: Path) -> None:
        path = str(part / ONNX_FILE)
        tf2onnx.convert.from_function(
            function, function.input_signature, opset=ONNX_OPSET, output_path=path
        )
        onnx.checker.check_model(path, full_check=True)

    return write


def _openvino_writer(dtype: str) -> WriteNetwork:
    with explain_missing("facenet export --openvino", "openvino"):
        openvino = import_openvino()

    def write(function: Any, part: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            graph = Path(folder, "graph.pb")
            graph.write_bytes(
                function.get_concrete_function().graph.as_graph_def().SerializeToString()
            )
            network = openvino.Core().read_model(graph)
            network.inputs[0].get_tensor().set_names({"images"})
            network.outputs[0].get_tensor().set_names({"embeddings"})
            openvino.save_model(network, part / OPENVINO_FILE, compress_to_fp16=dtype == "bfloat16")

    return write
