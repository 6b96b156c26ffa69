"""Speed of the local server beside the model in process, its latency, and its memory.

Run with ``make bench``, or ``pytest tests/benchmarks/test_bench_serving.py -s``; it asserts no
time. The server, four clients that ask for one image at a time, and the model in process
are processes of their own on the same machine. A round is some seconds of the clients, and then
of the model in process: at the very batches that the server formed, one after the other, and at
batches that all have their mean size, rounded. ``FACENET_BENCH_PAIRS`` is the number of rounds.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from bench_report import PAIRS, Figure, Report, Row, Spread
from worker_protocol import Worker

CLIENTS = 4
SECONDS = 4.0
LATENCY_SECONDS = 20.0
RARE = 0.03  # share of the images below which a batch size is not measured
SECTION = "Local server, four clients, one image a request, beside the model in process (images/s)"
AT_HALF = "Local server at half of its highest rate (milliseconds)"
MEMORY = "Local server's memory (MB)"


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[[], Worker]]:
    started: list[Worker] = []

    def begin() -> Worker:
        started.append(Worker("worker_serving.py", environment={"TF_CPP_MIN_LOG_LEVEL": "3"}))
        return started[-1]

    yield begin
    for worker in started:
        worker.close()


def at_once(workers: list[Worker], command: str, *varying: dict[str, Any]) -> list[Any]:
    """Have all of them do the same, at the same time."""
    with ThreadPoolExecutor(len(workers)) as pool:
        return list(
            pool.map(
                lambda worker, arguments: worker.ask(command, **arguments),
                workers,
                varying if len(varying) > 1 else itertools.repeat(*varying, len(workers)),
            )
        )


def batches(server: Worker) -> Counter[int]:
    return Counter({int(size): count for size, count in server.ask("batches").items()})


def images_of(formed: Counter[int]) -> int:
    return sum(size * count for size, count in formed.items())


def rate_in_process(model: Worker, formed: Counter[int]) -> float:
    """Images a second, of the same batches without a server."""
    images = images_of(formed)
    usual = Counter({n: count for n, count in formed.items() if n * count > RARE * images})
    seconds = {size: model.ask("seconds_a_batch", size=size, seconds=1.0) for size in usual}
    return images_of(usual) / sum(seconds[size] * count for size, count in usual.items())


@pytest.mark.parametrize("kind", ["small", "full"])
def test_rate_and_latency(
    kind: str,
    start: Callable[[], Worker],
    report: Report,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    server, model = start(), start()
    folder, faces = start().ask("export", out=str(tmp_path_factory.mktemp("served")), kind=kind)
    addresses = server.ask("serve", model=folder)
    model.ask("load", model=folder, faces=faces)
    for protocol, address in addresses.items():
        clients = [start() for _ in range(CLIENTS)]
        at_once(
            clients,
            "connect",
            *(
                {"protocol": protocol, "address": address, "faces": faces, "first": 16 * number}
                for number in range(CLIENTS)
            ),
        )
        at_once(clients, "ask", {"seconds": 1.0})
        served, same, alike = [], [], []
        for _ in range(PAIRS):
            before = batches(server)
            served.append(sum(at_once(clients, "ask", {"seconds": SECONDS})) / SECONDS)
            formed = batches(server) - before
            mean = images_of(formed) / formed.total()
            same.append(rate_in_process(model, formed))
            alike.append(rate_in_process(model, Counter({round(mean): 1})))
        rates = Spread(tuple(served))
        for beside, others in (("the same batches", same), (f"batches of {mean:.1f}", alike)):
            what = f"{kind} network, {protocol}, beside {beside}"
            report.add(Row(SECTION, what, rates, Spread(tuple(others))))

        rate = float(np.median(served)) / 2 / CLIENTS
        delays = [number / CLIENTS / rate for number in range(CLIENTS)]
        found = at_once(
            clients,
            "ask_at",
            *({"rate": rate, "seconds": LATENCY_SECONDS, "delay": delay} for delay in delays),
        )
        latencies = 1000 * np.concatenate(found)
        for percentile in (50, 99):
            value = float(np.percentile(latencies, percentile))
            report.add(Figure(AT_HALF, f"{kind} network, {protocol}, p{percentile}", value))


def test_memory(
    start: Callable[[], Worker], report: Report, tmp_path_factory: pytest.TempPathFactory
) -> None:
    server, clients = start(), [start() for _ in range(CLIENTS)]
    folder, faces = start().ask("export", out=str(tmp_path_factory.mktemp("served")), kind="small")
    addresses = server.ask("serve", model=folder)
    # Two clients of each protocol.
    protocols = ["REST", "gRPC"] * (CLIENTS // 2)
    at_once(
        clients,
        "connect",
        *(
            {"protocol": protocol, "address": addresses[protocol], "faces": faces, "first": 0}
            for protocol in protocols
        ),
    )
    asked = 0
    for requests in (1_000, 10_000):
        at_once(clients, "ask", {"requests": (requests - asked) // CLIENTS})
        asked = requests
        what = f"small network, after {requests:,} requests"
        report.add(Figure(MEMORY, what, server.ask("memory"), "MB"))
