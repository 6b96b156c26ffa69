"""Weights that others published, read without running anything of theirs (chapter 11)."""

from facenet_lib.published.model_folder import (
    ModelCard,
    PretrainedNetwork,
    Standardization,
    assign_tf1_variables,
    import_weights,
    load_pretrained,
    read_card,
    tf1_variable_names,
)

__all__ = [
    "ModelCard",
    "PretrainedNetwork",
    "Standardization",
    "assign_tf1_variables",
    "import_weights",
    "load_pretrained",
    "read_card",
    "tf1_variable_names",
]
