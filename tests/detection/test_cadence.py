"""Searching fewer frames finds the same: who appears, moves, is detected less certainly or is cut off."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest

from redetail.detection.cadence import EVERY, Picture, searched
from redetail.detection.face import FaceDetector
from redetail.region import Box, Detection
from redetail.tracking import Tracker
from redetail.video import Frame
from redetail.video.glimpse import Glimpse
from tests.clips import clip_frames


class Drawn:
    """A detector of scenes: a picture is the index of a frame, and a scene says who is in it, since when, up to when,
    where at first, and how far it moves in a frame."""

    def __init__(self, *scene: tuple[int, int, float, float], unsure: Sequence[int] = ()) -> None:
        self.scene, self.unsure = scene, unsure
        self.searched: list[int] = []

    def detect(self, frame) -> list[Detection]:
        self.searched.append(int(frame))
        return self.truth(int(frame))

    def truth(self, index: int) -> list[Detection]:
        confidence = 0.5 if index in self.unsure else 0.9
        places = [x + speed * index for first, last, x, speed in self.scene if first <= index < last]
        return [Detection(Box(x, 10, x + 20, 30), confidence) for x in places]


class Refining(Drawn):
    def __init__(self, *scene: tuple[int, int, float, float], unsure: Sequence[int] = ()) -> None:
        super().__init__(*scene, unsure=unsure)
        self.refined: list[int] = []

    def refine(self, frame, expected: Sequence[Detection]) -> list[Detection] | None:
        self.refined.append(int(frame))
        there = self.truth(int(frame))
        near = [[one for one in there if one.box.iou(before.box) > 0.4] for before in expected]
        return None if int(frame) in self.unsure or not all(near) else [one[0] for one in near]


def run(detector, frames=41, cuts=()):
    found = list(
        searched((Picture(Frame(index, None, np.array(index)), index in cuts) for index in range(frames)), detector)
    )
    assert [(picture.index, picture.cut) for picture, _ in found] == [(n, n in cuts) for n in range(frames)]
    return [detections for _, detections in found]


@pytest.mark.parametrize(
    ("scene", "unsure"),
    [
        ([], ()),
        ([(0, 41, 50, 0)], ()),
        ([(0, 41, 50, 0.5), (13, 41, 150, 0)], ()),
        ([(0, 18, 50, 0), (22, 41, 150, 1)], ()),
        ([(0, 41, 50, 1), (3, 38, 150, 0)], (7, 8, 9, 21)),
    ],
)
def test_every_frame_has_what_a_search_of_it_finds(scene, unsure) -> None:
    detector = Refining(*scene, unsure=unsure)
    for index, found in enumerate(run(detector, cuts=(20,))):
        expected = detector.truth(index)
        assert [one.confidence for one in found] == pytest.approx([one.confidence for one in expected], abs=0.41)
        boxes = [one.box.as_tuple() for one in found]
        np.testing.assert_allclose(boxes, [one.box.as_tuple() for one in expected], atol=1e-9)


def test_sure_subjects_are_searched_for_every_few_frames() -> None:
    detector = Refining((0, 41, 50, 1))
    run(detector)
    assert detector.searched == list(range(0, 41, EVERY))
    assert detector.refined == list(range(3, 41, EVERY))


def test_a_motion_that_is_not_even_is_followed_frame_by_frame() -> None:
    class Leaping(Refining):
        def truth(self, index: int) -> list[Detection]:
            x = 50 + 6 * (index % 5 == 3)
            return [Detection(Box(x, 10, x + 20, 30), 0.9)]

    detector = Leaping()
    assert run(detector, 11) == [detector.truth(index) for index in range(11)]
    assert (detector.searched, detector.refined) == ([0, 5, 10], [3, 1, 2, 4, 8, 6, 7, 9])


def test_shots_are_searched_at_both_ends() -> None:
    detector = Refining((0, 40, 50, 0))
    run(detector, 20, cuts=(8,))
    assert detector.searched == [0, 5, 7, 8, 13, 18, 19]


def test_who_appeared_or_vanished_is_looked_for_between() -> None:
    detector = Refining((0, 8, 50, 0), (12, 30, 150, 0))
    run(detector, 16)
    assert sorted(detector.searched) == [0, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]


def test_a_detector_that_cannot_refine_searches_every_frame() -> None:
    detector = Drawn((0, 40, 50, 0))
    run(detector, 9, cuts=(4,))
    assert detector.searched == list(range(9))


@pytest.mark.parametrize("clip", ["guitarist", "two_people"])
def test_tracks_of_real_clips_stay_the_same(clip: str) -> None:
    frames, detector = clip_frames(clip)[:24], FaceDetector()
    full, less = Tracker(), Tracker()
    for index, picture in enumerate(frames):
        full.update(index, detector.detect(picture))
    for picture, found in searched(
        (Picture(Frame(index, None, one), False) for index, one in enumerate(frames)), detector
    ):
        less.update(picture.index, found)
    expected, tracks = full.finish(), less.finish()
    assert [(track.start, track.stop) for track in tracks] == [(track.start, track.stop) for track in expected]
    for one, other in zip(tracks, expected, strict=True):
        overlaps = [Box(*a).iou(Box(*b)) for a, b in zip(one.boxes, other.boxes, strict=True)]
        assert min(overlaps) > 0.8, "a pixel more or less of a face of 36 pixels is an overlap of 0.95"
        assert np.median(overlaps) > 0.93


def test_only_frames_that_are_searched_are_converted() -> None:
    def refuse():
        pytest.fail("a frame was converted that nobody looks at")

    blank = np.zeros((64, 64, 3), np.uint8)
    frames = [Glimpse(index, blank, partial(np.array, index) if index % EVERY == 0 else refuse) for index in range(21)]
    detector = Refining()
    assert len(list(searched((Picture(frame, False) for frame in frames), detector))) == 21
    assert detector.searched == [0, 5, 10, 15, 20]
