"""Filtering: distances to the centre are what they are called, and what is far is left out."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_people import images_of, people

from facenet_lib.errors import FacenetError
from facenet_lib.files import normalize_name
from facenet_lib.filtering import (
    distances_to_centers,
    filter_faces,
    read_distances,
    write_distances,
)
from facenet_lib.index_queue import image_and_label_lists

# Distances to the centre ------------------------------------------------------------------------


@settings(deadline=None)
@given(
    labels=st.lists(st.integers(-3, 3), min_size=0, max_size=40),
    features=st.integers(1, 5),
    seed=st.integers(0, 2**32),
)
def test_distances_are_those_to_the_mean_of_the_class(labels, features, seed) -> None:
    embeddings = np.random.default_rng(seed).normal(size=(len(labels), features)).astype(np.float32)
    found = distances_to_centers(embeddings, labels)
    assert found.shape == (len(labels),)
    assert found.dtype == np.float64
    for row, label in enumerate(labels):
        own = [embeddings[other].astype(float) for other, its in enumerate(labels) if its == label]
        center = sum(own) / len(own)
        expected = math.sqrt(sum((embeddings[row].astype(float) - center) ** 2))
        assert found[row] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("embeddings", "labels", "told"),
    [
        (np.zeros(3), np.zeros(3, int), r"found \(3,\) and \(3,\)"),
        (np.zeros((3, 2)), np.zeros(2, int), r"found \(3, 2\) and \(2,\)"),
        (np.zeros((3, 2)), np.zeros((3, 1), int), r"found \(3, 2\) and \(3, 1\)"),
        (np.array([[0.0, np.nan]]), [0], "expected finite numbers"),
        (np.array([[0.0, np.inf]]), [0], "expected finite numbers"),
    ],
)
def test_embeddings_without_a_centre_are_refused(embeddings, labels, told) -> None:
    with pytest.raises(FacenetError, match=told):
        distances_to_centers(embeddings, labels)


@settings(deadline=None)
@given(
    names=st.lists(
        # No file can have half of a surrogate pair in its name.
        st.text(
            st.characters(exclude_characters="/\0", exclude_categories=["Cs"]),
            min_size=1,
            max_size=6,
        ).filter(lambda name: name not in (".", "..")),
        unique_by=normalize_name,
        max_size=5,
    ),
    seed=st.integers(0, 2**32),
)
def test_distances_written_are_read(tmp_path_factory, names, seed) -> None:
    faces = {name: (Path("a", name, "1.jpg"), Path("a", name, name)) for name in names}
    images, _ = image_and_label_lists(faces) if names else ([], [])
    distances = np.random.default_rng(seed).uniform(0, 2, len(images))
    path = tmp_path_factory.mktemp("distances") / "distances.csv"
    write_distances(path, faces, distances)
    found = read_distances(path)
    assert list(found) == [
        (normalize_name(name), normalize_name(image.name))
        for name, paths in faces.items()
        for image in paths
    ]
    np.testing.assert_allclose(list(found.values()), distances, rtol=1e-6)


def test_a_name_that_is_no_utf8_is_read_as_it_was_written(tmp_path: Path) -> None:
    name = "Ren\udce9"
    write_distances(tmp_path / "d.csv", {name: (Path(name, "1.jpg"),)}, [0.5])
    assert read_distances(tmp_path / "d.csv") == {(name, "1.jpg"): 0.5}


def test_the_table_of_distances_is_plain_csv(tmp_path: Path) -> None:
    faces = {"Ann": (Path("x/Ann/a.jpg"),), "Lee, Bob": (Path("x/Lee, Bob/b.jpg"),)}
    write_distances(tmp_path / "d.csv", faces, [0.25, 1])
    assert (tmp_path / "d.csv").read_text().splitlines() == [
        "person,image,distance",
        "Ann,a.jpg,0.25",
        '"Lee, Bob",b.jpg,1',
    ]
    # As a spreadsheet may save it again:
    saved = '\ufeffperson,image,distance\r\nAnn,"a.jpg",0.25\r\n'
    (tmp_path / "d.csv").write_bytes(saved.encode())
    assert read_distances(tmp_path / "d.csv") == {("Ann", "a.jpg"): 0.25}


def test_damaged_tables_of_distances_are_told_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text(
        "person,image,distance\nAnn,a.jpg,0.5\nAnn,a.jpg,0.6\nBob,b.jpg\n\nCem,c.jpg,far\n"
        "Dan,d.jpg,-1\nEve,e.jpg,nan\nFay,f.jpg,inf\n"
    )
    with pytest.raises(FacenetError) as caught:
        read_distances(path)
    told = str(caught.value).splitlines()
    assert told[0] == f"{path}: 6 problems"
    assert told[1].strip() == "line 3: Ann/a.jpg stands twice"
    assert [line.split(":")[0].strip() for line in told[2:]] == [
        f"line {number}" for number in (4, 6, 7, 8, 9)
    ]
    path.write_text("who,image,distance\nAnn,a.jpg,0.5\n")
    told_columns = r"d\.csv: expected the column person, found who, image, distance$"
    with pytest.raises(FacenetError, match=told_columns):
        read_distances(path)
    path.write_text("")
    with pytest.raises(FacenetError, match=r"d\.csv: expected the columns person, image, distance"):
        read_distances(path)
    path.write_text('person,image,distance\nAnn,"a.jpg,0.5\n')
    with pytest.raises(
        FacenetError, match=r"d\.csv: line 2: expected cells separated by commas: unexpected end"
    ):
        read_distances(path)
    with pytest.raises(FacenetError, match=r"none\.csv: cannot be read: No such file"):
        read_distances(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("distances", "told"),
    [
        ([0.5], r"one for each of 2 images, found \(1,\)"),
        ([[0.5, 0.5]], r"found \(1, 2\)"),
        ([0.5, -1.0], "P000/1.jpg: expected a number of 0 or more, found -1.0"),
        ([math.nan, math.inf], "2 problems"),
    ],
)
def test_distances_that_are_none_are_not_written(tmp_path: Path, distances, told) -> None:
    with pytest.raises(FacenetError, match=told):
        write_distances(tmp_path / "d.csv", people(2), distances)
    assert not list(tmp_path.iterdir())


def test_distances_need_a_folder_and_names_that_tell_images_apart(tmp_path: Path) -> None:
    with pytest.raises(FacenetError, match=r"d\.csv: cannot be written"):
        write_distances(tmp_path / "none" / "d.csv", people(2), [0.5, 0.5])
    twins = {"Ann": (Path("one/1.jpg"), Path("other/1.jpg"))}
    with pytest.raises(FacenetError, match=r"faces: Ann/1\.jpg: stands more than once"):
        write_distances(tmp_path / "d.csv", twins, [0.5, 0.5])


def distances_of(faces, values) -> dict[tuple[str, str], float]:
    images = [(name, path.name) for name, paths in faces.items() for path in paths]
    return dict(zip(images, values, strict=True))


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(0, 8), min_size=1, max_size=6).filter(any),
    percentile=st.integers(1, 100),
    minimum=st.integers(1, 4),
    seed=st.integers(0, 2**32),
)
def test_images_beyond_the_percentile_are_left_out(counts, percentile, minimum, seed) -> None:
    faces = people(*counts)
    values = np.random.default_rng(seed).uniform(0, 2, sum(counts))
    distances = distances_of(faces, values)
    # The percentile as it is defined: a place among the sorted, between two of them in part.
    place = Fraction(percentile, 100) * (len(values) - 1)
    low, high = sorted(values)[math.floor(place)], sorted(values)[math.ceil(place)]
    farthest = low + (high - low) * float(place - math.floor(place))
    expected = {
        name: tuple(p for p in paths if distances[name, p.name] <= farthest + 1e-12)
        for name, paths in faces.items()
    }
    expected = {name: paths for name, paths in expected.items() if len(paths) >= minimum}
    if not expected:
        with pytest.raises(FacenetError, match=r"none of .* people has"):
            filter_faces(faces, distances, percentile, minimum)
    else:
        found = filter_faces(faces, distances, percentile, minimum)
        assert found == expected
        assert list(found) == list(expected)


def test_the_last_percentile_keeps_all_and_the_minimum_still_counts() -> None:
    faces = people(3, 1)
    distances = distances_of(faces, [0.1, 0.2, 0.9, 0.5])
    assert filter_faces(faces, distances, 100, 1) == faces
    assert filter_faces(faces, distances, 100, 2) == {"P000": faces["P000"]}
    assert filter_faces(faces, distances, 70, 1) == {
        "P000": faces["P000"][:2],
        "P001": faces["P001"],
    }


def test_an_image_among_strangers_is_the_one_filtered_out() -> None:
    """From embeddings to faces: three people in three directions, one image under a wrong name."""
    faces = people(6, 6, 6)
    generator = np.random.default_rng(0)
    directions = np.repeat(np.eye(3), 6, axis=0)
    directions[4] = [0, 1, 0]  # of the first person, but looks like the second
    embeddings = directions + generator.normal(0, 0.05, directions.shape)
    measured = distances_to_centers(embeddings, np.repeat([0, 1, 2], 6))
    kept = filter_faces(faces, distances_of(faces, measured), 95, 1)
    assert images_of(faces) - images_of(kept) == {faces["P000"][4]}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"percentile": 0}, "percentile: expected a number above 0 and up to 100, found 0"),
        ({"percentile": 100.5}, "percentile"),
        ({"percentile": math.nan}, "percentile"),
        ({"minimum_images": 0}, "minimum of images"),
        ({"minimum_images": 9}, "none of 2 people has 9 or more images"),
        ({"faces": {}, "distances": {}}, "expected people with images, found none"),
    ],
)
def test_filters_that_are_none(change, told) -> None:
    faces = people(2, 2)
    arguments = {"percentile": 50, "minimum_images": 1}
    arguments |= {"faces": faces, "distances": distances_of(faces, [0.1, 0.2, 0.3, 0.4])}
    with pytest.raises(FacenetError, match=told):
        filter_faces(**(arguments | change))


def test_images_and_distances_that_do_not_belong_together_are_all_named() -> None:
    faces = people(2, 1)
    distances = distances_of(faces, [0.1, 0.2, 0.3])
    del distances["P001", "0.jpg"]
    distances["P000", "9.jpg"] = distances["Zoe", "0.jpg"] = 0.5
    with pytest.raises(FacenetError) as caught:
        filter_faces(faces, distances, 50, 1)
    assert [line.strip() for line in str(caught.value).splitlines()] == [
        "distances: 3 problems",
        "P001/0.jpg: has no distance",
        "P000/9.jpg: has a distance, but is not among the faces",
        "Zoe/0.jpg: has a distance, but is not among the faces",
    ]


def test_names_are_compared_in_one_form(tmp_path: Path) -> None:
    """A table that one system wrote and another reads; what stands in no form twice."""
    faces = {"Zo\u00eb": [Path("Zoe\u0308/Zoe\u0308_1.jpg"), Path("Zoe\u0308/Zoe\u0308_2.jpg")]}
    table = tmp_path / "distances.csv"
    table.write_text(
        "person,image,distance\nZoe\u0308,Zo\u00eb_1.jpg,0.1\nZo\u00eb,Zoe\u0308_2.jpg,0.9\n",
        "utf-8",
    )
    distances = read_distances(table)
    kept = filter_faces(faces, distances, 60, minimum_images=1)
    assert kept == {"Zo\u00eb": (Path("Zoe\u0308/Zoe\u0308_1.jpg"),)}
    written = {(name.replace("\u00eb", "e\u0308"), image): 0.5 for name, image in distances}
    assert filter_faces(faces, written, 100, minimum_images=1)["Zo\u00eb"] == tuple(
        faces["Zo\u00eb"]
    )
    with table.open("a", encoding="utf-8") as file:
        file.write("Zo\u00eb,Zo\u00eb_1.jpg,0.1\n")
    with pytest.raises(FacenetError, match="stands twice"):
        read_distances(table)
