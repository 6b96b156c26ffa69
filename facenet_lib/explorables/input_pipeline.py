"""The explorable figure of chapter 3: control bits on one face."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from facenet_lib.errors import FacenetError
from facenet_lib.explorables.figure import Explorable, draw_png
from facenet_lib.plots.input_pipeline import image_grid

_SIDE, _COLUMNS = 112, 8  # of a picture, in pixels, a multiple of JPEG's blocks; in a row


def control_bits(
    pictures: Mapping[int, npt.NDArray[Any]], bits: Mapping[str, int], shown: Sequence[int]
) -> Explorable:
    """Let a reader switch control bits on and off, and see the picture and their sum.

    Args:
        pictures: every sum of bits, zero among them -> what it makes of one image, float
            (side, side, 3) in [0, 1]; of one draw of chance, so that only the bits differ.
        bits: the name of a bit -> its value.
        shown: the sums in the still figure; the last is where the slider stands at first.

    Raises:
        FacenetError: if a picture is missing or has another shape.
    """
    controls = range(sum(bits.values()) + 1)
    if set(pictures) != set(controls):
        raise FacenetError(
            f"pictures: expected one for each control from 0 to {controls[-1]}, "
            f"found {len(pictures)} of them"
        )
    for control in controls:
        if np.ndim(pictures[control]) != 3 or np.shape(pictures[control])[2] != 3:
            found = np.shape(pictures[control])
            raise FacenetError(f"pictures[{control}]: expected (side, side, 3), found {found}")
    data = {
        "bits": dict(bits),
        "sheet": _draw_sheet([pictures[control] for control in controls]),
        "side": _SIDE,
        "columns": _COLUMNS,
        "start": shown[-1],
    }
    titles = [_write_sum(control, bits) for control in shown]
    drawn = image_grid([pictures[control] for control in shown], titles, columns=len(shown))
    alt = f"One face as several controls make it: {', '.join(titles)}."
    return Explorable("control_bits", "Control bits on one face", data, draw_png(drawn), alt)


def _draw_sheet(pictures: Sequence[npt.NDArray[Any]]) -> str:
    """All pictures in one JPEG file, row by row, as an address that holds it."""
    rows = -(-len(pictures) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * _SIDE, rows * _SIDE))
    for place, picture in enumerate(pictures):
        pixels = np.clip(np.asarray(picture) * 255 + 0.5, 0, 255).astype(np.uint8)
        tile = Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
        row, column = divmod(place, _COLUMNS)
        sheet.paste(tile, (column * _SIDE, row * _SIDE))
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=70)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _write_sum(control: int, bits: Mapping[str, int]) -> str:
    values = [str(value) for value in bits.values() if control & value]
    return f"{' + '.join(values)} = {control}" if len(values) > 1 else str(control)
