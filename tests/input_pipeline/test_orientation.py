"""How a camera was held, against Pillow."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from drawn_images import (
    coordinates,
    encoded,
    images_under,
    noted,
    pixels_of,
    png_chunk,
    smooth_image,
)
from PIL import Image, ImageOps

from facenet_lib.input_pipeline import (
    Control,
    Preprocessing,
    decode_image,
    decode_windows,
    pipeline,
    read_windows,
)
from facenet_lib.input_pipeline.orientation import (
    are_surely_upright,
    is_surely_upright,
    read_orientation,
)

ORIENTATIONS = range(1, 9)
# Neither a square nor symmetric, so that no turn is like another; and larger than a window of 32.
IMAGE = Image.fromarray(coordinates(40, 56))


def as_pillow_turns_it(file: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(file)) as picture:
        return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))


@pytest.fixture(scope="module")
def lying(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """PNG files of one image, a file for each orientation."""
    folder = tmp_path_factory.mktemp("lying")
    for orientation in ORIENTATIONS:
        file = encoded(IMAGE, "PNG", exif=noted(orientation))
        (folder / f"{orientation}.png").write_bytes(file)
    return [str(folder / f"{orientation}.png") for orientation in ORIENTATIONS]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_every_orientation_is_read_and_obeyed_as_by_pillow(kind: str) -> None:
    tolerance = {"JPEG": 8, "PNG": 0}[kind]  # that of the decoder, see test_decoding.py
    for orientation, endian in itertools.product(ORIENTATIONS, "<>"):
        file = encoded(smooth_image(2, 40, 56), kind, exif=noted(orientation, endian))
        assert int(read_orientation(tf.constant(file))) == orientation
        expected = as_pillow_turns_it(file).astype(int)
        found = decode_image(file).numpy()
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= tolerance


@pytest.mark.slow
def test_windows_are_cut_from_the_upright_image(lying: list[str], tmp_path: Path) -> None:
    """At the same places, whether the file or somebody before has turned the image."""
    upright = [str(tmp_path / Path(path).name) for path in lying]
    for path, turned in zip(lying, upright, strict=True):
        Image.fromarray(as_pillow_turns_it(Path(path).read_bytes())).save(turned)
    every = Control.RANDOM_ROTATE | Control.RANDOM_CROP | Control.RANDOM_FLIP
    for preprocessing, control in (
        (Preprocessing(32), Control.FIXED_STANDARDIZATION),
        (Preprocessing(32), Control.RANDOM_CROP | Control.FIXED_STANDARDIZATION),
        (Preprocessing(24, crop_size=45, frame_size=50), every),  # higher or wider than the image
    ):
        found, expected = (
            images_under(paths, control, preprocessing, seed=3) for paths in (lying, upright)
        )
        np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_training_inference_and_a_graph_that_gets_bytes_agree(lying: list[str]) -> None:
    preprocessing = Preprocessing(32)
    trained = images_under(lying, preprocessing.control, preprocessing)
    read = np.stack(list(read_windows(lying, preprocessing)))
    files = tf.constant([Path(path).read_bytes() for path in lying])
    in_graph = tf.function(decode_windows, autograph=False)(files, preprocessing)[0]
    for number, path in enumerate(lying):
        whole = as_pillow_turns_it(Path(path).read_bytes())
        top, left = (np.array(whole.shape[:2]) - 32) // 2
        expected = whole[top : top + 32, left : left + 32]
        for found in (pixels_of(trained[number]), read[number], in_graph[number]):
            np.testing.assert_array_equal(found, expected)


def test_a_lying_image_among_upright_ones_is_found(tmp_path: Path, lying: list[str]) -> None:
    paths = [str(tmp_path / f"{number}.png") for number in range(70)]
    for path in paths:
        Image.new("RGB", (56, 40)).save(path)
    assert are_surely_upright(paths)
    paths[41] = lying[5]
    assert not are_surely_upright(paths)
    found = pixels_of(images_under(paths, 8, Preprocessing(56)))
    np.testing.assert_array_equal(
        found[41][:, 8:48], as_pillow_turns_it(Path(lying[5]).read_bytes())
    )


def test_upright_files_cost_no_conditional(tmp_path: Path, monkeypatch) -> None:
    """What nearly all training images are: they are decoded as ever, to the last bit."""
    for kind in ("JPEG", "PNG"):
        (tmp_path / kind).write_bytes(encoded(smooth_image(0), kind))
    monkeypatch.setattr(pipeline, "decode_upright", None)
    assert len(images_under([str(tmp_path / "JPEG"), str(tmp_path / "PNG")], 8, Preprocessing(32)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"format": "JPEG", "exif": noted(6)},
        {"format": "JPEG", "exif": noted(6), "dpi": (72, 72)},
        {"format": "JPEG", "exif": noted(6), "progressive": True, "quality": 100},
        {"format": "JPEG", "exif": noted(6), "icc_profile": bytes(70_000), "comment": b"x" * 9},
        {"format": "JPEG", "exif": noted(6), "xmp": b"x" * 99},
        {"format": "PNG", "exif": noted(6)},
        {"format": "PNG", "exif": noted(6), "icc_profile": bytes(range(256)) * 9},
    ],
)
def test_no_file_that_notes_an_orientation_passes_for_plain(options, tmp_path: Path) -> None:
    IMAGE.save(tmp_path / "file", **options)
    file = (tmp_path / "file").read_bytes()
    assert int(read_orientation(tf.constant(file))) == 6
    assert not is_surely_upright(tf.constant(file))
    assert not are_surely_upright([str(tmp_path / "file")])


def test_a_file_that_is_no_image_is_left_to_its_reader(tmp_path: Path) -> None:
    """One such file among many makes the others no slower."""
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("not found")
    names = ["nothing.jpg", "empty", "text", "."]
    assert are_surely_upright([str(tmp_path / name) for name in names])
    assert are_surely_upright([])


@pytest.mark.slow
def test_files_without_or_with_damaged_notes_are_upright() -> None:
    image = Image.new("RGB", (8, 8))
    lying = [encoded(image, kind, exif=noted(6)) for kind in ("JPEG", "PNG")]
    for file in (
        encoded(image, "JPEG"),
        encoded(image, "PNG"),
        encoded(image, "JPEG", exif=noted(9)),
        encoded(image, "PNG", exif=noted(0)),
        b"",
    ):
        assert int(read_orientation(tf.constant(file))) == 1
    generator = np.random.default_rng(3)
    read = tf.function(read_orientation, input_signature=[tf.TensorSpec((), tf.string)])
    for number in range(400):  # whatever the bytes say, it ends and answers
        damaged = bytearray(lying[number % 2])
        for place in generator.integers(2, 80, 5):
            damaged[place] = generator.integers(0, 256)
        cut = bytes(damaged[: generator.integers(0, len(damaged))])
        assert 1 <= int(read(tf.constant(cut))) <= 8
    endless = lying[1][:8] + png_chunk(b"abCd", b"")[:-4].replace(bytes(4), b"\xff\xff\xff\xf4")
    assert int(read(tf.constant(endless))) == 1
