"""A folder of shards as ``facenet embed-collection`` leaves it, of embeddings that anyone makes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facenet_lib.alignment.manifest import AlignmentSettings
from facenet_lib.recognition.embedding_shards import CollectionSettings, shard_paths, write_shard
from facenet_lib.recognition.fingerprint import Fingerprint

ALIGNMENT = AlignmentSettings("centre", "square", 160, 0.0, "rectangles", "1")


def write_collection(
    folder: Path,
    embeddings: NDArray[np.float32],
    sources: Sequence[str],
    fingerprint: Fingerprint | None = None,
    alignment: AlignmentSettings = ALIGNMENT,
    per_shard: int = 40,
) -> CollectionSettings:
    """A photograph with one face for each row; its box begins at the row's number."""
    import pyarrow as pa

    if fingerprint is None:
        fingerprint = Fingerprint("made up", np.eye(4, embeddings.shape[1], dtype=np.float32))
    settings = CollectionSettings(fingerprint, alignment, len(sources), "0" * 64, per_shard)
    folder.mkdir(parents=True)
    settings.save(folder)
    for number, paths in enumerate(shard_paths(folder, settings)):
        rows = slice(number * per_shard, (number + 1) * per_shard)
        left = np.arange(len(sources))[rows].astype(np.float64)
        numbers = {
            "left": left,
            "top": left,
            "right": left + 90,
            "bottom": left + 90,
            "score": left,
        }
        numbers |= {f"{n}_{axis}": left for n in _LANDMARKS for axis in "xy"}
        columns = {"source": list(sources[rows]), "status": ["aligned"] * len(left)}
        columns |= {"reason": [""] * len(left), **numbers}
        write_shard(paths, pa.table(columns), embeddings[rows])
    return settings


_LANDMARKS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
