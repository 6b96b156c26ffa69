import argparse

import pytest

from facenet_lib.cli.arguments import check_folder_of, count, port, share
from facenet_lib.errors import FacenetError


@pytest.mark.parametrize(("words", "value"), [("0", 0.0), ("1", 1.0), ("1e-3", 0.001)])
def test_a_share_is_a_number_from_0_to_1(words, value):
    assert share(words) == value


@pytest.mark.parametrize("words", ["-0.1", "1.1", "nan", "inf", "half", ""])
def test_what_is_no_share_is_told(words):
    with pytest.raises(argparse.ArgumentTypeError, match="expected a number from 0 to 1, found"):
        share(words)


def test_a_port_is_a_number_in_two_bytes():
    assert [port(words) for words in ("0", "8501", "65535")] == [0, 8501, 65535]
    for words in ("65536", "-1", "1e3", "\uff18", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="expected a number from 0 to 65535"):
            port(words)


def test_a_number_has_its_noun():
    assert [count(number, "photograph") for number in (0, 1)] == ["0 photographs", "1 photograph"]
    assert [count(number, "person") for number in (1, 2)] == ["1 person", "2 people"]


def test_a_file_that_cannot_be_written_afterwards_is_refused_before(tmp_path):
    check_folder_of(None)
    check_folder_of(tmp_path / "new.csv")
    for path in (tmp_path, tmp_path / "none" / "new.csv"):
        with pytest.raises(FacenetError, match="expected a file in a folder that exists"):
            check_folder_of(path)
