"""Where chance comes from: NumPy's ``SeedSequence``, whatever was drawn before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from facenet_lib.errors import FacenetError

IDENTITY_SEED, NUISANCE_SEED, PAIR_SEED, NAME_SEED, PHOTOGRAPH_SEED = range(5)
"""What a folder's seed is spawned for."""
Seed = int | tuple[int, ...] | np.random.SeedSequence


def make_generator(seed: Seed) -> np.random.Generator:
    """NumPy's generator for a seed.

    Raises:
        FacenetError: if ``seed`` is not a seed.
    """
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise FacenetError(
            f"seed: expected a whole number >= 0, a tuple of such or a SeedSequence, found {seed!r}"
        ) from error


def draw_uniform(
    generator: np.random.Generator, ranges: Mapping[str, tuple[float, float]]
) -> dict[str, Any]:
    """Draw a number for each name, uniformly between its lowest and highest."""
    return {name: float(generator.uniform(low, high)) for name, (low, high) in ranges.items()}


def draw_choice(generator: np.random.Generator, options: tuple[str, ...]) -> str:
    """Draw one of the options, each as likely as the others."""
    return options[int(generator.integers(len(options)))]
