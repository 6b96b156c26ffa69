"""Images whose pixels are known, files that are none, and a pipeline's batches put together."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import ExifTags, Image

from facenet_lib.input_pipeline import MAX_PIXELS, Preprocessing, input_pipeline

Array = np.ndarray[Any, Any]


def smooth_image(seed: int, height: int = 48, width: int = 64) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noted(orientation: int, endian: str = "<") -> Image.Exif:
    """EXIF data of a camera that was held so."""
    exif = Image.Exif()
    exif.endian = endian
    exif[ExifTags.Base.Make] = "a camera"  # so that it is not the only entry
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Software] = "a program"
    return exif


def coordinates(height: int, width: int) -> Array:
    """An image that says at every pixel where it is: (row, column, 0)."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, 0 * rows], axis=2).astype(np.uint8)


def run(dataset: tf.data.Dataset) -> dict[str, Array]:
    """All batches of a pipeline, put together."""
    batches = list(dataset.as_numpy_iterator())
    return {key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]}


def fixed(pixels: Array) -> Array:
    return (pixels.astype(np.float64) - 127.5) / 128


def pixels_of(images: Array) -> Array:
    """Undo the fixed standardization."""
    return np.rint(images * 128 + 127.5).astype(int)


def images_under(
    paths: Sequence[str], controls: Any, preprocessing: Preprocessing, **options: Any
) -> Array:
    return run(
        input_pipeline(paths, None, controls, preprocessing=preprocessing, batch_size=64, **options)
    )["images"]


JPEG = encoded(smooth_image(0), "JPEG")
PNG = encoded(smooth_image(0), "PNG")
BIT_ERROR = PNG[: len(PNG) // 2] + bytes([PNG[len(PNG) // 2] ^ 255]) + PNG[len(PNG) // 2 + 1 :]
UNDECODABLE = {
    "GIF": (encoded(smooth_image(0), "GIF"), "found GIF, expected JPEG or PNG"),
    "BMP": (encoded(smooth_image(0), "BMP"), "found BMP, expected JPEG or PNG"),
    "WebP": (encoded(smooth_image(0), "WEBP"), "found WebP, expected JPEG or PNG"),
    "TIFF": (encoded(smooth_image(0), "TIFF"), "found TIFF, expected JPEG or PNG"),
    "text": (b"not an image", "found something that begins with b'not an image'"),
    "no text": (b"\x84\xb6\xd1\xff", "found something that begins with b'\\x84\\xb6\\xd1\\xff'"),
    "nearly a PNG": (b"\x89PN\xff\xfe", "found something that begins with b'\\x89PN"),
    "empty": (b"", "the file is empty"),
    "half a JPEG": (JPEG[: len(JPEG) // 2], "the JPEG is damaged or cut short"),
    "JPEG without its end": (JPEG[:-2], "the JPEG is damaged or cut short"),
    "start of a JPEG": (JPEG[:3], "the JPEG is damaged or cut short"),
    **{
        f"{length} bytes of a PNG": (PNG[:length], "the PNG is damaged or cut short")
        for length in (8, 11, 16, 20, 24, len(PNG) // 2)
    },
    "PNG with a wrong byte": (BIT_ERROR, "the PNG is damaged or cut short"),
}


def png_chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def grey_png(height: int, width: int) -> bytes:
    """A whole PNG, written row by row so that the test never holds the image."""
    compress = zlib.compressobj(1)
    rows = b"".join(compress.compress(bytes(1 + width)) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", rows + compress.flush())
    return b"\x89PNG\r\n\x1a\n" + chunks + png_chunk(b"IEND", b"")


def promising_png(height: int, width: int) -> bytes:
    """A small PNG whose header promises another size."""
    header = struct.pack(">II", width, height) + PNG[24:29]
    return PNG[:8] + png_chunk(b"IHDR", header) + PNG[33:]


def promising_jpeg(height: int, width: int) -> bytes:
    """A small JPEG whose frame header promises another size."""
    frame = JPEG.index(b"\xff\xc0")  # marker, length, precision, then height and width
    return JPEG[: frame + 5] + struct.pack(">HH", height, width) + JPEG[frame + 9 :]


TOO_LARGE = {
    "PNG of 10,000 x 10,000": (grey_png(10_000, 10_000), "found 10,000 x 10,000"),
    "PNG that promises 100,000": (promising_png(100_000, 100_000), "found 100,000 x 100,000"),
    "PNG that promises 4 GB": (promising_png(65_537, 65_537), "found 65,537 x 65,537"),
    "JPEG that promises 65,000": (promising_jpeg(65_000, 64_000), "found 65,000 x 64,000"),
    "CMYK JPEG": (encoded(Image.new("CMYK", (5001, 5000)), "JPEG"), "found 5,000 x 5,001"),
    "PNG of one row": (promising_png(1, MAX_PIXELS + 1), "found 1 x 25,000,001"),
}
