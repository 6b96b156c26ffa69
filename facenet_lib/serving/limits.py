"""What both fronts of the local server share: limits, counts and the log of what was refused.

Derived in chapter 8, "Serving".
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import Metric

from facenet_lib.errors import FacenetError, refuse
from facenet_lib.serving.bounded_log import BoundedLog
from facenet_lib.serving.messages import one_line
from facenet_lib.serving.versions import ServedModels

_MICROSECONDS = tuple(100 * 2.0**power for power in range(19))  # 0.1 milliseconds to 26 seconds
_REQUESTS, _BATCHES = ":tensorflow:serving:request_count", "facenet_batches"
_FILES_KEPT = 32  # that the process may open beside connections: for versions, cards, pollers
_FEWEST_CONNECTIONS = 4
_log = logging.getLogger("facenet_lib.serving.server")


@dataclass(frozen=True)
class Limits:
    """What one client may ask of the local server, so that something is left for the others.

    How many rows a request may have is ``Batching.max_batch_size``.

    Attributes:
        body_bytes: most bytes of one request.
        total_body_bytes: most bytes of all requests over REST that are being received or answered.
        connections: most connections over REST, and most over gRPC; fewer where the process may
            not open as many files. For a further one over REST the one that has been without a
            request for longest is closed; where each has one, and over gRPC, it is closed itself.
        seconds_to_send: in which the body of a request over REST has to arrive once its head has,
            and a message over gRPC; and in which a client over REST has to read its answer.
        seconds_to_answer: in which it is answered, or given up.
        seconds_idle: after which a connection without requests is closed, and one over REST also
            where the head of a request has not arrived whole.
        seconds_to_stop: in which what is under way when the server stops is answered; whatever is
            not by then is told that the server stops. A client who sends nothing is not waited
            for any longer.
    """

    body_bytes: int = 32 * 2**20
    total_body_bytes: int = 256 * 2**20
    connections: int = 400
    seconds_to_send: float = 20.0
    seconds_to_answer: float = 30.0
    seconds_idle: float = 60.0
    seconds_to_stop: float = 2.0

    def __post_init__(self) -> None:
        problems = [
            f"{name}: expected a number above 0, found {value!r}"
            for name, value in vars(self).items()
            if not isinstance(value, int | float) or not value > 0
        ]
        refuse("limits", problems)


def connections_per_port(limits: Limits) -> int:
    """Return how many connections REST and gRPC may have each, so that no file goes without.

    Raises:
        FacenetError: when the process may open too few files to serve at all.

    >>> connections_per_port(Limits(connections=4))
    4
    """
    allowed = _files_allowed()
    if allowed is None:
        return limits.connections
    room = (allowed - _files_open() - _FILES_KEPT) // 2
    if room < _FEWEST_CONNECTIONS:
        least = allowed + 2 * (_FEWEST_CONNECTIONS - room)
        raise FacenetError(
            f"expected a process that may open {least} files at least, found one that may open "
            f"{allowed}; 'ulimit -n 1024' allows more"
        )
    if room < limits.connections:
        told = "%d connections over REST and as many over gRPC: the process may open %d files"
        _log.info(told, room, allowed)
    return min(room, limits.connections)


def _files_allowed() -> int | None:
    """How many files the process may open at a time, if that has a bound."""
    try:
        import resource
    except ImportError:  # Windows has no such bound
        return None
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if allowed == resource.RLIM_INFINITY else allowed


def _files_open() -> int:
    descriptors = Path("/dev/fd")
    return len(list(descriptors.iterdir())) if descriptors.is_dir() else _FILES_KEPT


class RequestRecord:
    """Counts of requests and batches, as Prometheus reads them, and a line for each refusal.

    Where refusals do not end they are counted in the log too: see
    ``facenet_lib.serving.bounded_log``.

    Requests are counted under the names that TensorFlow Serving uses, so that dashboards fit.

    Attributes:
        log: where refusals are told of.
    """

    def __init__(self, models: ServedModels) -> None:
        self.log = BoundedLog(_log)
        self._models = models
        self._counts: dict[tuple[str, str], int] = {}
        self._counting = threading.Lock()  # gRPC's threads count at the same time
        self._registry = CollectorRegistry()
        self._latency = Histogram(
            ":tensorflow:serving:request_latency",
            "Microseconds from a request to its answer.",
            ("model_name", "API", "entrypoint"),
            buckets=_MICROSECONDS,
            registry=self._registry,
        )
        self._registry.register(self)

    def done(self, entrypoint: str, api: str, model: str, code: str, seconds: float) -> None:
        """Count a request: ``REST`` or ``GRPC``, its API, the model, gRPC's name of the status."""
        known = model if model in self._models.names else ""  # others would be without number
        with self._counting:
            self._counts[known, code] = self._counts.get((known, code), 0) + 1
        self._latency.labels(known, api, entrypoint).observe(seconds * 1e6)
        self.log.tell_counted()

    def refused(self, entrypoint: str, peer: str, what: str, code: str, message: str) -> None:
        """Write the one line of a request that was not answered, or count it among many."""
        line = one_line(f"{entrypoint} {peer} {what}: {code}: {message}")
        self.log.write(f"{entrypoint} {code}", line.encode("unicode_escape").decode())

    def page(self) -> bytes:
        """The counts in Prometheus' text format."""
        page = generate_latest(self._registry)
        for name in (_REQUESTS, _BATCHES):
            # As a counter the client would lengthen the name by _total, which nobody reads it by.
            page = page.replace(
                f"# TYPE {name} untyped".encode(), f"# TYPE {name} counter".encode()
            )
        return page

    def collect(self) -> Iterator[Metric]:
        """What is counted elsewhere, or under a name that the client would lengthen."""
        requests = Metric(_REQUESTS, "Requests by status.", "unknown")
        with self._counting:
            counts = sorted(self._counts.items())
        for (model, code), count in counts:
            labels = {"model_name": model, "status": code}
            requests.add_sample(requests.name, labels, count)
        batches = Metric(_BATCHES, "Batches computed, by their number of rows.", "unknown")
        waiting = Metric("facenet_rows_waiting", "Rows that wait for their turn.", "gauge")
        for model in self._models.names:
            waiting.add_sample(
                waiting.name, {"model_name": model}, self._models.rows_waiting(model)
            )
            for rows, count in sorted(self._models.batch_sizes(model).items()):
                batches.add_sample(batches.name, {"model_name": model, "rows": str(rows)}, count)
        yield from (requests, batches, waiting)
