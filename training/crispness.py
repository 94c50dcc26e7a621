"""What a person sees in a restored picture, as losses: how much structure there is, where, and in which colours.

Pictures are (N, 3, h, w) in -1..1.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from redetail.identity.network import load_face_network
from redetail.imaging.sharpness import LUMA

BANDS = 2  # octaves of detail that are compared
WINDOW = 8  # pixels of a band over which energy is averaged
SLIGHT = (1.5 / 127.5) ** 2  # energy of a level and a half, which is not visible as detail
SURE = 1.6  # times the local correlation is how much missing energy counts there
WIDE = 16  # pixels over which colours are averaged
STAGES = (1.0, 1.0)  # weights of the face network's first layer and of the stage after it


def luma(pictures: Tensor) -> Tensor:
    """(N, 3, h, w) -> (N, 1, h, w)."""
    return (pictures * pictures.new_tensor(LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def blurred(picture: Tensor) -> Tensor:
    """Binomial 5x5."""
    kernel = picture.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    padded = functional.pad(picture, (2, 2, 2, 2), mode="reflect")
    rows = functional.conv2d(padded, kernel.view(1, 1, 5, 1))
    return functional.conv2d(rows, kernel.view(1, 1, 1, 5))


def bands(picture: Tensor) -> list[Tensor]:
    """Octaves of detail of a luma (N, 1, h, w), finest first (a Laplacian pyramid, Burt and Adelson 1983)."""
    result = []
    for _ in range(BANDS):
        coarse = blurred(picture)
        result.append(picture - coarse)
        picture = coarse[..., ::2, ::2]
    return result


def laplacian(picture: Tensor) -> Tensor:
    """Four neighbours less four times the middle, (N, 1, h, w) -> (N, 1, h-2, w-2)."""
    kernel = picture.new_tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]).view(1, 1, 3, 3)
    return functional.conv2d(picture, kernel)


def amount(pictures: Tensor) -> Tensor:
    """Detail: the mean absolute Laplacian of luma."""
    return laplacian(luma(pictures)).abs().mean()


def high_correlation(pictures: Tensor, clean: Tensor) -> Tensor:
    """Correlation of what lies above a quarter of the sampling rate, over all pixels of all pictures."""
    height, width = pictures.shape[-2:]
    rows, columns = torch.fft.fftfreq(height), torch.fft.rfftfreq(width)
    high = ((rows[:, None] ** 2 + columns[None] ** 2).sqrt() > 0.25).to(pictures.device)
    own, there = (torch.fft.irfft2(torch.fft.rfft2(luma(x)) * high, s=(height, width)) for x in (pictures, clean))
    return (own * there).sum() / (own.square().sum() * there.square().sum()).sqrt().clamp_min(1e-12)


def picture_losses(own: Tensor, clean: Tensor) -> dict[str, Tensor]:
    """Amount and place of structure, overshoot, colour."""
    return {**structure(own, clean), "overshoot": overshoot(own, clean), "colour": colour(own, clean)}


def structure(own: Tensor, clean: Tensor) -> dict[str, Tensor]:
    """How far the local energy of each band is from the clean one's, and how little the two have in common.

    "energy": mean absolute logarithm of the ratio; "amplitude": mean absolute difference of the roots over the mean,
    which counts where there is much. "structure": one less the local correlation, which does not depend on the amount
    (after Wang et al. 2004, SSIM). Missing energy counts only as far as the two are correlated, so that detail that was
    found is strengthened and none is invented. Without that, uncertain areas are filled with a mesh.
    """
    energy, amplitude, common = (own.new_zeros(()) for _ in range(3))
    for mine, theirs in zip(bands(luma(own)), bands(luma(clean)), strict=True):
        a, b, ab = (functional.avg_pool2d(x, WINDOW, WINDOW // 2) for x in (mine**2, theirs**2, mine * theirs))
        alike = (ab + SLIGHT) / ((a + SLIGHT) * (b + SLIGHT)).sqrt()
        counts = torch.where(a > b, torch.ones_like(alike), (SURE * alike.detach()).clamp(0, 1))
        energy = energy + 0.5 * (counts * ((a + SLIGHT) / (b + SLIGHT)).log().abs()).mean()
        roots = (a + SLIGHT / 9).sqrt(), (b + SLIGHT / 9).sqrt()
        amplitude = amplitude + (counts * (roots[0] - roots[1]).abs()).mean() / roots[1].mean()
        common = common + (1 - alike).mean()
    return {"energy": energy / BANDS, "amplitude": amplitude / BANDS, "structure": common / BANDS}


def overshoot(own: Tensor, clean: Tensor) -> Tensor:
    """How far pixels lie outside the range of the clean picture's 5x5 pixels around them, on average."""
    above = functional.max_pool2d(clean, 5, 1, 2)
    below = -functional.max_pool2d(-clean, 5, 1, 2)
    return (functional.relu(own - above) + functional.relu(below - own)).mean()


def colour(own: Tensor, clean: Tensor) -> Tensor:
    """Mean absolute difference of the local means of each channel."""
    return functional.avg_pool2d(own - clean, WIDE, WIDE // 2).abs().mean()


class Features:
    """The output of the first layers of the face descriptor (after Johnson et al. 2016, arXiv:1603.08155)."""

    def __init__(self, device: torch.device) -> None:
        self.network = load_face_network().to(device)
        self.mean = torch.tensor((122.782, 117.001, 104.298), device=device).view(1, 3, 1, 1)

    def of(self, pictures: Tensor) -> list[Tensor]:
        """The output of the first layer and of the stages after it, one less than `STAGES`."""
        levels = (pictures.clamp(-1.1, 1.1) + 1) * 127.5
        x = functional.relu(self.network.first((levels - self.mean) / 256))
        seen = [x]
        x = functional.max_pool2d(x, 3, 2)
        for stage in self.network.stages[: len(STAGES) - 1]:
            x = stage(x)
            seen.append(x)
        return seen

    @staticmethod
    def distance(seen: list[Tensor], wanted: list[Tensor]) -> Tensor:
        """Mean absolute difference of each, over the mean of what was wanted."""
        parts = [(a - b).abs().mean() / b.abs().mean() * w for a, b, w in zip(seen, wanted, STAGES, strict=True)]
        return torch.stack(parts).sum() / sum(STAGES)
