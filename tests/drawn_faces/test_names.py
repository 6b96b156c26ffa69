"""Names: unique, in ASCII, and in another order for another seed."""

from __future__ import annotations

import re

import pytest

from facenet_lib.drawn_faces import person_name
from facenet_lib.errors import FacenetError


@pytest.mark.slow
def test_all_names_are_unique_folder_names() -> None:
    count = 6_912 + 158_976
    names = [person_name(index) for index in range(count)]
    assert len({name.lower() for name in names}) == count
    assert all(re.fullmatch(r"[A-Z][a-z]+(_[A-Z][a-z]+){1,2}", name) for name in names)
    assert all(name.count("_") == 1 for name in names[:6_912])
    with pytest.raises(FacenetError, match="person: expected an integer from 0 to 165887"):
        person_name(count)


def test_names_depend_on_the_seed() -> None:
    assert person_name(5, seed=1) == person_name(5, seed=1)
    first, second = ([person_name(index, seed) for index in range(20)] for seed in (1, 2))
    assert first != second
    with pytest.raises(FacenetError, match="person"):
        person_name(-1)
    with pytest.raises(FacenetError, match="seed"):
        person_name(0, seed=-1)
