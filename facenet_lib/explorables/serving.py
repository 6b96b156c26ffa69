"""The explorable figure of chapter 8: clients and batches against latency and throughput."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from facenet_lib.checks import check_integer
from facenet_lib.errors import FacenetError
from facenet_lib.explorables.figure import Explorable, check_finite, check_some, draw_png
from facenet_lib.plots.serving import service_load as draw_service_load


@dataclass(frozen=True)
class ServiceLoad:
    """What one server was measured to do, for each number of clients.

    Attributes:
        rates: answers a second to all clients together.
        latencies: what they are, such as a percentile -> milliseconds.
        batch_sizes: how many batches were computed, by their size.

    >>> ServiceLoad([9.0, 14.0], {"p50": [110.0, 150.0]}, [{1: 9}, {1: 2, 2: 6}]).rates
    [9.0, 14.0]
    """

    rates: Sequence[float]
    latencies: Mapping[str, Sequence[float]]
    batch_sizes: Sequence[Mapping[int, int]]


def service_load(clients: Sequence[int], loads: Mapping[int, ServiceLoad]) -> Explorable:
    """Let a reader choose clients and the largest batch, and see latency and throughput.

    Args:
        clients: how many ask at the same time.
        loads: the largest batch that a server may form -> what was measured; the last is that of
            the still figure, and shown at first. All have the same latencies.

    Raises:
        FacenetError: if there are no clients, servers or latencies, not one figure above 0 for
            each number of clients, latencies of other names at some servers, or no batches.

    >>> load = ServiceLoad([9.0, 14.0], {"p50": [110.0, 150.0]}, [{1: 9}, {1: 2, 2: 6}])
    >>> service_load([1, 2], {2: load}).data["clients"]
    [1, 2]
    """
    numbers = [check_integer("clients", number, at_least=1) for number in clients]
    check_some("clients", numbers)
    check_some("loads", loads)
    last = list(loads.values())[-1]
    check_some("latencies", last.latencies)
    data = {
        "clients": numbers,
        "largest": [check_integer("loads", largest, at_least=1) for largest in loads],
        "loads": [
            _write_load(f"loads[{largest}]", load, list(last.latencies), len(numbers))
            for largest, load in loads.items()
        ],
    }
    still = draw_png(draw_service_load(numbers, last.rates, last.latencies, last.batch_sizes))
    alt = (
        "Left, latencies over answers a second, with the number of clients at each point. Right, "
        "dots for the sizes of batches by the number of clients."
    )
    return Explorable("service_load", "Clients and batches of a server", data, still, alt)


def _write_load(where: str, load: ServiceLoad, names: list[str], clients: int) -> dict[str, object]:
    if set(load.latencies) != set(names):
        raise FacenetError(
            f"{where}: expected latencies named {names}, found {list(load.latencies)}"
        )
    if len(load.batch_sizes) != clients:
        raise FacenetError(
            f"{where}: batch_sizes: expected {clients} of them, found {len(load.batch_sizes)}"
        )
    return {
        "rates": _round(f"{where}: rates", load.rates, clients),
        "latencies": {
            name: _round(f"{where}: latencies[{name!r}]", load.latencies[name], clients)
            for name in names
        },
        "batches": [_write_batches(f"{where}: batch_sizes", sizes) for sizes in load.batch_sizes],
    }


def _write_batches(where: str, sizes: Mapping[int, int]) -> dict[str, int]:
    batches = {
        str(check_integer(where, size, at_least=1)): check_integer(f"{where}[{size}]", number, 0)
        for size, number in sorted(sizes.items())
    }
    check_some(where, [number for number in batches.values() if number])
    return batches


def _round(name: str, values: Sequence[float], clients: int) -> list[float]:
    figures = check_finite(name, values, (clients,)).tolist()
    if min(figures) <= 0:
        raise FacenetError(f"{name}: expected numbers above 0, found {min(figures):g}")
    return [float(f"{value:.4g}") for value in figures]
