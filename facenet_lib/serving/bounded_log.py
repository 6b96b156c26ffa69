"""A log that no flood fills: a few lines for each kind of thing, and then one a minute.

Derived in chapter 8, "Serving".
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

_MINUTE = 60.0
_LINES_AT_FIRST = 20


@dataclass
class _Minute:
    """What one kind of line has come to since a moment."""

    began: float
    lines_left: int
    untold: int = 0
    last: str = ""


class BoundedLog:
    """Warnings that may repeat without end, of so few kinds that each can be counted.

    The first lines of a kind are written as they are. What comes after them is counted, and told
    once a minute: how many there were, and the last of them. A kind that paused for a minute is
    written as at first.

    Args:
        logger: where the lines go.
        clock: seconds that only rise.

    >>> log = BoundedLog(logging.getLogger("example"))
    >>> log.write("REST 404", "GET /nowhere: 404: there is nothing at this path")
    >>> log.close()
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._clock = clock
        self._minutes: dict[str, _Minute] = {}
        self._changing = threading.Lock()

    def write(self, kind: str, line: str, at_first: int | None = None) -> None:
        """Write a line, or count it.

        Args:
            kind: what it is one of many of.
            line: one line.
            at_first: how many lines of the kind are written before they are counted; 20.
        """
        now = self._clock()
        with self._changing:
            lines = self._counted(now)
            minute = self._minutes.get(kind)
            if minute is None or now >= minute.began + _MINUTE:
                left = _LINES_AT_FIRST if at_first is None else at_first
                minute = self._minutes[kind] = _Minute(now, left)
            if minute.lines_left:
                minute.lines_left -= 1
                lines.append(line)
            else:
                minute.untold += 1
                minute.last = line
        self._write(lines)

    def tell_counted(self) -> None:
        """Write what was counted in minutes that are over."""
        with self._changing:
            lines = self._counted(self._clock())
        self._write(lines)

    def close(self) -> None:
        """Write all that was counted."""
        with self._changing:
            lines = self._counted(self._clock(), minute=0.0)
        self._write(lines)

    def _counted(self, now: float, minute: float = _MINUTE) -> list[str]:
        lines = []
        for kind, counted in self._minutes.items():
            if counted.untold and now >= counted.began + minute:
                seconds = round(now - counted.began)
                lines.append(
                    f"{kind}: {counted.untold} more in {seconds} seconds, the last: {counted.last}"
                )
                self._minutes[kind] = _Minute(now, lines_left=0)
        return lines

    def _write(self, lines: list[str]) -> None:
        for line in lines:  # when nobody else waits for the lock: a log can be slow
            self._logger.warning("%s", line)
