"""What may be followed, and the face detector as a BBOX_DETECTOR."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from redetail.comfy.detectors import FaceBBoxDetector, ForeignDetector, SelectedDetector, detector_of
from redetail.comfy.follow import Choice, tracked_from_detector, tracked_from_masks, tracked_from_segs
from redetail.comfy.frames import ImageSource, float_frames
from redetail.comfy.needs import MissingPackageError, told_for_comfy
from redetail.comfy.nodes.track import RedetailTrack
from redetail.comfy.tracked import TrackedSeg
from redetail.errors import DependencyError, InputError, RegionError, UnknownNameError
from redetail.progress import no_progress
from redetail.region import Box, Detection
from redetail.segs import Seg
from tests.clips import clip_frames

CHOICE = Choice(crop_factor=2.0)


@pytest.fixture(scope="module")
def clip() -> Tensor:
    frames = clip_frames("guitarist")[:10]
    return torch.from_numpy(np.stack(frames)).float() / 255


class Sliding:
    """Another pack's detector: one box that moves, and a smaller one, less sure."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def detect(self, image: Tensor, *options: Any) -> Any:
        self.calls.append((tuple(image.shape), *options))
        x = 10 + 2 * (len(self.calls) - 1)
        faces = [(x, 20, x + 30, 60, 0.9), (90, 10, 106, 26, 0.7)]
        return (80, 120), [
            Seg(None, None, np.array([score]), (0, 0, 120, 80), (x1, y1, x2, y2), "face")
            for x1, y1, x2, y2, score in faces
        ]


def frames(count: int = 12) -> Tensor:
    # A steady ramp: no cut is seen in it.
    ramp = torch.linspace(0.2, 0.8, 120).repeat(80, 1)
    return ramp[None, ..., None].repeat(count, 1, 1, 3)


def test_a_face_is_followed_with_nothing_but_frames(clip: Tensor) -> None:
    header, (face,) = tracked_from_detector(clip, None, CHOICE)
    assert header == tuple(clip.shape[1:3])
    assert isinstance(face, TrackedSeg)
    assert len(face.region) == face.clip_frames == 10
    x1, _, x2, _ = face.bbox
    assert x1 < 212 < x2  # the face is right of the middle


def test_a_face_is_described(clip: Tensor) -> None:
    """So that no track moves over to another person, and one person before and after a cut has one label."""
    _, (face,) = tracked_from_detector(clip[:4], None, CHOICE)
    assert face.region.descriptor.shape == (128,)


def test_people_are_followed_where_they_are_asked_for(clip: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redetail.comfy.nodes.track.ClipBar", lambda *_: no_progress)  # it needs ComfyUI
    (found,) = RedetailTrack.doit(clip[:2], 2.0, 1, 0.5, 16, 0.0, "pixels", False, detect="people")
    ((person,), (face,)) = found[1], tracked_from_detector(clip[:2], None, CHOICE)[1]
    assert person.label == "person 1"
    assert person.bbox[3] - person.bbox[1] > 1.5 * (face.bbox[3] - face.bbox[1])
    with pytest.raises(UnknownNameError, match="no detector named 'paws'; choose one of: face, turned-faces, hands"):
        RedetailTrack.doit(clip[:2], 2.0, 1, 0.5, 16, 0.0, "pixels", False, detect="paws")


def test_another_packs_detector_is_asked_frame_by_frame() -> None:
    detector = Sliding()
    _, segments = tracked_from_detector(frames(), detector, Choice(crop_factor=2.0, subjects=0))
    assert [seg.label for seg in segments] == ["face 1", "face 2"]
    assert [call[0] for call in detector.calls] == [(1, 80, 120, 3)] * 12
    np.testing.assert_allclose(segments[0].region.boxes[6], [22, 20, 52, 60], atol=1e-6)
    assert np.ptp(segments[0].region.path[:, 0]) > 10


def test_nobody_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    header, segments = tracked_from_detector(frames(), None, CHOICE)
    assert (header, segments) == ((80, 120), [])
    assert "No subject was found in any frame (12 in all)" in caplog.text


@pytest.mark.parametrize(
    ("choice", "count"),
    [({"subjects": 1}, 1), ({"subjects": 0, "min_size": 20}, 1), ({"subjects": 0, "confidence": 0.8}, 1), ({}, 1)],
)
def test_subjects_are_chosen_by_number_size_and_confidence(choice: dict[str, Any], count: int) -> None:
    _, segments = tracked_from_detector(frames(), Sliding(), Choice(crop_factor=2.0, **choice))
    assert len(segments) == count


@pytest.mark.parametrize(
    ("grow", "relative", "expected"), [(4.0, False, (6, 16, 44, 64)), (0.1, True, (7, 16, 43, 64))]
)
def test_boxes_grow_by_pixels_or_by_a_share(grow: float, relative: bool, expected: tuple[float, ...]) -> None:
    selected = SelectedDetector(ForeignDetector(Sliding()), min_size=1, grow=grow, relative=relative)
    found = selected.detect(np.zeros((80, 120, 3), np.uint8))
    assert found[0].box.as_tuple() == pytest.approx(expected)


def test_a_box_that_shrinks_to_nothing_keeps_its_middle() -> None:
    class One:
        def detect(self, frame: Any) -> list[Detection]:
            return [Detection(Box(10, 10, 20, 30), 0.9)]

    selected = SelectedDetector(One(), min_size=1, grow=-100, relative=False)
    assert selected.detect(np.zeros((80, 120, 3), np.uint8))[0].box == Box(14.5, 19.5, 15.5, 20.5)


def test_masks_are_followed_at_the_size_of_the_frames() -> None:
    masks = torch.zeros(12, 40, 60)
    for index in range(12):
        masks[index, 10:20, 5 + index : 15 + index] = 1
    _, (seg,) = tracked_from_masks(frames(), masks, CHOICE)
    assert len(seg.region) == 12
    assert seg.region.box(11).as_tuple() == pytest.approx((32, 20, 52, 40), abs=2)
    assert np.ptp(seg.region.path[:, 0]) > 10


def test_another_number_of_masks_is_united_only_on_request() -> None:
    masks = torch.zeros(3, 80, 120)
    masks[0, 10:20, 10:20] = masks[2, 10:20, 30:40] = 1
    with pytest.raises(RegionError, match="3 masks for 12 frames"):
        tracked_from_masks(frames(), masks, CHOICE)
    _, (seg,) = tracked_from_masks(frames(), masks, Choice(crop_factor=2.0, unite_masks=True, min_size=1))
    assert seg.bbox == (10, 10, 40, 20)


def square(count: int, side: int, value: float = 1.0) -> Tensor:
    """Masks (count, 80, 120) with a square in the middle."""
    masks = torch.zeros(count, 80, 120)
    masks[:, 30 : 30 + side, 40 : 40 + side] = value
    return masks


@pytest.mark.parametrize("count", [1, 12])
@pytest.mark.parametrize("value", [0.0, 0.001])
def test_black_masks_are_no_subject_and_no_error(caplog: pytest.LogCaptureFixture, count: int, value: float) -> None:
    assert tracked_from_masks(frames(), square(count, 20, value), CHOICE) == ((80, 120), [])
    assert "The masks are black in every frame (12 in all)" in caplog.text


@pytest.mark.parametrize("moving", [False, True])
def test_a_segment_with_a_black_mask_is_left_out(caplog: pytest.LogCaptureFixture, moving: bool) -> None:
    shape = (12, 20, 20) if moving else (20, 20)
    black = Seg(None, np.zeros(shape, np.float32), 0.9, (30, 20, 50, 40), (30, 20, 50, 40), "dark")
    white = black._replace(cropped_mask=np.ones(shape, np.float32), label="light")
    _, segments = tracked_from_segs(frames(), ((80, 120), [black, white]), Choice(crop_factor=2.0, subjects=0))
    assert [segment.label for segment in segments] == ["light"]
    assert "Segment 0 ('dark') is left out: its mask is black" in caplog.text


@pytest.mark.parametrize("count", [1, 12])
@pytest.mark.parametrize(("side", "kept"), [(15, 0), (16, 1)])
def test_what_masks_show_must_be_large_enough(
    caplog: pytest.LogCaptureFixture, count: int, side: int, kept: int
) -> None:
    _, segments = tracked_from_masks(frames(), square(count, side), Choice(crop_factor=2.0, min_size=16))
    assert len(segments) == kept
    assert ("smaller than 16 pixels" in caplog.text) == (not kept)


def test_segments_with_a_mask_for_each_frame_move_and_others_stay() -> None:
    moving = np.zeros((12, 60, 80), np.float32)
    for index in range(12):
        moving[index, 20:40, 10 + 3 * index : 30 + 3 * index] = 1
    given = [
        Seg(None, np.ones((10, 12), np.float32), 0.8, (100, 60, 112, 70), (100, 60, 112, 70), "still", "net"),
        Seg(None, moving, 0.9, (20, 10, 100, 70), (30, 30, 83, 50), "moving"),
    ]
    _, (first, second) = tracked_from_segs(
        frames(), ((80, 120), given), Choice(crop_factor=2.0, subjects=0, min_size=1)
    )
    assert (first.label, second.label) == ("moving", "still")  # the larger first
    assert first.confidence == 0.9
    assert np.ptp(first.region.path[:, 0]) > 20
    assert second.region.fixed
    assert second.crop_region == (100, 60, 112, 70)
    assert second.control_net_wrapper == "net"
    again = tracked_from_segs(frames(), ((80, 120), [first]), CHOICE)[1][0]
    assert again is first


def test_the_face_detector_serves_any_detector_node(clip: Tensor) -> None:
    detector = FaceBBoxDetector(min_size=16, working_size=768)
    detector.setAux("face")
    header, (face,) = detector.detect(clip[:1], 0.6, 4, 3.0, 10)
    assert header == tuple(clip.shape[1:3])
    assert face.cropped_mask.shape == (
        face.crop_region[3] - face.crop_region[1],
        face.crop_region[2] - face.crop_region[0],
    )
    mask = detector.detect_combined(clip[:1], 0.6, 4)
    assert mask.shape == clip.shape[1:3]
    x1, y1, x2, y2 = face.bbox
    assert float(mask.sum()) == pytest.approx((x2 - x1 + 8) * (y2 - y1 + 8), rel=0.03)
    assert float(mask.sum()) == face.cropped_mask.sum()
    assert detector.detect(clip[:1], 1.0, 0, 3.0, 10)[1] == []
    assert detector.detect(clip[:1], 0.6, 0, 3.0, 500)[1] == []
    assert float(detector.detect_combined(clip[:1] * 0, 0.6, 0).sum()) == 0
    assert detector_of(detector) is detector.detector


def test_a_detector_hook_sees_the_segments(clip: Tensor) -> None:
    class Hook:
        def post_detection(self, segs: Any) -> Any:
            return segs[0], []

    assert FaceBBoxDetector(min_size=16, working_size=768).detect(clip[:1], 0.6, 0, 3.0, 1, Hook())[1] == []


def test_a_clip_is_not_detected_as_one_image(clip: Tensor) -> None:
    with pytest.raises(InputError, match="image input has 10; connect the frames of a clip to Redetail Track"):
        FaceBBoxDetector(min_size=16, working_size=768).detect(clip, 0.5, 0, 3.0)
    with pytest.raises(InputError, match="bbox_detector is not a BBOX_DETECTOR but int"):
        detector_of(5)


def test_frames_become_sixteen_bits_one_by_one() -> None:
    image = torch.rand(3, 16, 20, 4, generator=torch.Generator().manual_seed(0)) * 1.2 - 0.1
    source = ImageSource(float_frames(image, "image_frames").numpy(), "image_frames")
    read = list(source.frames(1))
    assert [frame.index for frame in read] == [1, 2]
    assert read[0].pixels.dtype == np.uint16
    np.testing.assert_allclose(read[0].pixels / 65535, image[1, ..., :3].clamp(0, 1), atol=0.51 / 65535)
    image[2, 3, 4, 0] = torch.nan
    with pytest.raises(InputError, match="Frame 2 of image_frames has values that are not finite"):
        list(source.frames())


def test_an_overlay_takes_the_place_of_a_part() -> None:
    source = ImageSource(
        np.zeros((2, 16, 20, 3), np.float32), "x", lambda i: np.full((4, 5, 3), i, np.float32), Box(2, 3, 7, 7)
    )
    first, second = (frame.pixels for frame in source.frames())
    assert first.max() == 0
    assert second[3:7, 2:7].min() == 65535
    assert int((second > 0).sum()) == 4 * 5 * 3


def test_a_missing_package_is_told_with_a_command_for_comfyui() -> None:
    @told_for_comfy
    def needs() -> None:
        raise DependencyError("opencv-python-headless", "standalone")

    with pytest.raises(MissingPackageError, match="python -m pip install opencv-python-headless") as caught:
        needs()
    assert "redetail[" not in str(caught.value)
