"""Photographs to aligned faces: detection, choice, crop (chapter 10)."""

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
from facenet_lib.alignment.photographs import (
    MOST_PIXELS,
    PHOTOGRAPH_SUFFIXES,
    PhotographFolder,
    find_photographs,
    read_photograph,
)

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
    "PhotographFolder",
    "align_photographs",
    "average_by_bin",
    "choose_face",
    "crop_again",
    "crop_face",
    "crop_reference",
    "crop_similarity",
    "crop_square",
    "find_photographs",
    "landmark_error",
    "match_faces",
    "measure_detection",
    "merge_manifests",
    "place_template",
    "read_manifest",
    "read_photograph",
    "similarity_transform",
    "write_manifest",
]
