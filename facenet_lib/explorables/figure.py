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
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure

_HTML = """<div class="explorable" data-name="{name}">
<div class="still"><img src="data:image/png;base64,{picture}" alt="{alt}"{style}></div>
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
_FITTING = ' style="max-width: 100%; height: auto"'


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
    """

    name: str
    label: str
    data: Mapping[str, Any] = field(repr=False)
    still: bytes = field(repr=False)
    alt: str

    def _repr_html_(self) -> str:
        return _HTML.format(
            name=self.name,
            picture=base64.b64encode(self.still).decode(),
            alt=html.escape(self.alt),
            style=_FITTING,
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
    """Return the text of a file beside this module."""
    file = importlib.resources.files("facenet_lib.explorables") / name
    return file.read_text(encoding="utf-8")


def write_json(value: Any) -> str:
    """Write JSON that may stand in a script element, whatever words are in it.

    Raises:
        ValueError: for a number that is not finite, which JSON does not know.

    >>> write_json("</script>")
    '"\\\\u003c/script\\\\u003e"'
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character in "<>&":  # the others that HTML or JavaScript might mistake are not ASCII
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def draw_png(figure: Figure) -> bytes:
    """Draw a figure as the bytes of a PNG file, cut to what it shows, as notebooks do."""
    file = io.BytesIO()
    figure.savefig(file, format="png", bbox_inches="tight")
    return file.getvalue()
