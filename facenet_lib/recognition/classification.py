"""Classifiers on embeddings: trained on the photographs of known people, they name others.

They have to be trained again for every person who comes or goes, unlike the search for the nearest
photograph, and none of their kinds knows strangers. Derived in chapter 12.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import LinearSVC

from facenet_lib.checks import word_problems
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.recognition.gallery import check_person_name
from facenet_lib.recognition.search import check_embeddings, distances_to_people

CLASSIFIERS = ("nearest_centroid", "logistic_regression", "linear_svm")
"""The kinds that :func:`train_classifier` trains."""

_Embeddings = NDArray[np.float32]
_Score = Callable[[_Embeddings], NDArray[np.float64]]

_MOST_FOLDS = 5
_MOST_NAMED = 5


@dataclass(frozen=True, eq=False)
class FaceClassifier:
    """Scores faces for each of the people whom it was trained on.

    Attributes:
        kind: one of :data:`CLASSIFIERS`.
        people: their names, sorted.
        embedding_size: numbers of an embedding.
    """

    kind: str
    people: tuple[str, ...]
    embedding_size: int
    _score: _Score  # from checked embeddings

    def scores(self, embeddings: ArrayLike) -> NDArray[np.float64]:
        """Say how sure it is of each person: larger is surer.

        Of ``"nearest_centroid"``, minus the squared distance to the mean of a person's embeddings,
        scaled to length one: from -4 to 0. Of the others, a probability. Those of a face sum
        to one, as if it could only be one of these people: a stranger's have to go somewhere.

        Args:
            embeddings: float (n, embedding_size), rows of length one.

        Returns:
            float64 (n, people).

        Raises:
            FacenetError: for other shapes, or rows of another length than one.
        """
        rows = check_embeddings("embeddings", embeddings)
        if rows.shape[1] != self.embedding_size:
            raise FacenetError(
                f"embeddings: expected {self.embedding_size} numbers each, found {rows.shape[1]}"
            )
        return self._score(rows)

    def predict(self, embeddings: ArrayLike) -> list[str]:
        """Name the person with the highest score, for each of n faces; strangers as well.

        Raises:
            FacenetError: as :meth:`scores`.
        """
        return [self.people[place] for place in self.scores(embeddings).argmax(axis=1)]


def train_classifier(kind: str, embeddings: ArrayLike, names: Sequence[str]) -> FaceClassifier:
    """Train a classifier on photographs of known people.

    - ``"nearest_centroid"``: the mean embedding of each person. Nothing is fitted.
    - ``"logistic_regression"``: a softmax over the people, with scikit-learn's ``C=10``, which
      named most of the book's drawn faces rightly of 1, 10 and 100.
    - ``"linear_svm"``: a linear support vector machine for each person against the rest, whose
      margins cross validation turns into probabilities (Platt's sigmoids, divided by their sum).

    Args:
        kind: one of :data:`CLASSIFIERS`.
        embeddings: float (n, embedding_size), rows of length one.
        names: whose each is.

    Raises:
        FacenetError: for another kind, other shapes, rows of another length than one, fewer than
            two people; or one photograph of someone, with which ``"linear_svm"`` cannot be
            calibrated.

    Source: Platt, "Probabilistic outputs for support vector machines", 1999.

    >>> names = ["Ann", "Ann", "Bea", "Bea"]
    >>> faces = [[1, 0], [0.8, 0.6], [-1, 0], [-0.8, 0.6]]
    >>> classifier = train_classifier("nearest_centroid", faces, names)
    >>> classifier.predict([[0.6, 0.8]])
    ['Ann']
    >>> classifier.scores([[0.6, 0.8]]).round(2).tolist()
    [[-0.36, -2.63]]
    """
    refuse("train_classifier", word_problems("kind", kind, CLASSIFIERS))
    rows = check_embeddings("embeddings", embeddings)
    owners = [check_person_name(name) for name in names]
    if len(owners) != len(rows):
        raise FacenetError(f"names: expected {len(rows)}, one for each row, found {len(owners)}")
    people = tuple(sorted(set(owners)))
    if len(people) < 2:
        raise FacenetError(f"names: expected two people or more, found only {people[0]}")
    trainers = (_nearest_centroid, _logistic_regression, _linear_svm)
    train = dict(zip(CLASSIFIERS, trainers, strict=True))[kind]
    return FaceClassifier(kind, people, rows.shape[1], train(rows, np.array(owners)))


def _nearest_centroid(rows: _Embeddings, owners: NDArray[np.str_]) -> _Score:
    places = np.unique(owners, return_inverse=True)[1]
    return lambda asked: -distances_to_people(asked, rows, places, by="mean").astype(np.float64)


def _logistic_regression(rows: _Embeddings, owners: NDArray[np.str_]) -> _Score:
    model = LogisticRegression(C=10, max_iter=1000)
    with warnings.catch_warnings():
        # With one photograph each, scikit-learn asks whether the names are not numbers to predict.
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        model.fit(rows.astype(np.float64), owners)
    return lambda asked: model.predict_proba(asked.astype(np.float64))


def _linear_svm(rows: _Embeddings, owners: NDArray[np.str_]) -> _Score:
    photographs = Counter(owners.tolist())
    too_few = sorted(name for name, count in photographs.items() if count < 2)
    if too_few:
        more = len(too_few) - _MOST_NAMED
        others = f" and {more} more" if more > 0 else ""
        raise FacenetError(
            "linear_svm: expected two photographs or more of each person, to calibrate on, found "
            f"one of {', '.join(too_few[:_MOST_NAMED])}{others}"
        )
    folds = StratifiedKFold(min(_MOST_FOLDS, *photographs.values()))
    model = CalibratedClassifierCV(LinearSVC(random_state=0), cv=folds)
    model.fit(rows.astype(np.float64), owners)
    return lambda asked: model.predict_proba(asked.astype(np.float64))
