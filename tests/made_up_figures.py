"""One explorable figure of each kind, from made-up data."""

from __future__ import annotations

import numpy as np

from facenet_lib import explorables
from facenet_lib.explorables import Explorable, ServiceLoad
from facenet_lib.index_queue import IndexQueue

BITS = {"ROTATE": 1, "CROP": 2, "FLIP": 4}
CLIENTS = [1, 2, 4]


def pair_distances(seed: int = 0, pairs: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Distances of pairs, and whether each shows one person."""
    rng = np.random.default_rng(seed)
    issame = rng.permutation(np.arange(pairs) % 3 == 0)
    return rng.normal(np.where(issame, 1.0, 1.5), 0.3), issame


def people_distances(seed: int = 0, people: int = 7) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances of probes to people, their own among them; whose they are; those of pairs."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(people), 4)
    distances = rng.uniform(0.5, 2.0, (len(truth), people))
    distances[np.arange(len(truth)), truth] = rng.uniform(0.2, 1.4, len(truth))
    return distances, truth, rng.uniform(0.5, 2.0, 500)


def make_figures() -> dict[str, Explorable]:
    """All six, by the names of their scripts."""
    measured, issame = pair_distances()
    stream = IndexQueue(5, seed=10).dequeue_many(15)
    rng = np.random.default_rng(0)
    pictures = {control: rng.uniform(0, 1, (20, 20, 3)) for control in range(8)}
    features, labels = rng.normal(0, 1, (30, 2)), np.arange(30) % 3
    lines = {"k = 1": np.array([1.0, 0.6, 0.36])}
    load = ServiceLoad([9, 12, 14], {"p50": [110, 160, 280.0]}, [{1: 9}, {1: 12}, {2: 5, 3: 1}])
    strangers = {"at 1": [0.1, 0.4]}, {"at 1": ([0.1, 0.3], [0.2, 0.6])}
    figures = [
        explorables.pair_distances({"</script><b>": measured}, issame, [1.2]),
        explorables.index_stream({"3 at a time": (stream, 3)}, range_size=5, seed=10),
        explorables.control_bits(pictures, BITS, shown=(0, 3)),
        explorables.center_steps(features, labels, 0.6, 3, {"undivided": lines}),
        explorables.service_load(CLIENTS, {1: load, 4: load}),
        explorables.strangers_named([1, 5], *strangers, *people_distances(), photographs=3),
    ]
    return {figure.name: figure for figure in figures}
