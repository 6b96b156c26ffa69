"""Inception-ResNet-v1, its layers, and the network folded for inference (chapter 4)."""

from facenet_lib.network.folding import fold_batch_norm
from facenet_lib.network.inception_resnet import (
    MINIMUM_IMAGE_SIZE,
    floating_point_operations,
    grid_sizes,
    inception_resnet_v1,
    l2_normalize,
)
from facenet_lib.network.layers import FusedBatchNormalization, GlobalBatchDropout

__all__ = [
    "MINIMUM_IMAGE_SIZE",
    "FusedBatchNormalization",
    "GlobalBatchDropout",
    "floating_point_operations",
    "fold_batch_norm",
    "grid_sizes",
    "inception_resnet_v1",
    "l2_normalize",
]
