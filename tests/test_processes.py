"""Processes: the work of one, done by several, and nothing left of them."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from tasks_of_processes import end_at_once, refuse_odd, set_variable

from facenet_lib import processes
from facenet_lib.errors import FacenetError
from facenet_lib.processes import compute_in_processes

LONGEST = 300  # seconds: only so that a fault ends


@pytest.mark.slow
def test_several_processes_do_what_one_does() -> None:
    tasks = list(range(-9, 9))
    for workers in (1, 2):
        results = compute_in_processes(abs, tasks, workers)
        assert sorted(results) == sorted(map(abs, tasks))
    assert list(compute_in_processes(abs, [], 2)) == []


def test_one_process_is_this_one_and_is_prepared_once() -> None:
    calls: list[str] = []

    def process(task: str) -> int:
        calls.append(task)
        return os.getpid()

    ids = list(compute_in_processes(process, ["a", "b"], 1, lambda: calls.append("prepared")))
    assert calls == ["prepared", "a", "b"]
    assert ids == [os.getpid()] * 2


@pytest.mark.slow
def test_every_process_is_prepared_and_none_is_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    before = list(sys.path), dict(os.environ)
    results = compute_in_processes(
        os.getenv, ["PREPARED"] * 8, 2, functools.partial(set_variable, "PREPARED")
    )
    assert list(results) == ["yes"] * 8
    assert os.getenv("PREPARED") is None
    assert (list(sys.path), dict(os.environ)) == before


@pytest.mark.slow
def test_what_a_task_raises_is_raised_here() -> None:
    with pytest.raises(FacenetError, match="found 3"):
        list(compute_in_processes(refuse_odd, [2, 4, 3], 2))


@pytest.mark.parametrize("system", ["posix", "nt"])
def test_a_process_waits_for_the_end_of_its_caller(
    monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    """Windows names the caller of a process after its end, too, but can wait for it."""
    waits: list[str] = []
    caller = SimpleNamespace(join=lambda: waits.append("nt"))

    def getppid() -> int:
        waits.append("posix")
        return 1 if len(waits) < 3 else 2

    fake = SimpleNamespace(name=system, getppid=getppid, _exit=lambda code: waits.append("end"))
    monkeypatch.setattr(processes, "os", fake)
    monkeypatch.setattr(processes, "_WATCH_SECONDS", 0)
    monkeypatch.setattr(processes.multiprocessing, "parent_process", lambda: caller)
    processes._end_after(1)
    assert waits == {"posix": ["posix"] * 3, "nt": ["nt"]}[system] + ["end"]


def test_one_thread_is_used_unless_the_user_wants_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    for variable in ("TF_NUM_INTEROP_THREADS", "OPENCV_FOR_THREADS_NUM"):
        monkeypatch.setenv(variable, "")  # so that it is as before afterwards
        monkeypatch.delenv(variable)
    processes.use_one_thread()
    assert os.environ["TF_NUM_INTRAOP_THREADS"] == "3"
    assert os.environ["TF_NUM_INTEROP_THREADS"] == os.environ["OPENCV_FOR_THREADS_NUM"] == "1"


@pytest.mark.slow
def test_a_process_that_ends_is_told() -> None:
    with pytest.raises(FacenetError, match="one of 2 processes ended too early"):
        list(compute_in_processes(end_at_once, [1, 1], 2))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def session_has_ended(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return True
    return False


PROGRAM = """
import signal
import time
from facenet_lib.processes import compute_in_processes
signal.signal(signal.SIGINT, signal.default_int_handler)  # a caller may ignore Ctrl-C
for result in compute_in_processes(time.sleep, [0, 1000, 1000], 2):
    print("begun", flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="this system has no process groups")
@pytest.mark.parametrize("number", ["SIGKILL", "SIGINT"])
def test_no_process_outlives_its_caller(number: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        if number == "SIGINT":
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: all of them hear it
        else:
            process.kill()
        _, errors = process.communicate()
    assert process.returncode == -signal.Signals[number]
    assert errors.count("Traceback") == (number == "SIGINT")
    wait_until(lambda: session_has_ended(process.pid))
