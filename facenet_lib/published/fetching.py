"""Published files, fetched: over the network once, checked by their sum, kept in the cache.

A name on the network promises nothing: a server may answer another file, or half of one. So what
comes lies under a name of its own until its sha256 is the expected one, and nothing reads it
before. Derived in chapter 11, "The published weights".
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pooch
import requests

from facenet_lib.checks import word_problems
from facenet_lib.datasets import cache_folder
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.published.releases import RELEASES, KnownFile, Release


def fetch_weights(
    name: str,
    folder: str | Path | None = None,
    *,
    releases: Mapping[str, Release] = RELEASES,
    progress: bool = True,
) -> Path:
    """Fetch published weights by their name, as :func:`fetch_file` does.

    Args:
        name: one of ``releases``.
        folder: where the file is kept, see :func:`fetch_file`.
        releases: name to network.
        progress: see :func:`fetch_file`.

    Returns:
        The file, which :func:`import_weights` takes.

    Raises:
        FacenetError: when the name is unknown, or the file cannot be had.

    >>> fetch_weights("vggface3")
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: published weights: name: expected 'vggface2' or ...
    """
    refuse("published weights", word_problems("name", name, list(releases)))
    return fetch_file(releases[name].file, folder, progress=progress)


def fetch_file(file: KnownFile, folder: str | Path | None = None, *, progress: bool = True) -> Path:
    """Download a known file, unless it is there already, and check its sum in either case.

    A download that breaks begins again, twice. One that fails leaves nothing behind, and what
    several processes fetch at the same time each of them fetches whole.

    Args:
        file: what to fetch.
        folder: where it is kept; None: ``downloads`` in :func:`facenet_lib.datasets.cache_folder`.
        progress: whether to say what is fetched and on which terms, and to show a bar.

    Returns:
        The path of the file, whose sum is that of ``file``.

    Raises:
        FacenetError: when it cannot be downloaded or kept, or is another file than the known one.

    >>> import hashlib, tempfile
    >>> known = KnownFile("http://localhost/a.h5", hashlib.sha256(b"weights").hexdigest(), "", "")
    >>> with tempfile.TemporaryDirectory() as cache:
    ...     written = Path(cache, "a.h5").write_bytes(b"weights")
    ...     fetch_file(known, cache).name  # there already, so that no server is asked
    'a.h5'
    """
    path = (cache_folder() / "downloads" if folder is None else Path(folder)) / file.name
    try:
        found = pooch.file_hash(path, "sha256") if path.exists() else None
        if found == file.sha256:
            return path
        if progress:
            damage = f"{path}: not as it was published any more, and fetched again\n"
            print(f"{damage if found else ''}{file.about}\n{file.address}", file=sys.stderr)
        _download(file, path, progress)
        path.chmod(0o644)  # a downloaded file belongs to its owner alone, a cache may be shared
    except OSError as error:
        raise FacenetError(
            f"{path}: cannot be kept there: {error.strerror or error}; the environment variable "
            "FACENET_CACHE names another folder"
        ) from error
    return path


_ATTEMPTS = 3
_CHUNK = 2**16  # bytes


def _download(file: KnownFile, path: Path, progress: bool) -> None:
    pooch.get_logger().setLevel("WARNING")  # or it would say again what is fetched
    download = pooch.HTTPDownloader(progressbar=progress, chunk_size=_CHUNK)
    for attempts_left in reversed(range(_ATTEMPTS)):
        try:
            pooch.retrieve(
                file.address, f"sha256:{file.sha256}", path.name, path.parent, downloader=download
            )
            return
        except requests.RequestException as error:
            broke = isinstance(error, requests.exceptions.ChunkedEncodingError)
            if not (broke and attempts_left):
                raise FacenetError(
                    f"{file.address}: cannot be downloaded: {_innermost(error)}; where there is "
                    "no network, download that file elsewhere and name its path: "
                    f"{file.by_hand}"
                ) from error
        except ValueError as error:  # pooch's: another sum
            reason = str(error).partition(". ")[0]
            raise FacenetError(f"{file.address}: {reason}; nothing of it was kept") from error


def _innermost(error: BaseException) -> str:
    """What went wrong first, in the system's words where it was the system."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return " ".join(str(getattr(error, "strerror", None) or error).split())
