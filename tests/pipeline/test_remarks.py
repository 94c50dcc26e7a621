"""Remarks on synthetic clips in which each of them is true, and on one in which none is."""

from itertools import cycle

import numpy as np
import pytest

import redetail
from redetail.engines import FakeEngine
from redetail.imaging.resample import crop, from_float
from redetail.region import Box, Detection, Size

FRAMES, SIDE = 6, 192


def textured() -> np.ndarray:
    """A picture whose octaves hold about as much each, as those of natural pictures do: amplitude 1/f."""
    rng = np.random.default_rng(1)
    radius = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None])
    spectrum = np.exp(2j * np.pi * rng.random(radius.shape)) / np.maximum(radius, 1 / SIDE) ** 1.25
    waves = np.fft.irfft2(spectrum, s=(SIDE, SIDE))
    levels = np.clip(128 + 40 * (waves - waves.mean()) / waves.std(), 0, 255).astype(np.uint8)
    return np.repeat(levels[..., None], 3, 2)


def softened(picture: np.ndarray) -> np.ndarray:
    whole, half = Box(0, 0, SIDE, SIDE), Size(SIDE // 2, SIDE // 2)
    small = crop(picture, whole, half)
    return from_float(crop(small, Box(0, 0, SIDE // 2, SIDE // 2), Size(SIDE, SIDE)), np.uint8)


def sharpened(crops: np.ndarray) -> np.ndarray:
    blurred = np.mean([np.roll(crops, shift, (1, 2)) for shift in ((0, 1), (0, -1), (1, 0), (-1, 0))], axis=0)
    return np.clip(crops + 1.5 * (crops - blurred), 0, 1).astype(np.float32)


def remarks(
    picture: np.ndarray, effect=sharpened, box=(40, 40, 150, 150), confidence=(0.9,), label="face"
) -> list[str]:
    confidences = cycle(confidence)

    class Finder:
        def detect(self, pixels):
            return [Detection(Box(*box), next(confidences), label=label)]

    result = redetail.detail(
        np.stack([picture] * FRAMES), engine=FakeEngine(effect, noise=0.0), detect=Finder(), denoise=1.0,
        guide_size=128, max_size=256, crop_factor=1.5, steps=1, color_match=False, mask_feather=0,
    )  # fmt: skip
    (region,) = result.report.to_document()["regions"]
    return region["remarks"]


def test_a_soft_clip_that_gets_sharper() -> None:
    (only,) = remarks(softened(textured()))
    assert only.endswith("% sharper")


def test_a_sharp_clip_whose_result_is_no_sharper() -> None:
    assert remarks(textured(), effect=lambda crops: np.clip(crops + 0.03, 0, 1)) == ["already sharp: nothing to gain"]


def test_a_change_that_cannot_be_seen() -> None:
    said = remarks(softened(textured()), effect=lambda crops: np.clip(crops + 0.002, 0, 1))
    assert len(said) == 1
    assert said[0].startswith("changed by less than one 8-bit level (0.")


def test_a_result_that_is_softer() -> None:
    def blurred(crops):
        return np.mean([np.roll(crops, (y, x), (1, 2)) for y in range(-2, 3) for x in range(-2, 3)], axis=0)

    assert any("softer than before" in one for one in remarks(softened(textured()), effect=blurred))


@pytest.mark.parametrize(("side", "small"), [(18, True), (60, False)])
def test_a_face_that_is_too_small(side: int, small: bool) -> None:
    said = remarks(softened(textured()), box=(80, 80, 80 + side, 80 + side))
    assert ("face too small (18 px)" in said) == small


@pytest.mark.parametrize(("lower", "said"), [(0.45, ["detection uncertain (0.57)"]), (0.9, [])])
def test_a_detection_that_is_uncertain_on_average(lower: float, said: list[str]) -> None:
    found = remarks(
        softened(textured()), confidence=(0.63, 0.63, lower), label="thing"
    )  # a face this uncertain is left out
    assert [one for one in found if "uncertain" in one] == said
