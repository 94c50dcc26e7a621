"""Previews: their pixels are those of the whole run, whatever is varied, and only what is needed is computed."""

from dataclasses import replace

import numpy as np
import pytest

import redetail
from redetail.engines import FakeEngine
from redetail.selection.detected import DetectorSelection

SETTINGS = {"guide_size": 48, "max_size": 64, "crop_factor": 2.0, "steps": 2, "mask_feather": 4}
FRAMES = np.random.default_rng(3).integers(0, 255, (44, 96, 128, 3), dtype=np.uint8)


class Short(FakeEngine):
    """An engine that takes 20 frames of 64x64 at once, and counts what it is given; every frame depends on all."""

    def __init__(self) -> None:
        super().__init__(lambda crops: np.clip(1 - crops + 0.1 * crops.mean(), 0, 1), context_length=None)
        self.given = 0

    @property
    def capabilities(self):
        return replace(super().capabilities, part_pixels=20 * 64 * 64)

    def run(self, request) -> None:
        self.given += request.crops.frames
        super().run(request)


class Swinging:
    """A detector of two faces that meet in the middle of the clip."""

    def __init__(self) -> None:
        self.calls = 0

    def detect(self, pixels):
        swing = 30 * np.sin(self.calls / 11)
        self.calls += 1
        boxes = (30 + swing / 3, 40, 18), (90 - swing, 50, 24)
        return [redetail.Detection(redetail.Box(x - s, y - s, x + s, y + s), 0.95) for x, y, s in boxes]


def check_stills(shown: redetail.Preview, wholes: dict[int, np.ndarray], exact: bool = True) -> None:
    """The pixels of these variants are those of their runs."""
    for still in shown.stills:
        x1, y1, x2, y2 = map(int, still.area.as_tuple())
        for number, whole in wholes.items():
            off = np.abs(still.results[number].astype(int) - whole[still.moment.frame, y1:y2, x1:x2])
            # Enlarged values that lie on the edge between two levels may be rounded to either: one in ten thousand.
            assert off.max() <= (0 if exact else 1)
            assert np.count_nonzero(off) <= 1e-4 * off.size
        assert any((result != still.source).any() for result in still.results)


@pytest.mark.parametrize("scale", [1, 1.5])
def test_pixels_are_those_of_the_whole_run(scale) -> None:
    options = {"box": [(10, 20, 50, 60), (45, 30, 80, 70)], "scale": scale, **SETTINGS}
    shown = redetail.preview(FRAMES, engine=Short(), moments=9, **options)
    whole = redetail.detail(FRAMES, engine=Short(), **options)
    assert {still.moment.region for still in shown.stills} == {0, 1}
    check_stills(shown, {0: whole.frames}, exact=scale == 1)


def test_variants_are_every_combination_and_each_is_that_of_its_own_run() -> None:
    vary = {"denoise": [0.2, 0.6], "crop-factor": [1.5, 2.0], "guide_size": [32]}
    detector, engine = Swinging(), Short()
    shown = redetail.preview(FRAMES, engine=engine, detect=detector, vary=vary, moments=3, **SETTINGS)
    assert detector.calls == len(FRAMES)
    assert [one.label for one in shown.variants] == [
        f"denoise {denoise}, crop-factor {factor:g}, guide-size 32" for denoise in (0.2, 0.6) for factor in (1.5, 2.0)
    ]
    wholes = {  # one with either value of both
        number: redetail.detail(
            FRAMES, engine=Short(), detect=Swinging(), **{**SETTINGS, **shown.variants[number].settings}
        ).frames
        for number in (0, 3)
    }
    check_stills(shown, wholes)


def test_only_the_stretches_of_the_moments_are_computed_and_the_share_says_so() -> None:
    engine = Short()
    shown = redetail.preview(FRAMES, engine=engine, box=(10, 20, 50, 60), moments=1, **SETTINGS)
    assert 0 < engine.given < 25
    assert shown.share == pytest.approx(engine.given / len(FRAMES), abs=8 / len(FRAMES))  # shared frames count once


def test_the_loop_has_a_row_for_the_source_and_each_variant() -> None:
    shown = redetail.preview(
        FRAMES, engine=Short(), box=(10, 20, 50, 60), moments=1, vary={"denoise": [0.2, 0.9]}, **SETTINGS
    )
    assert shown.loop.shape[0] == 3
    assert 10 < shown.loop.shape[1] <= 24
    assert (
        np.abs(shown.loop[0].astype(int) - shown.loop[1]).mean()
        < np.abs(shown.loop[0].astype(int) - shown.loop[2]).mean()
    )


def test_a_clip_without_a_subject_has_no_moments_and_says_so() -> None:
    class Nobody:
        def detect(self, pixels):
            return []

    shown = redetail.preview(FRAMES[:3], engine=Short(), detect=Nobody())
    assert (shown.stills, shown.share, len(shown.loop)) == ((), 0.0, 0)
    assert shown.notices


def test_a_job_is_taken_whole_and_its_outputs_are_not_written(tmp_path) -> None:
    job = redetail.Job(output=tmp_path / "out.mp4", report=tmp_path / "report.json").overlay(
        source=FRAMES[:20], box=(10, 20, 50, 60), **SETTINGS
    )
    assert len(redetail.preview(job, engine=Short(), moments=2).stills) == 2
    assert not any(tmp_path.iterdir())
    assert DetectorSelection not in map(type, job.selection)


@pytest.mark.parametrize(
    ("vary", "moments", "message"),
    [
        ({"denose": [0.5]}, 4, "There is no setting named 'denose'; did you mean 'denoise'?"),
        (
            {"steps": [1, 2, 3, 4], "seed": [1, 2, 3, 4]},
            4,
            "4 values of steps x 4 values of seed make 16 variants; a preview shows at most 12",
        ),
        ({"denoise": [0.5, 2]}, 4, "denoise is 2; it must be between"),
        ({"denoise": 0.5}, 4, "The values of denoise in vary are 0.5; give a list of at least one value."),
        ({"guide_size": [64], "guide-size": [96]}, 4, "The same setting is given twice in vary"),
        ({}, 0, "moments is 0; give a whole number from 1 to 24."),
    ],
)
def test_what_cannot_be_shown_is_refused_before_any_work(vary, moments, message) -> None:
    engine = Short()
    with pytest.raises(redetail.SettingsError, match=message):
        redetail.preview(FRAMES, engine=engine, detect=Swinging(), vary=vary, moments=moments)
    assert engine.given == 0
