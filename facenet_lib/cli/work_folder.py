"""Where a command keeps what it has computed until it has ended well."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from facenet_lib import __version__
from facenet_lib.files import explain_write_errors, lock_folder


@contextlib.contextmanager
def open_work_folder(options: argparse.Namespace, cut: dict[str, Any]) -> Iterator[Path]:
    """A folder for what is computed, which the same command finds again after it was stopped.

    Nobody else may look into it, and nothing is left of it when the command has ended well.

    Args:
        options: the command's.
        cut: how faces are cut out, by the names of the options, whatever these say of it.

    Raises:
        FacenetError: when another process works there, or it cannot be made.
    """
    target = getattr(options, "out", None) or options.gallery
    named = vars(options) | cut
    photographs = named.get("strangers") or named["photographs"]
    photographs = photographs if isinstance(photographs, list) else [photographs]
    what = [__version__, options.command.__name__]
    what += [str(Path(path).resolve()) for path in photographs]
    what += [str(named.get(name)) for name in ("aligned", "detector", "crop", "size", "margin")]
    folder = _work_prefix(target) / hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
    with explain_write_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock_folder(folder, wait=False):
        try:
            yield folder
        except BaseException:
            if any(folder.iterdir()):
                print(
                    f"facenet: what was computed is kept in {folder}, where the same command "
                    "finds it",
                    file=sys.stderr,
                )
            raise
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # other work for the same gallery may lie there
            folder.parent.rmdir()


def find_work(gallery: Path) -> list[Path]:
    """The folders of unfinished work for a gallery, or for an output folder."""
    prefix = _work_prefix(gallery)
    return list(prefix.iterdir()) if prefix.is_dir() else []


def _work_prefix(target: Path) -> Path:
    """The folder of all unfinished work for a gallery or an output folder."""
    from facenet_lib.datasets import cache_folder

    key = hashlib.sha256(os.fsencode(target.resolve())).hexdigest()[:16]
    return cache_folder() / "work" / key
