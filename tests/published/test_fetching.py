"""What is fetched is the known file, whole, or nothing; each server here is on loopback."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import FileServer, cut, cut_unseen, in_two_parts, redirecting, refusing

from facenet_lib.errors import FacenetError
from facenet_lib.published.fetching import fetch_file, fetch_weights
from facenet_lib.published.releases import KnownFile, Release

CONTENT = bytes(range(256)) * 2000  # several of the chunks in which it is read


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("NO_PROXY", "*")
    with FileServer().running() as running:
        running.files["/weights.h5"] = CONTENT
        yield running


@pytest.fixture
def known(server: FileServer) -> KnownFile:
    return KnownFile(
        f"{server.address}/weights.h5",
        hashlib.sha256(CONTENT).hexdigest(),
        "made up: numbers in their order, without terms",
        "facenet import-weights weights.h5 OUT",
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fetch(file: KnownFile, folder: Path) -> Path:
    return fetch_file(file, folder, progress=False)


def fetch_and_fail(file: KnownFile, folder: Path) -> str:
    """What is told; nothing may be left."""
    before = names(folder)
    with pytest.raises(FacenetError) as raised:
        fetch(file, folder)
    assert names(folder) == before
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_the_file_is_fetched_once(known: KnownFile, server: FileServer, tmp_path: Path) -> None:
    path = fetch(known, tmp_path / "new" / "cache")
    assert path == tmp_path / "new" / "cache" / "weights.h5"
    assert path.read_bytes() == CONTENT
    assert path.stat().st_mode & 0o777 == 0o644  # a cache may be shared
    assert names(path.parent) == ["weights.h5"]
    assert fetch(known, path.parent) == path
    assert server.asked == ["/weights.h5"]


def test_the_cache_is_that_of_the_book(
    known: KnownFile, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACENET_CACHE", str(tmp_path))
    releases = {"made": Release("made", "nothing", known, ())}
    path = fetch_weights("made", releases=releases, progress=False)
    assert path == tmp_path / "downloads" / "weights.h5"
    assert path.read_bytes() == CONTENT
    with pytest.raises(FacenetError, match="name: expected 'made', found 'vggface2'"):
        fetch_weights("vggface2", releases=releases)
    assert server.asked == ["/weights.h5"]


def test_terms_and_progress_are_told_once(
    known: KnownFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch_file(known, tmp_path)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"{known.about}\n{known.address}\n")
    assert "100%" in said.err
    fetch_file(known, tmp_path)
    assert capsys.readouterr() == ("", "")
    (tmp_path / "weights.h5").unlink()
    fetch(known, tmp_path)
    assert capsys.readouterr() == ("", "")


def test_another_file_is_refused(known: KnownFile, server: FileServer, tmp_path: Path) -> None:
    server.files["/weights.h5"] = b"something else"
    found = hashlib.sha256(b"something else").hexdigest()
    told = fetch_and_fail(known, tmp_path)
    assert told.startswith(f"{known.address}: SHA256 hash of downloaded file (weights.h5) ")
    assert told.endswith(f"{known.sha256} but got {found}; nothing of it was kept")
    assert server.asked == ["/weights.h5"]  # trying again would give the same


def test_nothing_has_the_files_name_before_its_sum_is_known(
    known: KnownFile, server: FileServer, tmp_path: Path
) -> None:
    seen: list[str] = []
    server.faults = [in_two_parts(lambda: seen.extend(names(tmp_path)))]
    assert fetch(known, tmp_path).read_bytes() == CONTENT
    assert len(seen) == 1 and seen != ["weights.h5"]


def test_a_broken_download_begins_again(
    known: KnownFile, server: FileServer, tmp_path: Path
) -> None:
    server.faults = [cut, cut]
    assert fetch(known, tmp_path).read_bytes() == CONTENT
    assert len(server.asked) == 3
    assert names(tmp_path) == ["weights.h5"]


def test_a_download_that_always_breaks_is_told(
    known: KnownFile, server: FileServer, tmp_path: Path
) -> None:
    server.faults = [cut, cut, cut]
    told = fetch_and_fail(known, tmp_path)
    assert told.startswith(f"{known.address}: cannot be downloaded: IncompleteRead(256000 bytes")
    assert fetch(known, tmp_path).read_bytes() == CONTENT  # and the same call goes on


def test_half_a_file_that_seems_whole_is_refused(
    known: KnownFile, server: FileServer, tmp_path: Path
) -> None:
    server.faults = [cut_unseen]
    assert "does not match" in fetch_and_fail(known, tmp_path)


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_an_answer_that_is_an_error_is_told_with_what_to_do(
    status: int, known: KnownFile, server: FileServer, tmp_path: Path
) -> None:
    server.faults = [refusing(status)]
    told = fetch_and_fail(known, tmp_path)
    assert told.startswith(f"{known.address}: cannot be downloaded: {status} ")
    assert told.endswith(f"name its path: {known.by_hand}")
    assert len(server.asked) == 1


def test_a_redirection_is_followed(known: KnownFile, server: FileServer, tmp_path: Path) -> None:
    server.files["/elsewhere"] = server.files.pop("/weights.h5")
    server.faults = [redirecting("/elsewhere")]
    assert fetch(known, tmp_path).read_bytes() == CONTENT
    assert server.asked == ["/weights.h5", "/elsewhere"]


def test_a_redirection_in_a_circle_or_out_of_the_network_is_told(
    known: KnownFile, server: FileServer, tmp_path: Path
) -> None:
    server.faults = [redirecting("/weights.h5")] * 40
    assert "Exceeded 30 redirects" in fetch_and_fail(known, tmp_path)
    server.faults = [redirecting(f"file://{__file__}")]
    assert "No connection adapters" in fetch_and_fail(known, tmp_path)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("http://127.0.0.1:9/weights.h5", "Connection refused"),
        # Two addresses in the place of one are no name that could be asked for.
        ("http://127.0.0.1.127.0.0.1/weights.h5", ""),
    ],
    ids=["refused", "unresolvable"],
)
def test_no_network_is_told_with_what_to_do(
    address: str, reason: str, known: KnownFile, tmp_path: Path
) -> None:
    nowhere = dataclasses.replace(known, address=address)
    told = fetch_and_fail(nowhere, tmp_path)
    assert told.startswith(f"{address}: cannot be downloaded: {reason}")
    assert told.endswith(
        "; where there is no network, download that file elsewhere and name its path: "
        "facenet import-weights weights.h5 OUT"
    )


def test_a_damaged_file_in_the_cache_is_noticed(
    known: KnownFile, server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "weights.h5"
    path.write_bytes(CONTENT[:-1])
    server.faults = [refusing(503)]
    fetch_and_fail(known, tmp_path)  # and is not taken where no other is to be had
    assert fetch_file(known, tmp_path).read_bytes() == CONTENT
    assert f"{path}: not as it was published any more" in capsys.readouterr().err


def test_a_cache_that_cannot_be_written_is_told(known: KnownFile, tmp_path: Path) -> None:
    from toy_training import full_disk  # loads TensorFlow

    with full_disk(1000):
        told = fetch_and_fail(known, tmp_path)
    path = tmp_path / "weights.h5"
    advice = "the environment variable FACENET_CACHE names another folder"
    assert told == f"{path}: cannot be kept there: File too large; {advice}"
    path.mkdir()
    assert "cannot be kept there: Is a directory" in fetch_and_fail(known, tmp_path)
    path.rmdir()
    path.write_bytes(b"")
    with pytest.raises(FacenetError, match=r"cannot be kept there: .*Not a directory"):
        fetch(known, path / "cache")


def test_a_folder_that_others_own_is_told(known: KnownFile, tmp_path: Path) -> None:
    if not hasattr(os, "geteuid") or os.geteuid() == 0:
        pytest.skip("the superuser, and on Windows anyone, may write anywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(FacenetError, match=r"cannot be kept there: .*Permission denied"):
        fetch(known, tmp_path / "cache")


PROGRAM = """
import sys
from facenet_lib.published.fetching import fetch_file
from facenet_lib.published.releases import KnownFile
print(fetch_file(KnownFile(*sys.argv[1:5]), sys.argv[5], progress=False))
assert "tensorflow" not in sys.modules
"""


def start(known: KnownFile, folder: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", PROGRAM, *dataclasses.astuple(known), str(folder)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_processes_fetch_it_at_the_same_time(
    known: KnownFile, server: FileServer, tmp_path: Path
) -> None:
    both = threading.Barrier(2, timeout=60)  # each has half of the file when the other goes on
    server.faults = [in_two_parts(both.wait)] * 2
    processes = [start(known, tmp_path) for _ in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert (out, err) == (f"{tmp_path / 'weights.h5'}\n", "")
    assert len(server.asked) == 2
    assert (tmp_path / "weights.h5").read_bytes() == CONTENT
    assert names(tmp_path) == ["weights.h5"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system sends no signals")
@pytest.mark.parametrize("how", ["SIGINT", "SIGKILL"])
def test_a_process_that_is_stopped_leaves_no_file_that_is_taken(
    how: str, known: KnownFile, server: FileServer, tmp_path: Path
) -> None:
    half, gone = threading.Event(), threading.Event()

    def wait() -> None:
        half.set()
        gone.wait(60)

    server.faults = [in_two_parts(wait)]
    process = start(known, tmp_path)
    assert half.wait(60)
    process.send_signal(signal.Signals[how])
    process.communicate(timeout=60)
    gone.set()
    assert "weights.h5" not in names(tmp_path)
    if how == "SIGINT":
        assert names(tmp_path) == []
    assert fetch(known, tmp_path).read_bytes() == CONTENT
