"""From image files to standardized, augmented, labelled batches.

Stands for the article's sections 3 and 4: the input queue of (path, label, control) and
``create_input_pipeline``. What TF 1 did in queue-runner threads is one ``tf.data`` pipeline
here, and what its control bits asked for is decided for every image before the first file is
read. Evaluation, export and training share :func:`preprocess`, so they cannot disagree.
Derived in chapter 3, "Input pipeline".
"""

from facenet_lib.input_pipeline.decoding import MAX_PIXELS, decode_image
from facenet_lib.input_pipeline.pipeline import (
    explained_errors,
    input_pipeline,
    read_windows,
    skipped_paths,
)
from facenet_lib.input_pipeline.preprocessing import (
    Control,
    Preprocessing,
    are_pixels,
    decode_and_preprocess,
    decode_windows,
    preprocess,
)

__all__ = [
    "MAX_PIXELS",
    "Control",
    "Preprocessing",
    "are_pixels",
    "decode_and_preprocess",
    "decode_image",
    "decode_windows",
    "explained_errors",
    "input_pipeline",
    "preprocess",
    "read_windows",
    "skipped_paths",
]
