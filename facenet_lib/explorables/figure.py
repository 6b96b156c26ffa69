"""A figure that a reader can change, as one piece of HTML that fetches nothing.

It holds a still picture, its data as JSON, and a script that puts a live figure in the picture's
place. Where no script runs, and in print, the picture stays.
"""

from __future__ import annotations

import base64
import html
import importlib.resources
import io
import json
from collections.abc import Mapping, Sized
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from facenet_lib.checks import Shape, check_array
from facenet_lib.errors import FacenetError

_HTML = """<div class="explorable" data-name="{name}">
<div class="still">
<img src="data:image/png;base64,{picture}" alt="{alt}" style="max-width: 100%; height: auto">
</div>
<div class="live" role="group" aria-label="{label}"></div>
<script type="application/json">{data}</script>
<script>
(() => {{
"use strict";
{script}
mount("{name}", {css}, show);
}})();
</script>
</div>"""


@dataclass(frozen=True, eq=False)
class Explorable:
    """A figure with controls, which a notebook shows by ending a cell with it.

    Any number may stand on a page, also the same one twice: a script finds the figures of its name
    that are not live yet, and no element has an id.

    Attributes:
        name: of its script, ``<name>.js`` beside this module.
        label: what the controls and the picture are together, for who cannot see them.
        data: what the script draws, as JSON has it: words, finite numbers, lists and objects.
        still: a PNG file, what is seen where no script runs, and in print; see ``draw_png``.
        alt: the text for the still figure.

    Raises:
        FacenetError: for data that JSON does not have, or a name without a script; here, as a
            notebook would hide what fails while it shows the figure.

    >>> still = draw_png(Figure(figsize=(1, 1)))
    >>> Explorable("index_stream", "A stream", {"rangeSize": 5}, still, "Rows of numbers.")
    Explorable(name='index_stream', label='A stream', alt='Rows of numbers.')
    """

    name: str
    label: str
    data: Mapping[str, Any] = field(repr=False)
    still: bytes = field(repr=False)
    alt: str

    def __post_init__(self) -> None:
        read_script(self.name)
        for key, value in self.data.items():
            try:
                write_json({key: value})
            except (TypeError, ValueError) as error:
                raise FacenetError(
                    f"{self.name}: data[{key!r}]: expected what JSON can hold: {error}"
                ) from error

    def _repr_html_(self) -> str:
        return _HTML.format(
            name=self.name,
            picture=base64.b64encode(self.still).decode(),
            alt=html.escape(self.alt),
            label=html.escape(self.label),
            data=write_json(self.data),
            script=read_script(self.name),
            css=write_json(read_file("style.css")),
        )


def read_script(name: str) -> str:
    """Return a figure's script, after that which all of them share.

    >>> read_script("pair_distances").startswith("// What the explorable figures share")
    True
    """
    return read_file("shared.js") + read_file(f"{name}.js")


def read_file(name: str) -> str:
    """Return the text of a file beside this module.

    Raises:
        FacenetError: if there is none of that name.

    >>> read_file("style.css").startswith("/* Explorable figures.")
    True
    """
    file = importlib.resources.files("facenet_lib.explorables") / name
    if not file.is_file():
        raise FacenetError(f"{name}: expected a file of facenet_lib.explorables, found none")
    return file.read_text(encoding="utf-8")


def write_json(value: Any) -> str:
    """Write JSON that may stand in a script element, whatever words are in it.

    Raises:
        TypeError: for what JSON does not know, such as NumPy's integers.
        ValueError: for a number that is not finite, which it does not know either.

    >>> write_json("</script>")
    '"\\\\u003c/script\\\\u003e"'
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character in "<>&":  # the others that HTML or JavaScript might mistake are not ASCII
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def draw_png(figure: Figure) -> bytes:
    """Draw a figure as the bytes of a PNG file, cut to what it shows, as notebooks do.

    >>> draw_png(Figure(figsize=(1, 1)))[1:4]
    b'PNG'
    """
    file = io.BytesIO()
    figure.savefig(file, format="png", bbox_inches="tight")
    return file.getvalue()


def check_some(name: str, things: Sized) -> None:
    """Refuse a figure of nothing.

    Raises:
        FacenetError: if there is none of the ``things``.

    >>> check_some("panels", {})
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: panels: expected at least one, found none
    """
    if not len(things):
        raise FacenetError(f"{name}: expected at least one, found none")


def check_finite(name: str, values: npt.ArrayLike, shape: Shape) -> npt.NDArray[np.float64]:
    """Return one or more finite numbers as float64, which rounds no threshold to its own digits.

    Raises:
        FacenetError: for other numbers, none, or another shape.

    >>> check_finite("rates", [1, float("nan")], ("n",))
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: rates: expected finite numbers, found none or others
    """
    array = check_array(name, values, "numbers", shape).astype(np.float64)
    if not array.size or not np.isfinite(array).all():
        raise FacenetError(f"{name}: expected finite numbers, found none or others")
    return array
