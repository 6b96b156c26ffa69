"""The bytes of an image file to the window that a network sees, without TensorFlow.

For networks that another runtime computes. What is an image, which way it stands and where the
window lies are as :mod:`facenet_lib.input_pipeline` has them everywhere else; the pixels of a JPEG
differ from TensorFlow's by rounding, because TensorFlow decodes in a faster, coarser way.
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from facenet_lib.errors import FacenetError
from facenet_lib.input_pipeline.formats import (
    JPEG_START,
    PNG_START,
    explain_too_large,
    explain_undecodable,
)
from facenet_lib.input_pipeline.settings import Preprocessing

Pixels = npt.NDArray[np.uint8]


def decode_window(encoded: bytes, preprocessing: Preprocessing) -> Pixels:
    """Decode one JPEG or PNG file with Pillow and cut the window that the network sees.

    Args:
        encoded: the bytes of the file.
        preprocessing: says which window.

    Returns:
        uint8 (window_size, window_size, 3), RGB.

    Raises:
        FacenetError: where :func:`facenet_lib.input_pipeline.decode_image` does, in its words.

    >>> decode_window(b"GIF89a", Preprocessing(80))
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: image: found GIF, expected JPEG or PNG
    """
    return cut_pixels(_decode_upright(encoded), preprocessing)


def cut_pixels(image: npt.NDArray[np.generic], preprocessing: Preprocessing) -> Pixels:
    """Cut (..., height, width, 3) to (..., window_size, window_size, 3) at the centre.

    >>> cut_pixels(np.ones((4, 9, 3), np.uint8), Preprocessing(6))[:, 2, 0].tolist()
    [0, 1, 1, 1, 1, 0]
    """
    side = preprocessing.window_size
    window = np.zeros((*image.shape[:-3], side, side, 3), image.dtype)
    taken, filled = [], []
    for size in image.shape[-3:-1]:
        frame = min(size, preprocessing.frame_size or size)
        cut = min(frame, side)
        first = (size - frame) // 2 + (frame - cut) // 2
        before = (side - cut) // 2
        taken.append(slice(first, first + cut))
        filled.append(slice(before, before + cut))
    window[..., filled[0], filled[1], :] = image[..., taken[0], taken[1], :]
    return window


def _decode_upright(encoded: bytes) -> Pixels:
    if not encoded.startswith((JPEG_START, PNG_START)):
        raise FacenetError(f"image: {explain_undecodable(encoded)}")
    try:
        # Not Image.open, which has a limit of pixels of its own.
        kind = JpegImageFile if encoded.startswith(JPEG_START) else PngImageFile
        with kind(io.BytesIO(encoded)) as image:
            width, height = image.size
            too_large = explain_too_large(height, width)
            if too_large:
                raise FacenetError(f"image: {too_large}")
            pixels = _to_rgb(image)
            orientation = image.getexif().get(0x0112, 1)
    except FacenetError:
        raise
    except Exception as error:  # damaged files fail wherever the damage makes itself felt
        raise FacenetError(f"image: {explain_undecodable(encoded)}") from error
    return _turn_upright(pixels, orientation)


def _to_rgb(image: Image.Image) -> Pixels:
    if image.mode.startswith("I"):  # 16 bits of grey
        high = (np.asarray(image, np.uint32) >> 8).astype(np.uint8)
        return np.repeat(high[:, :, np.newaxis], 3, axis=2)
    return np.asarray(image.convert("RGB"))


def _turn_upright(image: Pixels, orientation: int) -> Pixels:
    """Turn or mirror an image as its EXIF orientation, 1 to 8, asks."""
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return image
