"""From a trained network to files that serve without this library (chapter 7)."""

from facenet_lib.export.litert import (
    embed_litert,
    export_litert,
)
from facenet_lib.export.saved_model import (
    WARMUP_REQUESTS,
    drawn_faces,
    export_model,
    read_windows,
)

__all__ = [
    "WARMUP_REQUESTS",
    "drawn_faces",
    "embed_litert",
    "export_litert",
    "export_model",
    "read_windows",
]
