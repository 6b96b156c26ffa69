"""The protocol files of Labeled Faces in the Wild (LFW): who is compared with whom.

LFW (Huang et al., 2007) comes with text files that name images by person and number. This
module reads and writes them and finds the images they mean:

* ``pairs.txt`` ("View 2", to report results): 10 folds of 300 same and 300 different pairs.
* ``pairsDevTrain.txt`` and ``pairsDevTest.txt`` ("View 1", to develop on): one such section.
* ``people.txt`` and ``peopleDevTrain.txt``, ...: the people of each fold, with image counts.

A same pair is a line ``Bill_Frist<tab>2<tab>9``: images 2 and 9 of one person. A different pair
is a line ``Larry_Ralston<tab>1<tab>William_Donaldson<tab>6``. The files are UTF-8; Windows line
ends, a byte order mark and empty lines at the end are tolerated. A line without any tab is
split at spaces instead, as the TF 1 reference did. :func:`draw_fold_pairs` draws such pairs of
other people's images.

Derived in chapter 1, "LFW pairs".
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PureWindowsPath

import numpy as np
from numpy.typing import NDArray

from facenet_lib.checks import integer_problems
from facenet_lib.errors import FacenetError, refuse, shown
from facenet_lib.files import decode_text, list_folder, normalize_name, read_bytes, write_text

# In the order in which they are looked for; upper case counts as lower.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".jfif", ".jpe")
# What is an image, too, but not read as a face: facenet align makes PNG of what Pillow reads.
OTHER_IMAGE_SUFFIXES = (
    *(".mpo", ".webp", ".tif", ".tiff", ".bmp", ".gif"),
    *(".heic", ".heif", ".avif"),
)
_MOST_DIGITS = 9  # longer numbers are damage, not counts of images


@dataclass(frozen=True)
class Pair:
    """Two images to compare: image ``index1`` of ``name1`` and image ``index2`` of ``name2``.

    Attributes:
        name1: the first person, which is also the name of the folder.
        index1: number of the image, counted from 1.
        name2: the second person; equal to ``name1`` for a same pair.
        index2: number of the image, counted from 1.

    Raises:
        FacenetError: if a name could leave the images folder, an index is below 1, or an image
            is paired with itself.

    >>> Pair("Bill_Frist", 2, "Bill_Frist", 9).issame
    True
    """

    name1: str
    index1: int
    name2: str
    index2: int

    def __post_init__(self) -> None:
        refuse("pair", _pair_problems(self.name1, self.index1, self.name2, self.index2))

    @property
    def issame(self) -> bool:
        """Whether both images show one person."""
        return normalize_name(self.name1) == normalize_name(self.name2)

    @property
    def images(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Person and number of each image."""
        return (self.name1, self.index1), (self.name2, self.index2)


@dataclass(frozen=True)
class PairList:
    """The pairs of one file, in its order: in every fold the same pairs, then as many different.

    Attributes:
        pairs: all pairs, fold after fold.
        folds: 10 for ``pairs.txt`` (View 2), 1 for the View 1 files.

    Raises:
        FacenetError: if the pairs do not have that layout.

    >>> pairs = PairList((Pair("Ann", 1, "Ann", 2), Pair("Ann", 1, "Bob", 1)), folds=1)
    >>> len(pairs), pairs.pairs_per_class
    (2, 1)
    """

    pairs: tuple[Pair, ...]
    folds: int

    def __post_init__(self) -> None:
        if self.folds < 1 or not self.pairs or len(self.pairs) % (2 * self.folds):
            raise FacenetError(
                f"pair list: expected {self.folds} fold(s), each of as many same as different "
                f"pairs, found {len(self.pairs)} pairs"
            )
        kinds = [(number, pair.issame) for number, pair in enumerate(self.pairs, start=1)]
        problems = _section_problems(kinds, self.folds, self.pairs_per_class)
        refuse("pair list", [f"pair {number}: {text}" for number, text in problems])

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[Pair]:
        return iter(self.pairs)

    @property
    def pairs_per_class(self) -> int:
        """Same pairs of one fold, and also different pairs of one fold."""
        return len(self.pairs) // (2 * self.folds)

    def fold_ids(self, folds: int | None = None) -> NDArray[np.int64]:
        """Tell the fold of every pair, for :func:`facenet_lib.verification.evaluate`.

        A View 2 file has its own folds, which share no person: they are kept. A View 1 file has
        none, and lists all same pairs before all different ones, so that contiguous blocks would
        hold one class each and no false accept rate could be measured on them. Its pairs are
        therefore dealt like cards within each class: pair 0 to fold 0, pair 1 to fold 1, and so
        on, which gives every fold both classes in equal parts. Dealing leaves a person's pairs
        in several folds; only a threshold is fitted across them.

        Args:
            folds: for a View 1 file the number of folds, from 2 to the number of pairs of a
                class; None for 10, or for as many as there are pairs of a class if those are
                fewer. For a View 2 file None or the file's own number.

        Returns:
            int64 array (pairs,), values from 0 to folds - 1.

        Raises:
            FacenetError: if a View 2 file is asked for another number of folds, or a View 1 file
                has fewer pairs of a class than folds, or one alone.
        """
        if self.folds > 1:
            if folds not in (None, self.folds):
                raise FacenetError(f"folds: these pairs come in {self.folds} folds, found {folds}")
            return np.repeat(np.arange(self.folds, dtype=np.int64), 2 * self.pairs_per_class)
        if self.pairs_per_class < 2:
            raise FacenetError(
                "folds: expected at least 2 same and 2 different pairs, so that a threshold can be "
                "chosen on some and judged on others, found 1 of each; add pairs to the file"
            )
        folds = min(10, self.pairs_per_class) if folds is None else folds
        if not 2 <= folds <= self.pairs_per_class:
            raise FacenetError(
                f"folds: expected 2 to {self.pairs_per_class}, the number of same pairs, "
                f"found {folds}; take another number of folds, or add pairs to the file"
            )
        return np.tile(np.arange(self.pairs_per_class, dtype=np.int64) % folds, 2)


def read_pairs(path: str | os.PathLike[str]) -> PairList:
    """Read a pairs file of View 2 (header ``10<tab>300``) or View 1 (header ``500``).

    Returns:
        The pairs in the file's order; names in Unicode's form NFC, in which they are compared.

    Raises:
        FacenetError: if the file cannot be read or is damaged; all problems are told at once,
            each with its line.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = Path(folder, "pairs.txt").write_text("1\\nAnn\\t1\\t2\\nAnn\\t1\\tBob\\t1\\n")
    ...     [pair.issame for pair in read_pairs(Path(folder, "pairs.txt"))]
    [True, False]
    """
    lines, problems = _read_lines(path, "pairs file", "pairs.txt")
    header = [_number(field) for field in lines[0][1]] if lines else []
    folds, pairs_per_class = 1, 0
    match header:
        case [int(pairs_per_class)] if pairs_per_class > 0:
            pass
        case [int(folds), int(pairs_per_class)] if folds > 0 and pairs_per_class > 0:
            pass
        case _:
            problems.append((1, _header_problem(lines, "'10<tab>300' (folds, pairs) or '500'")))

    pairs: list[Pair] = []
    kinds: list[tuple[int, bool]] = []
    for line, fields in lines[1:]:
        if len(fields) not in (3, 4):
            problems.append((line, f"expected 3 fields (same) or 4 (different), {_found(fields)}"))
            # Counted as what is due at its place, so that one bad line is one problem.
            kinds.append((line, len(kinds) // max(pairs_per_class, 1) % 2 == 0))
            continue
        kinds.append((line, len(fields) == 3))
        name1, name2 = fields[0], fields[0] if len(fields) == 3 else fields[2]
        index1, index2 = _number(fields[1]), _number(fields[-1])
        if index1 is None or index2 is None:
            bad = fields[1] if index1 is None else fields[-1]
            problems.append((line, f"expected an image number, found {shown(bad)}"))
            continue
        found = _pair_problems(name1, index1, name2, index2)
        if len(fields) == 4 and name1 == name2:
            found.append(f"expected two people in 4 fields, found {shown(name1)} twice")
        problems += [(line, problem) for problem in found]
        if not found:
            pairs.append(Pair(name1, index1, name2, index2))
    if pairs_per_class:
        problems += _section_problems(kinds, folds, pairs_per_class)
    _refuse_lines(path, problems)
    return PairList(tuple(pairs), folds)


def write_pairs(path: str | os.PathLike[str], pair_list: PairList) -> None:
    """Write a pairs file that :func:`read_pairs` reads back to an equal list.

    Args:
        path: the file; replaced as a whole, so that a reader never meets half of it.
        pair_list: with one fold it becomes a View 1 file, else a View 2 file.

    Raises:
        FacenetError: if the file cannot be written.

    >>> import tempfile
    >>> pairs = PairList((Pair("Ann", 1, "Ann", 2), Pair("Ann", 1, "Bob", 1)), folds=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_pairs(f"{folder}/pairs.txt", pairs)
    ...     read_pairs(f"{folder}/pairs.txt") == pairs
    True
    """
    per_class = pair_list.pairs_per_class
    lines = [f"{per_class}" if pair_list.folds == 1 else f"{pair_list.folds}\t{per_class}"]
    for pair in pair_list:
        second = f"{pair.index2}" if pair.issame else f"{pair.name2}\t{pair.index2}"
        lines.append(f"{pair.name1}\t{pair.index1}\t{second}")
    write_text(Path(path), "".join(f"{line}\n" for line in lines))


def read_people(path: str | os.PathLike[str]) -> tuple[dict[str, int], ...]:
    """Read a people file: who belongs to each fold, with how many images.

    View 2 (``people.txt``) starts with the number of folds, and each fold with its number of
    people; View 1 (``peopleDevTrain.txt``) is one such fold without the first line.

    Returns:
        One dict per fold, name -> number of images, in the file's order.

    Raises:
        FacenetError: if the file cannot be read or is damaged; all problems are told at once,
            each with its line.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = Path(folder, "people.txt").write_text("2\\nAnn\\t3\\nBob\\t1\\n")
    ...     read_people(Path(folder, "people.txt"))
    ({'Ann': 3, 'Bob': 1},)
    """
    lines, problems = _read_lines(path, "people file", "peopleDevTrain.txt")
    header = _count(lines[0][1]) if lines else None
    if header is None:
        problems.append((1, _header_problem(lines, "the number of folds or of people")))
    # Only in View 2 is the first line followed by another that is a number alone.
    is_view2 = len(lines) > 1 and _count(lines[1][1]) is not None
    expected_folds = header if is_view2 else 1

    folds: list[dict[str, int]] = []
    sections: list[list[int]] = []  # line and value of the count, people found
    first_lines: dict[str, int] = {}
    for line, fields in lines[1:] if is_view2 or header is None else lines:
        count = _count(fields)
        if count is not None:
            folds.append({})
            sections.append([line, count, 0])
            continue
        if sections:
            sections[-1][2] += 1
        found = _person_problems(fields, first_lines)
        problems += [(line, problem) for problem in found]
        if not found and folds:
            first_lines[fields[0]] = line
            folds[-1][fields[0]] = int(fields[1])
    for line, count, people in sections:
        if count != people:
            problems.append((line, f"expected {count} people to follow, found {people}"))
    if header is not None and len(folds) != expected_folds:
        problems.append((1, f"expected {expected_folds} fold(s) of people, found {len(folds)}"))
    _refuse_lines(path, problems)
    return tuple(folds)


def write_people(path: str | os.PathLike[str], folds: Sequence[Mapping[str, int]]) -> None:
    """Write a people file that :func:`read_people` reads back to equal folds.

    Args:
        path: the file; replaced as a whole, so that a reader never meets half of it.
        folds: name -> number of images; one fold gives the View 1 layout, more that of View 2.

    Raises:
        FacenetError: if there is no fold, a fold is empty, a person stands twice or has a name
            that is no folder name or no image, or the file cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_people(f"{folder}/people.txt", [{"Ann": 3}, {"Bob": 1}])
    ...     read_people(f"{folder}/people.txt")
    ({'Ann': 3}, {'Bob': 1})
    """
    problems = [] if folds else ["expected at least one fold, found none"]
    lines = [f"{len(folds)}"] if len(folds) > 1 else []
    seen: dict[str, int] = {}
    for number, fold in enumerate(folds, start=1):
        if not fold:
            problems.append(f"fold {number}: expected people, found none")
        lines.append(f"{len(fold)}")
        for name, images in fold.items():
            problems += _person_problems([name, f"{images}"], seen, "fold")
            seen[name] = number
            lines.append(f"{name}\t{images}")
    refuse(f"{path}", problems)
    write_text(Path(path), "".join(f"{line}\n" for line in lines))


def count_pairs(images: Iterable[int]) -> tuple[int, int]:
    """Count the pairs that can be made of people's images.

    Args:
        images: number of images of each person.

    Returns:
        How many same and how many different pairs there are.

    >>> count_pairs([3, 1])
    (3, 3)
    """
    counts = list(images)
    same = sum(math.comb(count, 2) for count in counts)
    return same, math.comb(sum(counts), 2) - same


def draw_fold_pairs(
    generator: np.random.Generator, images: Mapping[str, int], pairs_per_class: int
) -> list[Pair]:
    """Draw the pairs of one fold as those of LFW were drawn: who first, then which images.

    Everyone with two images is as likely to be in a same pair, and any two people to be in a
    different one, however many images they have: a celebrity does not fill the fold.

    Args:
        generator: draws; the same pairs for the same state and arguments.
        images: name -> number of images, in the order in which people shall stand.
        pairs_per_class: same pairs to draw, and also different pairs; at least 1.

    Returns:
        The same pairs, then the different ones, none twice, each kind in the order of ``images``.

    Raises:
        FacenetError: if the people have fewer pairs of a kind.

    >>> [pair.issame for pair in draw_fold_pairs(np.random.default_rng(0), {"Ann": 2, "Bob": 1}, 1)]
    [True, False]
    """
    for kind, there_are in zip(("same", "different"), count_pairs(images.values()), strict=True):
        if not 1 <= pairs_per_class <= there_are:
            raise FacenetError(
                f"pairs of {len(images)} people: expected 1 to {there_are} {kind} pairs, as many "
                f"as there are, found {pairs_per_class!r}"
            )
    names, counts = list(images), np.array(list(images.values()), dtype=np.int64)
    able = np.flatnonzero(counts >= 2)
    pairs = []
    sizes = counts[able] * (counts[able] - 1) // 2
    for place, number in _draw_members(generator, sizes, pairs_per_class):
        person = able[place]
        first, second = _two_of(int(counts[person]), number)
        pairs.append(Pair(names[person], first + 1, names[person], second + 1))
    one, other = np.triu_indices(len(names), k=1)
    there = np.flatnonzero(counts[one] * counts[other])
    one, other = one[there], other[there]
    for place, number in _draw_members(generator, counts[one] * counts[other], pairs_per_class):
        first, second = divmod(number, int(counts[other[place]]))
        pairs.append(Pair(names[one[place]], first + 1, names[other[place]], second + 1))
    return pairs


def image_path(root: str | os.PathLike[str], name: str, index: int) -> Path:
    """Find the image ``root/Name/Name_0001.jpg``, or with another of ``IMAGE_SUFFIXES``.

    Of several, the one whose suffix comes first there. Suffixes may be written in capitals.

    Args:
        root: the folder that holds one folder for each person.
        name: the person.
        index: number of the image, counted from 1.

    Raises:
        FacenetError: if there is no such image, or the name would leave ``root``.

    >>> image_path("nowhere", "Ann", 1)
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: nowhere/Ann: expected Ann_0001.jpg or ..., found no such folder
    """
    refuse("image", _name_problems(name) + integer_problems("image number", index, at_least=1))
    folder = _person_folders(Path(root), [name])[name]
    path = _find_image(folder, index)
    if path is None:
        raise FacenetError(_missing(folder, index))
    return path


def resolve_pairs(
    root: str | os.PathLike[str], pairs: Iterable[Pair]
) -> tuple[list[str], NDArray[np.bool_]]:
    """Find both images of every pair.

    Args:
        root: the folder that holds one folder for each person.
        pairs: n pairs, for example what :func:`read_pairs` returned.

    Returns:
        The 2n paths, where 2i and 2i + 1 are the images of pair i, and the bool array (n,) that
        is True where both show one person: what the reference calls ``lfw_paths`` and
        ``actual_issame``.

    Raises:
        FacenetError: if ``root`` is no folder, or images are missing, which are told at once.
            No pair is skipped, since that would change the protocol.

    >>> resolve_pairs("nowhere", [])
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: nowhere: expected a folder of people, found no folder
    """
    root = Path(root)
    if not root.is_dir():
        raise FacenetError(f"{root}: expected a folder of people, found no folder")
    pairs = tuple(pairs)
    images = [image for pair in pairs for image in pair.images]
    folders = _person_folders(root, {name for name, _ in images})
    paths = {
        (name, index): _find_image(folders[name], index) for name, index in dict.fromkeys(images)
    }
    missing = [_missing(folders[name], index) for (name, index), path in paths.items() if not path]
    refuse("images of the pairs", missing)
    issame = np.array([pair.issame for pair in pairs], dtype=bool)
    return [str(paths[image]) for image in images], issame


def _draw_members(
    generator: np.random.Generator, sizes: NDArray[np.int64], count: int
) -> list[tuple[int, int]]:
    """Draw ``count`` different (group, member): any group, then any of its members, in order.

    Groups of one size take one draw without repetition. A smaller group is drawn as often as a
    large one, and what comes again does not count, so that it takes more draws.
    """
    largest = int(sizes.max())
    drawn: dict[tuple[int, int], None] = {}
    while len(drawn) < count:
        slots = generator.choice(len(sizes) * largest, count, replace=False)
        groups, members = np.divmod(slots, largest)
        beyond = members >= sizes[groups]
        members[beyond] = generator.integers(sizes[groups[beyond]])
        drawn |= dict.fromkeys(zip(groups.tolist(), members.tolist(), strict=True))
    return sorted(list(drawn)[:count])


def _two_of(count: int, number: int) -> tuple[int, int]:
    """Combination ``number`` of two of ``range(count)``, in the order of ``itertools``."""
    first = 0
    while number >= count - 1 - first:
        number -= count - 1 - first
        first += 1
    return first, first + 1 + number


def _person_folders(root: Path, names: Collection[str]) -> dict[str, Path]:
    """Name to folder, in whichever Unicode form the name of the folder is on this disk."""
    there: dict[str, Path] = {}
    if not all(name.isascii() for name in names):  # which has one form, and needs no listing
        try:
            there = name_folders(list_folder(root))
        except FileNotFoundError:
            pass  # which is told of the first image
        except OSError as error:
            raise FacenetError(f"{root}: cannot be read: {error.strerror}") from error
    return {name: there.get(normalize_name(name), root / name) for name in names}


def name_folders(folders: Iterable[Path]) -> dict[str, Path]:
    """Return folders by their names in the form in which names are compared.

    Raises:
        FacenetError: naming those of which two become one name.

    >>> list(name_folders([Path("faces/Jose\\u0301")])) == ["Jos\\u00e9"]
    True
    """
    named: dict[str, Path] = {}
    problems = []
    for folder in sorted(folders):
        name = normalize_name(folder.name)
        if name in named:
            forms = f"{named[name].name!a} and {folder.name!a}"
            problems.append(f"{name}: expected one folder of this name, found {forms}: merge them")
        named[name] = folder
    refuse("names that differ in their Unicode form alone", problems)
    return named


def _find_image(folder: Path, index: int) -> Path | None:
    stem = f"{folder.name}_{index:04d}"
    for suffix in IMAGE_SUFFIXES:
        path = folder / f"{stem}{suffix}"
        if path.is_file():
            return path
    # Only now, as listing a folder takes longer than asking for a file: .JPG, another form of
    # the name, and the like.
    stem = normalize_name(stem)
    try:
        found = [path for path in list_folder(folder) if normalize_name(path.stem) == stem]
    except OSError:
        return None
    ranks = {suffix: rank for rank, suffix in enumerate(IMAGE_SUFFIXES)}
    found = [path for path in found if path.suffix.lower() in ranks and path.is_file()]
    return min(found, key=lambda path: ranks[path.suffix.lower()], default=None)


def _missing(folder: Path, index: int) -> str:
    expected = f"{folder.name}_{index:04d}{' or '.join(IMAGE_SUFFIXES)}"
    found = "none" if folder.is_dir() else "no such folder"
    return f"{folder}: expected {expected}, found {found}"


def _name_problems(name: str) -> list[str]:
    """Tell why ``name`` cannot be one folder below the images folder, on any system."""
    if not name:
        return ["expected a name, found nothing"]
    leaves = name in (".", "..") or "/" in name or "\\" in name or PureWindowsPath(name).drive
    if leaves or any(ord(character) < 32 or ord(character) == 127 for character in name):
        return [f"expected a person's name that is one folder name, found {shown(name)}"]
    return []


def _pair_problems(name1: str, index1: int, name2: str, index2: int) -> list[str]:
    names = [name1] if name1 == name2 else [name1, name2]
    problems = [problem for name in names for problem in _name_problems(name)]
    for index in (index1, index2):
        problems += integer_problems("image number", index, at_least=1)
    if not problems and (normalize_name(name1), index1) == (normalize_name(name2), index2):
        problems.append(f"expected two images, found image {index1} of {name1} twice")
    return problems


def _person_problems(
    fields: Sequence[str], first_places: Mapping[str, int], place: str = "line"
) -> list[str]:
    if len(fields) != 2:
        return [f"expected a name and its number of images, {_found(fields)}"]
    problems = _name_problems(fields[0])
    if not _number(fields[1]):
        problems.append(f"expected a number of images of 1 or more, found {shown(fields[1])}")
    if fields[0] in first_places:
        first = first_places[fields[0]]
        problems.append(
            f"expected every person once, found {shown(fields[0])} of {place} {first} again"
        )
    return problems


def _section_problems(
    kinds: Sequence[tuple[int, bool]], folds: int, pairs_per_class: int
) -> list[tuple[int, str]]:
    """Compare the runs of same and of different pairs with what the header promises.

    Runs, and not positions, so that one missing line is one problem and not thousands.

    Args:
        kinds: of every pair its line (or number) and whether it is a same pair.
        folds: as promised.
        pairs_per_class: as promised, of each fold.

    Returns:
        The line (or number) where each problem starts, and what it is.
    """
    if kinds and not kinds[0][1]:
        return [(kinds[0][0], "expected same pairs first, found a different pair")]
    runs = [list(run) for _, run in groupby(kinds, key=lambda kind: kind[1])]
    problems = []
    for number, run in enumerate(runs):
        if len(run) != pairs_per_class:
            expected = f"{pairs_per_class} {'same' if run[0][1] else 'different'} pairs"
            where = f"from here, in fold {number // 2 + 1}"
            problems.append((run[0][0], f"expected {expected} {where}, found {len(run)}"))
    if len(runs) != 2 * folds:
        expected = f"{folds} fold(s) of {pairs_per_class} same and {pairs_per_class} different"
        found = f"{len(kinds)} pairs in {len(runs)} section(s) of one kind"
        problems.append((1, f"expected {expected} pairs, found {found}"))
    return problems


def _number(text: str) -> int | None:
    """The number that ``text`` writes in plain digits, else None (int() takes '1_0' and '+1')."""
    is_number = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    return int(text) if is_number else None


def _count(fields: Sequence[str]) -> int | None:
    """The count that a line holds alone; None for any other line, and for a count of nothing."""
    return (_number(fields[0]) or None) if len(fields) == 1 else None


def _found(fields: Sequence[str]) -> str:
    text = "\t".join(fields)
    return f"found {len(fields)}: {shown(text)}"


def _header_problem(lines: Sequence[tuple[int, list[str]]], expected: str) -> str:
    if not lines:
        return f"expected a header, {expected}, found an empty file"
    return f"expected a header, {expected}, {_found(lines[0][1])}"


def _read_lines(
    path: str | os.PathLike[str] | None, what: str, usual_name: str
) -> tuple[list[tuple[int, list[str]]], list[tuple[int, str]]]:
    """Read a file into (line number, fields), and the problems met, as (line number, text)."""
    if path is None:  # what a folder of faces without such a file has in its place
        raise FacenetError(
            f"{what}: expected a file, found none: name one, or put {usual_name} into the folder "
            "of faces"
        )
    content = decode_text(read_bytes(Path(path)), os.fspath(path), errors="surrogateescape")
    lines: list[tuple[int, list[str]]] = []
    problems: list[tuple[int, str]] = []
    # At \n alone: str.splitlines would also cut at characters that a name may hold.
    for number, line in enumerate(content.rstrip().split("\n"), start=1):
        text = normalize_name(line.rstrip())
        try:
            text.encode()
        except UnicodeEncodeError as error:  # a byte that decode_text let pass
            byte = line[error.start].encode(errors="surrogateescape").hex()
            place = error.start + 1
            problems.append((number, f"expected UTF-8, found byte 0x{byte} at position {place}"))
            text = text.encode(errors="surrogateescape").decode(errors="replace")
        if text:
            lines.append((number, text.split("\t") if "\t" in text else text.split()))
        elif content.strip():
            problems.append((number, "expected a pair or person, found an empty line"))
    return lines, problems


def _refuse_lines(path: str | os.PathLike[str], problems: Sequence[tuple[int, str]]) -> None:
    ordered = sorted(problems, key=lambda problem: problem[0])
    refuse(os.fspath(path), [f"line {line}: {text}" for line, text in ordered])
