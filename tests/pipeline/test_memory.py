"""Memory: stretches get as short as a limit asks, and what cannot fit is refused with what would."""

import re
from dataclasses import replace

import numpy as np
import pytest

import redetail
from redetail.engines import FakeEngine
from redetail.engines.base import Cost
from redetail.errors import SettingsError
from redetail.pipeline import estimate, memory
from redetail.pipeline.memory import READING, WRITING, MemoryBudget
from redetail.pipeline.plan import crop_plan
from redetail.pipeline.stretches import OVERLAP, Budgets
from redetail.region import Region, Size
from redetail.settings import Settings
from tests.pipeline import plans
from tests.pipeline.plans import plan_of

FRAME = Size(640, 480)
FRAME_PIXELS = 640 * 480
COST = Cost(stretch_bytes=100, window_bytes=50)
BUDGETS = Budgets(10**9, 16)
USED = 10**8


def crops(frames=200, budgets=BUDGETS, **settings):
    path = np.zeros((frames, 2))
    boxes = np.tile([10.0, 10, 246, 246], (frames, 1))
    region = Region("face 1", 0.9, 0, Size(256, 256), path, boxes)
    return (crop_plan(region, Settings(guide_size=1, max_size=256, **settings), 8, 1, budgets),)


def limit_for(stretch_frames: int) -> int:
    """What a run with stretches of so many frames of 256x256 takes, by the declaration of the costs."""
    return USED + READING * FRAME_PIXELS + 256 * 256 * (100 * stretch_frames + 50 * 16)


def test_stretches_are_as_long_as_the_limit_allows() -> None:
    for frames in (16, 40, 199):
        budget = MemoryBudget(limit_for(frames), USED, FRAME, COST)
        fitted = budget.fitted(crops(), BUDGETS, 8)
        assert fitted.stretch_pixels == frames * 256 * 256
        shortened = crops(budgets=fitted)
        assert max(map(len, shortened[0].stretches)) <= frames
        assert budget.estimate(shortened, fitted) <= max(budget.limit, USED + WRITING * FRAME_PIXELS)
    assert MemoryBudget(limit_for(200), USED, FRAME, COST).fitted(crops(), BUDGETS, 8) == BUDGETS


def test_a_short_window_leaves_room_for_frames() -> None:
    limit = limit_for(40)
    windows = [replace(BUDGETS, context_length=length) for length in (8, 16, 32)]
    budget = MemoryBudget(limit, USED, FRAME, COST)
    assert [budget.fitted(crops(), one, 8).stretch_pixels // 256**2 for one in windows] == [44, 40, 32]


def test_what_cannot_fit_is_refused_with_what_would() -> None:
    budget = MemoryBudget(limit_for(2 * OVERLAP) - 1, USED, FRAME, COST)
    with pytest.raises(SettingsError, match=r"face 1 at 256x256 takes about .* memory") as refused:
        budget.fitted(crops(), BUDGETS, 8)
    found = re.search(r"--max-size (\d+) or --memory ([\d.]+)GB\.$", str(refused.value))
    assert found is not None
    smaller, more = int(found[1]), int(float(found[2]) * 1e9)
    assert smaller == 248
    MemoryBudget(budget.limit, USED, FRAME, COST).fitted(
        [replace(crops()[0], working=Size(smaller, smaller))], BUDGETS, 8
    )
    MemoryBudget(more, USED, FRAME, COST).fitted(crops(), BUDGETS, 8)


def test_frames_alone_may_be_too_much(tmp_path) -> None:
    frames = np.zeros((3, 40, 60, 3), np.uint8)
    with pytest.raises(
        SettingsError,
        match=r"Reading and writing 60x40-pixel frames .*; free some memory, or raise the limit with --memory ",
    ):
        redetail.plan(frames, engine=FakeEngine(), memory=redetail.Memory(limit="1MB"), box=(4, 4, 30, 30))
    budget = MemoryBudget(USED + WRITING * FRAME_PIXELS, USED, FRAME, COST)
    budget.check_frames()
    with pytest.raises(SettingsError, match=r"raise the limit with --memory 0\.2GB"):
        replace(budget, limit=budget.limit - 1).check_frames()


def test_without_a_limit_most_of_what_is_free_may_be_taken(monkeypatch) -> None:
    monkeypatch.setattr(memory, "resident_memory", lambda: 300)
    monkeypatch.setattr(memory, "available_memory", lambda: 1000)
    assert MemoryBudget.of(None, FRAME, COST).limit == 1100
    assert MemoryBudget.of(700, FRAME, COST) == MemoryBudget(700, 300, FRAME, COST)


def test_a_limit_shortens_the_stretches_of_a_plan_and_its_result_stays(monkeypatch) -> None:
    monkeypatch.setattr(memory, "resident_memory", lambda: USED)
    frames = np.random.default_rng(1).integers(0, 256, (60, 64, 64, 3), np.uint8)
    engine = FakeEngine(noise=0)
    engine._capabilities = replace(engine.capabilities, cost=COST)
    options = {"box": (8, 8, 56, 56), "crop_factor": 1.0, "guide_size": 48, "max_size": 48, "steps": 1}
    pixels, frame = 48 * 48, 64 * 64
    limit = USED + max(WRITING * frame, READING * frame + pixels * (100 * 20 + 50 * 16))
    plan = redetail.plan(frames, engine=engine, memory={"limit": limit}, **options)
    whole = redetail.plan(frames, engine=engine, **options)
    assert plan.budgets is not None
    assert plan.budgets.stretch_pixels == pixels * 20
    assert max(map(len, plan.crops[0].stretches)) == 16, "whole context windows"
    assert len(whole.crops[0].stretches) == 1
    short = redetail.detail(frames, engine=engine, memory={"limit": limit}, color_match=False, **options)
    long = redetail.detail(frames, engine=engine, color_match=False, **options)
    np.testing.assert_array_equal(short.frames, long.frames)


def test_an_estimate_counts_memory_work_space_and_time() -> None:
    estimates = []
    frames = np.zeros((20, 64, 64, 3), np.uint8)
    engine = FakeEngine()
    job = redetail.Job().overlay(source=frames, box=(8, 8, 56, 56), crop_factor=1.0, guide_size=48, steps=1)
    redetail.run(job, engine=engine, planned=estimates.append)
    engine._capabilities = replace(engine.capabilities, cost=Cost(even=True))
    redetail.run(job, engine=engine, planned=estimates.append)
    unknown, timed = estimates
    assert unknown.seconds is None
    assert timed.seconds > 0
    assert unknown.work_space == timed.work_space > 20 * 48 * 48 * 3 * 2
    assert unknown.memory > 10**7


@pytest.mark.parametrize("steps", [1, 2, 1000])
def test_the_time_of_many_steps_is_that_of_a_few_and_what_each_adds(monkeypatch, steps) -> None:
    asked = []

    def timed(engine, settings, cancel):
        asked.append(settings.steps)
        return 2 + 0.5 * settings.steps  # seconds for each pixel

    monkeypatch.setattr(estimate, "_timed", timed)
    engine = FakeEngine()
    engine._capabilities = replace(engine.capabilities, cost=Cost(even=True))
    plan = plan_of(plans.crop_plan(26, working=Size(32, 32), settings=replace(plans.SETTINGS, steps=steps)))
    told = estimate.estimated(plan, MemoryBudget(10**9, USED, FRAME, COST), engine)
    assert told.seconds == pytest.approx(26 * 32 * 32 * (2 + 0.5 * steps))
    assert max(asked) <= 3
