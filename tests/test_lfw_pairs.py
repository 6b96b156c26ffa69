"""LFW's protocol files: what is read is what was written, and damage is named by its line."""

from __future__ import annotations

import itertools
import os
import random
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facenet_lib.errors import FacenetError
from facenet_lib.files import normalize_name
from facenet_lib.lfw_pairs import (
    Pair,
    PairList,
    count_pairs,
    draw_fold_pairs,
    image_path,
    read_pairs,
    read_people,
    resolve_pairs,
    write_pairs,
    write_people,
)

VIEW1 = "2\nAnn\t1\t2\nAnn\t1\t3\nAnn\t1\tBob\t1\nBob\t2\tCem\t1\n"
VIEW2 = (
    "2\t2\n"
    "Ann\t1\t2\nAnn\t1\t3\nAnn\t1\tBob\t1\nBob\t2\tAnn\t3\n"
    "Cem\t1\t2\nDan\t12\t2\nCem\t1\tDan\t1\nCem\t2\tDan\t12\n"
)
NAMES = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp"), exclude_characters="/\\:."),
    min_size=1,
    max_size=8,
)


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "pairs.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def problems_of(read, path: Path) -> list[str]:
    with pytest.raises(FacenetError) as raised:
        read(path)
    assert str(path) in str(raised.value)
    return str(raised.value).splitlines()


def test_view_1(tmp_path: Path) -> None:
    pairs = read_pairs(written(tmp_path, VIEW1))
    assert pairs.folds == 1
    assert list(pairs) == [
        Pair("Ann", 1, "Ann", 2),
        Pair("Ann", 1, "Ann", 3),
        Pair("Ann", 1, "Bob", 1),
        Pair("Bob", 2, "Cem", 1),
    ]
    assert [pair.issame for pair in pairs] == [True, True, False, False]


def test_no_file_is_refused_with_what_to_do() -> None:
    """What :func:`open_faces` tells of a folder without such a file is None."""
    advice = "expected a file, found none: name one, or put {} into the folder of faces"
    with pytest.raises(FacenetError) as pairs:
        read_pairs(None)  # type: ignore[arg-type]
    assert str(pairs.value) == f"pairs file: {advice.format('pairs.txt')}"
    with pytest.raises(FacenetError) as people:
        read_people(None)  # type: ignore[arg-type]
    assert str(people.value) == f"people file: {advice.format('peopleDevTrain.txt')}"


def test_view_2_keeps_its_folds(tmp_path: Path) -> None:
    pairs = read_pairs(written(tmp_path, VIEW2))
    assert (pairs.folds, len(pairs), pairs.pairs_per_class) == (2, 8, 2)
    assert pairs.pairs[5] == Pair("Dan", 12, "Dan", 2)
    assert pairs.fold_ids().tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert pairs.fold_ids(2).dtype == np.int64
    with pytest.raises(FacenetError, match="2 folds, found 5"):
        pairs.fold_ids(5)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text + "\n\n \n",
        lambda text: text.removesuffix("\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\t", " "),
        lambda text: text.replace("\n", "\t\n"),
    ],
    ids=["windows", "blank end", "no last newline", "byte order mark", "spaces", "trailing tabs"],
)
def test_harmless_variants_read_the_same(tmp_path: Path, change) -> None:
    expected = read_pairs(written(tmp_path, VIEW2))
    assert read_pairs(written(tmp_path, change(VIEW2))) == expected


def test_a_name_may_hold_spaces_and_any_script(tmp_path: Path) -> None:
    text = "1\nZoë van Dijk\t1\t2\nZoë van Dijk\t1\t\u738b\u5c0f\u660e\u2028x\t1\n"
    pairs = read_pairs(written(tmp_path, text))
    assert pairs.pairs[0].name1 == "Zoë van Dijk"
    assert pairs.pairs[1].name2 == "\u738b\u5c0f\u660e\u2028x"


def lists_of(folds: int, per_class: int, names: list[str], seed: int) -> PairList:
    generator = random.Random(seed)
    pairs: list[Pair] = []
    for _ in range(folds):
        for _ in range(per_class):
            first, second = generator.sample(range(1, 20_000), 2)
            name = generator.choice(names)
            pairs.append(Pair(name, first, name, second))
        for _ in range(per_class):
            name1, name2 = generator.sample(names, 2)
            pairs.append(Pair(name1, generator.randint(1, 9), name2, generator.randint(1, 9)))
    return PairList(tuple(pairs), folds)


@settings(deadline=None, max_examples=50)
@given(
    folds=st.integers(1, 4),
    per_class=st.integers(1, 4),
    names=st.lists(NAMES, min_size=2, max_size=6, unique_by=normalize_name),
    seed=st.integers(0, 2**32),
)
def test_what_is_written_is_read(tmp_path_factory, folds, per_class, names, seed) -> None:
    pairs = lists_of(folds, per_class, names, seed)
    path = tmp_path_factory.mktemp("round") / "pairs.txt"
    write_pairs(path, pairs)
    in_one_form = [normalize_name(name) for name in names]
    assert read_pairs(path) == lists_of(folds, per_class, in_one_form, seed)
    assert [entry.name for entry in path.parent.iterdir()] == ["pairs.txt"]


def test_writing_gives_the_official_layout(tmp_path: Path) -> None:
    for text in (VIEW1, VIEW2):
        path = written(tmp_path, text)
        write_pairs(tmp_path / "again.txt", read_pairs(path))
        assert (tmp_path / "again.txt").read_bytes() == text.encode()


@pytest.mark.parametrize(
    ("line", "text", "expected"),
    [
        (2, "Ann\t1", "expected 3 fields (same) or 4 (different), found 2: 'Ann\\t1'"),
        (2, "Ann\t1\t2\t3\t4", "found 5"),
        (2, "Ann\tone\t2", "expected an image number, found 'one'"),
        (2, "Ann\t1\t2.0", "found '2.0'"),
        (2, "Ann\t1\t1_0", "found '1_0'"),
        (2, "Ann\t1\t-2", "found '-2'"),
        (2, "Ann\t1\t\u0663", "expected an image number"),
        (2, "Ann\t1\t" + "9" * 5000, "expected an image number"),
        (2, "Ann\t0\t2", "image number: expected an integer of at least 1, found 0"),
        (2, "Ann\t2\t2", "expected two images, found image 2 of Ann twice"),
        (2, "../Ann\t1\t2", "found '../Ann'"),
        (2, "..\t1\t2", "found '..'"),
        (2, ".\t1\t2", "found '.'"),
        (2, "/etc/passwd\t1\t2", "found '/etc/passwd'"),
        (2, "Ann\\Bob\t1\t2", "one folder name"),
        (2, "C:Ann\t1\t2", "found 'C:Ann'"),
        (2, "An\0n\t1\t2", "one folder name"),
        (2, "\t1\t2", "expected a name, found nothing"),
        (4, "Ann\t1\t..\t1", "found '..'"),
        (4, "Ann\t1\tAnn\t2", "expected two people in 4 fields, found 'Ann' twice"),
        (4, "Ann\t1\tBob\tx", "expected an image number, found 'x'"),
        (4, "", "found an empty line"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: int, text: str, expected: str) -> None:
    lines = VIEW1.splitlines()
    lines[line - 1] = text
    problems = problems_of(read_pairs, written(tmp_path, "\n".join(lines)))
    told = [problem for problem in problems if f"line {line}: " in problem]
    assert len(told) == 1
    assert expected in told[0]


def test_one_damaged_line_is_one_problem(tmp_path: Path) -> None:
    for damage in ("Ann", "Ann\t1\tx", "Ann\t0\t2"):
        problems = problems_of(read_pairs, written(tmp_path, VIEW2.replace("Cem\t1\t2", damage)))
        assert len(problems) == 1, problems
        assert "line 6: " in problems[0]
    problems = problems_of(read_pairs, written(tmp_path, VIEW2.replace("Ann\t1\tBob\t1", "Ann")))
    assert len(problems) == 1, problems
    assert "line 4: " in problems[0]


def test_all_problems_are_told_at_once_in_order(tmp_path: Path) -> None:
    text = "2\nAnn\tx\t2\nAnn\t1\t1\n..\t1\tBob\t1\nBob\t2\tCem\n"
    problems = problems_of(read_pairs, written(tmp_path, text))
    lines = [int(problem.split("line ")[1].split(":")[0]) for problem in problems[1:]]
    assert lines == sorted(lines)
    assert {2, 3, 4} <= set(lines)


@pytest.mark.parametrize("header", ["", "x", "0", "10\t0", "0\t300", "10\t300\t5", "-1", "1.5"])
def test_a_wrong_header_is_line_1(tmp_path: Path, header: str) -> None:
    problems = problems_of(read_pairs, written(tmp_path, header + "\n" + VIEW1.split("\n", 1)[1]))
    assert any("line 1: expected a header" in problem for problem in problems)


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file(tmp_path: Path, content: str) -> None:
    assert "found an empty file" in problems_of(read_pairs, written(tmp_path, content))[0]
    assert "found an empty file" in problems_of(read_people, written(tmp_path, content))[0]


def test_a_missing_line_is_found_in_its_section_only(tmp_path: Path) -> None:
    path = written(tmp_path, VIEW2.replace("Dan\t12\t2\n", ""))
    problems = problems_of(read_pairs, path)
    assert len(problems) == 1
    assert "line 6: expected 2 same pairs from here, in fold 2, found 1" in problems[0]


def test_a_header_that_promises_other_folds(tmp_path: Path) -> None:
    problems = problems_of(read_pairs, written(tmp_path, VIEW2.replace("2\t2", "3\t2")))
    assert len(problems) == 1
    assert "expected 3 fold(s)" in problems[0]
    assert "found 8 pairs in 4 section(s)" in problems[0]
    assert problems_of(read_pairs, written(tmp_path, "3\n" + VIEW1.split("\n", 1)[1]))
    assert problems_of(read_pairs, written(tmp_path, "500\n"))


def test_different_pairs_before_same_ones(tmp_path: Path) -> None:
    problems = problems_of(read_pairs, written(tmp_path, "1\nAnn\t1\tBob\t1\nAnn\t1\t2\n"))
    assert "line 2: expected same pairs first" in problems[0]


def test_bytes_that_are_no_utf8(tmp_path: Path) -> None:
    content = VIEW1.encode().replace(b"Bob\t2", b"B\xf6b\t2")
    problems = problems_of(read_pairs, written(tmp_path, content))
    assert problems[0].endswith("line 5: expected UTF-8, found byte 0xf6 at position 2")
    assert len(problems) == 1


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    assert "No such file" in problems_of(read_pairs, tmp_path / "none.txt")[0]
    assert "cannot be read" in problems_of(read_people, tmp_path)[0]
    pairs = read_pairs(written(tmp_path, VIEW1))
    problems_of(lambda path: write_pairs(path, pairs), tmp_path / "none" / "pairs.txt")


@pytest.mark.parametrize(
    "arguments", [("..", 1, "..", 2), ("Ann", 0, "Ann", 1), ("Ann", 1, "Ann", 1), ("", 1, "B", 1)]
)
def test_a_pair_cannot_be_wrong(arguments) -> None:
    with pytest.raises(FacenetError):
        Pair(*arguments)


def test_a_pair_list_cannot_be_wrong() -> None:
    same, different = Pair("Ann", 1, "Ann", 2), Pair("Ann", 1, "Bob", 2)
    PairList((same, different), 1)
    for pairs, folds in (
        ((), 1),
        ((same,), 1),
        ((different, same), 1),
        ((same, same), 1),
        ((same, same, different, different), 2),
        ((same, different), 0),
    ):
        with pytest.raises(FacenetError, match="pair list"):
            PairList(pairs, folds)


def view_1_of(per_class: int) -> PairList:
    same, different = Pair("Ann", 1, "Ann", 2), Pair("Ann", 1, "Bob", 2)
    return PairList((same,) * per_class + (different,) * per_class, 1)


@given(per_class=st.integers(1, 60), folds=st.integers(1, 60))
def test_view_1_is_dealt_evenly_within_each_class(per_class: int, folds: int) -> None:
    pairs = view_1_of(per_class)
    if not 2 <= folds <= per_class:
        with pytest.raises(FacenetError, match=r"^folds: expected (at least )?2 "):
            pairs.fold_ids(folds)
        return
    ids = pairs.fold_ids(folds)
    for of_class in (ids[:per_class], ids[per_class:]):
        counts = np.bincount(of_class, minlength=folds)
        assert len(counts) == folds
        assert counts.max() - counts.min() <= 1
        assert counts.min() >= 1


@pytest.mark.parametrize("per_class", [2, 3, 9, 10, 11, 20])
def test_view_1_has_ten_folds_or_as_many_as_it_can_unless_told(per_class: int) -> None:
    ids = view_1_of(per_class).fold_ids()
    assert set(ids[:per_class]) == set(ids[per_class:]) == set(range(min(10, per_class)))


def test_folds_that_cannot_be_are_refused_with_what_can() -> None:
    with pytest.raises(FacenetError, match=r"at least 2 same and 2 different.*; add pairs"):
        view_1_of(1).fold_ids()
    for folds in (-1, 0, 1, 4):
        with pytest.raises(FacenetError, match=rf"expected 2 to 3, .*found {folds}; take another"):
            view_1_of(3).fold_ids(folds)


COUNTS = st.lists(st.integers(0, 6), min_size=1, max_size=6).map(
    lambda counts: {f"P{number}": count for number, count in enumerate(counts)}
)


def all_pairs(images: dict[str, int]) -> tuple[set[Pair], set[Pair]]:
    """Every same and every different pair there is, written out."""
    places = [(name, index) for name, count in images.items() for index in range(1, count + 1)]
    pairs = {Pair(*one, *other) for one, other in itertools.combinations(places, 2)}
    return {pair for pair in pairs if pair.issame}, {pair for pair in pairs if not pair.issame}


@settings(deadline=None)
@given(images=COUNTS)
def test_pairs_are_counted_as_they_are_written_out(images) -> None:
    assert count_pairs(images.values()) == tuple(map(len, all_pairs(images)))


@settings(deadline=None)
@given(images=COUNTS, seed=st.integers(0, 2**32), part=st.floats(0, 1))
def test_a_fold_has_as_many_different_pairs_of_both_kinds_as_wanted(images, seed, part) -> None:
    same, different = all_pairs(images)
    most = min(len(same), len(different))
    count = max(1, round(part * most))
    if most == 0:
        with pytest.raises(FacenetError, match=r"expected 1 to 0 (same|different) pairs"):
            draw_fold_pairs(np.random.default_rng(seed), images, count)
        return
    drawn = draw_fold_pairs(np.random.default_rng(seed), images, count)
    assert len(drawn) == 2 * count
    assert len(set(drawn[:count]) & same) == count
    assert len(set(drawn[count:]) & different) == count
    order = {name: place for place, name in enumerate(images)}
    for kind in (drawn[:count], drawn[count:]):
        people = [(order[pair.name1], order[pair.name2]) for pair in kind]
        assert people == sorted(people)
    assert draw_fold_pairs(np.random.default_rng(seed), images, count) == drawn


@pytest.mark.parametrize("count", [-1, 0, 5, 1000])
def test_a_fold_cannot_have_more_pairs_than_there_are(count: int) -> None:
    with pytest.raises(FacenetError, match=rf"of 3 people: expected 1 to 4 same .* found {count}"):
        draw_fold_pairs(np.random.default_rng(0), {"Ann": 3, "Bob": 2, "Cem": 1}, count)


@pytest.mark.slow
@pytest.mark.parametrize("images", [{"Ann": 4, "Bob": 4}, {"Ann": 9, "Bob": 2, "Cem": 2}])
def test_people_are_drawn_alike_and_their_images_too(images: dict[str, int]) -> None:
    """The chance of each pair, against that of choosing people first and then their images."""
    generator, draws = np.random.default_rng(0), 6000
    drawn = [draw_fold_pairs(generator, images, 1) for _ in range(draws)]
    for place, pairs in enumerate(all_pairs(images)):
        counted = Counter(fold[place] for fold in drawn)
        sizes = Counter((pair.name1, pair.name2) for pair in pairs)
        for pair in pairs:
            chance = 1 / len(sizes) / sizes[pair.name1, pair.name2]
            spread = np.sqrt(draws * chance * (1 - chance))
            assert abs(counted[pair] - draws * chance) < 5 * spread, pair


def test_people_with_equally_many_images_take_one_draw_over_all_their_pairs() -> None:
    """So were the pairs of the drawn faces chosen, and they must stay what they are."""
    images = {"Ann": 5, "Bob": 5, "Cem": 5, "Dan": 5}
    drawn = draw_fold_pairs(np.random.default_rng(7), images, 20)
    generator, expected = np.random.default_rng(7), []
    order = list(images)
    for pairs in all_pairs(images):
        listed = sorted(
            pairs, key=lambda p: (order.index(p.name1), order.index(p.name2), p.index1, p.index2)
        )
        chosen = generator.choice(len(listed), 20, replace=False)
        expected += [listed[number] for number in sorted(chosen)]
    assert drawn == expected


PEOPLE1 = "2\nAnn\t3\nBob\t1\n"
PEOPLE2 = "2\n2\nAnn\t3\nBob\t1\n1\nCem\t12\n"


def test_people_of_both_views(tmp_path: Path) -> None:
    assert read_people(written(tmp_path, PEOPLE1)) == ({"Ann": 3, "Bob": 1},)
    assert read_people(written(tmp_path, PEOPLE2)) == ({"Ann": 3, "Bob": 1}, {"Cem": 12})
    assert read_people(written(tmp_path, PEOPLE2.replace("\n", "\r\n") + "\r\n")) == (
        {"Ann": 3, "Bob": 1},
        {"Cem": 12},
    )


def test_people_are_written_in_the_official_layout(tmp_path: Path) -> None:
    for text in (PEOPLE1, PEOPLE2):
        write_people(tmp_path / "again.txt", read_people(written(tmp_path, text)))
        assert (tmp_path / "again.txt").read_bytes() == text.encode()


@settings(deadline=None, max_examples=50)
@given(
    people=st.lists(
        st.tuples(NAMES, st.integers(1, 9999)), min_size=1, unique_by=lambda p: normalize_name(p[0])
    ),
    folds=st.integers(1, 4),
)
def test_people_written_are_read(tmp_path_factory, people, folds: int) -> None:
    dealt = tuple(dict(people[fold::folds]) for fold in range(min(folds, len(people))))
    path = tmp_path_factory.mktemp("round") / "people.txt"
    write_people(path, dealt)
    in_one_form = [{normalize_name(name): count for name, count in fold.items()} for fold in dealt]
    assert read_people(path) == tuple(in_one_form)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("Bob\t1", "Bob", "line 4: expected a name and its number of images, found 1: 'Bob'"),
        ("Bob\t1", "Bob\tx", "line 4: expected a number of images of 1 or more, found 'x'"),
        ("Bob\t1", "Bob\t0", "line 4: expected a number of images of 1 or more, found '0'"),
        ("Bob\t1", "../Bob\t1", "line 4: expected a person's name"),
        ("Cem\t12", "Ann\t12", "line 6: expected every person once, found 'Ann' of line 3 again"),
        ("1\nCem", "2\nCem", "line 5: expected 2 people to follow, found 1"),
        ("2\n2\n", "3\n2\n", "line 1: expected 3 fold(s) of people, found 2"),
        ("2\n2\n", "two\n2\n", "line 1: expected a header"),
        ("2\n2\n", "0\n2\n", "line 1: expected a header"),
    ],
)
def test_damaged_people_are_named(tmp_path: Path, before: str, after: str, expected: str) -> None:
    problems = problems_of(read_people, written(tmp_path, PEOPLE2.replace(before, after, 1)))
    assert any(expected in problem for problem in problems), problems


def test_people_that_cannot_be_written(tmp_path: Path) -> None:
    for folds in ([], [{}], [{"Ann": 1}, {"Ann": 2}], [{"..": 1}], [{"Ann": 0}], [{"A": 1}, {}]):
        with pytest.raises(FacenetError):
            write_people(tmp_path / "people.txt", folds)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("Ann/Ann_0001.jpg", "Ann/Ann_0002.png", "Bob/Bob_0012.jpg", "Bob/Bob_0012.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_an_image_is_jpg_or_else_png(images: Path) -> None:
    assert image_path(images, "Ann", 1) == images / "Ann" / "Ann_0001.jpg"
    assert image_path(images, "Ann", 2) == images / "Ann" / "Ann_0002.png"
    assert image_path(images, "Bob", 12) == images / "Bob" / "Bob_0012.jpg"
    with pytest.raises(
        FacenetError, match=r"Bob_0001\.jpg or \.jpeg or \.png or \.jfif or \.jpe, found n"
    ):
        image_path(images, "Bob", 1)
    with pytest.raises(FacenetError, match="one folder name"):
        image_path(images / "Ann", "../Bob", 12)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".Png"])
def test_an_image_is_found_by_every_suffix_in_any_case(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "Ann.B" / f"Ann.B_0001{suffix}"
    path.parent.mkdir()
    for name in (path.name, "Ann.B_0001.txt", "ann.b_0001.jpg", "Ann.B_0001.jpg.png"):
        (path.parent / name).touch()
    assert image_path(tmp_path, "Ann.B", 1).samefile(path)


def test_of_several_suffixes_the_first_is_taken(tmp_path: Path) -> None:
    folder = tmp_path / "Ann"
    folder.mkdir()
    for suffix in (".PNG", ".JPEG", ".png", ".jpeg", ".jpg"):
        path = folder / f"Ann_0001{suffix}"
        path.touch()
        assert image_path(tmp_path, "Ann", 1).samefile(path)


def test_pairs_become_paths_in_their_order(images: Path) -> None:
    pairs = [Pair("Ann", 2, "Ann", 1), Pair("Bob", 12, "Ann", 2)]
    paths, issame = resolve_pairs(images, pairs)
    assert [Path(path).name for path in paths] == [
        "Ann_0002.png",
        "Ann_0001.jpg",
        "Bob_0012.jpg",
        "Ann_0002.png",
    ]
    assert all(isinstance(path, str) for path in paths)
    assert issame.dtype == bool
    assert issame.tolist() == [True, False]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_are_compared_in_one_form(tmp_path: Path, form: str) -> None:
    """Whichever form the folder, the image and the line of a pairs file have."""
    zoe = unicodedata.normalize(form, "Zoë")
    for number in (1, 2):
        other = unicodedata.normalize("NFD" if number == 1 else "NFC", f"Zoë_000{number}.JPG")
        (tmp_path / zoe).mkdir(exist_ok=True)
        (tmp_path / zoe / other).touch()
    pair = Pair("Zo\u00eb", 1, "Zoe\u0308", 2)
    assert pair.issame
    paths, _ = resolve_pairs(tmp_path, [pair])
    assert [Path(path).parent for path in paths] == [tmp_path / zoe] * 2
    assert all(Path(path).is_file() for path in paths)
    assert image_path(tmp_path, "Zoe\u0308", 1) == Path(paths[0])
    with pytest.raises(FacenetError, match="twice"):
        Pair("Zo\u00eb", 1, "Zoe\u0308", 1)


def test_people_files_know_one_form_too(tmp_path: Path) -> None:
    (tmp_path / "people.txt").write_text("1\nZoe\u0308\t2\n", "utf-8")
    assert read_people(tmp_path / "people.txt") == ({"Zo\u00eb": 2},)
    (tmp_path / "people.txt").write_text("2\nZoe\u0308\t2\nZo\u00eb\t2\n", "utf-8")
    with pytest.raises(FacenetError, match="expected every person once"):
        read_people(tmp_path / "people.txt")


def test_all_missing_images_are_told_once_each(images: Path) -> None:
    pairs = [Pair("Ann", 1, "Ann", 9), Pair("Ann", 9, "Cem", 1), Pair("Ann", 1, "Ann", 2)]
    with pytest.raises(FacenetError) as raised:
        resolve_pairs(images, pairs)
    told = str(raised.value).splitlines()
    assert len(told) == 3
    assert "expected Ann_0009.jpg or .jpeg or .png or .jfif or .jpe, found none" in told[1]
    assert "found no such folder" in told[2]
    with pytest.raises(FacenetError, match="980 more"):
        resolve_pairs(images, [Pair("Cem", i, "Cem", i + 1) for i in range(1, 1000)])


def test_a_folder_that_is_not_there_is_one_problem(images: Path) -> None:
    with pytest.raises(FacenetError) as raised:
        resolve_pairs(images / "none", [Pair("Ann", 1, "Ann", 2)])
    assert str(raised.value) == f"{images / 'none'}: expected a folder of people, found no folder"


@pytest.fixture
def protocol() -> Path:
    if "FACENET_LFW_PROTOCOL" not in os.environ:
        pytest.skip("FACENET_LFW_PROTOCOL does not name a folder with LFW's pairs.txt")
    return Path(os.environ["FACENET_LFW_PROTOCOL"])


def test_the_official_files(protocol: Path, tmp_path: Path) -> None:
    pairs = read_pairs(protocol / "pairs.txt")
    assert (len(pairs), pairs.folds, sum(pair.issame for pair in pairs)) == (6000, 10, 3000)
    assert len(read_pairs(protocol / "pairsDevTrain.txt")) == 2200
    assert len(read_pairs(protocol / "pairsDevTest.txt")) == 1000
    people = read_people(protocol / "people.txt")
    assert len(people) == 10
    assert sum(len(fold) for fold in people) == 5749
    assert sum(sum(fold.values()) for fold in people) == 13233
    (training,) = read_people(protocol / "peopleDevTrain.txt")
    assert (len(training), sum(training.values())) == (4038, 9525)
    for name in ("pairs.txt", "pairsDevTest.txt"):
        write_pairs(tmp_path / name, read_pairs(protocol / name))
        assert (tmp_path / name).read_bytes() == (protocol / name).read_bytes()
    for name in ("people.txt", "peopleDevTrain.txt"):
        write_people(tmp_path / name, read_people(protocol / name))
        assert (tmp_path / name).read_bytes() == (protocol / name).read_bytes()


def test_view_2_folds_share_no_person(protocol: Path) -> None:
    pairs = read_pairs(protocol / "pairs.txt")
    folds_of: dict[str, set[int]] = {}
    for pair, fold in zip(pairs, pairs.fold_ids(), strict=True):
        folds_of.setdefault(pair.name1, set()).add(int(fold))
        folds_of.setdefault(pair.name2, set()).add(int(fold))
    assert all(len(folds) == 1 for folds in folds_of.values())


def test_every_official_pair_has_its_images(protocol: Path) -> None:
    if "FACENET_LFW" not in os.environ:
        pytest.skip("FACENET_LFW does not name the folder of LFW's images")
    paths, issame = resolve_pairs(os.environ["FACENET_LFW"], read_pairs(protocol / "pairs.txt"))
    assert (len(paths), issame.shape, issame.sum()) == (12000, (6000,), 3000)
