"""Two workers with a core each beside one worker with one core, as whole ``facenet train`` runs.

Both compute as many images a worker and a step, so that the global batch of two is twice as
large; what is lost is lost to sending gradients and statistics, and to waiting. Two workers that
do not know of each other show the ceiling: the cores share the memory's bandwidth. Run with
``make bench``, or ``pytest tests/benchmarks/test_bench_distributed.py -s`` on a quiet machine; it
asserts no time. The bar is ``BAR`` times the images of one worker.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from bench_report import PAIRS, Figure, Report, Row, Spread
from PIL import Image

from facenet_lib.runs.config import read_settings
from facenet_lib.runs.tables import read_metrics

ROUNDS = max(1, PAIRS // 3)  # a round starts five processes, each for half a minute or more
SKIPPED = 4  # first steps, in which TensorFlow compiles and caches are cold
BAR = 1.7
LONGEST = 1800  # seconds for one run
ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
SECTION = f"two workers with a core each beside one (images a second; bar {BAR})"

# Whatever the images, a step of the full network sends 23 million gradients and some 270 small
# sums. 90 images are the reference's batch, and make the computing large against them.
FULL: dict[str, Any] = {"optimizer": "ADAM"}
DRAWN_FACES = read_settings("drawn_faces")
# Name: settings, images a worker, steps.
CONFIGURATIONS = {
    "full network, 16 images a worker": (FULL, 16, 16),
    "full network, 32 images a worker": (FULL, 32, 12),
    "full network, 90 images a worker": (FULL, 90, 8),
    "recipe drawn_faces, 64 images a worker": (DRAWN_FACES, 64, 40),
    "recipe drawn_faces, 128 images a worker": (DRAWN_FACES, 128, 30),
}


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight people of smooth noise, 16 images each, larger than any window."""
    root = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    for person in range(8):
        (root / f"Person_{person}").mkdir()
        for number in range(1, 17):
            coarse = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            image = Image.fromarray(coarse).resize((182, 182), Image.Resampling.BICUBIC)
            image.save(root / f"Person_{person}" / f"Person_{person}_{number:04d}.jpg")
    return root


def free_addresses(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{server.getsockname()[1]}" for server in sockets]
    for server in sockets:
        server.close()
    return addresses


class Bench:
    """Makes runs of one configuration and says at what rate they went."""

    def __init__(self, folder: Path, faces: Path, name: str) -> None:
        settings, self.images, self.steps = CONFIGURATIONS[name]
        self.folder = folder
        self.faces = faces
        self.config = folder / "config.yaml"
        fixed = {"epochs": 1, "epoch_size": self.steps, "learning_rates": {0: 0.001}}
        self.config.write_text(yaml.safe_dump(settings | fixed))
        self.cores = sorted(os.sched_getaffinity(0))[:2]

    def alone(self) -> float:
        """One worker on one core; the other core rests."""
        return self._rates([{}])[0]

    def independent(self) -> float:
        """Two at a time that know nothing of each other, together."""
        return sum(self._rates([{}, {}]))

    def together(self) -> float:
        """Two workers that share each batch."""
        cluster = {"worker": free_addresses(2)}
        tasks = [{"type": "worker", "index": index} for index in range(2)]
        configs = [json.dumps({"cluster": cluster, "task": task}) for task in tasks]
        return self._rates([{"TF_CONFIG": text} for text in configs])[0]

    def _rates(self, environments: list[dict[str, str]]) -> list[float]:
        """Run a process a core, and return the rate of every run that they made."""
        shared = "TF_CONFIG" in environments[0]
        batch_size = self.images * (len(environments) if shared else 1)
        outs = [self.folder / f"run{0 if shared else i}" for i in range(len(environments))]
        started = [
            self._start(core, out, batch_size, environment)
            for core, out, environment in zip(self.cores, outs, environments, strict=False)
        ]
        try:
            for process in started:
                said = process.communicate(timeout=LONGEST)[0]
                assert process.returncode == 0, said[-2000:]
        finally:
            for process in started:
                process.kill()
                process.wait()
        rates = []
        for out in dict.fromkeys(outs):
            rate = read_metrics(out / "metrics.csv")["images_per_second"]
            rates.append(statistics.median(rate[SKIPPED:].tolist()))
            shutil.rmtree(out)
        return rates

    def _start(
        self, core: int, out: Path, batch_size: int, environment: dict[str, str]
    ) -> subprocess.Popen[str]:
        words = ["train", str(self.faces), "--config", str(self.config), "--out", str(out)]
        # The process has the core from its beginning, and so TensorFlow makes threads for one.
        pinned = ["taskset", "--cpu-list", str(core), sys.executable, "-m", "facenet_lib"]
        return subprocess.Popen(
            [*pinned, *words, "--batch-size", str(batch_size)],
            env=os.environ | ENVIRONMENT | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("taskset") or len(os.sched_getaffinity(0)) < 2,
    reason="needs two cores and taskset, to give each worker one",
)
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_rate_of_two_workers(name: str, tmp_path: Path, faces: Path, report: Report) -> None:
    bench = Bench(tmp_path, faces, name)
    rounds = [(bench.together(), bench.alone(), bench.independent()) for _ in range(ROUNDS)]
    together, alone, independent = (Spread(rates) for rates in zip(*rounds, strict=True))
    row = Row(SECTION, name, together, alone)
    ceiling = Row(SECTION, f"{name}, not sharing", independent, alone)
    share = together.divided_by(independent).median
    report.add(row, ceiling, Figure(SECTION, f"{name}: of the ceiling", share))
