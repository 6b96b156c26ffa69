"""Classifiers of faces: who is named, how surely, and what cannot be trained."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pytest

from facenet_lib.errors import FacenetError
from facenet_lib.recognition.classification import CLASSIFIERS, FaceClassifier, train_classifier

NAMES = ["Zoe", "Ann", "Müller", "Bea"]  # not in order
WITH_PROBABILITIES = ["logistic_regression", "linear_svm"]


def photographs(each: int, seed: int = 0, noise: float = 0.15) -> tuple[np.ndarray, list[str]]:
    """Embeddings of people who stay the same whatever the seed, and their names, mixed."""
    centres = np.random.default_rng(99).normal(size=(len(NAMES), 16))
    generator = np.random.default_rng(seed)
    places = generator.permutation(np.repeat(np.arange(len(NAMES)), each))
    rows = centres[places] / np.linalg.norm(centres[places], axis=1, keepdims=True)
    rows += noise * generator.normal(size=rows.shape)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows, [NAMES[place] for place in places]


@functools.cache
def trained(kind: str, each: int = 4) -> FaceClassifier:
    return train_classifier(kind, *photographs(each))


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize("each", [2, 3])
def test_new_photographs_of_people_far_apart_are_named_rightly(kind, each):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nor does scikit-learn complain
        classifier = trained(kind, each)
    asked, names = photographs(5, seed=1)
    assert classifier.people == ("Ann", "Bea", "Müller", "Zoe")
    assert classifier.predict(asked) == names


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_the_person_with_the_highest_score_is_named(kind):
    classifier = trained(kind)
    asked = np.random.default_rng(2).normal(size=(50, 16))
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    scores = classifier.scores(asked)
    assert scores.shape == (50, 4)
    assert scores.dtype == np.float64
    for row, name in zip(scores, classifier.predict(asked), strict=True):
        assert row[classifier.people.index(name)] == max(row)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_two_people_have_two_scores(kind):
    rows, names = photographs(4)
    two = [place for place, name in enumerate(names) if name in ("Zoe", "Bea")]
    classifier = train_classifier(kind, rows[two], [names[place] for place in two])
    assert classifier.people == ("Bea", "Zoe")
    assert classifier.scores(rows[two]).shape == (8, 2)
    assert classifier.predict(rows[two]) == [names[place] for place in two]


def test_the_nearest_centroid_scores_by_the_squared_distance_to_the_mean_direction():
    rows, names = photographs(3)
    asked, _ = photographs(2, seed=1)
    scores = train_classifier("nearest_centroid", rows, names).scores(asked)
    for column, person in enumerate(sorted(NAMES)):
        total = sum(row for row, name in zip(rows, names, strict=True) if name == person)
        centroid = total / np.sqrt(total @ total)
        for face, row in zip(asked, scores, strict=True):
            squared = sum((a - b) ** 2 for a, b in zip(face, centroid, strict=True))
            assert row[column] == pytest.approx(-squared, abs=1e-5)


def test_one_photograph_is_its_own_centroid():
    rows, names = photographs(1)
    classifier = train_classifier("nearest_centroid", rows, names)
    assert classifier.scores(rows).max(axis=1) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("kind", WITH_PROBABILITIES)
def test_probabilities_sum_to_one_for_strangers_as_well(kind):
    asked = np.random.default_rng(2).normal(size=(50, 16))
    probabilities = trained(kind).scores(asked / np.linalg.norm(asked, axis=1, keepdims=True))
    assert (probabilities >= 0).all()
    assert probabilities.sum(axis=1) == pytest.approx(1)


def test_logistic_regression_is_at_the_minimum_of_its_loss():
    """For two people: the slope of the loss with penalty, written out, is zero.

    The score's log odds are linear in the embedding: its coefficients are read off from them.
    """
    rows, names = photographs(4)
    two = [place for place, name in enumerate(names) if name in ("Zoe", "Bea")]
    rows, is_zoe = rows[two], np.array([names[place] == "Zoe" for place in two])
    classifier = train_classifier(
        "logistic_regression", rows, ["Zoe" if zoe else "Bea" for zoe in is_zoe]
    )
    probabilities = classifier.scores(np.concatenate([np.eye(16), -np.eye(16)]))
    log_odds = np.log(probabilities[:, 1] / probabilities[:, 0])
    coefficients = (log_odds[:16] - log_odds[16:]) / 2
    residuals = classifier.scores(rows)[:, 1] - is_zoe
    penalized = coefficients + 10 * residuals @ rows
    assert np.abs(residuals).max() > 0.01  # so that there is something to balance
    assert penalized == pytest.approx(0, abs=1e-2)
    assert residuals.sum() == pytest.approx(0, abs=1e-3)


def test_names_are_compared_in_one_form():
    rows, names = photographs(4)
    decomposed = [name.replace("ü", "u\u0308") for name in names]
    mixed = [*names[:8], *decomposed[8:]]
    assert train_classifier("nearest_centroid", rows, mixed).people == (
        "Ann",
        "Bea",
        "Müller",
        "Zoe",
    )


def test_the_svm_names_those_with_one_photograph():
    rows, names = photographs(2)
    alone = [names.index("Zoe"), names.index("Bea")]
    kept = [place for place in range(8) if place not in alone]
    message = "linear_svm: expected two .* each person, to calibrate on, found one of Bea, Zoe$"
    with pytest.raises(FacenetError, match=message):
        train_classifier("linear_svm", rows[kept], [names[place] for place in kept])
    for kind in ("nearest_centroid", "logistic_regression"):
        train_classifier(kind, rows[kept], [names[place] for place in kept])


def test_of_many_with_one_photograph_the_svm_names_some():
    names = [f"{number:02}" for number in range(16)]
    with pytest.raises(FacenetError, match=r"one of 00, 01, 02, 03, 04 and 11 more$"):
        train_classifier("linear_svm", np.eye(16), names)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "knn"}, "kind: expected 'nearest_centroid' or .*, found 'knn'"),
        ({"embeddings": np.empty((0, 2)), "names": []}, "expected rows, found none"),
        ({"embeddings": [[np.nan, 1], [1, 0]]}, "expected rows of length one, found nan in row 0"),
        ({"names": ["Ann"]}, "names: expected 2, one for each row, found 1"),
        ({"names": ["Ann", "Ann"]}, "names: expected two people or more, found only Ann"),
        ({"names": ["Ann", ""]}, "name: expected one line of text, found ''"),
        ({"embeddings": [[1, 0], [-1, 0], [0, 1]], "names": ["Ann", "Ann", "Bea"]}, "mean"),
    ],
)
def test_what_cannot_be_trained_is_refused(change, message):
    arguments = {"kind": CLASSIFIERS[0], "embeddings": np.eye(2), "names": ["Ann", "Bea"]}
    with pytest.raises(FacenetError, match=message):
        train_classifier(**arguments | change).scores([[1, 0]])


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize(
    ("embeddings", "message"),
    [
        ([[1, 0]], "expected 16 numbers each, found 2"),
        (np.ones((1, 16)), "expected rows of length one, found 4 in row 0"),
        (np.empty((0, 16)), "expected rows, found none"),
    ],
)
def test_faces_that_cannot_be_scored_are_refused(kind, embeddings, message):
    classifier = trained(kind)
    with pytest.raises(FacenetError, match=message):
        classifier.scores(embeddings)
    with pytest.raises(FacenetError, match=message):
        classifier.predict(embeddings)


def test_one_photograph_each_is_no_cause_for_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier = train_classifier(
            "logistic_regression", np.eye(16), [str(n) for n in range(16)]
        )
    assert classifier.predict(np.eye(16)[:2]) == ["0", "1"]
