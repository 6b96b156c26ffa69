import io
import zipfile

import numpy as np
import pytest
from toy_training import full_disk

from facenet_lib.errors import FacenetError
from facenet_lib.runs import checkpoints
from facenet_lib.runs.checkpoints import (
    CHECKPOINTS_KEPT,
    last_checkpoint,
    list_checkpoints,
    read_checkpoint,
    write_checkpoint,
)

STATE = {"epoch": 2, "seconds": 0.1, "queue": {"position": 7}}


def arrays(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "network/0000/kernel": rng.normal(size=(3, 3, 2)).astype(np.float32),
        "network/0001/seed": rng.integers(0, 2**32, 2, dtype=np.uint32),
        "optimizer/0000/iteration": np.int64(seed),
        "centers": np.zeros((0, 4), np.float32),
    }


def test_what_is_written_is_read(tmp_path):
    path = write_checkpoint(tmp_path, 12, arrays(), STATE)
    found = read_checkpoint(path)
    assert found.state == STATE
    assert found.arrays.keys() == arrays().keys()
    for name, array in arrays().items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)
    assert last_checkpoint(tmp_path).path == path


def test_a_checkpoint_holds_plain_arrays_and_no_pickle(tmp_path):
    path = write_checkpoint(tmp_path, 12, arrays(), STATE)
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            np.lib.format.read_array(io.BytesIO(archive.read(name)), allow_pickle=False)


def test_a_pickle_in_a_checkpoint_is_refused_and_never_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was loaded",))

    path = tmp_path / "00000001.npz"
    np.savez(path, state=np.array([Trap()], dtype=object))
    with pytest.raises(FacenetError, match="expected a whole checkpoint"):
        read_checkpoint(path)


def test_the_newest_few_are_kept(tmp_path):
    for step in range(1, 10):
        write_checkpoint(tmp_path, step, arrays(), STATE)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["00000007.npz", "00000008.npz", "00000009.npz"]
    assert len(names) == CHECKPOINTS_KEPT


def test_no_flipped_byte_goes_unseen(tmp_path):
    """Every third byte of a checkpoint in turn: the damage is found, or changes nothing."""
    path = write_checkpoint(tmp_path, 1, arrays(), STATE)
    whole, found = path.read_bytes(), 0
    for position in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            checkpoint = read_checkpoint(path)
        except FacenetError:
            found += 1
            continue
        assert checkpoint.state == STATE
        assert checkpoint.arrays.keys() == arrays().keys()
        for name, array in arrays().items():
            np.testing.assert_array_equal(checkpoint.arrays[name], array)
    assert found > len(whole) / 6


@pytest.mark.parametrize("part", [0.0, 0.3, 0.99])
def test_a_truncated_checkpoint_is_passed_over_aloud(tmp_path, capsys, part):
    for step in (5, 6):
        write_checkpoint(tmp_path, step, arrays(step), STATE)
    newest = tmp_path / "00000006.npz"
    newest.write_bytes(newest.read_bytes()[: int(part * newest.stat().st_size)])
    assert last_checkpoint(tmp_path).path.name == "00000005.npz"
    said = capsys.readouterr().err
    assert str(newest) in said
    assert "damaged" in said
    assert "going back to 00000005.npz" in said
    assert said.count("\n") == 1


def test_without_a_whole_checkpoint_there_is_an_error(tmp_path):
    assert last_checkpoint(tmp_path) is None
    for step in (5, 6):
        write_checkpoint(tmp_path, step, arrays(step), STATE).write_bytes(b"")
    with pytest.raises(FacenetError, match="no checkpoint is whole") as caught:
        last_checkpoint(tmp_path)
    assert "00000005.npz" in str(caught.value)
    assert "00000006.npz" in str(caught.value)


def test_what_was_saved_after_going_back_is_not_removed_for_the_damaged(tmp_path):
    for step in (10, 20, 30, 40, 50):
        write_checkpoint(tmp_path, step, arrays(step), STATE)
    for path in tmp_path.glob("000000[45]0.npz"):
        path.write_bytes(b"")
    assert last_checkpoint(tmp_path).path.name == "00000030.npz"
    write_checkpoint(tmp_path, 33, arrays(33), STATE)
    assert last_checkpoint(tmp_path).path.name == "00000033.npz"
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["00000030.npz", "00000033.npz"]


def test_a_full_disk_is_told_and_costs_nothing(tmp_path):
    write_checkpoint(tmp_path, 1, {"x": np.zeros(1)}, STATE)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    told = r"00000002\.npz: cannot be written: File too large"
    with full_disk(2000), pytest.raises(FacenetError, match=told):
        write_checkpoint(tmp_path, 2, {"x": np.zeros(1000)}, STATE)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_that_is_gone_is_told(tmp_path):
    with pytest.raises(FacenetError, match="cannot be written: No such file or directory"):
        write_checkpoint(tmp_path / "gone", 2, arrays(), STATE)
    (tmp_path / "file").touch()
    with pytest.raises(FacenetError, match="cannot be written: Not a directory"):
        write_checkpoint(tmp_path / "file", 2, arrays(), STATE)


def test_reading_changes_nothing(tmp_path, monkeypatch):
    write_checkpoint(tmp_path, 5, arrays(), STATE)
    write_checkpoint(tmp_path, 6, arrays(), STATE).write_bytes(b"damaged")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    checkpoints.last_checkpoint(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_system_s_own_files_are_no_checkpoints(tmp_path):
    write_checkpoint(tmp_path, 7, arrays(), STATE)
    for name in ("._00000007.npz", "._00000008.npz", ".DS_Store", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    assert list_checkpoints(tmp_path) == [tmp_path / "00000007.npz"]
    assert last_checkpoint(tmp_path).path == tmp_path / "00000007.npz"
