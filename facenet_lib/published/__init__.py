"""Weights that others published, read without running anything of theirs (chapter 11)."""

from facenet_lib.published.containers import StoredArray
from facenet_lib.published.model_folder import (
    assign_tf1_variables,
    import_weights,
    read_weights,
    tf1_variable_names,
)

__all__ = [
    "StoredArray",
    "assign_tf1_variables",
    "import_weights",
    "read_weights",
    "tf1_variable_names",
]
