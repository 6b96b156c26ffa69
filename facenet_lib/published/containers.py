"""Arrays in files that strangers made: looked at first, read only when they are what is wanted.

A published weight file is a stranger's file: it may be cut short, claim to hold terabytes, or be
a program (a torch file is a pickle, and unpickling runs what the pickle says). So nothing here
unpickles or runs anything, and opening a file reads only names, shapes and types: whoever wants
an array compares its shape first and then has it read. This module knows the containers (NumPy's
``.npz``, HDF5, torch's two layouts); ``formats`` knows whose weights they hold. Derived in
chapter 11, "The published weights".
"""

from __future__ import annotations

import io
import itertools
import math
import pickletools
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np

from facenet_lib.errors import FacenetError, refuse, shown

TORCH_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The pickled number with which torch's layout from before version 1.6 begins."""

_MOST_NPY_HEADER = 4096  # bytes; an array's own header takes about 128
_MOST_PICKLE = 2**24  # bytes; the state dict of this network takes about 120,000
_MOST_HDF5_OBJECTS = 10_000  # this network's layers, groups and datasets are about 1,500


@dataclass(frozen=True)
class StoredArray:
    """An array that is still in its file; ``np.asarray`` of it reads it.

    Attributes:
        path: the file, for messages.
        shape: what the file says of its shape; reading fails if that is not true.
        dtype: what the file says of its type.
        read: reads it, while the file is open.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[], np.ndarray]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        with explain_damage(self.path):
            values = np.asarray(self.read(), dtype)
        if values.shape != self.shape:
            raise FacenetError(
                f"{self.path}: damaged: expected an array of shape {self.shape}, "
                f"found {values.shape}"
            )
        return values

    def transposed(self, axes: Sequence[int]) -> StoredArray:
        """Return the same array with its axes in another order, still unread."""
        shape = tuple(self.shape[axis] for axis in axes)
        return StoredArray(self.path, shape, self.dtype, lambda: self.read().transpose(axes))


@contextmanager
def explain_damage(path: Path) -> Iterator[None]:
    """Tell in one line of whatever goes wrong while ``path`` is read.

    Raises:
        FacenetError: in place of any other error, because damage has no one type of error.
    """
    try:
        yield
    except FacenetError:
        raise
    except OSError as error:
        raise FacenetError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FacenetError(f"{path}: damaged: {reason}") from error


@contextmanager
def open_npz(path: Path) -> Iterator[dict[str, StoredArray]]:
    """Open a ``.npz`` archive of NumPy, compressed or not.

    Yields:
        Name to array; they can be read within the block.

    Raises:
        FacenetError: when it is damaged, or holds Python objects.
    """
    with explain_damage(path):
        archive = zipfile.ZipFile(path)
    with archive:
        with explain_damage(path):
            arrays = {}
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                if name in arrays:
                    raise FacenetError(f"{path}: damaged: two arrays are named {name}")
                arrays[name] = _npy(path, archive, member)
        yield arrays


def _npy(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> StoredArray:
    with _unpacked(path, archive, member) as file:
        start = io.BytesIO(file.read(_MOST_NPY_HEADER))
    version = np.lib.format.read_magic(start)
    if version != (1, 0):
        raise ValueError(f"{member.filename}: expected format 1.0, found {version}")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(start)
    header = start.tell()
    if dtype.hasobject:
        raise FacenetError(f"{path}: {member.filename}: expected numbers, found Python objects")
    if member.file_size != header + math.prod(shape) * dtype.itemsize:
        raise ValueError(
            f"{member.filename}: an array of shape {shape} and type {dtype} "
            f"does not take {member.file_size} bytes"
        )

    def read() -> np.ndarray:
        values = np.frombuffer(_bytes_of(path, archive, member), dtype, offset=header)
        return values.reshape(shape, order="F" if fortran else "C")

    return StoredArray(path, shape, dtype, read)


def _unpacked(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    # Of the other methods zipfile unpacks whole blocks, however few bytes are asked for.
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise FacenetError(f"{path}: {member.filename}: expected it stored or deflated")
    return archive.open(member)


def _bytes_of(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Read a member whose promised size is wanted; it may unpack to more, so that much is read."""
    with _unpacked(path, archive, member) as file:
        data = file.read(member.file_size)
    if len(data) != member.file_size:
        raise FacenetError(
            f"{path}: damaged: {member.filename}: expected {member.file_size} bytes, "
            f"found {len(data)}"
        )
    return data


@contextmanager
def open_hdf5(path: Path) -> Iterator[dict[str, StoredArray]]:
    """Open an HDF5 file whose datasets are plain: in the file itself, whole and uncompressed.

    Yields:
        Path in the file, without the leading slash, to array; readable within the block.

    Raises:
        FacenetError: when it is damaged, leads to another file by a link or by external storage,
            or holds a dataset that is compressed, virtual or without data.
    """
    with explain_damage(path):
        file = h5py.File(path, "r")
    with file:
        with explain_damage(path):
            arrays = _hdf5_datasets(path, file)
        yield arrays


def _hdf5_datasets(path: Path, file: Any) -> dict[str, StoredArray]:
    arrays = {}
    problems = []
    groups = [("", file)]
    seen = 0
    while groups:
        place, group = groups.pop()
        for key in group:
            name = f"{place}{key}"
            seen += 1
            if seen > _MOST_HDF5_OBJECTS:  # or a group that is inside itself
                raise FacenetError(f"{path}: more than {_MOST_HDF5_OBJECTS} groups and datasets")
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                problems.append(f"{name}: expected a group or a dataset, found a link elsewhere")
                continue
            found = group[key]
            if isinstance(found, h5py.Group):
                groups.append((f"{name}/", found))
            elif not isinstance(found, h5py.Dataset) or not _is_plain(found):
                problems.append(f"{name}: expected a dataset stored whole, without compression")
            else:
                arrays[name] = _hdf5_array(path, found)
    refuse(str(path), problems)
    return arrays


def _is_plain(dataset: Any) -> bool:
    # What is compressed, virtual or not there takes another size than its numbers do; a chunk
    # can unpack to more than its dataset, so chunks are refused whatever they take.
    return (
        dataset.shape is not None
        and dataset.chunks is None
        and not dataset.external
        and dataset.id.get_storage_size() == dataset.nbytes
    )


def _hdf5_array(path: Path, dataset: Any) -> StoredArray:
    return StoredArray(path, dataset.shape, dataset.dtype, lambda: dataset[()])


# Of what a pickle may name, these are all that a checkpoint needs. None of them is imported or
# called: a storage is known by the type of its numbers, the other two by what they would make.
_ORDERED_DICT = object()
_TENSOR = object()
_NAMES: Mapping[str, Any] = {
    "collections OrderedDict": _ORDERED_DICT,
    "torch._utils _rebuild_tensor_v2": _TENSOR,
    "torch HalfStorage": np.dtype("<f2"),
    "torch FloatStorage": np.dtype("<f4"),
    "torch DoubleStorage": np.dtype("<f8"),
    "torch BoolStorage": np.dtype("?"),
    "torch ByteStorage": np.dtype("u1"),  # a checkpoint's random numbers
    "torch IntStorage": np.dtype("<i4"),
    "torch LongStorage": np.dtype("<i8"),
}


@dataclass(frozen=True)
class _Storage:
    """The numbers of a tensor, which lie elsewhere in the file under ``key``."""

    key: str
    dtype: np.dtype[Any]
    count: int

    @property
    def nbytes(self) -> int:
        return self.count * self.dtype.itemsize


@dataclass(frozen=True)
class _Tensor:
    """How a storage's numbers are arranged; offset and strides count numbers, not bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def arranged(self, numbers: bytes) -> np.ndarray:
        flat = np.frombuffer(numbers, self.storage.dtype, self.storage.count)
        strides = [stride * flat.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(flat, self.shape, strides, writeable=False)


@contextmanager
def open_torch(path: Path) -> Iterator[dict[str, StoredArray]]:
    """Open a state dict that ``torch.save`` wrote, in today's layout or the one before 1.6.

    It may be alone or part of a checkpoint, beside an epoch or an optimizer's state, and of a
    module that was trained inside ``DataParallel`` or compiled, whose prefix is taken off.

    The pickle in it is carried out by a machine that knows the few instructions of a state dict,
    imports nothing and calls nothing.

    Yields:
        Name to array; they can be read within the block.

    Raises:
        FacenetError: when it is damaged, or holds anything else.
    """
    with explain_damage(path):
        file = path.open("rb")
    with file:
        with explain_damage(path):
            legacy = file.read(len(TORCH_MAGIC)) == TORCH_MAGIC
            arrays = _legacy_torch(path, file) if legacy else _zipped_torch(path, file)
        yield arrays


def _zipped_torch(path: Path, file: IO[bytes]) -> dict[str, StoredArray]:
    archive = zipfile.ZipFile(file)
    members = {member.filename: member for member in archive.infolist()}
    pickles = [name for name in members if name.split("/")[-1] == "data.pkl"]
    if len(pickles) != 1:
        raise FacenetError(
            f"{path}: expected torch's archive with one data.pkl, found {_other_archive(members)}"
        )
    # torch compresses nothing: a member that is compressed was made by somebody else.
    packed = [name for name, m in members.items() if m.compress_type != zipfile.ZIP_STORED]
    refuse(str(path), [f"{name}: expected it stored without compression" for name in packed])
    folder = pickles[0].removesuffix("data.pkl")
    if members[pickles[0]].file_size > _MOST_PICKLE:
        raise FacenetError(f"{path}: {pickles[0]}: larger than {_MOST_PICKLE} bytes")
    order = members.get(f"{folder}byteorder")
    if order is not None and (order.file_size > 16 or _bytes_of(path, archive, order) != b"little"):
        raise FacenetError(f"{path}: expected numbers in little-endian order")
    pickled = io.BytesIO(_bytes_of(path, archive, members[pickles[0]]))
    tensors = _tensors(path, _carried_out(path, pickled, {}))

    def stored(name: str, tensor: _Tensor) -> StoredArray:
        member = members.get(f"{folder}data/{tensor.storage.key}")
        if member is None or member.file_size != tensor.storage.nbytes:
            found = "nothing" if member is None else f"{member.file_size}"
            raise FacenetError(
                f"{path}: damaged: {name}: expected {tensor.storage.nbytes} bytes, found {found}"
            )

        def read() -> np.ndarray:
            return tensor.arranged(_bytes_of(path, archive, member))

        return StoredArray(path, tensor.shape, tensor.storage.dtype, read)

    return {name: stored(name, tensor) for name, tensor in tensors.items()}


def _other_archive(members: Collection[str]) -> str:
    """Say what a zip archive is that is not torch's, and what to do with it."""
    if "model.weights.h5" in members:
        return (
            "a model that Keras 3 saved (.keras), where layers are numbered and not named; load it "
            "with Keras and save it as HDF5: model.save('weights.h5')"
        )
    if members and all(name.endswith(".npy") for name in members):
        return "arrays that NumPy saved (.npz), of no format that weights were published in"
    return (
        f"{shown(', '.join(itertools.islice(members, 5)), 200)}; an archive that was packed for "
        "the download, as the reference's are, is to be unpacked first, and its folder named"
    )


def _legacy_torch(path: Path, file: IO[bytes]) -> dict[str, StoredArray]:
    # After the magic number: version, machine, state dict and the storages' order, all pickled;
    # then of each storage its count in eight bytes and its numbers.
    _carried_out(path, file, {})
    machine = _carried_out(path, file, {})
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise FacenetError(f"{path}: expected numbers in little-endian order")
    storages: dict[str, _Storage] = {}  # of all tensors, those of an optimizer too
    tensors = _tensors(path, _carried_out(path, file, storages))
    keys = _carried_out(path, file, {})
    # Text only: what else a small pickle can nest may take terabytes as text.
    names_only = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    if not names_only or sorted(keys) != sorted(storages):
        raise FacenetError(f"{path}: damaged: the storages are not those of the tensors")
    size = path.stat().st_size
    places = {}
    for key in keys:
        count = int.from_bytes(file.read(8), "little", signed=True)
        if count != storages[key].count or file.tell() + storages[key].nbytes > size:
            raise FacenetError(
                f"{path}: damaged: expected {storages[key].count} numbers in storage {key}, "
                f"found {count} in a file with {max(size - file.tell(), 0)} more bytes"
            )
        places[key] = file.tell()
        file.seek(storages[key].nbytes, io.SEEK_CUR)

    def stored(tensor: _Tensor) -> StoredArray:
        def read() -> np.ndarray:
            file.seek(places[tensor.storage.key])
            return tensor.arranged(file.read(tensor.storage.nbytes))

        return StoredArray(path, tensor.shape, tensor.storage.dtype, read)

    return {name: stored(tensor) for name, tensor in tensors.items()}


_STATE_DICTS = ("state_dict", "model_state_dict", "model")
"""What a checkpoint calls the state dict of its network."""
_PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before all names of the module that they wrap."""


def _tensors(path: Path, pickled: Any) -> dict[str, _Tensor]:
    """The state dict that was saved, alone or in a checkpoint, by the names of its module."""
    if not isinstance(pickled, dict):
        raise FacenetError(f"{path}: expected a dictionary of tensors, found another object")
    inner = next((name for name in _STATE_DICTS if isinstance(pickled.get(name), dict)), None)
    state = pickled if inner is None else pickled[inner]
    others = [name for name, value in state.items() if not isinstance(value, _Tensor)]
    hint = "" if inner else f" (a checkpoint has its tensors in {' or '.join(_STATE_DICTS)})"
    problems = [f"{name}: expected a tensor, found another object{hint}" for name in others]
    refuse(str(path), problems + [f"{n}: expected a name" for n in state if not isinstance(n, str)])
    if not all(map(_fills_its_storage, state.values())):
        raise _pickle_refused(path, "has a tensor that is not all of its storage")
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _carried_out(path: Path, file: IO[bytes], storages: dict[str, _Storage]) -> Any:
    """Carry out one pickle from ``file`` as far as a checkpoint needs it; note its storages."""
    stack: list[Any] = []
    below_marks: list[list[Any]] = []
    memo: dict[int, Any] = {}
    start = file.tell()
    instructions: Iterator[tuple[Any, Any, Any]] = pickletools.genops(file)
    for opcode, argument, position in instructions:
        if position - start > _MOST_PICKLE:
            raise FacenetError(f"{path}: a pickle of more than {_MOST_PICKLE} bytes")
        match opcode.name:
            case "PROTO" | "STOP":
                pass
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode.name])
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE":
                stack.append(argument)
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                stack.append({"EMPTY_DICT": {}, "EMPTY_LIST": []}.get(opcode.name, ()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                length = int(opcode.name[-1])
                stack[-length:] = [tuple(stack[-length:])]
            case "MARK":
                below_marks.append(stack)
                stack = []
            case "TUPLE" | "APPENDS" | "SETITEMS":
                items, stack = stack, below_marks.pop()
                if opcode.name == "TUPLE":
                    stack.append(tuple(items))
                elif opcode.name == "APPENDS" and isinstance(stack[-1], list):
                    stack[-1].extend(items)
                else:
                    _set_items(path, stack[-1], items)
            case "APPEND" if isinstance(stack[-2], list):
                stack[-2].append(stack.pop())
            case "SETITEM":
                items = [stack.pop(-2), stack.pop()]
                _set_items(path, stack[-1], items)
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                if argument not in _NAMES:
                    raise _pickle_refused(path, f"names {argument.replace(' ', '.')}")
                stack.append(_NAMES[argument])
            case "BINPERSID":
                storage = _storage(path, stack.pop())
                if storages.setdefault(storage.key, storage) != storage:
                    raise FacenetError(
                        f"{path}: storage {shown(storage.key)} is described twice, with different "
                        "counts or types of numbers"
                    )
                stack.append(storage)
            case "REDUCE":
                arguments = stack.pop()
                stack.append(_made(path, stack.pop(), arguments))
            case "BUILD" if isinstance(stack[-2], dict):
                stack.pop()  # torch's versions of the layers, an attribute of the dictionary
            case other:
                raise _pickle_refused(path, f"has the instruction {other}")
    return stack.pop()


def _set_items(path: Path, target: Any, items: Sequence[Any]) -> None:
    keys = items[::2]
    if not isinstance(target, dict) or not all(map(_is_key, keys)):
        raise _pickle_refused(path, "sets items of something other than a dictionary of names")
    target.update(zip(keys, items[1::2], strict=True))


def _is_key(key: object) -> bool:
    """Whether it is a name, or the number of a parameter, as an optimizer's state has them."""
    return isinstance(key, str) or (type(key) is int and 0 <= key < 2**31)


def _storage(path: Path, identifier: Any) -> _Storage:
    match identifier:
        case ("storage", np.dtype() as dtype, str(key), str(), int(count), *view) if (
            view in ([], [None]) and count >= 0
        ):
            return _Storage(key, dtype, count)
    raise _pickle_refused(path, "refers to something other than a whole storage")


def _made(path: Path, what: Any, arguments: Any) -> Any:
    match arguments:
        case () if what is _ORDERED_DICT:
            return {}
        case (_Storage() as storage, int(offset), tuple(shape), tuple(strides), bool(), *_) if (
            what is _TENSOR
        ):
            return _Tensor(storage, offset, shape, strides)
    raise _pickle_refused(path, "makes something other than tensors and dictionaries")


def _fills_its_storage(tensor: _Tensor) -> bool:
    shape, strides = tensor.shape, tensor.strides
    return (
        tensor.offset == 0
        and len(shape) == len(strides) <= 8
        and all(type(number) is int and number >= 0 for number in shape + strides)
        and math.prod(shape) == tensor.storage.count
        and sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
        < max(tensor.storage.count, 1)
    )


def _pickle_refused(path: Path, what: str) -> FacenetError:
    return FacenetError(
        f"{path}: expected a state dict of tensors, found a pickle that {what}; nothing of it was "
        "run. Where you trust the file, load it with torch and save the state dict alone: "
        "torch.save(model.state_dict(), FILE)"
    )
