"""Work shared out among several processes, which neither harm their caller nor outlive it.

Loky starts new programs for them: a fork of a process that runs TensorFlow may hang.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from joblib import Parallel, delayed

from facenet_lib.errors import FacenetError

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")

_IDLE_SECONDS = 10  # after which a process without work ends; a call takes its own with it
_WATCH_SECONDS = 0.5
_SAFE_PATH = "PYTHONSAFEPATH"


def compute_in_processes(
    function: Callable[[_Task], _Result],
    tasks: Sequence[_Task],
    workers: int,
    prepare: Callable[[], object] | None = None,
) -> Generator[_Result, None, None]:
    """Call a function for every task, and yield what it returns as soon as it is there.

    Ctrl-C ends the processes and is the caller's alone; where the caller is killed, they end
    within a second.

    Args:
        function: what a module holds, so that it can be sent; what it raises is raised here.
        tasks: what it is called with; they are begun in this order and may end in another.
        workers: processes; with 1, this one does the work.
        prepare: called once in every process that works, before its first task.

    Raises:
        FacenetError: when a process ends too early, killed for want of memory, for example.

    >>> list(compute_in_processes(abs, [-1, 2], workers=1))
    [1, 2]
    """
    if workers == 1:
        if prepare is not None:
            prepare()
        yield from map(function, tasks)
        return
    parallel = Parallel(
        workers,
        backend="loky",
        return_as="generator_unordered",
        batch_size=1,
        idle_worker_timeout=_IDLE_SECONDS,
        initializer=_begin,
        initargs=(os.getpid(), prepare),
    )
    jobs = [delayed(function)(task) for task in tasks]
    with _without_current_folder(), contextlib.closing(_start(parallel, jobs)) as results:
        try:
            yield from results
        except BrokenProcessPool as error:
            raise FacenetError(
                f"one of {workers} processes ended too early; the same call does the rest"
            ) from error


def use_one_thread() -> None:
    """Have TensorFlow and OpenCV use one thread, where they are loaded afterwards.

    What the user has set stays. For one of several processes that share out a machine's cores:
    more threads would only get into each other's way.
    """
    for variable in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OPENCV_FOR_THREADS_NUM"):
        os.environ.setdefault(variable, "1")


def _start(parallel: Parallel, jobs: list[Any]) -> Generator[Any, None, None]:
    """Start the processes with Ctrl-C ignored for these milliseconds, which they inherit.

    Signals are the main thread's: started from another one, they hear Ctrl-C until they are ready.
    """
    if threading.current_thread() is not threading.main_thread():
        return parallel(jobs)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return parallel(jobs)
    finally:
        signal.signal(signal.SIGINT, before)


def _begin(caller: int, prepare: Callable[[], object] | None) -> None:
    """What a process does before its first task."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's
    threading.Thread(target=_end_after, args=(caller,), daemon=True).start()
    if prepare is not None:
        prepare()


def _end_after(caller: int) -> None:
    """End this process once its caller is there no more."""
    parent = multiprocessing.parent_process()
    if os.name == "nt" and parent is not None:  # where getppid names one that has ended, too
        parent.join()
    else:  # where what loky starts has no parent to wait for
        while os.getppid() == caller:
            time.sleep(_WATCH_SECONDS)
    os._exit(1)


_PATH_LOCK = threading.Lock()  # the path and the environment are those of the whole process


@contextmanager
def _without_current_folder() -> Iterator[None]:
    """Keep the current folder off the path of Python programs that are started meanwhile.

    What lies there by chance, a ``json.py`` or another ``facenet_lib``, would be loaded in place
    of ours. The folder that this library came from stays on the path.
    """
    with _PATH_LOCK:
        path, safe = sys.path, os.environ.get(_SAFE_PATH)
        library = str(Path(__file__).parents[1])
        current = [] if library in path else [library]  # in place of "", the current folder
        sys.path = [each for folder in path for each in ([folder] if folder else current)]
        os.environ[_SAFE_PATH] = "1"
        try:
            yield
        finally:
            sys.path = path
            del os.environ[_SAFE_PATH]
            os.environ.update({} if safe is None else {_SAFE_PATH: safe})
