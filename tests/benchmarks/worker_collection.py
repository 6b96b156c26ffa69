"""A worker that does shards of a collection on one core, with the full network's SavedModel.

Its seconds are those of the processor, which other programs hardly change.

By hand::

    python worker_collection.py '{"command": "prepare", "folder": "album", "detector": "mtcnn"}'
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from worker_protocol import peak_memory, serve


class Shards:
    """Its methods are the commands; ``prepare`` comes first."""

    def __init__(self) -> None:
        self._job: Any = None
        self._sources: tuple[str, ...] = ()

    def prepare(self, folder: str, detector: str, model: str, yunet_file: str | None = None) -> int:
        """Load what a process of a collection loads; return how many photographs there are."""
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        from facenet_lib import collection
        from facenet_lib.alignment import AlignmentSettings, find_photographs, make_detector
        from facenet_lib.models import load_embedder
        from facenet_lib.recognition import take_fingerprint
        from facenet_lib.recognition.embedding_shards import CollectionSettings

        made, embedder = make_detector(detector, yunet_file), load_embedder(model)
        settings = CollectionSettings(
            take_fingerprint(embedder, model),
            AlignmentSettings("centre", "reference", 160, 32.0, made.name, made.version),
            *(1, "", 1),
        )
        self._sources = find_photographs(folder).photographs
        self._job = collection._Job(Path(folder), settings, lambda: embedder, lambda: made)
        self.turn()
        return len(self._sources)

    def turn(self) -> dict[str, float]:
        """Do a shard; return photographs a second, and bytes a face in its table."""
        import pyarrow.parquet as pq

        from facenet_lib import collection
        from facenet_lib.recognition.embedding_shards import ShardPaths

        with tempfile.TemporaryDirectory() as out:
            paths = ShardPaths(Path(out, "embeddings.parquet"), Path(out, "left_out.parquet"))
            start = time.process_time()
            collection._embed_shard(self._job, paths, self._sources)
            seconds = time.process_time() - start
            group = pq.read_metadata(paths.embeddings).row_group(0)
            stored = [group.column(n).total_compressed_size for n in range(group.num_columns)]
            return {"rate": len(self._sources) / seconds, "bytes": sum(stored) / group.num_rows}

    def parts(self) -> dict[str, float]:
        """Milliseconds a photograph of reading it and of finding its faces."""
        from facenet_lib.alignment import read_photograph
        from facenet_lib.collection import _tools

        _, detector = _tools(self._job)
        start = time.process_time()
        images = [read_photograph(self._job.root / source) for source in self._sources]
        read = time.process_time()
        for image in images:
            detector.detect([image])
        found = time.process_time()
        each = 1e3 / len(images)
        return {"reading": each * (read - start), "detection": each * (found - read)}

    def memory(self) -> float | None:
        return peak_memory()


if __name__ == "__main__":
    serve(Shards())
