import hashlib
import sys

import cv2
import numpy as np
import pytest

from redetail.detection import detector_names, load_detector
from redetail.detection.face import WEIGHTS, FaceDetector
from redetail.errors import DependencyError, InputError, ModelError, SettingsError, UnknownNameError
from redetail.region import Box, Size
from tests.clips import clip_frames


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


def surest(detector: FaceDetector, frame: np.ndarray, count: int = 1) -> list[Box]:
    found = detector.detect(frame)
    assert [d.confidence for d in found] == sorted((d.confidence for d in found), reverse=True)
    return [d.box for d in found[:count]]


# Boxes read off the pictures by eye, hence the low overlap that is asked for.
@pytest.mark.parametrize(
    ("clip", "frame", "faces"),
    [
        ("guitarist", 0, [Box(172, 29, 252, 141)]),
        ("guitarist", 60, [Box(160, 55, 242, 162)]),
        ("busker", 20, [Box(155, 78, 182, 115)]),
        ("two_people", 24, [Box(60, 28, 115, 100), Box(254, 62, 296, 128)]),
    ],
)
def test_faces_are_found_where_they_are(detector: FaceDetector, clip: str, frame: int, faces: list[Box]) -> None:
    found = surest(detector, clip_frames(clip)[frame], len(faces))
    for face in faces:
        assert max(box.iou(face) for box in found) > 0.6


def test_hands_and_hair_are_less_sure_than_any_face(detector: FaceDetector) -> None:
    for clip, faces in (("guitarist", 1), ("two_people", 2)):
        for frame in clip_frames(clip)[::8]:
            confidences = [d.confidence for d in detector.detect(frame)]
            assert min(confidences[:faces]) > 0.6
            assert max(confidences[faces:], default=0.0) < 0.55


def test_sixteen_bits_see_the_same(detector: FaceDetector) -> None:
    frame = clip_frames("guitarist")[0]
    assert detector.detect(frame.astype(np.uint16) * 257) == detector.detect(frame)


def test_detection_is_repeatable_and_leaves_the_frame_alone(detector: FaceDetector) -> None:
    frame = clip_frames("busker")[0].copy()
    first = detector.detect(frame)
    assert detector.detect(frame) == first
    assert (frame == clip_frames("busker")[0]).all()


@pytest.mark.parametrize("scale", [1.0, 3.0, 6.0])
def test_small_and_large_faces_in_a_large_frame(detector: FaceDetector, scale: float) -> None:
    """A 4K frame is searched at 768 pixels; its faces are 54 to 324 pixels wide, the last filling the picture."""
    face = cv2.resize(clip_frames("two_people")[0], None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    frame = np.full((2160, 3840, 3), 60, np.uint8)
    frame[: face.shape[0], : face.shape[1]] = face[:2160]
    man = Box(58, 24, 112, 98).scaled(scale, scale)
    found = max(detector.detect(frame), key=lambda d: d.box.iou(man))
    assert found.box.iou(man) > 0.6
    assert found.confidence > 0.6


def test_a_face_that_fills_the_picture(detector: FaceDetector) -> None:
    close = cv2.resize(clip_frames("guitarist")[0][15:160, 140:285], (1450, 1450), interpolation=cv2.INTER_CUBIC)
    (box,) = surest(detector, close)
    assert box.iou(Box(320, 140, 1120, 1260)) > 0.6


def test_a_face_at_the_edge_stays_inside_the_frame(detector: FaceDetector) -> None:
    frame = np.ascontiguousarray(clip_frames("guitarist")[0][45:, 190:])
    boxes = surest(detector, frame, 5)
    assert boxes
    for box in boxes:
        assert box == box.clipped(Size(frame.shape[1], frame.shape[0]))


def test_nobody_is_nobody(detector: FaceDetector) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    for empty in (np.zeros((200, 300, 3), np.uint8), noise):
        assert all(d.confidence < 0.5 for d in detector.detect(empty))


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (32, 32), (1, 768), (768, 1), (31, 500)])
@pytest.mark.parametrize("value", [0, 255])
def test_tiny_pictures_give_no_nonsense(shape: tuple[int, int], value: int) -> None:
    assert FaceDetector().detect(np.full((*shape, 3), value, np.uint8)) == []
    for found in FaceDetector(min_size=0).detect(np.full((*shape, 3), value, np.uint8)):
        assert found.confidence < 0.6


def test_small_faces_can_be_left_out() -> None:
    frame = clip_frames("busker")[20]
    assert surest(FaceDetector(), frame)
    assert FaceDetector(min_size=60).detect(frame) == []


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3), np.float32),
        np.zeros((0, 10, 3), np.uint8),
    ],
)
def test_what_is_no_picture(detector: FaceDetector, frame: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"A frame must be an array \(height, width, 3\) of uint8 or uint16"):
        detector.detect(frame)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("threshold", 1.5),
        ("threshold", float("nan")),
        ("min_size", -1.0),
        ("min_size", float("inf")),
        ("working_size", 8),
    ],
)
def test_options_out_of_range(option: str, value: float) -> None:
    with pytest.raises(SettingsError, match=str(value)):
        load_detector("face", **{option: value})


def test_names_and_options_that_do_not_exist() -> None:
    assert detector_names() == ("face", "turned-faces", "hands", "people")
    with pytest.raises(
        UnknownNameError, match="There is no detector named 'cat'; choose one of: face, turned-faces, hands, people"
    ):
        load_detector("cat")
    with pytest.raises(SettingsError, match="speed"):
        load_detector("face", speed=3)


def test_a_missing_opencv_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(DependencyError, match=r"pip install 'redetail\[standalone\]'"):
        load_detector("face")


def test_broken_weights(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(WEIGHTS.read_bytes()[:1000])
    monkeypatch.setattr(sys.modules[FaceDetector.__module__], "WEIGHTS", broken)
    with pytest.raises(ModelError, match=r"broken\.onnx"):
        load_detector("face").detect(np.zeros((64, 64, 3), np.uint8))


def test_the_weights_are_those_of_the_card() -> None:
    card = (WEIGHTS.parent / "README.md").read_text()
    assert hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() in card
    assert f"{WEIGHTS.stat().st_size:,} bytes" in card
    assert "Shiqi Yu" in (WEIGHTS.parent / "LICENSE").read_text()
