"""Being told to end, by SIGTERM or Ctrl-C, in bounded time and without losing what is under way.

Derived in chapter 8, "Serving".
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from types import FrameType, TracebackType

_END = (signal.SIGINT, signal.SIGTERM)


class _ToldToEnd(BaseException):
    """Ends a start; no Exception, which somebody on the way might catch."""


class EndSignals:
    """SIGTERM and SIGINT while the ``with`` block lasts, which the main thread enters.

    A handler runs in the main thread, between two steps of whatever that does. One that takes a
    lock, as ``threading.Event.set`` does, can wait for ever for the very thread that it
    interrupted. So the handlers here do nothing; the interpreter itself writes the signal's number
    into a socket (``signal.set_wakeup_fd``), and a thread that reads there tells the main one.

    Before ``wait`` is called, a signal ends the block at once. Afterwards any number of them
    only ends the waiting: managers of processes like to send two. Whatever is not over within
    ``seconds`` of the first (a library that cannot be interrupted, a model that is being loaded)
    ends with the process, in good order as far as others can see: its exit status is 0.

    Args:
        seconds: from the first signal to the end of the block.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._starting = False
        self._signalled = False
        self._told = threading.Event()
        self._over = threading.Event()

    def __enter__(self) -> EndSignals:
        self._reading, self._writing = socket.socketpair()
        self._writing.setblocking(False)
        self._descriptor_before = signal.set_wakeup_fd(
            self._writing.fileno(), warn_on_full_buffer=False
        )
        self._handlers_before = {number: signal.signal(number, self._handle) for number in _END}
        threading.Thread(target=self._read, name="signals", daemon=True).start()
        self._starting = not self._signalled
        return self

    def wait(self) -> None:
        """Wait for the first signal; from now on none ends anything else."""
        self._starting = False
        self._told.wait()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self._starting = False
        self._over.set()
        if self._signalled:
            # The process is about to end, and its exit status is not for a second one to say.
            self._handlers_before[signal.SIGTERM] = signal.SIG_IGN
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._descriptor_before)
        self._writing.close()  # which ends the thread
        return kind is _ToldToEnd

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._signalled = True
        if self._starting:
            self._starting = False
            raise _ToldToEnd

    def _read(self) -> None:
        with self._reading:
            while numbers := self._reading.recv(1):
                if numbers[0] in _END:
                    self._told.set()
                    if not self._over.wait(self._seconds):
                        os._exit(0)
                    return
