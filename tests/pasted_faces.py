"""Drawn faces pasted into pictures of any size, for detectors to find."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facenet_lib.drawn_faces import draw_identity, draw_nuisance, render_face

Pixels = NDArray[np.uint8]


@cache
def drawn_face(seed: int) -> Pixels:
    return render_face(draw_identity(seed), draw_nuisance(seed), size=160)


def picture_of(
    height: int, width: int, places: Sequence[tuple[int, int, int]], seed: int = 0
) -> Pixels:
    """A picture with drawn faces, each in a square at left, top and of a side, over soft spots."""
    spots = np.random.default_rng(seed).integers(0, 255, (height // 40 + 2, width // 40 + 2, 3))
    spread = Image.fromarray(spots.astype(np.uint8)).resize((width, height), Image.BICUBIC)
    for number, (left, top, side) in enumerate(places):
        face = Image.fromarray(drawn_face(seed + number)).resize((side, side), Image.LANCZOS)
        spread.paste(face, (left, top))
    return np.asarray(spread)
