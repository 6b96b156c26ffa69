"""Request bodies that clients have packed with gzip, unpacked as they arrive.

Derived in chapter 8, "Serving".
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from facenet_lib.serving.messages import ServingError

_GZIP = 16 + zlib.MAX_WBITS  # zlib's word for gzip's header and check sum
_PIECE = 64 * 1024


class GzipUnpacker:
    """Unpacks the body of one request, piece by piece.

    A thousand bytes can hold a million: whoever unpacks stops when he has enough, and never holds
    more than a piece beyond it.

    >>> import gzip
    >>> unpacker = GzipUnpacker()
    >>> b"".join(unpacker.unpack(gzip.compress(b"{}"))), unpacker.finish()
    (b'{}', None)
    """

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)
        self._begun = False

    def unpack(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what the next bytes of the body hold, in pieces of at most 64 KiB.

        Raises:
            ServingError: ``INVALID_ARGUMENT``, for what gzip did not write.
        """
        while chunk:
            if self._member.eof:  # a file of gzip may have several members
                self._member = zlib.decompressobj(_GZIP)
            self._begun = True
            try:
                piece = self._member.decompress(chunk, _PIECE)
            except zlib.error as error:
                raise ServingError(f"expected a body packed by gzip: {error}") from None
            chunk = self._member.unused_data or self._member.unconsumed_tail
            if piece:
                yield piece

    def finish(self) -> None:
        """Make sure that the body was whole.

        Raises:
            ServingError: ``INVALID_ARGUMENT``, when it ends too early.
        """
        if self._begun and not self._member.eof:
            raise ServingError("expected a body packed by gzip, found one that was cut short")
