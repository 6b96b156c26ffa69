"""Scenes: who stands where, within what was promised, whatever else is drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest

from facenet_lib.drawn_faces.scene import MOST_PEOPLE, Scene, draw_scene

EVERYONE = range(40)
SCENES = [draw_scene(0, index, EVERYONE, None) for index in range(200)]
ALBUM = [draw_scene(0, index, EVERYONE, subject) for index in range(20) for subject in range(10)]


def test_a_scene_is_its_seed_and_its_number() -> None:
    assert draw_scene(0, 7, EVERYONE, None) == SCENES[7]
    assert draw_scene(0, 3, EVERYONE, 5) == ALBUM[35]
    others = (draw_scene(1, 7, EVERYONE, None), draw_scene(0, 8, EVERYONE, None), ALBUM[70])
    assert all(other != SCENES[7] for other in others)


def test_frames_are_of_the_sizes_promised_and_stand_or_lie() -> None:
    for scene in SCENES + ALBUM:
        assert 640 <= max(scene.width, scene.height) <= 1600
        assert min(scene.width, scene.height) >= 360
    standing = np.mean([scene.width < scene.height for scene in SCENES])
    assert 0.2 < standing < 0.6


def test_one_to_eight_different_people_are_in_a_photograph() -> None:
    counts = {len(scene.people) for scene in SCENES}
    assert counts == set(range(1, MOST_PEOPLE + 1))
    for scene in SCENES + ALBUM:
        who = [person.identity for person in scene.people]
        assert len(set(who)) == len(who) and set(who) <= set(EVERYONE)
    assert [len(draw_scene(0, index, range(4, 5), None).people) for index in range(5)] == [1] * 5
    assert [len(draw_scene(0, index, range(4, 5), 4).people) for index in range(5)] == [1] * 5


def test_faces_are_small_and_large_turned_and_leaning() -> None:
    people = [person for scene in SCENES for person in scene.people]
    heights = np.array([1.6 * person.place.unit for person in people])
    assert heights.min() >= 24 and heights.max() <= 500
    assert (heights < 50).mean() > 0.1 and (heights > 200).mean() > 0.1
    yaws, rolls = (
        np.abs([getattr(person.nuisance, angle) for person in people]) for angle in ("yaw", "roll")
    )
    assert 0.75 < (yaws <= 35).mean() < 0.95 and yaws.max() < 66
    assert 0.8 < (rolls <= 12).mean() < 0.98 and rolls.max() < 31


def test_everyone_stands_in_one_light() -> None:
    for scene in SCENES:
        for person in scene.people:
            assert person.nuisance.light_azimuth == scene.camera.light_azimuth
            assert person.nuisance.ambient_warmth == scene.camera.ambient_warmth


def test_nearer_people_come_first_and_stand_on_the_floor() -> None:
    for scene in SCENES:
        units = [person.place.unit for person in scene.people]
        assert units == sorted(units, reverse=True)
        assert all(
            person.place.y + 13.5 * person.place.unit > scene.floor for person in scene.people
        )


def offset(scene: Scene, x: float, y: float) -> float:
    return math.hypot(x - scene.width / 2, y - scene.height / 2)


def test_the_subject_is_in_the_middle_and_others_are_not() -> None:
    bystanders = larger = 0
    for number, scene in enumerate(ALBUM):
        (subject,) = (person for person in scene.people if person.identity == number % 10)
        place = subject.place
        assert abs(place.x / scene.width - 0.5) <= 0.1 and abs(place.y / scene.height - 0.5) <= 0.15
        for person in scene.people:
            if person is not subject:
                there = person.place
                assert offset(scene, there.x, there.y) > offset(scene, place.x, place.y)
                bystanders += 1
                larger += there.unit > place.unit
    assert bystanders > len(ALBUM) / 2
    assert larger > len(ALBUM) / 50


@pytest.mark.parametrize("subject", [None, 3])
def test_the_people_who_may_be_in_it_decide_who_is(subject: int | None) -> None:
    for index in range(10):
        who = {person.identity for person in draw_scene(0, index, range(20, 30), subject).people}
        assert who - {subject} <= set(range(20, 30))
