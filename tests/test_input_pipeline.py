"""The input pipeline, against Pillow and definitions written out in numpy."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from facenet_lib import input_pipeline as module
from facenet_lib.errors import FacenetError
from facenet_lib.input_pipeline import (
    MAX_PIXELS,
    Control,
    Preprocessing,
    decode_and_preprocess,
    decode_image,
    explained_errors,
    input_pipeline,
    preprocess,
    skipped_paths,
)

Array = np.ndarray[Any, Any]


def smooth_image(seed: int, height: int = 48, width: int = 64) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


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


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Eleven JPEG and PNG files of one size."""
    folder = tmp_path_factory.mktemp("faces")
    paths = []
    for i in range(11):
        kind = "png" if i % 4 == 3 else "jpeg"
        path = folder / f"{i}.{kind}"
        path.write_bytes(encoded(smooth_image(i), kind))
        paths.append(str(path))
    return paths


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("chart") / "chart.png"
    Image.fromarray(coordinates(40, 50)).save(path)
    return str(path)


# Decoding


def with_alpha(mode: str) -> Image.Image:
    image = smooth_image(0).convert(mode)
    noise = np.random.default_rng(1).integers(0, 256, (48, 64), dtype=np.uint8)
    image.putalpha(Image.fromarray(noise))
    return image


@pytest.mark.parametrize(
    ("kind", "image", "options", "tolerance"),
    [
        ("JPEG", smooth_image(0), {"subsampling": 0}, 1),
        ("JPEG", smooth_image(0).convert("L"), {}, 1),
        ("JPEG", smooth_image(0).convert("CMYK"), {"subsampling": 0}, 2),
        ("JPEG", smooth_image(0), {"subsampling": 0, "progressive": True}, 1),
        ("PNG", smooth_image(0), {}, 0),
        ("PNG", smooth_image(0).convert("L"), {}, 0),
        ("PNG", smooth_image(0).convert("1"), {}, 0),
        ("PNG", smooth_image(0).convert("P"), {}, 0),
        ("PNG", smooth_image(0).convert("P"), {"transparency": 3}, 0),
        ("PNG", smooth_image(0).convert("L"), {"transparency": 100}, 0),
        ("PNG", with_alpha("RGB"), {}, 0),
        ("PNG", with_alpha("L"), {}, 0),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else None,
)
def test_decodes_to_rgb_as_pillow_does(
    kind: str, image: Image.Image, options: dict[str, Any], tolerance: int
) -> None:
    file = encoded(image, kind, **options)
    reference = np.asarray(Image.open(io.BytesIO(file)).convert("RGB")).astype(int)
    decoded = decode_image(tf.constant(file)).numpy()
    assert decoded.dtype == np.uint8
    # TensorFlow's default is libjpeg's fast integer transform, which strays a little further.
    stray = 8 * tolerance if kind == "JPEG" else 0
    difference = np.abs(decoded - reference)
    assert difference.max() <= max(tolerance, stray)
    assert difference.mean() <= tolerance


def test_of_16_bit_samples_the_high_byte_is_kept() -> None:
    samples = np.random.default_rng(0).integers(0, 2**16, (9, 7)).astype(np.uint16)
    decoded = decode_image(tf.constant(encoded(Image.fromarray(samples), "PNG"))).numpy()
    np.testing.assert_array_equal(decoded, np.repeat(samples[..., None] >> 8, 3, axis=2))


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


@pytest.mark.parametrize(("file", "reason"), UNDECODABLE.values(), ids=UNDECODABLE)
def test_what_is_no_whole_jpeg_or_png_is_refused_by_name(file: bytes, reason: str) -> None:
    with pytest.raises(FacenetError) as caught:
        decode_image(tf.constant(file))
    assert reason in str(caught.value)
    with pytest.raises(tf.errors.InvalidArgumentError):
        tf.function(decode_image)(tf.constant(file))


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


@pytest.mark.parametrize(("file", "found"), TOO_LARGE.values(), ids=TOO_LARGE)
def test_more_pixels_than_are_taken_are_refused_by_the_header(file: bytes, found: str) -> None:
    with pytest.raises(FacenetError) as caught:
        decode_image(file)
    assert str(caught.value) == f"image: expected at most 25,000,000 pixels, {found}"
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected fewer pixels"):
        tf.function(decode_image)(tf.constant(file))


def test_the_most_pixels_that_are_taken_are_decoded() -> None:
    assert decode_image(grey_png(5000, 5000)).shape == (5000, 5000, 3)
    one_less = encoded(Image.new("L", (4999, 5001)), "JPEG")
    assert decode_image(one_less).shape == (5001, 4999, 3)


def test_a_size_that_is_no_header_s_is_not_believed() -> None:
    """Decoders pass over an unknown chunk, whose first bytes lie where a header's size would."""
    decoy = png_chunk(b"abCd", struct.pack(">II", 1, 1) + bytes(5))
    large = grey_png(10_000, 10_000)
    for file in (PNG, large):
        hidden = file[:8] + decoy + file[8:]
        if file is PNG:
            assert tf.io.decode_png(hidden).shape == (48, 64, 3)  # nothing else refuses it
        _, valid = decode_and_preprocess(tf.constant([hidden]), Preprocessing(16))
        assert not valid.numpy().any()


def test_large_images_do_not_pile_up_in_memory() -> None:
    """Of forty, which would be 3 GB, no more are whole at once than there are processors."""
    large = encoded(Image.new("L", (5000, 5000)), "JPEG")
    peak = "/proc/self/status"
    if not Path(peak).exists():
        pytest.skip("only Linux tells a process its peak")

    def megabytes(name: str) -> int:
        lines = Path(peak).read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) // 1024

    before = megabytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    _, valid = decode_and_preprocess(tf.constant([large] * 40), Preprocessing(16))
    assert valid.numpy().all()
    # A processor's own image, and as much again for what decoding and the allocator add.
    assert megabytes("VmHWM") - before < 150 * len(os.sched_getaffinity(0)) + 100


def test_the_bytes_of_a_file_need_not_be_a_tensor() -> None:
    np.testing.assert_array_equal(decode_image(PNG), decode_image(tf.constant(PNG)))
    with pytest.raises(FacenetError, match="the PNG is damaged"):
        decode_image(BIT_ERROR)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ([PNG, PNG], r"a scalar string, found string of shape \(2,\)"),
        (np.zeros((4, 4, 3), np.uint8), r"a scalar string, found uint8 of shape \(4, 4, 3\)"),
        (None, "expected the bytes of one file, found NoneType"),
    ],
)
def test_what_is_not_the_bytes_of_one_file_is_refused(value: Any, found: str) -> None:
    with pytest.raises(FacenetError, match=found):
        decode_image(value)


# Preprocessing


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"image_size": 0}, "image_size.*found 0"),
        ({"image_size": None}, "image_size.*found None"),
        ({"image_size": 160.0}, "image_size.*found 160.0"),
        ({"crop_size": -1}, "crop_size.*found -1"),
        ({"frame_size": True}, "frame_size.*found True"),
        ({"crop_size": 112, "frame_size": 100}, "window of 112 pixels in a frame_size of 100"),
        ({"image_size": 160, "frame_size": 100}, "window of 160 pixels in a frame_size of 100"),
        ({"standardization": "none"}, "'fixed' or 'per_image', found 'none'"),
        ({"image_size": 0, "standardization": "none"}, "2 problems"),
    ],
)
def test_bad_preprocessing_is_refused(arguments: dict[str, Any], found: str) -> None:
    with pytest.raises(FacenetError, match=found):
        Preprocessing(**arguments)


def test_the_inference_control_is_the_standardization_alone() -> None:
    assert Preprocessing().control == Control.FIXED_STANDARDIZATION
    assert Preprocessing(standardization="per_image").control == Control(0)


def test_fixed_standardization_is_the_formula_for_every_byte() -> None:
    pixels = np.resize(np.arange(256, dtype=np.uint8), (1, 16, 16, 3))
    expected = fixed(pixels).astype(np.float32)  # exact: all are multiples of 1/256
    preprocessing = Preprocessing(image_size=16)
    np.testing.assert_array_equal(preprocess(pixels, preprocessing), expected)
    as_floats = preprocess(pixels.astype(np.float64), preprocessing)
    np.testing.assert_array_equal(as_floats, expected)
    assert as_floats.dtype == tf.float32


def test_per_image_standardization_is_zero_mean_and_unit_deviation() -> None:
    pixels = np.stack([np.asarray(smooth_image(i, 20, 20)) for i in range(3)])
    pixels = np.concatenate([pixels, np.full((1, 20, 20, 3), 77, np.uint8)])
    found = preprocess(pixels, Preprocessing(image_size=20, standardization="per_image"))
    for image, standardized in zip(pixels.astype(np.float64), found.numpy(), strict=True):
        deviation = max(image.std(), 1 / np.sqrt(image.size))  # an even image divides by this
        np.testing.assert_allclose(standardized, (image - image.mean()) / deviation, atol=1e-5)


@pytest.mark.parametrize(
    ("height", "width", "frame"), [(250, 250, None), (41, 50, 30), (17, 20, 19), (5, 33, None)]
)
def test_the_window_is_the_centre_and_padded_with_zeros(
    height: int, width: int, frame: int | None
) -> None:
    side = 16
    image = np.random.default_rng(0).integers(1, 256, (height, width, 3), dtype=np.uint8)
    expected = image
    for axis in (0, 1):
        for size in [frame, side]:
            length = expected.shape[axis]
            if size is not None and size < length:
                start = (length - size) // 2
                expected = np.take(expected, range(start, start + size), axis)
        missing = max(0, side - expected.shape[axis])
        padding = [(0, 0)] * 3
        padding[axis] = (missing // 2, missing - missing // 2)
        expected = np.pad(expected, padding)
    found = preprocess(image[np.newaxis], Preprocessing(image_size=side, frame_size=frame))
    np.testing.assert_array_equal(pixels_of(found.numpy()[0]), expected)


@pytest.mark.parametrize(("window", "size"), [(112, 80), (100, 33), (40, 64)])
def test_resizing_averages_as_pillow_does(window: int, size: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, window, window, 3), dtype=np.uint8)
    found = preprocess(noise, Preprocessing(image_size=size, crop_size=window)).numpy()
    for image, resized in zip(noise, found, strict=True):
        for channel in range(3):
            plane = Image.fromarray(image[..., channel].astype(np.float32))
            reference = np.asarray(plane.resize((size, size), Image.Resampling.BILINEAR))
            np.testing.assert_allclose(resized[..., channel] * 128 + 127.5, reference, atol=0.01)


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (np.zeros((8, 8, 3), np.uint8), r"found \(8, 8, 3\)"),
        (np.zeros((2, 8, 8, 1), np.uint8), r"found \(2, 8, 8, 1\)"),
        (np.zeros((2, 8, 8, 3), np.int32), "found int32"),
    ],
)
def test_images_of_another_form_are_refused(images: Array, found: str) -> None:
    with pytest.raises(FacenetError, match=found):
        preprocess(images, Preprocessing(image_size=8))


# One preprocessing for all


@pytest.mark.parametrize(
    "preprocessing",
    [
        Preprocessing(image_size=32),
        Preprocessing(image_size=80),
        Preprocessing(image_size=20, crop_size=30, frame_size=40),
        Preprocessing(image_size=32, standardization="per_image"),
        Preprocessing(image_size=25, crop_size=40, standardization="per_image"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("batch_size", [1, 4, 11])
def test_inference_is_the_same_to_the_last_bit_everywhere(
    faces: list[str], preprocessing: Preprocessing, batch_size: int
) -> None:
    files = [Path(path).read_bytes() for path in faces]
    pipeline = run(input_pipeline(faces, preprocessing=preprocessing, batch_size=batch_size))
    whole = preprocess(tf.stack([decode_image(tf.constant(f)) for f in files]), preprocessing)
    images, valid = decode_and_preprocess(tf.constant(files), preprocessing)
    assert valid.numpy().all()
    np.testing.assert_array_equal(pipeline["images"], whole)
    np.testing.assert_array_equal(images, whole)


def test_batches_carry_indices_and_labels_and_keep_the_remainder(faces: list[str]) -> None:
    labels = np.arange(11)[::-1] % 3
    dataset = input_pipeline(
        [Path(path) for path in faces],
        labels,
        preprocessing=Preprocessing(image_size=8),
        batch_size=4,
    )
    assert dataset.element_spec["images"].shape.as_list() == [None, 8, 8, 3]
    batches = list(dataset.as_numpy_iterator())
    assert [len(batch["images"]) for batch in batches] == [4, 4, 3]
    assert [batch["images"].dtype for batch in batches] == [np.float32] * 3
    np.testing.assert_array_equal(run(dataset)["indices"], np.arange(11))
    np.testing.assert_array_equal(run(dataset)["labels"], labels)
    assert batches[0]["labels"].dtype == batches[0]["indices"].dtype == np.int64


def test_inference_needs_neither_labels_nor_controls(faces: list[str]) -> None:
    dataset = input_pipeline(faces, preprocessing=Preprocessing(image_size=8), batch_size=4)
    assert set(dataset.element_spec) == {"images", "indices"}


# Controls


def test_the_bits_are_the_reference_implementations() -> None:
    assert [(bit.name, bit.value) for bit in Control] == [
        ("RANDOM_ROTATE", 1),
        ("RANDOM_CROP", 2),
        ("RANDOM_FLIP", 4),
        ("FIXED_STANDARDIZATION", 8),
        ("FLIP", 16),
    ]


def images_under(
    paths: Sequence[str], controls: Any, preprocessing: Preprocessing, **options: Any
) -> Array:
    return run(
        input_pipeline(paths, None, controls, preprocessing=preprocessing, batch_size=64, **options)
    )["images"]


def test_forced_flip_mirrors_every_image(faces: list[str]) -> None:
    preprocessing = Preprocessing(image_size=32)
    plain = images_under(faces, preprocessing.control, preprocessing)
    mirrored = images_under(faces, preprocessing.control | Control.FLIP, preprocessing)
    np.testing.assert_array_equal(mirrored, plain[:, :, ::-1])


@pytest.mark.parametrize("forced", [Control(0), Control.FLIP])
def test_random_flip_mirrors_half_of_the_images(chart: str, forced: Control) -> None:
    preprocessing = Preprocessing(image_size=32)
    controls = preprocessing.control | Control.RANDOM_FLIP | forced
    columns = pixels_of(images_under([chart] * 400, controls, preprocessing))[..., 1]
    steps = np.unique(np.diff(columns, axis=2).reshape(400, -1), axis=1)
    assert steps.shape == (400, 1)  # whole images run one way
    assert set(steps[:, 0]) == {-1, 1}
    assert abs((steps[:, 0] == -1).sum() - 200) < 4 * 10  # four standard deviations


@pytest.mark.parametrize("frame", [None, 34])
def test_random_crop_takes_every_place_of_the_frame_equally(chart: str, frame: int | None) -> None:
    side, n = 30, 3000
    preprocessing = Preprocessing(image_size=side, frame_size=frame)
    controls = preprocessing.control | Control.RANDOM_CROP
    images = pixels_of(images_under([chart] * n, controls, preprocessing))
    corners = images[:, 0, 0, :2]
    np.testing.assert_array_equal(
        images - images[:, :1, :1],
        np.broadcast_to(coordinates(side, side).astype(int), images.shape),
    )
    for axis, length in ((0, 40), (1, 50)):
        seen = length if frame is None else frame
        first = (length - seen) // 2
        places = np.arange(first, first + seen - side + 1)
        values, counts = np.unique(corners[:, axis], return_counts=True)
        np.testing.assert_array_equal(values, places)
        # Chi-square with up to 20 degrees of freedom: 45.3 is exceeded once in a thousand.
        assert ((counts - n / len(places)) ** 2 / (n / len(places))).sum() < 45.3
    assert abs(np.corrcoef(corners.T)[0, 1]) < 0.08


def test_places_round_to_the_centre_and_never_beyond_the_frame() -> None:
    choices = np.arange(1, 100_000, dtype=np.int32)
    centre = tf.cast(module._CENTRE[0] * tf.cast(choices, tf.float32), tf.int32).numpy()
    np.testing.assert_array_equal(centre, (choices - 1) // 2)
    largest = np.float32(1 - 2**-24)
    last = tf.cast(largest * tf.cast(choices, tf.float32), tf.int32).numpy()
    np.testing.assert_array_equal(last, choices - 1)


def test_random_rotation_is_uniform_within_ten_degrees() -> None:
    plan = module._plan(np.full(4000, Control.RANDOM_ROTATE), seed=0, first_index=0)
    angles = np.sort(plan["angle"])
    assert angles[0] >= -10
    assert angles[-1] < 10
    # Kolmogorov-Smirnov: 1.95 / sqrt(n) is exceeded once in a thousand.
    uniform = (np.arange(4000) + 0.5) / 4000
    assert np.abs((angles + 10) / 20 - uniform).max() < 1.95 / np.sqrt(4000)


@pytest.mark.parametrize("frame", [None, 56])
def test_random_rotation_turns_as_pillow_does(faces: list[str], frame: int | None) -> None:
    """Inside, where the edges do not reach; Pillow too turns counter-clockwise."""
    paths = [path for path in faces if path.endswith(".png")] * 4
    preprocessing = Preprocessing(image_size=32, frame_size=frame)
    controls = preprocessing.control | Control.RANDOM_ROTATE
    found = pixels_of(images_under(paths, controls, preprocessing, seed=3))
    angles = module._plan(np.full(len(paths), controls), seed=3, first_index=0)["angle"]
    assert np.abs(angles).max() > 5
    for path, angle, image in zip(paths, angles, found, strict=True):
        # Plane by plane in floats, as on bytes Pillow cuts the fractions off.
        planes = [plane.convert("F") for plane in Image.open(path).split()]
        turned = [plane.rotate(float(angle), Image.Resampling.BILINEAR) for plane in planes]
        reference = np.stack(turned, axis=2)[8:40, 16:48]
        np.testing.assert_allclose(image, reference, atol=0.51)


def test_rotation_leaves_no_black_corners(tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), (200, 100, 50)).save(tmp_path / "even.png")
    preprocessing = Preprocessing(image_size=40)
    controls = preprocessing.control | Control.RANDOM_ROTATE
    images = images_under([str(tmp_path / "even.png")] * 8, controls, preprocessing)
    np.testing.assert_array_equal(
        np.unique(pixels_of(images).reshape(-1, 3), axis=0), [[200, 100, 50]]
    )


def test_images_of_one_batch_may_have_different_controls(faces: list[str]) -> None:
    """Every row is what it would be if its control held for all."""
    preprocessing = Preprocessing(image_size=24, crop_size=30)
    paths = (faces * 3)[:32]
    mixed = images_under(paths, list(range(32)), preprocessing, seed=7)
    for row in range(0, 32, 3):
        alone = images_under(paths, Control(row), preprocessing, seed=7)
        np.testing.assert_array_equal(mixed[row], alone[row])


EVERYTHING = (
    Control.RANDOM_ROTATE
    | Control.RANDOM_CROP
    | Control.RANDOM_FLIP
    | Control.FIXED_STANDARDIZATION
)


def test_augmentation_depends_on_seed_and_position_alone(faces: list[str]) -> None:
    preprocessing = Preprocessing(image_size=32)
    paths = faces * 4

    def images(first: int, seed: int = 5, batch_size: int = 7) -> Array:
        return run(
            input_pipeline(
                paths[first:],
                None,
                EVERYTHING,
                preprocessing=preprocessing,
                batch_size=batch_size,
                seed=seed,
                first_index=10**9 + first,
            )
        )["images"]

    whole = images(0)
    np.testing.assert_array_equal(images(0, batch_size=44), whole)
    np.testing.assert_array_equal(images(17), whole[17:])
    assert (images(0, seed=6) != whole).any()
    assert (whole[:11] != whole[11:22]).any(axis=(1, 2, 3)).all()  # the same faces, seen anew


# Damaged and missing files


@pytest.fixture
def damaged(faces: list[str], tmp_path: Path) -> tuple[list[str], dict[str, str]]:
    """The faces with all kinds of damage between them; what is wrong with which."""
    problems = {}
    for i, (name, (file, reason)) in enumerate(UNDECODABLE.items()):
        path = tmp_path / f"{i} {name}.jpg"
        path.write_bytes(file)
        problems[str(path)] = reason
    (tmp_path / "folder.jpg").mkdir()
    problems[str(tmp_path / "folder.jpg")] = "expected a file, found a folder"
    problems[str(tmp_path / "nowhere.jpg")] = "no such file"
    paths = [*faces[:5], *problems, *faces[5:]]
    return paths, problems


def test_skipping_leaves_out_the_damaged_and_tells_which(
    damaged: tuple[list[str], dict[str, str]], faces: list[str]
) -> None:
    paths, problems = damaged
    preprocessing = Preprocessing(image_size=16)
    controls = EVERYTHING
    rest = run(
        input_pipeline(
            paths,
            range(len(paths)),
            controls,
            preprocessing=preprocessing,
            batch_size=4,
            on_error="skip",
        )
    )
    assert [paths[i] for i in rest["indices"]] == faces
    np.testing.assert_array_equal(rest["labels"], rest["indices"])
    assert skipped_paths(paths, rest["indices"]) == list(problems)
    # Those before and those after the gap are what they would be without it.
    first = images_under(paths[:5], controls, preprocessing)
    last = images_under(faces[5:], controls, preprocessing, first_index=5 + len(problems))
    np.testing.assert_array_equal(rest["images"], np.concatenate([first, last]))


def test_skipping_everything_ends_at_once(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{i}.jpg") for i in range(5)]
    dataset = input_pipeline(paths, preprocessing=Preprocessing(), batch_size=2, on_error="skip")
    assert list(dataset) == []
    assert skipped_paths(paths, []) == paths


def test_raising_names_every_damaged_file_and_why(
    damaged: tuple[list[str], dict[str, str]],
) -> None:
    paths, problems = damaged
    dataset = input_pipeline(paths, preprocessing=Preprocessing(image_size=16), batch_size=2)
    seen = 0
    with pytest.raises(FacenetError) as caught, explained_errors(paths):
        for batch in dataset:
            seen += len(batch["images"])
    assert seen == 4
    message = str(caught.value)
    assert f"{len(problems)} problems" in message
    for path, reason in problems.items():
        assert f"{path}: {reason}" in message


@pytest.mark.parametrize("place", [0, 5, 10])
def test_raising_inside_a_compiled_loop_names_the_file(
    faces: list[str], tmp_path: Path, place: int
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(JPEG[:-100])
    paths = [*faces[:place], str(bad), *faces[place:]]
    dataset = input_pipeline(paths, preprocessing=Preprocessing(image_size=16), batch_size=4)

    @tf.function
    def total() -> tf.Tensor:
        result = 0.0
        for batch in dataset:
            result += tf.reduce_sum(batch["images"])
        return result

    with (
        pytest.raises(FacenetError, match=r"bad\.jpg: the JPEG is damaged"),
        explained_errors(paths),
    ):
        total()


@pytest.mark.parametrize("count", [2, 4])
def test_shards_are_the_parts_of_every_batch(faces: list[str], count: int) -> None:
    paths, labels = (faces * 2)[:16], np.arange(16)
    every = Control.RANDOM_ROTATE | Control.RANDOM_CROP | Control.RANDOM_FLIP
    options: dict[str, Any] = {
        "labels": labels,
        "controls": every,
        "preprocessing": Preprocessing(32),
        "batch_size": 8,
        "seed": 3,
        "first_index": 5,
    }
    whole = list(input_pipeline(paths, **options).as_numpy_iterator())
    shards = [
        list(input_pipeline(paths, **options, shard=(part, count)).as_numpy_iterator())
        for part in range(count)
    ]
    assert [len(shard) for shard in shards] == [2] * count
    for number, batch in enumerate(whole):
        for key, values in batch.items():
            parts = [shard[number][key] for shard in shards]
            np.testing.assert_array_equal(np.concatenate(parts), values)
            assert {len(part) for part in parts} == {8 // count}


def test_what_no_file_explains_is_passed_on(faces: list[str]) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="my own"), explained_errors(faces):
        raise tf.errors.InvalidArgumentError(None, None, "my own")
    with pytest.raises(tf.errors.ResourceExhaustedError), explained_errors(["nowhere.jpg"]):
        raise tf.errors.ResourceExhaustedError(None, None, "out of memory")


# Encoded batches, as a server gets them


def test_a_damaged_file_does_not_fail_its_batch(faces: list[str]) -> None:
    good = [Path(path).read_bytes() for path in faces[:3]]
    bad = [file for file, _ in UNDECODABLE.values()]
    preprocessing = Preprocessing(image_size=16, standardization="per_image")
    expected, _ = decode_and_preprocess(tf.constant(good), preprocessing)
    files = [bad[0], good[0], good[1], *bad[1:], good[2]]
    images, valid = decode_and_preprocess(tf.constant(files), preprocessing)
    np.testing.assert_array_equal(valid, [file in good for file in files])
    np.testing.assert_array_equal(images[valid], expected)
    assert not images[~valid].numpy().any()


def animated_gif() -> bytes:
    frames = [smooth_image(seed) for seed in range(3)]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


def test_unusual_files_are_answered_or_marked() -> None:
    samples = np.random.default_rng(0).integers(0, 2**16, (40, 30)).astype(np.uint16)
    taken = [
        encoded(smooth_image(0).convert("CMYK"), "JPEG"),
        encoded(Image.fromarray(samples), "PNG"),
        encoded(Image.new("RGB", (1, 1), (9, 99, 199)), "PNG"),
        encoded(Image.new("RGB", (1, 1), (9, 99, 199)), "JPEG"),
    ]
    marked = [animated_gif(), *(file for file, _ in TOO_LARGE.values())]
    preprocessing = Preprocessing(image_size=17)
    images, valid = decode_and_preprocess(tf.constant(taken + marked), preprocessing)
    np.testing.assert_array_equal(valid, [True] * len(taken) + [False] * len(marked))
    for row, file in enumerate(taken):
        expected = preprocess(decode_image(file)[tf.newaxis], preprocessing)[0]
        np.testing.assert_array_equal(images[row], expected)
    assert not images[len(taken) :].numpy().any()
    np.testing.assert_array_equal(pixels_of(images[2].numpy())[8, 8], [9, 99, 199])  # the centre
    assert pixels_of(images[2].numpy()).sum() == 9 + 99 + 199


@pytest.mark.parametrize("files", [[], [b""], [b"", b"GIF89a"]])
def test_a_batch_without_any_image_works(files: list[bytes]) -> None:
    images, valid = decode_and_preprocess(tf.constant(files, tf.string), Preprocessing(24))
    assert images.shape == (len(files), 24, 24, 3)
    assert valid.shape == (len(files),)
    assert not images.numpy().any() and not valid.numpy().any()


def test_encoded_images_of_another_rank_are_refused() -> None:
    with pytest.raises(FacenetError, match=r"expected shape \(n,\), found \(\)"):
        decode_and_preprocess(tf.constant(JPEG), Preprocessing(24))


def test_decoding_can_be_saved_in_a_model(faces: list[str], tmp_path: Path) -> None:
    preprocessing = Preprocessing(image_size=24, crop_size=40)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def decode(files: tf.Tensor) -> dict[str, tf.Tensor]:
        images, valid = decode_and_preprocess(files, preprocessing)
        assert images.shape.as_list() == [None, 24, 24, 3]
        assert valid.shape.as_list() == [None]
        return {"images": images, "valid": valid}

    archive = tf.Module()
    archive.decode = decode
    tf.saved_model.save(archive, str(tmp_path / "model"), signatures=decode)
    signature = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    expected = images_under(faces, None, preprocessing)
    for count in (0, 1, len(faces)):
        files = [Path(path).read_bytes() for path in faces[:count]]
        result = signature(tf.constant([*files, b"damaged"]))
        np.testing.assert_array_equal(result["images"][:-1], expected[:count])
        np.testing.assert_array_equal(result["valid"], [True] * count + [False])
    assert signature(tf.constant([], tf.string))["images"].shape == (0, 24, 24, 3)


# Arguments


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"paths": []}, "expected at least one path"),
        ({"paths": "face.jpg"}, "found the one 'face.jpg'"),
        ({"paths": ["a.jpg", None]}, r"paths\[1\] to be a path, found None"),
        ({"paths": ["a.jpg", os.fsdecode(b"\xff.jpg")]}, r"paths\[1\].* UTF-8.*'\\udcff.jpg'"),
        ({"paths": ["a\0.jpg", "b.jpg"]}, r"paths\[0\].* zero byte, found 'a\\x00.jpg'"),
        ({"paths": [Path("a.jpg"), Path("b\0.jpg")]}, r"paths\[1\].* zero byte"),
        ({"labels": [0]}, r"expected 2 labels, one for each path, found shape \(1,\)"),
        ({"labels": [0, -1]}, r"labels from 0, found labels\[1\] = -1"),
        ({"labels": [0, 0.5]}, "labels to be int64 integers, found float64"),
        ({"labels": [0, 2**63]}, "labels to be int64 integers"),
        ({"labels": [0, 2**70]}, "labels to be int64 integers"),
        ({"controls": [1, 2, 3]}, r"expected 2 controls, one for each path, found shape \(3,\)"),
        ({"controls": [1, 32]}, "FLIP=16, found 32 at position 1"),
        ({"controls": -1}, "FLIP=16, found -1"),
        ({"controls": "crop"}, "expected 2 controls"),
        ({"controls": [1.0, 2.0]}, "controls to be int64 integers"),
        ({"batch_size": 0}, "batch_size.*at least 1, found 0"),
        ({"batch_size": 2.0}, "batch_size.*found 2.0"),
        ({"seed": -1}, "seed.*at least 0, found -1"),
        ({"seed": 2**128}, "seed to be less than"),
        ({"first_index": -1}, "first_index.*at least 0, found -1"),
        ({"on_error": "ignore"}, "'raise' or 'skip', found 'ignore'"),
        ({"shard": (2, 2)}, r"i from 0 and below count, found \(2, 2\)"),
        ({"shard": (-1, 2)}, r"found \(-1, 2\)"),
        ({"shard": (0, 3), "batch_size": 4}, "that 3 shards can share equally, found 2 images"),
        ({"shard": (0, 2), "batch_size": 4}, "whole batches .* found 2 images in batches of 4"),
        ({"batch_size": 0, "labels": [0], "controls": 64}, "3 problems"),
    ],
)
def test_bad_arguments_are_refused_at_once(arguments: dict[str, Any], found: str) -> None:
    usual: dict[str, Any] = {
        "paths": ["a.jpg", "b.jpg"],
        "preprocessing": Preprocessing(),
        "batch_size": 2,
    }
    with pytest.raises(FacenetError, match=found):
        input_pipeline(**(usual | arguments))
