"""Image files to embeddings, whichever model computes them; derived in chapters 6 and 7.

One loop for all: every file once, batch by batch, and files that cannot be used are named. What
computes a batch is a network of this process, a SavedModel or a server. Nothing here loads
TensorFlow before a network is given, so that a client, which has none, starts at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from tqdm import tqdm

from facenet_lib.checks import check_integer
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.files import read_bytes

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from facenet_lib.input_pipeline.settings import Preprocessing

ComputeBatches = Callable[[list[str], int], Iterator[np.ndarray]]
"""From files and a batch size to the embeddings of one batch after the other."""

FindFaces = Callable[[list[bytes]], Mapping[str, np.ndarray]]
"""From the bytes of photographs to the outputs of the signature ``faces``, see
:func:`facenet_lib.export.export_model`."""


class Embedder(Protocol):
    """Anything that turns image files into embeddings: a run, weights, a SavedModel, a server."""

    @property
    def embedding_size(self) -> int:
        """Length of an embedding."""

    @property
    def preprocessing(self) -> Preprocessing | None:
        """How an image becomes the network's input; None of a server, which does not tell it."""

    @property
    def identities(self) -> Sequence[str]:
        """The people it was trained on; none where the model does not name them: only runs do."""

    @property
    def threshold(self) -> float | None:
        """Squared distance below which two images are one person; None where it is not known."""

    @property
    def about(self) -> Mapping[str, Any]:
        """What a file of its figures says of it: its preprocessing, or its server and version."""

    def embed(
        self, paths: Sequence[str | Path], batch_size: int = ..., flip: bool = False
    ) -> np.ndarray:
        """Return float32 ``(len(paths), embedding_size)``, rows of length one.

        With ``flip``, twice as wide: right of it the embedding of the mirror image, see
        :func:`embed_images`; a server has none. A file that stands there twice is decoded once.

        Raises:
            FacenetError: naming the file, when one cannot be decoded.
        """

    def embed_faces(
        self, photographs: Sequence[str | Path], *, progress: bool = ...
    ) -> PhotographFaces:
        """Find the faces in photographs and embed them: what was exported with alignment can.

        Raises:
            FacenetError: when the model takes crops alone, or a file cannot be read. A photograph
                that cannot be decoded is told in the answer.
        """

    def close(self) -> None:
        """Let go of the connections, where there are any."""


def embed_images(
    network: keras.Model,
    paths: Sequence[str | Path],
    preprocessing: Preprocessing,
    batch_size: int = 64,
    flip: bool = False,
) -> np.ndarray:
    """Return the embeddings of image files.

    Args:
        network: images to prelogits.
        paths: JPEG or PNG files; a file that stands there twice is computed once.
        preprocessing: what the network was trained with.
        batch_size: images computed at a time.
        flip: add the embedding of the mirror image.

    Returns:
        float32 ``(len(paths), embedding_size)``, rows of length one. With ``flip``, as the
        reference's ``use_flipped_images`` has it, ``(len(paths), 2 * embedding_size)``: an
        image's embedding and, right of it, that of its window mirrored left to right.

    Raises:
        FacenetError: naming the file, when one cannot be decoded.

    >>> import keras
    >>> from facenet_lib.input_pipeline import Preprocessing
    >>> network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    >>> embed_images(network, [], Preprocessing(image_size=8), flip=True).shape
    (0, 384)
    """
    return image_embedder(network, preprocessing)(paths, batch_size, flip)


def image_embedder(network: keras.Model, preprocessing: Preprocessing) -> Callable[..., np.ndarray]:
    """Return :func:`embed_images` for one network, ``embed(paths, batch_size=64, flip=False)``.

    It compiles the network once, and not at every call.

    >>> import keras
    >>> from facenet_lib.input_pipeline import Preprocessing
    >>> network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    >>> embed = image_embedder(network, Preprocessing(image_size=8))
    >>> embed(["nowhere.jpg"], batch_size=1)
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: image files that cannot be used: nowhere.jpg: no such file
    """
    import tensorflow as tf

    from facenet_lib.input_pipeline.pipeline import explained_errors, input_pipeline
    from facenet_lib.network.inception_resnet import l2_normalize

    signature = [tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)]

    @tf.function(input_signature=signature, autograph=False)
    def embed_batch(images: tf.Tensor) -> tf.Tensor:
        return l2_normalize(network(images, training=False))

    @tf.function(input_signature=signature, autograph=False)
    def embed_batch_and_mirror_images(images: tf.Tensor) -> tf.Tensor:
        # Mirroring commutes with the resizing and standardization that the images have behind them.
        return tf.concat([embed_batch(images), embed_batch(tf.reverse(images, [2]))], axis=1)

    def embed(paths: Sequence[str | Path], batch_size: int = 64, flip: bool = False) -> np.ndarray:
        compute = embed_batch_and_mirror_images if flip else embed_batch

        def compute_batches(files: list[str], batch_size: int) -> Iterator[np.ndarray]:
            batches = input_pipeline(files, preprocessing=preprocessing, batch_size=batch_size)
            with explained_errors(files):
                for batch in batches:
                    yield compute(batch["images"]).numpy()

        return embed_files(paths, batch_size, network.output_shape[1] * (1 + flip), compute_batches)

    return embed


def embed_files(
    paths: Sequence[str | Path], batch_size: int, width: int, compute_batches: ComputeBatches
) -> np.ndarray:
    """Compute a row for each path, and for a file that stands there twice only once.

    Args:
        paths: image files; none are no work for ``compute_batches``.
        batch_size: files at a time.
        width: numbers in a row.
        compute_batches: from the files, each once, to the rows of one batch after the other.

    Returns:
        float32 ``(len(paths), width)``.

    Raises:
        FacenetError: for one path in place of a sequence, another batch size, or rows that are
            not finite, as of a network whose weights are not; and what ``compute_batches`` raises.

    >>> def length_of_name(files, batch_size):
    ...     for file in files:
    ...         yield np.array([[len(file)]])
    >>> embed_files(["b.jpg", "ab.jpg", "b.jpg"], 1, 1, length_of_name).tolist()
    [[5.0], [6.0], [5.0]]
    """
    check_integer("batch_size", batch_size, at_least=1)
    files, places = unique_files(paths)
    computed = np.empty((len(files), width), np.float32)
    row = 0
    for rows in compute_batches(files, batch_size) if files else ():
        part = computed[row : row + len(rows)]
        part[:] = rows
        broken = row + np.flatnonzero(~np.isfinite(part).all(axis=1))
        refuse("embeddings that are not finite numbers", [files[place] for place in broken])
        row += len(rows)
    return computed[places]


def encoded_batches(
    ask: Callable[[list[bytes]], tuple[Any, Any]], explain: Callable[[bytes], str]
) -> ComputeBatches:
    """Make an argument for :func:`embed_files` of a model that decodes images itself.

    Args:
        ask: from the bytes of image files to their rows, and which of them are valid.
        explain: from the bytes of a file that is not valid to what is wrong with it.

    Returns:
        A function that raises a FacenetError naming all files of a batch that are not valid, or
        the first that cannot be read.

    >>> import tempfile
    >>> compute_batches = encoded_batches(lambda images: ([[0.0]], [False]), lambda image: "empty")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "a.jpg").touch()
    ...     next(compute_batches([str(Path(folder, "a.jpg"))], 1))
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: image files that cannot be used: ...a.jpg: empty
    """

    def compute_batches(files: list[str], batch_size: int) -> Iterator[np.ndarray]:
        for first in range(0, len(files), batch_size):
            batch = files[first : first + batch_size]
            images = [read_bytes(Path(path)) for path in batch]
            rows, all_valid = ask(images)
            read = zip(batch, images, all_valid, strict=True)
            problems = [f"{path}: {explain(image)}" for path, image, valid in read if not valid]
            refuse("image files that cannot be used", problems)
            yield rows

    return compute_batches


@dataclass(frozen=True, eq=False)
class PhotographFaces:
    """The m faces in photographs, photograph by photograph, the surest of each first.

    Attributes:
        paths: str (m,), the photograph of each face.
        boxes: float32 (m, 4), left, top, right and bottom, pixels of the upright photograph.
        landmarks: float32 (m, 5, 2), likewise.
        scores: float32 (m,), how sure the detector is of a face.
        embeddings: float32 (m, embedding_size), rows of length one.
        unusable: the photographs that could not be decoded.
    """

    paths: np.ndarray
    boxes: np.ndarray
    landmarks: np.ndarray
    scores: np.ndarray
    embeddings: np.ndarray
    unusable: tuple[str, ...]


def embed_photographs(
    paths: Sequence[str | Path],
    find_faces: FindFaces,
    batch_size: int = 8,
    progress: bool = True,
) -> PhotographFaces:
    """Find the faces of photographs and embed them, with a model that does both.

    Args:
        paths: JPEG or PNG files.
        find_faces: the model.
        batch_size: photographs at a time.
        progress: show a bar on standard error.

    Raises:
        FacenetError: for one path in place of a sequence, none, another batch size, a file that
            cannot be read, and what ``find_faces`` raises. A damaged photograph is no error.

    >>> embed_photographs([], find_faces=dict)
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: photographs: expected at least one, found none
    """
    check_integer("batch_size", batch_size, at_least=1)
    files = unique_files(paths)[0]
    if not files:
        raise FacenetError("photographs: expected at least one, found none")
    columns = ("boxes", "landmarks", "scores", "embeddings")
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("paths", *columns)}
    unusable: list[str] = []
    with tqdm(total=len(files), unit="photograph", disable=not progress) as bar:
        for first in range(0, len(files), batch_size):
            batch = np.array(files[first : first + batch_size])
            answer = find_faces([read_bytes(Path(path)) for path in batch])
            valid = np.asarray(answer["valid"])
            found["paths"].append(batch[np.nonzero(valid)[0]])
            for name in columns:
                found[name].append(np.asarray(answer[name])[valid])
            unusable += batch[~np.asarray(answer["decoded"])].tolist()
            bar.update(len(batch))
    joined = {name: np.concatenate(parts) for name, parts in found.items()}
    return PhotographFaces(**joined, unusable=tuple(unusable))


def unique_files(paths: Sequence[str | Path]) -> tuple[list[str], np.ndarray]:
    """Return the files among ``paths``, each once, and which of them stands at each place.

    Images of pairs come up many times: LFW's 12,000 places hold 7,701 images.

    Raises:
        FacenetError: for one path in place of a sequence of them.

    >>> files, places = unique_files(["b.jpg", "a.jpg", "b.jpg"])
    >>> files, places.tolist()
    (['a.jpg', 'b.jpg'], [1, 0, 1])
    """
    if isinstance(paths, str | Path):
        raise FacenetError(f"expected paths to be a sequence of files, found the one {paths!r}")
    unique, places = np.unique([str(path) for path in paths], return_inverse=True)
    return unique.tolist(), places
