"""Which chapters run at the same time, and on which cores.

Two TensorFlow programs that share two cores wait for each other: a training step of the book's
network takes a fifth to a third more processor time than where each has a core of its own.
"""

from __future__ import annotations

import os

WITHOUT_NETWORK = (
    "13_scaling",
    "04_network",
    "05_center_loss",
    "03_input_pipeline",
    "01_lfw_pairs",
    "02_index_queue",
)
"""Chapters that run while the network of chapter 6 is trained, the longest first."""

LONGEST_FIRST = (
    "11_pretrained",
    "09_triplet_loss",
    "06_training",
    "10_alignment",
    "12_recognition",
    "07_export",
    "08_serving",
    *WITHOUT_NETWORK,
)


def take_cores(number: int, lanes: int) -> None:
    """Keep this process and those it starts to its share of the cores, where the system can.

    Args:
        number: which of ``lanes`` processes this is, from 0.
        lanes: how many there are; more than there are cores share these.
    """
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[number::lanes] or {cores[number % len(cores)]})
