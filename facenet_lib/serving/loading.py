"""A version's folder to the functions that answer requests: a loader for each runtime.

A SavedModel brings its functions. What ONNX Runtime and OpenVINO compute is the network alone: the
functions around it, from decoding to the marks of damaged images, are those that an export would
have written, made here. So the answers are the same, whatever computes the network. Derived in
chapter 8, "Serving".
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from facenet_lib.checks import word_problems
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.input_pipeline.preprocessing import as_pixels
from facenet_lib.model_card import CARD, WARMUP_REQUESTS
from facenet_lib.runtimes import RUNTIMES, Runtime, load_runtime_network, network_file
from facenet_lib.serving.messages import Array
from facenet_lib.serving.model_folders import is_saved_model
from facenet_lib.signatures.functions import serving_functions
from facenet_lib.signatures.warmup import warmup_requests


@dataclass(frozen=True)
class LoadedModel:
    """What answers requests.

    Attributes:
        functions: by the names of their signatures; each takes tensors and answers tensors, by
            their names.
        signature_defs: TensorFlow's ``SignatureDef`` of each, and of whatever else the file has.
        warmup_requests: to be answered before others, each a ``PredictionLog`` of TF Serving.
        pixels: whether numbers among the inputs are those of images, from 0 to 255.
        module: what has to live as long as the functions.
    """

    functions: Mapping[str, Any]
    signature_defs: Mapping[str, Any]
    warmup_requests: Iterable[bytes]
    pixels: bool
    module: Any = None


Load = Callable[[Path], LoadedModel]
"""From a version's folder to its functions.

It raises FacenetError for a version of another kind, and whatever a damaged one brings about.
"""


def loader(runtime: Runtime | None) -> Load:
    """Return what loads versions for a runtime; None: for TensorFlow.

    Raises:
        FacenetError: for another runtime.
    """
    if runtime is None:
        return _load_saved_model
    refuse("models to serve", word_problems("runtime", runtime, RUNTIMES))
    return functools.partial(_load_for, runtime)


def _load_saved_model(folder: Path) -> LoadedModel:
    other = network_file(folder)
    if other is not None and not is_saved_model(folder):
        raise FacenetError(
            f"{folder}: expected a SavedModel, which 'facenet export RUN OUT' writes, found "
            f"{other.name}, which 'facenet serve --runtime' serves"
        )
    module = tf.saved_model.load(str(folder))
    content = (folder / "saved_model.pb").read_bytes()
    graphs = saved_model_pb2.SavedModel.FromString(content).meta_graphs
    served = next(graph for graph in graphs if "serve" in graph.meta_info_def.tags)
    requests, path = [], folder / WARMUP_REQUESTS
    if path.is_file():
        requests = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    # What our export writes takes no numbers but pixels; of other models nobody knows.
    pixels = (folder / CARD).is_file()
    return LoadedModel(module.signatures, served.signature_def, requests, pixels, module)


def _load_for(runtime: Runtime, folder: Path) -> LoadedModel:
    if network_file(folder) is None and is_saved_model(folder):
        raise FacenetError(
            f"{folder}: expected a network for {runtime}, which 'facenet export RUN OUT "
            f"--{runtime}' writes, found a SavedModel, which is served without --runtime"
        )
    network = load_runtime_network(folder, runtime)
    failures: list[Exception] = []

    def compute(windows: Array) -> Array:
        try:
            return network.embed(windows)
        except Exception as error:
            failures.append(error)
            raise

    def embed(images: tf.Tensor) -> tf.Tensor:
        computed = tf.numpy_function(compute, [as_pixels(images)], tf.float32)
        return tf.ensure_shape(computed, (None, network.embedding_size))

    def answering(function: Any) -> Callable[..., Any]:
        def answer(**inputs: tf.Tensor) -> Any:
            try:
                return function(**inputs)
            except tf.errors.OpError:
                if failures:  # the runtime's own words, without TensorFlow's about its graph
                    raise failures.pop() from None
                raise

        return answer

    # Resizing and standardization are the network's own business: it gets pixels back.
    preprocessing = network.preprocessing.window_alone
    functions = serving_functions(embed, preprocessing, network.card.threshold)
    concrete = {name: made.get_concrete_function() for name, made in functions.items()}
    answers = {name: answering(made) for name, made in concrete.items()}
    signature_defs = {name: _signature_def(made) for name, made in concrete.items()}
    requests = warmup_requests(preprocessing.window_size)
    return LoadedModel(answers, signature_defs, requests, True, functions)


def _signature_def(function: Any) -> meta_graph_pb2.SignatureDef:
    """What a SavedModel would say of a function, but for the names within its graph."""
    inputs, _ = function.structured_input_signature
    return meta_graph_pb2.SignatureDef(
        inputs={spec.name: _tensor_info(spec) for spec in inputs},
        outputs={name: _tensor_info(one) for name, one in function.structured_outputs.items()},
        method_name=tf.compat.v1.saved_model.signature_constants.PREDICT_METHOD_NAME,
    )


def _tensor_info(tensor: Any) -> meta_graph_pb2.TensorInfo:
    return meta_graph_pb2.TensorInfo(
        name=tensor.name, dtype=tensor.dtype.as_datatype_enum, tensor_shape=tensor.shape.as_proto()
    )
