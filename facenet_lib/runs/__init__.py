"""What a run leaves behind: its settings, checkpoints, tables and record (chapter 6)."""

from facenet_lib.runs.checkpoints import Checkpoint, last_checkpoint
from facenet_lib.runs.config import (
    OPTIMIZERS,
    TrainingConfig,
    config_from_dict,
    read_config,
    read_learning_rates,
    read_settings,
    recipe_names,
)
from facenet_lib.runs.folder import read_run_tables
from facenet_lib.runs.tables import read_metrics, read_prelogits_histograms

__all__ = [
    "OPTIMIZERS",
    "Checkpoint",
    "TrainingConfig",
    "config_from_dict",
    "last_checkpoint",
    "read_config",
    "read_learning_rates",
    "read_metrics",
    "read_prelogits_histograms",
    "read_run_tables",
    "read_settings",
    "recipe_names",
]
