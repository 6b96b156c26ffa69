"""The peer's worker: facenet-pytorch, in the environment that test_bench_network.py tells of.

By hand::

    PEERS/bin/python worker_facenet_pytorch.py '{"command": "train"}' '{"command": "turn"}'

facenet-pytorch needs torchvision for finding faces only, which is not measured: a stub stands in.
"""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import sys
import types
from collections.abc import Callable
from typing import Any

from worker_protocol import peak_memory, rate_of, seconds_of, serve


def _stub_torchvision() -> None:
    names = ("", ".transforms", ".transforms.functional", ".ops", ".ops.boxes")
    modules = {name: types.ModuleType(f"torchvision{name}") for name in names}
    modules[".ops.boxes"].batched_nms = None
    modules[".transforms"].functional = modules[".transforms.functional"]
    modules[".ops"].boxes = modules[".ops.boxes"]
    sys.modules.update({module.__name__: module for module in modules.values()})


_stub_torchvision()
import torch  # noqa: E402
from facenet_pytorch.models.inception_resnet_v1 import InceptionResnetV1  # noqa: E402


class FacenetPytorch:
    """Its methods are the commands; ``train`` or ``infer`` come before ``turn``."""

    def __init__(self) -> None:
        self._step: Callable[[int], object] | None = None

    def versions(self) -> dict[str, str]:
        packages = ("torch", "facenet-pytorch")
        return {name: importlib.metadata.version(name) for name in packages} | {
            "peer's python": platform.python_version(),
            "peer's threads": str(torch.get_num_threads()),
        }

    def train(self, autocast: bool = False, batch: int = 16, classes: int = 1000) -> dict[str, Any]:
        """Prepare training steps: forward, backward, Adam; under bfloat16 autocast if asked."""
        model = InceptionResnetV1(pretrained=None, classify=True, num_classes=classes).train()
        optimizer = torch.optim.Adam(model.parameters())
        images = torch.randn(batch, 3, 160, 160)
        labels = torch.randint(0, classes, (batch,))

        def step(_: int) -> None:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                loss = torch.nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()

        memory_before = peak_memory()
        first = seconds_of(lambda: step(batch))
        step(batch)
        self._step = step
        return {
            "first_step_seconds": first,
            "memory_before": memory_before,
            "memory_after": peak_memory(),
        }

    def infer(self) -> dict[str, Any]:
        """Prepare inference: eager, no gradient, float32."""
        model = InceptionResnetV1(pretrained=None).eval()
        images = functools.cache(lambda batch: torch.randn(batch, 3, 160, 160))

        def step(batch: int) -> None:
            with torch.no_grad():
                model(images(batch))

        first = seconds_of(lambda: step(1))
        self._step = step
        return {"first_answer_seconds": first}

    def turn(self, batch: int = 16, seconds: float = 0.7) -> float:
        """Images a second of what was prepared."""
        return rate_of(lambda: self._step(batch), batch, seconds)


if __name__ == "__main__":
    serve(FacenetPytorch())
