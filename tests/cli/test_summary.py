"""Results in words."""

from dataclasses import replace
from fractions import Fraction

import numpy as np

from redetail.cli.summary import plan_summary, preset_summary, settings_summary, summary
from redetail.evaluate.temporal import Jitter, TemporalFigures
from redetail.geometry.crop import Padding
from redetail.pipeline.measure import RegionMeasures, Untouched
from redetail.pipeline.plan import CropPlan, Plan
from redetail.pipeline.report import Report
from redetail.pipeline.stopwatch import PassTime
from redetail.region import Region, Size
from redetail.settings import Settings
from redetail.video import VideoInfo

REGION = Region("face 1", 0.931, 3, Size(240, 240), np.zeros((57, 2)), np.tile([9.0, 9, 80, 80], (57, 1)))
CROP = CropPlan(REGION, Size(512, 512), Padding(0, 0, 0, 0))
PLAN = Plan(0, 69, Size(350, 350), (CROP,))
MEASURED = RegionMeasures(TemporalFigures(56, 9, 1.0, 1.021, 1.0, 1.0, 1.0, 1.0), Jitter(0.0, 1.0), 3.21)
REPORT = Report(
    plan=PLAN,
    source=VideoInfo(size=Size(350, 350), rate=Fraction(24), time_base=Fraction(1, 24), frames=69, bit_depth=8),
    size=Size(350, 350),
    engine="a model",
    placement={},
    passes={"detect": PassTime(3.0, 69), "detail": PassTime(66.0, 69)},
    regions=(MEASURED,),
    untouched=Untouched(69, 0),
    notices=(),
    job=None,
)


def test_what_was_done() -> None:
    text = summary(REPORT, "in.mp4", {"output": "out.mp4", "compare": None, "report": "r.json"})
    assert text.splitlines() == [
        "out.mp4: 1 subject detailed in 69 frames of in.mp4",
        "  face 1 (confidence 0.93): frames 3 to 59, crop 240x240 processed at 512x512",
        "    changed by 3.2 out of 255 on average, flicker 1.02 times that of the source",
        "  outside the pasted areas no pixel changed before encoding",
        "  time: 1 min 9 s, 1.0 frames per second (finding subjects 3.0 s, detailing 1 min 6 s)",
        "  report: r.json",
    ]


def test_an_enlarged_output() -> None:
    text = summary(replace(REPORT, size=Size(700, 700)), "in.mp4", {"output": "out.mp4"})
    assert text.splitlines()[1] == "  enlarged from 350x350 to 700x700"


def test_nothing_was_done() -> None:
    empty = replace(REPORT, plan=replace(PLAN, crops=()), regions=())
    text = summary(empty, "in.mp4", {"output": "out.mp4"})
    assert text.startswith("out.mp4: a copy of in.mp4; nothing was detailed\n")


def test_figures_that_could_not_be_measured_are_left_out() -> None:
    flicker = TemporalFigures(0, 0, None, None, None, None, None, None)
    unmeasured = replace(MEASURED, flicker=flicker, mean_change=None)
    text = summary(replace(REPORT, regions=(unmeasured,)), "in.mp4", {"output": "out.mp4"})
    assert "    too few frames to measure\n" in text


def test_a_change_outside_the_masks_is_told() -> None:
    text = summary(replace(REPORT, untouched=Untouched(69, 7)), "in.mp4", {"output": "out.mp4"})
    assert "  outside the pasted areas 7 pixels changed before encoding\n" in text


def test_what_would_be_done() -> None:
    assert plan_summary(PLAN, "in.mp4").splitlines() == [
        "in.mp4: 69 frames of 350x350, 1 subject",
        "  1. face 1 (confidence 0.93): frames 3 to 59, crop 240x240 processed at 512x512",
    ]


def test_settings_are_shown_as_they_are_typed() -> None:
    shown = settings_summary(Settings(prompt="a face", steps=4, cfg=1.5, color_match=False).as_dict())
    assert "--prompt 'a face'" in shown
    assert "--steps 4 --cfg 1.5" in shown
    assert "--no-color-match" in shown
    assert "--negative" not in shown


def test_a_preset_says_what_it_chose() -> None:
    assert preset_summary({"steps": 3}) == ""
    assert (
        preset_summary({"preset": "lcm"}) == "  preset lcm: --sampler lcm --scheduler sgm_uniform --steps 6 --cfg 2\n"
    )
    given = preset_summary({"preset": "lightning", "steps": 8, "cfg": 1.2})
    assert given == "  preset lightning: --sampler euler --scheduler sgm_uniform\n"


def test_what_may_be_given_several_times_is_typed_several_times() -> None:
    shown = settings_summary({"loras": ["a b.safetensors:0.5", "c.safetensors"], "cfg": 2.0})
    assert shown == "  settings: --lora 'a b.safetensors:0.5' --lora c.safetensors --cfg 2\n"
    assert settings_summary({"loras": []}) == "  settings: \n"
