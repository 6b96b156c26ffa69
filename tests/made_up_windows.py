"""What Windows has not, taken away from a system that has it.

There a file that is open can be neither removed, renamed nor replaced, no folder takes the place of
another, even of an empty one, and much that Python's library offers for Unix is missing. As a
plugin of pytest (``-p made_up_windows``) this takes away what is missing.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

MISSING_MODULES = ("grp", "pwd", "resource", "termios")  # fcntl is asked for by the system's name
MISSING_NAMES = {
    os: "fork forkpty getegid geteuid getgid getgroups getpgid getuid killpg mkfifo posix_spawn"
    " sched_getaffinity sched_setaffinity setpgid setsid",
    signal: "SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGUSR1 SIGUSR2"
    " alarm pause pthread_kill pthread_sigmask setitimer sigwait",
}


def pytest_configure() -> None:
    """Take away, before the tests are loaded, what only Unix has."""
    sys.modules.update(dict.fromkeys(MISSING_MODULES))  # with None, an import fails
    for module, names in MISSING_NAMES.items():
        for name in set(names.split()) & set(vars(module)):
            delattr(module, name)
    multiprocessing.get_all_start_methods = lambda: ["spawn"]
    get_context = multiprocessing.get_context

    def get_windows_context(method: str | None = None) -> Any:
        if method not in (None, "spawn"):
            raise ValueError(f"cannot find context for {method!r}")
        return get_context(method)

    multiprocessing.get_context = get_windows_context


DESCRIPTORS = Path("/proc/self/fd")
needs_descriptors = pytest.mark.skipif(
    not DESCRIPTORS.is_dir(), reason="this system does not show which files are open"
)

needs_locks = pytest.mark.skipif(sys.platform == "win32", reason="this system locks no files")


@contextmanager
def windows_files() -> Iterator[None]:
    """Have removing, renaming and replacing fail where they would on Windows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "unlink", _refusing(os.unlink))
        patch.setattr(os, "rename", _refusing(os.rename))
        patch.setattr(os, "replace", _refusing(os.replace))
        for name, module in list(sys.modules.items()):
            if name.startswith("facenet_lib") and hasattr(module, "fcntl"):
                patch.setattr(module, "fcntl", None)
        yield


def _refusing(function: Callable[..., None]) -> Callable[..., None]:
    def refuse_or_call(*paths: Any, **options: Any) -> None:
        folder = options.get("dir_fd", options.get("src_dir_fd"))
        root = Path() if folder is None else (DESCRIPTORS / str(folder)).readlink()
        places = [(root / os.fspath(path)).resolve() for path in paths]
        for place in places:
            if place in _open_files():
                raise PermissionError(13, "it is being used by another process", str(place))
        if len(places) == 2 and all(place.is_dir() for place in places):
            raise PermissionError(5, "access is denied", str(places[1]))
        function(*paths, **options)

    return refuse_or_call


def _open_files() -> set[Path]:
    found = set()
    for descriptor in list(DESCRIPTORS.iterdir()):
        with contextlib.suppress(FileNotFoundError):  # that of the list itself
            found.add(descriptor.readlink())
    return {path for path in found if path.is_file()}
