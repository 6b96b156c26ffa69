"""The explorable figure of chapter 8: clients and batches against latency and throughput."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from facenet_lib.errors import FacenetError
from facenet_lib.explorables.figure import Explorable, draw_png
from facenet_lib.plots.serving import service_load as draw_service_load


@dataclass(frozen=True)
class ServiceLoad:
    """What one server was measured to do, for each number of clients.

    Attributes:
        rates: answers a second to all clients together.
        latencies: what they are, such as a percentile -> milliseconds.
        batch_sizes: how many batches were computed, by their size.
    """

    rates: Sequence[float]
    latencies: Mapping[str, Sequence[float]]
    batch_sizes: Sequence[Mapping[int, int]]


def service_load(clients: Sequence[int], loads: Mapping[int, ServiceLoad]) -> Explorable:
    """Let a reader choose clients and the largest batch, and see latency and throughput.

    Args:
        clients: how many ask at the same time.
        loads: the largest batch that a server may form -> what was measured; the last is that of
            the still figure, and shown at first.

    Raises:
        FacenetError: if there is no server, or not one figure for each number of clients.
    """
    if not loads:
        raise FacenetError("loads: expected at least one server, found none")
    for largest, load in loads.items():
        figures = [load.rates, load.batch_sizes, *load.latencies.values()]
        found = sorted({len(values) for values in figures})
        if found != [len(clients)]:
            raise FacenetError(
                f"loads[{largest}]: expected {len(clients)} figures of each kind, found {found}"
            )
    data = {
        "clients": list(clients),
        "largest": list(loads),
        "loads": [_write_load(load) for load in loads.values()],
    }
    last = list(loads.values())[-1]
    still = draw_png(draw_service_load(clients, last.rates, last.latencies, last.batch_sizes))
    alt = (
        "Left, latencies over answers a second, with the number of clients at each point. Right, "
        "dots for the sizes of batches by the number of clients."
    )
    return Explorable("service_load", "Clients and batches of a server", data, still, alt)


def _write_load(load: ServiceLoad) -> dict[str, object]:
    return {
        "rates": _round(load.rates),
        "latencies": {name: _round(values) for name, values in load.latencies.items()},
        "batches": [
            {str(size): int(count) for size, count in sorted(counts.items())}
            for counts in load.batch_sizes
        ],
    }


def _round(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.4g}") for value in values]
