"""What a run says while it goes on: a bar of an epoch's steps, and lines on standard error.

Derived in chapter 6, "Training".
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

from facenet_lib.training.state import RunState


def say(line: str) -> None:
    """Print a line on standard error, above the bar."""
    tqdm.write(line, file=sys.stderr)


def epoch_bar(run: RunState, shown: bool) -> tqdm[Any]:
    """Return the bar of the epoch that a run is in, at the step where it stands."""
    return tqdm(
        desc=f"epoch {run.epoch + 1}/{run.config.epochs}",
        total=run.config.epoch_size,
        initial=run.position // run.config.batch_size,
        unit="step",
        leave=False,
        disable=not shown,
    )


def describe_epoch(epochs: int, logs: Mapping[str, float]) -> str:
    """Return the line at an epoch's end.

    Args:
        epochs: how many have been made.
        logs: the last step's metrics, of which there are none where a run went on after an
            epoch's last step, and what was measured.

    >>> describe_epoch(3, {"total": 1.25, "validation_accuracy": 0.5})
    'epoch 3: loss 1.250, validation 0.5000'
    """
    parts = []
    if "total" in logs:
        parts.append(f"loss {logs['total']:.3f}")
    if "pairs_accuracy" in logs:
        parts.append(
            f"pairs {logs['pairs_accuracy']:.4f} +- {logs['pairs_standard_error']:.4f}"
            f" (AUC {logs['pairs_area_under_curve']:.4f})"
        )
    if "validation_accuracy" in logs:
        parts.append(f"validation {logs['validation_accuracy']:.4f}")
    return f"epoch {epochs}" + ": " * bool(parts) + ", ".join(parts)
