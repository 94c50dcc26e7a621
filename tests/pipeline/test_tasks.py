"""One task: what the engine is given, and what comes back; and how a plan becomes tasks."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from redetail.engines.fake import FakeEngine
from redetail.errors import Cancelled
from redetail.geometry.crop import Padding
from redetail.pipeline import tasks as module
from redetail.pipeline.paste import paste_crop
from redetail.pipeline.plan import CropPlan
from redetail.pipeline.tasks import NoiseMasks, plan_tasks
from redetail.progress import CancelToken
from redetail.region import Region, Size
from tests.pipeline.plans import SETTINGS, WORKING, crop_plan, pixels, plan_of


def ran(crop, engine, folder, cancel=None):
    """Source and result of the first task of a region, whose source is noise."""
    for name in ("sources", "results"):
        (folder / name).mkdir()
    task = plan_tasks(plan_of(crop), folder)[0]
    task.source.create()
    task.source.write(0, np.random.default_rng(1).random(task.shape, np.float32))
    shares = []
    outcome = task.run(engine, shares.append, cancel)
    assert (outcome.key, outcome.frames) == ((0, 0), len(task.stretch))
    assert shares == sorted(shares)
    assert shares[-1] == 1
    return task.source.read(0, len(task.stretch)), task.result.read(0, len(task.stretch))


def test_crops_are_padded_for_the_engine_and_come_back_in_place(tmp_path):
    crop = crop_plan(3, settings=replace(SETTINGS, paste_feather=0))
    before, after = ran(crop, FakeEngine(noise=0), tmp_path)
    inside = NoiseMasks(crop, 0, 0).read(0, len(crop.region)) == 1
    np.testing.assert_allclose(after[inside], 1 - before[inside], atol=2 / 65535)
    outside = NoiseMasks(crop, 0, 0).read(0, len(crop.region)) == 0
    np.testing.assert_array_equal(after[outside], before[outside])


def test_colour_matching_keeps_the_source_s_brightness(tmp_path):
    settings = replace(SETTINGS, steps=1, color_match=True)
    crop = crop_plan(2, working=Size(72, 56), settings=settings)
    before, after = ran(crop, FakeEngine(lambda crops: crops * 0.5, noise=0), tmp_path)
    inside = NoiseMasks(crop, 0, 0).read(0, len(crop.region)) == 1
    assert before[inside].mean() == pytest.approx(after[inside].mean(), abs=0.02)


def test_a_task_that_fails_leaves_no_result(tmp_path):
    def fail(crops):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ran(crop_plan(3), FakeEngine(fail), tmp_path)
    assert list((tmp_path / "results").iterdir()) == []


def test_cancelling_stops_the_engine(tmp_path):
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        ran(crop_plan(3), FakeEngine(), tmp_path, token)


def test_masks_follow_the_subject_below_a_pixel():
    masks = NoiseMasks(crop_plan(5), 0, 0).read(0, 5)
    assert masks.shape == (5, 28, 36)
    assert masks.min() == 0
    assert masks.max() == 1


def test_all_that_is_pasted_of_a_box_is_re_diffused_in_full():
    """The soft edge of the paste reaches twice its feather beyond the box."""
    box, size = np.array([[26.0, 26, 52, 52]]), Size(78, 78)
    region = Region("face 1", 0.9, 0, size, np.zeros((1, 2)), box)
    noised = NoiseMasks(CropPlan(region, size, Padding(0, 0, 0, 0)), 3, 5).read(0, 1)[0]
    pasted = paste_crop(np.zeros((78, 78, 3), np.uint8), region, 0, np.ones((78, 78, 3), np.float32), 5)[1]
    assert (noised[pasted > 0] == 1).all()
    np.testing.assert_array_equal(noised[39] > 0, (np.arange(78) >= 26 - 16) & (np.arange(78) < 52 + 16))


@pytest.mark.parametrize(("count", "times"), [(1, 1), (4, 4)])
def test_a_mask_is_feathered_once_even_where_it_is_read_twice(monkeypatch, count, times):
    calls, crop = [], crop_plan(4)
    pictures = list(np.random.default_rng(0).integers(0, 256, (count, 14, 18), np.uint8))
    masks = NoiseMasks(replace(crop, region=replace(crop.region, masks=pictures)), 3, 5)
    feather = module.masks.feather
    monkeypatch.setattr(module.masks, "feather", lambda *given: calls.append(1) or feather(*given))
    whole = masks.read(0, 4)
    np.testing.assert_array_equal(masks.read(1, 3), whole[1:3])
    assert len(calls) == times


def test_tasks_come_in_order_of_time_and_hold_their_own_frames_alone(tmp_path):
    long, short = crop_plan(41, most=18), crop_plan(12, start=20, label="face 2")
    tasks = plan_tasks(plan_of(long, short), tmp_path)
    assert [task.key for task in tasks] == [(0, 0), (0, 1), (1, 0), (0, 2), (0, 3)]
    assert [task.stop for task in tasks] == sorted(task.stop for task in tasks)
    for task in tasks:
        whole = (long, short)[task.region].region
        assert len(task.crop.region) == len(task.stretch) == task.shape[0]
        assert task.start == whole.start + task.stretch.start
        np.testing.assert_array_equal(task.crop.region.path[0], whole.path[task.stretch.start])
        np.testing.assert_array_equal(task.crop.region.mask(3), whole.mask(task.stretch.start + 3))


@pytest.mark.parametrize("count", [1, 41])
def test_a_task_is_small_and_can_be_pickled(tmp_path, count):
    """A task of a long clip carries what its stretch needs."""
    crop = crop_plan(41, most=18)
    masks = list(np.random.default_rng(0).integers(0, 256, (count, 14, 18), np.uint8))
    crop = replace(crop, region=replace(crop.region, masks=masks))
    task = plan_tasks(plan_of(crop), tmp_path)[1]
    data = pickle.dumps(task)
    assert len(data) < 20 * 14 * 18 + 5000
    sent = pickle.loads(data)
    assert (sent.key, sent.stretch, sent.settings) == (task.key, task.stretch, task.settings)
    np.testing.assert_array_equal(sent.crop.region.mask(2), crop.region.mask(task.stretch.start + 2))


class Listening(FakeEngine):
    """Notes the settings and the first frame of every call."""

    def __init__(self):
        super().__init__(context_length=None)
        self.heard = []

    def run(self, request):
        self.heard.append((request.settings, request.first_frame))
        super().run(request)


def test_a_prompt_over_time_counts_the_frames_of_the_clip():
    """The region starts in frame 1; the engine is told where each stretch starts in the region."""
    engine = Listening()
    pixels(engine, plan_of(crop_plan(28, most=18, settings=replace(SETTINGS, prompt="0: a; 24: b"))))
    assert [(settings.prompt, first) for settings, first in engine.heard] == [("-1: a; 23: b", 0), ("-1: a; 23: b", 10)]


def test_a_loop_is_closed_only_where_all_frames_are_enhanced_together(caplog):
    looped = replace(SETTINGS, context_loop=True)
    whole, cut = Listening(), Listening()
    pixels(whole, plan_of(crop_plan(41, settings=looped)))
    assert ([settings.context_loop for settings, _ in whole.heard], caplog.messages) == ([True], [])
    pixels(cut, plan_of(crop_plan(41, most=18, settings=looped)))
    assert [settings.context_loop for settings, _ in cut.heard] == [False] * 4
    assert caplog.messages == [
        "The frames of face 1 do not fit into memory at once, so they are detailed in stretches, without context-loop."
    ]


def test_stretches_give_what_one_piece_gives():
    (whole,) = pixels(FakeEngine(noise=0.05), plan_of(crop_plan(41)))
    plan, calls = plan_of(crop_plan(41, most=18)), []
    (parts,) = pixels(
        FakeEngine(noise=0.05), plan, progress=lambda one: calls.append(one.done) if one.stage == "detail" else None
    )
    # The engine's noise depends on the frame alone; where stretches overlap both are rounded to 16 bits.
    np.testing.assert_allclose(parts, whole, atol=2 / 65535)
    assert calls == sorted(set(calls))
    assert calls[-1] == 41


def test_stretches_that_differ_fade_into_one_another():
    level = iter([0.2, 0.8])
    engine = FakeEngine(lambda crops: np.full_like(crops, next(level)), noise=0, context_length=None)
    (after,) = pixels(engine, plan_of(crop_plan(28, most=18)))
    middle = after[:, 14, 18, 0]
    assert middle[0] == pytest.approx(0.2, abs=1e-4)
    assert middle[-1] == pytest.approx(0.8, abs=1e-4)
    assert np.diff(middle).max() < 0.6 / 8
    assert after.shape[1:3] == WORKING.shape
