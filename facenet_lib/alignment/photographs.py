"""Photographs of a folder, and one of them as pixels: upright, RGB, whatever its file holds.

Derived in chapter 10.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
from PIL import ExifTags

from facenet_lib.alignment.faces import Image
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.files import list_folder
from facenet_lib.lfw_pairs import IMAGE_SUFFIXES, OTHER_IMAGE_SUFFIXES

MOST_PIXELS = 100_000_000
"""Width times height beyond which a photograph is refused: 300 MB decoded."""

PHOTOGRAPH_SUFFIXES = (*IMAGE_SUFFIXES, *OTHER_IMAGE_SUFFIXES)
"""How the name of a photograph ends, in small or capital letters. Not all are read: a photograph is
not left out for that, but told of."""


def read_photograph(path: str | os.PathLike[str]) -> Image:
    """Read a photograph as one sees it in a viewer.

    Its EXIF orientation is obeyed: a camera held sideways stores the picture lying and notes how
    to turn it. Grey, palette, CMYK and other pictures become RGB, without colour profiles; of 16
    bits a sample the upper 8 are kept; transparency is dropped and the colours under it are kept,
    as :func:`facenet_lib.input_pipeline.decode_image` does.

    Args:
        path: a JPEG (or MPO, of which the first picture is read), PNG, WebP, TIFF, BMP or GIF.

    Returns:
        uint8 (height, width, 3).

    Raises:
        FacenetError: when the file cannot be read, is empty, damaged, cut short or no such
            picture, holds several (an animation or pages), or more than :data:`MOST_PIXELS`.

    >>> read_photograph("nowhere.jpg")
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: nowhere.jpg: cannot be read: No such file or directory
    """
    path = Path(path)
    with _explained(path), PIL.Image.open(path, formats=_FORMATS) as picture:
        width, height = picture.size
        if width * height > MOST_PIXELS:
            found = f"found {width:,} x {height:,}"
            raise FacenetError(f"{path}: expected at most {MOST_PIXELS:,} pixels, {found}")
        if getattr(picture, "is_animated", False) and picture.format != "MPO":
            frames = getattr(picture, "n_frames", "several")
            raise FacenetError(
                f"{path}: expected one picture, found {frames}; save those you want as files"
            )
        picture.load()  # before the orientation is asked for, which may stand behind the pixels
        return _rgb(path, _upright(picture))


@dataclass(frozen=True)
class PhotographFolder:
    """What a folder holds.

    Attributes:
        root: the folder.
        photographs: paths from there, with ``/`` between folders, in the order of their
            characters.
        left_out: other files, each by its path and, if it is not its suffix, by the reason.
    """

    root: Path
    photographs: tuple[str, ...]
    left_out: tuple[str, ...]


def find_photographs(root: str | os.PathLike[str]) -> PhotographFolder:
    """List the photographs of a folder and of all folders in it.

    What is hidden (begins with a dot) and what is a system's own, see
    :func:`facenet_lib.files.is_system_file`, is passed over. A file is a photograph by its suffix,
    one of :data:`PHOTOGRAPH_SUFFIXES`: what it holds is found out when it is read. Folders that
    are links are entered, but for one that leads back to a folder around it.

    Args:
        root: the folder: an album, or folders of people.

    Raises:
        FacenetError: if it is no folder, a folder in it cannot be read, or there is no photograph.

    >>> find_photographs("nowhere")
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: nowhere: expected a folder of photographs, found no such folder
    """
    root = Path(root)
    if not root.is_dir():
        raise FacenetError(f"{root}: expected a folder of photographs, found no such folder")
    photographs: list[str] = []
    left_out: list[str] = []
    problems: list[str] = []
    for path in _files(root, frozenset(), problems):
        name = path.relative_to(root).as_posix()
        if path.suffix.lower() not in PHOTOGRAPH_SUFFIXES:
            left_out.append(name if name.isprintable() else repr(name))
        elif not can_be_written(name):
            left_out.append(f"{name!r} (no name for a table: rename it)")
        else:
            photographs.append(name)
    refuse(f"{root}", problems)
    if not photographs:
        found = f"only others, such as {left_out[0]}" if left_out else "an empty folder"
        raise FacenetError(f"{root}: expected photographs, found {found}")
    return PhotographFolder(root, tuple(sorted(photographs)), tuple(sorted(left_out)))


# Nothing that has Pillow call other programs, as PostScript does. JPEG takes in MPO.
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
_FORMATS_TEXT = "JPEG, PNG, WebP, TIFF, BMP or GIF"

_TURNS = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
"""What makes a picture upright, for each value of EXIF's orientation; 1 is upright already."""


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Tell in one sentence why a file is no photograph.

    Raises:
        FacenetError: in place of whatever Pillow raises.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd but readable files
            yield
    except FacenetError:
        raise
    except PIL.UnidentifiedImageError:
        raise FacenetError(f"{path}: {_explain_unknown(path)}") from None
    except PIL.Image.DecompressionBombError as error:  # which Pillow raises before it tells a size
        message = f"{path}: expected at most {MOST_PIXELS:,} pixels, found: {error}"
        raise FacenetError(message) from error
    except OSError as error:
        reason = f"cannot be read: {error.strerror}" if error.strerror else f"damaged: {error}"
        raise FacenetError(f"{path}: {reason}") from error
    except Exception as error:  # damaged files let Pillow raise nearly anything
        raise FacenetError(f"{path}: damaged: {error or type(error).__name__}") from error


def _explain_unknown(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(12)
    if not start:
        return f"the file is empty, expected {_FORMATS_TEXT}"
    if start[4:8] == b"ftyp":
        return f"found HEIF or AVIF, expected {_FORMATS_TEXT}"
    return f"expected {_FORMATS_TEXT}, found what begins with {start!r}, or is damaged there"


def _upright(picture: PIL.Image.Image) -> PIL.Image.Image:
    orientation = 1
    with contextlib.suppress(Exception):  # a damaged note says nothing of how to turn it
        orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
    return picture.transpose(_TURNS[orientation]) if orientation in _TURNS else picture


def _rgb(path: Path, picture: PIL.Image.Image) -> Image:
    if picture.mode == "F":
        raise FacenetError(f"{path}: expected 8 or 16 bits a sample, found floating point numbers")
    if picture.mode.startswith("I"):
        samples = np.asarray(picture)
        if samples.min() < 0 or samples.max() > 0xFFFF:
            raise FacenetError(f"{path}: expected 8 or 16 bits a sample, found 32")
        grey = (samples >> 8).astype(np.uint8)
        return np.stack([grey] * 3, axis=2)
    if picture.mode in ("RGBa", "La"):  # colours that were multiplied by their transparency
        picture = picture.convert(picture.mode.upper())
    return np.array(picture.convert("RGB"))


def _files(folder: Path, around: frozenset[tuple[int, int]], problems: list[str]) -> Iterator[Path]:
    """All files below a folder that are somebody's; ``around`` are the folders it lies in."""
    try:
        status = folder.stat()
        entries = [(entry, entry.is_dir()) for entry in list_folder(folder)]
    except OSError as error:
        problems.append(f"{folder}: cannot be read: {error.strerror}")
        return
    here = (status.st_dev, status.st_ino)
    if here in around:
        return
    for entry, is_folder in entries:
        if is_folder:
            yield from _files(entry, around | {here}, problems)
        else:
            yield entry


def can_be_written(name: str) -> bool:
    """Whether a name is text in one line, in any script."""
    with contextlib.suppress(UnicodeEncodeError):  # bytes that are no UTF-8
        return bool(name.encode()) and not any(ord(character) < 32 for character in name)
    return False
