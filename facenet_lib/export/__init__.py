"""From a trained network to files that serve without this library (chapter 7)."""

from facenet_lib.export.litert import embed_litert, export_litert
from facenet_lib.export.runtime_files import ONNX_OPSET, export_for_runtime
from facenet_lib.export.saved_model import export_model
from facenet_lib.model_card import WARMUP_REQUESTS

__all__ = [
    "ONNX_OPSET",
    "WARMUP_REQUESTS",
    "embed_litert",
    "export_for_runtime",
    "export_litert",
    "export_model",
]
