"""Those who are compared take turns.

A machine that others use changes its speed by half within minutes. So they are prepared first, each
in a process of its own, and then asked in turn for about a second's work; what is told is the
median, over the rounds, of the ratio within a round. ``FACENET_BENCH_PAIRS`` is the number of
rounds.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping

from bench_report import PAIRS, Spread
from worker_protocol import Worker

PAUSE = 0.2  # seconds, for threads that wait in a loop to come to rest

Turn = Callable[[], float]
StartPeer = Callable[..., Worker | None]


def turn_of(worker: Worker, batch: int = 16) -> Turn:
    return functools.partial(worker.ask, "turn", batch=batch)


def in_turn(contestants: Mapping[str, Turn]) -> dict[str, Spread]:
    """Everyone's rates: a turn each in every round, in the opposite order in every second one."""
    order = list(contestants)
    rates: dict[str, list[float]] = {name: [] for name in order}
    for name in order:
        contestants[name]()  # not counted: whatever comes with a first time
    for _ in range(PAIRS):
        for name in order:
            time.sleep(PAUSE)
            rates[name].append(contestants[name]())
        order.reverse()
    return {name: Spread(tuple(found)) for name, found in rates.items()}
