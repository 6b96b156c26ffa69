"""A network as one small file for phones and little computers: LiteRT, once TensorFlow Lite.

The same network as in a SavedModel, with half the bytes a weight (float16) or a quarter (int8).
A LiteRT file has no operation that decodes images, so it begins where decoding ends: with the
window that is cut from the middle of an image. Resizing and standardization are inside. Derived
in chapter 7, "Export".
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import keras
import numpy as np
import tensorflow as tf

from facenet_lib.checks import word_problems
from facenet_lib.embedding import embed_files, unique_files
from facenet_lib.errors import FacenetError
from facenet_lib.export.frozen import resizing_matrix
from facenet_lib.files import open_whole_file
from facenet_lib.input_pipeline.pipeline import read_windows
from facenet_lib.input_pipeline.preprocessing import decode_windows, preprocess
from facenet_lib.input_pipeline.settings import Preprocessing
from facenet_lib.models import LoadedNetwork, load_network
from facenet_lib.network.folding import fold_batch_norm
from facenet_lib.network.inception_resnet import l2_normalize
from facenet_lib.signatures.warmup import drawn_faces

LiteRTDtype = Literal["float16", "int8"]

_CALIBRATION_FACES = 32


def export_litert(
    model: str | Path | LoadedNetwork,
    out: str | Path,
    dtype: LiteRTDtype = "float16",
    calibration: Sequence[str | Path] = (),
) -> Path:
    """Write the network of a run or of imported weights as a LiteRT file.

    Its input ``images`` is float32 ``(1, window, window, 3)`` of values 0 to 255, the window of
    ``preprocessing.window_size`` pixels; its output ``embeddings`` is float32
    ``(1, embedding_size)``, of length one. The file looks at no values: other ones than those of
    pixels, not-a-number among them, get an embedding that means nothing, which only the program
    around it can prevent (:func:`facenet_lib.checks.pixel_problems`).

    Args:
        model: a folder that :func:`facenet_lib.training.train` or
            :func:`facenet_lib.published.import_weights` made, or a network that is loaded.
        out: the file, usually named ``.tflite``; must not exist.
        dtype: how weights are stored: ``float16``, computed in float32 again; or ``int8``, in
            which the convolutions are computed, too. How far that moves the embeddings has to be
            measured, see :func:`embed_litert`.
        calibration: for ``int8``, image files like those that the network will see: their values
            choose each layer's range. Drawn faces, if there are none.

    Returns:
        ``out`` as a path.

    Raises:
        FacenetError: when ``model`` is neither, ``dtype`` is another, a calibration image cannot
            be decoded, or ``out`` is there already or cannot be written.

    Source: Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference".

    >>> export_litert("run", "facenet.tflite", "int4")
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: dtype: expected 'float16' or 'int8', found 'int4'
    """
    out = Path(out)
    for problem in word_problems("dtype", dtype, get_args(LiteRTDtype)):
        raise FacenetError(problem)
    if out.exists():
        raise FacenetError(f"{out}: already there; name another file")
    loaded = model if isinstance(model, LoadedNetwork) else load_network(model)
    preprocessing = loaded.preprocessing
    module = _litert_module(fold_batch_norm(loaded.network), preprocessing)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.embed.get_concrete_function()], module
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if dtype == "float16":
        converter.target_spec.supported_types = [tf.float16]
    else:
        files, _ = unique_files(calibration)
        if files:
            windows = list(read_windows(files, preprocessing))
        else:
            faces = tf.constant(drawn_faces(_CALIBRATION_FACES))
            windows = list(decode_windows(faces, preprocessing)[0].numpy())
        converter.representative_dataset = lambda: ([window[np.newaxis]] for window in windows)
    content = converter.convert()
    with open_whole_file(out) as file:
        file.write(content)
    return out


def embed_litert(
    file: str | Path, paths: Sequence[str | Path], preprocessing: Preprocessing
) -> np.ndarray:
    """Embed image files with a LiteRT file, one by one, as a phone would.

    Args:
        file: what :func:`export_litert` wrote.
        paths: JPEG or PNG files.
        preprocessing: that of the model which was exported; it says where the window is cut.

    Returns:
        float32 ``(len(paths), embedding_size)``.

    Raises:
        FacenetError: when ``file`` is no LiteRT file of this model, or, naming it, an image
            cannot be decoded.

    >>> embed_litert("nowhere.tflite", ["face.jpg"], Preprocessing())
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: nowhere.tflite: expected a LiteRT file of ours, found: ...
    """
    side = preprocessing.window_size
    embed, shape, embedding_size = _load(Path(file))
    if shape != (1, side, side, 3):
        raise FacenetError(f"{file}: expected windows of shape {(1, side, side, 3)}, found {shape}")

    def compute_batches(files: list[str], _: int) -> Iterator[np.ndarray]:
        for window in read_windows(files, preprocessing):
            yield embed(window)[np.newaxis]

    return embed_files(paths, 1, embedding_size, compute_batches)


def _litert_module(network: keras.Model, preprocessing: Preprocessing) -> Any:
    side, image_size = preprocessing.window_size, preprocessing.image_size
    of_resized = Preprocessing(image_size, standardization=preprocessing.standardization)
    matrix = resizing_matrix(side, image_size)

    class LiteRTModule(tf.Module):
        def __init__(self) -> None:
            super().__init__(name="facenet")
            self.weights = [variable.value for variable in network.weights]

        @tf.function(input_signature=[tf.TensorSpec([1, side, side, 3], tf.float32)])
        def embed(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
            resized = images if side == image_size else _resize(images, matrix)
            standardized = preprocess(resized, of_resized)
            return {"embeddings": l2_normalize(network(standardized, training=False))}

    return LiteRTModule()


def _resize(images: tf.Tensor, matrix: np.ndarray) -> tf.Tensor:
    """Resize as ``tf.image.resize`` does, down the columns and then along the rows.

    LiteRT has no resizing that averages when it makes smaller. But resizing is linear in the
    pixels, and LiteRT can multiply. (Not by ``frozen.resize``: that product
    of matrices would be computed in int8, too, which leaves too little of the pixels.)
    """
    columns = tf.einsum("ij,bjkc->bikc", matrix, images)
    return tf.einsum("ij,bkjc->bkic", matrix, columns)


def _load(file: Path) -> tuple[Callable[[np.ndarray], np.ndarray], tuple[int, ...], int]:
    """A function from one window to its embedding, the shape that it takes, and its size."""
    try:
        content = file.read_bytes()
        with warnings.catch_warnings():
            # That the class will move to a package of its own, ai_edge_litert.
            warnings.simplefilter("ignore", UserWarning)
            interpreter = tf.lite.Interpreter(model_content=content)
        interpreter.allocate_tensors()
        (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    except (OSError, ValueError, RuntimeError) as error:
        raise FacenetError(f"{file}: expected a LiteRT file of ours, found: {error}") from error

    def embed(window: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(source["index"], window[np.newaxis])
        interpreter.invoke()
        return interpreter.get_tensor(target["index"])[0]

    return embed, tuple(source["shape"].tolist()), int(target["shape"][-1])
