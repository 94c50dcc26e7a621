"""Finding hands: where the anchors lie, what the models' outputs mean, where the boxes come to lie."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path

import av
import numpy as np
import pytest

CLIPS = Path(__file__).resolve().parents[1] / "data" / "clips"
HANDS = ((166, 206), (252, 185))  # in the first frame of busker.mp4, measured by eye

UP = np.array([[0, 0], [0, 0], [0, 1], [0, 0], [0, -1], [0, 0], [0, 0], [0, 0], [0, 0]], np.float32)


def palm(x: float, y: float, side: float) -> np.ndarray:
    """A square palm whose fingers point up."""
    result = UP * side / 2 + np.array([x, y], np.float32)
    result[1] = side
    return result.astype(np.float32)


def logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def test_anchors_lie_in_the_middles_of_the_cells(script) -> None:
    anchors = script("hands").anchors()
    assert anchors.shape == (24 * 24 * 2 + 12 * 12 * 6, 2)
    for index in (0, 1, 2, 47, 48, 1151):
        column, row = index // 2 % 24, index // 48
        assert anchors[index] == pytest.approx([(column + 0.5) / 24, (row + 0.5) / 24])
    for index in (0, 5, 6, 71, 72, 863):
        column, row = index // 6 % 12, index // 72
        assert anchors[1152 + index] == pytest.approx([(column + 0.5) / 12, (row + 0.5) / 12])


def test_outputs_are_decoded_against_their_anchor(script) -> None:
    regressors = np.zeros((2016, 18), np.float32)
    logits = np.full(2016, -1000, np.float32)  # far outside what exp can hold
    where = 2 * (24 * 3 + 5)  # centre at 5.5 and 3.5 cells of 8 pixels
    regressors[where] = [2, -3, 30, 20, *range(14)]
    logits[where], logits[where + 1] = logit(0.7), logit(0.49)
    palms, scores = script("hands").decode(regressors, logits, 0.5)
    assert scores == pytest.approx([0.7])
    assert palms[0, 0] == pytest.approx([44 + 2, 28 - 3])
    assert palms[0, 1] == pytest.approx([30, 20])
    assert palms[0, 2:] == pytest.approx(np.arange(14).reshape(7, 2) + np.array([44, 28]))


def test_the_surest_of_overlapping_palms_is_kept(script) -> None:
    hands = script("hands")
    palms = np.stack([palm(50, 50, 20), palm(52, 50, 20), palm(66, 50, 20), palm(120, 50, 20)])
    # Shifted by s of a width of 20: (20 - s) / (20 + s).
    assert hands.overlaps(palms[0], palms) == pytest.approx([1, 18 / 22, 4 / 36, 0], abs=1e-6)
    kept = hands.suppress(palms, np.array([0.6, 0.9, 0.7, 0.8], np.float32))
    assert [float(p[0, 0]) for p in kept] == [52, 120, 66]
    assert hands.suppress(palms[:0], np.empty(0, np.float32)).shape == (0, 9, 2)


def test_the_letterbox_keeps_the_shape_and_tells_where_it_is(script) -> None:
    picture = np.full((96, 48, 3), 255, np.uint8)
    square, scale, corner = script("hands").letterbox(picture)
    assert scale == 2
    assert corner.tolist() == [48, 0]
    assert square.shape == (192, 192, 3)
    assert square[:, 48:144].min() == 1
    assert square[:, :48].max() == square[:, 144:].max() == 0


def test_the_hand_is_a_larger_square_towards_the_fingers(script) -> None:
    hand_box = script("hands").hand_box
    assert hand_box(palm(100, 100, 20), 400, 400) == pytest.approx([74, 64, 52, 52])
    assert hand_box(palm(10, 100, 20), 400, 110) == pytest.approx([0, 64, 36, 46])


@pytest.mark.parametrize("angle", [0.0, 0.5, 2.0, 4.0])
def test_fingers_point_up_whichever_way_they_pointed(script, angle: float) -> None:
    hands = script("hands")
    turned = palm(0, 0, 20) @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turned = (turned + 100).astype(np.float32)
    turned[1] = 20
    picture = np.zeros((200, 200, 3), np.uint8)
    for row, channel in ((hands.WRIST, 0), (hands.MIDDLE, 1)):
        x, y = np.rint(turned[row]).astype(int)
        picture[y, x, channel] = 255
    close = hands.upright(picture, turned)
    # The square's centre lies half a palm above the palm's own: its ends are at the middle and a palm below it.
    for channel, expected in ((0, 112 + 20 * 224 / 52), (1, 112)):
        y, x = np.unravel_index(close[..., channel].argmax(), close.shape[:2])
        assert (x, y) == pytest.approx((112, expected), abs=4.5)  # a pixel of the picture is 4.3 here


@pytest.mark.parametrize("shape", [(300, 200), (400, 400), (432, 768), (310, 120), (768, 768)])
def test_tiles_cover_the_picture_and_half_overlap(script, shape: tuple[int, int]) -> None:
    hands = script("hands")
    windows = hands.tiles(*shape)
    assert windows[0] == (slice(0, shape[0]), slice(0, shape[1]))
    assert (len(windows) == 1) == (max(shape) <= hands.WHOLE)
    seen = np.zeros(shape, int)
    for rows, columns in windows[1:]:
        seen[rows, columns] += 1
    assert len(windows) == 1 or seen.min() >= 1
    for axis in (0, 1):
        starts = sorted({window[axis].start for window in windows[1:]})
        assert all(b - a <= hands.TILE // 2 for a, b in itertools.pairwise(starts))


def test_palms_come_back_to_pixels_of_the_picture(script, monkeypatch: pytest.MonkeyPatch) -> None:
    hands = script("hands")
    monkeypatch.setattr(hands, "load_model", lambda path: path)
    regressors, logits = np.zeros((2016, 18), np.float32), np.full((2016, 1), -9, np.float32)
    regressors[600, 2:4], logits[600] = 40, 9  # row 12, column 12 of 24: (100, 100) of 192
    monkeypatch.setattr(hands, "run_model", lambda network, square: {"Identity": regressors, "Identity_1": logits})
    palms, _ = hands.HandDetector(Path("palm"), Path("landmark")).palms(np.zeros((96, 48, 3), np.uint8))
    # Twice as large there, with 48 pixels of black to the left.
    assert palms[0, :2] == pytest.approx(np.array([[26, 50], [20, 20]]))
    assert palms[0, 2:] == pytest.approx(np.tile([26, 50], (7, 1)))


def test_palms_in_tiles_are_found_in_the_picture_and_judged(script, monkeypatch: pytest.MonkeyPatch) -> None:
    hands = script("hands")
    monkeypatch.setattr(hands, "load_model", lambda path: path)
    detector = hands.HandDetector(Path("palm"), Path("landmark"))
    picture = np.zeros((400, 400, 3), np.uint8)
    picture[295:306, 255:266], picture[55:66, 55:66] = 255, 100

    def palms(tile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if tile.shape == picture.shape:  # too small to be seen in the whole
            return np.empty((0, 9, 2), np.float32), np.empty(0, np.float32)
        found = [np.argwhere(tile[..., 0] == value).mean(axis=0) for value in (255, 100) if (tile == value).any()]
        return np.array([palm(x, y, 40) for y, x in found]).reshape(-1, 9, 2), np.ones(len(found), np.float32)

    def run_model(network: Path, close: np.ndarray) -> dict[str, np.ndarray]:
        assert network == Path("landmark")
        return {"Identity_1": np.array([0.9 if close.max() == 1 else 0.7])}

    monkeypatch.setattr(detector, "palms", palms)
    monkeypatch.setattr(hands, "run_model", run_model)
    (box,) = detector.detect(picture)
    # A tile's border can cut the square: its centre is then off by up to half of it.
    assert box == pytest.approx([260 - 52, 300 - 20 - 52, 104, 104], abs=5)


def test_hands_without_its_package_say_what_to_install(script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ModuleNotFoundError, match="pip install ai-edge-litert"):
        script("hands").HandDetector(Path("palm.tflite"), Path("landmark.tflite"))


def test_palms_without_landmarks_are_refused(script, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["prepare.py", "--output", "x", "--yunet", "y", "--palm", "z"])
    with pytest.raises(SystemExit):
        script("prepare").read_options()
    assert "--palm and --landmark go together" in capsys.readouterr().err


def test_rows_hold_hands_in_the_form_of_faces(script, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare = script("prepare")
    models = prepare.Models(Path("yunet"), None, None)
    monkeypatch.setattr(prepare, "face_detector", lambda models: None)
    monkeypatch.setattr(prepare, "find_faces", lambda detector, frame: [[1.0, 2.0, 3.0, 4.0]])
    clip = np.zeros((96, 4, 4, 3), np.uint8)
    assert prepare.find_subjects(clip, models)["hands"] == {}

    class Hands:
        def detect(self, frame: np.ndarray) -> list[list[float]]:
            return [[5.0, 6.0, 7.0, 8.0]]

    monkeypatch.setattr(prepare, "hand_detector", lambda models: Hands())
    found = prepare.find_subjects(clip, models)
    assert found["hands"].keys() == found["faces"].keys()
    assert len(found["hands"]) == 12
    assert {"0", "95"} <= found["hands"].keys()
    assert found["hands"]["95"] == [[5.0, 6.0, 7.0, 8.0]]


def test_the_models_find_the_hands_of_a_clip_and_none_in_noise(script) -> None:
    folder = os.environ.get("REDETAIL_TEST_HANDS")
    if not folder:
        pytest.skip("REDETAIL_TEST_HANDS names no folder with palm_detection_full.tflite and hand_landmark_full.tflite")
    pytest.importorskip("ai_edge_litert")
    detector = script("hands").HandDetector(
        Path(folder, "palm_detection_full.tflite"), Path(folder, "hand_landmark_full.tflite")
    )
    with av.open(str(CLIPS / "busker.mp4")) as clip:
        frame = next(clip.decode(video=0)).to_ndarray(format="rgb24")
    found = sorted((x + w / 2, y + h / 2) for x, y, w, h in detector.detect(frame))
    assert len(found) == 2
    for centre, hand in zip(found, HANDS, strict=True):
        assert centre == pytest.approx(hand, abs=15)  # half the width of these hands
    noise = np.random.default_rng(0).integers(0, 256, (320, 320, 3)).astype(np.uint8)
    assert detector.detect(noise) == []
