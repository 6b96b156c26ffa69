"""Which bytes are an image for us, and what is said of all others."""

from __future__ import annotations

MAX_PIXELS = 25_000_000
"""Height times width beyond which an image is refused where strangers send it: 75 MB decoded."""

JPEG_START = b"\xff\xd8\xff"
PNG_START = b"\x89PNG\r\n\x1a\n"
_OTHER_FORMATS = {
    "GIF": (b"GIF8",),
    "BMP": (b"BM",),
    "TIFF": (b"II*\0", b"MM\0*"),
    "JPEG XL": (b"\xff\x0a", b"\0\0\0\x0cJXL "),
    "JPEG 2000": (b"\0\0\0\x0cjP  ",),
    "PDF": (b"%PDF",),
}


def explain_too_large(height: int, width: int) -> str | None:
    """Tell that an image has more pixels than are taken, if it has."""
    if height * width <= MAX_PIXELS:
        return None
    return f"expected at most {MAX_PIXELS:,} pixels, found {height:,} x {width:,}"


def explain_undecodable(encoded: bytes) -> str:
    """Tell why these bytes, which could not be decoded, are no image for us."""
    if not encoded:
        return "the file is empty, expected JPEG or PNG"
    if encoded.startswith((JPEG_START, PNG_START)):
        kind = "JPEG" if encoded.startswith(JPEG_START) else "PNG"
        return f"the {kind} is damaged or cut short ({len(encoded)} bytes)"
    found = [name for name, starts in _OTHER_FORMATS.items() if encoded.startswith(starts)]
    if encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP":
        found = ["WebP"]
    elif encoded[4:8] == b"ftyp":
        found = ["HEIF or AVIF"]
    what = found[0] if found else f"something that begins with {encoded[:12]!r}"
    return f"found {what}, expected JPEG or PNG"
