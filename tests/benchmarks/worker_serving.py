"""Our workers of the serving benchmark: a server, a client, and the model in process.

By hand::

    python worker_serving.py '{"command": "export", "out": "OUT", "kind": "small"}'
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import worker_protocol
from PIL import Image
from worker_protocol import rate_of

from facenet_lib.drawn_faces import draw_identity, draw_nuisance, render_face

FACES = 64
KINDS = {
    "small": {"image_size": 80, "embedding_size": 128, "width": 0.5, "blocks": (1, 2, 1)},
    "full": {"image_size": 160, "embedding_size": 512},
}


class Serving:
    """Its methods are the commands; each worker is used as one of the three."""

    def __init__(self) -> None:
        self._server: Any = None
        self._compute: Callable[[int], object] | None = None
        self._embed: Callable[[bytes], object] | None = None
        self._images: list[bytes] = []
        self._next = 0

    def export(
        self, out: str, kind: str, runtime: str = "tensorflow", dtype: str = "float32"
    ) -> list[str]:
        """Export a network of random weights; draw the faces; return both places."""
        from facenet_lib.export import export_for_runtime, export_model
        from facenet_lib.models import LoadedNetwork, network_of
        from facenet_lib.runs.config import TrainingConfig

        config = TrainingConfig(**KINDS[kind], crop_size=144)
        network = LoadedNetwork(network_of(config), config, {})
        model = Path(out) / f"{kind}_{runtime}_{dtype}"
        if runtime == "tensorflow":
            export_model(network, model, dtype)
        else:
            export_for_runtime(network, model, runtime, dtype)
        faces = Path(out) / "faces"
        faces.mkdir(exist_ok=True)
        for number in range(FACES):
            file = io.BytesIO()
            face = render_face(draw_identity(number), draw_nuisance(number))
            Image.fromarray(face).save(file, "JPEG", quality=85)
            (faces / f"{number:02}.jpg").write_bytes(file.getvalue())
        return [str(model), str(faces)]

    # ------------------------------------------------------------ in process

    def load(self, model: str, faces: str) -> None:
        """Prepare the model itself, as the server calls it."""
        import tensorflow as tf

        self._read(faces)
        loaded = tf.saved_model.load(str(Path(model) / "1"))
        signature = loaded.signatures["serving_default"]

        def compute(size: int) -> object:
            # The module must live as long as its signature.
            assert loaded
            batch = [self._image() for _ in range(size)]
            answer = signature(images=tf.constant(batch))
            return {name: tensor.numpy() for name, tensor in answer.items()}

        self._compute = compute
        for size in range(1, 9):
            compute(size)

    def seconds_a_batch(self, size: int, seconds: float) -> float:
        return size / rate_of(lambda: self._compute(size), size, seconds)

    # ------------------------------------------------------------ server

    def serve(
        self, model: str, runtime: str = "tensorflow", max_batch_size: int = 32
    ) -> dict[str, str]:
        from facenet_lib.serving.batching import Batching
        from facenet_lib.serving.server import LocalServer

        self._server = LocalServer(
            {"facenet": model},
            runtime=None if runtime == "tensorflow" else runtime,
            batching=Batching(max_batch_size),
        ).__enter__()
        return {"REST": self._server.rest_url, "gRPC": self._server.grpc_address}

    def batches(self) -> dict[str, int]:
        """How many batches were computed, by their number of images."""
        return dict(self._server.models.batch_sizes("facenet"))

    def memory(self) -> float:
        """What the process holds now, in MB."""
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))

    # ------------------------------------------------------------ client

    def connect(self, protocol: str, address: str, faces: str, first: int) -> None:
        from facenet_lib.serving import GrpcClient, RestClient

        client = RestClient(address) if protocol == "REST" else GrpcClient(address)
        self._read(faces)
        self._next = first
        self._embed = lambda image: client.embed([image])
        self._ask()

    def ask(self, seconds: float = 0.0, requests: int = 0) -> int:
        """Ask for one image after the other, so long or so often; return how often."""
        count, end = 0, time.perf_counter() + seconds
        while count < requests or time.perf_counter() < end:
            self._ask()
            count += 1
        return count

    def ask_at(self, rate: float, seconds: float, delay: float) -> list[float]:
        """Ask at fixed times, ``rate`` a second; return seconds from then to the answer.

        When an answer comes late, what should have been asked meanwhile is late too: waiting
        counts, as for clients who do not know of each other.
        """
        start, latencies = time.perf_counter() + delay, []
        for number in range(int(rate * seconds)):
            due = start + number / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            self._ask()
            latencies.append(time.perf_counter() - due)
        return latencies

    def _read(self, faces: str) -> None:
        self._images = [path.read_bytes() for path in sorted(Path(faces).iterdir())]

    def _image(self) -> bytes:
        self._next += 1
        return self._images[self._next % len(self._images)]

    def _ask(self) -> None:
        answer = self._embed(self._image())
        assert np.all(answer.valid)


if __name__ == "__main__":
    worker_protocol.serve(Serving())
