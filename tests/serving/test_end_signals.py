"""Being told to end: in a process of its own, which signals reach whatever it does."""

import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

SECONDS = 300.0  # far more than anything here takes
START = """
import signal, threading, time
from facenet_lib.serving.end_signals import EndSignals

def tell(end_signals):
    while end_signals._starting:
        time.sleep(0.001)
    print("serving", flush=True)
"""
SERVES = """
with EndSignals({seconds}) as told_to_end:
    threading.Thread(target=tell, args=[told_to_end]).start()
    told_to_end.wait()
    print("finishing", flush=True)
    input()
print("finished", flush=True)
input()
"""


@contextmanager
def running(program):
    command = [sys.executable, "-c", START + program]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def go_on(process):
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_further_signals_change_nothing(number):
    """Neither while what is under way is finished, nor once it is."""
    with running(SERVES.format(seconds=SECONDS)) as process:
        assert process.stdout.readline() == "serving\n"
        for _ in range(5):
            process.send_signal(number)
        assert process.stdout.readline() == "finishing\n"
        for further in (signal.SIGTERM, signal.SIGINT):
            process.send_signal(further)
        go_on(process)
        assert process.stdout.readline() == "finished\n"
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate("\n", timeout=SECONDS)
        assert (process.returncode, errors) == (0, "")


def test_what_does_not_end_ends_with_the_process_and_its_status_is_good():
    with running(SERVES.format(seconds=0.1)) as process:
        assert process.stdout.readline() == "serving\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "finishing\n"
        assert process.stdout.read() == ""  # it is never told to go on
        assert process.wait(SECONDS) == 0


def test_a_start_ends_at_once():
    program = """
with EndSignals(300.0):
    print("starting", flush=True)
    threading.Event().wait()
print("over", flush=True)
"""
    with running(program) as process:
        assert process.stdout.readline() == "starting\n"
        process.send_signal(signal.SIGTERM)
        printed, errors = process.communicate(timeout=SECONDS)
        assert (process.returncode, printed, errors) == (0, "over\n", "")


def test_a_signal_never_waits_for_a_lock_that_the_main_thread_holds():
    """The lock of the very event that is set when a signal comes, at every moment."""
    program = """
with EndSignals(300.0) as told_to_end:
    told_to_end._starting = False
    print("serving", flush=True)
    while not told_to_end._told.is_set():
        with told_to_end._told._cond:
            time.sleep(0.01)
print("over", flush=True)
"""
    with running(program) as process:
        assert process.stdout.readline() == "serving\n"
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=SECONDS)
        assert (process.returncode, printed) == (0, "over\n")


def test_without_a_signal_all_is_as_before():
    program = """
before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
with EndSignals(0.1):
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) != before
assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
assert signal.set_wakeup_fd(-1) == -1
time.sleep(0.2)
print("goes on", flush=True)
"""
    with running(program) as process:
        printed, errors = process.communicate(timeout=SECONDS)
        assert (process.returncode, printed, errors) == (0, "goes on\n", "")


def test_other_signals_that_the_program_handles_end_nothing():
    program = """
signal.signal(signal.SIGUSR1, lambda *_: print("heard", flush=True))
with EndSignals(300.0) as told_to_end:
    threading.Thread(target=tell, args=[told_to_end]).start()
    told_to_end.wait()
    print("told", flush=True)
"""
    with running(program) as process:
        assert process.stdout.readline() == "serving\n"
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.readline() == "heard\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "told\n"
        assert process.wait(SECONDS) == 0
