"""Detection over frames, and following what was detected."""

import numpy as np
import pytest

from redetail.errors import UnknownNameError
from redetail.region import Box, Detection, Size
from redetail.selection import detected, select_regions
from redetail.selection.base import Search
from redetail.selection.boxes import BoxSelection
from redetail.selection.detected import (
    FADE,
    LEAST_FACENESS,
    PLAIN,
    SEEN_AGAIN,
    Detections,
    DetectorSelection,
    detect_frames,
    is_hair,
    looks_real,
    track_detections,
)
from redetail.tracking import Track
from redetail.video import Frame, array_source
from redetail.video.glimpse import Glimpse
from redetail.video.span import Span
from tests.clips import clip_frames

FRAMES = [Glimpse.of(Frame(index, index, np.zeros((48, 64, 3), np.uint8))) for index in range(3, 9)]


def seen(x):
    return (Detection(Box(x, 40, x + 30, 80), 0.9),)


class Nobody:
    def detect(self, frame):
        return []


def test_a_detector_gets_every_frame():
    detections = detect_frames(FRAMES, Nobody())
    assert (detections.start, detections.stop, detections.cuts) == (3, 9, frozenset())
    assert detections.per_frame == ((),) * 6


def test_a_subject_fades_only_in_mid_shot():
    # 20 frames of nobody, 30 of somebody, a cut, 30 of somebody to the end.
    per_frame = ((),) * 20 + (seen(60),) * 30 + (seen(200),) * 30
    first, second = sorted(
        track_detections(Detections(0, per_frame, frozenset({50})), Size(320, 240), 2), key=lambda region: region.start
    )
    assert (first.start, first.stop, first.fade_in, first.fade_out) == (20, 50, FADE, 0)
    assert (second.start, second.stop, second.fade_in, second.fade_out) == (50, 80, 0, 0)


def test_a_detector_that_does_not_exist_is_refused_by_its_name():
    with pytest.raises(
        UnknownNameError, match="no detector named 'unicorn'; choose one of: face, turned-faces, hands, people"
    ):
        DetectorSelection("unicorn")


def test_no_detector_is_loaded_where_a_box_says_where_the_subject_is(monkeypatch):
    monkeypatch.setattr(detected, "load_detector", lambda name: pytest.fail("a detector was loaded"))
    source = array_source(np.zeros((3, 40, 60, 3), np.uint8))
    found = select_regions((BoxSelection((Box(5, 5, 20, 20),)),), Search(source, Span(), 2.0))
    assert (found.start, found.stop, len(found.regions)) == (0, 3, 1)


def test_hands_are_followed_as_faces_are():
    source = array_source(np.stack(clip_frames("guitarist")[:6]))
    found = select_regions((DetectorSelection("hands"),), Search(source, Span(), 2.0))
    assert sorted(one.label for one in found.subjects) == ["hand 1", "hand 2"]
    assert [(region.start, region.stop) for region in found.regions] == [(0, 6), (0, 6)]


@pytest.mark.parametrize(
    ("name", "label"), [("face", "face"), ("turned-faces", "face"), ("hands", "hand"), ("people", "person")]
)
def test_what_was_not_found_is_named_by_one_of_it(name, label):
    assert DetectorSelection(name).nothing_found.startswith(f"No {label} was found")


def track(label: str, confidence: float, descriptor: np.ndarray | None, second_opinion: float | None = None) -> Track:
    return Track(
        label,
        confidence,
        0,
        np.zeros((3, 4)),
        np.ones(3, bool),
        descriptor=descriptor,
        second_opinion=second_opinion,
    )


def test_an_unsure_track_needs_the_descriptor_of_a_face(monkeypatch):
    descriptor = np.zeros(128, np.float32)
    for value, confidence, expected in (
        (LEAST_FACENESS + 0.01, PLAIN - 0.001, True),
        (LEAST_FACENESS - 0.01, PLAIN - 0.001, False),
        (LEAST_FACENESS - 0.01, PLAIN, True),  # the detector is sure
        (LEAST_FACENESS + 0.01, PLAIN - 0.1, False),  # the less sure, the more it must look like one
    ):
        monkeypatch.setattr(detected, "faceness", lambda _, value=value: value)
        assert looks_real(track("face", confidence, descriptor)) is expected


def test_a_second_detector_can_vouch_for_an_unsure_track(monkeypatch):
    descriptor = np.zeros(128, np.float32)
    monkeypatch.setattr(detected, "faceness", lambda _: -1.0)
    assert not looks_real(track("face", PLAIN - 0.1, descriptor))
    assert looks_real(track("face", PLAIN - 0.1, descriptor, SEEN_AGAIN))
    assert not looks_real(track("face", PLAIN - 0.1, descriptor, SEEN_AGAIN - 0.01))


@pytest.mark.parametrize(("value", "people"), [(1.0, 1), (-1.0, 2)])
def test_a_track_that_only_the_second_detector_vouches_for_is_not_joined(monkeypatch, value, people):
    monkeypatch.setattr(detected, "faceness", lambda _: value)
    descriptor = np.ones(128, np.float32)
    face = Detection(Box(60, 40, 90, 80), 0.7, descriptor=descriptor, second_opinion=0.0)
    detections = Detections(0, ((face,),) * 40, frozenset({20}))
    regions = track_detections(detections, Size(320, 240), 2)
    assert [region.start for region in regions] == [0, 20]
    assert len({region.label for region in regions}) == people


@pytest.mark.parametrize(("confidence", "asked"), [(PLAIN - 0.01, True), (PLAIN, False), (0.5, False)])
def test_the_second_detector_is_asked_about_described_faces_in_doubt(monkeypatch, confidence, asked):
    class Somebody:
        def detect(self, frame):
            places = ((100, 60), (120, 60), (110, 75), (102, 90), (118, 90))
            return [Detection(Box(90, 40, 130, 100), confidence, landmarks=places)]

    frames = [Glimpse.of(Frame(index, index, np.zeros((160, 200, 3), np.uint8))) for index in range(2)]
    found = detect_frames(frames, Somebody())
    assert [one.second_opinion is not None for (one,) in found.per_frame] == [asked, False]


def test_a_small_face_must_be_sure_on_average_and_other_kinds_are_believed():
    assert looks_real(track("face", 0.6, None))
    assert not looks_real(track("face", 0.59, None))
    assert looks_real(track("face", 0.5, None), sure=0.4)
    assert looks_real(track("hand", 0.3, None))


def test_a_small_doubtful_face_on_the_head_of_another_is_hair():
    head = [(100, 100, 200, 220)] * 20
    curl = [(180, 110, 215, 150)] * 10

    def faces(boxes, confidence, start=0, label="face"):
        return Track(label, confidence, start, np.array(boxes, np.float64), np.ones(len(boxes), bool))

    assert is_hair(faces(curl, 0.7, 5), faces(head, 0.9))
    assert not is_hair(faces(head, 0.9), faces(curl, 0.7, 5))
    assert not is_hair(faces(curl, 0.8, 5), faces(head, 0.9))  # sure on average: somebody behind
    assert not is_hair(faces(curl, 0.7, 5), faces(head, 0.65))  # surer than the large one
    assert not is_hair(faces(curl, 0.7, 12), faces(head, 0.9))  # still there without it
    assert not is_hair(faces([(240, 110, 275, 150)] * 10, 0.7, 5), faces(head, 0.9))  # beside the head
    assert not is_hair(faces([(160, 90, 230, 170)] * 10, 0.7, 5), faces(head, 0.9))  # nearly as large
    assert not is_hair(faces(curl, 0.7, 5, "hand"), faces(head, 0.9, label="hand"))


@pytest.mark.parametrize("softness", [1, 2, 3])
def test_only_the_musician_is_found_however_soft_the_clip(softness):
    import cv2

    frames = np.stack(clip_frames("busker")[40:])
    if softness > 1:  # the headstock and the sign look more like faces then
        small = [cv2.resize(one, (350 // softness,) * 2, interpolation=cv2.INTER_AREA) for one in frames]
        frames = np.stack([cv2.resize(one, (350, 350), interpolation=cv2.INTER_CUBIC) for one in small])
    found = select_regions((DetectorSelection(),), Search(array_source(frames), Span(), 2.0))
    assert [(region.start, region.stop) for region in found.regions] == [(0, 50)]
    centers = (found.regions[0].boxes[:, :2] + found.regions[0].boxes[:, 2:]) / 2
    assert (np.abs(np.diff(centers, axis=0)) < 5).all()  # nobody who passes takes his track along
