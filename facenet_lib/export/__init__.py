"""From a trained network to files that serve without this library (chapter 7)."""

from facenet_lib.export.litert import embed_litert, export_litert
from facenet_lib.export.saved_model import export_model
from facenet_lib.model_card import WARMUP_REQUESTS

__all__ = ["WARMUP_REQUESTS", "embed_litert", "export_litert", "export_model"]
