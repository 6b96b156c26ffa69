"""The camera and the background."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from passport_pictures import PASSPORT

from facenet_lib.drawn_faces.camera import draw_background, take_photograph
from facenet_lib.drawn_faces.nuisance import BACKGROUNDS


def grey(brightness: float, size: int = 64) -> np.ndarray:
    return np.full((size, size, 3), brightness, np.float32)


def test_more_light_is_a_brighter_picture() -> None:
    levels = [
        int(take_photograph(grey(light), PASSPORT)[0, 0, 0]) for light in (0.0, 0.1, 0.5, 9.0)
    ]
    assert levels[0] == 0 and levels[-1] == 255
    assert levels == sorted(set(levels))


def test_exposure_contrast_and_noise() -> None:
    plain = take_photograph(grey(0.2), PASSPORT).astype(int)
    bright = take_photograph(grey(0.2), dataclasses.replace(PASSPORT, exposure=0.5)).astype(int)
    assert bright.mean() > plain.mean() + 10
    flat = take_photograph(grey(0.9), dataclasses.replace(PASSPORT, contrast=0.75)).astype(int)
    assert 118 < flat.mean() < take_photograph(grey(0.9), PASSPORT).mean()
    noisy = take_photograph(grey(0.2), dataclasses.replace(PASSPORT, noise=5.0)).astype(int)
    assert 4.5 < (noisy - plain).std() < 5.5


def test_blur_is_measured_in_pixels_of_160() -> None:
    edge = grey(0.0, 160)
    edge[:, 80:] = 0.5
    sharp, soft = (
        np.diff(
            take_photograph(edge, dataclasses.replace(PASSPORT, blur=blur))[80, :, 0].astype(int)
        )
        for blur in (0.0, 1.1)
    )
    assert (sharp > 0).sum() == 1 < (soft > 0).sum()


@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_a_background_is_its_seeds(kind: str) -> None:
    first, again, other = (
        draw_background(
            dataclasses.replace(PASSPORT, background=kind, background_seed=seed), 90, 80
        )
        for seed in (1, 1, 2)
    )
    assert first.shape == (80, 90, 3) and first.dtype == np.float32
    assert first.min() >= 0.0 and first.max() <= 1.0
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.05


def test_kinds_of_background_differ() -> None:
    pictures = [
        draw_background(dataclasses.replace(PASSPORT, background=kind), 80, 80)
        for kind in BACKGROUNDS
    ]
    for first, second in itertools.combinations(pictures, 2):
        assert np.abs(first - second).max() > 0.05
