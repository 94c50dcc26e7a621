import math
import sys

import numpy as np
import pytest

from redetail.detection import load_detector
from redetail.detection.hands import HandDetector, around_hand, hand_box, levels_for
from redetail.detection.litert import FOLDER, LiteNetwork
from redetail.errors import DependencyError, ModelError, SettingsError
from redetail.region import Box, Size
from tests.clips import clip_frames


@pytest.fixture(scope="module")
def detector() -> HandDetector:
    return HandDetector()


# Boxes read off the pictures by eye, hence the low overlap that is asked for.
@pytest.mark.parametrize(
    ("clip", "frame", "hands"),
    [
        ("guitarist", 0, [Box(60, 245, 125, 317), Box(188, 275, 250, 350)]),
        ("guitarist", 40, [Box(60, 240, 125, 317), Box(186, 275, 256, 350)]),
        ("busker", 0, [Box(150, 188, 182, 224), Box(240, 172, 266, 200)]),
    ],
)
def test_hands_are_found_where_they_are(detector: HandDetector, clip: str, frame: int, hands: list[Box]) -> None:
    found = detector.detect(clip_frames(clip)[frame])
    assert [one.confidence for one in found] == sorted((one.confidence for one in found), reverse=True)
    for hand in hands:
        assert max(one.box.iou(hand) for one in found if one.confidence >= 0.5) > 0.5
    assert {one.label for one in found} == {"hand"}


def test_faces_foreheads_and_headstocks_are_no_hands(detector: HandDetector) -> None:
    for clip, frame, count in (("guitarist", 30, 2), ("busker", 20, 2), ("two_people", 0, 0)):
        assert len([one for one in detector.detect(clip_frames(clip)[frame]) if one.confidence >= 0.5]) <= count


def test_sixteen_bits_see_the_same_and_an_empty_picture_nothing(detector: HandDetector) -> None:
    frame = clip_frames("guitarist")[0]
    assert detector.detect(frame.astype(np.uint16) * 257) == detector.detect(frame)
    assert detector.detect(np.zeros((90, 160, 3), np.uint8)) == []
    assert detector.detect(np.full((1, 1, 3), 255, np.uint8)) == []


def test_small_hands_of_a_large_frame_are_found_in_its_quarters(detector: HandDetector) -> None:
    assert levels_for(Size(1024, 576)) == (1, 2)
    frame = np.full((720, 1280, 3), 70, np.uint8)
    frame[100:450, 600:950] = clip_frames("guitarist")[0]  # hands of 65 pixels
    boxes = [one.box for one in detector.detect(frame) if one.confidence >= 0.5]
    for hand in (Box(660, 345, 725, 417), Box(788, 375, 850, 450)):
        assert max(box.iou(hand) for box in boxes) > 0.5


HAND = np.array([[0.0, 40.0], *([[x, y] for x in (-20.0, -10.0, 0.0, 10.0, 20.0) for y in (0.0, -10.0, -20.0, -30.0)])])


@pytest.mark.parametrize("angle", [0.0, 0.5, -1.0, math.pi / 2, 3.0])
def test_the_square_turns_with_the_hand(angle: float) -> None:
    cos, sin = math.cos(angle), math.sin(angle)
    upright = around_hand(HAND)
    turned = around_hand(HAND @ np.array([[cos, sin], [-sin, cos]]) + np.array([7.0, 5.0]))
    assert turned.side == pytest.approx(upright.side) == pytest.approx(2 * 70)
    assert math.remainder(turned.angle - upright.angle - angle, 2 * math.pi) == pytest.approx(0, abs=1e-9)
    x, y = np.array([upright.x, upright.y]) @ np.array([[cos, sin], [-sin, cos]]) + np.array([7.0, 5.0])
    assert (turned.x, turned.y) == pytest.approx((x, y))


def test_the_box_holds_the_flesh_around_the_landmarks() -> None:
    assert hand_box(np.array([[0.0, 0.0], [10.0, 20.0]])) == Box(-1, -2, 11, 22)


@pytest.mark.parametrize(("option", "value"), [("threshold", 1.5), ("levels", (0,)), ("levels", ())])
def test_options_out_of_range(option: str, value: object) -> None:
    for name in ("hands", "people"):
        with pytest.raises(SettingsError, match=r"threshold is|levels are"):
            load_detector(name, **{option: value})


def test_a_missing_litert_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(DependencyError, match=r"ai-edge-litert.*pip install 'redetail\[standalone\]'"):
        load_detector("hands")


def test_a_broken_network_is_named(tmp_path) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no network")
    with pytest.raises(ModelError, match=r"broken\.tflite cannot be read; reinstall redetail"):
        LiteNetwork(broken)


def test_networks_load_in_silence(capfd: pytest.CaptureFixture[str]) -> None:
    LiteNetwork(FOLDER / "selfie_segmentation.tflite")
    assert capfd.readouterr() == ("", "")
