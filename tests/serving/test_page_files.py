"""The page as it is sent, with a gallery and without."""

import re

import pytest

from facenet_lib.serving.page_files import read_page_file


def test_the_page_without_a_gallery_has_nothing_of_it():
    with_gallery, without = (
        read_page_file("index.html", with_gallery=one) for one in (True, False)
    )
    assert b"Who is this?" in with_gallery
    for word in (b"who.", b'"who"', b"#who", b"gallery", b"Who", b"<!--", b"\n\n  </main>"):
        assert word not in without
    lines = iter(with_gallery.splitlines())
    assert all(line in lines for line in without.splitlines())  # and in the same order


def test_every_part_for_a_gallery_has_its_end():
    marks = re.findall(rb"<!--.*?-->", read_page_file("index.html", with_gallery=True))
    assert marks == [b"<!-- With a gallery -->", b"<!-- End -->"] * (len(marks) // 2)


@pytest.mark.parametrize("name", ["style.css", "script.js", "who.css", "who.js"])
def test_the_other_files_are_sent_as_they_are(name):
    contents = {read_page_file(name, with_gallery=one) for one in (True, False)}
    assert len(contents) == 1 and contents.pop()
