"""The camera: what it makes of linear light; and the background behind the head."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from facenet_lib.drawn_faces.mathematics import FloatArray
from facenet_lib.drawn_faces.nuisance import Nuisance


def take_photograph(linear: FloatArray, nuisance: Nuisance) -> NDArray[np.uint8]:
    """Exposure, tone curve, blur and noise of a camera."""
    height, width = linear.shape[:2]
    bright = linear * np.float32(1.25 * 2.0**nuisance.exposure)
    bright = bright / (1.0 + 0.28 * bright)  # film does not clip at once
    grey = _DISPLAY.take((np.minimum(bright, 1.0) * 4095.0).astype(np.intp))
    grey = (grey - 118.0) * np.float32(nuisance.contrast) + 118.0
    picture = Image.fromarray(np.clip(grey, 0.0, 255.0).astype(np.uint8))
    picture = picture.filter(ImageFilter.GaussianBlur(nuisance.blur * height / 160.0))
    noise = np.random.default_rng(nuisance.noise_seed).standard_normal(
        (height, width, 3), dtype=np.float32
    )
    noisy = np.asarray(picture, np.float32) + noise * np.float32(nuisance.noise)
    return np.clip(noisy + 0.5, 0.0, 255.0).astype(np.uint8)


_DISPLAY = (np.linspace(0.0, 1.0, 4096) ** (1 / 2.2) * 255.0).astype(np.float32)


def draw_background(nuisance: Nuisance, width: int, height: int) -> FloatArray:
    """(height, width, 3) linear colours behind the head."""
    generator = np.random.default_rng(nuisance.background_seed)

    def colours(down: int, across: int) -> FloatArray:
        grey = generator.uniform(0.1, 0.9, (down, across, 1))
        hue = generator.uniform(-0.25, 0.25, (down, across, 3))
        return np.clip(grey + hue, 0.02, 0.98).astype(np.float32)

    def enlarged(grid: FloatArray, method: Image.Resampling) -> FloatArray:
        whole = Image.fromarray((grid * 255).astype(np.uint8)).resize((width, height), method)
        return np.asarray(whole, np.float32) / np.float32(255.0)

    kind = nuisance.background
    if kind == "blobs":
        cells = int(generator.integers(3, 9))
        picture = enlarged(colours(cells, cells), Image.Resampling.BICUBIC)
    elif kind == "blocks":
        across, down = (int(value) for value in generator.integers(2, 7, 2))
        picture = enlarged(colours(down, across), Image.Resampling.NEAREST)
    else:
        picture = enlarged(colours(2, 2), Image.Resampling.BICUBIC)
    if kind == "stripes":
        row, column = (np.linspace(-1.0, 1.0, n, dtype=np.float32) for n in (width, height))
        angle, pitch = generator.uniform(0.0, math.pi), generator.uniform(4.0, 16.0)
        wave = np.sin(
            np.float32(pitch) * (row * math.cos(angle) + column[:, None] * math.sin(angle))
        )
        picture = picture + (colours(1, 1) - picture) * (0.5 + 0.5 * wave)[..., None] ** 2
    elif kind == "grain":
        cells = int(generator.integers(12, 40))
        noise = enlarged(
            colours(cells, cells).mean(axis=2, keepdims=True).repeat(3, 2), Image.Resampling.BICUBIC
        )
        picture = picture * (0.5 + noise)
    return np.clip(picture, 0.0, 1.0) ** np.float32(2.2)
