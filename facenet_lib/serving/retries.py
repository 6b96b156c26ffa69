"""How often and how long a client tries again. Derived in chapter 8, "Serving"."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from facenet_lib.checks import check_integer
from facenet_lib.errors import FacenetError

_MOST_SECONDS = 1_000_000  # more milliseconds than these, gRPC cannot count

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Retries:
    """How often and how long a client tries again.

    Tried again is what another attempt may not meet, and nothing else:

    - the connection is refused, reset, or closed without an answer: a server starts or restarts;
    - 503 and gRPC's UNAVAILABLE: it has no room in its queue, or is loading or stopping;
    - gRPC's CANCELLED, which is not our doing: it stopped in that very moment;
    - 429 and RESOURCE_EXHAUSTED: it asks for fewer requests (but not for a message too large);
    - 502: a proxy before it did not reach it.

    Repeating a request is safe because a request only computes. Not tried again are a request
    that the server calls wrong, which would be wrong again; a deadline that passed, since the
    work would be asked of a slow server twice; and a host name that nobody knows.

    Attributes:
        attempts: the first one included.
        first_wait: seconds before the second attempt; each wait is twice the one before.
        longest_wait: seconds that no wait exceeds, unless the server's ``Retry-After``, or gRPC's
            ``grpc-retry-pushback-ms``, does.
        total: seconds after the first attempt in which another may begin. A ``Retry-After``
            beyond them ends the attempts at once.
    """

    attempts: int = 5
    first_wait: float = 0.1
    longest_wait: float = 5.0
    total: float = 60.0

    def __post_init__(self) -> None:
        check_integer("attempts", self.attempts, at_least=1)
        for name in ("first_wait", "longest_wait", "total"):
            check_seconds(name, getattr(self, name), least=0.0)

    def wait_after(self, attempt: int) -> float:
        """Seconds to wait after attempt 1, 2 and so on.

        Half of it is drawn at random: clients that were refused together come back apart.
        """
        longest = min(self.longest_wait, self.first_wait * 2.0 ** min(attempt - 1, 60))
        return longest * random.uniform(0.5, 1.0)


class TemporaryError(FacenetError):
    """A failure that another attempt may not meet."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def with_retries(attempt: Callable[[], _Answer], retries: Retries) -> _Answer:
    """Return what ``attempt`` returns, after further attempts where one is ``TemporaryError``.

    Raises:
        FacenetError: that of the last attempt, or any other that ``attempt`` raises.
    """
    end = time.monotonic() + retries.total
    for number in range(1, retries.attempts + 1):
        try:
            return attempt()
        except TemporaryError as failure:
            wait = max(failure.retry_after, retries.wait_after(number))
            if number == retries.attempts or time.monotonic() + wait > end:
                tried = f" (tried {number} times)" if number > 1 else ""
                raise FacenetError(f"{failure}{tried}") from failure
            time.sleep(wait)
    raise AssertionError("unreachable")


def check_seconds(name: str, seconds: float, least: float) -> None:
    """Refuse what cannot be waited for.

    Raises:
        FacenetError: for anything but a number from ``least`` to a million.
    """
    if not (isinstance(seconds, int | float) and least <= seconds <= _MOST_SECONDS):
        raise FacenetError(
            f"{name}: expected from {least:g} to {_MOST_SECONDS:,} seconds, found {seconds!r}"
        )
