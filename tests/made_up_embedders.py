"""An embedder whose embeddings anyone can compute: the colours of a picture's sixteen parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from facenet_lib.errors import FacenetError

EMBEDDING_SIZE = 48


def embed_picture(path: Path, turned: bool = False) -> NDArray[np.float32]:
    try:
        with PIL.Image.open(path) as picture:
            small = picture.convert("RGB").resize((4, 4), PIL.Image.Resampling.BOX)
    except OSError as error:
        raise FacenetError(f"image files that cannot be used: {path}: {error}") from error
    colours = np.asarray(small, np.float32).reshape(-1) - 127.5
    colours = colours[::-1] if turned else colours
    return colours / np.linalg.norm(colours)


class ColourEmbedder:
    """Counts what it embeds. ``turned``: another model, of the same embedding size."""

    def __init__(self, turned: bool = False, fails_after: int | None = None) -> None:
        self.turned = turned
        self.fails_after = fails_after
        self.embedded: list[str] = []
        self.threshold: float | None = 0.1

    def embed(self, paths: Sequence[str | Path], batch_size: int = 64) -> NDArray[np.float32]:
        if self.fails_after is not None and len(self.embedded) >= self.fails_after:
            raise KeyboardInterrupt
        self.embedded += [Path(path).name for path in paths]
        rows = [embed_picture(Path(path), self.turned) for path in paths]
        return np.array(rows, np.float32).reshape(len(rows), EMBEDDING_SIZE)

    def close(self) -> None:
        pass
