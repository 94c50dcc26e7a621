import numpy as np
import pytest

from redetail.errors import Cancelled
from redetail.pipeline.plan import FADE, Sightings, crop_plans, extent, follow, look, watched
from redetail.progress import CancelToken
from redetail.region import Box, Detection, Region, Size
from redetail.settings import Settings
from redetail.video import Frame

FRAMES = [Frame(index, index, np.zeros((48, 64, 3), np.uint8)) for index in range(3, 9)]


def seen(x):
    return (Detection(Box(x, 40, x + 30, 80), 0.9),)


class Nobody:
    def detect(self, frame):
        return []


def test_every_frame_is_looked_at():
    sightings = look(FRAMES, Nobody())
    assert (sightings.start, sightings.stop, sightings.cuts) == (3, 9, frozenset())
    assert sightings.detections == ((),) * 6


def test_progress_counts_frames_and_ends_complete():
    reports = []
    assert list(watched(FRAMES, 4, "detect", reports.append)) == FRAMES
    assert [report.done for report in reports] == [0, 1, 2, 3, 4, 5, 6, 6]
    assert (reports[-1].done, reports[-1].total) == (6, 6)


def test_cancelling_is_noticed_at_every_frame():
    token = CancelToken()
    frames = watched(FRAMES, 6, "detect", cancel=token)
    next(frames)
    token.cancel()
    with pytest.raises(Cancelled):
        next(frames)


def test_the_extent_is_read_not_believed():
    assert extent(FRAMES) == (3, 9)
    assert extent([]) == (0, 0)


def test_a_subject_fades_only_in_mid_shot():
    # 20 frames of nobody, 30 of somebody, a cut, 30 of somebody to the end.
    detections = ((),) * 20 + (seen(60),) * 30 + (seen(200),) * 30
    first, second = sorted(
        follow(Sightings(0, detections, frozenset({50})), Size(320, 240), 2), key=lambda region: region.start
    )
    assert (first.start, first.stop, first.fade_in, first.fade_out) == (20, 50, FADE, 0)
    assert (second.start, second.stop, second.fade_in, second.fade_out) == (50, 80, 0, 0)


def test_the_largest_box_of_a_track_decides_its_scale():
    boxes = np.array([[10, 10, 26, 30], [10, 10, 42, 50]], float)
    region = Region("face 1", 0.9, 0, Size(60, 50), np.zeros((2, 2)), boxes)
    (plan,) = crop_plans([region], Settings(guide_size=64), 16)
    assert plan.working == Size(120, 100)  # 64 / 32 = 2
    assert plan.padding == (4, 6, 4, 6)
    assert plan.scale == 2
