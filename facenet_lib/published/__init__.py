"""Weights that others published: fetched by name and sum, read without running them (chapter 11).

Importing this package loads no TensorFlow: what fetches does without it, and so do the tables.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facenet_lib.published.containers import StoredArray
    from facenet_lib.published.fetching import fetch_file, fetch_weights
    from facenet_lib.published.model_folder import (
        assign_tf1_variables,
        import_weights,
        read_weights,
        tf1_variable_names,
    )
    from facenet_lib.published.releases import RELEASES, YUNET, KnownFile, Release, find_release

_MODULES = {
    "containers": ["StoredArray"],
    "fetching": ["fetch_file", "fetch_weights"],
    "model_folder": [
        "assign_tf1_variables",
        "import_weights",
        "read_weights",
        "tf1_variable_names",
    ],
    "releases": ["RELEASES", "YUNET", "KnownFile", "Release", "find_release"],
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "RELEASES",
    "YUNET",
    "KnownFile",
    "Release",
    "StoredArray",
    "assign_tf1_variables",
    "fetch_file",
    "fetch_weights",
    "find_release",
    "import_weights",
    "read_weights",
    "tf1_variable_names",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
