"""Where faces come from: a folder, LFW through scikit-learn's downloader, or the book's own.

Chapters and commands take their faces from :func:`open_faces`, so that the environment variable
``FACENET_FACES`` switches them: to a folder, to ``lfw``, or to ``drawn``. Photographs, of which
the truth has to be known, are always drawn: :func:`open_photographs`.

Derived in the appendix, "Using real faces".
"""

from __future__ import annotations

import http.client
import os
import tarfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from facenet_lib.drawn_faces.dataset import DRAWING_VERSION, SETTINGS_FILE, write_faces
from facenet_lib.drawn_faces.photograph_table import TABLE
from facenet_lib.drawn_faces.photographs import PHOTOGRAPHING_VERSION, write_photographs
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.files import is_reserved, is_system_file, list_folder, read_json
from facenet_lib.lfw_pairs import (
    IMAGE_SUFFIXES,
    OTHER_IMAGE_SUFFIXES,
    name_folders,
    read_pairs,
    read_people,
)

# The drawn faces of the book: all people, images of each, and those people kept for the test.
DRAWN_IDENTITIES = 300
DRAWN_IMAGES = 16
DRAWN_TEST_IDENTITIES = 60
DRAWN_SEED = 0
DRAWN_SIZE = 160

_SHOWN = 3  # names of what was left out
_PAIRS_NAMES = ("pairsDevTest.txt", "pairs.txt")
_TRAIN_PEOPLE_NAME = "peopleDevTrain.txt"
_LFW_FOLDER, _LFW_ARCHIVE = "lfw_funneled", "lfw-funneled.tgz"

Faces = dict[str, tuple[Path, ...]]


@dataclass(frozen=True)
class FaceFolder:
    """A folder of faces, and the files that say who is for training and who for the test.

    Attributes:
        root: holds one folder for each person.
        pairs: the pairs file to evaluate on, see :func:`facenet_lib.lfw_pairs.read_pairs`; None
            if there is none.
        train_people: the people file to train on, see
            :func:`facenet_lib.lfw_pairs.read_people`; None if there is none.
    """

    root: Path
    pairs: Path | None
    train_people: Path | None

    @property
    def is_drawn(self) -> bool:
        """Whether these faces were drawn, whoever they are; no photograph shows them."""
        return (self.root / SETTINGS_FILE).is_file()

    @property
    def is_default(self) -> bool:
        """Whether these are the faces that the book's figures were found on, or a copy of them."""
        if not self.is_drawn:
            return False
        settings = read_json(self.root / SETTINGS_FILE, "the settings of drawn faces")
        default = {
            "identities": DRAWN_IDENTITIES,
            "images_per_identity": DRAWN_IMAGES,
            "test_identities": DRAWN_TEST_IDENTITIES,
            "seed": DRAWN_SEED,
            "size": DRAWN_SIZE,
            "drawing": DRAWING_VERSION,
        }
        return default.items() <= settings.items()


def open_faces(
    source: str | os.PathLike[str] | None = None,
    pairs: str | os.PathLike[str] | None = None,
    train_people: str | os.PathLike[str] | None = None,
) -> FaceFolder:
    """Find faces, and download or draw them if need be.

    The pairs file is ``pairsDevTest.txt`` (LFW's View 1, to develop on) where there is one, else
    ``pairs.txt``; the people to train on are those of ``peopleDevTrain.txt``. Both are looked
    for in the folder, or if neither is there, in the folder that holds it, where scikit-learn
    leaves them. LFW's ``pairs.txt`` (View 2) shares its people with ``peopleDevTrain.txt``: name
    it in ``pairs`` to report on a network that was trained on other people.

    Args:
        source: a folder with one folder for each person; "lfw" for LFW, aligned by funneling, in
            the folder where scikit-learn keeps it (``SCIKIT_LEARN_DATA``), downloaded and
            checked by scikit-learn if it is not there; "drawn" for the book's own faces, drawn
            into :func:`cache_folder` on first use. None takes the environment variable
            ``FACENET_FACES``, and "drawn" if that is not set. A folder that is called lfw or
            drawn is written ``./lfw`` or ``./drawn``.
        pairs: the pairs file, if it lies elsewhere or is called otherwise.
        train_people: the people file, likewise.

    Raises:
        FacenetError: if the folder or a named file does not exist, LFW cannot be had, or the
            cache cannot be written.

    >>> open_faces("nowhere")
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: nowhere: expected a folder of faces, 'lfw' or 'drawn', ...
    """
    if source is None:
        source = os.environ.get("FACENET_FACES") or "drawn"
    if is_reserved(source, ["lfw"], "LFW as scikit-learn keeps it", Path.is_dir):
        root = _lfw_folder()
    elif is_reserved(source, ["drawn"], "the faces that the book draws", Path.is_dir):
        root = _drawn_folder()
    else:
        root = Path(source).expanduser()
        if not root.is_dir():
            there = "a file" if root.is_file() else "no such folder"
            raise FacenetError(
                f"{source}: expected a folder of faces, 'lfw' or 'drawn', found {there}"
            )
    found = dict(zip(("pairs", "train_people"), _protocol_files(root), strict=True))
    given = {"pairs": pairs, "train_people": train_people}
    named = {what: Path(path).expanduser() for what, path in given.items() if path is not None}
    missing = [
        f"{path}: expected a file, found none" for path in named.values() if not path.is_file()
    ]
    refuse("faces", missing)
    return FaceFolder(root, **found | named)


def open_photographs() -> Path:
    """Find the book's own photographs, and draw them if need be.

    One of each person of the drawn faces to test on, in a folder with their name. They are nearest
    to its middle, and others of these people stand around.

    Returns:
        Their folder in :func:`cache_folder`; who is where is told by
        :func:`facenet_lib.drawn_faces.read_photograph_faces`.

    Raises:
        FacenetError: if the cache cannot be written.

    >>> root = open_photographs()  # doctest: +SKIP
    """
    people = range(DRAWN_IDENTITIES - DRAWN_TEST_IDENTITIES, DRAWN_IDENTITIES)
    folder = cache_folder() / (
        f"drawn_photographs-{people.start}to{people.stop}-1each-seed{DRAWN_SEED}"
        f"-drawing{DRAWING_VERSION}-photographing{PHOTOGRAPHING_VERSION}"
    )
    if not (folder / TABLE).is_file():  # what write_photographs writes last
        write_photographs(folder, 1, people, seed=DRAWN_SEED, per_person=True)
    return folder


def cache_folder() -> Path:
    """Return the folder for what is drawn, trained or downloaded once.

    It is that of the environment variable ``FACENET_CACHE``, or ``~/.cache/facenet_lib``.

    >>> cache_folder().is_absolute() or "FACENET_CACHE" in os.environ
    True
    """
    return Path(os.environ.get("FACENET_CACHE") or "~/.cache/facenet_lib").expanduser()


def read_faces(root: str | os.PathLike[str]) -> Faces:
    """List the images of every person in a tree with one folder for each person.

    Returns:
        name of the person -> paths of the images, both sorted: what :func:`find_faces` finds,
        without what it leaves out.

    Raises:
        FacenetError: as :func:`find_faces`.

    >>> read_faces("nowhere")
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: nowhere: expected a folder of people, found no such folder
    """
    return find_faces(root).faces


@dataclass(frozen=True)
class LeftOut:
    """What was left out of a set of faces, for one reason.

    Attributes:
        what: what it is, and why it was left out.
        names: all of it.

    >>> print(LeftOut("people with fewer than 2 images", ("Ann", "Bob", "Cem", "Dan")))
    left out people with fewer than 2 images: 4 (Ann, Bob, Cem and 1 more)
    """

    what: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        shown = [name if name.isprintable() else ascii(name) for name in self.names[:_SHOWN]]
        more = f" and {len(self.names) - _SHOWN} more" if len(self.names) > _SHOWN else ""
        return f"left out {self.what}: {len(self.names)} ({', '.join(shown)}{more})"


@dataclass(frozen=True)
class FoundFaces:
    """The faces that were found, and what there was besides.

    Attributes:
        faces: name of the person -> paths of the images, both sorted. The name is in Unicode's
            form NFC, in which names are compared; the paths are as they are.
        left_out: an entry for each reason.
    """

    faces: Faces
    left_out: tuple[LeftOut, ...]


def find_faces(root: str | os.PathLike[str]) -> FoundFaces:
    """List the images of every person in a tree with one folder for each person.

    Images are JPEG and PNG files by their names. All else in the folders of people is left out and
    told: images of other formats, images a folder deeper, other files, and people without an
    image. What is hidden or a system's own, see :func:`facenet_lib.files.is_system_file`, is
    passed over. The order is that of the names' characters, on every system.

    Raises:
        FacenetError: if ``root`` is no folder or cannot be read, holds no person with images,
            images that belong to nobody, or two folders whose names differ in their Unicode form
            alone.

    >>> find_faces("nowhere")
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: nowhere: expected a folder of people, found no such folder
    """
    root = Path(root)
    if not root.is_dir():
        raise FacenetError(f"{root}: expected a folder of people, found no such folder")
    problems: list[str] = []
    entries = _visible(root, problems)
    folders = name_folders(path for path in entries if not _is_image(path) and path.is_dir())
    problems += [
        f"{path.name}: expected images in a folder named after the person"
        for path in entries
        if _is_image(path)
    ]
    faces: Faces = {}
    # Beside the people there may be lists and tables, but no images and no links into nothing.
    beside = [path for path in entries if not path.is_dir()]
    others = [path for path in beside if _is_other_image(path) or not path.exists()]
    for name, folder in folders.items():
        held = _visible(folder, problems)
        faces[name] = tuple(filter(_is_image, held))
        others += [path for path in held if not _is_image(path)]
    left_out = _sort_out(root, faces, others)
    faces = {name: images for name, images in faces.items() if images}
    if not faces and not problems:
        deeper = next((path for path in folders.values() if _holds_people(path)), None)
        hint = "".join(f"; {told}" for told in left_out)
        if deeper is not None:
            hint = f"; is {deeper} the folder?"
        problems.append(f"expected folders of people with JPEG or PNG images, found none{hint}")
    refuse(f"{root}", problems)
    return FoundFaces(faces, left_out)


def training_faces(folder: FaceFolder) -> Faces:
    """The faces to train on: never anyone whom the pairs compare.

    Args:
        folder: what :func:`open_faces` returned.

    Returns:
        What :func:`find_training_faces` finds, without what it leaves out.

    Raises:
        FacenetError: as :func:`find_training_faces`.

    >>> training_faces(FaceFolder(Path("nowhere"), pairs=None, train_people=None))
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: nowhere: expected a folder of people, found no such folder
    """
    return find_training_faces(folder).faces


def find_training_faces(folder: FaceFolder) -> FoundFaces:
    """Find the faces to train on: never anyone whom the pairs compare.

    Args:
        folder: what :func:`open_faces` returned.

    Returns:
        The people of ``train_people`` if there is such a file; else everyone whom ``pairs`` does
        not name; without either file, everyone; and whom that leaves out, beside what
        :func:`find_faces` does.

    Raises:
        FacenetError: if the people file names someone, or more images of someone, than the
            folder holds, or someone whom the pairs compare; or if nobody is left to train on.

    >>> find_training_faces(FaceFolder(Path("nowhere"), pairs=None, train_people=None))
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: nowhere: expected a folder of people, found no such folder
    """
    found = find_faces(folder.root)
    faces = found.faces
    compared: set[str] = set()
    if folder.pairs is not None:
        compared = {name for pair in read_pairs(folder.pairs) for name, _ in pair.images}
    if folder.train_people is None:
        training = {name: images for name, images in faces.items() if name not in compared}
        if not training:
            raise FacenetError(
                f"{folder.root}: expected people to train on, found only the {len(faces)} whom "
                f"{folder.pairs} compares"
            )
        return _without_others(found, training, f"people whom {folder.pairs} compares")

    people = {
        name: count for fold in read_people(folder.train_people) for name, count in fold.items()
    }
    problems = [
        f"expected {count} images of {name} in {folder.root}, found {len(faces.get(name, ()))}"
        for name, count in people.items()
        if len(faces.get(name, ())) < count
    ]
    both = sorted(compared & people.keys())
    if both:
        problems.append(
            f"expected nobody whom {folder.pairs} compares, found {len(both)}, such as {both[0]}; "
            "train and evaluate on files of one view"
        )
    refuse(f"{folder.train_people}", problems)
    training = {name: images for name, images in faces.items() if name in people}
    return _without_others(found, training, f"people whom {folder.train_people} does not name")


def _without_others(found: FoundFaces, training: Faces, others: str) -> FoundFaces:
    """Leave out everyone who is not to be trained on."""
    names = tuple(name for name in found.faces if name not in training)
    left_out = (LeftOut(others, names),) if names else ()
    return FoundFaces(training, found.left_out + left_out)


def check_enough_faces(
    folder: FaceFolder,
    people: int = 0,
    images: int = 1,
    pairs: int = 0,
    strangers: int = 0,
    images_of_strangers: int = 1,
) -> None:
    """Refuse faces that are too few for what is to be done with them, before it is done.

    Args:
        folder: what :func:`open_faces` returned.
        people: how many people to train on there must be, each with ``images`` or more.
        images: of each of them.
        pairs: how many pairs of one person the pairs file must hold, as many of two, and as many
            images in all.
        strangers: how many people there must be who are not trained on, each with
            ``images_of_strangers`` or more.
        images_of_strangers: of each of them.

    Raises:
        FacenetError: when there are fewer; it tells all that is missing.

    >>> check_enough_faces(FaceFolder(Path("nowhere"), None, None), pairs=100)
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: nowhere: too few faces: expected a pairs file, ...
    """
    problems = _missing_pairs(folder.pairs, pairs) if pairs else []
    training = training_faces(folder) if people or strangers else {}
    found = sum(len(paths) >= images for paths in training.values())
    if found < people:
        problems.append(
            f"expected at least {people} people to train on with {images} or more images each, "
            f"found {found}"
        )
    others = read_faces(folder.root).items() if strangers else ()
    found = sum(n not in training and len(f) >= images_of_strangers for n, f in others)
    if found < strangers:
        problems.append(
            f"expected at least {strangers} people who are not trained on, with "
            f"{images_of_strangers} or more images each, found {found}"
        )
    refuse(f"{folder.root}: too few faces", problems)


def _missing_pairs(path: Path | None, expected: int) -> list[str]:
    if path is None:
        return [f"expected a pairs file, {' or '.join(_PAIRS_NAMES)}, found none"]
    pairs = read_pairs(path)
    same = sum(pair.issame for pair in pairs)
    different = len(pairs) - same
    images = len({image for pair in pairs for image in pair.images})
    if min(same, different, images) >= expected:
        return []
    return [
        f"expected at least {expected} pairs of one person and {expected} of two, with {expected} "
        f"or more images in all, found {same}, {different} and {images} in {path}"
    ]


# Folders


def _protocol_files(root: Path) -> tuple[Path | None, Path | None]:
    """The pairs file and the people file beside or in ``root``."""
    for place in (root, root.resolve().parent):
        pairs = next((place / name for name in _PAIRS_NAMES if (place / name).is_file()), None)
        people = place / _TRAIN_PEOPLE_NAME
        if pairs is not None or people.is_file():
            return pairs, people if people.is_file() else None
    return None, None


def _sort_out(root: Path, faces: Faces, others: Sequence[Path]) -> tuple[LeftOut, ...]:
    """Say why each of the others was left out, and who has no image then."""
    deeper = [image for path in others if path.is_dir() for image in _images_below(path)]
    formats = [path for path in others if _is_other_image(path) and not path.is_dir()]
    files = [path for path in others if not _is_other_image(path) and not path.is_dir()]
    reasons = {
        "images that are neither JPEG nor PNG": formats,
        "images in a folder below the person's": deeper,
        "other files": files,
    }
    left_out = {
        what: tuple(path.relative_to(root).as_posix() for path in paths)
        for what, paths in reasons.items()
    }
    left_out["people without a JPEG or PNG image"] = tuple(
        name for name, images in faces.items() if not images
    )
    return tuple(LeftOut(what, names) for what, names in left_out.items() if names)


def _visible(folder: Path, problems: list[str]) -> list[Path]:
    """What ``folder`` holds that is somebody's, sorted by name."""
    try:
        return list_folder(folder)
    except OSError as error:
        problems.append(f"{folder}: cannot be read: {error.strerror}")
        return []


def _is_image(path: Path) -> bool:
    # By name alone: a broken link is refused by whoever opens it, instead of being left out here.
    return path.suffix.lower() in IMAGE_SUFFIXES


def _is_other_image(path: Path) -> bool:
    return path.suffix.lower() in OTHER_IMAGE_SUFFIXES


def _images_below(folder: Path) -> list[Path]:
    images = []
    for inside, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_system_file(name))
        paths = [Path(inside, name) for name in sorted(files) if not is_system_file(name)]
        images += [path for path in paths if _is_image(path) or _is_other_image(path)]
    return images


def _holds_people(folder: Path) -> bool:
    return any(_is_image(image) for image in _images_below(folder))


def _drawn_folder() -> Path:
    """The book's own faces, drawn if they are not there, or not all."""
    folder = cache_folder() / (
        f"drawn_faces-{DRAWN_IDENTITIES}x{DRAWN_IMAGES}-test{DRAWN_TEST_IDENTITIES}"
        f"-seed{DRAWN_SEED}-size{DRAWN_SIZE}-drawing{DRAWING_VERSION}"
    )
    if (folder / "pairs.txt").is_file():  # what write_faces writes last
        return folder
    write_faces(
        folder,
        DRAWN_IDENTITIES,
        DRAWN_IMAGES,
        seed=DRAWN_SEED,
        size=DRAWN_SIZE,
        test_identities=DRAWN_TEST_IDENTITIES,
    )
    return folder


def _lfw_folder() -> Path:
    """LFW as scikit-learn keeps it: used if it is there, without any network, else downloaded."""
    data_home = Path(os.environ.get("SCIKIT_LEARN_DATA") or "~/scikit_learn_data").expanduser()
    folder = data_home / "lfw_home" / _LFW_FOLDER
    is_complete = all((folder.parent / name).is_file() for name in _PAIRS_NAMES)
    if not (folder.is_dir() and is_complete):
        _download_lfw(data_home, folder)
    # scikit-learn removes the archive after unpacking, and takes any folder there for whole.
    if (folder.parent / _LFW_ARCHIVE).exists():
        raise FacenetError(
            f"{folder}: expected all of LFW, found {_LFW_ARCHIVE} beside it, which is there until "
            "unpacking has ended; delete the folder and try again"
        )
    return folder


def _download_lfw(data_home: Path, folder: Path) -> None:
    advice = (
        "if you have LFW, or other faces in one folder for each person, name that folder as the "
        "argument or in the environment variable FACENET_FACES"
    )
    if Path("lfw").is_dir():
        advice += "; the folder lfw that is here is named ./lfw"
    try:
        from sklearn.datasets import fetch_lfw_people
    except ImportError as error:
        raise FacenetError(f"LFW: downloading needs scikit-learn, {error}; {advice}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one per attempt; the error below says it once
            # Only the images of the one person with so many are decoded.
            fetch_lfw_people(data_home=data_home, min_faces_per_person=500)
    except (OSError, EOFError, ValueError, http.client.HTTPException, tarfile.TarError) as error:
        raise FacenetError(
            f"LFW: expected to download it into {folder.parent}, found: {error}; {advice}"
        ) from error
