"""Photographs to aligned faces: detection, choice, crop (chapter 10).

TensorFlow is loaded when something of ``mtcnn`` is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from facenet_lib.alignment.boxes import intersection_over_union, suppress_overlaps
from facenet_lib.alignment.detectors import ShrinkingDetector, TurningDetector, make_detector
from facenet_lib.alignment.faces import Box, Face, FaceDetector
from facenet_lib.alignment.mtcnn_weights import read_mtcnn_weights
from facenet_lib.alignment.yunet import YunetDetector

if TYPE_CHECKING:
    from facenet_lib.alignment.mtcnn import MtcnnDetector, propose_faces

__all__ = [
    "Box",
    "Face",
    "FaceDetector",
    "MtcnnDetector",
    "ShrinkingDetector",
    "TurningDetector",
    "YunetDetector",
    "intersection_over_union",
    "make_detector",
    "propose_faces",
    "read_mtcnn_weights",
    "suppress_overlaps",
]


def __getattr__(name: str) -> Any:
    if name not in ("MtcnnDetector", "propose_faces"):
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(importlib.import_module(f"{__name__}.mtcnn"), name)
