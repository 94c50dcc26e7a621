"""Following from a box: pictures whose motion is known, then a real clip with boxes drawn by hand."""

import json
from functools import cache

import cv2
import numpy as np
import pytest

from redetail.region import Box
from redetail.tracking.follow import Follower, Sighting, correlation, moved_box
from tests.clips import CLIPS, clip_frames


def texture(seed: int, height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2.0).astype(np.float32).clip(0, 255).astype(np.uint8)


SUBJECT = cv2.normalize(texture(1, 40, 50), None, 0, 255, cv2.NORM_MINMAX)
GROUND = texture(2, 160, 240) // 2 + 60


def scene(x: float, y: float, scale: float = 1.0, covered: bool = False) -> np.ndarray:
    """The subject with its top left corner at x, y on a ground of its own; ``covered``: a board stands before it."""
    picture = GROUND.copy()
    matrix = np.array([[scale, 0, x + (scale - 1) / 2], [0, scale, y + (scale - 1) / 2]])
    shown = cv2.warpAffine(SUBJECT, matrix, (240, 160), flags=cv2.INTER_LINEAR)
    inside = cv2.warpAffine(np.ones(SUBJECT.shape[:2], np.uint8), matrix, (240, 160), flags=cv2.INTER_NEAREST)
    picture[inside == 1] = shown[inside == 1]
    if covered:
        picture[:, int(x) - 10 : int(x) + 60] = 90
    return picture


def box(x: float, y: float, scale: float = 1.0) -> Box:
    return Box(x, y, x + 50 * scale, y + 40 * scale)


def run(pictures: list[np.ndarray], first: Box) -> list[Sighting | None]:
    follower = Follower(pictures[0], first)
    return [Sighting(first, 1.0), *(follower.update(follower.shrunk(picture)) for picture in pictures[1:])]


def test_flow_moves_a_box_by_the_motion_and_grows_it_by_the_zoom() -> None:
    moved = moved_box(scene(60, 50), scene(63.5, 48), box(60, 50))
    assert moved is not None
    assert moved.as_tuple() == pytest.approx(box(63.5, 48).as_tuple(), abs=0.5)
    grown = moved_box(scene(60, 50), scene(58, 49, 1.06), box(60, 50))
    assert grown is not None
    assert grown.as_tuple() == pytest.approx(box(58, 49, 1.06).as_tuple(), abs=1.0)


def test_correlation_is_one_for_the_same_at_another_brightness_and_nothing_for_a_flat_picture() -> None:
    patch = texture(3, 24, 24).astype(np.float32)
    assert correlation(patch, patch * 0.5 + 30) == pytest.approx(1, abs=1e-5)
    assert correlation(patch, 255 - patch) == pytest.approx(-1, abs=1e-5)
    assert correlation(patch, np.full_like(patch, 9)) == 0


def test_it_stays_on_what_moves_and_comes_nearer() -> None:
    path = [(20 + 3 * i, 60 - 1.2 * i, 1 + 0.012 * i) for i in range(30)]
    found = run([scene(*at) for at in path], box(*path[0]))
    overlaps = [one.box.iou(box(*at)) if one else 0.0 for one, at in zip(found, path, strict=True)]
    assert min(overlaps) > 0.75


def test_what_is_covered_is_lost_and_found_again_elsewhere() -> None:
    path = [(40 + 2 * i, 60) for i in range(30)]
    hidden = range(8, 18)
    found = run([scene(*at, covered=i in hidden) for i, at in enumerate(path)], box(*path[0]))
    assert [i for i, one in enumerate(found) if one is None] == list(hidden)
    assert all(one.box.iou(box(*path[i])) > 0.8 for i, one in enumerate(found) if one)


def test_what_is_gone_is_never_found_in_the_background() -> None:
    pictures = [scene(80, 60), *([GROUND] * 40)]
    assert run(pictures, box(80, 60))[1:] == [None] * 40


def test_a_large_subject_is_followed_at_a_smaller_scale() -> None:
    large = [cv2.resize(scene(60 + 2 * i, 50), None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC) for i in range(6)]
    assert Follower(large[0], box(60, 50).scaled(4, 4)).shrunk(large[0]).shape == (307, 461, 3)
    found = run(large, box(60, 50).scaled(4, 4))
    assert found[-1] is not None
    assert found[-1].box.iou(box(70, 50).scaled(4, 4)) > 0.85


DRAWN = {int(k): Box(*v) for k, v in json.loads((CLIPS.parent / "headstock.json").read_text())["boxes"].items()}


@cache
def headstock(key: int) -> dict[int, Sighting | None]:
    frames = clip_frames("busker")
    found: dict[int, Sighting | None] = {key: Sighting(DRAWN[key], 1.0)}
    for order in (range(key + 1, 90), range(key - 1, -1, -1)):
        follower = Follower(frames[key], DRAWN[key])
        found |= {i: follower.update(follower.shrunk(frames[i])) for i in order}
    return found


@pytest.mark.parametrize("key", [0, 24, 64])
def test_the_headstock_is_followed_wherever_it_is_seen(key: int) -> None:
    found = headstock(key)
    overlaps = [one.box.iou(drawn) if (one := found[i]) else 0.0 for i, drawn in DRAWN.items()]
    assert min(overlaps) > 0.65
    assert found[53] is None  # a head is before it
    assert sum(one is None for one in found.values()) <= 5
