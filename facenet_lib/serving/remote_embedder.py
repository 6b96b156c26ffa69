"""Image files to embeddings by asking a server; derived in chapter 8."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facenet_lib.errors import FacenetError, refuse
from facenet_lib.serving.client import MAX_BATCH_SIZE, connect


class RemoteEmbedder:
    """Turns image files into embeddings as a model in a folder does, but by asking a server.

    It stays with the version that it finds: embeddings of two versions cannot be compared, and
    one that is taken away meanwhile ends in an error and not in a mixture.

    It does what an :class:`facenet_lib.export.Embedder` does, but for ``preprocessing``: that
    is in the server's model, which takes the files as they are. Hence no mirror images either: a
    file can be mirrored only by decoding it and encoding it anew, and would then no longer give
    what the same model gives locally.

    Attributes:
        embedding_size: length of an embedding.
        version: the model's version that answers.
        identities: none; a server does not name whom its model was trained on.
    """

    def __init__(self, address: str, model: str | None = None) -> None:
        with connect(address, model) as client:
            metadata = client.metadata()
        self.version = metadata.version
        self.embedding_size = metadata.embedding_size
        self.identities: Sequence[str] = ()
        self._client = connect(address, model, version=metadata.version)

    def __enter__(self) -> RemoteEmbedder:
        return self

    def __exit__(self, *error: object) -> None:
        self._client.close()

    def embed(self, paths: Sequence[str | Path], batch_size: int = MAX_BATCH_SIZE) -> np.ndarray:
        """Return float32 ``(len(paths), embedding_size)``, rows of length one.

        A file that stands there twice is sent once.

        Args:
            paths: JPEG or PNG files.
            batch_size: files that are read at a time; the client may split them further.

        Raises:
            FacenetError: naming the files that cannot be read or decoded, or the server.
        """
        if isinstance(paths, str | Path):
            raise FacenetError(f"expected paths to be a sequence of files, found the one {paths!r}")
        if not isinstance(batch_size, int) or batch_size < 1:
            raise FacenetError(
                f"expected batch_size to be an integer of at least 1, found {batch_size!r}"
            )
        files, rows = np.unique([str(path) for path in paths], return_inverse=True)
        computed = np.empty((len(files), self.embedding_size), np.float32)
        for first in range(0, len(files), batch_size):
            batch = files[first : first + batch_size].tolist()
            images = [_read_image(path) for path in batch]
            answer = self._client.embed(images)
            problems = [
                f"{path}: the model cannot decode it: expected a whole JPEG or PNG, not too large, "
                f"found {len(image)} bytes that begin with {image[:4]!r}"
                for path, image, valid in zip(batch, images, answer.valid, strict=True)
                if not valid
            ]
            refuse("image files that cannot be used", problems)
            if answer.embeddings.shape[1] != self.embedding_size:
                raise FacenetError(
                    f"{self._client.model}: expected embeddings of {self.embedding_size} numbers, "
                    f"as its metadata has it, found {answer.embeddings.shape[1]}"
                )
            computed[first : first + batch_size] = answer.embeddings
        return computed[rows]


def _read_image(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise FacenetError(f"{path}: cannot be read: {error.strerror}") from error
