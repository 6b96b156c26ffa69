"""Inception-ResNet-v1, its layers, and the network folded for inference (chapter 4)."""

from facenet_lib.network.inception_resnet import (
    MINIMUM_IMAGE_SIZE,
    FusedBatchNormalization,
    GlobalBatchDropout,
    floating_point_operations,
    fold_batch_norm,
    grid_sizes,
    inception_resnet_v1,
    l2_normalize,
)

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
