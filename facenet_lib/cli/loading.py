"""What takes seconds to load, for the commands that compute with it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facenet_lib.embedding import Embedder


def load_tensorflow() -> None:
    """Import TensorFlow without what it writes about processors and drivers on the way.

    Its first lines come before its own log level holds, straight from C++, so that the file
    descriptor of standard error is put aside for the import. TF_CPP_MIN_LOG_LEVEL=0 shows all.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "3":
        return
    standard_error = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        import tensorflow  # noqa: F401
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)


def load_model(model: str, **changes: Any) -> Embedder:
    """Load a model as :func:`~facenet_lib.models.load_embedder` does, and what it needs before."""
    from facenet_lib.models import load_embedder, needs_tensorflow

    if needs_tensorflow(model):
        load_tensorflow()
    return load_embedder(model, **changes)


@contextlib.contextmanager
def open_embedder(model: str, **changes: Any) -> Iterator[Embedder]:
    """Load a model and close it at the end."""
    with contextlib.closing(load_model(model, **changes)) as embedder:
        yield embedder


def name_for_other_folders(model: str) -> str:
    """Return how a model, a folder here or an address, is called from any other folder."""
    return str(Path(model).absolute()) if Path(model).exists() else model
