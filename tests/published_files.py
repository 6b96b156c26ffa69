"""Writes weights the way the four projects published them, with their own names and layouts.

The names are made from the TF 1 ones by each project's own rule, written out here anew, so that
the tests do not compare the library's tables with themselves.
"""

from __future__ import annotations

import io
import pickle
import re
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

import h5py
import numpy as np
import tensorflow as tf

Arrays = Mapping[str, np.ndarray]


def with_128_numbers(arrays: Arrays) -> dict[str, np.ndarray]:
    """The variables as the releases of 2017 have them: the bottleneck is narrower."""
    return {
        name: values[..., :128] if "/Bottleneck/" in name else values
        for name, values in arrays.items()
    }


def write_checkpoint(prefix: Path, arrays: Arrays) -> None:
    names = list(arrays)
    tensors = [tf.constant(arrays[name]) for name in names]
    tf.raw_ops.SaveV2(
        prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=tensors
    )


def write_release(folder: Path, arrays: Arrays) -> Path:
    """A release as it is unpacked: checkpoint, graph of the training, frozen graph."""
    folder.mkdir()
    classifier = {
        "Logits/weights": np.zeros((4, 8631), np.float32),
        "Logits/biases": np.zeros(8631, np.float32),
    }
    write_checkpoint(folder / "model-20180402-114759.ckpt-275", dict(arrays) | classifier)
    (folder / "model-20180402-114759.meta").write_bytes(b"must not be read")
    (folder / "20180402-114759.pb").write_bytes(b"must not be read either")
    return folder


def write_graph(path: Path, arrays: Arrays) -> Path:
    graph = tf.compat.v1.GraphDef()
    graph.node.add(name="input", op="Placeholder")
    for name, values in arrays.items():
        constant = graph.node.add(name=name, op="Const")
        constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(values))
        graph.node.add(name=f"{name}/read", op="Identity", input=[name])
    scale = graph.node.add(name="InceptionResnetV1/Repeat/block35_1/mul/x", op="Const")
    scale.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.float32(0.17)))
    path.write_bytes(graph.SerializeToString())
    return path


def keras_names(tf1_name: str, deepface: bool = False) -> tuple[str, str]:
    """Layer and weight, as keras-facenet's converter renames the tensors of a checkpoint."""
    scope, variable = tf1_name.removeprefix("InceptionResnetV1/").rsplit("/", 1)
    layer = scope.replace("/", "_")
    layer = re.sub("Repeat_[0-9_]*b", "B", layer)
    layer = re.sub("^Block8_(?=[A-Za-z])", "Block8_6_", layer)
    block = re.match(r"Block(?:17|8)_(\d+)_", layer)
    if deepface and block and not layer.startswith("Block8_6_"):
        layer = layer.replace("_Branch_1_", f"_Branch_{block[1]}_")
    return layer, {"weights": "kernel", "biases": "bias"}.get(variable, variable)


def write_keras(
    path: Path, arrays: Arrays, whole_model: bool = False, deepface: bool = False
) -> Path:
    with h5py.File(path, "w") as file:
        layers = file.create_group("model_weights") if whole_model else file
        layers.create_group("Block35_1_Activation")  # layers without weights are there too
        for name, values in arrays.items():
            layer, weight = keras_names(name, deepface)
            layers.require_group(layer).create_dataset(f"{layer}/{weight}:0", data=values)
        if whole_model:
            file.attrs["model_config"] = '{"class_name": "Lambda"}'
            file.create_dataset("optimizer_weights/training/Adam/iterations:0", data=np.int64(0))
    return path


def torch_name(tf1_name: str) -> str:
    """What the module is called in facenet-pytorch: in a branch, convolutions are counted."""
    scope, variable = tf1_name.removeprefix("InceptionResnetV1/").rsplit("/", 1)
    parts = scope.split("/")
    normalization = parts[-1] == "BatchNorm"
    if normalization:
        parts.pop()
    leaf = {
        "weights": "weight",
        "biases": "bias",
        "beta": "bias",
        "moving_mean": "running_mean",
        "moving_variance": "running_var",
    }[variable]
    if parts == ["Bottleneck"]:
        return f"last_bn.{leaf}" if normalization else f"last_linear.{leaf}"
    if len(parts) == 1:  # the stem
        module = parts[0].rsplit("_", 1)[0].lower()
    else:
        if parts[0].startswith("Repeat"):
            stage = {"Repeat": 1, "Repeat_1": 2, "Repeat_2": 3}[parts[0]]
            module = f"repeat_{stage}.{int(parts[1].rsplit('_', 1)[1]) - 1}"
            parts = parts[1:]
        else:
            module = parts[0].lower()
        if len(parts) == 2:
            return f"{module}.conv2d.{leaf}"
        branch = int(parts[1][-1])
        module = f"{module}.branch{branch}"
        if not (branch == 0 and parts[0] != "Mixed_7a"):
            order = {"0a": 0, "0b": 1, "0c": 2, "1a": 2}[parts[2].split("_")[1]]
            if parts[0] == "Mixed_7a" and branch < 2 and order == 2:
                order = 1  # these two branches have no 0b
            module = f"{module}.{order}"
    return f"{module}.bn.{leaf}" if normalization else f"{module}.conv.{leaf}"


def torch_state(arrays: Arrays, identities: int = 8631) -> dict[str, np.ndarray]:
    """The state dict, with what torch adds to it: factors of one, counters, the classifier."""
    state: dict[str, np.ndarray] = {}
    for name, values in arrays.items():
        # As converted there: the axes are moved, the numbers in memory are not.
        moved = {4: (3, 2, 0, 1), 2: (1, 0)}.get(values.ndim)
        state[torch_name(name)] = values.transpose(moved) if moved else values
        if name.endswith("/beta"):
            module = torch_name(name).removesuffix(".bias")
            state[f"{module}.weight"] = np.ones(values.shape, np.float32)
            state[f"{module}.num_batches_tracked"] = np.array(0)
    state["logits.weight"] = np.zeros((identities, 4), np.float32)
    state["logits.bias"] = np.zeros(identities, np.float32)
    return state


class Storage:
    def __init__(self, key: str, values: np.ndarray) -> None:
        self.key, self.values = key, values


class Tensor:
    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def __reduce__(self) -> tuple:
        values = self.storage.values
        strides = tuple(stride // values.itemsize for stride in values.strides)
        arguments = (self.storage, 0, values.shape, strides, False, OrderedDict())
        return sys.modules["torch._utils"]._rebuild_tensor_v2, arguments


class TorchPickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, legacy: bool) -> None:
        super().__init__(file, protocol=2)
        self.legacy = legacy

    def persistent_id(self, obj: object) -> tuple | None:
        if not isinstance(obj, Storage):
            return None
        name = {"f": "FloatStorage", "i": "LongStorage", "u": "ByteStorage"}[obj.values.dtype.kind]
        kind = getattr(sys.modules["torch"], name)
        view = (None,) if self.legacy else ()
        return ("storage", kind, obj.key, "cpu", obj.values.size, *view)


def torch_pickle(state: object, legacy: bool = False) -> tuple[bytes, list[np.ndarray]]:
    """Pickle as ``torch.save`` does, and return the storages' values with it."""
    values: list[np.ndarray] = []

    def with_tensors(value: object) -> object:
        if isinstance(value, np.ndarray):
            values.append(value)
            return Tensor(Storage(str(len(values) - 1), value))
        if not isinstance(value, dict):
            return value
        made = {name: with_tensors(inner) for name, inner in value.items()}
        if any(isinstance(inner, Tensor) for inner in made.values()):  # a state dict
            made = OrderedDict(made)
            made._metadata = OrderedDict(version=1)  # type: ignore[attr-defined]
        return made

    pickled = with_tensors(state)
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in ("FloatStorage", "LongStorage", "ByteStorage"):
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    exec("def _rebuild_tensor_v2(): pass", utils.__dict__)
    file = io.BytesIO()
    with mock.patch.dict(sys.modules, {"torch": torch, "torch._utils": utils}):
        TorchPickler(file, legacy).dump(pickled)
    return file.getvalue(), values


def in_memory(values: np.ndarray) -> bytes:
    """The numbers in the order in which they lie in memory."""
    return values.transpose(np.argsort(values.strides)[::-1]).tobytes()


def write_torch(path: Path, state: object, compression: int = zipfile.ZIP_STORED) -> Path:
    """Today's layout."""
    pickled, values = torch_pickle(state)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", "little")
        for key, value in enumerate(values):
            archive.writestr(f"archive/data/{key}", in_memory(value))
        archive.writestr("archive/version", "3\n")
    return path


def write_legacy_torch(path: Path, state: object, little_endian: bool = True) -> Path:
    """The layout before torch 1.6, which the published files have."""
    pickled, values = torch_pickle(state, legacy=True)
    keys = sorted(str(key) for key in range(len(values)))
    machine = {"protocol_version": 1001, "little_endian": little_endian, "type_sizes": {"int": 4}}
    with path.open("wb") as file:
        for value in (0x1950A86A20F9469CFC6C, 1001, machine):
            pickle.dump(value, file, protocol=2)
        file.write(pickled)
        pickle.dump(keys, file, protocol=2)
        for key in keys:
            file.write(values[int(key)].size.to_bytes(8, "little"))
            file.write(in_memory(values[int(key)]))
    return path
