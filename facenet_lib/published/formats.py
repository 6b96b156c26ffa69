"""The files in which the field published weights of this network, by the reference's names.

Four projects published them in four formats: davidsandberg/facenet as TF 1 checkpoints and as
frozen graphs, keras-facenet and DeepFace as HDF5 files of Keras, facenet-pytorch as state dicts of
torch, which a checkpoint of torch may hold beside other things. A file is recognised by its
content, and what it holds is told by the names and in the layout that the reference gave it;
nothing is run, and nothing is read before its shape is known to be right (see ``containers``).
Derived in chapter 11, "The published weights".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facenet_lib.errors import FacenetError, shown
from facenet_lib.files import describe_bytes, list_folder
from facenet_lib.published.containers import (
    TORCH_MAGIC,
    StoredArray,
    explain_damage,
    open_hdf5,
    open_torch,
)

TF1_SCOPE = "InceptionResnetV1"
"""The scope under which the reference's network has its variables."""

_EXPECTED = (
    "the folder or the prefix of a TF 1 checkpoint, a frozen graph (.pb), a Keras .h5 file or a "
    "torch .pt file"
)
_DATA = ".data-00000-of-00001"
_CHECKPOINT_PART = re.compile(r".*\.(index|meta|data-\d{5}-of-\d{5})")
# Bytes; this network's graph takes about 94 million. A protocol buffer may have eight times as
# many, but parsing takes a multiple of them in memory.
_MOST_PROTOBUF = 2**28

# What only training needs: the classifier and its centers, the step, and beside each variable
# the optimizer's own and its exponential moving average. (The reference restores the plain
# variables too: the averages of weights are kept there and never used.)
_TRAINING_ONLY = re.compile(
    r"(Logits/(weights|biases)|centers|global_step|Variable|beta[12]_power)(/.*)?|"
    r".*/(ExponentialMovingAverage|avg|Adagrad|Adadelta|Adam|RMSProp|Momentum)(_\d+)?"
)
_MOST_SAFETENSORS_HEADER = 10**8  # bytes, as its specification has it
_NUMBERED_BY_KERAS = re.compile(r"(.*/)?vars/\d+")
_GRAPH_VARIABLE = re.compile(
    rf"{TF1_SCOPE}/.*/(weights|biases|beta|gamma|moving_mean|moving_variance)"
)


@dataclass(frozen=True)
class WeightFile:
    """A published file, open.

    Attributes:
        path: the file with the numbers; of a checkpoint, its data file.
        source: the name of the file, or of the folder and the checkpoint in it.
        weights_format: one of ``model_card.WEIGHTS_FORMATS``.
        arrays: TF 1 name to array in the reference's layout, without what only training needs;
            what has no counterpart there keeps its own name.
        identities: how many people the file's classifier tells apart; None without classifier.
    """

    path: Path
    source: str
    weights_format: str
    arrays: Mapping[str, StoredArray]
    identities: int | None


@contextmanager
def open_weight_file(path: str | Path) -> Iterator[WeightFile]:
    """Open a published file of any of the four formats, recognised by its content.

    In a folder the checkpoint is what counts (an ``.index`` and its ``.data-00000-of-00001``);
    the frozen graph and the ``.meta`` beside it, which the releases have too, are passed over.

    Args:
        path: the folder or the prefix of a checkpoint (``.../model-20180402-114759.ckpt-275``),
            or a file.

    Yields:
        The file; its arrays can be read within the block.

    Raises:
        FacenetError: when it is none of these, is damaged, or could do harm.
    """
    path = Path(path)
    with explain_damage(path):
        prefix = _checkpoint_prefix(path)
    if prefix is not None:
        stored = read_tf1_checkpoint(prefix)
        kept = {name: a for name, a in stored.items() if not _TRAINING_ONLY.fullmatch(name)}
        folder = f"{path.absolute().name}/" if path.is_dir() else ""
        yield WeightFile(
            _beside(prefix, _DATA),
            f"{folder}{prefix.name}",
            "tf1_checkpoint",
            kept,
            _identities(stored.get("Logits/weights"), axis=1),
        )
        return
    start = _first_bytes(path)
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        with open_hdf5(path) as stored:
            yield WeightFile(path, path.name, "keras_h5", _from_keras(path, stored), None)
    elif start.startswith((b"PK\x03\x04", TORCH_MAGIC)):
        with open_torch(path) as stored:
            identities = _identities(stored.get("logits.weight"), axis=0)
            yield WeightFile(
                path, path.name, "facenet_pytorch", _from_torch(path, stored), identities
            )
    elif _CHECKPOINT_PART.fullmatch(path.name):  # such a .meta is a graph, but without weights
        raise FacenetError(
            f"{path}: expected {_EXPECTED}, found one file of a TF 1 checkpoint; name its folder, "
            f"{path.parent}"
        )
    elif start.startswith(b"\n"):  # a protocol buffer whose first field is a node
        yield WeightFile(path, path.name, "frozen_graph", read_frozen_graph(path), None)
    else:
        raise FacenetError(f"{path}: expected {_EXPECTED}, found {_other_format(path, start)}")


def read_tf1_checkpoint(prefix: Path) -> dict[str, StoredArray]:
    """Look into a TF 1 checkpoint; its graph (the ``.meta``) is neither needed nor read.

    Args:
        prefix: the path of its files without ``.index`` and ``.data-00000-of-00001``.

    Returns:
        Name to array, of everything that is in it.

    Raises:
        FacenetError: when it is damaged or its data file is missing.
    """
    import tensorflow as tf

    data = _beside(prefix, _DATA)
    with explain_damage(data):
        if not data.is_file():
            raise FacenetError(
                f"{data}: expected the numbers of {prefix.name}.index, found no file"
            )

    def stored(name: str, shape: list[int]) -> StoredArray:
        dtype = np.dtype(reader.get_variable_to_dtype_map()[name].as_numpy_dtype)
        return StoredArray(data, tuple(shape), dtype, lambda: reader.get_tensor(name))

    with explain_damage(_beside(prefix, ".index")):
        # Not tf.train.load_checkpoint: where a folder has the prefix's name, it would go in there.
        reader = tf.compat.v1.train.NewCheckpointReader(str(prefix))
        return {name: stored(name, s) for name, s in reader.get_variable_to_shape_map().items()}


def read_frozen_graph(path: Path) -> dict[str, StoredArray]:
    """Look into a frozen graph, a ``GraphDef`` whose variables have become constants.

    Args:
        path: the ``.pb`` file. It is parsed, and neither imported nor run.

    Returns:
        Name to array, of every constant that has the name of a variable of the network.

    Raises:
        FacenetError: when it is no graph, is damaged, or names two nodes alike.
    """
    import tensorflow as tf

    def stored(tensor: Any) -> StoredArray:
        shape = tuple(int(dimension.size) for dimension in tensor.tensor_shape.dim)
        dtype = np.dtype(tf.dtypes.as_dtype(tensor.dtype).as_numpy_dtype)
        return StoredArray(path, shape, dtype, lambda: tf.make_ndarray(tensor))

    with explain_damage(path):
        if path.stat().st_size > _MOST_PROTOBUF:
            raise FacenetError(f"{path}: expected at most {_MOST_PROTOBUF} bytes")
        graph = tf.compat.v1.GraphDef.FromString(path.read_bytes())
        nodes = [node for node in graph.node if _GRAPH_VARIABLE.fullmatch(node.name)]
        constants = [node for node in nodes if node.op == "Const"]
        arrays = {node.name: stored(node.attr["value"].tensor) for node in constants}
        if len(arrays) != len(constants):
            raise ValueError("two nodes of the graph have one name")
        if nodes and not constants:
            raise FacenetError(f"{path}: expected a frozen graph, found one with variables")
        return arrays


def _other_format(path: Path, start: bytes) -> str:
    """Say what a file is that is none of the four formats, and what to do with it."""
    text = " ".join(start.decode("ascii", "replace").split())
    if start.startswith(b"\x08\x01\x12"):
        return "the graph of a SavedModel; what facenet export wrote needs no import"
    if start.startswith(b"\x08") and (path.suffix == ".onnx" or b"onnx" in start):
        return "an ONNX model, which names weights as it likes; name the file that it was made of"
    if start[4:8] == b"TFL3":
        return "a LiteRT model, whose weights are rearranged; name the file that it was made of"
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < _MOST_SAFETENSORS_HEADER:
        return (
            "a safetensors file; save what is in it with torch: "
            "torch.save(safetensors.torch.load_file(FILE), 'weights.pt')"
        )
    if start[257:262] == b"ustar":
        return "a tar archive; unpack it and name what was in it"
    if start.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS in place of the file; 'git lfs pull' fetches it"
    if start.lstrip()[:1] == b"<":
        return "a web page, as a download that did not succeed leaves it"
    if text.isascii() and text.isprintable():
        return f"a text that begins with {shown(text, 30)}"
    return describe_bytes(start) or "a file of another kind"


def _from_keras(path: Path, stored: Mapping[str, StoredArray]) -> dict[str, StoredArray]:
    """Rename ``<layer>/.../<variable>:0``, in a whole model below ``model_weights``."""
    if stored and all(_NUMBERED_BY_KERAS.fullmatch(name) for name in stored):
        raise FacenetError(
            f"{path}: expected weights by the names of their layers, found a file of weights that "
            "Keras 3 saved (.weights.h5), where layers are numbered; load it into its model and "
            "save that as HDF5: model.save('weights.h5')"
        )
    model = "model_weights/"
    if any(name.startswith(model) for name in stored):
        stored = {n.removeprefix(model): a for n, a in stored.items() if n.startswith(model)}
    tf1_names = _keras_names()
    arrays: dict[str, StoredArray] = {}
    for place, array in stored.items():
        layer, variable = place.split("/")[0], place.split("/")[-1].split(":")[0]
        name = tf1_names.get((layer, variable), place)
        if name in arrays:
            raise FacenetError(f"{path}: {place}: a second array for {name}")
        arrays[name] = array
    return arrays


def _from_torch(path: Path, stored: Mapping[str, StoredArray]) -> dict[str, StoredArray]:
    """Rename, and put outputs last: torch has (out, in, height, width) and (out, in)."""
    outputs_last = {4: (2, 3, 1, 0), 2: (1, 0)}
    tf1_names = _torch_names()
    arrays: dict[str, StoredArray] = {}
    for name, array in stored.items():
        if name.endswith(".num_batches_tracked") or name in ("logits.weight", "logits.bias"):
            continue
        tf1_name = tf1_names.get(name, name)
        if tf1_name in arrays:
            raise FacenetError(f"{path}: {name}: a second array for {tf1_name}")
        axes = outputs_last.get(len(array.shape))
        arrays[tf1_name] = array.transposed(axes) if axes else array
    return arrays


# The convolutions of each branch of a block, in torch's order, by their names in TF 1.
_BLOCKS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "block35": (
        ("Conv2d_1x1",),
        ("Conv2d_0a_1x1", "Conv2d_0b_3x3"),
        ("Conv2d_0a_1x1", "Conv2d_0b_3x3", "Conv2d_0c_3x3"),
    ),
    "block17": (("Conv2d_1x1",), ("Conv2d_0a_1x1", "Conv2d_0b_1x7", "Conv2d_0c_7x1")),
    "block8": (("Conv2d_1x1",), ("Conv2d_0a_1x1", "Conv2d_0b_1x3", "Conv2d_0c_3x1")),
    "Mixed_6a": (("Conv2d_1a_3x3",), ("Conv2d_0a_1x1", "Conv2d_0b_3x3", "Conv2d_1a_3x3")),
    "Mixed_7a": (
        ("Conv2d_0a_1x1", "Conv2d_1a_3x3"),
        ("Conv2d_0a_1x1", "Conv2d_1a_3x3"),
        ("Conv2d_0a_1x1", "Conv2d_0b_3x3", "Conv2d_1a_3x3"),
    ),
}


def _blocks() -> Iterator[tuple[str, str, str]]:
    """Yield kind, TF 1 scope and torch module of every block."""
    stages = (("Repeat", "block35", 5), ("Repeat_1", "block17", 10), ("Repeat_2", "block8", 5))
    for stage, (scope, kind, count) in enumerate(stages, start=1):
        for number in range(count):
            yield kind, f"{scope}/{kind}_{number + 1}", f"repeat_{stage}.{number}"
    yield "block8", "Block8", "block8"
    yield "Mixed_6a", "Mixed_6a", "mixed_6a"
    yield "Mixed_7a", "Mixed_7a", "mixed_7a"


def _torch_names() -> dict[str, str]:
    """Return the TF 1 name of every variable in facenet-pytorch's state dict."""
    stem = ("1a_3x3", "2a_3x3", "2b_3x3", "3b_1x1", "4a_3x3", "4b_3x3")
    convolutions = {f"conv2d_{name[:2]}": f"Conv2d_{name}" for name in stem}
    names = {"last_linear.weight": "Bottleneck/weights"}
    for kind, scope, module in _blocks():
        for branch, layers in enumerate(_BLOCKS[kind]):
            for place, layer in enumerate(layers):
                # A branch of one convolution is not wrapped in a sequence there.
                number = f".{place}" if len(layers) > 1 else ""
                convolutions[f"{module}.branch{branch}{number}"] = (
                    f"{scope}/Branch_{branch}/{layer}"
                )
        if kind.startswith("block"):
            names[f"{module}.conv2d.weight"] = f"{scope}/Conv2d_1x1/weights"
            names[f"{module}.conv2d.bias"] = f"{scope}/Conv2d_1x1/biases"
    names |= {f"{module}.conv.weight": f"{scope}/weights" for module, scope in convolutions.items()}
    normalizations = {f"{module}.bn": scope for module, scope in convolutions.items()}
    for module, scope in (normalizations | {"last_bn": "Bottleneck"}).items():
        names[f"{module}.weight"] = f"{scope}/BatchNorm/gamma"
        names[f"{module}.bias"] = f"{scope}/BatchNorm/beta"
        names[f"{module}.running_mean"] = f"{scope}/BatchNorm/moving_mean"
        names[f"{module}.running_var"] = f"{scope}/BatchNorm/moving_variance"
    return {name: f"{TF1_SCOPE}/{tf1_name}" for name, tf1_name in names.items()}


def _keras_names() -> dict[tuple[str, str], str]:
    """Return the TF 1 name of every layer and variable of the Keras releases.

    A layer's name there is the TF 1 scope with underscores: without ``Repeat``, with blocks in
    capitals and the last block as the sixth. DeepFace also numbers the second branch of a 17x17
    or 8x8 block like the block (``Block17_4_Branch_4_Conv2d_0a_1x1``).
    """
    variables = {"weights": "kernel", "biases": "bias"}
    names = {}
    for tf1_name in _torch_names().values():
        scope, variable = tf1_name.removeprefix(f"{TF1_SCOPE}/").rsplit("/", 1)
        layer = re.sub(r"^Block8/", "Block8_6/", re.sub(r"^Repeat\w*/b", "B", scope))
        layer = layer.replace("/", "_")
        deepface = re.sub(r"^(Block17|Block8)_(\d+)_Branch_1_", r"\1_\2_Branch_\2_", layer)
        if scope.startswith("Block8/"):
            deepface = layer
        for name in (layer, deepface):
            names[name, variables.get(variable, variable)] = tf1_name
    return names


def _checkpoint_prefix(path: Path) -> Path | None:
    """Return the prefix of the one checkpoint at ``path``; None if ``path`` is a file."""
    if not path.is_dir():
        return path if not path.exists() and _beside(path, ".index").is_file() else None
    names = [entry.stem for entry in list_folder(path) if entry.suffix == ".index"]
    if not names:
        found = ", ".join(entry.name for entry in list_folder(path)[:5]) or "nothing"
        raise FacenetError(f"{path}: expected a folder with a TF 1 checkpoint, found {found}")
    if len(names) > 1:
        raise FacenetError(
            f"{path}: expected one checkpoint, found {', '.join(names)}; name one of them, "
            f"for example {path / names[-1]}"
        )
    return path / names[0]


def _beside(prefix: Path, suffix: str) -> Path:
    return prefix.with_name(f"{prefix.name}{suffix}")


def _first_bytes(path: Path) -> bytes:
    with explain_damage(path):
        if not path.is_file():
            found = "something else" if path.exists() else "nothing"
            raise FacenetError(f"{path}: expected {_EXPECTED}, found {found}")
        with path.open("rb") as file:
            start = file.read(512)  # as far as a tar archive has its sign
    if not start:
        raise FacenetError(f"{path}: expected {_EXPECTED}, found an empty file")
    return start


def _identities(classifier: StoredArray | None, axis: int) -> int | None:
    if classifier is None or len(classifier.shape) != 2:
        return None
    return classifier.shape[axis]
