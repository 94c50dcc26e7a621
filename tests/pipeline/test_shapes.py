"""Masks of shapes in a plan."""

import numpy as np
import pytest

import redetail
from redetail import Subject
from redetail.engines import FakeEngine
from redetail.errors import UnknownNameError
from tests.clips import clip_frames

FRAMES = np.stack(clip_frames("two_people")[:4])


def plan(**options):
    return redetail.plan(FRAMES, engine=FakeEngine(), **options)


def test_the_box_is_what_happens_without_it() -> None:
    assert [one.masks for one in plan().regions] == [None, None]
    given = np.zeros(FRAMES.shape[:3], np.uint8)
    given[:, 40:90, 40:90] = 255
    assert plan(mask=given).regions[0].masks is not None
    assert plan(mask=given, mask_shape="box").regions[0].masks is None


def test_heads_are_larger_than_faces_and_each_subject_has_its_own_shape() -> None:
    shaped = plan(mask_shape="head", subjects=[Subject(2, settings={"mask_shape": "box"})])
    head, box = (shaped.regions[0], shaped.regions[1])
    assert box.masks is None
    assert len(head.masks) == len(head) == 4
    assert head.mask(0).sum() > 1.3 * (head.boxes[0, 2:] - head.boxes[0, :2]).prod()


def test_what_is_not_seen_is_said() -> None:
    wall = (150, 20, 200, 80)
    shaped = plan(box=wall, mask_shape="hand")
    assert shaped.regions[0].masks is None
    assert shaped.notices == ("The hand of box was found in only 0% of its frames, so the box is used instead.",)
    shaped = plan(box=wall, mask_shape="oval")
    assert shaped.notices == (
        "The oval of box was found in only 0% of its frames, so an ellipse in the box is used instead.",
    )
    assert shaped.regions[0].mask(0).sum() == pytest.approx(np.pi / 4 * 50 * 60, rel=0.03)


def test_a_shape_that_does_not_exist() -> None:
    with pytest.raises(UnknownNameError, match=r"mask-shape.*given, box, oval, head, hand, person"):
        plan(mask_shape="star")


def test_the_result_changes_only_where_the_mask_is() -> None:
    result = redetail.detail(FRAMES, engine=FakeEngine(), mask_shape="oval", subjects=[Subject(2, skip=True)])
    region = result.regions[0]
    x1, y1, x2, y2 = (round(v) for v in region.boxes[0])
    changed = (result.frames[0] != FRAMES[0]).any(axis=2)
    assert changed[y1:y2, x1:x2].mean() > 0.5
    assert not changed[:, 200:].any()
