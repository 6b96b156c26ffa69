"""People who are names and paths alone."""

from __future__ import annotations

from pathlib import Path


def people(*counts: int) -> dict[str, tuple[Path, ...]]:
    """Somebody with so many images, for each of ``counts``; nothing of it is on the disk."""
    return {
        f"P{person:03d}": tuple(Path("faces", f"P{person:03d}", f"{n}.jpg") for n in range(count))
        for person, count in enumerate(counts)
    }


def images_of(faces) -> set[Path]:
    return {path for paths in faces.values() for path in paths}
