"""Rows for the tests of what a run records, in its tables and for TensorBoard."""

import numpy as np

from facenet_lib.runs.tables import EVALUATIONS_FILE, METRICS_FILE, RATES, VALIDATIONS_FILE

TERMS = ("total", "cross_entropy", "center_loss", "prelogits_norm", "weight_decay")
COLUMNS = (*TERMS, "accuracy", "images_per_second")
VALIDATION = ("cross_entropy", "accuracy")


def step_row(step):
    figures = {name: step + number / 7 for number, name in enumerate(TERMS)}
    rest = {"learning_rate": 1e-3, "accuracy": 0.5, "images_per_second": 64.25}
    return {"epoch": step // 3, "step": step} | figures | rest


def evaluation_row(step):
    rates = {name: step / (number + 3) for number, name in enumerate(RATES)}
    return {"epoch": step // 3, "step": step, "minutes": step / 60} | rates


def validation_row(step):
    return {"epoch": step // 3, "step": step, "minutes": 0.5, "cross_entropy": 3, "accuracy": step}


def prelogits_counts(step):
    return np.random.default_rng(step).integers(0, 10**9, 50)


def add_rows(files, steps):
    """A row for each step and, in every other table, one for each third."""
    for step in steps:
        files.add(METRICS_FILE, step_row(step))
        if step % 3 == 0:
            files.add(EVALUATIONS_FILE, evaluation_row(step))
            files.add(VALIDATIONS_FILE, validation_row(step))
            files.add_prelogits(step // 3 - 1, step, prelogits_counts(step))
