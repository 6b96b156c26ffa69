"""The table of what was published: its names, sums and commands."""

from __future__ import annotations

import re

import pytest

from facenet_lib.cli.facenet import make_parser
from facenet_lib.published.releases import RELEASES, YUNET, KnownFile, find_release

NAMES = ("20180402-114759", "20180408-102900", "20170512-110547", "20170511-185253")
FILES = [*(RELEASES[name].file for name in NAMES), YUNET]


def test_every_network_has_the_references_name_and_two_have_another() -> None:
    assert set(RELEASES) == {*NAMES, "vggface2", "casia-webface"}
    assert [RELEASES[name].name for name in NAMES] == list(NAMES)
    assert RELEASES["vggface2"] is RELEASES["20180402-114759"]
    assert RELEASES["casia-webface"] is RELEASES["20180408-102900"]
    assert RELEASES["20170512-110547"].training_set == "MS-Celeb-1M"
    assert RELEASES["20170511-185253"].training_set == "CASIA-WebFace"


def test_a_sum_belongs_to_one_file() -> None:
    releases = [RELEASES[name] for name in NAMES]
    sums = [YUNET.sha256]
    for release in releases:
        own = (release.file.sha256, *release.other_sums)
        assert {find_release(one) for one in own} == {release}
        sums += own
    assert all(re.fullmatch("[0-9a-f]{64}", one) for one in sums)
    assert len(set(sums)) == len(sums)
    assert find_release(YUNET.sha256) is None


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_says_what_it_is_and_what_to_do_by_hand(file: KnownFile) -> None:
    assert re.fullmatch(r"https://github\.com/[\w./-]+/[\w.-]+", file.address)
    assert file.address.endswith(f"/{file.name}")
    assert "trained on" in file.about
    assert "licence" in file.about or "terms" in file.about
    assert file.name in file.by_hand.split()


@pytest.mark.parametrize("name", NAMES)
def test_the_command_by_hand_is_one(name: str) -> None:
    program, *words = RELEASES[name].file.by_hand.split()
    assert program == "facenet"
    assert make_parser().parse_args(words).weights == RELEASES[name].file.name
    assert RELEASES[name].training_set in RELEASES[name].file.about
