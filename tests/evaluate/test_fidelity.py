"""PSNR and SSIM: closed forms, and the definition written out plainly."""

import numpy as np
import pytest

from redetail.errors import InputError
from redetail.evaluate.fidelity import psnr, ssim


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (40, 50, 3), np.uint8)


def test_psnr_of_one_level_everywhere() -> None:
    flat = np.full((20, 20, 3), 100, np.uint8)
    assert psnr(flat, flat + 1) == pytest.approx(20 * np.log10(255), abs=1e-5)  # float32 values of k/255
    assert psnr(flat.astype(np.uint16) * 257, (flat + 1).astype(np.uint16) * 257) == pytest.approx(48.1308, abs=1e-4)
    assert psnr(np.zeros((4, 4)), np.full((4, 4), 0.1)) == pytest.approx(20, abs=1e-5)


def test_psnr_of_equal_pictures_is_infinite() -> None:
    assert psnr(picture(), picture()) == float("inf")


def plain_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Wang et al. 2004, window by window."""
    axis = np.exp(-0.5 * ((np.arange(11) - 5) / 1.5) ** 2)
    window = np.outer(axis, axis)[..., None] / axis.sum() ** 2
    values = []
    for row in range(x.shape[0] - 10):
        for column in range(x.shape[1] - 10):
            a, b = (each[row : row + 11, column : column + 11].astype(np.float64) / 255 for each in (x, y))
            ma, mb = (window * a).sum((0, 1)), (window * b).sum((0, 1))
            va, vb = (window * (a - ma) ** 2).sum((0, 1)), (window * (b - mb) ** 2).sum((0, 1))
            cov = (window * (a - ma) * (b - mb)).sum((0, 1))
            top = (2 * ma * mb + 1e-4) * (2 * cov + 9e-4)
            values.append(top / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4)))
    return float(np.mean(values))


def test_ssim_is_its_definition() -> None:
    x = picture()
    noisy = np.clip(x + np.random.default_rng(1).normal(0, 40, x.shape), 0, 255).astype(np.uint8)
    assert ssim(x, noisy) == pytest.approx(plain_ssim(x, noisy), abs=1e-6)  # k/255 in float32 against float64
    assert 0.5 < ssim(x, noisy) < 0.95


def test_ssim_of_flat_pictures_is_its_luminance_term_and_of_faint_ones_its_constants() -> None:
    dark, light = np.full((12, 12), 0.02), np.full((12, 12), 0.05)
    assert ssim(dark, light) == pytest.approx((2 * 0.02 * 0.05 + 1e-4) / (0.02**2 + 0.05**2 + 1e-4), abs=1e-6)
    faint = picture().astype(np.float64)[..., 0] / 255 * 0.1
    assert ssim(faint, faint[::-1]) == pytest.approx(
        plain_ssim(faint[..., None] * 255, faint[::-1, :, None] * 255), abs=1e-6
    )


def test_ssim_of_equal_pictures_is_one_and_of_inverses_negative() -> None:
    assert ssim(picture(), picture()) == pytest.approx(1, abs=1e-12)
    assert ssim(picture(), 255 - picture()) < -0.5
    assert ssim(picture()[..., 0], picture()[..., 0]) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("measure", [psnr, ssim])
def test_pictures_that_cannot_be_compared(measure) -> None:
    with pytest.raises(InputError, match=r"\(40, 50, 3\) \(uint8\) and the other \(39, 50, 3\) \(uint8\)"):
        measure(picture(), picture()[1:])
    with pytest.raises(InputError, match=r"uint8.* and the other .*float64"):
        measure(picture(), picture() / 255)


def test_pictures_too_small_for_a_window() -> None:
    with pytest.raises(InputError, match="at least 11x11 pixels"):
        ssim(picture()[:10], picture()[:10])
