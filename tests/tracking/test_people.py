"""Descriptors keep a track on one person, and join the tracks of one."""

import numpy as np
import pytest

from redetail.region import Box, Detection, Size
from redetail.selection.subjects import numbered
from redetail.tracking import Track, Tracker, regions_from_tracks
from redetail.tracking.people import JOIN, VETO, is_somebody_else, joined_people


def at(place: float) -> np.ndarray:
    """A descriptor at a place on a line."""
    descriptor = np.zeros(128, np.float32)
    descriptor[0] = place
    return descriptor


def face(x: float, place: float | None, side: float = 60) -> Detection:
    descriptor = None if place is None else at(place)
    return Detection(Box(x, 50, x + side, 50 + side), 0.9, descriptor=descriptor)


ANNA, BEN = 0.0, 0.7


def spans(tracks: list[Track]) -> list[tuple[int, int, int | None]]:
    return [(track.start, track.stop, track.person) for track in tracks]


@pytest.mark.parametrize("apart", range(30, 75, 5))
def test_a_face_first_seen_where_another_is_first_missed_does_not_take_its_track(apart: int) -> None:
    tracker = Tracker()
    for index in range(20):
        tracker.update(index, [face(100, ANNA if index % 10 == 0 else None)])
    for index in range(20, 40):
        tracker.update(index, [face(100 + apart, BEN if index % 10 == 0 else None)])
    assert spans(tracker.finish()) == [(0, 20, None), (20, 40, None)]


def test_the_same_person_may_leap() -> None:
    tracker = Tracker()
    for index in range(20):
        tracker.update(index, [face(100, ANNA if index % 10 == 0 else None)])
    for index in range(20, 40):
        tracker.update(index, [face(140, ANNA + 0.3 if index % 10 == 0 else None)])
    assert spans(tracker.finish()) == [(0, 40, None)]


def test_where_a_face_stays_motion_decides() -> None:
    # A turned head may lie far from itself; it does not vanish while another one takes its place to the pixel.
    tracker = Tracker()
    for index in range(20):
        tracker.update(index, [face(100 + index, ANNA if index < 10 else BEN)])
    assert spans(tracker.finish()) == [(0, 20, None)]


def test_after_an_occlusion_another_person_in_the_same_place_is_another_track() -> None:
    for place, expected in ((ANNA, [(0, 40, None)]), (BEN, [(0, 15, None), (25, 40, None)])):
        tracker = Tracker()
        for index in range(15):
            tracker.update(index, [face(100, ANNA)])
        for index in range(15, 25):
            tracker.update(index, [])
        for index in range(25, 40):
            tracker.update(index, [face(104, place)])
        assert spans(tracker.finish()) == expected


def test_without_descriptors_motion_decides() -> None:
    tracker = Tracker()
    for index in range(40):
        tracker.update(index, [face(100 if index < 20 else 130, None)])
    assert spans(tracker.finish()) == [(0, 40, None)]
    assert not is_somebody_else(None, [at(ANNA)])
    assert not is_somebody_else(at(BEN), [])
    assert is_somebody_else(at(VETO + 0.01), [at(ANNA), at(-1)])


def track(start: int, stop: int, place: float | None, described: int = 3) -> Track:
    boxes = np.tile([100.0, 50, 160, 110], (stop - start, 1))
    descriptor = None if place is None else at(place)
    return Track("face", 0.9, start, boxes, np.ones(stop - start, bool), None, descriptor, described)


def test_tracks_of_one_person_are_joined() -> None:
    tracks = [track(0, 10, 0), track(0, 10, 0.9), track(40, 50, JOIN - 0.1), track(60, 70, None, 0)]
    assert [one.person for one in joined_people(tracks)] == [1, None, 1, None]
    assert [one.person for one in joined_people([track(0, 10, 0), track(20, 30, JOIN + 0.01)])] == [None, None]
    assert [one.person for one in joined_people([track(0, 10, 0), track(20, 30, 0, described=1)])] == [None, None]


def test_nobody_is_in_two_places() -> None:
    twins = [track(0, 10, 0), track(5, 20, 0.01), track(30, 40, 0.02)]
    assert [one.person for one in joined_people(twins)] == [None, 2, 2]


def test_one_person_in_two_shots_is_one_subject() -> None:
    tracker = Tracker()
    for index in range(40):
        away = 12 <= index < 24
        found = [] if away else [face(100 if index < 12 else 220, ANNA)]
        tracker.update(index, found, cut=index == 24)
    tracks = tracker.finish()
    assert spans(tracks) == [(0, 12, 1), (24, 40, 1)]
    regions = regions_from_tracks([*tracks, track(0, 3, 3)], Size(400, 300), crop_factor=2.0, max_regions=1)
    assert [region.label for region in regions] == ["face 1", "face 1"]
    (subject,) = numbered(regions)
    assert len(subject.regions) == 2
