"""Photographs to aligned faces: detection, choice, crop (chapter 10).

TensorFlow is loaded when something of ``mtcnn`` or ``graph`` is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from facenet_lib.alignment.boxes import intersection_over_union, suppress_overlaps
from facenet_lib.alignment.choosing import RULES, choose_face
from facenet_lib.alignment.crops import (
    CROPS,
    DEFAULT_MARGINS,
    TEMPLATE,
    crop_face,
    crop_reference,
    crop_similarity,
    crop_square,
    place_template,
    similarity_transform,
)
from facenet_lib.alignment.detectors import ShrinkingDetector, TurningDetector, make_detector
from facenet_lib.alignment.faces import Box, Face, FaceDetector
from facenet_lib.alignment.folders import Alignment, align_photographs, crop_again
from facenet_lib.alignment.manifest import (
    STATUSES,
    AlignmentSettings,
    FaceRow,
    merge_manifests,
    read_manifest,
    write_manifest,
)
from facenet_lib.alignment.measuring import (
    DetectionMeasures,
    average_by_bin,
    landmark_error,
    match_faces,
    measure_detection,
)
from facenet_lib.alignment.mtcnn_weights import MtcnnWeights, read_mtcnn_weights
from facenet_lib.alignment.photographs import (
    MOST_PIXELS,
    PHOTOGRAPH_SUFFIXES,
    PhotographFolder,
    find_photographs,
    read_photograph,
)
from facenet_lib.alignment.sensitivity import Sensitivity, measure_sensitivity, vary_crop
from facenet_lib.alignment.yunet import YunetDetector

if TYPE_CHECKING:
    from facenet_lib.alignment.graph import GraphAlignment, align_encoded
    from facenet_lib.alignment.mtcnn import MtcnnDetector, propose_faces

__all__ = [
    "CROPS",
    "DEFAULT_MARGINS",
    "MOST_PIXELS",
    "PHOTOGRAPH_SUFFIXES",
    "RULES",
    "STATUSES",
    "TEMPLATE",
    "Alignment",
    "AlignmentSettings",
    "Box",
    "DetectionMeasures",
    "Face",
    "FaceDetector",
    "FaceRow",
    "GraphAlignment",
    "MtcnnDetector",
    "MtcnnWeights",
    "PhotographFolder",
    "Sensitivity",
    "ShrinkingDetector",
    "TurningDetector",
    "YunetDetector",
    "align_encoded",
    "align_photographs",
    "average_by_bin",
    "choose_face",
    "crop_again",
    "crop_face",
    "crop_reference",
    "crop_similarity",
    "crop_square",
    "find_photographs",
    "intersection_over_union",
    "landmark_error",
    "make_detector",
    "match_faces",
    "measure_detection",
    "measure_sensitivity",
    "merge_manifests",
    "place_template",
    "propose_faces",
    "read_manifest",
    "read_mtcnn_weights",
    "read_photograph",
    "similarity_transform",
    "suppress_overlaps",
    "vary_crop",
    "write_manifest",
]


_MODULE_OF = {
    "GraphAlignment": "graph",
    "align_encoded": "graph",
    "MtcnnDetector": "mtcnn",
    "propose_faces": "mtcnn",
}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
