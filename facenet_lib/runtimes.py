"""Networks that ONNX Runtime or OpenVINO compute, without TensorFlow.

What ``facenet export --onnx`` and ``--openvino`` write is a version's folder as that of a
SavedModel is, ``OUT/1``, with the same card: the network is ``model.onnx``, or ``model.xml`` with
``model.bin``. Its input ``images`` are the pixels of windows, float32, so that a window that was
resized elsewhere keeps its fractions, as the signature ``embed_tensors`` of a SavedModel does; its
output ``embeddings`` has rows of length one. Resizing and standardization are inside. Derived in
the appendix, "Which export for me?".
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from facenet_lib.checks import word_problems
from facenet_lib.errors import FacenetError, explain_missing
from facenet_lib.input_pipeline.settings import Preprocessing
from facenet_lib.model_card import CARD, ModelCard, read_card

Runtime = Literal["onnx", "openvino"]
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)

ONNX_FILE = "model.onnx"
OPENVINO_FILE = "model.xml"
"""With its weights beside it, in ``model.bin``."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class RuntimeNetwork:
    """A network that is loaded, and what is known of it.

    Attributes:
        embed: from windows, ``(n, window_size, window_size, 3)`` of values 0 to 255, to
            embeddings, float32 ``(n, embedding_size)`` of length one; n may be 0. It may be called
            by one thread at a time, and uses all processors.
        runtime: what computes it.
        card: what the model says of itself.
        preprocessing: says which window of an image the network sees, see
            :func:`facenet_lib.input_pipeline.decode_window`.
    """

    embed: Callable[[npt.NDArray[Any]], Floats]
    runtime: Runtime
    card: ModelCard
    preprocessing: Preprocessing

    @property
    def embedding_size(self) -> int:
        """Length of an embedding."""
        return self.card.embedding_size


def network_file(folder: str | Path) -> Path | None:
    """Return the file of another runtime's network in a version's folder, or None.

    >>> network_file("nowhere") is None
    True
    """
    files = (Path(folder) / name for name in (ONNX_FILE, OPENVINO_FILE))
    return next((file for file in files if file.is_file()), None)


def load_runtime_network(folder: str | Path, runtime: Runtime | None = None) -> RuntimeNetwork:
    """Load the network of a version's folder, to be computed by another runtime than TensorFlow.

    Args:
        folder: such as ``models/facenet/1``, which ``facenet export`` wrote with ``--onnx`` or
            ``--openvino``.
        runtime: what computes it. OpenVINO reads both files, ONNX Runtime ``model.onnx``; None:
            the one that the file is named after.

    Raises:
        FacenetError: when the folder holds no such network or card, they are damaged, the runtime
            cannot compute it, or is not installed.

    >>> load_runtime_network("nowhere")
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: nowhere: expected model.onnx or model.xml, found neither
    """
    file = network_file(folder)
    if file is None:
        raise FacenetError(f"{folder}: expected {ONNX_FILE} or {OPENVINO_FILE}, found neither")
    of_file: Runtime = "onnx" if file.name == ONNX_FILE else "openvino"
    runtime = of_file if runtime is None else runtime
    for problem in word_problems("runtime", runtime, RUNTIMES):
        raise FacenetError(problem)
    card = read_card(folder)
    preprocessing = _preprocessing(card, Path(folder) / CARD)
    if runtime == "onnx":
        if of_file != "onnx":
            raise FacenetError(f"{file}: ONNX Runtime reads {ONNX_FILE}: export it with --onnx")
        if card.dtype != "float32":
            raise FacenetError(
                f"{file}: ONNX Runtime computes {card.dtype} on no processor, OpenVINO does: name "
                "the runtime openvino"
            )
    load = {"onnx": _load_onnx, "openvino": _load_openvino}[runtime]
    compute = load(file, card.dtype)
    side, size = preprocessing.window_size, card.embedding_size

    def embed(windows: npt.NDArray[Any]) -> Floats:
        windows = np.ascontiguousarray(windows, np.float32)
        if windows.shape[1:] != (side, side, 3):
            raise FacenetError(
                f"windows: expected shape (n, {side}, {side}, 3), found {windows.shape}"
            )
        return compute(windows) if len(windows) else np.zeros((0, size), np.float32)

    return RuntimeNetwork(embed, runtime, card, preprocessing)


def _preprocessing(card: ModelCard, file: Path) -> Preprocessing:
    try:
        return Preprocessing(**card.preprocessing)
    except (FacenetError, TypeError) as error:
        raise FacenetError(
            f"{file}: expected the card of a model that 'facenet export' wrote, found: {error}"
        ) from error


def _load_onnx(file: Path, _: str) -> Callable[[Floats], Any]:
    with explain_missing(ONNX_FILE, "onnx"):
        import onnxruntime
    onnxruntime.disable_telemetry_events()  # which its builds for Windows have
    try:
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        (image_input,), (output,) = session.get_inputs(), session.get_outputs()
    except Exception as error:
        # A damaged file fails wherever the damage makes itself felt.
        raise FacenetError(f"{file}: not a whole network of ours: {error}") from error
    return lambda windows: session.run([output.name], {image_input.name: windows})[0]


def import_openvino() -> Any:
    """Import OpenVINO without the part that tells its makers' analytics service of every import.

    What embeds faces should ask nobody on the network; OpenVINO does without that part.

    Raises:
        ImportError: without OpenVINO.

    >>> import_openvino().__name__
    'openvino'
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _load_openvino(file: Path, dtype: str) -> Callable[[Floats], Any]:
    with explain_missing(file.name, "openvino"):
        openvino = import_openvino()
    # Left to itself, OpenVINO would compute float32 as bfloat16 where a processor is fast at it.
    precision = {"float32": "f32", "bfloat16": "bf16"}[dtype]
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
    try:
        network = openvino.Core().compile_model(str(file), "CPU", settings)
        request = network.create_infer_request()
        (output,) = network.outputs
    except Exception as error:
        raise FacenetError(f"{file}: not a whole network of ours: {error}") from error
    # A copy: OpenVINO writes the next answer into the same memory.
    return lambda windows: request.infer([windows], share_inputs=True)[output].copy()
