"""Galleries: whom they hold, how far faces are from them, and the file."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from facenet_lib.alignment.manifest import AlignmentSettings
from facenet_lib.errors import FacenetError
from facenet_lib.files import read_arrays, write_arrays
from facenet_lib.recognition.fingerprint import Fingerprint
from facenet_lib.recognition.gallery import Gallery, GalleryThreshold, change_gallery

WIDTH = 8


def unit_rows(count: int, seed: int = 0) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).standard_normal((count, WIDTH)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def empty() -> Gallery:
    return Gallery(Fingerprint("models/facenet", unit_rows(4, seed=99)))


def filled(counts: dict[str, int], seed: int = 0) -> Gallery:
    gallery, rows = empty(), unit_rows(sum(counts.values()), seed)
    for name, count in counts.items():
        gallery.enroll(name, rows[:count], [f"{number}.jpg" for number in range(count)])
        rows = rows[count:]
    return gallery


counts = st.dictionaries(
    st.sampled_from(["Ann", "Bea", "Cid", "Dee"]), st.integers(1, 4), min_size=1
)


@given(counts=counts, by=st.sampled_from(["nearest", "mean"]), seed=st.integers(0, 9))
def test_distances_are_those_of_the_definition(counts, by, seed):
    gallery, probes = filled(counts, seed), unit_rows(3, seed + 100).astype(float)
    distances = gallery.distances(probes, by)
    for column, name in enumerate(sorted(counts)):
        mine = gallery.embeddings[[owner == name for owner in gallery.names]].astype(float)
        if by == "mean":
            mean = mine.mean(axis=0)
            mine = (mean / np.linalg.norm(mean))[None]
        for row, probe in enumerate(probes):
            expected = min(float(np.square(probe - one).sum()) for one in mine)
            assert distances[row, column] == pytest.approx(expected, abs=1e-5)


@given(counts=counts, k=st.integers(1, 5), seed=st.integers(0, 9))
def test_the_nearest_people_come_first(counts, k, seed):
    gallery, probes = filled(counts, seed), unit_rows(3, seed + 100)
    names, apart = gallery.search(probes, k)
    assert names.shape == apart.shape == (3, min(k, len(counts)))
    distances = gallery.distances(probes)
    for row in range(3):
        of = dict(zip(gallery.people, distances[row], strict=True))
        assert [of[name] for name in names[row]] == list(apart[row])
        assert list(apart[row]) == sorted(of.values())[:k]


@given(
    counts=counts.filter(lambda counts: len(counts) > 1),
    by=st.sampled_from(["nearest", "mean"]),
    seed=st.integers(0, 9),
)
def test_leaving_one_out_is_a_gallery_without_it(counts, by, seed):
    gallery = filled(counts, seed)
    distances, truth = gallery.leave_one_out(by)
    mates = [row for row, name in enumerate(gallery.names) if counts[name] > 1]
    assert (truth >= 0).sum() == len(mates)
    assert len(truth) == len(mates) + len(gallery.names)
    for place, row in enumerate([*mates, *range(len(gallery.names))]):
        without = empty()
        for name in gallery.people:
            is_left = [
                owner == name
                and (other != row if place < len(mates) else owner != gallery.names[row])
                for other, owner in enumerate(gallery.names)
            ]
            if any(is_left):
                rows = gallery.embeddings[is_left]
                without.enroll(name, rows, [str(number) for number in range(len(rows))])
        expected = dict.fromkeys(gallery.people, 8.0)
        if without.names:
            found = without.distances(gallery.embeddings[row : row + 1], by)[0]
            expected |= dict(zip(without.people, found, strict=True))
        assert distances[place] == pytest.approx(list(expected.values()), abs=1e-5)
        own = gallery.people.index(gallery.names[row])
        assert truth[place] == (own if place < len(mates) else -1)


def test_one_name_is_one_person_however_it_is_typed():
    gallery = empty()
    gallery.enroll("Zoe\u0308", unit_rows(1), ["1.jpg"])
    gallery.enroll("Zo\u00eb", unit_rows(1, seed=1), ["2.jpg"])
    assert gallery.people == ("Zo\u00eb",)
    assert gallery.remove("Zoe\u0308") == 2


@pytest.mark.parametrize(
    ("name", "rows", "sources", "told"),
    [
        ("", unit_rows(1), ["1"], "name: expected one line of text, found ''"),
        ("a\nb", unit_rows(1), ["1"], "name: expected one line of text"),
        ("Ann", unit_rows(2), ["1"], "Ann: expected 2 sources, found 1"),
        ("Ann", unit_rows(1)[:, :5], ["1"], r"embeddings of Ann: expected .*\(n, 8\), found"),
        ("Ann", unit_rows(1) * np.nan, ["1"], "embeddings of Ann: expected rows of length one"),
        ("Ann", unit_rows(1) * 2, ["1"], "embeddings of Ann: expected rows of length one"),
        ("Ann", unit_rows(0), [], "embeddings of Ann: expected rows, found none"),
        ("Ann", unit_rows(1), ["0.jpg"], "Ann: 0.jpg: enrolled twice"),
        ("Cid", unit_rows(2), ["x", "x"], "Cid: x: enrolled twice"),
    ],
)
def test_what_cannot_be_enrolled_is_told_and_changes_nothing(name, rows, sources, told):
    gallery = filled({"Ann": 1, "Bea": 1})
    with pytest.raises(FacenetError, match=told):
        gallery.enroll(name, rows, sources)
    assert gallery.names == ("Ann", "Bea") and len(gallery.embeddings) == 2


def test_nobody_is_removed_under_a_wrong_name():
    gallery = filled({"Annabel": 1})
    with pytest.raises(FacenetError, match="called 'Anabel' here; did you mean 'Annabel'"):
        gallery.remove("Anabel")


def test_a_gallery_without_people_names_nobody():
    with pytest.raises(FacenetError, match="without people"):
        empty().search(unit_rows(1))


def test_a_file_gives_back_what_was_saved(tmp_path: Path):
    gallery = filled({"Ann": 2, "Zo\u00eb \u5f20": 1})
    gallery.alignment = AlignmentSettings("centre", "square", 160, 0.1, "mtcnn", "1", "")
    gallery.threshold = GalleryThreshold(0.8, 0.01, 2, "mean")
    gallery.save(tmp_path / "people.npz")
    loaded = Gallery.load(tmp_path / "people.npz")
    for name in ("names", "sources", "people", "alignment", "threshold"):
        assert getattr(loaded, name) == getattr(gallery, name)
    assert np.array_equal(loaded.embeddings, gallery.embeddings)
    assert loaded.fingerprint.model == "models/facenet"
    gallery.fingerprint.check_same(loaded.fingerprint)


def test_who_was_removed_is_not_in_the_file(tmp_path: Path):
    path = tmp_path / "people.npz"
    gallery = filled({"Ann": 2, "Zoe": 3})
    gallery.save(path)
    gone = gallery.embeddings[2:]
    assert b"Zoe" in path.read_bytes() and gone[0].tobytes() in path.read_bytes()
    gallery = Gallery.load(path)
    assert gallery.remove("Zoe") == 3
    gallery.save(path)
    left = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        left += b"".join(archive.read(name) for name in archive.namelist())
    assert b"Zoe" not in left
    assert not any(row.tobytes()[:16] in left for row in gone)
    assert [entry.name for entry in tmp_path.iterdir()] == ["people.npz"]
    assert Gallery.load(path).people == ("Ann",)


def test_the_last_person_can_be_removed(tmp_path: Path):
    gallery = filled({"Ann": 1})
    gallery.remove("Ann")
    gallery.save(tmp_path / "nobody.npz")
    loaded = Gallery.load(tmp_path / "nobody.npz")
    assert loaded.people == () and loaded.embeddings.shape == (0, WIDTH)
    loaded.enroll("Bea", unit_rows(1), ["1"])


@pytest.mark.parametrize("place", range(0, 100, 7))
def test_a_damaged_file_is_told(tmp_path: Path, place: int):
    path = tmp_path / "people.npz"
    filled({"Ann": 2}).save(path)
    whole = path.read_bytes()
    cut = len(whole) * place // 100
    path.write_bytes(whole[:cut])
    with pytest.raises(FacenetError, match=r"people.npz: expected a gallery"):
        Gallery.load(path)


@pytest.mark.parametrize("missing", ["names", "sources", "embeddings", "fingerprint", "gallery"])
def test_a_file_of_something_else_is_told(tmp_path: Path, missing: str, monkeypatch):
    from facenet_lib.recognition import gallery as module

    def write(path, arrays, state, mode):
        arrays, state = dict(arrays), dict(state)
        (arrays if missing in arrays else state).pop(missing)
        original(path, arrays, state, mode)

    original = module.write_arrays
    monkeypatch.setattr(module, "write_arrays", write)
    path = tmp_path / "people.npz"
    filled({"Ann": 2}).save(path)
    told = rf"people.npz: (damaged gallery: it lacks '{missing}'$|expected a gallery)"
    with pytest.raises(FacenetError, match=told):
        Gallery.load(path)


def test_a_pickle_is_not_read(tmp_path: Path):
    path = tmp_path / "people.npz"
    np.savez(path, state=np.array([{"a": os.system}], dtype=object))
    with pytest.raises(FacenetError, match="expected a gallery"):
        Gallery.load(path)


def test_a_gallery_that_cannot_be_written_is_as_before(tmp_path: Path, monkeypatch):
    path = tmp_path / "people.npz"
    filled({"Ann": 2}).save(path)
    before = path.read_bytes()

    def full(file, **arrays):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(FacenetError, match="No space left"):
        filled({"Bea": 2}).save(path)
    assert path.read_bytes() == before


def test_one_person_has_no_strangers():
    with pytest.raises(FacenetError, match="no strangers of its own"):
        filled({"Ann": 3}).leave_one_out()


@pytest.mark.parametrize(
    "name", ["\u0645\u06cc\u200c\u062e", "\u0915\u094d\u200d\u0937", "Jean-Luc O'Neill 3."]
)
def test_names_of_any_script_are_names(name):
    assert filled({name: 1}).people == (name,)


def test_spaces_around_a_name_are_none_of_it():
    gallery = filled({"Ann": 1})
    gallery.enroll(" Ann ", unit_rows(1, seed=1), ["2"])
    assert gallery.people == ("Ann",)


def test_a_link_stays_one_and_permissions_stay(tmp_path: Path):
    real, link = tmp_path / "real.npz", tmp_path / "link.npz"
    filled({"Ann": 1, "Bea": 1}).save(real)
    assert real.stat().st_mode & 0o777 == 0o600
    real.chmod(0o640)
    link.symlink_to(real)
    with change_gallery(link) as gallery:
        gallery.remove("Bea")
    assert link.is_symlink() and real.stat().st_mode & 0o777 == 0o640
    assert Gallery.load(real).people == ("Ann",)


def test_an_error_changes_nothing(tmp_path: Path):
    path = tmp_path / "people.npz"
    filled({"Ann": 1}).save(path)
    with pytest.raises(FacenetError, match="nobody"), change_gallery(path) as gallery:
        gallery.enroll("Bea", unit_rows(1, seed=5), ["1"])
        gallery.remove("Cid")
    assert Gallery.load(path).people == ("Ann",)


@pytest.mark.parametrize("place", range(0, 1300, 41))
def test_a_wrong_byte_is_told_or_harmless(tmp_path: Path, place: int):
    path = tmp_path / "people.npz"
    gallery = filled({"Ann": 2})
    gallery.save(path)
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 0xFF
    path.write_bytes(content)
    try:
        loaded = Gallery.load(path)
    except FacenetError:
        return
    assert loaded.names == gallery.names
    assert np.array_equal(loaded.embeddings, gallery.embeddings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threshold", {"distance": "a", "false_positive_rate": 0.1, "people": 2, "by": "mean"}),
        ("threshold", {"distance": 1}),
        ("alignment", {"size": 3}),
        ("names", ["Ann"]),
        ("names", ["Ann", 3]),
    ],
)
def test_a_file_with_something_else_in_it_is_told(tmp_path: Path, name: str, value: object):
    path = tmp_path / "people.npz"
    filled({"Ann": 2}).save(path)
    arrays, state = read_arrays(path, "a gallery")
    write_arrays(path, arrays, state | {name: value})
    with pytest.raises(FacenetError, match="damaged gallery"):
        Gallery.load(path)
