"""Speed of the LFW evaluation beside the reference's loops over thresholds.

Run with ``make bench``, or ``pytest tests/benchmarks/test_bench_verification.py -s``; it asserts no
time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from bench_report import Report, Row, Spread

from facenet_lib.verification import evaluate

ROC_GRID = np.arange(0, 4, 0.01)
VAL_GRID = np.arange(0, 4, 0.001)
FAR_TARGET = 1e-3


def lfw_sized() -> tuple[np.ndarray, np.ndarray]:
    """6000 pairs in LFW's order, 512 features, float32, unit length."""
    generator = np.random.default_rng(0)
    issame = np.tile(np.repeat([True, False], 300), 10)
    first = generator.normal(size=(6000, 512))
    second = np.where(issame[:, None], 0.4 * first, 0) + generator.normal(size=(6000, 512))
    embeddings = np.stack([first, second], axis=1).reshape(12000, 512)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings.astype(np.float32), issame


def counts(threshold: float, distance: np.ndarray, issame: np.ndarray) -> tuple[int, int, int]:
    accepted = np.less(distance, threshold)
    true_accepts = np.sum(np.logical_and(accepted, issame))
    false_accepts = np.sum(np.logical_and(accepted, np.logical_not(issame)))
    true_rejects = np.sum(np.logical_and(np.logical_not(accepted), np.logical_not(issame)))
    return true_accepts, false_accepts, true_rejects


def folds_of(embeddings: np.ndarray, issame: np.ndarray):
    distance = np.sum(np.square(np.subtract(embeddings[0::2], embeddings[1::2])), 1)
    ids = np.repeat(np.arange(10), len(issame) // 10)
    for fold in range(10):
        train, test = ids != fold, ids == fold
        yield distance[train], issame[train], distance[test], issame[test]


def naive_roc(embeddings: np.ndarray, issame: np.ndarray) -> dict[str, float]:
    """The definition of accuracy and ROC, one comparison of all distances for each threshold."""
    accuracies, tprs, fprs = [], [], []
    for distance, same, test_distance, test_same in folds_of(embeddings, issame):
        correct = []
        for threshold in ROC_GRID:
            true_accepts, _, true_rejects = counts(threshold, distance, same)
            correct.append((true_accepts + true_rejects) / len(same))
        tested = [counts(threshold, test_distance, test_same) for threshold in ROC_GRID]
        tprs.append([accepts / test_same.sum() for accepts, _, _ in tested])
        fprs.append([accepts / (~test_same).sum() for _, accepts, _ in tested])
        true_accepts, _, true_rejects = tested[int(np.argmax(correct))]
        accuracies.append((true_accepts + true_rejects) / len(test_same))
    np.mean(tprs, 0), np.mean(fprs, 0)
    return {"accuracy": float(np.mean(accuracies)), "accuracy_std": float(np.std(accuracies))}


def naive_val(embeddings: np.ndarray, issame: np.ndarray) -> dict[str, float]:
    """The definition of VAL, likewise."""
    vals, fars = [], []
    for distance, same, test_distance, test_same in folds_of(embeddings, issame):
        far = [counts(threshold, distance, same)[1] / (~same).sum() for threshold in VAL_GRID]
        threshold = np.interp(FAR_TARGET, far, VAL_GRID) if max(far) >= FAR_TARGET else 0.0
        true_accepts, false_accepts, _ = counts(threshold, test_distance, test_same)
        vals.append(true_accepts / test_same.sum())
        fars.append(false_accepts / (~test_same).sum())
    return {"validation_rate": float(np.mean(vals)), "false_accept_rate": float(np.mean(fars))}


def rates(run: Callable[[], object], times: int) -> Spread:
    """Runs a second, after one that is not counted."""
    run()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        taken.append(1 / (time.perf_counter() - start))
    return Spread(tuple(taken))


def test_evaluate_beside_loops_over_thresholds(report: Report) -> None:
    embeddings, issame = lfw_sized()
    start = time.perf_counter()
    expected = naive_roc(embeddings, issame) | naive_val(embeddings, issame)
    naive_seconds = time.perf_counter() - start

    on_roc_grid = evaluate(embeddings, issame, thresholds=ROC_GRID).to_dict()
    on_val_grid = evaluate(embeddings, issame, thresholds=VAL_GRID).to_dict()
    for name, value in expected.items():  # the same work, or the ratio means nothing
        assert (on_roc_grid if name.startswith("accuracy") else on_val_grid)[name] == value

    section = "6000 pairs x 512 (evaluations a second), beside one loop over the thresholds"
    naive = Spread((1 / naive_seconds,))
    for what, options, other in (
        ("exact", {}, naive),
        ("grid of 400", {"thresholds": ROC_GRID}, naive),
        ("grid of 4000", {"thresholds": VAL_GRID}, naive),
        ("exact, cosine", {"metric": "angular"}, None),
        ("exact, subtract_mean", {"subtract_mean": True}, None),
    ):
        ours = rates(lambda options=options: evaluate(embeddings, issame, **options), 5)
        report.add(Row(section, what, ours, other))
