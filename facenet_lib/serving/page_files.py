"""The files of the local server's page, as it sends them; derived in chapter 8, "Serving"."""

from __future__ import annotations

import importlib.resources
import re

_WITH_A_GALLERY = re.compile(rb" *<!-- With a gallery -->.*?<!-- End -->\n", re.DOTALL)


def read_page_file(name: str, with_gallery: bool) -> bytes:
    """Return a file of ``facenet_lib.serving.pages``.

    Args:
        name: of the file.
        with_gallery: whether the server has one; else the parts of the page for it are left out.

    >>> b"Who is this?" in read_page_file("index.html", with_gallery=False)
    False
    """
    content = (importlib.resources.files("facenet_lib.serving.pages") / name).read_bytes()
    return content if with_gallery else _WITH_A_GALLERY.sub(b"", content)
