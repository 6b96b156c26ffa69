"""Who stands where in a photograph, how turned and lit, drawn at random."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from facenet_lib.drawn_faces.body import BODY_HEIGHT
from facenet_lib.drawn_faces.layer import Place
from facenet_lib.drawn_faces.nuisance import Nuisance, draw_nuisance
from facenet_lib.drawn_faces.seeds import PHOTOGRAPH_SEED


@dataclass(frozen=True)
class Person:
    """One person of a scene.

    Attributes:
        identity: number of the person.
        nuisance: how they look, in the light of the scene.
        place: where they stand.
    """

    identity: int
    nuisance: Nuisance
    place: Place


@dataclass(frozen=True)
class Scene:
    """What a photograph will show.

    Attributes:
        width: pixels.
        height: pixels.
        camera: the light, the background and the camera; nothing else of it counts.
        floor: row at which the wall meets the floor; may lie below the photograph.
        people: nearest first.
    """

    width: int
    height: int
    camera: Nuisance
    floor: float
    people: tuple[Person, ...]


def draw_scene(seed: int, index: int, identities: range, subject: int | None) -> Scene:
    """Draw the scene of photograph ``index``.

    Args:
        seed: seed of everything.
        index: number of the photograph, or of the subject's photograph.
        identities: numbers of the people who may be in it.
        subject: number of a person who is nearest to the middle; None: nobody in particular.
    """
    key = (PHOTOGRAPH_SEED, index) if subject is None else (PHOTOGRAPH_SEED, index, subject)
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(*key, 0)))
    width, height = _draw_frame(generator)
    camera = draw_nuisance(np.random.SeedSequence(seed, spawn_key=(*key, 1)))
    # A camera is as sharp and as noisy in its own pixels, whatever their number.
    camera = replace(camera, blur=camera.blur * 160.0 / height)
    who = _draw_people(generator, identities, subject)
    units = _draw_units(generator, len(who), min(width, height), subject is not None)
    crowd = _Crowd(generator, width, height, subject is not None)
    people = []
    for number, (identity, unit) in enumerate(zip(who, units, strict=True), start=2):
        how = draw_nuisance(np.random.SeedSequence(seed, spawn_key=(*key, number)))
        how = _draw_looks(generator, how, camera)
        place = crowd.place(unit)
        if place is not None:
            people.append(Person(identity, how, place))
    people.sort(key=lambda person: -person.place.unit)
    feet = min(person.place.y + _ANKLE * person.place.unit for person in people)
    floor = min(generator.uniform(crowd.horizon + 0.2 * height, 1.2 * height), feet)
    return Scene(width, height, camera, floor, tuple(people))


MOST_PEOPLE = 8

_FACE = 1.6  # head units from the hairline to the chin

_SMALLEST_FACE, _LARGEST_FACE = 24.0, 500.0  # pixels from the hairline to the chin


def _draw_frame(generator: np.random.Generator) -> tuple[int, int]:
    """Width and height in pixels."""
    long_side = int(generator.integers(640, 1601))
    ratio = float(generator.choice((1.0, 4 / 3, 4 / 3, 3 / 2, 3 / 2, 16 / 9)))
    sides = (long_side, round(long_side / ratio))
    return sides if generator.random() < 0.6 else (sides[1], sides[0])


def _draw_people(
    generator: np.random.Generator, identities: range, subject: int | None
) -> list[int]:
    """Numbers of different people; the subject, where there is one, is the first."""
    if subject is None:
        count = int(generator.integers(1, min(MOST_PEOPLE, len(identities)) + 1))
        return [int(who) for who in generator.choice(identities, count, replace=False)]
    others = [who for who in identities if who != subject]
    count = min(int(generator.integers(0, 4)), len(others))
    return [subject, *(int(who) for who in generator.choice(others, count, replace=False))]


def _draw_units(
    generator: np.random.Generator, count: int, short_side: int, has_subject: bool
) -> list[float]:
    """Pixels in a head unit for each person; without a subject, the nearest first."""

    def draw(smallest: float, largest: float) -> float:
        return math.exp(generator.uniform(math.log(smallest), math.log(largest))) / _FACE

    if not has_subject:
        largest = min(_LARGEST_FACE, 0.6 * short_side / (1.0 + 0.12 * (count - 1)))
        return sorted((draw(_SMALLEST_FACE, largest) for _ in range(count)), reverse=True)
    subject = draw(60.0, min(_LARGEST_FACE, 0.45 * short_side))
    units = [subject]
    for _ in range(count - 1):  # a bystander is sometimes nearer
        nearest = 1.4 if generator.random() < 0.25 else 0.9
        units.append(draw(_SMALLEST_FACE, nearest * subject * _FACE))
    return units


def _draw_looks(generator: np.random.Generator, how: Nuisance, camera: Nuisance) -> Nuisance:
    """How a person looks in the light of the scene; a few are turned far aside, or lean."""
    side = float(generator.choice((-1.0, 1.0)))
    if generator.random() < _TURNED_SHARE:
        # No glasses: before a head so far aside they would stand in the air.
        how = replace(how, yaw=side * generator.uniform(35.0, 65.0), glasses="none")
    if generator.random() < _LEANING_SHARE:
        how = replace(how, roll=side * generator.uniform(12.0, 30.0))
    return replace(how, **{name: getattr(camera, name) for name in _LIGHT})


_TURNED_SHARE, _LEANING_SHARE, _OUTSIDE_SHARE, _HIDDEN_SHARE = 0.15, 0.1, 0.12, 0.25

_LIGHT = (
    "light_azimuth",
    "light_elevation",
    "light_strength",
    "light_warmth",
    "ambient_strength",
    "ambient_warmth",
)


class _Crowd:
    """Gives out the places of a scene one by one, and knows what lies behind those given out."""

    def __init__(
        self, generator: np.random.Generator, width: int, height: int, has_subject: bool
    ) -> None:
        self._generator = generator
        self._width, self._height = width, height
        self.horizon = generator.uniform(0.2, 0.45) * height
        self._camera_height = generator.uniform(-0.3, 2.5)  # over people's eyes, head units
        self._hidden = np.zeros((height // _CELL + 1, width // _CELL + 1), bool)
        self._awaits_subject = has_subject
        self._subject: Place | None = None

    def place(self, unit: float) -> Place | None:
        """A place for the next person, if one is found; the subject, if any, is the first."""
        if self._awaits_subject and self._subject is None:
            self._subject = self._middle_place(unit)
            return self._take(self._subject)
        is_outside = self._generator.random() < _OUTSIDE_SHARE
        side = ("left", "right", "top")[int(self._generator.integers(3))] if is_outside else None
        tries = [self._some_place(unit, side) for _ in range(_TRIES)]
        possible = [place for place in tries if self._respects_subject(place)]
        if not possible:
            return None
        if self._generator.random() < _HIDDEN_SHARE:
            behind = [place for place in possible if 0.1 < self._hidden_share(place) < 0.7]
            possible = behind[:1] or possible
        return self._take(min(possible, key=self._hidden_share))

    def _middle_place(self, unit: float) -> Place:
        x, y = self._generator.uniform(0.4, 0.6), self._generator.uniform(0.35, 0.55)
        return Place(x * self._width, y * self._height, unit)

    def _some_place(self, unit: float, side: str | None) -> Place:
        """Anywhere in the frame, or partly outside at one side."""
        uniform, width = self._generator.uniform, self._width
        x = uniform(0.7 * unit, width - 0.7 * unit)
        y = self.horizon + unit * (self._camera_height + self._generator.normal(0.0, 0.5))
        y = min(max(y, 0.75 * unit), self._height - 1.15 * unit)
        beyond = uniform(-0.35, 0.5) * unit
        match side:
            case "left":
                x = beyond
            case "right":
                x = width - beyond
            case "top":
                y = beyond
        return Place(x, y, unit)

    def _respects_subject(self, place: Place) -> bool:
        """Whether someone there covers no subject's face, and is farther from the middle."""
        subject = self._subject
        if subject is None:
            return True
        beside = abs(place.x - subject.x) > _HALF_BODY * place.unit + 0.7 * subject.unit
        below = place.y - _CROWN * place.unit > subject.y + _CHIN * subject.unit
        is_behind = place.unit < subject.unit
        # A face is off the head's middle by less than 0.7 head units, however it is turned.
        farther = self._offset(place) - self._offset(subject)
        return farther > 0.7 * (place.unit + subject.unit) and (is_behind or beside or below)

    def _offset(self, place: Place) -> float:
        """How far from the middle of the photograph."""
        return math.hypot(place.x - self._width / 2, place.y - self._height / 2)

    def _hidden_share(self, place: Place) -> float:
        face = self._hidden[_cells(place, 0.65, 0.6, _CHIN)]
        return float(face.mean()) if face.size else 1.0

    def _take(self, place: Place) -> Place:
        self._hidden[_cells(place, 0.85, _CROWN, _CHIN)] = True
        self._hidden[_cells(place, _HALF_BODY, -1.3, BODY_HEIGHT)] = True
        return place


def _cells(place: Place, half_width: float, above: float, below: float) -> tuple[slice, slice]:
    """Cells of a rectangle about the middle of a head, lengths in head units."""
    x, y, unit = place.x / _CELL, place.y / _CELL, place.unit / _CELL
    return (
        slice(max(0, int(y - above * unit)), max(0, math.ceil(y + below * unit))),
        slice(max(0, int(x - half_width * unit)), max(0, math.ceil(x + half_width * unit))),
    )


_CELL = 8  # pixels
_TRIES = 12
_CROWN, _CHIN, _ANKLE, _HALF_BODY = 1.2, 1.05, 13.2, 1.8  # head units from the head's middle
