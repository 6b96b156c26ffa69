"""Photographs to aligned faces: detection, choice, crop (chapter 10)."""

from facenet_lib.alignment.faces import Box, Face, FaceDetector

__all__ = ["Box", "Face", "FaceDetector"]
