"""A worker for one exported model: a SavedModel, or what ONNX Runtime or OpenVINO compute.

By hand::

    python worker_exports.py '{"command": "load", "folder": "models/1"}' '{"command": "turn"}'
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from worker_protocol import peak_memory, rate_of, serve

SIDE = 160  # pixels


class ExportedModel:
    """Its methods are the commands; ``load`` comes before the others but ``export``."""

    def __init__(self) -> None:
        self._embed: Callable[[np.ndarray], np.ndarray]

    def export(self, out: str) -> dict[str, str]:
        """Write the full network in every way; all weights random, so that none can be left out."""
        from facenet_lib.export import export_for_runtime, export_model
        from facenet_lib.models import LoadedNetwork, network_of
        from facenet_lib.runs.config import TrainingConfig

        config = TrainingConfig(image_size=SIDE)
        network = network_of(config)
        generator = np.random.default_rng(0)
        for variable in network.variables:
            if variable.path.endswith(("beta", "bias", "moving_mean")):  # zeros until trained
                variable.assign(generator.normal(0, 0.1, variable.shape))
        model = LoadedNetwork(network, config, {})
        written = {
            "SavedModel float32": export_model(model, f"{out}/saved"),
            "SavedModel bfloat16": export_model(model, f"{out}/saved_bfloat16", "bfloat16"),
            "ONNX Runtime float32": export_for_runtime(model, f"{out}/onnx", "onnx"),
            "OpenVINO float32": export_for_runtime(model, f"{out}/openvino", "openvino"),
            "OpenVINO bfloat16": export_for_runtime(
                model, f"{out}/openvino_bfloat16", "openvino", "bfloat16"
            ),
        }
        return {kind: str(folder) for kind, folder in written.items()}

    def load(self, folder: str) -> None:
        """Load a model, with nothing that it does not need, and have it answer once."""
        if (Path(folder) / "saved_model.pb").is_file():
            import tensorflow as tf

            signatures = tf.saved_model.load(folder).signatures

            def embed(windows: np.ndarray) -> np.ndarray:
                answer = signatures["embed_tensors"](images=tf.constant(windows))
                return answer["embeddings"].numpy()

            self._embed = embed
        else:
            from facenet_lib.runtimes import load_runtime_network

            self._embed = load_runtime_network(folder).embed
        self._embed(_windows(1))

    def turn(self, batch: int = 16, seconds: float = 0.7) -> float:
        """Images a second."""
        return rate_of(lambda: self._embed(_windows(batch)), batch, seconds)

    def memory(self) -> float | None:
        """The most memory held so far, in MB."""
        return peak_memory()

    def embeddings(self) -> list[list[float]]:
        """Of sixteen windows."""
        return self._embed(_windows(16)).tolist()


@functools.cache
def _windows(count: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (count, SIDE, SIDE, 3)).astype(np.float32)


if __name__ == "__main__":
    serve(ExportedModel())
