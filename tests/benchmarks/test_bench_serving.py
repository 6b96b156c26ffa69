"""Speed of the local server beside the model in process, its latency, and its memory.

Run with ``make bench``, or ``pytest tests/benchmarks/test_bench_serving.py -s``; it asserts no
time. The server, four clients that ask for one image at a time, and the model in process
are processes of their own on the same machine. Servers whose networks other runtimes compute
are asked in turn with TensorFlow's. A round is some seconds of the clients, and then
of the model in process: at the very batches that the server formed, one after the other, and at
batches that all have their mean size, rounded. ``FACENET_BENCH_PAIRS`` is the number of rounds.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
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
RUNTIMES = "facenet serve --runtime, full network, four clients, one image a request (images/s)"
OTHERS = {"onnx": "onnxruntime", "openvino": "openvino"}
"""Runtimes beside TensorFlow, and the packages that they need."""


@pytest.fixture
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
        clients = connected(start, protocol, address, faces)
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

        add_latencies(report, f"{kind} network, {protocol}", clients, rates)


@pytest.mark.parametrize("max_batch_size", [1, 32])
def test_runtimes(
    max_batch_size: int,
    start: Callable[[], Worker],
    report: Report,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """In turn, each server beside TensorFlow's of float32."""
    out = str(tmp_path_factory.mktemp("runtimes"))
    there = [runtime for runtime, package in OTHERS.items() if find_spec(package)]
    if not there:
        pytest.skip("needs the extra onnx or openvino")
    wanted = [("tensorflow", "float32"), *((runtime, "float32") for runtime in there)]
    wanted += [(runtime, "bfloat16") for runtime in ("tensorflow", *there) if runtime != "onnx"]
    asking = {}
    for runtime, dtype in wanted:
        arguments = {"kind": "full", "runtime": runtime, "dtype": dtype}
        exporting = start()
        folder, faces = exporting.ask("export", out=out, **arguments)
        exporting.close()
        server = start()
        served = {"model": folder, "runtime": runtime, "max_batch_size": max_batch_size}
        addresses = server.ask("serve", **served)
        asking[runtime, dtype] = connected(start, "REST", addresses["REST"], faces)
    rates: dict[tuple[str, str], list[float]] = {each: [] for each in wanted}
    for _ in range(PAIRS):
        for each, clients in asking.items():
            seconds = SECONDS / 2
            rates[each].append(sum(at_once(clients, "ask", {"seconds": seconds})) / seconds)
    spreads = {each: Spread(tuple(found)) for each, found in rates.items()}
    for each in wanted:
        what = f"{' '.join(each)}, batches of at most {max_batch_size}"
        report.add(Row(RUNTIMES, what, spreads[each], spreads[wanted[0]]))
        add_latencies(report, what, asking[each], spreads[each])


def connected(start: Callable[[], Worker], protocol: str, address: str, faces: str) -> list[Worker]:
    """Clients that have asked for a second."""
    clients = [start() for _ in range(CLIENTS)]
    firsts = [16 * number for number in range(CLIENTS)]
    where = {"protocol": protocol, "address": address, "faces": faces}
    at_once(clients, "connect", *(where | {"first": first} for first in firsts))
    at_once(clients, "ask", {"seconds": 1.0})
    return clients


def add_latencies(report: Report, what: str, clients: list[Worker], rates: Spread) -> None:
    """Ask for so many seconds at half of a server's rate."""
    rate = rates.median / 2 / CLIENTS
    delays = [number / CLIENTS / rate for number in range(CLIENTS)]
    found = at_once(
        clients,
        "ask_at",
        *({"rate": rate, "seconds": LATENCY_SECONDS, "delay": delay} for delay in delays),
    )
    latencies = 1000 * np.concatenate(found)
    for percentile in (50, 99):
        value = float(np.percentile(latencies, percentile))
        report.add(Figure(AT_HALF, f"{what}, p{percentile}", value))


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
