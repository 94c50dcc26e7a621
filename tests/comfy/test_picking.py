"""Redetail Pick: names, order, a picture of a person, thumbnails."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from redetail.comfy.follow import Choice, tracked_from_detector
from redetail.comfy.nodes.pick import RedetailPick
from redetail.comfy.picking import THUMBNAIL, chosen_subjects, named_subjects
from redetail.comfy.tracked import TrackedSeg
from redetail.errors import InputError, RegionError, UnknownNameError
from redetail.region import Region, Size
from redetail.segs import Seg
from tests.clips import clip_frames

FRAMES, SIZE = 6, Size(80, 48)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """ComfyUI's temporary folder."""
    paths = ModuleType("folder_paths")
    monkeypatch.setattr(paths, "get_temp_directory", lambda: str(tmp_path), raising=False)
    monkeypatch.setitem(sys.modules, "folder_paths", paths)
    return tmp_path


def frames() -> Tensor:
    """Multiples of 1/128; redder to the right."""
    ramp = (torch.arange(SIZE.width) / 128).repeat(SIZE.height, 1)
    return torch.stack([ramp, ramp * 0, ramp * 0], -1).repeat(FRAMES, 1, 1, 1)


def tracked(label: str, x: float, **more: Any) -> TrackedSeg:
    """A subject that moves to the right by a pixel a frame and is largest in its frame 2."""
    path = np.array([[x + step, 8.0] for step in range(4)])
    boxes = np.array([[x + step + 4, 12, x + step + 12 + (step == 2), 24] for step in range(4)])
    return TrackedSeg(Region(label, 0.9, 1, Size(20, 20), path, boxes, **more), SIZE, FRAMES)


def plain(label: str) -> Seg:
    return Seg(None, np.ones((20, 20), np.float32), 0.5, (40, 8, 60, 28), (44, 12, 56, 24), label, None)


def pick(segments: list[Any], choice: str = "", **more: Any) -> Any:
    """The node's answer: cards, kept, rest."""
    given = {"image_frames": frames(), "segs": (SIZE.shape, segments), "choice": choice, **more}
    answer = RedetailPick.doit(**given)
    (header, kept), (other, rest) = answer["result"]
    assert header == other == SIZE.shape
    return answer["ui"]["subjects"], kept, rest


def labels(segments: list[Any]) -> list[str]:
    return [segment.label for segment in segments]


def test_the_order_is_that_of_the_names() -> None:
    segments = [tracked(f"face {number}", 4 * number) for number in (1, 2, 3)]
    cards, kept, rest = pick(segments, " face 3,face  1, face 3 ,")
    assert labels(kept) == ["face 3", "face 1"]
    assert labels(rest) == ["face 2"]
    assert [(card["name"], card["kept"]) for card in cards] == [("face 1", True), ("face 2", False), ("face 3", True)]


@pytest.mark.parametrize("choice", ["", " , "])
def test_an_empty_choice_keeps_all(choice: str) -> None:
    _, kept, rest = pick([tracked("face 2", 4), plain("hand")], choice)
    assert (labels(kept), rest) == (["face 2", "hand"], [])


def test_an_unknown_name_is_one_sentence_that_names_the_others() -> None:
    with pytest.raises(
        UnknownNameError,
        match=r"^There is no subject named 'face 9'; did you mean 'face 1'\? Choose one of: face 1, hand\.$",
    ):
        pick([tracked("face 1", 4), plain("hand")], "hand, face 9")


def test_a_clip_with_nobody_in_it_is_no_error() -> None:
    assert pick([], "face 1") == ([], [], [])
    assert pick([], "face 1", reference=frames()) == ([], [], [])


def test_tracked_segments_keep_their_moving_crop() -> None:
    given = tracked("face 1", 4)
    _, (kept,), _ = pick([plain("hand"), given], "face 1")
    assert isinstance(kept, TrackedSeg)
    np.testing.assert_array_equal(kept.region.path, given.region.path)


def test_segments_that_share_a_label_are_numbered() -> None:
    named = named_subjects([plain(label) for label in ("face", "face", "face 1", "a, b", "")])
    assert [subject.name for subject in named] == ["face 2", "face 3", "face 1", "a b", "segment"]
    assert labels(pick([plain("face"), plain("face")], "face 2")[1]) == ["face"]


def test_one_person_in_several_stretches_is_one_name() -> None:
    segments = [tracked("face 1", 4, person=1), tracked("face 2", 8, person=2), tracked("face 1", 12, person=1)]
    cards, kept, rest = pick(segments, "face 1")
    assert [segment.region.path[0, 0] for segment in kept] == [4, 12]
    assert labels(rest) == ["face 2"]
    assert [(card["name"], card["frames"]) for card in cards] == [("face 1", 8), ("face 2", 4)]


def test_thumbnails_show_the_window_where_the_subject_is_largest(temporary: Path) -> None:
    cards, *_ = pick([tracked("face 1", 10), plain("hand")])
    assert [(card["frames"], card["clip_frames"], card["type"]) for card in cards] == [(4, 6, "temp"), (6, 6, "temp")]
    for card, left in zip(cards, (12, 40), strict=True):
        picture = np.asarray(Image.open(temporary / card["filename"]))
        assert picture.shape == (THUMBNAIL, THUMBNAIL, 3)
        assert picture[80, 80, 0] == pytest.approx((left + 9.5) / 128 * 255, abs=2)


def test_bfloat16_frames_give_the_same_thumbnails(temporary: Path) -> None:
    single, half = (
        pick([tracked("face 1", 10)], image_frames=frames().to(kind))[0][0] for kind in (torch.float32, torch.bfloat16)
    )
    assert Image.open(temporary / single["filename"]).tobytes() == Image.open(temporary / half["filename"]).tobytes()


def test_segments_of_another_clip_are_refused() -> None:
    with pytest.raises(RegionError, match="tracked in 6 frames, but image_frames has 3"):
        pick([tracked("face 1", 4)], image_frames=frames()[:3])


def test_choosing_is_by_whole_names() -> None:
    subjects = named_subjects([plain("face 1"), plain("face 11")])
    assert [subject.name for subject in chosen_subjects("face 11", subjects)] == ["face 11"]


@pytest.fixture(scope="module")
def people() -> tuple[Tensor, Any]:
    """A clip with two people, and their tracks."""
    clip = torch.from_numpy(np.stack(clip_frames("two_people")[:4])).float() / 255
    return clip, tracked_from_detector(clip, None, Choice(crop_factor=2.0, subjects=0))


@pytest.mark.parametrize("descriptors", [True, False])
def test_a_picture_keeps_the_person_whom_it_shows(people: tuple[Tensor, Any], descriptors: bool) -> None:
    clip, (header, segments) = people
    assert len(segments) == 2
    if not descriptors:
        segments = [segment.with_region(replace(segment.region, descriptor=None)) for segment in segments]
    other = torch.from_numpy(clip_frames("two_people")[-1].copy()).float() / 255
    x1, y1, x2, y2 = segments[1].crop_region
    reference = other[None, y1:y2, x1:x2]
    answer = RedetailPick.doit(clip, (header, segments), "", reference)
    (_, kept), (_, rest) = answer["result"]
    assert (labels(kept), labels(rest)) == ([segments[1].label], [segments[0].label])
    wrong = RedetailPick.doit(clip, (header, segments), segments[0].label, reference)["result"]
    assert labels(wrong[0][1]) == []


def test_a_picture_without_a_face_is_refused(people: tuple[Tensor, Any]) -> None:
    clip, segs = people
    with pytest.raises(InputError, match="Reference picture 2 does not show a face"):
        RedetailPick.doit(
            clip,
            segs,
            "",
            torch.stack([clip[0, :, : clip.shape[2] // 2], clip[0, :, -1:].expand(-1, clip.shape[2] // 2, -1)]),
        )
