"""Processes that have loaded TensorFlow and computed nothing: each costs a fork, not six seconds.

For programs that need a process of their own because they divide a device, which goes only before
TensorFlow begins, because they are one of several workers, or because they are killed. All are
forked from one process that has only loaded TensorFlow: multiprocessing's fork server.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest import mock

_FORKS = multiprocessing.get_context("forkserver")


def start(program: str, *words: object, log: Path, **environment: str) -> BaseProcess:
    """Start what ``python -c program *words`` would; what it says goes to ``log``."""
    _FORKS.set_forkserver_preload(["tensorflow", "keras"])
    arguments = (program, [str(word) for word in words], log, environment)
    process = _FORKS.Process(target=_run, args=arguments, daemon=True)
    with mock.patch.dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3"):  # the server takes it over
        process.start()
    return process


def run(program: str, *words: object, log: Path) -> None:
    """Run such a program, which must come to a good end."""
    process = start(program, *words, log=log)
    process.join()
    assert process.exitcode == 0, log.read_text()[-2000:]


def _run(program: str, words: list[str], log: Path, environment: dict[str, str]) -> None:
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.update(environment)
    sys.argv = ["-c", *words]
    exec(compile(program, "<program>", "exec"), {"__name__": "__main__"})
