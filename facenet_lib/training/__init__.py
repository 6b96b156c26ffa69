"""The training loop and its parts: step, objectives, optimizers, workers (chapters 6 and 13)."""

from facenet_lib.training.loop import (
    CONFIG_FILE,
    EvaluationPairs,
    embed_images,
    evaluate_pairs,
    image_embedder,
    load_network,
    load_run,
    network_of,
    network_settings,
    preprocessing_of,
    read_run_tables,
    train,
)
from facenet_lib.training.objectives import (
    objective_of,
)
from facenet_lib.training.optimizers import (
    FusedAdam,
    make_optimizer,
)
from facenet_lib.training.workers import (
    TF_CONFIG,
    Worker,
    strategy_of_environment,
    worker_of,
    worker_of_environment,
)

__all__ = [
    "CONFIG_FILE",
    "TF_CONFIG",
    "EvaluationPairs",
    "FusedAdam",
    "Worker",
    "embed_images",
    "evaluate_pairs",
    "image_embedder",
    "load_network",
    "load_run",
    "make_optimizer",
    "network_of",
    "network_settings",
    "objective_of",
    "preprocessing_of",
    "read_run_tables",
    "strategy_of_environment",
    "train",
    "worker_of",
    "worker_of_environment",
]
