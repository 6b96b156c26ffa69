"""Drawn faces: the same seed gives the same bytes, every parameter shows, folders are whole."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facenet_lib.drawn_faces import (
    DrawnFaces,
    Identity,
    Nuisance,
    draw_identity,
    draw_nuisance,
    person_name,
    render_face,
    write_faces,
)
from facenet_lib.drawn_faces import render as rendering
from facenet_lib.drawn_faces.head import build_head
from facenet_lib.drawn_faces.identity import (
    BEARDS,
    EYE_COLOURS,
    HAIR_COLOURS,
    HAIR_STYLES,
    IDENTITY_RANGES,
)
from facenet_lib.drawn_faces.nuisance import BACKGROUNDS, GLASSES, NUISANCE_RANGES
from facenet_lib.errors import FacenetError
from facenet_lib.lfw_pairs import read_pairs, read_people, resolve_pairs

SIZE = 96

# A picture as for a passport, so that what differs between two is what the test changed.
PASSPORT = dataclasses.replace(
    draw_nuisance(0),
    yaw=0.0,
    pitch=0.0,
    roll=0.0,
    scale=1.0,
    shift_x=0.0,
    shift_y=0.0,
    light_azimuth=0.0,
    light_elevation=30.0,
    light_strength=1.0,
    light_warmth=0.0,
    ambient_strength=0.4,
    ambient_warmth=0.0,
    smile=0.0,
    mouth_open=0.0,
    brow_raise=0.0,
    eye_closing=0.0,
    gaze_x=0.0,
    gaze_y=0.0,
    glasses="none",
    background="gradient",
    exposure=0.0,
    contrast=1.0,
    blur=0.0,
    noise=0.0,
)
# Someone on whom everything shows: no hair in the face, no feature at the end of its range.
PLAIN = dataclasses.replace(
    draw_identity(0),
    **{name: (low + high) / 2 for name, (low, high) in IDENTITY_RANGES.items()},
    hair_style="short",
    hair_colour="brown",
    eye_colour="brown",
    beard="none",
    freckles=0,
    moles=(),
    scar=None,
)
OTHER_TRAITS = {
    "eye_colour": "blue",
    "hair_style": "curly",
    "hair_colour": "blond",
    "beard": "full",
    "freckles": 80,
    "moles": ((0.25, -0.25, 0.03),),
    "scar": (-0.3, -0.3, 45.0, 0.25),
    "detail_seed": PLAIN.detail_seed + 1,
}
OTHER_CIRCUMSTANCES = {
    "glasses": "round",
    "glasses_colour": (200, 30, 30),
    "cloth_colour": (250, 250, 10),
    "background": "stripes",
    "background_seed": PASSPORT.background_seed + 1,
    "noise_seed": PASSPORT.noise_seed + 1,
}


def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(h, w) largest difference of the three colours, in grey levels."""
    return np.abs(first.astype(int) - second.astype(int)).max(axis=2)


def face_of(identity: Identity, **circumstances: object) -> np.ndarray:
    return render_face(identity, dataclasses.replace(PASSPORT, **circumstances), SIZE)


# Seeds ----------------------------------------------------------------------------------------


def test_a_seed_always_draws_the_same() -> None:
    for seed in (0, 7, (3, 1, 4), np.random.SeedSequence(5, spawn_key=(1, 2))):
        assert draw_identity(seed) == draw_identity(seed)
        assert draw_nuisance(seed) == draw_nuisance(seed)
    assert draw_identity(1) != draw_identity(2)
    assert draw_nuisance(1) != draw_nuisance(2)


def test_numpys_global_state_plays_no_part() -> None:
    pictures = []
    for state in (1, 2):
        np.random.seed(state)  # noqa: NPY002
        build_head.cache_clear()
        pictures.append(render_face(draw_identity(3), draw_nuisance(4), SIZE))
    np.testing.assert_array_equal(*pictures)


@pytest.mark.parametrize("seed", [-1, 1.5, "one", (1, -2)])
def test_what_is_no_seed_is_refused(seed: object) -> None:
    for draw in (draw_identity, draw_nuisance):
        with pytest.raises(FacenetError, match="seed"):
            draw(seed)


def test_draws_stay_within_their_ranges_and_fill_them() -> None:
    people = [draw_identity(seed) for seed in range(300)]
    pictures = [draw_nuisance(seed) for seed in range(300)]
    for drawn, ranges in ((people, IDENTITY_RANGES), (pictures, NUISANCE_RANGES)):
        for name, (low, high) in ranges.items():
            values = np.array([getattr(each, name) for each in drawn])
            assert low <= values.min() and values.max() <= high, name
            assert np.ptp(values) > 0.9 * (high - low), name
    assert {person.hair_style for person in people} == set(HAIR_STYLES)
    assert {person.hair_colour for person in people} == set(HAIR_COLOURS)
    assert {person.eye_colour for person in people} == set(EYE_COLOURS)
    assert {person.beard for person in people} == set(BEARDS)
    assert {picture.background for picture in pictures} == set(BACKGROUNDS)
    assert {picture.glasses for picture in pictures} == {"none", *GLASSES}


# One picture ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [64, 97, 160])
def test_pictures_have_the_size_asked_for(size: int) -> None:
    picture = render_face(PLAIN, PASSPORT, size)
    assert picture.shape == (size, size, 3)
    assert picture.dtype == np.uint8


@pytest.mark.parametrize("size", [0, 63, -160, 160.0, "160", True, None])
def test_impossible_sizes_are_refused(size: object) -> None:
    with pytest.raises(FacenetError, match="size: expected a whole number of pixels"):
        render_face(PLAIN, PASSPORT, size)


def test_the_same_picture_twice_is_the_same_to_the_last_bit() -> None:
    identity, nuisance = draw_identity(11), draw_nuisance(12)
    first = render_face(identity, nuisance, SIZE)
    build_head.cache_clear()
    np.testing.assert_array_equal(first, render_face(identity, nuisance, SIZE))


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Identity)])
def test_every_trait_of_an_identity_shows(name: str) -> None:
    ends = IDENTITY_RANGES.get(name) or (getattr(PLAIN, name), OTHER_TRAITS[name])
    low, high = (face_of(dataclasses.replace(PLAIN, **{name: end}), yaw=20.0) for end in ends)
    shown = difference(low, high)
    assert shown.max() >= 15
    assert (shown > 7).sum() >= 4  # a mole is small


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Nuisance)])
def test_every_circumstance_shows_but_the_quality_of_the_file(name: str) -> None:
    needed = {"glasses_colour": {"glasses": "round"}, "noise_seed": {"noise": 5.0}}.get(name, {})
    ends = NUISANCE_RANGES.get(name) or (getattr(PASSPORT, name), OTHER_CIRCUMSTANCES[name])
    low, high = (face_of(PLAIN, **{**needed, name: end}) for end in ends)
    assert (difference(low, high).max() >= 15) == (name != "jpeg_quality")


def test_hair_styles_all_look_different() -> None:
    pictures = [face_of(dataclasses.replace(PLAIN, hair_style=style)) for style in HAIR_STYLES]
    for first, second in itertools.combinations(pictures, 2):
        assert (difference(first, second) > 20).mean() > 0.005


def test_pictures_of_one_person_differ_and_so_do_people_in_the_same_circumstances() -> None:
    for seed in range(4):
        person, other = draw_identity(seed), draw_identity(seed + 100)
        here, there = draw_nuisance(seed), draw_nuisance(seed + 100)
        picture = render_face(person, here, SIZE)
        assert difference(picture, render_face(person, there, SIZE)).mean() > 5
        assert difference(picture, render_face(other, here, SIZE)).mean() > 2


# Three dimensions -----------------------------------------------------------------------------


def find_mole(mole: tuple[float, float, float], yaw: float) -> float:
    """Column (pixels) of the middle of a mole."""
    marked = dataclasses.replace(PLAIN, moles=(mole,))
    shown = difference(face_of(marked, yaw=yaw), face_of(PLAIN, yaw=yaw)).astype(float)
    assert shown.max() > 20
    shown[shown < 10] = 0
    return float((shown.sum(axis=0) * np.arange(SIZE)).sum() / shown.sum())


def test_what_sticks_out_moves_farther_when_the_head_turns() -> None:
    """A point (x, z) moves to x cos(yaw) + z sin(yaw): the nose is nearer than the cheek."""
    yaw = 15.0
    nose, cheek = (0.0, -0.25, 0.03), (-0.42, -0.3, 0.03)
    unit = SIZE / 2.7  # pixels
    depths = []
    for mole in (nose, cheek):
        before, after = (find_mole(mole, angle) / unit for angle in (0.0, yaw))
        middle = (SIZE - 1) / 2 / unit
        turned = np.radians(yaw)
        depths.append(((after - middle) - (before - middle) * np.cos(turned)) / np.sin(turned))
    assert 0.85 < depths[0] < 1.2
    assert 0.3 < depths[1] < 0.75


def test_turning_left_is_the_mirror_image_of_turning_right() -> None:
    symmetric = dataclasses.replace(PLAIN, hair_part=0.0)
    plain = {"background_seed": 0, "pitch": 5.0}
    right = face_of(symmetric, yaw=25.0, **plain)
    left = face_of(symmetric, yaw=-25.0, **plain)
    inside = (slice(20, 80), slice(30, 66))  # the face; the background is no mirror image
    mirrored = difference(right, left[:, ::-1])[inside].mean()
    same = difference(right, left)[inside].mean()
    assert mirrored < 4 < same / 2


def test_light_from_the_left_lights_the_left() -> None:
    cheeks = (slice(48, 62), slice(30, 40)), (slice(48, 62), slice(56, 66))
    for azimuth in (-60.0, 60.0):
        picture = face_of(PLAIN, light_azimuth=azimuth, ambient_strength=0.2).astype(float)
        left, right = (picture[cheek].mean() for cheek in cheeks)
        assert (left > 1.5 * right) if azimuth < 0 else (right > 1.5 * left)


def heads_seen(identity: Identity, nuisance: Nuisance) -> np.ndarray:
    """(h, w) where the picture does not depend on what is behind."""
    bare = dataclasses.replace(nuisance, blur=0.0, noise=0.0, exposure=0.0, contrast=1.0)
    black, white = (
        render_face(identity, dataclasses.replace(bare, background_seed=seed), SIZE)
        for seed in (1, 2)
    )
    return difference(black, white) == 0


def test_no_head_leaves_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_colour(nuisance: Nuisance, size: int) -> np.ndarray:
        return np.full((size, size, 3), 0.1 * nuisance.background_seed, np.float32)

    monkeypatch.setattr(rendering, "draw_background", one_colour)
    for seed in range(24):
        corner = np.random.default_rng(seed)
        extreme = {
            name: float(NUISANCE_RANGES[name][int(corner.integers(2))])
            for name in ("yaw", "pitch", "roll", "scale", "shift_x", "shift_y")
        }
        seen = heads_seen(draw_identity(seed), dataclasses.replace(PASSPORT, **extreme))
        assert 0.2 < seen.mean() < 0.8
        above_shoulders = seen[: SIZE * 2 // 3]
        assert not above_shoulders[:, [0, -1]].any(), seed
        assert seen[0].mean() < 0.3, seed  # high hair may touch the upper edge


# Names ----------------------------------------------------------------------------------------


def test_all_names_are_unique_folder_names() -> None:
    count = 6_912 + 158_976
    names = [person_name(index) for index in range(count)]
    assert len({name.lower() for name in names}) == count
    assert all(re.fullmatch(r"[A-Z][a-z]+(_[A-Z][a-z]+){1,2}", name) for name in names)
    assert all(name.count("_") == 1 for name in names[:6_912])
    with pytest.raises(FacenetError, match="person: expected a number from 0 to 165887"):
        person_name(count)


def test_names_depend_on_the_seed() -> None:
    assert person_name(5, seed=1) == person_name(5, seed=1)
    first, second = ([person_name(index, seed) for index in range(20)] for seed in (1, 2))
    assert first != second
    with pytest.raises(FacenetError, match="person"):
        person_name(-1)
    with pytest.raises(FacenetError, match="seed"):
        person_name(0, seed=-1)


# A dataset ------------------------------------------------------------------------------------

DATASET = {"identities": 23, "images_per_identity": 3, "seed": 9, "size": 64}


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> DrawnFaces:
    root = tmp_path_factory.mktemp("faces") / "new" / "folder"
    return write_faces(root, **DATASET, workers=1, progress=False)


def test_a_dataset_has_the_layout_of_lfw(drawn: DrawnFaces) -> None:
    assert drawn.images == drawn.images_drawn == 23 * 3
    assert len(drawn.test_names) == 20
    assert len(drawn.train_names) == 3
    assert not set(drawn.test_names) & set(drawn.train_names)
    for name in (*drawn.test_names, *drawn.train_names):
        files = sorted(path.name for path in (drawn.root / name).iterdir())
        assert files == [f"{name}_{number:04d}.jpg" for number in (1, 2, 3)]
        with Image.open(drawn.root / name / files[0]) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (64, 64))
    (train,) = read_people(drawn.root / "peopleDevTrain.txt")
    assert train == dict.fromkeys(drawn.train_names, 3)


def test_folds_share_no_one_and_pairs_keep_to_their_fold(
    drawn: DrawnFaces,
) -> None:
    folds = read_people(drawn.root / "people.txt")
    assert len(folds) == 10
    people = [name for fold in folds for name in fold]
    assert sorted(people) == list(drawn.test_names)
    assert all(count == 3 for fold in folds for count in fold.values())
    pairs = read_pairs(drawn.root / "pairs.txt")
    assert pairs.folds == 10
    assert len(pairs) == drawn.pairs == 10 * 2 * 6  # two people with three images: 2 * 3 same pairs
    assert len(set(pairs)) == len(pairs)
    for pair, fold in zip(pairs, pairs.fold_ids(), strict=True):
        assert {pair.name1, pair.name2} <= set(folds[fold])
    paths, issame = resolve_pairs(drawn.root, pairs)
    assert len(paths) == 2 * len(pairs)
    assert all(issame[pairs.fold_ids() == fold].mean() == 0.5 for fold in range(10))


def test_the_bytes_depend_neither_on_the_workers_nor_on_the_number_of_people(
    drawn: DrawnFaces, tmp_path: Path
) -> None:
    write_faces(tmp_path / "two", **DATASET, workers=2, progress=False)
    assert contents(tmp_path / "two") == contents(drawn.root)
    more = {**DATASET, "identities": 22, "images_per_identity": 2}
    fewer = write_faces(tmp_path / "fewer", **more, workers=1, progress=False)
    for path in fewer.root.rglob("*.jpg"):
        assert path.read_bytes() == (drawn.root / path.relative_to(fewer.root)).read_bytes()


def test_an_interrupted_call_is_finished_by_the_next(
    drawn: DrawnFaces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = []
    save = Image.Image.save

    def save_until_interrupted(image: Image.Image, *args: object, **options: object) -> None:
        if len(saved) == 10:
            raise KeyboardInterrupt
        saved.append(image)
        save(image, *args, **options)

    monkeypatch.setattr(Image.Image, "save", save_until_interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_faces(tmp_path, **DATASET, workers=1, progress=False)
    monkeypatch.undo()
    assert len(list(tmp_path.rglob("*.jpg"))) == 10
    assert not (tmp_path / "pairs.txt").exists()
    (tmp_path / ".half.jpg.99.part").write_bytes(b"left by a call that was killed")
    again = write_faces(tmp_path, **DATASET, workers=1, progress=False)
    assert again.images_drawn == drawn.images - 10
    assert contents(tmp_path) == contents(drawn.root)
    assert write_faces(tmp_path, **DATASET, progress=False).images_drawn == 0


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system cannot kill a process")
def test_a_killed_call_leaves_whole_files_and_no_process(drawn: DrawnFaces, tmp_path: Path) -> None:
    script = tmp_path / "draw.py"
    out = tmp_path / "faces"
    script.write_text(
        textwrap.dedent(f"""
        from facenet_lib.drawn_faces import write_faces
        write_faces({str(out)!r}, **{DATASET!r}, workers=2, progress=False)
        """)
    )
    process = subprocess.Popen([sys.executable, script], start_new_session=True)
    deadline = time.monotonic() + 60
    while not any(out.rglob("*.jpg")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    while session_lives(process.pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not session_lives(process.pid)
    whole = contents(drawn.root)
    for path in out.rglob("*.jpg"):
        assert path.read_bytes() == whole[str(path.relative_to(out))]
    write_faces(out, **DATASET, workers=1, progress=False)
    assert contents(out) == whole


def session_lives(leader: int) -> bool:
    """Whether a process of the group that ``leader`` began is still there."""
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True


def test_other_arguments_do_not_touch_a_folder_drawn_before(
    drawn: DrawnFaces,
) -> None:
    before = contents(drawn.root)
    other = {**DATASET, "seed": 10, "size": 65}
    with pytest.raises(FacenetError) as caught:
        write_faces(drawn.root, **other, progress=False)
    assert "seed: expected 10, found 9" in str(caught.value)
    assert "size: expected 65, found 64" in str(caught.value)
    assert contents(drawn.root) == before


def test_a_folder_with_strangers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(FacenetError, match=r"empty folder.*'holiday.jpg'"):
        write_faces(tmp_path, **DATASET, progress=False)
    assert contents(tmp_path) == {"holiday.jpg": b"mine"}


@pytest.mark.parametrize("settings", ["{", "[1]", "{}"])
def test_damaged_settings_are_named(tmp_path: Path, settings: str) -> None:
    (tmp_path / "drawn_faces.json").write_text(settings)
    with pytest.raises(FacenetError, match=re.escape(str(tmp_path))):
        write_faces(tmp_path, **DATASET, progress=False)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "faces").write_bytes(b"")
    with pytest.raises(FacenetError, match="faces: cannot be written"):
        write_faces(tmp_path / "faces", **DATASET, progress=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"identities": 20}, "identities: expected a whole number of at least 21"),
        ({"identities": 2.5}, "identities"),
        ({"images_per_identity": 1}, "images per identity: expected 2 to 9999, found 1"),
        ({"images_per_identity": 10_000}, "images per identity"),
        ({"seed": -1}, "seed"),
        ({"size": 63}, "size"),
        ({"test_identities": 19}, "test identities: expected 20 to 22, found 19"),
        ({"test_identities": 23}, "test identities"),
        ({"pairs_per_fold": 0}, "pairs per fold: expected 1 to 6"),
        ({"pairs_per_fold": 7}, "pairs per fold"),
        ({"workers": 0}, "workers"),
    ],
)
def test_impossible_arguments_are_refused_before_anything_is_written(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(FacenetError, match=message):
        write_faces(tmp_path / "faces", **{**DATASET, **change}, progress=False)
    assert not (tmp_path / "faces").exists()


def test_all_wrong_arguments_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(FacenetError, match=r"2 problems(.|\n)*identities(.|\n)*size"):
        write_faces(tmp_path / "faces", 3, 5, size=10)
