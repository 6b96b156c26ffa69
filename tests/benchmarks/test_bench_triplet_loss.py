"""Speed of the triplet selection beside the reference's loops over pairs.

Run with ``make bench``, or ``pytest tests/benchmarks/test_bench_triplet_loss.py -s``; it asserts no
time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from bench_report import PAIRS, Report, Row, Spread

from facenet_lib.index_queue import PeopleQueue
from facenet_lib.triplet_loss import select_triplets

PEOPLE, IMAGES, FEATURES = 45, 40, 128  # a batch of the reference
MARGIN = 0.2
SELECTION = f"{PEOPLE} people x {IMAGES} images x {FEATURES} (selections a second), beside loops"
BATCHES = f"Batches of {PEOPLE} people x {IMAGES} images (batches a second)"

# Distance of an image from its person's point, before all have length one. Without people every
# negative may violate the margin; trained, few do; between the two lies the most work.
BATCHES_TO_SELECT_FROM = {"untrained": 100.0, "half trained": 1.5, "trained": 1.0}


def batch(noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings (float32, unit length) around one point for each person, and the labels."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(PEOPLE), IMAGES)
    points = rng.standard_normal((PEOPLE, FEATURES))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    images = rng.standard_normal((len(labels), FEATURES)) / np.sqrt(FEATURES)
    embeddings = points[labels] + noise * images
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings.astype(np.float32), labels


def loops_over_pairs(embeddings: np.ndarray, labels: np.ndarray, semi_hard: bool) -> list:
    """The definition, one pair of anchor and positive at a time, in float64 like the reference."""
    embeddings = embeddings.astype(np.float64)
    rng = np.random.RandomState(0)
    triplets = []
    for person in np.unique(labels):
        images = np.flatnonzero(labels == person)
        for i, anchor in enumerate(images):
            to_negatives = np.sum(np.square(embeddings - embeddings[anchor]), axis=1)
            to_negatives[images] = np.nan
            for positive in images[i + 1 :]:
                to_positive = np.sum(np.square(embeddings[anchor] - embeddings[positive]))
                allowed = to_negatives - to_positive < MARGIN
                if semi_hard:
                    allowed &= to_negatives > to_positive
                negatives = np.flatnonzero(allowed)
                if len(negatives):
                    chosen = negatives[rng.randint(len(negatives))]
                    triplets.append((anchor, positive, chosen))
    return triplets


def rate(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return 1 / (time.perf_counter() - start)


@pytest.mark.parametrize("kind", BATCHES_TO_SELECT_FROM)
@pytest.mark.parametrize("selection", ["margin_violating", "semi_hard"])
def test_selection_beside_loops_over_pairs(selection: str, kind: str, report: Report) -> None:
    embeddings, labels = batch(BATCHES_TO_SELECT_FROM[kind])

    def ours() -> np.ndarray:
        return select_triplets(embeddings, labels, MARGIN, selection, seed=0)

    def loops() -> list:
        return loops_over_pairs(embeddings, labels, semi_hard=selection == "semi_hard")

    # The same pairs, or the ratio means nothing.
    triplets = ours()
    assert [row[:2] for row in triplets.tolist()] == [row[:2] for row in map(list, loops())]
    in_turn = [(rate(ours), rate(loops)) for _ in range(PAIRS)]
    what = f"{selection}, {kind}: {len(triplets):,} triplets"
    report.add(Row(SELECTION, what, *(Spread(rates) for rates in zip(*in_turn, strict=True))))


def test_batch_hard(report: Report) -> None:
    embeddings, labels = batch(BATCHES_TO_SELECT_FROM["untrained"])
    ours = [
        rate(lambda: select_triplets(embeddings, labels, MARGIN, "batch_hard", 0))
        for _ in range(PAIRS)
    ]
    report.add(Row(SELECTION, "batch_hard, untrained", Spread(tuple(ours)), note="no loops"))


def test_batches_of_people(report: Report) -> None:
    labels = np.random.default_rng(0).integers(0, 10_000, 500_000)

    def draw() -> None:
        PeopleQueue(labels, PEOPLE, IMAGES, seed=0).dequeue_many(1000 * PEOPLE * IMAGES)

    ours = [1000 * rate(draw) for _ in range(PAIRS)]
    what = "PeopleQueue, 10,000 people, 500,000 images"
    report.add(Row(BATCHES, what, Spread(tuple(ours)), note="no loops"))
