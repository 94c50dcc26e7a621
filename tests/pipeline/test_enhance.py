from dataclasses import replace

import numpy as np
import pytest

from redetail.engines.fake import FakeEngine
from redetail.errors import Cancelled
from redetail.geometry.padding import Padding
from redetail.pipeline.enhance import enhance_region, noise_masks, spool_crops
from redetail.pipeline.joints import JoinedCrops
from redetail.pipeline.plan import CropPlan
from redetail.pipeline.spool import Spool
from redetail.pipeline.stretches import split
from redetail.progress import CancelToken
from redetail.region import Region, Size
from redetail.settings import Settings
from redetail.video import Frame

WORKING = Size(36, 28)
SETTINGS = Settings(steps=2, denoise=1, mask_feather=0, color_match=False)


def planned(frames, working=WORKING, most=600):
    path = np.stack([np.linspace(3, 9, frames), np.linspace(4, 5, frames)], axis=1)
    boxes = np.concatenate([path + 4, path + np.array([14, 10])], axis=1)
    region = Region("face 1", 0.9, 1, Size(18, 14), path, boxes)
    return CropPlan(region, working, Padding.to_multiple(working, 8), stretches=tuple(split(frames, most)))


def enhanced(plan, engine, tmp_path, settings=SETTINGS, **options):
    frames = len(plan.region)
    shape = (frames, *plan.working.shape, 3)
    crops = np.random.default_rng(1).random(shape, np.float32)
    with Spool([shape, shape], tmp_path) as spool:
        before = spool.store("before", shape)
        before.write(0, crops)
        results = [spool.store(f"after-{one.start}", (len(one), *shape[1:])) for one in plan.stretches]
        enhance_region(plan, before, results, engine, settings, **options)
        return before.read(0, frames), JoinedCrops(plan.stretches, results).read(0, frames)


def test_crops_are_padded_for_the_engine_and_come_back_in_place(tmp_path):
    plan = planned(3)
    before, after = enhanced(plan, FakeEngine(noise=0), tmp_path)
    inside = noise_masks(plan, 0, 3, 0) == 1
    np.testing.assert_allclose(after[inside], 1 - before[inside], atol=2 / 65535)
    outside = noise_masks(plan, 0, 3, 0) == 0
    np.testing.assert_array_equal(after[outside], before[outside])


def test_stretches_give_what_one_piece_gives(tmp_path):
    _, whole = enhanced(planned(41), FakeEngine(noise=0.05), tmp_path)
    plan, calls = planned(41, most=18), []
    assert len(plan.stretches) == 4
    _, parts = enhanced(plan, FakeEngine(noise=0.05), tmp_path, progress=lambda report: calls.append(report.done))
    # The engine's noise depends on the frame alone; where stretches overlap both are rounded to 16 bits.
    np.testing.assert_allclose(parts, whole, atol=2 / 65535)
    assert calls == sorted(calls)
    assert calls[-1] == 41


def test_stretches_that_differ_fade_into_one_another(tmp_path):
    plan = planned(28, most=18)
    level = iter([0.2, 0.8])
    engine = FakeEngine(lambda crops: np.full_like(crops, next(level)), noise=0, context_length=None)
    _, after = enhanced(plan, engine, tmp_path)
    middle = after[:, 14, 18, 0]
    assert middle[0] == pytest.approx(0.2, abs=1e-4)
    assert middle[-1] == pytest.approx(0.8, abs=1e-4)
    assert np.diff(middle).max() < 0.6 / 8


def test_colour_matching_keeps_the_source_s_brightness(tmp_path):
    plan = planned(2, Size(72, 56))
    settings = Settings(steps=1, denoise=1, mask_feather=0, color_match=True)
    before, after = enhanced(plan, FakeEngine(lambda crops: crops * 0.5, noise=0), tmp_path, settings)
    inside = noise_masks(plan, 0, 2, 0) == 1
    assert before[inside].mean() == pytest.approx(after[inside].mean(), abs=0.02)


def test_masks_follow_the_subject_below_a_pixel():
    masks = noise_masks(planned(5), 0, 5, 0)
    assert masks.shape == (5, 28, 36)
    assert masks.min() == 0
    assert masks.max() == 1


def test_crops_are_taken_from_the_frames_of_the_region(tmp_path):
    plan = planned(3)
    frames = [Frame(index, index, np.full((40, 60, 3), 50 * index, np.uint8)) for index in range(5)]
    shape = (3, *plan.working.shape, 3)
    with Spool([shape], tmp_path) as spool:
        store = spool.store("a", shape)
        spool_crops(frames, [plan], [store])
        np.testing.assert_allclose(store.read(0, 3)[:, 9, 9, 0] * 255, [50, 100, 150], atol=0.01)


def test_cancelling_stops_the_engine(tmp_path):
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        enhanced(planned(3), FakeEngine(), tmp_path, cancel=token)


def test_a_prompt_over_time_counts_the_frames_of_the_clip(tmp_path):
    """The region starts in frame 1; the engine is told where each stretch starts in the region."""
    prompts = []

    class Listening(FakeEngine):
        def run(self, request):
            prompts.append((request.settings.prompt, request.first_frame))
            super().run(request)

    settings = replace(SETTINGS, prompt="0: a; 24: b")
    enhanced(planned(28, most=18), Listening(context_length=None), tmp_path, settings)
    assert prompts == [("-1: a; 23: b", 0), ("-1: a; 23: b", 10)]


def test_a_loop_is_closed_only_where_all_frames_are_enhanced_together(tmp_path, caplog):
    seen = []

    class Watched(FakeEngine):
        def run(self, request):
            seen.append(request.settings.context_loop)
            super().run(request)

    looped = replace(SETTINGS, context_loop=True)
    enhanced(planned(41), Watched(), tmp_path, looped)
    assert (seen, caplog.messages) == ([True], [])
    enhanced(planned(41, most=18), Watched(), tmp_path, looped)
    assert set(seen[1:]) == {False}
    assert caplog.messages == ["face 1 is too long for a closed loop, since it is enhanced in parts."]
