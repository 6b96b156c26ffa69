"""Errors: all problems at once, and not a flood of them."""

from __future__ import annotations

import pytest

from facenet_lib.errors import FacenetError, refuse, shown


def test_nothing_is_raised_without_problems() -> None:
    refuse("pairs.txt", [])


def test_a_single_problem_is_one_line() -> None:
    with pytest.raises(FacenetError) as raised:
        refuse("pairs.txt", ["line 3: expected a number"])
    assert str(raised.value) == "pairs.txt: line 3: expected a number"


def test_several_problems_are_counted_and_told_in_order() -> None:
    with pytest.raises(FacenetError) as raised:
        refuse("pairs.txt", ["first", "second"])
    assert str(raised.value).splitlines() == ["pairs.txt: 2 problems", "  first", "  second"]


@pytest.mark.parametrize(("problems", "lines"), [(20, 21), (21, 22), (5000, 22)])
def test_very_many_problems_are_cut_short_but_counted(problems: int, lines: int) -> None:
    with pytest.raises(FacenetError) as raised:
        refuse("pairs.txt", [f"problem {number}" for number in range(problems)])
    told = str(raised.value).splitlines()
    assert len(told) == lines
    assert f"{problems} problems" in told[0]
    if problems > 20:
        assert told[-1].strip() == f"... and {problems - 20} more"


def test_it_is_a_value_error_for_callers_that_know_no_other() -> None:
    assert issubclass(FacenetError, ValueError)


def test_a_very_long_problem_is_told_in_brief():
    for problems in (["x" * 10**6], ["x" * 10**6, "y"]):
        with pytest.raises(FacenetError) as caught:
            refuse("weights.h5", problems)
        assert "xxx..." in str(caught.value)
        assert len(str(caught.value)) < 3000


def test_what_was_found_is_quoted_and_cut():
    assert shown("a\x1b") == "'a\\x1b'"
    assert shown(b"\xff") == "b'\\xff'"
    assert shown("x" * 100) == f"'{'x' * 59}..."
