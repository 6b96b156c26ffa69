"""Containers are opened without trust: nothing runs, nothing large is unpacked, damage is told."""

from __future__ import annotations

import io
import os
import pickle
import re
import struct
import tracemalloc
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import published_files
import pytest

from facenet_lib.errors import FacenetError
from facenet_lib.published import containers as stored_arrays
from facenet_lib.published.containers import StoredArray, open_hdf5, open_npz, open_torch

ARRAYS = {
    "a/kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "b": np.array(7),
    "c": np.arange(6, dtype=np.float32).reshape(2, 3).transpose(1, 0),
}
GIGABYTE = 2**30


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    with path.open("wb") as file:
        np.savez(file, **arrays)
    return path


def write_hdf5(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
    return path


WRITERS: dict[str, tuple[Callable, Callable]] = {
    "npz": (write_npz, open_npz),
    "hdf5": (write_hdf5, open_hdf5),
    "torch": (published_files.write_torch, open_torch),
    "legacy torch": (published_files.write_legacy_torch, open_torch),
}


@pytest.fixture(params=WRITERS)
def container(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Callable]:
    write, opened = WRITERS[request.param]
    return write(tmp_path / "file", ARRAYS), opened


def test_names_shapes_and_numbers_come_back(container: tuple[Path, Callable]) -> None:
    path, opened = container
    with opened(path) as arrays:
        assert arrays.keys() == ARRAYS.keys()
        for name, expected in ARRAYS.items():
            assert arrays[name].shape == expected.shape
            assert arrays[name].dtype == expected.dtype
            np.testing.assert_array_equal(np.asarray(arrays[name]), expected)


def test_axes_change_places_without_reading(container: tuple[Path, Callable]) -> None:
    path, opened = container
    with opened(path) as arrays:
        turned = arrays["a/kernel"].transposed((2, 0, 1))
        assert turned.shape == (4, 2, 3)
        np.testing.assert_array_equal(turned, ARRAYS["a/kernel"].transpose(2, 0, 1))


def test_a_file_cut_short_anywhere_is_told(container: tuple[Path, Callable]) -> None:
    path, opened = container
    whole = path.read_bytes()
    # HDF5 may have unused bytes at its end; the other containers have none to spare.
    for length in range(0, len(whole) - 1, max(1, len(whole) // 200)):
        path.write_bytes(whole[:length])
        with pytest.raises(FacenetError, match=re.escape(str(path))), opened(path) as arrays:
            for array in arrays.values():
                np.asarray(array)


def test_a_wrong_byte_never_ends_in_a_raw_error(container: tuple[Path, Callable]) -> None:
    path, opened = container
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    for place in generator.integers(0, len(whole), 300):
        wrong = bytearray(whole)
        wrong[place] ^= 1 << int(generator.integers(8))
        path.write_bytes(wrong)
        try:
            with opened(path) as arrays:
                for array in arrays.values():
                    if array.shape in {values.shape for values in ARRAYS.values()}:
                        np.asarray(array)
        except FacenetError as error:
            assert str(path) in str(error)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    for _, opened in WRITERS.values():
        with pytest.raises(FacenetError, match="cannot be read"), opened(tmp_path / "none"):
            pass


def test_an_array_of_another_shape_than_promised_is_refused(tmp_path: Path) -> None:
    promised = StoredArray(tmp_path, (2, 3), np.dtype("f4"), lambda: np.zeros((3, 2), "f4"))
    with pytest.raises(FacenetError, match=r"expected an array of shape \(2, 3\), found \(3, 2\)"):
        np.asarray(promised)


# Sizes that a file only claims, or that unpack to far more than the file.


@contextmanager
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 10_000_000  # bytes, at the peak
    finally:
        tracemalloc.stop()


def refused_in_little_memory(opened: Callable, path: Path, reason: str) -> None:
    with little_memory(), pytest.raises(FacenetError, match=reason), opened(path):
        pass


def zeros_packed(path: Path, name: str, size: int, others: dict[str, bytes]) -> Path:
    """A zip bomb: ``size`` zeros that take a thousandth of that."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for other, content in others.items():
            archive.writestr(other, content)
        with archive.open(name, "w", force_zip64=True) as file:
            for _ in range(size // 2**22):
                file.write(bytes(2**22))
    assert path.stat().st_size < size / 200
    return path


def test_a_bomb_in_a_torch_archive_is_not_unpacked(tmp_path: Path) -> None:
    path = zeros_packed(tmp_path / "bomb.pt", "archive/data.pkl", GIGABYTE // 4, {})
    refused_in_little_memory(open_torch, path, "data.pkl: expected it stored without compression")


def test_a_torch_archive_is_stored_without_compression(tmp_path: Path) -> None:
    state = {"a": np.zeros(3, np.float32)}
    path = published_files.write_torch(tmp_path / "a.pt", state, zipfile.ZIP_DEFLATED)
    with pytest.raises(FacenetError) as raised:
        open_torch(path).__enter__()
    members = ("data.pkl", "byteorder", "data/0", "version")
    assert str(raised.value).splitlines() == [
        f"{path}: 4 problems",
        *(f"  archive/{member}: expected it stored without compression" for member in members),
    ]


def test_a_pickle_in_an_archive_has_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", bytes(2**24 + 1))
    refused_in_little_memory(open_torch, path, "data.pkl: larger than 16777216 bytes")


def test_a_storage_must_have_the_size_of_its_tensor(tmp_path: Path) -> None:
    pickled, _ = published_files.torch_pickle({"a": np.zeros(3, np.float32)})
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/data/0", bytes(2**24))
    refused_in_little_memory(open_torch, path, "a: expected 12 bytes, found 16777216")


def more_packed_than_promised(path: Path, method: int) -> Path:
    npy = io.BytesIO()
    np.save(npy, np.arange(3))
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.npy", npy.getvalue() + bytes(2**26))
        member = archive.getinfo("a.npy")  # what the directory will say
        member.file_size = len(npy.getvalue())
        member.CRC = zlib.crc32(npy.getvalue())
    return path


def test_no_more_is_unpacked_than_was_promised(tmp_path: Path) -> None:
    path = more_packed_than_promised(tmp_path / "bomb.npz", zipfile.ZIP_DEFLATED)
    with little_memory(), open_npz(path) as arrays:
        np.testing.assert_array_equal(arrays["a"], np.arange(3))


@pytest.mark.slow
@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_cannot_be_unpacked_in_parts_is_refused(method: int, tmp_path: Path) -> None:
    path = more_packed_than_promised(tmp_path / "bomb.npz", method)
    refused_in_little_memory(open_npz, path, r"a\.npy: expected it stored or deflated")


def test_an_array_that_unpacks_to_less_is_told(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (100,)}
    )
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", header.getvalue() + bytes(40))
        archive.getinfo("a.npy").file_size += 60
    size = len(header.getvalue()) + 100
    reason = f"npy: expected {size} bytes, found {size - 60}$"
    with pytest.raises(FacenetError, match=reason), open_npz(path) as arrays:
        np.asarray(arrays["a"])


def test_a_bomb_in_npz_is_not_unpacked(tmp_path: Path) -> None:
    path = zeros_packed(tmp_path / "bomb.npz", "a.npy", GIGABYTE // 4, {})
    refused_in_little_memory(open_npz, path, "damaged")


@pytest.mark.slow
def test_an_honest_giant_is_not_read_before_it_is_wanted(tmp_path: Path) -> None:
    header = io.BytesIO()
    shape = (GIGABYTE // 4,)
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    path = tmp_path / "giant.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("a.npy", "w", force_zip64=True) as file,
    ):
        file.write(header.getvalue())
        for _ in range(shape[0] // 2**22):
            file.write(bytes(2**22))
    with little_memory(), open_npz(path) as arrays:
        assert arrays["a"].shape == shape
    with pytest.raises(AssertionError), little_memory(), open_npz(path) as arrays:
        np.asarray(arrays["a"])


def test_a_giant_dataset_without_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "giant.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("kernel", shape=(2**40,), dtype="f4")
    refused_in_little_memory(open_hdf5, path, "kernel: expected a dataset stored whole")


def test_a_storage_that_claims_more_than_the_file_has_is_refused(tmp_path: Path) -> None:
    path = published_files.write_legacy_torch(tmp_path / "a.pt", {"a": np.zeros(3, "f4")})
    content = path.read_bytes()
    claim = content[:-20] + struct.pack("<q", 2**40) + content[-12:]
    path.write_bytes(claim)
    with pytest.raises(FacenetError, match="expected 3 numbers in storage 0, found 1099511627776"):
        open_torch(path).__enter__()


def test_numbers_are_missed_before_they_are_wanted(tmp_path: Path) -> None:
    path = published_files.write_legacy_torch(tmp_path / "a.pt", {"a": np.zeros(3, "f4")})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FacenetError, match="expected 3 numbers in storage 0, found 3 in a file"):
        open_torch(path).__enter__()


def test_a_pickle_in_a_legacy_file_has_a_limit_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = published_files.write_legacy_torch(tmp_path / "a.pt", {"a": np.zeros(3, "f4")})
    monkeypatch.setattr(stored_arrays, "_MOST_PICKLE", 100)
    with pytest.raises(FacenetError, match="a pickle of more than 100 bytes"):
        open_torch(path).__enter__()


def test_what_is_no_key_of_a_storage_is_not_made_into_text(tmp_path: Path) -> None:
    nested: tuple = ()
    for _ in range(24):  # as text 2**24 times as long as here
        nested = (nested, nested)
    path = published_files.write_legacy_torch(tmp_path / "a.pt", {"a": np.zeros(3, "f4")})
    keys = pickle.dumps(["0"], protocol=2)
    assert path.read_bytes().count(keys) == 1
    path.write_bytes(path.read_bytes().replace(keys, pickle.dumps([nested], protocol=2)))
    refused_in_little_memory(open_torch, path, "the storages are not those of the tensors")


@pytest.mark.parametrize("write", [published_files.write_torch, published_files.write_legacy_torch])
@pytest.mark.parametrize("other", [np.zeros(2, "f4"), np.zeros(2, "i8")], ids=["count", "type"])
def test_a_storage_described_twice_is_refused(
    write: Callable, other: np.ndarray, tmp_path: Path
) -> None:
    tensor = published_files.Tensor(published_files.Storage("0", other))
    path = write(tmp_path / "a.pt", {"a": np.zeros(4, "f4"), "b": tensor})
    with pytest.raises(FacenetError, match="storage '0' is described twice, with"):
        open_torch(path).__enter__()


@pytest.mark.parametrize("write", [published_files.write_torch, published_files.write_legacy_torch])
def test_two_tensors_may_share_a_storage(write: Callable, tmp_path: Path) -> None:
    values = np.arange(6, dtype="f4")
    tensor = published_files.Tensor(published_files.Storage("0", values.reshape(2, 3)))
    with open_torch(write(tmp_path / "a.pt", {"a": values, "b": tensor})) as arrays:
        np.testing.assert_array_equal(arrays["a"], values)
        np.testing.assert_array_equal(arrays["b"], values.reshape(2, 3))


# Checkpoints of a training in torch.

OPTIMIZER = {
    "state": {
        number: {"step": np.array(7.0, "f4"), "exp_avg": np.ones(3, "f4")} for number in (0, 1)
    },
    "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "fused": None, "params": [0, 1]}],
}
STATE = {"conv2d_1a.bn.bias": np.arange(3, dtype="f4"), "last_bn.bias": np.arange(2, dtype="f4")}
RANDOM = np.arange(9, dtype="u1")


@pytest.mark.parametrize("write", [published_files.write_torch, published_files.write_legacy_torch])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
@pytest.mark.parametrize("place", [None, "state_dict", "model_state_dict", "model"])
def test_a_checkpoint_s_state_dict_is_read(
    write: Callable, prefix: str, place: str | None, tmp_path: Path
) -> None:
    state: dict = {f"{prefix}{name}": values for name, values in STATE.items()}
    if place is not None:
        beside = {"epoch": 12, "best": 0.93, "optimizer": OPTIMIZER, "arch": "InceptionResnetV1"}
        state = beside | {place: state, "random": RANDOM}
    with open_torch(write(tmp_path / "checkpoint.pth.tar", state)) as arrays:
        assert list(arrays) == list(STATE)
        for name, values in STATE.items():
            np.testing.assert_array_equal(np.asarray(arrays[name]), values)


def test_a_prefix_that_only_some_names_have_stays(tmp_path: Path) -> None:
    state = {"module.a": np.zeros(2, "f4"), "b": np.zeros(2, "f4")}
    with open_torch(published_files.write_torch(tmp_path / "a.pt", state)) as arrays:
        assert list(arrays) == list(state)


def test_only_the_state_dict_must_fill_its_storages(tmp_path: Path) -> None:
    """Beside it lies what nobody reads: here a part of a larger storage."""

    class Part(published_files.Tensor):
        def __reduce__(self) -> tuple:
            rebuild, (storage, _, _, *others) = super().__reduce__()
            return rebuild, (storage, 3, (6,), *others)

    part = Part(published_files.Storage("0", np.zeros(12, "f4")))
    state = {"state_dict": {"a": np.zeros(12, "f4")}, "other": {"part": part}}
    with open_torch(published_files.write_torch(tmp_path / "a.pt", state)) as arrays:
        assert arrays["a"].shape == (12,)


@pytest.mark.parametrize("write", [published_files.write_torch, published_files.write_legacy_torch])
def test_a_checkpoint_that_would_run_code_is_refused_unrun(write: Callable, tmp_path: Path) -> None:
    checkpoint = {"state_dict": STATE, "arguments": Payload(tmp_path / "made")}
    with pytest.raises(FacenetError, match=r"mkdir; nothing of it was run\. Where you trust"):
        open_torch(write(tmp_path / "a.pt", checkpoint)).__enter__()
    assert not (tmp_path / "made").exists()


def test_a_checkpoint_inside_itself_ends(tmp_path: Path) -> None:
    checkpoint: dict = {"epoch": 1}
    checkpoint["state_dict"] = checkpoint
    path = published_files.write_torch(tmp_path / "a.pt", 0)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(checkpoint, protocol=2))
    with pytest.raises(FacenetError, match="state_dict: expected a tensor"):
        open_torch(path).__enter__()


# Pickles that are programs.


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("write", [published_files.write_torch, published_files.write_legacy_torch])
@pytest.mark.parametrize("place", ["as a value", "as everything"])
def test_a_pickle_that_would_run_code_is_refused_unrun(
    write: Callable, place: str, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    payload = Payload(made)
    path = write(tmp_path / "a.pt", {"a": payload} if place == "as a value" else payload)
    reason = r"a pickle that names (posix|nt)\.mkdir; nothing of it was run"
    with pytest.raises(FacenetError, match=reason):
        open_torch(path).__enter__()
    assert not made.exists()
    pickle.loads(pickle.dumps(payload))
    assert made.exists()  # it would have run


PROGRAMS = {
    b"cbuiltins\neval\n(S'1'\ntR.": "names builtins.eval",
    b"(S'1'\nios\nsystem\n.": "has the instruction STRING",
    b"(ios\nsystem\n.": "has the instruction INST",
    b"\x80\x04\x8c\x02os\x8c\x06system\x93.": "has the instruction SHORT_BINUNICODE",
    b"\x80\x02ctorch\nFloatStorage\n)R.": "makes something other than",
    b"\x80\x02ctorch\nFloatStorage\n)\x81.": "has the instruction NEWOBJ",
    b"\x80\x02ctorch\nFloatStorage\n}b.": "has the instruction BUILD",
    b"\x80\x02ccollections\nOrderedDict\n(]\x85tR.": "makes something other than",
    b"\x80\x02K\x01Q.": "refers to something other than a whole storage",
    b"\x80\x02}NK\x02s.": "sets items of something other than",
    b"\x80\x02]X\x01\x00\x00\x00aK\x02s.": "sets items of something other than",
    b"\x80\x02]\x82\x01.": "has the instruction EXT1",
}


@pytest.mark.parametrize("program", PROGRAMS, ids=PROGRAMS.values())
def test_only_a_state_dicts_instructions_are_known(program: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
    with pytest.raises(FacenetError, match=re.escape(PROGRAMS[program])):
        open_torch(path).__enter__()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (b"\x80\x02" + b"(" * 10**5 + b"t" * 10**5 + b".", "expected a dictionary of tensors"),
        (b"\x80\x02)" + b"\x85" * 10**5 + b".", "expected a dictionary of tensors"),
        (b"\x80\x02Nr\xff\xff\xff\xff.", "expected a dictionary of tensors"),  # a memo of 2**32
        (b"\x80\x02X\xff\xff\xff\xffa.", "damaged"),  # a text of 2**32 bytes
        (b"\x80\x02" + b"N" * 10**5, "damaged"),  # no end
        (b"\x80\x02h\x07.", "damaged"),  # what was never put
        (b"\x80\x02t.", "damaged"),
        (b".", "damaged"),
        (b"", "damaged"),
    ],
)
def test_a_senseless_pickle_is_told(program: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
    refused_in_little_memory(open_torch, path, reason)


def tensor_pickle(shape: tuple, strides: tuple, count: int, offset: int = 0) -> bytes:
    class Odd(published_files.Tensor):
        def __reduce__(self) -> tuple:
            rebuild, (storage, _, _, _, grad, hooks) = super().__reduce__()
            return rebuild, (storage, offset, shape, strides, grad, hooks)

    storage = published_files.Storage("0", np.zeros(count, np.float32))
    return published_files.torch_pickle({"a": Odd(storage)})[0]


@pytest.mark.parametrize(
    ("shape", "strides", "count", "offset"),
    [
        ((2, 3), (3, 1), 12, 0),  # a part of a larger storage
        ((2, 3), (3, 1), 6, 1),
        ((2, 3), (4, 1), 6, 0),  # beyond the end
        ((2, 3), (-3, 1), 6, 0),  # before the beginning
        ((2, -3), (3, 1), 6, 0),
        ((2, 3), (3,), 6, 0),
        ((10**9, 10**9), (0, 0), 1, 0),  # one number, shown 10**18 times
    ],
)
def test_a_tensor_must_be_all_of_its_storage(
    shape: tuple, strides: tuple, count: int, offset: int, tmp_path: Path
) -> None:
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", tensor_pickle(shape, strides, count, offset))
        archive.writestr("archive/data/0", bytes(4 * count))
    with pytest.raises(FacenetError, match="found a pickle that"):
        open_torch(path).__enter__()


def test_other_archives_and_orders_are_told(tmp_path: Path) -> None:
    path = tmp_path / "20180402-114759.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("20180402-114759/20180402-114759.pb", b"")
    with pytest.raises(FacenetError, match=r"found '20180402-114759/.*\.pb'; .*unpacked"):
        open_torch(path).__enter__()
    published_files.write_legacy_torch(path, {"a": np.zeros(3, "f4")}, little_endian=False)
    with pytest.raises(FacenetError, match="expected numbers in little-endian order"):
        open_torch(path).__enter__()
    published_files.write_torch(path, {"a": np.zeros(3, "f4")})
    content = path.read_bytes()
    with zipfile.ZipFile(path, "w") as archive, zipfile.ZipFile(io.BytesIO(content)) as whole:
        for name in whole.namelist():
            order = name.endswith("byteorder")
            archive.writestr(name, b"big" if order else whole.read(name))
    with pytest.raises(FacenetError, match="expected numbers in little-endian order"):
        open_torch(path).__enter__()


def test_all_that_is_no_tensor_is_named(tmp_path: Path) -> None:
    state = {"epoch": 3, "a": np.zeros(2, "f4"), "optimizer": OrderedDict()}
    path = published_files.write_torch(tmp_path / "a.pt", state)
    with pytest.raises(FacenetError) as raised:
        open_torch(path).__enter__()
    where = "(a checkpoint has its tensors in state_dict or model_state_dict or model)"
    assert str(raised.value).splitlines() == [
        f"{path}: 2 problems",
        f"  epoch: expected a tensor, found another object {where}",
        f"  optimizer: expected a tensor, found another object {where}",
    ]


def test_npz_with_python_objects_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, a=np.array([Payload(tmp_path / "made")], dtype=object))
    with pytest.raises(FacenetError, match=r"a\.npy: expected numbers, found Python objects"):
        open_npz(path).__enter__()
    assert not (tmp_path / "made").exists()


def test_npz_may_be_compressed_or_in_columns(tmp_path: Path) -> None:
    columns = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    np.savez_compressed(tmp_path / "a.npz", a=columns)
    with open_npz(tmp_path / "a.npz") as arrays:
        np.testing.assert_array_equal(arrays["a"], columns)


def compressed(file: h5py.File, folder: Path) -> None:
    file.create_dataset("a", data=np.zeros(1000), compression="gzip")


def in_chunks(file: h5py.File, folder: Path) -> None:
    file.create_dataset("a", data=np.zeros(10), chunks=(10,))  # takes what the numbers take


def soft_link(file: h5py.File, folder: Path) -> None:
    file["a"] = h5py.SoftLink("/b")


def link_to_a_file(file: h5py.File, folder: Path) -> None:
    with h5py.File(folder / "other.h5", "w") as other:
        other["a"] = np.zeros(3)
    file["a"] = h5py.ExternalLink("other.h5", "/a")


def external_storage(file: h5py.File, folder: Path) -> None:
    (folder / "secret").write_bytes(bytes(80))
    file.create_dataset("a", (10,), "f8", external=[(str(folder / "secret"), 0, 80)])


def virtual(file: h5py.File, folder: Path) -> None:
    link_to_a_file(file, folder)
    del file["a"]
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource(folder / "other.h5", "a", (3,))
    file.create_virtual_dataset("a", layout)


def named_type(file: h5py.File, folder: Path) -> None:
    file["a"] = np.dtype("f4")


HDF5_TRICKS = [
    compressed, in_chunks, soft_link, link_to_a_file, external_storage, virtual, named_type
]  # fmt: skip


@pytest.mark.parametrize("trick", HDF5_TRICKS)
def test_hdf5_must_hold_plain_datasets(trick: Callable, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        trick(file, tmp_path)
        file["whole"] = np.zeros(3)
    expected = "a group or a dataset, found a link" if "link" in trick.__name__ else "a dataset"
    with pytest.raises(FacenetError, match=f": a: expected {expected}"):
        open_hdf5(path).__enter__()


@pytest.mark.slow
def test_a_group_inside_itself_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for name in "abc":
            file[name] = file["/"]
    with pytest.raises(FacenetError, match="more than 10000 groups and datasets"):
        open_hdf5(path).__enter__()
