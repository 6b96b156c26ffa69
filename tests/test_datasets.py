"""Datasets: any tree of people is read alike, and nobody is both trained on and compared."""

from __future__ import annotations

import builtins
import inspect
import os
import sys
import tarfile
import unicodedata
import urllib.error
from pathlib import Path

import pytest

from facenet_lib import datasets, drawn_faces
from facenet_lib.datasets import (
    FaceFolder,
    cache_folder,
    find_faces,
    find_training_faces,
    open_faces,
    read_faces,
    training_faces,
)
from facenet_lib.errors import FacenetError
from facenet_lib.lfw_pairs import Pair, read_pairs, resolve_pairs

PAIRS = "1\nAnn\t1\t2\nAnn\t1\tBob\t1\n"


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FACENET_FACES", raising=False)
    monkeypatch.setenv("FACENET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "scikit_learn_data"))


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    return touch(
        tmp_path / "trees" / "faces",
        "Ann/Ann_0002.jpg",
        "Ann/Ann_0001.jpg",
        "Bob/Bob_0001.png",
        "Cem/Cem_0001.jpg",
        "Cem/Cem_0002.jpg",
        "Dan/Dan_0001.jpg",
    )


# read_faces -----------------------------------------------------------------------------------


def test_people_and_images_are_sorted(faces: Path) -> None:
    found = read_faces(faces)
    assert list(found) == ["Ann", "Bob", "Cem", "Dan"]
    assert found["Ann"] == (faces / "Ann" / "Ann_0001.jpg", faces / "Ann" / "Ann_0002.jpg")


def test_the_order_does_not_depend_on_the_file_system(faces: Path, monkeypatch) -> None:
    expected = list(read_faces(faces).items())
    iterdir = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda self: reversed(sorted(iterdir(self))))
    assert list(read_faces(faces).items()) == expected


def test_names_of_any_script_and_case_of_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "Zoë van Dijk/1.JPG", "\u738b\u5c0f\u660e/\u7167\u7247.jpeg", "abe/x.Png")
    assert list(read_faces(tmp_path)) == ["Zoë van Dijk", "abe", "\u738b\u5c0f\u660e"]


def test_what_is_no_image_is_left_out(faces: Path) -> None:
    expected = read_faces(faces)
    touch(
        faces,
        "pairs.txt",
        ".hidden.jpg",
        ".git/x.jpg",
        "Ann/.Ann_0003.jpg",
        "Ann/notes.txt",
        "Ann/box.jpg.npy",
        "Empty/readme.md",
    )
    assert read_faces(faces) == expected


def test_what_is_left_out_is_told_for_each_reason(faces: Path) -> None:
    expected = read_faces(faces)
    touch(
        faces,
        "Ann/Ann_0003.webp",
        "Ann/Ann_0004.BMP",
        "Ann/notes.txt",
        "Bob/more/Bob_0002.jpg",
        "Bob/more/older/Bob_0003.png",
        "Bob/more/readme.md",
        "Eve/Eve_0001.heic",
        "Fay/readme.md",
        "beside.webp",
        "people.csv",
    )
    found = find_faces(faces)
    assert found.faces == expected == read_faces(faces)
    assert [str(told) for told in found.left_out] == [
        "left out images that are neither JPEG nor PNG: 4 "
        "(beside.webp, Ann/Ann_0003.webp, Ann/Ann_0004.BMP and 1 more)",
        "left out images in a folder below the person's: 2 "
        "(Bob/more/Bob_0002.jpg, Bob/more/older/Bob_0003.png)",
        "left out other files: 2 (Ann/notes.txt, Fay/readme.md)",
        "left out people without a JPEG or PNG image: 2 (Eve, Fay)",
    ]
    assert found.left_out[0].names[3:] == ("Eve/Eve_0001.heic",)


def test_folders_in_which_nothing_can_be_read_say_what_they_hold(tmp_path: Path) -> None:
    touch(tmp_path, "Ann/Ann_0001.webp", "Bob/Bob_0001.webp")
    with pytest.raises(FacenetError, match=r"found none; left out images that are neither .*: 2"):
        read_faces(tmp_path)


def test_jpegs_by_other_names_are_jpegs(tmp_path: Path) -> None:
    touch(tmp_path, "Ann/Ann_0001.jfif", "Bob/Bob_0001.JPE")
    assert list(read_faces(tmp_path)) == ["Ann", "Bob"]
    assert resolve_pairs(tmp_path, [Pair("Ann", 1, "Bob", 1)])[0] == [
        str(tmp_path / "Ann" / "Ann_0001.jfif"),
        str(tmp_path / "Bob" / "Bob_0001.JPE"),
    ]


def test_a_system_s_own_files_are_nobody_s(faces: Path) -> None:
    expected = find_faces(faces)
    touch(
        faces,
        "@eaDir/Ann_0001.jpg/SYNOPHOTO_THUMB_M.jpg",
        "Ann/@eaDir/Ann_0001.jpg/SYNOPHOTO_THUMB_M.jpg",
        "__MACOSX/Ann/._Ann_0001.jpg",
        "._Ann",
        "Ann/._Ann_0001.jpg",
        "Ann/.DS_Store",
        "Ann/Thumbs.db",
        "desktop.ini",
        "$RECYCLE.BIN/x.jpg",
        "lost+found/x.jpg",
    )
    assert find_faces(faces) == expected
    assert expected.left_out == ()


COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "José") for form in ("NFC", "NFD"))


@pytest.mark.parametrize("on_disk", [COMPOSED, DECOMPOSED])
@pytest.mark.parametrize("in_files", [COMPOSED, DECOMPOSED])
def test_names_are_one_in_whichever_form_they_are_written(faces: Path, on_disk, in_files) -> None:
    touch(faces, *(f"{on_disk}/{on_disk}_000{number}.jpg" for number in (1, 2)))
    assert list(read_faces(faces))[-1] == COMPOSED
    people = faces / "peopleDevTrain.txt"
    people.write_text(f"2\nAnn\t2\n{in_files}\t2\n", "utf-8")
    assert list(training_faces(open_faces(faces))) == ["Ann", COMPOSED]
    people.unlink()
    pairs = faces / "pairs.txt"
    pairs.write_text(f"1\n{in_files}\t1\t2\n{in_files}\t1\tBob\t1\n", "utf-8")
    assert COMPOSED not in training_faces(open_faces(faces))
    found, issame = resolve_pairs(faces, read_pairs(pairs))
    assert [Path(path).parent.name for path in found] == [on_disk] * 3 + ["Bob"]
    assert all(Path(path).is_file() for path in found)
    assert issame.tolist() == [True, False]


@pytest.mark.skipif(sys.platform == "darwin", reason="two such names are one for macOS")
def test_two_folders_of_one_name_are_refused(faces: Path) -> None:
    touch(faces, f"{COMPOSED}/1.jpg", f"{DECOMPOSED}/1.jpg")
    for read in (read_faces, lambda root: resolve_pairs(root, [Pair(COMPOSED, 1, COMPOSED, 2)])):
        with pytest.raises(FacenetError) as raised:
            read(faces)
        assert "José: expected one folder of this name, found" in str(raised.value)
        assert ascii(COMPOSED) in str(raised.value) and ascii(DECOMPOSED) in str(raised.value)


@pytest.mark.skipif(os.name == "nt", reason="links need privileges on Windows")
def test_links_are_followed_and_broken_ones_kept_for_their_reader(faces: Path, tmp_path) -> None:
    touch(tmp_path, "elsewhere/Eve_0001.jpg")
    (faces / "Fay").symlink_to(tmp_path / "gone")
    (faces / "Eve").symlink_to(tmp_path / "elsewhere")
    (faces / "Dan" / "Dan_0002.jpg").symlink_to(tmp_path / "gone.jpg")
    found = find_faces(faces)
    assert len(found.faces["Eve"]) == 1
    assert len(found.faces["Dan"]) == 2
    assert [str(told) for told in found.left_out] == ["left out other files: 1 (Fay)"]


def test_trees_that_are_none(tmp_path: Path, faces: Path) -> None:
    with pytest.raises(FacenetError, match="expected a folder of people, found no such folder"):
        read_faces(tmp_path / "none")
    with pytest.raises(FacenetError, match="found no such folder"):
        read_faces(faces / "Ann" / "Ann_0001.jpg")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FacenetError, match=r"with JPEG or PNG images, found none$"):
        read_faces(tmp_path / "empty")
    with pytest.raises(FacenetError, match=r"found none; is .*faces the folder\?"):
        read_faces(faces.parent)
    with pytest.raises(FacenetError) as raised:
        read_faces(faces / "Ann")
    assert len(str(raised.value).splitlines()) == 3
    assert "Ann_0001.jpg: expected images in a folder named after the person" in str(raised.value)


def test_folders_that_cannot_be_read_are_told(faces: Path, monkeypatch) -> None:
    iterdir = Path.iterdir

    def refuse_some(self: Path):
        if self.name in ("Ann", "Cem"):
            raise PermissionError(13, "Permission denied")
        return iterdir(self)

    monkeypatch.setattr(Path, "iterdir", refuse_some)
    with pytest.raises(FacenetError) as raised:
        read_faces(faces)
    told = str(raised.value).splitlines()
    assert len(told) == 3
    assert told[1].strip() == f"{faces / 'Ann'}: cannot be read: Permission denied"


# open_faces -----------------------------------------------------------------------------------


def test_a_folder_without_files(faces: Path) -> None:
    assert open_faces(faces) == FaceFolder(faces, None, None)
    assert open_faces(str(faces)) == FaceFolder(faces, None, None)


def test_files_in_the_folder_or_beside_it(faces: Path) -> None:
    touch(faces.parent, "pairs.txt", "peopleDevTrain.txt")
    beside = FaceFolder(faces, faces.parent / "pairs.txt", faces.parent / "peopleDevTrain.txt")
    assert open_faces(faces) == beside
    touch(faces, "pairs.txt")  # what lies in the folder belongs to it: no mixture of both places
    assert open_faces(faces) == FaceFolder(faces, faces / "pairs.txt", None)
    touch(faces, "pairsDevTest.txt", "peopleDevTrain.txt")
    assert open_faces(faces) == FaceFolder(
        faces, faces / "pairsDevTest.txt", faces / "peopleDevTrain.txt"
    )


def test_files_named_by_arguments(faces: Path, tmp_path: Path) -> None:
    touch(faces, "pairs.txt", "peopleDevTrain.txt")
    touch(tmp_path, "other.txt")
    other = tmp_path / "other.txt"
    people = faces / "peopleDevTrain.txt"
    assert open_faces(faces, pairs=other) == FaceFolder(faces, other, people)
    assert open_faces(faces, train_people=str(other)).train_people == other
    with pytest.raises(FacenetError) as raised:
        open_faces(faces, pairs=tmp_path / "a.txt", train_people=tmp_path / "b.txt")
    assert len(str(raised.value).splitlines()) == 3


def test_the_environment_variable_names_the_faces(faces: Path, monkeypatch) -> None:
    monkeypatch.setenv("FACENET_FACES", str(faces))
    assert open_faces().root == faces
    assert open_faces(faces.parent).root == faces.parent
    monkeypatch.setenv("FACENET_FACES", str(faces / "none"))
    with pytest.raises(FacenetError, match="none: expected a folder of faces, 'lfw' or 'drawn'"):
        open_faces()


def test_the_cache_is_named_by_the_environment_or_at_home(monkeypatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.setenv("FACENET_CACHE", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "facenet_lib"


@pytest.fixture
def drawn(monkeypatch):
    """Stand in for the minutes of drawing; returns the calls."""
    calls = []

    signature = inspect.signature(datasets.write_faces)

    def write_faces(out, identities, images_per_identity, *, seed, size, test_identities):
        signature.bind(out, identities, images_per_identity, seed=seed, size=size)
        calls.append((Path(out), identities, images_per_identity, seed, size, test_identities))
        touch(Path(out), "Ann/Ann_0001.jpg", "pairs.txt", "peopleDevTrain.txt")

    monkeypatch.setattr(datasets, "write_faces", write_faces)
    return calls


def test_faces_are_drawn_once(drawn, tmp_path: Path, monkeypatch) -> None:
    first = open_faces()
    assert open_faces("drawn") == first
    assert len(drawn) == 1
    assert drawn[0][1:] == (
        datasets.DRAWN_IDENTITIES,
        datasets.DRAWN_IMAGES,
        datasets.DRAWN_SEED,
        datasets.DRAWN_SIZE,
        datasets.DRAWN_TEST_IDENTITIES,
    )
    assert first.root.parent == tmp_path / "cache"
    assert first.pairs == first.root / "pairs.txt"
    assert first.train_people == first.root / "peopleDevTrain.txt"
    monkeypatch.setattr(datasets, "DRAWN_SEED", datasets.DRAWN_SEED + 1)
    assert open_faces().root != first.root


def test_drawing_that_was_interrupted_is_not_taken_for_whole(drawn, monkeypatch) -> None:
    whole = datasets.write_faces

    def interrupted(out, *arguments, **options):
        touch(Path(out), "Ann/Ann_0001.jpg")
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets, "write_faces", interrupted)
    with pytest.raises(KeyboardInterrupt):
        open_faces()
    monkeypatch.setattr(datasets, "write_faces", whole)
    assert open_faces().pairs is not None
    assert len(drawn) == 1
    assert drawn[0][0] == open_faces().root


@pytest.mark.slow
def test_drawn_faces_are_whole_and_disjoint(monkeypatch) -> None:
    monkeypatch.setattr(datasets, "DRAWN_IDENTITIES", 22)
    monkeypatch.setattr(datasets, "DRAWN_IMAGES", 2)
    monkeypatch.setattr(datasets, "DRAWN_TEST_IDENTITIES", 20)
    monkeypatch.setattr(datasets, "DRAWN_SIZE", 64)
    folder = open_faces()
    assert len(read_faces(folder.root)) == 22
    assert len(training_faces(folder)) == 2
    paths, _ = resolve_pairs(folder.root, read_pairs(folder.pairs))
    assert not {Path(path).parent.name for path in paths} & training_faces(folder).keys()


@pytest.mark.slow
def test_photographs_are_drawn_once_of_people_to_test_on(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(datasets, "DRAWN_IDENTITIES", 22)
    monkeypatch.setattr(datasets, "DRAWN_IMAGES", 2)
    monkeypatch.setattr(datasets, "DRAWN_TEST_IDENTITIES", 20)
    monkeypatch.setattr(datasets, "DRAWN_SIZE", 64)
    calls = []

    def write_photographs(out, count, identities, *, seed, per_person):
        assert not calls
        calls.append((count, identities, seed))
        drawn_faces.write_photographs(
            out, count, identities[:2], seed=seed, per_person=per_person, progress=False
        )

    monkeypatch.setattr(datasets, "write_photographs", write_photographs)
    root = datasets.open_photographs()
    assert datasets.open_photographs() == root
    assert root.parent == tmp_path / "cache"
    assert calls == [(1, range(2, 22), datasets.DRAWN_SEED)]
    names = {path.split("/")[0] for path in drawn_faces.read_photograph_faces(root)}
    folder = open_faces()
    assert names < read_faces(folder.root).keys() - training_faces(folder).keys()


def test_a_cache_that_cannot_be_written(monkeypatch, tmp_path: Path) -> None:
    touch(tmp_path, "file")
    monkeypatch.setenv("FACENET_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(FacenetError, match="file"):
        open_faces()


def make_lfw_home(data_home: Path) -> Path:
    home = data_home / "lfw_home"
    touch(home / "lfw_funneled", "Ann/Ann_0001.jpg", "pairs_01.txt")
    return touch(home, "pairs.txt", "pairsDevTrain.txt", "pairsDevTest.txt")


@pytest.fixture
def no_network(monkeypatch) -> None:
    def urlretrieve(url, *arguments):
        raise urllib.error.URLError("no network in tests")

    import sklearn.datasets._base

    monkeypatch.setattr(sklearn.datasets._base, "urlretrieve", urlretrieve)
    monkeypatch.setattr(sklearn.datasets._base.time, "sleep", lambda seconds: None)


def test_lfw_that_is_there_needs_neither_network_nor_scikit_learn(monkeypatch, tmp_path) -> None:
    home = make_lfw_home(tmp_path / "scikit_learn_data")
    import_module = builtins.__import__

    def no_sklearn(name, *arguments, **options):
        assert not name.startswith("sklearn")
        return import_module(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", no_sklearn)
    found = open_faces("lfw")
    assert found == FaceFolder(home / "lfw_funneled", home / "pairsDevTest.txt", None)
    assert list(read_faces(found.root)) == ["Ann"]
    touch(home, "peopleDevTrain.txt")
    assert open_faces("lfw").train_people == home / "peopleDevTrain.txt"


def test_lfw_is_fetched_by_scikit_learn_where_it_will_be_found(monkeypatch, tmp_path) -> None:
    import sklearn.datasets

    calls = []

    def fetch_lfw_people(*, data_home, min_faces_per_person):
        calls.append(data_home)
        make_lfw_home(Path(data_home))

    monkeypatch.setattr(sklearn.datasets, "fetch_lfw_people", fetch_lfw_people)
    first, second = open_faces("lfw"), open_faces("lfw")
    assert first == second
    assert calls == [tmp_path / "scikit_learn_data"]


@pytest.mark.slow
def test_scikit_learn_unpacks_to_where_we_look(no_network, tmp_path) -> None:
    """The real downloader, with its archive in place: our paths are the ones it uses."""
    home = touch(
        tmp_path / "scikit_learn_data" / "lfw_home",
        "pairs.txt",
        "pairsDevTrain.txt",
        "pairsDevTest.txt",
    )
    person = tmp_path / "lfw_funneled" / "Ann"
    person.mkdir(parents=True)
    from PIL import Image

    for index in range(500):
        Image.new("RGB", (250, 250)).save(person / f"Ann_{index + 1:04d}.jpg")
    with tarfile.open(home / "lfw-funneled.tgz", "w:gz") as archive:
        archive.add(tmp_path / "lfw_funneled", "lfw_funneled")
    found = open_faces("lfw")
    assert found.root == home / "lfw_funneled"
    assert len(read_faces(found.root)["Ann"]) == 500


@pytest.mark.filterwarnings("error")
def test_lfw_without_a_network_is_one_clear_error(no_network, tmp_path) -> None:
    with pytest.raises(FacenetError) as raised:
        open_faces("lfw")
    message = str(raised.value)
    assert "\n" not in message
    assert "no network in tests" in message
    assert str(tmp_path / "scikit_learn_data" / "lfw_home") in message
    assert "FACENET_FACES" in message


def test_a_folder_that_a_word_hides_is_told(monkeypatch, tmp_path, drawn, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    for word in ("lfw", "drawn"):
        touch(tmp_path / word, "Ann/Ann_0001.jpg")
    assert open_faces("drawn").root.is_absolute()
    assert "what is here is named ./drawn\n" in capsys.readouterr().err
    assert open_faces("./drawn").root == Path("drawn")
    assert open_faces("./lfw").root == Path("lfw")
    assert capsys.readouterr().err == ""
    with pytest.raises(FacenetError, match=r"; the folder lfw that is here is named \./lfw$"):
        open_faces("lfw")
    assert capsys.readouterr().err.startswith("lfw: taken for LFW as scikit-learn keeps it; what")


def test_lfw_without_scikit_learn_is_one_clear_error(monkeypatch) -> None:
    import_module = builtins.__import__

    def no_sklearn(name, *arguments, **options):
        if name.startswith("sklearn"):
            raise ImportError(f"No module named {name!r}")
        return import_module(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", no_sklearn)
    with pytest.raises(FacenetError, match=r"needs scikit-learn.*FACENET_FACES"):
        open_faces("lfw")


def test_lfw_whose_unpacking_was_interrupted(tmp_path) -> None:
    touch(make_lfw_home(tmp_path / "scikit_learn_data"), "lfw-funneled.tgz")
    with pytest.raises(FacenetError, match="delete the folder and try again"):
        open_faces("lfw")


# training_faces ---------------------------------------------------------------------------------


def folder_with(faces: Path, pairs: str | None = None, people: str | None = None) -> FaceFolder:
    if pairs is not None:
        (faces / "pairs.txt").write_text(pairs)
    if people is not None:
        (faces / "peopleDevTrain.txt").write_text(people)
    return open_faces(faces)


def test_everyone_is_trained_on_without_files(faces: Path) -> None:
    assert training_faces(folder_with(faces)) == read_faces(faces)


def test_nobody_whom_the_pairs_name_is_trained_on(faces: Path) -> None:
    training = training_faces(folder_with(faces, PAIRS))
    assert training == {name: read_faces(faces)[name] for name in ("Cem", "Dan")}


def test_the_people_file_says_who_is_trained_on(faces: Path) -> None:
    training = training_faces(folder_with(faces, PAIRS, "1\nCem\t2\n"))
    assert list(training) == ["Cem"]
    assert training["Cem"] == read_faces(faces)["Cem"]
    without_pairs = folder_with(faces, None, "2\nDan\t1\nAnn\t1\n")
    assert list(training_faces(FaceFolder(faces, None, without_pairs.train_people))) == [
        "Ann",
        "Dan",
    ]


def test_who_is_not_trained_on_is_told(faces: Path) -> None:
    (faces / "pairs.txt").write_text(PAIRS)
    told = find_training_faces(open_faces(faces)).left_out
    assert list(map(str, told)) == [
        f"left out people whom {faces / 'pairs.txt'} compares: 2 (Ann, Bob)"
    ]
    (faces / "peopleDevTrain.txt").write_text("1\nCem\t2\n")
    told = find_training_faces(open_faces(faces)).left_out
    people = faces / "peopleDevTrain.txt"
    assert list(map(str, told)) == [
        f"left out people whom {people} does not name: 3 (Ann, Bob, Dan)"
    ]


def test_people_who_are_not_there_are_all_told(faces: Path) -> None:
    folder = folder_with(faces, PAIRS, "4\nCem\t3\nDan\t1\nEve\t1\nFay\t2\n")
    with pytest.raises(FacenetError) as raised:
        training_faces(folder)
    told = str(raised.value).splitlines()
    assert len(told) == 4
    assert told[1].strip() == f"expected 3 images of Cem in {faces}, found 2"
    assert told[2].strip() == f"expected 1 images of Eve in {faces}, found 0"


def test_people_who_are_compared_are_refused_for_training(faces: Path) -> None:
    folder = folder_with(faces, PAIRS, "2\nBob\t1\nCem\t2\n")
    with pytest.raises(FacenetError, match=r"found 1, such as Bob; train and evaluate on files"):
        training_faces(folder)


def test_nobody_left_to_train_on(faces: Path) -> None:
    folder = folder_with(faces, "1\nAnn\t1\t2\nBob\t1\tCem\t1\n")
    assert list(training_faces(folder)) == ["Dan"]
    folder = folder_with(faces, "2\nAnn\t1\t2\nDan\t1\t2\nBob\t1\tCem\t1\nBob\t1\tCem\t2\n")
    with pytest.raises(FacenetError, match="expected people to train on, found only the 4 whom"):
        training_faces(folder)


# Whether there are enough of them


def test_enough_faces_are_taken_without_a_word(faces: Path) -> None:
    (faces / "pairs.txt").write_text(PAIRS)
    folder = open_faces(faces)
    datasets.check_enough_faces(folder, pairs=1, strangers=1, images_of_strangers=2)
    datasets.check_enough_faces(folder)


@pytest.mark.parametrize(
    ("needs", "told"),
    [
        (
            {"people": 2, "images": 2},
            "at least 2 people to train on with 2 or more images each, found 1",
        ),
        (
            {"pairs": 2},
            "at least 2 pairs of one person and 2 of two, with 2 or more images in all, "
            "found 1, 1 and 3",
        ),
        (
            {"pairs": 1, "strangers": 3},
            "at least 3 people who are not trained on, with 1 or more images each, found 2",
        ),
    ],
)
def test_too_few_faces_are_refused_with_their_number(faces: Path, needs, told) -> None:
    (faces / "pairs.txt").write_text(PAIRS)
    with pytest.raises(FacenetError, match="too few faces") as caught:
        datasets.check_enough_faces(open_faces(faces), **needs)
    assert told in str(caught.value)


def test_many_pairs_of_few_images_are_too_few(tmp_path: Path) -> None:
    """Five images of one person are ten pairs, and with two of another's ten pairs more."""
    same = [f"Ann\t{i}\t{j}\n" for i in range(1, 6) for j in range(i + 1, 6)]
    different = [f"Ann\t{i}\tBob\t{j}\n" for i in range(1, 6) for j in (1, 2)]
    (tmp_path / "pairs.txt").write_text("".join(["10\n", *same, *different]))
    folder = open_faces(tmp_path)
    datasets.check_enough_faces(folder, pairs=7)
    with pytest.raises(FacenetError, match="with 8 or more images in all, found 10, 10 and 7"):
        datasets.check_enough_faces(folder, pairs=8)


def test_everything_that_is_missing_is_told_at_once(faces: Path) -> None:
    with pytest.raises(FacenetError, match="2 problems") as caught:
        datasets.check_enough_faces(open_faces(faces), people=9, pairs=1)
    assert "pairs file" in str(caught.value) and "9 people" in str(caught.value)


@pytest.mark.slow
def test_only_the_faces_of_the_figures_are_the_default_ones(monkeypatch, tmp_path: Path) -> None:
    drawn_faces.write_faces(tmp_path / "own", 21, 2, seed=5, size=64, test_identities=20)
    own = open_faces(tmp_path / "own")
    assert own.is_drawn and not own.is_default
    numbers = {"IDENTITIES": 21, "IMAGES": 2, "SEED": 5, "SIZE": 64, "TEST_IDENTITIES": 20}
    for name, number in numbers.items():
        monkeypatch.setattr(datasets, f"DRAWN_{name}", number)
    assert own.is_default
    monkeypatch.setattr(datasets, "DRAWN_SEED", 6)
    assert not own.is_default


def test_photographs_are_not_drawn(faces: Path) -> None:
    assert not open_faces(faces).is_drawn and not open_faces(faces).is_default


# Real faces -------------------------------------------------------------------------------------


def test_lfw_view_1() -> None:
    if not {"FACENET_LFW", "FACENET_LFW_PROTOCOL"} <= os.environ.keys():
        pytest.skip("FACENET_LFW and FACENET_LFW_PROTOCOL do not name LFW's images and files")
    protocol = Path(os.environ["FACENET_LFW_PROTOCOL"])
    folder = open_faces(
        os.environ["FACENET_LFW"],
        pairs=protocol / "pairsDevTest.txt",
        train_people=protocol / "peopleDevTrain.txt",
    )
    everyone, training = read_faces(folder.root), training_faces(folder)
    assert (len(everyone), sum(map(len, everyone.values()))) == (5749, 13233)
    assert (len(training), sum(map(len, training.values()))) == (4038, 9525)
    paths, _ = resolve_pairs(folder.root, read_pairs(protocol / "pairsDevTest.txt"))
    assert not {Path(path).parent.name for path in paths} & training.keys()
    with pytest.raises(FacenetError, match="files of one view"):
        training_faces(FaceFolder(folder.root, protocol / "pairs.txt", folder.train_people))
