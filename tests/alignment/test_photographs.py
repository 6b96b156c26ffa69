"""Photographs: upright RGB of whatever a file holds, and every file of a folder accounted for."""

from __future__ import annotations

import io
import os
import struct
import sys
import unicodedata
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_detectors import save
from PIL import ExifTags

from facenet_lib.alignment import photographs
from facenet_lib.alignment.photographs import find_photographs, read_photograph
from facenet_lib.errors import FacenetError

COLOURS = np.array(
    [[[200, 10, 30], [0, 255, 0], [9, 8, 250]], [[1, 2, 3], [255, 255, 255], [128, 64, 32]]],
    np.uint8,
)


def refused(path: Path) -> str:
    with pytest.raises(FacenetError) as caught:
        read_photograph(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


# Upright


def lying(image: np.ndarray, orientation: int) -> np.ndarray:
    """How a camera stores ``image`` under an orientation, by what EXIF says of rows and columns.

    "The 0th row is at the visual <first>, the 0th column at the visual <second>."
    """
    row, column = {
        1: ("top", "left"),
        2: ("top", "right"),
        3: ("bottom", "right"),
        4: ("bottom", "left"),
        5: ("left", "top"),
        6: ("right", "top"),
        7: ("right", "bottom"),
        8: ("left", "bottom"),
    }[orientation]
    if row in ("left", "right"):  # stored rows are visual columns
        image, row, column = image.swapaxes(0, 1), column, row
        stored = image[:: -1 if column == "right" else 1, :: -1 if row == "bottom" else 1]
        return np.ascontiguousarray(stored)
    stored = image[:: -1 if row == "bottom" else 1, :: -1 if column == "right" else 1]
    return np.ascontiguousarray(stored)


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_of_exif_is_obeyed(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = PIL.Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / f"photograph.{suffix}"
    PIL.Image.fromarray(lying(COLOURS, orientation)).save(path, exif=exif, lossless=True)
    assert np.array_equal(read_photograph(path), COLOURS)


def test_a_jpeg_with_an_orientation_is_turned(tmp_path: Path) -> None:
    image = np.zeros((16, 32, 3), np.uint8)
    image[:, :16] = 255  # white on the left
    exif = PIL.Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    path = tmp_path / "photograph.JPG"
    PIL.Image.fromarray(lying(image, 6)).save(path, "JPEG", exif=exif)
    assert np.abs(read_photograph(path).astype(int) - image).max() < 10


def test_a_damaged_note_turns_nothing(tmp_path: Path) -> None:
    path = tmp_path / "photograph.png"
    PIL.Image.fromarray(COLOURS).save(path, exif=b"Exif\0\0" + bytes(range(40)))
    assert np.array_equal(read_photograph(path), COLOURS)


# RGB


GREY = np.array([[0, 100, 255]], np.uint8)


def encoded(tmp_path: Path, picture: PIL.Image.Image, suffix: str = "png") -> np.ndarray:
    path = tmp_path / f"photograph.{suffix}"
    picture.save(path)
    read = read_photograph(path)
    assert read.dtype == np.uint8
    assert (read.ndim, read.shape[2]) == (3, 3)
    assert read.flags.writeable
    return read


def test_grey_becomes_rgb(tmp_path: Path) -> None:
    assert (encoded(tmp_path, PIL.Image.fromarray(GREY)) == GREY[..., None]).all()
    black_and_white = PIL.Image.fromarray(GREY).convert("1", dither=PIL.Image.Dither.NONE)
    assert encoded(tmp_path, black_and_white)[0, :, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_of_sixteen_bits_the_upper_eight_are_kept(tmp_path: Path, suffix: str) -> None:
    deep = (GREY.astype(np.uint16) << 8) + 37
    assert (encoded(tmp_path, PIL.Image.fromarray(deep), suffix) == GREY[..., None]).all()


def test_of_colours_of_sixteen_bits_the_upper_eight_are_kept(tmp_path: Path) -> None:
    """Written by hand, as Pillow writes no such file."""
    height, width = COLOURS.shape[:2]
    samples = (COLOURS.astype(">u2") << 8) + 200
    lines = b"".join(b"\0" + row.tobytes() for row in samples.astype(">u2"))
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    path = tmp_path / "photograph.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(content))
            + name
            + content
            + struct.pack(">I", zlib.crc32(name + content))
            for name, content in chunks
        )
    )
    assert np.array_equal(read_photograph(path), COLOURS)


def test_transparency_is_dropped_and_the_colours_stay(tmp_path: Path) -> None:
    alpha = np.array([[0, 100, 255], [0, 100, 255]], np.uint8)
    with_alpha = PIL.Image.fromarray(np.dstack([COLOURS, alpha]))
    assert np.array_equal(encoded(tmp_path, with_alpha), COLOURS)
    grey = PIL.Image.merge("LA", [PIL.Image.fromarray(GREY), PIL.Image.fromarray(alpha[:1])])
    assert (encoded(tmp_path, grey) == GREY[..., None]).all()


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_a_palette_becomes_its_colours(tmp_path: Path, suffix: str) -> None:
    palette = PIL.Image.fromarray(COLOURS).quantize(6)
    assert np.array_equal(encoded(tmp_path, palette, suffix), np.asarray(palette.convert("RGB")))


def test_cmyk_becomes_rgb_and_not_its_negative(tmp_path: Path) -> None:
    image = np.full((8, 8, 3), (250, 20, 20), np.uint8)
    read = encoded(tmp_path, PIL.Image.fromarray(image).convert("CMYK"), "jpg")
    assert np.abs(read.astype(int) - image).max() < 12


def test_of_the_pictures_of_a_camera_the_first_is_read(tmp_path: Path) -> None:
    path = tmp_path / "photograph.jpg"
    second = PIL.Image.new("RGB", (8, 8), "blue")
    PIL.Image.new("RGB", (8, 8), "white").save(path, "MPO", save_all=True, append_images=[second])
    with PIL.Image.open(path) as picture:
        assert picture.format == "MPO"
    assert read_photograph(path).min() > 250


# What is no photograph


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_several_pictures_in_a_file_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"animated.{suffix}"
    frames = [PIL.Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert "expected one picture, found 3" in refused(path)


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refused(tmp_path / "none.jpg")
    (tmp_path / "folder.jpg").mkdir()
    assert "cannot be read: Is a directory" in refused(tmp_path / "folder.jpg")
    (tmp_path / "link.jpg").symlink_to("nowhere")
    assert "cannot be read" in refused(tmp_path / "link.jpg")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the file is empty"),
        (b"hello world", "found what begins with b'hello world'"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "found HEIF or AVIF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "found what begins with b'%!PS-Adobe-3"),
        (b"\xff\xd8\xff", "or is damaged there"),
    ],
)
def test_what_is_no_picture_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "photograph.jpg"
    path.write_bytes(content)
    assert told in refused(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "gif", "bmp"])
def test_a_file_cut_short_is_refused(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    path = save(tmp_path / f"whole.{suffix}", noise)
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "damaged" in refused(cut)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_a_file_holds_it_is_read_or_refused(data: st.DataObject) -> None:
    suffix = data.draw(st.sampled_from(["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"]))
    file = io.BytesIO()
    PIL.Image.fromarray(COLOURS.repeat(8, 0).repeat(8, 1)).save(file, suffix)
    content = bytearray(file.getvalue())
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path = Path(os.environ["PYTEST_DAMAGED"])
    path.write_bytes(content)
    try:
        image = read_photograph(path)
    except FacenetError as error:
        assert str(error).startswith(f"{path}: ")
    else:
        assert image.dtype == np.uint8
        assert (image.ndim, image.shape[2]) == (3, 3)


@pytest.fixture(autouse=True)
def damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DAMAGED", str(tmp_path / "damaged"))


def test_too_many_pixels_are_refused_by_the_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "photograph.png", np.zeros((10, 10, 3), np.uint8))
    monkeypatch.setattr(photographs, "MOST_PIXELS", 100)
    read_photograph(path)
    monkeypatch.setattr(photographs, "MOST_PIXELS", 99)
    assert "expected at most 99 pixels, found 10 x 10" in refused(path)


@pytest.mark.parametrize(("width", "height"), [(10_000, 10_001), (20_000, 20_000)])
def test_more_than_a_hundred_megapixels_are_refused(
    tmp_path: Path, width: int, height: int
) -> None:
    """From a file that only promises them: nothing of that size is decoded."""
    path = save(tmp_path / "photograph.bmp", np.zeros((2, 2, 3), np.uint8))
    content = bytearray(path.read_bytes())
    content[18:26] = width.to_bytes(4, "little") + height.to_bytes(4, "little")
    path.write_bytes(content)
    assert "expected at most 100,000,000 pixels, found" in refused(path)


def test_floating_point_and_32_bit_samples_are_refused(tmp_path: Path) -> None:
    for samples in (np.zeros((4, 4), np.float32), np.full((4, 4), 1 << 20, np.int32)):
        path = tmp_path / "photograph.tif"
        PIL.Image.fromarray(samples).save(path)
        assert "expected 8 or 16 bits a sample" in refused(path)


# Folders


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_albums_and_folders_of_people_are_listed_in_order(tmp_path: Path) -> None:
    names = ["Bob/2.JPG", "Ann/b.png", "Ann/a.webp", "z.jpeg", "a/b/c/d.tif", "Ann/x.heic"]
    root = touch(
        tmp_path / "album", *names, "faces.csv", "Ann/note.txt", ".hidden.jpg", ".git/a.jpg"
    )
    touch(root, "Ann/@eaDir/a.webp/THUMB.jpg", "__MACOSX/Ann/b.png", "Ann/Thumbs.db", "._z.jpeg")
    found = find_photographs(root)
    assert found.root == root
    assert found.photographs == tuple(sorted(names))
    assert found.left_out == ("Ann/note.txt", "faces.csv")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes every name")
def test_names_of_any_script_and_form_are_kept(tmp_path: Path) -> None:
    composed = unicodedata.normalize("NFC", 'José/ü, "日本".jpg')
    decomposed = unicodedata.normalize("NFD", composed)
    root = touch(tmp_path, composed, decomposed)
    assert set(find_photographs(root).photographs) == {composed, decomposed}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes every name")
def test_names_that_no_table_can_hold_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "good.jpg", "new\nline.jpg")
    (tmp_path / "caf\udce9.jpg").touch()
    found = find_photographs(tmp_path)
    assert found.photographs == ("good.jpg",)
    assert found.left_out == (
        "'caf\\udce9.jpg' (no name for a table: rename it)",
        "'new\\nline.jpg' (no name for a table: rename it)",
    )
    assert all(reason.encode() for reason in found.left_out)


def test_links_are_followed_and_circles_are_not(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "1.jpg")
    root = touch(tmp_path / "album", "Ann/2.jpg")
    (root / "Bob").symlink_to(tmp_path / "elsewhere")
    (root / "Ann" / "again").symlink_to(root)
    assert find_photographs(root).photographs == ("Ann/2.jpg", "Bob/1.jpg")


def test_a_folder_without_photographs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FacenetError, match="found an empty folder"):
        find_photographs(tmp_path)
    touch(tmp_path, "deep/notes.txt")
    with pytest.raises(FacenetError, match=r"found only others, such as deep/notes\.txt"):
        find_photographs(tmp_path)
    with pytest.raises(FacenetError, match="found no such folder"):
        find_photographs(tmp_path / "deep" / "notes.txt")


def test_a_folder_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "Ann/1.jpg", "Bob/1.jpg")
    iterdir = Path.iterdir

    def refuse_bob(path: Path) -> object:
        if path.name == "Bob":
            raise PermissionError(13, "Permission denied")
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", refuse_bob)
    with pytest.raises(FacenetError, match="Bob: cannot be read: Permission denied"):
        find_photographs(tmp_path)
