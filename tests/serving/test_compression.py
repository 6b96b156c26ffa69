import gzip
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facenet_lib.serving.compression import GzipUnpacker
from facenet_lib.serving.messages import ServingError


def unpacked(*chunks):
    unpacker = GzipUnpacker()
    pieces = [piece for chunk in chunks for piece in unpacker.unpack(chunk)]
    unpacker.finish()
    return b"".join(pieces)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=3), st.integers(1, 400))
def test_what_gzip_packed_comes_back_wherever_it_is_cut(members, step):
    packed = b"".join(map(gzip.compress, members))
    chunks = [packed[start : start + step] for start in range(0, len(packed), step)]
    assert unpacked(*chunks) == b"".join(members)


def test_no_body_is_an_empty_one():
    assert unpacked() == unpacked(b"") == b""


@pytest.mark.parametrize(
    "body", [b"{}", b"\x1f\x8b" + bytes(50), gzip.compress(b"{}", mtime=0) + b"more"]
)
def test_what_gzip_did_not_write_is_refused(body):
    with pytest.raises(ServingError, match="expected a body packed by gzip: ") as caught:
        unpacked(body)
    assert caught.value.code == "INVALID_ARGUMENT"


def test_a_body_whose_check_sum_is_wrong_is_refused():
    packed = bytearray(gzip.compress(b"a body"))
    packed[-8] ^= 1
    with pytest.raises(ServingError, match="incorrect data check"):
        unpacked(bytes(packed))


@pytest.mark.parametrize("end", range(1, len(gzip.compress(b"a body"))))
def test_a_body_cut_short_is_refused(end):
    with pytest.raises(ServingError, match="cut short"):
        unpacked(gzip.compress(b"a body")[:end])


def test_who_has_enough_holds_no_more_than_that():
    packed = gzip.compress(bytes(2**25))
    tracemalloc.start()
    pieces = GzipUnpacker().unpack(packed)
    assert {len(next(pieces)) for _ in range(4)} == {2**16}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20
