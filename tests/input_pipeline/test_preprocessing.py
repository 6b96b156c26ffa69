"""The preprocessing, against Pillow and definitions written out in numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from drawn_images import (
    JPEG,
    TOO_LARGE,
    UNDECODABLE,
    Array,
    encoded,
    fixed,
    images_under,
    pixels_of,
    smooth_image,
)
from PIL import Image

from facenet_lib.checks import pixel_problems
from facenet_lib.errors import FacenetError
from facenet_lib.input_pipeline import (
    Control,
    Preprocessing,
    are_pixels,
    decode_and_preprocess,
    decode_image,
    decode_windows,
    preprocess,
    read_windows,
)


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


@pytest.mark.slow
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


def test_windows_are_the_pixels_that_the_network_sees(faces: list[str]) -> None:
    preprocessing = Preprocessing(image_size=20, crop_size=32, frame_size=40)
    paths = faces[3::4]  # PNG, which Pillow decodes to the same
    files = [Path(path).read_bytes() for path in paths]
    windows, valid = decode_windows(tf.constant([*files, b"damaged"]), preprocessing)
    assert valid.numpy().tolist() == [True, True, False]
    expected = [np.asarray(Image.open(path))[8:40, 16:48] for path in paths]
    np.testing.assert_array_equal(windows[:-1], expected)
    np.testing.assert_array_equal(list(read_windows(paths, preprocessing)), expected)


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (2, 0, 4, 3), (2, 4, 0, 3)])
def test_pixels_are_the_same_in_a_graph_where_there_are_few(shape: tuple[int, ...]) -> None:
    images = np.zeros(shape, np.float32)
    assert are_pixels(tf.constant(images)).numpy().tolist() == [False] * shape[0]
    assert len(pixel_problems("images", images)) == shape[0]


def test_pixels_are_the_same_in_a_graph() -> None:
    """One rule, written for NumPy and for TensorFlow."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (64, 3, 4, 3)).astype(np.float32)
    spoilt = [np.nan, np.inf, -np.inf, 1e30, -0.4, -0.6, 255.4, 255.6, -0.0]
    for row, value in enumerate(spoilt):
        images[row, random.integers(3), random.integers(4), random.integers(3)] = value
    images[20:30] /= 255
    images[30:40] = (images[30:40] - 127.5) / 128
    images[40] = 1.0
    images[41] = 0.0
    images[42] = np.nan
    found = are_pixels(tf.constant(images)).numpy()
    expected = [not pixel_problems("images", image[np.newaxis]) for image in images]
    assert found.tolist() == expected
    assert 0 < sum(expected) < len(expected)
