"""The explorable figure of chapter 3: control bits on one face."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from facenet_lib.checks import Kind, check_array, check_integer
from facenet_lib.errors import FacenetError
from facenet_lib.explorables.figure import Explorable, check_some, draw_png
from facenet_lib.plots.input_pipeline import image_grid

_SIDE, _COLUMNS = 112, 8  # of a picture, in pixels, a multiple of JPEG's blocks; in a row


def control_bits(
    pictures: Mapping[int, npt.NDArray[Any]], bits: Mapping[str, int], shown: Sequence[int]
) -> Explorable:
    """Let a reader switch control bits on and off, and see the picture and their sum.

    Args:
        pictures: every sum of bits, zero among them -> what it makes of one image, float
            (side, side, 3) in [0, 1]; of one draw of chance, so that only the bits differ.
        bits: the name of a bit -> its value: 1, 2, 4 and so on, in any order.
        shown: the sums in the still figure; the last is where the slider stands at first.

    Raises:
        FacenetError: for other values of bits, a picture that is missing, of another kind, shape
            or size than the first or not in [0, 1], and for no sums shown, or others.

    >>> face = np.full((2, 2, 3), 0.2)
    >>> control_bits({0: face, 1: face[:, ::-1]}, {"FLIP": 1}, shown=(0, 1)).data["bits"]
    {'FLIP': 1}
    """
    values = {name: check_integer(f"bits[{name!r}]", value) for name, value in bits.items()}
    if not bits or sorted(values.values()) != [2**place for place in range(len(bits))]:
        raise FacenetError(f"bits: expected 1, 2, 4 and so on, each once, found {values}")
    faces = _check_pictures(pictures, 2 ** len(bits))
    check_some("shown", shown)
    sums = [check_integer("shown", control, 0, len(faces) - 1) for control in shown]
    data = {
        "bits": values,
        "sheet": _draw_sheet(faces),
        "side": _SIDE,
        "columns": _COLUMNS,
        "start": sums[-1],
    }
    titles = [_write_sum(control, values) for control in sums]
    drawn = image_grid([faces[control] for control in sums], titles, columns=len(sums))
    alt = f"One face as several controls make it: {', '.join(titles)}."
    return Explorable("control_bits", "Control bits on one face", data, draw_png(drawn), alt)


def _check_pictures(
    pictures: Mapping[int, npt.NDArray[Any]], number: int
) -> list[npt.NDArray[np.floating]]:
    if len(pictures) != number or not all(control in pictures for control in range(number)):
        raise FacenetError(
            f"pictures: expected one for each control from 0 to {number - 1}, "
            f"found {len(pictures)} of them"
        )
    kind: Kind = "floating point numbers"
    side = len(check_array("pictures[0]", pictures[0], kind, ("side", "side", 3)))
    faces = []
    for control in range(number):
        face = check_array(f"pictures[{control}]", pictures[control], kind, (side, side, 3))
        if not (face.size and face.min() >= 0 and face.max() <= 1):
            raise FacenetError(f"pictures[{control}]: expected numbers in [0, 1], found others")
        faces.append(face)
    return faces


def _draw_sheet(pictures: Sequence[npt.NDArray[Any]]) -> str:
    """All pictures in one JPEG file, row by row, as an address that holds it."""
    rows = -(-len(pictures) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * _SIDE, rows * _SIDE))
    for place, picture in enumerate(pictures):
        pixels = (picture * 255 + 0.5).astype(np.uint8)
        tile = Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
        row, column = divmod(place, _COLUMNS)
        sheet.paste(tile, (column * _SIDE, row * _SIDE))
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=70)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _write_sum(control: int, bits: Mapping[str, int]) -> str:
    values = [str(value) for value in bits.values() if control & value]
    return f"{' + '.join(values)} = {control}" if len(values) > 1 else str(control)
