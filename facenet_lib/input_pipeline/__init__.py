"""From image files to standardized, augmented, labelled batches.

Stands for the article's sections 3 and 4: the input queue of (path, label, control) and
``create_input_pipeline``. What TF 1 did in queue-runner threads is one ``tf.data`` pipeline
here, and what its control bits asked for is decided for every image before the first file is
read. Evaluation, export and training share :func:`preprocess`, so they cannot disagree.
Derived in chapter 3, "Input pipeline".

Importing this package loads no TensorFlow: each module comes when something of it is first asked
for, and a window that another runtime embeds (:func:`decode_window`) needs none.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facenet_lib.input_pipeline.decoding import decode_image
    from facenet_lib.input_pipeline.formats import MAX_PIXELS
    from facenet_lib.input_pipeline.pillow_decoding import decode_each_window, decode_window
    from facenet_lib.input_pipeline.pipeline import (
        explained_errors,
        input_pipeline,
        read_windows,
        skipped_paths,
    )
    from facenet_lib.input_pipeline.preprocessing import (
        are_pixels,
        decode_and_preprocess,
        decode_windows,
        preprocess,
    )
    from facenet_lib.input_pipeline.settings import Control, Preprocessing

_MODULES = {
    "decoding": "decode_image",
    "formats": "MAX_PIXELS",
    "pillow_decoding": "decode_each_window decode_window",
    "pipeline": "explained_errors input_pipeline read_windows skipped_paths",
    "preprocessing": "are_pixels decode_and_preprocess decode_windows preprocess",
    "settings": "Control Preprocessing",
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = [
    "MAX_PIXELS",
    "Control",
    "Preprocessing",
    "are_pixels",
    "decode_and_preprocess",
    "decode_each_window",
    "decode_image",
    "decode_window",
    "decode_windows",
    "explained_errors",
    "input_pipeline",
    "preprocess",
    "read_windows",
    "skipped_paths",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
