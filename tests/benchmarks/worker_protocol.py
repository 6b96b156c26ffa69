"""How a benchmark talks to its workers: one JSON object a line, in turn, over standard streams.

Every contestant is a process of its own, prepared once and then asked for a turn at a time, so
that only one computes at any moment. A request is ``{"command": NAME, ...arguments}``, the answer
what the worker's method of that name returned. Needs the standard library only: the peer's Python
runs it too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


class Worker:
    """A running worker, as the benchmark sees it.

    Args:
        script: file name of the worker beside this module.
        python: the interpreter that runs it.
        environment: variables that it gets besides this process' own.
    """

    def __init__(
        self,
        script: str,
        python: str = sys.executable,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (close closes it)
        self._process = subprocess.Popen(
            [python, HERE / script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, **(environment or {})},
            text=True,
        )

    def ask(self, command: str, **arguments: Any) -> Any:
        """Have it run one command and return its answer.

        Raises:
            RuntimeError: when it died of it, with the end of what it wrote.
        """
        self._process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            self._log.seek(0)
            raise RuntimeError(
                f"{command} {arguments} ended its worker:\n{self._log.read()[-4000:]}"
            )
        return json.loads(answer)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._log.close()


def serve(worker: Any) -> None:
    """Answer with ``worker``'s methods: the requests named on the command line, else stdin's."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    for line in sys.argv[1:] or sys.stdin:
        request = json.loads(line)
        answer = getattr(worker, request.pop("command"))(**request)
        print(json.dumps(answer), file=answers, flush=True)


def rate_of(step: Callable[[], object], amount: float, seconds: float) -> float:
    """``amount`` times the steps a second, of as many steps as ``seconds`` take."""
    steps, start = 0, time.perf_counter()
    while True:
        step()
        steps += 1
        elapsed = time.perf_counter() - start
        if elapsed >= seconds:
            return steps * amount / elapsed


def seconds_of(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def peak_memory() -> float | None:
    """The most memory that this process ever held in MB; None where there is no /proc."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))
