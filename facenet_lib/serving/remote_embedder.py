"""Image files to embeddings by asking a server; derived in chapter 8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facenet_lib.embedding import (
    PhotographFaces,
    embed_files,
    embed_photographs,
    encoded_batches,
)
from facenet_lib.errors import FacenetError
from facenet_lib.serving.client import MAX_BATCH_SIZE
from facenet_lib.serving.connection import connect


class RemoteEmbedder:
    """Turns image files into embeddings as a model in a folder does, but by asking a server.

    It stays with the version that it finds: embeddings of two versions cannot be compared, and
    one that is taken away meanwhile ends in an error and not in a mixture.

    It is an :class:`facenet_lib.embedding.Embedder`, but its preprocessing is in the server's
    model, which takes the files as they are. Hence no mirror images either: a file can be mirrored
    only by decoding it and encoding it anew, and would then no longer give what the same model
    gives locally.

    Attributes:
        embedding_size: length of an embedding.
        version: the model's version that answers.
        preprocessing: None, not known.
        threshold: None, not told either.
        identities: none; a server does not name whom its model was trained on.
        about: the server's address and the version.
    """

    def __init__(self, address: str, model: str | None = None) -> None:
        with connect(address, model) as client:
            metadata = client.metadata()
        self.version = metadata.version
        self.embedding_size = metadata.embedding_size
        self.preprocessing = None
        self.threshold = None
        self.identities: Sequence[str] = ()
        self.about: Mapping[str, Any] = {"server": address, "version": metadata.version}
        self._client = connect(address, model, version=metadata.version)

    def __enter__(self) -> RemoteEmbedder:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def embed(
        self, paths: Sequence[str | Path], batch_size: int = MAX_BATCH_SIZE, flip: bool = False
    ) -> np.ndarray:
        """Return float32 ``(len(paths), embedding_size)``, rows of length one.

        A file that stands there twice is sent once.

        Args:
            paths: JPEG or PNG files.
            batch_size: files that are read at a time; the client may split them further.
            flip: mirror images, which a server cannot make.

        Raises:
            FacenetError: naming the files that cannot be read or decoded, or the server; and
                where mirror images are asked for.
        """
        if flip:
            raise FacenetError(
                f"{self.about['server']}: a server takes images as they are, without mirror "
                "images; name the model's folder"
            )
        batches = encoded_batches(self._ask, _explain_invalid)
        return embed_files(paths, batch_size, self.embedding_size, batches)

    def embed_faces(
        self, photographs: Sequence[str | Path], *, progress: bool = True
    ) -> PhotographFaces:
        """Find the faces in photographs and embed them, with a model exported with alignment.

        Raises:
            FacenetError: naming the server, when its model takes crops alone or it does not
                answer; or a file that cannot be read.
        """
        return embed_photographs(photographs, self._find_faces, progress=progress)

    def _find_faces(self, photographs: list[bytes]) -> Mapping[str, np.ndarray]:
        return vars(self._client.embed_faces(photographs))

    def _ask(self, images: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
        answer = self._client.embed(images)
        size = answer.embeddings.shape[1]
        # Images that are not valid are told first.
        if answer.valid.all() and size != self.embedding_size:
            raise FacenetError(
                f"{self._client.model}: expected embeddings of {self.embedding_size} numbers, "
                f"as its metadata has it, found {size}"
            )
        return answer.embeddings, answer.valid


def _explain_invalid(image: bytes) -> str:
    return (
        "the model cannot decode it: expected a whole JPEG or PNG, not too large, "
        f"found {len(image)} bytes that begin with {image[:4]!r}"
    )
