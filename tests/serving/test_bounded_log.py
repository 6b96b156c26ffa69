"""A log that no flood fills."""

import logging
from dataclasses import dataclass

import pytest

from facenet_lib.serving import bounded_log
from facenet_lib.serving.bounded_log import BoundedLog


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def log(clock, caplog):
    return BoundedLog(logging.getLogger("tests.bounded"), clock)


def test_few_lines_are_written_as_they_are(log, caplog):
    for number in range(bounded_log._LINES_AT_FIRST):
        log.write("REST 404", f"GET /{number}")
    log.close()
    assert caplog.messages == [f"GET /{number}" for number in range(bounded_log._LINES_AT_FIRST)]


def test_a_flood_becomes_one_line_a_minute(log, clock, caplog):
    """24,000 refusals in ten minutes."""
    for number in range(24_000):
        clock.now = 1000 + number * 600 / 24_000
        log.write("REST 404", f"GET /{number}")
    log.close()
    written = caplog.messages[bounded_log._LINES_AT_FIRST :]
    assert len(written) == 10
    counted = [int(line.split()[2]) for line in written]
    assert sum(counted) == 24_000 - bounded_log._LINES_AT_FIRST
    assert written[0].startswith("REST 404: ")
    assert "more in 60 seconds, the last: GET /" in written[0]
    assert written[-1].endswith("the last: GET /23999")


def test_one_kind_does_not_hide_another(log, caplog):
    for number in range(1000):
        log.write("REST 404", f"GET /{number}")
    log.write("gRPC UNAVAILABLE", "the queue is full")
    assert caplog.messages[-1] == "the queue is full"


def test_a_kind_that_paused_is_written_again(log, clock, caplog):
    for _ in range(3):
        log.write("REST", "no connection can be opened", at_first=1)
    clock.now += 61
    log.tell_counted()
    assert caplog.messages[1:] == ["REST: 2 more in 61 seconds, the last: " + caplog.messages[0]]
    log.write("REST", "counted", at_first=1)  # the minute after a flood is still one
    clock.now += 61
    log.tell_counted()
    assert caplog.messages[2:] == ["REST: 1 more in 61 seconds, the last: counted"]
    clock.now += 61
    log.write("REST", "again", at_first=1)
    assert caplog.messages[3:] == ["again"]


def test_what_was_counted_is_told_at_the_end(log, caplog):
    for _ in range(3):
        log.write("REST", "no connection can be opened", at_first=1)
    log.tell_counted()
    assert len(caplog.messages) == 1  # the minute is not over
    log.close()
    log.close()
    assert len(caplog.messages) == 2
