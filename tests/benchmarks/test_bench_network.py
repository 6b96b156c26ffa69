"""Speed of the network beside facenet-pytorch, what each lever gives, and where the time goes.

Run with ``make bench``, or ``pytest tests/benchmarks/test_bench_network.py -s``. The peer is
measured where there is one, see ``conftest.py``; all take turns, see ``turns.py``.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import pytest
from bench_report import WITHOUT_PEER, Figure, Report, Row, Spread
from operation_count import training_operations
from turns import StartPeer, in_turn, turn_of
from worker_protocol import Worker, seconds_of

from facenet_lib.network.inception_resnet import floating_point_operations, inception_resnet_v1

CLASSES = 1000
HUGE_PAGES = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
    "MALLOC_TOP_PAD_": str(256 << 20),
}
BESIDE = "Full network, 160 pixels, beside facenet-pytorch (images a second)"
START_UP = "Start-up (a first step or answer includes its compilation)"
TIME = "Where the time goes (operations run at the same time, so their sum is above the clock's)"
LEVERS = "Levers: ours beside ours without it (images a second)"

StartWorker = Callable[..., Worker]


# --------------------------------------------------------------------------------------------
# Workers, and turns
# --------------------------------------------------------------------------------------------


@pytest.fixture
def start() -> Iterator[StartWorker]:
    """Starts workers of ours, which end with the test."""
    started: list[Worker] = []

    def begin(environment: Mapping[str, str] | None = None) -> Worker:
        started.append(Worker("worker_facenet_lib.py", environment=environment))
        return started[-1]

    yield begin
    for worker in started:
        worker.close()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The SavedModels by kind."""
    folder = tmp_path_factory.mktemp("exported")
    worker = Worker("worker_facenet_lib.py")
    kinds = {
        "float32": {},
        "bfloat16": {"dtype": "bfloat16"},
        "unfolded": {"folded": False},
    }
    written = {
        kind: worker.ask("export", out=str(folder / kind), **how) for kind, how in kinds.items()
    }
    worker.close()
    return written


@pytest.fixture(scope="module")
def operations() -> dict[str, int]:
    """Floating-point operations of an image."""
    network = inception_resnet_v1()
    return {
        "inference": floating_point_operations(network),
        "training": training_operations(network, CLASSES),
    }


def beside_peer(
    what: str, ours: Worker, peer: Worker | None, batch: int, dtype: str, operations: int
) -> tuple[Row, Figure]:
    """Ours and the peer's rates, and the matrix products' in the same rounds."""
    contestants = {"ours": turn_of(ours, batch)}
    if peer is not None:
        contestants["peer"] = turn_of(peer, batch)
    for name in ("float32", "bfloat16"):
        contestants[name] = functools.partial(ours.ask, "matrix_product", dtype=name)
    rates = in_turn(contestants)
    row = Row(
        BESIDE,
        what,
        rates["ours"],
        rates.get("peer"),
        floor=rates[dtype].divided_by(Spread((operations,))),
        note="" if peer else WITHOUT_PEER,
    )
    products = ", ".join(
        f"{name} {Spread(tuple(rate / 1e9 for rate in rates[name].values))}"
        for name in ("float32", "bfloat16")
    )
    return row, Figure("Matrix products of the floor (GFLOP a second)", what, products)


def lever(what: str, worker: Worker, without: Worker, batch: int = 16) -> Row:
    rates = in_turn({"with": turn_of(worker, batch), "without": turn_of(without, batch)})
    return Row(LEVERS, what, rates["with"], rates["without"])


def preparation(what: str, told: Mapping[str, float | None]) -> list[Figure]:
    """What preparing a training step told of memory and of the first call."""
    figures = [Figure(START_UP, f"first step, {what}", told["first_step_seconds"], "s")]
    if told["memory_after"] is not None:
        memory = f"{told['memory_before']:,.0f} before the first step, {told['memory_after']:,.0f}"
        figures.append(Figure("Peak memory of training, batch 16 (MB)", what, memory))
    return figures


def profile(what: str, worker: Worker, dtype: str, operations: int, steps: int) -> list[Figure]:
    """Time of a step of 16 images, its floor, and the operations' shares down to a hundredth."""
    told = worker.ask("profile", batch=16, steps=steps)
    floor = 16 * operations / worker.ask("matrix_product", dtype=dtype) * 1e3
    total = sum(told["operations"].values())
    shares = {kind: spent / total for kind, spent in told["operations"].items()}
    products = sum(share for kind, share in shares.items() if "Conv" in kind or "MatMul" in kind)
    named = [f"{kind} {share:.0%}" for kind, share in shares.items() if share >= 0.01]
    rest = sum(share for share in shares.values() if share < 0.01)
    time_of = (
        f"{told['clock']:.0f} ms by the clock, floor {floor:.0f} ms; sum of operations "
        f"{total:.0f} ms, {products:.0%} of it convolutions and matrix products"
    )
    return [
        Figure(TIME, what, time_of),
        Figure(TIME, "", f"{', '.join(named)}, others {rest:.0%}"),
    ]


# --------------------------------------------------------------------------------------------
# The floor's arithmetic
# --------------------------------------------------------------------------------------------


def test_operations_are_those_counted_by_hand() -> None:
    images = keras.Input((7, 9, 3))
    convolved = keras.layers.Conv2D(5, (3, 1), strides=2, padding="valid")(images)
    pooled = keras.layers.GlobalAveragePooling2D()(convolved)
    network = keras.Model(images, keras.layers.Dense(4)(pooled))
    convolution = (3 * 5) * (3 * 1 * 3 * 5)  # positions of the output, numbers of the kernel
    forward = 2 * (convolution + 5 * 4)
    assert floating_point_operations(network) == forward
    head = 2 * 4 * 6
    assert training_operations(network, classes=6) == 3 * (forward + head) - 2 * convolution


def test_operations_of_the_network(operations: dict[str, int], report: Report) -> None:
    for kind, count in operations.items():
        report.add(Figure("Floating-point operations an image", kind, count / 1e9, "GFLOP"))
    assert 2.9 < operations["training"] / operations["inference"] < 3


# --------------------------------------------------------------------------------------------
# Training
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("precision", "autocast", "dtype"),
    [("float32", False, "float32"), ("mixed_bfloat16", True, "bfloat16")],
)
def test_training_step(
    precision: str,
    autocast: bool,
    dtype: str,
    report: Report,
    operations: dict[str, int],
    start: StartWorker,
    start_peer: StartPeer,
) -> None:
    ours, peer = start(), start_peer()
    report.add(*preparation(f"ours, {precision}", ours.ask("train", precision=precision)))
    if peer is not None:
        told = peer.ask("train", autocast=autocast)
        report.add(*preparation(f"peer, {dtype}{' autocast' if autocast else ''}", told))
    what = f"training step, {precision}, batch 16"
    report.add(*beside_peer(what, ours, peer, 16, dtype, operations["training"]))
    report.add(*profile(what, ours, dtype, operations["training"], steps=2))


@pytest.mark.parametrize(
    ("what", "with_it", "without"),
    [
        ("fused batch normalization", {}, {"keras_batch_norm": True}),
        ("fused Adam", {}, {"keras_adam": True}),
        ("mixed_bfloat16", {"precision": "mixed_bfloat16"}, {}),
    ],
)
def test_lever_of_training(
    what: str,
    with_it: dict[str, Any],
    without: dict[str, Any],
    report: Report,
    start: StartWorker,
) -> None:
    """Both processes are new, so that neither is at a disadvantage by its age."""
    ours, other = start(), start()
    ours.ask("train", **with_it)
    told = other.ask("train", **without)
    if without:
        report.add(*preparation(f"ours without {what}", told))
    report.add(lever(f"{what}, training step", ours, other))


def test_huge_pages(report: Report, start: StartWorker, start_peer: StartPeer) -> None:
    """What glibc's large pages give to either side: the environment, no change of a program."""
    for whose, begin in (("ours", start), ("peer", start_peer)):
        worker, without = begin(HUGE_PAGES), begin()
        if worker is None:
            continue
        report.add(*preparation(f"{whose} with huge pages, float32", worker.ask("train")))
        without.ask("train")
        report.add(lever(f"huge pages, training step, {whose}", worker, without))


def test_the_step_of_facenet_train(report: Report, start: StartWorker) -> None:
    """With weight decay, prelogits norm and center loss, which the peer's step has not."""
    whole, bare = start(), start()
    whole.ask("train_whole")
    bare.ask("train")
    report.add(lever("all terms of the loss, training step", whole, bare))
    traces = whole.ask("traces", batches=[16, 16, 16, 16, 7])
    what = "traces of facenet train's step, batches 16, 16, 16, 16, 7"
    report.add(Figure(START_UP, what, str(traces)))
    assert traces == 1


# --------------------------------------------------------------------------------------------
# Inference
# --------------------------------------------------------------------------------------------


def test_inference(
    report: Report,
    operations: dict[str, int],
    exported: dict[str, str],
    start: StartWorker,
    start_peer: StartPeer,
) -> None:
    workers = {kind: start() for kind in exported}
    for kind, folder in exported.items():
        told = workers[kind].ask("load", folder=folder)
        report.add(
            Figure(START_UP, f"loading the SavedModel, {kind}", told["load_seconds"], "s"),
            Figure(START_UP, f"its first answer, {kind}", told["first_answer_seconds"], "s"),
        )
    if peer := start_peer():
        told = peer.ask("infer")
        report.add(Figure(START_UP, "first answer, peer", told["first_answer_seconds"], "s"))
    for kind, batch in (("float32", 1), ("float32", 16), ("bfloat16", 1), ("bfloat16", 16)):
        what = f"inference, SavedModel {kind}, batch {batch}"
        if kind != "float32":
            what += " (peer float32)"
        count = operations["inference"]
        report.add(*beside_peer(what, workers[kind], peer, batch, kind, count))
    for batch in (1, 16):
        for what, kind, without in (
            ("folding", "float32", "unfolded"),
            ("bfloat16", "bfloat16", "float32"),
        ):
            what = f"{what}, inference, batch {batch}"
            report.add(lever(what, workers[kind], workers[without], batch))
    for kind in ("float32", "bfloat16"):
        what = f"inference, SavedModel {kind}, batch 16"
        report.add(*profile(what, workers[kind], kind, operations["inference"], steps=6))


# --------------------------------------------------------------------------------------------
# Start-up
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["facenet_lib", "facenet_lib.cli", "tensorflow"])
def test_import_time(module: str, report: Report) -> None:
    """In fresh processes, that of an interpreter which imports nothing taken off."""
    runs = [(_seconds_of_python(f"import {module}"), _seconds_of_python("")) for _ in range(3)]
    seconds = Spread(tuple(importing - nothing for importing, nothing in runs)).median
    report.add(Figure(START_UP, f"import {module}", seconds, "s"))


def _seconds_of_python(program: str) -> float:
    command = [sys.executable, "-c", program]
    return seconds_of(lambda: subprocess.run(command, check=True, capture_output=True))
