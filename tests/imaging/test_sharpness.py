import cv2
import numpy as np
import pytest

from redetail.imaging.sharpness import sharpness
from redetail.region import Box
from tests.clips import clip_frames

FACE = Box(172, 29, 252, 141)
"""Of guitarist's first frame, by eye."""


def measured(rgb: np.ndarray, box: Box = FACE) -> float:
    value = sharpness(rgb, box)
    assert value is not None
    return value


def test_white_noise_has_the_ratio_of_the_two_filters() -> None:
    """White noise of unit variance: the finest octave has the variance 1 - 2 g(s) + g(sqrt 2 s) of the two-dimensional
    Gaussian kernel, the next one g(a) - 2 g(ab) + g(b) with g(x) = 1 / (4 pi x^2) for large x."""
    noise = np.random.default_rng(0).normal(128, 30, (400, 400, 1)).clip(0, 255).repeat(3, axis=2).astype(np.uint8)
    variance = 1 - 2 / (2 * np.pi * 0.8**2) + 1 / (4 * np.pi * 0.8**2)
    coarser = 1 / (4 * np.pi * 0.8**2) - 2 / (2 * np.pi * (0.8**2 + 1.6**2)) + 1 / (4 * np.pi * 1.6**2)
    assert measured(noise, Box(0, 0, 400, 400)) == pytest.approx(np.sqrt(variance / coarser), rel=0.05)


def test_blur_takes_it_away_step_by_step() -> None:
    rgb = clip_frames("guitarist")[0]
    values = [measured(rgb)] + [measured(cv2.GaussianBlur(rgb, (0, 0), sigma)) for sigma in (0.7, 1.0, 1.5)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.75 > 0.55 > values[-1]


def test_contrast_does_not_matter_and_size_does() -> None:
    rgb = clip_frames("guitarist")[0]
    assert measured((rgb * 0.5).astype(np.uint8)) == pytest.approx(measured(rgb), rel=0.05)
    large = cv2.resize(rgb, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    assert measured(large, FACE.scaled(2, 2)) < 0.75 * measured(rgb)
    assert measured(rgb.astype(np.uint16) * 257) == pytest.approx(measured(rgb), rel=1e-3)


def test_what_cannot_be_measured() -> None:
    rgb = clip_frames("guitarist")[0]
    assert sharpness(rgb, Box(10, 10, 21, 90)) is None
    assert sharpness(rgb, Box(900, 10, 990, 90)) is None
    assert sharpness(np.full((90, 90, 3), 77, np.uint8), Box(0, 0, 90, 90)) is None
