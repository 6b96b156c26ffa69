"""What processes do in tests of processes: functions that every program of the tests can load."""

from __future__ import annotations

import os

from facenet_lib.errors import FacenetError


def refuse_odd(number: int) -> int:
    if number % 2:
        raise FacenetError(f"expected an even number, found {number}")
    return number


def end_at_once(number: int) -> None:
    os._exit(number)


def set_variable(name: str) -> None:
    os.environ[name] = "yes"
