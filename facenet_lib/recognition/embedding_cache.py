"""Embeddings of many faces, kept as they are computed, so that a stopped call goes on.

Derived in chapter 12.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from facenet_lib.embedding import Embedder
from facenet_lib.errors import FacenetError
from facenet_lib.files import read_arrays, write_arrays
from facenet_lib.recognition.fingerprint import Fingerprint

_BATCH = 64
_SECONDS = 5.0  # between two savings: no more than this is computed again


def embed_resumably(
    embedder: Embedder,
    fingerprint: Fingerprint,
    paths: Sequence[Path],
    cache: Path,
    progress: bool = True,
) -> NDArray[np.float32]:
    """Embed images, those that are not in a file of an earlier call.

    Args:
        embedder: what computes.
        fingerprint: of the embedder; what another model left in the file is not used.
        paths: images; one that has changed since, by its length or date, is embedded again.
        cache: the file to keep embeddings in; written again and again meanwhile, and at the end
            however it comes.
        progress: show a bar on standard error.

    Returns:
        float32 (len(paths), embedding_size), rows of length one.

    Raises:
        FacenetError: naming an image that cannot be used, or when the file cannot be written.

    >>> from facenet_lib.recognition.fingerprint import Fingerprint
    >>> embed_resumably(None, Fingerprint("m", np.eye(4, 2)), [], Path("nowhere"), False).shape
    (0, 2)
    """
    known = _read(cache, fingerprint)
    keys = [_key(path) for path in paths]
    missing = [place for place, key in enumerate(keys) if key not in known]
    saved, written = time.monotonic(), not missing
    try:
        with tqdm(total=len(missing), unit="face", desc="embedding", disable=not progress) as bar:
            for first in range(0, len(missing), _BATCH):
                places = missing[first : first + _BATCH]
                rows = embedder.embed([paths[place] for place in places])
                known |= {keys[place]: row for place, row in zip(places, rows, strict=True)}
                written = False
                bar.update(len(places))
                if time.monotonic() > saved + _SECONDS:
                    _write(cache, fingerprint, known)
                    saved, written = time.monotonic(), True
    finally:
        if not written:
            _write(cache, fingerprint, known)
    width = fingerprint.embeddings.shape[1]
    return np.array([known[key] for key in keys], np.float32).reshape(len(keys), width)


def _key(path: Path) -> str:
    try:
        found = path.stat()
    except OSError as error:
        raise FacenetError(f"{path}: cannot be read: {error.strerror}") from error
    return f"{path.absolute()} {found.st_size} {found.st_mtime_ns}"


def _read(cache: Path, fingerprint: Fingerprint) -> dict[str, NDArray[np.float32]]:
    """What an earlier call left; nothing where it left nothing that can be used."""
    try:
        arrays, state = read_arrays(cache, "embeddings of a call that was stopped")
        fingerprint.check_same(Fingerprint("", arrays["fingerprint"]))
        return dict(zip(state["keys"], arrays["embeddings"], strict=True))
    except (FacenetError, KeyError, ValueError):
        return {}


def _write(cache: Path, fingerprint: Fingerprint, known: dict[str, NDArray[np.float32]]) -> None:
    width = fingerprint.embeddings.shape[1]
    embeddings = np.array(list(known.values()), np.float32).reshape(len(known), width)
    arrays = {"embeddings": embeddings, "fingerprint": fingerprint.embeddings}
    write_arrays(cache, arrays, {"keys": list(known)})
