"""Processes that have loaded TensorFlow and computed nothing: each costs a fork, not six seconds.

For programs that need a process of their own because they divide a device, which goes only before
TensorFlow begins, because they are one of several workers, or because they are killed. All are
forked from one process that has only loaded TensorFlow: multiprocessing's fork server, which stays
until pytest ends. They leave without the interpreter's end, as forks do.
"""

from __future__ import annotations

import linecache
import multiprocessing
import os
import sys
import types
from multiprocessing.process import BaseProcess
from pathlib import Path

LONGEST = 1800  # seconds, only so that a fault has an end

_FORKS = multiprocessing.get_context(
    "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
)
if _FORKS.get_start_method() == "forkserver":  # elsewhere each process loads TensorFlow itself
    _FORKS.set_forkserver_preload(["tensorflow", "keras"])
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read by the server, when it loads TensorFlow


def start(program: str, *words: object, log: Path, **environment: str) -> BaseProcess:
    """Start what ``python -c program *words`` would; what it says goes to ``log``."""
    log.touch()  # there to be read, whatever fails
    arguments = (program, [str(word) for word in words], log, {**os.environ, **environment})
    process = _FORKS.Process(target=_run, args=arguments, daemon=True)
    process.start()
    return process


def run(program: str, *words: object, log: Path) -> None:
    """Run such a program, which must come to a good end."""
    process = start(program, *words, log=log)
    try:
        process.join(LONGEST)
        code = process.exitcode
    finally:
        process.kill()  # training takes SIGTERM for a wish
        process.join()
    assert code == 0, f"ended with {code}: {log.read_text('utf-8', 'replace')[-2000:]}"


def _run(program: str, words: list[str], log: Path, environment: dict[str, str]) -> None:
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if _FORKS.get_start_method() == "forkserver":
        assert "tensorflow" in sys.modules, "the fork server has not loaded TensorFlow"
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["-c", *words]
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    lines = program.splitlines(keepends=True)
    linecache.cache["<program>"] = (len(program), None, lines, "<program>")
    exec(compile(program, "<program>", "exec", dont_inherit=True), vars(main))
