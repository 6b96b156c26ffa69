"""Names for faces: what the local server adds to TensorFlow Serving's protocols.

TensorFlow Serving holds a model and nobody's face: whoever asks it gets embeddings, and looks for
their owners himself. The local server can hold a gallery beside its model, and answers
``POST /v1/models/NAME:identify`` with names. This request is ours alone: TensorFlow Serving does
not know it, and it is not to be had over gRPC. It keeps nothing of what it is asked: neither
photographs nor embeddings are stored or logged.

Derived in chapters 8, "Serving", and 12.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from weakref import WeakKeyDictionary

import numpy as np

from facenet_lib.checks import number_problems
from facenet_lib.embedding import Embedder
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.files import read_bytes
from facenet_lib.model_card import CARD, read_card
from facenet_lib.recognition.fingerprint import take_fingerprint
from facenet_lib.recognition.gallery import Gallery
from facenet_lib.recognition.identification import identify
from facenet_lib.serving.answers import DEFAULT_SIGNATURE
from facenet_lib.serving.batching import LoadedVersion, Prediction
from facenet_lib.serving.messages import Array, ServingError, files_from_json, one_line

_FACES = "faces"  # the signature of a model that finds faces itself
_ASKED = {
    _FACES: ("photographs", ("decoded", "valid", "boxes", "embeddings")),
    DEFAULT_SIGNATURE: ("images", ("valid", "embeddings")),
}
"""For each signature, its input and what is asked of it."""

_log = logging.getLogger(__name__)


class Naming:
    """A gallery beside a served model, and which of the model's versions it fits.

    Args:
        gallery: whom to look among.
        threshold: squared distance below which the nearest person is taken for the face's.
        source: what errors call the gallery: its file.
        by: how a person's distance is taken, see
            :meth:`facenet_lib.recognition.Gallery.distances`.

    Raises:
        FacenetError: for a gallery without people, or a threshold that is no squared distance.

    Attributes:
        people: how many the gallery holds.
        threshold: as given.
        by: as given.
    """

    def __init__(
        self, gallery: Gallery, threshold: float, source: str, by: str = "nearest"
    ) -> None:
        problems = number_problems("threshold", threshold, "(0, inf)")
        if not gallery.names:
            problems.append("expected a gallery of people, found it empty: enroll some first")
        refuse(source, problems)
        self.people = len(gallery.people)
        self.threshold = threshold
        self._gallery = gallery
        self.by = by
        self._source = source
        self._problems: WeakKeyDictionary[LoadedVersion, str] = WeakKeyDictionary()

    def meet(self, version: LoadedVersion) -> None:
        """Find out whether a version is the gallery's model, before it is asked for anything."""
        try:
            embedder = cast(Embedder, _VersionEmbedder(version))
            self._gallery.fingerprint.check_same(take_fingerprint(embedder, str(version.folder)))
            self._check_same_crops(version.folder)
            self._problems[version] = ""
        except Exception as error:  # whatever it is, the version answers all other requests
            is_ours = isinstance(error, FacenetError)
            reason = str(error) if is_ours else f"{type(error).__name__}: {error}"
            self._problems[version] = f"{self._source}: {reason}"
            _log.warning("version %d names nobody: %s", version.number, one_line(reason))
        version.batch_sizes.clear()  # nobody has asked yet

    def check(self, version: LoadedVersion) -> None:
        """Refuse a version whose embeddings cannot be compared with the gallery's.

        Raises:
            FacenetError: naming the gallery's model and the version's folder.
        """
        if self._problems[version]:
            raise FacenetError(self._problems[version])

    def submit(self, document: Mapping[str, Any], version: LoadedVersion) -> Future[Any]:
        """Have a request for names wait for its turn.

        Args:
            document: ``{"photographs": [{"b64": ...}, ...]}``. A model that was exported without
                alignment takes one face cut out in each.
            version: what embeds them.

        Returns:
            A future of the answer: ``threshold``, and ``photographs``, each with ``decoded``,
            whether it can be read, and ``faces``, the surest first. A face has ``box``: left,
            top, right, bottom, pixels of the upright photograph, or None of one that was cut out;
            and the fields of :class:`~facenet_lib.recognition.Identification`.

        Raises:
            ServingError: ``INVALID_ARGUMENT``, ``UNAVAILABLE`` when too many wait already, or
                ``FAILED_PRECONDITION`` from a version that is not the gallery's model.
        """
        if self._problems[version]:
            raise ServingError(
                f"version {version.number} is another model than the gallery was made with, or "
                "cuts faces out otherwise, so that it can name nobody",
                "FAILED_PRECONDITION",
            )
        signature = _FACES if _FACES in version.signatures else DEFAULT_SIGNATURE
        name, outputs = _ASKED[signature]
        files = {name: files_from_json(document, "photographs")}
        return version.submit(files, signature, outputs, conclude=self._answer)

    def _answer(self, prediction: Prediction) -> dict[str, Any]:
        """Name the faces that were found; where they were computed, for galleries are large."""
        outputs = prediction.outputs
        if prediction.signature == _FACES:
            decoded, valid = outputs["decoded"], outputs["valid"]
            boxes, embeddings = outputs["boxes"][valid].tolist(), outputs["embeddings"][valid]
        else:
            decoded = outputs["valid"]
            valid, embeddings = decoded[:, np.newaxis], outputs["embeddings"][decoded]
            boxes = [None] * len(embeddings)
        found = (
            identify(self._gallery, embeddings, self.threshold, self.by) if len(embeddings) else []
        )
        faces: list[list[dict[str, Any]]] = [[] for _ in decoded]
        for row, box, who in zip(np.nonzero(valid)[0], boxes, found, strict=True):
            faces[row].append({"box": box, **dataclasses.asdict(who)})
        photographs = zip(decoded.tolist(), faces, strict=True)
        return {
            "threshold": self.threshold,
            "photographs": [{"decoded": is_read, "faces": of_it} for is_read, of_it in photographs],
        }

    def _check_same_crops(self, folder: Path) -> None:
        """Refuse a model that cuts faces out otherwise than the gallery's were, where both tell."""
        made = self._gallery.alignment
        cut = read_card(folder).alignment if (folder / CARD).is_file() else None
        if made is None or cut is None:
            return
        expected = {"crop": made.crop_kind, "size": made.size, "margin": made.margin}
        problems = [
            f"{name}: expected {value}, as in the gallery, found {cut.get(name)}"
            for name, value in expected.items()
            if cut.get(name) != value
        ]
        refuse(f"{folder}: faces cut out otherwise", problems)


@dataclass(frozen=True)
class _VersionEmbedder:
    """What of an :class:`~facenet_lib.embedding.Embedder` a fingerprint needs."""

    version: LoadedVersion

    def embed(self, paths: Sequence[Path]) -> Array:
        return np.concatenate([self._embed(read_bytes(path)) for path in paths])

    def _embed(self, file: bytes) -> Array:
        asked = self.version.submit({"images": np.array([file], object)}, outputs=["embeddings"])
        outputs: dict[str, Array] = asked.result().outputs  # one by one: the queue may be short
        return outputs["embeddings"]
