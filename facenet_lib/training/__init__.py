"""The training loop and its parts: step, objectives, optimizers, workers (chapters 6 and 13)."""

from facenet_lib.training.batches import sampler_of
from facenet_lib.training.loop import TrainingResult, train
from facenet_lib.training.objectives import Check, Computed, Objective, objective_of
from facenet_lib.training.optimizers import make_optimizer
from facenet_lib.training.workers import Worker, strategy_of_environment, worker_of_environment

__all__ = [
    "Check",
    "Computed",
    "Objective",
    "TrainingResult",
    "Worker",
    "make_optimizer",
    "objective_of",
    "sampler_of",
    "strategy_of_environment",
    "train",
    "worker_of_environment",
]
