import itertools

import cv2
import numpy as np
import pytest

from redetail.detection import CutDetector
from redetail.errors import InputError
from tests.clips import clip_frames

NAMES = ("guitarist", "busker", "two_people")


def cuts(frames) -> list[int]:
    detector = CutDetector()
    return [index for index, frame in enumerate(frames) if detector.update(frame)]


@pytest.mark.parametrize("name", NAMES)
def test_one_shot_has_no_cut(name: str) -> None:
    assert cuts(clip_frames(name)) == []


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(NAMES, 2)))
def test_joints_are_cuts(first: str, second: str) -> None:
    frames = clip_frames(first)[:20] + clip_frames(second)[:15] + clip_frames(first)[20:30]
    assert cuts(frames) == [20, 35]


def test_a_cut_right_after_the_first_frame() -> None:
    assert cuts([clip_frames("busker")[0], *clip_frames("guitarist")[:5]]) == [1]


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("gain", [1.8, 3.0])
def test_a_flash_is_no_cut(gain: float, length: int) -> None:
    frames = list(clip_frames("two_people")[:30])
    for index in range(12, 12 + length):
        frames[index] = np.clip(frames[index] * gain + 30, 0, 255).astype(np.uint8)
    assert cuts(frames) == []


@pytest.mark.parametrize("value", [0, 255])
def test_white_and_black_frames_are_no_cuts(value: int) -> None:
    frames = list(clip_frames("guitarist")[:30])
    frames[10] = frames[11] = np.full_like(frames[0], value)
    assert cuts(frames) == []


def test_a_cut_through_black_is_one_cut() -> None:
    black = [np.zeros_like(clip_frames("busker")[0])] * 3
    assert cuts(clip_frames("guitarist")[:10] + black + clip_frames("two_people")[:10]) == [13]


def test_a_fast_pan_is_no_cut() -> None:
    scene = np.hstack([cv2.resize(clip_frames(name)[0], (700, 700)) for name in ("guitarist", "two_people")])
    frames = [np.ascontiguousarray(scene[:, x : x + 700]) for x in range(0, 700, 60)]
    assert cuts(frames) == []


def test_somebody_walking_through_the_picture_is_no_cut() -> None:
    frames = [frame.copy() for frame in clip_frames("two_people")[:30]]
    for index, frame in enumerate(frames):
        frame[:, max(0, 20 * index - 100) : 20 * index] = (30, 40, 60)
    assert cuts(frames) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_shot_of_the_same_colours_is_another_one(name: str) -> None:
    mirrored = [np.ascontiguousarray(frame[:, ::-1]) for frame in clip_frames(name)[20:30]]
    assert cuts([*clip_frames(name)[:20], *mirrored]) == [20]


@pytest.mark.parametrize("name", NAMES)
def test_a_closer_shot_of_the_same_scene_is_another_one(name: str) -> None:
    frames = clip_frames(name)
    height, width = frames[0].shape[0] // 2, frames[0].shape[1] // 2
    closer = [cv2.resize(frame[height // 4 :][:height, :width], (2 * width, 2 * height)) for frame in frames[20:30]]
    assert cuts([*frames[:20], *closer]) == [20]


@pytest.mark.parametrize("name", NAMES)
def test_a_quick_zoom_is_no_cut(name: str) -> None:
    frames = list(clip_frames(name)[:30])
    height, width = frames[0].shape[:2]
    for index, zoom in enumerate(np.linspace(1, 1.6, 6), 18):
        turned = cv2.getRotationMatrix2D((width / 2, height / 2), 0, float(zoom))
        frames[index:] = [cv2.warpAffine(frame, turned, (width, height)) for frame in clip_frames(name)[index:30]]
    assert cuts(frames) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_shaken_camera_is_no_cut(name: str) -> None:
    shake = np.random.default_rng(3).integers(-20, 21, (20, 2))
    moved = [np.roll(frame, tuple(by), axis=(0, 1)) for frame, by in zip(clip_frames(name)[20:], shake, strict=False)]
    assert cuts([*clip_frames(name)[:20], *moved]) == []


def test_sixteen_bits_and_sizes_that_change() -> None:
    frames = [frame.astype(np.uint16) * 257 for frame in clip_frames("guitarist")[:5]]
    smaller = [cv2.resize(frame, (200, 200), interpolation=cv2.INTER_AREA) for frame in clip_frames("guitarist")[5:8]]
    assert cuts(frames + smaller) == []


def test_memory_does_not_grow() -> None:
    detector = CutDetector()
    for frame in clip_frames("two_people"):
        detector.update(frame)
    assert len(detector._recent) <= 4
    assert len(detector._changes) <= 24


def test_what_is_no_picture() -> None:
    with pytest.raises(InputError, match="must be"):
        CutDetector().update(np.zeros((5, 5), np.uint8))
