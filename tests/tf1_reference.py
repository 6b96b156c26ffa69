"""The reference network's made weights, inputs and outputs; tests/data/README.md tells the rule."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np

_DATA = Path(__file__).parent / "data"


def variable_shapes() -> dict[str, tuple[int, ...]]:
    text = (_DATA / "inception_resnet_v1.json").read_text(encoding="utf-8")
    return {name: tuple(shape) for name, shape in json.loads(text).items()}


def made_variable(name: str, shape: tuple[int, ...]) -> np.ndarray:
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("weights"):
        values = generator.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))
        if name.endswith("Conv2d_1x1/weights") and "/Branch" not in name:
            values *= 0.3
    elif name.endswith("moving_variance"):
        values = generator.uniform(0.5, 1.5, shape)
    else:
        values = generator.standard_normal(shape) * 0.1
    return values.astype(np.float32)


def made_variables() -> dict[str, np.ndarray]:
    return {name: made_variable(name, shape) for name, shape in variable_shapes().items()}


def standardized_images() -> np.ndarray:
    generator = np.random.default_rng(zlib.crc32(b"images"))
    small = generator.integers(0, 256, (4, 10, 10, 3), dtype=np.uint8)
    return ((small.repeat(16, 1).repeat(16, 2) - 127.5) / 128).astype(np.float32)


def expected_outputs() -> dict[str, np.ndarray]:
    with np.load(_DATA / "inception_resnet_v1.npz", allow_pickle=False) as arrays:
        return dict(arrays)
